"""Schemas described in prose, as in DB-GPT-Hub's Spider files.

One paragraph names the tables, then each table's columns, primary key and example values, then the
foreign keys::

    shop contains tables such as item, sale. Table item has columns such as id, name. id is the
    primary key. The name contains values such as Tea. Table sale has columns such as item_id.  is
    the primary key. The item_id of sale is the foreign key of id of item.

The prose gives no types and quotes nothing, so a name or a value that contains a comma and a space cannot be
distinguished from two; only a comma inside parentheses is read as part of a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from text2sql.errors import UserError
from text2sql.schema.model import Column, ForeignKey, Schema, Table

_TABLES = " contains tables such as "
_COLUMNS = " has columns such as "
_PRIMARY = " is the primary key"
_VALUES = " contains values such as "
_FOREIGN = " is the foreign key of "
_BEGINNING = "it should read 'ID contains tables such as A, B. Table A has ...'"
_CREATE_TABLE = re.compile(r"\bcreate\s+(?:\w+\s+)?table\b", re.IGNORECASE)
_PHRASES = (_TABLES, _COLUMNS, _PRIMARY, _VALUES, _FOREIGN)


def read_prose(text: str) -> tuple[str, Schema]:
    """Read one schema described in prose; returns the database id and the schema.

    Tables and columns are named as in the prose and have no type; value hints become ``Column.examples``. A
    repeated foreign key is kept once. Tables called ``sqlite_...`` are SQLite's own bookkeeping, which CREATE
    TABLE refuses: they are left out, as in ``read_sqlite``.

    Raises:
        UserError: the prose has another form; the message quotes the sentence.
    """
    db_id, names, bodies = _sections(text)
    parsed = [_table(name, body) for name, body in zip(names, bodies, strict=True)]
    tables = {table.name: table for table, _ in parsed}
    for sentence in (sentence for _, keys in parsed for sentence in keys):
        child, key = _foreign_key(sentence, tables)
        if key not in tables[child].foreign_keys:
            keys = (*tables[child].foreign_keys, key)
            tables[child] = replace(tables[child], foreign_keys=keys)
    return db_id, Schema(tuple(t for t in tables.values() if not _is_internal(t.name)))


def is_prose(text: str) -> bool:
    """Whether a schema is to be read as prose: it is not blank, and has no CREATE TABLE."""
    return bool(text.strip()) and not _CREATE_TABLE.search(text)


def prose_database(text: str) -> str:
    """The database id with which prose begins.

    Raises:
        UserError: the text does not begin as such prose does.
    """
    db_id, found, _ = text.removeprefix("\ufeff").strip().partition(_TABLES)
    if not found:
        raise _misfit(text, _BEGINNING)
    return db_id


def write_prose(db_id: str, schema: Schema) -> str:
    """Describe a schema in the same prose; ``read_prose`` gives it back without the types.

    Keys of several columns are written as ``a, b is the primary key``.

    Raises:
        UserError: the prose could not be read back as the same schema (a comma in a value, for instance).
    """
    names = ", ".join(table.name for table in schema.tables)
    keys = [_key_sentence(table, key) for table in schema.tables for key in table.foreign_keys]
    sentences = [f"{db_id}{_TABLES}{names}.", *map(_table_sentences, schema.tables), *keys]
    text = " ".join(sentences)
    if read_prose(text) != (db_id, _untyped(schema)):
        raise UserError(
            f"schema {db_id!r} cannot be described in prose: a name or value in it contains a comma, "
            "begins or ends with a space, or contains words of the prose itself; rename it or leave the "
            "value out"
        )
    return text


def _sections(text: str) -> tuple[str, list[str], list[str]]:
    """Database id, table names, and for each table the text after 'has columns such as'."""
    text = text.removeprefix("\ufeff").strip()
    db_id, found, rest = text.removesuffix(".").partition(_TABLES)
    if not found or not db_id or not text.endswith("."):
        raise _misfit(text, _BEGINNING)
    listed = rest.partition(". Table ")[0]
    names, rest, bodies = _split_names(listed), rest[len(listed) :], []
    _refuse_repeated(names, "table", text)
    for name, following in zip(names, [*names[1:], None], strict=True):
        header = f". Table {name}{_COLUMNS}"
        if not rest.startswith(header):
            raise _misfit(rest, f"table {name!r} is listed; expected '{header[2:]}...'")
        end = len(rest) if following is None else rest.find(f". Table {following}{_COLUMNS}")
        if end < 0:
            raise _misfit(text, f"table {following!r} is listed, but its columns are not")
        bodies.append(rest[len(header) : end])
        rest = rest[end:]
    return db_id, names, bodies


def _table(name: str, body: str) -> tuple[Table, list[str]]:
    """A table without its foreign keys, and the foreign-key sentences that follow it."""
    head, found, tail = body.partition(_PRIMARY)
    if not found:
        raise _misfit(body, f"table {name!r} has no sentence '... is the primary key.'")
    columns, primary_key = _columns_and_key(head, name)
    first, *sentences = tail.split(". The ")
    cut = len(sentences)
    while cut and _FOREIGN in sentences[cut - 1]:
        cut -= 1
    hints = _hints(". The ".join([first, *sentences[:cut]]), columns)
    return (
        Table(name, tuple(Column(c, "", tuple(hints[c])) for c in columns), primary_key),
        sentences[cut:],
    )


def _columns_and_key(head: str, table: str) -> tuple[list[str], tuple[str, ...]]:
    """Split 'a, b. a' into columns and key; a name may itself contain '. ', so try every place."""
    for at in (match.start() for match in re.finditer(r"\. ", head)):
        columns, key = _split_names(head[:at]), head[at + 2 :]
        keys = (key,) if key in columns else tuple(_split_names(key)) if key else ()
        if set(keys) <= set(columns) and all(columns):
            _refuse_repeated(columns, f"column of table {table!r}", head)
            return columns, keys
    raise _misfit(head + _PRIMARY, f"the key should be among the columns of table {table!r}")


def _hints(text: str, columns: list[str]) -> dict[str, list[str]]:
    """Value hints by column. In real files the space between two hints is missing."""
    hints: dict[str, list[str]] = {column: [] for column in columns}
    known = "|".join(re.escape(c) for c in sorted(columns, key=len, reverse=True))
    before, *found = re.split(rf"\. ?The ({known}){_VALUES}", text)
    if before:
        raise _misfit(before, "it is neither a value hint of a known column nor a foreign key")
    for column, values in zip(found[::2], found[1::2], strict=True):
        if any(phrase in values for phrase in _PHRASES):
            raise _misfit(values, f"it is among the values of {column!r}")
        hints[column].extend(values.split(", "))
    return hints


def _foreign_key(sentence: str, tables: dict[str, Table]) -> tuple[str, ForeignKey]:
    """The child table and its key, from 'x of child is the foreign key of y of parent'."""
    left, _, right = sentence.partition(_FOREIGN)
    child, parent = _endpoint(left, tables), _endpoint(right, tables)
    if child is None or parent is None or len(child[1]) != len(parent[1]):
        raise _misfit(f"The {sentence}", "both ends should be 'column of table', with names from above")
    return child[0], ForeignKey(child[1], parent[0], parent[1])


def _endpoint(text: str, tables: dict[str, Table]) -> tuple[str, tuple[str, ...]] | None:
    """Table and columns from 'x of t'; names may contain ' of ', so the known names decide."""
    for match in re.finditer(" of ", text):
        columns, table = text[: match.start()], tables.get(text[match.end() :])
        known = {column.name for column in table.columns} if table else set()
        for names in ((columns,), tuple(_split_names(columns))):
            if table and set(names) <= known:
                return table.name, names
    return None


def _split_names(text: str) -> list[str]:
    """Split at ', ' outside parentheses, which real column names use for units."""
    names, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth = max(0, depth + (char == "(") - (char == ")"))
        if depth == 0 and text.startswith(", ", at):
            names.append(text[start:at])
            start = at + 2
    return [*names, text[start:]]


def _table_sentences(table: Table) -> str:
    columns = ", ".join(column.name for column in table.columns)
    described = f"Table {table.name}{_COLUMNS}{columns}. {', '.join(table.primary_key)}{_PRIMARY}."
    hints = [
        f"The {column.name}{_VALUES}{', '.join(column.examples)}."
        for column in table.columns
        if column.examples
    ]
    return " ".join([described, "".join(hints)]) if hints else described


def _key_sentence(table: Table, key: ForeignKey) -> str:
    child, parent = ", ".join(key.columns), ", ".join(key.references)
    return f"The {child} of {table.name}{_FOREIGN}{parent} of {key.table}."


def _untyped(schema: Schema) -> Schema:
    """The schema as prose can describe it: without types, every foreign key once."""
    return Schema(
        tuple(
            replace(
                table,
                columns=tuple(replace(column, type="") for column in table.columns),
                foreign_keys=tuple(dict.fromkeys(table.foreign_keys)),
            )
            for table in schema.tables
        )
    )


def _is_internal(table: str) -> bool:
    return table.casefold().startswith("sqlite_")


def _refuse_repeated(names: Iterable[str], what: str, text: str) -> None:
    seen: set[str] = set()
    for name in names:
        if not name or name.casefold() in seen:
            raise _misfit(text, f"{what} {name!r} is " + ("listed twice" if name else "empty"))
        seen.add(name.casefold())


def _misfit(sentence: str, why: str) -> UserError:
    shown = sentence.strip() if len(sentence) <= 200 else sentence.strip()[:200] + "..."
    return UserError(f"schema prose does not fit: {shown!r}: {why}")
