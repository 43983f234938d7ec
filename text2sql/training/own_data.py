"""The training rows that an own arm names: the pipeline's, those of some sources, or rows from elsewhere."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import copy_file, read_json, read_jsonl, write_jsonl
from text2sql.records import TrainingRow, iterate_records
from text2sql.training.dataset import write_dataset
from text2sql.workstore import WorkStore, hash_path, locked

_PIPELINE = Path("data/train")
_READ = {"file_name", "columns", "formatting", "ranking"}
_NAMES = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
_FORM = "next: name its columns prompt, response and system, as data/train/dataset_info.json does"
_AGAIN = "fix it, then `dvc repro`"
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can write one, UTF-8 cannot


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
    file, columns = described(folder, section)
    values = _values(file, section)
    # a prompt form of the user's may have no system text
    blank = {"input", "system"} if folder == _PIPELINE else {"input"}
    rows = [_row(file, number, value, columns, blank) for number, value in enumerate(values)]
    if sources is not None:
        rows = _of_sources(folder, rows, sources, section)
    elif rows == values:  # as `write_dataset` writes them
        return folder
    key = {"data": hash_path(folder), "sources": sorted(sources or ())}
    work = WorkStore.from_environment().open("own_data", key)
    with locked(work):
        write_dataset(rows, work)
        _copy_schemas(folder / "rows.jsonl", work / "rows.jsonl", sources)
    print(f"{section}: {len(rows)} training rows from {folder}", file=sys.stderr)
    return work


def described(folder: Path, section: str) -> tuple[Path, dict[str, str]]:
    """The file with the rows of `folder`, and its names of our columns.

    Raises:
        UserError: there is no dataset_info.json or no such file, or its data set "train" cannot be read.
    """
    entry = _entry(folder, section)
    file, columns = _file(folder, entry), _columns(folder, entry)
    if not file.is_file():
        raise UserError(
            f"{file}: no such file, and {folder}/dataset_info.json names it; put the rows of {section} there"
        )
    return file, columns


def _entry(folder: Path, section: str) -> dict[str, Any]:
    """The description of the data set "train"."""
    file = folder / "dataset_info.json"
    if not file.is_file():
        raise UserError(
            f"{section}.data: {folder} has no dataset_info.json; name a folder with LLaMA-Factory's "
            'dataset_info.json and a data set "train" in it, such as data/train'
        )
    info = _read(file, read_json)
    entry = info.get("train") if isinstance(info, dict) else None
    if not isinstance(entry, dict):
        found = ", ".join(info) if isinstance(info, dict) and info else "nothing"
        raise UserError(f'{file}: no data set "train" (found: {found}); give that name to one of them')
    return entry


def _values(file: Path, section: str) -> list[object]:
    """The rows as they are in the file."""
    values = _read(file, (lambda path: [*read_jsonl(path)]) if file.suffix == ".jsonl" else read_json)
    if not isinstance(values, list) or not values:
        raise UserError(f"{file}: no list of rows; {section}.data needs at least one: {_AGAIN}")
    return values


def _read(file: Path, read: Callable[[Path], Any]) -> Any:
    """What `read` finds in a file that is there; its errors get the next step."""
    try:
        return read(file)
    except UserError as error:
        raise UserError(f"{error}; {_AGAIN}") from error


def _file(folder: Path, entry: dict[str, Any]) -> Path:
    name = entry.get("file_name")
    if not isinstance(name, str) or not _is_inside(Path(name)):
        raise UserError(
            f'{folder / "dataset_info.json"}: the data set "train" must have file_name: a .json or .jsonl '
            f"file in {folder} (found {name!r}); save the rows as such a file"
        )
    return folder / name


def _is_inside(name: Path) -> bool:
    """Whether this is a file of rows below the folder, whose content the work store and DVC compare."""
    return name.suffix in (".json", ".jsonl") and not name.is_absolute() and ".." not in name.parts


def _columns(folder: Path, entry: dict[str, Any]) -> dict[str, str]:
    """Our names of the columns, with the names that they have in the file."""
    columns, where = entry.get("columns", {}), folder / "dataset_info.json"
    if entry.get("formatting", "alpaca") != "alpaca" or entry.get("ranking"):
        raise UserError(f'{where}: the data set "train" must be of the alpaca form, without ranking; {_FORM}')
    if unread := sorted(set(entry) - _READ):
        raise UserError(f'{where}: keys of "train" that are not read: {", ".join(unread)}; remove them')
    if not isinstance(columns, dict) or not all(isinstance(name, str) for name in columns.values()):
        raise UserError(f'{where}: columns of "train" must be an object of texts; {_FORM}')
    if unread := sorted(set(columns) - set(_NAMES)):
        raise UserError(f'{where}: columns of "train" that are not read: {", ".join(unread)}; {_FORM}')
    if "system" not in columns:
        raise UserError(f'{where}: "train" names no column with the system text of the prompts; {_FORM}')
    return {ours: columns.get(role, ours) for role, ours in _NAMES.items()}


def _row(
    file: Path, number: int, value: object, columns: dict[str, str], blank: Collection[str]
) -> dict[str, str]:
    """The row in our form; the query follows the prompt. Texts of the names in `blank` may be blank."""
    if not isinstance(value, dict):
        raise UserError(f"{file}, row {number}: not an object; {_AGAIN}")
    row = {ours: value.get(name, "" if ours == "input" else None) for ours, name in columns.items()}
    for ours, text in row.items():
        if not isinstance(text, str) or not (text.strip() or ours in blank):
            raise UserError(f"{file}, row {number}: no text under {columns[ours]!r}; {_AGAIN}")
        if _SURROGATE.search(text):
            raise UserError(
                f"{file}, row {number}: a lone surrogate, half of a character, under {columns[ours]!r}; "
                f"{_AGAIN}"
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
    named = _read(file, lambda path: [row.source for row in iterate_records(path, TrainingRow)])
    if len(named) != len(rows):
        again = "next: dvc repro dedupe_test" if folder == _PIPELINE else "write a line for each row"
        raise UserError(f"{file}: {len(named)} lines for {len(rows)} rows; {again}")
    if wrong := [number for number, source in enumerate(named, 1) if not isinstance(source, str)]:
        raise UserError(f"{file}, record {wrong[0]}: source is no text; {_AGAIN}")
    counts = Counter(named)
    if unknown := [source for source in sources if source not in counts]:
        known = ", ".join(f"{source} ({count} rows)" for source, count in counts.items())
        raise UserError(
            f"{section}.sources: no row of {unknown[0]!r} in {file}; it has {known}: name one of them"
        )
    wanted = set(sources)
    return [row for row, source in zip(rows, named, strict=True) if source in wanted]


def _copy_schemas(file: Path, copy: Path, sources: Sequence[str] | None) -> None:
    """Copy the schema of each row, which training.validation needs; there may be none."""
    if sources is not None:
        rows = iterate_records(file, TrainingRow)
        write_jsonl(copy, (asdict(row) for row in rows if row.source in sources))
    elif file.is_file():
        copy_file(file, copy)
