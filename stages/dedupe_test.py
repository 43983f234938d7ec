"""Remove training rows that leak test questions, and write the evidence for each.

Reads train.jsonl and test.jsonl (and planted.json, if there is one) below --prepared. Writes
rows.jsonl (the rows kept), removed.jsonl (the rows removed, each with its evidence), sft.json and
dataset_info.json (LLaMA-Factory's alpaca form, data set "train") below --output.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.contamination.labelled import label_report
from text2sql.contamination.leaks import Embed, Evidence, find_leaks
from text2sql.contamination.settings import DedupeTest, Rules
from text2sql.errors import UserError
from text2sql.files import read_json, replacing, replacing_folder, write_json
from text2sql.progress import Progress
from text2sql.prompts import schema_text
from text2sql.records import TestQuestion, TrainingRow, iterate_records, read_records
from text2sql.schema.settings import Prompt
from text2sql.training.dataset import turn, write_dataset

Found = tuple[TrainingRow, Evidence | None]
_EMBEDDED_AT_ONCE = 64  # questions


@dataclass
class Tally:
    """Counts of kept and removed rows; the numbers of the rows are kept only if leaks were planted."""

    rules: Rules
    planted: list[dict[str, Any]] | None
    rows: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    present: set[int] = field(default_factory=set)
    found: set[int] = field(default_factory=set)

    def note(self, row: TrainingRow, evidence: Evidence | None) -> None:
        """Count one row."""
        self.rows += 1
        if evidence:
            self.removed[evidence.rule] += 1
        if self.planted is not None:
            (self.found if evidence else self.present).add(_row_number(row.id))

    def figures(self) -> dict[str, Any]:
        """The figures of metrics/dedupe_test.json, in rows; `planted` only if leaks were planted."""
        figures: dict[str, Any] = {
            "rows": self.rows,
            "kept": self.rows - self.removed.total(),
            "removed": self.removed.total(),
            "removed_by_rule": {rule: self.removed[rule] for rule in self.rules.names()},
        }
        if self.planted is not None:
            figures["planted"] = planted_by_kind(self.present, self.found, self.planted)
        return figures


@click.command(help=__doc__)
@click.option("--prepared", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(prepared: Path, output: Path, metrics: Path) -> None:
    params = load_params()
    test = read_records(prepared / "test.jsonl", TestQuestion)
    tally = Tally(params.dedupe_test, read_planted(prepared / "planted.json"))
    found = find(prepared / "train.jsonl", test, params.dedupe_test)
    with replacing_folder(output) as folder:
        kept = split(with_progress(found, prepared / "train.jsonl"), folder, tally)
        write_dataset(turns(kept, params.prompt), folder)
        if tally.rows == tally.removed.total():
            raise UserError(
                f"{prepared}/train.jsonl: all {tally.rows} rows leak test questions; use other rows, "
                "then dvc repro"
            )
    figures = tally.figures()
    if params.dedupe_test.labelled:
        figures["labelled"] = measure(params.dedupe_test)
    write_json(metrics, figures)


def find(path: Path, test: Sequence[TestQuestion], settings: DedupeTest) -> Iterator[Found]:
    """Yield the rows of train.jsonl with the evidence against each; the search runs here or on Ray."""
    if settings.executor == "ray":
        from text2sql.contamination.ray_leaks import find_leaks_on_ray

        return find_leaks_on_ray(path, test, settings, load_embed if settings.embedding else None)
    embed = load_embed() if settings.embedding else None
    return find_leaks(iterate_records(path, TrainingRow), test, settings, embed)


def with_progress(found: Iterable[Found], path: Path) -> Iterator[Found]:
    """Pass on the rows of a file, and show the progress on stderr.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; next: dvc repro prepare")
    with open(path, "rb") as file:
        progress = Progress(sum(1 for line in file if line.strip()), "rows", "dedupe_test")
    for row in found:
        yield row
        progress.advance()


def split(found: Iterable[Found], folder: Path, tally: Tally) -> Iterator[TrainingRow]:
    """Yield the rows to keep; write them to rows.jsonl, the others with the evidence to removed.jsonl."""
    with replacing(folder / "rows.jsonl") as rows, replacing(folder / "removed.jsonl") as removed:
        for row, evidence in found:
            tally.note(row, evidence)
            value = dataclasses.asdict(row)
            if evidence:
                value["evidence"] = dataclasses.asdict(evidence)
            (removed if evidence else rows).write(json.dumps(value, ensure_ascii=False) + "\n")
            if not evidence:
                yield row


def turns(rows: Iterable[TrainingRow], prompt: Prompt) -> Iterator[dict[str, str]]:
    """The rows as LLaMA-Factory trains on them."""
    for row in rows:
        yield turn(schema_text(row.ddl, prompt.schema_types, prompt.comments), row.question, row.sql)


def measure(rules: Rules) -> dict[str, Any]:
    """Precision and recall of the rules on the labelled set."""
    embed = load_embed() if rules.embedding else None

    def removed(train: list[TrainingRow], test: list[TestQuestion]) -> dict[str, Evidence]:
        return {row.id: evidence for row, evidence in find_leaks(train, test, rules, embed) if evidence}

    return label_report(removed)


def load_embed() -> Embed:
    """The packaged MiniLM.

    Raises:
        UserError: it is not installed.
    """
    # imported here: it loads torch, which takes seconds, and few profiles use it
    from text2sql.retrieval.embed import PACKAGED_MODEL, load_embedder

    return load_embedder(PACKAGED_MODEL, _EMBEDDED_AT_ONCE).embed


def read_planted(path: Path) -> list[dict[str, Any]] | None:
    """The leaks that the built-in benchmark planted; None if there is no such file.

    Raises:
        UserError: an entry has no test_row, train_row or kind.
    """
    if not path.is_file():
        return None
    planted: list[dict[str, Any]] = read_json(path)
    for number, entry in enumerate(planted):
        if not isinstance(entry, dict) or not {"test_row", "train_row", "kind"} <= set(entry):
            raise UserError(
                f"{path}, entry {number}: expected test_row, train_row and kind; "
                "make it again: dvc repro fetch_data"
            )
    return planted


def planted_by_kind(
    kept: set[int], removed: set[int], planted: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, int]]:
    """How many planted leaks of each kind were found (removed) and missed (kept).

    `absent` counts those that prepare had already left out. A planted row is identified by its number in
    the only training file, which is at the end of its id.
    """
    kinds: dict[str, dict[str, int]] = {}
    for entry in planted:
        figures = kinds.setdefault(entry["kind"], {"found": 0, "missed": 0, "absent": 0})
        number = entry["train_row"]
        figures["found" if number in removed else "missed" if number in kept else "absent"] += 1
    return dict(sorted(kinds.items()))


def _row_number(row_id: str) -> int:
    return int(row_id.rpartition(":")[2])


if __name__ == "__main__":
    main()
