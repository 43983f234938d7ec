"""The built-in benchmark: training rows, test questions, their databases and planted leaks.

Everything is determined by the seed, through named streams of random.Random, independent of PYTHONHASHSEED.
The bytes of the SQLite files also depend on the version of SQLite, which writes its number into them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from text2sql.builtin.databases import DATABASES
from text2sql.builtin.domain import World, write_sqlite
from text2sql.builtin.grammar import KINDS, draw, names_every_column, word
from text2sql.builtin.random_schemas import compose
from text2sql.builtin.scene import Draft
from text2sql.contamination.folding import fold_question
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.files import write_json, write_jsonl
from text2sql.schema.prose import write_prose

# Shares of Spider's hardness classes in percent; training has slightly more hard questions.
TEST_MIX = {"easy": 25, "medium": 40, "hard": 20, "extra": 15}
TRAIN_MIX = {"easy": 20, "medium": 38, "hard": 24, "extra": 18}
INDIRECT_TEST, INDIRECT_TRAIN = 0.2, 0.3  # share of questions that do not name some column word for word
PLANTED_OF_A_KIND = 24  # at most a fifth of the seen test questions, a tenth of the training rows
ROWS_A_SCHEMA = 3
SCHEMAS_A_ROW = 50  # random schemas that are tried for each row, before giving up
MAX_SQL = 240  # characters
TRIES, TRIES_ON_RANDOM = 400, 30  # attempts at one row, before the database counts as exhausted
MAX_TEST_ROWS = 2_000
FULL_WIDTH = {code: code + 0xFEE0 for code in range(ord("A"), ord("z") + 1) if chr(code).isalpha()}

T = TypeVar("T")
R = TypeVar("R")
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its query on one database."""

    world: World
    draft: Draft
    question: str

    def training_row(self) -> Row:
        return {
            "prompt": self.question,
            "context": self.world.ddl,
            "answer": self.draft.sql,
            "db_id": self.world.domain.id,
        }

    def test_row(self) -> Row:
        domain = self.world.domain
        return {
            "db_id": domain.id,
            "question": self.question,
            "gold": self.draft.sql,
            "schema": write_prose(domain.id, domain.schema()),
            "slice": "unseen" if domain.unseen else "seen",
        }


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that leaks the test question `test_row`."""

    test_row: int
    kind: str
    row: Row


def build_benchmark(
    folder: Path, seed: int, train_rows: int, test_rows: int, train_databases: Path | None = None
) -> None:
    """Write train/embedded.jsonl, a test set, databases/ID/ID.sqlite and planted.json to `folder`.

    The test set is test/embedded.jsonl, named in test_sets.json (see text2sql/preparation/raw_test.py).
    A third of the `train_rows` are on the hand-designed databases that are not marked unseen, the others on
    random schemas. planted.json lists the test questions that were put into the training rows (on seen
    databases, rows numbered from 0): verbatim or reworded; of the reworded ones, half differ only in case and
    punctuation and half in words. No other training row has a test question, or a test query on its schema.
    `train_databases`, if there is one, gets the databases of the training rows as ID/ID.sqlite.

    Raises:
        UserError: a number is out of range, or the databases do not allow so many different questions.
    """
    _check_counts(train_rows, test_rows)
    with ExitStack() as stack:
        worlds = [
            stack.enter_context(World(domain, random.Random(f"{seed}:{domain.id}"))) for domain in DATABASES
        ]
        test = _test_items(worlds, seed, test_rows)
        leaks = _leaks(test, seed, train_rows)
        rows = _training_rows(worlds, test, seed, train_rows - len(leaks), train_databases)
        rows, planted = _plant(rows, leaks, random.Random(f"{seed}:places"))
        for world in worlds:
            write_sqlite(database_path(folder / "databases", world.domain.id), world)
    write_jsonl(folder / "train" / "embedded.jsonl", rows)
    write_jsonl(folder / "test" / "embedded.jsonl", [item.test_row() for item in test])
    write_json(folder / "test_sets.json", ["embedded"])
    write_json(folder / "planted.json", planted)


def _check_counts(train_rows: int, test_rows: int) -> None:
    remedy = "fix it in params.yaml under fetch_data"
    if not 1 <= test_rows <= MAX_TEST_ROWS:
        raise UserError(f"test_rows is {test_rows}, not between 1 and {MAX_TEST_ROWS}; {remedy}")
    if train_rows < 1:
        raise UserError(f"train_rows is {train_rows}, not at least 1; {remedy}")


def _test_items(worlds: Sequence[World], seed: int, test_rows: int) -> list[Item]:
    """Test items with distinct questions and queries, alternating between seen and unseen databases."""
    rng = random.Random(f"{seed}:test")
    slices = [[w for w in worlds if w.domain.unseen == unseen] for unseen in (False, True)]
    asked: set[str] = set()
    solved: set[tuple[str, str]] = set()
    items = []
    for at, (kinds, indirect) in enumerate(_plan(TEST_MIX, INDIRECT_TEST, test_rows, rng)):
        world = slices[at % 2][at // 2 % len(slices[at % 2])]
        item = _item(world, rng, kinds, indirect, asked, solved, TRIES)
        if item is None:
            raise _exhausted(world, KINDS[kinds[0]].hardness, "test", at)
        items.append(item)
        asked.add(fold_question(item.question))
        solved.add((world.ddl, item.draft.sql))
    return items


def _training_rows(
    worlds: Sequence[World], test: Sequence[Item], seed: int, count: int, databases: Path | None
) -> list[Row]:
    """Rows in random order, none with a test question or a test query on its schema."""
    asked = {fold_question(item.question) for item in test}
    solved = {(item.world.ddl, item.draft.sql) for item in test}
    seen = [world for world in worlds if not world.domain.unseen]
    rng = random.Random(f"{seed}:train")
    rows = _rows_on_seen(seen, rng, count // 3, asked, solved)
    plan = _plan(TRAIN_MIX, INDIRECT_TRAIN, count - count // 3, rng)
    rows += rows_on_random(f"{seed}:train", plan, asked, Item.training_row, databases)
    if databases:
        for world in seen:
            write_sqlite(database_path(databases, world.domain.id), world)
    rng.shuffle(rows)
    return rows


def _rows_on_seen(
    worlds: Sequence[World],
    rng: random.Random,
    count: int,
    asked: Collection[str],
    solved: Collection[tuple[str, str]],
) -> list[Row]:
    """Training rows on the hand-designed databases, taken in turn; every question occurs once."""
    avoid = set(asked)
    rows = []
    for at, (kinds, indirect) in enumerate(_plan(TRAIN_MIX, INDIRECT_TRAIN, count, rng)):
        world = worlds[at % len(worlds)]
        item = _item(world, rng, kinds, indirect, avoid, solved, TRIES)
        if item is None:
            raise _exhausted(world, KINDS[kinds[0]].hardness, "train", at)
        avoid.add(fold_question(item.question))
        rows.append(item.training_row())
    return rows


def rows_on_random(
    stream: str,
    plan: Sequence[tuple[Sequence[str], bool]],
    asked: Collection[str],
    write: Callable[[Item], R],
    databases: Path | None = None,
) -> list[R]:
    """Rows on random schemas, a few on each, made by `write`; their databases are written to `databases`.

    Where a schema does not allow the next question of the plan, the next schema takes it.

    Raises:
        UserError: so many rows cannot be made.
    """
    rows: list[R] = []
    for number in range(SCHEMAS_A_ROW * len(plan)):
        rng = random.Random(f"{stream}:{number}")
        with World(compose(rng, f"random_{number}"), rng) as world:
            new = _items_of(world, rng, plan[len(rows) : len(rows) + ROWS_A_SCHEMA], asked)
            rows += map(write, new)
            if databases and new:
                write_sqlite(database_path(databases, world.domain.id), world)
        if len(rows) == len(plan):
            return rows
    raise UserError(f"{len(plan)} rows on random schemas cannot be made; ask for fewer")


def _items_of(
    world: World,
    rng: random.Random,
    plan: Sequence[tuple[Sequence[str], bool]],
    asked: Collection[str],
) -> list[Item]:
    """Items for the beginning of the plan, up to the first question that this database does not allow."""
    items: list[Item] = []
    for kinds, indirect in plan:
        item = _item(world, rng, kinds, indirect, asked, (), TRIES_ON_RANDOM)
        if item is None or item in items:
            break
        items.append(item)
    return items


def _item(
    world: World,
    rng: random.Random,
    kinds: Sequence[str],
    indirect: bool,
    asked: Collection[str],
    solved: Collection[tuple[str, str]],
    tries: int,
) -> Item | None:
    """A new question on this database, or None; an `indirect` one does not name every column literally."""
    for _ in range(tries):
        draft = draw(world, rng, rng.choice(kinds))
        if draft is None or len(draft.sql) > MAX_SQL or (world.ddl, draft.sql) in solved:
            continue
        question = word(draft, rng, indirect)
        if question is None or names_every_column(question, draft) == indirect:
            continue
        if fold_question(question) not in asked:
            return Item(world, draft, question)
    return None


def _plan(
    mix: Mapping[str, int], indirect: float, count: int, rng: random.Random
) -> list[tuple[Sequence[str], bool]]:
    """For every row the kinds of question of its hardness class, and whether it is worded indirectly."""
    kinds = {level: [k.name for k in KINDS.values() if k.hardness == level] for level in mix}
    levels = shares(mix, count, rng)
    ways = shares({True: indirect, False: 1 - indirect}, count, rng)
    return [(kinds[level], way) for level, way in zip(levels, ways, strict=True)]


def shares(mix: Mapping[T, float], count: int, rng: random.Random) -> list[T]:
    """`count` keys in the proportions of `mix`, rounded by largest remainder, in random order."""
    total = sum(mix.values())
    exact = {key: count * share / total for key, share in mix.items()}
    whole = {key: int(share) for key, share in exact.items()}
    rest = sorted(mix, key=lambda key: whole[key] - exact[key])[: count - sum(whole.values())]
    keys = [key for key in mix for _ in range(whole[key] + (key in rest))]
    rng.shuffle(keys)
    return keys


def _exhausted(world: World, level: str, which: str, at: int) -> UserError:
    return UserError(
        f"database {world.domain.id} has no more distinct {level} questions for {which} row "
        f"{at}; lower {which}_rows in params.yaml under fetch_data"
    )


def _leaks(test: Sequence[Item], seed: int, train_rows: int) -> list[Leak]:
    """Test questions of the seen slice to plant: as many verbatim as reworded."""
    rng = random.Random(f"{seed}:leaks")
    seen = [at for at, item in enumerate(test) if not item.world.domain.unseen]
    size = min(PLANTED_OF_A_KIND, len(seen) // 5, train_rows // 10)
    chosen = rng.sample(seen, 2 * size)
    asked = {fold_question(item.question) for item in test}
    leaks = [Leak(at, "verbatim", test[at].training_row()) for at in chosen[:size]]
    for place, at in enumerate(chosen[size:]):
        row = test[at].training_row()
        row["prompt"] = (
            _other_words(test[at], rng, asked) if place % 2 else _respelled(row["prompt"], place // 2)
        )
        leaks.append(Leak(at, "reworded", row))
    return leaks


def _other_words(item: Item, rng: random.Random, asked: Collection[str]) -> str:
    """Another question for the same query, whose folded form differs."""
    for _ in range(TRIES):
        question = word(item.draft, rng, indirect=rng.random() < INDIRECT_TRAIN)
        if question is not None and fold_question(question) not in asked:
            return question
    raise AssertionError(f"kind {item.draft.kind} has too few wordings for {item.question!r}")


def _respelled(question: str, number: int) -> str:
    """The question with other case, punctuation, spacing or characters; its folded form is the same."""
    variants = (
        question.upper(),
        question.lower().rstrip(".?"),
        question.replace(" ", "  "),
        question.rstrip(".?") + " ?!",
        question.replace(" ", "\u00a0"),
        question.translate(FULL_WIDTH),
        re.sub("'([^']*)'", "\u2018\\1\u2019", question).rstrip(".?"),
    )
    return variants[number % len(variants)]


def _plant(
    rows: Sequence[Row], leaks: Sequence[Leak], rng: random.Random
) -> tuple[list[Row], list[dict[str, int | str]]]:
    """The training rows with the leaks at random places, and the list of these places."""
    places = sorted(rng.sample(range(len(rows) + len(leaks)), len(leaks)))
    mixed = list(rows)
    planted: list[dict[str, int | str]] = []
    for place, leak in zip(places, rng.sample(leaks, len(leaks)), strict=True):
        mixed.insert(place, leak.row)
        planted.append({"test_row": leak.test_row, "train_row": place, "kind": leak.kind})
    return mixed, planted
