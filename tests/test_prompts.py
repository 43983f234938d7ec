"""Texts of prompts."""

from __future__ import annotations

import pytest

from text2sql.prompts import with_evidence


@pytest.mark.parametrize("evidence", ["", " \n"])
def test_a_question_without_evidence_stays_as_it_is(evidence: str) -> None:
    assert with_evidence(" How many? ", evidence) == "How many?"


def test_evidence_is_on_a_line_of_its_own() -> None:
    assert with_evidence("How many?", " few = under 3 ") == "How many?\nEvidence: few = under 3"
