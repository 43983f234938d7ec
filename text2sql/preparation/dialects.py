"""CREATE TABLE text of MySQL and PostgreSQL, reduced to what a prompt needs: names, types and keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from text2sql.schema.model import Column, ForeignKey, Schema, Table

_DIALECTS = ("mysql", "postgres")
_TYPE = re.compile(r"\w+( \w+)*( ?\([0-9]+(, ?[0-9]+)?\))?\Z")


def read_dialect(text: str) -> Schema | None:
    """The schema that the text creates in MySQL or PostgreSQL, or None.

    A type that SQLite cannot read (an ENUM, an array) becomes TEXT; engines, indexes, defaults and checks are
    left out.
    Not covered: keys that ALTER TABLE adds, which are left out too.
    """
    for dialect in _DIALECTS:
        try:
            statements = sqlglot.parse(text, read=dialect)
        except (SqlglotError, RecursionError):
            continue
        tables = [tree for tree in statements if _creates_table(tree)]
        if tables and not any(_may_create_table(tree) for tree in statements):
            return Schema(tuple(_table(tree.this) for tree in tables if tree))
    return None


def _creates_table(tree: exp.Expr | None) -> bool:
    return isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.this, exp.Schema)


def _may_create_table(tree: exp.Expr | None) -> bool:
    """Whether this is a CREATE statement that sqlglot could not parse; it might create a table."""
    return isinstance(tree, exp.Command) and str(tree.this).upper() == "CREATE"


def _table(tree: exp.Schema) -> Table:
    definitions = list(tree.find_all(exp.ColumnDef))
    columns = tuple(Column(column.name, _type(column)) for column in definitions)
    return Table(tree.this.name, columns, _primary_key(tree, definitions), tuple(_foreign_keys(tree)))


def _type(column: exp.ColumnDef) -> str:
    kind = column.args.get("kind")
    written = kind.sql("sqlite") if kind else ""
    return written if not written or _TYPE.match(written) else "TEXT"


def _primary_key(tree: exp.Schema, columns: Iterable[exp.ColumnDef]) -> tuple[str, ...]:
    for key in tree.find_all(exp.PrimaryKey):
        return _names(key.expressions)
    return tuple(c.name for c in columns if c.find(exp.PrimaryKeyColumnConstraint))


def _foreign_keys(tree: exp.Schema) -> Iterator[ForeignKey]:
    for reference in tree.find_all(exp.Reference):
        target = reference.this
        owner = reference.find_ancestor(exp.ForeignKey, exp.ColumnDef)
        if isinstance(target, exp.Schema) and owner is not None:
            own = _names(owner.expressions) if isinstance(owner, exp.ForeignKey) else (owner.name,)
            yield ForeignKey(own, target.this.name, _names(target.expressions))


def _names(trees: Iterable[exp.Expression]) -> tuple[str, ...]:
    return tuple(tree.name for tree in trees)
