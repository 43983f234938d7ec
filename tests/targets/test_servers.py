"""Real servers, started here: PostgreSQL and MariaDB, with a user who may write and one who may not."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evaluation.hostile import HOSTILE
from tests.servers import Server, mariadb, postgres
from text2sql.errors import UserError
from text2sql.schema.model import Column, ForeignKey, Table
from text2sql.targets import open_target
from text2sql.targets.model import Limits, QueryFailed, QueryRefused, Target
from text2sql.targets.query import translate

pytestmark = pytest.mark.slow
LIMITS = Limits(seconds=1.0, rows=3)
USERS = ("writer", "reader")
DENIED = [hostile.sql for hostile in HOSTILE if hostile.outcomes[0] == "denied"]

_POSTGRES = """
CREATE TABLE "Customer" (id int PRIMARY KEY, "Name" text, age int);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES "Customer" (id), amount numeric(10, 2));
COMMENT ON COLUMN orders.amount IS 'in euros';
INSERT INTO "Customer" SELECT i, 'n' || i, i FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, i, i * 1.5 FROM generate_series(1, 10) i;
CREATE SEQUENCE numbers;
CREATE FUNCTION remove() RETURNS int LANGUAGE plpgsql VOLATILE AS
  $$ BEGIN DELETE FROM orders; RETURN 1; END $$;
CREATE FUNCTION called_stable() RETURNS int LANGUAGE plpgsql STABLE AS
  $$ BEGIN EXECUTE 'DELETE FROM orders'; RETURN 1; END $$;
CREATE FUNCTION drop_it(orders) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN 1; END $$;
CREATE FUNCTION anything(anyelement) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN 1; END $$;
CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
CREATE ROLE writer LOGIN SUPERUSER;
"""
_POSTGRES_HARM = [
    "SELECT remove()",
    'SELECT "remove"()',
    "SELECT public.remove()",
    "SELECT called_stable()",
    "SELECT * FROM remove()",
    "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
    "SELECT nextval('numbers')",
    "SELECT setval('numbers', 7)",
    "SELECT lo_create(0)",
    "SELECT lo_export(1, '{file}')",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT query_to_xml('DELETE FROM orders', true, true, '')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_reload_conf()",
    "SELECT pg_advisory_lock(1)",
    "SELECT * INTO copied FROM orders",
    "SELECT * FROM orders FOR UPDATE",
    "COPY orders TO '{file}'",
    "COPY (SELECT 1) TO PROGRAM 'touch {file}'",
    "SELECT 1; DELETE FROM orders",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "COMMIT; DROP TABLE orders",
    'SELECT U&"lo\\005Fcreate"(0)',
    "SELECT o.drop_it FROM orders AS o",
    "SELECT (o).drop_it FROM orders AS o",
    "SELECT (o).anything FROM orders AS o",
    "CALL remove()",
]
_MARIADB = """
CREATE TABLE Customer (id int PRIMARY KEY, Name varchar(20), age int);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES Customer (id),
  amount decimal(10, 2) COMMENT 'in euros');
CREATE TABLE old (a int) ENGINE = MyISAM;
INSERT INTO Customer SELECT seq, concat('n', seq), seq FROM seq_1_to_10;
INSERT INTO orders SELECT seq, seq, seq * 1.5 FROM seq_1_to_10;
CREATE SEQUENCE numbers;
CREATE USER reader@'%'; GRANT SELECT ON shop.* TO reader@'%';
CREATE USER writer@'%'; GRANT ALL ON *.* TO writer@'%';
"""
_MARIADB_HARM = [
    "SELECT remove()",
    "SELECT shop.remove()",
    "SELECT nextval(numbers)",
    "SELECT NEXT VALUE FOR numbers",
    "SELECT setval(numbers, 10)",
    "SELECT lastval(numbers)",
    "SELECT 1 INTO OUTFILE '{file}'",
    "SELECT 1 INTO DUMPFILE '{file}'",
    "SELECT 1 INTO @a",
    "SELECT load_file('/etc/passwd')",
    "SELECT sleep(10)",
    "SELECT get_lock('a', 1)",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT * FROM orders LOCK IN SHARE MODE",
    "SELECT 1; DELETE FROM orders",
    "HANDLER orders OPEN",
    "CALL remove()",
    "SET GLOBAL read_only = 1",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE old",
    "START TRANSACTION",
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path, for sockets, that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="t2s-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def postgres_server(folder: Path) -> Iterator[Server]:
    own = folder / "postgres"
    own.mkdir()
    with postgres(own) as server:
        server.run(_POSTGRES)
        yield server


@pytest.fixture(scope="module")
def mariadb_server(folder: Path) -> Iterator[Server]:
    own = folder / "mariadb"
    own.mkdir()
    with mariadb(own) as server:
        server.run(_MARIADB)
        server.run(
            "DELIMITER //\nCREATE FUNCTION remove() RETURNS int MODIFIES SQL DATA "
            "BEGIN INSERT INTO old VALUES (1); DELETE FROM orders; RETURN 1; END//"
        )
        yield server


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


def harm(server: Server, file: Path) -> list[str]:
    statements = _POSTGRES_HARM if "postgresql" in server.url("x") else _MARIADB_HARM
    return [sql.replace("{file}", str(file)) for sql in statements]


def state(server: Server) -> str:
    """What a query could have changed."""
    orders = "SELECT count(*) FROM orders; SELECT count(*) FROM "
    if "postgresql" in server.url("x"):
        return server.run(
            f'{orders}"Customer"; SELECT last_value, is_called FROM numbers;'
            " SELECT count(*) FROM pg_largeobject_metadata; SELECT count(*) FROM pg_class;"
            " SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        )
    counted = (
        "SELECT next_not_cached_value FROM numbers; SELECT count(*) FROM old; SELECT @@global.read_only;"
    )
    return server.run(f"{orders}Customer; {counted} SELECT count(*) FROM information_schema.tables")


def tried(target: Target, sql: str) -> str:
    """Whether a query was refused, failed, or ran."""
    try:
        target.run(sql, LIMITS)
    except QueryRefused:
        return "refused"
    except QueryFailed:
        return "failed"
    return "ran"


def test_the_schema_has_types_keys_and_comments(server: Server) -> None:
    schema = open_target(server.url("reader")).schema()
    orders = next(table for table in schema.tables if table.name == "orders")
    kind = "NUMERIC(10, 2)" if "postgresql" in server.url("x") else "DECIMAL(10, 2)"
    names = [("id", "INTEGER"), ("customer_id", "INTEGER"), ("amount", kind)]
    assert orders == Table(
        "orders",
        tuple(Column(*name) for name in names),
        ("id",),
        (ForeignKey(("customer_id",), "Customer", ("id",)),),
    )
    assert orders.columns[2].comment == "in euros"


@pytest.mark.parametrize("user", USERS)
def test_a_query_of_the_model_is_translated_and_run(server: Server, user: str) -> None:
    target = open_target(server.url(user))
    sql = "SELECT T1.name, amount FROM customer AS T1 JOIN orders AS T2 ON T1.id = T2.customer_id"
    written = translate(f"{sql} WHERE T1.NAME LIKE 'N%' AND name <> \"n1\"", target.schema(), target.dialect)
    found = target.run(written, LIMITS)
    assert found.columns == ("Name", "amount")
    assert (found.rows, found.more) == ([("n2", "3.00"), ("n3", "4.50"), ("n4", "6.00")], True)


def test_percent_signs_null_and_dates_arrive_as_they_are(server: Server) -> None:
    target = open_target(server.url("reader"))
    found = target.run("SELECT '100%', NULL, '%s', CAST('2024-02-01' AS DATE)", LIMITS)
    assert found.rows == [("100%", None, "%s", "2024-02-01")]


@pytest.mark.parametrize("user", USERS)
def test_nothing_is_written_whatever_is_asked(server: Server, user: str, tmp_path: Path) -> None:
    target, file, before = open_target(server.url(user)), tmp_path / "written", state(server)
    outcomes = {sql: tried(target, sql) for sql in harm(server, file)}
    assert {sql for sql, outcome in outcomes.items() if outcome == "ran"} == set()
    assert state(server) == before
    assert not file.exists()


def test_the_hostile_predictions_of_the_judge_change_nothing(server: Server) -> None:
    target, before = open_target(server.url("writer")), state(server)
    schema = target.schema()
    for sql in DENIED:
        try:
            tried(target, translate(sql, schema, target.dialect))
        except QueryRefused:
            continue
    assert state(server) == before


def test_a_query_without_end_stops_at_the_time_limit(server: Server) -> None:
    tables = ["a", "b", "c", "d", "e"]
    sql = "SELECT count(*) FROM information_schema.columns AS z" + "".join(
        f", information_schema.columns AS {name}" for name in tables
    )
    with pytest.raises(QueryFailed, match="more than 1 s") as caught:
        open_target(server.url("reader")).run(sql, LIMITS)
    assert caught.value.timeout


def test_ctrl_c_ends_the_query_on_the_server(server: Server) -> None:
    tables = ", ".join(f"information_schema.columns AS {name}" for name in "abcdef")
    target = open_target(server.url("reader"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        with pytest.raises(KeyboardInterrupt):
            target.run(f"SELECT count(*) FROM {tables}", Limits(seconds=300.0))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    postgres = "postgresql" in server.url("x")
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = 'reader'"
        if postgres
        else "SELECT count(*) FROM information_schema.processlist WHERE user = 'reader' AND command = 'Query'"
    )
    deadline = time.monotonic() + 30.0
    while server.run(running).split()[-1] != "0":
        assert time.monotonic() < deadline, "the query goes on"


def test_a_large_limit_of_the_query_is_no_reason_to_read_everything(server: Server) -> None:
    found = open_target(server.url("reader")).run("SELECT id FROM orders ORDER BY id LIMIT 1000000", LIMITS)
    assert (len(found.rows), found.more) == (3, True)


def test_the_plan_names_the_table(server: Server) -> None:
    plan = open_target(server.url("reader")).plan("SELECT * FROM orders WHERE amount > 3", LIMITS)
    assert "orders" in "\n".join(plan)


def test_a_failing_query_has_the_servers_message(server: Server) -> None:
    with pytest.raises(QueryFailed, match="nonsense"):
        open_target(server.url("reader")).run("SELECT nonsense FROM orders", LIMITS)


def test_a_user_who_may_not_read_and_a_password_that_is_not_shown(server: Server) -> None:
    url = server.url("stranger:hunter2")
    with pytest.raises(UserError, match="stranger") as caught:
        open_target(url).schema()
    assert "hunter2" not in str(caught.value)


def test_options_of_the_url_that_the_driver_does_not_take_are_an_error(server: Server) -> None:
    for option in ("nonsense=1", "charset=nonsense", "client_encoding=nonsense"):
        with pytest.raises(UserError, match=r"options after the|check that the server runs"):
            open_target(f"{server.url('reader')}?{option}").schema()


def test_arrays_and_json_are_json(postgres_server: Server) -> None:
    target = open_target(postgres_server.url("reader"))
    assert target.run("SELECT ARRAY[1, 2], CAST('{\"a\": null}' AS jsonb)", LIMITS).rows == [
        ("[1, 2]", '{"a": null}')
    ]


def test_a_server_that_went_away_is_an_error_that_names_it() -> None:
    with tempfile.TemporaryDirectory(prefix="t2s-") as name:
        Path(name).chmod(0o755)
        with postgres(Path(name)) as server:
            server.run("CREATE TABLE t (a int)")
            target = open_target(server.url("owner"))
            target.schema()
            server.stop()
            with pytest.raises(UserError, match=r"postgresql://owner@127.0.0.1.*check that the server runs"):
                target.run("SELECT * FROM t", LIMITS)
