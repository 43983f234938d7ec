"""A conversation in the terminal: a question a line, and commands that begin with a backslash."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from text2sql.ask.asker import Asker, Draft, Outcome, Written
from text2sql.ask.shown import print_lines
from text2sql.ask.view import View
from text2sql.errors import UserError
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Schema
from text2sql.targets.model import Limits, QueryFailed, QueryRefused

HELP = r"""a question     the model writes a query, and the database runs it
\schema        the CREATE TABLE text of all tables; \schema NAME: of one
\sql           the last query again; \sql QUERY: run a query of yours
\explain       the plan of the last query
\help          this list
\quit          the end (also Ctrl-D)"""


class Session:
    """Answers the lines of one user. `answer` asks a question and shows the outcome; it returns the query."""

    def __init__(self, asker: Asker, view: View, limits: Limits, answer: Callable[[str], str | None]) -> None:
        self._asker, self._view, self._limits, self._answer = asker, view, limits, answer
        self._last: str | None = None

    def run(self) -> None:
        """Read lines to the end. An error about one of them ends only that one."""
        for line in _lines(self._asker.target.label):
            text = line.strip()
            if text in (r"\quit", r"\q", "exit", "quit"):
                return
            try:
                self._do(text)
            except UserError as error:
                self._view.failure(text, "error", str(error))
            except KeyboardInterrupt:
                if not sys.stdin.isatty():  # lines of a file: all of them are stopped
                    raise
                self._view.note(r"stopped; \quit ends the session")

    def _do(self, text: str) -> None:
        if not text:
            return
        if not text.startswith("\\"):
            self._last = self._answer(text) or self._last
            return
        name, _, rest = text.partition(" ")
        commands = {r"\schema": self._schema, r"\sql": self._sql, r"\explain": self._explain}
        if name in commands:
            commands[name](rest.strip())
        else:
            lines = HELP.splitlines()
            self._view.lines(lines if name in (r"\help", r"\?") else [f"unknown: {name}", *lines])

    def _schema(self, name: str) -> None:
        tables = self._asker.schema.tables
        found = [table for table in tables if not name or table.name.casefold() == name.casefold()]
        if not found:
            raise UserError(f"no table {name}; the tables are {', '.join(table.name for table in tables)}")
        for table in found:
            self._view.sql(write_ddl(Schema((table,))))

    def _sql(self, sql: str) -> None:
        if not sql:
            self._view.sql(self._query())
            return
        self._last = sql
        outcome = run_query(self._asker, sql, self._limits)
        draft = Draft("", (outcome.query,), (), (), ())
        self._view.outcome(draft, outcome, self._asker, self._limits)

    def _explain(self, _: str) -> None:
        try:
            self._view.lines(self._asker.target.plan(self._query(), self._limits))
        except (QueryFailed, QueryRefused) as error:
            raise UserError(str(error)) from error

    def _query(self) -> str:
        if self._last is None:
            raise UserError("no query yet; ask a question first")
        return self._last


def run_query(asker: Asker, sql: str, limits: Limits) -> Outcome:
    """Run a query that a person wrote, in the database's dialect.

    Raises:
        UserError: it is not one query that only reads, or the database cannot be reached.
    """
    query = Written(sql, sql)
    try:
        return Outcome(query, asker.target.run(sql, limits), None)
    except QueryFailed as error:
        return Outcome(query, None, error)
    except QueryRefused as error:
        raise UserError(f"not run: {error}") from error


def _lines(label: str) -> Iterator[str]:
    """The lines of a terminal, with history and editing, or those of the standard input."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    prompt: PromptSession[str] = PromptSession(history=FileHistory(str(_history_file())))
    print_lines(View("table", False, False, False).notes, [rf"{label}: ask, or \help"])
    while True:
        try:
            yield prompt.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _history_file() -> Path:
    """Where the questions of earlier sessions are kept, as the XDG base directory specification says."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(state) / "text2sql"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "questions"
