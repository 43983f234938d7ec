"""A folder of files becomes one file of rows and one of rejects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from text2sql.preparation import sources
from text2sql.preparation.settings import Prepare
from text2sql.preparation.training import evenly_spaced, prepare_training

GOOD = {"question": "Tea 🫖?", "context": "CREATE TABLE t (a)", "answer": "SELECT a FROM t"}
BAD = {**GOOD, "answer": "SELECT b FROM t"}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two files: of each three rows, the last is rejected."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("b.jsonl", "a.jsonl"):
        lines = [json.dumps(row) + "\n" for row in (GOOD, GOOD, BAD) * 10]
        (tmp_path / "raw" / name).write_text("".join(lines))
    return tmp_path / "raw"


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_the_order_of_the_files_and_are_counted_by_file(raw: Path, tmp_path: Path) -> None:
    counts = prepare_training(raw, tmp_path / "out", Prepare())
    expected = [f"{name}:{row}" for name in "ab" for row in range(30) if row % 3 < 2]
    assert ids(tmp_path / "out" / "train.jsonl") == expected
    assert counts.usable_by_source == counts.kept_by_source == {"a": 20, "b": 20}
    assert counts.rejected_by_source == {"a": 10, "b": 10}
    assert counts.rejected_by_reason == {"SQL names an unknown column": 20}


def test_rejects_are_written_in_order_with_what_sqlite_said(raw: Path, tmp_path: Path) -> None:
    prepare_training(raw, tmp_path / "out", Prepare())
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rejects] == [*range(2, 30, 3)] * 2
    assert {row["detail"] for row in rejects} == {"no such column: b"}


def test_chunks_of_any_size_give_the_same_files(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_training(raw, tmp_path / "out", Prepare(train_limit=7))
    before = [(tmp_path / "out" / name).read_bytes() for name in ("train.jsonl", "rejected.jsonl")]
    monkeypatch.setattr(sources, "_BYTES", 100)
    prepare_training(raw, tmp_path / "out", Prepare(train_limit=7))
    assert before == [(tmp_path / "out" / name).read_bytes() for name in ("train.jsonl", "rejected.jsonl")]


def test_a_limit_is_spread_over_the_usable_rows(raw: Path, tmp_path: Path) -> None:
    counts = prepare_training(raw, tmp_path / "out", Prepare(train_limit=4))
    assert ids(tmp_path / "out" / "train.jsonl") == ["a:0", "a:15", "b:0", "b:15"]
    assert counts.kept_by_source == {"a": 2, "b": 2}
    assert counts.usable_by_source == {"a": 20, "b": 20}


def test_nothing_but_the_two_files_is_left(raw: Path, tmp_path: Path) -> None:
    prepare_training(raw, tmp_path / "out", Prepare(train_limit=4))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train.jsonl", "rejected.jsonl"}


@pytest.mark.parametrize("limit", [None, 1, 3, 7, 10, 100])
def test_evenly_spaced_items_are_distinct_in_order_and_no_more_than_asked(limit: int | None) -> None:
    found = list(evenly_spaced(range(10), 10, limit))
    assert found == sorted(set(found))
    assert len(found) == min(10, limit or 10)


def test_evenly_spaced_items_start_with_the_first_and_have_equal_gaps() -> None:
    assert list(evenly_spaced(range(100), 100, 4)) == [0, 25, 50, 75]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    peaks = []
    for copies in (1, 8):
        folder = tmp_path / str(copies)
        (folder / "raw").mkdir(parents=True)
        row = json.dumps({**GOOD, "question": "x" * 10_000}) + "\n"
        (folder / "raw" / "a.jsonl").write_text(row * 1000 * copies)
        peaks.append(_peak_kib(folder))
    assert peaks[1] - peaks[0] < 20_000  # the longer file is 70 MB longer


def _peak_kib(folder: Path) -> int:
    """Peak memory of a process that prepares the folder; `resource` would count this one too."""
    code = (
        "import sys; from pathlib import Path;"
        "from text2sql.preparation.settings import Prepare;"
        "from text2sql.preparation.training import prepare_training;"
        "prepare_training(Path(sys.argv[1], 'raw'), Path(sys.argv[1]), Prepare(train_limit=10));"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    return int(done.stdout)
