"""Near-misses in the clauses of a query: tables, joins, groups, order, limits."""

from __future__ import annotations

import random
from collections.abc import Iterator

from sqlglot import exp

from text2sql.schema.model import Table
from text2sql.suites.trees import (
    AGGREGATES,
    Edit,
    Place,
    Query,
    changed,
    conjuncts,
    identifier,
    joined,
    less,
    limit_to,
    reference,
    sample,
    source_nodes,
    without,
)

_FEW = 3


def distinct(query: Query, chance: random.Random) -> Iterator[Edit]:
    """DISTINCT added to a SELECT, or removed from it."""
    for select in query.all(exp.Select):
        yield changed(select, distinct=None if select.args.get("distinct") else exp.Distinct())


def join_type(query: Query, chance: random.Random) -> Iterator[Edit]:
    """LEFT JOIN for JOIN, and vice versa; the two tables of a LEFT JOIN exchanged."""
    for select in query.all(exp.Select):
        for join in select.args.get("joins") or ():
            if join.args.get("on") or join.args.get("using"):
                side = None if join.side else "LEFT"
                yield changed(join, side=side, kind=None)
        if len(select.args.get("joins") or ()) == 1:
            yield from _exchanged_sides(select)


def _exchanged_sides(select: exp.Select) -> Iterator[Edit]:
    node, new = changed(select)
    join, first = new.args["joins"][0], new.args["from_"]
    if join.args.get("on"):
        left, right = first.this.copy(), join.this.copy()
        first.set("this", right)
        join.set("this", left)
        join.set("side", "LEFT")
        join.set("kind", None)
        yield node, new


def join_dropped(query: Query, chance: random.Random) -> Iterator[Edit]:
    """One table of a join left out; columns of it are taken from another table that has them."""
    for select in query.all(exp.Select):
        joins = select.args.get("joins") or []
        for at, join in enumerate(joins):
            node, new = without(select, "joins", at)
            _requalify(query, select, new, join.alias_or_name)
            yield node, new
        if joins:
            node, new = without(select, "joins", 0)
            new.set("from_", exp.From(this=joins[0].this.copy()))
            _requalify(query, select, new, source_nodes(select)[0].alias_or_name)
            yield node, new


def _requalify(query: Query, old: exp.Select, new: exp.Select, gone: str) -> None:
    places = [place for place in query.columns(old) if place.source != gone]
    for column in new.find_all(exp.Column):
        found = [place for place in places if place.column.name.lower() == column.name]
        if column.table == gone and found:
            column.replace(reference(found[0]))


def join_key(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Tables joined on another column of the same sort, or on each other's columns."""
    for node in query.all(exp.EQ):
        sides = [
            query.place(side) if isinstance(side, exp.Column) else None
            for side in (node.this, node.expression)
        ]
        left, right = sides
        if not left or not right or left.source == right.source:
            continue
        for place in sample(query.similar(left), _FEW, chance):
            yield node.this, reference(place)
        for place in sample(query.similar(right), _FEW, chance):
            yield node.expression, reference(place)
        swapped = (
            Place(left.source, left.table, right.column),
            Place(right.source, right.table, left.column),
        )
        yield node, exp.EQ(this=reference(swapped[0]), expression=reference(swapped[1]))


def table(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Another table that has the columns which the query needs of this one."""
    for select in query.all(exp.Select):
        needed = _needed(query, select)
        for node in source_nodes(select):
            own = query.tables.get(node.name) if isinstance(node, exp.Table) else None
            wanted = needed.get(node.alias_or_name, set())
            others = [
                found for found in query.tables.values() if own and found != own and wanted <= _names(found)
            ]
            for other in sample(others, 2 * _FEW, chance):
                yield node, _named(other, node.alias_or_name)


def _needed(query: Query, select: exp.Select) -> dict[str, set[str]]:
    needed: dict[str, set[str]] = {}
    for column in select.find_all(exp.Column):
        place = query.place(column)
        source = place.source if place else column.table
        needed.setdefault(source, set()).add(column.name)
    return needed


def _names(table: Table) -> set[str]:
    return {column.name.lower() for column in table.columns}


def _named(table: Table, name: str) -> exp.Table:
    alias = exp.TableAlias(this=identifier(name))
    return exp.Table(this=identifier(table.name), alias=alias)


def condition_moved(query: Query, chance: random.Random) -> Iterator[Edit]:
    """A condition moved between WHERE and HAVING, or between WHERE and the ON of a LEFT JOIN."""
    for select in query.all(exp.Select):
        where, having = select.args.get("where"), select.args.get("having")
        parts = conjuncts(where.this) if where else []
        of_groups = conjuncts(having.this) if having else []
        for part in parts if select.args.get("group") else ():
            yield _with_conditions(select, less(parts, part), [*of_groups, part])
        for part in of_groups:
            yield _with_conditions(select, [*parts, part], less(of_groups, part))
        for at, join in enumerate(select.args.get("joins") or ()):
            if join.side == "LEFT" and join.args.get("on"):
                for part in parts:
                    node, new = _with_conditions(select, less(parts, part), of_groups)
                    new.args["joins"][at].set("on", joined([join.args["on"], part]))
                    yield node, new


def _with_conditions(select: exp.Select, where: list[exp.Expr], having: list[exp.Expr]) -> Edit:
    return changed(
        select,
        where=exp.Where(this=joined(where)) if where else None,
        having=exp.Having(this=joined(having)) if having else None,
    )


def group_key(query: Query, chance: random.Random) -> Iterator[Edit]:
    """A key of GROUP BY left out, added, or exchanged for another column."""
    for select in query.all(exp.Select):
        group = select.args.get("group")
        if not group:
            continue
        for at, key in enumerate(group.expressions):
            yield (
                (group, without(group, "expressions", at)[1])
                if group.expressions[1:]
                else changed(select, group=None)
            )
            place = query.place(key) if isinstance(key, exp.Column) else None
            others = [*query.namesakes(key), *query.similar(place)] if place else []
            yield from ((key, reference(other)) for other in others)
        for place in sample(query.columns(select), _FEW, chance):
            new = [*(key.copy() for key in group.expressions), reference(place)]
            yield group, exp.Group(expressions=new)


def having(query: Query, chance: random.Random) -> Iterator[Edit]:
    """HAVING left out, with another number, or added."""
    for select in query.all(exp.Select):
        clause = select.args.get("having")
        if clause:
            yield changed(select, having=None)
            for node in clause.find_all(exp.Literal):
                if node.is_int:
                    yield from ((node, exp.Literal.number(int(node.this) + step)) for step in (1, -1, 2))
        elif select.args.get("group"):
            for least in (1, 2):
                more = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(least))
                yield changed(select, having=exp.Having(this=more))


def order_key(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Rows in the order of another column, or of the same ones in another order."""
    for order in query.all(exp.Order):
        keys = order.expressions
        if len(keys) > 1:
            yield order, exp.Order(expressions=[key.copy() for key in reversed(keys)])
            yield from (without(order, "expressions", at) for at in range(len(keys)))
        for key in keys:
            others = _other_keys(query, order, key, chance)
            yield from ((key.this, other) for other in others)


def _other_keys(query: Query, order: exp.Expr, key: exp.Expr, chance: random.Random) -> Iterator[exp.Expr]:
    place = query.place(key.this) if isinstance(key.this, exp.Column) else None
    if place:
        places = [*query.namesakes(key.this), *sample(query.similar(place), _FEW, chance)]
        yield from (reference(other) for other in places)
    if isinstance(order.parent, exp.Select):
        yield from (
            item.unalias().copy() for item in order.parent.expressions if not isinstance(item, exp.Star)
        )
        if isinstance(key.this, AGGREGATES):
            yield from (reference(place) for place in sample(query.columns(order.parent), 2, chance))


def order_direction(query: Query, chance: random.Random) -> Iterator[Edit]:
    """Rows in the opposite order."""
    for key in query.all(exp.Ordered):
        descending = not key.args.get("desc")
        yield changed(key, desc=descending or None, nulls_first=not descending)


def order_dropped(query: Query, chance: random.Random) -> Iterator[Edit]:
    """ORDER BY left out, before LIMIT too, or with it."""
    for node in query.all(exp.Select, exp.SetOperation):
        if node.args.get("order"):
            yield changed(node, order=None)
            if node.args.get("limit"):
                yield changed(node, order=None, limit=None, offset=None)


def limit(query: Query, chance: random.Random) -> Iterator[Edit]:
    """LIMIT left out, with another number, with OFFSET, or added to rows in an order."""
    for node in query.all(exp.Select, exp.SetOperation):
        clause = node.args.get("limit")
        if clause:
            yield changed(node, limit=None, offset=None)
            yield changed(node, offset=exp.Offset(expression=exp.Literal.number(1)))
            if isinstance(clause.expression, exp.Literal) and clause.expression.is_int:
                rows = int(clause.expression.this)
                others = [found for found in (rows + 1, rows - 1, rows + 2) if found > 0]
                yield from (changed(node, limit=limit_to(found)) for found in others)
        elif node.args.get("order") or (node is query.root and not _is_one_row(node)):
            yield from (changed(node, limit=limit_to(found)) for found in (1, 3))


def _is_one_row(node: exp.Query) -> bool:
    """Whether a query only aggregates all of its rows."""
    return not node.args.get("group") and all(isinstance(item.unalias(), AGGREGATES) for item in node.selects)
