"""The test questions and the predictions of an arm, checked: each question has one prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from text2sql.errors import UserError
from text2sql.records import ConvertedQuestion, Prediction, Problem, read_records


def read_questions(path: Path) -> list[ConvertedQuestion]:
    """Read the test questions.

    Raises:
        UserError: there are none, a row number is repeated, or only some name their test set.
    """
    questions = read_records(path, ConvertedQuestion)
    fix = "run `dvc repro convert_schema` to write the file again"
    if not questions:
        raise UserError(f"{path}: no questions; {fix}")
    repeated = _repeated(question.row for question in questions)
    if repeated:
        raise UserError(f"{path}: {_rows(repeated)} more than once; {fix}")
    unnamed = [question.row for question in questions if not question.test_set]
    if 0 < len(unnamed) < len(questions):
        raise UserError(f"{path}: {_rows(unnamed)} without a test set, which the others name; {fix}")
    return questions


def read_predictions(path: Path, questions: Sequence[ConvertedQuestion], arm: str) -> dict[int, Prediction]:
    """Read the predictions by row.

    Raises:
        UserError: rows are missing, repeated, unknown, without text or with unknown problems.
    """
    predictions = read_records(path, Prediction)
    asked = {question.row for question in questions}
    rows = {prediction.row for prediction in predictions}
    faults = {
        "more than once": _repeated(prediction.row for prediction in predictions),
        "missing": sorted(asked - rows),
        "not among the questions": sorted(rows - asked),
        "without SQL text": [p.row for p in predictions if not isinstance(p.sql, str)],
        "with unknown problems": [p.row for p in predictions if not _are_counts(p.problems)],
    }
    found = [f"{_rows(wrong)} {fault}" for fault, wrong in faults.items() if wrong]
    if found:
        counts = f"{len(predictions)} predictions for {len(asked)} questions"
        raise UserError(f"{path}: {counts}: {'; '.join(found)}; run `dvc repro predict@{arm}`")
    return {prediction.row: prediction for prediction in predictions}


def _are_counts(problems: object) -> bool:
    """Whether `problems` are numbers by `Problem`, or None."""
    if problems is None:
        return True
    known = set(get_args(Problem))
    return isinstance(problems, dict) and all(k in known and type(n) is int for k, n in problems.items())


def _repeated(rows: Iterable[int]) -> list[int]:
    return sorted(row for row, count in Counter(rows).items() if count > 1)


def _rows(rows: Sequence[int]) -> str:
    shown = ("row " if len(rows) == 1 else "rows ") + ", ".join(map(str, rows[:5]))
    return f"{shown} and {len(rows) - 5} others" if len(rows) > 5 else shown
