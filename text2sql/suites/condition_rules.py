"""Rewriting rules for conditions and for the subqueries in them; see `equality_rules`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import lru_cache

from sqlglot import exp

from text2sql.suites.constraints import Constraints
from text2sql.suites.facts import affinity
from text2sql.suites.selects import aggregates, conditions, has_plain_joins, is_not_null, set_conditions
from text2sql.suites.trees import AGGREGATES, COMPARED, CONNECTED, Query, source_nodes, text

_NUMBERS = ("integer", "numeric", "real")
_SIMPLE = (
    *COMPARED,
    *CONNECTED,
    *(exp.Column, exp.Identifier, exp.Literal, exp.Neg, exp.Null),
    *(exp.Paren, exp.Not, exp.In, exp.Like, exp.Is),
)
_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.NEQ: exp.NEQ,
}
Bound = tuple[exp.Column, type[exp.Expr], float]
"""A column, the operator behind it, and the number that it is compared with."""


def defaults_without_effect(query: Query, facts: Constraints) -> bool:
    """`avg(coalesce(x, 0))` as `avg(x)` where x is never NULL.

    Only in an aggregate: elsewhere COALESCE also takes the column's affinity away.
    """
    found = False
    for node in query.all(exp.Coalesce):
        select, column, around = node.find_ancestor(exp.Select), node.this.unnest(), node.parent
        is_aggregate = isinstance(around, AGGREGATES) and not around.expressions
        if not select or not is_aggregate or not isinstance(column, exp.Column):
            continue
        if is_not_null(query, facts, select, column):
            node.replace(column)
            found = True
    return found


def null_tests_that_fail(query: Query, facts: Constraints) -> bool:
    """`p OR x IS NULL` of WHERE as `p` where x is not NULL."""
    found = False
    for node in query.all(exp.Is):
        select, column = node.find_ancestor(exp.Select), node.this.unnest()
        is_null = isinstance(node.expression, exp.Null) and isinstance(column, exp.Column)
        inside = node.find_ancestor(exp.Where, exp.Join, exp.Having, exp.Select)
        if not select or not is_null or not isinstance(inside, exp.Where):
            continue
        side: exp.Expr = node
        while isinstance(side.parent, exp.Paren):
            side = side.parent
        either = side.parent
        if isinstance(either, exp.Or) and is_not_null(query, facts, select, column):
            either.replace(either.expression if either.this is side else either.this)
            found = True
    return found


def implied_conditions(query: Query, facts: Constraints) -> bool:
    """A condition of WHERE that another one on the same column implies, as `x = 1 AND x < 3`."""
    found = False
    for select in query.all(exp.Select):
        kept = conditions(select)
        for part in list(kept):
            others = [other for other in kept if other is not part]
            if any(_implies(query, other, part) for other in others):
                kept, found = others, True
        if len(kept) < len(conditions(select)):
            set_conditions(select, kept)
    return found


def _implies(query: Query, sure: exp.Expr, part: exp.Expr) -> bool:
    columns = set(part.find_all(exp.Column))
    if len(columns) != 1:
        return False
    column = next(iter(columns))
    place = query.resolve(next(part.find_all(exp.Column)))
    kind = affinity(place.column.type) if place else "blob"
    if kind == "blob":  # 5 and 5.0 stay different values there
        return False
    values = _values(sure, column)
    if values and all(isinstance(node, _SIMPLE) and not node.args.get("query") for node in part.walk()):
        return all(_holds(kind, text(value), _with_x(part)) for value in values)
    one, other = _bound(sure), _bound(part)
    is_same = one and other and one[0] == other[0] and kind in _NUMBERS
    return bool(one and other and is_same and _is_narrower(one[1:], other[1:]))


def _values(condition: exp.Expr, column: exp.Column) -> list[exp.Expr]:
    """The constants of which the condition makes the column one; none if it does not."""
    if isinstance(condition, exp.In) and condition.this == column and not condition.args.get("query"):
        found = condition.expressions
    elif isinstance(condition, exp.EQ) and column in (condition.this, condition.expression):
        found = [condition.expression if condition.this == column else condition.this]
    else:
        return []
    return found if all(isinstance(value, exp.Literal) for value in found) else []


def _with_x(condition: exp.Expr) -> str:
    copy = exp.Paren(this=condition.copy())
    for column in list(copy.find_all(exp.Column)):
        column.replace(exp.column("x"))
    return text(copy)


@lru_cache(maxsize=4096)
def _holds(kind: str, value: str, condition: str) -> bool:
    """Whether SQLite finds the condition true for the column x of this affinity where x equals the value."""
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(f"CREATE TABLE t (x {kind})")
            connection.execute(f"INSERT INTO t VALUES ({value})")
            found = connection.execute(f"SELECT 1 FROM t WHERE x = {value} AND {condition}").fetchone()
    except (sqlite3.Error, UnicodeEncodeError):  # SQLite does not take it, so that nothing is proved
        return False
    return found is not None


def _bound(condition: exp.Expr) -> Bound | None:
    if type(condition) not in _FLIPPED:
        return None
    left, right, operator = condition.this.unnest(), condition.expression.unnest(), type(condition)
    if isinstance(right, exp.Column):
        left, right, operator = right, left, _FLIPPED[operator]
    sign = -1 if isinstance(right, exp.Neg) else 1
    number = right.this if isinstance(right, exp.Neg) else right
    if not isinstance(left, exp.Column) or not isinstance(number, exp.Literal) or number.is_string:
        return None
    # so few figures that a float is exact
    return (left, operator, sign * float(number.this)) if len(number.this) < 15 else None


def _is_narrower(sure: tuple[type[exp.Expr], float], part: tuple[type[exp.Expr], float]) -> bool:
    """Whether `x sure` implies `x part`."""
    (operator, at), (other, limit) = sure, part
    if operator in (exp.LT, exp.LTE):
        operator, other, at, limit = _FLIPPED[operator], _FLIPPED[other], -at, -limit
    if operator not in (exp.GT, exp.GTE):
        return False
    if other is exp.GTE:
        return limit <= at
    reached = operator is exp.GTE
    return other in (exp.GT, exp.NEQ) and (limit < at if reached else limit <= at)


def single_values(query: Query, facts: Constraints) -> bool:
    """LIMIT of a subquery whose first row alone counts; IN of a subquery of one row as `=`."""
    found = False
    for select in query.all(exp.Select):
        within = select.parent
        if not isinstance(within, exp.Subquery) or select.args.get("offset"):
            continue
        if isinstance(within.parent, COMPARED):
            found |= _drop_limit(select)
        test = within.parent
        if not isinstance(test, exp.In) or test.args.get("query") is not within:
            continue
        if _is_one_aggregate(query, select) or (_is_limit_one(select) and _is_condition(test)):
            _drop_limit(select)
            test.replace(exp.EQ(this=test.this, expression=within))
            found = True
    return found


def _drop_limit(select: exp.Select) -> bool:
    limit = select.args.get("limit")
    number = limit.expression if limit else None
    if not isinstance(number, exp.Literal) or not number.is_int or int(number.this) < 1:
        return False
    select.set("limit", None)
    return True


def _is_limit_one(select: exp.Select) -> bool:
    limit = select.args.get("limit")
    return bool(limit and isinstance(limit.expression, exp.Literal) and limit.expression.this == "1")


def _is_condition(test: exp.Expr) -> bool:
    """Whether it is one of the conditions of WHERE: there false and NULL are the same."""
    select = test.find_ancestor(exp.Select)
    return bool(select and any(part is test for part in conditions(select)))


def _is_one_aggregate(query: Query, select: exp.Select) -> bool:
    extra = ("group", "having", "limit", "order")
    if len(select.expressions) != 1 or any(select.args.get(name) for name in extra):
        return False
    item = select.expressions[0].unalias()
    # an aggregate of columns of an outer query would be one of that query
    places = [query.resolve(column) for column in item.find_all(exp.Column)]
    own = all(place and place.source in query.sources(select) for place in places)
    return own and isinstance(item, AGGREGATES) and bool(aggregates(select))


def comparisons_with_extremes(query: Query, facts: Constraints) -> bool:
    """`x <= (SELECT min(x) FROM t)` as `=`, and `<>` as `>`, where x is a column of t; max likewise."""
    found = False
    for node in query.all(exp.LTE, exp.GTE, exp.NEQ):
        for column, inner in ((node.this, node.expression), (node.expression, node.this)):
            extreme = _extreme_of(query, column.unnest(), inner)
            if not extreme:
                continue
            is_left, is_least = column is node.this, extreme is exp.Min
            above = exp.GT if is_left is is_least else exp.LT
            closed = exp.LTE if is_left is is_least else exp.GTE
            if isinstance(node, (exp.NEQ, closed)):
                new = above if isinstance(node, exp.NEQ) else exp.EQ
                node.replace(new(this=node.this, expression=node.expression))
                found = True
            break
    return found


def _extreme_of(query: Query, column: exp.Expr, inner: exp.Expr) -> type[exp.Expr] | None:
    """exp.Min or exp.Max if `inner` is that of all values of the column's table."""
    select = inner.this if isinstance(inner, exp.Subquery) else None
    if not isinstance(column, exp.Column) or not isinstance(select, exp.Select):
        return None
    extra = ("where", "group", "having", "limit", "offset", "order", "joins")
    if any(select.args.get(name) for name in extra) or len(select.expressions) != 1:
        return None
    item = select.expressions[0].unalias()
    is_extreme = isinstance(item, exp.Min | exp.Max) and not item.expressions
    if not is_extreme or not isinstance(item.this, exp.Column) or len(source_nodes(select)) != 1:
        return None
    mine, its = query.resolve(column), query.resolve(item.this)
    same = mine and its and mine.key == its.key and its.source in query.sources(select)
    return type(item) if same and has_plain_joins(select) else None
