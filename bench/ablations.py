"""The effect of each choice of the recipe: profile spider-ablation with one choice undone at a time.

Every row is a `dvc exp run` that you can also run yourself. Trained models and predictions are kept in .work,
so a killed run resumes where it stopped, and a second run only prints the table.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from scripts.profiles import composed
from text2sql.evaluation.scores import mcnemar, paired_bootstrap, wilson_interval
from text2sql.files import read_jsonl, replacing

PROFILE = "spider-ablation"
VERDICTS = Path("data/verdicts/lora.jsonl")
HEAD = """| recipe | EX | 95 % interval | difference to ours | p | changed by |
|---|---:|---:|---:|---:|---|"""

TARGETS = "lora.targets=[q_proj,v_proj]"
LEARNING_RATE = "lora.learning_rate=2.0e-5"
ALPHA = "lora.alpha=64"
# Nine rows have about as many tokens as three packed sequences of 512.
NO_PACKING = ("training.packing=false", "lora.global_batch=9")
PENALTY = "predict.repetition_penalty=1.1"
DRAWN = ("predict.temperature=0.2", "predict.top_p=0.9")
DAMAGED = (
    "fetch_data.recorded_schemas=reference/dev_sql_llm_response.jsonl",
    "convert_schema.backend=recorded",
)
REFERENCE_TRAINING = (TARGETS, LEARNING_RATE, *NO_PACKING)  # its alpha is the rank, as ours is


@dataclass(frozen=True)
class Row:
    """A recipe: its name, and its changes to the profile (`-S` of `dvc exp run`)."""

    name: str
    changes: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """The changes as arguments of the command line."""
        return [word for change in self.changes for word in ("-S", change)]


ROWS = (
    Row("ours"),
    Row("LoRA on q_proj and v_proj only", (TARGETS,)),
    Row("the learning rate of full training", (LEARNING_RATE,)),
    Row("alpha twice the rank", (ALPHA,)),
    Row("no packing", NO_PACKING),
    Row("repetition penalty 1.1", (PENALTY,)),
    Row("the reference's test schemas", DAMAGED),
    Row("the reference's training settings, our prediction", REFERENCE_TRAINING),
    Row("the reference: all but alpha, drawn at 0.2", (*REFERENCE_TRAINING, *DRAWN, PENALTY, *DAMAGED)),
    Row("no training", ("arms.lora.weights=models/base",)),
)


@click.command(help=__doc__)
def main() -> None:
    """Run every row in this checkout and print the table."""
    ours: list[bool] = []
    lines = []
    for number, row in enumerate(ROWS, 1):
        click.echo(f"row {number} of {len(ROWS)}: {row.name}", err=True)
        right = verdicts(row)
        ours = ours or right
        lines.append(table_line(row, right, ours))
    click.echo("\n".join([HEAD, *lines]))


def verdicts(row: Row) -> list[bool]:
    """Whether the answer to each question is right; questions whose gold query fails are left out."""
    with replacing("params.yaml") as file:
        file.write(composed(PROFILE, Path()))
    command = ["dvc", "exp", "run", *row.flags]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise click.ClickException(
            f"`{shlex.join(command)}` failed; fix the error above, then run this again"
        )
    judged = (verdict for verdict in read_jsonl(VERDICTS) if verdict["ex"] is not None)
    return [verdict["ex"] for verdict in judged]


def table_line(row: Row, right: Sequence[bool], ours: Sequence[bool]) -> str:
    """A row of the table, in percent and percentage points."""
    accuracy = 100 * sum(right) / len(right)
    low, high = wilson_interval(sum(right), len(right))
    return f"| {row.name} | {accuracy:.1f} | {low:.1f} to {high:.1f} | {compared(row, right, ours)} |"


def compared(row: Row, right: Sequence[bool], ours: Sequence[bool]) -> str:
    """The columns with the difference from ours on the same questions, its p-value and the flags."""
    if not row.changes:
        return "– | – | –"
    difference = 100 * (sum(right) - sum(ours)) / len(ours)
    low, high = paired_bootstrap(right, ours)
    flags = shlex.join(row.flags)
    return f"{difference:+.1f} ({low:.1f} to {high:.1f}) | {mcnemar(right, ours):.2g} | `{flags}`"


if __name__ == "__main__":
    main()
