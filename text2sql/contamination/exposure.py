"""The share of the test questions that training rows leak, before and after the removal of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from text2sql.contamination.evidence import Evidence
from text2sql.contamination.folding import fold_question, fold_sql
from text2sql.contamination.leaks import BLOCK, LeakFinder
from text2sql.contamination.settings import Rules
from text2sql.records import TestQuestion, TrainingRow

STRICT = Rules(question=True, contains=True, near_question=0.8, same_sql="masked")
"""All rules that need neither a model nor databases; with them the rows that are kept are looked at again."""

Found = tuple[TrainingRow, Evidence | None]


class Exposure:
    """The test questions that rows leak: those that evidence names, and those with the same question or
    query.

    Before: by any row, found by the rules that are on or by STRICT. After: by a row that is kept, found by
    STRICT. So "after" is 0 where the rules that are on include all of STRICT, and otherwise says what they
    leave in. Not covered: what no rule finds.
    """

    def __init__(self, test: Sequence[TestQuestion]) -> None:
        """Index the test questions, whose database may be unknown."""
        self._test = test
        self._finder = LeakFinder(test, STRICT, unreadable=lambda row, error: None)
        self._alike: dict[object, list[int]] = {}
        self._keys = {question.row: list(_keys(question)) for question in test}
        for row, keys in self._keys.items():
            for key in keys:
                self._alike.setdefault(key, []).append(row)
        self._before: set[int] = set()
        self._after: set[int] = set()

    def watch(self, found: Iterable[Found]) -> Iterator[Found]:
        """Pass on rows with the evidence against them, a block at a time, and note what they leak."""
        rows = iter(found)
        while block := list(islice(rows, BLOCK)):
            self._before |= self._leaked(evidence for _, evidence in block)
            self._after |= self._leaked(
                self._finder.evidence([row for row, evidence in block if not evidence])
            )
            yield from block

    def shares(self) -> dict[str, dict[str, float]]:
        """For each test set the number of its questions, and in percent those leaked before and after."""
        sets = Counter(question.test_set or "test" for question in self._test)
        before, after = (
            Counter(q.test_set or "test" for q in self._test if q.row in leaked)
            for leaked in (self._before | self._after, self._after)
        )
        return {
            name: {
                "questions": count,
                "before": round(100 * before[name] / count, 2),
                "after": round(100 * after[name] / count, 2),
            }
            for name, count in sets.items()
        }

    def _leaked(self, found: Iterable[Evidence | None]) -> set[int]:
        named = {evidence.test_row for evidence in found if evidence}
        return {row for one in named for key in self._keys[one] for row in self._alike[key]}


def _keys(question: TestQuestion) -> Iterator[object]:
    """What is equal for questions that a row leaks together."""
    yield fold_question(question.question) or question.row
    if question.gold:
        yield question.db_id or question.schema, fold_sql(question.gold).text
