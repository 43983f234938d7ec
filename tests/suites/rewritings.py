"""Other texts for a gold query, with the same answer on every database that obeys the schema's constraints.

Same answer as the official evaluation sees it: a bag of rows, columns in any order, rows in order where the
gold query has ORDER BY. Some answers depend on the order in which SQLite reads rows: ties under ORDER BY and
LIMIT, columns outside GROUP BY, sums of fractions. Of such queries only those texts are kept for which SQLite
has the same plan, hence the same order, whatever the rows are.

Left out, because not always equal: GROUP BY for DISTINCT (the official evaluation drops DISTINCT, and only
from one of the two), SUM(1) for COUNT(*) (NULL without rows), the greatest value for the first row (ties).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from text2sql.suites.constraints import Constraints
from text2sql.suites.trees import COMPARED, Query, edited, parse, reference, source_nodes, text

_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ,
    exp.NEQ: exp.NEQ,
    exp.LT: exp.GT,
    exp.GT: exp.LT,
    exp.LTE: exp.GTE,
    exp.GTE: exp.LTE,
}
Rewrite = Callable[[Query, Constraints], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A text with the meaning of a gold query, and the rule that made it."""

    sql: str
    rule: str


def rewritings(gold: str, facts: Constraints, connection: sqlite3.Connection) -> list[Rewriting]:
    """All rewritings of a gold query; `connection` is to any database of the schema, with its indexes."""
    query = parse(gold, facts.schema)
    if query is None:
        return []
    found: dict[str, str] = {}
    for rule in (*_SAME_PLAN, *_RULES):
        for sql in rule(query, facts):
            certain = (
                rule in _SAME_PLAN
                or _is_determined(query)
                or _plan(connection, gold) == _plan(connection, sql)
            )
            if certain and sql != text(query.root):
                found.setdefault(sql, rule.__name__)
    return [Rewriting(sql, rule) for sql, rule in found.items()]


def _plan(connection: sqlite3.Connection, sql: str) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


def _is_determined(query: Query) -> bool:
    """Whether the bag of rows does not depend on the order in which SQLite reads the tables."""
    if query.root.find(exp.Order, exp.Limit, exp.Avg, exp.Sum, exp.GroupConcat, exp.Window):
        return False
    return not any(_has_bare_column(select) for select in query.all(exp.Select))


def _has_bare_column(select: exp.Select) -> bool:
    """Whether a grouped or aggregated query takes a column from any row of the group."""
    group = select.args.get("group")
    keys = group.expressions if group else []
    own = [item for item in select.expressions if not item.find(exp.AggFunc)]
    is_grouped = group or len(own) < len(select.expressions)
    outside = select.args.get("having")
    bare = [item for item in own if item.unalias() not in keys]
    loose = (
        [node for node in outside.find_all(exp.Column) if not node.find_ancestor(exp.AggFunc)]
        if outside
        else []
    )
    return bool(is_grouped) and bool(bare or [column for column in loose if column not in keys])


# -- rules that give SQLite the same syntax tree, apart from names --


def alias_renamed(query: Query, facts: Constraints) -> Iterator[str]:
    root = query.root.copy()
    names = {alias.name for alias in root.find_all(exp.TableAlias) if not isinstance(alias.parent, exp.CTE)}
    for node in root.find_all(exp.TableAlias):
        if node.name in names:
            node.set("this", exp.to_identifier(f"other_{node.name}"))
    for column in root.find_all(exp.Column):
        if column.table in names:
            column.set("table", exp.to_identifier(f"other_{column.table}"))
    yield text(root)


def column_qualified(query: Query, facts: Constraints) -> Iterator[str]:
    root = query.root.copy()
    pairs = zip(query.root.find_all(exp.Column), root.find_all(exp.Column), strict=True)
    for old, new in list(pairs):
        place = query.resolve(old)
        is_key = isinstance(old.parent, exp.Ordered) or old.find_ancestor(exp.Group)
        if place and not old.table and not is_key:  # as a key it may also be the name of a result column
            new.replace(reference(place))
    yield text(root)


def parenthesised(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(*COMPARED, exp.Like):
        yield edited(query.root, (node, exp.Paren(this=exp.Paren(this=node.copy()))))


# -- rules that may give another plan --


def comma_join(query: Query, facts: Constraints) -> Iterator[str]:
    for select in query.all(exp.Select):
        joins = select.args.get("joins") or []
        if joins and all(join.args.get("on") and not join.side and not join.method for join in joins):
            new = select.copy()
            parts = [join.args["on"].copy() for join in joins]
            where = new.args.get("where")
            new.set("where", exp.Where(this=exp.and_(*parts, *([where.this] if where else []))))
            new.set("joins", [exp.Join(this=join.this.copy()) for join in joins])
            yield edited(query.root, (select, new))


def in_as_exists(query: Query, facts: Constraints) -> Iterator[str]:
    """Under AND and OR in WHERE, where NULL and false are one."""
    for node in query.all(exp.In):
        exists = _exists(query, node)
        if exists and _is_condition(node):
            yield edited(query.root, (node, exists))


def not_in_as_not_exists(query: Query, facts: Constraints) -> Iterator[str]:
    """Where neither column can be NULL."""
    for node in query.all(exp.In):
        exists = _exists(query, node)
        if exists and isinstance(node.parent, exp.Not) and _is_condition(node.parent):
            sides = (node.this, node.args["query"].unnest().expressions[0])
            places = [query.resolve(side) for side in sides]
            if all(place and place.key in facts.not_null for place in places):
                yield edited(query.root, (node, exists))


def _exists(query: Query, node: exp.In) -> exp.Exists | None:
    """EXISTS with the tie as a condition, for IN of one column in the rows of a plain SELECT."""
    inner = node.args["query"].unnest() if node.args.get("query") else None
    if not isinstance(inner, exp.Select) or not isinstance(node.this, exp.Column):
        return None
    place = query.resolve(node.this)
    plain = not any(inner.args.get(part) for part in ("group", "having", "limit", "order"))
    item = inner.expressions[0]
    own = query.resolve(item) if isinstance(item, exp.Column) else None
    if not place or not own or not plain or place.source in query.sources(inner) or inner.find(exp.AggFunc):
        return None
    if any(join.side for join in inner.args.get("joins") or ()):  # what is tied may come from no row there
        return None
    tie = exp.EQ(this=reference(place), expression=reference(own))
    where = inner.args.get("where")
    both = exp.and_(where.this.copy(), tie) if where else tie
    new = inner.copy()
    new.set("expressions", [exp.Literal.number(1)])
    new.set("where", exp.Where(this=both))
    return exp.Exists(this=new)


def _is_condition(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.And | exp.Or | exp.Paren):
        parent = parent.parent
    return isinstance(parent, exp.Where)


def between_as_comparisons(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.Between):
        low = exp.GTE(this=node.this.copy(), expression=node.args["low"].copy())
        high = exp.LTE(this=node.this.copy(), expression=node.args["high"].copy())
        yield edited(query.root, (node, exp.Paren(this=exp.And(this=high, expression=low))))


def comparisons_as_between(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.And):
        low, high = node.this, node.expression
        if isinstance(low, exp.GTE) and isinstance(high, exp.LTE) and low.this == high.this:
            new = exp.Between(this=low.this.copy(), low=low.expression.copy(), high=high.expression.copy())
            yield edited(query.root, (node, new))


def operands_swapped(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.And, exp.Or):
        if isinstance(node.parent, exp.And | exp.Or):
            continue  # without parentheses, its own order says what belongs together
        sides = [exp.Paren(this=side.copy()) for side in (node.expression, node.this)]
        yield edited(query.root, (node, type(node)(this=sides[0], expression=sides[1])))


def comparison_flipped(query: Query, facts: Constraints) -> Iterator[str]:
    """With a constant or subquery: of two columns, the left one decides on the collation."""
    for node in query.all(*COMPARED):
        if not isinstance(node.this, exp.Column) or not isinstance(node.expression, exp.Column):
            new = _FLIPPED[type(node)](this=node.expression.copy(), expression=node.this.copy())
            yield edited(query.root, (node, new))


def inequality_negated(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.NEQ):
        equal = exp.EQ(this=node.this.copy(), expression=node.expression.copy())
        yield edited(query.root, (node, exp.Paren(this=exp.Not(this=equal))))


def or_as_in(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.Or):
        sides = (node.this, node.expression)
        plain = all(isinstance(side, exp.EQ) and isinstance(side.expression, exp.Literal) for side in sides)
        if plain and node.this.this == node.expression.this and isinstance(node.this.this, exp.Column):
            values = [side.expression.copy() for side in sides]
            yield edited(query.root, (node, exp.In(this=node.this.this.copy(), expressions=values)))


def equal_as_in(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.EQ):
        if isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Literal):
            yield edited(
                query.root, (node, exp.In(this=node.this.copy(), expressions=[node.expression.copy()]))
            )


def count_of_one(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.Count):
        if isinstance(node.this, exp.Star):
            yield edited(query.root, (node, exp.Count(this=exp.Literal.number(1))))


def zero_offset(query: Query, facts: Constraints) -> Iterator[str]:
    for node in query.all(exp.Limit):
        owner = node.parent
        if owner is not None and not owner.args.get("offset"):
            new = owner.copy()
            new.set("offset", exp.Offset(expression=exp.Literal.number(0)))
            yield edited(query.root, (owner, new))


def derived_table(query: Query, facts: Constraints) -> Iterator[str]:
    if not query.root.args.get("with_"):
        yield f"SELECT * FROM ({text(query.root)}) AS whole"


def common_table(query: Query, facts: Constraints) -> Iterator[str]:
    if not query.root.args.get("with_"):
        yield f"WITH whole AS ({text(query.root)}) SELECT * FROM whole"


def tables_swapped(query: Query, facts: Constraints) -> Iterator[str]:
    """The two tables of an inner join: the order of columns does not count, unless a `*` goes to IN."""
    for select in query.all(exp.Select):
        joins = select.args.get("joins") or []
        plain = len(joins) == 1 and joins[0].args.get("on") and not joins[0].side and not joins[0].method
        if plain and not any(item.is_star for item in select.expressions):
            first, second = (node.copy() for node in source_nodes(select))
            new = select.copy()
            new.set("from_", exp.From(this=second))
            new.set("joins", [exp.Join(this=first, on=joins[0].args["on"].copy())])
            yield edited(query.root, (select, new))


_SAME_PLAN: tuple[Rewrite, ...] = (alias_renamed, column_qualified, parenthesised)
_RULES: tuple[Rewrite, ...] = (
    comma_join,
    in_as_exists,
    not_in_as_not_exists,
    between_as_comparisons,
    comparisons_as_between,
    operands_swapped,
    comparison_flipped,
    inequality_negated,
    or_as_in,
    equal_as_in,
    count_of_one,
    zero_offset,
    derived_table,
    common_table,
    tables_swapped,
)
