"""SQL that SQLite compiles although it cannot mean what was asked.

SQLite reads "x" in double quotes as a string where no column has that name. So a misspelled column in double
quotes compiles as a constant: selected, every row has it; compared with another constant, every row or none
fits. Comparing a column with "x" is usual in public data sets and is no fault.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, suppress

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from text2sql.contamination.folding import is_string, schema_signature
from text2sql.preparation.schemas import Connection

CONSTANTS = "SQL compares a constant with a constant"
INVENTED = "SQL selects a name in double quotes that is no column"

_VALUE = r"""(?:'(?:[^']|'')*'|"[^"]*"|-?\b\d+(?:\.\d+)?\b)"""
_COMPARED = r"(?:=|<|>|!=|\b(?:NOT\s+)?(?:LIKE|GLOB|IN)\b)"
# A constant on the left of a comparison, or "x" where something is selected, sorted, grouped or aggregated.
# Most SQL has neither, and only SQL that may have one is parsed.
_SUSPECT = re.compile(
    rf"""{_VALUE}\s*{_COMPARED}|(?:\b(?:SELECT|DISTINCT|ALL|BY)|[,(])\s*\"""", re.IGNORECASE
)
# The ends of what that finds: a search that takes a third of its time and finds no less.
_ENDS = re.compile(r"""['"\d]\s*[=<>!NnLlGgIi]|[,(TtLlYy]\s*\"""")
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.Glob)
_SELECTING = (exp.Select, exp.Ordered, exp.Group, exp.AggFunc, exp.Distinct)


def fault(sql: str, ddl: str) -> tuple[str, str] | None:
    """The reason and the place of the first fault of a query on the schema `ddl`; None if it has none."""
    if not (_ENDS.search(sql) and _SUSPECT.search(sql)):
        return None
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return None  # SQLite has compiled it
    known = {*(column for _, column in schema_signature(ddl)), *_aliases(tree)}
    while (found := _first(tree, known)) is not None:
        reason, node = found
        quoted = {column.name for column in node.find_all(exp.Column) if is_string(column, known)}
        names = set(_names(quoted, sql, ddl))
        if not names:
            return reason, node.sql("sqlite")
        known |= {name.casefold() for name in names}
    return None


def _first(tree: exp.Expr, known: Collection[str]) -> tuple[str, exp.Expr] | None:
    """The first fault, where `known` are the names that exist."""
    for node in tree.find_all(*_COMPARISONS):
        constant = _is_constant(node.this, known) and _is_constant(node.expression, known)
        # 1 = 1 is a usual way to begin a list of conditions; "club" = "club" is a value taken for the column
        if constant and (node.this != node.expression or not isinstance(node.this, exp.Literal)):
            return CONSTANTS, node
    for column in tree.find_all(exp.Column):
        if is_string(column, known) and _is_selected(column):
            return INVENTED, column
    return None


def _names(quoted: Collection[str], sql: str, ddl: str) -> Iterator[str]:
    """Those of the texts in double quotes that are names after all, such as rowid or a column of json_each.

    In backquotes SQLite takes a text as a name only, so the query does not compile if it is none.
    """
    for name in quoted:
        with closing(Connection()) as connection, suppress(sqlite3.Error, sqlite3.Warning):
            connection.build(ddl)
            connection.compile(sql.replace(f'"{name}"', f"`{name}`"))
            yield name


def _aliases(tree: exp.Expr) -> Iterator[str]:
    for alias in tree.find_all(exp.Alias, exp.TableAlias):
        yield alias.alias.casefold()
        yield from (column.name.casefold() for column in alias.args.get("columns") or ())


def _is_constant(node: exp.Expr, known: Collection[str]) -> bool:
    if isinstance(node, exp.Neg | exp.Paren):
        return _is_constant(node.this, known)
    return isinstance(node, exp.Literal) or is_string(node, known)


def _is_selected(node: exp.Expression) -> bool:
    """Whether a query selects this, sorts or groups by it, or aggregates it."""
    parent = node.parent.parent if isinstance(node.parent, exp.Alias) else node.parent
    return isinstance(parent, _SELECTING) and node.arg_key != "separator"
