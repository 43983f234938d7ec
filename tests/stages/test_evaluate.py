"""stages.evaluate: from predictions and databases to verdicts and metrics."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from stages import evaluate
from text2sql.evaluation.doubtful import kept
from text2sql.evaluation.execution.suite import write_manifest
from text2sql.evaluation.judge import EVALUATOR_VERSION, judge
from text2sql.evaluation.verdicts import Case, Verdict
from text2sql.report.kept_verdicts import question_mark

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {
    "arm": "lora",
    "questions": "data/test/test.jsonl",
    "predictions": "data/predictions/lora.jsonl",
    "databases": "data/raw/databases",
    "suites": "data/suites",
    "verdicts": "data/verdicts/lora.jsonl",
    "kept": "metrics/verdicts/lora.csv",
    "metrics": "metrics/lora.json",
}
GOLDS = ["SELECT name FROM singer", "SELECT count(*) FROM singer", "SELECT name FROM pet"]
PREDICTED = ["SELECT name FROM singer", "SELECT total FROM singer", "SELECT 'Rex'"]
DATABASES = ["concert", "concert", "pets"]


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, two databases, three questions and their predictions."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["evaluate"] = {"timeout_s": 5.0, "max_rows": 1000, "keep_value": False, "executor": "local"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    write_database(tmp_path, "concert", "CREATE TABLE singer (name); INSERT INTO singer VALUES (1)")
    write_database(tmp_path, "pets", "CREATE TABLE pet (name); INSERT INTO pet VALUES ('Rex')")
    write_questions(tmp_path, [question(row) for row in range(3)])
    write_predictions(tmp_path, [prediction(row) for row in range(3)])
    (tmp_path / "data/suites").mkdir()
    write_manifest(tmp_path / "data/suites", 1, {})
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def question(row: int, **changes: object) -> dict[str, object]:
    values = {
        "row": row,
        "db_id": DATABASES[row],
        "question": "?",
        "gold": GOLDS[row],
        "ddl": "",
        "slice": "",
        "backend": "rules",
        "problems": [],
    }
    return {**values, **changes}


def prediction(row: int, sql: str | None = None) -> dict[str, object]:
    return {"row": row, "sql": PREDICTED[row % 3] if sql is None else sql, "raw": ""}


def write_database(root: Path, db_id: str, script: str) -> None:
    folder = root / "data/raw/databases" / db_id
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / f"{db_id}.sqlite")
    connection.executescript(script)
    connection.close()


def write_questions(root: Path, rows: list[dict[str, object]]) -> None:
    write_lines(root / OPTIONS["questions"], rows)


def write_predictions(root: Path, rows: list[dict[str, object]]) -> None:
    write_lines(root / OPTIONS["predictions"], rows)


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run() -> Result:
    arguments = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    return CliRunner().invoke(evaluate.main, arguments)


def metrics(root: Path) -> dict[str, Any]:
    return json.loads((root / OPTIONS["metrics"]).read_text())


def assert_refused(root: Path, *words: str) -> None:
    """The stage ends with an error that says `words`, and has written nothing."""
    result = run()
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    for word in words:
        assert word in result.output
    assert not (root / "metrics").exists()
    assert not (root / "data/verdicts").exists()


def test_it_writes_one_verdict_per_question_and_the_scores(pipeline: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    lines = (pipeline / OPTIONS["verdicts"]).read_text().splitlines()
    assert [json.loads(line)["ex"] for line in lines] == [True, False, True]
    scored = ["ex", "ex_plug", "ts", "ts_plug", "em"]
    assert list(json.loads(lines[0])) == [
        *("row", "db_id", "slice", "hardness"),
        *scored,
        *("error", "message", "notes"),
    ]
    assert [metrics(pipeline)[name]["all"] for name in ("ex", "ex_plug", "em")] == [66.7, 66.7, 33.3]
    assert metrics(pipeline)["errors"] == {"no_such_column": 1}


def test_further_metrics_are_computed_where_params_name_them(pipeline: Path) -> None:
    path = pipeline / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["evaluate"]["metrics"] = ["ex", "bird_ex", "soft_f1", "strict"]
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    result = run()
    assert result.exit_code == 0, result.output
    assert [metrics(pipeline)[name]["all"] for name in ("ex", "bird_ex", "soft_f1", "strict")] == [66.7] * 4
    assert not {"em", "ex_plug", "r_ves"} & metrics(pipeline).keys()
    rows = [json.loads(line) for line in (pipeline / OPTIONS["verdicts"]).read_text().splitlines()]
    assert [row["strict"] for row in rows] == [True, False, True]


def test_answers_that_were_cut_short_empty_or_declined_are_counted(pipeline: Path) -> None:
    run()
    none = {"truncated": 0, "empty": 0, "declined": 0, "prompt_too_long": 0}
    assert metrics(pipeline)["answers"] == none
    counted = [{"truncated": 2, "empty": 1}, {"truncated": 1}, {"prompt_too_long": 1}]
    rows = [prediction(row) | {"problems": problems} for row, problems in enumerate(counted)]
    write_predictions(pipeline, rows)
    assert run().exit_code == 0
    assert metrics(pipeline)["answers"] == none | {"truncated": 3, "empty": 1, "prompt_too_long": 1}


@pytest.mark.parametrize("problems", [{"lost": 1}, {"truncated": "3"}, {"truncated": True}, ["truncated"], 3])
def test_predictions_with_unknown_problems_are_named(pipeline: Path, problems: object) -> None:
    write_predictions(pipeline, [prediction(0), prediction(1) | {"problems": problems}, prediction(2)])
    assert_refused(pipeline, "row 1 with unknown problems", "run `dvc repro predict@lora`")


def test_the_metrics_name_the_evaluator_and_its_limits(pipeline: Path) -> None:
    run()
    assert metrics(pipeline)["evaluator"] == {
        "version": EVALUATOR_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "timeout_s": 5.0,
        "max_rows": 1000,
        "memory_mb": 128,
        "spill_mb": 2048,
        "plug_values": True,
        "keep_distinct": False,
        "keep_value": False,
    }


def test_the_results_of_gold_queries_are_kept_in_the_work_store(pipeline: Path) -> None:
    run()
    with sqlite3.connect(pipeline / "work/evaluate/gold.sqlite") as connection:
        kept = connection.execute("SELECT count(*) FROM gold").fetchone()
    connection.close()
    assert kept == (3,)


def test_a_second_run_writes_the_same_bytes(pipeline: Path) -> None:
    written = []
    for _ in range(2):
        run()
        written.append([(pipeline / OPTIONS[name]).read_bytes() for name in ("verdicts", "kept", "metrics")])
    assert written[0] == written[1]


def test_a_short_line_of_each_verdict_is_kept_for_git(pipeline: Path) -> None:
    write_questions(pipeline, [question(0), question(1), question(2, gold="")])
    run()
    marks = [question_mark("?", gold) for gold in (*GOLDS[:2], "")]
    assert (pipeline / OPTIONS["kept"]).read_text().splitlines() == [
        "row,test_set,db_id,question,right,error",
        f"0,,concert,{marks[0]},1,",
        f"1,,concert,{marks[1]},0,no_such_column",
        f"2,,pets,{marks[2]},,no_gold",
    ]
    write_questions(pipeline, [question(row, test_set="spider") for row in range(3)])
    run()
    assert f"0,spider,concert,{marks[0]},1," in (pipeline / OPTIONS["kept"]).read_text()


def test_the_order_of_predictions_does_not_matter(pipeline: Path) -> None:
    run()
    before = (pipeline / OPTIONS["verdicts"]).read_bytes()
    write_predictions(pipeline, [prediction(row) for row in (2, 0, 1)])
    run()
    assert (pipeline / OPTIONS["verdicts"]).read_bytes() == before


def test_progress_goes_to_stderr_and_stdout_stays_empty(pipeline: Path) -> None:
    result = run()
    assert result.stdout == ""
    assert "evaluate lora: 3/3 questions" in result.stderr


def test_a_failing_gold_is_named_and_not_counted(pipeline: Path) -> None:
    rows = [question(0), question(1, gold="SELECT height FROM singer"), question(2)]
    write_questions(pipeline, rows)
    result = run()
    assert result.exit_code == 0
    assert "data/test/test.jsonl, row 1 (database concert)" in result.stderr
    assert metrics(pipeline)["gold_failures"] == [1]
    assert metrics(pipeline)["n"]["all"] == 2
    assert metrics(pipeline)["errors"] == {}


def test_a_gold_without_hardness_is_counted_under_all_and_named(pipeline: Path) -> None:
    write_questions(pipeline, [question(0), question(1), question(2, gold="VALUES ('Rex')")])
    run()
    assert metrics(pipeline)["no_hardness"] == [2]
    assert metrics(pipeline)["ex"]["all"] == 66.7


def test_missing_predictions_are_named(pipeline: Path) -> None:
    write_predictions(pipeline, [prediction(1)])
    words = ("data/predictions/lora.jsonl", "1 predictions for 3 questions", "rows 0, 2 missing")
    assert_refused(pipeline, *words, "dvc repro predict@lora")


def test_repeated_predictions_are_named(pipeline: Path) -> None:
    write_predictions(pipeline, [prediction(row) for row in (0, 1, 1, 2)])
    assert_refused(pipeline, "row 1 more than once", "dvc repro predict@lora")


def test_predictions_of_no_question_are_named(pipeline: Path) -> None:
    write_predictions(pipeline, [prediction(row) for row in range(4)])
    assert_refused(pipeline, "row 3 not among the questions", "dvc repro predict@lora")


def test_predictions_without_text_are_named(pipeline: Path) -> None:
    write_predictions(pipeline, [prediction(0), {"row": 1, "sql": None, "raw": ""}, prediction(2)])
    assert_refused(pipeline, "row 1 without SQL text", "dvc repro predict@lora")


def test_a_long_list_of_rows_is_cut_short(pipeline: Path) -> None:
    write_predictions(pipeline, [prediction(row) for row in range(20)])
    assert_refused(pipeline, "rows 3, 4, 5, 6, 7 and 12 others")


def test_an_empty_prediction_is_judged_and_not_missing(pipeline: Path) -> None:
    write_predictions(pipeline, [prediction(0, sql=""), prediction(1), prediction(2)])
    run()
    assert metrics(pipeline)["errors"] == {"empty": 1, "no_such_column": 1}


def test_no_predictions_file_names_it(pipeline: Path) -> None:
    (pipeline / OPTIONS["predictions"]).unlink()
    assert_refused(pipeline, "data/predictions/lora.jsonl")


def test_a_row_number_of_two_questions_is_named(pipeline: Path) -> None:
    write_questions(pipeline, [question(0), question(1), question(1)])
    assert_refused(pipeline, "data/test/test.jsonl", "row 1 more than once", "dvc repro")


def test_a_file_without_questions_is_refused(pipeline: Path) -> None:
    write_questions(pipeline, [])
    assert_refused(pipeline, "data/test/test.jsonl", "no questions", "dvc repro")


def test_all_missing_databases_are_named_before_any_query_runs(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(pipeline / "data/raw/databases")
    monkeypatch.setattr(evaluate, "judge", lambda *_, **__: pytest.fail("a query ran"))
    assert_refused(pipeline, "2 of 2 databases", "concert, pets", "dvc repro fetch_data")


def test_a_broken_database_is_named_and_its_rows_are_not_counted(pipeline: Path) -> None:
    (pipeline / "data/raw/databases/pets/pets.sqlite").write_bytes(b"")
    result = run()
    assert result.exit_code == 0
    assert "row 2 (database pets): left out, gold: database: data/raw/databases/pets" in result.stderr
    assert metrics(pipeline)["gold_failures"] == [2]


def write_two_sets(root: Path, **changes: object) -> None:
    """Rows 0 and 1 are of the set spider, row 2 is of the set own."""
    sets = ["spider", "spider", "own"]
    rows = [question(row, test_set=sets[row]) for row in range(3)]
    write_questions(root, [*rows[:2], rows[2] | changes])


def verdict_rows(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / OPTIONS["verdicts"]).read_text().splitlines()]


def test_several_test_sets_are_scored_one_by_one(pipeline: Path) -> None:
    write_two_sets(pipeline)
    assert run().exit_code == 0
    found = metrics(pipeline)
    assert (found["test_set"], found["ex"]["all"], found["n"]["all"]) == ("spider", 50.0, 2)
    own = found["other_sets"]["own"]
    assert list(found["other_sets"]) == ["own"]
    assert (own["ex"]["all"], own["n"]["all"]) == (100.0, 1)
    assert [row["test_set"] for row in verdict_rows(pipeline)] == ["spider", "spider", "own"]
    assert [row["row"] for row in verdict_rows(pipeline)] == [0, 1, 2]


def test_the_first_of_several_sets_has_the_scores_that_it_has_alone(pipeline: Path) -> None:
    write_two_sets(pipeline)
    run()
    several = metrics(pipeline)
    write_questions(pipeline, [question(0), question(1)])
    write_predictions(pipeline, [prediction(0), prediction(1)])
    run()
    assert metrics(pipeline) == {k: v for k, v in several.items() if k not in ("test_set", "other_sets")}


def test_with_one_named_set_the_files_are_those_of_an_unnamed_one(pipeline: Path) -> None:
    written = []
    for name in ("", "spider"):
        write_questions(pipeline, [question(row, test_set=name) for row in range(3)])
        run()
        written.append([(pipeline / OPTIONS[name]).read_bytes() for name in ("verdicts", "metrics")])
    assert written[0] == written[1]


@pytest.mark.parametrize("gold", ["", " \n"])
def test_a_question_without_gold_is_not_run_and_says_so(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, gold: str
) -> None:
    write_questions(pipeline, [question(0), question(1, gold=gold), question(2)])
    judged: list[int] = []

    def watched(cases: list[Case], *arguments: Any, **options: Any) -> Iterator[Verdict]:
        judged.extend(case.row for case in cases)
        return judge(cases, *arguments, **options)

    monkeypatch.setattr(evaluate, "judge", watched)
    result = run()
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr
    assert judged == [0, 2]
    assert [row["error"] for row in verdict_rows(pipeline)] == [None, "no_gold", None]
    assert [row["ex"] for row in verdict_rows(pipeline)] == [True, None, True]
    assert (metrics(pipeline)["n"]["all"], metrics(pipeline)["without_gold"]) == (2, 1)


@pytest.mark.parametrize("without", [[0], [0, 1], [2], [0, 2], [1, 2]])
def test_verdicts_stay_with_their_questions_wherever_gold_is_missing(
    pipeline: Path, without: list[int]
) -> None:
    write_questions(pipeline, [question(row, gold="" if row in without else GOLDS[row]) for row in range(3)])
    run()
    expected = [None if row in without else ex for row, ex in enumerate([True, False, True])]
    assert [row["ex"] for row in verdict_rows(pipeline)] == expected
    assert [row["row"] for row in verdict_rows(pipeline)] == [0, 1, 2]


def test_without_any_gold_the_stage_succeeds_and_says_that_nothing_is_scored(pipeline: Path) -> None:
    write_questions(pipeline, [question(row, gold="") for row in range(3)])
    result = run()
    assert result.exit_code == 0, result.output
    said = "data/test/test.jsonl: no question has gold SQL; 3 questions are predicted and not scored"
    assert said in result.stderr
    assert list(metrics(pipeline)) == ["without_gold", "answers", "evaluator"]


def test_questions_without_gold_need_no_database(pipeline: Path) -> None:
    shutil.rmtree(pipeline / "data/raw/databases/pets")
    write_two_sets(pipeline, gold="")
    result = run()
    assert result.exit_code == 0, result.output
    assert "test set own: no question has gold SQL; 1 questions" in result.stderr
    none = {"truncated": 0, "empty": 0, "declined": 0, "prompt_too_long": 0}
    assert metrics(pipeline)["other_sets"] == {"own": {"without_gold": 1, "answers": none}}


def test_the_set_of_a_missing_database_is_named(pipeline: Path) -> None:
    shutil.rmtree(pipeline / "data/raw/databases/pets")
    write_two_sets(pipeline)
    words = ("data/raw/databases/pets/pets.sqlite: no such file", "1 of 1 databases of test set own")
    assert_refused(pipeline, *words, "ID/ID.sqlite", "dvc repro fetch_data")


def test_a_set_of_which_many_golds_fail_is_named_with_the_messages(pipeline: Path) -> None:
    write_two_sets(pipeline, gold="SELECT group_concat(name SEPARATOR ',') FROM pet")
    result = run()
    assert result.exit_code == 0, result.output
    assert "test set own: the gold SQL of 1 of 1 questions fails" in result.stderr
    assert 'near "SEPARATOR": syntax error (1 times)' in result.stderr


def test_questions_of_which_only_some_name_their_set_are_refused(pipeline: Path) -> None:
    write_questions(pipeline, [question(0, test_set="spider"), question(1), question(2, test_set="own")])
    assert_refused(pipeline, "data/test/test.jsonl: row 1 without a test set", "dvc repro convert_schema")


def test_a_second_score_leaves_out_doubtful_gold_which_is_found_once_for_all_arms(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_questions(pipeline, [question(0), question(1, gold="SELECT name FROM singer LIMIT 0"), question(2)])
    assert run().exit_code == 0
    second = metrics(pipeline)["without_doubtful"]
    assert (metrics(pipeline)["n"]["all"], second["n"]["all"], second["ex"]["all"]) == (3, 2, 100.0)
    assert second["rows"] == {"empty": 1}
    monkeypatch.setattr(kept, "audit", None)  # a second search would fail
    assert run().exit_code == 0
    assert metrics(pipeline)["without_doubtful"] == second


def test_without_doubtful_gold_there_is_no_second_score(pipeline: Path) -> None:
    assert run().exit_code == 0
    assert metrics(pipeline)["without_doubtful"] == {"rows": {}}
