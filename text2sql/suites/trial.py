"""Which near-misses a database tells from their gold queries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import sqlglot
from sqlglot import exp

from text2sql.evaluation.doubtful.rewriting import by_all_columns
from text2sql.evaluation.execution.equivalence import same_result
from text2sql.evaluation.execution.sandbox import QueryError, Row, Sandbox
from text2sql.evaluation.spider.rewrite import order_matters, replace_year, rewrite_gold
from text2sql.suites.exact_sums import SumLog

_OPCODES = 2_000_000  # of SQLite's machine for one query; a limit in seconds would not be deterministic
_ORIGINAL_OPCODES = 50_000_000  # original databases can be large
_OPCODES_A_CALL = 1000  # of the sandbox's progress handler
_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Pairs:
    """A gold query as it is written, and its near-misses as SQL."""

    gold: str
    near_misses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one database says about all pairs of its gold queries and near-misses.

    `told` has a bit for each near-miss, in the order of the pairs, 1 where its result differs from the
    gold's. `undecided` are the numbers of the gold queries whose result there depends on which of equal
    rows comes first or in which order numbers are added, or is not there at all; their near-misses have 0.
    """

    told: int
    undecided: tuple[int, ...]


class _CountedSandbox(Sandbox):
    """A sandbox that ends a query after a number of SQLite's opcodes, and not after a time.

    With `sums` it says whether sums are rounded.
    """

    def __init__(self, database: Path, opcodes: int, backwards: bool = False, sums: bool = False) -> None:
        self._calls, self._most = 0, opcodes // _OPCODES_A_CALL
        super().__init__(database, _ROWS, backwards=backwards)
        self._sums = SumLog(self._connection) if sums else None

    def __enter__(self) -> Self:
        return self

    def rows(self, sql: str) -> list[Row]:
        """The rows of a query.

        Raises:
            QueryError: it failed, or exceeded a limit.
        """
        self._calls = 0
        if self._sums:
            self._sums.clear()
        return self.run(sql, math.inf)

    @property
    def rounded(self) -> bool:
        """Whether a sum of the last query may depend on the order of the rows; False if that is not known."""
        return self._sums is not None and self._sums.rounded

    def _must_end(self) -> bool:
        self._calls += 1
        return self._calls > self._most


def try_pairs(database: Path, pairs: Sequence[Pairs], original: bool = False) -> Outcome:
    """Run all gold queries and near-misses on a database, compared as the official evaluator does.

    A near-miss that fails, or exceeds a limit of work, is not told apart. `original` allows more work, and
    sums that are rounded, unless their result differs when the rows are visited backwards.

    Raises:
        DatabaseError: SQLite cannot read the file.
    """
    opcodes = _ORIGINAL_OPCODES if original else _OPCODES
    told, bit = 0, 1
    undecided: list[int] = []
    with (
        _CountedSandbox(database, opcodes) as sandbox,
        _CountedSandbox(database, opcodes, backwards=True, sums=not original) as backwards,
    ):
        for number, pair in enumerate(pairs):
            rows = _decided(pair.gold, sandbox, backwards)
            if rows is None:
                undecided.append(number)
            for near_miss in pair.near_misses:
                if rows is not None and _differs(sandbox, rows, pair.gold, near_miss):
                    told |= bit
                bit <<= 1
    return Outcome(told, tuple(undecided))


@lru_cache(maxsize=100_000)
def run_form(sql: str) -> str:
    """The text that the official evaluator runs for a gold query."""
    return replace_year(rewrite_gold(sql))


def _differs(sandbox: _CountedSandbox, gold_rows: list[Row], gold: str, near_miss: str) -> bool:
    try:
        rows = sandbox.rows(run_form(near_miss))
    except QueryError:
        return False
    return not same_result(gold_rows, rows, order_matters(rewrite_gold(gold)))


def _decided(gold: str, sandbox: _CountedSandbox, backwards: _CountedSandbox) -> list[Row] | None:
    """The rows of the gold query, or None if it fails or SQL does not determine them."""
    sql, ordered = run_form(gold), order_matters(rewrite_gold(gold))
    try:
        rows = sandbox.rows(sql)
        others = [backwards.rows(sql)]
    except QueryError:
        return None
    if backwards.rounded:
        return None
    for probe in tie_probes(sql):
        with suppress(QueryError):  # a form that SQLite does not take says nothing
            others.append(sandbox.rows(probe))
    return rows if all(same_result(rows, other, ordered) for other in others) else None


@lru_cache(maxsize=2048)
def tie_probes(sql: str) -> tuple[str, ...]:
    """Forms of the query that differ from it only in what SQL leaves open, each decided in two opposite ways.

    What is open: the order of rows that tie under ORDER BY, the rows that a LIMIT without it keeps, and which
    row of a group a column outside GROUP BY and aggregates is taken from. Where such a form gives another
    result, the query's own result is not determined. Empty where nothing is open, and for a query that
    cannot be parsed.
    """
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except sqlglot.errors.SqlglotError:
        return ()
    forms = [_with_ties_broken(tree, descending) for descending in (False, True)]
    forms += [_with_group_columns(tree, function) for function in (exp.Min, exp.Max)]
    return tuple(form.sql(dialect="sqlite") for form in forms if form != tree)


def _with_ties_broken(tree: exp.Expr, descending: bool) -> exp.Expr:
    copy = tree.copy()
    for query in copy.find_all(exp.Query):
        if not (query.args.get("order") or query.args.get("limit")):
            continue
        order = query.args.get("order") or exp.Order(expressions=[])
        for key in by_all_columns(len(query.selects), descending):
            order.append("expressions", key)
        query.set("order", order)
    return copy


def _with_group_columns(tree: exp.Expr, function: type[exp.Func]) -> exp.Expr:
    """The query with the least (exp.Min) or greatest (exp.Max) value of a group in place of any value."""
    copy = tree.copy()
    for query in list(copy.find_all(exp.Select)):
        aggregates = [found for found in query.find_all(exp.AggFunc) if found.parent_select is query]
        group = query.args.get("group")
        # Beside one min() or max() SQLite takes the row that has it: https://www.sqlite.org/lang_select.html
        one_extreme = len(aggregates) == 1 and isinstance(aggregates[0], exp.Min | exp.Max)
        if not (aggregates or group) or one_extreme:
            continue
        keys = {column.name.lower() for column in group.find_all(exp.Column)} if group else set()
        keys |= {found.alias.lower() for found in query.expressions if isinstance(found, exp.Alias)}
        for column in [c for c in _outside_groups(query) if c.name.lower() not in keys]:
            column.replace(function(this=column.copy()))
    return copy


def _outside_groups(query: exp.Select) -> Iterator[exp.Column]:
    """The columns of the query's own SELECT, HAVING and ORDER BY that are in no aggregate."""
    parts = [*query.expressions, *(query.args.get(name) for name in ("having", "order"))]
    for part in parts:
        for column in part.find_all(exp.Column) if part else ():
            own = column.parent_select is query and not isinstance(column.this, exp.Star)
            if own and not column.find_ancestor(exp.AggFunc, exp.Window):
                yield column
