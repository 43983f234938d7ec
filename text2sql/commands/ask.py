"""`text2sql ask`: a question to a database, answered by a model's query."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.model_options import Seconds, chosen_plan, model_options
from text2sql.errors import UserError

if TYPE_CHECKING:
    from text2sql.ask.asker import Asker
    from text2sql.ask.view import View
    from text2sql.targets.model import Limits

NO_QUERY, QUERY_FAILED = 3, 4
"""Exit statuses: the model gave no query that may be run; the database did not complete it."""


EXAMPLES = """
\b
Examples:
  text2sql ask --database shop.sqlite "How many orders are there?"
  text2sql ask --database shop.duckdb --csv "Sales by month" > sales.csv
  text2sql ask --database postgresql://reader@localhost/shop --yes "Which customers have no order?"
  text2sql ask --database shop.sqlite                       (a session)
"""


@click.command(epilog=EXAMPLES)
@click.argument("question", required=False)
@click.option(
    "--database",
    required=True,
    type=click.Path(),
    help="A SQLite or DuckDB file, or postgresql:// or mysql://...",
)
@model_options
@click.option("--rows", type=click.IntRange(min=1), default=100, show_default=True, help="Rows, at most.")
@click.option("--timeout", type=Seconds(), default=30.0, show_default=True, help="Seconds for a query.")
@click.option("--samples", type=click.IntRange(min=1), help="Answers to a question; their results vote.")
@click.option("--explain", is_flag=True, help="Show the tables used and the database's plan.")
@click.option("--json", "output", flag_value="json", default="table", help="One JSON object a question.")
@click.option("--csv", "output", flag_value="csv", help="The rows as CSV; the query is on stderr.")
@click.option("--yes", is_flag=True, help="Run queries on a server without being asked.")
@click.option("-q", "--quiet", is_flag=True, help="No remarks on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Show the prompt and the model's answers on stderr.")
@click.pass_context
def ask(context: click.Context, question: str | None, database: str, **options: Any) -> None:
    """Ask a database a question in plain language.

    The model writes a query, which is shown and then run. Nothing can be written to the database. Without a
    question a session begins: a question a line, \\help lists the commands.

    Exit status: 0 an answer; 1 an error, such as a database that cannot be read; 3 the model gave no query
    that may be run; 4 the database did not complete the query.
    """
    from text2sql.ask.asker import Asker
    from text2sql.ask.plan import open_engine
    from text2sql.ask.session import Session
    from text2sql.ask.view import View
    from text2sql.targets import open_target
    from text2sql.targets.model import Limits

    plan = chosen_plan(options)
    view = View(options["output"], options["explain"], options["quiet"], options["verbose"])
    limits = Limits(options["timeout"], options["rows"])
    asker = Asker(open_engine, plan, open_target(database))
    count = len(asker.schema.tables)
    view.note(f"{plan.about}; {asker.target.label}: {count} table{'s' if count != 1 else ''}")
    one = _Question(asker, view, limits, options["yes"])
    if question is None:
        Session(asker, view, limits, one.answer).run()
        return
    one.answer(question)
    context.exit(one.status)


class _Question:
    """Answers questions, and keeps the exit status of the last one."""

    def __init__(self, asker: Asker, view: View, limits: Limits, yes: bool) -> None:
        self._asker, self._view, self._limits, self._yes = asker, view, limits, yes
        self.status = 0

    def answer(self, question: str) -> str | None:
        """Ask, show and run; returns the query that was run."""
        from text2sql.ask.asker import NoQuery

        self.status = 0
        try:
            draft = self._asker.draft(question)
            self._view.draft(draft, self._asker)
            if not self._may_run():
                return draft.queries[0].sql
            outcome = self._asker.run(draft, self._limits)
        except NoQuery as error:
            self.status = NO_QUERY
            self._view.conversation(error.prompt, error.raw)
            self._view.failure(question, "no_query", str(error))
            return None
        self._view.outcome(draft, outcome, self._asker, self._limits)
        self.status = 0 if outcome.result is not None else QUERY_FAILED
        return outcome.query.sql

    def _may_run(self) -> bool:
        """Whether the user lets queries run on a server, which others use too."""
        if self._yes or self._asker.target.dialect in ("sqlite", "duckdb"):
            return True
        if not sys.stdin.isatty():
            raise UserError("a server is asked only after a yes; give --yes where there is no terminal")
        return click.confirm("Run it?", default=True, err=True)
