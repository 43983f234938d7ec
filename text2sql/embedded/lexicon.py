"""The words of the built-in benchmark: column fields with their values, and pools of nouns.

Hand-designed databases and randomly composed schemas draw on the same fields, so that a model which
has never met a database has met its words.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

Role = Literal["label", "category", "measure"]


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers low, low + step, ... up to high. A whole step gives an INTEGER column, else REAL."""

    low: float
    high: float
    step: float

    @property
    def sql_type(self) -> str:
        return "INTEGER" if float(self.step).is_integer() else "REAL"

    def values(self) -> list[int | float]:
        """Every number of the span, in rising order, with at most two decimals."""
        count = round((self.high - self.low) / self.step) + 1
        numbers = [round(self.low + i * self.step, 2) for i in range(count)]
        return [int(n) for n in numbers] if self.sql_type == "INTEGER" else numbers


@dataclass(frozen=True, slots=True)
class Words:
    """Text values. `unique` values name a row: no two rows of a table share one."""

    pool: tuple[str, ...]
    unique: bool = False

    sql_type = "TEXT"

    def values(self) -> list[str]:
        return list(self.pool)


@dataclass(frozen=True, slots=True)
class Field:
    """A column and how people speak of it.

    `phrases` starts with the column's own words; the others are synonyms. `more`/`less` compare
    ("older than"), `most`/`least` rank ("oldest"); they stand before a number or a noun.
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
        """Whether the column names its row, sorts rows into groups, or counts something."""
        if isinstance(self.content, Span):
            return "measure"
        return "label" if self.content.unique else "category"

    def words(self) -> set[str]:
        """Every way to speak of the column: two columns of one table must share none."""
        spoken = {*self.phrases, self.more, self.less, self.most, self.least}
        return spoken - {""}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    """
    Ada Anna Axel Ben Carl Cleo Dan Dora Eli Emil Eva Finn Gina Hugo Ida Ivan Jack Jill Karl
    Kim Leo Lily Max Mia Nina Olga Otto Paul Rosa Sara Tom Uma
    """
)
LAST_NAMES = _words(
    """
    Bauer Beck Berg Blake Bond Brook Cole Cruz Dale Diaz Ford Fox Frost Gray Hale Hart Hill
    Holm Hunt King Lane Lind Marsh Moore Nash Park Pike Quinn Reed Rice Shaw Stone Todd Vega
    Wade West Wolf
    """
)
QUALITIES = _words(
    """
    Amber Blue Bold Bright Calm Clear Dark Fair Fast Fresh Golden Grand Great Green Happy High
    Iron Little Long Lucky New Noble Old Open Proud Quiet Red Royal Silver Small Sweet Swift
    Tall Warm White Wild Young
    """
)
NAMESAKES = _words(
    """
    Anchor Apple Arrow Bear Bell Castle Cedar Cloud Comet Crane Crown Dawn Deer Dream Eagle
    Falcon Feather Flame Forest Garden Harbor Hawk Heart Island Lake Leaf Light Lion Maple
    Meadow Moon Oak Ocean Owl Palm Pearl Pine Rain River Rose Sail Shadow Sky Snow Star Storm
    Sun Tiger Tower Tulip Valley Wave Willow Wind Winter
    """
)
PERSON_NAMES = tuple(f"{first} {last}" for first, last in product(FIRST_NAMES, LAST_NAMES))
THING_NAMES = tuple(f"{quality} {noun}" for quality, noun in product(QUALITIES, NAMESAKES))

CITIES = _words(
    """
    Bern Bonn Boston Cairo Cork Delhi Dover Dublin Geneva Hanoi Lima Lisbon Lyon Madrid Milan
    Nice Oslo Porto Riga Rome Seoul Tokyo Turin Vienna
    """
)
COUNTRIES = _words(
    """
    Austria Brazil Canada Chile China Cuba Egypt France Ghana Greece India Italy Japan Kenya
    Latvia Mexico Norway Peru Poland Spain Sweden Turkey
    """
)
PLAIN_WORDS = _words(
    """
    alpha basic bronze circle classic common cotton desert direct double dry dual empty exotic
    fine firm flat formal frozen full global grain honey indoor ivory jumbo lemon local loose
    loud lunar major matte mild mint mixed modern native neutral normal olive omega outdoor
    pepper plain polar private public rare regular rich rough round rural salty sharp simple
    single smooth soft solar solid spare spicy square stable strong super timber urban vital
    wet wide
    """
)


def _measure(name: str, low: float, high: float, step: float, synonym: str = "", compare: str = "") -> Field:
    """A number column; `compare` is "more/less/most/least", each part may be empty."""
    more, less, most, least = compare.split("/") if compare else ("", "", "", "")
    phrases = (name.replace("_", " "), *filter(None, [synonym]))
    return Field(name, Span(low, high, step), phrases, more, less, most, least)


def _category(name: str, values: str | tuple[str, ...], synonym: str = "") -> Field:
    pool = _words(values) if isinstance(values, str) else values
    return Field(name, Words(pool), (name.replace("_", " "), *filter(None, [synonym])))


# Keyed by the word that designs use. `person` and `thing` are both a column called `name`.
LABELS: dict[str, Field] = {
    "person": Field("name", Words(PERSON_NAMES, unique=True), ("name",)),
    "thing": Field("name", Words(THING_NAMES, unique=True), ("name",)),
    "title": Field("title", Words(THING_NAMES, unique=True), ("title",)),
}

MEASURES: dict[str, Field] = {
    field.name: field
    for field in (
        _measure("age", 18, 80, 1, "years of age", "older than/younger than/oldest/youngest"),
        _measure("area", 20, 980, 5, "surface", "larger than/smaller than/largest/smallest"),
        _measure("balance", 10, 990, 5, "money held"),
        _measure("birth_year", 1940, 2006, 1, "year of birth", "born after/born before//"),
        _measure("budget", 50, 950, 5, "funds"),
        _measure("building_year", 1900, 2020, 1, "year of construction", "built after/built before//"),
        _measure("capacity", 40, 900, 5, "number of places"),
        _measure("copies", 1, 60, 1, "number of copies"),
        _measure("credits", 2, 30, 1, "study points"),
        _measure("days", 1, 90, 1, "number of days"),
        _measure("depth", 2, 400, 2, "", "deeper than/shallower than/deepest/shallowest"),
        _measure("diameter", 0.5, 40, 0.5, "size across"),
        _measure(
            "distance",
            20,
            990,
            5,
            "length of the way",
            "farther than/nearer than/farthest/nearest",
        ),
        _measure("duration", 10, 240, 1, "running time", "longer than/shorter than/longest/shortest"),
        _measure("fee", 10, 300, 1, "charge"),
        _measure("floor", 1, 12, 1, "storey"),
        _measure("founding_year", 1880, 2015, 1, "year of foundation", "founded after/founded before//"),
        _measure("goals", 0, 60, 1, "number of goals"),
        _measure("height", 120, 260, 1, "", "taller than/smaller than/tallest/"),
        _measure("hours", 1, 80, 1, "time worked"),
        _measure("income", 10, 300, 1, "earnings"),
        _measure("length", 10, 400, 1, "extent", "longer than/shorter than/longest/shortest"),
        _measure("magnitude", 0.1, 9.9, 0.1, "brightness"),
        _measure("mark", 10, 100, 1, "exam result"),
        _measure("mileage", 5, 400, 1, "distance driven"),
        _measure("nights", 1, 21, 1, "length of stay"),
        _measure("pages", 60, 900, 4, "number of pages"),
        _measure("population", 20, 990, 5, "number of people"),
        _measure("power", 20, 500, 5, "strength", "stronger than/weaker than/strongest/weakest"),
        _measure("price", 1.5, 99.5, 0.5, "cost", "dearer than/cheaper than/dearest/cheapest"),
        _measure("quantity", 1, 120, 1, "amount"),
        _measure("rating", 1.0, 9.9, 0.1, "review mark", "//best rated/worst rated"),
        _measure("salary", 15, 240, 1, "pay", "//best paid/worst paid"),
        _measure("score", 0, 100, 1, "points"),
        _measure("seats", 10, 400, 2, "number of seats"),
        _measure("speed", 20, 900, 5, "pace", "faster than/slower than/fastest/slowest"),
        _measure("stock", 0, 400, 2, "quantity on hand"),
        _measure("temperature", 1, 99, 1, "heat", "hotter than/colder than/hottest/coldest"),
        _measure("value", 10, 990, 5, "worth"),
        _measure("visitors", 10, 990, 5, "number of visitors"),
        _measure("weight", 2, 950, 1, "mass", "heavier than/lighter than/heaviest/lightest"),
        _measure("width", 2, 300, 1, "breadth", "wider than/narrower than/widest/narrowest"),
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

# Columns that only random schemas have: names without a synonym, to be copied as they stand.
PLAIN_MEASURES: dict[str, Field] = {
    name: _measure(name, 1, 200, 1)
    for name in _words(
        """
        angle awards bonus calls clicks costs delay density doors energy errors fines gap
        layers likes limits loss margin meals noise output parts pressure profit rent risk
        rooms rounds shares signals steps supply tax tokens turns units views votes wage
        wheels
        """
    )
}
PLAIN_CATEGORIES: dict[str, Field] = {
    name: _category(name, PLAIN_WORDS)
    for name in _words(
        """
        badge category code direction division domain edition family finish flavor format
        grade habit label layout method mode model mood motto origin pattern phase profile
        purpose quality reason sector segment series shape source style symbol tag taste
        texture theme tone trait variety version zone
        """
    )
}
# No word here may read as part of an aggregate ("total", "first", "top").
PREFIXES = _words(
    """
    annual base daily final home late local main net start summer target winter work
    """
)

PEOPLE = _words(
    """
    actor agent analyst artist astronomer author baker banker barber boxer broker builder
    captain chef citizen client clerk climber coach critic customer dancer dealer dentist
    doctor donor driver editor engineer farmer guard guest guide helper hunter judge lawyer
    leader manager mechanic member miner nurse officer owner painter partner patient pilot
    player poet porter ranger reader rider runner sailor scout singer skater soldier speaker
    sponsor student surgeon swimmer tailor teacher tenant tourist trader trainer tutor vendor
    voter waiter weaver worker writer
    """
)
THINGS = _words(
    """
    account airline album animal app band bank barn beach bike bird boat book branch bread
    bridge brick cabin cake camera camp canal car carpet castle cave chair channel clip clock
    club coin college comet concert course crater crop depot desk dock dog drum engine farm
    film firm flower forest gallery game garden gate guitar gym hall harbor hat hive hotel
    house island journal kitchen lab lake lamp laptop letter lift machine magazine mall market
    medal menu mill mirror moon motor mountain museum network novel office opera painting
    palace panel park phone piano pipe plane planet plant poem pool port printer program
    project recipe resort ring river robot rocket room route school server ship shirt shop
    slope song soup stadium stamp star station statue store street studio tank team telescope
    temple tent theater tool tower toy tractor trail train tram tree truck tunnel turbine vase
    village violin ward website wine
    """
)
EVENTS = _words(
    """
    accident alarm auction award booking call cargo contest contract cruise dive donation
    enrollment exam feeding flight harvest hike interview invoice lecture lesson loan meeting
    message observation performance permit purchase race recital rental repair report review
    sale screening seminar session shift shipment ticket tour trip upgrade visit voyage
    wedding workshop
    """
)


def plural(noun: str) -> str:
    """English plural of a noun of these pools (spaces allowed; the last word changes)."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith(("s", "x", "ch", "sh", "go")):
        return noun + "es"
    return noun + "s"
