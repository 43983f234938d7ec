"""Settings of the evaluation: limits on execution, what is compared, and where the judge runs."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from pydantic import Field

from text2sql.settings import Count, Executor, Positive, PositiveFloat, Settings


class EvaluationSettings(Settings):
    """The section `evaluate` of params.yaml."""

    timeout_s: PositiveFloat = Field(
        default=10.0,
        allow_inf_nan=False,
        description="Seconds for one prediction: on all databases, with all plugged values.",
    )
    max_rows: Positive = Field(default=100_000, description="Most rows that a query may return.")
    memory_mb: Annotated[int, Ge(16)] = Field(
        default=128, description="MiB of memory that SQLite may use in a worker process."
    )
    spill_mb: Count = Field(
        default=2048,
        description="MiB of temporary files for the sorts and groups of a query; 0: they stay in memory.",
    )
    keep_value: bool = Field(
        default=False,
        description='Keep the word "value" in predictions; the official evaluator replaces it by 1.',
    )
    executor: Executor = Field(
        default="local", description="Processes on this machine, or a Ray cluster (RAY_ADDRESS)."
    )


class JudgeSettings(EvaluationSettings):
    """All settings of the judge; the defaults compare as the official evaluator does by default."""

    execute: bool = Field(default=True, description="Compute execution accuracy.")
    plug_values: bool = Field(
        default=False, description="Plug the gold query's values into the predictions before they run."
    )
    match: bool = Field(default=False, description="Compute exact set match.")
    keep_distinct: bool = Field(
        default=False, description="Keep DISTINCT; the official evaluator removes it from both queries."
    )
