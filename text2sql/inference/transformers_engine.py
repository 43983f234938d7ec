"""Generation with Hugging Face transformers: float32 on the CPU, bfloat16 on a CUDA device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig

from text2sql.claims import hold_gpus
from text2sql.cpu import KERNELS, allowed_cores, use_fixed_products
from text2sql.devices import torch_device
from text2sql.errors import UserError
from text2sql.inference.chat_tokens import ChatTokens, cannot_load, load, reason
from text2sql.inference.engine import Answer, Messages, Request, local_answer, plan_batches, prompt_room
from text2sql.inference.sampling import RowSampler
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.weights import Weights
from text2sql.processes import spread


class TransformersEngine:
    """Answers batches of prompts of similar length. Reads folders on this machine only, never the hub.

    The weights are loaded when the first batch is generated. An adapter is merged into its base in float32
    and then converted to the number type of the device. Random draws depend on the seed of the request, not
    on its batch. On a CPU `threads` is set for the whole process: with one thread there is one process per
    core, with the kernels of `text2sql.cpu`; with more threads there is one process. A GPU is waited for, and
    held until this process ends.
    Not covered: another device, number of threads or library version may round a near tie differently.
    """

    def __init__(self, weights: Weights, decoding: Decoding, batching: Batching, threads: int) -> None:
        torch.set_num_threads(threads)
        if torch_device() == "cpu" and threads == 1:
            use_fixed_products()
        if torch_device() == "cuda":
            # cuDNN compiles its attention for every length, and each token makes the prompt longer
            torch.backends.cuda.enable_cudnn_sdp(False)
        self._threads = threads
        self._weights = weights
        self._decoding = decoding
        self._batching = batching
        self._tokens = ChatTokens(weights)
        self._greedy = self._greedy_settings()

    @property
    def identity(self) -> Mapping[str, object]:
        """Hashes of the weights, device, number type and libraries."""
        kernels = {"kernels": KERNELS} if torch_device() == "cpu" else {}
        return {
            "weights": self._weights.sha256,
            "base": self._weights.base_sha256,
            **_device_and_libraries(),
            **kernels,
        }

    @property
    def max_prompt_tokens(self) -> int:
        """Largest number of tokens of a prompt. Raises: UserError, see `prompt_room`."""
        return prompt_room(self._tokens.context, self._decoding.max_new_tokens)

    def encode(self, messages: Messages) -> list[int]:
        """The token ids of a chat, with thinking switched off.

        Raises:
            UserError: the tokenizer has no chat template.
        """
        return self._tokens.encode(messages)

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Batches of similar length, the longest first."""
        lengths = self._tokens.fitting_lengths(requests, self.max_prompt_tokens)
        sizes = self._batching
        return plan_batches(lengths, self._decoding.max_new_tokens, sizes.batch_tokens, sizes.max_batch)

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield the batches as they are finished.

        Raises:
            UserError: out of memory, or the weights cannot be loaded.
        """
        if batches:
            self._model.eval()  # loaded before the processes fork, so that they share it
        for at, answers in spread(self._answer, [requests for _, requests in batches], self._processes):
            yield batches[at][0], answers

    @property
    def _processes(self) -> int:
        """The number of processes. It does not change the answers: each batch is computed in one process."""
        return allowed_cores() if torch_device() == "cpu" and self._threads == 1 else 1

    def _answer(self, requests: Sequence[Request]) -> list[Answer]:
        ids, mask = self._pad([self.encode(request.messages) for request in requests])
        if self._decoding.greedy_only:
            return self._read(self._run(ids, mask, []), [None] * len(requests))
        sampler = RowSampler(self._decoding, [request.seed for request in requests], mask)
        answers = self._run(ids, mask, [sampler])
        return self._read(answers, sampler.mean_logprobs(answers, self._tokens.ends))

    def _read(self, answers: torch.Tensor, logprobs: Sequence[float | None]) -> list[Answer]:
        """`answers`: tokens, [prompts, longest answer]; an answer without an end token is truncated."""
        ends = torch.tensor(self._tokens.ends, device=answers.device)
        truncated = (~torch.isin(answers, ends).any(1)).tolist()
        texts = self._tokens.decode(answers)
        return [local_answer(*fields) for fields in zip(texts, logprobs, truncated, strict=True)]

    def _run(self, ids: torch.Tensor, mask: torch.Tensor, processors: list[Any]) -> torch.Tensor:
        """The tokens of the answers, [prompts, longest answer]."""
        try:
            with torch.inference_mode():
                output = self._model.generate(
                    ids,
                    attention_mask=mask,
                    generation_config=self._greedy,
                    logits_processor=processors,
                )
        except torch.OutOfMemoryError as error:
            remedy = "lower predict.batch_tokens in params.yaml"
            raise UserError(f"out of memory with a batch of {len(ids)} prompts; {remedy}") from error
        return output[:, ids.shape[1] :]

    def _pad(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, [prompts, longest prompt], padded on the left."""
        width = max(map(len, prompts))
        pad = self._greedy.pad_token_id
        ids = [[pad] * (width - len(p)) + list(p) for p in prompts]
        mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
        return torch.tensor(ids, device=torch_device()), torch.tensor(mask, device=torch_device())

    def _greedy_settings(self) -> GenerationConfig:
        """transformers always decodes greedily; `RowSampler` does the random draws."""
        pad = self._tokens.tokenizer.pad_token_id
        return GenerationConfig(
            max_new_tokens=self._decoding.max_new_tokens,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=self._tokens.ends,
            pad_token_id=self._tokens.ends[0] if pad is None else pad,
        )

    @cached_property
    def _model(self) -> Any:
        hold_gpus(1, "predict")
        model = _load_model(self._weights)
        if self._weights.base:
            model = _merged(model, self._weights.folder)
        # sampling settings in the model folder must not be used as defaults
        model.generation_config = self._greedy
        for parameter in model.parameters():
            # parameters only: a buffer, from which positions are computed, must stay float32
            parameter.data = parameter.data.to(_dtype())
        return model.to(torch_device()).eval()


def _device_and_libraries() -> dict[str, str]:
    libraries = {name: version(name) for name in ("torch", "transformers", "peft")}
    return {"device": torch_device(), "dtype": str(_dtype()), **libraries}


def _dtype() -> torch.dtype:
    return torch.bfloat16 if torch_device() == "cuda" else torch.float32


def _load_model(weights: Weights) -> Any:
    """The complete model.

    Raises:
        UserError: weights are missing (the library would initialise them at random).
    """
    model, report = load(AutoModelForCausalLM, weights, dtype=torch.float32, output_loading_info=True)
    missing = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if missing:
        raise cannot_load(weights.model, f"no matching weights for {', '.join(missing)}")
    return model


def _merged(model: Any, adapter: Path) -> Any:
    from peft import PeftModel  # slow to import and needed for adapters only

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (OSError, ValueError, RuntimeError, SafetensorError, UserWarning) as error:
        raise cannot_load(adapter, error) from error
    except (AttributeError, KeyError, TypeError) as error:  # PEFT does not check the values of the file
        raise cannot_load(adapter, f"adapter_config.json: {reason(error)}") from error
