"""What differs between a predicted query and the gold query: kinds of difference, and one sentence.

A query that does not run has one kind, its failure. Of one that runs, the clauses are compared with those of
the gold query: tables, joins, selected columns, conditions, grouping, order, limit, set operators. Names are
compared without case, quotes and table aliases. A query can have several kinds. A right answer has none.

Not covered: whether a difference is the cause of the wrong result (an extra ORDER BY seldom is); CTEs, which
are not compared; subqueries in FROM, which are compared as a whole; columns that a star stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from text2sql.evaluation.verdicts import Verdict
from text2sql.report.clauses import (
    Predicate,
    Query,
    is_aggregate,
    nested_sources,
    operators,
    predicates,
    read_query,
    selects,
    short,
    sources,
    text_of,
    with_tables,
)

FAILURES = {
    "empty": "no SQL",
    "syntax": "syntax error",
    "no_such_table": "no such table",
    "no_such_column": "no such column",
    "ambiguous": "ambiguous column",
    "denied": "not one SELECT",
    "timeout": "too slow",
    "too_many_rows": "too many rows",
    "out_of_memory": "too much memory",
    "crashed": "crashed",
    "other": "other failure",
}
"""Labels of the kinds of query that do not run; the keys are the classes of the sandbox."""

KINDS = FAILURES | {
    "set_operator": "set operator",
    "table": "other tables",
    "join": "other join",
    "column": "other columns",
    "column_order": "order of columns",
    "aggregate": "other aggregate",
    "distinct": "DISTINCT",
    "missing_condition": "missing condition",
    "extra_condition": "extra condition",
    "operator": "other comparison",
    "literal": "other value",
    "subquery": "subquery",
    "grouping": "grouping",
    "having": "HAVING",
    "order": "sorting",
    "limit": "LIMIT",
    "form": "other form",
    "unread": "not compared",
}
"""Labels of all kinds, in the order of tables and sentences."""

_SHOWN = 4  # clauses of a sentence


@dataclass(frozen=True, slots=True)
class Differences:
    """`kinds` are keys of `KINDS`, each once and in its order; `sentence` is plain text for people."""

    kinds: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class _Finding:
    kind: str
    text: str


def differences(gold: str, predicted: str, verdict: Verdict) -> Differences:
    """What differs between `predicted` and `gold`, given the verdict on the prediction."""
    if verdict.ex is None:
        return Differences((), _unjudged(verdict))
    if verdict.ex:
        return Differences((), _right(gold, predicted))
    if verdict.error in FAILURES:
        return Differences((verdict.error,), _failure(verdict.error, verdict.message or "", predicted))
    found = _found(gold, predicted)
    kinds = {finding.kind for finding in found}
    return Differences(tuple(kind for kind in KINDS if kind in kinds), _sentence(found))


def _unjudged(verdict: Verdict) -> str:
    if verdict.gold_failed:
        return f"Not scored: the gold SQL fails ({verdict.message})."
    return "Not scored: the question has no gold SQL."


def _right(gold: str, predicted: str) -> str:
    same = gold == predicted or {each.kind for each in _found(gold, predicted)} == {"form"}
    return "Right: the same query." if same else "Right: another query with the same result."


def _failure(kind: str, message: str, predicted: str) -> str:
    if kind == "empty" or not predicted.strip():
        return "Does not run: the answer has no SQL."
    if kind == "timeout":
        return "Does not run: it exceeds the time limit."
    return f"Does not run: {short(message, 200) or FAILURES[kind]}."


def _found(gold: str, predicted: str) -> list[_Finding]:
    one, other = read_query(gold), read_query(predicted)
    if not one or not other:
        which = "gold" if not one else "predicted"
        return [_Finding("unread", f"the {which} SQL cannot be parsed here, so the queries are not compared")]
    try:
        found = list(_compared(one, other)) or list(_compared(*with_tables(one, other)))
    except RecursionError:
        return [_Finding("unread", "the queries are nested too deeply to be compared")]
    return found or [_Finding("form", "no clause differs in what it names; the marks show the rest")]


def _sentence(found: Sequence[_Finding]) -> str:
    ordered = sorted(found, key=lambda finding: list(KINDS).index(finding.kind))
    texts = list(dict.fromkeys(finding.text for finding in ordered))
    rest = len(texts) - _SHOWN
    shown = texts[:_SHOWN] + ([f"{rest} more differences" if rest > 1 else texts[-1]] if rest > 0 else [])
    joined = "; ".join(shown)
    return f"{joined[:1].upper()}{joined[1:]}."


def _compared(gold: Query, predicted: Query) -> Iterator[_Finding]:
    """The findings of two whole queries, with set operators or without."""
    yield from _set_operators(operators(gold.tree), operators(predicted.tree))
    for one, other in zip(selects(gold.tree), selects(predicted.tree), strict=False):
        yield from _select(one, other)
    if isinstance(gold.tree, exp.SetOperation) or isinstance(predicted.tree, exp.SetOperation):
        yield from _order(gold.tree, predicted.tree)
        yield from _limit(gold.tree, predicted.tree)


def _set_operators(gold: Sequence[str], predicted: Sequence[str]) -> Iterator[_Finding]:
    if gold == predicted:
        return
    if not predicted:
        text = f"does not use {_listed(gold)}"
    elif not gold:
        text = f"adds {_listed(predicted)}"
    else:
        text = f"uses {_listed(predicted)} instead of {_listed(gold)}"
    yield _Finding("set_operator", text)


def _select(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    if sources(gold) == sources(predicted):
        yield from _joins(gold, predicted)
    else:
        yield from _tables(gold, predicted)
    yield from _columns(gold, predicted)
    yield from _distinct(gold, predicted)
    yield from _conditions(predicates(gold), predicates(predicted))
    yield from _connectives(gold, predicted)
    yield from _grouping(gold, predicted)
    yield from _having(gold, predicted)
    yield from _order(gold, predicted)
    yield from _limit(gold, predicted)


def _tables(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    """Tables that only one of the queries reads, and those that one of them reads in a subquery only."""
    missing, extra = _unmatched(sources(gold), sources(predicted))
    within, without = nested_sources(predicted), nested_sources(gold)
    if moved := [table for table in missing if table in within]:
        yield _Finding("subquery", f"reads {_listed(moved)} in a subquery only")
    if moved := [table for table in extra if table in without]:
        yield _Finding("subquery", f"reads {_listed(moved)} outside of a subquery")
    rest = ([t for t in missing if t not in within], [t for t in extra if t not in without])
    yield from _changes("table", rest[0], rest[1], "reads", "read")


def _changes(
    kind: str, gold: Sequence[str], predicted: Sequence[str], does: str, base: str
) -> Iterator[_Finding]:
    """Items of a list that were exchanged, left out or added; `does` and `base` are forms of the verb."""
    missing, extra = _unmatched(gold, predicted)
    for one, other in zip(missing, extra, strict=False):
        yield _Finding(kind, f"{does} {short(other)} instead of {short(one)}")
    paired = min(len(missing), len(extra))
    if missing[paired:]:
        yield _Finding(kind, f"does not {base} {_listed(missing[paired:])}")
    if extra[paired:]:
        yield _Finding(kind, f"also {does} {_listed(extra[paired:])}")


def _unmatched(gold: Sequence[str], predicted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The items of `gold` without an equal in `predicted`, and those of `predicted` without one in `gold`."""
    missing, extra = list(gold), []
    for item in predicted:
        if item in missing:
            missing.remove(item)
        else:
            extra.append(item)
    return missing, extra


def _listed(items: Sequence[str]) -> str:
    shown = [short(item) for item in items[:3]]
    more = len(items) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _joins(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    """Join conditions and kinds of joins, where both queries read the same tables."""
    shown = {p.text: p.shown for select in (predicted, gold) for p in predicates(select, joins=True)}
    texts = [[p.text for p in predicates(select, joins=True)] for select in (gold, predicted)]
    missing, extra = ([shown[text] for text in each] for each in _unmatched(*texts))
    if missing and extra:
        yield _Finding("join", f"joins on {_listed(extra)} instead of {_listed(missing)}")
    elif missing:
        yield _Finding("join", f"joins without the condition {_listed(missing)}")
    elif extra:
        yield _Finding("join", f"joins with the further condition {_listed(extra)}")
    sides, others = (sorted(j.side for j in s.args.get("joins") or ()) for s in (gold, predicted))
    if not missing and not extra and sides != others:
        names = [f"{' and '.join(filter(None, each))} JOIN".strip() for each in (others, sides)]
        yield _Finding("join", f"uses {names[0]} instead of {names[1]}")


def _columns(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    """The selected columns: other ones, another aggregate, DISTINCT in it, or only another order."""
    items, others = ([text_of(e) for e in select.expressions] for select in (gold, predicted))
    missing, extra = _unmatched(items, others)
    if items != others and not missing and not extra:
        yield _Finding("column_order", "selects the columns in another order")
    known = {text_of(e): e.unalias() for select in (gold, predicted) for e in select.expressions}
    for one, other in _aggregate_pairs(missing, extra, known):
        missing.remove(one)
        extra.remove(other)
        plain, others_plain = (each.replace("DISTINCT ", "") for each in (one, other))
        kind = "distinct" if plain == others_plain else "aggregate"
        yield _Finding(kind, f"selects {short(other)} instead of {short(one)}")
    yield from _changes("column", missing, extra, "selects", "select")


def _aggregate_pairs(
    missing: Sequence[str], extra: Sequence[str], known: dict[str, exp.Expr]
) -> Iterator[tuple[str, str]]:
    """Selected items of which at least one is an aggregate, and which have the same argument."""
    free = list(extra)
    for one in list(missing):
        for other in free:
            pair = known[one], known[other]
            if any(map(is_aggregate, pair)) and _argument(pair[0]) == _argument(pair[1]):
                free.remove(other)
                yield one, other
                break


def _argument(item: exp.Expr) -> str:
    """What an aggregate is computed of, DISTINCT left out; of other items the item itself."""
    if is_aggregate(item) and item.this is not None:
        inner = item.this
        item = inner.expressions[0] if isinstance(inner, exp.Distinct) and inner.expressions else inner
    return text_of(item)


def _distinct(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    one, other = (bool(select.args.get("distinct")) for select in (gold, predicted))
    if one != other:
        yield _Finding("distinct", "lacks DISTINCT" if one else "adds DISTINCT")


def _conditions(gold: Sequence[Predicate], predicted: Sequence[Predicate]) -> Iterator[_Finding]:
    missing, extra = list(gold), []
    for predicate in predicted:
        same = next((each for each in missing if each.text == predicate.text), None)
        missing.remove(same) if same else extra.append(predicate)
    for one, other in _pairs(missing, extra):
        missing.remove(one)
        extra.remove(other)
        yield from _condition(one, other)
    if missing:
        yield _Finding("missing_condition", f"lacks the condition {_listed([p.text for p in missing])}")
    if extra:
        yield _Finding("extra_condition", f"adds the condition {_listed([p.text for p in extra])}")


def _pairs(missing: Sequence[Predicate], extra: Sequence[Predicate]) -> list[tuple[Predicate, Predicate]]:
    """Conditions on the same column, or with the same comparison of another one; the likest pairs first."""
    scores = [
        (-one.likeness(other), at, place, one, other)
        for at, one in enumerate(missing)
        for place, other in enumerate(extra)
        if one.likeness(other) >= 3
    ]
    pairs: list[tuple[Predicate, Predicate]] = []
    used: set[tuple[str, int]] = set()
    for _, at, place, one, other in sorted(scores, key=lambda score: score[:3]):
        if not used & {("gold", at), ("predicted", place)}:
            used |= {("gold", at), ("predicted", place)}
            pairs.append((one, other))
    return pairs


def _condition(gold: Predicate, predicted: Predicate) -> Iterator[_Finding]:
    if gold.left != predicted.left:
        yield _Finding("column", f"tests {short(predicted.left)} instead of {short(gold.left)}")
        return
    if gold.subquery and predicted.subquery and gold.operator == predicted.operator:
        yield from _compared(Query(gold.subquery), Query(predicted.subquery))
        return
    text = f"tests {short(predicted.text)} instead of {short(gold.text)}"
    if gold.operator != predicted.operator:
        yield _Finding("operator", text)
    if bool(gold.subquery) != bool(predicted.subquery):
        yield _Finding("subquery", text)
    elif gold.right != predicted.right:
        yield _Finding("literal", text)


def _connectives(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    """AND in the place of OR, where the conditions are equally many."""
    if len(predicates(gold)) == len(predicates(predicted)):
        one, other = (len(list(_connected(select))) for select in (gold, predicted))
        if one != other:
            names = ("AND", "OR") if one > other else ("OR", "AND")
            yield _Finding("operator", f"connects conditions by {names[0]} instead of {names[1]}")


def _connected(select: exp.Select) -> Iterator[exp.Or]:
    """The ORs of a WHERE clause that are in no subquery of it."""
    where = select.args.get("where")
    for node in where.find_all(exp.Or) if where else ():
        if node.find_ancestor(exp.Select) is select:
            yield node


def _grouping(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    lists = [
        [text_of(e) for e in (select.args["group"].expressions if select.args.get("group") else ())]
        for select in (gold, predicted)
    ]
    yield from _changes("grouping", lists[0], lists[1], "groups by", "group by")


def _having(gold: exp.Select, predicted: exp.Select) -> Iterator[_Finding]:
    one, other = (s.args["having"].this if s.args.get("having") else None for s in (gold, predicted))
    if one and other and text_of(one) != text_of(other):
        texts = short(text_of(other)), short(text_of(one))
        yield _Finding("having", f"tests HAVING {texts[0]} instead of HAVING {texts[1]}")
    elif one and not other:
        yield _Finding("having", f"lacks HAVING {short(text_of(one))}")
    elif other and not one:
        yield _Finding("having", f"adds HAVING {short(text_of(other))}")


def _order(gold: exp.Expr, predicted: exp.Expr) -> Iterator[_Finding]:
    one, other = _keys(gold), _keys(predicted)
    if one == other:
        return
    if not other:
        yield _Finding("order", f"does not sort by {_listed([_key(key) for key in one])}")
    elif not one:
        yield _Finding("order", f"sorts by {_listed([_key(key) for key in other])}")
    elif [key for key, _ in one] == [key for key, _ in other]:
        yield _Finding("order", "sorts in the other direction")
    else:
        keys = [_listed([_key(key) for key in keys]) for keys in (other, one)]
        yield _Finding("order", f"sorts by {keys[0]} instead of {keys[1]}")


def _keys(tree: exp.Expr) -> list[tuple[str, bool]]:
    """The keys of ORDER BY, each with whether it is descending."""
    order = tree.args.get("order")
    return [(text_of(key.this), bool(key.args.get("desc"))) for key in order.expressions] if order else []


def _key(key: tuple[str, bool]) -> str:
    return f"{key[0]} descending" if key[1] else key[0]


def _limit(gold: exp.Expr, predicted: exp.Expr) -> Iterator[_Finding]:
    for name in ("limit", "offset"):
        one, other = (
            each.args[name].expression if each.args.get(name) else None for each in (gold, predicted)
        )
        texts = [text_of(each) if each else "" for each in (one, other)]
        word = name.upper()
        if texts[0] and texts[1] and texts[0] != texts[1]:
            yield _Finding("limit", f"has {word} {short(texts[1])} instead of {word} {short(texts[0])}")
        elif texts[0] and not texts[1]:
            yield _Finding("limit", f"lacks {word} {short(texts[0])}")
        elif texts[1] and not texts[0]:
            yield _Finding("limit", f"adds {word} {short(texts[1])}")
