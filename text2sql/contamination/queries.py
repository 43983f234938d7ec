"""Training rows whose query equals a test query, found by the names in the query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Query:
    """A test query, folded with and without its values, and the signature of its schema."""

    row: int
    names: QueryNames
    exact: FoldedSql
    masked: FoldedSql
    signature: Signature


class SameQueries:
    """An index of test queries, which finds those that equal the query of a training row.

    "same_sql": the folded queries are equal, and so are the schemas. "masked_sql", if `masked`: they are
    equal except for their values, and in the tables they use one schema has all columns that the other has
    (a training row often shows no more of its database than its query needs).
    """

    def __init__(self, test: Sequence[TestQuestion], signatures: Iterable[Signature], masked: bool) -> None:
        self._masked = masked
        self._queries = [_query(*pair) for pair in zip(test, signatures, strict=True)]
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
        Where it returns None there is no evidence.
        """
        queries = sorted(self._same_names(row.sql), key=lambda query: query.row)
        signature = signature_of(row) if queries else None
        if signature is None:
            return None
        columns = {column for _, column in signature}
        return self._same(queries, signature, row.sql, columns) or self._same_masked(
            queries, signature, row.sql, columns
        )

    def _same_names(self, sql: str) -> Iterator[_Query]:
        """Test queries whose every name occurs in this one, as do the names of any equal query."""
        present = words(sql)
        for word in (present & self._by_word.keys()) | {""}:
            for query in self._by_word.get(word, ()):
                if query.names.words <= present:
                    yield query

    def _same(
        self, queries: Iterable[_Query], signature: Signature, sql: str, columns: set[str]
    ) -> Evidence | None:
        on_schema = [query for query in queries if query.signature == signature]
        folded = fold_sql(sql, columns) if on_schema else None
        return next((Evidence("same_sql", q.row, 1.0) for q in on_schema if q.exact == folded), None)

    def _same_masked(
        self, queries: Iterable[_Query], signature: Signature, sql: str, columns: set[str]
    ) -> Evidence | None:
        fitting = [query for query in queries if self._masked and _compatible(query, signature)]
        folded = fold_sql(sql, columns, mask=True) if fitting else None
        return next((Evidence("masked_sql", q.row, 1.0) for q in fitting if q.masked == folded), None)


def contained(one: Signature, other: Signature) -> bool:
    """Whether one of two signatures contains the other; False if one is empty."""
    return bool(one and other) and (one <= other or other <= one)


def _compatible(query: _Query, signature: Signature) -> bool:
    """Whether the tables that the test query uses are the same in both schemas, as far as they show them."""
    here, there = (
        frozenset(pair for pair in pairs if pair[0] in query.names.tables)
        for pairs in (signature, query.signature)
    )
    return contained(here, there)


def _query(question: TestQuestion, signature: Signature) -> _Query:
    columns = {column for _, column in signature}
    return _Query(
        question.row,
        query_names(question.gold, columns),
        fold_sql(question.gold, columns),
        fold_sql(question.gold, columns, mask=True),
        signature,
    )
