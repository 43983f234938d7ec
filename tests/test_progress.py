"""Progress lines: limited in number, with correct figures, and always one at the end."""

from __future__ import annotations

import pytest

from text2sql.progress import Progress, showing_progress


class Clock:
    """Replaces time.monotonic."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("text2sql.progress._log", True)
    monkeypatch.setattr("text2sql.progress.time.monotonic", clock)
    return clock


def test_lines_are_five_seconds_apart_and_the_last_is_always_printed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(100, "rows", "work")
    for _ in range(100):
        clock.now += 0.1
        progress.advance()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "work: 100/100 rows (100 %), 10.0/s, took 0:00:10"


def test_the_remaining_time_follows_from_the_speed(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(7300, "rows", "work")
    clock.now += 10
    progress.advance(100)
    assert capsys.readouterr().err == "work: 100/7300 rows (1 %), 10.0/s, 0:12:00 left\n"


def test_work_done_before_the_start_does_not_count_for_the_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(100, "rows", "work", done=80)
    clock.now += 10
    progress.advance(10)
    assert capsys.readouterr().err == "work: 90/100 rows (90 %), 1.0/s, 0:00:10 left\n"


def test_without_a_terminal_a_command_shows_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("text2sql.progress._log", False)
    Progress(1, "rows", "work").advance()
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_with_the_remaining_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress = Progress(4, "rows", "work", done=1)
    progress.advance(2)
    progress.advance(1, "nearly")
    shown = capsys.readouterr().err
    assert "work: 100%" in shown and "4/4" in shown and " rows/s" in shown


def test_lines_are_written_in_the_block_that_asks_for_them_and_not_behind_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("text2sql.progress._log", False)
    with showing_progress(quiet=False):
        Progress(1, "rows", "count").advance()
    Progress(1, "rows", "again").advance()
    shown = capsys.readouterr().err
    assert ("count: 1/1 rows" in shown, "again" in shown) == (True, False)


def test_nothing_is_shown_in_a_quiet_block_not_even_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("text2sql.progress._log", True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with showing_progress(quiet=True):
        Progress(1, "rows", "count").advance()
    assert capsys.readouterr().err == ""
