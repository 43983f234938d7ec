"""Verdicts of a stopped run are taken by the next one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from text2sql.evaluation.resume import resuming
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case, PartCount, Verdict

PARTS = {"select": PartCount(1, 2, 1)}
CASES = [Case(row, "db", "SELECT 1", "SELECT 1") for row in range(4)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    monkeypatch.setenv("TEXT2SQL_WORK", str(folder))
    return folder


def run(folder: Path, stop_at: int | None = None, **settings: object) -> tuple[list[Verdict], list[int], str]:
    """All verdicts, the rows that were judged for them, and what was said; `stop_at`: the row that fails."""
    judged: list[int] = []
    said: list[str] = []

    def judge(cases: Iterable[Case]) -> Iterator[Verdict]:
        for case in cases:
            if case.row == stop_at:
                raise KeyboardInterrupt
            judged.append(case.row)
            yield Verdict(case.row, "db", "", "easy", ex=True, em=True, parts=PARTS)

    found: list[Verdict] = []
    try:
        with resuming(
            CASES, folder, JudgeSettings.model_validate(settings), None, None, said.append
        ) as resumed:
            found += resumed.judge(CASES, judge)
    except KeyboardInterrupt:
        pass
    return found, judged, "\n".join(said)


def test_what_a_stopped_run_has_judged_is_not_judged_again(tmp_path: Path, work: Path) -> None:
    assert run(tmp_path, stop_at=3)[1] == [0, 1, 2]
    verdicts, judged, said = run(tmp_path)
    assert (judged, said) == ([3], "")
    assert verdicts == [Verdict(row, "db", "", "easy", ex=True, em=True, parts=PARTS) for row in range(4)]


def test_of_a_complete_run_nothing_is_kept(tmp_path: Path, work: Path) -> None:
    run(tmp_path)
    assert not work.exists()


def test_other_settings_and_changed_databases_are_another_run(tmp_path: Path, work: Path) -> None:
    run(tmp_path, stop_at=3)
    assert run(tmp_path, timeout_s=1.0)[1] == [0, 1, 2, 3]
    (tmp_path / "db").mkdir()
    (tmp_path / "db/db.sqlite").write_bytes(b"SQLite format 3\0")
    assert run(tmp_path)[1] == [0, 1, 2, 3]


def test_two_runs_at_once_do_not_share_what_they_keep(tmp_path: Path, work: Path) -> None:
    def judge(cases: Iterable[Case]) -> Iterator[Verdict]:
        for case in cases:
            yield Verdict(case.row, "db", "", "easy")

    with resuming(CASES, tmp_path, JudgeSettings(), None, None, print) as first:
        list(first.judge(CASES[:2], judge))
        first.write()
        _, judged, said = run(tmp_path)
        assert judged == [0, 1, 2, 3]
        assert "another run is judging the same" in said
