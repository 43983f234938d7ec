"""Queries as syntax trees whose columns know their tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlglot import exp

from text2sql.contamination.folding import is_string
from text2sql.schema.ddl import quote_name
from text2sql.schema.model import Column, Schema, Table
from text2sql.schema.queries import parse_query

T = TypeVar("T")
E = TypeVar("E", bound=exp.Expr)
Value = int | float | str | bytes | None
Values = Mapping[tuple[str, str], Sequence[Value]]
"""Some values of each column, by (table, column) in lower case."""
Edit = tuple[exp.Expr, exp.Expr]
"""A node of a tree and what is to stand in its place."""
Mutation = Callable[["Query", random.Random], Iterator[Edit]]

CONNECTED = (exp.And, exp.Or)
COMPARED = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max)


# The rules of https://www.sqlite.org/datatype3.html, 3.1, in their order.
def is_number(column: Column) -> bool:
    """Whether the column's declared type is a number's."""
    words = ("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC")
    return any(word in column.type.upper() for word in words)


@dataclass(frozen=True, slots=True)
class Place:
    """The column of the schema that a column of a query means, and the name by which its table goes there."""

    source: str
    table: Table
    column: Column

    @property
    def key(self) -> tuple[str, str]:
        """Table and column in lower case."""
        return self.table.name.lower(), self.column.name.lower()


@dataclass(slots=True)
class Query:
    """A syntax tree with names in lower case, its schema, and some values of the columns."""

    root: exp.Query
    tables: dict[str, Table]
    values: Values = field(default_factory=dict)
    _places: dict[int, Place | None] = field(default_factory=dict)

    def all(self, *kinds: type[E]) -> list[E]:
        """All nodes of these kinds, in the order of the text."""
        return list(self.root.find_all(*kinds, bfs=False))

    def sources(self, select: exp.Select) -> dict[str, Table | None]:
        """What stands in FROM and JOIN, by the names of its columns' qualifiers; None: not a table."""
        found: dict[str, Table | None] = {}
        for node in source_nodes(select):
            table = self.tables.get(node.name) if isinstance(node, exp.Table) else None
            found[node.alias_or_name] = table
        return found

    def place(self, column: exp.Column) -> Place | None:
        """What the column means; None if that is no column of a table, or not certain."""
        if id(column) not in self._places:
            self._places[id(column)] = self.resolve(column)
        return self._places[id(column)]

    def resolve(self, column: exp.Column) -> Place | None:
        """As `place`, for a tree that changes."""
        scope = column.find_ancestor(exp.Select, exp.SetOperation)
        while isinstance(scope, exp.Select):
            sources = self.sources(scope)
            named = {name: sources[name] for name in sources if column.table in ("", name)}
            if column.table and named and None in named.values():
                return None
            found = [
                Place(name, table, own)
                for name, table in named.items()
                if table
                for own in table.columns
                if own.name.lower() == column.name
            ]
            if found or (not column.table and None in named.values()):
                return found[0] if len(found) == 1 and None not in named.values() else None
            scope = scope.find_ancestor(exp.Select, exp.SetOperation)
        return None

    def similar(self, place: Place) -> list[Place]:
        """The other columns of the same table that are numbers, if this is one, or else are none."""
        wanted = is_number(place.column)
        others = (column for column in place.table.columns if column.name != place.column.name)
        return [Place(place.source, place.table, own) for own in others if is_number(own) == wanted]

    def namesakes(self, column: exp.Column) -> list[Place]:
        """The columns of the same name in the other tables of the same SELECT."""
        select, place = column.find_ancestor(exp.Select), self.place(column)
        if not isinstance(select, exp.Select) or not place:
            return []
        own = (found for found in self.columns(select) if found.source != place.source)
        return [found for found in own if found.column.name.lower() == column.name]

    def columns(self, select: exp.Select) -> list[Place]:
        """All columns of the tables of a SELECT."""
        sources = self.sources(select).items()
        return [Place(name, table, own) for name, table in sources if table for own in table.columns]

    def literals(self, place: Place) -> list[exp.Expr]:
        """Some values of the column, as constants."""
        return [
            constant(value)
            for value in self.values.get(place.key, ())
            if isinstance(value, int | float | str)
        ]


def parse(sql: str, schema: Schema, values: Values | None = None) -> Query | None:
    """Parse one SQLite query; None if the text is anything else, or is nested too deeply.

    Names become lower case. "x" in double quotes is a string where neither schema nor query has that name.
    """
    root = parse_query(sql)
    if root is None:
        return None
    inner = {cte.alias.lower() for cte in root.find_all(exp.CTE)}
    tables = {table.name.lower(): table for table in schema.tables if table.name.lower() not in inner}
    known = {column.name.casefold() for table in schema.tables for column in table.columns}
    known |= {node.alias.casefold() for node in root.find_all(exp.Alias)}
    for column in [node for node in root.find_all(exp.Column) if is_string(node, known)]:
        column.replace(exp.Literal.string(column.name))
    for name in list(root.find_all(exp.Identifier)):
        name.replace(identifier(name.name))
    return Query(root, tables, values or {})


def text(tree: exp.Expr) -> str:
    """The SQL of a tree, in the one form in which queries are compared."""
    return tree.sql("sqlite", comments=False)


def edited(root: exp.Query, edit: Edit) -> str:
    """The SQL of the tree after an edit; the tree itself stays as it is."""
    node, new = edit
    if node is root:
        return text(new)
    placed = node.replace(new)
    try:
        return text(root)
    finally:
        placed.replace(node)


def changed(node: E, **args: object) -> tuple[E, E]:
    """The edit that gives a copy of `node` these arguments; None removes one."""
    new = node.copy()
    for name, value in args.items():
        new.set(name, value)
    return node, new


def without(node: E, arg: str, at: int) -> tuple[E, E]:
    """The edit that removes one item of a list; the last one goes with its clause."""
    new = node.copy()
    rest = [item for place, item in enumerate(new.args[arg]) if place != at]
    new.set(arg, rest or None)
    return node, new


def reference(place: Place, *, qualified: bool = True) -> exp.Column:
    """A column that means this place."""
    return exp.column(identifier(place.column.name), identifier(place.source) if qualified else None)


def identifier(name: str) -> exp.Identifier:
    """A name in lower case, in quotes where SQLite needs them."""
    lower = name.lower()
    return exp.to_identifier(lower, quoted=quote_name(lower) != lower)


def constant(value: int | float | str) -> exp.Expr:
    """A value as SQL."""
    if isinstance(value, str):
        return exp.Literal.string(value)
    return exp.Neg(this=exp.Literal.number(-value)) if value < 0 else exp.Literal.number(value)


def source_nodes(select: exp.Select) -> list[exp.Expr]:
    """What stands in FROM and JOIN, in the order of the text."""
    first = select.args.get("from_")
    return [*([first.this] if first else []), *(join.this for join in select.args.get("joins") or ())]


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """The parts of a condition that AND joins, out of their parentheses."""
    if condition is None:
        return []
    bare = condition.unnest()
    return [*conjuncts(bare.this), *conjuncts(bare.expression)] if isinstance(bare, exp.And) else [bare]


def joined(parts: Sequence[exp.Expr]) -> exp.Expr:
    """The conditions joined by AND, as copies, in parentheses where they need them."""
    return exp.and_(*(part.copy() for part in parts))


def less(parts: Sequence[exp.Expr], part: exp.Expr) -> list[exp.Expr]:
    """The conditions without this one."""
    return [other for other in parts if other is not part]


def limit_to(rows: int) -> exp.Limit:
    """LIMIT with a number of rows."""
    return exp.Limit(expression=exp.Literal.number(rows))


def sample(items: Sequence[T], most: int, chance: random.Random) -> list[T]:
    """At most `most` of the items, drawn at random."""
    return chance.sample(list(items), min(most, len(items)))
