"""Each distinct schema is converted once, by the chosen back end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.schema.convert import (
    AnySchema,
    Backend,
    Conversion,
    RecordedBackend,
    RulesBackend,
    Source,
    SourceError,
    SqliteBackend,
    convert,
    count_backends,
    local_backend,
    prose_schema,
    written,
)
from text2sql.schema.ddl import Values
from text2sql.schema.model import Column, Schema, Table
from text2sql.schema.settings import ConvertSchema
from text2sql.settings import checked

PROSE = (
    "shop contains tables such as item. Table item has columns such as id, name. "
    "id is the primary key. The name contains values such as Tea."
)
COFFEE = PROSE.replace("Tea", "Coffee")
SOURCES = [Source(0, "shop", PROSE), Source(1, "shop", COFFEE), Source(2, "shop", PROSE)]


class Backwards:
    """Converts by prose, the last source first, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Source] = []

    def key(self, source: Source) -> str:
        return source.prose

    def convert_all(self, sources: Sequence[Source]) -> Iterator[tuple[Source, Conversion]]:
        self.given += sources
        for source in reversed(sources):
            yield source, Conversion(f"-- {source.row}", "backwards", 1, ())


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    with closing(sqlite3.connect(tmp_path / "shop" / "shop.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE Item (ID INTEGER PRIMARY KEY, Name TEXT);"
            "INSERT INTO Item (Name) VALUES ('Tea'), ('Milk'), ('Tea'), (NULL)"
        )
    return tmp_path


def test_each_distinct_schema_is_converted_once_from_the_first_row_that_has_it() -> None:
    backend = Backwards()
    convert(SOURCES, backend)
    assert [source.row for source in backend.given] == [0, 1]


def test_conversions_come_in_the_order_of_the_sources_however_the_back_end_works() -> None:
    assert [done.ddl for done in convert(SOURCES, Backwards()).values()] == ["-- 0", "-- 1"]


def test_progress_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("text2sql.progress._log", True)
    convert(SOURCES, Backwards())
    assert "convert_schema: 2/2 schemas (100 %)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "ddl"),
    [
        ("none", "CREATE TABLE item (id PRIMARY KEY, name);"),
        ("comment", "CREATE TABLE item (\n  id PRIMARY KEY,\n  name -- e.g. 'Tea'\n);"),
        ("insert", "CREATE TABLE item (id PRIMARY KEY, name);\nINSERT INTO item (name) VALUES ('Tea');"),
    ],
)
def test_the_rules_write_what_the_prose_tells_and_its_values_as_asked(values: Values, ddl: str) -> None:
    (done,) = convert(SOURCES[:1], RulesBackend(values)).values()
    assert done == Conversion(ddl, "rules", 1, ())


def test_the_rules_tell_proses_of_one_database_apart() -> None:
    assert list(convert(SOURCES, RulesBackend("comment"))) == [PROSE, COFFEE]


def test_a_database_is_converted_once_whatever_its_prose_says(databases: Path) -> None:
    (done,) = convert(SOURCES, SqliteBackend(databases, "none", 2)).values()
    assert done == Conversion("CREATE TABLE Item (ID INTEGER PRIMARY KEY, Name TEXT);", "sqlite", 1, ())


def test_a_database_brings_its_most_frequent_values(databases: Path) -> None:
    (done,) = convert(SOURCES, SqliteBackend(databases, "insert", 2)).values()
    assert done.ddl.endswith("INSERT INTO Item (ID, Name) VALUES (1, 'Tea'), (2, 'Milk');")
    assert done.problems == ()


def test_no_row_of_a_database_is_read_unless_values_are_asked_for(databases: Path) -> None:
    path = databases / "shop" / "shop.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert convert(SOURCES, SqliteBackend(databases, "none", 2))["shop"].problems == ()
    with pytest.raises(UserError, match=r"shop.sqlite: SQLite cannot read it"):
        convert(SOURCES, SqliteBackend(databases, "comment", 2))


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"shop.sqlite: no such database file"):
        convert(SOURCES, SqliteBackend(tmp_path, "none", 1))


@pytest.mark.parametrize("backend", [RulesBackend("none"), RulesBackend("insert")])
def test_prose_that_does_not_fit_is_named_by_its_row(backend: Backend) -> None:
    with pytest.raises(SourceError, match=r"^row 7 \(database shop\): schema prose does not fit"):
        convert([*SOURCES, Source(7, "shop", PROSE[:-20])], backend)


def test_a_schema_of_prose_has_its_value_hints() -> None:
    columns = (Column("id"), Column("name", "", ("Tea",)))
    assert prose_schema(SOURCES[0]) == Schema((Table("item", columns, ("id",)),))


def test_what_sqlite_refuses_is_a_problem_and_not_a_crash() -> None:
    twice = Schema((Table("t", (Column("a"), Column("A"))),))
    assert "duplicate column name" in written(twice, "rules", "none").problems[0]


def test_a_table_that_cannot_be_written_is_a_problem() -> None:
    reserved = Schema((Table("t", (Column("a"),)), Table("sqlite_stat", (Column("b"),))))
    assert written(reserved, "rules", "none").problems == ("table sqlite_stat is missing: add it",)


@pytest.mark.parametrize(
    ("answer", "ddl", "problems"),
    [
        (
            "<sql>-- all\nCREATE TABLE item (id INT PRIMARY KEY, name TEXT);</sql>",
            "-- all\nCREATE TABLE item (id INT PRIMARY KEY, name TEXT);",
            (),
        ),
        (
            "<sql>CREATE TABLE item (id INT PRIMARY KEY);</sql>",
            "CREATE TABLE item (id INT PRIMARY KEY);",
            ("column name of table item is missing: add it",),
        ),
        (
            "<sql>CREATE TABLE item (</sql>",
            "CREATE TABLE item (",
            ("CREATE TABLE text does not execute in SQLite: incomplete input",),
        ),
    ],
)
def test_a_recorded_schema_is_kept_as_it_is_and_its_faults_are_listed(
    answer: str, ddl: str, problems: tuple[str, ...]
) -> None:
    (done,) = convert([Source(0, "shop", PROSE, answer)], RecordedBackend()).values()
    assert done == Conversion(ddl, "recorded", 1, problems)


def test_two_answers_to_one_prose_are_two_schemas() -> None:
    sources = [Source(at, "shop", PROSE, f"<sql>CREATE TABLE item ({at}</sql>") for at in (0, 1, 1)]
    backend = RecordedBackend()
    made = convert(sources, backend)
    assert [made[backend.key(source)].ddl[-1] for source in sources] == ["0", "1", "1"]
    assert len(made) == 2


@pytest.mark.parametrize("answer", ["", "I cannot."])
def test_a_schema_that_is_not_recorded_is_named_by_its_row(answer: str) -> None:
    with pytest.raises(SourceError, match=r"^row 4 \(database shop\): no schema is recorded"):
        convert([Source(4, "shop", PROSE, answer)], RecordedBackend())


def test_back_ends_are_counted_by_name() -> None:
    made = [Conversion("", name, 1, ()) for name in ("rules", "openai", "rules")]
    assert count_backends(made) == {"openai": 1, "rules": 2}


def test_comments_of_a_database_are_in_its_schema_on_request(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    with closing(sqlite3.connect(tmp_path / "shop" / "shop.sqlite")) as connection:
        connection.execute("CREATE TABLE item (id INTEGER, -- number\n name TEXT)")
        connection.execute("INSERT INTO item VALUES (1, 'Tea')")
        connection.commit()
    settings = ConvertSchema(backend="sqlite", values="comment")
    made = convert(SOURCES, local_backend(settings, tmp_path, comments=True))["shop"]
    assert made.ddl == ("CREATE TABLE item (\n  id INTEGER, -- number; e.g. 1\n  name TEXT -- e.g. 'Tea'\n);")
    assert made.problems == ()
    assert "number" not in convert(SOURCES, local_backend(settings, tmp_path))["shop"].ddl


# -- schemas without prose --

TEXT = 'create table "item" (id integer primary key,\n  name TEXT)'
CANONICAL = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);"
IN_DATABASE = "CREATE TABLE Item (ID INTEGER PRIMARY KEY, Name TEXT);"


def backend_of(name: str, databases: Path, **changes: Any) -> AnySchema:
    """The back end as the stage makes it; for openai one that needs no server."""
    settings = checked(ConvertSchema, {"backend": "rules" if name == "openai" else name, **changes}, "test")
    asked = Backwards() if name == "openai" else local_backend(settings, databases)
    return AnySchema(asked, SqliteBackend(databases, settings.values, settings.examples))


@pytest.mark.parametrize(
    ("name", "ddl", "there", "expected"),
    [
        ("rules", TEXT, True, ("rules", CANONICAL)),
        ("rules", TEXT, False, ("rules", CANONICAL)),
        ("rules", "", True, ("sqlite", IN_DATABASE)),
        ("sqlite", TEXT, True, ("sqlite", IN_DATABASE)),
        ("sqlite", TEXT, False, ("rules", CANONICAL)),
        ("sqlite", "", True, ("sqlite", IN_DATABASE)),
        ("recorded", TEXT, True, ("sqlite", IN_DATABASE)),
        ("recorded", TEXT, False, ("rules", CANONICAL)),
        ("recorded", "", True, ("sqlite", IN_DATABASE)),
        ("openai", TEXT, True, ("sqlite", IN_DATABASE)),
        ("openai", TEXT, False, ("rules", CANONICAL)),
        ("openai", "", True, ("sqlite", IN_DATABASE)),
    ],
)
def test_a_schema_without_prose_comes_from_its_text_or_its_database(
    name: str, ddl: str, there: bool, expected: tuple[str, str], databases: Path
) -> None:
    backend = backend_of(name, databases)
    (done,) = convert([Source(0, "shop" if there else "gone", "", ddl=ddl)], backend).values()
    assert (done.backend, done.ddl) == expected
    assert done.problems == ()


@pytest.mark.parametrize("name", ["rules", "sqlite", "recorded", "openai"])
def test_without_prose_text_and_database_the_database_is_named(name: str, databases: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.sqlite: no such database file"):
        convert([Source(0, "gone", "")], backend_of(name, databases))


def test_prose_goes_to_the_back_end_that_was_asked_and_only_prose(databases: Path) -> None:
    backend = backend_of("openai", databases)
    sources = [
        *SOURCES,
        Source(3, "shop", ""),
        Source(4, "shop", "", ddl=TEXT),
        Source(5, "gone", "", ddl=TEXT),
    ]
    made = convert(sources, backend)
    assert [made[backend.key(source)].backend for source in sources] == [
        *["backwards"] * 3,
        *["sqlite"] * 2,
        "rules",
    ]
    assert isinstance(backend.asked, Backwards)
    assert [source.row for source in backend.asked.given] == [0, 1]
    assert len(made) == 4


def test_nothing_is_asked_for_before_the_other_schemas_are_converted(databases: Path) -> None:
    backend = backend_of("openai", databases)
    with pytest.raises(UserError, match=r"gone\.sqlite"):
        convert([SOURCES[0], Source(3, "gone", "")], backend)
    assert isinstance(backend.asked, Backwards) and backend.asked.given == []


def test_a_database_brings_values_without_any_prose(databases: Path) -> None:
    backend = backend_of("sqlite", databases, values="comment", examples=1)
    (done,) = convert([Source(0, "shop", "")], backend).values()
    assert "Name TEXT -- e.g. 'Tea'" in done.ddl


def test_text_of_another_database_system_is_rewritten_and_what_cannot_be_read_is_a_problem(
    databases: Path,
) -> None:
    text = "CREATE TABLE `a` (`id` int AUTO_INCREMENT, PRIMARY KEY (`id`)) ENGINE=InnoDB; CREATE TABLE b ("
    (done,) = convert([Source(4, "gone", "", ddl=text)], backend_of("rules", databases)).values()
    assert done.ddl == "CREATE TABLE a (id INTEGER PRIMARY KEY);"
    assert len(done.problems) == 1 and done.problems[0].startswith("table b is left out: ")


def test_text_without_any_table_is_named_by_its_row(databases: Path) -> None:
    with pytest.raises(SourceError, match=r"^row 4 \(database gone\): no table can be read"):
        convert([Source(4, "gone", "", ddl="CREATE TABLE item (")], backend_of("rules", databases))


def test_comments_of_create_table_text_are_in_the_schema_on_request(tmp_path: Path) -> None:
    source = Source(0, "shop", "", ddl="CREATE TABLE item (id INTEGER, -- number\n name TEXT)")
    settings = ConvertSchema(backend="rules")
    (made,) = convert([source], local_backend(settings, tmp_path, comments=True)).values()
    assert made.ddl == "CREATE TABLE item (\n  id INTEGER, -- number\n  name TEXT\n);"
    (plain,) = convert([source], local_backend(settings, tmp_path)).values()
    assert plain.ddl == "CREATE TABLE item (id INTEGER, name TEXT);"
