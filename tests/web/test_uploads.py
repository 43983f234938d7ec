"""Databases that users upload."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.web.served import ByQuestion, database, service
from text2sql.errors import UserError
from text2sql.targets.model import Limits
from text2sql.web import uploads as module
from text2sql.web.uploads import Uploads, shown_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = tmp_path / "kept"
    kept.mkdir()
    return kept


@pytest.fixture
def uploads(folder: Path) -> Uploads:
    return Uploads(folder, service(ByQuestion()).model)


def test_an_upload_is_kept_under_a_name_that_the_server_makes_up(
    uploads: Uploads, folder: Path, tmp_path: Path
) -> None:
    key = uploads.add("ann", database(tmp_path / "x.db"), "../../etc/passwd.sqlite")
    assert uploads.names("ann") == {key: "passwd.sqlite"}
    assert [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()] == [
        Path(key, "database")
    ]
    assert uploads.asker("ann", key).target.run("SELECT count(*) FROM singer", Limits()).rows == [(3,)]


def test_a_session_sees_its_own_uploads_only_and_they_go_with_it(
    uploads: Uploads, folder: Path, tmp_path: Path
) -> None:
    key = uploads.add("ann", database(tmp_path / "x.db"), "x.db")
    kept = uploads.add("bo", database(tmp_path / "y.db"), "y.db")
    with pytest.raises(KeyError):
        uploads.asker("bo", key)
    uploads.drop("ann")
    uploads.drop("nobody")
    assert [path.name for path in folder.iterdir()] == [kept]


@pytest.mark.parametrize(
    "content", [b"", b"no database", b"SQLite format 3\0" + b"x" * 5000, b"\0" * 8 + b"DUCK"]
)
def test_a_file_that_is_no_database_is_refused_and_removed(
    uploads: Uploads, folder: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "x.db"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"^fake\.db: ") as caught:
        uploads.add("ann", file, "fake.db")
    assert str(folder) not in str(caught.value)
    assert list(folder.iterdir()) == [] and uploads.names("ann") == {}


def test_duckdb_and_a_database_in_wal_mode_are_taken(uploads: Uploads, tmp_path: Path) -> None:
    duck, wal = tmp_path / "a.duckdb", tmp_path / "b.sqlite"
    with duckdb.connect(str(duck)) as connection:
        connection.execute("CREATE TABLE dog (name TEXT)")
    with closing(sqlite3.connect(wal)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE cat (name TEXT)")
    for file, table in ((duck, "dog"), (wal, "cat")):
        key = uploads.add("ann", file, file.name)
        assert [found.name for found in uploads.asker("ann", key).schema.tables] == [table]


def test_a_database_whose_schema_takes_too_long_is_refused(
    uploads: Uploads, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.0)
    monkeypatch.setattr(module, "_START_S", 0.0)
    with pytest.raises(UserError, match=r"^x\.db: takes too long to read"):
        uploads.add("ann", database(tmp_path / "x.db"), "x.db")
    assert list(folder.iterdir()) == []


def test_the_number_of_uploads_has_a_limit(
    uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_probe", lambda file, model: None)
    monkeypatch.setattr(module, "_OF_ONE_SESSION", 2)
    monkeypatch.setattr(module, "_OF_ALL", 3)
    for session in ("ann", "ann", "bo"):
        uploads.add(session, database(tmp_path / "x.db"), "x.db")
    with pytest.raises(UserError, match="you have 2 uploads already"):
        uploads.add("ann", database(tmp_path / "x.db"), "x.db")
    with pytest.raises(UserError, match="the server keeps 3 uploads already"):
        uploads.add("bo", database(tmp_path / "x.db"), "x.db")


@pytest.mark.parametrize(
    "name, shown",
    [
        ("shop.db", "shop.db"),
        ("C:\\data\\shop.db", "shop.db"),
        ("../../x", "x"),
        ("", "upload"),
        ("a\u202eb", "a\\u202eb"),
        ("x" * 100, "x" * 60 + "..."),
    ],
)
def test_a_name_is_shown_without_folders_and_signs_that_mislead(name: str, shown: str) -> None:
    assert shown_name(name) == shown
