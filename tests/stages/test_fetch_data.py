"""Stage fetch_data, on generated outside data."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from stages.fetch_data import main
from tests.small_raw import (
    DDL,
    FETCH,
    PROSE,
    QUESTIONS,
    ROWS,
    SPIDER,
    failure,
    question_line,
    read_lines,
    run_stage,
    write_database,
    write_params,
)

ROWS_FILE = "sql_create_context/train.jsonl"
SPIDER_ROWS = [
    {"question": "Names?", "query": "SELECT Name FROM Item", "db_id": "shop_2", "query_toks": []},
    {"question": "Lost?", "query": "SELECT 1", "db_id": "gone"},
    {"question": "Lost too?", "query": "SELECT 2", "db_id": "gone"},
]


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the layout of the outside data; the current folder is an empty project."""
    folder = tmp_path / "outside"
    (folder / "sql_create_context").mkdir(parents=True)
    (folder / "sql_create_context" / "train.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    write_database(
        folder / "spider" / "train_database" / "shop_2" / "shop_2.sqlite",
        "CREATE TABLE Item (Id INTEGER PRIMARY KEY, Name TEXT);",
    )
    write_database(folder / "spider" / "database" / "shop" / "shop.sqlite")
    (folder / "spider" / "train_spider.json").write_text(json.dumps(SPIDER_ROWS))
    (folder / "spider" / "dev_sql.json").write_text(json.dumps(QUESTIONS))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("TEXT2SQL_DATA", str(folder))
    write_params(Path(), fetch_data=SPIDER)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_gives_training_rows_and_the_schemas_of_their_databases(outside: Path) -> None:
    run_stage(main, **FETCH)
    copy, schemas = Path("data/raw/train/spider.json"), Path("data/raw/train_schemas/spider.json")
    assert copy.read_bytes() == (outside / "spider/train_spider.json").read_bytes()
    assert json.loads(schemas.read_text()) == {
        "shop_2": "CREATE TABLE Item (Id INTEGER PRIMARY KEY, Name TEXT);"
    }
    assert [path.name for path in schemas.parent.iterdir()] == ["spider.json"]
    assert read_lines("data/raw/train/sql_create_context.jsonl") == [ROWS[0]]


@pytest.mark.parametrize("questions", [None, 0, 5])
def test_databases_of_training_rows_come_only_where_validation_runs_questions(
    outside: Path, questions: int | None
) -> None:
    validation = None if questions is None else {"rows": 1, "every": 1, "questions": questions}
    write_params(Path(), fetch_data=SPIDER, training={"validation": validation})
    run_stage(main, **FETCH)
    found = [path for path in Path("data/train_databases").rglob("*") if path.is_file()]
    copy = Path("data/train_databases/spider/shop_2/shop_2.sqlite")
    assert sorted(found) == [Path("data/train_databases/none"), *([copy] if questions else [])]
    if questions:
        assert copy.read_bytes() == (outside / "spider/train_database/shop_2/shop_2.sqlite").read_bytes()


def test_databases_of_training_rows_come_with_descriptions_where_a_context_has_training_rows(
    outside: Path,
) -> None:
    descriptions = outside / "spider/train_database/shop_2/database_description"
    descriptions.mkdir()
    (descriptions / "Item.csv").write_text("original_column_name,column_description\nName,full\n")
    context = {"questions": "data/test", "value_hints": 5, "train": True}
    write_params(Path(), fetch_data=SPIDER, contexts={"mine": context})
    run_stage(main, **FETCH)
    folder = Path("data/train_databases/spider/shop_2")
    assert sorted(path.name for path in folder.iterdir()) == ["database_description", "shop_2.sqlite"]


def test_a_folder_gives_the_test_questions_and_their_databases(outside: Path) -> None:
    run_stage(main, **FETCH)
    assert json.loads(Path("data/raw/test_sets.json").read_text()) == ["spider_dev"]
    assert read_lines("data/raw/test/spider_dev.jsonl") == [question_line(row) for row in QUESTIONS]
    copy = Path("data/raw/databases/shop/shop.sqlite")
    assert copy.read_bytes() == (outside / "spider/database/shop/shop.sqlite").read_bytes()


def test_a_second_run_replaces_the_output_of_the_first(outside: Path) -> None:
    run_stage(main, **FETCH)
    Path("data/raw/train/stale.jsonl").write_text("{}")
    run_stage(main, **FETCH)
    assert not Path("data/raw/train/stale.jsonl").exists()
    assert sorted(path.name for path in Path("data").iterdir()) == ["raw", "train_databases"]


def test_the_users_own_files_replace_spider_train(outside: Path) -> None:
    (outside / "mine").mkdir()
    (outside / "mine/rows.csv").write_text("question,context,answer\nHow many?,CREATE TABLE t (a),SELECT 1\n")
    train(mine={"file": "mine/rows.csv"})
    run_stage(main, **FETCH)
    assert sorted(path.name for path in Path("data/raw/train").iterdir()) == ["mine.csv"]
    assert Path("data/raw/train/mine.csv").read_bytes() == (outside / "mine/rows.csv").read_bytes()
    assert not Path("data/raw/train_schemas").exists()


def test_files_of_one_name_are_told_apart_by_the_names_of_their_sources(outside: Path) -> None:
    for folder, suffix in (("a", ".v2.jsonl.gz"), ("b", ".v2.jsonl")):
        (outside / folder).mkdir()
        (outside / folder / f"rows{suffix}").write_text(folder)
    train(a={"file": "a/rows.v2.jsonl.gz"}, b={"file": "b/rows.v2.jsonl"})
    run_stage(main, **FETCH)
    assert sorted(path.name for path in Path("data/raw/train").iterdir()) == ["a.jsonl.gz", "b.jsonl"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"file": "mine/absent.csv"}, "mine/absent.csv: no such file"),
        ({"file": ROWS_FILE, "tables": "absent.json"}, "absent.json: no such file"),
        ({"file": ROWS_FILE, "tables": ROWS_FILE}, "train.jsonl: expected a list of schemas"),
        ({"file": ROWS_FILE, "databases": "absent"}, "absent: has no database ID/ID.sqlite"),
    ],
)
def test_what_a_training_source_lacks_is_named(outside: Path, source: dict[str, str], said: str) -> None:
    train(mine=source)
    assert said in failure(main, **FETCH)
    assert not list(Path("data").iterdir())


def test_the_descriptions_of_columns_come_with_their_database(outside: Path) -> None:
    for folder, name in (("train_database", "shop_2"), ("database", "shop")):
        described = outside / "spider" / folder / name / "database_description"
        described.mkdir()
        (described / "item.csv").write_text("original_column_name,column_description\nName,as sold\n")
    run_stage(main, **FETCH)
    assert Path("data/raw/databases/shop/database_description/item.csv").is_file()
    schemas = json.loads(Path("data/raw/train_schemas/spider.json").read_text())
    assert schemas["shop_2"] == ("CREATE TABLE Item (\n  Id INTEGER PRIMARY KEY,\n  Name TEXT -- as sold\n);")


def test_the_schema_of_a_database_wins_over_its_entry_in_tables_json(outside: Path) -> None:
    names = ["shop", "mall"]
    (outside / "tables.json").write_text(json.dumps([tables_entry(name) for name in names]))
    train(mine={"file": ROWS_FILE, "databases": "spider/database", "tables": "tables.json"})
    run_stage(main, **FETCH)
    assert json.loads(Path("data/raw/train_schemas/mine.json").read_text()) == {
        "mall": "CREATE TABLE item (id NUMERIC PRIMARY KEY);",
        "shop": DDL,
    }


def test_training_files_need_a_test_set(outside: Path) -> None:
    write_params(Path(), fetch_data={"train": {"mine": {"file": ROWS_FILE}}})
    assert "fetch_data: train names files, so test must name a test set" in failure(main, **FETCH)


def train(**sources: Mapping[str, str]) -> None:
    write_params(Path(), fetch_data={**SPIDER, "train": sources})


def tables_entry(db_id: str) -> dict[str, object]:
    """An entry of a tables.json: a table `item` with the key `id`."""
    return {
        "db_id": db_id,
        "table_names_original": ["item"],
        "column_names_original": [[-1, "*"], [0, "id"]],
        "column_types": ["text", "number"],
        "primary_keys": [1],
        "foreign_keys": [],
    }


def record(outside: Path, *answers: Mapping[str, object]) -> None:
    """Write answers.jsonl, and have it read."""
    (outside / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    write_params(Path(), fetch_data={**SPIDER, "recorded_schemas": "answers.jsonl"})


ANSWER = {"instruction": PROSE, "table_creating": "<sql>CREATE TABLE item (</sql>"}


def test_every_question_gets_the_schema_recorded_for_its_prose(outside: Path) -> None:
    record(outside, {"instruction": "Another.", "table_creating": "CREATE TABLE a (b);"}, ANSWER)
    run_stage(main, **FETCH)
    lines = read_lines("data/raw/test/spider_dev.jsonl")
    assert lines == [{**question_line(row), "recorded": ANSWER["table_creating"]} for row in QUESTIONS]


def test_a_question_without_a_recorded_schema_is_named(outside: Path) -> None:
    record(outside, {**ANSWER, "instruction": "Another."})
    said = failure(main, **FETCH)
    assert "dev_sql.json, row 0: " in said and "answers.jsonl has no schema for its prose" in said


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([{"instruction": PROSE}], "answers.jsonl, record 1: no text under `table_creating`"),
        ([{**ANSWER, "table_creating": "Sorry."}], "answers.jsonl, record 1: no SQL"),
        ([ANSWER, {**ANSWER, "table_creating": "<sql>x</sql>"}], "record 2: record 1 has another answer"),
    ],
)
def test_recorded_schemas_that_do_not_fit_are_named(
    outside: Path, answers: list[dict[str, object]], said: str
) -> None:
    record(outside, *answers)
    assert said in failure(main, **FETCH)
    assert not list(Path("data").iterdir())


def test_a_missing_file_of_recorded_schemas_is_named(outside: Path) -> None:
    record(outside, ANSWER)
    (outside / "answers.jsonl").unlink()
    said = failure(main, **FETCH)
    assert "answers.jsonl: no such file" in said and "set TEXT2SQL_DATA to" in said


def test_recorded_schemas_are_checked_against_their_checksum(outside: Path) -> None:
    record(outside, ANSWER)
    sums = {"answers.jsonl": "0" * 64}
    write_params(Path(), fetch_data={**SPIDER, "recorded_schemas": "answers.jsonl", "sha256": sums})
    assert sha256(outside / "answers.jsonl") in failure(main, **FETCH)


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"instruction": ["a"]}]'])
def test_test_questions_that_recorded_schemas_cannot_join_are_named(outside: Path, text: str) -> None:
    record(outside, ANSWER)
    (outside / "spider" / "dev_sql.json").write_text(text)
    assert "dev_sql.json" in failure(main, **FETCH)


def test_matching_checksums_let_the_files_in(outside: Path) -> None:
    names = ["spider/dev_sql.json", "spider/database/shop/shop.sqlite"]
    sums = {name: sha256(outside / name) for name in names}
    write_params(Path(), fetch_data={**SPIDER, "sha256": sums})
    run_stage(main, **FETCH)
    assert len(read_lines("data/raw/test/spider_dev.jsonl")) == len(QUESTIONS)


@pytest.mark.parametrize(
    "name",
    [
        "spider/train_spider.json",
        "spider/dev_sql.json",
        "spider/train_database/shop_2/shop_2.sqlite",
        "sql_create_context/train.jsonl",
        "spider/database/shop/shop.sqlite",
    ],
)
def test_a_wrong_checksum_names_file_expected_and_found(outside: Path, name: str) -> None:
    write_params(Path(), fetch_data={**SPIDER, "sha256": {name: "0" * 64}})
    said = failure(main, **FETCH)
    assert name in said and "0" * 64 in said and sha256(outside / name) in said
    assert not list(Path("data").iterdir())


def test_a_checksum_of_a_file_that_nothing_reads_is_refused(outside: Path) -> None:
    write_params(Path(), fetch_data={**SPIDER, "sha256": {"spider/typo.json": "0" * 64}})
    assert "nothing reads spider/typo.json" in failure(main, **FETCH)


def test_a_failure_leaves_the_former_output_whole(outside: Path) -> None:
    run_stage(main, **FETCH)
    before = sorted(path for path in Path("data").rglob("*"))
    (outside / "spider" / "dev_sql.json").unlink()
    failure(main, **FETCH)
    assert sorted(path for path in Path("data").rglob("*")) == before


@pytest.mark.parametrize(
    "missing",
    [
        "spider/train_spider.json",
        "spider/dev_sql.json",
        "spider/train_database",
        "spider/database",
        "sql_create_context/train.jsonl",
    ],
)
def test_a_file_that_the_folder_does_not_have_is_named(outside: Path, missing: str) -> None:
    path = outside / missing
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    said = failure(main, **FETCH)
    assert str(path) in said and "set TEXT2SQL_DATA to" in said


def test_a_missing_folder_is_named(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2SQL_DATA", "nowhere")
    assert "nowhere: no such folder; set TEXT2SQL_DATA to" in failure(main, **FETCH)


def test_the_variable_is_found_under_its_older_name_too(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT2SQL_REAL_DATA", "nowhere")
    run_stage(main, **FETCH)
    monkeypatch.setenv("TEXT2SQL_REAL_DATA", str(outside))
    monkeypatch.delenv("TEXT2SQL_DATA")
    run_stage(main, **FETCH)
    monkeypatch.delenv("TEXT2SQL_REAL_DATA")
    assert "error: TEXT2SQL_DATA is not set" in failure(main, **FETCH)


def test_a_training_database_that_does_not_open_is_named(outside: Path) -> None:
    path = outside / "spider" / "train_database" / "shop_2" / "shop_2.sqlite"
    path.write_bytes(b"no database " * 100)
    assert "shop_2.sqlite: SQLite cannot read it" in failure(main, **FETCH)


def test_generated_rows_make_a_benchmark_of_the_asked_size(outside: Path) -> None:
    size = {"train_rows": 60, "test_rows": 24}
    write_params(Path(), fetch_data=size)
    run_stage(main, **FETCH)
    assert sum(len(read_lines(path)) for path in Path("data/raw/train").iterdir()) == 60
    assert len(read_lines("data/raw/test/embedded.jsonl")) == 24
    assert Path("data/raw/planted.json").is_file()
    assert json.loads(Path("metrics/fetch_data.json").read_text()) == {}


def test_checksums_with_generated_rows_are_refused(outside: Path) -> None:
    write_params(Path(), fetch_data={"sha256": {"a": "0" * 64}})
    assert "fetch_data: sha256 must be {} where train and test name no files" in failure(main, **FETCH)


def test_recorded_schemas_with_the_generated_test_are_refused(outside: Path) -> None:
    write_params(Path(), fetch_data={"recorded_schemas": "answers.jsonl"})
    said = failure(main, **FETCH)
    assert "fetch_data: recorded_schemas must be null where test names no files" in said


# -- test sets of the user --


def use(**sets: Mapping[str, object]) -> None:
    """Have these test sets fetched, and one training file."""
    one = {"rows": {"file": ROWS_FILE}}
    write_params(Path(), fetch_data={"train": one, "test": sets})


def question(db_id: str, **more: str) -> dict[str, str]:
    return {"db_id": db_id, "question": "How many?", "query": "SELECT 1", **more}


def test_every_set_gets_its_file_and_only_databases_that_questions_name(outside: Path) -> None:
    for name in ("mall.db", "unused.sqlite", "park/park.sqlite"):
        write_database(outside / "mine" / name)
    (outside / "mine/a.json").write_text(json.dumps([question("mall"), question("park")]))
    use(a={"file": "mine/a.json", "databases": "mine"}, b={"file": "spider/dev_sql.json"})
    run_stage(main, **FETCH)
    assert json.loads(Path("data/raw/test_sets.json").read_text()) == ["a", "b"]
    lines = read_lines("data/raw/test/a.jsonl")
    assert [(line["db_id"], line["schema"], line["gold"]) for line in lines] == [
        ("mall", DDL, "SELECT 1"),
        ("park", DDL, "SELECT 1"),
    ]
    assert len(read_lines("data/raw/test/b.jsonl")) == len(QUESTIONS)
    assert files_of("data/raw/databases") == ["mall/mall.sqlite", "park/park.sqlite"]


def files_of(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_two_sets_share_a_database_with_the_same_bytes(outside: Path) -> None:
    (outside / "copy").mkdir()
    shutil.copy(outside / "spider/database/shop/shop.sqlite", outside / "copy/shop.db")
    (outside / "a.json").write_text(json.dumps([question("shop")]))
    both = {"a": {"file": "a.json", "databases": "copy"}}
    use(**both, b={"file": "a.json", "databases": "spider/database"})
    run_stage(main, **FETCH)
    assert files_of("data/raw/databases") == ["shop/shop.sqlite"]
    write_database(outside / "copy/shop.db", "CREATE TABLE other (a);")
    said = failure(main, **FETCH)
    assert "test sets a and b have different databases shop: " in said
    assert str(outside / "copy/shop.db") in said and "spider/database/shop/shop.sqlite" in said


@pytest.mark.parametrize("databases", [{}, {"databases": "spider/database"}])
def test_missing_databases_are_said_and_no_error(outside: Path, databases: dict[str, str]) -> None:
    (outside / "a.json").write_text(json.dumps([question(f"base{n}") for n in range(5)]))
    use(a={"file": "a.json", **databases})
    said = run_stage(main, **FETCH)
    assert "fetch_data: test set a lacks 5 of its 5 databases (base0, base1, base2, ...)" in said
    assert "schema" not in read_lines("data/raw/test/a.jsonl")[0]
    assert Path("data/raw/databases").is_dir(), "later stages depend on it"


def test_a_set_without_any_gold_query_is_said(outside: Path) -> None:
    (outside / "a.json").write_text(json.dumps([question("shop", query="")]))
    use(a={"file": "a.json", "databases": "spider/database"})
    assert "fetch_data: test set a has no gold query, so none is scored" in run_stage(main, **FETCH)


def test_a_broken_question_is_named_by_its_file_and_row(outside: Path) -> None:
    (outside / "a.json").write_text(json.dumps([question("shop"), question("shop", question="")]))
    use(a={"file": "a.json", "databases": "spider/database"})
    assert f"error: {outside}/a.json, row 1: has no question" in failure(main, **FETCH)
    assert not list(Path("data").iterdir())


def test_the_builtin_source_gives_training_rows_beside_a_users_test_set(outside: Path) -> None:
    (outside / "a.json").write_text(json.dumps([question("shop")]))
    sets = {"mine": {"file": "a.json", "databases": "spider/database"}}
    checksum = {"a.json": sha256(outside / "a.json")}
    size = {"train_rows": 30, "test_rows": 8, "sha256": checksum}
    write_params(Path(), fetch_data={"test": sets, **size})
    run_stage(main, **FETCH)
    assert len(read_lines("data/raw/train/embedded.jsonl")) == 30
    expected = ["databases/shop/shop.sqlite", "test/mine.jsonl", "test_sets.json", "train/embedded.jsonl"]
    assert files_of("data/raw") == expected


@pytest.mark.parametrize("name", ["a.b", "", "../a", "a b"])
def test_a_set_cannot_have_a_name_that_is_no_file_name(outside: Path, name: str) -> None:
    use(**{name: {"file": "a.json"}})
    assert "params.yaml: fetch_data.test" in failure(main, **FETCH)
