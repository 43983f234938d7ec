"""Charts in Mermaid's language, which GitHub draws in comments; a picture would need a server for it."""

from __future__ import annotations

from collections.abc import Sequence

POINTS = 40  # of a loss curve; more cannot be distinguished at this size


def accuracy_chart(name: str, head: dict[str, float], base: dict[str, float]) -> list[str]:
    """Execution accuracy by arm in percent on one test set: bars for head, a line for the base.

    The line is left out unless base has every arm of head.
    """
    of_set = f"{name}: execution" if name else "Execution"
    lines = [
        f"title {_quoted(f'{of_set} accuracy in percent: bars head, line base')}",
        f"x-axis [{', '.join(map(_quoted, head))}]",
        "y-axis 0 --> 100",
        f"bar {_numbers(list(head.values()))}",
    ]
    if head.keys() <= base.keys():
        lines.append(f"line {_numbers([base[arm] for arm in head])}")
    return _chart(lines)


def loss_chart(stage: str, head: Sequence[float], base: Sequence[float]) -> list[str]:
    """Training loss of a stage by logged step, and that of the base if it has the same number of steps."""
    lines = [f"title {_quoted(f'{stage}: training loss (first line head, second base)')}"]
    lines += [f"x-axis 1 --> {len(head)}", f"line {_numbers(_thin(head))}"]
    if len(base) == len(head):
        lines.append(f"line {_numbers(_thin(base))}")
    return _chart(lines)


def _chart(lines: Sequence[str]) -> list[str]:
    """A chart with these lines, in a code fence."""
    return ["```mermaid", "xychart-beta", *(f"  {line}" for line in lines), "```", ""]


def _quoted(text: str) -> str:
    """A text in Mermaid's syntax, which has no escapes; a backtick would end the fence."""
    plain = "".join(" " if letter in '"`\n\r' else letter for letter in text)
    return f'"{plain}"'


def _numbers(values: Sequence[float]) -> str:
    """A list in Mermaid's syntax."""
    return f"[{', '.join(f'{value:.4g}' for value in values)}]"


def _thin(values: Sequence[float]) -> list[float]:
    """At most POINTS of the values, evenly spaced, including the last."""
    count = min(POINTS, len(values))
    return [values[(at + 1) * len(values) // count - 1] for at in range(count)]
