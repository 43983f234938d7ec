"""Schemas read from scripts of other database systems, and from scripts with faults."""

from __future__ import annotations

import logging
import time

import pytest

from text2sql.schema.ddl import read_ddl, write_ddl
from text2sql.schema.reader import read_script, unqualified

MYSQL = """CREATE TABLE `item` (
  `id` int(11) unsigned NOT NULL AUTO_INCREMENT,
  `kind` ENUM('tea', 'cup') CHARACTER SET utf8 DEFAULT NULL COMMENT 'a; b',
  `shop_id` bigint,
  PRIMARY KEY (`id`), KEY `k` (`kind`),
  CONSTRAINT `f` FOREIGN KEY (`shop_id`) REFERENCES `shop` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `item` VALUES (1, 'it\\'s', 2);"""
POSTGRES = """CREATE TABLE public.item (
  id SERIAL PRIMARY KEY, tags text[], data jsonb DEFAULT '{}'::jsonb,
  made timestamp with time zone DEFAULT now(), shop_id integer REFERENCES shop(id));
COMMENT ON TABLE public.item IS 'x';"""


def written(text: str, dialect: str | None = None) -> str:
    schema = read_script(text, dialect).schema
    assert schema.tables
    return write_ddl(schema)


def test_mysql_keeps_names_and_keys_and_loses_engine_enum_and_index() -> None:
    assert written(MYSQL) == (
        "CREATE TABLE item (id UINT(11) PRIMARY KEY, kind TEXT, shop_id INTEGER REFERENCES shop (id));"
    )


def test_postgres_keeps_names_and_keys_and_loses_arrays_casts_and_schema_name() -> None:
    assert written(POSTGRES) == (
        "CREATE TABLE item (id SERIAL PRIMARY KEY, tags TEXT, data JSONB, made TIMESTAMPTZ,"
        " shop_id INTEGER REFERENCES shop (id));"
    )


@pytest.mark.parametrize("text", [MYSQL, POSTGRES])
def test_what_is_written_executes_in_sqlite(text: str) -> None:
    assert [table.name for table in read_ddl(written(text)).tables] == ["item"]


def test_a_key_of_several_columns_stays_whole() -> None:
    text = (
        "CREATE TABLE t (a INT UNSIGNED, b INT UNSIGNED ZEROFILL, PRIMARY KEY (a, b), KEY k (a),"
        " FOREIGN KEY (a, b) REFERENCES u (c, d)) ENGINE=InnoDB"
    )
    assert written(text) == (
        "CREATE TABLE t (a UINT, b UINT, PRIMARY KEY (a, b), FOREIGN KEY (a, b) REFERENCES u (c, d));"
    )


@pytest.mark.parametrize(
    "text", ["", "SELECT 1", "((((", "CREATE TABLE", "CREATE TABLE t", "CREATE TABLE ()"]
)
def test_text_that_creates_no_table_is_no_schema(text: str) -> None:
    assert read_script(text).schema.tables == ()


def test_a_table_that_is_cut_off_gives_the_columns_before_the_cut() -> None:
    assert written("CREATE TABLE t (a INT, b TEXT") == "CREATE TABLE t (a INTEGER, b TEXT);"


def test_a_table_with_unknown_options_is_not_left_out() -> None:
    text = "CREATE TABLE t (a INT); CREATE TABLE u (b INT) SOMEHOW (b)"
    assert written(text) == "CREATE TABLE t (a INTEGER);\nCREATE TABLE u (b INTEGER);"


def test_a_table_that_cannot_be_read_is_left_out_with_the_reason_and_the_others_stay() -> None:
    found = read_script(
        "CREATE TABLE t (a INT); CREATE TABLE u (b INT, B TEXT); CREATE TABLE v AS SELECT * FROM nowhere;"
        "CREATE TABLE w (a INT); CREATE TABLE w (b INT); CREATE TABLE x (a INT); CREATE TABLE x (a INT)"
    )
    assert [table.name for table in found.schema.tables] == ["t", "x"]
    assert found.unreadable == {
        "u": "duplicate column name: b",
        "v": "its columns are those of a query",
        "w": "it is created twice, with different columns",
    }
    assert found.skipped == {"CREATE TABLE, repeated": 1}


def test_a_table_that_sqlite_can_read_keeps_its_types_as_written() -> None:
    text = "PRAGMA foreign_keys = ON;\nCREATE TABLE t (a Int4, b varchar(7) -- what\n);"
    assert written(text) == "CREATE TABLE t (a Int4, b varchar(7));"


def test_statements_need_no_semicolon() -> None:
    text = "CREATE TABLE a (x INT)\n\nCREATE TABLE b (y INT) CREATE TABLE c (z INT)\nINSERT INTO a VALUES (1)"
    assert [table.name for table in read_script(text).schema.tables] == ["a", "b", "c"]
    assert read_script(text).inserts == ("INSERT INTO a VALUES (1)",)


def test_an_open_parenthesis_ends_at_the_next_table() -> None:
    found = read_script("CREATE TABLE a (x INT\n\nCREATE TABLE b (y INT);\nCREATE TABLE c (z INT);")
    assert [table.name for table in found.schema.tables] == ["a", "b", "c"]


# -- what is skipped --

POSTGRES_DUMP = r"""-- a dump
\connect shop
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA shop;
CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;
CREATE TYPE public.rating AS ENUM ('G', 'R; X');
CREATE DOMAIN public.year AS integer CONSTRAINT year_check CHECK (VALUE >= 1901 AND VALUE <= 2155);
CREATE DOMAIN public.bpchar AS text;
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $_$
BEGIN
  CREATE TEMP TABLE scratch (a int); INSERT INTO scratch VALUES (1);
  RETURN NEW;
END $_$;
ALTER FUNCTION public.touch() OWNER TO postgres;
CREATE SEQUENCE public.film_id_seq START WITH 1 INCREMENT BY 1;
CREATE TABLE public.film (
    film_id integer DEFAULT nextval('public.film_id_seq'::regclass) NOT NULL,
    title character varying(255) NOT NULL,
    release_year public.year,
    rating public.rating DEFAULT 'G'::public.rating,
    features text[],
    score numeric(4,2) DEFAULT 4.99 NOT NULL,
    fulltext tsvector NOT NULL,
    code public.bpchar
);
COMMENT ON COLUMN public.film.title IS 'as on the poster';
CREATE TABLE public.payment (payment_id integer NOT NULL, film_id smallint, paid timestamp without time zone)
PARTITION BY RANGE (paid);
CREATE TABLE payment_p2007_01 (CONSTRAINT c CHECK (paid >= '2007-01-01'::timestamp)) INHERITS (payment);
CREATE TABLE public.payment_p2 PARTITION OF public.payment FOR VALUES FROM ('2007-02-01') TO ('2007-03-01');
COPY public.film (film_id, title) FROM stdin;
1	it's; CREATE TABLE no (a int);
2	"two
\.
ALTER TABLE ONLY public.film ADD CONSTRAINT film_pkey PRIMARY KEY (film_id);
ALTER TABLE ONLY public.payment
    ADD CONSTRAINT f FOREIGN KEY (film_id) REFERENCES public.film(film_id) ON UPDATE CASCADE;
CREATE INDEX film_title ON public.film USING btree (title);
CREATE TRIGGER t BEFORE UPDATE ON public.film FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE RULE r AS ON INSERT TO payment DO INSTEAD INSERT INTO payment_p2007_01 DEFAULT VALUES;
GRANT ALL ON SCHEMA public TO PUBLIC;
\echo done
"""


def test_a_postgres_dump_gives_its_tables_and_counts_the_rest() -> None:
    found = read_script(POSTGRES_DUMP)
    payment = "payment_id INTEGER, film_id INTEGER{}, paid TIMESTAMP"
    assert write_ddl(found.schema) == (
        "CREATE TABLE film (film_id INTEGER PRIMARY KEY, title TEXT(255), release_year INTEGER, rating TEXT,"
        " features TEXT, score REAL(4, 2), fulltext TSVECTOR, code TEXT);\n"
        f"CREATE TABLE payment ({payment.format(' REFERENCES film (film_id)')});\n"
        f"CREATE TABLE payment_p2007_01 ({payment.format('')});"
    )
    assert found.dialect == "postgres"
    assert found.unreadable == {}
    assert found.skipped == {
        "ALTER FUNCTION": 1,
        "COPY": 1,
        "CREATE DOMAIN": 2,
        "CREATE EXTENSION": 1,
        "CREATE FUNCTION": 1,
        "CREATE INDEX": 1,
        "CREATE RULE": 1,
        "CREATE SCHEMA": 1,
        "CREATE SEQUENCE": 1,
        "CREATE TABLE ... PARTITION OF": 1,
        "CREATE TRIGGER": 1,
        "CREATE TYPE": 1,
        "GRANT": 1,
        "SELECT": 1,
        "SET": 1,
        "psql command": 2,
    }
    assert found.schema.tables[0].columns[1].comment == "as on the poster"


MYSQL_DUMP = """-- MySQL dump
/*!40101 SET NAMES utf8 */;
SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0;
DROP DATABASE IF EXISTS company;
CREATE DATABASE IF NOT EXISTS company;
USE company;
SELECT 'CREATING DATABASE STRUCTURE; ' as 'INFO';
DROP TABLE IF EXISTS staff, place;
# a remark: it's here
CREATE TABLE staff (
  staff_id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'who''s who',
  gender ENUM ('M','F') NOT NULL, -- as told
  hired YEAR DEFAULT NULL,
  skills SET('a,b', 'c'),
  picture BLOB DEFAULT NULL, /* may be large */
  key_name varchar(20),
  `key` int,
  updated TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (staff_id), UNIQUE KEY (gender), FULLTEXT KEY idx (key_name), KEY (hired),
  CONSTRAINT `fk` FOREIGN KEY (hired) REFERENCES place (place_id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
/*!50100 PARTITION BY RANGE (hired) (PARTITION p0 VALUES LESS THAN (1990)) */;
CREATE TABLE place (place_id SMALLINT PRIMARY KEY, spot GEOMETRY NOT NULL /*!80003 SRID 0 */);
CREATE TABLE place_copy LIKE place;
INSERT INTO place VALUES (1, 'C:\\\\'), (2, 'it\\'s; x');
DELIMITER ;;
CREATE DEFINER=`root`@`localhost` TRIGGER ins AFTER INSERT ON staff FOR EACH ROW BEGIN
    INSERT INTO log (id) VALUES (new.staff_id);
  END;;
CREATE PROCEDURE p() BEGIN
CREATE TEMPORARY TABLE tmp (id SMALLINT NOT NULL); END;;
DELIMITER ;
CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW v AS SELECT * FROM staff;
LOCK TABLES `place` WRITE;
UNLOCK TABLES;
ALTER TABLE place ADD COLUMN `note` text, ADD KEY k (note);
source load_departments.dump ;
source show_elapsed.sql ;
"""


def test_a_mysql_dump_gives_its_tables_and_counts_the_rest() -> None:
    found = read_script(MYSQL_DUMP)
    assert write_ddl(found.schema) == (
        "CREATE TABLE staff (staff_id UTINYINT PRIMARY KEY, gender TEXT,"
        " hired YEAR REFERENCES place (place_id), skills TEXT, picture BLOB, key_name TEXT(20), key INTEGER,"
        " updated TIMESTAMPTZ);\n"
        "CREATE TABLE place (place_id INTEGER PRIMARY KEY, spot GEOMETRY, note TEXT);\n"
        "CREATE TABLE place_copy (place_id INTEGER, spot GEOMETRY);"
    )
    assert [(c.name, c.comment) for c in found.schema.tables[0].columns if c.comment] == [
        ("staff_id", "who's who"),
        ("gender", "as told"),
        ("picture", "may be large"),
    ]
    assert (found.dialect, len(found.inserts)) == ("mysql", 1)
    assert found.skipped == {
        "CREATE DATABASE": 1,
        "CREATE PROCEDURE": 1,
        "CREATE TRIGGER": 1,
        "CREATE VIEW": 1,
        "DROP DATABASE": 1,
        "DROP TABLE": 1,
        "LOCK": 1,
        "SELECT": 1,
        "SET": 2,
        "UNLOCK": 1,
        "USE": 1,
        "source": 2,
    }


TSQL = """USE [master]
GO
IF EXISTS (SELECT name FROM sys.databases WHERE name = 'shop')
DROP DATABASE [shop]
GO
SET ANSI_NULLS ON
GO
CREATE TYPE [dbo].[Name] FROM [nvarchar](50) NULL
GO
CREATE TABLE [dbo].[Order Details](
    [OrderID] [int] IDENTITY(1,1) NOT NULL,
    [Name] [dbo].[Name] NOT NULL,
    [Total] AS ([Price] * 2) PERSISTED,
    [Price] [money] NULL CONSTRAINT [DF_Price] DEFAULT (0),
    [Made] datetime2(7),
    [rowguid] uniqueidentifier ROWGUIDCOL,
    [Text] nvarchar(max),
    CONSTRAINT [PK] PRIMARY KEY CLUSTERED ([OrderID] ASC) WITH (PAD_INDEX = OFF) ON [PRIMARY]
) ON [PRIMARY] TEXTIMAGE_ON [PRIMARY]
GO
CREATE TABLE #scratch (a int)
GO
CREATE PROCEDURE dbo.p AS
CREATE TABLE #inner (a int);
INSERT INTO #inner VALUES (1);
GO
CREATE TABLE Sales.Line (id int, [OrderID] int)
ALTER TABLE Sales.Line WITH CHECK ADD
    CONSTRAINT [FK] FOREIGN KEY ([OrderID]) REFERENCES [dbo].[Order Details] ([OrderID]),
    CONSTRAINT [PK2] PRIMARY KEY (id)
PRINT 'done'
GO
"""


def test_t_sql_gives_its_tables_and_counts_the_rest() -> None:
    found = read_script(TSQL)
    assert write_ddl(found.schema) == (
        'CREATE TABLE "Order Details" (OrderID INTEGER PRIMARY KEY, Name TEXT(50), Total, Price MONEY,'
        " Made TIMESTAMP(7), rowguid UUID, Text TEXT);\n"
        'CREATE TABLE Line (id INTEGER PRIMARY KEY, OrderID INTEGER REFERENCES "Order Details" (OrderID));'
    )
    assert found.dialect == "tsql"
    assert found.unreadable == {}
    assert found.skipped["CREATE TEMPORARY TABLE"] >= 1
    assert found.skipped["CREATE PROCEDURE"] == found.skipped["CREATE TYPE"] == found.skipped["SET"] == 1


def test_duckdb_structs_arrays_and_maps_are_one_column_each() -> None:
    text = (
        "CREATE TABLE t (id INTEGER[], s STRUCT(a INT, b VARCHAR[3]), m MAP(VARCHAR, STRUCT(x INT, y INT)),"
        " u UNION(n INT, t VARCHAR), name VARCHAR)"
    )
    assert written(text) == "CREATE TABLE t (id TEXT, s TEXT, m TEXT, u TEXT, name TEXT);"


def test_oracle_snowflake_and_bigquery_types_are_written_for_sqlite() -> None:
    oracle = "CREATE TABLE t (a NUMBER(10) ENABLE, b VARCHAR2(20 CHAR), c CLOB, d TIMESTAMP(6)) NOLOGGING\n/"
    assert written(oracle) == "CREATE TABLE t (a REAL(10), b TEXT(20), c TEXT, d TIMESTAMP(6));"
    snowflake = "CREATE OR REPLACE TRANSIENT TABLE db.s.t (a NUMBER(38,0) autoincrement, b VARIANT, c STRING)"
    assert written(snowflake) == "CREATE TABLE t (a REAL(38, 0), b VARIANT, c TEXT);"
    bigquery = "CREATE TABLE `p.d`.t (a INT64, b STRUCT<x INT64, y ARRAY<STRING>>, c STRING OPTIONS(x=1))"
    assert written(bigquery) == "CREATE TABLE t (a INTEGER, b TEXT, c TEXT);"


def test_a_type_that_sqlite_cannot_read_is_text() -> None:
    oracle = "CREATE TABLE t (a VARCHAR2(3), b INTERVAL YEAR TO MONTH, c [order], d x.y.z)"
    assert written(oracle, "oracle") == "CREATE TABLE t (a TEXT(3), b TEXT, c TEXT, d Z);"


def test_a_table_that_sqlite_cannot_hold_does_not_lose_the_others() -> None:
    columns = ", ".join(f"c{number} NUMBER(3)" for number in range(2_001))
    found = read_script(f"CREATE TABLE wide ({columns}); CREATE TABLE t (a NUMBER(3));", "oracle")
    assert [table.name for table in found.schema.tables] == ["t"]
    assert found.unreadable == {"wide": "too many columns on wide"}


def test_partition_columns_of_hive_are_columns() -> None:
    text = "CREATE EXTERNAL TABLE t (a STRING COMMENT 'x') PARTITIONED BY (day DATE, b INT) STORED AS PARQUET"
    assert written(text, "hive") == "CREATE TABLE t (a TEXT, day DATE, b INTEGER);"
    assert written("CREATE TABLE t (a UINT) PARTITIONED BY (a)") == "CREATE TABLE t (a UINT);"


def test_marks_of_markdown_around_the_text_are_ignored() -> None:
    assert written("```sql\nCREATE TABLE t (a INT);\nSET x = 1;\n```") == "CREATE TABLE t (a INT);"


def test_the_dialect_may_be_named() -> None:
    assert written("CREATE TABLE t (a NUMBER, b INT64 ARRAY)", "oracle") != written(
        "CREATE TABLE t (a STRING(5) OPTIONS())", "bigquery"
    )
    assert read_script("CREATE TABLE t (a text[])", "duckdb").dialect == "duckdb"


def test_sqlites_own_tables_in_the_text_are_skipped() -> None:
    text = "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT);\nCREATE TABLE sqlite_sequence(name,seq);"
    assert written(text) == "CREATE TABLE t (a INTEGER PRIMARY KEY);"
    assert read_script(text).skipped == {"CREATE TABLE sqlite_...": 1}


def test_a_virtual_table_is_a_table_without_its_shadow_tables() -> None:
    text = (
        "PRAGMA encoding = 'UTF-8'; CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT);\n"
        "CREATE VIRTUAL TABLE note_fts USING fts5(body, content='note', content_rowid='id');\n"
        "CREATE TABLE 'note_fts_data'(id INTEGER PRIMARY KEY, block BLOB);\n"
        "CREATE VIRTUAL TABLE place USING no_such_module(x);\n"
        "CREATE TRIGGER ai AFTER INSERT ON note BEGIN\n"
        "  INSERT INTO note_fts (rowid, body) VALUES (new.id, CASE WHEN 1 THEN new.body END);\nEND;"
    )
    found = read_script(text)
    assert write_ddl(found.schema) == (
        "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT);\nCREATE TABLE note_fts (body);"
    )
    assert found.unreadable == {"place": "no such module: no_such_module"}
    assert found.skipped == {
        "PRAGMA": 1,
        "CREATE TRIGGER": 1,
        "CREATE TABLE of a virtual table's content": 1,
    }


def test_a_dump_of_sqlite_has_its_virtual_tables_in_an_insert() -> None:
    text = (
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nPRAGMA writable_schema=ON;\n"
        "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','d','d',0,"
        "'CREATE VIRTUAL TABLE d USING fts5(a, tokenize=''porter'')');\n"
        "CREATE TABLE IF NOT EXISTS 'd_data'(id INTEGER PRIMARY KEY, block BLOB);\n"
        "INSERT INTO d_data VALUES(1,X'00');\nCREATE TABLE t (a INT);\n"
        "PRAGMA writable_schema=OFF;\nCOMMIT;"
    )
    assert written(text) == "CREATE TABLE d (a);\nCREATE TABLE t (a INT);"


# -- names of schemas --


def test_a_table_of_the_same_name_in_two_schemas_keeps_the_name_of_the_schema() -> None:
    found = read_script(
        "CREATE SCHEMA a; CREATE TABLE a.t (x int); CREATE TABLE b.t (y int REFERENCES a.t (x));"
        "CREATE TABLE b.u (z int);"
    )
    assert write_ddl(found.schema) == (
        'CREATE TABLE "a.t" (x INTEGER);\nCREATE TABLE "b.t" (y INTEGER REFERENCES "a.t" (x));\n'
        "CREATE TABLE u (z INTEGER);"
    )
    sql = "SELECT a.t.x, 'a.t', u.z FROM A.T JOIN b . \"t\" ON b.t.y = a.t.x, [b].[u] -- b.u\n, db.b.u"
    assert unqualified(sql, found.names) == (
        'SELECT "a.t".x, \'a.t\', u.z FROM "a.t" JOIN "b.t" ON "b.t".y = "a.t".x, u -- b.u\n, u'
    )


@pytest.mark.parametrize("sql", ["SELECT t.a FROM t", "SELECT s.other FROM x AS s", "SELECT 1.5"])
def test_other_names_with_a_dot_stay(sql: str) -> None:
    assert unqualified(sql, {("s", "t"): "t"}) == sql


@pytest.mark.parametrize(
    "sql", ['"' * 99_999 + ".", "[" + "a" * 99_999 + ".", "a." * 50_000, "a " * 50_000 + "."]
)
def test_no_query_takes_long_to_rename(sql: str) -> None:
    start = time.process_time()
    unqualified(sql, {("s", "t"): "t"})
    assert time.process_time() - start < 5


# -- hostile texts --


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (" + "(" * 30_000,
        "CREATE TABLE t (a " + "ARRAY<" * 20_000 + "INT",
        "CREATE TABLE t (a INT[" + "]" * 20_000,
        "CREATE TABLE t (" + ", ".join(f"c{n} INT UNSIGNED" for n in range(3_000)) + ")",
        "CREATE TABLE t (a INT UNSIGNED, " + "'" * 99_999,
        "CREATE TABLE t (a INT UNSIGNED, " + '"' * 99_999,
        "CREATE TABLE t (a INT UNSIGNED, [" + "a" * 99_999,
        "CREATE TABLE t (a INT UNSIGNED, " + "`" * 99_999,
        "COPY a\n" * 5_000,
        "INSERT INTO sqlite_master VALUES ('table', " + "', " * 20_000,
        "CREATE TABLE t0 (a int[3]); "
        + "".join(f"CREATE TABLE t{n} () INHERITS (t{n - 1});" for n in range(1, 800)),
        "CREATE SCHEMA s; CREATE TABLE s.t (a INT);" + "INSERT INTO s.t VALUES ('" * 2_000,
        "/*" * 50_000,
        "$$" * 50_001 + "$a$" * 50_000,
        '"' * 99_999 + "[" * 50_000,
        "CREATE TRIGGER t BEGIN " + "BEGIN; " * 20_000,
        "CREATE TABLE t (a INT UNSIGNED DEFAULT (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n)"
        " SELECT count(*) FROM n))",
        "CREATE TABLE t (a INT) INHERITS (t); CREATE TABLE u () INHERITS (v); CREATE TABLE v () INHERITS (u)",
        "ATTACH 'x.db' AS x; CREATE TABLE x.t (a INT); DETACH x",
        "GO\n" * 50_000,
        "DELIMITER " * 20_000,
        "DELIMITER //\n" * 5_000,
    ],
)
def test_no_text_takes_long_or_raises(text: str, caplog: pytest.LogCaptureFixture) -> None:
    start = time.process_time()
    with caplog.at_level(logging.WARNING):
        schema = read_script(text).schema
    assert time.process_time() - start < 10
    assert caplog.text == ""
    if schema.tables:
        assert read_ddl(write_ddl(schema))
