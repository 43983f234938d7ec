"""Rewrites queries before they are run, as the test-suite evaluator does.

The rewriting changes verdicts, so all of it is kept; its quirks are listed in spider/__init__.py. The
steps, in this order:

1. predictions only, unless `keep_value`: every "value" becomes "1";
2. `> =`, `< =` and `! =` are joined;
3. unless `keep_distinct`: the first statement is cut out, and DISTINCT is removed from it;
4. in whatever is executed (`replace_year`): YEAR(CURDATE()) becomes 2020.

sqlparse decides where statements and tokens end. Text of more than 10,000 tokens, or of none, skips step 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlparse import lexer
from sqlparse.engine.statement_splitter import StatementSplitter

MAX_TOKENS = 10_000
"""sqlparse's own limit; longer text would only take time."""

# A lone GO ends a statement as in SQL Server's scripts.
_MAY_END_STATEMENT = re.compile(r";(?!\Z)|GO\b")
_MAY_BE_DISTINCT = re.compile("distinct", re.IGNORECASE)
# Text that sqlparse and these patterns split the same way: names, numbers, operators and closed quotes.
_PLAIN = re.compile(r"""(?:(?!--|/\*)[\w\s(),.*=<>!+%/-] | '[^'\\]*' | "[^"\\]*" )*+ ;?""", re.VERBOSE)
_DISTINCT = re.compile(
    r"""( '[^']*' | "[^"]*" ) | (?<=[\s(,])distinct(?=[\s(])""", re.VERBOSE | re.IGNORECASE
)
# Atomic, because a series of comments would otherwise take exponential time.
_NO_STATEMENT = re.compile(r"(?>[\s;]|--[^\n]*|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
_THIS_YEAR = re.compile(r"year\s*\(\s*curdate\s*\(\s*\)\s*\)\s*", re.IGNORECASE)


class UnreadableStatement(ValueError):
    """The text has no statement, or one of more than `MAX_TOKENS` tokens."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The SQL to run; `several` means that further statements follow it, which are never run."""

    sql: str
    several: bool = False


def rewrite_gold(sql: str, keep_distinct: bool = False) -> str:
    """Return the SQL to run for a gold query, except for `replace_year`."""
    return _rewrite(sql, keep_distinct).sql


def rewrite_prediction(sql: str, keep_distinct: bool = False, keep_value: bool = False) -> Statement:
    """Return the SQL to run for a prediction, except for `replace_year`.

    With `keep_distinct` the text stays whole, so SQLite itself refuses several statements.
    """
    return _rewrite(sql if keep_value else replace_value_word(sql), keep_distinct)


def replace_value_word(prediction: str) -> str:
    """Replace "value", which some models write instead of a value, by 1; also within longer words."""
    return prediction.replace("value", "1")


def replace_year(sql: str) -> str:
    """Replace MySQL's current year, which SQLite lacks and which changes every January, by 2020.

    Blanks after it are removed too, as in the official evaluator.
    """
    return _THIS_YEAR.sub("2020", sql)


def order_matters(gold: str) -> bool:
    """Whether a rewritten gold query has ORDER BY with one blank, even if only in a subquery."""
    return "order by" in gold.lower()


def first_statement(sql: str) -> list[tuple[Any, str]]:
    """Return type and text of the first statement's tokens, including blanks and comments.

    Raises:
        UnreadableStatement: there is no statement, or it has more than `MAX_TOKENS` tokens.
    """
    tokens = list(islice(lexer.tokenize(sql), MAX_TOKENS + 1))
    if _MAY_END_STATEMENT.search(sql):
        first = next(StatementSplitter().process(tokens), ())
        tokens = [(token.ttype, token.value) for token in first]
    if not 0 < len(tokens) <= MAX_TOKENS or sql.isspace():
        raise UnreadableStatement(f"no statement of 1 to {MAX_TOKENS} tokens: {sql[:100]!r}...")
    return tokens


def _drop_plain_distinct(sql: str) -> str | None:
    """Return the first statement without DISTINCT, or None if only sqlparse can find them."""
    if _MAY_END_STATEMENT.search(sql):
        return None
    if not _MAY_BE_DISTINCT.search(sql):
        return sql
    if not _PLAIN.fullmatch(sql):
        return None
    kept = _DISTINCT.sub(lambda match: match[1] or "", sql)
    return None if _MAY_BE_DISTINCT.search(kept) else kept


def _rewrite(sql: str, keep_distinct: bool) -> Statement:
    for operator in "<>!":
        sql = sql.replace(f"{operator} =", f"{operator}=")
    # Lexing takes a fifth of a millisecond, as long as running a query, and most queries do not need it.
    if keep_distinct:
        return Statement(sql)
    plain = _drop_plain_distinct(sql)
    if plain is not None:
        return Statement(plain)
    try:
        tokens = [text for _, text in first_statement(sql)]
    except UnreadableStatement:
        return Statement(sql)
    rest = sql[sum(map(len, tokens)) :]
    kept = "".join(token for token in tokens if token.lower() != "distinct")
    return Statement(kept, several=not _NO_STATEMENT.fullmatch(rest))
