"""Kinds of questions, each with its wordings and a function that writes the SQL for a database.

Every construct of SQL is written in one way: upper-case keywords, single spaces, aliases T1, T2, T3 only in
joins, the table that is asked for first. A kind's hardness is Spider's (text2sql.evaluation.spider.hardness).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from text2sql.builtin.domain import Entity, World, link
from text2sql.builtin.lexicon import Field
from text2sql.builtin.phrases import SHOW, Condition, Mention, Ordering, Path, Statistic, verb
from text2sql.builtin.scene import Draft, Misfit, Scene, is_sound, join

MIN_WORDS, MAX_WORDS = 6, 25
FUNCTIONS = ("AVG", "MAX", "MIN", "SUM")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question; `wordings` are templates with a name in braces for every slot of its drafts."""

    name: str
    hardness: str
    wordings: tuple[str, ...]
    build: Callable[[Scene], Draft]


KINDS: dict[str, Kind] = {}


def _kind(hardness: str, *wordings: str) -> Callable[[Callable[[Scene], Draft]], None]:
    """Register the decorated function as a kind of question under its own name."""

    def register(build: Callable[[Scene], Draft]) -> None:
        name = build.__name__.lstrip("_")
        KINDS[name] = Kind(name, hardness, wordings, build)

    return register


def draw(world: World, rng: random.Random, kind: str) -> Draft | None:
    """One attempt at a sound draft of this kind; None if the database does not allow it."""
    try:
        draft = KINDS[kind].build(Scene(kind, world, rng))
    except Misfit:
        return None
    return draft if is_sound(world, draft) else None


def word(draft: Draft, rng: random.Random, indirect: bool = False) -> str | None:
    """A question of 6 to 25 words for the draft; None if it is shorter or longer."""
    said = {
        name: slot if isinstance(slot, str) else slot.say(rng, indirect) for name, slot in draft.slots.items()
    }
    be = verb(said.get("a", ""))
    text = rng.choice(KINDS[draft.kind].wordings).format(show=rng.choice(SHOW), be=be, **said)
    return text if MIN_WORDS <= len(text.split()) <= MAX_WORDS else None


def names_every_column(question: str, draft: Draft) -> bool:
    """Whether the question names every column except keys word for word."""
    words = " ".join(question.lower().replace(",", " ").rstrip(".?").split())
    return all(f" {field.name.replace('_', ' ')} " in f" {words} " for field in draft.fields)


# --- easy: one table, one clause -----------------------------------------------------------------


@_kind(
    "easy",
    "{show} the {a} of all {ts}.",
    "What {be} the {a} of each {t}?",
    "{show} the {a} of every {t}.",
    "I want to see the {a} of all {ts}.",
    "What are the {a} values of the {ts}?",
)
def _column(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.shown(table)
    return scene.draft(
        f"SELECT {a.name} FROM {table.name}", [a], a=Mention(a), ts=table.plural, t=table.singular
    )


@_kind(
    "easy",
    "{show} the different {a} values of the {ts}.",
    "What distinct {a} values do the {ts} have?",
    "{show} every {a} of the {ts} once, without repeats.",
    "Which different values of {a} occur among the {ts}?",
)
def _distinct(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.category(table)
    plain = f"SELECT {a.name} FROM {table.name}"
    return scene.draft(
        f"SELECT DISTINCT {a.name} FROM {table.name}",
        [a],
        differs=[plain],
        a=Mention(a),
        ts=table.plural,
    )


@_kind(
    "easy",
    "{show} the {a} of {ts} {cond}.",
    "What {be} the {a} of the {ts} {cond}?",
    "For all {ts} {cond}, show the {a}.",
    "{show} the {a} for every one of the {ts} {cond}.",
)
def _filter(scene: Scene) -> Draft:
    table = scene.table()
    cond = scene.condition(table)
    a = scene.shown(table, cond.field)
    plain = f"SELECT {a.name} FROM {table.name}"
    return scene.draft(
        f"{plain} WHERE {cond.sql()}",
        [a, cond.field],
        differs=[plain],
        a=Mention(a),
        ts=table.plural,
        cond=cond,
    )


@_kind(
    "easy",
    "How many {ts} are there in total?",
    "What is the number of all {ts}?",
    "Count all of the {ts} on record.",
    "{show} the total number of the {ts}.",
    "Tell me how many {ts} there are.",
)
def _count(scene: Scene) -> Draft:
    table = scene.table()
    return scene.draft(f"SELECT COUNT(*) FROM {table.name}", [], ts=table.plural)


@_kind(
    "easy",
    "How many {ts} {cond} are there?",
    "Count the number of {ts} {cond}.",
    "What is the number of {ts} {cond}?",
    "{show} the number of {ts} {cond}.",
)
def _count_filter(scene: Scene) -> Draft:
    table = scene.table()
    cond = scene.condition(table)
    plain = f"SELECT COUNT(*) FROM {table.name}"
    return scene.draft(
        f"{plain} WHERE {cond.sql()}", [cond.field], differs=[plain], ts=table.plural, cond=cond
    )


@_kind(
    "easy",
    "What is the {stat} of all {ts}?",
    "{show} the {stat} over all {ts}.",
    "What {stat} do the {ts} have together?",
    "Compute the {stat} of all the {ts}.",
)
def _aggregate(scene: Scene) -> Draft:
    table = scene.table()
    stat = Statistic(scene.pick(FUNCTIONS), scene.measure(table))
    return scene.draft(f"SELECT {stat.sql()} FROM {table.name}", [stat.field], stat=stat, ts=table.plural)


@_kind(
    "easy",
    "{show} the {a} of all {ts} {order}.",
    "What {be} the {a} of each {t}, {order}?",
    "{show} the {a} of every {t} {order}.",
    "For all {ts}, show the {a}, {order}.",
)
def _order(scene: Scene) -> Draft:
    table = scene.table()
    key = scene.field(table, roles=("label", "measure"))
    a = scene.shown(table, key)
    order = Ordering(key, scene.coin())
    plain = f"SELECT {a.name} FROM {table.name}"
    return scene.draft(
        f"{plain} ORDER BY {key.name}{order.suffix}",
        [a, key],
        distinct=[f"SELECT {key.name} FROM {table.name}"],
        a=Mention(a),
        ts=table.plural,
        t=table.singular,
        order=order,
    )


@_kind(
    "easy",
    "Which {a} values are shared by at least {n} {ts}?",
    "{show} each {a} that has at least {n} {ts}.",
    "{show} the {a} values that occur for {n} or more {ts}.",
    "What {a} values do at least {n} of the {ts} share?",
)
def _having(scene: Scene) -> Draft:
    table = scene.table()
    a, n = scene.category(table), scene.pick((2, 3, 4, 5, 6, 8))
    plain = f"SELECT {a.name} FROM {table.name} GROUP BY {a.name}"
    return scene.draft(
        f"{plain} HAVING COUNT(*) >= {n}",
        [a],
        differs=[plain],
        a=Mention(a),
        ts=table.plural,
        n=str(n),
    )


# --- medium --------------------------------------------------------------------------------------


@_kind(
    "medium",
    "{show} the {a} and {b} of all {ts}.",
    "What are the {a} and {b} of each {t}?",
    "For every {t}, show the {a} and the {b}.",
    "{show} both the {a} and the {b} of the {ts}.",
)
def _two_columns(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.shown(table)
    b = scene.field(table, a)
    return scene.draft(
        f"SELECT {a.name}, {b.name} FROM {table.name}",
        [a, b],
        a=Mention(a),
        b=Mention(b),
        ts=table.plural,
        t=table.singular,
    )


@_kind(
    "medium",
    "{show} the {a} and {b} of {ts} {cond}.",
    "What are the {a} and {b} of the {ts} {cond}?",
    "For {ts} {cond}, show the {a} and the {b}.",
    "{show} both {a} and {b} for all {ts} {cond}.",
)
def _two_columns_filter(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.shown(table)
    b = scene.field(table, a)
    cond = scene.condition(table, *scene.rng.choice([(a,), (a, b)]))
    plain = f"SELECT {a.name}, {b.name} FROM {table.name}"
    return scene.draft(
        f"{plain} WHERE {cond.sql()}",
        [a, b, cond.field],
        differs=[plain],
        a=Mention(a),
        b=Mention(b),
        ts=table.plural,
        cond=cond,
    )


@_kind(
    "medium",
    "{show} the {a} of {ts} {c} {both} {d}.",
    "What {be} the {a} of the {ts} {c} {both} {d}?",
    "For all {ts} {c} {both} {d}, show the {a}.",
    "{show} the {a} for every one of the {ts} {c} {both} {d}.",
)
def _two_conditions(scene: Scene) -> Draft:
    table, both = scene.table(), scene.pick(("AND", "OR"))
    row = scene.pick(scene.world.rows[table.name])
    c = scene.condition(table, row=row)
    d = scene.condition(table, c.field, row=row if both == "AND" else None)
    a = scene.shown(table, c.field, d.field)
    plain = f"SELECT {a.name} FROM {table.name}"
    parts = [f"{plain} WHERE {cond.sql()}" for cond in (c, d)]
    return scene.draft(
        f"{parts[0]} {both} {d.sql()}",
        [a, c.field, d.field],
        differs=[plain, *parts],
        a=Mention(a),
        ts=table.plural,
        c=c,
        d=d,
        both=both.lower(),
    )


@_kind(
    "medium",
    "{show} the {a} of {ts} {cond}.",
    "What {be} the {a} of the {ts} {cond}?",
    "For all {ts} {cond}, show the {a}.",
    "{show} the {a} for every one of the {ts} {cond}.",
)
def _like(scene: Scene) -> Draft:
    table = scene.table()
    field = scene.label(table)
    first, last = str(scene.pick(scene.world.rows[table.name])[field.name]).split(" ")
    start = scene.coin()
    cond = Condition(field, "starts" if start else "contains", (first if start else last,))
    a = scene.field(table, *scene.rng.choice([(), (field,)]))
    plain = f"SELECT {a.name} FROM {table.name}"
    return scene.draft(
        f"{plain} WHERE {cond.sql()}",
        [a, field],
        differs=[plain],
        a=Mention(a),
        ts=table.plural,
        cond=cond,
    )


@_kind(
    "medium",
    "How many {ts} are there for each {a}?",
    "{show} each {a} with its number of {ts}.",
    "For each {a}, count the {ts} that have it.",
    "{show} every {a} and how many {ts} have it.",
)
def _group_count(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.category(table)
    return scene.draft(
        f"SELECT {a.name}, COUNT(*) FROM {table.name} GROUP BY {a.name}",
        [a],
        a=Mention(a),
        ts=table.plural,
    )


@_kind(
    "medium",
    "What is the {stat} of {ts} for each {a}?",
    "{show} each {a} with the {stat} of its {ts}.",
    "For each {a}, show the {stat} of the {ts}.",
    "{show} every {a} and the {stat} of {ts} for it.",
)
def _group_aggregate(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.category(table)
    stat = Statistic(scene.pick(FUNCTIONS), scene.measure(table))
    sql = f"SELECT {a.name}, {stat.sql()} FROM {table.name} GROUP BY {a.name}"
    return scene.draft(sql, [a, stat.field], a=Mention(a), stat=stat, ts=table.plural)


@_kind(
    "medium",
    "{show} the {a} of the {top}.",
    "What {be} the {a} of the {top}?",
    "For the {top}, show me the {a}.",
    "I want the {a} of the {top}.",
)
def _top(scene: Scene) -> Draft:
    table = scene.table()
    top = scene.top(table)
    a = scene.shown(table, top.field)
    return scene.ranked(f"SELECT {a.name} FROM {table.name}", top, [a, top.field], a=Mention(a))


@_kind(
    "medium",
    "{show} the {a} of {path} {cond}.",
    "What {be} the {a} of the {path} {cond}?",
    "For all {path} {cond}, show the {a}.",
    "{show} the {a} for every one of the {path} {cond}.",
)
def _join_filter(scene: Scene) -> Draft:
    child, parent = scene.pair(down=False)
    cond, a = scene.condition(parent), scene.shown(child)
    plain = f"SELECT T1.{a.name} FROM {join(child, parent)}"
    return scene.draft(
        f"{plain} WHERE {cond.sql('T2.')}",
        [a, cond.field],
        differs=[plain],
        a=Mention(a),
        path=Path((child, parent)),
        cond=cond,
    )


@_kind(
    "medium",
    "How many {path} {cond} are there?",
    "Count the number of {path} {cond}.",
    "What is the number of {path} {cond}?",
    "{show} the number of {path} {cond}.",
)
def _join_count(scene: Scene) -> Draft:
    child, parent = scene.pair(down=False)
    cond = scene.condition(parent)
    plain = f"SELECT COUNT(*) FROM {join(child, parent)}"
    return scene.draft(
        f"{plain} WHERE {cond.sql('T2.')}",
        [cond.field],
        differs=[plain],
        path=Path((child, parent)),
        cond=cond,
    )


# --- hard: three clauses, or one nested query or set operation -----------------------------------


@_kind(
    "hard",
    "Which {a} is the {most} common among the {ts}?",
    "{show} the {most} common {a} of all {ts}.",
    "What is the {most} frequent {a} of the {ts}?",
    "{show} the {a} that the {ts} have {most} often.",
)
def _group_top(scene: Scene) -> Draft:
    table = scene.table()
    a, most = scene.category(table), scene.coin()
    groups = f"FROM {table.name} GROUP BY {a.name}"
    order = f"ORDER BY COUNT(*){' DESC' if most else ''} LIMIT"
    return scene.draft(
        f"SELECT {a.name} {groups} {order} 1",
        [a],
        distinct=[f"SELECT COUNT(*) {groups} {order} 2"],
        differs=[f"SELECT {a.name} {groups}"],
        a=Mention(a),
        ts=table.plural,
        most="most" if most else "least",
    )


@_kind(
    "hard",
    "{show} the {a} of {ps} without any {cs}.",
    "Which {ps} have no {cs}? Show the {a}.",
    "What {be} the {a} of {ps} that have no {cs}?",
    "For all {ps} without {cs}, show the {a}.",
)
def _without(scene: Scene) -> Draft:
    parent, child = scene.pair(down=True)
    a = scene.shown(parent)
    inner = f"SELECT {link(parent.name)} FROM {child.name}"
    return scene.draft(
        f"SELECT {a.name} FROM {parent.name} WHERE id NOT IN ({inner})",
        [a],
        a=Mention(a),
        ps=parent.plural,
        cs=child.plural,
    )


@_kind(
    "hard",
    "{show} the {a} of {ps} that have {some} {cs} {cond}.",
    "Which {ps} have {some} {cs} {cond}? Show the {a}.",
    "What {be} the {a} of {ps} with {some} {cs} {cond}?",
    "For {ps} that have {some} {cs} {cond}, show the {a}.",
)
def _nested_in(scene: Scene) -> Draft:
    parent, child = scene.pair(down=True)
    cond, a, some = scene.condition(child), scene.shown(parent), scene.coin()
    key, outer = link(parent.name), f"SELECT {a.name} FROM {parent.name}"
    test = f"WHERE id {'IN' if some else 'NOT IN'}"
    inner = f"SELECT {key} FROM {child.name}"
    return scene.draft(
        f"{outer} {test} ({inner} WHERE {cond.sql()})",
        [a, cond.field],
        differs=[outer, f"{outer} {test} ({inner})"],
        a=Mention(a),
        ps=parent.plural,
        cs=child.plural,
        cond=cond,
        some=scene.pick(("some", "any of the")) if some else "no",
    )


@_kind(
    "hard",
    "{show} the {a} of {ts} with {m} {side} the average.",
    "Which {ts} have {m} {side} the average? Show the {a}.",
    "What {be} the {a} of {ts} that have {m} {side} the average?",
    "For all {ts} with {m} {side} the average, show the {a}.",
)
def _average(scene: Scene) -> Draft:
    table = scene.table()
    m, above = scene.measure(table), scene.coin()
    a = scene.shown(table, m)
    return scene.draft(
        f"SELECT {a.name} FROM {table.name} WHERE {_beside_average(m, table.name, above)}",
        [a, m],
        a=Mention(a),
        m=Mention(m),
        ts=table.plural,
        side="above" if above else "below",
    )


@_kind(
    "hard",
    "Which {a} values do {ts} {c} and {ts} {d} have in common?",
    "{show} the {a} shared by {ts} {c} and {ts} {d}.",
    "What {a} has both {ts} {c} and {ts} {d}?",
    "{show} each {a} found for {ts} {c} and also for {ts} {d}.",
)
def _intersect(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.category(table)
    c = scene.condition(table, a)
    d = _rival(scene, c, table)
    part = f"SELECT {a.name} FROM {table.name} WHERE "
    alone = [f"SELECT DISTINCT {a.name} FROM {table.name} WHERE {cond.sql()}" for cond in (c, d)]
    return scene.draft(
        f"{part}{c.sql()} INTERSECT {part}{d.sql()}",
        [a, c.field, d.field],
        differs=alone,
        a=Mention(a),
        ts=table.plural,
        c=c,
        d=d,
    )


@_kind(
    "hard",
    "Which {a} values have no {ts} {c}?",
    "{show} each {a} that does not occur among {ts} {c}.",
    "{show} every {a} of the {ts} except those of {ts} {c}.",
    "What {a} values are never found for {ts} {c}?",
)
def _except(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.category(table)
    cond = scene.condition(table, a)
    part = f"SELECT {a.name} FROM {table.name}"
    return scene.draft(
        f"{part} EXCEPT {part} WHERE {cond.sql()}",
        [a, cond.field],
        differs=[f"SELECT DISTINCT {a.name} FROM {table.name}"],
        a=Mention(a),
        ts=table.plural,
        c=cond,
    )


# --- extra: everything beyond --------------------------------------------------------------------


@_kind(
    "extra",
    "Which {p} has the most {cs}? Show its {a}.",
    "{show} the {a} of the {p} with the most {cs}.",
    "What {be} the {a} of the {p} that has the most {cs}?",
    "{show} the {a} of the {p} with the highest number of {cs}.",
)
def _join_group_top(scene: Scene) -> Draft:
    parent, child = scene.pair(down=True)
    a = scene.shown(parent)
    source = f"FROM {join(parent, child)} GROUP BY T1.id ORDER BY COUNT(*) DESC LIMIT"
    return scene.draft(
        f"SELECT T1.{a.name} {source} 1",
        [a],
        distinct=[f"SELECT COUNT(*) {source} 2"],
        a=Mention(a),
        p=parent.singular,
        cs=child.plural,
    )


@_kind(
    "extra",
    "Which {a} is the most common among {ts} {cond}?",
    "{show} the most common {a} of {ts} {cond}.",
    "What is the most frequent {a} of the {ts} {cond}?",
    "{show} the {a} that {ts} {cond} have most often.",
)
def _filter_group_top(scene: Scene) -> Draft:
    table = scene.table()
    a = scene.category(table)
    cond = scene.condition(table, a)
    groups = f"FROM {table.name} WHERE {cond.sql()} GROUP BY {a.name}"
    order = "ORDER BY COUNT(*) DESC LIMIT"
    return scene.draft(
        f"SELECT {a.name} {groups} {order} 1",
        [a, cond.field],
        distinct=[f"SELECT COUNT(*) {groups} {order} 2"],
        differs=[f"SELECT {a.name} {groups}"],
        a=Mention(a),
        ts=table.plural,
        cond=cond,
    )


@_kind(
    "extra",
    "{show} the {a} and {b} of {ts} with {m} {side} the average.",
    "Which {ts} have {m} {side} the average? Show the {a} and {b}.",
    "What are the {a} and {b} of {ts} that have {m} {side} the average?",
    "For all {ts} with {m} {side} the average, show the {a} and {b}.",
)
def _average_two_columns(scene: Scene) -> Draft:
    table = scene.table()
    m, above = scene.measure(table), scene.coin()
    a = scene.shown(table)
    b = scene.field(table, a)
    test = _beside_average(m, table.name, above)
    return scene.draft(
        f"SELECT {a.name}, {b.name} FROM {table.name} WHERE {test}",
        [a, b, m],
        a=Mention(a),
        b=Mention(b),
        m=Mention(m),
        ts=table.plural,
        side="above" if above else "below",
    )


@_kind(
    "extra",
    "{show} the {a} and {b} of {ps} without any {cs}.",
    "Which {ps} have no {cs}? Show the {a} and {b}.",
    "What are the {a} and {b} of {ps} that have no {cs}?",
    "For all {ps} without {cs}, show the {a} and the {b}.",
)
def _without_two_columns(scene: Scene) -> Draft:
    parent, child = scene.pair(down=True)
    a = scene.shown(parent)
    b = scene.field(parent, a)
    inner = f"SELECT {link(parent.name)} FROM {child.name}"
    return scene.draft(
        f"SELECT {a.name}, {b.name} FROM {parent.name} WHERE id NOT IN ({inner})",
        [a, b],
        a=Mention(a),
        b=Mention(b),
        ps=parent.plural,
        cs=child.plural,
    )


def _beside_average(m: Field, table: str, above: bool) -> str:
    return f"{m.name} {'>' if above else '<'} (SELECT AVG({m.name}) FROM {table})"


def _rival(scene: Scene, first: Condition, table: Entity) -> Condition:
    """Another condition on the same column; there need not be a row that meets both."""
    others = [field for field in table.fields if field is not first.field]
    found = scene.condition(table, *others)
    if found.sql() == first.sql():
        raise Misfit(scene.kind)
    return found
