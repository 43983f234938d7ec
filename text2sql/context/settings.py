"""Settings of what a prompt shows of the question's own database."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import Field, model_validator

from text2sql.settings import Count, Folder, Positive, Settings

EXAMPLES = 20
"""Example values of a column that are kept, and so the most that a prompt can show."""

Share = Annotated[float, Ge(0), Le(1)]


class Context(Settings):
    """What the schema of a prompt shows of its database; see docs/context.md.

    `questions`: a folder with test.jsonl. `link`: the most columns shown, None: all. `missing_rate` and
    `wrong_rate`: of the training rows with value hints, the shares whose hints are left out and replaced by
    other values, so that a model learns that hints can fail.
    """

    questions: Folder
    value_hints: Count = Field(
        0, description="Most values of the question found in the database that are shown."
    )
    example_values: Annotated[int, Ge(0), Le(EXAMPLES)] = Field(0, description="Example values of a column.")
    foreign_keys: bool = Field(True, description="Whether foreign keys are shown.")
    descriptions: bool = Field(False, description="Whether columns have their descriptions.")
    link: Positive | None = Field(None, description="Most columns shown.")
    form: Literal["ddl", "m_schema"] = Field("ddl", description="How the schema is written.")
    train: bool = Field(False, description="Whether training rows are written too.")
    missing_rate: Share = Field(0.1, description="Training rows whose hints are left out.")
    wrong_rate: Share = Field(0.1, description="Training rows whose hints are wrong.")

    @property
    def is_plain(self) -> bool:
        """Whether all tables, columns and keys are shown, and nothing else."""
        added = self.value_hints or self.example_values or self.descriptions
        return not added and self.link is None and self.foreign_keys and self.form == "ddl"

    @model_validator(mode="after")
    def _rates_are_shares(self) -> Context:
        if self.missing_rate + self.wrong_rate > 1:
            raise ValueError("missing_rate and wrong_rate are shares of the same rows: at most 1 together")
        return self
