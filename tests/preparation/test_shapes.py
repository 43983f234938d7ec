"""Where the rows of public data sets have question, schema and SQL."""

from __future__ import annotations

from typing import Any

import pytest

from text2sql.preparation.rejects import Unusable
from text2sql.preparation.shapes import Fields, fields_of, split_task

DDL = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);"
TWO = "CREATE TABLE t (id INT, n DECIMAL(10, 2))\n\nCREATE TABLE u (t_id INT, x TEXT)"
PROSE = "shop contains tables such as item. Table item has columns such as id, name. id is the primary key."
ASK = "How many?"
SQL = "SELECT count(*) FROM t"
TERMINAL = "I want you to act as a SQL terminal.\n##Instruction:\n"

ROWS: list[tuple[dict[str, Any], Fields]] = [
    ({"question": ASK, "context": DDL, "answer": SQL}, Fields(ASK, DDL, SQL)),
    ({"prompt": ASK, "context": DDL, "answer": SQL}, Fields(ASK, DDL, SQL)),
    ({"sql_prompt": ASK, "sql_context": DDL, "sql": SQL, "domain": "x"}, Fields(ASK, DDL, SQL)),
    ({"question": ASK, "query": SQL, "db_id": "a"}, Fields(ASK, None, SQL, "a")),
    (
        {"question": "y", "SpiderSynQuestion": ASK, "query": SQL, "db_id": "a"},
        Fields(ASK, None, SQL, "a"),
    ),
    ({"question": ASK, "SQL": SQL, "db_id": "a", "evidence": "e"}, Fields(ASK, None, SQL, "a", "e")),
    (
        {"question": ASK, "sql": SQL, "db_id": "a", "external_knowledge": "e", "cot": "c"},
        Fields(ASK, None, SQL, "a", "e"),
    ),
    ({"question": ASK, "schema": DDL, "sql": SQL}, Fields(ASK, DDL, SQL)),
    ({"instruction": PROSE, "input": ASK, "output": SQL}, Fields(ASK, PROSE, SQL)),
    (
        {
            **{"db_id": "shop", "instruction": f"{TERMINAL}{PROSE}\n\n", "output": SQL, "history": []},
            "input": f"###Input:\n{ASK}\n\n###Response:",
        },
        Fields(ASK, PROSE, SQL, "shop"),
    ),
    (
        {"instruction": f"{TWO}\n\n-- Using valid SQLite, answer.\n\n-- {ASK}\n", "output": SQL},
        Fields(ASK, TWO, SQL),
    ),
    ({"instruction": ASK, "input": DDL, "output": SQL}, Fields(ASK, DDL, SQL)),
    (
        {"instruction": "Write SQL.", "input": f"### Schema:\n{TWO}\n### Question:\n{ASK}", "output": SQL},
        Fields(ASK, TWO, SQL),
    ),
    ({"instruction": f"Question: {ASK}\nContext: {DDL}", "output": SQL}, Fields(ASK, DDL, SQL)),
    (
        {
            "conversations": [
                {"from": "system", "value": f"You write SQL.\n{DDL}"},
                {"from": "human", "value": ASK},
                {"from": "gpt", "value": f"Sure:\n```sql\n{SQL}\n```\nDone."},
            ]
        },
        Fields(ASK, DDL, f"{SQL}\n"),
    ),
    (
        {
            "system": DDL,
            "conversations": [
                {"from": "human", "value": ASK},
                {"from": "gpt", "value": f"<think>a</think>{SQL}"},
            ],
        },
        Fields(ASK, DDL, SQL),
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": f"{TWO}\n[QUESTION]\n{ASK}\n[/QUESTION]"}],
                },
                {"role": "assistant", "content": SQL},
            ]
        },
        Fields(ASK, TWO, SQL),
    ),
]

BELOW = "Below is an instruction that describes a task, paired with an input.\n\n"
ROWS += [
    ({"instruction": ASK, "input": DDL, "response": SQL, "text": "x"}, Fields(ASK, DDL, SQL)),
    (
        {
            "input": f"{BELOW}### Instruction:\n{ASK}\n\n### Input:\n{DDL}\n\n### Response:",
            "output": SQL,
        },
        Fields(ASK, DDL, SQL),
    ),
    ({"question": ASK, "schema": DDL, "chosen": SQL, "rejected": "x"}, Fields(ASK, DDL, SQL)),
    ({"prompt": ASK, "query": SQL, "setup_sql": DDL}, Fields(ASK, DDL, SQL)),
    ({"prompt": f"{TWO}\n\nQuestion: {ASK}\n", "completion": f" {SQL}"}, Fields(ASK, TWO, f" {SQL}")),
    (
        {
            "prompt": [{"role": "user", "content": f"{DDL}\n{ASK}"}],
            "completion": [{"role": "assistant", "content": SQL}],
        },
        Fields(ASK, DDL, SQL),
    ),
    (
        {"instruction": ASK, "input": DDL, "output": f"The query:\r\n```sql\r\n{SQL}```"},
        Fields(ASK, DDL, SQL),
    ),
    ({"instruction": ASK, "input": DDL, "output": f"```sql {SQL}```"}, Fields(ASK, DDL, SQL)),
    ({"instruction": ASK, "input": DDL, "output": f"SQL Query: {SQL}"}, Fields(ASK, DDL, f" {SQL}")),
    (
        {"instruction": f"{DDL}\n\nQuestion: {ASK}\nEvidence: e is 1\nSQL:", "output": SQL},
        Fields(ASK, DDL, SQL, None, "e is 1"),
    ),
    (
        {
            "messages": [
                {"role": "system", "content": "You write SQL."},
                {"role": "user", "content": f"{DDL}\n\nList the names."},
                {"role": "assistant", "content": SQL},
            ]
        },
        Fields("List the names.", DDL, SQL),
    ),
]


@pytest.mark.parametrize(("row", "expected"), ROWS)
def test_every_public_form_is_taken_apart(row: dict[str, Any], expected: Fields) -> None:
    assert fields_of(row) == expected


def test_columns_win_over_every_known_shape() -> None:
    row = {"question": "no", "context": "no", "answer": "no", "q": ASK, "s": SQL, "d": "a", "e": "x"}
    columns = {"question": "q", "sql": "s", "db_id": "d", "evidence": "e"}
    assert fields_of(row, columns) == Fields(ASK, None, SQL, "a", "x")  # type: ignore[arg-type]
    assert fields_of({"question": ASK, "answer": SQL}, columns) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [{}, {"a": 1}, {"text": DDL}, {"messages": "no list"}, {"context": DDL}])
def test_a_row_of_unknown_form_has_no_fields(row: dict[str, Any]) -> None:
    assert fields_of(row) is None


@pytest.mark.parametrize("answers", [0, 2])
def test_a_chat_without_exactly_one_answer_is_unusable(answers: int) -> None:
    turns = [{"from": "human", "value": ASK}, *[{"from": "gpt", "value": SQL}] * answers]
    with pytest.raises(Unusable, match="chat without exactly one answer"):
        fields_of({"conversations": turns})


@pytest.mark.parametrize("damage", [None, 3, [None], ["x"], [{"role": None, "content": None}]])
def test_a_damaged_chat_is_unusable_or_without_question(damage: Any) -> None:
    row = {"messages": damage if isinstance(damage, list) else [damage]}
    with pytest.raises(Unusable):
        fields_of(row)


def test_text_in_quotes_and_brackets_does_not_end_a_schema() -> None:
    table = "CREATE TABLE t (a TEXT DEFAULT ')', \"b(\" INT, c CHECK (c IN ('x;', 'y')))"
    rows = "INSERT INTO t VALUES ('; CREATE', 1, 'x;');"
    assert split_task("", f"{table};\n{rows}\n\n{ASK}") == (ASK, f"{table};\n{rows}", None)


def test_a_question_before_the_schema_is_found() -> None:
    assert split_task("", f"{ASK}\n\n{TWO}") == (ASK, TWO, None)


def test_a_task_without_schema_has_a_question_only() -> None:
    assert split_task("Answer in SQL.", ASK) == (ASK, "", None)


TASKS = [
    f"{DDL}\n/*\n3 rows from t:\nid\tname\n1\ta\n*/\n\nQuestion: {ASK}\nSQLQuery:",
    f"{DDL}\n\n/* {ASK} */",
    f"### Database Schema\n```sql\n{DDL}\n```\n\n### Question\n{ASK}\n\n### SQL\n",
    f"Given the <USER_QUERY> and the <SCHEMA>, write SQL.\n<SCHEMA>\n{DDL}\n</SCHEMA>\n<USER_QUERY>\n{ASK}\n"
    "</USER_QUERY>",
    f"### Task\nAnswer [QUESTION]{ASK}[/QUESTION]\n\n### Schema\n{DDL}\n\n### Answer\nThe query that answers "
    f"[QUESTION]{ASK}[/QUESTION] is\n[SQL]\n",
    f"Question: {ASK}\nTables: {DDL}",
    f"<s>[INST] {DDL}\n\n{ASK} [/INST]",
    f"Do not create table statements.\n{DDL}\nQuestion: {ASK}\n\nInstructions:\n- Only SQL.\n",
    f"CREATE TABLE u (x INT)\nQuestion: No?\nSQL: SELECT x FROM u\n\n{DDL}\nQuestion: {ASK}\nSQL:",
]


@pytest.mark.parametrize("task", TASKS)
def test_question_and_schema_of_usual_prompts_are_found(task: str) -> None:
    question, schema, _ = split_task("", task)
    rows = "\n/*\n3 rows from t:\nid\tname\n1\ta\n*/"  # a comment behind a table stays with it
    assert (question, schema.removesuffix(rows)) == (ASK, DDL)


def test_tables_under_headings_are_one_schema() -> None:
    tables = "Table t:\nCREATE TABLE t (id INT)\n\nTable u:\n-- of two\n-- lines\nCREATE TABLE u (id INT)"
    schema = "CREATE TABLE t (id INT)\nCREATE TABLE u (id INT)"
    assert split_task("Write SQL.", f"{tables}\n\n{ASK}") == (ASK, schema, None)


def test_a_question_that_begins_like_a_statement_is_no_schema() -> None:
    assert split_task("Create table report: how many?", DDL) == ("Create table report: how many?", DDL, None)
