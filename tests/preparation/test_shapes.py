"""Where the rows of public data sets have question, schema and SQL."""

from __future__ import annotations

from typing import Any

import pytest

from text2sql.preparation.rejects import Unusable
from text2sql.preparation.shapes import Fields, fields_of, split_task, sql_of

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
    assert split_task("", f"{table};\n{rows}\n\n{ASK}") == (ASK, f"{table};\n{rows}")


def test_a_question_before_the_schema_is_found() -> None:
    assert split_task("", f"{ASK}\n\n{TWO}") == (ASK, TWO)


def test_a_task_without_schema_has_a_question_only() -> None:
    assert split_task("Answer in SQL.", ASK) == (ASK, "")


SCHEMA_FIRST = (
    f"Database Schema:\n{TWO}\nThis schema describes the tables.\n\nQuestion:\n{ASK}\n\nInstructions:\n- x"
)


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        ("You are an SQL expert.", f"{ASK}\n\n{TWO}"),
        ("You are an SQL expert.", f"{TWO}\n\n{ASK}"),
        (
            "You are an SQL expert.",
            f"### Task\nWrite SQL for the following question: {ASK}\n\n### Tables\n{TWO}",
        ),
        (f"Answer [QUESTION]{ASK}[/QUESTION]\n\n### Schema\n{TWO}\n\n### Answer\n[SQL]", ""),
        ("", SCHEMA_FIRST),
        (ASK, f"These are the tables:\n{TWO}"),
        (f"You write SQL on\n{TWO}", ASK),
        ("", f"{TWO}\n\n-- Using valid SQLite, answer these.\n\n-- How\n-- many?\n\nSELECT"),
        ("", f"{TWO}\n\n-- Using valid SQLite, answer these.\n\n-- How many?\n\n"),
    ],
)
def test_the_question_is_found_beside_other_text(instruction: str, text: str) -> None:
    assert split_task(instruction, text) == (ASK, TWO)


def test_prose_ends_with_its_paragraph() -> None:
    assert split_task("", f"{PROSE}\n\n{ASK}") == (ASK, PROSE)


@pytest.mark.parametrize("key", ["schema", "context"])
@pytest.mark.parametrize("sql", ["sql", "SQL", "query", "answer"])
@pytest.mark.parametrize("evidence", ["evidence", "external_knowledge"])
def test_schema_and_evidence_are_found_beside_every_pair_of_question_and_sql(
    key: str, sql: str, evidence: str
) -> None:
    row = {"question": ASK, sql: SQL, key: DDL, evidence: "e", "db_id": "a"}
    assert fields_of(row) == Fields(ASK, DDL, SQL, "a", "e")


def test_other_names_of_the_parts_of_a_task_are_known() -> None:
    assert fields_of({"instruction": ASK, "input": DDL, "response": SQL}) == Fields(ASK, DDL, SQL)
    assert fields_of({"prompt": f"{DDL}\n\n{ASK}", "completion": SQL}) == Fields(ASK, DDL, SQL)


def test_an_answer_goes_on_where_its_instruction_ends() -> None:
    row = {"instruction": f"{TWO}\n\n-- {ASK}\nSELECT", "output": " count(*) FROM t"}
    assert fields_of(row) == Fields(ASK, TWO, SQL)
    assert fields_of({**row, "output": SQL}) == Fields(ASK, TWO, SQL)


@pytest.mark.parametrize(
    "answer",
    [
        SQL,
        f"```sql\n{SQL}```",
        f"```{SQL}```",
        f"So:\n```sql\n{SQL}```\nIt gives\n```\n3\n```",
        f"The query is:\n{SQL};\nIt counts.",
        f"SQL: {SQL}",
        f"<think>```sql\nSELECT 1\n```</think>{SQL}",
    ],
)
def test_the_query_in_an_answer_is_found(answer: str) -> None:
    assert sql_of(answer) == SQL


def test_an_answer_without_a_query_is_left_as_it_is() -> None:
    assert sql_of("DROP TABLE t") == "DROP TABLE t"


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
    question, schema = split_task("", task)
    rows = "\n/*\n3 rows from t:\nid\tname\n1\ta\n*/"  # a comment behind a table stays with it
    assert (question, schema.removesuffix(rows)) == (ASK, DDL)


def test_tables_under_headings_are_one_schema() -> None:
    tables = "Table t:\nCREATE TABLE t (id INT)\n\nTable u:\n-- of two\n-- lines\nCREATE TABLE u (id INT)"
    schema = "CREATE TABLE t (id INT)\nCREATE TABLE u (id INT)"
    assert split_task("Write SQL.", f"{tables}\n\n{ASK}") == (ASK, schema)


def test_a_question_that_begins_like_a_statement_is_no_schema() -> None:
    assert split_task("Create table report: how many?", DDL) == ("Create table report: how many?", DDL)


ROWS_OF_HUB = [
    ({"question": ASK, "schema": DDL, "chosen": SQL, "rejected": "x"}, Fields(ASK, DDL, SQL)),
    ({"prompt": ASK, "query": SQL, "setup_sql": DDL}, Fields(ASK, DDL, SQL)),
    ({"prompt": f"{DDL}\n\n{ASK}", "response": SQL}, Fields(ASK, DDL, SQL)),
    (
        {
            "input": f"Write SQL.\n\n### Instruction:\n{ASK}\n\n### Input:\n{DDL}\n\n### Response:",
            "output": SQL,
        },
        Fields(ASK, DDL, SQL),
    ),
    (
        {
            "prompt": [{"role": "user", "content": f"{DDL}\n{ASK}"}],
            "completion": [{"role": "assistant", "content": SQL}],
        },
        Fields(ASK, DDL, SQL),
    ),
]


@pytest.mark.parametrize(("row", "expected"), ROWS_OF_HUB)
def test_forms_of_the_hub_are_taken_apart(row: dict[str, Any], expected: Fields) -> None:
    assert fields_of(row) == expected


def test_evidence_under_a_label_is_found_in_instructions_and_chats() -> None:
    text = f"Schema:\n{DDL}\nExternal Knowledge: many means more than 3\nQuestion: {ASK}"
    expected = Fields(ASK, DDL, SQL, None, "many means more than 3")
    assert fields_of({"instruction": text, "input": "", "output": SQL}) == expected
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": SQL}]
    assert fields_of({"messages": turns}) == expected
