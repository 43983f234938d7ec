"""Generation with Hugging Face transformers: float32 on the CPU, bfloat16 on a CUDA device."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from text2sql.inference.weights import Weights
from text2sql.records import UserError

_LOAD_ERRORS = (OSError, ValueError, RuntimeError, SafetensorError)


class TransformersEngine:
    """Greedy decoding. Only folders on this machine are read, never the hub.

    The tokenizer comes with the whole model, also for an adapter. The weights are read when the
    first batch is generated. An adapter is merged into its base in float32, and only then brought
    to the device's number type. `threads` (of the CPU) is set for the whole process.
    Not covered: another device, thread count or library version may round a near tie differently.
    """

    def __init__(self, weights: Weights, max_new_tokens: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._weights = weights
        self._max_new_tokens = max_new_tokens
        self._tokenizer = _load(AutoTokenizer, weights)
        self._config = _load(AutoConfig, weights)
        self._greedy = self._greedy_settings()

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return int(self._config.max_position_embeddings)

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The token ids of a chat, thinking switched off. UserError: there is no chat template."""
        if self._tokenizer.chat_template is None:
            raise UserError(f"{self._weights.model}: its tokenizer has no chat template")
        return list(
            self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, enable_thinking=False, return_dict=False
            )
        )

    def generate(self, prompts: Sequence[Sequence[int]]) -> list[str]:
        """One answer for each prompt, all in one batch. UserError: the memory is too small."""
        ids, mask = self._pad(prompts)
        try:
            with torch.inference_mode():
                output = self._model.generate(ids, attention_mask=mask, generation_config=self._greedy)
        except torch.OutOfMemoryError as error:
            cure = "lower predict.batch_tokens in params.yaml"
            raise UserError(f"out of memory with {len(prompts)} prompts at a time; {cure}") from error
        answers = output[:, ids.shape[1] :]
        return list(self._tokenizer.batch_decode(answers, skip_special_tokens=True))

    def _pad(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, [prompts, longest prompt], padded on the left."""
        width = max(map(len, prompts))
        pad = self._greedy.pad_token_id
        ids = [[pad] * (width - len(p)) + list(p) for p in prompts]
        mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
        return torch.tensor(ids, device=device()), torch.tensor(mask, device=device())

    def _greedy_settings(self) -> GenerationConfig:
        """An answer ends at the tokenizer's end of turn and at whatever else the model names."""
        has_own = (self._weights.model / "generation_config.json").is_file()
        own = (_load(GenerationConfig, self._weights) if has_own else self._config).eos_token_id
        ends = [self._tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
        eos = sorted({int(token) for token in ends if token is not None})
        pad = self._tokenizer.pad_token_id
        return GenerationConfig(
            max_new_tokens=self._max_new_tokens,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=eos,
            pad_token_id=eos[0] if pad is None else pad,
        )

    @cached_property
    def _model(self) -> Any:
        model = _load_model(self._weights)
        if self._weights.base:
            model = _merged(model, self._weights.folder)
        # what the folder says of sampling must not fill the gaps of our own settings
        model.generation_config = self._greedy
        for parameter in model.parameters():
            # parameters only: positions are computed from a buffer that must stay float32
            parameter.data = parameter.data.to(_dtype())
        return model.to(device()).eval()


def device() -> str:
    """ "cuda" where there is such a device, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fingerprint() -> dict[str, str]:
    """What decides the answers beside weights and prompts: device, number type, libraries."""
    libraries = {name: version(name) for name in ("torch", "transformers", "peft")}
    return {"device": device(), "dtype": str(_dtype()), **libraries}


def _dtype() -> torch.dtype:
    return torch.bfloat16 if device() == "cuda" else torch.float32


def _load_model(weights: Weights) -> Any:
    """The whole model. UserError: weights are missing (the library would invent them)."""
    model, report = _load(AutoModelForCausalLM, weights, dtype=torch.float32, output_loading_info=True)
    missing = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if missing:
        raise UserError(_unreadable(weights.model, f"no fitting weights for {', '.join(missing)}"))
    return model


def _merged(model: Any, adapter: Path) -> Any:
    from peft import PeftModel  # slow to import, needed for adapters only

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (*_LOAD_ERRORS, UserWarning) as error:
        raise UserError(_unreadable(adapter, error)) from error


def _load(kind: Any, weights: Weights, **options: Any) -> Any:
    try:
        return kind.from_pretrained(str(weights.model), local_files_only=True, **options)
    except _LOAD_ERRORS as error:
        raise UserError(_unreadable(weights.model, error)) from error


def _unreadable(folder: Path, error: object) -> str:
    reason = str(error).strip().partition("\n")[0]
    return f"{folder}: cannot be read as a model: {reason}; `dvc repro` makes what the pipeline writes"
