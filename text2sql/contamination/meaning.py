"""Whether two queries ask for different things, judged by their syntax trees alone.

Questions that differ in one word may ask for the opposite ("oldest" and "youngest"), and similar texts do not
show it; their queries do. `changes_meaning` compares what survives rewriting a query in another way: which
end of an order is taken, what is aggregated, the values in conditions, negation, alternatives, and the
columns that are shown, compared, ordered by or aggregated. A join against a subquery, IN against EXISTS,
LIMIT 1 against max(), >= 3 against > 2 and sum over count against avg make no difference.

Not covered: which table a condition belongs to, how conditions are nested, and columns of joins.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeGuard

from sqlglot import exp

from text2sql.schema.queries import parse_query

_COMPARISONS = {exp.EQ: "=", exp.NEQ: "!=", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_NEXT = {">=": (">", -1), "<=": ("<", 1)}  # of whole numbers
_NEGATED = {"=": "!=", "!=": "=", ">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_AGGREGATES = {exp.Count: "count", exp.Sum: "sum", exp.Avg: "avg"}
_QUERY = "query"  # stands for the value where a column is compared with a subquery

_Condition = tuple[str, str]  # operator and value


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a query asks for, as far as it does not depend on how it is written; names are case-folded."""

    tables: frozenset[str]
    ends: frozenset[str]  # "max", "min"; "asc" and "desc" of the whole result
    aggregates: frozenset[str]
    conditions: frozenset[_Condition]
    negated: bool
    alternatives: bool
    columns: frozenset[str]


def changes_meaning(one: str, other: str) -> bool:
    """Whether the two queries ask for different things; False if one of them is no query that parses."""
    first, second = meaning(one), meaning(other)
    if first is None or second is None:
        return False
    nested = first.tables <= second.tables or second.tables <= first.tables  # a join may add nothing
    return not nested or replace(first, tables=second.tables) != second


@functools.lru_cache(maxsize=8_192)
def meaning(sql: str) -> Meaning | None:
    """What a query asks for; None if the text is no query that parses."""
    tree = parse_query(sql)
    if tree is None:
        return None
    return Meaning(
        _tables(tree),
        frozenset(_ends(tree)),
        _aggregates(tree),
        frozenset(_conditions(tree)),
        _is_negated(tree),
        _has_alternatives(tree),
        _columns(tree),
    )


def _tables(tree: exp.Query) -> frozenset[str]:
    inner = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    return frozenset(table.name.casefold() for table in tree.find_all(exp.Table)) - inner


def _ends(tree: exp.Query) -> Iterator[str]:
    """Which end of an order is taken, and how the whole result is sorted."""
    for order in tree.find_all(exp.Order):
        query, first = order.parent, order.expressions[0]
        descending = bool(first.args.get("desc"))
        if isinstance(query, exp.Query) and query.args.get("limit"):
            yield "max" if descending else "min"
        elif query is tree:
            yield "desc" if descending else "asc"
    for kind, name in ((exp.Max, "max"), (exp.Min, "min")):
        if any(not node.expressions for node in tree.find_all(kind)):  # max(a, b) is no aggregate
            yield name


def _aggregates(tree: exp.Query) -> frozenset[str]:
    found = frozenset(name for kind, name in _AGGREGATES.items() if tree.find(kind))
    is_mean = {"sum", "count"} <= found and tree.find(exp.Div)
    return found - {"sum", "count"} | {"avg"} if is_mean else found


def _conditions(tree: exp.Query) -> Iterator[_Condition]:
    """The values that something is compared with, each with its operator; LIMIT counts from 2."""
    for node in tree.walk():
        if isinstance(node, exp.Binary) and type(node) in _COMPARISONS:
            yield from _comparison(node)
        elif isinstance(node, exp.Between):
            yield from _bound(">=", node.args["low"])
            yield from _bound("<=", node.args["high"])
        elif isinstance(node, (exp.Like, exp.Glob)):
            yield from _bound("=", node.expression)
        elif isinstance(node, exp.In):
            for value in node.expressions:
                yield from _bound("=", value)
        elif isinstance(node, exp.Limit) and (value := _value(node.expression)) not in (None, "1"):
            yield "limit", str(value)


def _comparison(node: exp.Binary) -> Iterator[_Condition]:
    sign, left, right = _COMPARISONS[type(node)], node.this, node.expression
    if _value(left) is not None:
        sign, left, right = _FLIPPED.get(sign, sign), right, left
    if isinstance(node.find_ancestor(exp.Not, exp.Select), exp.Not):
        sign = _NEGATED[sign]
    yield from _bound(sign, right)


def _bound(sign: str, side: exp.Expr) -> Iterator[_Condition]:
    """The condition, with > and < for >= and <= of whole numbers, and = for != (see `_is_negated`)."""
    value = _value(side)
    if isinstance(side, exp.Subquery) and not side.find(exp.Max, exp.Min, exp.Limit) and sign not in "!=":
        yield sign, _QUERY
    if value is None:
        return
    if sign in _NEXT and value.lstrip("-").isdigit():
        sign, step = _NEXT[sign]
        value = str(int(value) + step)
    yield sign.replace("!=", "="), value


def _value(node: exp.Expr | None) -> str | None:
    """A number or string, without the wildcards at its ends; None for anything else."""
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return f"-{node.this.name}"
    if isinstance(node, exp.Literal) or _is_quoted(node):
        return node.name.casefold().strip("% ")
    return None


def _is_quoted(node: exp.Expr | None) -> TypeGuard[exp.Column]:
    """Whether this is "x", which most training sets mean as a string."""
    return isinstance(node, exp.Column) and not node.table and bool(node.this.args.get("quoted"))


def _is_negated(tree: exp.Query) -> bool:
    if tree.find(exp.Except) or any(not _both_columns(node) for node in tree.find_all(exp.NEQ)):
        return True
    if any(isinstance(node.expression, exp.Null) for node in tree.find_all(exp.Is)):
        return any(not isinstance(node.parent, exp.Not) for node in tree.find_all(exp.Is))
    negations = (node.this.unnest() for node in tree.find_all(exp.Not))
    return any(isinstance(inner, (exp.In, exp.Exists, exp.Like, exp.EQ)) for inner in negations)


def _both_columns(node: exp.Expr | None) -> bool:
    sides = (node.this, node.expression) if isinstance(node, exp.Binary) else ()
    return bool(sides) and all(isinstance(side, exp.Column) and not _is_quoted(side) for side in sides)


def _has_alternatives(tree: exp.Query) -> bool:
    if tree.find(exp.Or) or any(type(node) is exp.Union for node in tree.find_all(exp.Union)):
        return True
    return any(len(node.expressions) > 1 for node in tree.find_all(exp.In))


def _columns(tree: exp.Query) -> frozenset[str]:
    """Columns that are shown, aggregated, ordered by or compared with a value, without keys."""
    renamed = ((alias.alias.casefold(), alias.this.name.casefold()) for alias in tree.find_all(exp.Alias))
    aliases = {alias for alias, name in renamed if alias != name}
    names = (node.name.casefold() for node in tree.find_all(exp.Column) if _counts(node, tree))
    return frozenset(name for name in names if not name.endswith("id") and name not in aliases)


def _counts(column: exp.Column, tree: exp.Query) -> bool:
    if _is_quoted(column):
        return False
    place = column.find_ancestor(
        exp.Count, exp.Group, exp.Ordered, exp.Sum, exp.Avg, exp.Max, exp.Min, *_COMPARISONS, exp.Between,
        exp.Like, exp.In, exp.Select,
    )  # fmt: skip
    if isinstance(place, (exp.Count, exp.Group)):
        return False
    if isinstance(place, exp.Select):
        return _is_root(place, tree)
    if isinstance(place, exp.In):
        return not place.args.get("query")
    return not (type(place) in _COMPARISONS and _both_columns(place))


def _is_root(select: exp.Select, tree: exp.Query) -> bool:
    """Whether this SELECT makes the result or one of its columns, also as a side of UNION or EXCEPT."""
    node: exp.Expr | None = select
    while isinstance(node, (exp.SetOperation, exp.Select, exp.Subquery, exp.Alias)) and node is not tree:
        node = node.parent
    return node is tree
