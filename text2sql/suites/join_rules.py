"""Rewriting rules for joins that change no row; see `equality_rules`."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from text2sql.suites.constraints import Constraints
from text2sql.suites.facts import affinity
from text2sql.suites.selects import (
    conditions,
    has_plain_joins,
    names_matter,
    optional_sources,
    set_conditions,
)
from text2sql.suites.trees import Query

_NUMBERS = ("integer", "numeric", "real")
_IDENTICAL = ("integer", "numeric", "text")  # equal values of two columns of one of these look the same


def join_without_effect(query: Query, facts: Constraints) -> bool:
    """A join with the one row that a foreign key refers to, where nothing else of that row is used."""
    found = False
    for select in query.all(exp.Select):
        while tie := next(_droppable(query, facts, select), None):
            _drop(select, *tie)
            found = True
    return found


def _droppable(
    query: Query, facts: Constraints, select: exp.Select
) -> Iterator[tuple[exp.Expr, exp.Column, exp.Column]]:
    """The conditions `child = parent` of which the parent's table can go, with their two columns."""
    if not has_plain_joins(select) or names_matter(select) or any(one.is_star for one in select.expressions):
        return
    for part in conditions(select):
        sides = (part.this, part.expression) if isinstance(part, exp.EQ) else ()
        for child, parent in (sides, sides[::-1]) if sides else ():
            if not isinstance(child, exp.Column) or not isinstance(parent, exp.Column):
                continue
            if _refers(query, facts, select, child, parent) and _is_unused(query, select, child, parent):
                yield part, child, parent


def _refers(
    query: Query, facts: Constraints, select: exp.Select, child: exp.Column, parent: exp.Column
) -> bool:
    """Whether each value of the child's column equals that of exactly one row of the parent's table."""
    mine, its = query.resolve(child), query.resolve(parent)
    if not mine or not its or mine.source == its.source or (mine.key, its.key) not in facts.references:
        return False
    own = {mine.source, its.source} <= set(query.sources(select)) - optional_sources(select)
    kinds = affinity(mine.column.type), affinity(its.column.type)
    # a number can equal several texts, such as '1' and '1.0'
    single = kinds[1] in _NUMBERS or kinds == ("text", "text")
    return own and single and (its.key[0], frozenset([its.key[1]])) in facts.unique


def _is_unused(query: Query, select: exp.Select, child: exp.Column, parent: exp.Column) -> bool:
    """Whether only the parent's key is used, and the child's column can stand for it."""
    places = query.columns(select)
    names = {place.column.name.lower() for place in places if place.source == parent.table}
    used = [column for column in select.find_all(exp.Column) if column.table in ("", parent.table)]
    if any(not column.table and column.name in names for column in used):
        return False
    others = [column for column in used if column.table and column is not parent]
    kinds = {affinity(place.column.type) for side in (child, parent) if (place := query.resolve(side))}
    same = len(kinds) == 1 and kinds <= set(_IDENTICAL)
    own = all(column == parent and column.find_ancestor(exp.Select) is select for column in others)
    return _is_removable(select, parent.table) and (not others or (same and own))


def _is_removable(select: exp.Select, source: str) -> bool:
    joins = select.args.get("joins") or []
    first = select.args["from_"].this
    return bool(joins) and (first.alias_or_name != source or not joins[0].side)


def _drop(select: exp.Select, tie: exp.Expr, child: exp.Column, parent: exp.Column) -> None:
    test = exp.Not(this=exp.Is(this=child.copy(), expression=exp.Null()))
    set_conditions(select, [test if part is tie else part for part in conditions(select)])
    for column in list(select.find_all(exp.Column)):
        if column == parent:
            column.replace(child.copy())
    joins = list(select.args["joins"])
    if select.args["from_"].this.alias_or_name == parent.table:
        select.args["from_"].set("this", joins.pop(0).this)
    select.set("joins", [join for join in joins if join.alias_or_name != parent.table])
