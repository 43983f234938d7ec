"""Shows drafts and outcomes: for people, as JSON, or as CSV. What is no result goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console

from text2sql.ask.asker import Asker, Draft, Outcome
from text2sql.ask.shown import json_value, print_lines, result_table, row_count, sql_text, write_csv
from text2sql.targets.model import Limits, QueryFailed, QueryRefused
from text2sql.targets.query import used_tables

Form = Literal["table", "json", "csv"]


@dataclass(frozen=True, slots=True)
class View:
    """How one command shows its answers."""

    form: Form
    explain: bool
    quiet: bool
    verbose: bool

    @property
    def out(self) -> Console:
        """The standard output."""
        return Console(highlight=False)

    @property
    def notes(self) -> Console:
        """stderr."""
        return Console(stderr=True, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A remark that -q leaves out."""
        if not self.quiet:
            print_lines(self.notes, [text])

    def error(self, text: str) -> None:
        """A message about what went wrong."""
        print_lines(self.notes, [f"error: {text}"])

    def draft(self, draft: Draft, asker: Asker) -> None:
        """The query, before it is run."""
        if draft.tables:
            of = f"{len(draft.tables)} of {len(asker.schema.tables)} tables were shown to the model"
            self.note(f"{of}: {', '.join(draft.tables)}")
        self.conversation(draft.prompt, draft.raw)
        if len(draft.queries) == 1:
            self.query(draft.queries[0].sql or draft.queries[0].sqlite)

    def conversation(self, prompt: Sequence[Mapping[str, str]], answers: Sequence[str]) -> None:
        """The prompt and the model's answers, with -v."""
        if self.verbose:
            for message in prompt:
                print_lines(self.notes, [f"[{message['role']}]", *message["content"].splitlines()])
            for number, answer in enumerate(answers, 1):
                print_lines(self.notes, [f"[answer {number}]", *answer.splitlines()])

    def query(self, sql: str) -> None:
        """One query."""
        if self.form == "table":
            self.sql(sql)
        elif self.form == "csv":
            self.note(sql)

    def sql(self, text: str) -> None:
        """SQL that the user wants to see."""
        self._people.print(sql_text(text))

    def lines(self, lines: Sequence[str]) -> None:
        """Lines that the user wants to see."""
        print_lines(self._people, lines)

    @property
    def _people(self) -> Console:
        """Where texts are that are no result: with --json and --csv stderr, as programs read the other."""
        return self.out if self.form == "table" else self.notes

    def outcome(self, draft: Draft, outcome: Outcome, asker: Asker, limits: Limits) -> None:
        """The result; for JSON everything in one object."""
        if self.form == "json":
            self._json(self.as_json(draft, outcome, asker, limits))
            return
        if outcome.agreement is not None:
            self.query(outcome.query.sql)
        if outcome.agreement:
            agreed = f"{round(100 * outcome.agreement)} % of {len(draft.queries)} answers have this result"
            self.note(agreed)
        if self.explain:
            self.lines(self._plan(outcome, asker, limits))
        if outcome.result is None:
            self.error(f"the query fails: {outcome.failure}")
        elif self.form == "csv":
            sys.stdout.write(write_csv(outcome.result))
            if outcome.result.more:
                self.note(row_count(outcome.result))
        else:
            self.out.print(result_table(outcome.result))
            self.note(row_count(outcome.result))

    def failure(self, question: str, kind: str, text: str) -> None:
        """What is shown where there is no outcome."""
        if self.form == "json":
            self._json({"question": question, "error": {"kind": kind, "message": text}})
        else:
            self.error(text)

    def as_json(self, draft: Draft, outcome: Outcome, asker: Asker, limits: Limits) -> dict[str, Any]:
        """The answer as one object, see docs/ask.md."""
        result = outcome.result
        found: dict[str, Any] = {
            "question": draft.question,
            "database": asker.target.label,
            "dialect": asker.target.dialect,
            "model": asker.plan.about,
            "sql": outcome.query.sql,
            "tables": _tables(outcome, asker),
        }
        if draft.tables:
            found["shown_tables"] = list(draft.tables)
        if outcome.agreement is not None:
            found |= {"samples": len(draft.queries), "agreement": outcome.agreement}
        if self.explain:
            found["plan"] = _explained(outcome, asker, limits)
        if result is None:
            timeout = isinstance(outcome.failure, QueryFailed) and outcome.failure.timeout
            kind = "timeout" if timeout else "query_failed"
            return found | {"error": {"kind": kind, "message": str(outcome.failure)}}
        rows = [[json_value(value) for value in row] for row in result.rows]
        return found | {"columns": list(result.columns), "rows": rows, "more": result.more}

    def _plan(self, outcome: Outcome, asker: Asker, limits: Limits) -> list[str]:
        tables = ", ".join(_tables(outcome, asker)) or "none"
        return [f"tables: {tables}", "plan:", *(f"  {line}" for line in _explained(outcome, asker, limits))]

    def _json(self, value: dict[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=False)
        # half a surrogate pair, which a model or a terminal may give, is no UTF-8
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def _tables(outcome: Outcome, asker: Asker) -> Sequence[str]:
    try:
        return list(used_tables(outcome.query.sql, asker.target.dialect))
    except QueryRefused:  # SQLite runs a query that sqlglot cannot read
        return []


def _explained(outcome: Outcome, asker: Asker, limits: Limits) -> list[str]:
    try:
        return asker.target.plan(outcome.query.sql, limits)
    except (QueryFailed, QueryRefused) as error:
        return [f"not available: {error}"]
