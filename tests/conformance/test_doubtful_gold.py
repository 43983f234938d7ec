"""The audit of Spider dev's golds and of BIRD mini-dev's text, against facts found in other ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from text2sql.cli import main

pytestmark = pytest.mark.slow

# Rows n and n + 1 have equal sort keys: found by running the golds without LIMIT and comparing in Python.
TIES_AT_THE_END = 42
WITHOUT_ROWS = 1034 - 969
EMPTY_RANKINGS = [459, 460, 469, 470, 471, 472, 479, 480]


def audit(tmp_path: Path, *arguments: object) -> dict[int, dict[str, Any]]:
    """The rows with a finding, by number."""
    out = tmp_path / "out.jsonl"
    result = CliRunner().invoke(main, ["audit-gold", *map(str, arguments), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return {row["row"]: row for row in map(json.loads, out.read_text(encoding="utf-8").splitlines())}


@pytest.fixture(scope="module")
def spider(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    folder = real_data / "spider"
    arguments = ("--gold", folder / "dev_sql.json", "--db", folder / "database", "--timeout", 120)
    return audit(tmp_path_factory.mktemp("audit"), *arguments)


def with_reason(rows: dict[int, dict[str, Any]], reason: str) -> list[int]:
    return [number for number, row in rows.items() if reason in row["reasons"]]


def test_golds_that_return_no_row_are_those_known(spider: dict[int, dict[str, Any]]) -> None:
    found = [n for n, row in spider.items() if any(f["why"] == "returns no row" for f in row["findings"])]
    assert len(found) == WITHOUT_ROWS
    assert [number for number in found if spider[number]["db_id"] == "wta_1"] == EMPTY_RANKINGS
    assert with_reason(spider, "fails") == []


def test_ties_at_the_limit_are_those_of_an_independent_count(spider: dict[int, dict[str, Any]]) -> None:
    nested = {159, 160, 954, 955}
    assert len(set(with_reason(spider, "limit_ties")) - nested) == TIES_AT_THE_END
    assert nested <= set(with_reason(spider, "limit_ties"))


def test_horsepower_stored_as_text_is_found(spider: dict[int, dict[str, Any]]) -> None:
    assert {125, 126, 169, 170} <= set(with_reason(spider, "text_with_number"))


def test_paraphrases_whose_golds_take_any_in_two_ways_are_found(spider: dict[int, dict[str, Any]]) -> None:
    assert {774, 775, 776, 777} <= set(with_reason(spider, "paraphrase_disagrees"))


def test_every_gold_of_spider_is_fully_checked(spider: dict[int, dict[str, Any]]) -> None:
    assert [number for number, row in spider.items() if row["unchecked"]] == []


def test_of_birds_text_those_with_todays_date_are_found(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "bird_mini_dev/mini_dev_sqlite.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    words = ("current_timestamp", "'now'", "datetime()")
    expected = [n for n, row in enumerate(rows) if any(word in row["SQL"].lower() for word in words)]
    assert with_reason(audit(tmp_path, "--gold", path), "todays_date") == expected
