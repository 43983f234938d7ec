"""The data of the page's list of questions, as JSON in which every text and every result is once.

Rows are lists, in the order of `QUESTION` and `ANSWER`, which are in the data too. A number instead of a
text, a result or a prompt is its place in `strings`, `results` or `prompts`.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from text2sql.evaluation.verdicts import Verdict
from text2sql.records import ConvertedQuestion, Prediction
from text2sql.report.answers import SQL_CHARACTERS, Answered, Explained
from text2sql.report.differences import KINDS
from text2sql.report.results import Shown

QUESTION = ("row", "set", "db", "level", "slice", "text", "gold", "schema", "problems", "result", "answers")
ANSWER = (
    *("sql", "right", "kinds", "sentence", "goldRuns", "runs", "goldMarks", "result", "marks"),
    *("comparison", "prompt", "raw"),
)
TEXT_CHARACTERS = 20_000
"""What is shown of a question, a schema, a line of a prompt or an answer at most."""


@dataclass(frozen=True)
class ArmAnswers:
    """What an arm was asked and answered, by the row of the question; a prompt is a list of messages."""

    name: str
    predictions: Mapping[int, Prediction]
    verdicts: Mapping[int, Verdict]
    prompts: Mapping[int, Sequence[Mapping[str, str]]]


@dataclass
class _Pool:
    """Values, each once; a value is known by its JSON."""

    values: list[Any] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, value: Any) -> int:
        key = value if isinstance(value, str) else json.dumps(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def answered(questions: Iterable[ConvertedQuestion], arms: Sequence[ArmAnswers]) -> Iterator[Answered]:
    """Every answer of every arm, those to one question one after another."""
    for question in questions:
        for arm in arms:
            sql, verdict = arm.predictions[question.row].sql, arm.verdicts[question.row]
            yield Answered(question.db_id, question.gold, sql, verdict)


def question_data(
    questions: Sequence[ConvertedQuestion], arms: Sequence[ArmAnswers], explained: Iterable[Explained]
) -> dict[str, Any]:
    """The data; `explained` belongs to `answered` of the same questions and arms."""
    strings, results, prompts = _Pool(), _Pool(), _Pool()
    found = iter(explained)
    rows = []
    for question in questions:
        answers = [(arm, next(found)) for arm in arms]
        first = answers[0][1].comparison.gold if answers else Shown()
        rows.append(
            [
                *(question.row, question.test_set, question.db_id, _level(question, arms), question.slice),
                strings.add(_cut(question.question)),
                strings.add(_sql(question.gold)),
                strings.add(_cut(question.ddl)),
                [strings.add(_cut(problem)) for problem in question.problems],
                results.add(_result(first)),
                [_answer(question, arm, each, strings, results, prompts) for arm, each in answers],
            ]
        )
    pools = {"strings": strings.values, "results": results.values, "prompts": prompts.values}
    fields = {"question": QUESTION, "answer": ANSWER}
    return {"arms": [arm.name for arm in arms], "kinds": KINDS, "fields": fields, "questions": rows, **pools}


def packed(data: Any) -> str:
    """JSON, compressed and written in Base64: letters that cannot end a script element."""
    text = json.dumps(data, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("ascii"), 9, mtime=0)).decode("ascii")


def _answer(
    question: ConvertedQuestion,
    arm: ArmAnswers,
    explained: Explained,
    strings: _Pool,
    results: _Pool,
    prompts: _Pool,
) -> list[Any]:
    prediction, comparison = arm.predictions[question.row], explained.comparison
    kinds = list(KINDS)
    raw = prediction.raw if prediction.raw.strip() != prediction.sql.strip() else ""
    return [
        strings.add(_sql(prediction.sql)),
        arm.verdicts[question.row].ex,
        [kinds.index(kind) for kind in explained.differences.kinds],
        strings.add(explained.differences.sentence),
        strings.add(explained.gold_runs),
        strings.add(explained.predicted_runs),
        _marks(comparison.gold),
        results.add(_result(comparison.predicted)),
        _marks(comparison.predicted),
        strings.add(comparison.sentence),
        prompts.add(_prompt(arm.prompts.get(question.row, ()), strings)),
        strings.add(_cut(raw)),
    ]


def _level(question: ConvertedQuestion, arms: Sequence[ArmAnswers]) -> str | None:
    return arms[0].verdicts[question.row].hardness if arms else None


def _prompt(messages: Iterable[Mapping[str, str]], strings: _Pool) -> list[Any]:
    """Role and lines of each message: lines, because prompts of one database have most of them in common."""
    return [
        [message["role"], [strings.add(_cut(line)) for line in message["content"].split("\n")]]
        for message in messages
    ]


def _result(shown: Shown) -> list[Any]:
    return [shown.columns, shown.places, shown.rows, shown.count, shown.width, int(shown.more), shown.problem]


def _marks(shown: Shown) -> list[Any] | int:
    """Marked rows and columns; 0 if nothing is marked."""
    marked = [list(shown.marked_rows), list(shown.marked_columns)]
    return marked if any(marked) else 0


def _sql(sql: str) -> str:
    return _cut(sql, SQL_CHARACTERS)


def _cut(text: str, limit: int = TEXT_CHARACTERS) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters in all)"
