"""bench/extraction.py: the set of answers, and the table of what is extracted from them."""

from __future__ import annotations

from collections import Counter

import pytest
from click.testing import CliRunner

from bench import extraction as bench


def test_no_answer_is_in_the_set_twice() -> None:
    answers = Counter(answer.answer for answer in bench.read_answers())
    assert not [answer for answer, count in answers.items() if count > 1]


def test_a_third_of_the_answers_was_held_back() -> None:
    first = [answer for answer in bench.read_answers() if not answer.later]
    assert len(first) >= 150
    assert sum(answer.held_back for answer in first) >= len(first) / 3


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("So:\n```sql\nSELECT 1;\n```\nor\n```\nSELECT 2\n```", "SELECT 1"),
        ("SELECT 1;\n", "SELECT 1"),
        ("So: SELECT 1", "So: SELECT 1"),
    ],
)
def test_the_simple_method_takes_the_first_fence_or_the_whole_text(raw: str, expected: str) -> None:
    assert bench.first_fence(raw) == expected


def test_a_share_is_in_percent() -> None:
    answers = [bench.Answer("plain", "SELECT  1", "SELECT 1"), bench.Answer("plain", "SELECT 2", "SELECT 1")]
    assert bench.share(bench.first_fence, answers) == 50.0


def test_the_table_has_a_line_for_each_kind_and_the_limit_holds() -> None:
    result = CliRunner().invoke(bench.main, ["--rounds", "1"])
    assert result.exit_code == 0, result.output
    kinds = {answer.kind for answer in bench.read_answers()}
    assert all(
        f"\n| {kind} | " in result.output for kind in kinds | {"**all**", "held back", "written later"}
    )


def test_a_share_below_the_limit_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "extract_sql", bench.first_fence)
    assert CliRunner().invoke(bench.main, ["--rounds", "1"]).exit_code == 1
