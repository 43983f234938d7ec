"""CREATE TABLE text of other database systems."""

from __future__ import annotations

import pytest

from text2sql.preparation.dialects import read_dialect
from text2sql.schema.ddl import read_ddl, write_ddl

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


def written(text: str) -> str:
    schema = read_dialect(text)
    assert schema is not None
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
        "CREATE TABLE t (a INT UNSIGNED, b INT, PRIMARY KEY (a, b), FOREIGN KEY (a, b) REFERENCES u (c, d))"
    )
    assert written(text) == (
        "CREATE TABLE t (a UINT, b INTEGER, PRIMARY KEY (a, b), FOREIGN KEY (a, b) REFERENCES u (c, d));"
    )


@pytest.mark.parametrize(
    "text", ["", "SELECT 1", "CREATE TABLE t (", "((((", "CREATE TABLE t (a) SOMEHOW (b)"]
)
def test_text_that_creates_no_table_is_no_schema(text: str) -> None:
    assert read_dialect(text) is None


def test_a_table_that_cannot_be_read_is_not_left_out_in_silence() -> None:
    assert read_dialect("CREATE TABLE t (a INT); CREATE TABLE u (b INT) SOMEHOW (b)") is None
