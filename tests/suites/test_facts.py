"""What the schema of a database demands, read from its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suites.databases import SCHOOL, database
from text2sql.errors import UserError
from text2sql.suites.facts import DatabaseFacts, ForeignKeyFacts, TableFacts, checks, read_facts


def facts(folder: Path, script: str) -> DatabaseFacts:
    return read_facts(database(folder / "x.sqlite", script))


def table(folder: Path, script: str, name: str) -> TableFacts:
    found = facts(folder, script).table(name)
    assert found
    return found


def test_columns_have_type_affinity_and_whether_null_is_allowed(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR(9) NOT NULL, c, d DOUBLE, e DATE, f BLOB)"
    found = table(tmp_path, script, "T").columns
    assert [(one.name, one.affinity, one.not_null, one.key) for one in found] == [
        ("a", "integer", True, 1),
        ("b", "text", True, 0),
        ("c", "blob", False, 0),
        ("d", "real", False, 0),
        ("e", "numeric", False, 0),
        ("f", "blob", False, 0),
    ]


def test_null_is_allowed_in_a_primary_key_that_is_not_the_rowid(tmp_path: Path) -> None:
    assert not table(tmp_path, "CREATE TABLE t (a TEXT PRIMARY KEY)", "t").columns[0].not_null


def test_null_is_not_allowed_in_the_key_of_a_table_without_rowid(tmp_path: Path) -> None:
    found = table(tmp_path, "CREATE TABLE t (a TEXT, b, PRIMARY KEY (a)) WITHOUT ROWID", "t")
    assert found.without_rowid
    assert [one.not_null for one in found.columns] == [True, False]


def test_generated_columns_and_what_is_unique_in_them_are_left_out(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a INT, b INT AS (a + 1) UNIQUE, c INT AS (a * 2) STORED, d UNIQUE)"
    found = table(tmp_path, script, "t")
    assert [one.name for one in found.columns] == ["a", "d"]
    assert found.unique == (("d",),)


def test_foreign_keys_of_generated_columns_are_apart(tmp_path: Path) -> None:
    script = """CREATE TABLE p (a INTEGER PRIMARY KEY, k TEXT AS ('K' || a) UNIQUE);
        CREATE TABLE c (k TEXT REFERENCES p (k), x, y AS (x + 1) REFERENCES p);
        INSERT INTO p (a) VALUES (1), (2); INSERT INTO c (k, x) VALUES ('K1', 0), ('K9', 1);"""
    found = table(tmp_path, script, "c")
    assert found.foreign_keys == ()
    assert set(found.computed_keys) == {
        ForeignKeyFacts(("k",), "p", ("k",), dangling=0.5),
        ForeignKeyFacts(("y",), "p", ("a",)),
    }


def test_unique_has_the_key_constraints_and_whole_indexes(tmp_path: Path) -> None:
    script = """CREATE TABLE t (a, b, c, d, PRIMARY KEY (b, a), UNIQUE (c, d));
        CREATE UNIQUE INDEX i ON t (d); CREATE UNIQUE INDEX part ON t (a) WHERE a > 1;
        CREATE UNIQUE INDEX computed ON t (lower(c)); CREATE INDEX plain ON t (b);"""
    assert table(tmp_path, script, "t").unique == (("b", "a"), ("c", "d"), ("d",))


def test_foreign_keys_have_the_names_of_the_columns_they_refer_to(tmp_path: Path) -> None:
    script = """CREATE TABLE p (X INT, y INT, PRIMARY KEY (X, y));
        CREATE TABLE c (m INT, n INT, o INT, FOREIGN KEY (M, n) REFERENCES P,
                        FOREIGN KEY (o) REFERENCES gone(q))"""
    found = table(tmp_path, script, "c").foreign_keys
    assert found == (ForeignKeyFacts(("m", "n"), "p", ("X", "y")),)


def test_a_column_named_like_a_key_that_has_its_values_is_an_implied_foreign_key(tmp_path: Path) -> None:
    script = """CREATE TABLE p (pid INTEGER PRIMARY KEY); CREATE TABLE q (qid INTEGER PRIMARY KEY);
        CREATE TABLE c (PID INT, qid INT); INSERT INTO p VALUES (1), (2); INSERT INTO q VALUES (1);
        INSERT INTO c VALUES (1, 1), (2, 7), (NULL, NULL);"""
    assert table(tmp_path, script, "c").foreign_keys == (ForeignKeyFacts(("PID",), "p", ("pid",), True),)


def test_the_share_of_dangling_values_is_counted(tmp_path: Path) -> None:
    script = """CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p(id));
        INSERT INTO p VALUES (1); INSERT INTO c VALUES (1), (1), (1), (9), (NULL);"""
    (key,) = table(tmp_path, script, "c").foreign_keys
    assert key.dangling == 0.25


def test_checks_are_found_beside_texts_comments_and_names_that_look_like_them() -> None:
    sql = """CREATE TABLE "check (" (a CHECK (a > ')' AND (a < 5)), -- check (no)
        [check] TEXT DEFAULT 'check (x)', CONSTRAINT k check /* x */ ([check] IN ('a', 'b')))"""
    assert checks(sql) == ("a > ')' AND (a < 5)", "[check] IN ('a', 'b')")


def test_views_and_triggers_come_behind_indexes_and_no_shadow_table_is_there(tmp_path: Path) -> None:
    script = """CREATE TABLE t (a); CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END;
        CREATE VIEW v AS SELECT a FROM t; CREATE INDEX i ON t (a); CREATE VIRTUAL TABLE f USING fts5(body);
        CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO n VALUES (1); ANALYZE;"""
    found = facts(tmp_path, script)
    assert [(one.name, one.virtual) for one in found.tables] == [("t", False), ("f", True), ("n", False)]
    assert [sql.split()[1] for sql in found.indexes] == ["INDEX"]
    assert [sql.split()[1] for sql in found.views_and_triggers] == ["VIEW", "TRIGGER"]


def test_the_facts_of_a_database_are_the_same_each_time(tmp_path: Path) -> None:
    path = database(tmp_path / "x.sqlite", SCHOOL)
    assert read_facts(path) == read_facts(path)
    assert hash(read_facts(path)) == hash(read_facts(path))


def test_a_missing_damaged_or_empty_file_is_a_users_error_that_names_it(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 8)
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    for path in (damaged, empty, tmp_path / "missing.sqlite"):
        with pytest.raises(UserError, match=path.name):
            read_facts(path)
