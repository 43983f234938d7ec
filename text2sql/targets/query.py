"""Checks that a text is one query that only reads, and translates SQLite's SQL to another dialect.

The check is the first of several: the database itself is opened for reading, and refuses what passes here.
Translation is sqlglot's. Added is what it does not know: the names of the schema are written as the database
has them, text in double quotes that names no column is text (as SQLite reads it), LIKE ignores case, and
'now' in a date function is the current time.
Not covered: SQLite compares text with numbers and shows columns that are not grouped, which PostgreSQL
refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

from text2sql.schema.model import Schema, Table
from text2sql.targets.model import Dialect, QueryRefused

# What sqlglot raises for text that it cannot read; the last five are faults of its own on odd text.
_FAULTS = (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError, IndexError)
_LONGEST = 100_000  # characters; real queries are far shorter
_WRITING = (exp.DML, exp.DDL, exp.Command, exp.Into, exp.Lock, exp.Alter, exp.Drop, exp.Set, exp.Pragma)
# SQLite's date functions, and how many arguments they have without modifiers
_DATE_FUNCTIONS = {"date": 1, "time": 1, "datetime": 1, "julianday": 1, "unixepoch": 1, "strftime": 2}
_IGNORES_CASE: tuple[Dialect, ...] = ("postgres", "duckdb")


def parse_query(sql: str, dialect: Dialect) -> exp.Query:
    """The tree of a text that is one query.

    Raises:
        QueryRefused: it is no query, several statements, or one that writes or locks.
    """
    if not sql.strip():
        raise QueryRefused("there is no query")
    if any("\ud800" <= sign <= "\udfff" or sign == "\0" for sign in sql):
        raise QueryRefused("it has a sign that is not text: half a surrogate pair, or NUL")
    if len(sql) > _LONGEST:
        raise QueryRefused(f"the query has more than {_LONGEST} characters")
    try:
        trees = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except _FAULTS as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise QueryRefused(f"it is not {dialect} SQL: {_plain(first)}") from error
    if len(trees) != 1:
        raise QueryRefused("it is more than one statement" if trees else "there is no query")
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise QueryRefused(f"it is not a SELECT but {tree.key.upper()}")
    writing = next((node for node in tree.walk() if _writes(node, tree)), None)
    if writing is not None:
        raise QueryRefused(f"it would do more than read: {writing.key.upper()}")
    return tree


def write_query(tree: exp.Query, dialect: Dialect) -> str:
    """The query's text without comments, in which a server may look for more than remarks.

    Raises:
        QueryRefused: sqlglot cannot write it.
    """
    try:
        return tree.sql(dialect, comments=False)
    except _FAULTS as error:
        raise QueryRefused(f"it cannot be written for {dialect}: {error}") from error


def translate(sql: str, schema: Schema, dialect: Dialect) -> str:
    """SQLite's SQL in the database's dialect; for SQLite itself the text stays as it is.

    Raises:
        QueryRefused: it is not one query, or cannot be translated.
    """
    if dialect == "sqlite":
        return sql
    tree = parse_query(sql, "sqlite")
    _check_modifiers(tree)
    for text in list(tree.find_all(exp.Literal)):
        if text.is_string and text.name.lower() == "now" and _is_date_function(text.parent):
            text.replace(exp.CurrentTimestamp())
    names = _Names(schema, tree)
    for node in list(tree.find_all(exp.Column)):
        if names.is_text(node):
            node.replace(exp.Literal.string(node.name))
    for identifier in tree.find_all(exp.Identifier):
        names.correct(identifier)
    if dialect in _IGNORES_CASE:
        for like in list(tree.find_all(exp.Like)):
            like.replace(exp.ILike(**like.args))
    return write_query(tree, dialect)


def _check_modifiers(tree: exp.Query) -> None:
    """Refuse SQLite's modifiers of dates, as '-1 year': MySQL ignores them and returns other rows.

    Raises:
        QueryRefused: a date function has one.
    """
    for call in tree.find_all(exp.Anonymous):
        name = call.name.lower()
        if len(call.expressions) > _DATE_FUNCTIONS.get(name, len(call.expressions)):
            raise QueryRefused(f"{name}() with a modifier, as '-1 day', is SQLite's own and not translated")


def _is_date_function(node: object) -> bool:
    named = isinstance(node, exp.Anonymous) and node.name.lower() in _DATE_FUNCTIONS
    return named or isinstance(node, exp.Date | exp.TsOrDsToTimestamp)


def used_tables(sql: str, dialect: Dialect) -> tuple[str, ...]:
    """The names of the tables that a query reads, in the order of the text.

    Raises:
        QueryRefused: see `parse_query`.
    """
    tree = parse_query(sql, dialect)
    local = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    found = (table.name for table in tree.find_all(exp.Table))
    return tuple(dict.fromkeys(name for name in found if name and name.casefold() not in local))


def called_names(sql: str, dialect: Dialect) -> frozenset[str]:
    """All names that an opening bracket follows: the functions of the query, and some words of SQL.

    Names without quotes are in lower case.
    """
    tokens = list(sqlglot.tokenize(sql, read=dialect))
    return frozenset(
        one.text if one.token_type == TokenType.IDENTIFIER else one.text.lower()
        for one, following in pairwise(tokens)
        if following.token_type == TokenType.L_PAREN
    )


def dotted_names(sql: str, dialect: Dialect) -> frozenset[str]:
    """All names after a dot. PostgreSQL calls the function f with a row where t.f is no column of t.

    Names without quotes are in lower case.
    """
    return frozenset(
        one.text if one.token_type == TokenType.IDENTIFIER else one.text.lower()
        for before, one in pairwise(sqlglot.tokenize(sql, read=dialect))
        if before.token_type == TokenType.DOT
    )


def _writes(node: exp.Expr, root: exp.Expr) -> bool:
    return node is not root and isinstance(node, _WRITING) and not isinstance(node, exp.Query)


def _plain(message: str) -> str:
    """sqlglot's message without the codes with which it underlines, and its name of an unexpected token."""
    return message.replace("\x1b[4m", "").replace("\x1b[0m", "").partition(" but got <Token")[0]


class _Names:
    """The names of a schema as the database has them, and those that a query gives itself."""

    def __init__(self, schema: Schema, tree: exp.Query) -> None:
        tables = {table.name.casefold(): table for table in schema.tables}
        used = [node for node in tree.find_all(exp.Table) if node.name.casefold() in tables]
        read = [tables[node.name.casefold()] for node in used]
        self._of = {n.alias_or_name.casefold(): _spelled([t]) for n, t in zip(used, read, strict=True)}
        self._columns = {column.name.casefold() for table in read for column in table.columns}
        # tables that the query reads come first: two tables may write one name differently
        self._written = _spelled([*read, *schema.tables])
        aliases = [
            node.args.get("alias") if isinstance(node, exp.Alias) else node.this
            for node in tree.find_all(exp.Alias, exp.TableAlias)
        ]
        aliases += [name for node in tree.find_all(exp.TableAlias) for name in node.args.get("columns") or ()]
        given = [each for each in aliases if isinstance(each, exp.Identifier)]
        # T1 and t1 are one name in SQLite, and two in MySQL, or where one of them is in quotes
        self._own = {each.name.casefold(): each.copy() for each in reversed(given)}

    def is_text(self, column: exp.Column) -> bool:
        """Whether double quotes are around text, because no column of the tables read has this name."""
        identifier = column.this
        if not isinstance(identifier, exp.Identifier) or not identifier.quoted or column.table:
            return False
        return identifier.name.casefold() not in self._columns | self._own.keys()

    def correct(self, identifier: exp.Identifier) -> None:
        """Write a name as the database has it, in quotes: other databases distinguish case."""
        name, column = identifier.name.casefold(), identifier.parent
        of_table: dict[str, str] = {}
        if isinstance(column, exp.Column) and identifier is column.this:
            of_table = self._of.get(column.table.casefold(), {})
        written = of_table.get(name) or self._written.get(name)
        if written is not None:
            identifier.set("this", written)
            identifier.set("quoted", True)
        elif own := self._own.get(name):
            identifier.set("this", own.name)
            identifier.set("quoted", own.quoted)


def _spelled(tables: Sequence[Table]) -> dict[str, str]:
    """The names of tables and their columns by their casefolded form; of two spellings the first."""
    names = [name for t in tables for name in (t.name, *(column.name for column in t.columns))]
    return {name.casefold(): name for name in reversed(names)}
