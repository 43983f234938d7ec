"""Files of gold queries and predictions in every form, and which of their rows belong together."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.inputs.cases import FieldNames, read_cases
from text2sql.evaluation.inputs.text import STDIN
from text2sql.evaluation.verdicts import Case

GOLD = "SELECT 1\ta\nSELECT 2\tb\n"
PRED = "SELECT 3\nSELECT 4\n"
CASES = [Case(0, "a", "SELECT 1", "SELECT 3"), Case(1, "b", "SELECT 2", "SELECT 4")]
SPIDER = [
    {"db_id": "a", "query": "SELECT 1", "question": "?", "sql": {"select": [], "limit": None}},
    {"db_id": "b", "query": "SELECT 2", "question": "?", "sql": {"select": [], "limit": None}},
]
BIRD = [
    {"question_id": 7, "db_id": "a", "question": "?", "SQL": "SELECT 1", "difficulty": "simple"},
    {"question_id": 0, "db_id": "b", "question": "?", "SQL": "SELECT 2", "difficulty": "challenging"},
]
MARK = "\t----- bird -----\t"


def json_lines(rows: Iterable[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class Files:
    """A gold file and a file of predictions in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gold, self.pred = folder, folder / "gold.txt", folder / "pred.sql"
        self.write(gold=GOLD, pred=PRED)

    def write(self, names: tuple[str, str] = ("", ""), **texts: str | bytes) -> Files:
        """Write the files `gold` and `pred`, with `names` that are not empty."""
        self.gold = self.folder / names[0] if names[0] else self.gold
        self.pred = self.folder / names[1] if names[1] else self.pred
        for role, text in texts.items():
            path = getattr(self, role)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self

    def cases(self, *fields: str) -> list[Case]:
        return read_cases(self.gold, self.pred, FieldNames.chosen(fields))

    def error(self, *fields: str) -> str:
        with pytest.raises(UserError) as caught:
            self.cases(*fields)
        return str(caught.value).replace(f"{self.folder}/", "")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def queries(cases: Iterable[Case]) -> list[tuple[str, str, str]]:
    return [(case.db_id, case.gold, case.predicted) for case in cases]


# -- lines --


def test_lines_are_paired_by_position(files: Files) -> None:
    assert files.cases() == CASES


def test_the_prediction_ends_at_the_first_tab(files: Files) -> None:
    files.write(pred="  SELECT 3\tconcert\n\tSELECT 4  \n")
    assert files.cases() == CASES


def test_a_blank_line_is_an_empty_prediction(files: Files) -> None:
    files.write(pred="\nSELECT 4\n")
    assert [case.predicted for case in files.cases()] == ["", "SELECT 4"]


def test_a_blank_line_at_the_end_is_an_empty_prediction_if_one_is_wanted(files: Files) -> None:
    files.write(pred="SELECT 3\n\n")
    assert [case.predicted for case in files.cases()] == ["SELECT 3", ""]


def test_further_blank_lines_at_the_end_do_not_count(files: Files) -> None:
    files.write(gold=GOLD + "\n\n", pred=PRED + "\n\n\n")
    assert files.cases() == CASES


def test_sessions_are_read_through(files: Files) -> None:
    files.write(gold="SELECT 1\ta\n\nSELECT 2\tb\n", pred="SELECT 3\n\nSELECT 4\n")
    assert files.cases() == CASES


def test_sessions_that_differ_are_named(files: Files) -> None:
    files.write(gold="SELECT 1\ta\n\nSELECT 2\tb\n", pred="SELECT 3\nSELECT 4\nSELECT 5\n")
    assert "pred.sql, line 2: not blank, but" in files.error()


def test_lines_may_end_in_any_way(files: Files) -> None:
    for end in ("\r\n", "\r"):
        files.write(gold=GOLD.replace("\n", end), pred=PRED.replace("\n", end))
        assert files.cases() == CASES


def test_lines_are_not_split_at_other_separators(files: Files) -> None:
    files.write(pred="SELECT '\u2028\x0b'\nSELECT 4\n")
    assert files.cases()[0].predicted == "SELECT '\u2028\x0b'"


@pytest.mark.parametrize("line", ["SELECT 1 concert", "SELECT\t1\tconcert"])
def test_a_gold_line_without_exactly_one_tab_is_named(files: Files, line: str) -> None:
    files.write(gold="SELECT 1\tconcert\n" + line)
    assert "gold.txt, line 2" in files.error()
    assert "its SQL, a tab, its db_id" in files.error()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("SELECT 1\n", ("pred.sql", "1 lines", "gold.txt has more", "one prediction per line")),
        ("", ("pred.sql", "0 lines")),
        ("SELECT 1\nSELECT 2\nSELECT 3\n", ("pred.sql", "more predictions than gold.txt")),
    ],
)
def test_a_wrong_number_of_predictions_is_named(files: Files, lines: str, words: tuple[str, ...]) -> None:
    message = files.write(pred=lines).error()
    for word in words:
        assert word in message


def test_a_gold_file_without_queries_is_an_error(files: Files) -> None:
    for text in ("", "\n\n", "[]"):
        assert "gold.txt: no gold queries" in files.write(gold=text, pred="").error()


# -- JSON and tables --


GOLD_FORMS = {
    "spider.json": json.dumps(SPIDER),
    "indented.json": json.dumps(SPIDER, indent=1),
    "spider.jsonl": json_lines(SPIDER),
    "bird.json": json.dumps(BIRD),
    "bird.txt": GOLD,
    "table.csv": table([{"query": "SELECT 1", "db_id": "a"}, {"query": "SELECT 2", "db_id": "b"}]),
    "table.tsv": table([{"SQL": "SELECT 1", "db_id": "a"}, {"SQL": "SELECT 2", "db_id": "b"}], "\t"),
    "semicolons.csv": table([{"SQL": "SELECT 1", "db_id": "a"}, {"SQL": "SELECT 2", "db_id": "b"}], ";"),
}
PRED_FORMS = {
    "lines.sql": PRED,
    "own.jsonl": json_lines([{"row": 0, "sql": "SELECT 3", "raw": "?"}, {"row": 1, "sql": "SELECT 4"}]),
    "list.json": json.dumps([{"prediction": "SELECT 3"}, {"prediction": "SELECT 4"}]),
    "texts.json": json.dumps(["SELECT 3", f"SELECT 4{MARK}b"]),
    "bird.json": json.dumps({"0": f"SELECT 3{MARK}a", "1": f"SELECT 4{MARK}b"}),
    "table.csv": table([{"id": "x", "pred": "SELECT 3"}, {"id": "y", "pred": "SELECT 4"}]),
    "one_column.csv": "predicted\nSELECT 3\nSELECT 4\n",
    "table.tsv": table([{"id": "x", "sql": "SELECT 3"}, {"id": "y", "sql": "SELECT 4"}], "\t"),
}


@pytest.mark.parametrize("gold", GOLD_FORMS)
@pytest.mark.parametrize("pred", PRED_FORMS)
def test_every_form_of_gold_goes_with_every_form_of_predictions(files: Files, gold: str, pred: str) -> None:
    files.write((f"gold_{gold}", f"pred_{pred}"), gold=GOLD_FORMS[gold], pred=PRED_FORMS[pred])
    assert queries(files.cases()) == queries(CASES)


def test_the_content_decides_and_not_the_name(files: Files) -> None:
    for gold in GOLD_FORMS.values():
        for pred in (text for name, text in PRED_FORMS.items() if name != "one_column.csv"):
            files.write(("gold", "pred"), gold=gold, pred=pred)
            assert queries(files.cases()) == queries(CASES)


def test_each_form_may_be_compressed_whatever_its_name(files: Files) -> None:
    for pred, text in PRED_FORMS.items():
        for name in (f"{pred}.gz", pred):
            files.write(
                ("gold.gz", name), gold=gzip.compress(GOLD.encode()), pred=gzip.compress(text.encode())
            )
            assert queries(files.cases()) == queries(CASES)


def test_the_parsed_form_of_spider_is_no_candidate_for_the_gold(files: Files) -> None:
    assert files.write(gold=json.dumps(SPIDER)).cases()[0].gold == "SELECT 1"


def test_the_difficulty_of_bird_is_the_class_of_the_case(files: Files) -> None:
    assert [case.slice for case in files.write(gold=json.dumps(BIRD)).cases()] == ["simple", "challenging"]


def test_a_prediction_in_json_may_have_tabs_and_lines(files: Files) -> None:
    files.write(pred=json_lines([{"sql": "SELECT\t1\nFROM singer "}, {"sql": ""}]))
    assert [case.predicted for case in files.cases()] == ["SELECT\t1\nFROM singer", ""]


def test_a_number_in_birds_predictions_is_a_missing_one(files: Files) -> None:
    files.write(pred=json.dumps({"0": 0, "1": f"SELECT 4{MARK}b"}))
    assert [case.predicted for case in files.cases()] == ["", "SELECT 4"]


def test_a_text_file_of_predictions_may_begin_like_json(files: Files) -> None:
    for line in ('{"sql": "SELECT', "[SQL] SELECT 3", "[1] one"):
        assert files.write(pred=f"{line}\nSELECT 4\n").cases()[0].predicted == line


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.jsonl", '{"sql": "SELECT 1"}\n{', "p.jsonl, line 2: not JSON"),
        ("p.jsonl", '{"sql": "SELECT 1"}\n' + "[" * 100_000, "p.jsonl, line 2: not JSON"),
        ("p.jsonl", '{"sql": "SELECT 1"}\n["SELECT 1"]', "p.jsonl, line 2: a list instead of an object"),
        ("p.json", '[{"sql": "SELECT 1"},\n{"sql": "SELE', "p.json, line 2: not JSON (Unterminated string"),
        ("p", "[" * 100_000, "p: not JSON"),
        ("p", "[" + "9" * 5000 + "]", "p: not JSON"),
        (
            "p.json",
            f'{{"0": "SELECT 1{MARK}a", "0": "SELECT 2{MARK}b"}}'.replace("\t", "\\t"),
            "'0' more than once",
        ),
        ("p.json", '{"0": null, "1": "x"}', "p.json, key '0': no text"),
        ("p.csv", "pred,x\nSELECT 1,1\nSELECT a, b,2\n", "p.csv, line 3: 3 cells, but the header has 2"),
        ("p.csv", 'pred,x\n"SELECT 1,1\n', "p.csv, line 2: not a table"),
        ("p.csv", "sentence,x\nSELECT 1,1\nSELECT 2,2\n", "p.csv, line 2: no text in a field sql or"),
    ],
)
def test_damaged_files_are_named_with_the_place(files: Files, name: str, text: str, said: str) -> None:
    assert said in files.write(("", name), pred=text).error()


def test_an_object_as_gold_is_an_error(files: Files) -> None:
    assert "gold.txt: one JSON object" in files.write(gold='{"0": "SELECT 1"}').error()


# -- fields --


@pytest.mark.parametrize(
    "row",
    [{"predict": "SELECT 1"}, {"sql": None, "predict": "SELECT 1"}, {"sql": 1, "predict": "?"}],
)
def test_a_row_without_a_known_field_is_named_with_its_fields(files: Files, row: dict[str, Any]) -> None:
    message = files.write(pred=json_lines([{"sql": "SELECT 1"}, row])).error()
    assert "pred.sql, line 2: no text in a field sql or SQL or" in message
    assert f"its fields: {', '.join(row)}; say which one it is with --field pred=NAME" in message


def test_of_several_candidates_one_must_be_chosen(files: Files) -> None:
    files.write(pred=json_lines([{"answer": "no", "sql": "SELECT 3"}, {"answer": "no", "sql": "SELECT 4"}]))
    assert "pred.sql, line 1: several fields may be pred: sql, answer; say which" in files.error()
    assert files.cases("pred=sql") == CASES


def test_fields_of_any_name_can_be_chosen(files: Files) -> None:
    files.write(
        gold=json_lines([{"g": "SELECT 2", "d": "b", "n": "y"}, {"g": "SELECT 1", "d": "a", "n": "x"}]),
        pred=json_lines([{"p": "SELECT 3", "n": "x"}, {"p": "SELECT 4", "n": "y"}]),
    )
    cases = files.cases("gold=g", "pred=p", "db_id=d", "id=n")
    assert queries(cases) == queries(reversed(CASES))


@pytest.mark.parametrize("option", ["pred", "pred=", "=sql", "question=q"])
def test_a_field_option_of_another_form_is_named(files: Files, option: str) -> None:
    assert f"--field {option}: write ROLE=NAME, with a ROLE of gold, pred, db_id, id" in files.error(option)


def test_a_gold_row_needs_sql_and_a_database(files: Files) -> None:
    assert "row 0: the gold query is empty" in files.write(gold='[{"sql": " ", "db_id": "a"}]').error()
    assert "row 0: no text in a field db_id; its fields: sql" in files.write(gold='[{"sql": "x"}]').error()
    assert "'../a' cannot be the name of a database" in files.write(gold="SELECT 1\t../a").error()


# -- ids --


def own(*rows: tuple[object, str]) -> str:
    return json_lines({"row": row, "sql": sql} for row, sql in rows)


def test_rows_are_paired_by_their_number_if_the_predictions_have_one(files: Files) -> None:
    files.write(pred=own((1, "SELECT 4"), (0, "SELECT 3")))
    assert files.cases() == CASES


def test_rows_are_paired_by_the_id_that_both_files_have(files: Files) -> None:
    pred = [{"question_id": "0", "sql": "SELECT 4"}, {"question_id": "7", "sql": "SELECT 3"}]
    assert queries(files.write(gold=json.dumps(BIRD), pred=json_lines(pred)).cases()) == queries(CASES)


def test_ids_that_only_the_gold_has_pair_nothing(files: Files) -> None:
    assert queries(files.write(gold=json.dumps(BIRD)).cases()) == queries(CASES)


def test_birds_keys_are_ids_if_the_gold_has_the_same_and_rows_otherwise(files: Files) -> None:
    by_row = {"1": f"SELECT 4{MARK}b", "0": f"SELECT 3{MARK}a"}
    by_id = {"0": f"SELECT 4{MARK}b", "7": f"SELECT 3{MARK}a"}
    for pred in (by_row, by_id):
        assert queries(files.write(gold=json.dumps(BIRD), pred=json.dumps(pred)).cases()) == queries(CASES)


@pytest.mark.parametrize(
    ("pred", "said"),
    [
        (own((1, "x")), "pred.sql: row 0 missing, which gold.txt has;"),
        (own((0, "x"), (1, "x"), (5, "x")), "pred.sql: row 5 not in gold.txt;"),
        (own((0, "x"), (0, "x")), "pred.sql: row 0 more than once"),
        (own((0, "x")) + '{"sql": "x"}', "pred.sql, line 2: no row, which other rows have"),
        (own((0, "x"), (True, "x")), "pred.sql, line 2: row is True; write a number or a text"),
        (own((0, "x"), (1.0, "x")), "pred.sql, line 2: row is 1.0; write a number or a text"),
    ],
)
def test_ids_that_do_not_fit_are_named(files: Files, pred: str, said: str) -> None:
    assert said in files.write(pred=pred).error().replace(f"{files.folder}/", "")


def test_ids_that_the_gold_repeats_are_named(files: Files) -> None:
    gold = json.dumps([{**row, "question_id": 7} for row in BIRD])
    pred = json_lines([{"question_id": 7, "sql": "x"}, {"question_id": 0, "sql": "x"}])
    assert "gold.txt: question_id 7 more than once" in files.write(gold=gold, pred=pred).error()


def test_of_many_faulty_ids_the_first_are_named(files: Files) -> None:
    message = files.write(pred=own(*((row, "x") for row in range(20)))).error()
    assert "row 10, 11, 12, 13, 14 and 13 others not in" in message


@pytest.mark.parametrize(
    "pred",
    [
        json.dumps({"0": f"SELECT 3{MARK}a", "1": f"SELECT 4{MARK}c"}),
        json.dumps([f"SELECT 3{MARK}a", f"SELECT 4{MARK}c"]),
        json_lines([{"sql": "SELECT 3", "db_id": "a"}, {"sql": "SELECT 4", "db_id": "c"}]),
    ],
)
def test_another_database_than_the_golds_is_an_error(files: Files, pred: str) -> None:
    assert "database c, but gold.txt, line 2, has b" in files.write(pred=pred).error()


def warnings(files: Files, *fields: str) -> list[str]:
    found: list[str] = []
    read_cases(files.gold, files.pred, FieldNames.chosen(fields), found.append)
    return [warning.replace(f"{files.folder}/", "") for warning in found]


OTHER_NAMES = json_lines([{"qid": 0, "sql": "SELECT 4"}, {"qid": 7, "sql": "SELECT 3"}])


def test_rows_that_may_have_ids_under_another_name_are_paired_by_position_with_a_warning(
    files: Files,
) -> None:
    files.write(gold=json.dumps(BIRD), pred=OTHER_NAMES)
    assert warnings(files) == [
        "pred.sql: no field question_id or row, but gold.txt has question_id, so its rows are paired by "
        "position; its fields: qid, sql; if one is the id, add --field pred.id=NAME"
    ]
    named = [{"qid": 7, "SQL": "SELECT 1", "db_id": "a"}, {"qid": 0, "SQL": "SELECT 2", "db_id": "b"}]
    pred = [{"question_id": row, "sql": "SELECT 3"} for row in (0, 1)]
    (warning,) = warnings(files.write(gold=json.dumps(named), pred=json_lines(pred)))
    assert "paired by the number of their row; its fields: qid, SQL, db_id; if one is" in warning
    assert "add --field gold.id=NAME" in warning


def test_nothing_is_said_of_files_without_another_field(files: Files) -> None:
    for pred in (PRED, json_lines([{"sql": "SELECT 3"}, {"sql": "SELECT 4", "db_id": "b"}])):
        assert warnings(files.write(gold=json.dumps(BIRD), pred=pred)) == []
    numbered = json_lines([{"question_id": 0, "sql": "SELECT 3"}, {"question_id": 1, "sql": "SELECT 4"}])
    assert warnings(files.write(gold=json.dumps(SPIDER), pred=numbered)) == []


def test_the_id_of_one_file_can_be_chosen(files: Files) -> None:
    files.write(gold=json.dumps(BIRD), pred=OTHER_NAMES)
    assert queries(files.cases("pred.id=qid")) == queries(CASES)
    assert warnings(files, "pred.id=qid") == []
    gold = json.dumps([{**row, "question_id": None, "number": row["question_id"]} for row in BIRD])
    files.write(gold=gold, pred=OTHER_NAMES)
    assert queries(files.cases("pred.id=qid", "gold.id=number")) == queries(CASES)


def test_a_chosen_id_that_a_row_lacks_is_named(files: Files) -> None:
    files.write(gold=json.dumps(BIRD), pred=OTHER_NAMES)
    assert "pred.sql, line 1: no q; its fields: qid, sql; correct --field" in files.error("pred.id=q")
    files.write(gold=GOLD)
    assert "pred.sql: no q; its fields: qid, sql; correct --field" in files.error("id=q")
    assert "qid 1 missing" in files.error("pred.id=qid")


def test_an_id_that_the_gold_lacks_is_said_to_be_a_row(files: Files) -> None:
    files.write(pred=json_lines([{"question_id": 1, "sql": "x"}, {"question_id": 2, "sql": "x"}]))
    message = files.error()
    assert "question_id 0 missing, where the number of a row of gold.txt, from 0, is expected" in message
    assert "because it has no question_id" in message


def test_a_case_has_the_id_of_its_question(files: Files) -> None:
    assert [case.question_id for case in files.write(gold=json.dumps(BIRD)).cases()] == [7, 0]
    pred = json_lines([{"question_id": "1", "sql": "x"}, {"question_id": "0", "sql": "x"}])
    assert [case.question_id for case in files.write(gold=GOLD, pred=pred).cases()] == ["0", "1"]
    assert [case.question_id for case in files.write(pred=own((0, "x"), (1, "x"))).cases()] == [None, None]


# -- DB-GPT --

DB_GPT = {"instruction": "a contains tables such as t. Table t has ...", "input": "?", "output": "SELECT 1"}


def test_the_database_may_be_at_the_beginning_of_the_prose_of_db_gpt(files: Files) -> None:
    files.write(gold=json.dumps([DB_GPT]), pred="SELECT 3\n")
    assert queries(files.cases()) == [("a", "SELECT 1", "SELECT 3")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**DB_GPT, "instruction": "Answer."}, "row 0: no db_id, and in instruction: "),
        (
            {"sql": "x", "dbname": "a"},
            "row 0: no text in a field db_id; its fields: sql, dbname; name it with",
        ),
        ({"sql": "x", "dbname": "a"}, "--field db_id=dbname"),
        ({"sql": "x"}, "its fields: sql; add the name of its database as db_id"),
    ],
)
def test_a_row_without_database_is_named_with_what_it_has(
    files: Files, row: dict[str, str], said: str
) -> None:
    assert said in files.write(gold=json.dumps([row])).error()


# -- text --


def test_a_byte_order_mark_is_no_part_of_a_query(files: Files) -> None:
    files.write(gold=GOLD.encode("utf-8-sig"), pred=json.dumps(["SELECT 3", "SELECT 4"]).encode("utf-8-sig"))
    assert files.cases() == CASES


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("role", ["gold", "pred"])
def test_utf16_is_named_with_the_remedy(files: Files, encoding: str, role: str) -> None:
    text = GOLD if role == "gold" else PRED
    getattr(files, role).write_bytes(text.encode(encoding))
    assert ": UTF-16 text; save it as UTF-8: iconv" in files.error()


def test_a_gold_line_that_is_not_utf8_is_named(files: Files) -> None:
    files.write(gold=b"SELECT 1\ta\nSELECT '\xff'\tb\n")
    assert "gold.txt, line 2: not UTF-8" in files.error()


def test_bytes_that_are_not_utf8_are_replaced_in_predictions(files: Files) -> None:
    files.write(pred=b"SELECT '\xff'\nSELECT 4\n")
    assert files.cases()[0].predicted == "SELECT '\ufffd'"


def test_a_nul_byte_is_an_error_in_a_gold_query_only(files: Files) -> None:
    assert files.write(pred="SELECT '\0'\nSELECT 4\n").cases()[0].predicted == "SELECT '\0'"
    assert "gold.txt, line 1: a NUL byte" in files.write(gold="SELECT '\0'\ta\nSELECT 2\tb").error()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(PRED.encode())[:-9], "damaged or cut off"),
        (b"PK\x03\x04...", "a ZIP archive"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
    ids=["gzip", "zip", "sqlite", "html"],  # a gzip's bytes hold the time, so they cannot name a test
)
def test_what_is_no_text_is_named(files: Files, data: bytes, said: str) -> None:
    assert f"pred.sql: {said}" in files.write(pred=data).error()


def test_a_file_that_is_too_large_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("text2sql.evaluation.inputs.text.MOST_BYTES", 1 << 20)
    for data in (b" " * (1 << 21), gzip.compress(b" " * (1 << 21))):
        assert "pred.sql: more than 1 MiB; split it" in files.write(pred=data).error()


@pytest.mark.parametrize(("role", "option"), [("gold", "--gold"), ("pred", "--pred")])
def test_a_missing_file_and_a_folder_are_named(files: Files, role: str, option: str) -> None:
    path: Path = getattr(files, role)
    path.unlink()
    assert f"{path.name}: no such file; correct {option}" in files.error()
    path.mkdir()
    assert f"{path.name}: a folder; name a file with {option}" in files.error()


def test_one_of_the_files_may_be_standard_input(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PRED.encode())))
    files.pred = STDIN
    assert files.cases() == CASES
    files.gold = STDIN
    assert "only one of --gold and --pred" in files.error()
