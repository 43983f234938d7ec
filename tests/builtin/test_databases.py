"""The hand-designed databases and the random ones are valid, and use the same words."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.builtin.databases import DATABASES, SEEN, UNSEEN
from text2sql.builtin.domain import Domain, Entity, World, link, write_sqlite
from text2sql.builtin.lexicon import (
    CATEGORIES,
    EVENTS,
    LABELS,
    MEASURES,
    PEOPLE,
    PLAIN_CATEGORIES,
    PLAIN_MEASURES,
    SPOKEN,
    THINGS,
    plural,
)
from text2sql.builtin.phrases import spoken
from text2sql.builtin.random_schemas import compose
from text2sql.schema.ddl import read_ddl
from text2sql.schema.sqlite import read_sqlite

KNOWN_FIELDS = {*LABELS.values(), *MEASURES.values(), *CATEGORIES.values()}


def _random_domains(count: int = 200) -> Iterator[Domain]:
    return (compose(random.Random(f"test:{number}")) for number in range(count))


def _world(domain: Domain) -> World:
    return World(domain, random.Random(domain.id))


def test_a_text_in_other_letters_is_that_of_one_value_only() -> None:
    texts = {text for text in SPOKEN.values()}
    assert not texts & SPOKEN.keys()
    assert all(other.lower() == text.lower() for other, text in SPOKEN.items())


def test_there_are_at_least_twelve_databases_and_four_are_unseen() -> None:
    assert len({domain.id for domain in DATABASES}) == len(DATABASES) >= 12
    assert len(UNSEEN) >= 4 and all(domain.unseen for domain in UNSEEN)
    assert not any(domain.unseen for domain in SEEN)


def _is_well_designed(domain: Domain) -> bool:
    tables = domain.schema().tables
    keyed = all(table.primary_key == ("id",) for table in tables)
    return 3 <= len(tables) <= 6 and keyed and any(table.foreign_keys for table in tables)


def test_a_database_has_three_to_six_tables_with_keys() -> None:
    assert [domain.id for domain in DATABASES if not _is_well_designed(domain)] == []


def test_references_of_a_written_database_hold(tmp_path: Path) -> None:
    faults = {}
    for domain in DATABASES:
        path = tmp_path / f"{domain.id}.sqlite"
        with _world(domain) as world:
            write_sqlite(path, world)
        with closing(sqlite3.connect(path)) as connection:
            checks = ("PRAGMA foreign_key_check", "PRAGMA integrity_check")
            faults[domain.id] = [connection.execute(check).fetchall() for check in checks]
    assert {name: found for name, found in faults.items() if found != [[], [("ok",)]]} == {}


def test_a_written_database_has_the_schema_of_its_design(tmp_path: Path) -> None:
    found = {}
    for domain in DATABASES:
        path = tmp_path / f"{domain.id}.sqlite"
        with _world(domain) as world:
            write_sqlite(path, world)
            found[domain.id] = read_sqlite(path) == domain.schema() == read_ddl(world.ddl)
    assert [name for name, same in found.items() if not same] == []


def test_main_tables_have_30_to_200_rows() -> None:
    for domain in DATABASES:
        sizes = [table.size for table in domain.entities]
        assert 30 <= max(sizes) <= 200


def test_some_parents_have_no_children() -> None:
    for domain in DATABASES:
        with _world(domain) as world:
            for child in domain.entities:
                for parent in child.parents:
                    used = {row[link(parent)] for row in world.rows[child.name]}
                    assert len(used) < len(world.rows[parent])


def test_values_fit_their_columns_and_no_label_is_used_twice() -> None:
    for domain in DATABASES:
        with _world(domain) as world:
            for table in domain.entities:
                for field in table.fields:
                    values = [row[field.name] for row in world.rows[table.name]]
                    assert {spoken(value) for value in values} <= set(field.content.values())
                    assert field.role != "label" or len(set(values)) == len(values)


def test_no_two_columns_of_a_table_share_a_word_for_themselves() -> None:
    for domain in (*DATABASES, *_random_domains()):
        for table in domain.entities:
            said = [word for field in table.fields for word in field.words()]
            assert len(set(said)) == len(said), (domain.id, table.name, said)


def test_words_of_the_databases_are_in_the_pools_of_the_random_schemas() -> None:
    nouns = {*PEOPLE, *THINGS, *EVENTS}
    for domain in DATABASES:
        for table in domain.entities:
            assert table.name in nouns, table.name
            assert set(table.fields) <= KNOWN_FIELDS


def test_random_schemas_meet_every_noun_and_every_column_of_the_databases() -> None:
    met = [table for domain in _random_domains(1500) for table in domain.entities]
    names = {part for table in met for part in table.name.split("_")}
    fields = {field.name for table in met for field in table.fields}
    for table in (table for domain in DATABASES for table in domain.entities):
        assert table.name in names, table.name
        assert {field.name for field in table.fields} <= fields


def test_pools_have_many_words_and_no_word_twice() -> None:
    nouns = [*PEOPLE, *THINGS, *EVENTS]
    assert len(set(nouns)) == len(nouns) > 150
    columns = [*MEASURES, *CATEGORIES, *PLAIN_MEASURES, *PLAIN_CATEGORIES]
    assert len(set(columns)) == len(columns) > 90


def test_random_databases_have_two_to_four_linked_tables() -> None:
    for domain in _random_domains():
        assert 2 <= len(domain.entities) <= 4
        assert any(table.parents for table in domain.entities)
        assert all(table.fields for table in domain.entities)


def test_random_databases_execute_and_their_references_hold() -> None:
    for domain in _random_domains():
        with _world(domain) as world:
            assert world.run("PRAGMA foreign_key_check") == []
            assert read_ddl(world.ddl) == domain.schema()


def test_a_table_name_never_names_a_column_beside_it() -> None:
    for domain in _random_domains():
        names = {table.name for table in domain.entities}
        columns = {field.name for table in domain.entities for field in table.fields}
        assert not names & columns


def test_a_database_file_replaces_an_older_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"no database")
    with _world(DATABASES[0]) as world:
        write_sqlite(path, world)
    assert read_sqlite(path) == DATABASES[0].schema()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("doctor", "doctors"),
        ("gallery", "galleries"),
        ("day", "days"),
        ("branch", "branches"),
        ("bus", "buses"),
        ("cargo", "cargoes"),
        ("home address", "home addresses"),
    ],
)
def test_plurals_are_english(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_two_word_tables_are_spoken_of_with_a_blank() -> None:
    assert Entity("summer_party", ()).plural == "summer parties"


def test_a_full_disk_is_named(small_disk: Path) -> None:
    (small_disk / "fill").write_bytes(bytes(248 << 10))
    path = small_disk / "shop.sqlite"
    with pytest.raises(OSError, match="No space") as error:
        write_sqlite(path, _world(SEEN[0]))
    assert error.value.filename == str(path)
