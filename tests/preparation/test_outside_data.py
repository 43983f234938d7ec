"""Outside data are found by a variable, and each file is the one that was expected."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.preparation.outside_data import OutsideFolder, data_folder, refuse_unread


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEXT2SQL_DATA", "TEXT2SQL_REAL_DATA"):
        monkeypatch.delenv(name, raising=False)


def test_the_folder_is_the_one_that_the_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT2SQL_REAL_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    (tmp_path / "new").mkdir()
    monkeypatch.setenv("TEXT2SQL_DATA", str(tmp_path / "new"))
    assert data_folder() == tmp_path / "new"


def test_without_the_variable_or_its_folder_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="TEXT2SQL_DATA is not set"):
        data_folder()
    monkeypatch.setenv("TEXT2SQL_DATA", "nowhere")
    with pytest.raises(UserError, match="nowhere: no such folder; set TEXT2SQL_DATA to"):
        data_folder()


def test_a_file_is_checked_against_its_checksum_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("tea")
    good = hashlib.sha256(b"tea").hexdigest()
    assert OutsideFolder(tmp_path, {"a": good.upper()}).file("a") == tmp_path / "a"
    with pytest.raises(UserError, match=f"a: its SHA-256 .* expected {'0' * 64}, found {good}"):
        OutsideFolder(tmp_path, {"a": "0" * 64}).file("a")


def test_a_database_with_changes_in_a_wal_file_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "w.sqlite")) as writer:
        writer.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (a)")
        with pytest.raises(UserError, match=r"w\.sqlite-wal beside it has changes .* wal_checkpoint"):
            OutsideFolder(tmp_path, {}).file("w.sqlite")
    assert OutsideFolder(tmp_path, {}).file("w.sqlite").is_file()  # the last connection wrote them


def test_a_checksum_that_guards_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("tea")
    sums = {"a": hashlib.sha256(b"tea").hexdigest()}
    outside = OutsideFolder(tmp_path, sums)
    with pytest.raises(UserError, match="nothing reads a; take the entry out"):
        refuse_unread(sums, [outside])
    outside.file("a")
    refuse_unread(sums, [outside])


def test_the_checksums_of_a_repository_are_named_by_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("tea")
    for sums in ({"owner/name/a": "0" * 64}, {"a": "0" * 64}):
        outside = OutsideFolder(tmp_path, sums, "owner/name")
        if "a" in sums:
            outside.file("a")
            with pytest.raises(UserError, match="nothing reads a;"):
                refuse_unread(sums, [outside])
        else:
            with pytest.raises(UserError, match="a: its SHA-256 is not the one"):
                outside.file("a")


def test_a_folder_without_databases_is_named(tmp_path: Path) -> None:
    for name in ("dbs/a/a.sqlite", "dbs/c/other.db", "dbs/c/notes.txt"):
        write(tmp_path / name, "")
    OutsideFolder(tmp_path, {}).require_databases("dbs")
    for below in ("dbs/c/c", "none"):
        with pytest.raises(UserError, match=rf"{below}: has no database ID/ID\.sqlite; set TEXT2SQL_DATA"):
            OutsideFolder(tmp_path, {}).require_databases(below)


def test_the_checksum_of_a_database_is_checked_wherever_it_is_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "dbs/a.db", "tea")
    outside = OutsideFolder(tmp_path, {"dbs/a.db": "0" * 64})
    with pytest.raises(UserError, match=r"dbs/a\.db: its SHA-256"):
        outside.database("dbs", "a")
    with pytest.raises(UserError, match=r"dbs/b/b\.sqlite: no such file"):
        outside.database("dbs", "b")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
