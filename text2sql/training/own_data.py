"""The training rows that an own arm names: the pipeline's, those of some sources, or rows from elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import read_json, read_jsonl
from text2sql.records import TrainingRow, iterate_records
from text2sql.training.dataset import describes_our_rows, write_dataset
from text2sql.workstore import WorkStore, hash_path, locked

_NAMES = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
_FORM = "next: name its columns prompt, response and system, as data/train/dataset_info.json does"


def training_data(folder: Path, sources: Sequence[str] | None, section: str) -> Path:
    """The folder to train on: `folder`, or one in the work store with the rows that `train` can read.

    `folder` has LLaMA-Factory's dataset_info.json with the data set "train", whose rows are in a JSON or JSON
    lines file of the alpaca form with a system text. With `sources` only the rows of these training sources
    are used; their names are in rows.jsonl beside them, which dedupe_test writes. `section` is named in
    errors.

    Not covered: whether the rows have the prompts of prediction, or leak test questions.

    Raises:
        UserError: a file is missing or of another form, a row has no text, or a source is unknown.
    """
    entry = _entry(folder, section)
    if sources is None and describes_our_rows(entry):
        return folder
    rows = read_json(folder / "sft.json") if describes_our_rows(entry) else _rows(folder, entry, section)
    if sources is not None:
        rows = _of_sources(folder, rows, sources, section)
    key = {"data": hash_path(folder), "sources": sorted(sources or ())}
    work = WorkStore.from_environment().open("own_data", key)
    with locked(work):
        write_dataset(rows, work)
    print(f"{section}: {len(rows)} training rows from {folder}", file=sys.stderr)
    return work


def _entry(folder: Path, section: str) -> dict[str, Any]:
    """The description of the data set "train"."""
    file = folder / "dataset_info.json"
    if not file.is_file():
        raise UserError(
            f"{section}.data: {folder} has no dataset_info.json; name a folder with LLaMA-Factory's "
            'dataset_info.json and a data set "train" in it, such as data/train'
        )
    info = read_json(file)
    entry = info.get("train") if isinstance(info, dict) else None
    if not isinstance(entry, dict):
        found = ", ".join(info) if isinstance(info, dict) and info else "nothing"
        raise UserError(f'{file}: no data set "train" (found: {found}); give that name to one of them')
    return entry


def _rows(folder: Path, entry: dict[str, Any], section: str) -> list[dict[str, str]]:
    """The rows of a data set that was made elsewhere, in our form; the query follows the prompt."""
    file, columns = _file(folder, entry), _columns(folder, entry)
    values = list(read_jsonl(file)) if file.suffix == ".jsonl" else read_json(file)
    if not isinstance(values, list) or not values:
        raise UserError(f"{file}: no list of rows; {section}.data needs at least one")
    return [_row(file, number, value, columns) for number, value in enumerate(values)]


def _file(folder: Path, entry: dict[str, Any]) -> Path:
    name = entry.get("file_name")
    if not isinstance(name, str) or Path(name).suffix not in (".json", ".jsonl"):
        raise UserError(
            f'{folder / "dataset_info.json"}: the data set "train" must have file_name: a .json or .jsonl '
            f"file in {folder} (found {name!r}); save the rows as such a file"
        )
    return folder / name


def _columns(folder: Path, entry: dict[str, Any]) -> dict[str, str]:
    """Our names of the columns, with the names that they have in the file."""
    columns, where = entry.get("columns", {}), folder / "dataset_info.json"
    if entry.get("formatting", "alpaca") != "alpaca" or entry.get("ranking"):
        raise UserError(f'{where}: the data set "train" must be of the alpaca form, without ranking; {_FORM}')
    if unread := sorted(set(columns) - set(_NAMES)):
        raise UserError(f'{where}: columns of "train" that are not read: {", ".join(unread)}; {_FORM}')
    if "system" not in columns:
        raise UserError(f'{where}: "train" names no column with the system text of the prompts; {_FORM}')
    return {ours: columns.get(role, ours) for role, ours in _NAMES.items()}


def _row(file: Path, number: int, value: object, columns: dict[str, str]) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UserError(f"{file}, row {number}: not an object")
    row = {ours: value.get(name, "" if ours == "input" else None) for ours, name in columns.items()}
    for ours, text in row.items():
        if not isinstance(text, str) or not (text.strip() or ours == "input"):
            raise UserError(
                f"{file}, row {number}: no text under {columns[ours]!r}; fix it, then `dvc repro`"
            )
    asked = "\n".join(str(row[part]) for part in ("instruction", "input") if row[part])
    return {"system": str(row["system"]), "instruction": asked, "input": "", "output": str(row["output"])}


def _of_sources(
    folder: Path, rows: Sequence[dict[str, str]], sources: Iterable[str], section: str
) -> list[dict[str, str]]:
    """The rows of these training sources, in their order."""
    file = folder / "rows.jsonl"
    if not file.is_file():
        raise UserError(f"{section}.sources: needs {file}, a line for each row; without it remove sources")
    named = [row.source for row in iterate_records(file, TrainingRow)]
    if len(named) != len(rows):
        raise UserError(f"{file}: {len(named)} lines for {len(rows)} rows; next: dvc repro dedupe_test")
    counts = Counter(named)
    if unknown := [source for source in sources if source not in counts]:
        known = ", ".join(f"{source} ({count} rows)" for source, count in counts.items())
        raise UserError(f"{section}.sources: no row of {unknown[0]!r} in {file}; it has {known}")
    wanted = set(sources)
    return [row for row, source in zip(rows, named, strict=True) if source in wanted]
