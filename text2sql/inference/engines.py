"""Opens the engine that settings name, for the pipeline's predictions and for questions of people."""

from __future__ import annotations

from pathlib import Path

from text2sql.inference.engine import Engine
from text2sql.inference.settings import Predict
from text2sql.inference.weights import resolve_weights


def engine_for(weights: Path | str, settings: Predict) -> Engine:
    """The engine for these weights. Engines are imported here, because that takes seconds.

    `weights` is the folder of a model or adapter; with an endpoint a key of its `models`.

    Raises:
        UserError: the folder is missing or incomplete.
    """
    decoding = settings.decoding
    if settings.engine == "openai":
        from text2sql.inference.openai_engine import OpenAIEngine

        endpoint = settings.endpoint.with_model(settings.endpoint.models[str(weights)])
        return OpenAIEngine(endpoint, decoding, settings.endpoint.extra_body)
    found = resolve_weights(Path(weights))
    if settings.engine == "vllm":
        from text2sql.inference.vllm_engine import VllmEngine

        return VllmEngine(found, decoding, settings.vllm)
    from text2sql.inference.transformers_engine import TransformersEngine

    return TransformersEngine(found, decoding, settings, settings.threads)
