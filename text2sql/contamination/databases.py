"""Test databases whose schema a training row's schema equals, contains or is contained in."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from text2sql.contamination.folding import Signature, words


class TestDatabases:
    """An index of the test databases: the distinct schema signatures of the test questions, by column."""

    __test__ = False  # keeps pytest from collecting this class

    def __init__(self, signatures: Sequence[Signature]) -> None:
        """`signatures`: one for each test question; questions are numbered from 0 in that order."""
        self._places: dict[Signature, list[int]] = {}
        for place, signature in enumerate(signatures):
            self._places.setdefault(signature, []).append(place)
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

    def _find(self, signature: Signature) -> list[tuple[Signature, float]]:
        shared = {other for pair in signature for other in self._by_pair.get(pair, ())}
        nested = [other for other in shared if other <= signature or signature <= other]
        scored = [(other, len(other & signature) / len(other | signature)) for other in nested]
        return sorted(scored, key=lambda pair: (-pair[1], self._places[pair[0]][0]))
