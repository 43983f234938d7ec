"""The reasons why a gold query is doubtful."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

RULES_VERSION = 2
"""Raise it with every change that can change a finding; kept findings of other versions are not used."""

Reason = Literal[
    "fails",
    "empty",
    "limit_ties",
    "limit_without_order",
    "order_not_asked",
    "todays_date",
    "text_with_number",
    "paraphrase_disagrees",
]

MEANINGS: dict[Reason, str] = {
    "fails": "the gold query fails",
    "empty": "it returns no row, or nothing but NULL",
    "limit_ties": "LIMIT cuts between rows that are equal under ORDER BY",
    "limit_without_order": "LIMIT without ORDER BY",
    "order_not_asked": "the result depends on an order that the query does not ask for",
    "todays_date": "today's date, or a random number",
    "text_with_number": "text is compared or sorted where numbers are meant, or the reverse",
    "paraphrase_disagrees": "another row asks in nearly the same words, and its gold has another result",
}
"""The reasons in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason, and `why` it holds for a query, in words.

    `effect`: True if it was shown that the result can change or says nothing, False if the pattern is in the
    text and has no effect on this database, None if that was not checked.
    """

    reason: Reason
    why: str
    effect: bool | None = None


def doubtful_reasons(findings: Iterable[Finding]) -> tuple[Reason, ...]:
    """The reasons that were shown to have an effect: those that take a row out of the second score."""
    shown = {finding.reason for finding in findings if finding.effect}
    return in_order(shown)


def in_order(reasons: Collection[Reason]) -> tuple[Reason, ...]:
    """The reasons, each once, in the order of `MEANINGS`."""
    return tuple(reason for reason in MEANINGS if reason in reasons)
