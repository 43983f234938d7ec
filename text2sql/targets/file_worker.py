"""The process in which one query runs on a SQLite or DuckDB file: `python -m text2sql.targets.file_worker`.

Reads a request from the standard input and writes ("result" | "refused" | "failed" | "error", value) to the
standard output, both as `marshal` does. It ends when its parent ends, at the query's time limit, and where
memory runs out. What DuckDB is kept from is in `_open_duckdb`; SQLite is opened by the judge's sandbox.
"""

from __future__ import annotations

import marshal
import os
import resource
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from text2sql.evaluation.execution.sandbox import DatabaseError, QueryError, Sandbox, first_rows
from text2sql.processes import die_with
from text2sql.targets.model import RESULT_BYTES, plain

_MEMORY = 4 << 30  # bytes of address space; SQLite's own limit is lower
_DUCKDB_MEMORY = "1GB"
_KILL_S = 1.0  # after the time limit: what does not end by itself is ended
_REFUSED = ("denied", "empty")
_VIRTUAL = "vtable constructor failed"  # opening one is more than reading, so the sandbox denies it


def main() -> None:
    """Answer one request."""
    request = marshal.loads(sys.stdin.buffer.read())
    die_with(request["parent"])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    _end_at(request["seconds"] + _KILL_S)
    answer = (_sqlite if request["dialect"] == "sqlite" else _duckdb)(request)
    _answer(answer)


def _end_at(seconds: float) -> None:
    """End this process when SQLite or DuckDB does not keep to the time limit, as within one long function."""

    def end() -> None:
        _answer(_late(seconds - _KILL_S))
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _answer(answer: tuple[str, Any]) -> None:
    sys.stdout.buffer.write(marshal.dumps(answer))
    sys.stdout.buffer.flush()


def _late(seconds: float) -> tuple[str, Any]:
    return "failed", (f"it took more than {seconds:g} s", True)


def _sqlite(request: dict[str, Any]) -> tuple[str, Any]:
    sql = f"EXPLAIN QUERY PLAN {request['sql']}" if request["do"] == "plan" else request["sql"]
    deadline = time.monotonic() + request["seconds"]
    try:
        with Sandbox(Path(request["path"]), max_rows=sys.maxsize, live=True) as database:
            found = database.head(sql, deadline, request["rows"], RESULT_BYTES)
            return "result", (found.columns, found.rows, found.more)
    except DatabaseError as error:
        return "error", str(error.__cause__ or error)
    except QueryError as error:
        if error.message.startswith(_VIRTUAL):
            return "refused", f"it reads a virtual table, as of full-text search ({error.message})"
        if error.kind in _REFUSED:
            return "refused", f"it is not one query that only reads ({error.message})"
        return _late(request["seconds"]) if error.kind == "timeout" else ("failed", (error.message, False))


def _duckdb(request: dict[str, Any]) -> tuple[str, Any]:
    import duckdb

    try:
        with closing(_open_duckdb(request["path"])) as connection:
            if request["do"] == "schema":
                return "result", _duckdb_tables(connection)
            return _run_duckdb(connection, request)
    except duckdb.IOException as error:  # also a file that another process has open for writing
        return "error", f"DuckDB cannot read it ({_first_line(error)}); close the program that writes it"
    except duckdb.Error as error:
        return "error", f"DuckDB cannot read it ({_first_line(error)})"


def _open_duckdb(path: str) -> Any:
    """Open a file for reading: without other files, the network, extensions, or this program's variables."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
        "memory_limit": _DUCKDB_MEMORY,
        "temp_directory": "",
        "threads": "2",
        "lock_configuration": "true",
    }
    return duckdb.connect(path, read_only=True, config=settings)


def _run_duckdb(connection: Any, request: dict[str, Any]) -> tuple[str, Any]:
    import duckdb

    stop = threading.Timer(request["seconds"], connection.interrupt)
    stop.daemon = True
    try:
        statements = connection.extract_statements(request["sql"])
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return "refused", "it is not one query that only reads"
        stop.start()
        prefix = "EXPLAIN " if request["do"] == "plan" else ""
        cursor = connection.execute(f"{prefix}{request['sql']}")
        rows = (tuple(map(plain, row)) for row in iter(cursor.fetchone, None))
        kept, more = first_rows(rows, request["rows"], RESULT_BYTES)
        return "result", ([column[0] for column in cursor.description], kept, more)
    except duckdb.InterruptException:
        return _late(request["seconds"])
    except (duckdb.Error, RuntimeError) as error:
        return "failed", (_first_line(error), False)
    finally:
        stop.cancel()


def _duckdb_tables(connection: Any) -> list[dict[str, Any]]:
    """Name, columns (name, type, no examples, comment) and keys of every table of schema main."""
    columns = connection.execute(
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns()"
        " WHERE NOT internal AND schema_name = 'main' AND table_name IN"
        " (SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main')"
        " ORDER BY table_oid, column_index"
    ).fetchall()
    tables: dict[str, dict[str, Any]] = {}
    for table, column, kind, comment in columns:
        empty = {"name": table, "columns": [], "primary_key": [], "foreign_keys": []}
        tables.setdefault(table, empty)["columns"].append((column, kind, (), comment or ""))
    for table, kind, own, to, theirs in connection.execute(
        "SELECT table_name, constraint_type, constraint_column_names, referenced_table,"
        " referenced_column_names FROM duckdb_constraints() WHERE schema_name = 'main'"
    ).fetchall():
        if kind == "PRIMARY KEY":
            tables[table]["primary_key"] = own
        elif kind == "FOREIGN KEY":
            tables[table]["foreign_keys"].append((own, to, theirs))
    return list(tables.values())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


if __name__ == "__main__":
    main()
