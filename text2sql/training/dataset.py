"""The data set that LLaMA-Factory trains on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from text2sql.files import replacing, write_json
from text2sql.prompts import COMPACT, Example, PromptForm

# https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Alpaca Format"
_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
_INFO = {"train": {"file_name": "sft.json", "columns": _COLUMNS}}

Row = Mapping[str, str]
"""A row of the data set: system, instruction, input, output."""


def turn(
    schema: str, question: str, sql: str, form: PromptForm = COMPACT, examples: Sequence[Example] = ()
) -> dict[str, str]:
    """One row of the data set: the training prompt of `form`, and the SQL as the answer.

    With `examples` it is the prompt of prediction, unless that begins the answer, which is not trained then.
    Not covered: SQL with a <think> tag; LLaMA-Factory then leaves out the empty thought of the prompt.

    Raises:
        UserError: the file of the form fails with these texts.
    """
    prompt = form.prediction(schema, question, examples)
    if not examples or prompt.begun:
        prompt = form.training(schema, question)
    return {"system": prompt.system, "instruction": prompt.user, "input": "", "output": sql}


SAMPLE: Row = turn(
    "CREATE TABLE dog (dog_id PRIMARY KEY, weight, name);",
    "Which dogs weigh 3.5 kg?",
    "SELECT name FROM dog WHERE weight = 3.5",
)
"""A row that shows how a chat template writes any row."""


def chat(row: Row) -> list[dict[str, str]]:
    """The messages of a row of the data set, without its answer."""
    return [
        {"role": "system", "content": row["system"]},
        {"role": "user", "content": row["instruction"]},
    ]


def write_dataset(turns: Iterable[dict[str, str]], folder: Path) -> None:
    """Write sft.json, a JSON list with one row per line, as the data set "train" of `folder`."""
    with replacing(folder / "sft.json") as file:
        before = "[\n"
        for row in turns:
            file.write(before + json.dumps(row, ensure_ascii=False))
            before = ",\n"
        file.write("\n]\n")
    write_json(folder / "dataset_info.json", _INFO)
