"""How good retrieved examples are, measured without a model: by the gold queries of the test questions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from text2sql.errors import UserError
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.retrieval.index import Hit
from text2sql.retrieval.skeleton import names, skeleton
from text2sql.schema.ddl import read_ddl

Signature = frozenset[tuple[str, str]]
Figure = float | int | None


@dataclass(frozen=True)
class _Recall:
    """Shares (0 to 1) of a gold query's tables and columns that examples on the same schema name."""

    tables: float
    columns: float | None


def quality(
    questions: Sequence[ConvertedQuestion],
    shown: Sequence[Sequence[Hit]],
    rows: Mapping[str, TrainingRow],
) -> dict[str, dict[str, Figure]]:
    """The figures of one ranking, shares in percent, each beside its n; None where n is 0.

    examples: mean number shown. top_score: mean score of the best one. same_skeleton: the questions with an
    example whose query has the skeleton of the gold query (see `skeleton`), among the first example and
    among all; n counts the gold queries that parse. same_schema: the questions with an example whose tables
    and columns are those of the question; over these, the mean share of the gold query's tables, and of its
    columns by their bare names, that those examples' queries name.
    """
    examples = [[rows[row_id] for row_id, _ in hits] for hits in shown]
    pairs = [(q, found) for q, found in zip(questions, examples, strict=True) if q.gold.strip()]
    wanted = [(skeleton(q.gold), [skeleton(e.sql) for e in found]) for q, found in pairs]
    wanted = [(gold, found) for gold, found in wanted if gold]
    recalls = [recall for q, found in pairs if (recall := _recall(q, found))]
    best = [hits[0][1] for hits in shown if hits]
    return {
        "examples": {"mean": _mean(map(len, shown)), "n": len(shown)},
        "top_score": {"mean": _mean(best, 4), "n": len(best)},
        "same_skeleton": {
            "at_1": _percent(gold in found[:1] for gold, found in wanted),
            "at_k": _percent(gold in found for gold, found in wanted),
            "n": len(wanted),
        },
        "same_schema": {
            "tables": _percent(recall.tables for recall in recalls),
            "columns": _percent(r.columns for r in recalls if r.columns is not None),
            "n": len(recalls),
        },
    }


def _recall(question: ConvertedQuestion, examples: Iterable[TrainingRow]) -> _Recall | None:
    """None where no example is on the question's schema, or the gold query names no table."""
    signature, gold = _signature(question.ddl), names(question.gold)
    on_schema = [row for row in examples if signature and _signature(row.ddl) == signature]
    if not on_schema or not gold or not gold.tables:
        return None
    named = [found for row in on_schema if (found := names(row.sql))]
    tables = frozenset[str]().union(*(found.tables for found in named))
    columns = frozenset[str]().union(*(found.columns for found in named))
    # a column alias or a string in double quotes is none of the schema's columns
    real = gold.columns & {column for _, column in signature}
    return _Recall(
        len(gold.tables & tables) / len(gold.tables), len(real & columns) / len(real) if real else None
    )


@functools.lru_cache(maxsize=65_536)
def _signature(ddl: str) -> Signature:
    """The (table, column) names of a schema, case-folded; empty if SQLite rejects the text."""
    try:
        tables = read_ddl(ddl).tables
    except UserError:
        return frozenset()
    return frozenset((table.name.casefold(), c.name.casefold()) for table in tables for c in table.columns)


def _percent(shares: Iterable[float]) -> float | None:
    mean = _mean(shares, 6)
    return None if mean is None else round(100 * mean, 1)


def _mean(values: Iterable[float], digits: int = 2) -> float | None:
    found = list(values)
    return round(fmean(found), digits) if found else None
