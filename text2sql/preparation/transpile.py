"""SQL of another dialect, translated to SQLite's by sqlglot; its dates by dates.py in this folder."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError, UnsupportedError
from sqlglot.tokens import Token, TokenType

from text2sql.preparation.dates import write_dates

GUESSED = ("postgres", "mysql", "tsql", "oracle", "snowflake", "bigquery")
"""Dialects that are tried, in this order, for SQL that SQLite does not compile."""


_BARE_OFFSET = re.compile(r"\bOFFSET\s+\d+(?:\.\d+)?\s*\Z", re.IGNORECASE)


# What sqlglot raises for text that it cannot read or write; the last five are faults of its own on odd text.
_FAULTS = (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError, IndexError)


def candidates(sql: str, dialect: str | None) -> Iterator[tuple[str, str]]:
    """Yield dialects with what the query is in SQLite's SQL: of the given dialect, or of those guessed.

    SQLite has no schemas, so a query that names some (SCHEMA.TABLE) follows without them; for the dialect
    "sqlite" that is all. No dialect is guessed for OFFSET without LIMIT: in sql-create-context it is what
    became of a number with a comma ("attendance > 43 OFFSET 211").
    What sqlglot would translate into something else, such as date - 7 or TO_CHAR of a number, is left
    out. Not covered: sqlglot does not know whether functions that it does not translate exist in SQLite;
    compile the result.
    """
    guess = dialect is None
    if guess and _BARE_OFFSET.search(sql) and "limit" not in sql.lower():
        return
    for name in ("sqlite", *GUESSED) if dialect is None else (dialect,):
        try:
            yield from [(name, text) for text in _forms(sql, name)]
        except _FAULTS:
            continue


def _forms(sql: str, dialect: str) -> Iterator[str]:
    """A query in SQLite's SQL, and without its schemas if it names some; nothing if it is not one query."""
    trees = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        return
    tree = _joined_text(trees[0]) if dialect == "tsql" else trees[0]
    if dialect != "sqlite":
        write_dates(tree)
        _require_exact(tree, sql, dialect)
        if _NUMBER_OF_DATE.search(_written(tree)):
            return
        yield _written(tree)
    if _drop_schemas(tree):
        yield _written(tree)


def _drop_schemas(tree: exp.Query) -> bool:
    """Take the names of schemas out; False if there are none, or two schemas have a table of one name."""
    qualified = [table for table in tree.find_all(exp.Table) if table.db]
    places = {(table.name.casefold(), table.db.casefold()) for table in qualified}
    if not qualified or len({name for name, _ in places}) < len(places):
        return False
    columns = [column for column in tree.find_all(exp.Column) if column.args.get("db")]
    for node in (*qualified, *columns):
        node.set("db", None)
        node.set("catalog", None)
    return True


def _joined_text(tree: exp.Query) -> exp.Query:
    """T-SQL's query with + between texts, of which one is written out, as ||."""
    for node in reversed(list(tree.find_all(exp.Add))):
        sides = (node.this, node.expression)
        if any(
            isinstance(side, exp.DPipe) or (isinstance(side, exp.Literal) and side.is_string)
            for side in sides
        ):
            node.replace(exp.DPipe(this=sides[0], expression=sides[1]))
    return tree


# -- what sqlglot writes in a way that means something else in SQLite --

_EXACT_UNITS = ("DAY", "MONTH", "YEAR")
_MOMENTS = (exp.CurrentDate, exp.CurrentTimestamp, exp.Date, exp.TsOrDsToDate)
# CAST to a type that SQLite does not have makes a number, of a date its year
_NUMBER_OF_DATE = re.compile(r"\bAS (?:DATE|TIME|INTERVAL)\w*\)")
_FORMAT = re.compile(r"%[dfjmswHJMSWY%]|[^%A-Za-z0-9]|[TZ]")


def _require_exact(tree: exp.Query, sql: str, dialect: str) -> None:
    """Check that the query's translation means the same.

    Raises:
        UnsupportedError: it does not, or may not.
    """
    inexact = next((node for node in tree.walk() if _is_inexact(node)), None)
    if inexact is not None:
        raise UnsupportedError(f"SQLite has nothing like {inexact.sql(dialect)}")
    if dialect == "mysql" and _has_second_argument(sql, "isnull"):
        raise UnsupportedError("ISNULL of MySQL has one argument")


def _is_inexact(node: exp.Expr) -> bool:
    if isinstance(node, exp.Add | exp.Sub):
        return _is_moment(node.this) or _is_moment(node.expression)  # SQLite would take the years
    if isinstance(node, exp.DateAdd):
        return _unit(node) not in _EXACT_UNITS or not isinstance(
            node.expression.unnest(), exp.Literal | exp.Neg
        )
    if isinstance(node, exp.DateDiff):
        return _unit(node) != "DAY"
    if isinstance(node, exp.TimeToStr):
        return not _is_format(node.args.get("format"))
    ties = isinstance(node, exp.LimitOptions) and bool(node.args.get("with_ties") or node.args.get("percent"))
    return ties or isinstance(node, exp.TryCast)  # CAST makes 0 of what is no number, not NULL


def _unit(node: exp.Expression) -> str:
    return str(node.text("unit") or "DAY").upper()


def _is_moment(node: exp.Expr) -> bool:
    inner = node.unnest()
    is_cast = isinstance(inner, exp.Cast) and inner.is_type(*exp.DataType.TEMPORAL_TYPES)
    return is_cast or isinstance(inner, _MOMENTS)


def _is_format(node: exp.Expression | None) -> bool:
    """Whether a format of dates has only parts that SQLite knows, so that it was one, and is translated."""
    if not isinstance(node, exp.Literal) or "%" not in node.name:
        return False
    return not _FORMAT.sub("", node.name)


def _has_second_argument(sql: str, function: str) -> bool:
    """Whether a call of a function in a query of MySQL has more than one argument."""
    tokens = sqlglot.tokenize(sql, read="mysql")
    return any(
        token.text.lower() == function and _commas(tokens[at + 1 :]) for at, token in enumerate(tokens)
    )


def _commas(tokens: list[Token]) -> int:
    """How many commas are in the brackets with which these tokens begin, not counting inner brackets."""
    depth = found = 0
    for token in tokens:
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        found += depth == 1 and token.token_type == TokenType.COMMA
        if depth == 0:
            break
    return found


def _written(tree: exp.Query) -> str:
    return tree.sql("sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)
