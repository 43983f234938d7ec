"""Training rows that leak a test question, found by index look-ups instead of comparing all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from text2sql.contamination.databases import TestDatabases
from text2sql.contamination.evidence import Evidence
from text2sql.contamination.folding import Signature, fold_question, schema_signature
from text2sql.contamination.near import NearQuestions
from text2sql.contamination.queries import SameQueries
from text2sql.contamination.settings import Rules
from text2sql.errors import UserError
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.prose import read_prose

BLOCK = 4096  # training rows looked up at a time

Embed = Callable[[Sequence[str]], np.ndarray]
Unreadable = Callable[[TrainingRow, UserError], None]
_Rule = Callable[[Sequence[TrainingRow]], Iterable[Evidence | None]]


def refuse(row: TrainingRow, error: UserError) -> None:
    """Stop at a training row whose schema cannot be read.

    Raises:
        UserError: always; the message names the row.
    """
    raise UserError(f"training row {row.id}: {error}") from error


def find_leaks(
    train: Iterable[TrainingRow],
    test: Sequence[TestQuestion],
    rules: Rules,
    embed: Embed | None = None,
    unreadable: Unreadable = refuse,
) -> Iterator[tuple[TrainingRow, Evidence | None]]:
    """Yield every training row, in order, with the evidence against it or None.

    The evidence names the first rule that applies, in the order of RULES, and the most similar test row
    (of equally similar ones the first). Rows are read a block at a time, so memory does not grow with
    their number; time grows with the number of rows plus the number of questions. See `LeakFinder` for
    the arguments and exceptions.
    """
    finder = LeakFinder(test, rules, embed, unreadable)
    rows = iter(train)
    while block := list(islice(rows, BLOCK)):
        yield from zip(block, finder.evidence(block), strict=True)


class LeakFinder:
    """Indexes of the test questions, in which a training row finds those that it leaks."""

    def __init__(
        self,
        test: Sequence[TestQuestion],
        rules: Rules,
        embed: Embed | None = None,
        unreadable: Unreadable = refuse,
    ) -> None:
        """Index `test`, whose schemas are DB-GPT's prose or CREATE TABLE text.

        `embed` turns texts into vectors of length one, for the rule "embedding". `unreadable` is called
        with a row whose schema is needed and cannot be read; if it returns, the rules that compare
        schemas skip the row.

        Raises:
            UserError: a test schema cannot be read; the message names the test row.
            ValueError: the rule "embedding" is on and `embed` is missing.
        """
        self._test, self._unreadable = test, unreadable
        on_schemas = rules.same_sql or rules.same_database or rules.embedding is not None
        self._signatures = _signatures(test) if on_schemas else []
        self._databases = TestDatabases(self._signatures)
        self._folded = [fold_question(question.question) for question in test]
        self._rules = list(self._chosen(rules, embed))

    def evidence(self, block: Sequence[TrainingRow]) -> list[Evidence | None]:
        """The evidence against each row of a block, or None."""
        found: list[Evidence | None] = [None] * len(block)
        for rule in self._rules:
            waiting = [at for at, evidence in enumerate(found) if evidence is None]
            for at, evidence in zip(waiting, rule([block[at] for at in waiting]), strict=True):
                found[at] = evidence
        return found

    def _chosen(self, rules: Rules, embed: Embed | None) -> Iterator[_Rule]:
        if rules.question:
            yield self._same_question()
        if rules.same_sql:
            yield self._same_sql(rules.same_sql == "masked")
        if rules.near_question is not None:
            yield self._near_question(rules.near_question)
        if rules.embedding is not None:
            if embed is None:
                raise ValueError("rule embedding needs `embed`")
            yield self._similar_meaning(rules.embedding, embed)
        if rules.same_database:
            yield self._same_database

    # -- one rule each: a block of rows in, evidence or None for each out --

    def _same_question(self) -> _Rule:
        # "???" has no words, so its folded form is empty and matches nothing
        places = {folded: place for place, folded in reversed(list(enumerate(self._folded))) if folded}

        def find(block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
            for row in block:
                place = places.get(fold_question(row.question))
                yield None if place is None else self._found("question", place, 1.0)

        return find

    def _same_sql(self, masked: bool) -> _Rule:
        queries = SameQueries(self._test, self._signatures, masked)
        return lambda block: (queries.find(row, self._signature) for row in block)

    def _near_question(self, threshold: float) -> _Rule:
        index = NearQuestions(self._folded, threshold)

        def find(block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
            for near in index.nearest([fold_question(row.question) for row in block]):
                yield self._found("near_question", *near) if near else None

        return find

    def _similar_meaning(self, threshold: float, embed: Embed) -> _Rule:
        vectors = embed([question.question for question in self._test])

        def find(block: Sequence[TrainingRow]) -> list[Evidence | None]:
            found: list[Evidence | None] = [None] * len(block)
            # only questions on matching schemas are compared, so few rows are embedded
            places = {at: asked for at, row in enumerate(block) if (asked := self._questions_on_schema(row))}
            rows: Iterable[np.ndarray] = embed([block[at].question for at in places]) if places else ()
            for (at, asked), vector in zip(places.items(), rows, strict=True):
                cosines = vectors[asked] @ vector
                best = int(cosines.argmax())
                if cosines[best] >= threshold:
                    found[at] = self._found("embedding", asked[best], min(1.0, float(cosines[best])))
            return found

        return find

    def _same_database(self, block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
        for row in block:
            databases = self._databases_of(row)
            if databases:
                signature, similarity = databases[0]
                yield self._found("same_database", self._databases.places(signature)[0], similarity)
            else:
                yield None

    # -- schemas --

    def _questions_on_schema(self, row: TrainingRow) -> list[int]:
        """Numbers of the test questions whose schema equals, contains or is contained in this row's."""
        found = self._databases_of(row)
        return sorted(number for signature, _ in found for number in self._databases.places(signature))

    def _databases_of(self, row: TrainingRow) -> list[tuple[Signature, float]]:
        signature = self._signature(row) if self._databases.may_match(row.ddl) else None
        return self._databases.similar(signature) if signature else []

    def _signature(self, row: TrainingRow) -> Signature | None:
        try:
            return schema_signature(row.ddl)
        except UserError as error:
            self._unreadable(row, error)
            return None

    def _found(self, rule: str, place: int, similarity: float) -> Evidence:
        return Evidence(rule, self._test[place].row, similarity)


def _signatures(test: Sequence[TestQuestion]) -> list[Signature]:
    signatures: dict[str, Signature] = {}
    for question in test:
        if question.schema not in signatures:
            signatures[question.schema] = _read_signature(question)
    return [signatures[question.schema] for question in test]


def _read_signature(question: TestQuestion) -> Signature:
    text = question.schema
    is_prose = "create table" not in text.casefold()
    try:
        return schema_signature(read_prose(text)[1] if is_prose else text)
    except UserError as error:
        raise UserError(f"test row {question.row}: {error}") from error
