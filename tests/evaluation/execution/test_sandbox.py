"""The sandbox allows reading and nothing else."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import ROOT
from text2sql.evaluation.execution.sandbox import DatabaseError, QueryError, Row, Sandbox

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
CROSS_JOIN = "SELECT count(*) FROM " + ", ".join(f"singer s{i}" for i in range(30))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    # The folder's name holds what a URI would read as its own marks.
    path = tmp_path / "50% of #1?" / "concert.sqlite"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE singer (name TEXT, age INT); CREATE TABLE band (name TEXT);"
        "CREATE INDEX ages ON singer (age);"
        "INSERT INTO singer VALUES ('Ann', 30), ('Bo', 41), ('Cy', NULL);"
        "INSERT INTO band VALUES (CAST(x'436166E9' AS TEXT));"
    )
    connection.close()
    return path


@pytest.fixture
def sandbox(database: Path) -> Iterator[Sandbox]:
    with Sandbox(database, max_rows=100) as opened:
        yield opened


def run(sandbox: Sandbox, sql: str, timeout_s: float = 5.0, keep: int | None = None) -> list[Row]:
    return sandbox.run(sql, time.monotonic() + timeout_s, keep)


def kind_of(sandbox: Sandbox, sql: str, timeout_s: float = 5.0) -> str:
    with pytest.raises(QueryError) as caught:
        run(sandbox, sql, timeout_s)
    return caught.value.kind


def outcome(sandbox: Sandbox, sql: str) -> str:
    """The class of the query's error, or "none"."""
    try:
        run(sandbox, sql)
    except QueryError as error:
        return error.kind
    return "none"


def test_a_select_returns_its_rows(sandbox: Sandbox) -> None:
    rows = run(sandbox, "SELECT name, age FROM singer ORDER BY name;")
    assert rows == [("Ann", 30), ("Bo", 41), ("Cy", None)]


def test_a_recursive_query_that_ends_is_allowed(sandbox: Sandbox) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n"
    assert run(sandbox, sql) == [(1,), (2,), (3,)]


def test_bytes_that_are_not_utf8_are_dropped_from_text(sandbox: Sandbox) -> None:
    assert run(sandbox, "SELECT name FROM band") == [("Caf",)]


def test_a_result_with_exactly_max_rows_is_returned(database: Path) -> None:
    with Sandbox(database, max_rows=3) as sandbox:
        assert len(run(sandbox, "SELECT * FROM singer")) == 3


def test_the_functions_that_make_tables_of_json_are_allowed(sandbox: Sandbox) -> None:
    assert run(sandbox, "SELECT value FROM json_each('[3, 4]')") == [(3,), (4,)]


def test_only_the_first_rows_are_kept_on_request_but_all_are_run(sandbox: Sandbox) -> None:
    assert run(sandbox, "SELECT age FROM singer ORDER BY name", keep=2) == [(30,), (41,)]
    assert run(sandbox, "SELECT age FROM singer", keep=0) == []
    with pytest.raises(QueryError, match="integer overflow"):
        run(sandbox, "SELECT abs(age) FROM singer UNION ALL SELECT abs(-9223372036854775808)", keep=1)


def test_text_that_is_not_utf8_and_other_text_may_share_a_result(sandbox: Sandbox) -> None:
    rows = run(sandbox, "SELECT s.name, b.name FROM singer s, band b ORDER BY 1")
    assert rows == [("Ann", "Caf"), ("Bo", "Caf"), ("Cy", "Caf")]


FAILING = [
    ("SELEC name FROM singer", "syntax"),
    ("SELECT (name FROM singer", "syntax"),
    ("SELECT name FROM singer WHERE", "syntax"),
    ("SELECT 'open", "syntax"),
    ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, "syntax"),
    ("SELECT name FROM nobody", "no_such_table"),
    ("SELECT height FROM singer", "no_such_column"),
    ("SELECT name FROM singer, band", "ambiguous"),
    ("SELECT 1" + " UNION ALL SELECT 1" * 1000, "other"),
    ("SELECT " + "1+" * 5000 + "1", "other"),
    ("SELECT '" + "x" * 200_000 + "'", "other"),
    ("SELECT year(name) FROM singer", "other"),
    ("SELECT ?", "other"),
    ("SELECT :name", "other"),
    ("SELECT zeroblob(1000000000)", "other"),
    ("SELECT\0 1", "other"),
    ("SELECT '\ud800'", "other"),
    ("", "empty"),
    (" ; ", "empty"),
    ("-- I cannot answer that", "empty"),
]


def test_a_failing_query_has_a_class(database: Path) -> None:
    found = []
    for sql, kind in FAILING:
        with Sandbox(database, max_rows=100) as sandbox:
            found.append((sql, outcome(sandbox, sql), kind))
    assert [case for case in found if case[1] != case[2]] == []


NOT_READING = [
    "DROP TABLE singer",
    "DELETE FROM singer",
    "INSERT INTO singer VALUES ('Di', 1)",
    "WITH old AS (SELECT 9 AS age) UPDATE singer SET age = (SELECT age FROM old)",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t AS SELECT * FROM singer",
    "ALTER TABLE singer RENAME TO s",
    "ATTACH DATABASE '{other}' AS other",
    "PRAGMA writable_schema = 1",
    "PRAGMA table_info(singer)",
    "BEGIN",
    "REINDEX",
    "ANALYZE",
    "VACUUM",
    "VACUUM INTO '{other}'",
    "SELECT load_extension('{other}')",
    "SELECT LOAD_EXTENSION('{other}')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT FTS3_tokenizer('simple', x'00')",
    "SELECT * FROM pragma_table_info('singer')",
    "SELECT * FROM dbstat",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE singer",
    "DROP TABLE singer; SELECT 1",
]


def test_what_is_not_reading_is_denied_and_leaves_no_trace(database: Path) -> None:
    before = hashlib.sha256(database.read_bytes()).digest()
    found = []
    for sql in NOT_READING:
        with Sandbox(database, max_rows=100) as sandbox:
            kind = outcome(sandbox, sql.format(other=database.parent / "other.db"))
            changed = hashlib.sha256(database.read_bytes()).digest() != before
            found.append((sql, kind, changed, [path.name for path in database.parent.iterdir()]))
    assert [case for case in found if case[1:] != ("denied", False, ["concert.sqlite"])] == []


@pytest.mark.parametrize("sql", [ENDLESS, CROSS_JOIN])
def test_a_query_without_end_is_stopped_at_its_deadline(sandbox: Sandbox, sql: str) -> None:
    assert kind_of(sandbox, sql, timeout_s=0.05) == "timeout"


def test_a_query_that_comes_after_the_deadline_is_not_run(sandbox: Sandbox) -> None:
    assert kind_of(sandbox, "SELECT 1", timeout_s=-1.0) == "timeout"


def test_the_sandbox_works_on_after_an_error(database: Path) -> None:
    with Sandbox(database, max_rows=3) as sandbox:
        for sql in (ENDLESS, "SELECT * FROM singer a, singer b", "DROP TABLE singer"):
            kind_of(sandbox, sql, timeout_s=0.5)
        assert run(sandbox, "SELECT count(*) FROM singer") == [(3,)]


SORT = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
    SELECT count(*) FROM (SELECT 1 FROM n GROUP BY i || printf('%.*c', 400, 'x'))
"""
SPILL = """
import sqlite3, sys, time
from pathlib import Path
from text2sql.evaluation.execution.sandbox import QueryError, Sandbox
sqlite3.connect(":memory:").execute("PRAGMA hard_heap_limit = 16000000")
for spill_mb in 0, 500:
    with Sandbox(Path(sys.argv[1]), 10, spill_mb=spill_mb) as sandbox:
        try:
            print(sandbox.run(sys.argv[2], time.monotonic() + 60))
        except QueryError as error:
            print(error.kind)
"""


@pytest.mark.slow
def test_a_sort_larger_than_the_memory_limit_uses_temporary_files_and_leaves_none(
    database: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SPILL, str(database), SORT.format(rows=60_000)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SQLITE_TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    without, with_files = done.stdout.splitlines()
    assert without == "out_of_memory"
    assert with_files == "[(60000,)]"
    assert list(folder.iterdir()) == []
    assert [path.name for path in database.parent.iterdir()] == ["concert.sqlite"]


def test_temporary_files_have_a_limit(database: Path) -> None:
    with Sandbox(database, max_rows=10, spill_mb=1) as sandbox:
        sandbox._store("FILE")
        with pytest.raises(QueryError, match="more than 1 MiB of temporary files") as caught:
            run(sandbox, SORT.format(rows=10**9), timeout_s=60.0)
        assert caught.value.kind == "out_of_memory"
        assert run(sandbox, "SELECT count(*) FROM singer") == [(3,)]
        assert kind_of(sandbox, "PRAGMA temp_store = MEMORY") == "denied"


def test_too_many_rows_are_an_error_and_not_cut_off(sandbox: Sandbox) -> None:
    endless = ENDLESS.replace("count(*)", "i")
    assert kind_of(sandbox, endless) == "too_many_rows"


@pytest.mark.parametrize(
    ("sql", "refused"),
    [("SELECT nothing FROM singer", True), ("DROP TABLE singer", True), ("SELECT zeroblob(1e9)", False)],
)
def test_an_error_says_whether_the_query_ran_at_all(sandbox: Sandbox, sql: str, refused: bool) -> None:
    with pytest.raises(QueryError) as caught:
        run(sandbox, sql)
    assert caught.value.refused_by_compiler is refused


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"SQLite format 3\0" + b"x" * 2000])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.sqlite"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"broken\.sqlite.*replace it by a copy"):
        Sandbox(path, max_rows=1)


def test_a_missing_file_is_named_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"absent\.sqlite.*replace it by a copy"):
        Sandbox(tmp_path / "absent.sqlite", max_rows=1)
    assert not list(tmp_path.iterdir())


def test_changes_that_are_only_in_a_wal_file_are_not_ignored(tmp_path: Path) -> None:
    file = tmp_path / "w.sqlite"
    with closing(sqlite3.connect(file)) as writer:
        writer.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);")
        with pytest.raises(DatabaseError, match=r"w\.sqlite-wal beside it has changes .* wal_checkpoint"):
            Sandbox(file, 10)
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with Sandbox(file, 10) as sandbox:
            assert sandbox.run("SELECT a FROM t", time.monotonic() + 10) == [(1,)]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("REINDEX", "denied"),
        ("/* all */ REINDEX; -- again", "denied"),
        ("", "empty"),
        ("-- none\n;", "empty"),
    ],
)
def test_a_statement_without_a_result_is_denied_and_none_is_empty(
    sandbox: Sandbox, sql: str, kind: str
) -> None:
    with pytest.raises(QueryError) as raised:
        sandbox.run(sql, time.monotonic() + 10)
    assert raised.value.kind == kind
