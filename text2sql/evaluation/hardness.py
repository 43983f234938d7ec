"""Spider's four classes of query hardness.

Source: Yu et al. 2018, "Spider" (https://arxiv.org/abs/1809.08887), as the evaluation script of
https://github.com/taoyds/spider counts it. Three counts decide:

- component 1: WHERE, GROUP BY, ORDER BY, LIMIT, each JOIN, each OR, each LIKE;
- component 2: nested queries in conditions, and INTERSECT, UNION or EXCEPT;
- others: more than one aggregate, selected column, WHERE condition, GROUP BY column: one each.

The script has habits that its classes rest on, so they are kept:

- Only the outermost query is counted, and of a compound only its first SELECT. A chain of set
  operations counts once; a subquery in FROM counts as one table whatever it holds.
- Among the aggregates it counts each NOT of a condition, and each AND and OR of HAVING, but no
  aggregate inside HAVING.
- After a comparison with a bare column (`ON a.x = b.x OR a.x = b.y`) everything up to the next AND
  is lost, the OR included.

The script cannot read joins by comma, IS NULL, EXISTS, arithmetic among aggregates or parentheses
around conditions. Such queries are counted here by the plain meaning of the rules above.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

Hardness = Literal["easy", "medium", "hard", "extra"]
HARDNESS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra")

_AGGREGATES = (exp.Max, exp.Min, exp.Count, exp.Sum, exp.Avg)


def hardness(sql: str) -> Hardness:
    """Return the class of a gold query.

    ValueError: `sql` is no SELECT that can be parsed, or one with hundreds of conditions.
    """
    try:
        return _hardness(_parse(sql))
    except RecursionError as error:
        raise ValueError(f"cannot parse {sql[:100]!r}...: nested too deeply") from error


def _hardness(query: exp.Query) -> Hardness:
    select = _first_select(query)
    conditions = [*_join_conditions(select), *_clause(select, "where"), *_clause(select, "having")]
    nested = sum(len(_nested(part)) for part in conditions)
    return _classify(
        component1=_component1(select, conditions),
        component2=nested + isinstance(query, exp.SetOperation),
        others=_others(select),
    )


def _classify(component1: int, component2: int, others: int) -> Hardness:
    if component2:
        is_hard = component1 <= 1 and component2 == 1 and others == 0
        return "hard" if is_hard else "extra"
    if component1 <= 1 and others == 0:
        return "easy"
    if (component1 <= 1 and others <= 2) or (component1 == 2 and others <= 1):
        return "medium"
    # The script's rules leave a gap: two of component 1 with two others fall through to "extra",
    # while with three others they are "hard".
    if (component1 <= 2 and others > 2) or (component1 == 3 and others <= 2):
        return "hard"
    return "extra"


def _parse(sql: str) -> exp.Query:
    try:
        query = sqlglot.parse_one(sql, read="sqlite")
    except SqlglotError as error:
        raise ValueError(f"cannot parse {sql!r}: {error}") from error
    while isinstance(query, exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select | exp.SetOperation):
        raise ValueError(f"not a SELECT: {sql!r}")
    return query


def _first_select(query: exp.Expr) -> exp.Select:
    while not isinstance(query, exp.Select):
        query = query.this
    return query


def _component1(select: exp.Select, conditions: list[exp.Expr]) -> int:
    clauses = sum(bool(select.args.get(name)) for name in ("where", "group", "order", "limit"))
    joins = len(select.args.get("joins") or ())
    ors = sum(isinstance(part, exp.Or) for part in conditions)
    likes = sum(isinstance(_without_not(part), exp.Like) for part in conditions)
    return clauses + joins + ors + likes


def _others(select: exp.Select) -> int:
    where = list(_clause(select, "where"))
    many = (
        _aggregates(select) > 1,
        len(select.expressions) > 1,
        len(where) > 1,
        len(_list(select, "group")) > 1,
    )
    return sum(many)


def _aggregates(select: exp.Select) -> int:
    """Number of what the script takes for aggregates."""
    selected = sum(bool(_find(item, _AGGREGATES)) for item in select.expressions)
    ordered = sum(len(_find(item, _AGGREGATES)) for item in _list(select, "order"))
    where, having = list(_clause(select, "where")), list(_clause(select, "having"))
    negated = sum(isinstance(part, exp.Not) for part in where + having)
    connectives = sum(isinstance(part, exp.Connector) for part in having)
    return selected + ordered + negated + connectives


def _list(select: exp.Select, clause: str) -> list[exp.Expr]:
    found = select.args.get(clause)
    return found.expressions if found else []


def _clause(select: exp.Select, name: str) -> Iterator[exp.Expr]:
    found = select.args.get(name)
    return _as_read(_flatten(found.this)) if found else iter(())


def _join_conditions(select: exp.Select) -> Iterator[exp.Expr]:
    for join in select.args.get("joins") or ():
        if join.args.get("on"):
            yield from _as_read(_flatten(join.args["on"]))


def _flatten(condition: exp.Expr) -> Iterator[exp.Expr]:
    """Yield conditions and the AND and OR nodes between them in the order of the text."""
    condition = condition.unnest()
    if isinstance(condition, exp.Connector):
        yield from _flatten(condition.this)
        yield condition
        yield from _flatten(condition.expression)
    else:
        yield condition


def _as_read(parts: Iterable[exp.Expr]) -> Iterator[exp.Expr]:
    """Drop what the script loses after a comparison with a bare column."""
    losing = False
    for part in parts:
        losing = losing and not isinstance(part, exp.And)
        if not losing:
            yield part
            losing = _ends_in_column(part)


def _ends_in_column(condition: exp.Expr) -> bool:
    if isinstance(condition, exp.Connector):
        return False
    # A name in double quotes is text to the script, as it mostly is in Spider's queries.
    value = condition.args.get("expression")
    return isinstance(value, exp.Column) and not value.this.quoted


def _nested(condition: exp.Expr) -> list[exp.Expr]:
    return [] if isinstance(condition, exp.Connector) else _find(condition, (exp.Query,))


def _find(root: exp.Expr, kinds: tuple[type[exp.Expr], ...]) -> list[exp.Expr]:
    """Nodes of these kinds in `root`, but none inside a subquery."""
    nodes = root.walk(prune=lambda node: isinstance(node, exp.Query))
    return [node for node in nodes if isinstance(node, kinds)]


def _without_not(condition: exp.Expr) -> exp.Expr:
    return condition.this.unnest() if isinstance(condition, exp.Not) else condition
