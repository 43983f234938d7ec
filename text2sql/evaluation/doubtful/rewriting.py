"""Suspicions about a query, and how a query is rewritten so that its meaning stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from text2sql.evaluation.doubtful.reasons import Reason

Comparison = Literal["rows", "order", "numbers"]
Node = exp.Expr


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What may be wrong with a query, and the SQL that shows whether it has an effect.

    The `rewritten` queries have the results of the query itself unless the suspicion is right. `compare`:
    whether the "rows" count, only the "order" of equal rows, or the values as "numbers".
    `only_if`: SQL that returns a row if the suspicion applies to this database at all. `right_if_none`: SQL
    that returns no row if the suspicion is right. `listed`: whether the pattern is worth a line when it has
    no effect, or none was looked for.
    """

    reason: Reason
    why: str
    rewritten: tuple[str, ...] = ()
    compare: Comparison = "rows"
    only_if: str = ""
    right_if_none: str = ""
    listed: bool = True


def text_of(tree: Node) -> str:
    """The SQL of a tree."""
    return tree.sql("sqlite", comments=False)


def replaced(tree: exp.Query, nodes: list[Node], change: Callable[[Node], Node]) -> str:
    """The SQL of `tree` with `change` made to a copy of each of its `nodes`, which are not in one another."""
    places = {id(node): at for at, node in enumerate(tree.walk())}
    copies = list(tree.copy().walk())
    for node in nodes:
        target = copies[places[id(node)]]
        changed = change(target.copy())
        if target is copies[0]:
            copies[0] = changed
        else:
            target.replace(changed)
    return text_of(copies[0])


def by_all_columns(columns: int, descending: bool) -> list[exp.Ordered]:
    """Sort keys that leave no tie in a result with so many columns; NULL is first upwards, last downwards."""
    return [
        exp.Ordered(this=exp.Literal.number(at), desc=descending, nulls_first=not descending)
        for at in range(1, columns + 1)
    ]


def short(node: Node | str, most: int = 60) -> str:
    """SQL for a message, cut off."""
    text = node if isinstance(node, str) else text_of(node)
    return text if len(text) <= most else f"{text[: most - 1]}…"
