"""Extraction of one statement from an answer: other text is removed, quoted text is unchanged."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text2sql.inference.extract import extract_sql

ANSWERS = Path(__file__).parents[2] / "bench" / "answers.jsonl"
MISSED = ["\n\nWHERE is not needed because"]  # in answers from which the wrong SQL is extracted
SQL = "SELECT name FROM singer WHERE age > 20"
# quoted text, without fences and tags, which extraction does not cover
LITERALS = st.text(st.characters(exclude_characters="\0`<", exclude_categories=["Cs"])).map(
    lambda text: "'" + text.replace("'", "''") + "'"
)
GAPS = st.sampled_from([" ", "\n", "\t\n  ", " -- why; not 'so\n", "/* no; ``` \n SELECT */", "\r\n"])


@pytest.mark.parametrize(
    "raw",
    [
        SQL,
        f"  {SQL} ;\n",
        f"```sql\n{SQL};\n```",
        f"```sqlite\n{SQL}",
        f"``` {SQL}```",
        f"{SQL}\n```",
        f"SQL: {SQL}",
        f"<think>\n\n</think>\n\n{SQL}",
        f"<think>\nMaybe SELECT 1; no.\n</think>\n{SQL}",
        f"Maybe SELECT 1; no.\n</think>\n{SQL}",
        f"<sql>{SQL}</sql>",
        f"Here is the query:\n\n{SQL}\n\nIt returns every name.",
        f"{SQL}\nThis query returns every name.",
        f"Select all names from the singer table:\n{SQL}",
        f"With a filter on the age (SQLite)\n{SQL};",
        f"The answer is `{SQL}`, I think.",
        f"You select names with {SQL}; that is all.",
        f"The table is\n```sql\nCREATE TABLE singer (name, age);\n```\nso:\n```sql\n{SQL}\n```",
        f"```sql\nCREATE VIEW v AS SELECT 1;\n```\n```sql\n{SQL}\n```",
    ],
)
def test_text_around_the_statement_is_removed(raw: str) -> None:
    assert extract_sql(raw) == SQL


def test_the_first_of_several_statements_is_taken() -> None:
    assert extract_sql(f"{SQL}; SELECT 2; SELECT 3") == SQL


def test_of_several_fences_the_first_with_a_query_is_taken() -> None:
    assert extract_sql(f"```sql\n{SQL}\n```\nor\n```sql\nSELECT 2\n```") == SQL


def test_a_with_statement_is_complete() -> None:
    raw = "```\nWITH old AS (\n  SELECT * FROM singer\n)\nSELECT name\nFROM old;\n```"
    assert extract_sql(raw) == "WITH old AS ( SELECT * FROM singer ) SELECT name FROM old"


def test_the_word_with_in_prose_does_not_start_a_statement() -> None:
    assert extract_sql(f"with the join one gets: {SQL}") == SQL


@pytest.mark.parametrize("raw", ["", "   ", "I cannot answer that.", "<think> SELECT 1", "selection"])
def test_an_answer_without_sql_gives_an_empty_string(raw: str) -> None:
    assert extract_sql(raw) == ""


@pytest.mark.parametrize(
    "broken",
    [
        "SELECT name FROM singer WHERE id IN ( SELECT id FROM concert",
        "SELECT name FROM singer WHERE age >",
        "SELECT name FROM FROM singer",
        "WITH old AS ( SELECT name FROM singer ) SELECT",
        "SELECT name FROM singer UNION",
    ],
)
def test_invalid_sql_is_not_corrected(broken: str) -> None:
    assert extract_sql(broken.replace(" (", " (\n")) == broken
    assert extract_sql(broken.replace(" SELECT", "\nSELECT").replace(" WHERE", "\n\nWHERE")) == broken


@pytest.mark.parametrize("quotes", ['"a;b"', "[a;b -- c]", "'it''s; -- so'", '"a""b;"', "'\n\nNo\n'"])
def test_quoted_text_is_unchanged(quotes: str) -> None:
    assert extract_sql(f"SELECT {quotes}\nFROM t;") == f"SELECT {quotes} FROM t"


def test_an_unterminated_quote_is_not_an_error() -> None:
    assert extract_sql("SELECT 'O'Brien' FROM t") == "SELECT 'O'Brien' FROM t"


def test_an_answer_full_of_repetitions_gives_a_statement() -> None:
    raw = "SELECT (\nName\n\n'" * 2000
    assert extract_sql(raw).startswith("SELECT ( Name")


@given(st.text() | st.text("SELECTselect wWiIthH(`'\"[]<>/think*-;:.\n a", max_size=80))
def test_no_text_raises_an_error(raw: str) -> None:
    assert isinstance(extract_sql(raw), str)
    assert isinstance(extract_sql(f"SELECT {raw}"), str)


@given(
    LITERALS,
    st.sampled_from(["{};", "```sql\n{}\n```", "So:\n{};\nSELECT 2", "<think>x</think>{}"]),
)
def test_a_literal_is_unchanged_in_any_surrounding_text(literal: str, wrapping: str) -> None:
    sql = f"SELECT name FROM singer WHERE name = {literal} AND age > 20"
    assert extract_sql(wrapping.replace("{}", sql)) == sql


@settings(max_examples=50)
@given(st.lists(GAPS, min_size=7, max_size=7))
def test_space_and_comments_between_words_become_one_space(gaps: list[str]) -> None:
    words = SQL.split()
    raw = "".join(word + gap for word, gap in zip(words, gaps, strict=False)) + words[-1]
    assert extract_sql(raw) == SQL


# A backslash and a quote before FROM are taken for an escaped quote.
@given(LITERALS.filter(lambda literal: not literal.endswith("\\'")), GAPS)
def test_extracting_twice_changes_nothing(literal: str, gap: str) -> None:
    once = extract_sql(f"Look:{gap}SELECT{gap}{literal}{gap}FROM t; done")
    assert extract_sql(once) == once


def numbered_answers() -> list[tuple[str, dict[str, str]]]:
    """The rows of bench/answers.jsonl, each with a name."""
    rows = map(json.loads, ANSWERS.read_text(encoding="utf-8").splitlines())
    return [(f"{number}: {row['kind']}", row) for number, row in enumerate(rows, 1)]


def answers() -> list[object]:
    """A test case for each answer; the known misses must fail."""
    missed = pytest.mark.xfail(strict=True, reason="known")
    return [
        pytest.param(
            row["answer"],
            row["sql"],
            id=name,
            marks=[missed] if any(text in row["answer"] for text in MISSED) else [],
        )
        for name, row in numbered_answers()
    ]


@pytest.mark.parametrize(("answer", "sql"), answers())
def test_the_right_sql_is_extracted_from_an_answer(answer: str, sql: str) -> None:
    assert extract_sql(answer) == sql


def test_sql_that_was_extracted_is_extracted_unchanged() -> None:
    once = {name: extract_sql(row["answer"]) for name, row in numbered_answers()}
    assert {name: extract_sql(sql) for name, sql in once.items()} == once


BRACKETED = "(SELECT a FROM t) UNION (SELECT b FROM u)"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (BRACKETED, "SELECT a FROM t UNION SELECT b FROM u"),
        (f"{BRACKETED} ORDER BY 1", "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1"),
        (
            "(SELECT a FROM t WHERE b IN (1, 2)) EXCEPT (SELECT b FROM u)",
            "SELECT a FROM t WHERE b IN (1, 2) EXCEPT SELECT b FROM u",
        ),
        ("((SELECT a FROM t LIMIT 1))", "SELECT a FROM t LIMIT 1"),
    ],
)
def test_brackets_around_a_whole_select_are_removed(raw: str, expected: str) -> None:
    assert extract_sql(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "(SELECT a FROM t LIMIT 1) UNION (SELECT b FROM u)",
        "SELECT a FROM t EXCEPT (SELECT b FROM u UNION SELECT c FROM v)",
        "(SELECT a FROM t ORDER BY a) UNION SELECT b FROM u",
    ],
)
def test_brackets_with_a_meaning_stay(raw: str) -> None:
    assert extract_sql(raw) == raw


@pytest.mark.parametrize("space", ["\n", "\n\n", " "])
@pytest.mark.parametrize(
    "prose", ["This lists names.", "returns the names of all", "(all of them)", "✅ fine"]
)
def test_an_alias_is_kept_and_prose_after_it_is_not(space: str, prose: str) -> None:
    for sql in ("SELECT s.name FROM singer s", "SELECT count(*) AS n FROM singer AS s WHERE s.age > 20"):
        assert extract_sql(f"{sql}{space}{prose}") == sql


@pytest.mark.parametrize("tag", ["<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<end_of_turn>"])
def test_text_after_the_end_of_the_turn_does_not_count(tag: str) -> None:
    assert extract_sql(f"{SQL}{tag}\nCorrected: SELECT 2 FROM t") == SQL
    assert extract_sql(f"<think>{tag}</think>{SQL};{tag}{tag}") == SQL


@pytest.mark.parametrize("said", ["Corrected:", "Final SQL:", "Wait, this is wrong.", "**Final query:**"])
def test_a_correction_that_sqlite_cannot_parse_does_not_replace_a_query_that_it_can(said: str) -> None:
    assert extract_sql(f"{SQL};\n\n{said}\n\nSELECT name FROM singer WHERE") == SQL
    assert extract_sql(f"SELECT name FROM FROM singer;\n\n{said}\n\n{SQL}") == SQL


def test_common_table_expressions_that_refer_to_one_another_many_times_take_no_time() -> None:
    steps = "".join(f", a{n + 1} AS (SELECT 1 FROM a{n}, a{n} AS b)" for n in range(40))
    sql = f"WITH a0 AS (SELECT 1){steps} SELECT 1 FROM a40"
    assert extract_sql(sql) == sql


HOSTILE = [
    *(
        "(",
        "'",
        '"',
        "[",
        "`",
        "```",
        "{",
        "\\",
        "\0",
        "\ud800",
        "\n",
        " ",
        "a ",
        "人",
        "“",
        "’",
        "**",
        "--",
        "/*",
    ),
    *(
        "<think>",
        "</think>",
        "<",
        "<|",
        "[INST]",
        "&gt;",
        "WITH a (",
        "WITH a AS (",
        "VALUES (",
        "1. SELECT a\n",
    ),
    *("SELECT ", "SELECT (", "SELECT [", "SELECT 1+", "SELECT 'a", "Select a ", "is SELECT a from b. "),
    *("SELECT a FROM t ", "SELECT a FROM t\n\n", "SELECT a FROM t UNION ", "(SELECT a) ", '"SELECT a" '),
    *("SELECT a &gt; ", "\\n", '\\"SELECT ', "Corrected: SELECT a FROM t\n", "wait SELECT a;\n", "final "),
]


@pytest.mark.slow
def test_no_text_takes_long() -> None:
    """100,000 characters take less than a second."""
    for text in HOSTILE:
        for raw in (
            text * (100_000 // len(text)),
            f"SELECT a FROM t WHERE b = {text * (100_000 // len(text))}'",
        ):
            started = time.process_time()
            extract_sql(raw)
            assert time.process_time() - started < 5, raw[:50]
