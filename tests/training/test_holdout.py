"""Which rows are held out: whole schemas, spread over the sources, the same in every run."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.contamination.databases import contained
from text2sql.contamination.folding import schema_signature
from text2sql.errors import UserError
from text2sql.files import write_jsonl
from text2sql.records import TrainingRow
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.holdout import Split, source_rows, split
from text2sql.training.own_data import training_data


def row(number: int, ddl: str, source: str = "a", db_id: str = "") -> TrainingRow:
    return TrainingRow(f"{source}:{number}", source, f"Question {number}?", ddl, "SELECT 1", db_id)


def rows(groups: int, size: int, source: str = "a") -> list[TrainingRow]:
    """`size` rows on each of `groups` schemas, mixed."""
    found = [
        row(number, f"CREATE TABLE {source}{number % groups} (x, y)", source)
        for number in range(groups * size)
    ]
    return random.Random(source).sample(found, len(found))


@given(st.lists(st.integers(0, 9), min_size=30, max_size=60), st.integers(1, 25), st.integers(0, 5))
def test_a_schema_is_held_out_with_all_its_rows_or_not_at_all(
    tables: list[int], count: int, seed: int
) -> None:
    # tables 8 and 9 are parts of table 7
    ddl = [f"CREATE TABLE t{n} (x, y)" for n in range(7)]
    ddl += ["CREATE TABLE t (x, y, z)", "CREATE TABLE t (x)", "CREATE TABLE T (X, z INTEGER)"]
    found = [row(number, ddl[table], "ab"[number % 2]) for number, table in enumerate(tables)]
    try:
        chosen = split(found, count, seed)
    except UserError as error:
        few = ("no schema fits", "on one schema", "no row is left")
        assert any(reason in str(error) for reason in few)
        return
    signature = [schema_signature(one.ddl) for one in found]
    trained = set(range(len(found))) - chosen.unused
    assert trained
    assert 0 < len(chosen.held_out) <= count
    assert not set(chosen.held_out) & set(chosen.set_aside)
    assert not [(n, m) for n in trained for m in chosen.held_out if contained(signature[n], signature[m])]


def test_the_same_seed_gives_the_same_rows_and_another_one_others() -> None:
    found = rows(40, 5)
    assert split(found, 50, 1) == split(found, 50, 1)
    assert split(found, 50, 1) != split(found, 50, 2)


def test_each_source_gives_its_share() -> None:
    found = [*rows(100, 3, "a"), *rows(100, 1, "b")]
    counts = Counter(found[number].source for number in split(found, 40, 0).held_out)
    assert counts == {"a": 30, "b": 10}


def test_rows_that_name_one_database_stay_together_even_if_they_show_other_parts_of_it() -> None:
    found = [row(n, f"CREATE TABLE t{n % 4} (x)", db_id=f"db{n % 2}") for n in range(40)]
    held_out = split(found, 20, 0).held_out
    assert {found[number].db_id for number in held_out} in ({"db0"}, {"db1"})
    assert len(held_out) == 20


def test_part_of_a_held_out_schema_is_set_aside_and_never_held_out() -> None:
    whole = [row(n, "CREATE TABLE person (id, name, age); CREATE TABLE pet (id, kind)") for n in range(5)]
    part = [row(5 + n, "CREATE TABLE person (name)") for n in range(3)]
    other = [row(8 + n, "CREATE TABLE other (id)") for n in range(92)]  # too many to be held out
    assert split([*whole, *part, *other], 10, 0) == Split((0, 1, 2, 3, 4), (5, 6, 7))


def test_a_text_that_is_no_sqlite_schema_counts_as_a_schema_of_its_own() -> None:
    found = [row(n, f"table {n % 4} of another system ((") for n in range(12)]
    assert len(split(found, 6, 0).held_out) == 6


@pytest.mark.parametrize(
    ("found", "count", "message"),
    [
        (rows(4, 2), 8, "rows is 8, and there are 8 training rows; lower it"),
        (rows(1, 8), 4, "all 8 training rows are on one schema"),
        (rows(4, 5), 4, "no schema fits: the smallest has 5 rows"),
        ([*rows(2, 2), *(row(n, "CREATE TABLE a0 (x)") for n in range(2))], 5, "no row is left"),
    ],
)
def test_numbers_that_cannot_be_are_refused(found: list[TrainingRow], count: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split(found, count, 0)


def _dataset(folder: Path, found: list[TrainingRow]) -> Path:
    folder.mkdir()
    write_dataset((turn(one.ddl, one.question, one.sql) for one in found), folder)
    write_jsonl(folder / "rows.jsonl", map(asdict, found))
    return folder


def test_a_data_set_without_schemas_or_with_others_is_refused(tmp_path: Path) -> None:
    folder = _dataset(tmp_path / "data", rows(4, 2))
    assert source_rows(folder) == rows(4, 2)
    write_jsonl(folder / "rows.jsonl", map(asdict, rows(4, 1)))
    with pytest.raises(UserError, match="4 lines for 8 rows"):
        source_rows(folder)
    (folder / "rows.jsonl").unlink()
    with pytest.raises(UserError, match=r"rows\.jsonl: no such file.*validation: null"):
        source_rows(folder)


def test_an_own_arm_with_some_sources_has_their_schemas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    folder = _dataset(tmp_path / "data", [*rows(4, 2, "a"), *rows(3, 2, "b")])
    chosen = training_data(folder, ["b"], "train.mine")
    assert source_rows(chosen) == rows(3, 2, "b")
    assert len(json.loads((chosen / "sft.json").read_text())) == 6
