"""The verdicts that are kept in git: a short line for each question of an arm, to compare two revisions.

The full verdicts are in DVC's cache, which a fresh clone does not have; a paired test needs each question.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import replacing
from text2sql.records import ConvertedQuestion

_MARKS = {True: "1", False: "0", None: ""}
_RIGHT = {mark: right for right, mark in _MARKS.items()}
_DIGITS = 10  # 40 bits: of 10,000 questions any two have the same mark with probability 5e-5


@dataclass(frozen=True, slots=True)
class KeptVerdict:
    """The verdict on one question.

    `row` is the question's number in its own revision, `question` a mark of question and gold (see
    `question_mark`), `right` None if it is in no score, `error` the class of the error, "" if there is none.
    """

    row: int
    test_set: str
    db_id: str
    question: str
    right: bool | None
    error: str


_COLUMNS = tuple(field.name for field in fields(KeptVerdict))


def question_mark(question: str, gold: str) -> str:
    """A short hash of a question and its gold query: equal in two revisions only if both texts are."""
    return hashlib.sha256(f"{question}\0{gold}".encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def kept_verdicts(
    questions: Sequence[ConvertedQuestion], verdicts: Iterable[Mapping[str, Any]]
) -> list[KeptVerdict]:
    """What is kept of the verdict rows (see `verdicts.as_row`) on `questions`, which have the same order."""
    return [
        KeptVerdict(
            row=question.row,
            test_set=question.test_set,
            db_id=question.db_id,
            question=question_mark(question.question, question.gold),
            right=verdict["ex"],
            error=verdict["error"] or "",
        )
        for question, verdict in zip(questions, verdicts, strict=True)
    ]


def write_kept(path: Path, kept: Iterable[KeptVerdict]) -> None:
    """Write a CSV file with a line for each verdict; `right` is 1, 0, or empty."""
    with replacing(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for verdict in kept:
            rows.writerow({**asdict(verdict), "right": _MARKS[verdict.right]}.values())


def read_kept(text: str, name: str, again: str) -> list[KeptVerdict]:
    """The verdicts in the text of such a file.

    Raises:
        UserError: a line is not one of `write_kept`; the message has `name` and the command `again`.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return [_verdict(row) for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{name}, line {rows.line_num}: not a kept verdict ({type(error).__name__}: {error}); {again}"
        ) from error


def _verdict(row: Mapping[str, str]) -> KeptVerdict:
    texts = {name: row[name] for name in ("test_set", "db_id", "question", "error")}
    if None in texts.values():
        raise ValueError("the line is too short")
    return KeptVerdict(row=int(row["row"]), right=_RIGHT[row["right"]], **texts)
