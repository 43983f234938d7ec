"""Rows of files of every kind, and files that are damaged."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from text2sql.errors import UserError
from text2sql.preparation import sources
from text2sql.preparation.sources import find_files, read_chunks

ROWS = [
    {"question": f"Tea, 'x' or \"y\" {number}? 🫖\r\nNow.", "context": "c", "answer": "a"}
    for number in range(5)
]


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """The rows in the kind of file that the suffix says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    elif path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def values(path: Path) -> list[Any]:
    return [value for chunk in read_chunks(path) for _, value in chunk.rows]


@pytest.fixture(params=[".jsonl", ".json", ".csv", ".parquet"])
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    assert values(write(tmp_path / f"rows{suffix}")) == ROWS


def test_chunks_are_numbered_and_end_at_the_end_of_the_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_ROWS", 2)
    monkeypatch.setattr(sources, "_BYTES", 150)
    path = write(tmp_path / f"rows{suffix}")
    chunks = list(read_chunks(path))
    assert [chunk.first for chunk in chunks] == [0, 2, 4]
    assert {chunk.source for chunk in chunks} == {"rows"}
    assert chunks[-1].position == path.stat().st_size


def test_the_text_of_a_row_is_its_json(tmp_path: Path, suffix: str) -> None:
    (chunk,) = read_chunks(write(tmp_path / f"rows{suffix}"))
    assert [json.loads(text) for text, _ in chunk.rows] == ROWS


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_json_list_is_read_alike_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(sources, "_BYTES", size)
    path = tmp_path / "rows.json"
    path.write_text('\ufeff [ 123 , -4.5e6,\n"a]\\"", {"b": [1, {}]}, null,[] ] \n', encoding="utf-8")
    assert values(path) == [123, -4.5e6, 'a]"', {"b": [1, {}]}, None, []]


def test_a_json_list_and_json_lines_give_the_same_values(tmp_path: Path) -> None:
    texts = ['"\\ud800"', '"\\udc00?"', '"\\ud83d\\ude00"', "NaN", "-Infinity", "1" * 30, "1.5e400", "0.1"]
    (tmp_path / "lines.jsonl").write_text("\n".join(texts))
    (tmp_path / "rows.json").write_text(f"[{','.join(texts)}]")
    (lines,), (rows,) = read_chunks(tmp_path / "lines.jsonl"), read_chunks(tmp_path / "rows.json")
    assert list(map(repr, rows.rows)) == [repr((json.dumps(value), value)) for _, value in lines.rows]


@pytest.mark.parametrize(
    "text", ["", "{}", "[1", "[1,", "[1,]", "[1 2]", "[,1]", "[1] 2", '["a', "[" * 99_999]
)
def test_a_json_file_that_is_not_one_whole_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"rows\.json: not a whole JSON list"):
        values(path)


def test_after_a_fault_no_more_of_a_json_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_BYTES", 100)
    path = tmp_path / "rows.json"
    # were the rest read, its bytes would be found not to be UTF-8
    path.write_bytes(b'[{"a": 1}, {"b": nothing}, ' + b'{"a": 1}, ' * 10_000 + b"\xff]")
    with pytest.raises(UserError, match="not a whole JSON list"):
        values(path)


def test_an_empty_json_list_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[ ]")
    assert values(tmp_path / "rows.json") == []


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}')
    assert values(tmp_path / "rows.jsonl") == [{"a": 1}, {"a": 2}]


def test_a_line_deeper_than_python_reads_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n" + "[" * 99_999)
    with pytest.raises(UserError, match="line 2: JSON is nested too deeply"):
        list(read_chunks(tmp_path / "rows.jsonl", strict=True))


def test_a_question_of_a_megabyte_is_read_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    long = [{"question": "x" * 1_000_000, "context": "c", "answer": "a"}]
    assert values(write(tmp_path / f"rows{suffix}", long)) == long


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(b'["a"] \xff')
    with pytest.raises(UserError, match="not UTF-8"):
        values(path)


def test_a_csv_file_whose_quotes_do_not_close_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('question,context,answer\na,b,c\n"a,b,c\n')
    with pytest.raises(UserError, match=r"rows\.csv, after line 2: not CSV"):
        values(tmp_path / "rows.csv")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(UserError, match="not a readable Parquet file"):
        values(tmp_path / "rows.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_mapping_to_a_column_that_a_table_does_not_have_names_what_it_has(
    tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path / f"rows{suffix}")
    with pytest.raises(UserError, match="no column nl, it has question, context, answer; fix prepare"):
        list(read_chunks(path, {"question": "nl", "schema": "context", "sql": "answer"}))


def test_only_the_columns_that_are_wanted_are_read_from_a_parquet_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", [{"nl": "q", "s": "c", "a": "x", "picture": b"\xff"}])
    (chunk,) = read_chunks(path, {"question": "nl", "schema": "s", "sql": "a"})
    assert chunk.rows[0][1] == {"nl": "q", "s": "c", "a": "x"}


def test_files_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.json", "a.jsonl", ".hidden"):
        (tmp_path / name).write_text("[]")
    assert [path.name for path in find_files(tmp_path)] == ["a.jsonl", "b.json"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "has no training file"),
        (["a.txt"], r"a\.txt: unknown kind of file, known: .jsonl, .json, .csv, .parquet"),
        (["a.csv", "a.json"], r"a\.csv and .*a\.json are both called a"),
    ],
)
def test_files_with_one_name_or_of_an_unknown_kind_are_refused(
    tmp_path: Path, names: list[str], said: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=said):
        find_files(tmp_path)
