"""The hand-designed databases. Those marked unseen have test questions and no training rows."""

from __future__ import annotations

from text2sql.builtin.domain import Domain, entity

SEEN: tuple[Domain, ...] = (
    Domain(
        "clinic",
        (
            entity("doctor", 30, "person specialty salary"),
            entity("patient", 80, "person city birth_year"),
            entity("visit", 150, "day fee duration", "doctor patient"),
        ),
    ),
    Domain(
        "library",
        (
            entity("author", 30, "person country birth_year"),
            entity("book", 90, "title genre pages", "author"),
            entity("member", 50, "person city age"),
            entity("loan", 150, "days status", "book member"),
        ),
    ),
    Domain(
        "bakery",
        (
            entity("baker", 12, "person age salary"),
            entity("bread", 40, "thing flour price weight", "baker"),
            entity("sale", 160, "day quantity payment", "bread"),
        ),
    ),
    Domain(
        "league",
        (
            entity("stadium", 16, "thing city capacity"),
            entity("club", 20, "thing founding_year budget", "stadium"),
            entity("player", 120, "person position age goals", "club"),
            entity("coach", 18, "person country salary", "club"),
        ),
    ),
    Domain(
        "airport",
        (
            entity("airline", 12, "thing country founding_year"),
            entity("plane", 40, "thing seats building_year", "airline"),
            entity("pilot", 36, "person age hours", "airline"),
            entity("flight", 150, "city distance status", "plane pilot"),
        ),
    ),
    Domain(
        "farm",
        (
            entity("barn", 14, "thing area building_year"),
            entity("animal", 110, "thing species weight", "barn"),
            entity("worker", 20, "person age salary"),
            entity("feeding", 140, "season quantity", "animal worker"),
        ),
    ),
    Domain(
        "school",
        (
            entity("teacher", 20, "person subject salary"),
            entity("course", 36, "title level credits", "teacher"),
            entity("student", 90, "person city age"),
            entity("enrollment", 180, "year mark", "student course"),
        ),
    ),
    Domain(
        "cinema",
        (
            entity("film", 60, "title genre duration rating"),
            entity("hall", 12, "thing capacity floor"),
            entity("screening", 140, "day price visitors", "film hall"),
        ),
    ),
    Domain(
        "garage",
        (
            entity("owner", 40, "person city income"),
            entity("car", 60, "brand color mileage", "owner"),
            entity("mechanic", 12, "person age salary"),
            entity("repair", 130, "part price hours", "car mechanic"),
        ),
    ),
    Domain(
        "bank",
        (
            entity("branch", 18, "thing city founding_year"),
            entity("customer", 70, "person country income"),
            entity("account", 120, "type status balance", "branch customer"),
        ),
    ),
    Domain(
        "gym",
        (
            entity("trainer", 16, "person specialty age"),
            entity("client", 70, "person city weight"),
            entity("session", 150, "day fee duration", "trainer client"),
        ),
    ),
)

UNSEEN: tuple[Domain, ...] = (
    Domain(
        "museum",
        (
            entity("artist", 40, "person country birth_year"),
            entity("gallery", 12, "thing floor area"),
            entity("painting", 110, "title year value", "artist gallery"),
        ),
        unseen=True,
    ),
    Domain(
        "hotel",
        (
            entity("guest", 70, "person country age"),
            entity("room", 40, "thing floor price size"),
            entity("booking", 150, "month nights payment", "guest room"),
        ),
        unseen=True,
    ),
    Domain(
        "observatory",
        (
            entity("telescope", 14, "thing building_year diameter"),
            entity("astronomer", 30, "person country age"),
            entity("star", 60, "thing constellation distance"),
            entity("observation", 150, "season hours", "telescope astronomer star"),
        ),
        unseen=True,
    ),
    Domain(
        "shipping",
        (
            entity("port", 20, "thing country capacity"),
            entity("ship", 50, "thing type length speed", "port"),
            entity("cargo", 130, "material weight value", "ship"),
        ),
        unseen=True,
    ),
    Domain(
        "choir",
        (
            entity("singer", 40, "person voice age"),
            entity("song", 50, "title language duration"),
            entity("performance", 140, "city year score", "singer song"),
        ),
        unseen=True,
    ),
)

DATABASES: tuple[Domain, ...] = SEEN + UNSEEN
