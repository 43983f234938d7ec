"""Settings of the evaluation: limits on execution, what is compared, and where the judge runs."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from annotated_types import Ge
from pydantic import Field

from text2sql.settings import Count, Executor, Positive, PositiveFloat, Settings

Metric = Literal["ex", "ex_plug", "ts", "ts_plug", "em", "bird_ex", "soft_f1", "r_ves", "strict"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""All metrics; docs/metrics.md says what each means."""

SPIDER_METRICS: tuple[Metric, ...] = METRICS[:5]
"""Those of Spider's official evaluators."""

MEANS: dict[str, float] = {"soft_f1": 100.0, "r_ves": 111.8}
"""The metrics that are means of numbers, not shares of right predictions: the greatest value, in percent."""


class EvaluationSettings(Settings):
    """The section `evaluate` of params.yaml."""

    metrics: list[Metric] = Field(
        default=list(SPIDER_METRICS),
        description=f"What is computed, of {', '.join(METRICS)}; see docs/metrics.md.",
    )
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
    ves_runs: Annotated[int, Ge(2)] = Field(
        default=20,
        description="How often r_ves runs both queries to time them; BIRD's own evaluation takes 100.",
    )
    executor: Executor = Field(
        default="local", description="Processes on this machine, or a Ray cluster (RAY_ADDRESS)."
    )


class JudgeSettings(EvaluationSettings):
    """All settings of the judge; the defaults compare as the official evaluator does by default."""

    metrics: list[Metric] = Field(
        default=["ex", "ts"],
        min_length=1,
        description=f"What is computed, of {', '.join(METRICS)}; see docs/metrics.md.",
    )
    keep_distinct: bool = Field(
        default=False,
        description="Keep DISTINCT for ex and ts; the official evaluator removes it from both queries.",
    )

    @property
    def executes(self) -> bool:
        """Whether a metric runs the queries as the official evaluator rewrites them."""
        return not {"ex", "ex_plug", "ts", "ts_plug"}.isdisjoint(self.metrics)

    @property
    def uses_suites(self) -> bool:
        """Whether a metric runs the queries on every database of a test suite."""
        return not {"ts", "ts_plug"}.isdisjoint(self.metrics)

    @property
    def plugs_values(self) -> bool:
        """Whether a metric plugs the gold query's values into the predictions before they run."""
        return not {"ex_plug", "ts_plug"}.isdisjoint(self.metrics)

    @property
    def runs_as_written(self) -> bool:
        """Whether a metric runs the queries as they were written."""
        return not {"bird_ex", "soft_f1", "r_ves", "strict"}.isdisjoint(self.metrics)
