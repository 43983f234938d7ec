"""An engine that answers as a script says, and a plan and a database for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from text2sql.ask.plan import ModelPlan
from text2sql.inference.engine import Answer, Engine, Request
from text2sql.inference.settings import Predict
from text2sql.schema.settings import Prompt

MUSIC = """
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INT);
CREATE TABLE concert (id INTEGER PRIMARY KEY, singer_id INT REFERENCES singer (id));
INSERT INTO singer VALUES (1, 'Ann', 30), (2, '<b>Bo</b>', 41), (3, NULL, 35);
"""


@dataclass
class Scripted:
    """Answers each request with the next text; prompts longer than `context` characters are too long."""

    answers: list[str | Answer]
    context: int = 1_000_000
    requests: list[Request] = field(default_factory=list)

    @property
    def identity(self) -> Mapping[str, object]:
        return {}

    @property
    def max_prompt_tokens(self) -> int:
        return self.context

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        lengths = [sum(len(m["content"]) for m in request.messages) for request in requests]
        return [[number] for number, length in enumerate(lengths) if length <= self.context]

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        for number, requests in batches:
            self.requests += requests
            yield number, [self._next() for _ in requests]

    def _next(self) -> Answer:
        answer = self.answers.pop(0)
        return answer if isinstance(answer, Answer) else Answer(answer)


def opened(engine: Scripted) -> Callable[[ModelPlan], Engine]:
    """What opens the engine of a plan."""
    return lambda plan: engine


def plan(samples: int = 1, types: bool = True) -> ModelPlan:
    """A plan for a scripted engine."""
    predict = Predict(engine="transformers", threads=1, max_new_tokens=9)
    return ModelPlan(Path("models/none"), predict, Prompt(schema_types=types), about="a script").with_samples(
        samples
    )


def music(folder: Path, script: str = MUSIC) -> Path:
    """A SQLite file with singers."""
    file = folder / "music.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    return file
