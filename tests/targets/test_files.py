"""SQLite and DuckDB files: their schemas, queries that only read, and files that are none."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import duckdb
import pytest

from tests.evaluation.hostile import HOSTILE, make_databases
from text2sql.errors import UserError
from text2sql.schema.model import ForeignKey, Schema
from text2sql.targets import open_target
from text2sql.targets.model import Limits, QueryFailed, QueryRefused, Target
from text2sql.targets.query import translate

T = TypeVar("T")
LIMITS = Limits(seconds=2.0, rows=3)
_TABLES = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name VARCHAR, age INTEGER);
CREATE TABLE concert (id INTEGER, singer_id INTEGER REFERENCES singer (id));
INSERT INTO singer VALUES (1, 'Ann', 30), (2, 'Bo', 41), (3, NULL, 35), (4, 'Di', NULL);
"""


def sqlite_file(folder: Path) -> Path:
    file = folder / "music.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_TABLES)
    return file


def duckdb_file(folder: Path) -> Path:
    file = folder / "music.duckdb"
    with closing(duckdb.connect(str(file))) as connection:
        connection.execute(_TABLES)
    return file


@pytest.fixture(params=[sqlite_file, duckdb_file], ids=["sqlite", "duckdb"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = request.param(tmp_path)
    return made


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()}


def test_a_file_is_known_by_its_first_bytes_and_its_schema_is_read(file: Path) -> None:
    schema = open_target(str(file)).schema()
    assert [table.name for table in schema.tables] == ["singer", "concert"]
    assert schema.tables[0].primary_key == ("id",)
    assert schema.tables[1].foreign_keys == (ForeignKey(("singer_id",), "singer", ("id",)),)


def test_the_first_rows_are_kept_and_others_are_mentioned(file: Path) -> None:
    found = open_target(str(file)).run("SELECT name, age FROM singer ORDER BY id", LIMITS)
    assert found.columns == ("name", "age")
    assert (found.rows, found.more) == ([("Ann", 30), ("Bo", 41), (None, 35)], True)


def test_exactly_as_many_rows_as_the_limit_are_all(file: Path) -> None:
    found = open_target(str(file)).run("SELECT id FROM singer WHERE id < 4", LIMITS)
    assert (len(found.rows), found.more) == (3, False)


def test_values_of_all_kinds_arrive(tmp_path: Path) -> None:
    target = open_target(str(duckdb_file(tmp_path)))
    sql = "SELECT DATE '2024-02-01', 1.50::DECIMAL(4, 2), [1, 2], 'a'::BLOB, true, 1.5::DOUBLE, NULL"
    assert target.run(sql, LIMITS).rows == [("2024-02-01", "1.50", "[1, 2]", b"a", True, 1.5, None)]


_HARM = [
    "DROP TABLE singer",
    "SELECT 1; DROP TABLE singer",
    "INSERT INTO singer VALUES (9, 'x', 1)",
    "ATTACH 'other.db' AS other",
    "PRAGMA journal_mode = WAL",
    "SELECT load_extension('x')",
    "COPY singer TO 'copied.csv'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "INSTALL httpfs",
    "SET memory_limit = '10GB'",
    "",
    "-- nothing",
]


@pytest.mark.slow
def test_what_is_more_than_reading_is_not_done(file: Path) -> None:
    before, target = contents(file.parent), open_target(str(file))
    for sql in _HARM:
        with pytest.raises((QueryRefused, QueryFailed)):
            target.run(sql, LIMITS)
    assert contents(file.parent) == before


@pytest.mark.slow
def test_the_hostile_predictions_of_the_judge_change_nothing(tmp_path: Path) -> None:
    make_databases(tmp_path)
    folder = tmp_path / "concert"
    with closing(duckdb.connect(str(folder / "concert.duckdb"))) as connection:
        connection.execute(_TABLES)
    before = contents(folder)
    denied = [hostile.sql for hostile in HOSTILE if hostile.outcomes[0] == "denied"]
    for name, step in (("concert.sqlite", 6), ("concert.duckdb", 24)):  # the judge's own test runs all
        target = open_target(str(folder / name))
        schema = target.schema()
        ran = [sql for sql in denied[::step] if runs(target, schema, sql)]
        # sqlglot ends a comment that has no end, so that what is before it is run
        assert [sql for sql in ran if "/*" not in sql] == []
    assert contents(folder) == before


def runs(target: Target, schema: Schema, sql: str) -> bool:
    """Whether the model's query, translated, has a result."""
    try:
        target.run(translate(sql, schema, target.dialect), LIMITS)
    except (QueryRefused, QueryFailed):
        return False
    return True


def test_a_query_without_end_stops_at_the_time_limit(file: Path) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(QueryFailed, match=r"more than 0\.5 s") as caught:
        open_target(str(file)).run(sql, Limits(seconds=0.5))
    assert caught.value.timeout


def test_one_endless_function_is_ended_too(tmp_path: Path) -> None:
    # SQLite looks at the time between its opcodes only, and this is one of them
    sql = "SELECT instr(printf('%.*c', 4000000, 'a'), printf('%.*c', 2000000, 'a') || 'b')"
    with pytest.raises(QueryFailed):
        open_target(str(sqlite_file(tmp_path))).run(sql, Limits(seconds=0.5))


def test_the_plan_names_the_table(file: Path) -> None:
    target = open_target(str(file))
    assert "singer" in "\n".join(target.plan("SELECT * FROM singer WHERE age > 3", LIMITS))
    with pytest.raises(QueryRefused):
        target.plan("SELECT 1; DROP TABLE singer", LIMITS)


def test_a_result_ends_at_its_size_whatever_its_rows(tmp_path: Path) -> None:
    sql = "SELECT printf('%.*c', 9000000, 'a') FROM singer, singer AS other"
    found = open_target(str(sqlite_file(tmp_path))).run(sql, Limits(rows=100))
    assert (len(found.rows), found.more) == (4, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"SQLite format 2\0 and more", "neither a SQLite nor a DuckDB"),
        (bytes(range(7, 71)), "if it is encrypted"),
        (b"SQLite format 3\0" + b"\xff" * 84, "cannot read it"),
        (b"\0" * 8 + b"DUCK" + b"\xff" * 84, "cannot read it"),
    ],
    ids=["empty", "other", "encrypted", "broken sqlite", "broken duckdb"],
)
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "data.db"
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"{file}.*{message}"):
        open_target(str(file)).schema()


def test_a_missing_file_a_folder_and_an_unknown_url_are_named(tmp_path: Path) -> None:
    for database, message in (
        (str(tmp_path / "none.db"), "No such file"),
        (str(tmp_path), "is a folder"),
        ("oracle://host/db", "oracle:// is not supported"),
        ("postgresql://host", "names no database"),
        ("mysql://user:hunter2@host", "names no database"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            open_target(database)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", [":memory:", ":memory:x", "md:x", "sqlite:x", "a#b%20 c", "-x"])
def test_names_that_duckdb_takes_for_something_else_are_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb_file(tmp_path).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert open_target(name).run("SELECT count(*) FROM singer", LIMITS).rows == [(4,)]


def test_a_duckdb_path_with_a_question_mark_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    file = duckdb_file(tmp_path).rename(tmp_path / "a?b")
    with pytest.raises(UserError, match="rename the file"):
        open_target(str(file))


def test_a_full_text_table_is_refused_with_its_reason(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection:
        connection.executescript("CREATE VIRTUAL TABLE note USING fts5 (text); CREATE TABLE t (a)")
    with pytest.raises(QueryRefused, match="virtual table"):
        open_target(str(tmp_path / "x.sqlite")).run("SELECT * FROM note", LIMITS)


def test_a_database_without_tables_is_an_error(tmp_path: Path) -> None:
    with closing(duckdb.connect(str(tmp_path / "empty.duckdb"))):
        pass
    with closing(sqlite3.connect(tmp_path / "empty.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 1")
    for name in ("empty.duckdb", "empty.sqlite"):
        with pytest.raises(UserError, match="has no table; name another database"):
            open_target(str(tmp_path / name)).schema()


def test_a_locked_sqlite_file_is_a_failure_and_not_waited_for_without_end(tmp_path: Path) -> None:
    file = sqlite_file(tmp_path)
    target = open_target(str(file))  # before: closing a file drops all locks that this process has on it
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises((QueryFailed, UserError), match=r"locked|more than"):
            target.run("SELECT * FROM singer", Limits(seconds=1.0))


def test_what_a_writer_has_committed_to_the_wal_is_seen_and_no_file_is_left(tmp_path: Path) -> None:
    file = sqlite_file(tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO singer VALUES (5, 'Ed', 20)")
        found = open_target(str(file)).run("SELECT count(*) FROM singer", LIMITS)
        assert found.rows == [(5,)]
    before = contents(tmp_path)
    assert open_target(str(file)).run("SELECT count(*) FROM singer", LIMITS).rows == [(5,)]
    assert open_target(str(file)).schema().tables
    assert contents(tmp_path) == before == {file.name: before[file.name]}


def test_a_duckdb_file_that_another_process_writes_is_an_error(tmp_path: Path) -> None:
    file = duckdb_file(tmp_path)
    code = (
        f"import duckdb, time; c = duckdb.connect({str(file)!r}); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout and writer.stdout.readline()
            with pytest.raises(UserError, match="close the program that writes it"):
                open_target(str(file)).run("SELECT 1", LIMITS)
        finally:
            writer.kill()


def test_the_worker_ends_with_its_parent(tmp_path: Path) -> None:
    file = sqlite_file(tmp_path)
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    code = (
        "import sys; from text2sql.targets import open_target; from text2sql.targets.model import Limits;"
        f"open_target({str(file)!r}).run({sql!r}, Limits(seconds=600.0))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        worker = _wait_for(lambda: _workers(parent.pid))
        parent.kill()
    assert _wait_for(lambda: not _is_running(worker[0]))


def _workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []


def _is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_for(look: Callable[[], T]) -> T:
    for _ in range(300):
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen within 30 s")
