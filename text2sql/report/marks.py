"""SQL for people: its tokens with their colours, and marks on what differs from another query.

Where both queries parse, the marks come from a comparison of their syntax trees (sqlglot.diff): what was
removed, inserted, moved or changed; aliases of tables are no difference. Otherwise, and for long queries, the
tokens are compared. The text stays as it was written; the marks are found on SQL that sqlglot writes, and
carried over token by token.

Not covered: what sqlglot writes otherwise (`!=` as `<>`) has no mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from pygments.lexers.sql import SqlLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String
from sqlglot import diff, exp
from sqlglot.diff import Insert, Move, Remove, Update
from sqlglot.errors import SqlglotError
from sqlglot.generators.sqlite import SQLiteGenerator

from text2sql.report.clauses import read_query, selects, with_tables

_MOST_NODES = 300  # of a tree; the comparison of trees takes time quadratic in them
_MOST_CHARACTERS = 20_000  # coloured and marked; the rest stays plain
_COLOURS = (
    (Comment, "c"),
    (Keyword, "k"),
    (String, "s"),
    (Name.Builtin, "k"),
    (Number, "m"),
    (Operator, "o"),
)
_CHANGED, _KEPT, _END = "\ue000", "\ue001", "\ue002"  # around the SQL of a node; private code points

_Marks = list[tuple[str, bool]]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL: `colour` is k (keyword), s (text), m (number), o (operator), c (comment) or "."."""

    text: str
    colour: str
    marked: bool = False


def marked(gold: str, predicted: str) -> tuple[list[Token], list[Token]]:
    """The tokens of both queries, those marked that the other one does not have."""
    one, other = coloured(gold), coloured(predicted)
    if len(gold) + len(predicted) > _MOST_CHARACTERS:
        return one, other
    trees = _tree_marks(gold, predicted)
    if trees is None:
        return _bycoloured(one, other), _bycoloured(other, one)
    return _carried(trees[0], one), _carried(trees[1], other)


def coloured(sql: str) -> list[Token]:
    """The tokens of a query without marks; a very long one is a single token."""
    if len(sql) > _MOST_CHARACTERS:
        return [Token(sql, ".")]
    return [Token(text, _colour(kind)) for _, kind, text in _lexer().get_tokens_unprocessed(sql)]


def runs(tokens: Sequence[Token]) -> str:
    """The colours and marks of a text, such as "k6.1.4!": colour, length in UTF-16 units, ! if marked."""
    merged: list[list[Any]] = []
    for token in tokens:
        size = len(token.text.encode("utf-16-le", errors="surrogatepass")) // 2
        if merged and merged[-1][0] == token.colour and merged[-1][2] == token.marked:
            merged[-1][1] += size
        else:
            merged.append([token.colour, size, token.marked])
    return "".join(f"{colour}{size}{'!' if mark else ''}" for colour, size, mark in merged)


@cache
def _lexer() -> SqlLexer:
    return SqlLexer()


def _colour(kind: Any) -> str:
    return next((colour for group, colour in _COLOURS if kind in group), ".")


def _bycoloured(tokens: Sequence[Token], other: Sequence[Token]) -> list[Token]:
    """Mark the tokens that the other text does not have at the same place of the sequence."""
    words, others = ([_key(t.text) for t in each if t.text.strip()] for each in (tokens, other))
    same = SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks()
    kept = {at for block in same for at in range(block.a, block.a + block.size)}
    return _with_marks(tokens, [at not in kept for at in range(len(words))])


def _with_marks(tokens: Sequence[Token], marks: Sequence[bool]) -> list[Token]:
    """Put the marks on the tokens that are not blank; a blank between two marked tokens is marked too."""
    left = iter(marks)
    found = [next(left) if token.text.strip() else None for token in tokens]
    return [
        Token(token.text, token.colour, bool(_between(found, at) if mark is None else mark))
        for at, (token, mark) in enumerate(zip(tokens, found, strict=True))
    ]


def _key(text: str) -> str:
    """What tokens are compared by: no case, no quotes."""
    return text.strip("\"'`[]").lower() or text


def _between(marks: Sequence[bool | None], at: int) -> bool:
    return 0 < at < len(marks) - 1 and bool(marks[at - 1]) and bool(marks[at + 1])


def _carried(written: Sequence[tuple[str, bool]], tokens: Sequence[Token]) -> list[Token]:
    """Carry the marks of the tokens that sqlglot wrote over to those of the text."""
    words = [_key(token.text) for token in tokens if token.text.strip()]
    marks = [False] * len(words)
    matcher = SequenceMatcher(None, [word for word, _ in written], words, autojunk=False)
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            marks[block.b + step] = written[block.a + step][1]
    return _with_marks(tokens, marks)


def _tree_marks(gold: str, predicted: str) -> tuple[_Marks, _Marks] | None:
    """The tokens of both queries as sqlglot writes them, with marks; None if the trees cannot be compared."""
    one, other = read_query(gold), read_query(predicted)
    if not one or not other:
        return None
    with suppress(SqlglotError, RecursionError, ValueError):
        trees = [query.tree for query in with_tables(one, other)]
        if max(sum(1 for _ in tree.walk()) for tree in trees) > _MOST_NODES:
            return None
        changed = _changed(trees[0], trees[1])
        return _written(trees[0], changed), _written(trees[1], changed)
    return None


def _changed(gold: exp.Expr, predicted: exp.Expr) -> set[int]:
    """The ids of the nodes that are removed, inserted, moved or changed; what only moves with them is not."""
    edits = diff(gold, predicted, matchings=list(_pairs(gold, predicted)), delta_only=True)
    found = {id(edit.expression) for edit in edits if isinstance(edit, Insert | Remove)}
    for edit in edits:
        if isinstance(edit, Move | Update):
            gone, new = (id(node.parent) in found for node in (edit.source, edit.target))
            if isinstance(edit, Update) or not _follows(gone, new, edit.source):
                found |= {id(edit.source), id(edit.target)}
    return found


def _pairs(gold: exp.Expr, predicted: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """The SELECTs that belong together, and their clauses of the same name.

    Without them sqlglot finds short queries too different to pair their SELECTs at all.
    """
    if isinstance(gold, exp.SetOperation) and type(gold) is type(predicted):
        yield gold, predicted
    for one, other in zip(selects(gold), selects(predicted), strict=False):
        yield one, other
        for clause, node in one.args.items():
            mate = other.args.get(clause)
            if isinstance(node, exp.Expr) and isinstance(mate, type(node)):
                yield node, mate


def _follows(removed: bool, inserted: bool, node: exp.Expr) -> bool:
    """Whether a node has another place because what is around it was removed or inserted.

    A literal is matched with any equal one, so it needs both.
    """
    return removed and inserted if isinstance(node, exp.Literal) else removed or inserted


def _written(tree: exp.Expr, changed: set[int]) -> _Marks:
    """The tokens of the SQL of a tree, without blanks, case and quotes, each with its mark."""
    sql = _Marking(changed).generate(tree, copy=False)
    text, marks = "", []
    stack = [False]
    for piece in re.split(f"([{_CHANGED}{_KEPT}{_END}])", sql):
        if piece in (_CHANGED, _KEPT):
            stack.append(piece == _CHANGED)
        elif piece == _END:
            stack.pop()
        else:
            text += piece
            marks += [stack[-1]] * len(piece)
    return list(_words(text, marks))


def _words(text: str, marks: Sequence[bool]) -> Iterator[tuple[str, bool]]:
    at = 0
    for token in coloured(text):
        if token.text.strip():
            yield _key(token.text), any(marks[at : at + len(token.text)])
        at += len(token.text)


class _Marking(SQLiteGenerator):
    """Writes SQL with code points around each node that say whether it changed."""

    def __init__(self, changed: set[int]) -> None:
        super().__init__(comments=False)
        self._changed_nodes = changed

    def sql(self, expression: Any, key: str | None = None, comment: bool = True) -> str:
        """As the original, which calls itself for every node."""
        text: str = super().sql(expression, key, comment)
        if key or not text or not isinstance(expression, exp.Expr) or isinstance(expression, exp.Identifier):
            return text
        return f"{_CHANGED if id(expression) in self._changed_nodes else _KEPT}{text}{_END}"
