"""`text2sql audit-gold`: what it reads, prints and writes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from text2sql.cli import main

TIES = "SELECT name FROM singer ORDER BY age LIMIT 1"
FINE = "SELECT name FROM singer WHERE age > 30"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the database `concert` in db/."""
    (tmp_path / "db/concert").mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "db/concert/concert.sqlite")) as connection:
        script = "CREATE TABLE singer (name TEXT, age INT);"
        connection.executescript(f"{script} INSERT INTO singer VALUES ('Ann', 30), ('Bo', 30), ('Cy', 41)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def audit(gold: str, *options: str, db: bool = True) -> Result:
    databases = ["--db", "db", "--workers", "1"] if db else []
    return CliRunner().invoke(main, ["audit-gold", "--gold", gold, *databases, *options])


def rows(gold: str, *options: str, db: bool = True) -> list[dict[str, object]]:
    result = audit(gold, "--out", "out.jsonl", *options, db=db)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]


def write(name: str, text: str | list[dict[str, object]]) -> str:
    Path(name).write_text(text if isinstance(text, str) else json.dumps(text))
    return name


# -- what it reads --


def test_rows_of_every_form_are_read(folder: Path) -> None:
    prose = "concert contains tables such as singer. Table singer has columns such as name, age."
    forms: dict[str, str | list[dict[str, object]]] = {
        "lines.txt": f"{FINE}\tconcert\n\n{TIES}\tconcert\n",
        "spider.json": [{"query": FINE, "db_id": "concert"}, {"query": TIES, "sql": {}, "db_id": "concert"}],
        "bird.json": [{"SQL": FINE, "db_id": "concert"}, {"SQL": TIES, "db_id": "concert", "question": "?"}],
        "table.csv": f"db_id,query\nconcert,{FINE}\nconcert,{TIES}\n",
        "dbgpt.json": [{"instruction": prose, "input": "?", "output": sql} for sql in (FINE, TIES)],
        "pipeline.jsonl": "\n".join(
            json.dumps({"row": row, "gold": sql, "db_id": "concert", "question": "?"})
            for row, sql in enumerate((FINE, TIES))
        ),
    }
    found = {
        name: [(row["row"], row["reasons"]) for row in rows(write(name, text))]
        for name, text in forms.items()
    }
    assert found == {name: [(1, ["limit_ties"])] for name in forms}


def test_rows_without_gold_are_left_out_and_keep_their_numbers(folder: Path) -> None:
    gold = write("gold.json", [{"gold": "", "db_id": "concert"}, {"gold": TIES, "db_id": "concert"}])
    assert [row["row"] for row in rows(gold)] == [1]


def test_an_empty_field_is_no_second_gold_query(folder: Path) -> None:
    gold = write("gold.json", [{"query": " ", "sql": TIES, "db_id": "concert"}])
    assert [row["gold"] for row in rows(gold)] == [TIES]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gold.txt", "", "no gold queries"),
        ("gold.txt", "SELECT 1\n", "0 tabs instead of one"),
        ("gold.json", "", "no gold queries"),
        ("gold.json", "[1]", "row 0: a int instead of an object"),
        ("gold.json", '[{"question": "?"}]', "no gold queries"),
        ("gold.json", '[{"gold": "SELECT 1"}]', "row 0: no text in a field db_id"),
        ("gold.json", '[{"gold": "SELECT 1", "db_id": "absent"}]', "correct --db"),
        ("gold.jsonl", "{", "not JSON"),
        (
            "gold.json",
            '[{"sql": "SELECT 1", "query": "SELECT 2", "db_id": "a"}]',
            "row 0: several fields may",
        ),
        ("gold.json", '[{"statement": "SELECT 1", "db_id": "a"}]', "--field gold=NAME"),
        (
            "gold.json",
            '[{"sql": "SELECT 1", "base": "a"}]',
            "sql, base; add the name of its database as db_id, or name",
        ),
        ("gold.json", '[{"sql": "SELECT 1", "db_id": "../a"}]', "row 0: '../a' cannot be the name"),
        ("gold.json", '[{"sql": "SELECT \\u0000", "db_id": "a"}]', "row 0: a NUL byte"),
        ("gold.json", '{"0": "SELECT 1"}', "one JSON object with numbers as keys"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_says_how_to_go_on(
    folder: Path, name: str, text: str, words: str
) -> None:
    result = audit(write(name, text), "--out", "out.jsonl")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("name", ["absent.txt", "absent.json"])
def test_a_missing_file_is_an_error(folder: Path, name: str) -> None:
    result = audit(name)
    assert (result.exit_code, f"{name}: no such file" in result.stderr) == (1, True)


def test_an_output_must_not_replace_the_input(folder: Path) -> None:
    gold = write("gold.txt", f"{FINE}\tconcert\n")
    result = audit(gold, "--out", gold)
    assert (result.exit_code, Path(gold).read_text()) == (1, f"{FINE}\tconcert\n")


def test_fields_with_other_names_are_named(folder: Path) -> None:
    values: list[dict[str, object]] = [{"statement": TIES, "base": "concert", "asked": "Who?"}]
    fields = ("gold=statement", "db_id=base", "question=asked")
    options = [word for field in fields for word in ("--field", field)]
    (row,) = rows(write("gold.json", values), *options)
    assert (row["gold"], row["db_id"], row["question"]) == (TIES, "concert", "Who?")


def test_databases_without_a_folder_of_their_own_are_found(folder: Path) -> None:
    Path("db/concert/concert.sqlite").rename("db/concert.sqlite")
    Path("db/concert").rmdir()
    assert [row["reasons"] for row in rows(write("gold.txt", f"{TIES}\tconcert\n"))] == [["limit_ties"]]


# -- what it prints and writes --


def test_findings_are_no_error_and_the_table_counts_rows_by_reason(folder: Path) -> None:
    result = audit(write("gold.txt", f"{FINE}\tconcert\n{TIES}\tconcert\n{TIES}\tconcert\n"))
    assert result.exit_code == 0
    assert f"{'limit_ties':<22}{2:>9}{0:>13}{0:>11}  1, 2" in result.stdout.splitlines()
    assert "2 of 3 rows have doubtful gold" in result.stdout


def test_a_row_has_gold_reasons_and_findings(folder: Path) -> None:
    (row,) = rows(write("gold.json", [{"gold": TIES, "db_id": "concert", "question": "Who?"}]))
    why = "rows tie under ORDER BY age LIMIT 1"
    assert row == {
        "row": 0,
        "db_id": "concert",
        "gold": TIES,
        "question": "Who?",
        "reasons": ["limit_ties"],
        "findings": [{"reason": "limit_ties", "why": why, "effect": True}],
        "unchecked": "",
    }


def test_the_summary_has_the_counts(folder: Path) -> None:
    audit(write("gold.txt", f"{FINE}\tconcert\n{TIES}\tconcert\n"), "--json", "summary.json")
    summary = json.loads(Path("summary.json").read_text())
    assert (summary["rows"], summary["doubtful"]) == (2, 1)
    assert summary["reasons"]["limit_ties"] == {"doubtful": 1, "not_checked": 0, "no_effect": 0}


def test_without_databases_the_text_is_examined_and_that_is_said(folder: Path) -> None:
    gold = write("gold.txt", "SELECT date('now')\tanything\nSELECT a FROM t LIMIT 1\tanything\n")
    assert [row["reasons"] for row in rows(gold, db=False)] == [["todays_date"], []]
    assert "only the text was examined" in audit(gold, db=False).stdout


def test_a_missing_database_is_a_warning_while_there_are_others(folder: Path) -> None:
    result = audit(write("gold.txt", f"{FINE}\tconcert\n{FINE}\tabsent\n{FINE}\tabsent\n"))
    assert result.exit_code == 0
    assert "warning: 2 rows, first row 1 (database absent), not fully checked" in result.stderr


def test_the_output_gives_evaluate_its_second_score(folder: Path) -> None:
    gold = write("gold.txt", f"{FINE}\tconcert\n{TIES}\tconcert\n")
    write("pred.sql", f"{FINE}\nSELECT 'nobody'\n")
    rows(gold)
    arguments = [
        "--gold",
        gold,
        "--pred",
        "pred.sql",
        "--db",
        "db",
        "--workers",
        "1",
        "--json",
        "scores.json",
    ]
    result = CliRunner().invoke(main, ["evaluate", *arguments, "--doubtful", "out.jsonl"])
    assert "without the 1 rows with doubtful gold: execution 100.0 (n 1)" in result.stdout.splitlines()
    scores = json.loads(Path("scores.json").read_text())
    assert scores["ex"]["all"] == 50.0
    assert scores["without_doubtful"]["rows"] == {"limit_ties": 1}


def test_the_output_of_another_gold_file_is_refused_by_evaluate(folder: Path) -> None:
    rows(write("gold.txt", f"{FINE}\tconcert\n{TIES}\tconcert\n"))
    write("gold.txt", f"{FINE}\tconcert\n")
    write("pred.sql", f"{FINE}\n")
    arguments = ["--gold", "gold.txt", "--pred", "pred.sql", "--db", "db", "--doubtful", "out.jsonl"]
    result = CliRunner().invoke(main, ["evaluate", *arguments])
    assert (result.exit_code, "has row 1, but there are 1 gold queries" in result.stderr) == (1, True)


def test_a_file_without_questions_has_no_counts_of_paraphrases(folder: Path) -> None:
    result = audit(write("gold.txt", f"{FINE}\tconcert\n"), "--json", "summary.json")
    assert f"{'paraphrase_disagrees':<22}  not checked: no questions in the file" in result.stdout
    counts = json.loads(Path("summary.json").read_text())["reasons"]["paraphrase_disagrees"]
    assert counts == {"doubtful": None, "not_checked": None, "no_effect": None}


def test_a_file_with_questions_has_counts_of_paraphrases(folder: Path) -> None:
    values: list[dict[str, object]] = [
        {"sql": sql, "db_id": "concert", "question": "Who?"} for sql in (FINE, TIES)
    ]
    result = audit(write("gold.json", values))
    assert f"{'paraphrase_disagrees':<22}{2:>9}{0:>13}{0:>11}  0, 1" in result.stdout.splitlines()


def test_the_help_speaks_of_gold_queries(folder: Path) -> None:
    shown = " ".join(CliRunner().invoke(main, ["audit-gold", "--help"]).output.split())
    assert "Seconds for one gold query" in shown
    assert "prediction" not in shown
    assert "Folder of ID/ID.sqlite or ID.sqlite" in shown


@pytest.mark.slow
def test_the_rows_can_be_written_to_a_pipe(folder: Path) -> None:
    gold = write("gold.txt", f"{TIES}\tconcert\n")
    arguments = ["--gold", gold, "--out", "/dev/stdout", "--json", "/dev/null"]
    command = [sys.executable, "-m", "text2sql.cli", "audit-gold", *arguments, "--db", "db"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout.splitlines()[0])["reasons"] == ["limit_ties"]


@pytest.mark.slow
def test_control_c_ends_it_and_leaves_nothing(folder: Path) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    gold = write("gold.txt", f"{endless}\tconcert\n")
    scratch = folder / "tmp"
    scratch.mkdir()
    arguments = ["--gold", gold, "--db", "db", "--workers", "1", "--timeout", "600", "--out", "out.jsonl"]
    command = [sys.executable, "-m", "text2sql.cli", "audit-gold", *arguments]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None and not list(scratch.glob("*/*.sqlite")):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "go on" in errors) == (130, False)
    assert "stopped; nothing is kept: the same command begins again with the first query" in errors
    assert list(scratch.iterdir()) == []
    assert not Path("out.jsonl").exists()
