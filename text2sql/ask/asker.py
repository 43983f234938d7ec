"""From a question to a result: the model's queries, the choice among them, and the query that is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

from text2sql.ask.plan import ModelPlan
from text2sql.ask.tables import schemas
from text2sql.errors import UserError
from text2sql.evaluation.execution.equivalence import same_result
from text2sql.inference.engine import Answer, Engine, Request
from text2sql.inference.extract import extract_sql
from text2sql.inference.voting import Candidates, Comparison, choose
from text2sql.prompts import messages, prompt_form, schema_text
from text2sql.schema.ddl import write_ddl
from text2sql.schema.model import Schema
from text2sql.targets.model import Limits, QueryFailed, QueryRefused, Result, Target
from text2sql.targets.query import translate

_COMPARED_ROWS = 10_000  # of a result, when those of several queries are compared
_QUESTION_LENGTH = 10_000  # characters
_PROBLEMS = {
    "truncated": "the model's answer did not end; ask for less at a time",
    "declined": "the model declined to answer",
    "empty": "the model's answer is empty",
}


class NoQuery(Exception):
    """The model's answer has no query that may be run; the message says why.

    `prompt` and `raw` are those of the draft that there is not.
    """

    def __init__(
        self, message: str, prompt: Sequence[Mapping[str, str]] = (), raw: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.prompt, self.raw = prompt, raw


@dataclass(frozen=True, slots=True)
class Written:
    """One query of the model: as it wrote it for SQLite, and in the database's dialect.

    `refusal` says why it is not run, None if it is; `logprob` is its mean log-probability per token.
    """

    sqlite: str
    sql: str
    refusal: str | None = None
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """The model's queries for a question, at least one.

    `tables` are those that the model was shown, () if it was shown all of them. `prompt` and `raw` are the
    chat and the answers as text.
    """

    question: str
    queries: tuple[Written, ...]
    tables: tuple[str, ...]
    prompt: tuple[Mapping[str, str], ...]
    raw: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The chosen query with its result, or the database's message.

    `agreement` is the share (0 to 1) of the model's queries with this result, None if there was only one.
    """

    query: Written
    result: Result | None
    failure: QueryFailed | QueryRefused | None
    agreement: float | None = None


class Asker:
    """Asks one database through one model."""

    def __init__(self, open_engine: Callable[[ModelPlan], Engine], plan: ModelPlan, target: Target) -> None:
        """Read the schema; the engine is opened with the first question, because that takes seconds.

        Raises:
            UserError: the database cannot be read.
        """
        self._open_engine, self.plan, self.target = open_engine, plan, target
        self.schema = target.schema(plan.examples if plan.values != "none" else 0, plan.prompt.comments)

    @cached_property
    def _engine(self) -> Engine:
        return self._open_engine(self.plan)

    def draft(self, question: str) -> Draft:
        """The model's queries for a question.

        Raises:
            UserError: the question is empty or too long, or the model fails.
            NoQuery: the model gives no query.
        """
        question = question.encode("utf-8", "replace").decode().strip()  # a terminal may send other bytes
        if not question:
            raise UserError("the question is empty; write one")
        if len(question) > _QUESTION_LENGTH:
            raise UserError(f"the question has more than {_QUESTION_LENGTH} characters; write a shorter one")
        for part in schemas(self.schema, question):
            requests = self._requests(part, question)
            answers = self._answers(requests)
            if answers:
                tables = () if part is self.schema else tuple(table.name for table in part.tables)
                return self._draft(question, requests[0], answers, tables)
        raise UserError("not even one table fits into the model's context; write a shorter question")

    def run(self, draft: Draft, limits: Limits) -> Outcome:
        """Run the model's queries, and choose one if there are several.

        Raises:
            NoQuery: none of them may be run.
            UserError: the database cannot be reached.
        """
        several = len(draft.queries) > 1
        outcome = self._voted(draft.queries, limits) if several else self._outcome(draft.queries[0], limits)
        if isinstance(outcome.failure, QueryRefused):
            raise NoQuery(f"the model's query is not run: {outcome.failure}")
        return outcome

    def _voted(self, queries: Sequence[Written], limits: Limits) -> Outcome:
        """Run each different query once, and choose by the rules of `text2sql.inference.voting.vote`."""
        wide = replace(limits, rows=max(limits.rows, _COMPARED_ROWS))
        outcomes = {query.sqlite: self._outcome(query, wide) for query in dict.fromkeys(queries)}
        texts = tuple(query.sqlite for query in queries)
        candidates = Candidates("", texts, tuple(query.logprob for query in queries))
        chosen = choose(candidates, _comparison(texts, outcomes))
        outcome = outcomes[texts[chosen.chosen]]
        return replace(outcome, result=_cut(outcome.result, limits.rows), agreement=chosen.agreement)

    def _requests(self, schema: Schema, question: str) -> list[Request]:
        prompt = self.plan.prompt
        ddl = schema_text(
            write_ddl(schema, values=self.plan.values, comments=prompt.comments),
            prompt.schema_types,
            prompt.comments,
        )
        chat = messages(ddl, question, (), prompt_form(prompt.form))
        settings = self.plan.predict
        return [Request(chat, settings.seed + number) for number in range(settings.samples)]

    def _answers(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers; [] if the prompt is too long."""
        batches = self._engine.plan(requests)
        if sum(map(len, batches)) < len(requests):
            return []
        planned = [(number, [requests[at] for at in batch]) for number, batch in enumerate(batches)]
        found = dict(self._engine.generate(planned))
        answers = [answer for number, _ in planned for answer in found[number]]
        return [] if any(answer.problem == "prompt_too_long" for answer in answers) else answers

    def _draft(
        self, question: str, request: Request, answers: Sequence[Answer], tables: tuple[str, ...]
    ) -> Draft:
        queries = tuple(self._written(answer) for answer in answers)
        raw = tuple(answer.text for answer in answers)
        if not any(query.sqlite for query in queries):
            reason = _PROBLEMS.get(answers[0].problem or "", "the model's answer has no query")
            raise NoQuery(reason, request.messages, raw)
        return Draft(question, queries, tables, tuple(request.messages), raw)

    def _written(self, answer: Answer) -> Written:
        sql = extract_sql(answer.text)
        if not sql:
            return Written("", "", "the answer has no query", answer.logprob)
        try:
            return Written(sql, translate(sql, self.schema, self.target.dialect), None, answer.logprob)
        except QueryRefused as error:
            return Written(sql, "", str(error), answer.logprob)

    def _outcome(self, query: Written, limits: Limits) -> Outcome:
        if query.refusal is not None:
            return Outcome(query, None, QueryRefused(query.refusal))
        try:
            return Outcome(query, self.target.run(query.sql, limits), None)
        except (QueryFailed, QueryRefused) as error:
            return Outcome(query, None, error)


def _comparison(texts: Sequence[str], outcomes: Mapping[str, Outcome]) -> Comparison:
    """What the queries return, as the voting of `text2sql.inference.voting` wants it."""
    results = {sql: outcome.result for sql, outcome in outcomes.items() if outcome.result}
    failures = {sql: "it fails" for sql in texts if sql not in results}
    same = {
        (one, other)
        for one, other in permutations(results, 2)
        if same_result(results[one].rows, results[other].rows, _is_ordered(one))
    }
    counts = Counter(texts)
    votes = {
        sql: sum(n for other, n in counts.items() if sql == other or {(sql, other), (other, sql)} <= same)
        for sql in results
    }
    empty = frozenset(sql for sql, result in results.items() if not result.rows)
    return Comparison(failures, empty, {sql: votes.get(sql, 0) for sql in texts})


def _is_ordered(sql: str) -> bool:
    return "order by" in sql.lower()


def _cut(result: Result | None, rows: int) -> Result | None:
    if result is None or len(result.rows) <= rows:
        return result
    return Result(result.columns, result.rows[:rows], more=True)
