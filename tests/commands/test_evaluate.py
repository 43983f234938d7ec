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
from text2sql.commands.evaluate import as_official
from text2sql.errors import RERUN
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Verdict

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
    fields = ["row", "db_id", "hardness", "ex", "error", "message", "notes", "seconds"]
    assert list(verdicts()[0]) == fields


def test_a_verdict_has_the_id_of_its_question(folder: Path) -> None:
    golds = [line.split("\t") for line in GOLD.splitlines()]
    rows = [{"question_id": 7 + n, "SQL": sql, "db_id": db_id} for n, (sql, db_id) in enumerate(golds)]
    (folder / "gold.txt").write_text(json.dumps(rows))
    assert [(row["row"], row["question_id"]) for row in verdicts()] == [(0, 7), (1, 8)]


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


def test_stdout_says_what_was_measured(folder: Path) -> None:
    printed = evaluate("--etype", "all").stdout
    assert "execution: official EX on 1 database a question\n" in printed
    assert "exact match: foreign keys of the SQLite files, because there is no tables.json\n" in printed
    assert "database files: 1, SHA-256 " in printed
    write_database(folder / "db/concert/other.sqlite", SINGERS)
    assert "execution: test-suite accuracy (TS) on 2 databases a question\n" in evaluate().stdout
    matched = evaluate("--etype", "match").stdout
    assert "execution: " not in matched
    assert "database files: 1," in matched


def test_the_summary_says_what_was_measured(folder: Path) -> None:
    (folder / "tables.json").write_text("[]")
    written = summary()
    assert written["execution"] == "ex"
    assert written["databases"]["files"] == 1
    assert written["databases"]["per_question"] == {"fewest": 1, "most": 1}
    assert len(written["databases"]["sha256"]) == 64
    assert "tables" not in written
    write_database(folder / "db/concert/other.sqlite", SINGERS)
    changed = summary()
    assert changed["execution"] == "ts"
    assert changed["databases"]["sha256"] != written["databases"]["sha256"]


@pytest.mark.parametrize(("options", "given"), [((), False), (("--table", "tables.json"), True)])
def test_the_file_of_foreign_keys_is_named(folder: Path, options: tuple[str, ...], given: bool) -> None:
    names = {"table_names_original": ["singer"], "column_names_original": [[-1, "*"], [0, "name"]]}
    entry = {"db_id": "concert", **names, "foreign_keys": [], "table_names": ["singer"]}
    more = {"column_names": names["column_names_original"], "column_types": ["text", "text"]}
    (folder / "tables.json").write_text(json.dumps([{**entry, **more, "primary_keys": []}]))
    assert summary("--etype", "match", *options)["tables"] == {"path": "tables.json", "given": given}
    said = f"exact match: foreign keys of tables.json ({'given' if given else 'found'})"
    assert said in evaluate("--etype", "match", *options).stdout


ENTRY = {
    "db_id": "concert",
    "table_names_original": ["singer"],
    "column_names_original": [[-1, "*"], [0, "name"], [0, "Age"]],
    "foreign_keys": [],
}


def without_databases(*options: str) -> Result:
    return CliRunner().invoke(main, ["evaluate", "--gold", "gold.txt", "--pred", "pred.sql", *options])


@pytest.mark.parametrize("metric", [("--etype", "match"), ("--metric", "em")])
def test_exact_match_needs_no_databases_if_the_tables_are_given(
    folder: Path, metric: tuple[str, str]
) -> None:
    (folder / "keys.json").write_text(json.dumps([ENTRY]))
    result = without_databases(*metric, "--table", "keys.json", "--out", "v.jsonl", "--json", "s.json")
    assert result.exit_code == 0, result.output
    found = [json.loads(line)["em"] for line in Path("v.jsonl").read_text().splitlines()]
    assert found == [row["em"] for row in verdicts("--etype", "match")] == [False, False]
    assert "database files: none\n" in result.stdout
    shutil.copy("gold.txt", "pred.sql")
    assert "100.0" in without_databases(*metric, "--table", "keys.json").stdout


def test_a_database_that_the_tables_lack_is_named_where_there_are_no_databases(folder: Path) -> None:
    (folder / "keys.json").write_text(json.dumps([{**ENTRY, "db_id": "other"}]))
    result = without_databases("--etype", "match", "--table", "keys.json")
    assert "no entry 'concert' in tables.json; add one, or name the databases with --db" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--db is missing, and ex, ts cannot do without; name the folder of the databases with --db DIR"),
        (("--etype", "match"), "--db is missing; name the databases with --db DIR, or tables.json with"),
    ],
)
def test_databases_that_are_needed_and_not_named_are_asked_for(
    folder: Path, options: tuple[str, ...], said: str
) -> None:
    assert said in error_of(without_databases(*options))


def test_notes_are_counted_with_their_rows(folder: Path) -> None:
    (folder / "pred.sql").write_text('SELECT "height" FROM singer\nSELECT count(name) AS n FROM singer\n')
    written = summary("--etype", "all")
    assert written["notes"] == {
        "double_quoted_text": {"n": 1, "right": 0, "right_by": "ex", "rows": [0]},
        "unreadable_em": {"n": 2, "right": 1, "right_by": "ex", "rows": [0, 1]},
    }
    printed = evaluate("--etype", "all").stdout
    assert "unreadable_em: 2, 1 right by execution; the prediction is outside the grammar" in printed
    assert "rows 0, 1\n" in printed
    assert [row["notes"] for row in verdicts("--etype", "all")][1] == ["unreadable_em"]


def test_the_classes_of_the_gold_are_shown_beside_its_hardness(folder: Path) -> None:
    golds = [line.split("\t") for line in GOLD.splitlines()]
    rows = [
        {"SQL": sql, "db_id": db_id, "difficulty": level}
        for (sql, db_id), level in zip(golds, ("simple", "challenging"), strict=True)
    ]
    (folder / "gold.txt").write_text(json.dumps(rows))
    (folder / "pred.sql").write_text(RIGHT.splitlines()[0] + "\n" + WRONG.splitlines()[1])
    lines = [line.split() for line in evaluate().stdout.splitlines()]
    assert lines[5][:3] == ["all", "2", "50.0"]
    assert [line[:3] for line in lines[6:8]] == [["simple", "1", "100.0"], ["challenging", "1", "0.0"]]
    assert summary()["slices"] == {"simple": 100.0, "challenging": 0.0}


def test_a_single_class_is_not_shown_beside_all(folder: Path) -> None:
    rows = [dict(zip(("gold", "db_id"), line.split("\t"), strict=True)) for line in GOLD.splitlines()]
    (folder / "gold.txt").write_text(json.dumps([row | {"slice": "all"} for row in rows]))
    lines = evaluate().stdout.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == ["easy", "medium", "hard", "extra", "all", "errors"]


def test_the_databases_may_be_files_in_one_folder(folder: Path) -> None:
    shutil.move(folder / "db/concert/concert.sqlite", folder / "db/concert.sqlite")
    shutil.rmtree(folder / "db/concert")
    assert [verdict["ex"] for verdict in verdicts()] == [True, True]


def test_predictions_can_be_read_from_a_pipe(folder: Path) -> None:
    result = CliRunner().invoke(
        main, ["evaluate", "--gold", "gold.txt", "--pred", "-", "--db", "db", "--workers", "1"], input=RIGHT
    )
    assert result.stdout.splitlines()[5].split()[:3] == ["all", "2", "100.0"]


def test_the_field_of_the_prediction_can_be_chosen(folder: Path) -> None:
    rows = [{"row": row, "sql": "", "fixed": sql} for row, sql in enumerate(RIGHT.splitlines())]
    (folder / "pred.jsonl").write_text("\n".join(json.dumps(row) for row in reversed(rows)))
    found = verdicts("--field", "pred=fixed", pred="pred.jsonl")
    assert [verdict["ex"] for verdict in found] == [True, True]


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
    settings = JudgeSettings(metrics=["ex_plug", "ts_plug"] if plug_values else ["ex", "ts"])
    verdict = as_official(Verdict(0, "concert", "", "easy", **fields), settings)
    assert verdict == Verdict(0, "concert", "", "easy", ex=True)


# -- the two files --


def test_bytes_that_are_not_utf8_affect_only_their_prediction(folder: Path) -> None:
    (folder / "pred.sql").write_bytes(b"SELECT '\xff\xfe\n" + RIGHT.splitlines()[1].encode())
    first, second = verdicts()
    assert (first["ex"], first["error"]) == (False, "syntax")
    assert second["ex"] is True


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
    assert "left out, because the gold query fails or its database is missing: rows 0" in result.stdout
    assert json.loads(Path("summary.json").read_text())["n"]["all"] == 1


def test_a_missing_database_affects_only_its_rows(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT 1\tabsent\nSELECT count(*) FROM singer\tconcert\n")
    result = evaluate()
    assert result.exit_code == 0
    assert "absent.sqlite" in result.stderr
    assert "left out, because the gold query fails or its database is missing: rows 0" in result.stdout


def test_missing_databases_are_one_warning_with_their_rows(folder: Path) -> None:
    write_database(folder / "db/damaged.sqlite", "")
    (folder / "db/damaged.sqlite").write_text("x")
    ids = ["absent"] * 2 + ["lost", "damaged", "damaged", "concert"]
    (folder / "gold.txt").write_text("".join(f"SELECT 1\t{db_id}\n" for db_id in ids))
    (folder / "pred.sql").write_text("SELECT 1\n" * 6)
    first, second = evaluate().stderr.splitlines()
    assert first == (
        "warning: db/absent/absent.sqlite: no such file; 2 databases are missing, so 3 of 6 rows are left "
        "out: absent (2 rows), lost (1 rows); correct --db, or put them there as ID/ID.sqlite"
    )
    assert "row 3 (counted from 0; database damaged) and others of this database: left out, " in second


def test_of_many_rows_that_are_left_out_the_first_are_shown(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT x FROM singer\tconcert\n" * 30 + "SELECT 1\tconcert\n")
    (folder / "pred.sql").write_text("SELECT 1\n" * 31)
    assert "rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, ... (30 in all)\n" in (
        evaluate("--quiet").stdout
    )


def test_rows_without_exact_match_have_a_reason_and_a_smaller_n(folder: Path) -> None:
    (folder / "gold.txt").write_text("VALUES (1)\tconcert\n" * 2 + "SELECT count(*) FROM singer\tconcert\n")
    (folder / "pred.sql").write_text("SELECT 1\nSELECT x FROM singer\nSELECT count(*) FROM singer\n")
    reason = "the gold query is outside its grammar"
    result = evaluate("--etype", "all")
    assert f"exact match not decided: 2, {reason}: rows 0, 1\n" in result.stdout
    head, *_, last = (line.split() for line in result.stdout.splitlines()[:6])
    assert head == ["n", "execution", "95", "%", "interval", "n", "exact", "match", "95", "%", "interval"]
    assert (last[:3], last[6:8]) == (["all", "3", "66.7"], ["1", "100.0"])
    assert "no exact match" not in result.stderr
    assert summary("--etype", "all")["em_undecided"] == {reason: [0, 1]}
    first, second, third = verdicts("--etype", "all")
    assert (first["em"], first["error"], first["message"]) == (None, None, f"no exact match: {reason}")
    assert second["message"] == f"no such column: x; no exact match: {reason}"
    assert (third["em"], third["message"]) == (True, None)


@pytest.mark.parametrize(
    ("pred", "said"),
    [
        (
            "SELECT 1 FROM pet",
            "warning: 2 of 2 predictions fail with no_such_table: the rows of the two files may",
        ),
        ("```sql SELECT 1```", "warning: 2 of 2 predictions fail with syntax: there may be Markdown fences"),
    ],
)
def test_predictions_that_fail_alike_are_reported_with_what_may_be_wrong(
    folder: Path, pred: str, said: str
) -> None:
    (folder / "pred.sql").write_text(f"{pred}\n" * 2)
    assert said in evaluate().stderr
    assert "--field pred=NAME" in evaluate().stderr
    assert evaluate("--quiet").stderr == ""


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
