"""Training rows that repeat an earlier one, of the same or another source."""

from __future__ import annotations

from text2sql.contamination.folding import fold_question, fold_sql, words
from text2sql.records import TrainingRow

_Seen = tuple[str, str, int, str]  # id, SQL, hash of the schema's words, name of the database


class Duplicates:
    """The rows so far, by their folded questions.

    A row repeats an earlier one if their folded questions and queries are equal and so is the schema: the
    same words (so neither the case of names nor the layout counts), or without a schema the same name of the
    database. Queries are folded only where two questions are equal, which is rare.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[_Seen]] = {}

    def first(self, row: TrainingRow) -> str | None:
        """Note a row; the id of the first row that it repeats, or None."""
        schema = hash(frozenset(words(row.ddl))) if row.ddl.strip() else 0
        alike = self._seen.setdefault(fold_question(row.question), [])
        for earlier, sql, other, db_id in alike:
            if (schema, row.db_id if not schema else "") == (other, db_id) and _same(row.sql, sql):
                return earlier
        alike.append((row.id, row.sql, schema, "" if schema else row.db_id))
        return None


def _same(one: str, other: str) -> bool:
    return one == other or fold_sql(one) == fold_sql(other)
