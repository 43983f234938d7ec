"""CREATE TABLE and ALTER TABLE statements of any database system, read for what a prompt needs.

That is names, types, keys and comments. Everything else that may be in such a statement is passed over:
defaults, checks, indexes, engines, partitions. The text is not executed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from text2sql.schema.model import Column
from text2sql.schema.script import NAME, bare

_TOKEN = re.compile(
    rf"""(?P<comment> --[^\n]* | ^[ \t]*\#[^\n]* | /\*.*?(?:\*/|\Z) )
      | (?P<string> \b[NE]?'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*(?:'|\Z) )
      | (?P<array> \[\d*\] )
      | (?P<number> \d[\w.]* )
      | (?P<name> {NAME} )
      | (?P<sign> \S )""",
    re.DOTALL | re.VERBOSE | re.MULTILINE,
)
_SIMPLE_TYPE = re.compile(r"\w+( \w+)*( ?\([0-9]+(, ?[0-9]+)?\))?\Z")
_TYPE_CHARACTERS = 200  # a longer type, such as an ENUM, is not parsed
# Words that may follow the first word of a type
_TYPE_WORDS = frozenset(
    """precision varying unsigned signed zerofill with without time local zone large object byte year month
    day hour minute second to raw array character char national""".split()  # noqa: SIM905
)
_NESTED = frozenset(("struct", "array", "map", "nullable", "lowcardinality", "row"))  # types with <...>
_NO_TYPE = frozenset(
    """primary not null default references constraint unique check comment collate generated as identity
    auto_increment autoincrement on hidden encode""".split()  # noqa: SIM905
)
_NAME_WITHIN = 2_000  # characters, from the beginning of a statement to the end of its table's name
_LIMIT = 10_000  # items of a list that are read; SQLite takes 2,000 columns


class Unreadable(Exception):
    """A statement that gives no table; the message says why."""


class Partition(Unreadable):
    """A statement that creates a part of another table."""


Path = tuple[str, ...]
"""A table's name after that of its schema, database or both, if it has them."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key as written: without columns it refers to the primary key of `table`."""

    columns: tuple[str, ...]
    table: Path
    references: tuple[str, ...]


@dataclass(slots=True)
class Draft:
    """A table as its statements describe it.

    It has the columns of `parents` too, and of `models` those that they have when it is created.
    """

    path: Path
    columns: list[Column] = field(default_factory=list)
    primary_key: tuple[str, ...] = ()
    foreign_keys: list[Reference] = field(default_factory=list)
    parents: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int

    def word(self) -> str:
        """The word in lower case; "" for a quoted name or a sign."""
        quoted = self.kind != "name" or self.text[0] in '"`['
        return "" if quoted else self.text.lower()


class TypeNames:
    """How types are written: as SQLite reads them, after the domains and types that the script creates."""

    def __init__(self, dialect: str, domains: Mapping[str, str]) -> None:
        self._dialect = dialect
        self._domains = domains

    def written(self, path: Path, rest: str) -> str:
        """The type of a column; `path` is its first word, after a schema's name if it has one."""
        domain = self._domains.get(path[-1].lower())
        return _sqlite_type(domain if domain is not None else path[-1] + rest, self._dialect)


@functools.lru_cache(maxsize=4096)
def _sqlite_type(text: str, dialect: str) -> str:
    """A type as SQLite can read it; TEXT for one with parts in it, such as an array, a STRUCT or an ENUM."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    from text2sql.schema.ddl import quote_name  # which imports this module

    written = text.upper()
    if len(text) <= _TYPE_CHARACTERS:
        # a type that only its database knows keeps its name
        with suppress(SqlglotError, RecursionError, ValueError):
            written = exp.DataType.build(text, dialect=dialect).sql("sqlite")
    words = written.partition("(")[0].split()
    simple = _SIMPLE_TYPE.match(written) and all(quote_name(word) == word for word in words)
    return written if simple else "TEXT"


def read_create_table(text: str, types: TypeNames) -> Draft:
    """Read a CREATE TABLE statement.

    Raises:
        Unreadable: the statement has no list of columns.
    """
    tokens, comments = _tokens(text)
    at = next((n for n, token in enumerate(tokens) if token.word() == "table"), -1) + 1
    if [token.word() for token in tokens[at : at + 3]] == ["if", "not", "exists"]:
        at += 3
    path, at = _path(tokens, at)
    if not path:
        raise Unreadable("it has no name")
    draft = Draft(path)
    word = tokens[at].word() if at < len(tokens) else ""
    if word == "partition":
        raise Partition("it is a part of another table")
    if word == "like":
        draft.models.append(_path(tokens, at + 1)[0])
        return draft
    if at >= len(tokens) or tokens[at].text != "(":
        raise Unreadable("its columns are those of a query" if word == "as" else "it has no list of columns")
    end = _closing(tokens, at)
    _read_body(draft, tokens[at + 1 : end], types, _behind(text, tokens, comments))
    _read_parents(draft, tokens[end + 1 :])
    _read_partition_columns(draft, tokens[end + 1 :], types)
    names = [column.name.lower() for column in draft.columns]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise Unreadable(f"duplicate column name: {repeated}")
    if not draft.columns and not draft.parents and not draft.models:
        raise Unreadable("it has no column")
    return draft


def table_name(text: str) -> Path:
    """The name after TABLE or INTO in a statement, () if there is none."""
    tokens, _ = _tokens(text[:_NAME_WITHIN])
    at = next((n for n, token in enumerate(tokens) if token.word() in ("table", "into")), -1) + 1
    while at < len(tokens) and tokens[at].word() in ("if", "not", "exists", "only"):
        at += 1
    return _path(tokens, at)[0]


def read_alter_table(text: str, draft: Draft, types: TypeNames) -> bool:
    """Add the keys and columns of an ALTER TABLE statement to `draft`; returns whether it has any."""
    tokens, _ = _tokens(text)
    before = (len(draft.columns), draft.primary_key, len(draft.foreign_keys))
    begin = next((n for n, token in enumerate(tokens) if token.word() == "add"), len(tokens))
    for item in _items(tokens[begin:]):
        words = [token.word() for token in item]
        adds = words[:1] == ["add"]
        at = next((n for n, word in enumerate(words) if word not in _ADD_WORDS), len(words))
        if adds and words[at : at + 1] == [""] and item[at].text == "(":  # Oracle: ADD (a INT, b INT)
            _read_body(draft, item[at + 1 : _closing(item, at)], types, {})
        elif at < len(item) and _is_constraint(item[at:]):
            _read_constraint(draft, item[at:])
        elif adds and len(item) > at + 1 and item[at].kind == "name":
            _read_column(draft, item[at:], types, "")
    return before != (len(draft.columns), draft.primary_key, len(draft.foreign_keys))


_ADD_WORDS = frozenset(("add", "column", "if", "not", "exists"))


def read_column_comment(text: str) -> tuple[Path, str]:
    """Table and column, and the comment, of COMMENT ON COLUMN; ((), "") for another statement."""
    tokens, _ = _tokens(text)
    if [token.word() for token in tokens[:3]] != ["comment", "on", "column"]:
        return (), ""
    path, at = _path(tokens, 3)
    is_text = at + 1 < len(tokens) and tokens[at].word() == "is" and tokens[at + 1].kind == "string"
    return (path, _string(tokens[at + 1].text)) if is_text and len(path) > 1 else ((), "")


def read_domain(text: str) -> tuple[str, str]:
    """Name and type of CREATE DOMAIN, and of CREATE TYPE, where a type of parts is TEXT; ("", "") else."""
    tokens, _ = _tokens(text)
    at = next((n for n, token in enumerate(tokens[:3]) if token.word() in ("domain", "type")), -1) + 1
    path, at = _path(tokens, at) if at else ((), 0)
    word = tokens[at].word() if at < len(tokens) else ""
    if not path or word not in ("as", "from"):
        return "", ""
    base, rest, _ = _type(tokens, at + 1)
    parts = not base or base[-1].lower() in ("enum", "table", "range")
    return path[-1].lower(), "TEXT" if parts else base[-1] + rest


def column_comments(text: str) -> dict[str, str]:
    """The comment of each column (lower case) of a CREATE TABLE statement that has one."""
    try:
        columns = read_create_table(text, TypeNames("sqlite", {})).columns
    except Unreadable:
        return {}
    return {column.name.lower(): column.comment for column in columns if column.comment}


def _tokens(text: str) -> tuple[list[_Token], list[_Token]]:
    """The tokens of a statement, and its comments."""
    found = [
        _Token(match.lastgroup or "", match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)
    ]
    return [t for t in found if t.kind != "comment"], [t for t in found if t.kind == "comment"]


def _path(tokens: Sequence[_Token], at: int) -> tuple[Path, int]:
    """The name at a place, and the place behind it; () if there is none."""
    names: list[str] = []
    while at < len(tokens) and (tokens[at].kind == "name" or _is_quoted_string(tokens[at])):
        names.append(bare(tokens[at].text) if tokens[at].kind == "name" else _string(tokens[at].text))
        at += 1
        if at < len(tokens) and tokens[at].text == ".":
            at += 1
            while at < len(tokens) and tokens[at].text == ".":  # T-SQL: database..table
                at += 1
        else:
            break
    return tuple(names), at


def _is_quoted_string(token: _Token) -> bool:
    return token.kind == "string" and token.text[:1] == "'" and len(token.text) > 2


def _closing(tokens: Sequence[_Token], at: int) -> int:
    """The place of the parenthesis that closes the one at `at`; the end if there is none."""
    depth = 0
    for number in range(at, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[number].text, 0)
        if depth == 0:
            return number
    return len(tokens)


def _items(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """The parts between the commas that are in no parentheses and in no angle brackets of a type."""
    begin = depth = angles = 0
    for number, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text == "<" and (angles or tokens[number - 1].word() in _NESTED):
            angles += 1
        elif token.text == ">" and angles:
            angles -= 1
        elif token.text == "," and depth == 0 and not angles:
            yield tokens[begin:number]
            begin = number + 1
    yield tokens[begin:]


def _behind(text: str, tokens: Sequence[_Token], comments: Sequence[_Token]) -> dict[int, str]:
    """The comments on the same line as the end of a token, by the place where that token ends."""
    found: dict[int, str] = {}
    ends = [token.end for token in tokens]
    at = 0
    for comment in comments:
        while at < len(ends) and ends[at] <= comment.start:
            at += 1
        if at and "\n" not in text[ends[at - 1] : comment.start]:
            words = comment.text.removeprefix("--").removeprefix("/*").removesuffix("*/")
            found[ends[at - 1]] = " ".join((found.get(ends[at - 1], "") + " " + words).split())
    return found


def _read_body(draft: Draft, tokens: Sequence[_Token], types: TypeNames, behind: Mapping[int, str]) -> None:
    ends = {token.end for token in tokens if token.text == ","}
    for number, item in enumerate(_items(tokens)):
        if not item or number >= _LIMIT:
            continue
        if _is_constraint(item):
            _read_constraint(draft, item)
            continue
        comma = min((end for end in ends if end > item[-1].end), default=0) if behind else 0
        comment = " ".join(filter(None, (behind.get(item[-1].end), behind.get(comma))))
        _read_column(draft, item, types, comment)


def _is_constraint(item: Sequence[_Token]) -> bool:
    """Whether an item of the list is something else than a column."""
    word, following = item[0].word(), item[1] if len(item) > 1 else None
    if word in ("constraint", "exclude", "supplemental"):
        return following is not None
    if word in ("primary", "foreign", "fulltext", "spatial", "period"):
        return following is not None and following.word() in ("key", "index", "for", "")
    if word in ("unique", "check"):
        return following is not None and (
            following.text == "(" or following.word() in ("key", "index", "clustered", "nonclustered")
            or (len(item) > 2 and item[2].text == "(")
        )  # fmt: skip
    if word == "like":
        return following is not None and following.kind == "name"
    if word in ("key", "index"):
        group = next((n for n, token in enumerate(item[1:4], 1) if token.text == "("), 0)
        return bool(group) and not item[min(group + 1, len(item) - 1)].text.isdigit()
    return False


def _read_constraint(draft: Draft, item: Sequence[_Token]) -> None:
    words = [token.word() for token in item]
    if words[:1] == ["like"]:
        draft.models.append(_path(item, 1)[0])
    for number, word in enumerate(words[:-1]):
        if word in ("primary", "foreign") and words[number + 1] == "key":
            names, at = _group(item, number + 2)
            if word == "primary":
                draft.primary_key = draft.primary_key or names
            elif names and "references" in words[at:]:
                _add_reference(draft, names, item, words.index("references", at) + 1)
            return


def _group(tokens: Sequence[_Token], at: int) -> tuple[tuple[str, ...], int]:
    """The first names of the parts in the next parentheses, and the place behind these."""
    begin = next((n for n in range(at, len(tokens)) if tokens[n].text == "("), len(tokens))
    end = _closing(tokens, begin)
    parts = (_path(part, 0)[0] for part in _items(tokens[begin + 1 : end]))
    return tuple(path[-1] for path in parts if path), end + 1


def _add_reference(draft: Draft, columns: tuple[str, ...], tokens: Sequence[_Token], at: int) -> None:
    table, at = _path(tokens, at)
    has_columns = at < len(tokens) and tokens[at].text == "("
    if table:
        references = _group(tokens, at)[0] if has_columns else ()
        draft.foreign_keys.append(Reference(columns, table, references))


def _read_column(draft: Draft, item: Sequence[_Token], types: TypeNames, comment: str) -> None:
    path, _ = _path(item[:1], 0)
    if not path:
        return
    name = path[0]
    base, rest, at = _type(item, 1)
    declared = types.written(base, rest) if base else ""
    depth = 0
    for number in range(at, len(item)):
        token, following = item[number], item[number + 1].word() if number + 1 < len(item) else ""
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth:
            continue
        if token.word() == "primary" and following == "key":
            draft.primary_key = draft.primary_key or (name,)
        elif token.word() == "references":
            _add_reference(draft, (name,), item, number + 1)
        elif token.word() == "comment" and number + 1 < len(item) and item[number + 1].kind == "string":
            comment = _string(item[number + 1].text)
    draft.columns.append(Column(name, declared, comment=" ".join(comment.split())))


def _type(item: Sequence[_Token], at: int) -> tuple[Path, str, int]:
    """The type at a place: its first word, what follows that, and the place behind it."""
    if at >= len(item) or item[at].kind != "name" or item[at].word() in _NO_TYPE:
        return (), "", at
    path, at = _path(item, at)
    rest = ""
    while at < len(item):
        token, end = item[at], at + 1
        if token.text == "(":
            end = _closing(item, at) + 1
        elif token.text == "<":
            end = _after_angles(item, at)
        elif token.kind != "array" and not _continues(item, at):
            break
        part = "".join(f" {one.text}" if one.kind in ("name", "sign") else one.text for one in item[at:end])
        rest, at = (
            rest + part.replace(" (", "(").replace("( ", "(").replace(" )", ")").replace(" ,", ","),
            end,
        )
    return path, rest, at


def _continues(item: Sequence[_Token], at: int) -> bool:
    word, following = item[at].word(), item[at + 1].word() if at + 1 < len(item) else ""
    if word == "character" and following == "set":
        return False
    if word in ("with", "without"):
        return following in ("time", "local")
    return word in _TYPE_WORDS


def _after_angles(item: Sequence[_Token], at: int) -> int:
    depth = 0
    for number in range(at, len(item)):
        depth += {"<": 1, ">": -1}.get(item[number].text, 0)
        if depth == 0:
            return number + 1
    return len(item)


def _read_parents(draft: Draft, tokens: Sequence[_Token]) -> None:
    for number, token in enumerate(tokens[:-1]):
        if token.word() == "inherits" and tokens[number + 1].text == "(":
            inside = tokens[number + 2 : _closing(tokens, number + 1)]
            draft.parents += [path for path in (_path(part, 0)[0] for part in _items(inside)) if path]


def _read_partition_columns(draft: Draft, tokens: Sequence[_Token], types: TypeNames) -> None:
    """Hive's PARTITIONED BY (name type, ...) declares columns; elsewhere it names some."""
    words = [token.word() for token in tokens]
    at = next((n for n in range(len(words) - 2) if words[n : n + 2] == ["partitioned", "by"]), None)
    if at is not None and tokens[at + 2].text == "(":
        for item in _items(tokens[at + 3 : _closing(tokens, at + 2)]):
            if len(item) > 1 and item[1].kind == "name":
                _read_column(draft, item, types, "")


def _string(text: str) -> str:
    """The value of a string literal."""
    inside = text[text.index("'") + 1 :].removesuffix("'")
    return inside.replace("''", "'").replace("\\'", "'")
