"""Rewriting rules that bring queries of one meaning to one form; each changes a tree in place.

A rule returns whether it changed something. `selects.prepare` must have prepared the tree: every column
that can be resolved names its table, and the conditions of inner joins stand in WHERE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from sqlglot import exp

from text2sql.suites.constraints import Constraints
from text2sql.suites.facts import affinity
from text2sql.suites.selects import (
    aggregates,
    conditions,
    gather_conditions,
    has_plain_joins,
    is_membership,
    is_not_null,
    is_unique,
    keys_of,
    names_matter,
    optional_sources,
    own_columns,
    rejected_columns,
    set_conditions,
)
from text2sql.suites.trees import AGGREGATES, COMPARED, Query, conjuncts, constant, reference

Rule = Callable[[Query, Constraints], bool]

_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_INTERCHANGEABLE = ("integer", "numeric", "text")  # equal values of columns of one of these are identical


def drop_distinct(query: Query, facts: Constraints) -> bool:
    """The official evaluator drops every DISTINCT before it runs the queries."""
    found = False
    for select in query.all(exp.Select):
        found |= bool(select.args.get("distinct"))
        select.set("distinct", None)
    for node in query.all(exp.Distinct):
        if len(node.expressions) == 1 and isinstance(node.parent, exp.AggFunc):
            node.replace(node.expressions[0])
            found = True
    return found


def distinct_without_effect(query: Query, facts: Constraints) -> bool:
    """DISTINCT in MIN and MAX, in IN and EXISTS, and of rows that a key already tells apart."""
    found = False
    for select in query.all(exp.Select):
        if select.args.get("distinct") and not select.args.get("limit"):
            items = {item.unalias() for item in select.expressions}
            plain = not select.args.get("group") and not aggregates(select)
            if is_membership(select) or (plain and is_unique(query, facts, select, items)):
                select.set("distinct", None)
                found = True
    for node in query.all(exp.Min, exp.Max):
        if isinstance(node.this, exp.Distinct):
            node.this.replace(node.this.expressions[0])
            found = True
    return found


def constants_of_column_type(query: Query, facts: Constraints) -> bool:
    """5 for '5' compared with a column of numbers, '5' for 5 with one of texts: SQLite converts them."""
    found = False
    for literal in query.all(exp.Literal):
        column = _compared_column(literal)
        place = query.resolve(column) if column else None
        kind = affinity(place.column.type) if place else "blob"
        figures = literal.this if kind == "text" else literal.this.strip(" ")
        if kind == "blob" or not _WHOLE.fullmatch(figures) or literal.is_string == (kind == "text"):
            continue
        literal.replace(exp.Literal.string(figures) if kind == "text" else exp.Literal.number(figures))
        found = True
    return found


def _compared_column(literal: exp.Literal) -> exp.Column | None:
    parent = literal.parent
    if isinstance(parent, exp.In) and parent.this is not literal:
        side = parent.this
    elif isinstance(parent, COMPARED):
        side = parent.expression if parent.this is literal else parent.this
    else:
        return None
    return side if isinstance(side, exp.Column) else None


def whole_number_bounds(query: Query, facts: Constraints) -> bool:
    """`x > 4` as `x >= 5` where x is a whole number: a count, or a column that holds nothing else."""
    found = False
    for node in query.all(exp.GT, exp.LT):
        for number, other in ((node.expression, node.this), (node.this, node.expression)):
            if _is_bound(number) and _is_whole(query, facts, other.unnest()):
                is_upper = isinstance(node, exp.LT) is (number is node.expression)
                closed = exp.LTE if isinstance(node, exp.LT) else exp.GTE
                number.replace(constant(int(number.this) + (-1 if is_upper else 1)))
                node.replace(closed(this=node.this, expression=node.expression))
                found = True
                break
    return found


def _is_bound(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and bool(_WHOLE.fullmatch(node.this))


def _is_whole(query: Query, facts: Constraints, node: exp.Expr) -> bool:
    place = query.resolve(node) if isinstance(node, exp.Column) else None
    return isinstance(node, exp.Count) or bool(place and place.key in facts.integers)


def outer_join_as_inner(query: Query, facts: Constraints) -> bool:
    """LEFT JOIN as JOIN where WHERE drops the rows without a match, or a foreign key leaves none."""
    found, again = False, True
    while again:
        again = False
        for select in query.all(exp.Select):
            for join in select.args.get("joins") or () if has_plain_joins(select) else ():
                if join.side and (_needs_match(select, join) or _has_match(query, facts, select, join)):
                    join.set("side", None)
                    gather_conditions(select)
                    found = again = True
    return found


def _needs_match(select: exp.Select, join: exp.Join) -> bool:
    rejected = (column for part in conditions(select) for column in rejected_columns(part))
    return any(column.table == join.alias_or_name for column in rejected)


def _has_match(query: Query, facts: Constraints, select: exp.Select, join: exp.Join) -> bool:
    """Whether the only condition is a foreign key that is never NULL."""
    tie = join.args["on"].unnest() if join.args.get("on") else None
    if not isinstance(tie, exp.EQ):
        return False
    for mine, its in ((tie.this, tie.expression), (tie.expression, tie.this)):
        if isinstance(mine, exp.Column) and isinstance(its, exp.Column) and its.table == join.alias_or_name:
            pair = tuple(place.key if (place := query.resolve(side)) else None for side in (mine, its))
            return pair in facts.references and is_not_null(query, facts, select, mine)
    return False


def outer_join_of_aggregates(query: Query, facts: Constraints) -> bool:
    """LEFT JOIN as JOIN where nothing but aggregates of its columns is asked for: they pass over NULL."""
    found = False
    for select in query.all(exp.Select):
        join = _only_outer_join(select)
        extra = ("group", "having", "order", "limit")
        if join is None or any(select.args.get(name) for name in extra):
            continue
        values = [item.unalias() for item in select.expressions]
        inner = [value.this for value in values if isinstance(value, AGGREGATES) and not value.expressions]
        own = [one for one in inner if isinstance(one, exp.Column) and one.table == join.alias_or_name]
        if len(own) == len(values):
            join.set("side", None)
            gather_conditions(select)
            found = True
    return found


def outer_join_of_larger_groups(query: Query, facts: Constraints) -> bool:
    """LEFT JOIN as JOIN where HAVING demands two rows, and a row without a match is a group of its own."""
    found = False
    for select in query.all(exp.Select):
        join, group, having = _only_outer_join(select), select.args.get("group"), select.args.get("having")
        if join is None or not group or not having or not any(map(_needs_two, conjuncts(having.this))):
            continue
        others = set(query.sources(select)) - {join.alias_or_name}
        known, keys = determined_by(query, facts, select, group.expressions), keys_of(query, facts, select)
        if all(any(key <= known for key in keys.get(name, ())) for name in others):
            join.set("side", None)
            gather_conditions(select)
            found = True
    return found


def _only_outer_join(select: exp.Select) -> exp.Join | None:
    outer = [join for join in select.args.get("joins") or () if join.side]
    return outer[0] if len(outer) == 1 and has_plain_joins(select) else None


def _needs_two(condition: exp.Expr) -> bool:
    """Whether a condition is `count(...) >= n` or `= n` with n > 1."""
    least = _least_count(condition)
    if least is None and isinstance(condition, exp.EQ) and isinstance(condition.this, exp.Count):
        least = int(condition.expression.this) if _is_bound(condition.expression) else None
    return least is not None and least > 1


def _least_count(condition: exp.Expr) -> int | None:
    """n of `count(...) >= n`."""
    if not isinstance(condition, exp.GTE | exp.LTE):
        return None
    count, number = condition.this, condition.expression
    if isinstance(condition, exp.LTE):
        count, number = number, count
    return int(number.this) if isinstance(count, exp.Count) and _is_bound(number) else None


def having_without_effect(query: Query, facts: Constraints) -> bool:
    """`HAVING count(*) >= 1` of groups: none is empty."""
    found = False
    for select in query.all(exp.Select):
        group, having = select.args.get("group"), select.args.get("having")
        if not group or not having:
            continue
        parts = conjuncts(having.this)
        kept = [part for part in parts if not _is_at_least_one(part)]
        if len(kept) < len(parts):
            select.set("having", exp.Having(this=exp.and_(*kept, copy=False)) if kept else None)
            found = True
    return found


def _is_at_least_one(part: exp.Expr) -> bool:
    least, count = _least_count(part), part.find(exp.Count)
    return least is not None and least <= 1 and count is not None and isinstance(count.this, exp.Star)


def null_tests_without_effect(query: Query, facts: Constraints) -> bool:
    """IS NOT NULL and COUNT(column) of columns that are not NULL: no condition, and COUNT(*)."""
    found = False
    for select in query.all(exp.Select):
        parts = conditions(select)
        kept = [part for part in parts if not _always_has_value(query, facts, select, part)]
        if len(kept) < len(parts):
            set_conditions(select, kept)
            found = True
    for count in query.all(exp.Count):
        scope, counted = count.find_ancestor(exp.Select), count.this.unnest()
        own = isinstance(counted, exp.Column) and scope and is_not_null(query, facts, scope, counted)
        if own or isinstance(counted, exp.Literal):
            count.set("this", exp.Star())
            found = True
    return found


def _always_has_value(query: Query, facts: Constraints, select: exp.Select, part: exp.Expr) -> bool:
    if not (isinstance(part, exp.Not) and isinstance(part.this.unnest(), exp.Is)):
        return False
    tested = rejected_columns(part)
    others = [column for other in conditions(select) if other != part for column in rejected_columns(other)]
    place = query.resolve(tested[0]) if tested else None
    certain = place and place.key in facts.not_null and place.source not in optional_sources(select)
    own = place and place.source in query.sources(select)
    return bool(own and (certain or tested[0] in others))


def equal_columns(query: Query, facts: Constraints) -> bool:
    """One column for all that WHERE makes equal to it, where equal values are the same values."""
    found = False
    for select in query.all(exp.Select):
        ties = [part for part in conditions(select) if _is_tie(query, select, part)]
        leader = _leaders(ties)
        if not leader or not has_plain_joins(select):
            continue
        set_conditions(select, [part for part in conditions(select) if part not in ties])
        for column in own_columns(select):
            join = column.find_ancestor(exp.Join, exp.Select)
            fixed = isinstance(join, exp.Join) or (column.parent is select and names_matter(select))
            if not fixed and column in leader and leader[column] != column:
                column.replace(leader[column].copy())
                found = True
        pairs = [
            exp.EQ(this=own.copy(), expression=column.copy())
            for column, own in leader.items()
            if own != column
        ]
        set_conditions(select, [*conditions(select), *pairs])
    return found


def _is_tie(query: Query, select: exp.Select, part: exp.Expr) -> bool:
    if not isinstance(part, exp.EQ) or not isinstance(part.this, exp.Column):
        return False
    if not isinstance(part.expression, exp.Column) or part.this == part.expression:
        return False
    places = [query.resolve(side) for side in (part.this, part.expression)]
    sources = query.sources(select)
    kinds = {affinity(place.column.type) if place and place.source in sources else "blob" for place in places}
    return len(kinds) == 1 and kinds <= set(_INTERCHANGEABLE)


def _leaders(ties: list[exp.Expr]) -> Mapping[exp.Expr, exp.Expr]:
    """For each tied column the first one, by name, of those that it equals."""
    groups: list[set[exp.Expr]] = []
    for tie in ties:
        sides = {tie.this, tie.expression}
        touching = [group for group in groups if group & sides]
        groups = [group for group in groups if not group & sides]
        groups.append(sides.union(*touching))
    return {
        column: min(group, key=_by_column) for group in groups for column in sorted(group, key=_by_column)
    }


def _by_column(column: exp.Expr) -> tuple[str, str]:
    return column.name, column.sql()


def group_keys_without_effect(query: Query, facts: Constraints) -> bool:
    """Keys of GROUP BY that another key determines; all of GROUP BY where each row is a group of its own."""
    found = False
    for select in query.all(exp.Select):
        group = select.args.get("group")
        if not group:
            continue
        kept = _without_determined(query, facts, select, group.expressions)
        found |= len(kept) < len(group.expressions)
        group.set("expressions", kept)
        single = not aggregates(select) and not select.args.get("having")
        if single and is_unique(query, facts, select, set(kept)):
            select.set("group", None)
            found = True
    return found


def _without_determined(
    query: Query, facts: Constraints, select: exp.Select, keys: list[exp.Expr]
) -> list[exp.Expr]:
    own = keys_of(query, facts, select)
    determined: list[exp.Expr] = []
    for source, unique in own.items():
        key = next((key for key in unique if key <= set(keys)), None)
        if key:
            mine = [column for column in keys if isinstance(column, exp.Column) and column.table == source]
            determined += [column for column in mine if column not in key]
    kept = [key for key in dict.fromkeys(keys) if key not in determined]
    in_keys = {column for unique in own.values() for key in unique for column in key}
    for one in sorted(kept, key=lambda key: (key in in_keys, key.sql())):
        rest = [key for key in kept if key != one]
        # without any key there is one group even where there is no row
        if rest and isinstance(one, exp.Column) and one in determined_by(query, facts, select, rest):
            kept = rest
    return kept


def determined_by(
    query: Query, facts: Constraints, select: exp.Select, given: Iterable[exp.Expr]
) -> set[exp.Expr]:
    """The columns that are equal in any two rows of FROM and WHERE that agree in `given`."""
    found = {*given, *_fixed(select)}
    keys, ties = keys_of(query, facts, select), list(_determining(query, select))
    size = 0
    while size < len(found):
        size = len(found)
        found |= {other for one, other in ties if one in found}
        for place in query.columns(select):
            if any(key <= found for key in keys.get(place.source, ())):
                found.add(reference(place))
    return found


def _determining(query: Query, select: exp.Select) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """Pairs of columns that WHERE makes equal, where equal values of the first mean such of the second.

    A number can equal several texts, such as '1' and '1.0', but no text several numbers.
    """
    for part in conditions(select):
        sides = (part.this, part.expression) if isinstance(part, exp.EQ) else ()
        for one, other in (sides, sides[::-1]) if sides else ():
            places = [query.resolve(side) if isinstance(side, exp.Column) else None for side in (one, other)]
            kinds = [affinity(place.column.type) if place else "blob" for place in places]
            numbers = [kind in ("integer", "numeric", "real") for kind in kinds]
            if (numbers[1] and kinds[0] != "blob") or kinds == ["text", "text"]:
                yield one, other


def order_without_effect(query: Query, facts: Constraints) -> bool:
    """ORDER BY and LIMIT of at most one row, ORDER BY in IN and EXISTS, keys behind one that is unique."""
    found = False
    for select in query.all(exp.Select):
        limit, order = select.args.get("limit"), select.args.get("order")
        if select.args.get("offset") or (limit and not _is_positive(limit)):
            continue
        # an aggregate in ORDER BY can decide from which row a column beside the aggregates is taken
        decides = order and order.find(exp.AggFunc)
        if (limit or order) and not decides and _is_one_row(query, facts, select):
            select.set("limit", None)
            select.set("order", None)
            found = True
        elif order and not limit and is_membership(select):
            select.set("order", None)
            found = True
        elif order:
            found |= _cut_order(query, facts, select, order)
    return found


def _is_positive(limit: exp.Expr) -> bool:
    return (
        isinstance(limit.expression, exp.Literal)
        and limit.expression.is_int
        and int(limit.expression.this) > 0
    )


def _is_one_row(query: Query, facts: Constraints, select: exp.Select) -> bool:
    if select.args.get("group"):
        return False
    found = aggregates(select)
    if found:
        return any(
            node.find_ancestor(exp.Having, exp.Order, exp.Where, exp.Select) is select for node in found
        )
    return is_unique(query, facts, select, set(_fixed(select)))


def _fixed(select: exp.Select) -> Iterator[exp.Expr]:
    """The columns that WHERE compares with a constant by `=`."""
    for part in conditions(select):
        if isinstance(part, exp.EQ):
            for side, other in ((part.this, part.expression), (part.expression, part.this)):
                if isinstance(side, exp.Column) and isinstance(other, exp.Literal):
                    yield side


def _cut_order(query: Query, facts: Constraints, select: exp.Select, order: exp.Expr) -> bool:
    group = select.args.get("group")
    kept: list[exp.Expr] = []
    for key in order.expressions:
        given = {other.this for other in kept}
        of_groups = group and set(group.expressions) <= given
        of_rows = not group and not aggregates(select) and is_unique(query, facts, select, given)
        if of_groups or of_rows:
            break
        if key.this not in given:
            kept.append(key)
    cut = len(kept) < len(order.expressions)
    order.set("expressions", kept)
    return cut


def group_of_members_without_effect(query: Query, facts: Constraints) -> bool:
    """GROUP BY of what IN asks for: repeated rows do not count there."""
    found = False
    for select in query.all(exp.Select):
        group = select.args.get("group")
        if not group or aggregates(select) or select.args.get("having") or select.args.get("limit"):
            continue
        if is_membership(select) and {item.unalias() for item in select.expressions} == set(
            group.expressions
        ):
            select.set("group", None)
            found = True
    return found
