"""The back end `openai`: a language model writes the CREATE TABLE text, which SQLite and the prose check.

Each answer is executed and compared with the prose. If it differs, it goes back to the model with the list
of differences, at most `max_repairs` times; then the rules convert the schema, and the conversion says so.
So they do at once where the model refuses or a content filter stops the request or the answer.
Faults of the endpoint never lead to the rules: they end the run, and the next run continues from there.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from text2sql.endpoint import Filtered, Refused, run_all
from text2sql.schema.answers import AnswerJournal, PaidAnswer
from text2sql.schema.check import complaints
from text2sql.schema.convert import Conversion, Source, prose_schema, written
from text2sql.schema.extract import extract_ddl
from text2sql.schema.model import Schema
from text2sql.schema.paid_client import Message, PaidClient, Spending
from text2sql.schema.settings import OpenAI, Values
from text2sql.workstore import locked

JOURNAL = "answers.jsonl"

_SYSTEM = (
    "You turn descriptions of databases into SQLite schemas. "
    "You answer with CREATE TABLE statements in one ```sql block and with nothing else."
)
_TASK = """Write a CREATE TABLE statement for each table of this database.

{prose}

- Every table and every column that is named above, spelled as above, in the same order; no others.
- Double quotes around a name only where SQLite needs them: reserved words, digits first, blanks, signs.
- A fitting SQLite type for each column.
- The primary and foreign keys that are told above, and no others.
- No table whose name begins with sqlite_: SQLite makes those itself.
- {values}"""
_VALUES: dict[Values, str] = {
    "none": "No INSERT statements and no example values.",
    "comment": "Each column on a line of its own; the values that it is said to contain stand behind it in a "
    "comment, after the comma: -- e.g. 1, 'b'",
    "insert": "After each table an INSERT with the values that its columns are said to contain, else NULL.",
}
_REPAIR = "SQLite and the description say otherwise:\n{complaints}\nWrite all statements again, mended."


class OpenAIBackend:
    """Asks the model that `settings` name; its answers are kept in the folder `work`, which it locks.

    `values` says how example values are written (see `write_ddl`). After a run `spending` is what all
    answers in `work` cost, including those of earlier runs.
    """

    def __init__(self, settings: OpenAI, values: Values, work: Path) -> None:
        self._settings, self._values, self._work = settings, values, work
        self.spending = Spending(0, 0, 0, 0.0)

    def key(self, source: Source) -> str:
        """The prose: two databases never have the same, because it begins with the database id."""
        return source.prose

    def convert_all(self, sources: Sequence[Source]) -> Generator[tuple[Source, Conversion], None, None]:
        """Yield each source with its conversion as soon as it is done.

        After an error no more requests are sent; answers to those that were sent are awaited and kept.

        Raises:
            SourceError: a prose cannot be read; nothing has been sent then.
            UserError: the endpoint or the disk fails, the spending cap is reached, or every request was
                refused.
        """
        schemas = [(source, prose_schema(source)) for source in sources]
        self._work.mkdir(parents=True, exist_ok=True)
        with locked(self._work):
            client = PaidClient(self._settings, AnswerJournal(self._work / JOURNAL))
            try:
                yield from run_all(client, (self._convert(client, *told) for told in schemas))
                client.check_any_answered()
            finally:
                self.spending = client.spending()

    async def _convert(self, client: PaidClient, source: Source, schema: Schema) -> tuple[Source, Conversion]:
        messages, why = self._first_messages(source), ""
        for attempt in range(1, self._settings.max_repairs + 2):
            try:
                answer = await client.ask(messages)
            except Filtered as stopped:
                return source, self._by_rules(schema, attempt, str(stopped))
            except Refused as refusal:
                return source, self._by_rules(schema, attempt, f"the endpoint refuses: {refusal}")
            ddl = extract_ddl(answer.text)
            found = complaints(ddl, schema, self._values != "none")
            if not found:
                return source, Conversion(ddl, "openai", attempt, ())
            if answer.declined:  # it would be declined again
                return source, self._by_rules(schema, attempt + 1, answer.declined)
            messages = [*messages, *_repair_messages(answer, found)]
            why = _summary(answer, found)
        return source, self._by_rules(schema, attempt + 1, f"answer {attempt} falls short: {why}")

    def _by_rules(self, schema: Schema, attempts: int, why: str) -> Conversion:
        conversion = written(schema, "rules", self._values, attempts)
        taken = f"converted by rules, not by {self._settings.model}: {why}"
        return replace(conversion, problems=(taken, *conversion.problems))

    def _first_messages(self, source: Source) -> list[Message]:
        task = _TASK.format(prose=source.prose, values=_VALUES[self._values])
        return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": task}]


def _repair_messages(answer: PaidAnswer, found: Sequence[str]) -> tuple[Message, Message]:
    listed = "\n".join(f"- {complaint}" for complaint in found)
    return (
        {"role": "assistant", "content": answer.text},
        {"role": "user", "content": _REPAIR.format(complaints=listed)},
    )


def _summary(answer: PaidAnswer, found: Sequence[str]) -> str:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    cut = f"; it was cut off after {answer.tokens_out} tokens" if answer.finish == "length" else ""
    return f"{found[0]}{more}{cut}"
