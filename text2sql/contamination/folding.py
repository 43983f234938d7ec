"""Forms in which two questions, two queries or two schemas are compared: equal means the same."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from text2sql.schema.ddl import read_ddl
from text2sql.schema.model import Schema

# (table, column) pairs, both case-folded. Types, keys and the order of columns do not count.
Signature = frozenset[tuple[str, str]]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class FoldedSql:
    """A query's canonical text; `parsed` is False where it is no more than the folded words."""

    text: str
    parsed: bool


def fold_question(text: str) -> str:
    """Fold a question to its words: NFKC, case, accents, punctuation and white space fall away.

    Digits and the signs of the classes S (`<`, `=`, `+`, `$`) stay, for they change what is asked.
    Accents of Latin, Greek and Cyrillic letters fall (combining marks U+0300 to U+036F), because
    people retype questions without them; marks of other scripts carry the vowel and stay.
    """
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", " ".join(plain.translate(_QUESTION_SIGNS).split()))


def fold_sql(sql: str, columns: Collection[str] = (), mask: bool = False) -> FoldedSql:
    """Canonical form of a query in SQLite's dialect; equal forms give equal results.

    Case of words and names, spacing, comments, quoting of names, a last semicolon, the names of
    table aliases, a spelt-out INNER, OUTER or ASC and the quotes of a string fall away. SQLite
    reads "x" as a string where no column has that name: `columns` (case-folded) decides, and
    without it every unqualified "x" counts as a string. Not covered: names of column aliases, an
    alias against the bare table name, the order of conditions or tables. `mask` puts one and the
    same sign in the place of every number (with its minus) and every string.
    """
    tree = parse_query(sql)
    if tree is None:
        return FoldedSql(" ".join(sql.casefold().split()).rstrip("; "), False)
    aliases = _alias_names(tree)
    folded = tree.transform(lambda node: _fold_node(node, aliases, columns, mask))
    return FoldedSql(folded.sql("sqlite", comments=False), True)


def parse_query(sql: str) -> exp.Query | None:
    """The tree of one SQLite query (SELECT, WITH, UNION ...); None if it is not just that."""
    try:
        statements = sqlglot.parse(sql, read="sqlite")
    except (SqlglotError, RecursionError):
        return None
    # what stands between two semicolons may be nothing, or a comment
    told = [tree for tree in statements if tree is not None and not isinstance(tree, exp.Semicolon)]
    return told[0] if len(told) == 1 and isinstance(told[0], exp.Query) else None


@dataclass(frozen=True, slots=True)
class QueryNames:
    """What a query names: its tables, and the words that every query equal to it holds; case-folded."""

    tables: frozenset[str]
    words: frozenset[str]


def query_names(sql: str, columns: Collection[str] = ()) -> QueryNames:
    """The names that survive `fold_sql`; of what does not parse, all words and no tables."""
    tree = parse_query(sql)
    if tree is None:
        return QueryNames(frozenset(), frozenset(words(sql)))
    inner = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    tables = {table.name.casefold() for table in tree.find_all(exp.Table)} - inner
    named = {node.name for node in tree.find_all(exp.Column) if not _is_string(node, columns)}
    return QueryNames(frozenset(tables), frozenset(words(" ".join(tables | named))))


def words(text: str) -> set[str]:
    """The runs of letters, digits and underscores in a text, case-folded."""
    return set(_WORD.findall(text.casefold()))


def schema_signature(schema: Schema | str) -> Signature:
    """What two schemas must share to be the same: their (table, column) names, case-folded.

    `schema` may be CREATE TABLE text, which SQLite reads. UserError: SQLite rejects it.
    """
    return _ddl_signature(schema) if isinstance(schema, str) else _signature(schema)


@functools.lru_cache(maxsize=65_536)
def _ddl_signature(ddl: str) -> Signature:
    return _signature(read_ddl(ddl))


def _signature(schema: Schema) -> Signature:
    return frozenset(
        (table.name.casefold(), column.name.casefold()) for table in schema.tables for column in table.columns
    )


class _Signs(dict[int, str | int | None]):
    """What becomes of each character in a question, looked up once per character."""

    def __missing__(self, code: int) -> str | int | None:
        self[code] = _fold_sign(code)
        return self[code]


def _fold_sign(code: int) -> str | int | None:
    kind = unicodedata.category(chr(code))
    if 0x300 <= code <= 0x36F or kind == "Cf" or chr(code) in "'`\u2018\u2019\u02bc":
        return None  # "what's" and "whats" are one word
    if kind[0] in "PZC":
        return " "
    return f" {chr(code)} " if kind[0] == "S" else code


_QUESTION_SIGNS = _Signs()


def _alias_names(tree: exp.Query) -> dict[str, str]:
    """New names for table aliases, numbered as they are met; no user's name starts with a blank."""
    names: dict[str, str] = {}
    for alias in tree.find_all(exp.TableAlias):
        if alias.name and not isinstance(alias.parent, exp.CTE):  # a CTE's name is a table's name
            names.setdefault(alias.name.casefold(), f" {len(names)}")
    return names


def _fold_node(
    node: exp.Expression, aliases: dict[str, str], columns: Collection[str], mask: bool
) -> exp.Expression:
    if mask and (_is_value(node) or _is_string(node, columns)):
        return exp.Placeholder()
    if _is_string(node, columns):
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
    """Whether this is a number or a string, or a number with a minus."""
    return isinstance(node, exp.Literal) or (isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal))


def _is_string(node: exp.Expression, columns: Collection[str]) -> bool:
    """Whether SQLite reads this "x" as a string: unqualified, in quotes, and no column's name."""
    return (
        isinstance(node, exp.Column)
        and not node.table
        and isinstance(node.this, exp.Identifier)
        and bool(node.this.quoted)
        and node.name.casefold() not in columns
    )


def _names_alias(node: exp.Identifier) -> bool:
    """Whether a name stands where a table alias does: in `AS x` of a table or before a dot."""
    if isinstance(node.parent, exp.TableAlias):
        return node.arg_key == "this"
    return isinstance(node.parent, exp.Column) and node.arg_key == "table"
