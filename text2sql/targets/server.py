"""PostgreSQL, MySQL and MariaDB, through SQLAlchemy.

A query is run in a transaction that the server was told to keep read-only, with the server's own time limit,
and only as sqlglot writes what it has read as one query. What such a transaction still allows is refused
here: functions that PostgreSQL calls volatile, those of MySQL that read files or take locks, and INTO.
Not covered: what a view or a function of the database's owner does beyond its transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlglot import exp

from text2sql.errors import UserError
from text2sql.evaluation.execution.sandbox import first_rows
from text2sql.schema.model import Column, ForeignKey, Schema, Table
from text2sql.targets.model import RESULT_BYTES, Dialect, Limits, QueryFailed, QueryRefused, Result, plain
from text2sql.targets.query import called_names, dotted_names, parse_query, write_query

_DIALECTS: dict[str, Dialect] = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_DRIVERS = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_CONNECT_S = 10
_SCHEMA_S = 60.0
# Volatile functions of PostgreSQL that change nothing
_HARMLESS = frozenset({"random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid"})
# t.f calls the function f with a row of t (typtype c), or with anything (p)
_VOLATILE = """
SELECT proname FROM pg_proc LEFT JOIN pg_type ON pg_type.oid = proargtypes[0]
WHERE provolatile = 'v'
  AND (proname = ANY(:called) OR proname = ANY(:dotted) AND typtype IN ('c', 'p'))
LIMIT 1
"""
_REFUSED_IN_MYSQL = frozenset(
    """load_file sleep benchmark get_lock release_lock release_all_locks is_free_lock is_used_lock
    master_pos_wait master_gtid_wait source_pos_wait wait_for_executed_gtid_set nextval lastval setval
    sys_exec sys_eval last_insert_id uuid_short""".split()  # noqa: SIM905
)
_LATE = {"57014", 1969, 3024, 1317}  # canceled by PostgreSQL; MariaDB's and MySQL's time limits; interrupted


def server_target(address: str) -> ServerTarget:
    """The server at a URL such as postgresql://user@host:5432/database.

    Raises:
        UserError: the URL is malformed, or names no database. The message has no password.
    """
    form = "write it like postgresql://user@host:5432/database, or mysql://..."
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        raise UserError(f"--database: the URL cannot be read; {form}") from error
    dialect = _DIALECTS.get(url.drivername)
    if dialect is None:
        raise UserError(f"--database: {url.drivername}:// is not supported; {form}, or name a file")
    if not url.database:
        raise UserError(f"--database: {shown(url)} names no database; write it after the last slash")
    return ServerTarget(url.set(drivername=_DRIVERS[dialect]), dialect, shown(url))


def shown(url: URL) -> str:
    """The URL without its password and without its query, which may have one too."""
    return url.set(query={}).render_as_string(hide_password=True)


@dataclass(frozen=True, slots=True)
class ServerTarget:
    """A database on a server; the functions are those of `text2sql.targets.model.Target`."""

    url: URL
    dialect: Dialect
    label: str

    def schema(self, examples: int = 0, comments: bool = False) -> Schema:
        """The tables of the default schema, with the columns' comments; `examples` is not used."""
        with self._reading(Limits(_SCHEMA_S)) as connection:
            found = _schema(sa.inspect(connection))
        if not found.tables:
            raise UserError(f"{self.label}: this user sees no table; name another database or user")
        return found

    def run(self, sql: str, limits: Limits) -> Result:
        """The result of one query."""
        text = self._checked(sql, limits.rows + 1)
        with self._reading(limits) as connection:
            self._refuse_volatile(connection, text)
            found = self._execute(connection, text, limits.rows + 1)
            rows = (tuple(map(plain, row)) for row in found)
            kept, more = first_rows(rows, limits.rows, RESULT_BYTES)
            return Result(tuple(found.keys()), kept, more)

    def plan(self, sql: str, limits: Limits) -> list[str]:
        """The lines of the server's EXPLAIN."""
        text = self._checked(sql, limits.rows + 1)
        with self._reading(limits) as connection:
            self._refuse_volatile(connection, text)
            found = connection.exec_driver_sql(_escaped(f"EXPLAIN {text}")).mappings().all()
        if self.dialect == "postgres":
            return [str(next(iter(row.values()))) for row in found]
        return [
            ", ".join(f"{key}: {value}" for key, value in row.items() if value is not None) for row in found
        ]

    def _execute(self, connection: Connection, text: str, rows: int) -> sa.CursorResult[Any]:
        """Run a query of which no more than `rows` are wanted."""
        if self.dialect == "mysql":  # its driver reads a result to the end
            connection.exec_driver_sql(f"SET SESSION sql_select_limit = {rows}")
            return connection.exec_driver_sql(_escaped(text))
        return connection.execution_options(stream_results=True).exec_driver_sql(_escaped(text))

    def _checked(self, sql: str, rows: int) -> str:
        """The text that is run: what sqlglot has read, written again.

        MySQL's own limit of rows does not hold where the query has one, so that a larger one is made smaller.
        """
        tree = parse_query(sql, self.dialect)
        if self.dialect == "mysql":
            limit = tree.args.get("limit")
            if limit is not None and limit.expression.is_int and int(limit.expression.name) > rows:
                limit.set("expression", exp.Literal.number(rows))
        text = write_query(tree, self.dialect)
        called = called_names(text, self.dialect)
        refused = sorted(called & _REFUSED_IN_MYSQL) if self.dialect == "mysql" else []
        if refused:
            raise QueryRefused(f"{refused[0]}() does more than read tables")
        return text

    def _refuse_volatile(self, connection: Connection, text: str) -> None:
        """Refuse functions that PostgreSQL calls volatile: some write, lock, or read files."""
        if self.dialect != "postgres":
            return
        if 'U&"' in text.upper():
            raise QueryRefused("names with escapes (U&) are not read")
        names = {
            "called": sorted(called_names(text, "postgres") - _HARMLESS),
            "dotted": sorted(dotted_names(text, "postgres")),
        }
        found = connection.execute(sa.text(_VOLATILE), names).scalar()
        if found:
            raise QueryRefused(f"{found}() may do more than read tables: PostgreSQL calls it volatile")

    @contextmanager
    def _reading(self, limits: Limits) -> Iterator[Connection]:
        """A connection in a transaction that only reads, rolled back at the end.

        Raises:
            QueryFailed: the query in it fails.
            UserError: the server cannot be reached, or goes away.
        """
        engine = sa.create_engine(self.url, poolclass=NullPool, connect_args=_timeouts(self.dialect, limits))
        connected = False
        try:
            with engine.connect() as connection:
                connected = True
                _begin(connection, self.dialect, limits)
                with self._ended_by_ctrl_c(connection, engine):
                    yield connection
        except DBAPIError as error:
            reason = _reason(error)
            if not connected or error.connection_invalidated:
                check = "check that the server runs, and the address, user and password"
                raise UserError(f"{self.label}: {reason}; {check}") from error
            late = _code(error) in _LATE
            raise QueryFailed(f"it took more than {limits.seconds:g} s" if late else reason, late) from error
        except SQLAlchemyError as error:
            raise QueryFailed(str(error).partition("\n")[0]) from error
        except (TypeError, LookupError, ValueError, AttributeError) as error:
            if connected:
                raise
            why = f"the driver does not take the options after the ? of the URL ({error})"
            raise UserError(f"{self.label}: {why}; correct them") from error
        finally:
            engine.dispose()

    @contextmanager
    def _ended_by_ctrl_c(self, connection: Connection, engine: sa.Engine) -> Iterator[None]:
        """End the query at Ctrl-C. PostgreSQL's driver does; MySQL would go on to its time limit."""
        if self.dialect != "mysql":
            yield
            return
        number = int(connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())
        try:
            yield
        except KeyboardInterrupt:
            # where this fails, the server's time limit ends the query
            with suppress(SQLAlchemyError), engine.connect() as other:
                other.exec_driver_sql(f"KILL {number}")
            raise


def _timeouts(dialect: Dialect, limits: Limits) -> dict[str, Any]:
    if dialect == "postgres":
        return {"connect_timeout": _CONNECT_S, "application_name": "text2sql"}
    # the server's limit comes first; the socket's is for a server that no longer answers
    return {"connect_timeout": _CONNECT_S, "read_timeout": round(limits.seconds) + _CONNECT_S}


def _begin(connection: Connection, dialect: Dialect, limits: Limits) -> None:
    """Begin a transaction that only reads, in which a statement has a time limit."""
    milliseconds = max(1, round(limits.seconds * 1000))
    if dialect == "postgres":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")
        return
    version = str(connection.exec_driver_sql("SELECT VERSION()").scalar())
    if "mariadb" in version.lower():
        connection.exec_driver_sql(f"SET SESSION max_statement_time = {milliseconds / 1000}")
    else:
        connection.exec_driver_sql(f"SET SESSION max_execution_time = {milliseconds}")
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {max(1, round(limits.seconds))}")
    connection.exec_driver_sql("START TRANSACTION READ ONLY")


def _escaped(sql: str) -> str:
    """The text with % doubled, which the drivers take for a placeholder."""
    return sql.replace("%", "%%")


def _code(error: DBAPIError) -> object:
    """PostgreSQL's SQLSTATE, or MySQL's number."""
    first = next(iter(getattr(error.orig, "args", ())), None)
    return first if isinstance(first, int) else getattr(error.orig, "sqlstate", None)


def _reason(error: DBAPIError) -> str:
    """The server's message, on one line."""
    arguments: tuple[object, ...] = getattr(error.orig, "args", ())
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    text = str(primary or (arguments[1] if len(arguments) > 1 else error.orig))
    return " ".join(text.split())


def _schema(inspector: Any) -> Schema:
    columns = inspector.get_multi_columns()
    primary_keys = inspector.get_multi_pk_constraint()
    foreign_keys = inspector.get_multi_foreign_keys()
    return Schema(
        tuple(
            Table(
                name,
                tuple(Column(c["name"], _type(c["type"]), (), c.get("comment") or "") for c in found),
                tuple((primary_keys.get((schema, name)) or {}).get("constrained_columns") or ()),
                tuple(
                    ForeignKey(
                        tuple(key["constrained_columns"]),
                        key["referred_table"],
                        tuple(key["referred_columns"]),
                    )
                    for key in foreign_keys.get((schema, name), ())
                ),
            )
            for (schema, name), found in columns.items()
        )
    )


def _type(kind: Any) -> str:
    """The name of a column's type; "" for one that SQLAlchemy does not know."""
    return "" if isinstance(kind, sa.types.NullType) else str(kind).partition(" COLLATE ")[0]
