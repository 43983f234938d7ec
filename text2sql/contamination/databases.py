"""Whether a training row is on a test database: by its schema, or without one by the database's name."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from text2sql.contamination.folding import Signature, words

NO_SCHEMA: Signature = frozenset()
OTHER_SCHEMA: Signature = frozenset({("", "")})  # one that is none of the test databases


@dataclass(frozen=True, slots=True)
class Place:
    """The database of a row: its schema (NO_SCHEMA if it is not known) and its name ("" if it has none)."""

    signature: Signature
    db_id: str


def contained(one: Signature, other: Signature) -> bool:
    """Whether one of two signatures contains the other; False if one is empty."""
    return bool(one and other) and (one <= other or other <= one)


def same_database(one: Place, other: Place) -> bool | None:
    """Whether two rows are on one database; None if that is not known.

    Schemas decide, where both are known: one contains the other. Otherwise names do.
    """
    if one.signature and other.signature:
        return contained(one.signature, other.signature)
    if one.db_id and other.db_id:
        return one.db_id.casefold() == other.db_id.casefold()
    return None


class TestDatabases:
    """An index of the test databases: the distinct schemas and names of the test questions' databases."""

    __test__ = False  # keeps pytest from collecting this class

    def __init__(self, signatures: Sequence[Signature], db_ids: Sequence[str] = ()) -> None:
        """One of each for each test question; questions are numbered from 0 in that order."""
        self._signatures = list(signatures)
        self._db_ids = [db_id.casefold() for db_id in db_ids] or [""] * len(self._signatures)
        self._places: dict[Signature, list[int]] = {}
        self._by_name: dict[str, list[int]] = {}
        for at, signature in enumerate(self._signatures):
            self._places.setdefault(signature, []).append(at)
            self._by_name.setdefault(self._db_ids[at], []).append(at)
        self._by_pair: dict[tuple[str, str], list[Signature]] = {}
        for signature in self._places:
            for pair in signature:
                self._by_pair.setdefault(pair, []).append(signature)
        tables = {table for signature in self._places for table, _ in signature}
        self._words = frozenset(min(words(table), default="") for table in tables)
        self._lookup = functools.lru_cache(maxsize=65_536)(self._find)

    def may_match(self, ddl: str) -> bool:
        """False where the text names no table of the test, so that it need not be executed."""
        return "" in self._words or not self._words.isdisjoint(words(ddl))

    def similar(self, signature: Signature) -> list[tuple[Signature, float]]:
        """Test signatures that equal, contain or are contained in this one, the most similar first.

        With each the Jaccard similarity of the two sets of columns, from 0 to 1.
        """
        return self._lookup(signature)

    def places(self, signature: Signature) -> list[int]:
        """The numbers of the test questions on this database, in order."""
        return self._places[signature]

    def on_database(self, place: Place) -> list[tuple[int, float]]:
        """The test questions on the database of a row, with the similarity of the schemas; the best first.

        Without one of the two schemas the names must be equal, and the similarity is 1.
        """
        found = [(at, share) for other, share in self.similar(place.signature) for at in self._places[other]]
        named = self._by_name.get(place.db_id.casefold(), ()) if place.db_id else ()
        return found + [(at, 1.0) for at in named if not (place.signature and self._signatures[at])]

    def undecided(self, place: Place) -> list[int]:
        """The test questions of which neither schema nor name says whether they are on a row's database."""
        found: Iterable[int] = range(len(self._signatures))
        if place.signature:
            found = self._places.get(NO_SCHEMA, ())
        return [at for at in found if not (place.db_id and self._db_ids[at])]

    def _find(self, signature: Signature) -> list[tuple[Signature, float]]:
        shared = {other for pair in signature for other in self._by_pair.get(pair, ())}
        nested = [other for other in shared if other <= signature or signature <= other]
        scored = [(other, len(other & signature) / len(other | signature)) for other in nested]
        return sorted(scored, key=lambda pair: (-pair[1], self._places[pair[0]][0]))
