"""Rows of files of every kind, encoding and compression, and files that are damaged."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from text2sql.errors import UserError
from text2sql.preparation import sources
from text2sql.preparation.sources import BadLine, find_files, read_chunks, source_name

ROWS = [
    {"question": f"Tea, 'x' or \"y\" {number}? 🫖\r\nNow.", "context": "c", "answer": "a"}
    for number in range(5)
]
WESTERN = [{"question": f"Où est « Käse {number} »?", "context": "c", "answer": "a"} for number in range(5)]
TEXTS = [".jsonl", ".json", ".csv", ".tsv"]
COMPRESSED = [f"{kind}{compression}" for kind in TEXTS for compression in (".gz", ".zst")]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def write(path: Path, rows: list[dict[str, Any]] = ROWS, encoding: str = "utf-8") -> Path:
    """The rows in the kind of file that the suffixes say."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    compressed = path.suffix in (".gz", ".zst")
    text = text_of(Path(path.stem).suffix if compressed else path.suffix, rows)
    path.write_bytes(packed(text.encode(encoding), path.suffix))
    return path


def text_of(kind: str, rows: list[dict[str, Any]]) -> str:
    if kind == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if kind == ".json":
        return json.dumps(rows, indent=1, ensure_ascii=False)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == ".tsv" else ",")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def packed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    return bytes(pyarrow.compress(data, codec="zstd", asbytes=True)) if suffix == ".zst" else data


def values(path: Path, encoding: str | None = None) -> list[Any]:
    return [value for chunk in read_chunks(path, encoding=encoding) for _, value in chunk.rows]


def bad_lines(path: Path) -> list[tuple[int, str, str]]:
    """Row, reason and detail of the lines that cannot be read."""
    rows = [(chunk.first + at, row[1]) for chunk in read_chunks(path) for at, row in enumerate(chunk.rows)]
    return [(row, value.reason, value.detail) for row, value in rows if isinstance(value, BadLine)]


def error_of(path: Path, encoding: str | None = None, strict: bool = False) -> str:
    with pytest.raises(UserError) as caught:
        list(read_chunks(path, encoding=encoding, strict=strict))
    return str(caught.value)


@pytest.fixture(params=[*TEXTS, ".parquet", *COMPRESSED])
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    assert values(write(tmp_path / f"rows{suffix}")) == ROWS


def test_chunks_are_numbered_and_end_at_the_end_of_the_file(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_ROWS", 2)
    monkeypatch.setattr(sources, "_BYTES", 100)
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
    "text", ["", "{}", "[1", "[1,", "[1,]", "[1 2]", "[,1]", "[1] 2", "[1]\n[2]", '["a', "[" * 99_999]
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
        (["a.jsonl.bz2"], r"a\.jsonl\.bz2: unknown kind of file, .* all but .parquet also with .gz or .zst"),
        (["a.gz"], "unknown kind of file"),
        (["a.parquet.gz"], "unknown kind of file"),
        (["a.csv", "a.json"], r"a\.csv and .*a\.json are both called a"),
        (["a.csv", "a.jsonl.gz"], r"a\.csv and .*a\.jsonl\.gz are both called a"),
        (["a.tsv.gz", "a.tsv.zst"], r"a\.tsv\.gz and .*a\.tsv\.zst are both called a"),
    ],
)
def test_files_with_one_name_or_of_an_unknown_kind_are_refused(
    tmp_path: Path, names: list[str], said: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=said):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.jsonl", "a"),
        ("a.b.csv.zst", "a.b"),
        ("a.json.gz", "a"),
        ("a.jsonl.parquet", "a.jsonl"),
        ("A.JSONL.GZ", "A"),
    ],
)
def test_a_source_is_called_as_its_file_without_the_suffixes_of_kind_and_compression(
    name: str, source: str
) -> None:
    assert source_name(Path("folder.gz") / name) == source


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv.gz").rename(tmp_path / "ROWS.CSV.GZ")
    assert find_files(tmp_path) == [path]
    assert values(path) == ROWS


# -- encodings --


@pytest.mark.parametrize("suffix", [*TEXTS, *COMPRESSED])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        ("", "utf-8"),
        ("\ufeff", "utf-8"),
        ("\ufeff", "utf-16-le"),
        ("\ufeff", "utf-16-be"),
        ("", "utf-16-le"),
        ("", "utf-16-be"),
        ("\ufeff", "utf-32-le"),
    ],
)
def test_unicode_in_every_encoding_is_recognised(
    tmp_path: Path, suffix: str, mark: str, encoding: str
) -> None:
    path = tmp_path / f"rows{suffix}"
    kind, compression = (suffix, "") if suffix in TEXTS else (path.stem[4:], path.suffix)
    path.write_bytes(packed(f"{mark}{text_of(kind, ROWS)}".encode(encoding), compression))
    assert values(path) == ROWS


@pytest.mark.parametrize("suffix", [*TEXTS, ".jsonl.gz", ".csv.zst"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ISO-8859-15", "gb18030", "utf-16-le", "cp500"])
def test_other_encodings_are_read_by_their_names(tmp_path: Path, suffix: str, encoding: str) -> None:
    rows = ROWS if encoding in ("gb18030", "utf-16-le") else WESTERN
    assert values(write(tmp_path / f"rows{suffix}", rows, encoding), encoding) == rows


@pytest.mark.parametrize("name", ["utf-16", "utf-32", "U16"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_a_unicode_encoding_that_is_named_needs_no_byte_order_mark(
    tmp_path: Path, name: str, order: str
) -> None:
    codec = codecs.lookup(name).name
    assert values(write(tmp_path / "rows.csv", ROWS, f"{codec}-{order}"), name) == ROWS


def test_a_byte_order_mark_counts_more_than_the_name(tmp_path: Path) -> None:
    assert values(write(tmp_path / "rows.csv", ROWS, "utf-8-sig"), "latin-1") == ROWS


@pytest.mark.parametrize("name", ["latin1x", "", "hex", "idna", "a\0b"])
def test_an_unknown_encoding_names_the_line_of_the_settings(tmp_path: Path, name: str) -> None:
    said = error_of(write(tmp_path / "rows.csv.gz"), name)
    assert said.startswith("params.yaml, prepare.sources.rows.encoding: Python knows no encoding")


def test_an_encoding_of_a_parquet_file_is_refused(tmp_path: Path) -> None:
    assert "is Parquet" in error_of(write(tmp_path / "rows.parquet"), "latin-1")


@pytest.mark.parametrize(
    ("suffix", "place"),
    [
        (".csv", "line 2, character 27 of the file: byte 0xf9"),
        (".tsv.gz", "line 2, character 27 of the file: byte 0xf9"),
        (".json", "line 3, character 22 of the file: byte 0xf9"),
    ],
)
def test_a_table_that_is_not_utf8_is_refused_with_its_line_and_what_to_add(
    tmp_path: Path, suffix: str, place: str
) -> None:
    path = write(tmp_path / f"rows{suffix}", WESTERN, "latin-1")
    said = error_of(path)
    assert said.startswith(f"{path}: not UTF-8 at {place}; to read it as Latin-1, set ")
    assert "prepare.sources.rows.encoding: latin-1 in params.yaml" in said
    assert values(path, "latin-1") == WESTERN


def test_the_quotes_of_windows_lead_to_cp1252(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [{"question": "“Wer?”", "context": "é", "answer": "a"}], "cp1252")
    assert "prepare.sources.rows.encoding: cp1252" in error_of(path)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize(
    "data",
    [f"{'ü' * 9} ".encode() + b"\xff", b"\x00\x01\x02\xff", b"\x81\x93"],
    ids=["utf8", "binary", "dos"],
)
def test_latin1_is_not_proposed_for_text_that_is_not_latin1(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(b'["a,b,c",\n"' + data + b'"]')
    said = error_of(path)
    assert "not UTF-8 at line 2" in said and "encoding" not in said and "dvc repro fetch_data" in said


def test_a_wrong_encoding_is_named_with_the_setting_to_fix(tmp_path: Path) -> None:
    said = error_of(write(tmp_path / "rows.csv", WESTERN), "ascii")
    assert "not ASCII at line 2" in said and "params.yaml, prepare.sources.rows.encoding" in said


def test_outside_the_pipeline_the_way_out_is_another_file(tmp_path: Path) -> None:
    said = error_of(write(tmp_path / "rows.json", WESTERN, "latin-1"), strict=True)
    assert "iconv -f latin-1 -t utf-8" in said and "params.yaml" not in said


# -- lines that cannot be read --


def test_a_bad_line_costs_one_row_and_the_others_keep_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_BYTES", 20)
    lines = [
        b"{}",
        b"",
        b'{"a": 1',
        "{'é': \"\"}".encode("latin-1"),
        b"[" * 99_999,
        b'"\xc3\xbc \xff"',
        b"{}",
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    assert bad_lines(path) == [
        (1, "not JSON", "line 3: Expecting ',' delimiter"),
        (
            2,
            "not UTF-8",
            "line 4: byte 0xe9; to read it as Latin-1, set prepare.sources.rows.encoding: latin-1 in "
            "params.yaml; or name the encoding that it has",
        ),
        (3, "JSON is nested too deeply", "line 5"),
        (4, "not UTF-8", bad_lines(path)[3][2]),
    ]
    assert bad_lines(path)[3][2].startswith("line 6: byte 0xff")
    assert values(path)[0] == values(path)[5] == {}


def test_a_number_longer_than_python_reads_is_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n" + "1" * 5000)
    ((row, reason, detail),) = bad_lines(path)
    assert (row, reason) == (1, "not JSON") and "4300 digits" in detail


def test_a_damaged_line_of_utf16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes("\ufeff{}\n".encode("utf-16-le") + '"x"'.encode("utf-16-le") + b"\x00\xd8\n\x00")
    assert bad_lines(path) == [(1, "not UTF-16", "line 2: byte 0x00")]


def test_the_text_of_a_bad_line_is_short_and_printable(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{}\n{"a\x00\x1b\xff": ' + b"x" * 5000)
    ((_, (text, value)),) = (chunk.rows for chunk in read_chunks(path))
    assert isinstance(value, BadLine)
    assert text.startswith(r'{"a\x00\x1b\xff": xxx') and len(text) < 1100 and text.isprintable()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": 1', r"rows\.jsonl, line 3: not JSON \(Expecting ',' delimiter\); fix it, or fetch"),
        (
            b'{"\xe9": 1}',
            r"rows\.jsonl, line 3: not UTF-8 \(byte 0xe9\); if it is Latin-1, convert it: iconv",
        ),
        (b"[" * 99_999, r"rows\.jsonl, line 3: JSON is nested too deeply; fix it, or fetch"),
    ],
)
def test_a_bad_line_is_an_error_if_asked(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n\n" + line)
    with pytest.raises(UserError, match=said):
        list(read_chunks(path, strict=True))


# -- files that are not what their names say --


@pytest.mark.parametrize("indent", [None, 0, 1])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst"])
def test_a_list_of_objects_that_is_called_jsonl_is_read_as_a_list(
    tmp_path: Path, suffix: str, indent: int | None
) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(packed(f"\n{json.dumps(ROWS, indent=indent)}\n".encode(), path.suffix))
    assert values(path) == ROWS


def test_lines_that_are_lists_are_lines(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('[{"a": 1}]\n[{"a": 2}]\n')
    assert values(tmp_path / "rows.jsonl") == [[{"a": 1}], [{"a": 2}]]


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_json_lines_that_are_called_json_are_read_as_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(packed(f"{text_of('.jsonl', ROWS)}\nno\n".encode(), path.suffix))
    *good, bad = values(path)
    assert good == ROWS and bad == BadLine("not JSON", "line 7: Expecting value")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "rest", [{}, {"version": 1.5}, {"tags": ["a", []], "splits": {"train": [{"a": 1}]}, "none": None}]
)
def test_the_one_list_of_objects_in_an_object_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: dict[str, Any], indent: int | None, size: int
) -> None:
    monkeypatch.setattr(sources, "_BYTES", size)
    path = tmp_path / "rows.json"
    for top in ({"data": ROWS, **rest}, {**rest, "train": ROWS}):
        path.write_text(json.dumps(top, indent=indent))
        assert values(path) == ROWS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"train": [{}],\n"dev": [{}]}', r"line 2: two lists of objects, 'train' and 'dev'"),
        (
            '{"question": "a", "sql": ["b"]}',
            "line 1: an object that has no list of objects under question, sql",
        ),
        ("{}", "no list of objects under any key"),
        ('{"data": [{}]', "expected ,"),
        ('{"data": [{}],}', "a value is missing"),
        ('{"data": [{}], 1: 2}', 'expected "'),
        ('{"data" [{}]}', "expected :"),
        ('{"data": [{}]} {"data": [{}]}', "text after the list"),
        ("[{},\n\n\n{},\n no]", "line 5: Expecting value"),
    ],
)
def test_an_object_without_one_list_of_objects_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    assert said in error_of(tmp_path / "rows.json")


def test_the_line_of_a_fault_is_counted_over_all_that_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_BYTES", 50)
    (tmp_path / "rows.json").write_text("[" + '{"a": 1},\n' * 999 + "no]")
    assert "not a whole JSON list (line 1000: Expecting value)" in error_of(tmp_path / "rows.json")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (POINTER, "is a git-lfs pointer, not the file itself; fetch that: git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "is a web page"),
        (b"<html lang=en>", "is a web page"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>', "is an XML file"),
        (b"PK\x03\x04\x14\x00", "is a ZIP archive"),
        (b"SQLite format 3\x00", "is an SQLite database"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"BZh91AY&SY", "is compressed with bzip2"),
        (b"\xfd7zXZ\x00", "is compressed with xz"),
    ],
)
def test_another_kind_of_file_is_called_by_its_name(
    tmp_path: Path, suffix: str, data: bytes, said: str
) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(data)
    assert error_of(path).startswith(f"{path}: {said}")
    if suffix in COMPRESSED:
        path.write_bytes(packed(data, path.suffix))
        assert error_of(path).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("made", "called", "said"),
    [
        ("a.jsonl.gz", "a.jsonl", "is compressed with gzip; add .gz to its name"),
        ("a.csv.zst", "a.csv", "is compressed with zstd; add .zst to its name"),
        ("a.parquet", "a.json", "is a Parquet file; let its name end in .parquet"),
    ],
)
def test_a_file_without_its_suffix_is_called_by_its_name(
    tmp_path: Path, made: str, called: str, said: str
) -> None:
    path = write(tmp_path / made).rename(tmp_path / called)
    assert error_of(path) == f"{path}: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{'question': 'a'}\n", "it looks like dicts as Python prints them; write them with json.dumps"),
        (
            '{\n "a": 1\n}\n{\n "a": 2\n}\n',
            "it looks like JSON over several lines; bring each row to one line",
        ),
        ("question,sql\na,b\n", "it looks like a table; let its name end in .csv"),
        ("question\tsql, or none\n", "it looks like a table; let its name end in .tsv"),
        ("Hello\nworld\n", "it is another kind of file, or damaged"),
    ],
)
def test_a_file_without_a_line_of_json_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    found = error_of(path)
    assert found.startswith(f"{path}: no line of it can be read, the first is not JSON (line 1: ")
    assert said in found


def test_lines_of_which_none_is_utf8_lead_to_latin1(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", WESTERN, "latin-1")
    said = error_of(path)
    assert "no line of it can be read, the first is not UTF-8 (line 1: byte 0xf9" in said
    assert "prepare.sources.rows.encoding: latin-1 in params.yaml" in said
    assert values(path, "latin-1") == WESTERN


# -- files that are empty or damaged --


def test_an_empty_file_is_refused_with_the_next_command(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    for data in (b"", packed(b"", path.suffix)):
        path.write_bytes(data)
        said = error_of(path)
        assert str(path) in said and "dvc repro fetch_data" in said


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".json"])
def test_a_file_of_blank_lines_is_empty(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"rows{suffix}").write_text("\n \n\n" if suffix in (".jsonl", ".json") else "\n\n")
    assert "is empty" in error_of(tmp_path / f"rows{suffix}")


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("fault", ["cut off", "header only", "changed", "not compressed"])
def test_a_damaged_compressed_file_is_named(tmp_path: Path, suffix: str, fault: str) -> None:
    rng = random.Random(1)
    rows = [{"question": rng.randbytes(500).hex(), "context": "c", "answer": "a"} for _ in range(500)]
    path = write(tmp_path / f"rows{suffix}", rows)
    data = path.read_bytes()
    faulty = {
        "cut off": data[:-9],
        "header only": data[:4],
        "changed": data[:4] + bytes(255 - byte for byte in data[4:60]) + data[60:],
        "not compressed": text_of(".csv", rows).encode(),
    }
    path.write_bytes(faulty[fault])
    said = error_of(path)
    assert said.startswith(f"{path}: ") and said.endswith("dvc repro fetch_data")
    assert "damaged or cut off" in said


def test_a_parquet_file_that_is_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", ROWS * 1000)
    data = bytearray(path.read_bytes())
    data[20:60] = b"\xff" * 40
    path.write_bytes(data)
    said = error_of(path)
    assert said.startswith(f"{path}: not a readable Parquet file") and said.endswith("dvc repro fetch_data")


def test_changed_bytes_give_rows_or_an_error_that_names_the_file(tmp_path: Path, suffix: str) -> None:
    rng = random.Random(suffix)
    path = write(tmp_path / f"rows{suffix}", ROWS * 20)
    good = path.read_bytes()
    for _ in range(30):
        data = bytearray(good)
        for _ in range(rng.choice([1, 3, 30])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
        try:
            for chunk in read_chunks(path):
                "".join(text for text, _ in chunk.rows).encode()
        except UserError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("kind", [*TEXTS, ".jsonl.gz", ".json.zst"])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sources, "_BYTES", 1 << 16)
    monkeypatch.setattr(sources, "_ROWS", 10)
    row = {"question": "x" * 9000, "context": "c", "answer": "a"}
    peaks = []
    for copies in (100, 800):
        path = write(tmp_path / f"rows{copies}{kind}", [row] * copies)
        tracemalloc.start()
        assert sum(len(chunk.rows) for chunk in read_chunks(path)) == copies
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 500_000  # the longer file is 6 MB longer
