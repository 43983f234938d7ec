"""Remove from training whatever gives the test away, and say on what evidence.

Reads train.jsonl and test.jsonl (and planted.json, where there is one) below --prepared. Writes
rows.jsonl (the rows kept), removed.jsonl (the rows removed, each with its evidence), sft.json and
dataset_info.json (LLaMA-Factory's alpaca form, data set "train") below --output.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.contamination.leaks import RULES, Evidence, find_leaks
from text2sql.outputs import replacing_folder
from text2sql.prompts import schema_text
from text2sql.records import (
    TestQuestion,
    TrainingRow,
    UserError,
    read_json,
    read_records,
    write_json,
    write_jsonl,
)
from text2sql.training.dataset import turn, write_dataset


@click.command(help=__doc__)
@click.option("--prepared", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(prepared: Path, output: Path, metrics: Path) -> None:
    params = load_params()
    rules = [rule for rule in RULES if getattr(params.dedupe_test, rule)]
    train = read_records(prepared / "train.jsonl", TrainingRow)
    test = read_records(prepared / "test.jsonl", TestQuestion)
    planted = read_planted(prepared / "planted.json")
    kept, removed = split(train, test, rules)
    if not kept:
        raise UserError(f"{prepared}/train.jsonl: all {len(train)} rows leak the test; bring other rows")
    with replacing_folder(output) as folder:
        write_jsonl(folder / "rows.jsonl", kept)
        write_jsonl(folder / "removed.jsonl", (_with_evidence(*pair) for pair in removed))
        write_dataset(turns(kept, params.prompt.schema_types), folder)
    write_json(metrics, counts(train, removed, rules, planted))


def split(
    train: Iterable[TrainingRow], test: Sequence[TestQuestion], rules: Sequence[str]
) -> tuple[list[TrainingRow], list[tuple[TrainingRow, Evidence]]]:
    """The rows that stay, and the rows that go with the evidence against each."""
    kept: list[TrainingRow] = []
    removed: list[tuple[TrainingRow, Evidence]] = []
    for row, evidence in find_leaks(train, test, rules):
        if evidence is None:
            kept.append(row)
        else:
            removed.append((row, evidence))
    return kept, removed


def turns(rows: Iterable[TrainingRow], schema_types: bool) -> Iterator[dict[str, str]]:
    """The rows as LLaMA-Factory trains on them."""
    for row in rows:
        yield turn(schema_text(row.ddl, schema_types), row.question, row.sql)


def read_planted(path: Path) -> list[dict[str, Any]] | None:
    """The leaks that the built-in benchmark planted; None where nothing says so.

    UserError: an entry lacks test_row, train_row or kind.
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


def counts(
    train: Sequence[TrainingRow],
    removed: Sequence[tuple[TrainingRow, Evidence]],
    rules: Sequence[str],
    planted: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """The figures of metrics/dedupe_test.json, in rows; `planted` only where leaks were planted."""
    by_rule = Counter(evidence.rule for _, evidence in removed)
    figures: dict[str, Any] = {
        "rows": len(train),
        "kept": len(train) - len(removed),
        "removed": len(removed),
        "removed_by_rule": {rule: by_rule[rule] for rule in rules},
    }
    if planted is not None:
        figures["planted"] = planted_by_kind(train, {row.id for row, _ in removed}, planted)
    return figures


def planted_by_kind(
    train: Sequence[TrainingRow], removed: set[str], planted: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, int]]:
    """How many planted leaks of each kind were found (removed) and missed (kept).

    `absent` counts those that prepare had already left out. A planted row is known by its row in
    the one training file, which is the number at the end of its id.
    """
    present = {_row_number(row.id) for row in train}
    found = {_row_number(row_id) for row_id in removed}
    kinds: dict[str, dict[str, int]] = {}
    for entry in planted:
        figures = kinds.setdefault(entry["kind"], {"found": 0, "missed": 0, "absent": 0})
        number = entry["train_row"]
        figures["found" if number in found else "missed" if number in present else "absent"] += 1
    return dict(sorted(kinds.items()))


def _row_number(row_id: str) -> int:
    return int(row_id.rpartition(":")[2])


def _with_evidence(row: TrainingRow, evidence: Evidence) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "evidence": dataclasses.asdict(evidence)}


if __name__ == "__main__":
    main()
