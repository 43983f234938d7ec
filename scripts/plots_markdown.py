"""Prints the plots of a branch and of a base commit as Mermaid charts, which GitHub shows in comments.

Usage: python scripts/plots_markdown.py BASE_COMMIT; prints Markdown. A picture in a comment needs a server
for the file, a Mermaid chart does not.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SUMMARY = Path("metrics/summary.json")
LOSSES = Path("metrics/loss")
POINTS = 40  # of a loss curve; more cannot be distinguished at this size

Scores = dict[str, float | None]  # execution accuracy in percent by arm


def at_base(base: str, path: Path) -> str | None:
    """The text of `path` in commit `base`, None if the commit does not have it."""
    done = subprocess.run(["git", "show", f"{base}:{path}"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def by_test_set(summary: dict[str, Any]) -> dict[str, Scores]:
    """The scores of a summary by test set; the name of an only set is "" and not in the summary."""
    sets: dict[str, Scores] = {}
    for arm, scores in summary.items():
        for name, score in (scores if isinstance(scores, dict) else {"": scores}).items():
            sets.setdefault(name, {})[arm] = score
    return sets


def accuracy_charts(now: dict[str, Any], before: dict[str, Any]) -> Iterator[list[str]]:
    """A chart for every test set with scores; the base counts if it has a set of this name."""
    base = by_test_set(before)
    for name, scores in by_test_set(now).items():
        if any(score is not None for score in scores.values()):
            yield accuracy_chart(name, scores, base.get(name, {}))


def accuracy_chart(name: str, now: Scores, before: Scores) -> list[str]:
    """Execution accuracy of every arm in percent on a test set: bars for the branch, a line for the base."""
    scores = {arm: score for arm, score in now.items() if score is not None}
    base_scores = [score for arm in scores if (score := before.get(arm)) is not None]
    of_set = f"{name}: execution" if name else "Execution"
    lines = [
        f'title "{of_set} accuracy in percent: bars this branch, line the base"',
        f"x-axis [{', '.join(scores)}]",
        "y-axis 0 --> 100",
        f"bar {numbers(list(scores.values()))}",
    ]
    if len(base_scores) == len(scores):
        lines.append(f"line {numbers(base_scores)}")
    return chart(lines)


def loss_chart(name: str, now: Sequence[float], before: Sequence[float] | None) -> list[str]:
    """Training loss of one stage by logged step, and that of the base if it has the same number of steps."""
    lines = [f'title "{name}: training loss (first line this branch, second the base)"']
    lines += [f"x-axis 1 --> {len(now)}", f"line {numbers(thin(now))}"]
    if before is not None and len(before) == len(now):
        lines.append(f"line {numbers(thin(before))}")
    return chart(lines)


def chart(lines: Sequence[str]) -> list[str]:
    """A Mermaid chart with these lines, in a code fence."""
    return ["```mermaid", "xychart-beta", *(f"  {line}" for line in lines), "```", ""]


def numbers(values: Sequence[float]) -> str:
    """A list in Mermaid's syntax."""
    return f"[{', '.join(f'{value:.4g}' for value in values)}]"


def thin(values: Sequence[float]) -> list[float]:
    """At most POINTS of the values, evenly spaced, including the last."""
    count = min(POINTS, len(values))
    return [values[(at + 1) * len(values) // count - 1] for at in range(count)]


def read_losses(text: str) -> list[float]:
    """The column loss of a loss history."""
    return [float(row["loss"]) for row in csv.DictReader(io.StringIO(text))]


def changed_losses(base: str) -> Iterator[list[str]]:
    """A chart for every stage whose loss history differs from the base."""
    for path in sorted(LOSSES.glob("*.csv")):
        now, before = path.read_text(encoding="utf-8"), at_base(base, path)
        if now != before and read_losses(now):
            yield loss_chart(path.stem, read_losses(now), read_losses(before) if before else None)


def main() -> None:
    """Print the charts."""
    base = sys.argv[1]
    before = at_base(base, SUMMARY)
    now = json.loads(SUMMARY.read_text(encoding="utf-8"))
    charts = accuracy_charts(now, json.loads(before) if before else {})
    for lines in (*charts, *changed_losses(base)):
        print("\n".join(lines))


if __name__ == "__main__":
    main()
