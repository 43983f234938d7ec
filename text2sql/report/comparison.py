"""Compares the arms of two revisions of a project, question by question.

Verdicts are paired by database, question and gold query within a test set, so a question that only one
revision asks is in no pair, wherever it stands in the file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from text2sql.errors import UserError
from text2sql.evaluation.scores import mcnemar, paired_bootstrap, wilson_interval
from text2sql.report.kept_verdicts import KeptVerdict
from text2sql.report.scores import Share

SIGNIFICANCE = 0.05

Accuracy = Mapping[str, Mapping[str, float | None]]  # percent by arm and test set


@dataclass(frozen=True)
class Asked:
    """A test question with its gold query."""

    question: str
    gold: str


@dataclass(frozen=True)
class Texts:
    """Questions by row, and predictions (SQL) by arm and row, where a revision's data are available."""

    questions: Mapping[int, Asked] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Revision:
    """What one revision says about its arms; `name` is for people.

    `verdicts` has no entry for an arm whose revision keeps none. `params` are by their dotted names, and so
    are `figures`, of other metrics files. By stage: `losses` are the logged training losses, `steps` the last
    step, `speeds` the mean tokens a second. `table` is the page of all arms. `texts` reads the questions and
    predictions, when they are needed.
    """

    name: str
    accuracy: Accuracy
    verdicts: Mapping[str, Sequence[KeptVerdict]] = field(default_factory=dict)
    evaluators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, Sequence[float]] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    speeds: Mapping[str, float] = field(default_factory=dict)
    table: str = ""
    texts: Callable[[], Texts] = Texts

    @cached_property
    def by_set(self) -> dict[tuple[str, str], list[KeptVerdict]]:
        """The verdicts by arm and test set."""
        found: dict[tuple[str, str], list[KeptVerdict]] = defaultdict(list)
        for arm, verdicts in self.verdicts.items():
            for verdict in verdicts:
                found[arm, verdict.test_set].append(verdict)
        return dict(found)


@dataclass(frozen=True)
class Paired:
    """The same questions in two revisions: head's accuracy minus base's in percentage points.

    `low` and `high` are the ends of the difference's 95 % interval, `p` is McNemar's. `gained` are the pairs
    (base, head) that only head answers correctly, `lost` those that only base does. `n` questions are in both
    revisions; `only_base` and `only_head` are the verdicts on those that are scored in one revision only.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    gained: tuple[tuple[KeptVerdict, KeptVerdict], ...]
    lost: tuple[tuple[KeptVerdict, KeptVerdict], ...]
    only_base: tuple[KeptVerdict, ...]
    only_head: tuple[KeptVerdict, ...]

    @property
    def changed(self) -> bool:
        """Whether any question is right in one revision only."""
        return bool(self.gained or self.lost)


@dataclass(frozen=True)
class Score:
    """Execution accuracy in percent; `share` has n and the interval, where the verdicts are kept."""

    percent: float
    share: Share | None = None


@dataclass(frozen=True)
class Change:
    """One arm on one test set; a score is None where a revision does not have it.

    `paired` is None without questions in common, or without the verdicts of a revision. `p_corrected` is
    Holm's, over all comparisons in which any verdict changed.
    """

    arm: str
    test_set: str
    base: Score | None
    head: Score | None
    paired: Paired | None
    p_corrected: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the change is more than noise, after the correction."""
        return self.p_corrected is not None and self.p_corrected < SIGNIFICANCE


def changes(base: Revision, head: Revision) -> list[Change]:
    """Every arm on every test set of either revision, in the order of head.

    Raises:
        UserError: both revisions keep verdicts, and no question is scored in both.
    """
    sets = _sets(head) | _sets(base)
    arms = dict.fromkeys([*head.accuracy, *base.accuracy])
    found = [change for name in sets for arm in arms if (change := _change(base, head, arm, name))]
    if base.by_set and head.by_set and not any(change.paired for change in found):
        raise UserError(
            f"no question is scored in both revisions: {_described(base)}, {_described(head)}; "
            "compare revisions that have an arm and test questions in common"
        )
    return _corrected(found)


def parameter_changes(
    base: Mapping[str, Any], head: Mapping[str, Any]
) -> dict[str, tuple[str | None, str | None]]:
    """The names whose values differ, with both values as JSON; None where a revision has no such name."""
    texts = [{name: _json(value) for name, value in values.items()} for values in (base, head)]
    names = dict.fromkeys([*texts[1], *texts[0]])
    pairs = {name: (texts[0].get(name), texts[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def flat(values: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by their dotted names; a list or an empty mapping is one value."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, values


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979, https://www.jstor.org/stable/4615733)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = largest
    return corrected


def paired(base: Iterable[KeptVerdict], head: Iterable[KeptVerdict]) -> Paired | None:
    """Compare two lists of verdicts on one test set; None if no question is scored in both."""
    before, after = _by_question(base), _by_question(head)
    both = [(before[key], verdict) for key, verdict in after.items() if key in before]
    if not both:
        return None
    rights = [bool(verdict.right) for _, verdict in both], [bool(verdict.right) for verdict, _ in both]
    low, high = paired_bootstrap(*rights)
    return Paired(
        n=len(both),
        difference=100 * (sum(rights[0]) - sum(rights[1])) / len(both),
        low=low,
        high=high,
        p=mcnemar(*rights),
        gained=tuple(pair for pair in both if pair[1].right and not pair[0].right),
        lost=tuple(pair for pair in both if pair[0].right and not pair[1].right),
        only_base=tuple(verdict for key, verdict in before.items() if key not in after),
        only_head=tuple(verdict for key, verdict in after.items() if key not in before),
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _by_question(verdicts: Iterable[KeptVerdict]) -> dict[tuple[str, str, int], KeptVerdict]:
    """The scored verdicts by database and question; a repeated question has a number for each time."""
    found: dict[tuple[str, str, int], KeptVerdict] = {}
    times: defaultdict[tuple[str, str], int] = defaultdict(int)
    for verdict in verdicts:
        if verdict.right is not None:
            key = verdict.db_id, verdict.question
            found[*key, times[key]] = verdict
            times[key] += 1
    return found


def _change(base: Revision, head: Revision, arm: str, test_set: str) -> Change | None:
    before, after = _score(base, arm, test_set), _score(head, arm, test_set)
    if before is None and after is None:
        return None
    verdicts = base.by_set.get((arm, test_set), []), head.by_set.get((arm, test_set), [])
    return Change(arm, test_set, before, after, paired(*verdicts))


def _corrected(found: Sequence[Change]) -> list[Change]:
    """The changes with corrected p-values; arms that answer as before are no comparison."""
    tested = [change for change in found if change.paired and change.paired.changed]
    p_values = holm([change.paired.p for change in tested if change.paired])
    by_change = {(change.arm, change.test_set): p for change, p in zip(tested, p_values, strict=True)}
    return [replace(each, p_corrected=by_change.get((each.arm, each.test_set))) for each in found]


def _score(revision: Revision, arm: str, test_set: str) -> Score | None:
    """The score by the verdicts; without them that of the summary, which has neither n nor an interval."""
    if arm not in revision.verdicts:
        percent = revision.accuracy.get(arm, {}).get(test_set)
        return None if percent is None else Score(percent)
    rights = [each.right for each in revision.by_set.get((arm, test_set), ()) if each.right is not None]
    if not rights:
        return None
    right, n = sum(rights), len(rights)
    return Score(100 * right / n, Share(100 * right / n, *wilson_interval(right, n), n))


def _sets(revision: Revision) -> dict[str, None]:
    """The names of the test sets."""
    kept = (test_set for _, test_set in revision.by_set)
    return dict.fromkeys([*kept, *(name for scores in revision.accuracy.values() for name in scores)])


def _described(revision: Revision) -> str:
    sets = ", ".join(_sets(revision)) or "no test set"
    return f"{revision.name} has {', '.join(revision.verdicts)} on {sets}"
