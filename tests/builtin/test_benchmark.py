"""The built-in benchmark: its counts, slices and leaks, and that it has the same bytes every time."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.builtin import build_benchmark
from text2sql.builtin.benchmark import MAX_TEST_ROWS, TEST_MIX
from text2sql.builtin.databases import DATABASES, SEEN, UNSEEN
from text2sql.contamination.folding import fold_question, schema_signature
from text2sql.errors import UserError
from text2sql.evaluation.spider.hardness import hardness
from text2sql.files import read_json, read_jsonl
from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.prose import read_prose
from text2sql.schema.sqlite import read_sqlite
from text2sql.workstore import hash_path

SEED, TRAIN_ROWS, TEST_ROWS = 11, 1500, 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    build_benchmark(folder, SEED, TRAIN_ROWS, TEST_ROWS)
    return folder


@pytest.fixture(scope="module")
def train(folder: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(folder / "train" / "embedded.jsonl"))


@pytest.fixture(scope="module")
def test(folder: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(folder / "test" / "embedded.jsonl"))


@pytest.fixture(scope="module")
def planted(folder: Path) -> list[dict[str, Any]]:
    return read_json(folder / "planted.json")


def _path(folder: Path, db_id: str) -> Path:
    return folder / "databases" / db_id / f"{db_id}.sqlite"


def _solutions(test: list[dict[str, Any]]) -> set[tuple[str, str]]:
    ddl = {domain.id: write_ddl(domain.schema()) for domain in DATABASES}
    return {(ddl[row["db_id"]], row["gold"]) for row in test}


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build_benchmark(tmp_path, SEED, TRAIN_ROWS, TEST_ROWS)
    assert hash_path(tmp_path) == hash_path(folder)


def test_the_databases_of_training_rows_run_their_queries_and_change_nothing_else(tmp_path: Path) -> None:
    build_benchmark(tmp_path / "plain", SEED, 150, 20)
    build_benchmark(tmp_path / "raw", SEED, 150, 20, tmp_path / "databases")
    assert hash_path(tmp_path / "raw") == hash_path(tmp_path / "plain")
    by_schema = {}
    for file in sorted((tmp_path / "databases").glob("*/*.sqlite")):
        by_schema[schema_signature(read_sqlite(file))] = file
    rows = list(read_jsonl(tmp_path / "raw" / "train" / "embedded.jsonl"))
    for row in rows:
        with closing(sqlite3.connect(by_schema[schema_signature(row["context"])])) as connection:
            connection.execute(row["answer"]).fetchall()


def test_another_seed_writes_other_rows_and_other_databases(folder: Path, tmp_path: Path) -> None:
    build_benchmark(tmp_path, SEED + 1, TRAIN_ROWS, TEST_ROWS)
    names = ("train/embedded.jsonl", "test/embedded.jsonl", "databases/clinic/clinic.sqlite")
    assert all(hash_path(tmp_path / name) != hash_path(folder / name) for name in names)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_order_of_sets_does_not_matter(hash_seed: str, folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from text2sql.builtin import build_benchmark; "
        f"build_benchmark(Path(sys.argv[1]), {SEED}, {TRAIN_ROWS}, {TEST_ROWS})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    assert hash_path(tmp_path) == hash_path(folder)


def test_only_the_named_files_are_written(folder: Path) -> None:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    databases = {f"databases/{domain.id}/{domain.id}.sqlite" for domain in DATABASES}
    assert found == {
        "train/embedded.jsonl",
        "test/embedded.jsonl",
        "test_sets.json",
        "planted.json",
        *databases,
    }


def test_there_are_as_many_rows_as_asked_for(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> None:
    assert (len(train), len(test)) == (TRAIN_ROWS, TEST_ROWS)


def test_rows_have_the_shapes_of_their_hubs(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> None:
    assert {tuple(row) for row in train} == {("prompt", "context", "answer", "db_id")}
    assert {tuple(row) for row in test} == {("db_id", "question", "gold", "schema", "slice")}


def test_every_gold_query_returns_rows_on_the_written_database(
    folder: Path, test: list[dict[str, Any]]
) -> None:
    for row in test:
        db_id, _ = read_prose(row["schema"])
        with closing(sqlite3.connect(_path(folder, db_id))) as connection:
            assert connection.execute(row["gold"]).fetchall(), row["gold"]


def test_every_training_query_fits_its_schema(train: list[dict[str, Any]]) -> None:
    for row in train:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(row["context"])
            assert connection.execute(row["answer"]).description, row["answer"]


def test_the_prose_tells_the_schema_of_the_written_database(folder: Path, test: list[dict[str, Any]]) -> None:
    for row in test:
        db_id, schema = read_prose(row["schema"])
        assert db_id == row["db_id"]
        found = read_sqlite(_path(folder, db_id))
        assert write_ddl(schema, types=False) == write_ddl(found, types=False)


def test_test_questions_and_their_queries_are_distinct(test: list[dict[str, Any]]) -> None:
    assert len({fold_question(row["question"]) for row in test}) == TEST_ROWS
    assert len(_solutions(test)) == TEST_ROWS


def test_half_of_the_test_is_unseen_and_the_slice_says_so(test: list[dict[str, Any]]) -> None:
    unseen = {domain.id for domain in UNSEEN}
    slices = [row["slice"] for row in test]
    assert slices == ["unseen" if read_prose(row["schema"])[0] in unseen else "seen" for row in test]
    assert Counter(slices) == {"seen": TEST_ROWS // 2, "unseen": TEST_ROWS // 2}


def test_every_database_is_tested(test: list[dict[str, Any]]) -> None:
    tested = {read_prose(row["schema"])[0] for row in test}
    assert tested == {domain.id for domain in DATABASES}


def test_the_hardness_classes_have_their_shares(test: list[dict[str, Any]]) -> None:
    found = Counter(hardness(row["gold"]) for row in test)
    assert found == {level: TEST_ROWS * share // 100 for level, share in TEST_MIX.items()}


def test_a_fifth_of_the_test_does_not_name_some_column_word_for_word(
    test: list[dict[str, Any]],
) -> None:
    indirect = sum(not _names_every_column(row) for row in test)
    assert indirect == TEST_ROWS // 5


def _names_every_column(row: dict[str, Any]) -> bool:
    """Whether the question has the words of every column of the query except keys."""
    _, schema = read_prose(row["schema"])
    columns = {column.name for table in schema.tables for column in table.columns}
    sql = re.sub(r"'[^']*'", "", row["gold"])
    used = {word for word in re.findall(r"\w+", sql) if word in columns and not word.endswith("id")}
    asked = f" {' '.join(re.findall(r'[a-z]+', row['question'].lower()))} "
    return all(f" {name.replace('_', ' ')} " in asked for name in used)


def test_questions_are_6_to_25_words_long(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> None:
    lengths = [len(row["question"].split()) for row in test]
    lengths += [len(row["prompt"].split()) for row in train]
    assert min(lengths) >= 6 and max(lengths) <= 25


def test_half_of_the_texts_are_in_other_letters_than_in_the_database(train: list[dict[str, Any]]) -> None:
    pairs = [(row["prompt"], text) for row in train for text in _compared_texts(row["answer"])]
    other = [text for question, text in pairs if f"'{text}'" not in question]
    assert len(pairs) > len(train) / 5
    assert 0.4 < len(other) / len(pairs) < 0.6


def test_texts_differ_from_the_database_in_case_only(test: list[dict[str, Any]]) -> None:
    for row in test:
        assert all(f"'{text.lower()}'" in row["question"].lower() for text in _compared_texts(row["gold"]))


def test_other_values_are_the_same_in_the_question_and_in_the_query(test: list[dict[str, Any]]) -> None:
    for row in test:
        values = re.findall(r"LIKE '%?([^'%]*)%'|[=<>] ([\d.]+)", row["gold"].partition(" WHERE ")[2])
        assert all(text in row["question"] or number in row["question"].split() for text, number in values)


def _compared_texts(sql: str) -> list[str]:
    return re.findall(r" !?= '([^']*)'", sql)


def test_a_third_of_the_training_is_on_the_seen_databases(train: list[dict[str, Any]]) -> None:
    seen = {write_ddl(domain.schema()) for domain in SEEN}
    share = sum(row["context"] in seen for row in train) / len(train)
    assert 0.30 < share < 0.40


def test_no_training_row_is_on_an_unseen_database(train: list[dict[str, Any]]) -> None:
    unseen = {write_ddl(domain.schema()) for domain in UNSEEN}
    assert not any(row["context"] in unseen for row in train)


def test_random_schemas_share_no_table_with_the_hand_designed_databases(
    train: list[dict[str, Any]],
) -> None:
    hand_designed = {write_ddl(domain.schema()) for domain in DATABASES}
    tables = {table for domain in DATABASES for table in domain.schema().tables}
    for context in {row["context"] for row in train} - hand_designed:
        assert not tables & set(read_ddl(context).tables)


def test_as_many_leaks_are_planted_verbatim_as_reworded(planted: list[dict[str, Any]]) -> None:
    assert Counter(leak["kind"] for leak in planted) == {"verbatim": 24, "reworded": 24}


def test_no_test_question_and_no_training_row_is_planted_twice(
    planted: list[dict[str, Any]],
) -> None:
    assert len({leak["test_row"] for leak in planted}) == len(planted)
    assert len({leak["train_row"] for leak in planted}) == len(planted)


def test_planted_rows_have_the_test_query_on_its_schema(
    train: list[dict[str, Any]], test: list[dict[str, Any]], planted: list[dict[str, Any]]
) -> None:
    for leak in planted:
        row, question = train[leak["train_row"]], test[leak["test_row"]]
        assert (row["context"], row["answer"]) in _solutions([question])
        assert (row["prompt"] == question["question"]) == (leak["kind"] == "verbatim")


def test_half_of_the_reworded_leaks_differ_in_signs_only(
    train: list[dict[str, Any]], test: list[dict[str, Any]], planted: list[dict[str, Any]]
) -> None:
    reworded = [leak for leak in planted if leak["kind"] == "reworded"]
    pairs = [(train[leak["train_row"]]["prompt"], test[leak["test_row"]]["question"]) for leak in reworded]
    assert sum(fold_question(a) == fold_question(b) for a, b in pairs) == len(reworded) // 2


def test_no_other_training_row_leaks_a_test_question(
    train: list[dict[str, Any]], test: list[dict[str, Any]], planted: list[dict[str, Any]]
) -> None:
    asked, solved = {fold_question(row["question"]) for row in test}, _solutions(test)
    leaking = {
        number
        for number, row in enumerate(train)
        if fold_question(row["prompt"]) in asked or (row["context"], row["answer"]) in solved
    }
    assert leaking == {leak["train_row"] for leak in planted}


def test_a_small_benchmark_plants_fewer_leaks(tmp_path: Path) -> None:
    build_benchmark(tmp_path, seed=3, train_rows=60, test_rows=20)
    planted = read_json(tmp_path / "planted.json")
    assert Counter(leak["kind"] for leak in planted) == {"verbatim": 2, "reworded": 2}


def test_the_smallest_benchmark_has_one_row_of_each(tmp_path: Path) -> None:
    build_benchmark(tmp_path, seed=3, train_rows=1, test_rows=1)
    assert len(list(read_jsonl(tmp_path / "train" / "embedded.jsonl"))) == 1
    assert len(list(read_jsonl(tmp_path / "test" / "embedded.jsonl"))) == 1
    assert json.loads((tmp_path / "planted.json").read_text()) == []


@pytest.mark.parametrize(
    ("train_rows", "test_rows", "named"),
    [
        (0, 10, "train_rows is 0"),
        (-5, 10, "train_rows is -5"),
        (10, 0, "test_rows is 0"),
        (10, MAX_TEST_ROWS + 1, f"test_rows is {MAX_TEST_ROWS + 1}"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(
    train_rows: int, test_rows: int, named: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"{named}.*params\.yaml under fetch_data"):
        build_benchmark(tmp_path, SEED, train_rows, test_rows)
    assert not list(tmp_path.iterdir())


def test_asking_for_more_questions_than_there_are_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text2sql.builtin.benchmark.TRIES", 1)
    with pytest.raises(UserError, match=r"has no more distinct .* lower test_rows in params"):
        build_benchmark(tmp_path, SEED, 10, MAX_TEST_ROWS)
