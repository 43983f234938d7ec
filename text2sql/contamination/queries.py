"""Training rows whose query equals a test query, found by the names in the query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from text2sql.contamination.databases import Place, contained, same_database
from text2sql.contamination.evidence import Evidence
from text2sql.contamination.folding import (
    FoldedSql,
    QueryNames,
    Signature,
    fold_sql,
    query_names,
    words,
)
from text2sql.records import TestQuestion, TrainingRow
from text2sql.schema.queries import parse_query


@dataclass(frozen=True, slots=True)
class _Query:
    """A test query, folded with and without its values, where it belongs, and whether many rows have it."""

    row: int
    names: QueryNames
    exact: FoldedSql
    masked: FoldedSql
    place: Place
    generic: bool


class SameQueries:
    """An index of test queries, which finds those that equal the query of a training row.

    "same_sql": the folded queries are equal, and so are the schemas. "masked_sql", if `masked`: they are
    equal except for their values, and in the tables they use one schema has all columns that the other has
    (a training row often shows no more of its database than its query needs); with `specific`, not where the
    test query is generic (see `is_generic`). Where a schema is not known, the names of the databases are
    compared; where they are not known either, a query must name a table.
    """

    def __init__(
        self,
        test: Sequence[TestQuestion],
        signatures: Iterable[Signature],
        masked: bool,
        specific: bool = False,
    ) -> None:
        self._masked, self._specific = masked, specific
        pairs = zip(test, signatures, strict=True)
        self._queries = [_query(question, signature) for question, signature in pairs if question.gold]
        self._by_word: dict[str, list[_Query]] = {}
        frequency = Counter(word for query in self._queries for word in query.names.words)
        for query in self._queries:
            rarest = min(query.names.words, key=lambda word: (frequency[word], word), default="")
            self._by_word.setdefault(rarest, []).append(query)

    def find(
        self, row: TrainingRow, signature_of: Callable[[TrainingRow], Signature | None]
    ) -> Evidence | None:
        """The evidence against a row, or None; of several matching test rows the first.

        `signature_of` is called for the row's schema only if a test query has the same names, which is rare.
        Where it returns None there is no evidence; where the row has no schema it returns NO_SCHEMA.
        """
        queries = sorted(self._same_names(row.sql), key=lambda query: query.row)
        signature = signature_of(row) if queries else None
        if signature is None:
            return None
        place = Place(signature, row.db_id)
        columns = {column for _, column in signature}
        return self._same(queries, place, row.sql, columns) or self._same_masked(
            queries, place, row.sql, columns
        )

    def _same_names(self, sql: str) -> Iterator[_Query]:
        """Test queries whose every name occurs in this one, as do the names of any equal query."""
        present = words(sql)
        for word in (present & self._by_word.keys()) | {""}:
            for query in self._by_word.get(word, ()):
                if query.names.words <= present:
                    yield query

    def _same(self, queries: Iterable[_Query], place: Place, sql: str, columns: set[str]) -> Evidence | None:
        on_schema = [query for query in queries if _same_schema(query, place)]
        folded = fold_sql(sql, columns) if on_schema else None
        return next((Evidence("same_sql", q.row, 1.0) for q in on_schema if q.exact == folded), None)

    def _same_masked(
        self, queries: Iterable[_Query], place: Place, sql: str, columns: set[str]
    ) -> Evidence | None:
        fitting = [query for query in queries if self._masked and _compatible(query, place)]
        folded = fold_sql(sql, columns, mask=True) if fitting else None
        same = [query for query in fitting if query.masked == folded]
        if self._specific and any(query.generic for query in same):
            exact = fold_sql(sql, columns).text.casefold()
            same = [query for query in same if not query.generic or query.exact.text.casefold() == exact]
        return next((Evidence("masked_sql", query.row, 1.0) for query in same), None)


def is_generic(sql: str) -> bool:
    """Whether a query only shows one thing of one table where one column equals a value.

    With other values such a query answers so many other questions that it does not show which one is meant.
    """
    tree = parse_query(sql)
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1:
        return False
    plain = not any(tree.args.get(clause) for clause in ("joins", "group", "having", "order", "limit"))
    condition = tree.args["where"].this if tree.args.get("where") else None
    return plain and not tree.find(exp.Subquery) and isinstance(condition, (exp.EQ, exp.Like))


def _same_schema(query: _Query, place: Place) -> bool:
    if query.place.signature and place.signature:
        return query.place.signature == place.signature
    return _elsewhere_known(query, place)


def _compatible(query: _Query, place: Place) -> bool:
    """Whether the tables that the test query uses are the same in both schemas, as far as they show them."""
    if not (query.place.signature and place.signature):
        return _elsewhere_known(query, place)
    here, there = (
        frozenset(pair for pair in pairs if pair[0] in query.names.tables)
        for pairs in (place.signature, query.place.signature)
    )
    return contained(here, there)


def _elsewhere_known(query: _Query, place: Place) -> bool:
    """Without one of the schemas: the databases have one name, or nothing is known and a table is named."""
    same = same_database(query.place, place)
    return bool(query.names.tables) if same is None else same


def _query(question: TestQuestion, signature: Signature) -> _Query:
    columns = {column for _, column in signature}
    return _Query(
        question.row,
        query_names(question.gold, columns),
        fold_sql(question.gold, columns),
        fold_sql(question.gold, columns, mask=True),
        Place(signature, question.db_id),
        is_generic(question.gold),
    )
