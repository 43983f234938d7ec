"""Reads what the page shows: questions, answers, prompts, histories of training, figures of the data."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.evaluation.verdicts import Verdict
from text2sql.files import read_json, read_jsonl
from text2sql.inference.questions import read_chats
from text2sql.prompts import prompt_form
from text2sql.records import ConvertedQuestion, Prediction, read_records
from text2sql.report.answers import explain
from text2sql.report.html.page import Content, Provenance
from text2sql.report.html.questions import ArmAnswers, answered, question_data
from text2sql.report.html.sections import Histories, data_parts, error_part, score_parts, training_parts
from text2sql.report.scores import ScoredSet
from text2sql.schema.settings import Prompt

_FIGURES = ("dedupe_test", "convert_schema")
_UNITS = {"tokens_per_s": "Tokens per second", "mfu": "Share of the device's peak (MFU)"}


@dataclass(frozen=True)
class Places:
    """Where the inputs are.

    `questions` is the file of test questions, `arms` the file with the questions of each arm (with examples,
    if it has them); the other paths are folders. `metrics` has NAME.json, `loss` and `validation` have
    train_NAME.csv, `throughput` has UNIT/train_NAME.csv.
    """

    questions: Path
    arms: Mapping[str, Path]
    predictions: Path
    verdicts: Path
    databases: Path
    metrics: Path
    loss: Path
    validation: Path
    throughput: Path


def read_content(
    places: Places,
    sets: Sequence[ScoredSet],
    models: Sequence[str],
    prompt: Prompt,
    limits: EvaluationSettings,
    provenance: Provenance,
    workers: int | None = None,
) -> Content:
    """Read everything, run the queries again and compare them; `models` are the names of the trained models.

    Raises:
        UserError: predictions or verdicts of a question are missing, or a file cannot be read.
    """
    questions = read_records(places.questions, ConvertedQuestion)
    prompts = cache(partial(_prompts, prompt=prompt))
    arms = [_arm(name, questions, places, prompts(path)) for name, path in places.arms.items()]
    explained = list(explain(answered(questions, arms), places.databases, limits, workers))
    names = [arm.name for _ in questions for arm in arms]
    verdicts = [arm.verdicts[question.row] for question in questions for arm in arms]
    figures = {name: _figures(places.metrics / f"{name}.json") for name in _FIGURES}
    return Content(
        scores=score_parts(sets),
        errors=error_part([arm.name for arm in arms], zip(names, verdicts, explained, strict=True)),
        training=training_parts(_histories(places, models)),
        data=data_parts(figures, _similarities(places.arms), questions),
        questions=question_data(questions, arms, explained),
        provenance=provenance,
    )


def _arm(
    name: str,
    questions: Sequence[ConvertedQuestion],
    places: Places,
    prompts: Mapping[int, Sequence[Mapping[str, str]]],
) -> ArmAnswers:
    """The answers of an arm; each question must have a prediction and a verdict."""
    path, judged = (folder / f"{name}.jsonl" for folder in (places.predictions, places.verdicts))
    predictions = {each.row: each for each in read_records(_existing(path, "predict", name), Prediction)}
    verdicts = _verdicts(_existing(judged, "evaluate", name), name)
    for found, file, stage in ((predictions, path, "predict"), (verdicts, judged, "evaluate")):
        missing = [question.row for question in questions if question.row not in found]
        if missing:
            rows = f"row {missing[0]} is missing ({len(missing)} of {len(questions)} questions)"
            raise UserError(f"{file}: {rows}; `dvc repro {stage}@{name}`")
    return ArmAnswers(name, predictions, verdicts, prompts)


def _existing(path: Path, stage: str, arm: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: no such file; `dvc repro {stage}@{arm}` writes it")
    return path


def _verdicts(path: Path, arm: str) -> dict[int, Verdict]:
    try:
        rows = [{k: v for k, v in row.items() if k != "test_set"} for row in read_jsonl(path)]
        return {row["row"]: Verdict(**row) for row in rows}
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}: a verdict has a wrong field ({error}); `dvc repro evaluate@{arm}`"
        ) from error


def _prompts(path: Path, prompt: Prompt) -> dict[int, list[dict[str, str]]]:
    """The prompts by row, made as for prediction."""
    chats = read_chats(path, prompt.schema_types, prompt.comments, prompt_form(prompt.form))
    return {chat.row: chat.messages for chat in chats}


def _figures(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _similarities(files: Mapping[str, Path]) -> dict[str, list[float]]:
    """The score of the best example of each question, by arm; nothing for arms without examples."""
    best = cache(_best_scores)
    return {name: best(path) for name, path in files.items()}


def _best_scores(path: Path) -> list[float]:
    shown = (row.get("examples") for row in read_jsonl(path))
    return [float(examples[0]["score"]) for examples in shown if examples and "score" in examples[0]]


def _histories(places: Places, models: Sequence[str]) -> Histories:
    files = {name: f"train_{name}.csv" for name in models}
    units = sorted(path.name for path in places.throughput.glob("*") if path.is_dir())
    return Histories(
        loss=_points(places.loss, files, "loss"),
        validation_loss=_points(places.validation, files, "loss"),
        validation_accuracy=_points(places.validation, files, "execution_accuracy"),
        speed={_UNITS.get(unit, unit): _points(places.throughput / unit, files, unit) for unit in units},
    )


def _points(folder: Path, files: Mapping[str, str], column: str) -> dict[str, list[tuple[float, float]]]:
    """Step and value of each row, by model; models without such a file or value are left out."""
    found = {
        name: _column(folder / file, column) for name, file in files.items() if (folder / file).is_file()
    }
    return {name: points for name, points in found.items() if points}


def _column(path: Path, column: str) -> list[tuple[float, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
    except (KeyError, ValueError) as error:
        again = f"`dvc repro --force --single-item {path.stem}`"
        raise UserError(f"{path}: step or {column} of a row is not a number ({error}); {again}") from error
