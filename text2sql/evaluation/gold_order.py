"""Which orders of rows a gold query allows, as the strict comparison needs to know it.

A query with ORDER BY leaves open in which order rows with equal sort keys come, and with LIMIT which of
them are cut off. SQLite itself says which keys are equal: the gold query is run once more, without LIMIT,
with the dense rank of each row under its sort keys as one more column.

Only the gold's own rows in the gold's own order are right (`ties` is None) for a compound query (UNION,
...), for text that sqlglot cannot read, for a position after `*`, and for an OFFSET that is no number. The
same holds if that query fails (a sort key that is itself a window function, more rows than `max_rows`) or
contradicts the gold's own result (DISTINCT with a sort key that is not selected).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from text2sql.schema.queries import parse_query

if TYPE_CHECKING:
    from sqlglot import exp

_MAY_ORDER = re.compile(r"\b(?:order\s+by|limit)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GoldOrder:
    """What a gold query says about the order of its rows.

    `any_order`: nothing, and all rows are returned. Else `ties` is a query that returns the gold's rows
    before LIMIT and OFFSET, in order, with a last column that is equal for rows that may change places;
    None if there is no such query. `skipped` is the gold's OFFSET; `complete` says that it has neither
    LIMIT nor OFFSET.
    """

    any_order: bool
    ties: str | None = None
    skipped: int = 0
    complete: bool = False


@lru_cache(maxsize=16)  # paraphrased questions follow one another, with the same gold query
def gold_order(gold: str) -> GoldOrder:
    """Read the outermost ORDER BY, LIMIT and OFFSET of a gold query."""
    if not _MAY_ORDER.search(gold):
        return GoldOrder(any_order=True)
    from sqlglot import exp

    query = parse_query(gold)
    if not isinstance(query, exp.Select | exp.SetOperation):
        return GoldOrder(any_order=False)
    order, limit, offset = (query.args.get(name) for name in ("order", "limit", "offset"))
    complete = limit is None and offset is None
    if order is None and complete:
        return GoldOrder(any_order=True)
    skipped = _number(offset)
    if skipped is None:
        return GoldOrder(any_order=False, complete=complete)
    return GoldOrder(any_order=False, ties=_with_ranks(query), skipped=skipped, complete=complete)


def _number(offset: exp.Expr | None) -> int | None:
    """The rows that OFFSET skips; None if they are not written as a number."""
    text = "0" if offset is None else offset.expression.sql(dialect="sqlite")
    return int(text) if text.isascii() and text.isdecimal() else None


def _with_ranks(query: exp.Select | exp.SetOperation) -> str | None:
    from sqlglot import exp

    if not isinstance(query, exp.Select):
        return None
    order = query.args.get("order")
    keys = [_key(term.this, query.selects) for term in order.expressions] if order else []
    if None in keys:
        return None
    ranked = query.copy()
    for part in ("limit", "offset"):
        ranked.set(part, None)
    rank: Any = exp.Literal.number(0)
    if keys:
        terms = exp.Order(expressions=[exp.Ordered(this=key) for key in keys])
        rank = exp.Window(this=exp.Anonymous(this="dense_rank"), order=terms)
    return ranked.select(rank).sql(dialect="sqlite")


def _key(key: exp.Expr, selected: list[exp.Expr]) -> exp.Expr | None:
    """The expression that a sort key stands for: SQLite allows a position or the name of a result column.

    None if it is a position that cannot be found.
    """
    from sqlglot import exp

    if isinstance(key, exp.Collate):
        inner = _key(key.this, selected)
        return None if inner is None else exp.Collate(this=inner, expression=key.expression.copy())
    if isinstance(key, exp.Literal) and key.is_int:
        place = int(key.name)
        starred = any(column.is_star for column in selected[:place])
        return None if starred or not 0 < place <= len(selected) else selected[place - 1].unalias().copy()
    if isinstance(key, exp.Column) and not key.table:
        names = (c for c in selected if isinstance(c, exp.Alias) and c.alias.lower() == key.name.lower())
        return next((column.this.copy() for column in names), key.copy())
    return key.copy()
