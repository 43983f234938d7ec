"""leaks.md shows the figures and some of the rows."""

from __future__ import annotations

from text2sql.contamination.evidence import Evidence
from text2sql.contamination.page import leaks_page
from text2sql.records import TestQuestion, TrainingRow

FIGURES = {
    "rows": 1234,
    "removed": 2,
    "removed_by_rule": {"question": 2, "contains": 0},
    "removed_by_source": {"a": {"rows": 1200, "question": 2, "contains": 0, "removed": 2}},
    "test_sets": {"one": {"questions": 3, "before": 66.67, "after": 0.0}},
    "duplicates": {"rows": 5, "removed": 0, "by_source": {"a": 5}},
}
TEST = [TestQuestion(7, "d", "Who|what?", "SELECT 1", "", "all")]


def test_the_page_has_the_figures_and_the_examples() -> None:
    row = TrainingRow("a:1", "a", "who\nwhat " + "long " * 90, "", "SELECT 1")
    page = leaks_page(FIGURES, [(row, Evidence("question", 7, 1.0))], TEST)
    lines = page.splitlines()
    assert "| a | 1,200 | 2 | 0 | 2 |" in lines
    assert "| one | 3 | 66.67 % | 0.0 % |" in lines
    assert "| a | 5 |" in lines
    (example,) = (line for line in lines if line.startswith("| question | a:1 |"))
    assert example.endswith("... | Who\\|what? | 1.00 |") and "who what long" in example
    assert page.endswith("\n")


def test_a_page_without_leaks_has_empty_tables() -> None:
    figures = FIGURES | {"removed_by_source": {}, "test_sets": {}}
    assert "| rule | row |" in leaks_page(figures, [], TEST)
