"""The effect of samples and max_repairs on execution accuracy, for the same model and questions.

Prints a Markdown table; differences are to greedy decoding, paired by question.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from text2sql.evaluation.judge import judge
from text2sql.evaluation.scores import paired_bootstrap
from text2sql.evaluation.settings import EvaluationSettings, JudgeSettings
from text2sql.evaluation.verdicts import Case
from text2sql.inference.engine import Engine
from text2sql.inference.questions import read_chats
from text2sql.inference.rounds import Execution, predict_all
from text2sql.inference.settings import Batching, Decoding, SamplingPlan
from text2sql.inference.weights import resolve_weights
from text2sql.records import ConvertedQuestion, Prediction, read_records

LIMITS = EvaluationSettings()
SEED = 42
HEAD = """| | EX | difference to greedy (95 % interval) | agreement | asked again | seconds |
|---|---:|---:|---:|---:|---:|"""

existing = click.Path(exists=True, path_type=Path)


@dataclass(frozen=True)
class Variant:
    """Settings of prediction, as in section `predict` of params.yaml."""

    name: str
    temperature: float = 0.0
    samples: int = 1
    max_repairs: int = 0


@click.command()
@click.option("--weights", type=existing, default="models/full", show_default=True)
@click.option("--questions", type=existing, default="data/test/test.jsonl", show_default=True)
@click.option("--databases", type=existing, default="data/raw/databases", show_default=True)
@click.option("--temperature", default=0.7, show_default=True, help="Temperature of random draws.")
@click.option("--samples", default=8, show_default=True, help="As predict.samples.")
@click.option("--max-repairs", default=1, show_default=True, help="As predict.max_repairs.")
@click.option("--schema-types/--no-schema-types", default=False, help="As prompt.schema_types.")
@click.option("--keep-value/--no-keep-value", default=True, help="As evaluate.keep_value.")
def main(
    weights: Path,
    questions: Path,
    databases: Path,
    temperature: float,
    samples: int,
    max_repairs: int,
    schema_types: bool,
    keep_value: bool,
) -> None:
    """Print the execution accuracy of every variant, and its difference from greedy decoding."""
    variants = [
        Variant("greedy"),
        Variant(f"max_repairs: {max_repairs}", max_repairs=max_repairs),
        Variant(f"one drawn at {temperature}", temperature),
        Variant(f"samples: {samples}", temperature, samples),
        Variant(f"samples: {samples}, max_repairs: {max_repairs}", temperature, samples, max_repairs),
    ]
    chats = read_chats(questions, schema_types)
    records = read_records(questions, ConvertedQuestion)
    settings = JudgeSettings(keep_value=keep_value)
    click.echo(f"{weights}, {len(chats)} questions\n\n{HEAD}")
    greedy: list[bool] = []
    for variant in variants:
        started = time.perf_counter()
        plan = SamplingPlan(samples=variant.samples, max_repairs=variant.max_repairs, seed=SEED)
        with tempfile.TemporaryDirectory() as work:
            execution = Execution(databases, LIMITS)
            found = predict_all(engine(weights, variant), chats, plan, execution, Path(work), variant.name)
        seconds = time.perf_counter() - started
        right = verdicts(records, found, databases, settings)
        greedy = greedy or right
        click.echo(line(variant, right, greedy, found, seconds))


def engine(weights: Path, variant: Variant) -> Engine:
    """The engine of the pipeline, with the embedded profile's batches."""
    # imported here, because every worker process of the judge imports this file
    from text2sql.inference.transformers_engine import TransformersEngine

    decoding = Decoding(max_new_tokens=80, temperature=variant.temperature, likelihood=variant.samples > 1)
    return TransformersEngine(resolve_weights(weights), decoding, Batching(), threads=1)


def verdicts(
    questions: Sequence[ConvertedQuestion],
    found: Sequence[Prediction],
    databases: Path,
    settings: JudgeSettings,
) -> list[bool]:
    """Whether each prediction is right; questions whose gold query fails are left out."""
    cases = [Case(q.row, q.db_id, q.gold, p.sql) for q, p in zip(questions, found, strict=True)]
    return [bool(v.ex) for v in judge(cases, databases, settings, method="spawn") if not v.gold_failed]


def line(
    variant: Variant,
    right: Sequence[bool],
    greedy: Sequence[bool],
    found: Sequence[Prediction],
    seconds: float,
) -> str:
    """A row of the table, in percent and percentage points."""
    accuracy = 100 * sum(right) / len(right)
    difference = accuracy - 100 * sum(greedy) / len(greedy)
    low, high = paired_bootstrap(right, greedy)
    agreed = [p.agreement for p in found if p.agreement is not None]
    agreement = f"{sum(agreed) / len(agreed):.2f}" if agreed else "–"
    again = sum(p.tries > 1 for p in found if p.tries is not None) if variant.max_repairs else "–"
    interval = f"{difference:+.1f} ({low:.1f} to {high:.1f})"
    return f"| {variant.name} | {accuracy:.1f} | {interval} | {agreement} | {again} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
