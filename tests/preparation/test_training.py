"""A folder of files becomes one file of rows and one of rejects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from text2sql.errors import UserError
from text2sql.preparation import sources
from text2sql.preparation.settings import Prepare, TrainingSource
from text2sql.preparation.training import SourceCounts, evenly_spaced, prepare_training, quotas

GOOD = {"question": "Tea 🫖?", "context": "CREATE TABLE t (a)", "answer": "SELECT a FROM t"}
BAD = {**GOOD, "answer": "SELECT b FROM t"}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two files: of each three rows, the last is rejected."""
    (tmp_path / "raw" / "train").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for name in ("b.jsonl", "a.jsonl"):
        lines = [json.dumps(row) + "\n" for row in (GOOD, GOOD, BAD) * 10]
        (tmp_path / "raw" / "train" / name).write_text("".join(lines))
    return tmp_path / "raw"


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_the_order_of_the_files_and_are_counted_by_file(raw: Path, tmp_path: Path) -> None:
    counts = prepare_training(raw, tmp_path / "out", Prepare())
    expected = [f"{name}:{row}" for name in "ab" for row in range(30) if row % 3 < 2]
    assert ids(tmp_path / "out" / "train.jsonl") == expected
    assert {name: (own.usable, own.kept) for name, own in counts.items()} == {"a": (20, 20), "b": (20, 20)}
    assert [own.rejected for own in counts.values()] == [{"SQL names an unknown column": 10}] * 2


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
    assert {name: (own.usable, own.kept) for name, own in counts.items()} == {"a": (20, 2), "b": (20, 2)}


def test_nothing_but_the_two_files_is_left(raw: Path, tmp_path: Path) -> None:
    prepare_training(raw, tmp_path / "out", Prepare(train_limit=4))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train.jsonl", "rejected.jsonl"}


QUOTAS = [
    ({}, {}, {"a": 100, "b": 300}),
    ({"train_limit": 40}, {}, {"a": 10, "b": 30}),
    ({"train_limit": 40}, {"a": {"weight": 3.0}}, {"a": 20, "b": 20}),
    ({"train_limit": 390}, {"a": {"weight": 9.0}}, {"a": 100, "b": 290}),
    ({}, {"b": {"limit": 7}}, {"a": 100, "b": 7}),
    ({"train_limit": 50}, {"b": {"limit": 100}}, {"a": 25, "b": 25}),
    ({"train_limit": 1000}, {"b": {"limit": 1000}}, {"a": 100, "b": 300}),
]


@pytest.mark.parametrize(("limits", "sources", "expected"), QUOTAS)
def test_sources_share_a_limit_by_weight_and_number_of_rows(
    limits: dict[str, int], sources: dict[str, dict[str, float]], expected: dict[str, int]
) -> None:
    counts = {"a": SourceCounts(usable=100), "b": SourceCounts(usable=300)}
    own = {name: TrainingSource.model_validate(values) for name, values in sources.items()}
    assert quotas(counts, Prepare.model_validate({**limits, "sources": own})) == expected


def test_every_row_of_the_limit_is_given_to_some_source() -> None:
    counts = {name: SourceCounts(usable=rows) for name, rows in zip("abcde", (7, 11, 13, 17, 1), strict=True)}
    for limit in range(1, 49):
        assert sum(quotas(counts, Prepare(train_limit=limit)).values()) == limit


def test_a_source_with_too_many_rejects_stops_with_the_commonest_reasons_and_an_example_of_each(
    raw: Path, tmp_path: Path
) -> None:
    rows = [GOOD, *[BAD] * 3, *[{**GOOD, "answer": "x"}] * 2]
    (raw / "train" / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError) as caught:
        prepare_training(raw, tmp_path / "out", Prepare())
    said = str(caught.value)
    assert "c.jsonl: 5 of 6 rows cannot be used, and prepare.max_rejected allows 50 %" in said
    assert "\n  3 rows: SQL names an unknown column; for example row 1 (no such column: b): {" in said
    assert "\n  2 rows: SQL does not parse as one query; for example row 4: {" in said
    prepare_training(raw, tmp_path / "out", Prepare(max_rejected=90.0))


def test_a_source_of_which_nothing_is_usable_stops_whatever_the_limit(raw: Path, tmp_path: Path) -> None:
    (raw / "train" / "c.jsonl").write_text(json.dumps(BAD) + "\n")
    with pytest.raises(UserError, match=r"c\.jsonl: 1 of 1 rows cannot be used, so none is"):
        prepare_training(raw, tmp_path / "out", Prepare(max_rejected=100.0))


def test_a_source_in_the_settings_that_does_not_exist_is_an_error(raw: Path, tmp_path: Path) -> None:
    settings = Prepare(sources={"aa": TrainingSource(limit=3)})
    with pytest.raises(UserError, match=r"prepare.sources: there is no source aa; .*train has a, b"):
        prepare_training(raw, tmp_path / "out", settings)


def test_a_column_that_no_row_has_is_an_error_also_where_no_row_is_rejected(
    raw: Path, tmp_path: Path
) -> None:
    columns = {"question": "question", "schema": "context", "sql": "answer", "evidence": "hint"}
    settings = Prepare.model_validate({"sources": {"a": TrainingSource.model_validate({"columns": columns})}})
    with pytest.raises(UserError, match=r"no row has hint.*first row has question, context, answer; fix"):
        prepare_training(raw, tmp_path / "out", settings)


def test_a_weight_without_a_limit_is_refused() -> None:
    with pytest.raises(ValidationError, match="weight has no effect without train_limit"):
        Prepare.model_validate({"sources": {"a": {"weight": 2.0}}})


def test_a_column_that_no_row_has_is_an_error_that_names_those_there_are(raw: Path, tmp_path: Path) -> None:
    columns = {"question": "question", "schema": "kontext", "sql": "answer"}
    settings = Prepare.model_validate({"sources": {"a": TrainingSource.model_validate({"columns": columns})}})
    with pytest.raises(
        UserError, match=r"a.jsonl: no row has kontext.*first row has question, context, answer"
    ):
        prepare_training(raw, tmp_path / "out", settings)


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
        (folder / "raw" / "train").mkdir(parents=True)
        row = json.dumps({**GOOD, "question": "x" * 10_000}) + "\n"
        (folder / "raw" / "train" / "a.jsonl").write_text(row * 1000 * copies)
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


@pytest.mark.parametrize("weight", [0, -1, 1e308, float("inf"), float("nan")])
def test_a_weight_that_no_share_can_be_computed_from_is_refused(weight: float) -> None:
    with pytest.raises(ValidationError):
        TrainingSource(weight=weight)
