"""Where a query compares or sorts text as if it were numbers, or numbers with text.

SQLite's rules: https://www.sqlite.org/datatype3.html, section 4.2. A column's declared type decides how its
values compare; of an expression without a type nothing is converted.
Not covered: columns of views, subqueries in FROM and common table expressions; IN with a subquery.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from text2sql.evaluation.doubtful.rewriting import Node, Suspicion, replaced, short
from text2sql.schema.ddl import quote_name
from text2sql.schema.model import Schema

Types = Mapping[str, Mapping[str, str]]
"""For each table the declared type of each column; names are case-folded."""

_Kind = Literal[
    "text column", "number column", "text value", "number value", "text literal", "number literal"
]
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ)
_TEXT_VALUES = (
    exp.TimeToStr,
    exp.Substring,
    exp.Lower,
    exp.Upper,
    exp.Trim,
    exp.DPipe,
    exp.Date,
    exp.Replace,
)
_NUMBER_VALUES = (
    exp.Count,
    exp.Sum,
    exp.Avg,
    exp.Length,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.Mod,
    exp.Abs,
)
_SORTING = {exp.Ordered: "sorted", exp.Min: "minimum of", exp.Max: "maximum of"}
_NUMERIC_SHARE = 0.9  # of a text column's values, from which its order is taken to be that of numbers


@dataclass(frozen=True, slots=True)
class _Operand:
    kind: _Kind
    node: Node
    table: str = ""  # of a column
    column: str = ""


# pairs that SQLite compares in a way that the query may not mean; the first one is rewritten
_SUSPECT: dict[tuple[_Kind, _Kind], str] = {
    ("text column", "number literal"): "the text column {0} is compared with the number {1}, as text",
    ("text column", "number value"): "the text column {0} is compared with the number {1}",
    ("text column", "number column"): "the text column {0} is compared with the number column {1}",
    ("text value", "number literal"): "{0} is text, which never equals the number {1} and is always greater",
    ("text value", "number value"): "{0} is text, which never equals the number {1} and is always greater",
    ("text literal", "number value"): "the text {0} never equals the number {1} and is always greater",
    ("text literal", "number column"): "the number column {1} is compared with the text {0}",
}


def types_of(schema: Schema) -> Types:
    """The declared types of a schema."""
    return {
        table.name.casefold(): {column.name.casefold(): column.type for column in table.columns}
        for table in schema.tables
    }


def type_suspicions(tree: exp.Query, types: Types | None) -> Iterator[Suspicion]:
    """Yield the comparisons of text with numbers; without `types` those that the text alone proves."""
    for node in tree.walk():
        for one, other in _compared(node):
            operands = [_operand(one, types), _operand(other, types)]
            for first, second in (operands, operands[::-1]):
                if first and second and (first.kind, second.kind) in _SUSPECT:
                    yield from _comparison(tree, first, second)
        if types:
            yield from _sorted_text(tree, node, types)


def _compared(node: Node) -> Iterator[tuple[Node, Node]]:
    if isinstance(node, _COMPARISONS):
        yield node.this, node.expression
    elif isinstance(node, exp.Between):
        yield from ((node.this, node.args["low"]), (node.this, node.args["high"]))
    elif isinstance(node, exp.In):
        # of a list of literals of one kind the first one is enough
        yield from ((node.this, each) for each in node.expressions[:1])


def _comparison(tree: exp.Query, first: _Operand, second: _Operand) -> Iterator[Suspicion]:
    why = _SUSPECT[first.kind, second.kind].format(short(first.node, 40), short(second.node, 40))
    if first.kind == "text literal":
        if second.kind == "number value":
            number = _number(first.node.name)
            rewritten = (replaced(tree, [first.node], lambda _: exp.Literal.number(first.node.name)),)
            yield Suspicion("text_with_number", why, rewritten if number else (), "numbers")
        elif not _number(first.node.name):
            stored = f"SELECT 1 FROM {quote_name(second.table)} WHERE typeof({quote_name(second.column)})"
            yield Suspicion("text_with_number", why, right_if_none=f"{stored} = 'text' LIMIT 1")
        return
    yield Suspicion("text_with_number", why, (_with_numbers(tree, [first.node]),), "numbers")


def _sorted_text(tree: exp.Query, node: Node, types: Types) -> Iterator[Suspicion]:
    """A text column that is sorted, or whose minimum or maximum is taken, where its values are numbers."""
    what = next((words for kind, words in _SORTING.items() if isinstance(node, kind)), "")
    if not what or node.expressions or node.find_ancestor(exp.Window):
        return
    found = _operand(_unalias(node.this), types)
    if found and found.kind == "text column":
        why = f"{what} {short(found.node, 40)}: numbers stored as text, which compare as text"
        rewritten = (_with_numbers(tree, [node.this]),)
        numeric = _holds_numbers(found.table, found.column)
        yield Suspicion("text_with_number", why, rewritten, "numbers", only_if=numeric)


def _with_numbers(tree: exp.Query, nodes: list[Node]) -> str:
    """The SQL with `(x + 0)` for each node: a number without a type of its own, unlike CAST(x AS REAL)."""
    return replaced(tree, nodes, lambda node: exp.paren(exp.Add(this=node, expression=exp.Literal.number(0))))


def _holds_numbers(table: str, column: str) -> str:
    """SQL that returns a row if nearly all texts of a column are numbers."""
    name = quote_name(column)
    text = f"trim({name})"
    digits = f"ltrim({text}, '+-')"
    numeric = f"{digits} GLOB '*[0-9]*' AND {digits} NOT GLOB '*[^0-9.]*' AND {digits} NOT GLOB '*.*.*'"
    share = f"SELECT avg({numeric}) FROM {quote_name(table)} WHERE {text} <> ''"
    return f"SELECT 1 WHERE ({share}) >= {_NUMERIC_SHARE}"


def _operand(node: Node, types: Types | None) -> _Operand | None:
    """What is compared, None if its type is not known."""
    node = node.unnest()
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return _Operand("number literal", node)
    if isinstance(node, exp.Literal):
        return _Operand("text literal" if node.is_string else "number literal", node)
    if isinstance(node, exp.Column):
        return _column(node, types)
    if isinstance(node, exp.Min | exp.Max) and not node.expressions:
        inner = _operand(node.this, types)
        return (
            _Operand("text value" if inner.kind.startswith("text") else "number value", node)
            if inner
            else None
        )
    if isinstance(node, _TEXT_VALUES):
        return _Operand("text value", node)
    if isinstance(node, _NUMBER_VALUES):
        return _Operand("number value", node)
    return None


def _column(node: exp.Column, types: Types | None) -> _Operand | None:
    if types is None:
        return None
    found = _resolve(node, types)
    if found is None:
        unknown = not node.table and isinstance(node.this, exp.Identifier) and node.this.quoted
        known = any(node.name.casefold() in columns for columns in types.values())
        return _Operand("text literal", node) if unknown and not known else None
    table, column = found
    kind = kind_of_type(types[table][column])
    return _Operand(f"{kind} column", node, table, column) if kind else None  # type: ignore[arg-type]


def _resolve(node: exp.Column, types: Types) -> tuple[str, str] | None:
    """The table and the column that a name means; None if it is not one column of one table."""
    name, table = node.name.casefold(), node.table.casefold()
    scope = node.find_ancestor(exp.Select)
    while scope is not None:
        sources = _sources(scope)
        if table:
            if table in sources:
                real = sources[table]
                return (real, name) if name in types.get(real, ()) else None
        else:
            found = [real for real in sources.values() if name in types.get(real, ())]
            if found:
                return (found[0], name) if len(found) == 1 else None
        scope = scope.find_ancestor(exp.Select)
    return None


def _sources(select: exp.Select) -> dict[str, str]:
    """The tables of a query by the name that columns refer to; both case-folded."""
    start = select.args.get("from_")
    joined = [join.this for join in select.args.get("joins") or ()]
    tables = [node for node in ([start.this] if start else []) + joined if isinstance(node, exp.Table)]
    return {table.alias_or_name.casefold(): table.name.casefold() for table in tables}


def kind_of_type(declared: str) -> Literal["text", "number"] | None:
    """How values of a declared type compare, None for blobs, dates and whatever is none of these.

    By the rules of https://www.sqlite.org/datatype3.html#determination_of_column_affinity; but DATE and other
    words that SQLite treats as numbers are usually stored as text on purpose.
    """
    upper = declared.upper()
    if "INT" in upper:
        return "number"
    if any(word in upper for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    numbers = ("REAL", "FLOA", "DOUB", "NUM", "DEC")
    return "number" if "BLOB" not in upper and any(word in upper for word in numbers) else None


def _unalias(node: Node) -> Node:
    return node.this if isinstance(node, exp.Alias) else node


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
