"""The parts of a question that have several wordings: columns, conditions, rankings, joins."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from text2sql.builtin.domain import Entity, Value
from text2sql.builtin.lexicon import SPOKEN, Field

SHOW = ("Show", "List", "Give", "Find", "Return")
CONDITIONS: dict[str, tuple[str, ...]] = {
    "=": ("whose {a} {be} {v}", "with {a} {v}", "having {v} as {a}", "that have {a} {v}"),
    "!=": (
        "whose {a} {be} not {v}",
        "with {a} other than {v}",
        "with any {a} except {v}",
        "whose {a} {be} anything but {v}",
    ),
    ">": (
        "with {a} above {v}",
        "whose {a} {be} more than {v}",
        "with {a} over {v}",
        "whose {a} {be} greater than {v}",
    ),
    "<": (
        "with {a} below {v}",
        "whose {a} {be} less than {v}",
        "with {a} under {v}",
        "whose {a} {be} lower than {v}",
    ),
    ">=": (
        "with {a} of at least {v}",
        "whose {a} {be} at least {v}",
        "with {a} of {v} or more",
        "whose {a} {be} not below {v}",
    ),
    "<=": (
        "with {a} of at most {v}",
        "whose {a} {be} at most {v}",
        "with {a} of {v} or less",
        "whose {a} {be} not above {v}",
    ),
    "BETWEEN": (
        "with {a} between {v} and {w}",
        "whose {a} {be} in the range from {v} to {w}",
        "with {a} from {v} to {w}",
        "whose {a} {be} between {v} and {w}",
    ),
    "starts": (
        "whose {a} starts with {v}",
        "with {a} starting with {v}",
        "whose {a} begins with {v}",
        "with {a} beginning with {v}",
    ),
    "contains": (
        "whose {a} contains {v}",
        "with {v} in the {a}",
        "with {a} containing {v}",
        "whose {a} includes {v}",
    ),
}
LIKE = {"starts": "{}%", "contains": "%{}%"}
HIGHEST, LOWEST = ("highest", "greatest", "largest"), ("lowest", "smallest", "least")
STATISTICS = {
    "AVG": ("average {a}", "mean {a}"),
    "MAX": tuple(f"{word} {{a}}" for word in (*HIGHEST[:2], "maximum")),
    "MIN": tuple(f"{word} {{a}}" for word in (*LOWEST[:2], "minimum")),
    "SUM": ("total {a}", "sum of {a}", "combined {a}"),
}


class Slot(Protocol):
    """A part of a question. With `indirect` it is said in other words than the column's own."""

    def say(self, rng: random.Random, indirect: bool) -> str: ...


def spoken(value: Value) -> Value:
    """A value as questions have it: in the lexicon's letters, whatever those of the column are."""
    return SPOKEN.get(value, value) if isinstance(value, str) else value


def literal(value: Value) -> str:
    """A value as it is written in SQL and in questions: text in single quotes."""
    return f"'{value}'" if isinstance(value, str) else str(value)


def verb(phrase: str) -> str:
    """The word after a column's phrase: "hours are", "years of age are", "status is"."""
    head = phrase.partition(" of ")[0]
    return "are" if head.endswith("s") and not head.endswith(("ss", "us")) else "is"


@dataclass(frozen=True, slots=True)
class Mention:
    """A column."""

    field: Field

    def say(self, rng: random.Random, indirect: bool) -> str:
        own, *synonyms = self.field.phrases
        return rng.choice(synonyms) if indirect and synonyms else own


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one column; its words follow a noun: "whose city is 'Oslo'"."""

    field: Field
    operator: str
    values: tuple[Value, ...]

    def sql(self, alias: str = "") -> str:
        column = alias + self.field.name
        first, *rest = map(literal, self.values)
        if self.operator in LIKE:
            return f"{column} LIKE {literal(LIKE[self.operator].format(self.values[0]))}"
        if rest:
            return f"{column} BETWEEN {first} AND {rest[0]}"
        return f"{column} {self.operator} {first}"

    def say(self, rng: random.Random, indirect: bool) -> str:
        first, *rest = map(literal, map(spoken, self.values))
        compare = {">": self.field.more, "<": self.field.less}.get(self.operator)
        if indirect and compare:
            return f"{compare} {first}"
        column = Mention(self.field).say(rng, indirect)
        template = rng.choice(CONDITIONS[self.operator])
        return template.format(a=column, be=verb(column), v=first, w=rest[0] if rest else "")


@dataclass(frozen=True, slots=True)
class Statistic:
    """An aggregate of a column: "average price"."""

    function: str
    field: Field

    def sql(self, alias: str = "") -> str:
        return f"{self.function}({alias}{self.field.name})"

    def say(self, rng: random.Random, indirect: bool) -> str:
        return rng.choice(STATISTICS[self.function]).format(a=Mention(self.field).say(rng, indirect))


@dataclass(frozen=True, slots=True)
class Extreme:
    """Rows ranked by a column, with their noun: "3 oldest players"."""

    table: Entity
    field: Field
    descending: bool
    count: int

    def say(self, rng: random.Random, indirect: bool) -> str:
        one = self.count == 1
        number, noun = ("", self.table.singular) if one else (f"{self.count} ", self.table.plural)
        word = self.field.most if self.descending else self.field.least
        if indirect and word:
            return f"{number}{word} {noun}"
        column = Mention(self.field).say(rng, indirect)
        extreme = rng.choice(HIGHEST if self.descending else LOWEST)
        link = rng.choice(("with", "of", "that has" if one else "that have"))
        return f"{number}{noun} {link} the {extreme} {column}"


@dataclass(frozen=True, slots=True)
class Ordering:
    """An order without a limit: "sorted by price from low to high"."""

    field: Field
    descending: bool

    @property
    def suffix(self) -> str:
        return " DESC" if self.descending else ""

    def say(self, rng: random.Random, indirect: bool) -> str:
        column = Mention(self.field).say(rng, indirect)
        up, down = ("a to z", "z to a") if self.field.role == "label" else ("low to high", "high to low")
        way, direction = (down, "descending") if self.descending else (up, "ascending")
        template = rng.choice(
            (
                f"sorted by {column} from {way}",
                f"in {direction} order of {column}",
                f"ordered by {column} from {way}",
                f"sorted by {direction} {column}",
            )
        )
        return template


@dataclass(frozen=True, slots=True)
class Path:
    """Joined tables as a chain of plurals: "fees of visits of doctors", "guests with bookings"."""

    tables: tuple[Entity, ...]

    def say(self, rng: random.Random, indirect: bool) -> str:
        words = self.tables[0].plural
        for left, right in pairwise(self.tables):
            down = left.name in right.parents
            links = ("with", "that have", "linked to") if down else ("of", "that belong to", "from")
            words += f" {rng.choice(links)} {right.plural}"
        return words
