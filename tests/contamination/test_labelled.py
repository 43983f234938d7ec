"""The labels of the labelled set are right, and the report on a search for leaks follows from them."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml
from click.testing import CliRunner
from sqlglot import exp

from scripts.profiles import composed
from text2sql import cli
from text2sql.contamination.evidence import Evidence
from text2sql.contamination.folding import fold_question, schema_signature
from text2sql.contamination.labelled import CLEAN, LEAKS, Labelled, label_report, labelled_set
from text2sql.contamination.leaks import find_leaks
from text2sql.contamination.settings import RECOMMENDED, Rules
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Table
from text2sql.schema.prose import read_prose

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TEST, ITEMS = labelled_set()
KINDS = LEAKS + CLEAN
OTHER_SQL = ("respelt", "restated")
# columns with few distinct values, so that groups have several members
FEW = (
    "country",
    "city",
    "town",
    "breed",
    "month",
    "year",
    "genre",
    "colour",
    "room",
    "difficulty",
    "children",
)


def of_kind(*kinds: str) -> list[Labelled]:
    return [item for item in ITEMS if item.kind in kinds]


def asked_at(item: Labelled) -> TestQuestion:
    """The test question that a row of the same database was written for."""
    assert item.leaks is not None
    return TEST[item.leaks]


def words(question: str) -> set[str]:
    return set(fold_question(question).split())


def shared_words(item: Labelled, test: TestQuestion) -> float:
    one, other = words(item.row.question), words(test.question)
    return len(one & other) / len(one | other)


def masked(sql: str) -> str:
    tree = sqlglot.parse_one(sql, read="sqlite")
    return tree.transform(lambda node: exp.Placeholder() if isinstance(node, exp.Literal) else node).sql()


def written_for(item: Labelled) -> TestQuestion:
    """The test question of a clean row: that of the leaks before it."""
    before = [other for other in ITEMS[: ITEMS.index(item)] if other.leaks is not None]
    return asked_at(before[-1])


def texts(column: str, queries: list[str]) -> list[str]:
    """The strings that some query compares this column with."""
    found = []
    for sql in queries:
        for node in sqlglot.parse_one(sql, read="sqlite").find_all(exp.EQ, exp.NEQ):
            if node.this.name == column and isinstance(node.expression, exp.Literal):
                found += [node.expression.name] if node.expression.is_string else []
    return found


def numbers(queries: list[str]) -> list[int]:
    trees = [sqlglot.parse_one(sql, read="sqlite") for sql in queries]
    return [int(float(n.name)) for tree in trees for n in tree.find_all(exp.Literal) if not n.is_string]


def groups(values: list[int], count: int, rng: random.Random) -> list[int]:
    """The distinct values in groups of 1, 2, 3 ... rows: no two groups are equally large."""
    sizes = [value for size, value in enumerate(dict.fromkeys(values), 1) for _ in range(size)]
    return rng.sample((sizes[::-1] * count)[:count], count)


def fill(database: sqlite3.Connection, table: Table, queries: list[str], rng: random.Random) -> None:
    """Forty rows: links to some of them only, numbers around those that the queries name."""
    count = 40
    near = sorted({max(0, n + step) for n in numbers(queries) for step in range(-30, 31)} | set(range(60)))
    columns: list[list[Any]] = []
    for column in table.columns:
        if column.name == "id":
            columns.append(list(range(count)))
        elif column.name.endswith("_id"):
            columns.append(rng.choices(range(0, count, 3), k=count))
        elif strings := texts(column.name, queries):
            columns.append(rng.choices([*strings, "elsewhere"], k=count))
        elif column.name in FEW:
            columns.append(groups([*rng.sample(near, 8), *numbers(queries)], count, rng))
        else:
            columns.append(rng.sample(near, count))
    marks = ", ".join("?" * len(columns))
    database.executemany(f"INSERT INTO {table.name} VALUES ({marks})", zip(*columns, strict=True))


def plan(ddl: str, sql: str) -> list[object]:
    """What SQLite makes of the query on the schema; sqlite3.Error if it refuses."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(ddl)
        return database.execute(f"EXPLAIN {sql}").fetchall()


def results(test: TestQuestion, sqls: tuple[str, str], seed: int) -> list[list[tuple[object, ...]]]:
    """What the queries return on a random database of the test question's schema; rows sorted if none is."""
    schema = read_prose(test.schema)[1]
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(write_ddl(schema))
        for table in schema.tables:
            fill(database, table, list(sqls), random.Random(f"{seed}:{table.name}"))
        found = [database.execute(sql).fetchall() for sql in sqls]
    return found if "ORDER BY" in sqls[0] else [sorted(rows) for rows in found]


def test_every_kind_is_there_in_numbers() -> None:
    counts = Counter(item.kind for item in ITEMS)
    assert len(TEST) == 32 and len(ITEMS) == 384
    assert set(counts) == set(KINDS)
    assert min(counts.values()) == 16


def test_the_set_is_the_same_every_time() -> None:
    assert labelled_set() == (TEST, ITEMS)


def test_leaks_and_only_leaks_leak_a_test_question() -> None:
    assert {item.kind for item in ITEMS if item.leaks is not None} == set(LEAKS)
    assert {item.kind for item in ITEMS if item.leaks is None} == set(CLEAN)


def test_rows_and_questions_are_numbered_without_gap() -> None:
    assert [item.row.id for item in ITEMS] == [f"labelled:{n}" for n in range(len(ITEMS))]
    assert [question.row for question in TEST] == list(range(len(TEST)))


def test_every_query_compiles_on_the_schema_beside_it() -> None:
    for item in ITEMS:
        assert plan(item.row.ddl, item.row.sql), item.row


def test_every_gold_query_compiles_on_its_schema() -> None:
    for test in TEST:
        assert plan(write_ddl(read_prose(test.schema)[1]), test.gold), test


def test_the_rows_show_all_or_a_part_of_their_database() -> None:
    shown = Counter(
        "whole"
        if schema_signature(item.row.ddl) == schema_signature(read_prose(asked_at(item).schema)[1])
        else "part"
        for item in of_kind(*LEAKS)
    )
    assert shown["whole"] > 50 and shown["part"] > 100


def test_a_leak_shows_nothing_but_its_question_s_database() -> None:
    for item in of_kind(*LEAKS):
        assert schema_signature(item.row.ddl) <= schema_signature(read_prose(asked_at(item).schema)[1])


def test_a_row_on_another_database_shows_a_column_that_no_test_database_has() -> None:
    tests = [schema_signature(read_prose(question.schema)[1]) for question in TEST]
    for item in of_kind("other_database", "namesake"):
        assert not any(schema_signature(item.row.ddl) <= test for test in tests), item.row


def test_verbatim_and_signs_fold_to_the_question_and_signs_are_not_the_same_text() -> None:
    for item in of_kind("verbatim", "signs"):
        assert fold_question(item.row.question) == fold_question(asked_at(item).question)
        assert (item.row.question == asked_at(item).question) == (item.kind == "verbatim")


@pytest.mark.parametrize("kind", ["verbatim", "signs", "order", "synonym", "reworded", "heavy"])
def test_these_leaks_answer_with_the_gold_query(kind: str) -> None:
    assert all(item.row.sql == asked_at(item).gold for item in of_kind(kind))


def test_another_value_changes_the_query_in_its_values_only() -> None:
    for item in of_kind("value"):
        assert item.row.sql != asked_at(item).gold
        assert masked(item.row.sql) == masked(asked_at(item).gold)


def test_some_leaks_have_another_query_even_without_its_values() -> None:
    assert all(masked(item.row.sql) != masked(asked_at(item).gold) for item in of_kind(*OTHER_SQL))


@pytest.mark.parametrize("seed", range(5))
def test_their_queries_return_what_the_gold_returns(seed: int) -> None:
    for item in of_kind(*OTHER_SQL):
        gold, restated = results(asked_at(item), (asked_at(item).gold, item.row.sql), seed)
        assert gold == restated, item.row


@pytest.mark.parametrize("kind", ["opposite", "other_question"])
def test_the_query_of_another_question_returns_something_else(kind: str) -> None:
    for item in of_kind(kind):
        test = written_for(item)
        pairs = [results(test, (test.gold, item.row.sql), seed) for seed in range(5)]
        assert any(gold != other for gold, other in pairs), item.row


def test_light_rewordings_and_opposites_keep_most_words_and_heavy_ones_few() -> None:
    light = [shared_words(item, asked_at(item)) for item in of_kind("order", "synonym", "respelt", "value")]
    heavy = [shared_words(item, asked_at(item)) for item in of_kind("heavy", "restated")]
    opposite = [shared_words(item, written_for(item)) for item in of_kind("opposite")]
    assert min(light) >= 0.5 and min(opposite) >= 0.4
    assert max(heavy) <= 0.4


def test_no_clean_row_has_a_test_question_or_its_query_on_its_schema() -> None:
    asked = {fold_question(question.question) for question in TEST}
    solved = {masked(question.gold) for question in TEST}
    for item in of_kind(*CLEAN):
        assert fold_question(item.row.question) not in asked, item.row
        assert masked(item.row.sql) not in solved, item.row


def everything(rows: list[TrainingRow], test: list[TestQuestion]) -> Mapping[str, Evidence]:
    return {row.id: Evidence("all", 0, 1.0) for row in rows}


def nothing(rows: list[TrainingRow], test: list[TestQuestion]) -> Mapping[str, Evidence]:
    return {}


def the_truth(rows: list[TrainingRow], test: list[TestQuestion]) -> Mapping[str, Evidence]:
    given = {item.row.id: item.leaks for item in ITEMS}
    return {
        row.id: Evidence("even" if at % 2 else "odd", at, 1.0)
        for row in rows
        if (at := given[row.id]) is not None
    }


def test_the_finder_gets_rows_without_labels() -> None:
    def find(rows: list[TrainingRow], test: list[TestQuestion]) -> Mapping[str, Evidence]:
        assert (rows, test) == ([item.row for item in ITEMS], TEST)
        assert {row.source for row in rows} == {"labelled"}
        return {}

    label_report(find)


def test_a_finder_that_removes_all_has_the_share_of_leaks_as_precision() -> None:
    report = label_report(everything)
    assert (report["rows"], report["leaks"], report["removed"], report["right"]) == (384, 272, 384, 272)
    assert (report["precision"], report["recall"]) == (70.83, 100.0)
    assert all(figures["removed"] == figures["rows"] for figures in report["by_kind"].values())


def test_a_finder_that_removes_nothing_has_no_precision() -> None:
    report = label_report(nothing)
    assert (report["precision"], report["recall"], report["by_rule"]) == (None, 0.0, {})


def test_the_truth_scores_full_marks_and_its_rules_share_the_recall() -> None:
    report = label_report(the_truth)
    assert (report["precision"], report["recall"], report["other_test_row"]) == (100.0, 100.0, 0)
    rules = report["by_rule"]
    assert {rule: figures["precision"] for rule, figures in rules.items()} == {"even": 100.0, "odd": 100.0}
    assert sum(figures["right"] for figures in rules.values()) == 272
    assert sum(figures["recall"] for figures in rules.values()) == pytest.approx(100, abs=0.02)


def test_clean_rows_that_a_rule_removes_lower_its_precision_alone() -> None:
    def find(rows: list[TrainingRow], test: list[TestQuestion]) -> Mapping[str, Evidence]:
        wrong = {item.row.id: Evidence("odd", 0, 0.9) for item in of_kind("opposite")}
        return {**the_truth(rows, test), **wrong}

    report = label_report(find)
    assert report["by_kind"]["opposite"] == {"leak": False, "rows": 32, "removed": 32}
    assert report["by_rule"]["even"]["precision"] == 100.0
    assert report["by_rule"]["odd"]["precision"] < 90.0
    assert report["precision"] == round(100 * 272 / 304, 2)


def test_evidence_that_names_another_test_question_is_counted() -> None:
    def find(rows: list[TrainingRow], test: list[TestQuestion]) -> Mapping[str, Evidence]:
        return {ITEMS[0].row.id: Evidence("question", 31, 1.0)}

    assert label_report(find)["other_test_row"] == 1


def test_a_finder_that_names_an_unknown_row_is_an_error() -> None:
    with pytest.raises(KeyError, match="made:1"):
        label_report(lambda rows, test: {"made:1": Evidence("question", 0, 1.0)})


# -- docs/contamination.md --

PAGE = (ROOT / "docs/contamination.md").read_text(encoding="utf-8")
OFF: dict[str, Any] = {"question": False, "contains": False, "near_question": None, "same_sql": None}
# Columns of the table; that of `embedding` hangs on a model's last digits.
COLUMNS = {
    "question": Rules(**OFF | {"question": True}),
    "same_sql: exact": Rules(**OFF | {"same_sql": "exact"}),
    "same_sql: masked": Rules(**OFF | {"same_sql": "masked"}),
    "same_sql: specific": Rules(**OFF | {"same_sql": "specific"}),
    "near_question: 0.8": Rules(**OFF | {"near_question": 0.8}),
    "near_question: 0.6": Rules(**OFF | {"near_question": 0.6}),
    "same_database": Rules(**OFF | {"same_database": True}),
    "default": Rules(),
}


def reported(rules: Rules) -> dict[str, Any]:
    def find(rows: list[TrainingRow], test: list[TestQuestion]) -> Mapping[str, Evidence]:
        return {row.id: evidence for row, evidence in find_leaks(rows, test, rules) if evidence}

    return label_report(find)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("column", COLUMNS)
def test_the_page_shows_what_each_rule_removes(column: str) -> None:
    head, _, *lines = PAGE.partition("<!-- labelled set -->\n")[2].partition("\n\n")[0].splitlines()
    shown = {cells(line)[0]: cells(line)[cells(head).index(column)] for line in lines}
    report = reported(COLUMNS[column])
    removed = {kind: str(figures["removed"]) for kind, figures in report["by_kind"].items()}
    assert shown == removed | {key: f"{report[key]:.1f}" for key in ("precision", "recall")}


def test_the_page_names_every_kind_and_whether_it_leaks() -> None:
    page = PAGE.partition("## Leaks and look-alikes")[0]
    told = {name: leak == "yes" for name, leak in re.findall(r"^\| (\w+) \| (yes|no) \|", page, re.MULTILINE)}
    assert told == {kind: kind in LEAKS for kind in KINDS}


@pytest.mark.parametrize("profile", ["qwen3-1.7b", "bird"])
def test_the_rules_that_the_page_recommends_are_those_of_the_profiles_for_real_data(profile: str) -> None:
    given = yaml.safe_load(composed(profile))["dedupe_test"]
    rules = Rules(**{name: given[name] for name in Rules.model_fields if name in given})
    assert rules == Rules(recommended=True, same_result=True)
    told = re.findall(r"^- `(\w+): ([\w.]+)`", PAGE.partition("**Recommended**")[2], re.MULTILINE)
    assert {name: str(value).lower() for name, value in RECOMMENDED.items()} == dict(told)


def test_the_command_of_the_page_works_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = re.findall(r"^text2sql (dedupe .*)$", PAGE, re.MULTILINE)[0]
    test = [{"instruction": t.schema, "input": t.question, "output": t.gold} for t in TEST]
    train = [{"question": i.row.question, "context": i.row.ddl, "answer": i.row.sql} for i in ITEMS]
    (tmp_path / "dev_sql.json").write_text(json.dumps(test))
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, train)))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.main, command.split())
    assert result.exit_code == 0, result.output
    removed = (tmp_path / "removed.jsonl").read_text().splitlines()
    assert len(removed) == reported(COLUMNS["default"])["removed"]
