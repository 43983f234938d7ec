"""Each job on a machine gets its own GPUs."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gpu_machine import BUILD, gpu_machine
from text2sql.claims import claimed_gpus
from text2sql.errors import UserError

# Claims as many GPUs as its argument says, prints CUDA_VISIBLE_DEVICES, and holds them until its input ends.
_JOB = f"""{BUILD}
import os, sys
from text2sql.claims import claimed_gpus
with claimed_gpus(int(sys.argv[1]), sys.argv[2]):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""


@contextmanager
def job(count: int, label: str = "job", code: str = _JOB) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code, str(count), label],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def waits(process: subprocess.Popen[str]) -> str:
    """What a job that waits says."""
    assert process.stderr
    return process.stderr.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()


@pytest.mark.slow
def test_jobs_get_gpus_of_their_own_and_the_next_waits_for_one_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(monkeypatch, tmp_path, 80, 80)
    with job(1, "first") as first, job(1, "second") as second:
        assert {line(first), line(second)} == {"0", "1"}
        with job(1, "third") as third:
            said = waits(third)
            assert said.startswith("third: waits for 1 of 2 GPUs; GPU 0 is used by process")
            assert all(
                f"process {p.pid} ({name})" in said for p, name in [(first, "first"), (second, "second")]
            )
            end(second)
            free = "1" if f"GPU 1 is used by process {second.pid}" in said else "0"
            assert line(third) == free


def test_the_gpu_of_a_killed_job_is_free_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(monkeypatch, tmp_path, 80)
    with job(1) as holder, job(1) as waiting:
        running, other = (holder, waiting) if line_or_wait(holder, waiting) else (waiting, holder)
        os.kill(running.pid, signal.SIGKILL)
        assert line(other) == "0"


def line_or_wait(one: subprocess.Popen[str], other: subprocess.Popen[str]) -> bool:
    """Whether `one` got the GPU and `other` waits for it, or the other way round."""
    assert one.stdout and other.stdout
    ready, _, _ = select.select([one.stdout, other.stdout], [], [], 60)
    assert len(ready) == 1 and ready[0].readline().strip() == "0"
    return ready[0] is one.stdout


def test_a_forked_process_that_outlives_the_job_does_not_hold_its_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(monkeypatch, tmp_path, 80)
    code = f"""{BUILD}
import multiprocessing, os, sys, time
from text2sql.claims import claimed_gpus
with claimed_gpus(1, "job"):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    print(child.pid, flush=True)
    sys.stdin.read()
"""
    with job(1, code=code) as holder:
        child = int(line(holder))
        os.kill(holder.pid, signal.SIGKILL)
        try:
            with job(1) as next_job:
                assert line(next_job) == "0"
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_two_jobs_that_need_all_gpus_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(monkeypatch, tmp_path, 80, 80)
    code = _JOB.replace(
        "sys.stdin.read()", "import time; print(time.time()); time.sleep(0.3); print(time.time())"
    )
    with job(2, code=code) as one, job(2, code=code) as two:
        times = [p.communicate(timeout=60)[0].split() for p in (one, two)]
    assert [t[0] for t in times] == ["0,1", "0,1"]
    (first_begin, first_end), (second_begin, second_end) = sorted(
        [float(t) for t in job[1:]] for job in times
    )
    assert first_end <= second_begin < second_end and first_begin < first_end


def test_a_job_takes_only_gpus_that_the_user_made_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(monkeypatch, tmp_path, 80, 80, 80)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-22,1")
    with claimed_gpus(1, "first") as first:
        assert [gpu.number for gpu in first] == ["2"] and os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-22,1"
    with (
        pytest.raises(UserError, match=r"train: needs 3 GPUs, and only 2 are visible .*CUDA_VISIBLE_DEVICES"),
        claimed_gpus(3, "train"),
    ):
        pytest.fail("more GPUs than are visible")


def test_a_claim_inside_another_uses_its_gpus_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine(monkeypatch, tmp_path, 80, 80, 80)
    with claimed_gpus(2, "outer"):
        with claimed_gpus(1, "inner") as inner:
            assert [gpu.number for gpu in inner] == ["0"]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
        with job(2) as started:
            assert line(started) == "0,1"
        with job(3) as greedy:
            assert (
                greedy.communicate(timeout=60)[1]
                .splitlines()[-1]
                .endswith("(check nvidia-smi and CUDA_VISIBLE_DEVICES)")
            )


def test_a_gpu_can_be_held_until_the_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(monkeypatch, tmp_path, 80, 80)
    code = f"""{BUILD}
import os, sys
from text2sql.claims import hold_gpus
first, again = hold_gpus(1, "embed"), hold_gpus(1, "rerank")
assert first == again
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""
    with job(1, code=code) as holder:
        assert line(holder) == "0"
        with job(1) as other:
            assert line(other) == "1"


def test_without_a_gpu_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(monkeypatch, tmp_path)
    before = dict(os.environ)
    with claimed_gpus(4, "train") as gpus:
        assert gpus == [] and dict(os.environ) == before
    assert not (tmp_path / f"text2sql-{os.getuid()}").exists()


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(monkeypatch, tmp_path, 80)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(UserError, match="text2sql-4321: belongs to another user"), claimed_gpus(1, "train"):
        pytest.fail("locks in a folder of another user")
