"""Predictions that try to do harm, or are garbage; each must get a verdict.

A model can write any text, so each of these may occur. `python -m tests.evaluation.hostile DATABASES`
judges them in a process of its own and prints the verdicts and the peak memory.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from text2sql.databases import database_path
from text2sql.evaluation.judge import judge
from text2sql.evaluation.settings import SPIDER_METRICS, JudgeSettings
from text2sql.evaluation.verdicts import Case

TIMEOUT_S = 0.5
SETTINGS = JudgeSettings(timeout_s=TIMEOUT_S, max_rows=10_000, spill_mb=64, metrics=list(SPIDER_METRICS))
AMPLE = SETTINGS.model_copy(update={"timeout_s": 60.0})
GOLD = "SELECT name FROM singer WHERE age > 30 ORDER BY age"

_SCHEMA = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INT);
CREATE TABLE concert (id INTEGER PRIMARY KEY, singer_id INT REFERENCES singer (id), year INT, hall TEXT);
CREATE TABLE visit (concert_id INT REFERENCES concert (id), visitor TEXT, note TEXT);
CREATE VIEW adult AS SELECT * FROM singer WHERE age >= 18;
CREATE INDEX ages ON singer (age);
INSERT INTO singer VALUES (1, 'Ann', 30), (2, 'Bo', 41), (3, 'Cy', 35), (4, 'Di', NULL);
INSERT INTO concert VALUES (1, 1, 2014, 'Albert'), (2, 2, 2015, 'Bach'), (3, 2, 2015, 'Albert');
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
INSERT INTO visit SELECT i % 3 + 1, 'visitor ' || i, printf('%.*c', 2000, 'a') FROM n;
"""


@dataclass(frozen=True, slots=True)
class Hostile:
    """A prediction and the error classes that it may end in; None: no error, but a wrong result."""

    name: str
    sql: str
    outcomes: tuple[str | None, ...]


def make_databases(folder: Path) -> None:
    """Write the database on which the predictions are judged, in Spider's layout."""
    path = database_path(folder, "concert")
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SCHEMA)


def _numbers(limit: str = "") -> str:
    """Return a common table expression n (i) that counts from 1, endlessly without a limit."""
    return f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n {limit}) "


def _joined(table: str, times: int) -> str:
    return ", ".join(f"{table} AS t{number}" for number in range(times))


def _nested(before: str, core: str, after: str, depth: int) -> str:
    return before * depth + core + after * depth


_NO_STATEMENT = {
    "nothing": "",
    "one blank": " ",
    "blanks and line ends": " \t\r\n \n",
    "a semicolon": ";",
    "many semicolons": ";" * 10_000,
    "a comment": "-- I do not know",
    "a block comment": "/* SELECT name FROM singer */",
    "a block comment without end": "/* SELECT name FROM singer",
    "many comments": "-- no\n" * 5000,
    "a semicolon between comments": "/* a */ ; -- b",
    "a comment that hides DROP": "-- '\n-- ; DROP TABLE singer",
    "a byte order mark": "\ufeff",
    "a form feed": "\f",
}

_GARBAGE = {
    "DELETE with a CTE inside": "WITH t AS (DELETE FROM singer RETURNING *) SELECT * FROM t",
    "INSERT in a subquery": "SELECT * FROM (INSERT INTO singer (name) VALUES ('Eve') RETURNING *)",
    "PRAGMA in a subquery": "SELECT * FROM (PRAGMA table_info(singer))",
    "a word": "unanswerable",
    "prose": "I am sorry, but I cannot answer that question with this schema.",
    "prose with SQL in it": "The query is: SELECT name FROM singer WHERE age > 30",
    "prose after SQL": "SELECT name FROM singer WHERE age > 30. This query returns the names.",
    "prose in Chinese": "抱歉,我无法回答这个问题。",
    "Markdown fence": "```sql\nSELECT name FROM singer\n```",
    "fence open at the end": "```SELECT name FROM singer",
    "HTML": "<p>SELECT name FROM singer</p>",
    "JSON": '{"sql": "SELECT name FROM singer"}',
    "Python": "import os; os.system('touch pwned')",
    "a shell command": ".shell touch pwned",
    "a dump command": ".dump",
    "an output command": ".output pwned",
    "a read command": ".read /etc/passwd",
    "a URL": "https://example.org/?q=SELECT",
    "a number": "42",
    "an emoji": "🙂" * 50,
    "right-to-left override": "\u202eSELECT name FROM singer",
    "no-break space": "SELECT\u00a0name FROM singer;\u00a0x y z w",
    "zero-width spaces": "SEL\u200bECT name FROM singer",
    "full-width letters": "ＳＥＬＥＣＴ name FROM singer",
    "Cyrillic look-alikes": "SЕLЕСТ name FROM singer",
    "combining marks": "SELECT" + "\u0301" * 5000 + " name FROM singer",
    "replacement characters": "\ufffd" * 1000,
    "control characters": "".join(map(chr, range(1, 32))) + "SELECT",
    "all of Latin-1": "".join(map(chr, range(1, 256))),
    "private use characters": "\ue000\uf8ff" * 100,
    "bytes of a PNG": "\x89PNG\r\n\x1a\n" + "\x01\x02\xff" * 500,
    "bytes of an ELF file": "\x7fELF\x02\x01\x01" + "\x90" * 500,
    "one word repeated": "SELECT " * 10_000,
    "one bracket repeated": "(" * 100_000,
    "commas": "SELECT " + "," * 50_000,
    "quotes of all kinds": "SELECT '\"`[" * 1000,
    "an open string": "SELECT name FROM singer WHERE name = 'Ann",
    "an open identifier": 'SELECT "name FROM singer',
    "an open back quote": "SELECT `name FROM singer",
    "an open square bracket": "SELECT [name FROM singer",
    "an open string after an escape": "SELECT name FROM singer WHERE name = 'Ann''",
    "an odd blob": "SELECT x'ABC'",
    "a blob that is not hexadecimal": "SELECT x'zz'",
    "an open parenthesis": "SELECT count(* FROM singer",
    "an open subquery": "SELECT name FROM (SELECT name FROM singer",
    "a closing parenthesis": "SELECT name FROM singer)",
    "cut off after SELECT": "SELECT",
    "cut off after FROM": "SELECT name FROM",
    "cut off after WHERE": "SELECT name FROM singer WHERE",
    "cut off after an operator": "SELECT name FROM singer WHERE age >",
    "cut off after AND": "SELECT name FROM singer WHERE age > 1 AND",
    "cut off after GROUP": "SELECT name FROM singer GROUP",
    "cut off after ORDER BY": "SELECT name FROM singer ORDER BY",
    "cut off after LIMIT": "SELECT name FROM singer LIMIT",
    "cut off after UNION": "SELECT name FROM singer UNION",
    "cut off after JOIN": "SELECT name FROM singer JOIN",
    "cut off in CASE": "SELECT CASE WHEN age > 30 THEN",
    "cut off in WITH": "WITH t AS (SELECT name",
    "clauses the wrong way round": "FROM singer WHERE age > 30 SELECT name",
    "two SELECT lists": "SELECT name SELECT age FROM singer",
    "two FROM clauses": "SELECT name FROM singer FROM concert",
    "two WHERE clauses": "SELECT name FROM singer WHERE 1 WHERE 2",
    "misspelt SELECT": "SELEC name FROM singer",
    "assignment": "SELECT @x := 1",
    "wrong not-equal": "SELECT name FROM singer WHERE age =! 30",
    "three equals signs": "SELECT name FROM singer WHERE age === 30",
    "a backslash": "SELECT \\* FROM singer",
    "an escaped quote": "SELECT name FROM singer WHERE name = 'O\\'Neil'",
    "a lone number sign": "SELECT # FROM singer",
    "a digit before a name": "SELECT 1name FROM singer",
    "an ordering with a comma at the end": "SELECT name FROM singer ORDER BY age,",
    "an empty IN before AND": "SELECT name FROM singer WHERE age IN AND 1",
}

_DIALECTS = {
    "SHOW TABLES": "SHOW TABLES",
    "SHOW of a setting": "SHOW search_path",
    "DESCRIBE": "DESCRIBE singer",
    "DESC": "DESC singer",
    "USE": "USE concert",
    "SET": "SET GLOBAL general_log = 'ON'",
    "TOP": "SELECT TOP 5 name FROM singer",
    "FETCH FIRST": "SELECT name FROM singer FETCH FIRST 5 ROWS ONLY",
    "LIMIT ALL": "SELECT name FROM singer LIMIT ALL ROWS",
    "a cast with colons": "SELECT age::text FROM singer",
    "an interval": "SELECT date '2020-01-01' + INTERVAL '1 day'",
    "EXTRACT": "SELECT EXTRACT(YEAR FROM year) FROM concert",
    "LATERAL": "SELECT name FROM singer, LATERAL (SELECT 1) AS t",
    "ANY": "SELECT name FROM singer WHERE age = ANY (SELECT 1 UNION SELECT 2)",
    "ALL": "SELECT name FROM singer WHERE age > ALL (SELECT 1)",
    "ILIKE": "SELECT name FROM singer WHERE name ILIKE 'a%'",
    "SIMILAR TO": "SELECT name FROM singer WHERE name SIMILAR TO 'a'",
    "RLIKE": "SELECT name FROM singer WHERE name RLIKE 'a'",
    "SELECT INTO": "SELECT name INTO copy FROM singer",
    "INTO OUTFILE": "SELECT name FROM singer INTO OUTFILE 'pwned'",
    "INTO DUMPFILE": "SELECT 'x' INTO DUMPFILE 'pwned'",
    "LOAD DATA": "LOAD DATA INFILE '/etc/passwd' INTO TABLE singer",
    "COPY TO PROGRAM": "COPY singer TO PROGRAM 'touch pwned'",
    "xp_cmdshell": "EXEC xp_cmdshell 'touch pwned'",
    "CALL": "CALL harm()",
    "DO block": "DO $$ BEGIN PERFORM 1; END $$",
    "DECLARE": "DECLARE @x INT = 1",
    "TRUNCATE": "TRUNCATE TABLE singer",
    "GRANT": "GRANT ALL ON singer TO public",
    "REVOKE": "REVOKE ALL ON singer FROM public",
    "CREATE USER": "CREATE USER me",
    "CREATE DATABASE": "CREATE DATABASE other",
    "CREATE FUNCTION": "CREATE FUNCTION f() RETURNS int AS 'SELECT 1'",
    "DROP DATABASE": "DROP DATABASE concert",
    "LOCK TABLES": "LOCK TABLES singer WRITE",
    "FLUSH": "FLUSH TABLES",
    "KILL": "KILL 1",
    "SHUTDOWN": "SHUTDOWN",
    "MERGE": "MERGE INTO singer USING concert ON 1 WHEN MATCHED THEN DELETE",
    "HANDLER": "HANDLER singer OPEN",
    "FOR UPDATE": "SELECT name FROM singer FOR UPDATE",
    "GROUPING SETS": "SELECT name FROM singer GROUP BY GROUPING SETS ((name), ())",
    "WITH ROLLUP": "SELECT name FROM singer GROUP BY name WITH ROLLUP",
    "PIVOT": "SELECT * FROM singer PIVOT (count(id) FOR age IN (30))",
    "QUALIFY": "SELECT name FROM singer QUALIFY row_number() OVER () = 1",
    "TABLE": "TABLE singer",
    "a Cypher query": "MATCH (s:Singer) RETURN s.name",
}

_UNKNOWN_TABLE = {
    "pragma_wal_checkpoint": "SELECT * FROM pragma_wal_checkpoint",
    "pages of the file": "SELECT * FROM sqlite_dbpage",
    "a table that is not there": "SELECT name FROM nobody",
    "a table of MySQL": "SELECT table_name FROM information_schema.tables",
    "a table of PostgreSQL": "SELECT tablename FROM pg_tables",
    "a database that is not there": "SELECT name FROM other.singer",
    "a table of statistics": "SELECT * FROM sqlite_stat1",
    "an unknown table function": "SELECT * FROM read_csv('/etc/passwd')",
    "a table function of the shell": "SELECT * FROM fsdir('/')",
    "a table function over files": "SELECT * FROM lsdir('/')",
    "bound variables of the shell": "SELECT * FROM sqlite_parameters",
    "rows behind a virtual table": "SELECT * FROM fts5vocab",
    "generate_series of PostgreSQL": "SELECT * FROM generate_series(1, 1000000000)",
    "a table whose name is long": "SELECT * FROM " + "x" * 5000,
    "a table whose name is a path": "SELECT * FROM '/etc/passwd'",
    "a table whose name is empty": 'SELECT * FROM ""',
    "temp tables of another": "SELECT * FROM temp.secrets",
}

_UNKNOWN_COLUMN = {
    "FTS outside an index": "SELECT snippet(singer) FROM singer",
    "bm25 outside an index": "SELECT bm25(singer) FROM singer",
    "optimize outside an index": "SELECT optimize(singer) FROM singer",
    "a column that is not there": "SELECT height FROM singer",
    "a column of another table": "SELECT hall FROM singer",
    "a column behind a wrong alias": "SELECT t9.name FROM singer AS t1",
    "a column in ORDER BY": "SELECT name FROM singer ORDER BY height",
    "a column whose name is long": "SELECT " + "x" * 5000 + " FROM singer",
    "a column of an unknown schema": "SELECT public.singer.name FROM singer",
    "a system variable": "SELECT version FROM singer WHERE user = current_role",
    "true as a function's name": "SELECT sysdate FROM singer",
}

_OTHER = {
    "a recursion that doubles its text": "WITH RECURSIVE n (x) AS "
    "(SELECT 'a' UNION ALL SELECT x || x FROM n) SELECT count(*) FROM n",
    "a NUL between words": "SELECT\0name FROM singer",
    "a NUL at the end": "SELECT name FROM singer\0; DROP TABLE singer",
    "a NUL in a string": "SELECT 'a\0b'",
    "a thousand NULs": "\0" * 1000,
    "a high surrogate": "SELECT '\ud800'",
    "a low surrogate": "SELECT '\udfff' FROM singer",
    "surrogates the wrong way round": "SELECT '\udc00\ud800'",
    "a surrogate in a name": 'SELECT "\udcff" FROM singer',
    "escaped bytes": b"SELECT '\xff\xfe'".decode("utf-8", "surrogateescape"),
    "ten megabytes of a string": "SELECT '" + "x" * 10_000_000 + "'",
    "ten megabytes of columns": "SELECT " + "name, " * 1_700_000 + "name FROM singer",
    "ten megabytes of blanks": "SELECT name" + " " * 10_000_000 + "FROM singer",
    "ten megabytes of a comment": "SELECT name FROM singer /*" + "x" * 10_000_000 + "*/",
    "ten megabytes of conditions": "SELECT name FROM singer WHERE 1" + " AND 1" * 1_700_000,
    "a million line ends": "SELECT name FROM singer WHERE age = 1 " + "\n" * 1_000_000 + "OR 1",
    "2,001 columns": "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(2001)),
    "2,001 sort keys": "SELECT name FROM singer ORDER BY " + ", ".join(["age"] * 2001),
    "2,001 arguments": "SELECT max(" + ", ".join(["1"] * 2001) + ")",
    "500 set operations": "SELECT 1" + " UNION SELECT 1" * 500,
    "5,000 set operations": "SELECT 1" + " UNION ALL SELECT 1" * 5000,
    "500 intersections": "SELECT 1" + " INTERSECT SELECT 1" * 500,
    "a join of 70 tables": "SELECT count(*) FROM " + _joined("singer", 70),
    "a join of 70 tables in words": "SELECT 1 FROM singer" + " NATURAL JOIN singer" * 70,
    "a comparison of rows of 2,001": f"SELECT ({', '.join(['1'] * 2001)}) = (1, 2)",
    "an unknown function": "SELECT harm(name) FROM singer",
    "an unknown collation": "SELECT name FROM singer ORDER BY name COLLATE klingon",
    "REGEXP without a function": "SELECT name FROM singer WHERE name REGEXP '(a+)+$'",
    "MATCH without an index": "SELECT name FROM singer WHERE name MATCH 'a'",
    "NOW of MySQL": "SELECT NOW()",
    "SLEEP of MySQL": "SELECT SLEEP(1000)",
    "BENCHMARK of MySQL": "SELECT BENCHMARK(1000000000, 1)",
    "LOAD_FILE of MySQL": "SELECT LOAD_FILE('/etc/passwd')",
    "pg_sleep": "SELECT pg_sleep(1000)",
    "pg_read_file": "SELECT pg_read_file('/etc/passwd')",
    "to_char": "SELECT to_char(age, '99') FROM singer",
    "readfile of the shell": "SELECT readfile('/etc/passwd')",
    "writefile of the shell": "SELECT writefile('pwned', 'x')",
    "edit of the shell": "SELECT edit('x', 'touch pwned')",
    "eval of an extension": "SELECT eval('DROP TABLE singer')",
    "a parameter": "SELECT name FROM singer WHERE age > ?",
    "a named parameter": "SELECT name FROM singer WHERE age > :age",
    "a parameter with a high number": "SELECT ?99999",
    "a parameter of PostgreSQL": "SELECT name FROM singer WHERE name > $1",
    "too few arguments": "SELECT substr(name) FROM singer",
    "too many arguments": "SELECT abs(1, 2, 3)",
    "an aggregate in WHERE": "SELECT name FROM singer WHERE count(*) > 1",
    "an aggregate of an aggregate": "SELECT sum(count(*)) FROM singer",
    "a window function in WHERE": "SELECT name FROM singer WHERE row_number() OVER () = 1",
    "a wrong number of columns": "SELECT name FROM singer UNION SELECT name, age FROM singer",
    "a wrong number of columns in IN": "SELECT 1 FROM singer WHERE age IN (SELECT id, age FROM singer)",
    "a sort key out of range": "SELECT name FROM singer ORDER BY 99",
    "a group out of range": "SELECT name FROM singer GROUP BY 99",
    "rows of different lengths": "VALUES (1), (2, 3)",
    "a star without tables": "SELECT *",
    "a recursion that starts nowhere": "WITH RECURSIVE n AS (SELECT i FROM n) SELECT * FROM n",
    "common tables in a circle": "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a",
    "a common table given twice": "WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a",
    "an overflow of sum": "SELECT sum(9223372036854775807) FROM singer",
    "an overflow of abs": "SELECT abs(-9223372036854775807 - 1)",
    "a limit that is text": "SELECT name FROM singer LIMIT 'many'",
    "ESCAPE of two characters": "SELECT name FROM singer WHERE name LIKE 'a' ESCAPE 'bc'",
    "a LIKE pattern of 60,000 characters": "SELECT name FROM singer WHERE name LIKE '" + "%_" * 30_000 + "'",
    "a GLOB pattern of 60,000 characters": "SELECT name FROM singer WHERE name GLOB '" + "*?" * 30_000 + "'",
    "malformed JSON": "SELECT json('{')",
    "deep JSON": "SELECT json('" + "[" * 20_000 + "]" * 20_000 + "')",
    "a bad JSON path": "SELECT json_extract('{}', 'no path')",
    "JSON of a blob": "SELECT json_group_array(zeroblob(10))",
    "RAISE outside a trigger": "SELECT RAISE(ABORT, 'x')",
    "zeroblob of two gigabytes": "SELECT zeroblob(2147483647)",
    "zeroblob of eight exabytes": "SELECT zeroblob(9223372036854775807)",
    "randomblob of a gigabyte": "SELECT randomblob(1000000000)",
    "hex of a gigabyte": "SELECT hex(zeroblob(1000000000))",
    "replace that multiplies": "SELECT replace(hex(zeroblob(5000)), '0', hex(zeroblob(5000)))",
    "concatenation that multiplies": "SELECT x || x || x || x FROM (SELECT hex(zeroblob(4000000)) AS x)",
    "zeroblob in each row": "SELECT zeroblob(500000000) FROM visit",
}

_TOO_DEEP = {
    "a long negation": "SELECT " + "NOT " * 5000 + "1",
    "a long row of minus signs": "SELECT " + "- " * 20_000 + "1",
    "a long row of tildes": "SELECT " + "~" * 50_000 + "1",
    "hex of hex": "SELECT " + _nested("hex(", "name", ")", 40) + " FROM singer",
    "quote of quote": "SELECT " + _nested("quote(", "name || '''''''''''''''''", ")", 40) + " FROM singer",
    "a long sum": "SELECT " + "1+" * 20_000 + "1",
    "a long conjunction": "SELECT name FROM singer WHERE 1" + " AND age > 1" * 5000,
    "a long concatenation": "SELECT 'a'" + " || 'a'" * 5000,
    "10,000 parentheses": "SELECT " + _nested("(", "1", ")", 10_000),
    "10,000 parentheses around a query": _nested("(", "SELECT name FROM singer", ")", 10_000),
    "10,000 open parentheses": "SELECT " + "(" * 10_000,
    "subqueries 500 deep": _nested("SELECT * FROM (", "SELECT name FROM singer", ")", 500),
    "subqueries 5,000 deep": _nested("SELECT * FROM (", "SELECT name FROM singer", ")", 5000),
    "scalar subqueries 500 deep": "SELECT " + _nested("(SELECT ", "1", ")", 500),
    "IN subqueries 500 deep": "SELECT name FROM singer"
    + _nested(" WHERE age IN (SELECT age FROM singer", "", ")", 500),
    "EXISTS 500 deep": "SELECT 1 WHERE " + _nested("EXISTS (SELECT 1 WHERE ", "1", ")", 500),
    "CASE 2,000 deep": "SELECT " + _nested("CASE WHEN 1 THEN ", "1", " ELSE 0 END", 2000),
    "CASE 100,000 deep": "SELECT " + _nested("CASE WHEN 1 THEN ", "1", " END", 100_000),
    "functions 2,000 deep": "SELECT " + _nested("abs(", "1", ")", 2000),
    "functions 100,000 deep": "SELECT " + _nested("abs(", "1", ")", 100_000),
    "NOT in parentheses 2,000 deep": "SELECT " + _nested("NOT (", "1", ")", 2000),
    "CAST 2,000 deep": "SELECT " + _nested("CAST(", "1", " AS INT)", 2000),
    "WITH 500 deep": _nested("WITH t AS (", "SELECT 1", ") SELECT * FROM t", 500),
    "joins in parentheses 500 deep": "SELECT 1 FROM "
    + _nested("(singer JOIN ", "singer", " USING (id))", 500),
}

_DENIED = {
    "a comment left open": "SELECT age FROM singer /* ; DROP TABLE singer",
    "DROP after SELECT": "SELECT age FROM singer; DROP TABLE singer",
    "DELETE after SELECT": "SELECT age FROM singer;;; DELETE FROM singer;",
    "ATTACH after SELECT": "SELECT 1; ATTACH 'pwned.db' AS other; CREATE TABLE other.t (a)",
    "a tokenizer's address": "SELECT fts3_tokenizer('simple')",
    "a tokenizer's address set": "SELECT fts3_tokenizer('simple', x'4141414141414141')",
    "DROP TABLE": "DROP TABLE singer",
    "DROP TABLE IF EXISTS": "DROP TABLE IF EXISTS singer",
    "DROP VIEW": "DROP VIEW adult",
    "DROP INDEX": "DROP INDEX ages",
    "DELETE": "DELETE FROM singer",
    "DELETE with a condition": "DELETE FROM singer WHERE age > 30",
    "DELETE RETURNING": "DELETE FROM singer WHERE age > 30 RETURNING name",
    "INSERT": "INSERT INTO singer VALUES (9, 'Eve', 1)",
    "INSERT SELECT": "INSERT INTO singer SELECT id + 10, name, age FROM singer",
    "INSERT DEFAULT VALUES": "INSERT INTO singer DEFAULT VALUES",
    "INSERT RETURNING": "INSERT INTO singer (name) VALUES ('Eve') RETURNING name",
    "INSERT OR REPLACE": "INSERT OR REPLACE INTO singer VALUES (1, 'Eve', 1)",
    "INSERT OR IGNORE": "INSERT OR IGNORE INTO singer VALUES (1, 'Eve', 1)",
    "UPSERT": "INSERT INTO singer VALUES (1, 'Eve', 1) ON CONFLICT (id) DO UPDATE SET age = 0",
    "REPLACE": "REPLACE INTO singer VALUES (1, 'Eve', 1)",
    "UPDATE": "UPDATE singer SET age = 0",
    "UPDATE FROM": "UPDATE singer SET age = year FROM concert WHERE singer.id = singer_id",
    "UPDATE RETURNING": "UPDATE singer SET age = 0 RETURNING name",
    "WITH before DELETE": "WITH old AS (SELECT 1 AS i) DELETE FROM singer WHERE id IN (SELECT i FROM old)",
    "WITH before INSERT": "WITH t AS (SELECT 9 AS i) INSERT INTO singer (id) SELECT i FROM t",
    "WITH before UPDATE": "WITH t AS (SELECT 9 AS i) UPDATE singer SET age = (SELECT i FROM t)",
    "endless INSERT": _numbers().replace("SELECT 1 ", "SELECT 100 ", 1)
    + "INSERT INTO singer (id) SELECT i FROM n",
    "CREATE TABLE": "CREATE TABLE t (a)",
    "CREATE TABLE IF NOT EXISTS": "CREATE TABLE IF NOT EXISTS t (a)",
    "CREATE TABLE AS": "CREATE TABLE t AS SELECT * FROM visit",
    "CREATE TEMP TABLE": "CREATE TEMP TABLE t (a)",
    "CREATE TEMP TABLE AS": "CREATE TEMP TABLE t AS SELECT * FROM visit AS a, visit AS b",
    "CREATE VIEW": "CREATE VIEW v AS SELECT 1",
    "CREATE TEMP VIEW": "CREATE TEMP VIEW singer AS SELECT 1 AS name",
    "CREATE INDEX": "CREATE INDEX i ON singer (name)",
    "CREATE UNIQUE INDEX": "CREATE UNIQUE INDEX i ON singer (name)",
    "CREATE TRIGGER": "CREATE TRIGGER t AFTER INSERT ON singer BEGIN DELETE FROM singer; END",
    "CREATE TEMP TRIGGER": "CREATE TEMP TRIGGER t AFTER INSERT ON singer BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE of FTS5": "CREATE VIRTUAL TABLE t USING fts5 (a)",
    "CREATE VIRTUAL TABLE of R-tree": "CREATE VIRTUAL TABLE t USING rtree (a, b, c)",
    "CREATE VIRTUAL TABLE in temp": "CREATE VIRTUAL TABLE temp.t USING fts5vocab ('x', 'row')",
    "ALTER TABLE RENAME": "ALTER TABLE singer RENAME TO s",
    "ALTER TABLE RENAME COLUMN": "ALTER TABLE singer RENAME COLUMN age TO years",
    "ALTER TABLE ADD COLUMN": "ALTER TABLE singer ADD COLUMN x",
    "ALTER TABLE DROP COLUMN": "ALTER TABLE singer DROP COLUMN name",
    "ATTACH": "ATTACH DATABASE 'pwned.db' AS other",
    "ATTACH of memory": "ATTACH ':memory:' AS other",
    "ATTACH of a URI": "ATTACH 'file:pwned.db?mode=rwc' AS other",
    "ATTACH of the database itself": "ATTACH 'concert.sqlite' AS other",
    "ATTACH with a query": "ATTACH (SELECT name FROM singer) AS other",
    "DETACH": "DETACH DATABASE main",
    "REINDEX": "REINDEX",
    "REINDEX of a table": "REINDEX singer",
    "ANALYZE": "ANALYZE",
    "ANALYZE of a table": "ANALYZE singer",
    "BEGIN": "BEGIN",
    "BEGIN IMMEDIATE": "BEGIN IMMEDIATE",
    "BEGIN EXCLUSIVE": "BEGIN EXCLUSIVE TRANSACTION",
    "COMMIT": "COMMIT",
    "END": "END TRANSACTION",
    "ROLLBACK": "ROLLBACK",
    "SAVEPOINT": "SAVEPOINT s",
    "RELEASE": "RELEASE s",
    "ROLLBACK TO": "ROLLBACK TO s",
    "load_extension": "SELECT load_extension('pwned')",
    "load_extension in capitals": "SELECT LOAD_EXTENSION('pwned', 'entry') FROM singer",
    "load_extension quoted": "SELECT \"load_extension\"('pwned')",
    "load_extension in a subquery": "SELECT name FROM singer WHERE (SELECT load_extension(name))",
    "EXPLAIN DELETE": "EXPLAIN DELETE FROM singer",
    "EXPLAIN QUERY PLAN DROP": "EXPLAIN QUERY PLAN DROP TABLE singer",
    "DROP before SELECT": "DROP TABLE singer; SELECT name FROM singer",
    "a comment before DROP": "/* SELECT */ DROP TABLE singer -- name",
    "DROP behind a line comment": "-- SELECT name FROM singer\nDROP TABLE singer",
    **{
        f"PRAGMA {text}": f"PRAGMA {text}"
        for text in (
            "writable_schema = 1",
            "journal_mode = WAL",
            "journal_mode = OFF",
            "temp_store_directory = '/'",
            "data_store_directory = '/'",
            "temp_store = 2",
            "mmap_size = 1099511627776",
            "cache_size = -100000000",
            "page_size = 65536",
            "user_version = 7",
            "application_id = 7",
            "auto_vacuum = FULL",
            "incremental_vacuum",
            "foreign_keys = ON",
            "query_only = 0",
            "locking_mode = EXCLUSIVE",
            "wal_checkpoint(TRUNCATE)",
            "integrity_check",
            "quick_check",
            "optimize",
            "shrink_memory",
            "hard_heap_limit = 1",
            "soft_heap_limit = 1",
            "busy_timeout = 1000000000",
            "threads = 8",
            "trusted_schema = ON",
            "recursive_triggers = ON",
            "case_sensitive_like = 1",
            "encoding = 'UTF-16'",
            "schema_version = 7",
            "table_info(singer)",
            "table_list",
            "database_list",
            "compile_options",
            "function_list",
            "foreign_key_list(concert)",
        )
    },
    **{
        f"table function pragma_{call}": f"SELECT * FROM pragma_{call}"
        for call in (
            "table_info('singer')",
            "table_list",
            "database_list",
            "compile_options",
            "function_list",
            "integrity_check",
            "user_version",
            "foreign_key_list('concert')",
        )
    },
}

_DENIED_OR_OTHER = {
    "DELETE from the schema": "DELETE FROM sqlite_master",
    "VACUUM": "VACUUM",
    "VACUUM INTO": "VACUUM INTO 'pwned.db'",
    "VACUUM INTO a query": "VACUUM INTO (SELECT name FROM singer)",
    "VACUUM of main": "VACUUM main",
    "UPDATE of a view": "UPDATE adult SET age = 0",
    "INSERT into a view": "INSERT INTO adult VALUES (9, 'Eve', 1)",
    "UPDATE of the schema": "UPDATE sqlite_master SET sql = 'x'",
    "INSERT into the schema": "INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)",
    "DROP of the schema": "DROP TABLE sqlite_master",
    "PRAGMA of an unknown name": "PRAGMA nothing_of_the_kind",
}

_ENDLESS = {
    "LIKE over a long column": "SELECT count(*) FROM visit WHERE note LIKE '%" + "a" * 900 + "b%'",
    "LIKE in one step": "SELECT hex(zeroblob(4900000)) LIKE '%" + "0" * 900 + "1%'",
    "GLOB in one step": "SELECT hex(zeroblob(4900000)) GLOB '*" + "0" * 900 + "1*'",
    "GLOB with classes": "SELECT hex(zeroblob(4900000)) GLOB '*" + "[0-8]" * 190 + "1*'",
    "replace in one step": "SELECT length(replace(hex(zeroblob(4900000)), '" + "0" * 90_000 + "1', 'x'))",
    "printf of many characters": "SELECT printf('%.*c', 1000000000, 'a')",
    "endless recursion counted": _numbers() + "SELECT count(*) FROM n",
    "endless recursion summed": _numbers() + "SELECT sum(i) FROM n WHERE i < 0",
    "endless recursion sorted": _numbers() + "SELECT i FROM n ORDER BY i DESC LIMIT 1",
    "endless recursion in UNION": "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n) "
    "SELECT max(i) FROM n",
    "endless recursion in EXISTS": _numbers() + "SELECT name FROM singer WHERE EXISTS "
    "(SELECT 1 FROM n WHERE i < 0)",
    "endless recursion in an aggregate": _numbers() + "SELECT group_concat('') FROM n",
    "endless recursion in a window": _numbers() + "SELECT sum(i) OVER (ORDER BY i) FROM n",
    "endless recursion of blobs": "WITH RECURSIVE n (x) AS (SELECT zeroblob(900000) UNION ALL "
    "SELECT randomblob(900000) FROM n) SELECT count(*) FROM (SELECT x FROM n ORDER BY x)",
    "endless recursion of distinct blobs": "WITH RECURSIVE n (x) AS (SELECT randomblob(900000) UNION "
    "SELECT randomblob(900000) FROM n) SELECT count(*) FROM n",
    "endless recursion of JSON": _numbers() + "SELECT json_group_array(i) FROM n",
    "endless recursion with a limit of 2^62": _numbers() + "SELECT i FROM n LIMIT 4611686018427387904 "
    "OFFSET 4611686018427387904",
    "cross join of 30 tables": "SELECT count(*) FROM " + _joined("visit", 30),
    "cross join of 60 tables": "SELECT count(*) FROM " + _joined("singer", 60),
    "cross join that is sorted": "SELECT a.note FROM visit AS a, visit AS b, visit AS c "
    "ORDER BY b.note LIMIT 1",
    "cross join that is grouped": "SELECT a.visitor, count(*) FROM visit AS a, visit AS b, visit AS c "
    "GROUP BY a.visitor || b.visitor || c.visitor LIMIT 1",
    "cross join without equals": "SELECT a.visitor FROM visit AS a JOIN visit AS b JOIN visit AS c "
    "JOIN visit AS d WHERE a.visitor > b.visitor AND c.visitor = 'x' || d.visitor",
    "window over everything": "SELECT sum(length(a.note)) OVER (ORDER BY a.visitor, b.visitor ROWS BETWEEN "
    "UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM visit AS a, visit AS b, visit AS c",
    "correlated subqueries": "SELECT count(*) FROM visit AS a WHERE "
    "(SELECT count(*) FROM visit AS b, visit AS c WHERE b.visitor || c.visitor > a.visitor) < 0",
    "instr in one step": "SELECT instr(hex(zeroblob(4900000)), hex(zeroblob(400000)) || '1')",
    "trim in one step": "SELECT length(trim(hex(zeroblob(4900000)), '" + "123456789" * 5000 + "0'))",
}

_TOO_MUCH = {
    "endless rows": _numbers() + "SELECT i FROM n",
    "a million rows": "SELECT a.visitor FROM visit AS a, visit AS b",
    "an outer join of everything": "SELECT * FROM visit AS a LEFT JOIN visit AS b LEFT JOIN visit AS c",
    "endless rows in UNION ALL": "SELECT name FROM singer UNION ALL SELECT * FROM ("
    + _numbers()
    + "SELECT i FROM n)",
}

_TOO_LARGE = {
    "group_concat of everything": "SELECT group_concat(a.note || b.note) FROM visit AS a, visit AS b",
    "endless rows of blobs": _numbers() + "SELECT zeroblob(900000) FROM n",
    "endless rows of text": _numbers() + "SELECT printf('%.*c', 900000, 'x') FROM n",
    "endless rows of random text": _numbers() + "SELECT hex(randomblob(400000)) FROM n",
}

_BY_VERSION = {
    "CONCAT of MySQL": "SELECT CONCAT(name, age) FROM singer",
    "IF of MySQL": "SELECT IF(age > 30, 1, 0) FROM singer",
    "IS DISTINCT FROM": "SELECT age FROM singer WHERE age IS NOT DISTINCT FROM 41",
    "JSON in rows": 'SELECT * FROM json_tree(\'{"a": [1, {"b": null}]}\')',
    "JSON taken apart": "SELECT b.value FROM json_each('["
    + "1," * 9000
    + "1]') AS a, json_each('[1,2]') AS b",
    "HAVING without a group": "SELECT name FROM singer HAVING age > 30 AND missing()",
}

_ONLY_WRONG = {
    "LIKE with many percent signs": "SELECT printf('%.*c', 100000, 'a') LIKE '" + "%a" * 40 + "%b'",
    "GLOB with many stars": "SELECT printf('%.*c', 100000, 'a') GLOB '" + "*a" * 40 + "*b'",
    "printf of a gigabyte": "SELECT printf('%1000000000d', 1)",
    "printf with a star": "SELECT printf('%*d', 2147483647, 1)",
    "printf of many decimals": "SELECT length(printf('%.1000000000f', 1.5))",
    "EXPLAIN": "EXPLAIN SELECT name FROM singer",
    "EXPLAIN QUERY PLAN": "EXPLAIN QUERY PLAN SELECT name FROM singer",
    "VALUES": "VALUES (1), (2), (3)",
    "the schema": "SELECT sql FROM sqlite_master",
    "the schema by its newer name": "SELECT name FROM sqlite_schema",
    "the schema of temp": "SELECT name FROM sqlite_temp_master",
    "the version": "SELECT sqlite_version(), sqlite_source_id()",
    "compile options": "SELECT sqlite_compileoption_get(1)",
    "a name in double quotes that is text": 'SELECT "height" FROM singer',
    "a division by zero": "SELECT age / 0 FROM singer",
    "a remainder by zero": "SELECT age % 0, 1 / 0.0 FROM singer",
    "an overflow of addition": "SELECT 9223372036854775807 + 1",
    "an overflow of multiplication": "SELECT 9223372036854775807 * 9223372036854775807",
    "an overflow of a literal": "SELECT 99999999999999999999999999",
    "an infinity": "SELECT 1e999, -1e999",
    "not a number": "SELECT 1e999 - 1e999",
    "a shift past the word": "SELECT 1 << 64, 1 >> -64, 1 << 9223372036854775807",
    "a number of 5,000 digits": "SELECT " + "9" * 5000,
    "a fraction of 5,000 digits": "SELECT 0." + "9" * 5000,
    "an IN list of 10,000": "SELECT age FROM singer WHERE age IN ("
    + ", ".join(map(str, range(10_000)))
    + ")",
    "an IN list of strings": "SELECT age FROM singer WHERE name IN (" + ", ".join(["'x'"] * 9000) + ")",
    "2,000 columns": "SELECT " + ", ".join(map(str, range(2000))),
    "a join of 20 tables": "SELECT count(*) FROM "
    + " JOIN ".join(f"singer AS t{i} USING (id)" if i else "singer AS t0" for i in range(20)),
    "90 set operations": "SELECT 1" + " UNION ALL SELECT 1" * 90,
    "a random number": "SELECT random(), randomblob(8)",
    "the time": "SELECT datetime('now')",
    "dates far off": "SELECT date('9999-12-31', '+1 day'), julianday('-4713-11-24')",
    "strftime with many fields": "SELECT strftime('" + "%s" * 1000 + "', 'now')",
    "likelihood": "SELECT likelihood(age, 0.5), unlikely(id) FROM singer",
    "a negative limit": "SELECT age FROM singer LIMIT -1",
    "an offset past the end": "SELECT name FROM singer LIMIT 1 OFFSET 9223372036854775807",
    "DROP in a comment": "SELECT age FROM singer -- ; DROP TABLE singer",
    "DROP in a block comment": "SELECT age /* ; DROP TABLE singer; */ FROM singer",
    "DROP in a string": "SELECT '; DROP TABLE singer; --'",
    "an injection": "SELECT name FROM singer WHERE name = '' OR '1' = '1'; --' AND age = 1",
    "a UNION injection": "SELECT name FROM singer WHERE name = '' UNION SELECT sql FROM sqlite_master --'",
    "a thousand semicolons": "SELECT age FROM singer" + ";" * 1000,
    "emoji as a name": 'SELECT age AS "🙂" FROM singer',
    "an unlikely name": 'SELECT 1 AS "a""b", 2 AS [c d], 3 AS `e``f`',
    "text with many accents": "SELECT '" + "é" * 5000 + "'",
    "text that is not UTF-8": "SELECT CAST(x'FFFEFD' AS TEXT)",
    "text with a NUL": "SELECT char(0, 65, 0), CAST(x'00' AS TEXT)",
    "a surrogate made inside": "SELECT char(55296, 57343)",
    "soundex and the like": "SELECT hex(name), quote(name), unicode(name) FROM singer",
    "JSON of the table": "SELECT json_group_object(name, age) FROM singer",
    "windows of all kinds": "SELECT name, ntile(4) OVER w, lag(age) OVER w, lead(age, 2, 0) OVER w "
    "FROM singer WINDOW w AS (ORDER BY id GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES)",
    "a recursion that ends": _numbers("WHERE i < 1000") + "SELECT count(*) FROM n",
    "a bare column beside max": "SELECT id, max(age) FROM singer",
    "columns that share a name": "SELECT 1 AS a, 2 AS a, 3 AS a",
    "row ids": "SELECT rowid, oid, _rowid_ FROM singer",
    "a self-comparison": "SELECT age FROM singer WHERE name = name = name = name",
    "an empty IN": "SELECT name FROM singer WHERE age IN ()",
    "a collation": "SELECT age FROM singer ORDER BY name COLLATE NOCASE DESC NULLS LAST",
}

_GROUPS: tuple[tuple[dict[str, str], tuple[str | None, ...]], ...] = (
    (_NO_STATEMENT, ("empty",)),
    (_GARBAGE, ("syntax",)),
    (_DIALECTS, ("syntax",)),
    (_UNKNOWN_TABLE, ("no_such_table",)),
    (_UNKNOWN_COLUMN, ("no_such_column",)),
    (_OTHER, ("other",)),
    (_TOO_DEEP, ("syntax", "other")),
    (_DENIED, ("denied",)),
    (_DENIED_OR_OTHER, ("denied", "other")),
    (_ENDLESS, ("timeout", "out_of_memory")),
    (_TOO_MUCH, ("too_many_rows",)),
    (_TOO_LARGE, ("timeout", "out_of_memory", "too_many_rows", "other")),
    # Newer versions of SQLite know what older ones refuse.
    (_BY_VERSION, (None, "syntax", "other")),
    (_ONLY_WRONG, (None,)),
)
HOSTILE = [Hostile(name, sql, outcomes) for group, outcomes in _GROUPS for name, sql in group.items()]


def cases() -> Iterator[Case]:
    """Yield the corpus as cases, in its order."""
    for row, hostile in enumerate(HOSTILE):
        yield Case(row, "concert", GOLD, hostile.sql)


def main(databases: Path) -> None:
    """Judge the corpus; print two lists of verdicts and the largest worker's peak memory in MiB, as JSON.

    On a busy machine the short deadline may end predictions that should fail otherwise. The second list
    holds their verdicts with ample time, in which the class of their error must show.
    """
    verdicts = list(judge(cases(), databases, SETTINGS, workers=2))
    late = {v.row for v in verdicts if v.error == "timeout" and "timeout" not in HOSTILE[v.row].outcomes}
    again = list(judge((case for case in cases() if case.row in late), databases, AMPLE, workers=2))
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    found = {"verdicts": list(map(asdict, verdicts)), "again": list(map(asdict, again)), "peak_mib": peak_mib}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
