"""Near-misses that take one form of a query for another: set operations, subqueries, first rows."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sqlglot import exp

from text2sql.suites.trees import (
    Edit,
    Query,
    changed,
    conjuncts,
    identifier,
    joined,
    less,
    limit_to,
    reference,
)

_SET_OPERATORS: tuple[tuple[type[exp.SetOperation], bool], ...] = (
    (exp.Union, True),
    (exp.Union, False),
    (exp.Intersect, True),
    (exp.Except, True),
)
_ENDS = ("order", "limit", "offset", "with_")


def extreme(query: Query, chance: random.Random) -> Iterator[Edit]:
    """The first row of an order for all rows with the greatest value, or the reverse: ties differ."""
    for select in query.all(exp.Select):
        keys = select.args["order"].expressions if select.args.get("order") else []
        if select.args.get("limit") and len(keys) == 1 and isinstance(keys[0].this, exp.Column):
            yield from _as_extreme(query, select, keys[0])
    for node in query.all(exp.EQ):
        inner = node.expression.unnest()
        if isinstance(node.parent, exp.Where) and isinstance(inner, exp.Select) and inner.expressions:
            yield from _as_first_row(node, inner.expressions[0])


def _as_extreme(query: Query, select: exp.Select, key: exp.Expr) -> Iterator[Edit]:
    place = query.place(key.this)
    if not place or select.args.get("group"):
        return
    kind = exp.Max if key.args.get("desc") else exp.Min
    own = identifier(place.table.name)
    inner = exp.select(kind(this=reference(place, qualified=False))).from_(exp.Table(this=own))
    condition = exp.EQ(this=key.this.copy(), expression=exp.Subquery(this=inner))
    where = select.args.get("where")
    parts = [*(conjuncts(where.this) if where else []), condition]
    yield changed(select, where=exp.Where(this=joined(parts)), order=None, limit=None)


def _as_first_row(node: exp.EQ, wanted: exp.Expr) -> Iterator[Edit]:
    select = node.find_ancestor(exp.Select)
    if select and isinstance(wanted, exp.Max | exp.Min) and not select.args.get("order"):
        descending = isinstance(wanted, exp.Max)
        key = exp.Ordered(this=node.this.copy(), desc=descending or None, nulls_first=not descending)
        yield changed(select, where=None, order=exp.Order(expressions=[key]), limit=limit_to(1))


def set_operator(query: Query, chance: random.Random) -> Iterator[Edit]:
    """UNION, UNION ALL, INTERSECT and EXCEPT for one another."""
    for node in query.all(exp.SetOperation):
        for kind, is_set in _SET_OPERATORS:
            if type(node) is not kind or bool(node.args.get("distinct")) is not is_set:
                yield node, kind(**{**node.copy().args, "distinct": is_set})


def set_side(query: Query, chance: random.Random) -> Iterator[Edit]:
    """One side of a set operation left out; the sides of EXCEPT exchanged."""
    for node in query.all(exp.SetOperation):
        for side in (node.this, node.expression):
            kept = {name: node.args[name].copy() for name in _ENDS if node.args.get(name)}
            yield node, changed(side, **kept)[1]
        if isinstance(node, exp.Except):
            yield changed(node, this=node.expression.copy(), expression=node.this.copy())


def set_as_condition(query: Query, chance: random.Random) -> Iterator[Edit]:
    """The conditions of both sides of a set operation in one SELECT: rows are counted otherwise."""
    for node in query.all(exp.SetOperation):
        sides = (node.this, node.expression)
        if not all(isinstance(side, exp.Select) for side in sides):
            continue
        wheres = [side.args["where"].this.copy() for side in sides if side.args.get("where")]
        if len(wheres) == 2:
            second = exp.not_(wheres[1]) if isinstance(node, exp.Except) else wheres[1]
            both = exp.or_(*wheres) if isinstance(node, exp.Union) else exp.and_(wheres[0], second)
            yield node, changed(node.this, where=exp.Where(this=both))[1]
        elif isinstance(node, exp.Except | exp.Intersect):
            yield from _as_membership(node)


def _as_membership(node: exp.SetOperation) -> Iterator[Edit]:
    item = node.this.expressions[0].unalias()
    if len(node.this.expressions) == 1 and isinstance(item, exp.Column):
        found: exp.Expr = exp.In(this=item.copy(), query=exp.Subquery(this=node.expression.copy()))
        found = exp.Not(this=found) if isinstance(node, exp.Except) else found
        where = node.this.args.get("where")
        both = joined([*(conjuncts(where.this) if where else []), found])
        yield node, changed(node.this, where=exp.Where(this=both))[1]


def membership(query: Query, chance: random.Random) -> Iterator[Edit]:
    """IN (subquery) as a join, which repeats rows; as EXISTS without a tie; as `=`, which takes one row."""
    for node in query.all(exp.In):
        inner = node.args["query"].unnest() if node.args.get("query") else None
        if not isinstance(inner, exp.Select):
            continue
        yield node, exp.Exists(this=inner.copy())
        yield node, exp.EQ(this=node.this.copy(), expression=exp.Subquery(this=inner.copy()))
        yield from _as_join(node, inner)
    for equal in query.all(exp.EQ):
        if isinstance(equal.expression.unnest(), exp.Select):
            yield equal, exp.In(this=equal.this.copy(), query=equal.expression.copy())


def _as_join(node: exp.In, inner: exp.Select) -> Iterator[Edit]:
    """Without the IS NULL that NOT IN would need as a LEFT JOIN."""
    outer = node.parent if isinstance(node.parent, exp.Not) else node
    select, where = node.find_ancestor(exp.Select), outer.find_ancestor(exp.Where)
    if not select or not where or where.parent is not select:
        return
    parts = conjuncts(where.this)
    if outer not in parts or len(inner.expressions) != 1:
        return
    derived = inner.copy()
    derived.set("expressions", [exp.alias_(inner.expressions[0].unalias().copy(), "near_key")])
    tie = exp.EQ(this=node.this.copy(), expression=exp.column("near_key", "near"))
    alias = exp.TableAlias(this=exp.to_identifier("near"))
    join = exp.Join(this=exp.Subquery(this=derived, alias=alias), on=tie)
    if outer is not node:
        join.set("side", "LEFT")
    rest = less(parts, outer)
    joins = [*(own.copy() for own in select.args.get("joins") or ()), join]
    yield changed(select, joins=joins, where=exp.Where(this=joined(rest)) if rest else None)
