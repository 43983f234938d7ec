"""Trainer callback: stops at a NaN or infinite loss, saves by time, measures tokens per second."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from text2sql.files import copy_file, replacing_folder
from text2sql.training.checkpoints import BASE_FILE, copy_weights
from text2sql.training.throughput import flops_per_token, peak_flops

_QUOTED = 200  # characters of a batch's first row in the error message


class NonFiniteLoss(Exception):
    """The loss became NaN or infinite; the message says at which step and batch."""


class TrainingMonitor(TrainerCallback):
    """Stops at a loss that is NaN or infinite, saves every `save_minutes`, writes `folder`/throughput.jsonl.

    The file has a line every `log_steps` steps, and a checkpoint is saved by time only after these. The
    weights after every `keep_steps` steps are copied from their checkpoint to `folder`/steps/STEP, which is
    complete or absent; a resumed training copies those of its checkpoint.

    Not covered without `hook_model` (Megatron's model takes no hook): the loss, which Megatron checks
    itself, and throughput.
    """

    def __init__(
        self,
        folder: Path,
        save_minutes: float | None,
        log_steps: int,
        hook_model: bool,
        keep_steps: int | None = None,
    ) -> None:
        self._file = folder / "throughput.jsonl"
        self._kept, self._keep_steps = folder / "steps", keep_steps
        self._hook_model = hook_model
        self._log_steps = log_steps
        self._save_s = None if save_minutes is None else 60 * save_minutes
        self._saved = self._logged = time.monotonic()
        self._tokens: torch.Tensor | int = 0
        self._batch = 0  # since the last optimizer step
        self._state: TrainerState | None = None
        self._tokenizer: Any = None
        self._flops_per_token = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Register a hook that gets every batch of the model."""
        self._saved = self._logged = time.monotonic()
        if state.global_step:
            self._keep_weights(args, state)  # a kill may have come between the checkpoint and its copy
        if not self._hook_model:
            return
        model = kwargs["model"]
        self._state, self._tokenizer = state, kwargs["processing_class"]
        sizes = [(getattr(p, "ds_numel", p.numel()), p.requires_grad) for p in model.parameters()]
        self._flops_per_token = flops_per_token(sum(n for n, _ in sizes), sum(n for n, grad in sizes if grad))
        model.register_forward_hook(self._check_batch, with_kwargs=True)

    def _check_batch(self, model: Any, args: Any, inputs: dict[str, Any], output: Any) -> None:
        if not model.training:
            return  # validation
        self._batch += 1
        ids = inputs["input_ids"]
        self._tokens = self._tokens + real_tokens(ids, inputs.get("attention_mask"))
        if not torch.isfinite(output.loss):
            raise NonFiniteLoss(self._message(float(output.loss), ids))

    def _message(self, loss: float, ids: torch.Tensor) -> str:
        assert self._state is not None
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        row = self._tokenizer.decode(ids[0], skip_special_tokens=True)[:_QUOTED]
        return (
            f"the loss is {loss} at step {self._state.global_step + 1}, batch {self._batch} of rank {rank}, "
            f"whose first row begins {row!r}; lower learning_rate or remove the row from the data"
        )

    def leave_out(self, seconds: float) -> None:
        """Leave time that was not spent on training out of the speed."""
        self._logged += seconds

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Request a checkpoint when it is due; several ranks compare their clocks, which costs time."""
        self._batch = 0
        if self._save_s is None or state.global_step % self._log_steps:
            return
        if _of_first_rank(time.monotonic() - self._saved, args) >= self._save_s:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remember the time of a checkpoint, whatever its reason, and keep its weights if they are due."""
        self._saved = time.monotonic()
        self._keep_weights(args, state)

    def _keep_weights(self, args: TrainingArguments, state: TrainerState) -> None:
        """Copy the weights of the checkpoint of this step, if they are due."""
        step = state.global_step
        if self._keep_steps and step % self._keep_steps == 0 and state.is_world_process_zero:
            with replacing_folder(self._kept / str(step)) as folder:
                copy_weights(Path(str(args.output_dir)) / f"checkpoint-{step}", folder)
                if (folder / "adapter_config.json").is_file():
                    copy_file(self._kept.with_name(BASE_FILE), folder / BASE_FILE)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write tokens per second of all ranks since the last line, share of the peak, and peak memory."""
        if not self._hook_model or "loss" not in kwargs["logs"] or state.global_step % self._log_steps:
            return  # without a loss it is the summary at the end
        seconds = time.monotonic() - self._logged
        rate = _over_ranks(self._tokens, args) / seconds
        self._tokens, self._logged = 0, time.monotonic()
        line = {"step": state.global_step, "tokens_per_s": round(rate, 1)} | self._utilisation(rate, args)
        line |= _peak_memory(args)
        if state.is_world_process_zero:
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _utilisation(self, rate: float, args: TrainingArguments) -> dict[str, float]:
        name = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else ""
        peak = peak_flops(name) if args.bf16 else None
        return {"mfu": round(rate * self._flops_per_token / (peak * args.world_size), 4)} if peak else {}


def _peak_memory(args: TrainingArguments) -> dict[str, int]:
    """The most bytes that tensors have taken on this rank's GPU so far; nothing on a CPU."""
    on_gpu = args.device.type == "cuda"
    return {"peak_bytes": torch.cuda.max_memory_allocated(args.device)} if on_gpu else {}


def real_tokens(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor | int:
    """Number of tokens of a batch without padding.

    `ids` has shape (rows, length). LLaMA-Factory's mask has shape (rows, length) with 0 at padding. For
    packed rows it has shape (rows, 1, length, length) with 0 where a token attends to another; padding does
    not attend even to itself. With flash attention packed rows have no mask, and no padding.
    """
    if mask is None:
        return ids.numel()
    if mask.dim() == 2:
        return mask.ne(0).sum()
    return mask.diagonal(dim1=-2, dim2=-1).eq(0).sum()


def _of_first_rank(value: float, args: TrainingArguments) -> float:
    """The value of rank 0, on every rank: clocks differ, and all ranks must save at the same step."""
    if not torch.distributed.is_initialized():
        return value
    shared = torch.tensor([value], dtype=torch.float32, device=args.device)
    torch.distributed.broadcast(shared, src=0)
    return float(shared)


def _over_ranks(tokens: torch.Tensor | int, args: TrainingArguments) -> float:
    total = torch.as_tensor(tokens, dtype=torch.float64, device=args.device).clone()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return float(total)
