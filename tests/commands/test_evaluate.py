"""`text2sql evaluate`: from the two files of the official evaluator to scores."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from text2sql.cli import main
from text2sql.commands.evaluate import as_official, read_cases
from text2sql.errors import RERUN
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case, Verdict

GOLD = "SELECT name FROM singer WHERE age > 30\tconcert\nSELECT count(*) FROM singer\tconcert\n"
RIGHT = "SELECT name FROM singer WHERE age >= 31\nSELECT count(name) FROM singer\n"
WRONG = "SELECT name FROM singer WHERE age > 40\nSELECT total FROM singer\n"
SINGERS = "CREATE TABLE singer (name TEXT, age INT);"
MANY = SINGERS + "INSERT INTO singer VALUES ('Ann', 30), ('Bo', 41), ('Cy', 35)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: gold.txt, pred.sql, and the database `concert` in db/."""
    (tmp_path / "gold.txt").write_text(GOLD)
    (tmp_path / "pred.sql").write_text(RIGHT)
    write_database(tmp_path / "db/concert/concert.sqlite", MANY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_database(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def evaluate(*options: str, pred: str = "pred.sql") -> Result:
    arguments = ["--gold", "gold.txt", "--pred", pred, "--db", "db", "--workers", "1"]
    return CliRunner().invoke(main, ["evaluate", *arguments, *options])


def verdicts(*options: str, pred: str = "pred.sql") -> list[dict[str, Any]]:
    result = evaluate("--out", "verdicts.jsonl", *options, pred=pred)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in Path("verdicts.jsonl").read_text().splitlines()]


def summary(*options: str) -> dict[str, Any]:
    result = evaluate("--json", "summary.json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(Path("summary.json").read_text())


def error_of(result: Result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    return result.stderr


# -- what it writes --


def test_one_verdict_per_prediction_is_written_in_order(folder: Path) -> None:
    (folder / "pred.sql").write_text(RIGHT.splitlines()[0] + "\n" + WRONG.splitlines()[1])
    first, second = verdicts()
    assert (first["row"], first["ex"], first["error"]) == (0, True, None)
    assert (second["row"], second["ex"], second["error"]) == (1, False, "no_such_column")


def test_a_verdict_has_the_documented_fields(folder: Path) -> None:
    fields = ["row", "db_id", "hardness", "ex", "error", "message", "seconds"]
    assert list(verdicts()[0]) == fields


def test_exact_match_alone_runs_no_prediction_and_has_no_execution_score(folder: Path) -> None:
    (folder / "pred.sql").write_text("SELECT name FROM singer WHERE age > 1\nDROP TABLE singer\n")
    first, second = verdicts("--etype", "match")
    assert "ex" not in first
    assert first["em"] is True
    assert (second["em"], second["error"]) == (False, None)


def test_both_comparisons_are_in_one_verdict(folder: Path) -> None:
    first = verdicts("--etype", "all")[0]
    assert (first["ex"], first["em"]) == (True, False)


def test_the_summary_has_scores_and_the_evaluator(folder: Path) -> None:
    written = summary("--keep-distinct", "--timeout", "3")
    assert written["ex"]["all"] == 100.0
    assert written["n"]["all"] == 2
    assert written["evaluator"]["keep_distinct"] is True
    assert written["evaluator"]["timeout_s"] == 3.0
    assert written["evaluator"]["sqlite"] == sqlite3.sqlite_version


def test_the_summary_of_exact_match_has_its_components(folder: Path) -> None:
    written = summary("--etype", "match")
    assert "ex" not in written
    assert written["partial"]["f1"]["where(no OP)"]["all"] == 100.0


def test_stdout_shows_the_table(folder: Path) -> None:
    (folder / "pred.sql").write_text(WRONG)
    lines = evaluate().stdout.splitlines()
    assert lines[0].split() == ["n", "execution", "95", "%", "interval"]
    assert [line.split()[0] for line in lines[1:6]] == ["easy", "medium", "hard", "extra", "all"]
    assert lines[5].split()[:3] == ["all", "2", "0.0"]
    assert lines[6] == "errors of predictions: no_such_column 1"


def test_stdout_shows_the_components_of_exact_match(folder: Path) -> None:
    printed = evaluate("--etype", "all").stdout
    assert "exact match" in printed
    assert "partial match: recall" in printed


def test_without_a_terminal_there_is_no_progress(folder: Path) -> None:
    result = evaluate()
    assert result.stderr == ""
    assert "predictions (" not in result.stdout


def test_two_runs_write_the_same_scores(folder: Path) -> None:
    assert summary("--etype", "all") == summary("--etype", "all")


def test_a_failed_run_leaves_the_old_verdicts(folder: Path) -> None:
    (folder / "verdicts.jsonl").write_text("old")
    (folder / "pred.sql").write_text("SELECT 1\n")
    assert evaluate("--out", "verdicts.jsonl").exit_code == 1
    assert (folder / "verdicts.jsonl").read_text() == "old"


# -- flags --


@pytest.mark.parametrize("flag", ["--plug-value", "--plug_value"])
def test_values_of_the_gold_are_plugged_in_on_demand(folder: Path, flag: str) -> None:
    (folder / "pred.sql").write_text(WRONG)
    assert verdicts()[0]["ex"] is False
    assert verdicts(flag)[0]["ex"] is True


@pytest.mark.parametrize("flag", ["--keep-distinct", "--keep_distinct"])
def test_distinct_counts_on_demand(folder: Path, flag: str) -> None:
    (folder / "gold.txt").write_text("SELECT DISTINCT 1 FROM singer\tconcert\n")
    (folder / "pred.sql").write_text("SELECT 1 FROM singer\n")
    assert verdicts()[0]["ex"] is True
    assert verdicts(flag)[0]["ex"] is False


def test_the_word_value_becomes_1_unless_it_is_kept(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT 'value'\tconcert\n")
    (folder / "pred.sql").write_text("SELECT 'value' AS v\n")
    assert verdicts()[0]["ex"] is False
    assert verdicts("--keep-value")[0]["ex"] is True


def test_all_databases_of_a_folder_must_agree(folder: Path) -> None:
    (folder / "pred.sql").write_text("SELECT name FROM singer WHERE name > 'Az'\nSELECT 3\n")
    assert [verdict["ex"] for verdict in verdicts()] == [True, True]
    write_database(folder / "db/concert/other.sqlite", SINGERS)
    assert [verdict["ex"] for verdict in verdicts()] == [True, False]


@pytest.mark.parametrize("place", ["tables.json", "db/tables.json"])
def test_the_file_of_foreign_keys_is_found_where_spider_keeps_it(folder: Path, place: str) -> None:
    (folder / place).write_text("{")
    assert "tables.json" in error_of(evaluate("--etype", "match"))


def test_the_file_of_foreign_keys_is_not_read_where_it_is_not_needed(folder: Path) -> None:
    (folder / "tables.json").write_text("{")
    assert evaluate("--etype", "exec").exit_code == 0


def test_the_file_of_foreign_keys_can_be_named(folder: Path) -> None:
    (folder / "keys.json").write_text("{")
    assert "keys.json" in error_of(evaluate("--etype", "match", "--table", "keys.json"))


@pytest.mark.parametrize(
    ("plug_values", "ex"),
    [(False, "ts"), (True, "ts_plug")],
)
def test_the_official_verdict_is_that_on_all_databases(plug_values: bool, ex: str) -> None:
    fields: dict[str, Any] = {"ex": False, "ex_plug": False, "ts": False, "ts_plug": False, ex: True}
    verdict = as_official(Verdict(0, "concert", "", "easy", **fields), JudgeSettings(plug_values=plug_values))
    assert verdict == Verdict(0, "concert", "", "easy", ex=True)


# -- the two files --


def cases(folder: Path, pred: str = "pred.sql") -> list[Case]:
    return list(read_cases(folder / "gold.txt", folder / pred))


def test_the_prediction_ends_at_the_first_tab(folder: Path) -> None:
    (folder / "pred.sql").write_text("  SELECT 1\tconcert\n\tSELECT 2  \n")
    assert [case.predicted for case in cases(folder)] == ["SELECT 1", "SELECT 2"]


def test_a_blank_line_is_an_empty_prediction(folder: Path) -> None:
    (folder / "pred.sql").write_text("\nSELECT 2\n")
    assert [case.predicted for case in cases(folder)] == ["", "SELECT 2"]


def test_a_blank_line_at_the_end_is_an_empty_prediction_if_one_is_wanted(folder: Path) -> None:
    (folder / "pred.sql").write_text("SELECT 1\n\n")
    assert [case.predicted for case in cases(folder)] == ["SELECT 1", ""]


def test_further_blank_lines_at_the_end_do_not_count(folder: Path) -> None:
    (folder / "gold.txt").write_text(GOLD + "\n\n")
    (folder / "pred.sql").write_text(RIGHT + "\n\n\n")
    assert len(cases(folder)) == 2


def test_sessions_are_read_through(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT 1\ta\n\nSELECT 2\tb\n")
    (folder / "pred.sql").write_text("SELECT 3\n\nSELECT 4\n")
    assert cases(folder) == [Case(0, "a", "SELECT 1", "SELECT 3"), Case(1, "b", "SELECT 2", "SELECT 4")]


def test_sessions_that_differ_are_named(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT 1\tconcert\n\nSELECT 2\tconcert\n")
    (folder / "pred.sql").write_text("SELECT 1\nSELECT 2\n")
    assert "pred.sql, line 2: not blank" in error_of(evaluate())


def test_predictions_may_be_json_objects(folder: Path) -> None:
    lines = [{"sql": "SELECT\t1\nFROM singer", "row": 0}, {"sql": ""}]
    (folder / "pred.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert [case.predicted for case in cases(folder, "pred.jsonl")] == ["SELECT\t1\nFROM singer", ""]


def test_bytes_that_are_not_utf8_affect_only_their_prediction(folder: Path) -> None:
    (folder / "pred.sql").write_bytes(b"SELECT '\xff\xfe\n" + RIGHT.splitlines()[1].encode())
    first, second = verdicts()
    assert (first["ex"], first["error"]) == (False, "syntax")
    assert second["ex"] is True


def test_a_byte_order_mark_is_no_part_of_a_query(folder: Path) -> None:
    (folder / "gold.txt").write_text(GOLD, encoding="utf-8-sig")
    assert cases(folder)[0].gold.startswith("SELECT")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("SELECT 1\n", ("pred.sql", "1 lines", "gold.txt has more", "one prediction per line")),
        ("", ("pred.sql", "0 lines")),
        ("SELECT 1\nSELECT 2\nSELECT 3\n", ("pred.sql", "more lines than gold.txt")),
    ],
)
def test_a_wrong_number_of_predictions_is_named(folder: Path, lines: str, words: tuple[str, ...]) -> None:
    (folder / "pred.sql").write_text(lines)
    message = error_of(evaluate())
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["SELECT 1"]', "no text in the field `sql`"),
        ('{"predict": "SELECT 1"}', "no text in the field `sql`"),
        ('{"sql": null}', "no text in the field `sql`"),
    ],
)
def test_a_bad_json_line_is_named(folder: Path, line: str, fault: str) -> None:
    (folder / "pred.jsonl").write_text('{"sql": "SELECT 1"}\n' + line)
    message = error_of(evaluate(pred="pred.jsonl"))
    assert f"pred.jsonl, line 2: {fault}" in message
    assert 'write an object like {"sql": "SELECT 1"}' in message


@pytest.mark.parametrize("sql", ["SELECT 1", ""])
def test_a_json_object_too_many_is_an_error(folder: Path, sql: str) -> None:
    (folder / "pred.jsonl").write_text('{"sql": "SELECT 1"}\n' * 2 + json.dumps({"sql": sql}))
    assert "more lines than gold.txt" in error_of(evaluate(pred="pred.jsonl"))


@pytest.mark.parametrize("line", ["SELECT 1 concert", "SELECT\t1\tconcert"])
def test_a_gold_line_without_exactly_one_tab_is_named(folder: Path, line: str) -> None:
    (folder / "gold.txt").write_text("SELECT 1\tconcert\n" + line)
    message = error_of(evaluate())
    assert "gold.txt, line 2" in message
    assert "its SQL, a tab, its db_id" in message


def test_a_gold_line_that_is_not_utf8_is_named(folder: Path) -> None:
    (folder / "gold.txt").write_bytes(b"SELECT 1\tconcert\nSELECT '\xff'\tconcert\n")
    assert "gold.txt, line 2: not UTF-8" in error_of(evaluate())


def test_a_gold_file_without_queries_is_an_error(folder: Path) -> None:
    (folder / "gold.txt").write_text("\n\n")
    (folder / "pred.sql").write_text("")
    assert "gold.txt: no gold queries" in error_of(evaluate())


@pytest.mark.parametrize(("name", "option"), [("gold.txt", "--gold"), ("pred.sql", "--pred")])
def test_a_missing_file_is_named(folder: Path, name: str, option: str) -> None:
    (folder / name).unlink()
    assert f"{name}: no such file; correct {option}" in error_of(evaluate())


def test_an_unknown_comparison_is_named(folder: Path) -> None:
    assert "--etype both: unknown; choose one of exec, match, all" in error_of(evaluate("--etype", "both"))


def test_an_output_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    assert "file" in error_of(evaluate("--out", "file/verdicts.jsonl"))


# -- gold queries and databases that fail --


def test_a_failing_gold_is_named_and_not_counted(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT height FROM singer\tconcert\nSELECT 3\tconcert\n")
    result = evaluate("--json", "summary.json")
    assert (
        "warning: gold.txt, row 0 (counted from 0; database concert): left out, gold: no_such_column"
        in result.stderr
    )
    assert "left out, because the gold query fails: rows 0" in result.stdout
    assert json.loads(Path("summary.json").read_text())["n"]["all"] == 1


def test_a_missing_database_affects_only_its_rows(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT 1\tabsent\nSELECT count(*) FROM singer\tconcert\n")
    result = evaluate()
    assert result.exit_code == 0
    assert "absent.sqlite" in result.stderr
    assert "left out, because the gold query fails: rows 0" in result.stdout


def test_no_database_at_all_is_an_error(folder: Path) -> None:
    shutil.rmtree(folder / "db")
    message = error_of(evaluate())
    assert "concert.sqlite: not found" in message
    assert "correct --db" in message


def test_a_gold_without_hardness_counts_under_all_only(folder: Path) -> None:
    (folder / "gold.txt").write_text("VALUES (1)\tconcert\nSELECT count(*) FROM singer\tconcert\n")
    result = evaluate()
    assert "only in class all, because the gold query has no hardness: rows 0" in result.stdout
    assert result.stdout.splitlines()[5].split()[:2] == ["all", "2"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "gold.txt"], "gold.txt: --gold and --out are the same; change --out"),
        (["--json", "./pred.sql"], "pred.sql: --pred and --json are the same; change --json"),
        (["--json", "link.json"], "link.json: --pred and --json are the same; change --json"),
        (["--out", "x", "--json", "x"], "x: --out and --json are the same; change --json"),
        (["--out", "db"], "db: --db and --out are the same; change --out"),
        (["--out", "tables.json"], "tables.json: --table and --out are the same; change --out"),
        (["--out", "t.json", "--table", "t.json"], "t.json: --table and --out are the same; change --out"),
    ],
)
def test_an_output_that_would_replace_another_file_is_refused(
    folder: Path, options: list[str], said: str
) -> None:
    (folder / "tables.json").write_text("[]")
    (folder / "link.json").symlink_to("pred.sql")
    result = evaluate(*options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {said}\n"
    assert Path("gold.txt").read_text() == GOLD and Path("pred.sql").read_text() == RIGHT


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_a_full_disk_is_one_line_with_the_file(folder: Path, small_disk: Path, option: str) -> None:
    output = small_disk / "output"
    (small_disk / "fill").write_bytes(bytes(256 << 10))
    result = evaluate(option, str(output))
    assert result.exit_code == 1
    error = result.stderr[result.stderr.index("error: ") :]
    assert error == f"error: {output}: No space left on device; free some space on that disk, then {RERUN}\n"
