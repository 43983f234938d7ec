"""What gold queries ask of the rows: constants of columns, and conditions that are to hold together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from text2sql.suites.facts import DatabaseFacts
from text2sql.suites.source_rows import Value

_OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.Like: "like",
    exp.ILike: "like",
}
_EXCHANGED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
_NEGATED = {"=": "!=", "!=": "=", ">": "<=", "<": ">=", ">=": "<", "<=": ">", "null": "not null"}
_TEXT_FUNCTIONS = (exp.Lower, exp.Upper, exp.Trim, exp.Paren, exp.Cast)


@dataclass(frozen=True, slots=True)
class Cell:
    """A column of one of a goal's tables; `table` is the place in `Goal.tables`, `column` in lower case."""

    table: int
    column: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a cell with a constant, as =, <, like, "not like", null or "not null"."""

    cell: Cell
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Link:
    """Two cells that a query compares with =; not `sure` where the query also gives something without it."""

    one: Cell
    other: Cell
    sure: bool = True


@dataclass(frozen=True, slots=True)
class GroupSize:
    """A group of rows with one value in this cell, and the number that HAVING compares their count with."""

    cell: Cell
    size: int


@dataclass(slots=True)
class Goal:
    """What one query compares; `tables` are in lower case, once for each time that the query names them."""

    tables: list[str] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    sizes: list[GroupSize] = field(default_factory=list)


class Constants(dict[tuple[str, str], list[Value]]):
    """The constants of each (table, column), in lower case; `goals` has those that belong together.

    For a LIKE pattern the list has a text that matches it. `summed` are the names of the columns that are in
    sums or averages, in lower case; None where that may be any, as one is computed from others.
    """

    def __init__(self, goals: Iterable[Goal] = ()) -> None:
        super().__init__()
        self.goals = list(goals)
        self.summed: frozenset[str] | None = frozenset()


def constants(golds: Iterable[str], facts: DatabaseFacts) -> Constants:
    """Collect what the gold queries compare the columns of a database with.

    Not covered: constants that are compared with a computed value other than lower, upper, trim and cast. A
    query that sqlglot does not parse gives nothing.
    """
    found, golds = Constants(), list(dict.fromkeys(golds))
    for sql in golds:
        goal = read_goal(sql, facts)
        if goal is not None:
            found.goals.append(goal)
            for condition in goal.conditions:
                if condition.value is not None:
                    key = goal.tables[condition.cell.table], condition.cell.column
                    found.setdefault(key, []).append(_example(condition))
    for key, values in found.items():
        found[key] = list(dict.fromkeys(values))
    stored = {column.name.lower() for table in facts.tables for column in table.columns}
    summed = frozenset(name for sql in golds for name in _summed(sql))
    found.summed = summed if summed <= stored else None
    return found


def _summed(sql: str) -> Iterator[str]:
    """The names of the columns in sums and averages of a query, in lower case."""
    with suppress(SqlglotError, RecursionError):
        for node in sqlglot.parse_one(sql, read="sqlite").find_all(exp.Sum, exp.Avg, exp.Anonymous):
            if not isinstance(node, exp.Anonymous) or node.name.lower() == "total":
                yield from (column.name.lower() for column in node.find_all(exp.Column))


def matching(pattern: str, filler: str = "a") -> str:
    """A text that matches a LIKE pattern; `filler` stands for each %, its first letter for each _."""
    return pattern.replace("%", filler).replace("_", filler[:1] or "a")


def read_goal(sql: str, facts: DatabaseFacts) -> Goal | None:
    """The goal of a query; None if it cannot be parsed or names no table of the database."""
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    goal = _Reader(facts).read(tree)
    return goal if goal.tables else None


def _example(condition: Condition) -> Value:
    if condition.operator.endswith("like") and isinstance(condition.value, str):
        return matching(condition.value)
    return condition.value


class _Reader:
    """Reads one query. `_scopes` has the tables of each SELECT by alias."""

    def __init__(self, facts: DatabaseFacts) -> None:
        self._facts = facts
        self._goal = Goal()
        self._scopes: dict[int, dict[str, int]] = {}

    def read(self, tree: exp.Expr) -> Goal:
        for select in tree.find_all(exp.Select):
            self._scopes[id(select)] = dict(self._tables(select))
        for node in tree.walk():
            self._visit(node)
        return self._goal

    def _tables(self, select: exp.Select) -> Iterator[tuple[str, int]]:
        sources = [select.args.get("from_") or select.args.get("from"), *(select.args.get("joins") or ())]
        for source in sources:
            table = source.this if source is not None else None
            if isinstance(table, exp.Table) and self._facts.table(table.name):
                self._goal.tables.append(table.name.lower())
                yield table.alias_or_name.lower(), len(self._goal.tables) - 1

    def _visit(self, node: exp.Expr) -> None:
        if isinstance(node, exp.Between):
            self._compare(node, node.this, ">=", node.args["low"])
            self._compare(node, node.this, "<=", node.args["high"])
        elif isinstance(node, exp.In):
            self._read_in(node)
        elif isinstance(node, exp.Join) and node.args.get("using"):
            self._read_using(node)
        elif isinstance(node, exp.Is):
            self._compare(node, node.this, "null", node.expression)
        elif isinstance(node, exp.SetOperation):
            self._link_columns(node.left, node.right)
        elif isinstance(node, exp.Glob):
            pattern = node.expression.name.replace("*", "%").replace("?", "_")
            self._compare(node, node.this, "like", exp.Literal.string(pattern))
        elif operator := _OPERATORS.get(type(node)):
            self._compare(node, node.this, operator, node.expression)

    def _compare(self, node: exp.Expr, left: exp.Expr, operator: str, right: exp.Expr) -> None:
        if self._is_constant(left):
            left, right, operator = right, left, _EXCHANGED.get(operator, operator)
        if isinstance(left, exp.Count) and isinstance(right, exp.Literal) and not right.is_string:
            self._read_size(left, int(float(right.name)))
            return
        one = self._cell(left)
        if one is None:
            return
        if self._is_constant(right):
            if _is_negated(node):
                operator = _NEGATED.get(operator, f"not {operator}")
            self._goal.conditions.append(Condition(one, operator, _value(right)))
        elif operator == "=" and (other := self._cell(right)):
            self._goal.links.append(Link(one, other))

    def _read_in(self, node: exp.In) -> None:
        query = node.args.get("query")
        if query is not None:
            inner = query.this if isinstance(query, exp.Subquery) else query
            one, other = self._cell(node.this), self._first_column(inner)
            if one and other:
                self._goal.links.append(Link(one, other, sure=not _is_negated(node)))
        for value in node.expressions:
            self._compare(node, node.this, "=", value)

    def _read_using(self, join: exp.Join) -> None:
        mine = self._scopes.get(id(join.parent_select), {}).get(join.alias_or_name.lower())
        for name in (part.name.lower() for part in join.args["using"]):
            other = self._resolve(exp.Column(this=exp.to_identifier(name)), join.parent_select)
            if mine is not None and other:
                self._goal.links.append(Link(other, Cell(mine, name)))

    def _read_size(self, count: exp.Count, size: int) -> None:
        select = count.parent_select
        group = select.args.get("group") if select else None
        cells = [self._cell(column) for column in group.expressions] if group else []
        self._goal.sizes += [GroupSize(cell, size) for cell in cells[:1] if cell]

    def _link_columns(self, left: exp.Expr, right: exp.Expr) -> None:
        """Link the columns that a set operation compares."""
        if isinstance(left, exp.Select) and isinstance(right, exp.Select):
            for mine, its in zip(left.selects, right.selects, strict=False):
                one, other = self._cell(mine), self._cell(its)
                if one and other:
                    self._goal.links.append(Link(one, other, sure=False))

    def _first_column(self, query: exp.Expr) -> Cell | None:
        return self._cell(query.selects[0]) if isinstance(query, exp.Select) and query.selects else None

    def _cell(self, node: exp.Expr) -> Cell | None:
        """The cell that an expression is, or of which a function of text or an aggregate is computed."""
        while isinstance(node, (*_TEXT_FUNCTIONS, exp.Alias, exp.Distinct)) or (
            isinstance(node, exp.AggFunc) and not isinstance(node, exp.Count)
        ):
            node = node.expressions[0] if isinstance(node, exp.Distinct) else node.this
        return self._resolve(node) if isinstance(node, exp.Column) else None

    def _resolve(self, column: exp.Column, scope: exp.Expr | None = None) -> Cell | None:
        name, select = column.name.lower(), scope or column.parent_select
        while select is not None:
            for alias, number in self._scopes.get(id(select), {}).items():
                if column.table and column.table.lower() != alias:
                    continue
                table = self._facts.table(self._goal.tables[number])
                if table and table.place(name) is not None:
                    return Cell(number, name)
            select = select.parent_select
        return None

    def _is_constant(self, node: exp.Expr) -> bool:
        if isinstance(node, exp.Neg):
            return isinstance(node.this, exp.Literal)
        if isinstance(node, exp.Column):  # SQLite reads "x" as a text where no column has that name
            return bool(node.this.args.get("quoted") and not node.table and self._resolve(node) is None)
        return isinstance(node, exp.Literal | exp.Null)


def _is_negated(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return bool(node.args.get("negate")) != isinstance(parent, exp.Not)


def _value(node: exp.Expr) -> Value:
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Neg):
        value = _value(node.this)
        return -value if isinstance(value, int | float) else value
    if isinstance(node, exp.Literal) and not node.is_string:
        try:
            return int(node.name)
        except ValueError:
            return float(node.name)
    return node.name
