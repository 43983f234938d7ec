"""SQL for every test question, by one arm's model: `python -m stages.predict --arm ARM ...`."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import Params, load_params
from text2sql.inference.engine import plan_batches
from text2sql.inference.extract import extract_sql
from text2sql.inference.journal import generate_all
from text2sql.inference.questions import Chat, read_chats
from text2sql.inference.weights import Weights, resolve_weights
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
    model = resolve_weights(weights)
    raw = _answers(f"predict {arm}", chats, questions, model, params)
    predictions = [
        Prediction(chat.row, extract_sql(text), text) for chat, text in zip(chats, raw, strict=True)
    ]
    _write(output, predictions)


def _answers(
    label: str, chats: Sequence[Chat], questions: Path, weights: Weights, params: Params
) -> list[str]:
    """What the model said to every chat, kept in the work store as it is generated."""
    # imported here: it takes seconds, and refusals above should not wait for it
    from text2sql.inference.transformers_engine import TransformersEngine, fingerprint

    settings = params.predict
    engine = TransformersEngine(weights, settings.max_new_tokens, settings.threads)
    prompts = [engine.encode(chat.messages) for chat in chats]
    lengths = _fitting(label, chats, prompts, engine.context, settings.max_new_tokens)
    batches = plan_batches(lengths, settings.max_new_tokens, settings.batch_tokens, settings.max_batch)
    key = {
        "version": CODE_VERSION,
        "predict": settings.model_dump(),
        "prompt": params.prompt.model_dump(),
        "questions": hash_path(questions),
        "prompts": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
        "weights": weights.sha256,
        "base": weights.base_sha256,
        "machine": fingerprint(),
    }
    work = WorkStore.from_environment().open("predict", key)
    with locked(work):
        return generate_all(engine, prompts, batches, work / "journal.jsonl", label)


def _fitting(
    label: str, chats: Sequence[Chat], prompts: Sequence[list[int]], context: int, answer: int
) -> dict[int, int]:
    """Tokens of each prompt that leaves room for an answer; the others are listed on stderr."""
    room = context - answer
    long = [chat.row for chat, prompt in zip(chats, prompts, strict=True) if len(prompt) > room]
    if long:
        rows = ", ".join(map(str, long))
        print(
            f"{label}: {len(long)} of {len(chats)} prompts exceed {room} tokens (the model's "
            f"{context} less {answer} for the answer); their prediction is empty: rows {rows}",
            file=sys.stderr,
        )
    return {n: len(prompt) for n, prompt in enumerate(prompts) if len(prompt) <= room}


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
