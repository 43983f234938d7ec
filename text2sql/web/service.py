"""Questions and queries of many users to one model: what the page and the JSON API have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from text2sql.ask.asker import Asker, Draft, NoQuery, Outcome
from text2sql.ask.session import run_query
from text2sql.ask.view import View
from text2sql.errors import UserError
from text2sql.targets.model import Limits, QueryRefused, Result
from text2sql.web.model import SharedModel
from text2sql.web.workers import QueueFull, Workers

Kind = Literal["no_query", "refused", "queue_full", "unavailable"]

_AT_ONCE = 2  # queries that databases run at the same time


class Problem(Exception):
    """Why there is no outcome; `kind` is for programs, the message for people.

    no_query: the model gave no query that may be run; refused: a text is not one query that only reads;
    queue_full: too many others wait; unavailable: the model or the database cannot be used, or the question
    cannot be asked.
    """

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the object of `text2sql ask --json`, and the rows in it as the database has them."""

    answer: dict[str, Any]
    result: Result | None


class Service:
    """Asks databases, within the limits of the server."""

    def __init__(self, model: SharedModel, limits: Limits, waiting: int) -> None:
        self.model, self.limits = model, limits
        self._queries = Workers(_AT_ONCE, waiting)

    @property
    def busy(self) -> bool:
        """Whether a question or a query is not finished."""
        return self.model.busy or self._queries.busy

    def ask(self, asker: Asker, question: str, explain: bool = False, rows: int | None = None) -> Reply:
        """Answer a question. `rows` is the number of rows at most, None: as many as the server allows.

        Raises:
            Problem: there is no outcome.
        """
        with _problems():
            draft = self.model.draft(asker, question)
            return self._reply(draft, asker, explain, rows, lambda limits: asker.run(draft, limits))

    def query(self, asker: Asker, sql: str, explain: bool = False, rows: int | None = None) -> Reply:
        """Run a query that a user wrote.

        Raises:
            Problem: it is not run.
        """
        with _problems():
            draft = Draft("", (), (), (), ())
            return self._reply(draft, asker, explain, rows, lambda limits: run_query(asker, sql, limits))

    def read(self, work: Callable[[], Any]) -> Any:
        """What `work` returns, which reads a database, when its turn has come.

        Raises:
            Problem: the queue is full, or the database cannot be read.
        """
        with _problems():
            return self._queries.call(work)

    def _reply(
        self, draft: Draft, asker: Asker, explain: bool, rows: int | None, run: Callable[[Limits], Outcome]
    ) -> Reply:
        limits = replace(self.limits, rows=min(rows or self.limits.rows, self.limits.rows))
        view = View("json", explain, quiet=True, verbose=False)

        def reply() -> Reply:
            outcome = run(limits)
            return Reply(view.as_json(draft, outcome, asker, limits), outcome.result)

        return self._queries.call(reply)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except QueueFull as error:
        raise Problem("queue_full", "too many questions wait; try again in a minute") from error
    except NoQuery as error:
        raise Problem("no_query", str(error)) from error
    except UserError as error:
        refused = isinstance(error.__cause__, QueryRefused)
        raise Problem("refused" if refused else "unavailable", str(error)) from error
