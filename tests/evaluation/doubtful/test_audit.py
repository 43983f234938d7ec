"""Gold queries examined on databases: what has an effect there, and faults."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from text2sql.evaluation.doubtful.audit import Audited, audit
from text2sql.evaluation.doubtful.questions import Gold
from text2sql.evaluation.doubtful.reasons import doubtful_reasons
from text2sql.evaluation.doubtful.reversed_rows import NotCopied, write_reversed
from text2sql.evaluation.settings import EvaluationSettings

# On a busy machine even a quick query may take seconds.
SETTINGS = EvaluationSettings(timeout_s=60.0, max_rows=1000)
SINGERS = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INT, country TEXT, rating TEXT, photo BLOB);
INSERT INTO singer VALUES
 (1, 'Ann', 30, 'fr', '9', x'00ff'), (2, 'Bo', 41, 'us', '10', x'01'), (3, 'Cy', 30, 'fr', '8', NULL),
 (4, 'Di', NULL, 'us', '7', x'00ff'), (5, 'Eve', NULL, 'it', '6', NULL);
CREATE TABLE "it's ""one"" table" ("a ""b"" c" TEXT);
INSERT INTO "it's ""one"" table" VALUES ('x'), ('y');
CREATE TABLE nocase (word TEXT COLLATE NOCASE, n INT);
INSERT INTO nocase VALUES ('a', 1), ('A', 2), ('b', 3);
CREATE TABLE empty (a);
"""
ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    write_database(tmp_path, "music", SINGERS)
    # A collation keeps a database from being copied, so there is one without.
    write_database(tmp_path, "plain", SINGERS.replace(" COLLATE NOCASE", ""))
    return tmp_path


def write_database(folder: Path, db_id: str, script: str) -> None:
    (folder / db_id).mkdir()
    with closing(sqlite3.connect(folder / db_id / f"{db_id}.sqlite")) as connection:
        connection.executescript(script)


def examine(databases: Path | None, *golds: str, db_id: str = "plain", **changes: Any) -> list[Audited]:
    settings = SETTINGS.model_copy(update=changes)
    return audit([Gold(row, db_id, gold) for row, gold in enumerate(golds)], databases, settings, workers=1)


def reasons(audited: Audited) -> tuple[str, ...]:
    return doubtful_reasons(audited.findings)


def effects(databases: Path, gold: str, db_id: str = "plain") -> dict[str, bool | None]:
    (found,) = examine(databases, gold, db_id=db_id)
    return {finding.reason: finding.effect for finding in found.findings}


# -- each reason --


def test_every_reason_is_told_from_its_harmless_twin(databases: Path) -> None:
    cases = {
        "SELECT name FROM singer WHERE age = 30": (),
        "SELECT name FROM nobody": ("fails",),
        "SELECT name FROM singer WHERE age = 99": ("empty",),
        "SELECT max(age) FROM singer WHERE age = 99": ("empty",),
        "SELECT count(*) FROM singer WHERE age = 99": (),
        "SELECT name FROM singer ORDER BY age DESC LIMIT 1": (),
        "SELECT name FROM singer ORDER BY age LIMIT 1": ("limit_ties",),  # two NULLs
        "SELECT country FROM singer ORDER BY country LIMIT 2": (),
        "SELECT name FROM singer LIMIT 2": ("limit_without_order",),
        "SELECT name FROM singer LIMIT 5": (),
        "SELECT name FROM singer ORDER BY country": ("order_not_asked",),
        "SELECT name FROM singer ORDER BY name": (),
        "SELECT country, name FROM singer GROUP BY country": ("order_not_asked",),
        "SELECT country, count(*) FROM singer GROUP BY country": (),
        "SELECT group_concat(name) FROM singer": ("order_not_asked",),
        "SELECT name, row_number() OVER (ORDER BY country) FROM singer": ("order_not_asked",),
        "SELECT name, strftime('%Y', 'now') FROM singer": ("todays_date",),
        "SELECT name FROM singer ORDER BY rating DESC LIMIT 1": ("text_with_number",),
        "SELECT max(rating) FROM singer": ("text_with_number",),
        "SELECT name FROM singer WHERE rating > 8": ("text_with_number",),
        "SELECT name FROM singer WHERE rating = 8": (),
        "SELECT max(name) FROM singer": (),
        "SELECT name FROM singer WHERE rating = (SELECT max(rating) FROM singer WHERE id <> 2)": (),
        "SELECT name FROM singer WHERE id > 'many'": ("empty", "text_with_number"),
        "SELECT name FROM singer WHERE id = '3'": (),
        "SELECT country FROM singer GROUP BY country HAVING count(*) > '1'": ("empty", "text_with_number"),
    }
    found = examine(databases, *cases)
    wrong = {
        each.gold.gold: (reasons(each), each.unchecked)
        for each in found
        if (reasons(each), each.unchecked) != (cases[each.gold.gold], "")
    }
    assert wrong == {}


def test_what_has_no_effect_on_the_data_is_listed_as_such(databases: Path) -> None:
    assert effects(databases, "SELECT name FROM singer WHERE rating = 8") == {"text_with_number": False}
    assert effects(databases, "SELECT name FROM singer LIMIT 9") == {"limit_without_order": False}
    assert effects(databases, "SELECT name, count(*) FROM singer WHERE id = 1") == {"order_not_asked": False}


def test_a_tie_by_collation_is_a_tie(databases: Path) -> None:
    gold = "SELECT word, n FROM nocase ORDER BY word LIMIT 1"
    assert effects(databases, gold, "music") == {"limit_ties": True}
    assert effects(databases, gold, "plain") == {}


@pytest.mark.parametrize(
    ("gold", "tied"),
    [
        ("SELECT name FROM singer ORDER BY age LIMIT 1 OFFSET 2", True),  # the two of age 30
        ("SELECT name FROM singer ORDER BY age LIMIT 2, 2", False),  # both of them
        ("SELECT name FROM singer ORDER BY age LIMIT 2 OFFSET 1", True),
        ("SELECT name, age FROM singer UNION SELECT country, age FROM singer ORDER BY 2 DESC LIMIT 1", True),
        ("SELECT count(*) FROM singer WHERE age = (SELECT age FROM singer ORDER BY country LIMIT 1)", False),
        ("SELECT name FROM singer WHERE id = (SELECT id FROM singer ORDER BY country LIMIT 1)", True),
        ("SELECT name FROM (SELECT name FROM singer ORDER BY country LIMIT 1)", True),
        ("WITH one AS (SELECT name FROM singer ORDER BY country LIMIT 1) SELECT * FROM one", True),
        ("SELECT country FROM singer GROUP BY country ORDER BY count(*) DESC LIMIT 1", True),
        ("SELECT * FROM singer ORDER BY country LIMIT 1", True),
        ("SELECT DISTINCT country FROM singer ORDER BY country LIMIT 1", False),
        ("SELECT name FROM (SELECT name, rank() OVER (ORDER BY id) r FROM singer) ORDER BY r LIMIT 1", False),
    ],
)
def test_ties_at_the_limit_are_found_in_any_part_of_a_query(databases: Path, gold: str, tied: bool) -> None:
    assert (effects(databases, gold).get("limit_ties") is True) == tied


def test_the_order_of_an_unsorted_result_counts_if_a_subquery_is_sorted(databases: Path) -> None:
    gold = "SELECT name FROM singer WHERE age IN (SELECT age FROM singer ORDER BY age DESC LIMIT 3)"
    assert effects(databases, gold) == {"order_not_asked": True}


# -- paraphrases --


def test_golds_of_one_question_that_differ_in_result_are_listed_with_the_other_row(databases: Path) -> None:
    golds = [
        Gold(4, "plain", "SELECT count(*) FROM singer", "How many singers?"),
        Gold(7, "plain", "SELECT count(age) FROM singer", "how many singers"),
    ]
    one, other = audit(golds, databases, SETTINGS, workers=1)
    assert reasons(one) == reasons(other) == ("paraphrase_disagrees",)
    assert one.findings[0].why.startswith("row 7 ")


def test_golds_of_one_question_with_one_result_agree(databases: Path) -> None:
    texts = ["SELECT count(*) FROM singer", "SELECT count(id) FROM singer"]
    golds = [Gold(row, "plain", text, "How many singers?") for row, text in enumerate(texts)]
    assert [each.findings for each in audit(golds, databases, SETTINGS, workers=1)] == [(), ()]


def test_a_paraphrase_whose_gold_fails_is_said_to_be_unchecked(databases: Path) -> None:
    texts = ["SELECT count(*) FROM singer", "SELECT nowhere FROM singer"]
    golds = [Gold(row, "plain", text, "How many singers?") for row, text in enumerate(texts)]
    one, other = audit(golds, databases, SETTINGS, workers=1)
    assert (reasons(one), reasons(other)) == ((), ("fails",))
    assert one.unchecked == "row 1, which asks in nearly the same words, fails (no_such_column)"


# -- faults --


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        ("SELEC name", "syntax"),
        ("", "empty"),
        ("SELECT 1; SELECT 2", "denied"),
        ("DROP TABLE singer", "denied"),
        (f"{ENDLESS} SELECT count(*) FROM n", "timeout"),
        (f"{ENDLESS} SELECT i FROM n", "too_many_rows"),
        (f"SELECT '{'x' * 100_001}'", "other"),
    ],
)
def test_a_gold_that_cannot_be_run_fails_and_the_next_one_is_examined(
    databases: Path, gold: str, kind: str
) -> None:
    failing, fine = examine(databases, gold, "SELECT name FROM singer", timeout_s=0.5)
    assert reasons(failing) == ("fails",)
    assert failing.findings[0].why.startswith(f"{kind}: ")
    assert (fine.findings, fine.unchecked) == ((), "")


def test_a_gold_that_hangs_within_one_opcode_costs_its_process_only(databases: Path) -> None:
    hanging = f"SELECT '{'a' * 60}' || replace(hex(zeroblob(3000000)), '0', 'ab') LIKE '%{'a%' * 20}b'"
    found, fine = examine(databases, hanging, "SELECT name FROM singer", timeout_s=0.3)
    assert reasons(found)[:1] == ("fails",)
    assert fine.findings == ()


def test_a_missing_database_leaves_what_the_text_says(databases: Path) -> None:
    (found,) = examine(databases, "SELECT a FROM t LIMIT 1", db_id="absent")
    assert "absent.sqlite" in found.unchecked
    assert [(each.reason, each.effect) for each in found.findings] == [("limit_without_order", None)]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xff" * 2000, b"text"])
def test_a_file_that_is_no_database_leaves_what_the_text_says(databases: Path, content: bytes) -> None:
    (databases / "bad").mkdir()
    (databases / "bad" / "bad.sqlite").write_bytes(content)
    (found,) = examine(databases, "SELECT date('now')", db_id="bad")
    assert "bad.sqlite" in found.unchecked
    assert reasons(found) == ("todays_date",)


def test_a_database_that_another_process_writes_is_read(databases: Path) -> None:
    with closing(sqlite3.connect(databases / "plain/plain.sqlite", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM singer")
        (found,) = examine(databases, "SELECT name FROM singer ORDER BY country")
        writer.execute("ROLLBACK")
    assert (reasons(found), found.unchecked) == (("order_not_asked",), "")


def test_blobs_and_names_with_quotes_are_examined(databases: Path) -> None:
    quoted = """SELECT "a ""b"" c" FROM "it's ""one"" table" LIMIT 1"""
    photos = "SELECT photo FROM singer"
    found = examine(databases, f"{photos} ORDER BY photo DESC LIMIT 1", photos, quoted)
    assert [reasons(each) for each in found] == [(), (), ("limit_without_order",)]
    assert [each.unchecked for each in found] == ["", "", ""]


def test_a_table_without_rows_gives_nothing(databases: Path) -> None:
    (found,) = examine(databases, "SELECT a FROM empty ORDER BY a LIMIT 1")
    assert reasons(found) == ("empty",)


def test_the_databases_are_not_changed(databases: Path) -> None:
    file = databases / "plain/plain.sqlite"
    before = file.read_bytes()
    examine(databases, "SELECT name FROM singer ORDER BY age LIMIT 1", "DELETE FROM singer")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["plain.sqlite"]


def test_no_gold_gives_no_finding(databases: Path) -> None:
    assert audit([], databases, SETTINGS, workers=1) == []
    assert audit([], None, SETTINGS) == []


def test_without_databases_only_a_text_that_no_database_can_read_fails() -> None:
    golds = ["SELEC name", "SELECT 'x", "SELECT name FROM nobody", "SELECT 1; SELECT 2"]
    assert [reasons(each) for each in examine(None, *golds)] == [("fails",), ("fails",), (), ("fails",)]


# -- the copy with reversed rows --


def copied(tmp_path: Path, script: str) -> sqlite3.Connection:
    write_database(tmp_path, "d", script)
    write_reversed(tmp_path / "d/d.sqlite", tmp_path / "copy.sqlite")
    return sqlite3.connect(tmp_path / "copy.sqlite")


def test_a_copy_has_the_same_rows_in_reverse_order_whatever_the_key(tmp_path: Path) -> None:
    script = """
    CREATE TABLE a (id INTEGER PRIMARY KEY, t VARCHAR(20)); INSERT INTO a VALUES (1, '1'), (2, '2');
    CREATE TABLE b (k TEXT PRIMARY KEY, n) WITHOUT ROWID; INSERT INTO b VALUES ('x', 1), ('y', 2);
    CREATE TABLE c (x INT, y INT AS (x * 2) STORED); INSERT INTO c VALUES (3), (4);
    CREATE VIEW v AS SELECT t FROM a"""
    with closing(copied(tmp_path, script)) as copy:
        assert copy.execute("SELECT id, t FROM a").fetchall() == [(2, "2"), (1, "1")]
        assert copy.execute("SELECT * FROM b").fetchall() == [("y", 2), ("x", 1)]
        assert copy.execute("SELECT * FROM c").fetchall() == [(4, 8), (3, 6)]
        assert copy.execute("SELECT * FROM v").fetchall() == [("2",), ("1",)]
        assert copy.execute("SELECT 1 FROM a WHERE t = 2").fetchall() == [(1,)]  # still text


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE a (t TEXT COLLATE NOCASE)",
        "CREATE VIRTUAL TABLE a USING fts5(t)",
    ],
)
def test_what_a_copy_would_change_is_refused_and_leaves_no_file(tmp_path: Path, script: str) -> None:
    with pytest.raises(NotCopied):
        copied(tmp_path, script)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]


def test_a_database_that_was_not_copied_is_said_to_be_unchecked(databases: Path) -> None:
    (found,) = examine(databases, "SELECT group_concat(name) FROM singer", db_id="music")
    assert "collation" in found.unchecked
    assert [(each.reason, each.effect) for each in found.findings] == [("order_not_asked", None)]
