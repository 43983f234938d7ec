"""The scores of one arm on each test set, and the warnings about a set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from text2sql.evaluation.scores import Scores
from text2sql.evaluation.verdicts import Verdict, as_row

_FAILING_SHARE = 0.2  # of a set's gold queries; above it something is wrong with the whole set
_SHOWN_MESSAGES = 3


class ScoresBySet:
    """Adds up the verdicts of one arm, each in its test set.

    `names` are the names of the sets, in the order of the metrics; a name may be repeated. With one set,
    verdict rows and metrics do not name it.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._scores = {name: Scores() for name in dict.fromkeys(names)}

    def add(self, test_set: str, verdict: Verdict) -> dict[str, Any]:
        """Count a verdict and return its JSON row, with the field `test_set` if there are several sets."""
        self._scores[test_set].add(verdict)
        row = as_row(verdict)
        if len(self._scores) == 1:
            return row
        return {"row": row.pop("row"), "test_set": test_set, **row}

    def metrics(self, evaluator: dict[str, Any]) -> dict[str, Any]:
        """Return the table of the first set with `evaluator` (see `Scores.table`).

        With several sets `test_set` names the first one, and `other_sets` has the tables of the others by
        name.
        """
        (first, scores), *others = self._scores.items()
        table = {**scores.table(), "evaluator": evaluator}
        if not others:
            return table
        return {"test_set": first, **table, "other_sets": {name: other.table() for name, other in others}}

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
