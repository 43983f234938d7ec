"""Predict SQL for every test question with the model of one arm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params, require_entry
from text2sql.cpu import fix_kernels
from text2sql.errors import UserError
from text2sql.evaluation.judge import describe
from text2sql.files import write_jsonl
from text2sql.inference.engine import Engine
from text2sql.inference.engines import engine_for
from text2sql.inference.questions import Chat, read_chats
from text2sql.inference.rounds import Execution, database_hashes, executable_chats, predict_all
from text2sql.inference.settings import Predict
from text2sql.inference.voting import as_written
from text2sql.prompts import prompt_form
from text2sql.records import Prediction
from text2sql.workstore import WorkStore, locked

CODE_VERSION = 5  # raise it when a change of the code changes the answers


@click.command(help=__doc__)
@click.option("--arm", required=True, help="Arm in params.yaml.")
@click.option("--questions", required=True, type=click.Path(path_type=Path), help="Questions, JSON lines.")
@click.option(
    "--weights", required=True, type=click.Path(path_type=Path), help="Folder of a model or adapter."
)
@click.option("--databases", required=True, type=click.Path(path_type=Path), help="Folder with ID/ID.sqlite.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File for the predictions.")
@stage_main
def main(arm: str, questions: Path, weights: Path, databases: Path, output: Path) -> None:
    params = load_params()
    require_entry("arms", params.arms, arm)
    plan, prompt = params.prediction(arm), params.prompt
    fix_kernels(plan.threads)
    chats = read_chats(questions, prompt.schema_types, prompt.comments, prompt_form(prompt.form))
    engine = engine_for(weights, plan)
    execution = Execution(databases, params.evaluate)
    work = WorkStore.from_environment().open("predict", _key(engine, chats, execution, plan))
    with locked(work):
        predictions = predict_all(engine, chats, plan, execution, work, f"predict {arm}")
    _write(output, predictions)


def _key(engine: Engine, chats: Sequence[Chat], execution: Execution, plan: Predict) -> dict[str, object]:
    """Everything that affects the predictions; databases only if the settings need to execute queries."""
    key: dict[str, object] = {
        "version": CODE_VERSION,
        "predict": plan.model_dump(exclude={"endpoint", "vllm"}),
        "chats": hashlib.sha256(json.dumps(list(map(_asked, chats))).encode()).hexdigest(),
        "engine": dict(engine.identity),
    }
    if plan.executes:
        key["execution"] = describe(as_written(execution.limits))
        key["databases"] = database_hashes(executable_chats(chats, execution.databases), execution.databases)
    return key


def _asked(chat: Chat) -> dict[str, object]:
    """The parts of a chat that its answer depends on, besides the databases."""
    return {"row": chat.row, "db_id": chat.db_id, "messages": chat.messages}


def _write(output: Path, predictions: Sequence[Prediction]) -> None:
    rows = ({k: v for k, v in asdict(p).items() if v is not None} for p in predictions)
    try:
        write_jsonl(output, rows)
    except OSError as error:
        kept = "the answers are kept in the work store; fix that and run the same command again"
        raise UserError(f"{output}: {error.strerror}; {kept}") from error


if __name__ == "__main__":
    main()
