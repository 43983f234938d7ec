"""Reads the schema that a script creates, whatever database system it is for.

Where SQLite takes every CREATE TABLE statement, it reads them. Otherwise all are read as
`text2sql/schema/create_table.py` does, with types as sqlglot writes them for SQLite. What the schema has
nothing of is counted by kind of statement; a table that cannot be read is left out, with the reason.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from text2sql.schema.create_table import (
    Draft,
    Partition,
    Path,
    Reference,
    TypeNames,
    Unreadable,
    read_alter_table,
    read_column_comment,
    read_create_table,
    read_domain,
    table_name,
)
from text2sql.schema.ddl import allow_schema_only, quote_name, read_connection, write_ddl
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.schema.script import BACKSLASH, NAME, Statement, bare, guess_dialect, statements

SECONDS = 2.0
"""Time limit for SQLite to execute the CREATE TABLE statements of a script."""

_PAGES = 4096  # memory limit for them, of 4 KiB
_OPCODES_BETWEEN_CHECKS = 100_000
_GUESSED_FROM = 100_000  # characters
_TABLES = ("CREATE TABLE", "CREATE VIRTUAL TABLE")
# A fault of the statement in every database system, after which SQLite still reads the others
_FAULTS = (
    "already exists",
    "duplicate column name",
    "more than one primary key",
    "reserved for internal use",
)
_DUMPED = re.compile(r"'(CREATE VIRTUAL TABLE (?:[^']|'')*)'")  # in an INSERT of a dump of SQLite
_INSERT = re.compile(r"INSERT\s+(IGNORE\s+)?(?:INTO\s+)?(?!OR\b|INTO\b|IGNORE\b)", re.IGNORECASE)
_STRING = re.compile(r"(\b[NE]|)'((?:[^'\\]|\\.|'')*)'", re.DOTALL | re.IGNORECASE)
_PLAIN_STRING = re.compile(r"(\bE)'((?:[^'\\]|\\.|'')*)'|(\bN|)'((?:[^']|'')*)'", re.DOTALL | re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "", "'": "''"}
_SHADOW = "a table in which a virtual table has its content"
_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)  # Markdown's, around SQL that a language model wrote
_QUALIFIED = re.compile(
    rf"--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*(?:'|\Z)|{NAME}(?:\s*\.\s*{NAME})*", re.DOTALL | re.IGNORECASE
)
_PART = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Script:
    """What a script creates.

    `skipped` counts, by kind, the statements of which the schema has nothing, INSERTs apart; `unreadable` has
    the reason for each table that is left out. `names` gives the name in `schema` of a table that the script
    calls SCHEMA.TABLE (both in lower case); `virtual` the statements of virtual tables; `inserts` those of
    rows. `dialect` is sqlglot's name of the database system.
    """

    schema: Schema
    dialect: str
    skipped: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    names: dict[Path, str] = field(default_factory=dict)
    virtual: dict[str, str] = field(default_factory=dict)
    inserts: tuple[str, ...] = ()


def read_script(text: str, dialect: str | None = None) -> Script:
    """Read the schema that a script creates; its `tables` are () if there is none.

    `dialect` is sqlglot's name of the database system, None: it is guessed.
    """
    text = _FENCE.sub("", text)
    parts = list(statements(text, dialect or guess_dialect(text[:_GUESSED_FROM])))
    made = "\n".join(part.text for part in parts if part.kind in _TABLES)
    return _Reader(parts, dialect or guess_dialect(made[:_GUESSED_FROM])).script()


def sqlite_insert(text: str, script: Script) -> str:
    """An INSERT statement of a script with its strings, first words and table as SQLite writes them."""
    escapes = script.dialect in BACKSLASH

    def literal(found: re.Match[str]) -> str:
        prefix, inside = (part for part in found.groups() if part is not None)
        if escapes or prefix in ("E", "e"):
            inside = _ESCAPE.sub(lambda one: _ESCAPED.get(one[1], one[1]), inside)
        return f"'{inside}'"

    plain = (_STRING if escapes else _PLAIN_STRING).sub(literal, _INSERT.sub(_insert_words, text, count=1))
    return unqualified(plain, script.names)


def _insert_words(found: re.Match[str]) -> str:
    return "INSERT OR IGNORE INTO " if (found[1] or "").upper().strip() == "IGNORE" else "INSERT INTO "


def unqualified(sql: str, names: Mapping[Path, str]) -> str:
    """The SQL with each SCHEMA.TABLE of `names` (see `Script`) replaced by the name of the table."""
    if not names or "." not in sql:
        return sql
    return _QUALIFIED.sub(lambda found: _renamed(found[0], names), sql)


def _renamed(text: str, names: Mapping[Path, str]) -> str:
    parts = _PART.findall(text) if "." in text and text[0] not in "'-/" else []
    folded = [bare(part).lower() for part in parts]
    for at in range(len(parts) - 1):
        name = names.get((folded[at], folded[at + 1]))
        if name is not None:
            return ".".join([quote_name(name), *parts[at + 2 :]])
    return text


class _Reader:
    """Reads one script."""

    def __init__(self, parts: Sequence[Statement], dialect: str) -> None:
        self._parts = [_virtual(part) for part in parts]
        self._dialect = dialect
        self._skipped: Counter[str] = Counter()
        self._unreadable: dict[str, str] = {}
        self._virtual: dict[str, str] = {}
        self._inserts: list[str] = []
        domains = (read_domain(part.text) for part in parts if part.kind in ("CREATE DOMAIN", "CREATE TYPE"))
        self._types = TypeNames(dialect, {name: kind for name, kind in domains if name})

    def script(self) -> Script:
        drafts = _Drafts(self._skipped, self._unreadable)
        by_sqlite = self._by_sqlite()
        for number, part in enumerate(self._parts):
            if part.kind in _TABLES:
                self._add(part, drafts, by_sqlite, number)
        for part in self._parts:
            if part.kind in ("INSERT", "REPLACE"):
                self._inserts.append(part.text)
            elif part.kind not in _TABLES and not self._applies(part, drafts):
                self._skipped[part.kind] += 1
        return Script(
            self._writable(drafts.schema()),
            self._dialect,
            self._skipped,
            self._unreadable,
            drafts.names(),
            self._virtual,
            tuple(self._inserts),
        )

    def _writable(self, schema: Schema) -> Schema:
        """The tables that SQLite takes as they are written; the others are unreadable."""
        plain = {number: write_ddl(Schema((table,))) for number, table in enumerate(schema.tables)}
        _, errors = _execute(plain)
        self._unreadable.update({schema.tables[number].name: error for number, error in errors.items()})
        return Schema(tuple(table for number, table in enumerate(schema.tables) if number not in errors))

    def _by_sqlite(self) -> dict[int, Table | str]:
        """What SQLite makes of each statement, by its number: the table, or why there is none.

        Where SQLite does not know the language of a CREATE TABLE statement, only virtual tables are in it.
        """
        creates = [number for number, part in enumerate(self._parts) if part.kind in _TABLES]
        made, errors = _execute({number: self._parts[number].text for number in creates})
        foreign = any(
            self._parts[number].kind == "CREATE TABLE" and not any(sign in error for sign in _FAULTS)
            for number, error in errors.items()
        )
        found: dict[int, Table | str] = {}
        for number in creates:
            if foreign and self._parts[number].kind == "CREATE TABLE":
                continue
            name = "".join(table_name(self._parts[number].text)[-1:]).lower()
            error = errors.get(number, "")
            if not error or "already exists" in error:
                # read_connection leaves out only the shadow tables of what was created
                found[number] = made.get(name, _SHADOW) if not error or name not in made else error
            else:
                found[number] = error
        return found

    def _add(
        self, part: Statement, drafts: _Drafts, by_sqlite: Mapping[int, Table | str], number: int
    ) -> None:
        path = table_name(part.text)
        if _is_internal(part.text):
            self._skipped["CREATE TABLE sqlite_..."] += 1
            return
        made = by_sqlite.get(number)
        if made == _SHADOW:
            self._skipped["CREATE TABLE of a virtual table's content"] += 1
            return
        try:
            if isinstance(made, Table):
                drafts.add(_draft(made))
                if part.kind != "CREATE TABLE":
                    self._virtual[made.name] = part.text
            elif part.kind == "CREATE TABLE" and (not made or "already exists" in made):
                drafts.add(read_create_table(part.text, self._types))
            else:
                raise Unreadable(str(made))
        except Partition:
            self._skipped["CREATE TABLE ... PARTITION OF"] += 1
        except Unreadable as error:
            self._unreadable[".".join(path) or part.text[:40]] = str(error)

    def _applies(self, part: Statement, drafts: _Drafts) -> bool:
        """Whether a statement that creates no table says something of one, such as its keys."""
        if part.kind == "ALTER TABLE":
            draft = drafts.find(table_name(part.text))
            return draft is not None and read_alter_table(part.text, draft, self._types)
        if part.kind == "COMMENT ON":
            path, comment = read_column_comment(part.text)
            draft = drafts.find(path[:-1])
            return draft is not None and _set_comment(draft, path[-1], comment)
        return False


def _virtual(part: Statement) -> Statement:
    """A statement; the INSERT of a dump of SQLite that creates a virtual table as the CREATE that it has."""
    dumped = part.kind == "INSERT" and table_name(part.text) in (("sqlite_master",), ("sqlite_schema",))
    found = _DUMPED.search(part.text) if dumped else None
    return Statement("CREATE VIRTUAL TABLE", found[1].replace("''", "'")) if found else part


def _execute(creates: Mapping[int, str]) -> tuple[dict[str, Table], dict[int, str]]:
    """Run statements in an empty database: the tables by their names (lower case), the errors by number."""
    errors: dict[int, str] = {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _limit(connection)
        for number, text in creates.items():
            try:
                connection.execute(text)
            except (sqlite3.Error, sqlite3.Warning) as error:
                errors[number] = str(error)
        tables = read_connection(connection, comments=True).tables
    return {table.name.lower(): table for table in tables}, errors


def _limit(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + SECONDS
    connection.execute(f"PRAGMA max_page_count = {_PAGES}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPCODES_BETWEEN_CHECKS)
    connection.set_authorizer(_authorize)


def _authorize(action: int, first: str | None, second: str | None = None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA and first in ("table_xinfo", "table_list", "foreign_key_list"):
        return sqlite3.SQLITE_OK
    return allow_schema_only(action, first, second)


def _is_internal(text: str) -> bool:
    path = table_name(text)
    return bool(path) and path[-1].lower().startswith("sqlite_")


def _draft(table: Table) -> Draft:
    keys = [Reference(key.columns, (key.table,), key.references) for key in table.foreign_keys]
    return Draft((table.name,), list(table.columns), table.primary_key, keys)


def _set_comment(draft: Draft, name: str, comment: str) -> bool:
    for number, column in enumerate(draft.columns):
        if column.name.lower() == name.lower():
            draft.columns[number] = replace(column, comment=" ".join(comment.split()))
            return True
    return False


class _Drafts:
    """The tables of a script; those of two schemas may have the same name."""

    def __init__(self, skipped: Counter[str], unreadable: dict[str, str]) -> None:
        self._skipped = skipped
        self._unreadable = unreadable
        self._found: dict[Path, Draft] = {}
        self._by_name: dict[str, list[Path]] = {}
        self._refused: set[Path] = set()

    def add(self, draft: Draft) -> None:
        """Add a table.

        Raises:
            Unreadable: a table of this name has other columns; it is left out too.
        """
        key = _key(draft.path)
        before = self._found.get(key)
        if key in self._refused or (before and _column_names(before) != _column_names(draft)):
            self._remove(key)
            raise Unreadable("it is created twice, with different columns")
        if before:
            self._skipped["CREATE TABLE, repeated"] += 1
            return
        for path in draft.models:
            model = self.find(path)
            _put_before(draft, model.columns if model else [])
        self._found[key] = draft
        self._by_name.setdefault(key[-1], []).append(key)

    def find(self, path: Path) -> Draft | None:
        """The table that a name means; a name without a schema means the only one of this name."""
        key = self._key(path)
        return self._found[key] if key else None

    def names(self) -> dict[Path, str]:
        return {key: self._name(key) for key in self._found if key[0]}

    def schema(self) -> Schema:
        known: set[Path] = set()
        for key, draft in self._found.items():
            self._inherit(known, draft)
            known.add(key)
        made = [self._table(key, draft) for key, draft in self._found.items()]
        self._unreadable.update({table.name: "it has no column" for table in made if not table.columns})
        return Schema(tuple(table for table in made if table.columns))

    def _remove(self, key: Path) -> None:
        self._refused.add(key)
        if self._found.pop(key, None):
            self._by_name[key[-1]].remove(key)

    def _key(self, path: Path) -> Path | None:
        if not path:
            return None
        key = _key(path)
        if key in self._found:
            return key
        same = self._by_name.get(key[-1], [])
        return same[0] if len(same) == 1 else None

    def _name(self, key: Path) -> str:
        path = self._found[key].path
        return ".".join(path[-2:]) if len(self._by_name[key[-1]]) > 1 else path[-1]

    def _inherit(self, known: Iterable[Path], draft: Draft) -> None:
        """Put the columns of the parents before those of the table; parents are created before it."""
        keys = filter(None, map(self._key, draft.parents))
        parents = (self._found[key] for key in keys if key in known)
        _put_before(draft, list({c.name.lower(): c for parent in parents for c in parent.columns}.values()))

    def _table(self, key: Path, draft: Draft) -> Table:
        known = {column.name.lower() for column in draft.columns}
        primary_key = draft.primary_key if known.issuperset(map(str.lower, draft.primary_key)) else ()
        keys = (
            self._foreign_key(one)
            for one in draft.foreign_keys
            if known.issuperset(map(str.lower, one.columns))
        )
        distinct = tuple(dict.fromkeys(one for one in keys if one))
        return Table(self._name(key), tuple(draft.columns), primary_key, distinct)

    def _foreign_key(self, written: Reference) -> ForeignKey | None:
        """The key; None if it names no columns of the other table and these are not known."""
        key = self._key(written.table)
        references = written.references or (self._found[key].primary_key if key else ())
        if len(references) != len(written.columns):
            return None
        return ForeignKey(written.columns, self._name(key) if key else written.table[-1], references)


def _key(path: Path) -> Path:
    return (path[-2].lower() if len(path) > 1 else "", path[-1].lower())


def _put_before(draft: Draft, columns: Sequence[Column]) -> None:
    """Put columns, unless the table has them, before its own."""
    own = {column.name.lower() for column in draft.columns}
    draft.columns[:0] = [column for column in columns if column.name.lower() not in own]


def _column_names(draft: Draft) -> list[str]:
    return [column.name.lower() for column in draft.columns]
