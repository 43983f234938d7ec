"""The work store: content keys, sharing, locking."""

import multiprocessing
import signal
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.conftest import Told
from text2sql.errors import UserError
from text2sql.workstore import WorkStore, hash_path, locked


def test_equal_inputs_have_the_same_folder_and_other_inputs_another(tmp_path: Path) -> None:
    store = WorkStore(tmp_path)
    first = store.open("train", {"rank": 32, "base": "a"})
    assert store.open("train", {"base": "a", "rank": 32}) == first
    assert store.open("train", {"rank": 128, "base": "a"}) != first


def test_an_environment_variable_sets_the_folder_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "elsewhere"))
    assert WorkStore.from_environment().root == tmp_path / "elsewhere"


def test_a_queued_experiment_uses_the_store_of_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.delenv("TEXT2SQL_WORK", raising=False)
    monkeypatch.chdir(copy)
    assert WorkStore.from_environment().root == tmp_path / ".work"


def test_a_hash_depends_on_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    before = hash_path(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    renamed = hash_path(tmp_path / "a")
    (tmp_path / "a" / "y").write_text("2")
    assert len({before, renamed, hash_path(tmp_path / "a")}) == 3


def test_hashing_a_missing_path_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        hash_path(tmp_path / "nowhere")


def test_a_second_run_of_the_same_work_says_that_it_waits_until_the_first_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, order = Told(), []
    monkeypatch.setattr("sys.stderr", told)

    def second() -> None:
        with locked(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path):
        thread.start()
        assert told.waits.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    assert str(tmp_path) in told.getvalue()


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    run = context.Process(target=_lock_and_wait, args=(tmp_path, started))
    run.start()
    assert started.wait(60)
    run.kill()
    run.join()
    with locked(tmp_path):
        assert run.exitcode == -signal.SIGKILL


def _lock_and_wait(folder: Path, started: Event) -> None:
    with locked(folder):
        _set_and_wait(started)


def _set_and_wait(started: Event) -> None:
    started.set()
    signal.pause()


def test_a_forked_worker_that_outlives_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    worker = context.Process(target=_set_and_wait, args=(started,))
    with locked(tmp_path):
        worker.start()
        assert started.wait(60)
    try:
        with locked(tmp_path):
            assert worker.is_alive()
    finally:
        worker.kill()
        worker.join()


def test_a_full_disk_is_named(small_disk: Path) -> None:
    (small_disk / "fill").write_bytes(bytes(256 << 10))
    with pytest.raises(OSError, match="No space") as error:
        WorkStore(small_disk).open("train", {"rank": 32})
    assert Path(error.value.filename).name == "key.json"
