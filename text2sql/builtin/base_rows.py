"""The rows on which the tiny base model is trained: simple questions, some with value hints or an example."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from text2sql.builtin.benchmark import Item, rows_on_random, shares
from text2sql.builtin.domain import Value
from text2sql.contamination.folding import fold_question
from text2sql.context.make import Asked, Maker
from text2sql.context.settings import Context
from text2sql.context.values import ColumnValues, DatabaseValues
from text2sql.errors import UserError
from text2sql.prompts import Example, schema_text
from text2sql.schema.settings import Prompt

BASE_MIX = {
    "column": 22,
    "filter": 38,
    "count": 6,
    "count_filter": 14,
    "distinct": 5,
    "aggregate": 5,
    "order": 5,
    "having": 5,
}
HINTED, WITH_EXAMPLE = 0.7, 0.2  # shares of the rows
SAME_KIND = 0.7  # share of the examples that are of the question's kind
_HINTS = Context(questions="data/test", value_hints=5)


class SimpleRow(TypedDict):
    """A row; `ddl` is its schema as SQL, `schema` and those of the examples as the prompt shows them."""

    question: str
    schema: str
    sql: str
    ddl: str
    examples: list[Example]


def base_rows(seed: int, count: int, forbidden: Collection[str], types: bool) -> list[SimpleRow]:
    """Simple rows on random schemas, on which the tiny base model is trained.

    Their questions ask for a column, a number of rows or one filter, with the columns' own names. None has
    the folded form of a `forbidden` question. Some show the values that the question names beside their
    columns, as the stage add_context does, and some a solved example, so that the model can read both.
    `types`: whether schemas have column types.

    Raises:
        UserError: `count` is below 1, or so many rows cannot be made.
    """
    if count < 1:
        raise UserError(f"base_rows: count is {count}; ask for at least 1 row")
    avoid = {fold_question(question) for question in forbidden}
    kinds = shares(BASE_MIX, count, random.Random(f"{seed}:kinds"))
    rng = random.Random(f"{seed}:shown")
    plan = [((kind,), False) for kind in kinds]
    rows = rows_on_random(f"{seed}:base", plan, avoid, lambda item: _row(item, types, rng))
    solved = defaultdict[str, list[Example]](list)
    for kind, row in zip(kinds, rows, strict=True):
        if rng.random() < WITH_EXAMPLE:
            row["examples"] = _examples(solved, kind, rng)
        ddl = schema_text(row["ddl"], types)
        solved[kind].append(Example(question=row["question"], ddl=ddl, sql=row["sql"]))
    return rows


def _row(item: Item, types: bool, rng: random.Random) -> SimpleRow:
    schema = schema_text(item.world.ddl, types)
    if rng.random() < HINTED:
        schema = _hinted(item, types)
    return SimpleRow(
        question=item.question, schema=schema, sql=item.draft.sql, ddl=item.world.ddl, examples=[]
    )


def _hinted(item: Item, types: bool) -> str:
    """The schema with the values that the question names."""
    world, nowhere = item.world, Path()
    columns = [
        ColumnValues(table.name, field.name, _texts(row[field.name] for row in world.rows[table.name]))
        for table in world.domain.entities
        for field in table.fields
    ]
    maker = Maker(DatabaseValues(columns), nowhere, _HINTS, Prompt(schema_types=types))
    return maker.make(Asked("", nowhere, world.domain.id, item.question, world.ddl)).text


def _texts(values: Iterable[Value]) -> list[str]:
    return list(dict.fromkeys(value for value in values if isinstance(value, str)))


def _examples(solved: Mapping[str, Sequence[Example]], kind: str, rng: random.Random) -> list[Example]:
    """A solved row, mostly of this kind; none where there is none yet."""
    wanted = kind if rng.random() < SAME_KIND else rng.choice(sorted(BASE_MIX))
    return [rng.choice(solved[wanted])] if solved.get(wanted) else []
