"""Recorded schemas are read unchanged, and a file in another form is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.schema.recorded import read_recorded, recorded_ddl

TABLE = "CREATE TABLE item (id INT, name TEXT);"
RECORD = {"instruction": "shop contains tables such as item.", "table_creating": f"<sql>\n{TABLE}\n</sql>"}


def write(folder: Path, *records: Any) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize(
    ("answer", "ddl"),
    [
        (f"<sql>\n{TABLE}\n</sql>", TABLE),
        (f"Here it is:\n<SQL>{TABLE}</SQL> Enjoy!", TABLE),
        ("<sql>-- items\nCREATE  TABLE 1item (\n</sql>", "-- items\nCREATE  TABLE 1item ("),
        (f"<sql>{TABLE}\n\nCREATE INDEX i ON item (id);</sql>", f"{TABLE}\n\nCREATE INDEX i ON item (id);"),
        (f"<sql>{TABLE}</sql> and <sql>CREATE TABLE b (x);</sql>", f"{TABLE}\nCREATE TABLE b (x);"),
        (f"Here it is:\n```sql\n{TABLE}\n```", TABLE),
        (f"<sql>\n{TABLE}", TABLE),
        ("<sql> </sql>", ""),
        ("I cannot.", ""),
    ],
)
def test_the_text_between_the_marks_is_taken_as_it_is(answer: str, ddl: str) -> None:
    assert recorded_ddl(answer) == ddl


def test_answers_are_found_by_their_prose(tmp_path: Path) -> None:
    other = {**RECORD, "instruction": "Another.", "idx": 7}
    found = read_recorded(write(tmp_path, RECORD, other, RECORD))
    assert found == {RECORD["instruction"]: RECORD["table_creating"], "Another.": RECORD["table_creating"]}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"table_creating": TABLE}, "record 2: no text under `instruction`"),
        ({"instruction": "Another."}, "record 2: no text under `table_creating`"),
        ({**RECORD, "table_creating": ["x"]}, "record 2: no text under `table_creating`"),
        ({**RECORD, "table_creating": "I cannot."}, "record 2: no SQL under `table_creating`"),
        ({**RECORD, "table_creating": TABLE}, "record 2: record 1 has another answer to the same prose"),
        ([], "line 2: expected a JSON object"),
    ],
)
def test_a_record_that_does_not_fit_is_named(tmp_path: Path, record: object, said: str) -> None:
    path = write(tmp_path, RECORD, record)
    with pytest.raises(UserError) as error:
        read_recorded(path)
    assert str(error.value).startswith(str(path)) and said in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"answers.jsonl: no such file"):
        read_recorded(tmp_path / "answers.jsonl")
