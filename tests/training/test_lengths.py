"""Rows longer than the cutoff are counted, listed and left out; nothing is cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.lengths import longest_row, measure, row_lengths, without_long_rows

SCHEMA = "CREATE TABLE singer (name, age);"
ROWS = [
    turn(SCHEMA * repeats, "How many singers?", "SELECT count(*) FROM singer") for repeats in (1, 30, 2, 60)
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_tokenizer(tiny_qwen3(tmp_path / "base"))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(ROWS, tmp_path / "data")
    return tmp_path / "data"


def test_the_longest_row_of_those_within_the_limit_is_measured(base: Path, dataset: Path) -> None:
    lengths = row_lengths(base, ROWS, 0, 2)
    assert longest_row(base, dataset, 0, 10_000, 2) == max(lengths) == lengths[3]
    assert longest_row(base, dataset, 0, lengths[3] - 1, 2) == lengths[1]


def test_long_rows_are_listed_and_the_others_kept_unchanged(
    base: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lengths = measure(base, dataset, 256, 2)
    assert list(lengths.long) == [1, 3] and min(lengths.long.values()) > 256 >= lengths.longest
    kept = without_long_rows(dataset, lengths, 256, tmp_path / "work", "train_full")
    assert json.loads((kept / "sft.json").read_text()) == [ROWS[0], ROWS[2]]
    listed = json.loads((tmp_path / "work" / "too_long.json").read_text())
    assert listed == [{"row": row, "tokens": tokens} for row, tokens in lengths.long.items()]
    assert (
        "train_full: 2 of 4 rows have more than 256 tokens (cutoff_len) and are left out"
        in capsys.readouterr().err
    )


def test_a_data_set_whose_rows_all_fit_is_not_copied(base: Path, dataset: Path, tmp_path: Path) -> None:
    lengths = measure(base, dataset, 4096, 2)
    assert lengths.long == {}
    assert without_long_rows(dataset, lengths, 4096, tmp_path / "work", "t") == dataset
    assert not (tmp_path / "work").exists()


def test_a_row_of_just_the_cutoff_is_kept_and_one_token_more_is_not(base: Path, dataset: Path) -> None:
    (tokens, _) = measure(base, dataset, 256, 2).long.values()
    assert 1 not in measure(base, dataset, tokens, 2).long
    assert 1 in measure(base, dataset, tokens - 1, 2).long


def test_a_training_without_rows_is_refused(base: Path, dataset: Path, tmp_path: Path) -> None:
    lengths = measure(base, dataset, 256, 2)
    with pytest.raises(UserError, match=r"t: no row is left to train on: 2 have more than 256 tokens"):
        without_long_rows(dataset, lengths, 256, tmp_path / "work", "t", unused={0, 2})


def test_a_data_set_without_a_row_that_fits_is_refused(base: Path, dataset: Path) -> None:
    with pytest.raises(UserError, match="no row of at most 8 tokens; raise cutoff_len"):
        measure(base, dataset, 8, 2)
