"""Eyes inside the trainer: a loss that is no number, checkpoints by the clock, tokens a second."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from text2sql.training.throughput import flops_per_token, peak_flops

_QUOTED = 200  # characters of a batch's first row


class NonFiniteLoss(Exception):
    """The loss became NaN or infinite; the message says at which step and batch."""


class Watch(TrainerCallback):
    """Stops at a loss that is no number, saves by minutes, and writes throughput.jsonl into `folder`.

    Not covered without `sees_batches`, which Megatron's model does not let us: the loss (Megatron has a
    check of its own) and throughput.
    """

    def __init__(self, folder: Path, save_minutes: float | None, sees_batches: bool) -> None:
        self._file = folder / "throughput.jsonl"
        self._sees_batches = sees_batches
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
        """Begin to look at every batch that goes through the model."""
        self._saved = self._logged = time.monotonic()
        if not self._sees_batches:
            return
        model = kwargs["model"]
        self._state, self._tokenizer = state, kwargs["processing_class"]
        sizes = [(getattr(p, "ds_numel", p.numel()), p.requires_grad) for p in model.parameters()]
        self._flops_per_token = flops_per_token(sum(n for n, _ in sizes), sum(n for n, grad in sizes if grad))
        model.register_forward_hook(self._look, with_kwargs=True)

    def _look(self, model: Any, args: Any, inputs: dict[str, Any], output: Any) -> None:
        self._batch += 1
        ids = inputs["input_ids"]
        self._tokens = self._tokens + real_tokens(ids, inputs.get("attention_mask"))
        if not torch.isfinite(output.loss):
            raise NonFiniteLoss(self._where(float(output.loss), ids))

    def _where(self, loss: float, ids: torch.Tensor) -> str:
        assert self._state is not None
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        row = self._tokenizer.decode(ids[0], skip_special_tokens=True)[:_QUOTED]
        return (
            f"the loss is {loss} at step {self._state.global_step + 1}, batch {self._batch} of rank {rank}, "
            f"whose first row begins {row!r}; lower learning_rate or take the row out of the data"
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a checkpoint when its time has come; between log lines the mean loss would be lost."""
        self._batch = 0
        if self._save_s is None or state.global_step % args.logging_steps:
            return
        if _of_first_rank(time.monotonic() - self._saved, args) >= self._save_s:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note the time of a checkpoint, whoever asked for it."""
        self._saved = time.monotonic()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write tokens a second of all ranks since the last line, and the share of the devices' peak."""
        if not self._sees_batches or "loss" not in kwargs["logs"]:
            return  # or the summary at the end
        seconds = time.monotonic() - self._logged
        rate = _over_ranks(self._tokens, args) / seconds
        self._tokens, self._logged = 0, time.monotonic()
        line = {"step": state.global_step, "tokens_per_s": round(rate, 1)} | self._utilisation(rate, args)
        if state.is_world_process_zero:
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _utilisation(self, rate: float, args: TrainingArguments) -> dict[str, float]:
        name = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else ""
        peak = peak_flops(name) if args.bf16 else None
        return {"mfu": round(rate * self._flops_per_token / (peak * args.world_size), 4)} if peak else {}


def real_tokens(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor | int:
    """How many of a batch's tokens are no padding.

    `ids` are (rows, length). LLaMA-Factory's mask is (rows, length), 0 at padding; for packed rows it is
    (rows, 1, length, length), 0 where a token sees another, and padding does not even see itself; with
    flash attention packed rows have none, and their padding is cut off.
    """
    if mask is None:
        return ids.numel()
    if mask.dim() == 2:
        return mask.ne(0).sum()
    return mask.diagonal(dim1=-2, dim2=-1).eq(0).sum()


def _of_first_rank(value: float, args: TrainingArguments) -> float:
    """Rank 0's value on every rank: clocks differ, and a checkpoint needs all ranks."""
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
