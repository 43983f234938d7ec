"""A journal has everything that was appended to it, however the process that wrote it ended."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.journal import Journal

ENTRIES: list[dict[str, Any]] = [
    {"text": "tea é\u2028\n", "n": 1},
    {"text": "\ud800", "n": 2.5},
    {"text": "", "n": None},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a journal.jsonl"


def opened(path: Path) -> tuple[Journal, list[Any]]:
    """The journal, and what it held."""
    read: list[Any] = []

    def keep(value: Any) -> str:
        read.append(value)
        return "" if isinstance(value, dict) else "not an entry"

    return Journal(path, keep, "it is done again", loss=", which costs"), read


def written(path: Path) -> bytes:
    journal, _ = opened(path)
    for entry in ENTRIES:
        journal.append(entry, "kept")
    return path.read_bytes()


def test_entries_are_read_back_equal_and_in_order(path: Path) -> None:
    written(path)
    assert opened(path)[1] == ENTRIES


def test_each_entry_is_synced_before_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: sizes.append(os.fstat(number).st_size))
    whole = written(path)
    assert sizes == [sum(map(len, whole.splitlines(keepends=True)[: n + 1])) for n in range(3)]


def test_a_journal_cut_at_any_byte_loses_the_last_entry_at_most(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = written(path)
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        complete = whole[:size].count(b"\n")
        assert opened(path)[1] == ENTRIES[:complete]
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:complete])
        incomplete = size > 0 and not whole[:size].endswith(b"\n")
        note = f"{path}: the last line was cut short; it is done again\n"
        assert capsys.readouterr().err == (note if incomplete else "")


@pytest.mark.parametrize("line", [b"nonsense", b"\xff", b"", b"[]", b"null", b"[" * 100_000])
def test_an_invalid_line_is_named_with_the_loss_from_deleting_the_file(path: Path, line: bytes) -> None:
    whole = written(path)
    path.write_bytes(whole + line + b"\n")
    with pytest.raises(UserError) as error:
        opened(path)
    remedy = f"`rm '{path}'` and run again, which costs"
    assert str(error.value) == f"{path}, line 4: not an entry; {remedy}"
    assert path.read_bytes() == whole + line + b"\n"


@pytest.mark.parametrize("before", [0, 2])
def test_a_full_disk_is_reported_and_leaves_complete_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal, _ = opened(path)
    for entry in ENTRIES[:before]:
        journal.append(entry, "kept")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"No space left on device; 2 are kept; fix that and run"):
            journal.append(ENTRIES[2], "2 are kept")
    assert opened(path)[1] == ENTRIES[:before]
    journal.append(ENTRIES[2], "kept")
    assert opened(path)[1] == [*ENTRIES[:before], ENTRIES[2]]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path / "none" / "journal.jsonl")
    with pytest.raises(UserError, match=r"none/journal.jsonl: No such file or directory; none kept"):
        journal.append(ENTRIES[0], "none kept")
