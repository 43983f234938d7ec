"""Parses SQL as Spider's evaluation script does (`process_sql.py` of https://github.com/taoyds/spider).

Exact set match and the hardness classes are defined by that parser, so its quirks are kept; they are
listed in spider/__init__.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Union

from text2sql.evaluation.spider.schema import SpiderSchema

MAX_CHARACTERS = 100_000
"""Longer texts are not parsed, because the sandbox would not run them."""


class UnreadableSQL(ValueError):
    """SQL outside the grammar of the official script; the message says what was found."""


class Column(NamedTuple):
    """A column, `table.column` or `*`, with its aggregate ("none": without one) and DISTINCT."""

    aggregate: str
    name: str
    distinct: bool


class Expression(NamedTuple):
    """A column, or two with an arithmetic operator ("none": only one column)."""

    operator: str
    left: Column
    right: Column | None


Value = Union["Query", Column, str, float, None]


class Condition(NamedTuple):
    """A comparison; `high` is the second value of BETWEEN."""

    negated: bool
    operator: str
    tested: Expression
    low: Value
    high: Value


Conditions = tuple[Condition | str, ...]
"""Conditions, normally with "and" or "or" between them."""


class Query(NamedTuple):
    """A SELECT; `direction` is None without ORDER BY, `set_operator` combines it with `other`.

    `selected` holds pairs of an aggregate and an expression, `tables` names and subqueries.
    """

    distinct: bool
    selected: tuple[tuple[str, Expression], ...]
    tables: tuple[str | Query, ...]
    joined_on: Conditions
    where: Conditions
    grouped: tuple[Column, ...]
    having: Conditions
    direction: str | None
    ordered: tuple[Expression, ...]
    limited: bool
    set_operator: str | None
    other: Query | None


EMPTY_QUERY = Query(False, (), (), (), (), (), (), None, (), False, None, None)
"""What the official script uses in place of a prediction that it cannot read."""


def compared(conditions: Conditions) -> list[Condition]:
    """The conditions, except those in the place of a connective (after a missing AND or OR)."""
    return [it for it in conditions[::2] if isinstance(it, Condition)]


def connected(conditions: Conditions) -> tuple[Condition | str, ...]:
    """The connectives: AND, OR or, if one is missing, the condition in its place."""
    return conditions[1::2]


def read_sql(sql: str, schema: SpiderSchema | None) -> Query:
    """Return a query as the official script understands it; without a schema any name is accepted.

    Without a schema, adjacent names (`SELECT a b FROM t u`) are refused, because the second may
    be an alias.

    Raises:
        UnreadableSQL: the query is outside the grammar, has an unknown name, or is nested too deeply.
    """
    words = _words(sql)
    names = _AnyNames() if schema is None else _SchemaNames(schema, _aliases(words))
    try:
        return _Reader(words, names).query()
    except RecursionError as error:
        raise UnreadableSQL("nested too deeply") from error


# --- words ---

# The period at the end of a sentence is a word of its own; brackets and quotes may come after it.
_PERIOD = r"\.(?=[\])}>»”’ ]*(?:\s|\Z))"
_WORDS = re.compile(
    rf"""
    (?: ["'][^"']*["']                                       # quoted text
      | [^\s"'`.,:;@\#$%&?!*()\[\]{{}}<>«»“”„‘’\u2012-\u2015-]  # characters without a rule below
      | (?!{_PERIOD})\.(?!\.) | -(?!-) | [,:](?=\d)
    )+
    | \.{{2,}} | -- | `` | \S
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r"""["']([^"']*)["']""")
_GLUED = "'"  # stands for quoted text that touches other text, because a quote alone is never a word


def _words(sql: str) -> list[str]:
    """Split text into words: in lower case, except quoted text, which is put in double quotes unchanged."""
    if len(sql) > MAX_CHARACTERS:
        raise UnreadableSQL(f"more than {MAX_CHARACTERS} characters")
    if (sql.count("'") + sql.count('"')) % 2:
        raise UnreadableSQL("a quote without its partner")
    words: list[str] = []
    for found in _WORDS.findall(sql):
        if found == "=" and words and words[-1] in ("!", ">", "<"):
            words[-1] += "="
        else:
            words.append(_unquoted(found) if '"' in found or "'" in found else found.lower())
    return words


def _unquoted(word: str) -> str:
    quoted = _QUOTED.fullmatch(word)
    return f'"{quoted[1]}"' if quoted else _GLUED


# --- names ---


class _SchemaNames:
    """Looks names up in a schema, with the aliases of one text."""

    side_by_side = True

    def __init__(self, schema: SpiderSchema, aliases: Mapping[str, str]) -> None:
        if not aliases.keys().isdisjoint(schema.tables):
            raise UnreadableSQL("an alias is the name of a table")
        self._schema = schema
        self._aliases = aliases

    def table(self, word: str) -> str:
        table = self._named(word)
        if table not in self._schema.names:
            raise UnreadableSQL(f"no table {word!r}")
        return table

    def column(self, word: str, tables: Sequence[str], following: str) -> str:
        if "." not in word:
            return self._bare_column(word, tables)
        table, _, column = word.partition(".")
        name = f"{self._named(table)}.{column}"
        if "." in column or name not in self._schema.names:
            raise UnreadableSQL(f"no column {word!r}")
        return name

    def _bare_column(self, word: str, tables: Sequence[str]) -> str:
        for table in map(self._named, tables):
            if table not in self._schema.tables:
                raise UnreadableSQL(f"no table {table!r}")
            if word in self._schema.tables[table]:
                return f"{table}.{word}"
        raise UnreadableSQL(f"no column {word!r}")

    def _named(self, word: str) -> str:
        if word in self._schema.tables:
            return word
        if word not in self._aliases:
            raise UnreadableSQL(f"no table {word!r}")
        return self._aliases[word]


class _AnyNames:
    """Accepts any word that looks like a name."""

    side_by_side = False

    def table(self, word: str) -> str:
        if word in _RESERVED or not _NAME.fullmatch(word):
            raise UnreadableSQL(f"{word!r} is no name")
        return word

    def column(self, word: str, tables: Sequence[str], following: str) -> str:
        if following == "(":
            raise UnreadableSQL(f"{word!r} is a function")
        return self.table(word)


def _aliases(words: Sequence[str]) -> dict[str, str]:
    places = [place for place, word in enumerate(words) if word == "as"]
    if places and places[-1] == len(words) - 1:
        raise UnreadableSQL("nothing after AS")
    return {words[place + 1]: words[place - 1] for place in places}


# --- grammar ---

_CLAUSES = frozenset(["select", "from", "where", "group", "order", "limit", "intersect", "union", "except"])
_JOINS = frozenset(["join", "on", "as"])
_CONNECTIVES = ("and", "or")
_SET_OPERATORS = ("intersect", "union", "except")
_AGGREGATES = ("none", "max", "min", "count", "sum", "avg")
_ARITHMETIC = ("none", "-", "+", "*", "/")
_COMPARISONS = frozenset(["not", "between", "=", ">", "<", ">=", "<=", "!=", "in", "like", "is", "exists"])

_END_OF_TABLES = _CLAUSES | {")", ";"}
_END_OF_CONDITIONS = _END_OF_TABLES | _JOINS
_END_OF_COLUMN = _CLAUSES | _JOINS | {",", ")", "and", ""}
_AFTER_TABLE = _END_OF_TABLES | {"join", "on", ""}
_RESERVED = (
    _CLAUSES | _JOINS | _COMPARISONS | {"and", "or", "null", "distinct", "by", "asc", "desc", "having"}
)
_NAME = re.compile(r"(?:\w+\.)?\w*[^\W\d]\w*")


class _Reader:
    """Parses one text from left to right; each method parses what it is named after and moves past it."""

    def __init__(self, words: Sequence[str], names: _SchemaNames | _AnyNames) -> None:
        self._words = [*words, ""]  # no rule accepts the empty word, so none runs past the end
        self._at = 0
        self._names = names
        self._tables: Sequence[str] = ()  # of the query that is being parsed

    def query(self) -> Query:
        outer, start = self._tables, self._at
        in_brackets = self._skip("(")
        select = self._at
        tables, joined_on = self._from(start)
        after_from, self._at = self._at, select
        self._tables = [table for table in tables if isinstance(table, str)]
        distinct, selected = self._select()
        self._at = after_from
        clauses = (self._where(), self._group(), self._having(), *self._order(), self._limit())
        self._close(in_brackets)
        self._tables = outer
        return Query(distinct, selected, tables, joined_on, *clauses, *self._compound())

    def _close(self, in_brackets: bool) -> None:
        self._skip_semicolons()
        if in_brackets:
            self._take(")")
        self._skip_semicolons()

    def _compound(self) -> tuple[str, Query] | tuple[None, None]:
        operator = self._word
        if operator not in _SET_OPERATORS:
            return None, None
        self._at += 1
        return operator, self.query()

    def _select(self) -> tuple[bool, tuple[tuple[str, Expression], ...]]:
        self._take("select")
        distinct = self._skip("distinct")
        selected = []
        while self._word and self._word not in _CLAUSES:
            aggregate = self._skip_any(_AGGREGATES) or "none"
            selected.append((aggregate, self._expression()))
            if not self._skip(",") and not self._names.side_by_side and self._word not in _CLAUSES:
                raise UnreadableSQL(f"{self._word!r} after a selected column")
        return distinct, tuple(selected)

    def _from(self, start: int) -> tuple[tuple[str | Query, ...], Conditions]:
        try:
            self._at = self._words.index("from", start) + 1
        except ValueError as error:
            raise UnreadableSQL("no FROM") from error
        tables: list[str | Query] = []
        conditions: list[Condition | str] = []
        while self._word:
            in_brackets = self._skip("(")
            tables.append(self._table())
            if self._skip("on"):
                self._tables = [table for table in tables if isinstance(table, str)]
                self._join_conditions(conditions)
            if in_brackets:
                self._take(")")
            if self._word in _END_OF_TABLES:
                break
        return tuple(tables), tuple(conditions)

    def _table(self) -> str | Query:
        if self._word == "select":
            return self.query()
        self._skip("join")
        table = self._names.table(self._next())
        if self._skip("as"):
            self._next()
        if not self._names.side_by_side and self._word not in _AFTER_TABLE:
            raise UnreadableSQL(f"{self._word!r} after a table")
        return table

    def _join_conditions(self, conditions: list[Condition | str]) -> None:
        if conditions:
            _connect(conditions, "and")
        self._conditions(conditions)

    def _where(self) -> Conditions:
        return self._conditions([]) if self._skip("where") else ()

    def _having(self) -> Conditions:
        return self._conditions([]) if self._skip("having") else ()

    def _conditions(self, conditions: list[Condition | str]) -> Conditions:
        while self._word:
            conditions.append(self._condition())
            if self._word in _END_OF_CONDITIONS:
                break
            connective = self._skip_any(_CONNECTIVES)
            if connective:
                _connect(conditions, connective)
        return tuple(conditions)

    def _condition(self) -> Condition:
        tested = self._expression()
        negated = self._skip("not")
        operator = self._next()
        if operator not in _COMPARISONS:
            raise UnreadableSQL(f"{operator!r} in the place of a comparison")
        low = self._value()
        high = None
        if operator == "between":
            self._take("and")
            high = self._value()
        return Condition(negated, operator, tested, low, high)

    def _value(self) -> Value:
        value: Value
        in_brackets = self._skip("(")
        if self._word == "select":
            value = self.query()
        elif '"' in self._word:
            value = self._next()
        elif (value := _number(self._word)) is not None:
            self._at += 1
        elif in_brackets:
            raise UnreadableSQL(f"{self._word!r} in brackets in the place of a value")
        else:
            return self._compared_column()
        if in_brackets:
            self._take(")")
        return value

    def _compared_column(self) -> Column:
        """A column on the right of a comparison; skips the words that are lost after it."""
        if self._word in _AGGREGATES:
            raise UnreadableSQL(f"{self._word!r} in the place of a value")
        distinct = self._skip("distinct")
        if self._word in _END_OF_COLUMN:
            raise UnreadableSQL(f"{self._word!r} in the place of a value")
        name = self._name()
        while self._word not in _END_OF_COLUMN:
            self._at += 1
        return Column("none", name, distinct)

    def _expression(self) -> Expression:
        in_brackets = self._skip("(")
        left = self._column()
        operator = self._skip_any(_ARITHMETIC)
        right = self._column() if operator else None
        if in_brackets:
            self._take(")")
        return Expression(operator or "none", left, right)

    def _column(self) -> Column:
        in_brackets = self._skip("(")
        aggregate = self._skip_any(_AGGREGATES)
        if aggregate:
            self._take("(")
            in_brackets = True  # those of the aggregate; a bracket before it stays open, as officially
        distinct = self._skip("distinct")
        name = self._name()
        if in_brackets:
            self._take(")")
        return Column(aggregate or "none", name, distinct)

    def _name(self) -> str:
        word = self._next()
        return word if word == "*" else self._names.column(word, self._tables, self._word)

    def _group(self) -> tuple[Column, ...]:
        columns: list[Column] = []
        if not self._skip("group"):
            return ()
        self._take("by")
        while self._word and self._word not in _END_OF_TABLES:
            columns.append(self._column())
            if not self._skip(","):
                break
        return tuple(columns)

    def _order(self) -> tuple[str | None, tuple[Expression, ...]]:
        if not self._skip("order"):
            return None, ()
        self._take("by")
        direction, expressions = "asc", []
        while self._word and self._word not in _END_OF_TABLES:
            expressions.append(self._expression())
            direction = self._skip_any(("asc", "desc")) or direction
            if not self._skip(","):
                break
        return direction, tuple(expressions)

    def _limit(self) -> bool:
        if not self._skip("limit"):
            return False
        if not self._next():
            raise UnreadableSQL("nothing after LIMIT")
        return True

    @property
    def _word(self) -> str:
        return self._words[self._at]

    def _next(self) -> str:
        word = self._words[self._at]
        if word:
            self._at += 1
        return word

    def _skip(self, word: str) -> bool:
        found = self._words[self._at] == word
        self._at += found
        return found

    def _skip_any(self, words: Iterable[str]) -> str | None:
        word = self._words[self._at]
        if word not in words:
            return None
        self._at += 1
        return word

    def _skip_semicolons(self) -> None:
        while self._skip(";"):
            pass

    def _take(self, word: str) -> None:
        if not self._skip(word):
            raise UnreadableSQL(f"{self._word!r} in the place of {word!r}")


def _connect(conditions: list[Condition | str], connective: str) -> None:
    if len(conditions) % 2 == 0:
        raise UnreadableSQL(f"no AND or OR between two conditions before {connective!r}")
    conditions.append(connective)


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
