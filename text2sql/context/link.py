"""Chooses the tables and columns of a schema that a question needs, by the words of their names.

A column counts by how many words of its name the question has, by its table, and by the values found in it.
Not covered: synonyms and paraphrases of a name, unless a value in the column is named.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence

from rapidfuzz import fuzz

from text2sql.context.words import STOP_WORDS, Word, name_words
from text2sql.schema.model import Place, Schema

_SIMILAR = 85.0  # percent, of a word of a name and one of the question
_PREFIX, _PART, _NEAR = 0.7, 0.6, 0.8  # what is counted for a word that is not the same
_TABLE, _HINT, _MENTIONED = 0.5, 1.0, 0.3


def places(schema: Schema) -> frozenset[Place]:
    """All columns of a schema."""
    return frozenset((t.name.lower(), column.name.lower()) for t in schema.tables for column in t.columns)


class Linker:
    """Ranks the columns of one schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.places = places(schema)
        self.names = {word for table in schema.tables for word in name_words(table.name)}
        self.names |= {w for table in schema.tables for c in table.columns for w in name_words(c.name)}
        self._graph = _graph(schema)
        self._primary = {t.name.lower(): [name.lower() for name in t.primary_key] for t in schema.tables}

    def scores(
        self, words: Sequence[Word], hinted: Mapping[Place, float] | None = None
    ) -> dict[Place, float]:
        """How well each column fits a question.

        `hinted`: the columns in which values were found, with the quality (0 to 1) of the best one.
        """
        found_in = hinted or {}
        asked = [word.stem for word in words if word.folded not in STOP_WORDS or word.stem in _NAMING]
        matched: dict[str, float] = {}
        found: dict[Place, float] = {}
        for table in self.schema.tables:
            of_table = _mean(name_words(table.name), asked, matched)
            columns = {c.name.lower(): _mean(name_words(c.name), asked, matched) for c in table.columns}
            of_table += _MENTIONED * max(columns.values(), default=0.0)
            for name, of_column in columns.items():
                place = (table.name.lower(), name)
                found[place] = of_column + _TABLE * of_table + _HINT * found_in.get(place, 0.0)
        return found

    def cut(self, scores: Mapping[Place, float], budget: int) -> Schema:
        """The schema with at most `budget` columns, best first, and the keys that join their tables.

        A column comes with the primary key of its table and with all keys on the shortest way to the tables
        chosen before; where that exceeds the budget, the column is passed over. So a joined table is never
        shown without its keys. Only the first column is taken whatever it brings.
        """
        chosen: set[Place] = set()
        for place in sorted(scores, key=lambda one: -scores[one]):
            if len(chosen) >= budget:
                break
            more = chosen | self._with_keys(place, chosen)
            if len(more) <= budget or not chosen:
                chosen = more
        return self.schema.only(chosen)

    def _with_keys(self, place: Place, chosen: Collection[Place]) -> set[Place]:
        table, tables = place[0], {one for one, _ in chosen}
        found = {place}
        if table in tables:
            return found
        path = self._path(table, tables)
        for step in {table, *path}:
            found |= {(step, name) for name in self._primary[step]}
        for one in {table, *path}:
            for other, pairs in self._graph[one].items():
                if other in tables or other in path or other == table:
                    found |= pairs
        return found

    def _path(self, table: str, targets: Collection[str]) -> list[str]:
        """The tables on the shortest way from a table to one of `targets`; none if there is no way."""
        before: dict[str, str] = {table: table}
        queue = deque([table])
        while queue and targets:
            one = queue.popleft()
            if one in targets:
                path = [one]
                while path[-1] != table:
                    path.append(before[path[-1]])
                return path
            for other in self._graph[one]:
                if other not in before:
                    before[other] = one
                    queue.append(other)
        return []


_NAMING = frozenset(("name", "id", "type", "number", "average", "total", "year", "order", "value", "sex"))


def _graph(schema: Schema) -> defaultdict[str, dict[str, set[Place]]]:
    """For each table those that keys join it with, and the columns of these keys."""
    columns = places(schema)
    graph: defaultdict[str, dict[str, set[Place]]] = defaultdict(dict)
    for table in schema.tables:
        for key in table.foreign_keys:
            one, other = table.name.lower(), key.table.lower()
            pairs = {(one, name.lower()) for name in key.columns}
            pairs |= {(other, name.lower()) for name in key.references}
            if pairs <= columns and one != other:
                graph[one].setdefault(other, set()).update(pairs)
                graph[other].setdefault(one, set()).update(pairs)
    return graph


def _mean(names: Sequence[str], asked: Sequence[str], matched: dict[str, float]) -> float:
    """The mean over the words of a name of how well the question has each."""
    for name in names:
        if name not in matched:
            matched[name] = max((_match(name, word) for word in asked), default=0.0)
    return sum(matched[name] for name in names) / len(names) if names else 0.0


def _match(name: str, word: str) -> float:
    if name == word:
        return 1.0
    short, long = sorted((name, word), key=len)
    if len(short) >= 3 and long.startswith(short):
        return _PREFIX
    if len(short) >= 3 and name == short and _abbreviates(short, long):
        return _PART
    if len(word) >= 4 and word in name:
        return _PART
    return _NEAR if len(short) >= 4 and fuzz.ratio(name, word, score_cutoff=_SIMILAR) else 0.0


def _abbreviates(short: str, long: str) -> bool:
    """Whether a word of twice the length has its letters in their order, as quantity has qty."""
    rest = iter(long)
    return short[0] == long[0] and 2 * len(short) <= len(long) and all(letter in rest for letter in short)
