"""Proofs that two queries give the same answer on every database of a schema.

Both are brought to one form by rules that hold in SQLite (`equality_rules`); equal forms prove equal answers.
Where SQL leaves the answer open (which of several rows with equal keys comes first, or is kept by LIMIT; from
which row of a group a column outside GROUP BY is taken), equal means that the same answers are allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sqlglot import exp

from text2sql.evaluation.spider.rewrite import order_matters
from text2sql.suites import condition_rules as of_conditions
from text2sql.suites import equality_rules as rules
from text2sql.suites.constraints import Constraints
from text2sql.suites.facts import affinity
from text2sql.suites.join_rules import join_without_effect
from text2sql.suites.selects import aggregates, has_plain_joins, names_matter, prepare
from text2sql.suites.trees import Query, conjuncts, parse, source_nodes, text

_RULES: tuple[rules.Rule, ...] = (
    rules.constants_of_column_type,
    rules.whole_number_bounds,
    of_conditions.single_values,
    of_conditions.comparisons_with_extremes,
    rules.outer_join_as_inner,
    rules.outer_join_of_aggregates,
    rules.outer_join_of_larger_groups,
    of_conditions.defaults_without_effect,
    of_conditions.null_tests_that_fail,
    of_conditions.implied_conditions,
    join_without_effect,
    rules.equal_columns,
    rules.null_tests_without_effect,
    rules.having_without_effect,
    rules.group_of_members_without_effect,
    rules.group_keys_without_effect,
    rules.order_without_effect,
)
# Results may differ from run to run, or the rules do not know what these do.
_UNCERTAIN = (exp.Rand, exp.Window, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Collate)
_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {exp.GT: exp.LT, exp.GTE: exp.LTE}
_OPPOSITE: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.LT: exp.GTE,
    exp.GTE: exp.LT,
    exp.GT: exp.LTE,
    exp.LTE: exp.GT,
}
_COMMUTATIVE = (exp.EQ, exp.NEQ, exp.Add, exp.Mul)
_IDENTICAL = ("integer", "numeric", "text")  # equal values of two columns of one of these look the same


def proved_equal(gold: str, other: str, facts: Constraints, keep_distinct: bool = False) -> str:
    """The reason why two queries have the same answers in the official evaluation; "" if none is known.

    The reason names the rules that brought them to one form, or says that the form is the same at once. Holds
    for queries that SQLite compiles, on every database of which `facts` hold. DISTINCT does not count, as the
    official evaluator drops it, unless `keep_distinct`. Nothing but equal texts is proved where a table names
    a collation, or a query has random numbers or window functions.
    Not covered: LIKE made to respect case by a PRAGMA; which of the allowed answers SQLite gives where the
    query leaves that open, for example on ties under LIMIT.
    """
    try:
        forms = [_canonical(sql, facts, keep_distinct, order_matters(gold)) for sql in (gold, other)]
    except RecursionError:
        return ""
    (gold_form, gold_rules), (other_form, other_rules) = forms
    if gold_form is None or gold_form != other_form:
        return ""
    return ", ".join(sorted(gold_rules ^ other_rules)) or "the same form"


def _canonical(
    sql: str, facts: Constraints, keep_distinct: bool, ordered: bool
) -> tuple[str | None, set[str]]:
    """The form of a query and the names of the rules that changed it; None if it cannot be read."""
    query = parse(sql, facts.schema)
    if query is None:
        return None, set()
    if facts.collations or query.root.find(*_UNCERTAIN) or _has_distinct_on(query):
        return text(query.root), set()
    prepare(query)
    distinct = rules.distinct_without_effect if keep_distinct else rules.drop_distinct
    fired = {rule.__name__ for rule in (distinct, *_RULES) if rule(query, facts)}
    if not ordered and not query.root.args.get("limit") and query.root.args.get("order"):
        query.root.set("order", None)
        fired.add("order_does_not_count")
    _rename(query)
    return _Form(query).of(query.root), fired


def _has_distinct_on(query: Query) -> bool:
    return any(node.args.get("on") for node in query.all(exp.Distinct))


def _rename(query: Query) -> None:
    """Name every source by its table, the depth of its SELECT, and its number among equal tables there."""
    owners = [(column, _owner(query, column)) for column in query.all(exp.Column) if column.table]
    names: dict[tuple[int, str], str] = {}
    for select in query.all(exp.Select):
        depth = len(list(_selects_around(select)))
        counts: Counter[str] = Counter()
        for node in _in_canonical_order(select):
            table = node.name if isinstance(node, exp.Table) else ""
            names[id(select), node.alias_or_name] = f"{table} {depth} {counts[table]}"
            counts[table] += 1
    for column, owner in owners:
        if owner is not None:
            column.set("table", exp.to_identifier(names[id(owner), column.table], quoted=True))
    for select in query.all(exp.Select):
        for node in source_nodes(select):
            new = exp.to_identifier(names[id(select), node.alias_or_name], quoted=True)
            node.set("alias", exp.TableAlias(this=new))


def _owner(query: Query, column: exp.Column) -> exp.Select | None:
    return next((scope for scope in _selects_around(column) if column.table in query.sources(scope)), None)


def _selects_around(node: exp.Expr) -> Iterator[exp.Select]:
    while (scope := node.find_ancestor(exp.Select)) is not None:
        yield scope
        node = scope


def _in_canonical_order(select: exp.Select) -> list[exp.Expr]:
    """The sources by the names of their tables, where their order does not count."""
    nodes = source_nodes(select)
    movable = not any(item.is_star for item in select.expressions)
    joins = select.args.get("joins") or ()
    if movable and has_plain_joins(select) and not any(join.side for join in joins):
        nodes.sort(key=lambda node: node.name if isinstance(node, exp.Table) else "")
    return nodes


class _Form:
    """The text by which trees are compared: operands in one order, without parentheses and unused aliases."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def of(self, node: exp.Expr) -> str:
        """The form of a node and all below it."""
        bare = node.unnest() if not isinstance(node, exp.Subquery) or not node.alias else node
        if isinstance(bare, exp.Select):
            return self._select(bare)
        if isinstance(bare, exp.SetOperation):
            return self._set_operation(bare)
        if isinstance(bare, exp.And | exp.Or):
            parts = sorted({self.of(part) for part in _parts(bare)})
            return _call(bare.key, parts) if len(parts) > 1 else parts[0]
        if isinstance(bare, exp.Not) and type(bare.this.unnest()) in _OPPOSITE:
            inner = bare.this.unnest()
            return self.of(_OPPOSITE[type(inner)](this=inner.this.copy(), expression=inner.expression.copy()))
        return self._expression(bare)

    def _expression(self, node: exp.Expr) -> str:
        if isinstance(node, _COMMUTATIVE):
            return _call(node.key, sorted([self.of(node.this), self.of(node.expression)]))
        if type(node) in _FLIPPED:
            return _call(_FLIPPED[type(node)].key, [self.of(node.expression), self.of(node.this)])
        if isinstance(node, exp.LT | exp.LTE):
            return _call(node.key, [self.of(node.this), self.of(node.expression)])
        if isinstance(node, exp.In) and node.expressions:
            values = sorted({self.of(value) for value in node.expressions})
            if len(values) == 1 and isinstance(node.expressions[0], exp.Literal):
                return _call("eq", sorted([self.of(node.this), values[0]]))
            return _call("in", [self.of(node.this), *values])
        if isinstance(node, exp.Like) and not isinstance(node.parent, exp.Escape):
            pattern = node.expression
            if isinstance(pattern, exp.Literal) and pattern.this.isascii():
                pattern = exp.Literal.string(pattern.this.lower())  # LIKE does not respect the case of these
            return _call("like", [self.of(node.this), self.of(pattern)])
        return self._other(node)

    def _other(self, node: exp.Expr) -> str:
        parts = [f"{name}={self._value(value)}" for name, value in sorted(node.args.items()) if value]
        return _call(node.key, [part for part in parts if not part.startswith("big_int=")])

    def _value(self, value: object) -> str:
        if isinstance(value, exp.Expr):
            return self.of(value)
        return (
            _call("list", [self._value(item) for item in value]) if isinstance(value, list) else repr(value)
        )

    def _select(self, select: exp.Select) -> str:
        parts = [_call("items", self._items(select)), *self._sources(select)]
        where = select.args.get("where")
        parts.append(
            _call("where", sorted({self.of(part) for part in conjuncts(where.this)} if where else ()))
        )
        group = select.args.get("group")
        parts.append(_call("group", sorted({self.of(key) for key in group.expressions} if group else ())))
        seen = ("expressions", "from_", "joins", "where", "group")
        rest = sorted((name, value) for name, value in select.args.items() if value and name not in seen)
        return _call("select", [*parts, *(f"{name}={self._value(value)}" for name, value in rest)])

    def _items(self, select: exp.Select) -> list[str]:
        is_cut = select.args.get("limit") or select.args.get("offset")
        if isinstance(select.parent, exp.Exists) and not aggregates(select) and not is_cut:
            return []
        used = {column.name for column in select.find_all(exp.Column) if not column.table}
        named = names_matter(select)
        items = [item if named or item.alias in used else item.unalias() for item in select.expressions]
        found = [self.of(item) for item in items]
        # the official evaluation takes the columns in any order; ordinals are left where there is a *
        movable = select is self._query.root and not any(item.is_star for item in items)
        return sorted(found) if movable else found

    def _sources(self, select: exp.Select) -> list[str]:
        joins = {id(join.this): join for join in select.args.get("joins") or ()}
        plain = has_plain_joins(select)
        found = []
        for node in _in_canonical_order(select):
            join = joins.get(id(node))
            if join and (join.side or join.args.get("on") or not plain):
                details = [
                    f"{name}={self._value(value)}" for name, value in sorted(join.args.items()) if value
                ]
                found.append(_call("join", [detail for detail in details if detail != "kind='OUTER'"]))
            else:
                found.append(self._other(node))
        return found

    def _set_operation(self, node: exp.SetOperation) -> str:
        sides = [self.of(node.this), self.of(node.expression)]
        if self._is_symmetric(node):
            sides.sort()
        rest = sorted(
            (name, value) for name, value in node.args.items() if name not in ("this", "expression")
        )
        return _call(node.key, [*sides, *(f"{name}={self._value(value)}" for name, value in rest if value)])

    def _is_symmetric(self, node: exp.SetOperation) -> bool:
        if (
            isinstance(node, exp.Except)
            or node.args.get("order")
            or node.args.get("limit")
            or names_matter(node)
        ):
            return False
        if isinstance(node, exp.Union) and not node.args.get("distinct"):
            return True
        first, second = self._affinities(node.this), self._affinities(node.expression)
        return first == second and set(first) <= set(_IDENTICAL)

    def _affinities(self, side: exp.Expr) -> list[str]:
        items = [item.unalias() for item in side.expressions] if isinstance(side, exp.Select) else []
        places = [self._query.resolve(item) if isinstance(item, exp.Column) else None for item in items]
        return [affinity(place.column.type) if place else "" for place in places] or [""]


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """The operands of a chain of one connective."""
    for side in (node.this.unnest(), node.expression.unnest()):
        if type(side) is type(node):
            yield from _parts(side)
        else:
            yield side


def _call(name: str, parts: list[str]) -> str:
    return f"{name}({', '.join(parts)})"
