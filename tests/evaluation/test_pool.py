"""Worker processes: slow and dead ones are replaced, and no other case is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT
from text2sql.errors import UserError
from text2sql.evaluation.case_judge import CaseJudge, Phase, WorkerLoss
from text2sql.evaluation.pool import Limits, ProcessPool, _Job, _Worker
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case, Verdict

TIMEOUT_S = 0.3
LIMITS = Limits(TIMEOUT_S)


class FakeJudge(CaseJudge):
    """Follows instructions in the predicted text, so that tests can cause faults."""

    def __init__(self, folder: Path) -> None:
        self._flags = folder

    def judge(self, case: Case, begin: Callable[[Phase], None], loss: WorkerLoss | None = None) -> Verdict:
        if loss and loss.in_gold:
            return Verdict(case.row, case.db_id, "", None, error=f"gold: {loss.kind}")
        begin("gold")
        if case.gold == "sleep":
            time.sleep(60)
        begin("prediction")
        if loss is None:
            self._act(case.predicted)
        error, seconds = (loss.kind, loss.seconds) if loss else (None, 0.0)
        return Verdict(
            case.row,
            case.db_id,
            "",
            "easy",
            ex=loss is None,
            error=error,
            message=str(os.getpid()),
            seconds=seconds,
        )

    def _act(self, text: str) -> None:
        match text.split():
            case ["sleep"]:
                time.sleep(60)
            case ["nap"]:
                time.sleep(0.2)
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["die", "once"] if not (self._flags / "died").exists():
                (self._flags / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case ["complain"]:
                raise UserError("the cache is damaged")
            case ["break"]:
                raise ZeroDivisionError


def judged(folder: Path, *predictions: str, workers: int = 2) -> list[Verdict]:
    cases = [Case(row, "db", "gold", text) for row, text in enumerate(predictions)]
    return list(pool_of(folder, workers).judge(cases))


def pool_of(folder: Path, workers: int) -> ProcessPool[Case, Verdict]:
    return ProcessPool(partial(FakeJudge, folder), LIMITS, workers)


def test_verdicts_come_in_the_order_of_the_cases(tmp_path: Path) -> None:
    found = judged(tmp_path, *["fine"] * 50)
    assert [verdict.row for verdict in found] == list(range(50))
    assert all(verdict.ex for verdict in found)


def test_a_case_that_exceeds_its_deadline_times_out_alone(tmp_path: Path) -> None:
    found = judged(tmp_path, "fine", "sleep", "fine", "fine", "sleep")
    assert [verdict.error for verdict in found] == [None, "timeout", None, None, "timeout"]
    assert [verdict.row for verdict in found] == [0, 1, 2, 3, 4]


def test_what_needs_no_execution_is_still_decided_for_a_case_that_timed_out(tmp_path: Path) -> None:
    (found,) = judged(tmp_path, "sleep")
    assert (found.hardness, found.ex) == ("easy", False)
    assert found.seconds > TIMEOUT_S


def test_a_gold_query_that_exceeds_its_deadline_is_a_gold_failure(tmp_path: Path) -> None:
    cases = [Case(0, "db", "sleep", "fine"), Case(1, "db", "gold", "fine")]
    slow, fine = pool_of(tmp_path, 1).judge(cases)
    assert (slow.error, slow.gold_failed, slow.ex) == ("gold: timeout", True, None)
    assert fine.ex is True


def test_a_worker_killed_from_outside_is_replaced_and_its_case_tried_again(tmp_path: Path) -> None:
    found = judged(tmp_path, "fine", "die once", "fine")
    assert [verdict.ex for verdict in found] == [True, True, True]


def test_a_case_that_kills_its_worker_twice_is_given_up(tmp_path: Path) -> None:
    found = judged(tmp_path, "fine", "die", "fine")
    assert [verdict.error for verdict in found] == [None, "crashed", None]


def test_a_bug_that_one_case_meets_does_not_end_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = judged(tmp_path, "break", "fine", workers=1)
    assert [verdict.error for verdict in found] == ["crashed", None]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_what_the_user_must_fix_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the cache is damaged"):
        judged(tmp_path, "fine", "complain", "fine")


def test_no_cases_give_no_verdicts(tmp_path: Path) -> None:
    assert judged(tmp_path) == []


def test_cases_are_read_only_as_far_as_they_are_needed(tmp_path: Path) -> None:
    read = []

    def cases() -> Iterator[Case]:
        for row in range(100_000):
            read.append(row)
            yield Case(row, "db", "gold", "fine")

    verdicts = pool_of(tmp_path, 2).judge(cases())
    assert next(verdicts).row == 0
    assert len(read) < 2000
    verdicts.close()


def test_slow_cases_behind_quick_ones_are_shared_by_all_workers(tmp_path: Path) -> None:
    found = judged(tmp_path, *["fine"] * 100, *["nap"] * 8)
    naps = Counter(verdict.message for verdict in found[100:])
    assert len(naps) == 2 and min(naps.values()) >= 2


def test_verdicts_on_slow_cases_come_one_by_one(tmp_path: Path) -> None:
    cases = [Case(row, "db", "gold", "nap") for row in range(3)]
    pool = pool_of(tmp_path, 1)
    for _ in pool.judge(cases):
        sizes = [len(worker._given) for worker in pool._workers]
        assert max(sizes) == 1


def test_there_are_no_more_workers_than_cases(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, 200)
    verdicts = pool.judge([Case(row, "db", "gold", "fine") for row in range(2)])
    next(verdicts)
    assert len(pool._workers) <= 2
    verdicts.close()


def test_what_a_lost_worker_had_not_begun_is_judged_by_another(tmp_path: Path) -> None:
    found = judged(tmp_path, *["fine"] * 60, "sleep", *["fine"] * 60, workers=1)
    assert [verdict.row for verdict in found if verdict.error] == [60]
    assert [verdict.row for verdict in found] == list(range(121))


def test_closing_the_verdicts_ends_the_processes(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, 2)
    verdicts = pool.judge([Case(row, "db", "gold", "fine") for row in range(100)])
    next(verdicts)
    processes = [worker._process for worker in pool._workers]
    verdicts.close()
    assert [process.is_alive() for process in processes] == [False, False]


@pytest.mark.slow
def test_a_worker_that_nobody_watches_ends_after_its_deadline(tmp_path: Path) -> None:
    worker = _Worker(partial(FakeJudge, tmp_path), LIMITS, "fork")
    worker.give([_Job(Case(0, "db", "gold", "sleep"))])
    worker._process.join(30)
    assert worker._process.exitcode == -signal.SIGALRM


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from functools import partial;"
        "sys.path.insert(0, sys.argv[1]);"
        "from text2sql.evaluation.case_judge import CaseJudge;"
        "from text2sql.evaluation.pool import Limits, ProcessPool;"
        "from text2sql.evaluation.settings import JudgeSettings;"
        "from text2sql.evaluation.verdicts import Case;"
        "pool = ProcessPool(partial(CaseJudge, Path(sys.argv[2]), JudgeSettings()), Limits(1.0), 1);"
        "verdicts = pool.judge([Case(0, 'none', '', ''), Case(1, 'none', '', '')]); next(verdicts);"
        "print(pool._workers[0]._process.pid, flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 30
    while is_running(worker) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_running(worker)


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_new_process_continues_after_memory_ran_out(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    with sqlite3.connect(folder / "db.sqlite") as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(300)])
    connection.close()
    greedy = "SELECT hex(zeroblob(4000000)) || a FROM t ORDER BY 1"
    cases = [Case(0, "db", "SELECT a FROM t", greedy), Case(1, "db", "SELECT a FROM t", "SELECT a FROM t x")]
    settings = JudgeSettings(spill_mb=0)
    first, second = ProcessPool(partial(CaseJudge, tmp_path, settings), Limits(10.0), 1).judge(cases)
    assert (first.ex, first.error) == (False, "out_of_memory")
    assert (second.ex, second.error) == (True, None)


def test_a_memory_limit_that_the_system_refuses_is_an_error_and_not_a_loop(tmp_path: Path) -> None:
    pool = ProcessPool(partial(FakeJudge, tmp_path), Limits(1.0, memory_mb=10**14), 2)
    with pytest.raises(UserError, match=r"a worker process cannot have a limit of 1000000.* MiB"):
        list(pool.judge([Case(0, "db", "SELECT 1", "fine")]))


def test_a_lower_memory_limit_of_the_system_stays() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "from text2sql.evaluation.pool import _limit_memory; _limit_memory(65536)\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0] == 3 << 30)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr
