"""Training rows that leak test questions, found by index look-ups instead of comparing all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from text2sql.contamination.contains import ContainedQuestions
from text2sql.contamination.databases import NO_SCHEMA, OTHER_SCHEMA, Place, TestDatabases
from text2sql.contamination.evidence import Evidence
from text2sql.contamination.folding import Signature, fold_question, query_names, schema_signature, words
from text2sql.contamination.meaning import changes_meaning
from text2sql.contamination.near import NearQuestions
from text2sql.contamination.queries import SameQueries
from text2sql.contamination.same_result import SameResults
from text2sql.contamination.settings import Rules
from text2sql.errors import UserError
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.prose import read_prose

BLOCK = 4096  # training rows looked up at a time
UNKNOWN_PLACE = 0.1
"""How much higher the cosine must be where it is not known whether a row is on the question's database."""

Embed = Callable[[Sequence[str]], np.ndarray]
Unreadable = Callable[[TrainingRow, UserError], None]
_Rule = Callable[[Sequence[TrainingRow]], Iterable[Evidence | None]]


class TestSchemaError(UserError):
    """The schema of a test question cannot be read."""

    __test__ = False  # keeps pytest from collecting this class


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
    databases: Path | None = None,
) -> Iterator[tuple[TrainingRow, Evidence | None]]:
    """Yield every training row, in order, with the evidence against it or None.

    The evidence names the first rule that applies, in the order of RULES, and the most similar test row
    (of equally similar ones the first). Rows are read a block at a time, so memory does not grow with
    their number; time grows with the number of rows plus the number of questions. See `LeakFinder` for
    the arguments and exceptions.
    """
    rows = iter(train)
    with closing(LeakFinder(test, rules, embed, unreadable, databases)) as finder:
        while block := list(islice(rows, BLOCK)):
            yield from zip(block, finder.evidence(block), strict=True)


class LeakFinder:
    """Indexes of the test questions, in which a training row finds those that it leaks.

    `close` ends the processes that the rule "same_result" runs queries in.
    """

    def __init__(
        self,
        test: Sequence[TestQuestion],
        rules: Rules,
        embed: Embed | None = None,
        unreadable: Unreadable = refuse,
        databases: Path | None = None,
    ) -> None:
        """Index `test`, whose schemas are DB-GPT's prose, CREATE TABLE text, or "" (not known).

        `embed` turns texts into vectors of length one, for the rule "embedding"; `databases` is the folder of
        the test databases (ID/ID.sqlite), for the rule "same_result". `unreadable` is called with a row whose
        schema is needed and cannot be read; if it returns, the rules that compare schemas skip the row.

        Raises:
            UserError: a test schema or a test database cannot be read; the message names it.
            ValueError: the rule "embedding" is on and `embed` is missing, or "same_result" and `databases`.
        """
        self._test, self._unreadable = test, unreadable
        on_schemas = rules.same_sql or rules.same_database or rules.embedding is not None or rules.same_result
        self._signatures = _signatures(test) if on_schemas else []
        self._databases = TestDatabases(self._signatures, [question.db_id for question in test])
        self._folded = [fold_question(question.question) for question in test]
        self._results = self._same_results(databases) if rules.same_result else None
        self._tables = [query_names(question.gold).tables for question in test] if rules.embedding else []
        self._rules = list(self._chosen(rules, embed))

    def evidence(self, block: Sequence[TrainingRow]) -> list[Evidence | None]:
        """The evidence against each row of a block, or None."""
        found: list[Evidence | None] = [None] * len(block)
        for rule in self._rules:
            waiting = [at for at, evidence in enumerate(found) if evidence is None]
            for at, evidence in zip(waiting, rule([block[at] for at in waiting]), strict=True):
                found[at] = evidence
        return found

    def close(self) -> None:
        """End the processes and remove the copies of databases, if there are any."""
        if self._results:
            self._results.close()

    def _chosen(self, rules: Rules, embed: Embed | None) -> Iterator[_Rule]:
        if rules.question:
            yield self._same_question(rules.question_form)
        if rules.same_sql:
            yield self._same_sql(rules.same_sql)
        if rules.contains:
            yield self._contains()
        if rules.near_question is not None:
            yield self._near_question(rules.near_question)
        if rules.embedding is not None:
            if embed is None:
                raise ValueError("rule embedding needs `embed`")
            yield self._similar_meaning(rules.embedding, embed)
        if self._results:
            yield self._same_result
        if rules.same_database:
            yield self._same_database

    # -- one rule each: a block of rows in, evidence or None for each out --

    def _same_question(self, how: str) -> _Rule:
        form: Callable[[str], str] = fold_question if how == "folded" else str.strip
        asked = list(enumerate(form(question.question) for question in self._test))
        # "???" has no words, so its folded form is empty and matches nothing
        places = {text: place for place, text in reversed(asked) if text}

        def find(block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
            for row in block:
                place = places.get(form(row.question))
                yield None if place is None else self._found("question", place, 1.0)

        return find

    def _same_sql(self, how: str) -> _Rule:
        queries = SameQueries(self._test, self._signatures, how != "exact", how == "specific")
        return lambda block: (queries.find(row, self._signature) for row in block)

    def _contains(self) -> _Rule:
        index = ContainedQuestions([question.question for question in self._test])

        def find(block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
            for row in block:
                same = index.same_without_evidence(row.question)
                if same is None:
                    yield self._first("contains", row, index.candidates(fold_question(row.question)))
                else:
                    yield self._found("contains", same, 1.0)

        return find

    def _near_question(self, threshold: float) -> _Rule:
        index = NearQuestions(self._folded, threshold)

        def find(block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
            nearest = index.ranked([fold_question(row.question) for row in block])
            for row, near in zip(block, nearest, strict=True):
                yield self._first("near_question", row, near)

        return find

    def _similar_meaning(self, threshold: float, embed: Embed) -> _Rule:
        vectors = embed([question.question for question in self._test])

        def find(block: Sequence[TrainingRow]) -> list[Evidence | None]:
            found: list[Evidence | None] = [None] * len(block)
            # only questions that may be on the row's database are compared, so few rows are embedded
            least = {at: self._thresholds(row, threshold) for at, row in enumerate(block)}
            compared = [at for at, places in least.items() if places]
            rows = embed([block[at].question for at in compared]) if compared else ()
            for at, vector in zip(compared, rows, strict=True):
                cosines = {place: float(vectors[place] @ vector) for place in least[at]}
                near = [(place, min(1.0, c)) for place, c in cosines.items() if c >= least[at][place]]
                near.sort(key=lambda pair: (-pair[1], pair[0]))
                found[at] = self._first("embedding", block[at], near)
            return found

        return find

    def _thresholds(self, row: TrainingRow, threshold: float) -> dict[int, float]:
        """The questions to compare with this row's, each with the cosine that it needs."""
        place = self._place(row)
        if place is None:
            return {}
        strict, present = min(1.0, threshold + UNKNOWN_PLACE), words(row.sql)
        undecided = (
            at
            for at in self._databases.undecided(place)
            if not self._tables[at] or self._tables[at] & present
        )
        known = (at for at, _ in self._databases.on_database(place))
        return dict.fromkeys(undecided, strict) | dict.fromkeys(known, threshold)

    def _same_result(self, block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
        assert self._results
        for place in self._results.find(block, self._place):
            yield None if place is None else self._found("same_result", place, 1.0)

    def _same_database(self, block: Sequence[TrainingRow]) -> Iterator[Evidence | None]:
        for row in block:
            place = self._place(row)
            questions = self._databases.on_database(place) if place else []
            yield self._found("same_database", *questions[0]) if questions else None

    # -- questions and schemas --

    def _first(self, rule: str, row: TrainingRow, near: Iterable[tuple[int, float]]) -> Evidence | None:
        """The first of the questions (with similarities) that the row's query does not contradict."""
        for place, similarity in near:
            equal = fold_question(row.question) == self._folded[place]
            if equal or not changes_meaning(row.sql, self._test[place].gold):
                return self._found(rule, place, similarity)
        return None

    def _place(self, row: TrainingRow) -> Place | None:
        """The database of a row; None if its schema cannot be read."""
        known = not row.ddl.strip() or self._databases.may_match(row.ddl)
        signature = self._signature(row) if known else OTHER_SCHEMA
        return None if signature is None else Place(signature, row.db_id)

    def _signature(self, row: TrainingRow) -> Signature | None:
        if not row.ddl.strip():
            return NO_SCHEMA
        try:
            return schema_signature(row.ddl)
        except UserError as error:
            self._unreadable(row, error)
            return None

    def _same_results(self, databases: Path | None) -> SameResults:
        if databases is None:
            raise ValueError("rule same_result needs `databases`")
        return SameResults(self._test, databases)

    def _found(self, rule: str, place: int, similarity: float) -> Evidence:
        return Evidence(rule, self._test[place].row, similarity)


def _signatures(test: Sequence[TestQuestion]) -> list[Signature]:
    signatures: dict[str, Signature] = {"": NO_SCHEMA}
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
        raise TestSchemaError(f"test row {question.row}: {error}") from error
