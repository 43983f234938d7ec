"""Share of answers from which the right SQL is extracted, ours and by a simple method; and the speed.

The answers are in bench/answers.jsonl, one a line: `kind`, `answer`, and the right `sql` ("" if the answer
has none). They were written by hand in the style of many models. Two fifths of them, chosen by a hash of the
answer, were held back while the rules were written. Those with `later` were written after that.
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from text2sql.files import read_jsonl
from text2sql.inference.extract import extract_sql

ANSWERS = Path(__file__).with_name("answers.jsonl")
LIMIT = 95.0  # percent of the answers held back
_FENCE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """An answer of a model; `sql` is the query that should be extracted.

    `later` means that it was written when the rules were finished; then the rules were improved with it.
    """

    kind: str
    answer: str
    sql: str
    later: bool = False

    @property
    def held_back(self) -> bool:
        """Whether the answer was not used while the rules were written."""
        return not self.later and hashlib.sha256(self.answer.encode()).digest()[0] % 5 < 2


def read_answers() -> list[Answer]:
    """All answers of bench/answers.jsonl."""
    return [Answer(**row) for row in read_jsonl(ANSWERS)]


def first_fence(raw: str) -> str:
    """What most scripts take: the first fenced block, else the whole text; without the final semicolon."""
    fence = _FENCE.search(raw)
    return (fence[1] if fence else raw).strip().rstrip(";")


def share(extract: Callable[[str], str], answers: Sequence[Answer]) -> float:
    """Percent of the answers from which `extract` takes the right SQL; white space does not count."""
    right = sum(extract(a.answer).split() == a.sql.split() for a in answers)
    return 100 * right / len(answers)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Runs of each for the speed; the best counts.")
def main(rounds: int) -> None:
    """Print a table by kind and the speed; exit status 1 if the share held back is below the limit."""
    answers = read_answers()
    print("| answers | n | first fence | ours |\n|---|---:|---:|---:|")
    for kind in dict.fromkeys(answer.kind for answer in answers):
        print_line(kind, [answer for answer in answers if answer.kind == kind])
    print_line("**all**", answers)
    print_line("written later", [answer for answer in answers if answer.later])
    held_back = [answer for answer in answers if answer.held_back]
    print_line("held back", held_back)
    ours, simple = (seconds(extract, answers, rounds) for extract in (extract_sql, first_fence))
    print(f"\n{len(answers) / ours:,.0f} answers/s, the simple method {len(answers) / simple:,.0f}")
    sys.exit(0 if share(extract_sql, held_back) >= LIMIT else 1)


def print_line(label: str, answers: Sequence[Answer]) -> None:
    """One line of the table: the number of answers and the percent right, rounded down."""
    simple, ours = (int(share(extract, answers)) for extract in (first_fence, extract_sql))
    print(f"| {label} | {len(answers)} | {simple} | {ours} |")


def seconds(extract: Callable[[str], str], answers: Sequence[Answer], rounds: int) -> float:
    """The shortest time for all answers, in CPU seconds."""

    def once() -> float:
        started = time.process_time()
        for answer in answers:
            extract(answer.answer)
        return time.process_time() - started

    return min(once() for _ in range(rounds))


if __name__ == "__main__":
    main()
