"""SQL for every test question, by one arm's model: `python -m stages.predict --arm ARM ...`."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from stages._main import stage_main
from stages._params import Params, load_params
from text2sql.inference.engine import Answer, Decoding, Engine, Request
from text2sql.inference.extract import extract_sql
from text2sql.inference.journal import generate_all
from text2sql.inference.questions import Chat, read_chats
from text2sql.inference.weights import resolve_weights
from text2sql.records import Prediction, UserError, write_jsonl
from text2sql.workstore import WorkStore, hash_path, locked

CODE_VERSION = 1  # raise it when the answers change although no parameter or input does


@click.command(help=__doc__)
@click.option("--arm", required=True, help="Name of the arm in params.yaml.")
@click.option("--questions", required=True, type=click.Path(path_type=Path), help="JSON lines.")
@click.option("--weights", required=True, type=click.Path(path_type=Path), help="Model or adapter.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="JSON lines.")
@stage_main
def main(arm: str, questions: Path, weights: Path, output: Path) -> None:
    params = load_params()
    _check_arm(arm, params)
    chats = read_chats(questions, params.prompt.schema_types)
    engine = _engine(arm, weights, params)
    requests = [Request(chat.messages, _seed(params.predict.seed, chat.row)) for chat in chats]
    answers = _answers(f"predict {arm}", engine, requests, questions, params)
    _note_long(arm, engine, chats, answers)
    raw = [answer.text if answer else "" for answer in answers]
    predictions = [
        Prediction(chat.row, extract_sql(text), text) for chat, text in zip(chats, raw, strict=True)
    ]
    _write(output, predictions)


def _engine(arm: str, weights: Path, params: Params) -> Engine:
    settings = params.predict
    decoding = Decoding(
        settings.max_new_tokens, settings.temperature, settings.top_p, settings.repetition_penalty
    )
    # imported here: it takes seconds, and refusals should not wait for it
    if settings.engine == "openai":
        from text2sql.inference.openai_engine import Endpoint, OpenAIEngine

        served = settings.endpoint.model_dump(exclude={"models"})
        return OpenAIEngine(
            Endpoint(**served, model=settings.endpoint.models[params.arms[arm].weights]), decoding
        )
    model = resolve_weights(weights)
    from text2sql.inference.transformers_engine import Batching, TransformersEngine

    return TransformersEngine(
        model, decoding, Batching(settings.batch_tokens, settings.max_batch), settings.threads
    )


def _seed(seed: int, *place: int) -> int:
    """A number for one answer, from 0 to 2**32 - 1; different places share no random numbers."""
    return int(np.random.SeedSequence((seed, *place)).generate_state(1)[0])


def _answers(
    label: str, engine: Engine, requests: Sequence[Request], questions: Path, params: Params
) -> list[Answer | None]:
    """What the model said to every request, kept in the work store as it comes; None: it is too long."""
    key = {
        "version": CODE_VERSION,
        "predict": params.predict.model_dump(exclude={"endpoint"}),
        "prompt": params.prompt.model_dump(),
        "questions": hash_path(questions),
        "requests": hashlib.sha256(json.dumps([asdict(r) for r in requests]).encode()).hexdigest(),
        "engine": dict(engine.identity),
    }
    work = WorkStore.from_environment().open("predict", key)
    with locked(work):
        return generate_all(engine, requests, work / "journal.jsonl", label)


def _note_long(arm: str, engine: Engine, chats: Sequence[Chat], answers: Sequence[Answer | None]) -> None:
    """List on stderr the rows whose prompt leaves no room for an answer."""
    long = [chat.row for chat, answer in zip(chats, answers, strict=True) if answer is None]
    if long:
        rows = ", ".join(map(str, long))
        print(
            f"predict {arm}: {len(long)} of {len(chats)} prompts exceed {engine.room} tokens (the model's "
            f"context less the answer); their prediction is empty: rows {rows}",
            file=sys.stderr,
        )


def _write(output: Path, predictions: Sequence[Prediction]) -> None:
    try:
        write_jsonl(output, predictions)
    except OSError as error:
        kept = "the answers are kept in the work store; mend it and run the same command again"
        raise UserError(f"{output}: {error.strerror}; {kept}") from error


def _check_arm(arm: str, params: Params) -> None:
    if arm not in params.arms:
        known = ", ".join(params.arms)
        raise UserError(f"params.yaml: no arm {arm!r} in arms; choose one of {known}")


if __name__ == "__main__":
    main()
