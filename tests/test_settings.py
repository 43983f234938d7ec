"""Errors in settings name the key."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import AfterValidator, Field, model_validator

from text2sql.errors import UserError
from text2sql.settings import Positive, Settings, checked


class Inner(Settings):
    steps: Positive
    rate: float = 0.5


def _without_space(name: str) -> str:
    if " " in name:
        raise ValueError("a name has no space")
    return name


class Outer(Settings):
    arm: Inner
    arms: dict[Annotated[str, AfterValidator(_without_space)], Inner] = Field(default_factory=dict)
    kinds: list[str] = Field(default_factory=lambda: ["a"], min_length=1)

    @model_validator(mode="after")
    def _refuse_seven(self) -> Outer:
        if self.arm.steps == 7:
            raise ValueError("arm.steps must not be 7")
        return self


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arm": {"steps": 0}}, "f.yaml: arm.steps: Input should be greater than 0 (found 0)"),
        ({"arm": {}}, "f.yaml: arm.steps: missing"),
        ({"arm": {"steps": "1"}}, "f.yaml: arm.steps: Input should be a valid integer (found '1')"),
        ({"arm": {"step": 1, "steps": 1}}, "f.yaml: arm.step: unknown key; allowed beside it: steps, rate"),
        (
            {"arm": {"steps": 1}, "arms": {"own": {"steps": 1, "ranks": 1}}},
            "f.yaml: arms.own.ranks: unknown key; allowed beside it: steps, rate",
        ),
        ({"arm": {"steps": 1}, "arn": 1}, "f.yaml: arn: unknown key; allowed beside it: arm, arms, kinds"),
        ({"arm": None}, "f.yaml: arm: needs keys with values; allowed keys: steps, rate (found None)"),
        (
            {"arm": {"steps": 1}, "arms": {"own": 3}},
            "f.yaml: arms.own: needs keys with values; allowed keys: steps, rate (found 3)",
        ),
        (
            {"arm": {"steps": 1}, "arms": None},
            "f.yaml: arms: needs keys with values, or {} for none (found None)",
        ),
        ([], "f.yaml: needs keys with values; allowed keys: arm, arms, kinds"),
        ({"arm": {"steps": 1}, "kinds": []}, "f.yaml: kinds: needs at least 1 entry (found [])"),
        ({"arm": {"steps": 1}, "arms": {"a b": {"steps": 1}}}, "f.yaml: arms.a b: a name has no space"),
        ({"arm": {"steps": 7}}, "f.yaml: arm.steps must not be 7"),
    ],
)
def test_an_error_names_file_key_and_value(values: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        checked(Outer, values, "f.yaml")
    assert str(error.value) == message


def test_all_errors_are_listed_at_once() -> None:
    with pytest.raises(UserError, match=r"arm\.steps: .*; arm\.rate: "):
        checked(Outer, {"arm": {"steps": 0, "rate": "x"}}, "f.yaml")


def test_an_invalid_default_is_refused() -> None:
    class Wrong(Settings):
        steps: Positive = 0

    with pytest.raises(UserError, match="steps"):
        checked(Wrong, {}, "f.yaml")
