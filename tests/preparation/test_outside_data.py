"""Outside data are found by a variable, and each file is the one that was expected."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.preparation.outside_data import OutsideFolder, data_folder


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


def test_a_checksum_that_guards_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("tea")
    outside = OutsideFolder(tmp_path, {"a": hashlib.sha256(b"tea").hexdigest()})
    with pytest.raises(UserError, match="nothing reads a in"):
        outside.refuse_unread()
    outside.file("a")
    outside.refuse_unread()


def test_databases_are_those_whose_folder_has_their_name(tmp_path: Path) -> None:
    for name in ("b/b.sqlite", "a/a.sqlite", "a/other.sqlite", "c/c.db"):
        path = tmp_path / "dbs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    found = list(OutsideFolder(tmp_path, {}).databases("dbs"))
    assert found == [(name, tmp_path / "dbs" / name / f"{name}.sqlite") for name in "ab"]
    with pytest.raises(UserError, match=r"dbs/c: has no database ID/ID\.sqlite; set TEXT2SQL_DATA"):
        list(OutsideFolder(tmp_path, {}).databases("dbs/c"))
