"""The judge's settings, and those of them that a metrics file names."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from text2sql.evaluation.judge import describe
from text2sql.evaluation.settings import METRICS, EvaluationSettings, JudgeSettings


def test_every_field_of_the_section_is_a_field_of_the_judge() -> None:
    section = EvaluationSettings(timeout_s=2.0, max_rows=5, keep_value=True, executor="ray")
    assert section.model_dump().items() <= JudgeSettings(**section.model_dump()).model_dump().items()


@pytest.mark.parametrize(
    "values",
    [
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"timeout_s": float("inf")},
        {"memory_mb": 1},
        {"spill_mb": -1},
        {"max_rows": 0},
        {"max_rows": 1.5},
        {"keep_value": 1},
        {"executor": "threads"},
        {"timeout": 1.0},
        {"metrics": ["accuracy"]},
        {"metrics": []},
        {"metrics": "ex"},
        {"ves_runs": 1},
    ],
)
def test_a_value_that_is_not_allowed_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JudgeSettings.model_validate(values)


def test_every_field_has_a_description_for_the_command_line() -> None:
    assert [name for name, field in JudgeSettings.model_fields.items() if not field.description] == []


def test_scores_name_every_setting_that_can_change_them() -> None:
    not_named = {"executor", "metrics"}  # where it runs, and which scores there are
    described = describe(JudgeSettings(metrics=list(METRICS)))
    named = described.keys() - {"version", "sqlite", "plug_values"}
    assert named == JudgeSettings.model_fields.keys() - not_named
    assert described["plug_values"] is True


def test_scores_do_not_name_the_runs_of_a_metric_that_was_not_computed() -> None:
    assert "ves_runs" not in describe(JudgeSettings(metrics=["ex", "strict"]))
