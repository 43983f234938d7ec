"""Exact set match: whether two queries have the same clauses, in any order.

Source: Yu et al. 2018, "Spider" (https://arxiv.org/abs/1809.08887), as `evaluation.py` of
https://github.com/taoyds/spider computes it. Values and DISTINCT do not count, and columns tied by
foreign keys are the same. The script's exceptions are kept; they are listed in spider/__init__.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

from text2sql.evaluation.spider.parser import (
    EMPTY_QUERY,
    Column,
    Condition,
    Conditions,
    Expression,
    Query,
    UnreadableSQL,
    Value,
    compared,
    connected,
    read_sql,
)
from text2sql.evaluation.spider.schema import SpiderSchema
from text2sql.evaluation.verdicts import PartCount


@dataclass(frozen=True, slots=True)
class Match:
    """Whether two queries match as a whole, and the counts of each part by its official name.

    `readable`: whether the prediction could be read.
    """

    em: bool
    parts: dict[str, PartCount]
    readable: bool = True


def exact_match(gold_sql: str, predicted_sql: str, schema: SpiderSchema) -> Match:
    """Compare a prediction, in which "value" is replaced already, with its gold query.

    A part matches if its three counts are equal. A prediction that cannot be read counts as a query
    without clauses.

    Raises:
        UnreadableSQL: the gold cannot be read, or both are nested too deeply.
    """
    gold = _comparable(read_sql(gold_sql, schema), schema)
    try:
        predicted = _comparable(read_sql(predicted_sql, schema), schema)
    except UnreadableSQL:
        predicted = EMPTY_QUERY
    try:
        return replace(_match(gold, predicted), readable=predicted is not EMPTY_QUERY)
    except RecursionError as error:
        raise UnreadableSQL("nested too deeply to be compared") from error


def _match(gold: Query, predicted: Query) -> Match:
    parts = {name: count(gold, predicted) for name, count in _PARTS.items()}
    em = all(part.gold == part.predicted == part.shared for part in parts.values())
    return Match(em and (not gold.tables or Counter(gold.tables) == Counter(predicted.tables)), parts)


# --- removing what does not count ---


def _comparable(query: Query, schema: SpiderSchema) -> Query:
    try:
        tables = {table for table in query.tables if isinstance(table, str)}
        return _with_merged_columns(_without_values(query), tables, schema)
    except RecursionError as error:
        raise UnreadableSQL("nested too deeply") from error


def _without_values(query: Query) -> Query:
    return query._replace(
        joined_on=_without_values_of(query.joined_on),
        where=_without_values_of(query.where),
        having=_without_values_of(query.having),
        other=query.other and _without_values(query.other),
    )


def _without_values_of(conditions: Conditions) -> Conditions:
    return _each(conditions, lambda it: it._replace(low=_subquery(it.low), high=_subquery(it.high)))


def _subquery(value: Value) -> Query | None:
    return _without_values(value) if isinstance(value, Query) else None


def _with_merged_columns(query: Query, tables: set[str], schema: SpiderSchema) -> Query:
    """Remove DISTINCT, and give the columns of `tables` that foreign keys tie the same name.

    As in the official script, the tables of the first SELECT decide for the whole compound, and subqueries
    stay unchanged.
    """

    def column(it: Column) -> Column:
        tied = it.name.partition(".")[0] in tables
        return Column(it.aggregate, schema.foreign_keys.get(it.name, it.name) if tied else it.name, False)

    def expression(it: Expression) -> Expression:
        return Expression(it.operator, column(it.left), it.right and column(it.right))

    def conditions(them: Conditions) -> Conditions:
        return _each(them, lambda it: it._replace(tested=expression(it.tested)))

    return query._replace(
        distinct=False,
        selected=tuple((aggregate, expression(it)) for aggregate, it in query.selected),
        joined_on=conditions(query.joined_on),
        where=conditions(query.where),
        grouped=tuple(map(column, query.grouped)),
        having=conditions(query.having),
        ordered=tuple(map(expression, query.ordered)),
        other=query.other and _with_merged_columns(query.other, tables, schema),
    )


def _each(conditions: Conditions, change: Callable[[Condition], Condition]) -> Conditions:
    """Change the conditions, except those in the place of a connective."""
    return tuple(
        change(it) if place % 2 == 0 and isinstance(it, Condition) else it
        for place, it in enumerate(conditions)
    )


# --- the parts ---


def _select(gold: Query, predicted: Query) -> PartCount:
    return _count(gold.selected, predicted.selected)


def _select_without_aggregates(gold: Query, predicted: Query) -> PartCount:
    return _count([it for _, it in gold.selected], [it for _, it in predicted.selected])


def _where(gold: Query, predicted: Query) -> PartCount:
    return _count(compared(gold.where), compared(predicted.where))


def _where_without_operators(gold: Query, predicted: Query) -> PartCount:
    return _count(_tested(gold.where), _tested(predicted.where))


def _group_without_having(gold: Query, predicted: Query) -> PartCount:
    return _count(_grouped_names(gold), _grouped_names(predicted))


def _group(gold: Query, predicted: Query) -> PartCount:
    same = _grouping(gold) == _grouping(predicted)
    return _one(bool(gold.grouped), bool(predicted.grouped), same)


def _order(gold: Query, predicted: Query) -> PartCount:
    same = (gold.direction, gold.ordered, gold.limited) == (
        predicted.direction,
        predicted.ordered,
        predicted.limited,
    )
    return _one(gold.direction is not None, predicted.direction is not None, same)


def _connectives(gold: Query, predicted: Query) -> PartCount:
    golds, predictions = set(connected(gold.where)), set(connected(predicted.where))
    return PartCount(1, 1, 1) if golds == predictions else PartCount(len(predictions), len(golds), 0)


def _set_operation(gold: Query, predicted: Query) -> PartCount:
    same = False
    if gold.other and predicted.other and gold.set_operator == predicted.set_operator:
        same = _match(gold.other, predicted.other).em
    return _one(gold.other is not None, predicted.other is not None, same)


def _keywords(gold: Query, predicted: Query) -> PartCount:
    golds, predictions = _keywords_of(gold), _keywords_of(predicted)
    return PartCount(len(golds), len(predictions), len(golds & predictions))


_PARTS: dict[str, Callable[[Query, Query], PartCount]] = {
    "select": _select,
    "select(no AGG)": _select_without_aggregates,
    "where": _where,
    "where(no OP)": _where_without_operators,
    "group(no Having)": _group_without_having,
    "group": _group,
    "order": _order,
    "and/or": _connectives,
    "IUEN": _set_operation,
    "keywords": _keywords,
}
PARTS: tuple[str, ...] = tuple(_PARTS)
"""The official names of the parts."""


def _count(gold: Iterable[Hashable], predicted: Iterable[Hashable]) -> PartCount:
    golds, predictions = Counter(gold), Counter(predicted)
    return PartCount(golds.total(), predictions.total(), (golds & predictions).total())


def _one(gold: bool, predicted: bool, same: bool) -> PartCount:
    return PartCount(int(gold), int(predicted), int(gold and predicted and same))


def _tested(conditions: Conditions) -> list[Expression]:
    return [it.tested for it in compared(conditions)]


def _grouped_names(query: Query) -> list[str]:
    return [column.name.split(".")[1] if "." in column.name else column.name for column in query.grouped]


def _grouping(query: Query) -> tuple[list[str], Conditions]:
    return [column.name for column in query.grouped], query.having


def _keywords_of(query: Query) -> set[str]:
    """The clauses, the direction of ORDER BY, and OR, NOT, IN and LIKE of the conditions."""
    clauses = {
        "where": query.where,
        "group": query.grouped,
        "having": query.having,
        "order": query.direction,
        "limit": query.limited,
    }
    found = {name for name, clause in clauses.items() if clause}
    found |= {word for word in (query.direction, query.set_operator) if word}
    for conditions in (query.joined_on, query.where, query.having):
        found |= {"or"}.intersection(connected(conditions))
        for it in compared(conditions):
            found |= {"in", "like"} & {it.operator} | ({"not"} if it.negated else set())
    return found
