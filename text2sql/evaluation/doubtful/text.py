"""What the text of a query makes suspect: LIMIT, order, today's date.

Not covered: a query that sqlglot cannot parse, of which only today's date is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from text2sql.evaluation.doubtful.rewriting import Node, Suspicion, by_all_columns, replaced, short, text_of
from text2sql.evaluation.spider.rewrite import order_matters

_NOW = re.compile(
    r"""\b(?:strftime|date|time|datetime|julianday|unixepoch)\s*\( (?: \s*\) | [^()]* ['"]now['"] )
    | (?<![.\w"`\[]) current_(?:date|time|timestamp)\b (?!\s*[.(])
    | \brandom(?:blob)?\s*\(""",
    re.IGNORECASE | re.VERBOSE,
)
# What looks like a call within a string is none.
_TEXTS = re.compile(r"'(?!now')(?:[^']|'')*'", re.IGNORECASE)
_AGGREGATES = ("total", "group_concat", "string_agg", "json_group_array", "json_group_object")


def todays_date(sql: str) -> Iterator[Suspicion]:
    """Yield a suspicion for a query that uses the date of today or a random number."""
    found = _NOW.search(_TEXTS.sub("''", sql))
    if found:
        what = "a random number" if found[0].lower().startswith("random") else "today's date"
        yield Suspicion("todays_date", f"{short(found[0])}: {what}")


def order_suspicions(tree: exp.Query, columns: int | None) -> Iterator[Suspicion]:
    """Yield what a query leaves to the order of rows; `columns` is the number of columns of its result.

    The order within a tie is given both ways: results that then differ depend on an order not asked for.
    """
    for node in tree.find_all(exp.Query):
        limited = node.args.get("limit") is not None and not isinstance(node.parent, exp.Exists)
        number = (columns if node is tree else None) or _columns(node)
        if limited and node.args.get("order"):
            what = short(f"{text_of(node.args['order']).strip()} {_limit(node)}")
            ties = _both_ways(tree, node, number)
            yield Suspicion("limit_ties", f"rows tie under {what}", ties, listed=False)
        elif limited and not _one_row(node):
            both = _both_ways(tree, node, number)
            yield Suspicion("limit_without_order", f"{_limit(node)} without ORDER BY", both)
    yield from _order_of_the_result(tree, columns or _columns(tree))


def order_patterns(tree: exp.Query) -> list[str]:
    """What in a query may depend on the order in which rows are stored, in words."""
    found = []
    for select in tree.find_all(exp.Select):
        names = _bare_columns(select)
        if names:
            listed = ", ".join(names[:3])
            found.append(f"{listed}: neither grouped nor aggregated")
    for node in tree.find_all(exp.GroupConcat):
        if not node.find(exp.Order):
            found.append(f"{short(node, 40)}: joined in no given order")
    return list(dict.fromkeys(found))


def _order_of_the_result(tree: exp.Query, number: int) -> Iterator[Suspicion]:
    """Where the order of the rows counts: rows that tie, or a result that is not sorted at all."""
    both = _both_ways(tree, tree, number)
    if tree.args.get("order"):
        what = short(text_of(tree.args["order"]).strip())
        why = f"different rows tie under {what}, and their order counts in the comparison"
        yield Suspicion("order_not_asked", why, both, "order", listed=False)
    elif order_matters(text_of(tree)) and not _one_row(tree):
        why = (
            "the result is not sorted, but its order counts in the comparison, because ORDER BY is elsewhere"
        )
        yield Suspicion("order_not_asked", why, both, "order", listed=False)


def _both_ways(tree: exp.Query, node: exp.Query, columns: int) -> tuple[str, str]:
    """The query with rows that tie in `node` sorted by all its columns, upwards and downwards."""

    def sort(descending: bool) -> str:
        def extend(copy: Node) -> Node:
            order = copy.args.get("order")
            keys = [*(order.expressions if order else ()), *by_all_columns(columns, descending)]
            copy.set("order", exp.Order(expressions=keys))
            return copy

        return replaced(tree, [node], extend)

    return sort(False), sort(True)


def _columns(node: exp.Query) -> int:
    """The number of columns by which a tie can be broken: all, or of * the first."""
    return 1 if any(each.is_star for each in node.selects) else max(1, len(node.selects))


def _limit(node: exp.Query) -> str:
    offset = node.args.get("offset")
    return " ".join(text_of(part).strip() for part in (node.args["limit"], offset) if part)


def _one_row(node: exp.Query) -> bool:
    """Whether the query has one row whatever the data: an aggregate without GROUP BY, or no table."""
    if not isinstance(node, exp.Select) or node.args.get("group"):
        return False
    return not node.args.get("from_") or any(map(_aggregates, node.expressions))


def _bare_columns(select: exp.Select) -> list[str]:
    """Columns of an aggregate query that are neither grouped nor aggregated.

    With a single min or max SQLite takes the row that has it, see "Bare columns in an aggregate query" in
    https://www.sqlite.org/lang_select.html, so that is left to the run on the data. Where GROUP BY has a
    column of the same table the column may depend on it, which the text does not say: only the run on the
    data tells. So these columns are not in the list.
    """
    if not any(map(_aggregates, select.expressions)) or _min_or_max(select):
        return []
    group = select.args.get("group")
    keys = list(group.expressions) if group else []
    if any(isinstance(key, exp.Column) and not key.table for key in keys):
        return []
    tables = {key.table.casefold() for key in keys if isinstance(key, exp.Column)}
    texts = {text_of(key).casefold() for key in keys}
    return [
        text_of(column)
        for each in select.expressions
        for column in _outside_aggregates(each)
        if text_of(column).casefold() not in texts
        and (not tables or (column.table and column.table.casefold() not in tables))
    ]


def _min_or_max(select: exp.Select) -> bool:
    found = [node for each in select.expressions for node in each.find_all(exp.AggFunc)]
    return len(found) == 1 and isinstance(found[0], exp.Min | exp.Max)


def _outside_aggregates(node: Node) -> Iterator[exp.Column]:
    if isinstance(node, exp.Column):
        quoted = isinstance(node.this, exp.Identifier) and node.this.quoted
        if not node.is_star and not (quoted and not node.table):  # "x" may be a string
            yield node
        return
    if _is_aggregate(node) or isinstance(node, exp.Query | exp.Window):
        return
    for child in node.iter_expressions():
        yield from _outside_aggregates(child)


def _aggregates(node: Node) -> bool:
    """Whether an expression has an aggregate of its own query."""
    if isinstance(node, exp.Query | exp.Window):
        return False
    return _is_aggregate(node) or any(map(_aggregates, node.iter_expressions()))


def _is_aggregate(node: Node) -> bool:
    if isinstance(node, exp.Min | exp.Max):
        return not node.expressions  # with several arguments they are functions of one row
    if isinstance(node, exp.Anonymous):
        return str(node.this).casefold() in _AGGREGATES
    return isinstance(node, exp.AggFunc)
