"""Canonical forms of questions, queries and schemas: two that mean the same should have one form."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from sqlglot import exp

from text2sql.schema.ddl import read_ddl
from text2sql.schema.model import Schema
from text2sql.schema.queries import parse_query

# (table, column) pairs, both case-folded. Types, keys and the order of columns do not count.
Signature = frozenset[tuple[str, str]]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class FoldedSql:
    """A query's canonical text; `parsed` is False if it did not parse and only its words are folded."""

    text: str
    parsed: bool


@functools.lru_cache(maxsize=8_192)  # several rules fold the questions of one block
def fold_question(text: str) -> str:
    """Fold a question to its words: NFKC; case, accents, punctuation and white space are removed.

    Digits and symbols (Unicode classes S: `<`, `=`, `+`, `$`) stay, because they change what is asked.
    Accents of Latin, Greek and Cyrillic letters (combining marks U+0300 to U+036F) are removed, because
    people retype questions without them; marks of other scripts stand for vowels and stay.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", " ".join(plain.translate(_QUESTION_CHARACTERS).split()))


def fold_sql(sql: str, columns: Collection[str] = (), mask: bool = False) -> FoldedSql:
    """Canonical form of a query in SQLite's dialect; queries with equal forms give equal results.

    The form does not depend on the case of words and names, spacing, comments, the quoting of names, a final
    semicolon, the names of table aliases, an explicit INNER, OUTER or ASC, or the quotes around a string.
    SQLite reads "x" as a string where no column has that name: `columns` (case-folded) decides, and without
    it every unqualified "x" counts as a string. `mask` replaces every number (with its minus) and every
    string by the same placeholder.
    Not covered: names of column aliases, an alias against the bare table name, the order of conditions or
    tables.
    """
    tree = parse_query(sql)
    if tree is None:
        return FoldedSql(" ".join(sql.casefold().split()).rstrip("; "), False)
    aliases = _alias_names(tree)
    folded = tree.transform(lambda node: _fold_node(node, aliases, columns, mask))
    return FoldedSql(folded.sql("sqlite", comments=False), True)


def is_string(node: exp.Expr, columns: Collection[str]) -> bool:
    """Whether SQLite reads this "x" as a string: unqualified, in quotes, and not the name of a column."""
    return (
        isinstance(node, exp.Column)
        and not node.table
        and isinstance(node.this, exp.Identifier)
        and bool(node.this.quoted)
        and node.name.casefold() not in columns
    )


@dataclass(frozen=True, slots=True)
class QueryNames:
    """The tables that a query names, and the words that every equal query must contain; case-folded."""

    tables: frozenset[str]
    words: frozenset[str]


def query_names(sql: str, columns: Collection[str] = ()) -> QueryNames:
    """The names that `fold_sql` keeps; for a query that does not parse, all its words and no tables."""
    tree = parse_query(sql)
    if tree is None:
        return QueryNames(frozenset(), frozenset(words(sql)))
    inner = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    tables = {table.name.casefold() for table in tree.find_all(exp.Table)} - inner
    named = {node.name for node in tree.find_all(exp.Column) if not is_string(node, columns)}
    return QueryNames(frozenset(tables), frozenset(words(" ".join(tables | named))))


def words(text: str) -> set[str]:
    """The runs of letters, digits and underscores in a text, case-folded."""
    return set(_WORD.findall(text.casefold()))


def schema_signature(schema: Schema | str) -> Signature:
    """The (table, column) names of a schema, case-folded; schemas with equal signatures count as the same.

    `schema` may be CREATE TABLE text, which SQLite reads.

    Raises:
        UserError: SQLite rejects the text.
    """
    return _ddl_signature(schema) if isinstance(schema, str) else _signature(schema)


@functools.lru_cache(maxsize=65_536)
def _ddl_signature(ddl: str) -> Signature:
    return _signature(read_ddl(ddl))


def _signature(schema: Schema) -> Signature:
    return frozenset(
        (table.name.casefold(), column.name.casefold()) for table in schema.tables for column in table.columns
    )


class _Characters(dict[int, str | int | None]):
    """What replaces each character of a question; computed once for each character."""

    def __missing__(self, code: int) -> str | int | None:
        self[code] = _fold_character(code)
        return self[code]


def _fold_character(code: int) -> str | int | None:
    kind = unicodedata.category(chr(code))
    if 0x300 <= code <= 0x36F or kind == "Cf" or chr(code) in "'`\u2018\u2019\u02bc":
        return None  # "what's" and "whats" are one word
    if kind[0] in "PZC":
        return " "
    return f" {chr(code)} " if kind[0] == "S" else code


_QUESTION_CHARACTERS = _Characters()


def _alias_names(tree: exp.Query) -> dict[str, str]:
    """New names for table aliases, in order of appearance; they begin with a space, as no real name does."""
    names: dict[str, str] = {}
    for alias in tree.find_all(exp.TableAlias):
        if alias.name and not isinstance(alias.parent, exp.CTE):  # a CTE's name is a table's name
            names.setdefault(alias.name.casefold(), f" {len(names)}")
    return names


def _fold_node(
    node: exp.Expression, aliases: dict[str, str], columns: Collection[str], mask: bool
) -> exp.Expression:
    if mask and (_is_value(node) or is_string(node, columns)):
        return exp.Placeholder()
    if is_string(node, columns):
        return exp.Literal.string(node.name)
    if isinstance(node, exp.Identifier):
        name = node.name.casefold()
        return exp.to_identifier(aliases.get(name, name) if _names_alias(node) else name, quoted=True)
    if isinstance(node, exp.Join) and node.args.get("kind") in ("INNER", "OUTER"):
        node.set("kind", None)
    if isinstance(node, exp.Ordered) and not node.args.get("desc"):
        node.set("desc", None)
    return node


def _is_value(node: exp.Expression) -> bool:
    """Whether this is a number, a number with a minus, or a string."""
    return isinstance(node, exp.Literal) or (isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal))


def _names_alias(node: exp.Identifier) -> bool:
    """Whether a name is in the position of a table alias: in `AS x` of a table, or before a dot."""
    if isinstance(node.parent, exp.TableAlias):
        return node.arg_key == "this"
    return isinstance(node.parent, exp.Column) and node.arg_key == "table"
