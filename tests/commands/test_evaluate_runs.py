"""`text2sql evaluate` as a process: how it ends, what it leaves, and where it writes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conftest import ROOT
from text2sql.cli import main
from text2sql.evaluation.judge import EVALUATOR_VERSION

GOLD = "SELECT name FROM singer\tconcert\n"
STUCK = "SELECT instr(printf('%.*c', 9000000, 'a'), printf('%.*c', 4500000, 'a') || 'b')\n"  # in one opcode
PROGRAM = "from text2sql.cli import main; main()"
WAIT_S = 120.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: gold.txt, pred.sql (three rows), and the database `concert` in db/."""
    (tmp_path / "gold.txt").write_text(GOLD * 3)
    (tmp_path / "pred.sql").write_text("SELECT name FROM singer ORDER BY name\n" * 3)
    write_database(tmp_path / "db/concert/concert.sqlite")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEXT2SQL_WORK", raising=False)
    return tmp_path


def write_database(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE singer (name TEXT); INSERT INTO singer VALUES ('Ann'), ('Bo')")


def arguments(*options: str) -> list[str]:
    return ["evaluate", "--gold", "gold.txt", "--pred", "pred.sql", "--db", "db", "--workers", "1", *options]


def evaluate(*options: str) -> Result:
    return CliRunner().invoke(main, arguments(*options))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- signals --


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments(*options)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def parents() -> dict[int, int]:
    """The parent of each process that is no zombie."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found[int(path.parent.name)] = int(parent)
    return found


def children(pid: int) -> list[int]:
    return [child for child, parent in parents().items() if parent == pid]


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.glob(".work/evaluate/*/verdicts.jsonl") if path.stat().st_size]


def stop(folder: Path, number: signal.Signals) -> tuple[int, str, list[int]]:
    """Start a run, send the signal in its fourth row; return its status, stderr and its workers."""
    (folder / "gold.txt").write_text(GOLD * 4)
    (folder / "pred.sql").write_text("SELECT name FROM singer\n" * 3 + STUCK)
    process = start("--out", "out.jsonl", "--timeout", "3600")
    wait_for(lambda: kept(folder))
    time.sleep(1.0)  # so that the last row is under way, which nothing outside the processes tells
    workers = children(process.pid)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=WAIT_S)
    return process.returncode, stderr, workers


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_and_its_workers_with_one_line_and_leaves_only_verdicts(
    folder: Path, number: signal.Signals
) -> None:
    status, stderr, workers = stop(folder, number)
    assert (status, stderr) == (
        128 + number,
        f"stopped by {number.name}; run the same command again to go on\n",
    )
    assert len(workers) == 1
    wait_for(lambda: not set(workers) & set(parents()))
    assert names(folder) == [".work", "db", "gold.txt", "pred.sql"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "stopped; nothing was kept, so the same command begins anew; with --out or --json it goes on\n"),
        (("--out", "out.jsonl"), "stopped; run the same command again to go on\n"),
    ],
)
def test_a_stop_says_whether_the_same_command_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("text2sql.commands.evaluate._write", stopped)
    result = evaluate(*options)
    assert (result.exit_code, result.stderr) == (130, said)


@pytest.mark.slow
def test_workers_end_with_a_killed_run_and_the_next_one_goes_on(folder: Path) -> None:
    status, stderr, workers = stop(folder, signal.SIGKILL)
    assert (status, stderr, len(workers)) == (-signal.SIGKILL, "", 1)
    wait_for(lambda: not set(workers) & set(parents()))
    again = start("--out", "out.jsonl", "--timeout", "3600")
    assert again.stderr is not None
    said = again.stderr.readline()
    again.kill()
    again.communicate()
    assert said[1:] == " of 4 verdicts are taken from an earlier run, which was stopped\n"


def test_a_complete_run_keeps_nothing(folder: Path) -> None:
    assert evaluate("--out", "out.jsonl").exit_code == 0
    assert names(folder) == ["db", "gold.txt", "out.jsonl", "pred.sql"]


def test_a_run_that_can_keep_nothing_says_so_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("TEXT2SQL_WORK", str(folder / "file"))
    result = evaluate("--out", "out.jsonl")
    assert result.exit_code == 0
    assert "if this run is stopped, it begins anew" in result.stderr


# -- outputs --


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_what_a_link_leads_to_is_replaced_and_the_link_stays(folder: Path, option: str) -> None:
    (folder / "real").write_text("old")
    (folder / "link").symlink_to("real")
    assert evaluate(option, "link").exit_code == 0
    assert (folder / "link").is_symlink()
    assert (folder / "real").read_text().startswith("{")


def test_a_pipe_is_written_through(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((folder / "pipe").read_text()))
    reader.start()
    assert evaluate("--out", "pipe").exit_code == 0
    reader.join(WAIT_S)
    assert [json.loads(line)["row"] for line in read[0].splitlines()] == [0, 1, 2]
    assert (folder / "pipe").is_fifo()


def test_a_device_may_be_named_for_both_outputs(folder: Path) -> None:
    assert evaluate("--out", "/dev/null", "--json", "/dev/null").exit_code == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.slow
def test_an_open_file_is_written_where_it_stands(folder: Path) -> None:
    with (folder / "all").open("w") as target:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments("--out", "/dev/stdout")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=target,
            check=True,
        )
    lines = (folder / "all").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines[:3]] == [0, 1, 2]
    assert lines[3].split()[:2] == ["n", "execution"]


@pytest.mark.parametrize("option", ["--out", "--json"])
@pytest.mark.parametrize(("name", "said"), [("db/concert", "is a folder"), ("gold.txt/x", "gold.txt")])
def test_an_output_that_cannot_be_written_is_refused_before_any_query_runs(
    folder: Path, option: str, name: str, said: str
) -> None:
    (folder / "pred.sql").write_text(STUCK * 3)
    result = evaluate(option, name, "--timeout", "3600")
    assert result.exit_code == 1
    assert said in result.stderr


# -- gold queries, flags --


def test_gold_queries_that_all_fail_are_an_error_with_the_commonest_reason(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT a FROM singer\tconcert\n" * 2 + "SELECT b FROM t\tconcert\n")
    result = evaluate("--json", "summary.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        "error: gold.txt: 3 of 3 gold queries fail, most often (2 times) because of: no such column: a; "
        "correct the queries, --gold or --db"
    )
    assert json.loads((folder / "summary.json").read_text())["gold_failures"] == [0, 1, 2]


def test_one_gold_query_that_fails_is_an_error_on_request(folder: Path) -> None:
    (folder / "gold.txt").write_text(GOLD * 2 + "SELECT a FROM singer\tconcert\n")
    assert evaluate().exit_code == 0
    result = evaluate("--fail-on-gold")
    assert result.exit_code == 1
    assert "error: gold.txt: 1 of 3 gold queries fail" in result.stderr
    assert result.stdout.splitlines()[5].split()[:2] == ["all", "2"]


def test_a_quiet_run_says_nothing_but_errors_and_scores(folder: Path) -> None:
    (folder / "gold.txt").write_text(GOLD * 2 + "SELECT a FROM singer\tconcert\n")
    (folder / "db/concert/concert.sqlite.bak").touch()
    assert "concert.sqlite.bak: no SQLite database" in evaluate().stderr
    assert evaluate("--quiet").stderr == ""
    assert evaluate("--quiet", "--fail-on-gold").stderr.startswith("error: ")


def test_the_versions_are_those_of_package_and_evaluator() -> None:
    printed = CliRunner().invoke(main, ["evaluate", "--version"]).stdout
    assert printed.startswith("text2sql ")
    assert printed.endswith(f", evaluator {EVALUATOR_VERSION}\n")


def test_the_official_flag_for_a_progress_bar_is_accepted(folder: Path) -> None:
    assert evaluate("--progress_bar_for_each_datapoint").exit_code == 0


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_a_time_limit_that_is_none_is_refused(folder: Path, seconds: str) -> None:
    assert evaluate("--timeout", seconds).exit_code != 0


def test_a_database_that_tables_json_lacks_has_no_exact_match_and_the_others_go_on(folder: Path) -> None:
    write_database(folder / "db/other/other.sqlite")
    (folder / "gold.txt").write_text(GOLD + "SELECT name FROM singer\tother\n" + GOLD)
    entry = {
        "db_id": "concert",
        "table_names_original": ["singer"],
        "column_names_original": [[-1, "*"], [0, "name"]],
        "foreign_keys": [],
    }
    (folder / "tables.json").write_text(json.dumps([entry]))
    (folder / "pred.sql").write_text("SELECT name FROM singer\n" * 3)
    result = evaluate("--etype", "all", "--out", "out.jsonl")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [(row["ex"], row["em"]) for row in rows] == [(True, True), (True, None), (True, True)]
    where = "gold.txt, row 1 (counted from 0; database other) and others of this database"
    assert f"warning: {where}: no exact match: " in result.stderr


def test_a_missing_file_of_foreign_keys_is_named_with_its_option(folder: Path) -> None:
    result = evaluate("--etype", "match", "--table", "keys.json")
    assert (result.exit_code, result.stderr) == (1, "error: keys.json: no such file; correct --table\n")
