"""A query taken apart for comparison: its tables, conditions, operators; names without case and quotes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

MOST_CHARACTERS = 20_000
"""Longer queries are not parsed: sqlglot would take seconds, and no person reads the result."""

_SHORT = 70  # characters of a piece of SQL in a sentence
_NEGATED = {
    "IN": "NOT IN",
    "LIKE": "NOT LIKE",
    "BETWEEN": "NOT BETWEEN",
    "IS": "IS NOT",
    "EXISTS": "NOT EXISTS",
}
_OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.Like: "LIKE",
    exp.Glob: "GLOB",
    exp.Is: "IS",
}


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query whose columns have no table; the table of each is in its `meta`, None if unknown."""

    tree: exp.Expr

    @property
    def has_tables(self) -> bool:
        """Whether the table of every column is known."""
        return all(column.meta.get("table") for column in self.tree.find_all(exp.Column))

    @property
    def tables(self) -> set[str]:
        """All tables that the query reads, subqueries included."""
        return {table.name for table in self.tree.find_all(exp.Table)}

    def with_tables(self, tables: set[str]) -> Query:
        """A copy in which the columns of these tables name their table."""
        tree = self.tree.copy()
        for column in tree.find_all(exp.Column):
            if column.meta["table"] in tables:
                column.set("table", exp.to_identifier(column.meta["table"]))
        return Query(tree)


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition: `left operator right`; `subquery` is the query on its right, if it is one.

    `text` is what conditions are compared by, `shown` is for people: the columns of a join have their tables.
    """

    left: str
    operator: str
    right: str
    text: str
    shown: str
    subquery: exp.Expr | None = None

    def likeness(self, other: Predicate) -> int:
        """From 3 on the two can be versions of one condition: the same left, or the same comparison."""
        same_right = self.right == other.right or bool(self.subquery and other.subquery)
        return 4 * (self.left == other.left) + 2 * (self.operator == other.operator) + same_right


@lru_cache(maxsize=64)
def read_query(sql: str) -> Query | None:
    """Parse the first statement of `sql`; None if sqlglot cannot, or it is no query."""
    if len(sql) > MOST_CHARACTERS:
        return None
    with suppress(SqlglotError, RecursionError, ValueError):
        tree = next(iter(sqlglot.parse(sql, read="sqlite")), None)
        while isinstance(tree, exp.Subquery | exp.Paren):
            tree = tree.this
        if isinstance(tree, exp.Select | exp.SetOperation):
            _normalize(tree)
            return Query(tree)
    return None


def with_tables(one: Query, other: Query) -> tuple[Query, Query]:
    """Both queries, in which the columns of the tables that both read name their table.

    Neither is changed where the table of a column is not known.
    """
    if not one.has_tables or not other.has_tables:
        return one, other
    shared = one.tables & other.tables
    return one.with_tables(shared), other.with_tables(shared)


def selects(tree: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs that set operators connect, from left to right."""
    if isinstance(tree, exp.SetOperation):
        yield from selects(tree.left)
        yield from selects(tree.right)
    elif isinstance(tree, exp.Subquery | exp.Paren):
        yield from selects(tree.this)
    elif isinstance(tree, exp.Select):
        yield tree


def operators(tree: exp.Expr) -> list[str]:
    """The set operators of a query, from left to right."""
    if isinstance(tree, exp.Subquery | exp.Paren):
        return operators(tree.this)
    if not isinstance(tree, exp.SetOperation):
        return []
    name = tree.key.upper() + ("" if tree.args.get("distinct", True) else " ALL")
    return [*operators(tree.left), name, *operators(tree.right)]


def sources(select: exp.Select) -> list[str]:
    """The tables in FROM and JOIN, in alphabetical order; a subquery by its text."""
    return sorted(_source(source) for source in _sources(select))


def nested_sources(select: exp.Select) -> set[str]:
    """The tables that only subqueries of a SELECT read."""
    return {table.name.lower() for table in select.find_all(exp.Table)} - set(sources(select))


def predicates(select: exp.Select, joins: bool = False) -> list[Predicate]:
    """The conditions of WHERE and ON: those between columns of two tables (`joins`), or all others."""
    where = select.args.get("where")
    trees = [where.this] if where else []
    ons = [join.args.get("on") for join in select.args.get("joins") or ()]
    trees += [on for on in ons if on and not isinstance(on, exp.Boolean)]  # sqlglot adds ON TRUE
    leaves = [leaf for tree in trees for leaf in _leaves(tree)]
    return [_predicate(leaf) for leaf in leaves if _is_join(leaf) == joins]


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a selected item is an aggregate."""
    return isinstance(node, exp.AggFunc)


def text_of(node: exp.Expr) -> str:
    """The SQL of a node without its alias."""
    return node.unalias().sql(dialect="sqlite")


def short(text: str, limit: int = _SHORT) -> str:
    """A text of one line and at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _normalize(tree: exp.Expr) -> None:
    """Take case, quotes, aliases and tables from names; double-quoted text beside a column is a string."""
    aliases = {id(select): _aliases(select) for select in tree.find_all(exp.Select)}
    for column in list(tree.find_all(exp.Column)):
        if _is_text(column):
            column.replace(exp.Literal.string(column.name))
            continue
        column.meta["table"] = _table(column, aliases)
        column.set("table", None)
        if isinstance(column.this, exp.Identifier):
            column.set("this", exp.to_identifier(column.name.lower()))
    for select in list(tree.find_all(exp.Select)):
        _expand_aliases(select)
    for table in tree.find_all(exp.Table):
        table.set("alias", None)
        if isinstance(table.this, exp.Identifier):
            table.set("this", exp.to_identifier(table.name.lower()))


def _expand_aliases(select: exp.Select) -> None:
    """Write what an alias of a selected item stands for where GROUP BY, HAVING or ORDER BY name it."""
    items = {item.alias.lower(): item.this for item in select.expressions if isinstance(item, exp.Alias)}
    for clause in ("group", "having", "order"):
        node = select.args.get(clause)
        for column in list(node.find_all(exp.Column)) if node and items else ():
            if column.name.lower() in items and not column.table:
                column.replace(items[column.name.lower()].copy())


def _is_text(column: exp.Column) -> bool:
    """Whether a name in double quotes stands where SQLite finds no column and takes it for a text."""
    parent = column.parent
    quoted = isinstance(column.this, exp.Identifier) and column.this.quoted and not column.table
    compared = isinstance(parent, exp.Predicate) and column.arg_key != "this"
    return bool(quoted and compared)


def _table(column: exp.Column, aliases: dict[int, dict[str, str]]) -> str | None:
    """The table of a column: that of its alias, or the only one of its SELECT."""
    select = column.find_ancestor(exp.Select)
    if not column.table:
        known = aliases.get(id(select), {})
        return next(iter(known.values())) if len(known) == 1 else None
    while select is not None:
        found = aliases[id(select)].get(column.table.lower())
        if found:
            return found
        select = select.find_ancestor(exp.Select)
    return None


def _aliases(select: exp.Select) -> dict[str, str]:
    return {s.alias_or_name.lower(): _source(s) for s in _sources(select) if s.alias_or_name}


def _sources(select: exp.Select) -> Iterator[exp.Expr]:
    first = select.args.get("from_") or select.args.get("from")
    if first:
        yield first.this
    for join in select.args.get("joins") or ():
        yield join.this


def _source(source: exp.Expr) -> str:
    return source.name.lower() if isinstance(source, exp.Table) else text_of(source)


def _leaves(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions that AND and OR connect."""
    if isinstance(tree, exp.Paren):
        yield from _leaves(tree.this)
    elif isinstance(tree, exp.And | exp.Or):
        yield from _leaves(tree.left)
        yield from _leaves(tree.right)
    else:
        yield tree


def _is_join(leaf: exp.Expr) -> bool:
    sides = (leaf.args.get("this"), leaf.args.get("expression"))
    if not isinstance(leaf, exp.EQ) or not all(isinstance(side, exp.Column) for side in sides):
        return False
    one, other = (side.meta.get("table") for side in sides if side)
    return one != other or one is None


def _predicate(leaf: exp.Expr) -> Predicate:
    negated = isinstance(leaf, exp.Not)
    inner = leaf.this.unnest() if negated else leaf
    left, operator, right = _parts(inner)
    if negated:
        operator = _NEGATED.get(operator, f"NOT {operator}")
    text = shown = (
        f"{text_of(left)} {operator} {_right(inner, right)}" if negated and right else text_of(leaf)
    )
    if isinstance(left, exp.Column) and isinstance(right, exp.Column) and _is_join(leaf):
        text = " = ".join(sorted((text_of(left), text_of(right))))
        shown = " = ".join(sorted((_with_table(left), _with_table(right))))
    query = right.unnest() if isinstance(right, exp.Subquery | exp.Select | exp.SetOperation) else None
    return Predicate(text_of(left), operator, text_of(right) if right else "", text, shown, query)


def _right(node: exp.Expr, right: exp.Expr) -> str:
    """The right side of a negated condition, as SQL."""
    if isinstance(node, exp.Between):
        return " AND ".join(map(text_of, right.expressions))
    return text_of(right)


def _with_table(column: exp.Column) -> str:
    table = column.meta.get("table")
    return f"{table}.{column.name}" if table else column.name


def _parts(node: exp.Expr) -> tuple[exp.Expr, str, exp.Expr | None]:
    """Left side, operator and right side of a condition; of an unusual one the whole and nothing."""
    operator = _OPERATORS.get(type(node))
    if operator:
        return node.this, operator, node.expression
    if isinstance(node, exp.In):
        query = node.args.get("query")
        return node.this, "IN", query or exp.Tuple(expressions=[e.copy() for e in node.expressions])
    if isinstance(node, exp.Between):
        ends = [node.args["low"].copy(), node.args["high"].copy()]
        return node.this, "BETWEEN", exp.Tuple(expressions=ends)
    if isinstance(node, exp.Exists):
        return exp.Literal.string(""), "EXISTS", node.this
    return node, "", None
