"""text2sql.databases: the message about missing databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from text2sql.databases import check_databases, database_path
from text2sql.errors import UserError


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = database_path(folder, name)
        path.parent.mkdir(parents=True)
        path.touch()


def message(folder: Path, *needed: tuple[str, str]) -> str:
    with pytest.raises(UserError) as caught:
        check_databases(folder, needed)
    return str(caught.value)


def test_with_all_databases_there_is_nothing_to_say(tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    check_databases(tmp_path, [("spider", "a"), ("spider", "a"), ("geo", "b")])
    check_databases(tmp_path / "absent", [])


def test_the_message_names_the_set_the_databases_the_place_and_the_next_command(tmp_path: Path) -> None:
    make(tmp_path, "b")
    text = message(tmp_path, ("spider", "b"), ("bird", "a"), ("bird", "b"), ("bird", "a"))
    assert text.startswith(f"{tmp_path}/a/a.sqlite: no such file; ")
    assert "1 of 2 databases of test set bird are missing: a;" in text
    assert "spider" not in text
    assert "put each as ID/ID.sqlite into the folder of databases" in text
    assert text.endswith("`dvc repro fetch_data`")


def test_a_long_list_is_cut_short(tmp_path: Path) -> None:
    text = message(tmp_path, *(("bird", f"db{n}") for n in range(8)))
    assert "8 of 8 databases of test set bird are missing: db0, db1, db2, db3, db4 and 3 others;" in text


def test_every_set_with_missing_databases_is_named(tmp_path: Path) -> None:
    text = message(tmp_path, ("bird", "a"), ("geo", "g"))
    assert "1 of 1 databases of test set bird are missing: a; 1 of 1 databases of test set geo" in text


def test_a_set_without_a_name_is_not_mentioned(tmp_path: Path) -> None:
    assert "1 of 1 databases are missing: a;" in message(tmp_path, ("", "a"))


def test_a_folder_with_the_name_of_the_file_is_no_database(tmp_path: Path) -> None:
    database_path(tmp_path, "a").mkdir(parents=True)
    assert "1 of 1 databases are missing" in message(tmp_path, ("", "a"))
