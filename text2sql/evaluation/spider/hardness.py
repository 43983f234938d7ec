"""Spider's four classes of query hardness.

Source: Yu et al. 2018, "Spider" (https://arxiv.org/abs/1809.08887), as the evaluation script of
https://github.com/taoyds/spider counts. Three counts decide:

- component 1: WHERE, GROUP BY, ORDER BY, LIMIT, each JOIN, each OR, each LIKE;
- component 2: nested queries in conditions, and INTERSECT, UNION or EXCEPT;
- others: more than one aggregate, selected column, WHERE condition, GROUP BY column: one each.

The script's quirks, in counting and in parsing, are kept; they are listed in spider/__init__.py. A query
that the script cannot read is counted by the plain meaning of the three counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from text2sql.evaluation.spider.parser import Query, UnreadableSQL, compared, connected, read_sql
from text2sql.evaluation.spider.schema import SpiderSchema

Hardness = Literal["easy", "medium", "hard", "extra"]
HARDNESS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra")

_AGGREGATES = (exp.Max, exp.Min, exp.Count, exp.Sum, exp.Avg)


def hardness(sql: str, schema: SpiderSchema | None = None) -> Hardness:
    """Return the class of a gold query.

    The schema of its database only matters for adjacent names (`SELECT name age`): to the script they
    are two columns if the table has both, while by plain meaning the second is an alias.

    Raises:
        ValueError: `sql` is not a SELECT that can be parsed, or is nested too deeply.
    """
    try:
        return _as_read(read_sql(sql, schema))
    except UnreadableSQL:
        return _by_plain_meaning(sql)


def _classify(component1: int, component2: int, others: int) -> Hardness:
    if component2:
        is_hard = component1 <= 1 and component2 == 1 and others == 0
        return "hard" if is_hard else "extra"
    if component1 <= 1 and others == 0:
        return "easy"
    if (component1 <= 1 and others <= 2) or (component1 == 2 and others <= 1):
        return "medium"
    # The script's rules leave a gap (see the quirks): two of component 1 with two others are "extra".
    if (component1 <= 2 and others > 2) or (component1 == 3 and others <= 2):
        return "hard"
    return "extra"


# --- as the script counts ---


def _as_read(query: Query) -> Hardness:
    parts = (query.joined_on, query.where, query.having)
    conditions = [condition for part in parts for condition in compared(part)]
    nested = [value for it in conditions for value in (it.low, it.high) if isinstance(value, Query)]
    clauses = (query.where, query.grouped, query.direction, query.limited)
    joins = max(len(query.tables) - 1, 0)
    ors = sum(connected(part).count("or") for part in parts)
    likes = sum(it.operator == "like" for it in conditions)
    many = (_aggregates(query) > 1, len(query.selected) > 1, len(query.where) > 1, len(query.grouped) > 1)
    return _classify(
        component1=sum(map(bool, clauses)) + joins + ors + likes,
        component2=len(nested) + (query.other is not None),
        others=sum(many),
    )


def _aggregates(query: Query) -> int:
    """Number of what the script counts as aggregates."""
    ordered = (column for it in query.ordered for column in (it.left, it.right) if column)
    columns = sum(column.aggregate != "none" for column in (*query.grouped, *ordered))
    selected = sum(aggregate != "none" for aggregate, _ in query.selected)
    negated = sum(it.negated for it in compared(query.where))
    having = sum(isinstance(it, str) or it.negated for it in query.having)
    return columns + selected + negated + having


# --- by plain meaning ---


def _by_plain_meaning(sql: str) -> Hardness:
    try:
        query = sqlglot.parse_one(sql, read="sqlite").unnest()
        return _count(query, _first_select(query))
    except (SqlglotError, RecursionError) as error:
        raise ValueError(f"cannot parse {sql[:100]!r}: {error}") from error


def _first_select(query: exp.Expr) -> exp.Select:
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        raise ValueError(f"not a SELECT: {query.key}")
    return query


def _count(query: exp.Expr, select: exp.Select) -> Hardness:
    clauses = {name: select.args.get(name) for name in ("where", "group", "order", "limit")}
    joins = select.args.get("joins") or []
    having = select.args.get("having")
    conditions = [*(join.args.get("on") for join in joins), clauses["where"], having]
    aggregates = _find(_AGGREGATES, [*select.expressions, clauses["order"]])
    negated = _find((exp.Not,), [clauses["where"], having])
    many = (
        len(aggregates + negated + _find((exp.Connector,), [having])) > 1,
        len(select.expressions) > 1,
        bool(_find((exp.Connector,), [clauses["where"]])),
        clauses["group"] is not None and len(clauses["group"].expressions) > 1,
    )
    return _classify(
        component1=sum(map(bool, clauses.values())) + len(joins) + len(_find((exp.Or, exp.Like), conditions)),
        component2=len(_find((exp.Query,), conditions)) + isinstance(query, exp.SetOperation),
        others=sum(many),
    )


def _find(kinds: tuple[type[exp.Expr], ...], parts: Iterable[exp.Expr | None]) -> list[exp.Expr]:
    """Nodes of these kinds in `parts`, outside subqueries."""
    nodes = (node for part in parts if part for node in part.walk(prune=lambda it: isinstance(it, exp.Query)))
    return [node for node in nodes if isinstance(node, kinds)]
