"""The form of a query without its names and values, and the tables and columns that it names."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from sqlglot import exp

from text2sql.schema.queries import parse_query


@dataclass(frozen=True, slots=True)
class Names:
    """What a query names, case-folded; `star`: it has a * outside count(*)."""

    tables: frozenset[str]
    columns: frozenset[str]
    star: bool


@functools.lru_cache(maxsize=65_536)
def skeleton(sql: str) -> str | None:
    """The query with every value as ? and every table and column as _; None if it does not parse.

    Read and written by sqlglot in SQLite's dialect, so case, spacing and comments do not count. Aliases,
    the tables before columns, ASC, INNER and OUTER are left out: `SELECT T1.a FROM t AS T1 WHERE T1.b = 'x'`
    and `select c from u where d=3` both are `SELECT _ FROM _ WHERE _ = ?`.
    Not covered: queries of equal meaning in another form, such as a join and a subquery; and "x" in double
    quotes, which is a column here even where SQLite reads it as a string.
    """
    tree = parse_query(sql)
    if tree is None:
        return None
    for alias in list(tree.find_all(exp.Alias)):
        alias.replace(alias.this)
    for node in list(tree.walk()):
        _mask(node)
    return tree.sql("sqlite", comments=False)


@functools.lru_cache(maxsize=65_536)
def names(sql: str) -> Names | None:
    """The tables and columns that a query names; None if it does not parse.

    A column is its bare name, also of a column alias in ORDER BY or a name in double quotes; tables do not
    include those that WITH defines.
    """
    tree = parse_query(sql)
    if tree is None:
        return None
    inner = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    tables = {table.name.casefold() for table in tree.find_all(exp.Table)} - inner
    columns = {column.name.casefold() for column in tree.find_all(exp.Column)}
    joined = {
        name.name.casefold() for join in tree.find_all(exp.Join) for name in join.args.get("using") or ()
    }
    star = any(not isinstance(node.parent, exp.Count) for node in tree.find_all(exp.Star))
    return Names(frozenset(tables), frozenset((columns | joined) - {"*"}), star)


def _mask(node: exp.Expr) -> None:
    """Replace a value or a name, and leave out what stands before or behind a name."""
    match node:
        case exp.Literal():
            place = node.parent if isinstance(node.parent, exp.Neg) else node
            place.replace(exp.Placeholder())
        case exp.Column() | exp.Table():
            for before in ("table", "db", "catalog"):
                node.set(before, None)
        case exp.TableAlias() if not isinstance(node.parent, exp.CTE):
            node.pop()
        case exp.Identifier():
            node.set("this", "_")
            node.set("quoted", False)
        case exp.Ordered() if not node.args.get("desc"):
            node.set("desc", None)
        case exp.Join() if node.args.get("kind") in ("INNER", "OUTER"):
            node.set("kind", None)
