"""Training rows that give a test question away, found by look-up, never by comparing all pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from text2sql.contamination.folding import (
    FoldedSql,
    Signature,
    fold_question,
    fold_sql,
    schema_signature,
)
from text2sql.records import TestQuestion, TrainingRow, UserError
from text2sql.schema.prose import read_prose

RULES = ("question", "same_sql")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a training row leaks: the rule, the test row given away, how alike the two are (0-1)."""

    rule: str
    test_row: int
    similarity: float


def find_leaks(
    train: Iterable[TrainingRow], test: Sequence[TestQuestion], rules: Collection[str] = RULES
) -> Iterator[tuple[TrainingRow, Evidence | None]]:
    """Yield every training row, in order, with the evidence against it or None.

    Rule "question": the folded questions are equal, whatever the schema. Rule "same_sql": the
    folded queries are equal on schemas with the same tables and columns. The first rule that fits,
    in that order, and the first such test row are named. Time grows with rows plus questions. Not
    covered: reworded questions, and a schema of which the training row shows only a part.
    UserError: an unknown rule, or a schema (its row is named) that cannot be read.
    """
    unknown = sorted(set(rules) - set(RULES))
    if unknown:
        raise UserError(f"unknown contamination rule {', '.join(unknown)}; known: {', '.join(RULES)}")
    questions = _questions(test) if "question" in rules else {}
    queries = _queries(test) if "same_sql" in rules else {}
    for row in train:
        yield row, _by_question(row, questions) or _by_sql(row, queries)


def _questions(test: Sequence[TestQuestion]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for question in test:
        folded = fold_question(question.question)
        if folded:  # "???" folds to nothing and asks nothing
            rows.setdefault(folded, question.row)
    return rows


def _queries(test: Sequence[TestQuestion]) -> dict[Signature, dict[FoldedSql, int]]:
    signatures: dict[str, Signature] = {}
    rows: dict[Signature, dict[FoldedSql, int]] = {}
    for question in test:
        if question.prose not in signatures:
            signatures[question.prose] = _prose_signature(question)
        signature = signatures[question.prose]
        folded = fold_sql(question.gold, {column for _, column in signature})
        rows.setdefault(signature, {}).setdefault(folded, question.row)
    return rows


def _prose_signature(question: TestQuestion) -> Signature:
    try:
        return schema_signature(read_prose(question.prose)[1])
    except UserError as error:
        raise UserError(f"test row {question.row}: {error}") from error


def _by_question(row: TrainingRow, questions: dict[str, int]) -> Evidence | None:
    test_row = questions.get(fold_question(row.question)) if questions else None
    return None if test_row is None else Evidence("question", test_row, 1.0)


def _by_sql(row: TrainingRow, queries: dict[Signature, dict[FoldedSql, int]]) -> Evidence | None:
    if not queries:
        return None
    try:
        signature = schema_signature(row.ddl)
    except UserError as error:
        raise UserError(f"training row {row.id}: {error}") from error
    on_schema = queries.get(signature)  # few rows get past here, so few are parsed
    if on_schema is None:
        return None
    test_row = on_schema.get(fold_sql(row.sql, {column for _, column in signature}))
    return None if test_row is None else Evidence("same_sql", test_row, 1.0)
