"""The scores of one arm on each test set, and the warnings about a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from text2sql.evaluation.doubtful.scores import Doubtful, WithoutDoubtful
from text2sql.evaluation.scores import Scores
from text2sql.evaluation.verdicts import Verdict, as_row
from text2sql.records import Problem

_FAILING_SHARE = 0.2  # of a set's gold queries; above it something is wrong with the whole set
_SHOWN_MESSAGES = 3


class ScoresBySet:
    """Adds up the verdicts of one arm, each in its test set.

    `names` are the names of the sets, in the order of the metrics; a name may be repeated. With one set,
    verdict rows and metrics do not name it. `doubtful` are the rows that a second score leaves out (None:
    no second score).
    """

    def __init__(self, names: Iterable[str], doubtful: Doubtful | None = None) -> None:
        self._scores = {name: Scores() for name in dict.fromkeys(names)}
        some = doubtful is not None
        self._reliable = {name: WithoutDoubtful(doubtful or {}) for name in self._scores if some}
        self._problems: dict[str, Counter[str]] = {}

    def add(self, test_set: str, verdict: Verdict) -> dict[str, Any]:
        """Count a verdict and return its JSON row, with the field `test_set` if there are several sets."""
        self._scores[test_set].add(verdict)
        if test_set in self._reliable:
            self._reliable[test_set].add(verdict)
        row = as_row(verdict)
        if len(self._scores) == 1:
            return row
        return {"row": row.pop("row"), "test_set": test_set, **row}

    def count_answers(self, test_set: str, problems: Mapping[str, int]) -> None:
        """Count the answers to a question that have a problem (see `Prediction.problems`)."""
        self._problems.setdefault(test_set, Counter()).update(problems)

    def metrics(self, evaluator: dict[str, Any]) -> dict[str, Any]:
        """Return the table of the first set with `evaluator` (see `Scores.table`).

        With several sets `test_set` names the first one, and `other_sets` has the tables of the others by
        name. If answers were counted, `answers` in each table has the number of those with each `Problem`;
        a question that was asked several times has several. With a second score, `without_doubtful` has
        its `ex` and `n` by class, and under `rows` how many rows with each reason it leaves out; if there is
        no such row, only that.
        """
        first, *others = self._scores
        table = {**self._table(first), "evaluator": evaluator}
        if not others:
            return table
        return {"test_set": first, **table, "other_sets": {name: self._table(name) for name in others}}

    def _table(self, name: str) -> dict[str, Any]:
        table = self._scores[name].table()
        if name in self._reliable and "n" in table:
            reliable = self._reliable[name]
            kept = ("ex", "n", "rows") if reliable.left_out else ("rows",)
            table["without_doubtful"] = {key: reliable.table()[key] for key in kept}
        if name in self._problems:
            table["answers"] = {problem: self._problems[name][problem] for problem in get_args(Problem)}
        return table

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each set that has no gold, or of which many gold queries fail."""
        for name, scores in self._scores.items():
            of_set = f"test set {name}: " if name else ""
            if scores.without_gold and not scores.with_gold:
                count = f"{scores.without_gold} questions are predicted and not scored"
                yield f"{of_set}no question has gold SQL; {count}"
            failed = sum(count for _, count in scores.gold_messages())
            if failed > _FAILING_SHARE * scores.with_gold:
                yield f"{of_set}{_failures(scores, failed)}"


def _failures(scores: Scores, failed: int) -> str:
    shown = scores.gold_messages()[:_SHOWN_MESSAGES]
    messages = ", ".join(f"{message} ({count} times)" for message, count in shown)
    return (
        f"the gold SQL of {failed} of {scores.with_gold} questions fails, and they are in no score; commonest"
        f" messages: {messages}; check that this SQL is SQLite's and that the databases are those of the set"
    )
