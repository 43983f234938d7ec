"""What holds for one SELECT of a query, and the first steps towards its canonical form."""

from __future__ import annotations

from sqlglot import exp

from text2sql.suites.constraints import Constraints
from text2sql.suites.trees import (
    COMPARED,
    Place,
    Query,
    conjuncts,
    reference,
    source_nodes,
)


def prepare(query: Query) -> None:
    """Resolve aliases, ordinals and `*`; qualify columns; split BETWEEN; gather inner joins in WHERE."""
    for select in query.all(exp.Select):
        _expand_star(query, select)
        _replace_ordinals(select)
        _replace_aliases(query, select)
    for column in query.all(exp.Column):
        place = query.resolve(column)
        if place and not column.table:
            column.replace(reference(place))
    for between in query.all(exp.Between):
        low = exp.GTE(this=between.this.copy(), expression=between.args["low"].copy())
        high = exp.LTE(this=between.this.copy(), expression=between.args["high"].copy())
        between.replace(exp.Paren(this=exp.And(this=low, expression=high)))
    for select in query.all(exp.Select):
        gather_conditions(select)


def _expand_star(query: Query, select: exp.Select) -> None:
    sources = query.sources(select).values()
    stars = [item for item in select.expressions if isinstance(item, exp.Star)]
    if stars and len(select.expressions) == 1 and None not in sources and has_plain_joins(select):
        select.set("expressions", [reference(place) for place in query.columns(select)])


def _replace_ordinals(select: exp.Select) -> None:
    if any(item.is_star for item in select.expressions):
        return
    for clause in (select.args.get("order"), select.args.get("group")):
        for key in clause.expressions if clause else ():
            node = key.this if isinstance(key, exp.Ordered) else key
            if (
                isinstance(node, exp.Literal)
                and node.is_int
                and 0 < int(node.this) <= len(select.expressions)
            ):
                node.replace(select.expressions[int(node.this) - 1].unalias().copy())


def _replace_aliases(query: Query, select: exp.Select) -> None:
    """The expression for its alias: at once as a key of ORDER BY, elsewhere where no table has the name."""
    aliases = [item for item in reversed(select.expressions) if isinstance(item, exp.Alias)]
    named = {item.alias: item.this for item in aliases}  # of two equal ones SQLite takes the first
    sources = query.sources(select).values()
    known = {own.name.lower() for table in sources if table for own in table.columns}
    for column in own_columns(select):
        is_key = isinstance(column.parent, exp.Ordered)
        if not column.table and column.name in named and not isinstance(column.parent, exp.Alias):
            inside = column.find_ancestor(exp.Order, exp.Group, exp.Having, exp.Where, exp.Select)
            certain = is_key or (column.name not in known and None not in sources)
            if certain and not isinstance(inside, exp.Select):
                column.replace(exp.Paren(this=named[column.name].copy()))


def gather_conditions(select: exp.Select) -> None:
    """Move the conditions of inner joins into WHERE."""
    if not has_plain_joins(select):
        return
    parts = conditions(select)
    for join in select.args.get("joins") or ():
        if not join.side and join.args.get("on"):
            parts = [*parts, *conjuncts(join.args["on"])]
            join.set("on", None)
    set_conditions(select, parts)


def has_plain_joins(select: exp.Select) -> bool:
    """Whether all joins are inner or LEFT joins, by comma or ON."""
    joins = select.args.get("joins") or ()
    return not any(join.method or join.args.get("using") or join.side not in ("", "LEFT") for join in joins)


def own_columns(select: exp.Select) -> list[exp.Column]:
    """The columns of a SELECT without those of its subqueries."""
    return [node for node in select.find_all(exp.Column) if _belongs(node, select)]


def aggregates(select: exp.Select) -> list[exp.Expr]:
    """The aggregate functions of a SELECT without those of its subqueries; max(a, b) is none."""
    found = (node for node in select.find_all(exp.AggFunc) if _belongs(node, select))
    return [node for node in found if not (isinstance(node, exp.Min | exp.Max) and node.expressions)]


def names_matter(query: exp.Expr) -> bool:
    """Whether other parts refer to the columns of this query by their names."""
    parent = query.parent
    if isinstance(parent, exp.SetOperation):
        return bool(parent.args.get("order")) or names_matter(parent)
    if isinstance(parent, exp.Subquery):
        return bool(parent.alias) or isinstance(parent.parent, exp.From | exp.Join) or names_matter(parent)
    return isinstance(parent, exp.From | exp.Join | exp.CTE)


def _belongs(node: exp.Expr, select: exp.Select) -> bool:
    return node.find_ancestor(exp.Select, exp.SetOperation) is select


def conditions(select: exp.Select) -> list[exp.Expr]:
    """The conditions of WHERE that AND joins."""
    return conjuncts(select.args["where"].this) if select.args.get("where") else []


def set_conditions(select: exp.Select, parts: list[exp.Expr]) -> None:
    """Give WHERE these conditions: the nodes themselves, as callers go on to the subqueries in them."""
    select.set("where", exp.Where(this=exp.and_(*parts, copy=False)) if parts else None)


def optional_sources(select: exp.Select) -> set[str]:
    """The sources whose columns may be NULL because a LEFT JOIN found no row."""
    if not has_plain_joins(select):
        return set(node.alias_or_name for node in source_nodes(select))
    return {join.alias_or_name for join in select.args.get("joins") or () if join.side}


def rejected_columns(condition: exp.Expr) -> list[exp.Column]:
    """Columns that are not NULL where the condition is true."""
    if isinstance(condition, exp.Or | exp.And | exp.Paren):
        return _rejected_by_parts(condition)
    inner = condition.this.unnest() if isinstance(condition, exp.Not) else condition
    if type(inner) in COMPARED:
        return [
            side for side in (inner.this.unnest(), inner.expression.unnest()) if isinstance(side, exp.Column)
        ]
    negated = inner is not condition
    no_rows = isinstance(inner, exp.In) and (inner.args.get("query") or not inner.expressions)
    found = isinstance(inner, exp.Like | exp.In) and not (negated and no_rows)
    is_null = isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null)
    tested = inner.this.unnest() if found or (is_null and negated) else None
    return [tested] if isinstance(tested, exp.Column) else []


def _rejected_by_parts(condition: exp.Expr) -> list[exp.Column]:
    if isinstance(condition, exp.Paren):
        return rejected_columns(condition.this)
    left, right = rejected_columns(condition.this), rejected_columns(condition.expression)
    is_both = isinstance(condition, exp.Or)
    return [column for column in left if column in right] if is_both else [*left, *right]


def is_not_null(query: Query, facts: Constraints, select: exp.Select, column: exp.Column) -> bool:
    """Whether a column of the tables of a SELECT has a value in every row that WHERE leaves."""
    place = query.resolve(column)
    if (
        not place
        or place.source not in query.sources(select)
        or column.find_ancestor(exp.Select) is not select
    ):
        return False
    if place.key in facts.not_null and place.source not in optional_sources(select):
        return True
    return any(column == other for part in conditions(select) for other in rejected_columns(part))


def keys_of(query: Query, facts: Constraints, select: exp.Select) -> dict[str, list[set[exp.Expr]]]:
    """For each source, the sets of its columns that no two of its rows share and that are not NULL."""
    found: dict[str, list[set[exp.Expr]]] = {}
    certain = {
        name: table for name, table in query.sources(select).items() if name not in optional_sources(select)
    }
    for source, table in certain.items():
        names = [names for owner, names in facts.unique if table and owner == table.name.lower()]
        for key in sorted(map(sorted, names)):
            owned = table.columns if table else ()
            places = [Place(source, table, own) for own in owned if table and own.name.lower() in key]
            if places and all(place.key in facts.not_null for place in places):
                found.setdefault(source, []).append({reference(place) for place in places})
    return found


def is_unique(query: Query, facts: Constraints, select: exp.Select, given: set[exp.Expr]) -> bool:
    """Whether no two rows of FROM and WHERE agree in these columns."""
    keys = keys_of(query, facts, select)
    sources = query.sources(select)
    return bool(sources) and all(any(key <= given for key in keys.get(name, ())) for name in sources)


def is_membership(select: exp.Select) -> bool:
    """Whether a query is the subquery of IN or EXISTS, where only the set of rows counts."""
    parent = select.parent
    within = parent.parent if isinstance(parent, exp.Subquery) else parent
    return isinstance(within, exp.Exists) or (
        isinstance(within, exp.In) and within.args.get("query") is parent
    )
