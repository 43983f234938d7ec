"""Near-misses in the expressions of a query: comparisons, conditions, constants, columns, NULL."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sqlglot import exp

from text2sql.suites.trees import (
    AGGREGATES,
    COMPARED,
    CONNECTED,
    Edit,
    Place,
    Query,
    changed,
    constant,
    is_number,
    reference,
    sample,
)

_FEW = 3
_SIGNS = (exp.Add, exp.Sub, exp.Mul, exp.Div)
_NEGATED = (exp.In, exp.Exists, exp.Like, exp.Between, exp.Is)


def comparison(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Another comparison operator; BETWEEN without one of its ends."""
    for node in query.all(*COMPARED):
        if _joins(node):
            continue
        texts = any(isinstance(side, exp.Literal) and side.is_string for side in (node.this, node.expression))
        for kind in (exp.EQ, exp.NEQ, exp.LT, exp.GT) if texts else COMPARED:
            if kind is not type(node):
                yield node, kind(this=node.this.copy(), expression=node.expression.copy())
    yield from (edit for node in query.all(exp.Between) for edit in _ranges(node))


def _ranges(node: exp.Between) -> Iterator[Edit]:
    for low, high in ((exp.GT, exp.LTE), (exp.GTE, exp.LT)):
        parts = (_compare(low, node.this, node.args["low"]), _compare(high, node.this, node.args["high"]))
        yield node, exp.Paren(this=exp.And(this=parts[0], expression=parts[1]))
    yield node, _compare(exp.GTE, node.this, node.args["low"])
    yield node, _compare(exp.LTE, node.this, node.args["high"])


def negation(query: Query, chance: random.Random) -> Iterator[Edit]:
    """NOT added to, or removed from, IN, EXISTS, LIKE, BETWEEN and a condition in parentheses."""
    for node in query.all(*_NEGATED):
        if isinstance(node.parent, exp.Not):
            yield node.parent, node.copy()
        elif not isinstance(node, exp.Is):
            yield node, exp.Not(this=node.copy())
        else:
            yield node, exp.Is(this=node.this.copy(), expression=exp.Not(this=node.expression.copy()))
    negated = (node for node in query.all(exp.Not) if isinstance(node.this, exp.Paren))
    yield from ((node, node.this.copy()) for node in negated)


def aggregate(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Another aggregate function of the same column, or COUNT(*) for it."""
    for node in query.all(*AGGREGATES):
        if isinstance(node.this, exp.Star):
            yield from _aggregates_for_star(query, node, chance)
            continue
        for kind in AGGREGATES:
            if kind is not type(node) and not node.expressions:
                yield node, kind(this=node.this.copy())


def _aggregates_for_star(query: Query, node: exp.Expr, chance: random.Random) -> Iterator[Edit]:
    numbers = [place for place in _columns_around(query, node) if is_number(place.column)]
    for place in sample(numbers, _FEW, chance):
        for kind in sample((exp.Sum, exp.Avg, exp.Max, exp.Min), 2, chance):
            yield node, kind(this=reference(place))


def count_argument(query: Query, chance: random.Random) -> Iterator[Edit]:
    """COUNT(*), COUNT(column) and COUNT(DISTINCT column) for one another."""
    for node in query.all(exp.Count):
        if isinstance(node.this, exp.Star):
            for place in sample(_columns_around(query, node), _FEW, chance):
                yield node, exp.Count(this=reference(place))
                yield node, _count_distinct(reference(place))
        else:
            inner = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
            yield node, exp.Count(this=exp.Star())
            yield node, exp.Count(this=inner.copy())
            yield node, _count_distinct(inner.copy())


def condition_dropped(query: Query, chance: random.Random) -> Iterator[Edit]:
    """One of the conditions that AND or OR joins is left out, or all of WHERE."""
    for node in query.all(*CONNECTED):
        yield node, node.this.copy()
        yield node, node.expression.copy()
    for select in query.all(exp.Select):
        if select.args.get("where"):
            yield changed(select, where=None)


def condition_added(query: Query, chance: random.Random) -> Iterator[Edit]:
    """One more condition on a column, with one of its values."""
    for select in query.all(exp.Select):
        places = [place for place in query.columns(select) if query.literals(place)]
        for place in sample(places, 2 * _FEW, chance):
            value = chance.choice(query.literals(place))
            kinds = (exp.EQ, exp.NEQ, exp.GT, exp.LTE) if is_number(place.column) else (exp.EQ, exp.NEQ)
            condition = chance.choice(kinds)(this=reference(place), expression=value)
            where = select.args.get("where")
            both = exp.and_(where.this.copy(), condition) if where else condition
            yield changed(select, where=exp.Where(this=both))


def connective(query: Query, chance: random.Random) -> Iterator[Edit]:
    """AND for OR, and parentheses around other conditions."""
    for node in query.all(*CONNECTED):
        other = exp.Or if isinstance(node, exp.And) else exp.And
        new = other(this=node.this.copy(), expression=node.expression.copy())
        yield node, exp.Paren(this=new) if isinstance(node.parent, CONNECTED) else new
        inner = node.expression.unnest()
        if isinstance(inner, CONNECTED) and type(inner) is not type(node):
            first = type(node)(this=node.this.copy(), expression=inner.this.copy())
            yield node, type(inner)(this=exp.Paren(this=first), expression=inner.expression.copy())


def number(query: Query, chance: random.Random) -> Iterator[Edit]:
    """A number in a condition that is one more or less, or ten times as large."""
    for node in _constants(query):
        if node.is_string:
            continue
        value = float(node.this) if not node.is_int else int(node.this)
        for near in (value + 1, value - 1, value * 10):
            yield node, constant(near)


def other_value(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Another value of the column that a constant is compared with."""
    for node in _constants(query):
        place = _compared_with(query, node)
        for value in sample(query.literals(place) if place else (), _FEW, chance):
            if isinstance(node.parent, exp.Like) and isinstance(value, exp.Literal):
                value = exp.Literal.string(f"%{value.this}%")
            yield node, value


def text_pattern(query: Query, chance: random.Random) -> Iterator[Edit]:
    """A text in another case, with blanks or wildcards, or compared by LIKE instead of `=` or by `=`."""
    for node in _constants(query):
        if not node.is_string:
            continue
        bare = node.this.strip("%")
        in_like = isinstance(node.parent, exp.Like)
        patterns = (f"{bare}%", f"%{bare}", f"%{bare}%", bare) if in_like else _other_cases(bare)
        yield from ((node, exp.Literal.string(pattern)) for pattern in patterns)
        if isinstance(node.parent, exp.Like):
            yield node.parent, _compare(exp.EQ, node.parent.this, exp.Literal.string(bare))
        elif isinstance(node.parent, exp.EQ):
            for pattern in (f"%{bare}%", f"{bare}%"):
                yield (
                    node.parent,
                    exp.Like(this=node.parent.this.copy(), expression=exp.Literal.string(pattern)),
                )


def selected_column(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Another column in a SELECT list: of the same table and sort, or of the same name in another table.

    None is added or left out: results with another number of columns differ on every database with a row.
    """
    for select in query.all(exp.Select):
        for item in select.expressions:
            yield from _exchanged(query, item, chance)


def condition_column(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Another column in WHERE or HAVING."""
    for select in query.all(exp.Select):
        for clause in (select.args.get("where"), select.args.get("having")):
            yield from _exchanged(query, clause, chance) if clause else ()


def null_handling(query: Query, chance: random.Random) -> Iterator[Edit]:
    """NULL counted in or left out: by IS NULL, as an empty text, or in an average."""
    for node in query.all(exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is):
        if isinstance(node.this, exp.Column) and not isinstance(node, exp.Is):
            is_null = exp.Is(this=node.this.copy(), expression=exp.Null())
            yield node, exp.Paren(this=exp.Or(this=node.copy(), expression=is_null))
        elif isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            for text in ("", "null"):
                yield node, _compare(exp.EQ, node.this, exp.Literal.string(text))
    for function in query.all(exp.Avg, exp.Min):
        if not isinstance(function.this, exp.Distinct) and not function.expressions:
            filled = exp.Coalesce(this=function.this.copy(), expressions=[exp.Literal.number(0)])
            yield function, type(function)(this=filled)
    yield from _without_nulls(query, chance)


def _without_nulls(query: Query, chance: random.Random) -> Iterator[Edit]:
    for select in query.all(exp.Select):
        named = [node for item in select.expressions for node in item.find_all(exp.Column)]
        for column in sample(named, _FEW, chance):
            found = exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null()))
            where = select.args.get("where")
            both = exp.and_(where.this.copy(), found) if where else found
            yield changed(select, where=exp.Where(this=both))


def arithmetic(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Another sign between two numbers; the sides of `-` and `/` exchanged."""
    for node in query.all(*_SIGNS):
        for kind in _SIGNS:
            if kind is not type(node):
                yield node, kind(this=node.this.copy(), expression=node.expression.copy())
        if isinstance(node, exp.Sub | exp.Div):
            yield node, type(node)(this=node.expression.copy(), expression=node.this.copy())


def _compare(kind: type[exp.Expr], left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return kind(this=left.copy(), expression=right.copy())


def _count_distinct(column: exp.Expr) -> exp.Count:
    return exp.Count(this=exp.Distinct(expressions=[column]))


def _joins(node: exp.Expr) -> bool:
    """Whether a comparison ties two tables together."""
    return isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column)


def _columns_around(query: Query, node: exp.Expr) -> list[Place]:
    select = node.find_ancestor(exp.Select)
    return query.columns(select) if isinstance(select, exp.Select) else []


def _constants(query: Query) -> list[exp.Literal]:
    """The constants of conditions."""
    within = (exp.Where, exp.Having, exp.Join)
    return [
        node for node in query.all(exp.Literal) if isinstance(node.find_ancestor(*within, exp.Select), within)
    ]


def _compared_with(query: Query, node: exp.Literal) -> Place | None:
    parent = node.parent
    if not isinstance(parent, exp.Binary | exp.Between | exp.In):
        return None
    sides = [side for side in (parent.this, parent.args.get("expression")) if isinstance(side, exp.Column)]
    return query.place(sides[0]) if sides else None


def _other_cases(text: str) -> list[str]:
    return [text.lower(), text.upper(), text.title(), f"{text} "]


def _exchanged(query: Query, part: exp.Expr, chance: random.Random) -> Iterator[Edit]:
    """Edits of the columns in a part of a query, subqueries left out."""
    for column in _own_columns(part):
        place = query.place(column)
        if place:
            others = [*query.namesakes(column), *sample(query.similar(place), _FEW, chance)]
            yield from ((column, reference(other)) for other in others)


def _own_columns(part: exp.Expr) -> list[exp.Column]:
    inner = part.find_ancestor(exp.Select)
    return [node for node in part.find_all(exp.Column, bfs=False) if node.find_ancestor(exp.Select) is inner]
