"""Untrusted queries run in processes that end with a hanging query and with their parent."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.contamination import query_runner
from text2sql.contamination.query_runner import QueryRunner, Result, summary
from text2sql.errors import UserError

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
HOSTILE = [
    ENDLESS,
    "ATTACH DATABASE 'other.sqlite' AS other",
    "DROP TABLE t",
    "DELETE FROM t",
    "UPDATE t SET a = 0",
    "PRAGMA writable_schema = ON",
    "SELECT 1; DROP TABLE t",
    "SELECT load_extension('x')",
    "SELECT * FROM t AS a, t AS b, t AS c, t AS d, t AS e, t AS f, t AS g, t AS h, t AS i, t AS j, t AS k",
    "SELECT group_concat(hex(zeroblob(9000000))) FROM t, t",
    "SELECT replace(hex(zeroblob(4000000)), '0', hex(zeroblob(4000000)))",
    "SELECT nothing FROM t",
    "",
    "\0",
    "SELECT '\ud800'",
    "(" * 100_000,
]
# one opcode that SQLite does not interrupt
STUCK = f"SELECT hex(zeroblob(4900000)) LIKE '%{'0' * 900}1%'"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "d.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (a, b)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, n * 1.5) for n in range(30)])
        connection.commit()
    return path


@pytest.fixture
def runner(database: Path) -> Iterator[QueryRunner]:
    with closing(QueryRunner({"d": [database]}, 2)) as made:
        yield made


def answers(runner: QueryRunner, *queries: str) -> list[list[Result] | None]:
    return runner.run([("d", sql) for sql in queries])


def test_results_come_in_the_order_of_the_queries(runner: QueryRunner) -> None:
    found = answers(runner, *(f"SELECT {n}" for n in range(200)))
    assert [few for results in found if results and (few := results[0].few)] == [
        frozenset({(n,)}) for n in range(200)
    ]


@pytest.mark.parametrize("sql", HOSTILE)
def test_a_hostile_query_has_no_result_and_changes_nothing(
    runner: QueryRunner, database: Path, sql: str
) -> None:
    before = database.read_bytes()
    good = "SELECT count(*) FROM t"
    first, hostile, last = answers(runner, good, sql, good)
    assert hostile is None and first and last and first == last
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.iterdir()] == [database.name]


def test_a_query_that_sqlite_does_not_interrupt_costs_its_process_only(
    runner: QueryRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_runner, "_GRACE_S", 0.2)
    started = time.monotonic()
    *good, stuck, after = answers(runner, *["SELECT 1"] * 40, STUCK, "SELECT 2")
    assert all(good) and stuck is None and after
    assert time.monotonic() - started < 30


def test_a_process_that_is_killed_is_replaced(runner: QueryRunner) -> None:
    for worker in runner._workers:
        assert worker._process.pid
        os.kill(worker._process.pid, signal.SIGKILL)
    assert sum(result is not None for result in answers(runner, *["SELECT 1"] * 100)) >= 98


def test_a_result_that_nothing_wants_is_not_looked_at_further(database: Path) -> None:
    wanted = {"d": frozenset({summary([(1,)]).as_set})}
    files = {"d": [database, database]}
    with closing(QueryRunner(files, 1, wanted)) as made:
        one, two = made.run([("d", "SELECT 1"), ("d", "SELECT 2")])
    assert one and len(one) == 2 and two is None


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5_000)
    made = QueryRunner({"d": [tmp_path / "d.sqlite"]}, 1)
    with closing(made), pytest.raises(UserError, match=r"d\.sqlite"):
        made.run([("d", "SELECT 1")])


def test_the_order_of_rows_and_columns_does_not_matter_in_the_set() -> None:
    one, other = summary([(1, "a"), (2, "b"), (2, "b")]), summary([("b", 2.0), ("a", 1)])
    assert (one.rows, one.as_set) == (other.rows, other.as_set) and one.as_list != other.as_list
    assert summary([(0.1 + 0.2,)]) == summary([(0.3,)])
    assert summary([(1,)]).as_set != summary([("1",)]).as_set


@pytest.mark.parametrize("rows", [[], [(None,)], [(0,), (None,)], [("",)]])
def test_nothing_null_and_zero_say_nothing(rows: list[tuple[object, ...]]) -> None:
    assert summary(rows).is_nothing
    assert not summary([*rows, (1,)] if rows else [(1,)]).is_nothing


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the processes on Linux")
def test_no_process_outlives_a_killed_parent(database: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from text2sql.contamination.query_runner import QueryRunner\n"
        "runner = QueryRunner({'d': [Path(sys.argv[1])]}, 2)\n"
        "print(*[w._process.pid for w in runner._workers], flush=True)\n"
        f"runner.run([('d', {STUCK!r})] * 9)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(database)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() and _runs(pid) for pid in pids):
        assert time.monotonic() < deadline


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
