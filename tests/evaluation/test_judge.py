"""Verdicts from gold and predicted queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.evaluation.case_judge import CaseJudge, WorkerLoss
from text2sql.evaluation.execution.databases import database_files, ignored_files, warning_of_ignored
from text2sql.evaluation.execution.sandbox import DatabaseError
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import SPIDER_METRICS, JudgeSettings, Metric
from text2sql.evaluation.verdicts import Case, Verdict, as_row

PLUGGED: list[Metric] = ["ex", "ex_plug", "ts", "ts_plug"]
TABLE = "CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y');"
HEADER = b"SQLite format 3\0"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def write_database(path: Path, script: str = TABLE) -> None:
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    for db_id in ("concert", "pets"):
        write_database(database_path(tmp_path, db_id))
    return tmp_path


def verdicts(databases: Path, *cases: tuple[str, str], **settings: object) -> list[Verdict]:
    """Judge pairs of gold and predicted SQL on the database `concert`."""
    pairs = [Case(row, "concert", gold, predicted) for row, (gold, predicted) in enumerate(cases)]
    return list(
        judge(pairs, databases, JudgeSettings.model_validate({"timeout_s": 2.0, **settings}), workers=1)
    )


def verdict(databases: Path, gold: str, predicted: str, **settings: object) -> Verdict:
    (found,) = verdicts(databases, (gold, predicted), **settings)
    return found


def test_a_prediction_with_the_golds_result_is_right(databases: Path) -> None:
    found = verdict(databases, "SELECT a, b FROM t", "SELECT t.b, t.a FROM t ORDER BY b DESC")
    assert (found.ex, found.hardness, found.error) == (True, "medium", None)


def test_a_prediction_with_another_result_is_wrong_without_an_error(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT b FROM t")
    assert (found.ex, found.error) == (False, None)


def test_a_failing_prediction_is_wrong_and_says_why(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT c FROM t")
    assert (found.ex, found.error, found.message) == (False, "no_such_column", "no such column: c")


def test_order_counts_where_the_gold_asks_for_it(databases: Path) -> None:
    ascending, descending = "SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"
    found = verdicts(databases, (ascending, descending), ("SELECT a FROM t", descending))
    assert [each.ex for each in found] == [False, True]


def test_distinct_counts_only_when_kept(databases: Path) -> None:
    queries = ("SELECT a FROM t", "SELECT DISTINCT a FROM t")
    assert verdict(databases, *queries).ex is True
    assert verdict(databases, *queries, keep_distinct=True).ex is False


def test_the_word_value_becomes_1_unless_kept(databases: Path) -> None:
    queries = ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t WHERE a = value")
    assert verdict(databases, *queries).ex is True
    assert verdict(databases, *queries, keep_value=True).error == "no_such_column"


def test_of_several_statements_the_first_is_judged_and_the_row_says_so(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT a FROM t; DROP TABLE t")
    assert (found.ex, found.error) == (True, "denied")
    assert verdict(databases, "SELECT a FROM t", "SELECT a FROM t").ex is True


@pytest.mark.parametrize("predicted", ["-- I cannot tell", ";", "/* none */"])
def test_a_comment_returns_no_rows_like_some_gold_queries(databases: Path, predicted: str) -> None:
    some, none = "SELECT a FROM t", "SELECT a FROM t WHERE a > 5"
    found = verdicts(databases, (some, predicted), (none, predicted))
    assert [(each.ex, each.error) for each in found] == [(False, "empty"), (True, "empty")]


def test_an_empty_prediction_is_wrong_even_where_the_gold_returns_nothing(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t WHERE a > 5", "")
    assert (found.ex, found.error) == (False, "empty")


def test_plugged_values_are_a_second_verdict(databases: Path) -> None:
    queries = ("SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = 'nothing like it'")
    found = verdict(databases, *queries, metrics=PLUGGED)
    assert (found.ex, found.ex_plug) == (False, True)
    assert verdict(databases, *queries).ex_plug is None


def test_no_way_of_plugging_makes_another_query_right(databases: Path) -> None:
    found = verdict(
        databases, "SELECT a FROM t WHERE b = 'x'", "SELECT b FROM t WHERE b = 'y'", metrics=PLUGGED
    )
    assert (found.ex, found.ex_plug) == (False, False)


def test_plugging_very_many_values_stops_at_the_deadline(databases: Path) -> None:
    gold = "SELECT a FROM t WHERE a IN ( " + " , ".join(map(str, range(20))) + " )"
    predicted = "SELECT b FROM t WHERE " + " OR ".join(["a = 1"] * 20)
    found = verdict(databases, gold, predicted, metrics=PLUGGED, timeout_s=0.3)
    assert (found.ex, found.ex_plug, found.error) == (False, False, None)
    assert found.message == "plugging values in ran out of time; until then no way was right"
    assert found.seconds < 1.3


def test_a_worker_lost_while_values_were_plugged_in_is_no_failure_of_the_query(databases: Path) -> None:
    case_judge = CaseJudge(databases, JudgeSettings(metrics=PLUGGED))
    case = Case(0, "concert", "SELECT a FROM t WHERE b = 'x'", "SELECT b FROM t WHERE b = 'z'")
    lost = WorkerLoss("timeout", 1.0, "plugging", again=False)
    found = case_judge.judge(case, lambda phase: None, lost)
    assert (found.ex, found.ex_plug, found.error) == (False, False, None)
    assert found.message and "its process was killed while values were plugged in" in found.message


def test_an_unknown_column_in_a_rewritten_prediction_names_the_flag(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT my_value FROM t")
    assert found.message and found.message.startswith("no such column: my_1 (")
    assert "--keep-value" in found.message
    assert verdict(databases, "SELECT a FROM t", "SELECT c FROM t").message == "no such column: c"


def test_a_gold_query_that_is_a_comment_returns_no_rows(databases: Path) -> None:
    found = verdicts(databases, ("-- nothing", "SELECT a FROM t WHERE a > 9"), ("-- nothing", "SELECT 1"))
    assert [(each.ex, each.error) for each in found] == [(True, None), (False, None)]


def test_the_same_text_is_run_again_where_its_result_varies(databases: Path) -> None:
    found = verdicts(databases, ("SELECT random()",) * 2, ("SELECT a FROM t",) * 2)
    assert [each.ex for each in found] == [False, True]


def test_without_a_schema_exact_match_is_null_with_the_reason_and_execution_is_judged(
    databases: Path, tmp_path: Path
) -> None:
    tables = tmp_path / "tables.json"
    tables.write_text("[]")
    cases = [Case(0, "concert", "SELECT a FROM t", "SELECT a FROM t")]
    (found,) = judge(cases, databases, JudgeSettings(metrics=["ex", "em"]), tables=tables, workers=1)
    assert (found.ex, found.em, found.error) == (True, None, None)
    assert found.message and "no exact match: " in found.message and "'concert'" in found.message


def test_exact_match_is_computed_on_request(databases: Path) -> None:
    queries = ("SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = 'y'")
    found = verdict(databases, *queries, metrics=["ex", "em"])
    assert (found.ex, found.em) == (False, True)
    assert found.parts is not None and found.parts["where"].shared == 1
    assert verdict(databases, *queries).em is None


def test_exact_match_needs_no_execution(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT b FROM t", metrics=["em"])
    assert (found.ex, found.em, found.error) == (None, False, None)


def test_exact_match_is_unknown_where_the_gold_cannot_be_read(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t WHERE b IS NULL", "SELECT a FROM t", metrics=["ex", "em"])
    assert (found.ex, found.em) == (False, None)


@pytest.mark.parametrize("gold", ["SELECT c FROM t", "SELECT a FROM u", "nonsense", "", ENDLESS])
def test_a_failing_gold_gives_no_verdict_but_its_error(databases: Path, gold: str) -> None:
    found = verdict(databases, gold, "SELECT a FROM t", timeout_s=0.3)
    assert found.gold_failed
    assert (found.ex, found.hardness) == (None, None)


def test_a_gold_without_hardness_is_judged_anyway(databases: Path) -> None:
    found = verdict(databases, "VALUES (1)", "SELECT 1")
    assert (found.ex, found.hardness) == (True, None)


def test_a_failing_row_leaves_the_others_as_they_are(databases: Path) -> None:
    fine = ("SELECT a FROM t", "SELECT a FROM t")
    found = verdicts(
        databases, fine, ("SELECT c FROM t", "x"), ("SELECT a FROM t", ENDLESS), fine, timeout_s=0.3
    )
    assert [each.error for each in found] == [None, "gold: no_such_column", "timeout", None]


def test_verdicts_keep_the_order_of_the_cases_and_their_slices(databases: Path) -> None:
    cases = [Case(row, ("pets", "concert")[row % 2], "SELECT 1", "SELECT 1", f"s{row}") for row in range(99)]
    found = list(judge(cases, databases, JudgeSettings(), workers=2))
    assert [(each.row, each.db_id, each.slice) for each in found] == [
        (case.row, case.db_id, case.slice) for case in cases
    ]


@pytest.mark.parametrize("content", [None, b"", b"<html>404</html>"])
def test_a_missing_or_damaged_database_fails_its_rows_only(databases: Path, content: bytes | None) -> None:
    path = database_path(databases, "broken")
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    cases = [Case(0, "broken", "SELECT 1", "SELECT 1"), Case(1, "pets", "SELECT 1", "SELECT 1")]
    broken, fine = judge(cases, databases, JudgeSettings(metrics=["ex", "em"]), workers=1)
    assert (broken.error, fine.ex) == ("gold: database", True)
    assert broken.message is not None and "broken.sqlite" in broken.message
    assert path.exists() is (content is not None)


# -- several databases --


@pytest.fixture
def suite(databases: Path) -> Path:
    write_database(databases / "concert/other.sqlite", TABLE + "INSERT INTO t VALUES (9, NULL);")
    return databases


def test_without_further_databases_there_is_no_test_suite_verdict(databases: Path) -> None:
    assert verdict(databases, "SELECT a FROM t", "SELECT a FROM t").ts is None


def test_a_query_that_is_right_by_chance_fails_on_another_database(suite: Path) -> None:
    found = verdict(suite, "SELECT a FROM t", "SELECT a FROM t WHERE b IS NOT NULL")
    assert (found.ex, found.ts) == (True, False)


def test_a_query_that_is_right_everywhere_passes_the_test_suite(suite: Path) -> None:
    found = verdict(suite, "SELECT a FROM t", "SELECT t.a FROM t")
    assert (found.ex, found.ts) == (True, True)


def test_plugged_values_must_be_the_same_on_every_database(suite: Path) -> None:
    found = verdict(
        suite,
        "SELECT count(*) FROM t WHERE a < 5",
        "SELECT count(*) FROM t WHERE a < 7",
        metrics=PLUGGED,
    )
    assert (found.ex, found.ts, found.ex_plug, found.ts_plug) == (True, True, True, True)
    wrong = verdict(
        suite, "SELECT count(*) FROM t WHERE a < 9", "SELECT count(*) FROM t WHERE a > 0", metrics=PLUGGED
    )
    assert (wrong.ex, wrong.ts, wrong.ex_plug, wrong.ts_plug) == (True, False, True, False)


def test_a_gold_that_fails_on_one_database_fails_the_row(databases: Path) -> None:
    write_database(databases / "concert/other.sqlite", "CREATE TABLE t (b)")
    assert verdict(databases, "SELECT a FROM t", "SELECT a FROM t").error == "gold: no_such_column"


def test_the_databases_of_a_schema_are_its_own_and_then_the_others_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    for name in ("b.sqlite", "db.sqlite", "a.sqlite3", "notes.txt", "c.sqlite_1"):
        (folder / name).write_bytes(HEADER)
    (folder / "x.sqlite.d").mkdir()
    found = [path.name for path in database_files(tmp_path, "db")]
    assert found == ["db.sqlite", "a.sqlite3", "b.sqlite", "c.sqlite_1"]


def test_what_is_no_database_is_in_no_test_suite_and_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    stray = ["._db.sqlite", "db.sqlite-journal", "db.sqlite-wal", "db.sqlite.bak", "db.sqlite.zip"]
    for name in ("db.sqlite", *stray):
        (folder / name).write_bytes(HEADER)
    (folder / "page.sqlite").write_bytes(b"<html>404</html>")
    assert [path.name for path in database_files(tmp_path, "db")] == ["db.sqlite"]
    assert [path.name for path in ignored_files(tmp_path, "db")] == [*stray, "page.sqlite"]
    assert "._db.sqlite and 5 others: no SQLite database" in warning_of_ignored(tmp_path, ["db", "db"])
    assert warning_of_ignored(tmp_path, ["absent"]) == ""


def test_the_database_of_that_name_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"db\.sqlite"):
        database_files(tmp_path, "db")


@pytest.mark.parametrize("name", ["pets.sqlite", "pets.db", "pets/pets.db"])
def test_a_database_may_be_kept_without_a_folder_or_with_another_suffix(tmp_path: Path, name: str) -> None:
    write_database(tmp_path / name)
    write_database(tmp_path / "other.sqlite", "CREATE TABLE u (c)")
    cases = [Case(0, "pets", "SELECT a FROM t", "SELECT a FROM t AS u")]
    (found,) = judge(cases, tmp_path, JudgeSettings(metrics=["ex", "ts", "em"]), workers=1)
    assert (found.ex, found.ts, found.em, found.error) == (True, None, True, None)


# -- notes --


def notes(databases: Path, gold: str, predicted: str, **settings: object) -> tuple[str, ...]:
    return verdict(databases, gold, predicted, **settings).notes


def test_a_plain_verdict_has_no_notes(databases: Path) -> None:
    assert notes(databases, "SELECT a FROM t", "SELECT b FROM t", metrics=list(SPIDER_METRICS)) == ()


def test_a_right_answer_without_rows_is_noted(databases: Path) -> None:
    nothing = "SELECT a FROM t WHERE a > 9"
    assert notes(databases, nothing, "SELECT b FROM t WHERE a > 99") == ("empty_equal",)
    assert notes(databases, nothing, "SELECT a FROM t") == ()
    assert notes(databases, nothing, "SELECT x FROM t") == ()
    write_database(
        databases / "concert/other.sqlite", "CREATE TABLE t (a, b); INSERT INTO t VALUES (10, 'z')"
    )
    assert notes(databases, nothing, "SELECT a FROM t WHERE a = 10") == ()


def test_a_replaced_value_is_noted_unless_the_word_is_kept(databases: Path) -> None:
    queries = ("SELECT a FROM t WHERE a = 1", "SELECT a FROM t WHERE a = value")
    assert notes(databases, *queries) == ("value_replaced",)
    assert notes(databases, *queries, metrics=["em"]) == ("value_replaced",)
    assert notes(databases, *queries, keep_value=True) == ()


def test_a_prediction_that_exact_match_cannot_read_is_noted(databases: Path) -> None:
    found = verdict(databases, "SELECT a FROM t", "SELECT a + 0 AS b FROM t", metrics=["ex", "em"])
    assert (found.ex, found.em, found.notes) == (True, False, ("unreadable_em",))
    assert notes(databases, "SELECT a FROM t", "SELECT a + 0 AS b FROM t") == ()


def test_a_quoted_name_that_is_no_column_is_noted(databases: Path) -> None:
    for predicted in ('SELECT "c" FROM t', 'SELECT a FROM t ORDER BY "c"', 'SELECT a FROM t WHERE "c" > 1'):
        assert notes(databases, "SELECT a FROM t", predicted) == ("double_quoted_text",)
    for predicted in (
        'SELECT "a" FROM t',
        'SELECT a FROM t WHERE b = "c"',
        'SELECT "c", d FROM t',
        'SELECT "c',
    ):
        assert notes(databases, "SELECT a FROM t", predicted) == ()


def test_a_gold_that_cuts_ties_is_noted(databases: Path) -> None:
    assert notes(databases, "SELECT b FROM t ORDER BY a DESC LIMIT 1", "SELECT 'y'") == ("gold_cuts_ties",)
    assert notes(databases, "SELECT b FROM t ORDER BY a LIMIT 1", "SELECT 'x'") == ()
    assert notes(databases, "SELECT b FROM t ORDER BY a, nothing LIMIT 1", "SELECT 'x'") == ()


def test_a_ties_query_that_fails_changes_no_verdict(databases: Path) -> None:
    aliased = "SELECT b, a AS other FROM t ORDER BY other + 0 LIMIT 2"
    found = verdict(databases, aliased, aliased)
    assert (found.ex, found.error, found.notes) == (True, None, ())


# -- where it runs --


def test_gold_results_are_kept_for_the_next_arm(databases: Path, tmp_path: Path) -> None:
    cases = [Case(0, "concert", "SELECT random()", "SELECT random() AS other")]
    cache = tmp_path / "work/gold.sqlite"
    list(judge(cases, databases, JudgeSettings(), gold_cache=cache))
    with sqlite3.connect(cache) as connection:
        kept = connection.execute("SELECT count(*) FROM gold").fetchone()
    connection.close()
    assert kept == (1,)


def test_a_damaged_cache_of_gold_results_ends_the_run(databases: Path, tmp_path: Path) -> None:
    cache = tmp_path / "gold.sqlite"
    cache.write_bytes(b"not a database, but long enough to be read as one" * 50)
    cases = [Case(0, "concert", "SELECT 1", "SELECT 1")]
    with pytest.raises(UserError, match=r"gold\.sqlite.*delete"):
        list(judge(cases, databases, JudgeSettings(), gold_cache=cache))


def test_memory_does_not_grow_with_the_number_of_cases(databases: Path) -> None:
    read = 0

    def cases() -> Iterator[Case]:
        nonlocal read
        for row in range(100_000):
            read = row
            yield Case(row, "concert", "SELECT 1", "SELECT 1")

    stream = judge(cases(), databases, JudgeSettings(), workers=2)
    for _ in range(10):
        next(stream)
    assert read < 2000
    stream.close()  # type: ignore[attr-defined]


def test_a_row_for_the_file_holds_what_is_the_same_everywhere(databases: Path) -> None:
    row = as_row(verdict(databases, "SELECT a FROM t", "SELECT a FROM t", metrics=["ex", "em"]))
    assert (row["ex"], row["em"], row["db_id"]) == (True, True, "concert")
    assert "seconds" not in row
    assert "parts" not in row
