"""text2sql.report.marks: colours of SQL, and marks on what differs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text2sql.report.marks import Token, coloured, marked, runs


def shown(tokens: list[Token]) -> str:
    """The text with marked parts in braces."""
    text = "".join(f"{{{token.text}}}" if token.marked else token.text for token in tokens)
    return text.replace("}{", "")


@pytest.mark.parametrize(
    ("gold", "predicted", "gold_shown", "predicted_shown"),
    [
        ("SELECT a FROM t", "SELECT DISTINCT a FROM t", "SELECT a FROM t", "SELECT {DISTINCT} a FROM t"),
        ("SELECT a FROM t", "SELECT b FROM t", "SELECT {a} FROM t", "SELECT {b} FROM t"),
        (
            "SELECT a FROM t WHERE b = 1",
            "SELECT a FROM u WHERE b = 1",
            "SELECT a FROM {t} WHERE b = 1",
            "SELECT a FROM {u} WHERE b = 1",
        ),
        (
            "SELECT t.a FROM t JOIN u ON t.i = u.i",
            "SELECT u.a FROM t JOIN u ON t.i = u.i",
            "SELECT {t.a} FROM t JOIN u ON t.i = u.i",
            "SELECT {u.a} FROM t JOIN u ON t.i = u.i",
        ),
        (
            "SELECT a FROM t WHERE b = 'x y'",
            "SELECT a FROM t WHERE b = 'z'",
            "SELECT a FROM t WHERE b = {'x y'}",
            "SELECT a FROM t WHERE b = {'z'}",
        ),
        (
            "SELECT a FROM t WHERE b > 5 AND c = 1",
            "SELECT a FROM t WHERE b < 5 AND c = 1",
            "SELECT a FROM t WHERE b {>} 5 AND c = 1",
            "SELECT a FROM t WHERE b {<} 5 AND c = 1",
        ),
        (
            "SELECT a FROM t UNION SELECT b FROM u",
            "SELECT a FROM t EXCEPT SELECT b FROM u",
            "SELECT a FROM t {UNION} SELECT b FROM u",
            "SELECT a FROM t {EXCEPT} SELECT b FROM u",
        ),
        (
            "SELECT a FROM t ORDER BY b DESC LIMIT 1",
            "SELECT a FROM t",
            "SELECT a FROM t {ORDER BY b DESC LIMIT 1}",
            "SELECT a FROM t",
        ),
    ],
)
def test_what_the_trees_do_not_share_is_marked(
    gold: str, predicted: str, gold_shown: str, predicted_shown: str
) -> None:
    assert tuple(map(shown, marked(gold, predicted))) == (gold_shown, predicted_shown)


def test_case_and_aliases_are_not_marked() -> None:
    one, other = marked("SELECT T1.a FROM t AS T1", "select x.A from T x")
    assert not any(token.marked for token in [*one, *other])


def test_sql_that_does_not_parse_is_compared_by_its_tokens() -> None:
    one, other = marked("SELECT a FROM t", "SELECT a FROM (t")
    assert (shown(one), shown(other)) == ("SELECT a FROM t", "SELECT a FROM {(}t")


def test_a_query_of_hundreds_of_nodes_is_compared_by_its_tokens() -> None:
    many = ", ".join(f"c{number}" for number in range(400))
    one, _ = marked(f"SELECT {many} FROM t", f"SELECT {many}, d FROM t")
    assert not any(token.marked for token in one)


def test_a_very_long_text_stays_plain() -> None:
    one, other = marked("SELECT 1", "SELECT " + "x " * 20_000)
    assert not any(token.marked for token in [*one, *other]) and len(other) == 1


def test_keywords_texts_numbers_and_comments_have_colours() -> None:
    found = {token.text: token.colour for token in coloured("SELECT a, 'x', 5 FROM t -- why")}
    assert (found["SELECT"], found["'x'"], found["5"], found["a"]) == ("k", "s", "m", ".")
    assert found["-- why"] == "c"


def test_runs_count_the_units_of_javascript() -> None:
    assert runs([Token("😀a", "s"), Token("b", "s"), Token("\ud800", ".", True)]) == "s4.1!"


@settings(max_examples=50)
@given(st.text(max_size=60), st.text(max_size=60))
def test_no_character_is_lost(gold: str, predicted: str) -> None:
    for text, tokens in zip((gold, predicted), marked(gold, predicted), strict=True):
        assert "".join(token.text for token in tokens) == text
        lengths = [int(size) for size in re.findall(r"[a-z.](\d+)", runs(tokens))]
        assert sum(lengths) == len(text.encode("utf-16-le", "surrogatepass")) // 2
