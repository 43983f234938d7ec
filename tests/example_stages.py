"""What the stages of few-shot examples read, in the working folder, and their options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from click.testing import CliRunner

from stages import index_examples
from text2sql.files import write_jsonl
from text2sql.records import ConvertedQuestion, TestQuestion, TrainingRow


def set_section(section: str, **values: object) -> None:
    """Change settings of a section of params.yaml."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def write_questions(questions: Sequence[ConvertedQuestion]) -> None:
    """Write the test questions as convert_schema and dedupe_test do."""
    write_jsonl("data/test/test.jsonl", questions)
    asked = [TestQuestion(t.row, t.db_id, t.question, t.gold, t.ddl, t.slice) for t in questions]
    write_jsonl("data/prepared/test.jsonl", asked)


def write_index(rows: Sequence[TrainingRow]) -> None:
    """Write training rows, and their index."""
    write_jsonl("data/train/rows.jsonl", rows)
    options = ["--train", "data/train", "--output", "data/index"]
    assert CliRunner().invoke(index_examples.main, options).exit_code == 0


def options(output: str, metrics: str) -> list[str]:
    """The options that retrieve_examples and rank_by_draft have in common."""
    places = {"index": "data/index", "train": "data/train", "test": "data/test", "output": output}
    places |= {"prepared": "data/prepared", "databases": "data/raw/databases", "base": "models/base"}
    places |= {"metrics": metrics}
    return [word for name, path in places.items() for word in (f"--{name}", path)]
