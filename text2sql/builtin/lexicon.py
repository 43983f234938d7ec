"""The words of the built-in benchmark: column fields with their values, and pools of nouns.

Hand-designed databases and randomly composed schemas use the same fields, so that a model knows the words of
a database that it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

Role = Literal["label", "category", "measure"]


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers low, low + step, ... up to high. An integer step gives an INTEGER column, else REAL."""

    low: float
    high: float
    step: float

    @property
    def sql_type(self) -> str:
        return "INTEGER" if float(self.step).is_integer() else "REAL"

    def values(self) -> list[int | float]:
        """Every number of the span, in increasing order, with at most two decimals."""
        count = round((self.high - self.low) / self.step) + 1
        numbers = [round(self.low + i * self.step, 2) for i in range(count)]
        return [int(n) for n in numbers] if self.sql_type == "INTEGER" else numbers


@dataclass(frozen=True, slots=True)
class Words:
    """Text values. `unique` values name a row: no two rows of a table have the same."""

    pool: tuple[str, ...]
    unique: bool = False

    sql_type = "TEXT"

    def values(self) -> list[str]:
        return list(self.pool)


@dataclass(frozen=True, slots=True)
class Field:
    """A column and the words for it in questions.

    `phrases` begins with the column's own words; the others are synonyms. `more` and `less` compare ("older
    than") and come before a number, `most` and `least` rank ("oldest") and come before a noun.
    """

    name: str
    content: Span | Words
    phrases: tuple[str, ...]
    more: str = ""
    less: str = ""
    most: str = ""
    least: str = ""

    @property
    def role(self) -> Role:
        """Whether the column names its row (label), groups rows (category) or has numbers (measure)."""
        if isinstance(self.content, Span):
            return "measure"
        return "label" if self.content.unique else "category"

    def words(self) -> set[str]:
        """All words for the column; two columns of one table must have none in common."""
        words = {*self.phrases, self.more, self.less, self.most, self.least}
        return words - {""}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    """
    Ada Anna Carl Dora Emil Eva Hugo Ida Jack Leo Lily Max Nina Otto Paul Rosa
    """
)
LAST_NAMES = _words(
    """
    Beck Berg Blake Cole Diaz Ford Fox Gray Hale Hill King Lane Moore Nash Reed West
    """
)
QUALITIES = _words(
    """
    Blue Bold Calm Dark Fresh Golden Grand Great Green Happy Lucky New Old Quiet Red Silver
    """
)
NAMESAKES = _words(
    """
    Bell Castle Cloud Crown Eagle Falcon Forest Garden Heart Island Lake Lion Moon River Star Storm
    """
)
PERSON_NAMES = tuple(f"{first} {last}" for first, last in product(FIRST_NAMES, LAST_NAMES))
THING_NAMES = tuple(f"{quality} {noun}" for quality, noun in product(QUALITIES, NAMESAKES))

CITIES = _words(
    """
    Bern Cairo Dublin Geneva Hanoi Lima Lisbon Madrid Milan Oslo Porto Rome Seoul Tokyo Turin Vienna
    """
)
COUNTRIES = _words(
    """
    Austria Brazil Canada Chile China Egypt France Greece India Italy Japan Kenya Mexico Norway Spain Turkey
    """
)
PLAIN_WORDS = _words(
    """
    alpha basic bronze circle classic cotton desert double empty exotic flat formal grain honey
    ivory lemon local lunar matte mint modern olive pepper plain polar private rural salty simple
    solar spare spicy square strong super urban wide
    """
)


def _measure(name: str, low: float, high: float, step: float, synonym: str = "", compare: str = "") -> Field:
    """A column of numbers; `compare` is "more/less/most/least", of which each part may be empty."""
    more, less, most, least = compare.split("/") if compare else ("", "", "", "")
    phrases = (name.replace("_", " "), *filter(None, [synonym]))
    return Field(name, Span(low, high, step), phrases, more, less, most, least)


def _category(name: str, values: str | tuple[str, ...], synonym: str = "") -> Field:
    pool = _words(values) if isinstance(values, str) else values
    return Field(name, Words(pool), (name.replace("_", " "), *filter(None, [synonym])))


# By the word that the designs of databases use. `person` and `thing` are both columns called `name`.
LABELS: dict[str, Field] = {
    "person": Field("name", Words(PERSON_NAMES, unique=True), ("name",)),
    "thing": Field("name", Words(THING_NAMES, unique=True), ("name",)),
    "title": Field("title", Words(THING_NAMES, unique=True), ("title",)),
}

MEASURES: dict[str, Field] = {
    field.name: field
    for field in (
        _measure("age", 18, 80, 1, "years of age", "older than/younger than/oldest/youngest"),
        _measure("area", 20, 99, 1, "surface", "larger than/smaller than/largest/smallest"),
        _measure("balance", 10, 99, 1, "money held"),
        _measure("birth_year", 1940, 2006, 1, "year of birth", "born after/born before//"),
        _measure("budget", 50, 99, 1, "funds"),
        _measure("building_year", 1900, 2020, 1, "year of construction", "built after/built before//"),
        _measure("capacity", 40, 99, 1, "number of places"),
        _measure("copies", 1, 60, 1, "number of copies"),
        _measure("credits", 2, 30, 1, "study points"),
        _measure("days", 1, 90, 1, "number of days"),
        _measure("depth", 2, 99, 1, "", "deeper than/shallower than/deepest/shallowest"),
        _measure("diameter", 0.5, 40, 0.5, "size across"),
        _measure(
            "distance",
            20,
            99,
            1,
            "length of the way",
            "farther than/nearer than/farthest/nearest",
        ),
        _measure("duration", 10, 99, 1, "running time", "longer than/shorter than/longest/shortest"),
        _measure("fee", 10, 99, 1, "charge"),
        _measure("floor", 1, 12, 1, "storey"),
        _measure("founding_year", 1880, 2015, 1, "year of foundation", "founded after/founded before//"),
        _measure("goals", 0, 60, 1, "number of goals"),
        _measure("height", 20, 99, 1, "", "taller than/smaller than/tallest/"),
        _measure("hours", 1, 80, 1, "time worked"),
        _measure("income", 10, 99, 1, "earnings"),
        _measure("length", 10, 99, 1, "extent", "longer than/shorter than/longest/shortest"),
        _measure("magnitude", 0.1, 9.9, 0.1, "brightness"),
        _measure("mark", 10, 99, 1, "exam result"),
        _measure("mileage", 5, 99, 1, "distance driven"),
        _measure("nights", 1, 21, 1, "length of stay"),
        _measure("pages", 20, 99, 1, "number of pages"),
        _measure("population", 20, 99, 1, "number of people"),
        _measure("power", 20, 99, 1, "strength", "stronger than/weaker than/strongest/weakest"),
        _measure("price", 1.5, 99.5, 0.5, "cost", "dearer than/cheaper than/dearest/cheapest"),
        _measure("quantity", 1, 99, 1, "amount"),
        _measure("rating", 1.0, 9.9, 0.1, "review mark", "//best rated/worst rated"),
        _measure("salary", 15, 99, 1, "pay", "//best paid/worst paid"),
        _measure("score", 0, 99, 1, "points"),
        _measure("seats", 10, 99, 1, "number of seats"),
        _measure("speed", 20, 99, 1, "pace", "faster than/slower than/fastest/slowest"),
        _measure("stock", 0, 99, 1, "quantity on hand"),
        _measure("temperature", 1, 99, 1, "heat", "hotter than/colder than/hottest/coldest"),
        _measure("value", 10, 99, 1, "worth"),
        _measure("visitors", 10, 99, 1, "number of visitors"),
        _measure("weight", 2, 99, 1, "mass", "heavier than/lighter than/heaviest/lightest"),
        _measure("width", 2, 99, 1, "breadth", "wider than/narrower than/widest/narrowest"),
        _measure("year", 1960, 2024, 1, "calendar year"),
    )
}

CATEGORIES: dict[str, Field] = {
    field.name: field
    for field in (
        _category("brand", "Argo Corvo Delta Lyra Nova Solo Tempo", "make"),
        _category("city", CITIES, "town"),
        _category("color", "black blue brown gold green pink red white", "shade"),
        _category("constellation", "Aquila Draco Gemini Lyra Orion Virgo", "star group"),
        _category("country", COUNTRIES, "nation"),
        _category("day", "Monday Tuesday Wednesday Thursday Friday Saturday Sunday", "weekday"),
        _category("flour", "barley corn oat rice rye wheat", "grain"),
        _category("fuel", "diesel electric gas hybrid petrol", "kind of fuel"),
        _category("genre", "comedy crime drama fantasy history horror romance", "style"),
        _category("language", "Dutch English French German Greek Latin Spanish", "tongue"),
        _category("level", "beginner easy expert hard medium", "difficulty"),
        _category(
            "material",
            "clay copper glass iron paper steel stone wood wool",
            "substance",
        ),
        _category("month", "January March April May June July August"),
        _category("part", "brake clutch door engine lamp mirror pump", "component"),
        _category("payment", "card cash check online voucher", "way of paying"),
        _category("position", "center defender forward keeper midfield winger", "place on the team"),
        _category("region", "center coast east inland north south west", "part of the country"),
        _category("season", "autumn spring summer winter", "time of year"),
        _category("size", "huge large medium small tiny"),
        _category("specialty", "cardiac dental family heart skin sport surgery vision", "field of work"),
        _category("species", "cow duck goat goose hen horse pig sheep", "kind of animal"),
        _category("status", "active closed done late open planned", "state"),
        _category("subject", "art biology history math music physics", "topic"),
        _category("type", "basic family heavy light mixed special", "kind"),
        _category("voice", "alto bass baritone soprano tenor", "singing part"),
    )
}

# Columns of random schemas only: their names have no synonyms and must be copied exactly.
PLAIN_MEASURES: dict[str, Field] = {
    name: _measure(name, 1, 99, 1)
    for name in _words(
        """
        angle awards bonus calls clicks doors errors fines likes meals
        profit rooms rounds steps turns votes wheels
        """
    )
}
PLAIN_CATEGORIES: dict[str, Field] = {
    name: _category(name, PLAIN_WORDS)
    for name in _words(
        """
        badge code edition family format habit method mood
        motto origin phase reason sector shape symbol tag theme zone
        """
    )
}
PEOPLE = _words(
    """
    actor analyst artist astronomer author baker barber broker captain citizen client climber
    coach customer dancer dentist doctor driver farmer guest guide hunter lawyer manager
    mechanic member nurse owner painter patient pilot player poet ranger runner scout singer
    soldier sponsor student swimmer teacher tenant trader trainer vendor waiter worker
    """
)
THINGS = _words(
    """
    account airline album animal band barn beach bird book branch bread bridge cabin camp car
    carpet cave channel clock club comet course crater depot dock drum film firm forest gallery
    garden guitar hall harbor hive island kitchen lake laptop lift mall medal mill moon
    mountain novel opera painting panel phone pipe plane poem port printer project resort river
    rocket room server ship shop song soup stadium star station store tank telescope temple
    theater tower tractor tram truck turbine village ward
    """
)
EVENTS = _words(
    """
    accident alarm award booking cargo contest contract dive enrollment exam feeding flight
    hike interview lecture loan meeting message observation performance purchase recital repair
    report review sale screening session shift ticket tour upgrade visit wedding
    """
)


def other_case(text: str) -> str:
    """A text in small letters; one that is already, with capitals: "Oslo" and "oslo", "honey" and "Honey"."""
    return text.lower() if text != text.lower() else text.title()


SPOKEN = {
    other_case(text): text
    for field in (*LABELS.values(), *CATEGORIES.values(), *PLAIN_CATEGORIES.values())
    for text in field.content.values()
    if isinstance(text, str)
}
"""Texts of columns in other letters, as questions have them."""


def plural(noun: str) -> str:
    """The English plural of a noun of the lexicon (spaces allowed; the last word changes)."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith(("s", "x", "ch", "sh", "go")):
        return noun + "es"
    return noun + "s"
