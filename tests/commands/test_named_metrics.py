"""`text2sql evaluate --metric`: metrics by name, never mixed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from text2sql.cli import main
from text2sql.evaluation.settings import METRICS

GOLD = "SELECT name FROM singer\tconcert\nSELECT age FROM singer ORDER BY age\tconcert\n"
PREDICTED = "SELECT DISTINCT name FROM singer\nSELECT age FROM singer\n"
SINGERS = "CREATE TABLE singer (name TEXT, age INT);"
MANY = SINGERS + "INSERT INTO singer VALUES ('Ann', 41), ('Ann', 30), ('Cy', 35)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: gold.txt, pred.sql, and the database `concert` in db/."""
    (tmp_path / "gold.txt").write_text(GOLD)
    (tmp_path / "pred.sql").write_text(PREDICTED)
    write_database(tmp_path / "db/concert/concert.sqlite")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_database(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(MANY)


def evaluate(*options: str) -> Result:
    arguments = ["--gold", "gold.txt", "--pred", "pred.sql", "--db", "db", "--workers", "1"]
    return CliRunner().invoke(main, ["evaluate", *arguments, *options])


def verdicts(*options: str) -> list[dict[str, Any]]:
    result = evaluate("--out", "verdicts.jsonl", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in Path("verdicts.jsonl").read_text().splitlines()]


def metric(*names: str) -> list[str]:
    return [word for name in names for word in ("--metric", name)]


def error_of(*options: str) -> str:
    result = evaluate("--out", "verdicts.jsonl", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert not Path("verdicts.jsonl").exists()
    return result.stderr


def test_each_metric_has_its_own_field_and_no_other_is_there(folder: Path) -> None:
    rows = verdicts(*metric("strict", "bird_ex", "ex"))
    ends = ["error", "message", "notes", "seconds"]
    assert list(rows[0]) == ["row", "db_id", "hardness", "ex", "bird_ex", "strict", *ends]
    assert [(row["ex"], row["bird_ex"], row["strict"]) for row in rows] == [
        (True, True, False),
        (False, True, False),
    ]


def test_without_the_option_the_official_verdict_is_called_ex(folder: Path) -> None:
    names = {"row", "db_id", "hardness", "ex", "error", "message", "notes", "seconds"}
    assert verdicts()[0].keys() == names


def test_the_table_has_a_line_for_each_metric_with_its_n_and_interval(folder: Path) -> None:
    lines = evaluate(*metric("ex", "soft_f1", "strict")).stdout.splitlines()
    assert lines[0].split() == [
        "percent",
        "n",
        "easy",
        "medium",
        "hard",
        "extra",
        "all",
        *["95", "%", "interval", "of", "all"],
    ]
    assert lines[1].split() == ["n", "2", "0", "0", "0", "2"]
    assert lines[2].split() == ["ex", "2", "50.0", "–", "–", "–", "50.0", "9.5", "to", "90.5"]
    assert lines[3].split()[0] == "soft_f1"
    assert lines[4].split()[:3] == ["strict", "2", "0.0"]
    assert lines[5] == "errors of predictions: none"


def test_all_metrics_are_computed_in_one_run(folder: Path) -> None:
    write_database(folder / "db/concert/second.sqlite")
    result = evaluate("--metric", "all", "--json", "summary.json", "--ves-runs", "2")
    assert result.exit_code == 0
    summary = json.loads(Path("summary.json").read_text())
    assert [name for name in METRICS if name in summary] == list(METRICS)
    assert summary["n"]["all"] == 2
    assert summary["evaluator"]["ves_runs"] == 2
    assert [line.split()[0] for line in result.stdout.splitlines()[2:11]] == list(METRICS)


def test_the_noise_of_r_ves_is_said_where_it_is_measured_and_nowhere_else(folder: Path) -> None:
    assert "r_ves measures time and is noisy" in evaluate(*metric("r_ves"), "--ves-runs", "2").stderr
    assert evaluate(*metric("bird_ex")).stderr == ""
    assert "noisy" in " ".join(evaluate("--help").stdout.split())


def test_a_warning_is_called_one_once(folder: Path) -> None:
    assert evaluate(*metric("r_ves"), "--ves-runs", "2").stderr.startswith("warning: r_ves measures")


def test_a_metric_may_be_a_list_with_commas(folder: Path) -> None:
    assert evaluate("--metric", "strict, ex").stdout == evaluate(*metric("ex", "strict")).stdout
    assert "--metric exx: unknown" in error_of("--metric", "ex,exx")


def summary(*options: str) -> dict[str, Any]:
    result = evaluate("--json", "summary.json", *options)
    assert result.exit_code == 0, result.output
    written: dict[str, Any] = json.loads(Path("summary.json").read_text())
    return written


def write_doubtful(row: int, gold: str) -> None:
    found = {"row": row, "db_id": "concert", "gold": gold, "reasons": ["empty"]}
    Path("doubtful.jsonl").write_text(json.dumps(found))


def test_the_score_without_doubtful_gold_has_every_metric_by_its_name(folder: Path) -> None:
    write_doubtful(1, "SELECT age FROM singer ORDER BY age")
    options = [*metric("ex_plug", "soft_f1", "strict"), "--doubtful", "doubtful.jsonl"]
    said = "without the 1 rows with doubtful gold: ex_plug 100.0, soft_f1 100.0, strict 0.0 (n 1)"
    assert said in evaluate(*options).stdout
    second = summary(*options)["without_doubtful"]
    assert {"ex_plug", "soft_f1", "strict", "ex_plug_ci95", "soft_f1_ci95", "strict_ci95"} < second.keys()
    assert "ex" not in second


def test_without_any_reliable_row_each_metric_has_a_dash(folder: Path) -> None:
    for file in ("gold.txt", "pred.sql"):
        (folder / file).write_text((folder / file).read_text().splitlines()[0])
    write_doubtful(0, "SELECT name FROM singer")
    options = [*metric("strict"), "--doubtful", "doubtful.jsonl"]
    assert "without the 1 rows with doubtful gold: strict – (n 0)" in evaluate(*options).stdout
    assert "ex" not in summary(*options)["without_doubtful"]


def test_each_metric_says_on_what_it_was_measured(folder: Path) -> None:
    write_database(folder / "db/concert/second.sqlite")
    written = summary(*metric("ex", "ex_plug", "ts", "em", "strict"))
    one, two = {"fewest": 1, "most": 1}, {"fewest": 2, "most": 2}
    assert written["measured"] == {
        "ex": {"databases_per_question": one, "plugged": False},
        "ex_plug": {"databases_per_question": one, "plugged": True},
        "ts": {"databases_per_question": two, "plugged": False},
        "em": {"databases_per_question": None, "plugged": False},
        "strict": {"databases_per_question": one, "plugged": False},
    }
    assert "execution" not in written
    assert "plug_values" not in written["evaluator"]
    printed = evaluate(*metric("ex", "ex_plug", "ts", "em", "strict")).stdout
    assert "\nex, strict: on 1 database a question\n" in printed
    assert "\nex_plug: on 1 database a question, with the gold query's values plugged in\n" in printed
    assert "\nts: on 2 databases a question\n" in printed


def test_the_official_name_of_a_metric_is_not_shown_where_it_was_not_asked_for(folder: Path) -> None:
    assert "execution" not in evaluate(*metric("ex_plug", "strict")).stdout


def test_rows_with_a_note_are_right_by_one_named_metric(folder: Path) -> None:
    (folder / "pred.sql").write_text("SELECT name AS value FROM singer\nSELECT 'value'\n")
    note = summary(*metric("strict", "bird_ex", "soft_f1"))["notes"]["value_replaced"]
    assert note == {"n": 2, "right": 1, "right_by": "bird_ex", "rows": [0, 1]}
    printed = evaluate(*metric("strict", "bird_ex", "soft_f1")).stdout
    assert "value_replaced: 2, 1 right by bird_ex;" in printed


def test_an_unknown_metric_is_named_with_those_that_exist(folder: Path) -> None:
    message = error_of(*metric("ex", "accuracy"))
    assert "--metric accuracy: unknown; choose from ex, ex_plug, ts" in message
    assert "strict, all" in message


@pytest.mark.parametrize("other", [["--etype", "match"], ["--etype", "exec"], ["--plug-value"]])
def test_two_options_that_say_what_to_compare_are_refused(folder: Path, other: list[str]) -> None:
    message = error_of(*metric("ex"), *other)
    assert f"{other[0]} and --metric both say what to compare; leave out {other[0]}" in message


def test_a_test_suite_metric_without_a_test_suite_is_an_error(folder: Path) -> None:
    message = error_of(*metric("ts"))
    assert "--metric ts: no database in db has several files" in message
    assert "choose --metric ex" in message


def test_beside_other_metrics_those_of_test_suites_are_left_out_and_that_is_said(folder: Path) -> None:
    result = evaluate(*metric("ex", "ts", "ts_plug"))
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: ts, ts_plug: left out, no database in db")
    assert "ts" not in {line.split()[0] for line in result.stdout.splitlines()}
    assert verdicts(*metric("ex", "ts"))[0].keys() & {"ex", "ts"} == {"ex"}


def test_a_metric_named_twice_is_there_once(folder: Path) -> None:
    assert evaluate(*metric("ex", "ex")).stdout == evaluate(*metric("ex")).stdout


def test_if_every_gold_query_fails_that_is_an_error_and_no_table(folder: Path) -> None:
    (folder / "gold.txt").write_text("SELECT x FROM singer\tconcert\nSELECT y FROM singer\tconcert\n")
    result = evaluate(*metric("strict", "soft_f1"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "2 of 2 gold queries fail, most often (1 times) because of: no such column: x" in result.stderr


def test_the_settings_of_ex_hold_for_ex_alone(folder: Path) -> None:
    first = verdicts(*metric("ex", "bird_ex"), "--keep-distinct")[0]
    assert (first["ex"], first["bird_ex"]) == (False, True)
