"""Training data of own arms: some sources of the pipeline's rows, and rows that were made elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.records import TrainingRow
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.own_data import training_data

SOURCES = ["spider", "wide", "spider", "wide", "own"]
ROW = {"context": "Answer with SQL.", "ask": "How many dogs?", "sql": "SELECT count(*) FROM dog"}
COLUMNS = {"prompt": "ask", "response": "sql", "system": "context"}


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """data/train as dedupe_test writes it: five rows of three sources."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    folder = Path("data/train")
    folder.mkdir(parents=True)
    write_dataset((turn("CREATE TABLE t (a)", f"Question {n}?", "SELECT a") for n in range(5)), folder)
    rows = [TrainingRow(f"{source}:{n}", source, "q", "d", "s") for n, source in enumerate(SOURCES)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    return folder


def brought(rows: object, name: str = "mine.json", **entry: Any) -> Path:
    """A folder with a data set "train" that was made elsewhere."""
    folder = Path("brought")
    folder.mkdir(exist_ok=True)
    description = {"train": {"file_name": name, "columns": COLUMNS} | entry}
    (folder / "dataset_info.json").write_text(json.dumps(description))
    (folder / name).write_text(json.dumps(rows))
    return folder


def test_the_rows_of_the_pipeline_are_used_where_they_are(train: Path) -> None:
    assert training_data(train, None, "train.mine") == train


def test_only_the_rows_of_the_named_sources_are_used_in_their_order(train: Path) -> None:
    rows = read_json(train / "sft.json")
    folder = training_data(train, ["own", "spider"], "train.mine")
    assert read_json(folder / "sft.json") == [rows[0], rows[2], rows[4]]
    assert read_json(folder / "dataset_info.json") == read_json(train / "dataset_info.json")


def test_the_order_in_which_sources_are_named_does_not_matter(train: Path) -> None:
    assert training_data(train, ["own", "spider"], "a") == training_data(train, ["spider", "own"], "b")


def test_changed_rows_have_another_folder(train: Path) -> None:
    before = training_data(train, ["wide"], "train.mine")
    (train / "sft.json").write_text((train / "sft.json").read_text().replace("Question 1?", "Why?"))
    assert training_data(train, ["wide"], "train.mine") != before


def test_rows_from_elsewhere_keep_the_schemas_beside_them(train: Path) -> None:
    folder = brought([ROW] * 5)
    assert not (training_data(folder, None, "train.x") / "rows.jsonl").exists()
    shutil.copy(train / "rows.jsonl", folder)
    copied = training_data(folder, None, "train.x") / "rows.jsonl"
    assert copied.read_bytes() == (folder / "rows.jsonl").read_bytes()


def test_rows_from_elsewhere_get_our_names_and_their_query_follows_the_prompt(train: Path) -> None:
    query = COLUMNS | {"query": "more"}
    folder = training_data(brought([ROW, ROW | {"more": "Count cats too."}], columns=query), None, "train.x")
    first = {"system": ROW["context"], "instruction": ROW["ask"], "input": "", "output": ROW["sql"]}
    second = first | {"instruction": "How many dogs?\nCount cats too."}
    assert read_json(folder / "sft.json") == [first, second]


def test_rows_of_a_json_lines_file_are_read(train: Path) -> None:
    folder = brought(ROW, "mine.jsonl")
    (folder / "mine.jsonl").write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n")
    assert len(read_json(training_data(folder, None, "train.x") / "sft.json")) == 2


def test_the_description_of_the_docs_is_read(train: Path) -> None:
    page = (ROOT / "docs" / "your-arms.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    row = {"instruction": "How many dogs?", "output": "SELECT 1", "system": "Answer with SQL."}
    folder = brought([row])
    (folder / "dataset_info.json").write_text(text)
    assert read_json(training_data(folder, None, "train.x") / "sft.json") == [row | {"input": ""}]


def remove_description(train: Path) -> Path:
    (train / "dataset_info.json").unlink()
    return train


def with_rows(rows: object) -> Callable[[Path], Path]:
    """A folder of the user's that is described as data/train is, with these rows."""

    def make(train: Path) -> Path:
        folder = brought([])
        shutil.copy(train / "dataset_info.json", folder)
        shutil.copy(train / "rows.jsonl", folder)
        (folder / "sft.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))
        return folder

    return make


def without_rows(train: Path) -> Path:
    folder = with_rows([])(train)
    (folder / "sft.json").unlink()
    return folder


def without_sources(_: Path) -> Path:
    folder = brought([ROW])
    (folder / "rows.jsonl").unlink(missing_ok=True)
    return folder


def with_two_sources(source: object) -> Callable[[Path], Path]:
    def make(train: Path) -> Path:
        folder = with_rows([OURS, OURS])(train)
        lines = [json.dumps(asdict(TrainingRow("a", name, "q", "d", "s"))) for name in ("own", source)]  # type: ignore[arg-type]
        (folder / "rows.jsonl").write_text("\n".join(lines))
        return folder

    return make


OURS = {"system": "Answer with SQL.", "instruction": "How many dogs?", "input": "", "output": "SELECT 1"}
BROKEN: list[tuple[Callable[[Path], Path], list[str] | None, str]] = [
    (lambda _: Path("nowhere"), None, r"train\.x\.data: nowhere has no dataset_info\.json; .*data/train"),
    (remove_description, None, r"train\.x\.data: data/train has no dataset_info\.json"),
    (lambda _: brought([ROW], file_name=None, hf_hub_url="a/b"), None, "must have file_name: .*found None"),
    (lambda _: brought([ROW], formatting="sharegpt"), None, "alpaca form"),
    (lambda _: brought([ROW], ranking=True), None, "without ranking"),
    (lambda _: brought([ROW], columns=COLUMNS | {"history": "h"}), None, "not read: history"),
    (lambda _: brought([ROW], columns={"prompt": "ask"}), None, "no column with the system text"),
    (lambda _: brought([]), None, r"mine\.json: no list of rows"),
    (lambda _: brought({"a": 1}), None, r"mine\.json: no list of rows"),
    (lambda _: brought([ROW, "text"]), None, r"mine\.json, row 1: not an object"),
    (lambda _: brought([ROW, ROW | {"sql": " "}]), None, r"mine\.json, row 1: no text under 'sql'"),
    (lambda _: brought([ROW, ROW | {"context": None}]), None, r"mine\.json, row 1: no text under 'context'"),
    (
        lambda _: brought([ROW | {"sql": "\ud800"}]),
        None,
        r"mine\.json, row 0: a lone surrogate.*'sql'; fix it",
    ),
    (lambda _: brought([ROW], columns=None), None, r"info\.json: columns of .train. must be .*texts; next:"),
    (lambda _: brought([ROW], columns=COLUMNS | {"prompt": 5}), None, "must be an object of texts"),
    (lambda _: brought([ROW], columns=["ask"]), None, "must be an object of texts"),
    (lambda _: brought([ROW], split="x", num_samples=5), None, "not read: num_samples, split; remove them"),
    (lambda _: brought([ROW], file_name="../mine.json"), None, "must have file_name: .*found '../mine.json'"),
    (
        lambda _: brought([ROW], file_name="other.json"),
        None,
        r"brought/other\.json: no such file, and .*; put",
    ),
    (without_rows, None, r"brought/sft\.json: no such file, and .*; put the rows of train\.x there$"),
    (with_rows("["), None, r"sft\.json, line 1: not JSON .*; fix it, then `dvc repro`"),
    (with_rows(["x"]), None, r"sft\.json, row 0: not an object; fix it, then `dvc repro`"),
    (with_rows({"a": 1}), None, r"sft\.json: no list of rows; .*: fix it"),
    (with_rows(5), None, r"sft\.json: no list of rows"),
    (with_rows([OURS, 7]), None, r"sft\.json, row 1: not an object"),
    (with_rows([OURS, OURS | {"output": ""}]), None, r"sft\.json, row 1: no text under 'output'; fix it"),
    (with_rows([OURS | {"output": None}]), None, r"sft\.json, row 0: no text under 'output'"),
    (with_rows([OURS | {"instruction": 5}]), None, r"sft\.json, row 0: no text under 'instruction'"),
    (with_rows([{"system": "a", "instruction": "b"}]), None, r"sft\.json, row 0: no text under 'output'"),
    (with_rows([OURS | {"system": ""}]), None, r"sft\.json, row 0: no text under 'system'"),
    (with_rows([OURS | {"output": ""}]), ["spider"], r"sft\.json, row 0: no text under 'output'"),
    (with_rows([OURS]), ["spider"], r"rows\.jsonl: 5 lines for 1 rows; write a line for each row$"),
    (with_two_sources({}), ["own"], r"rows\.jsonl, record 2: source is no text; fix it"),
    (without_sources, ["spider"], r"train\.x\.sources: needs brought/rows\.jsonl"),
    (
        lambda train: train,
        ["spidr"],
        r"train\.x\.sources: no row of 'spidr' in data/train/rows\.jsonl; it has "
        r"spider \(2 rows\), wide \(2 rows\), own \(1 rows\): name one of them",
    ),
]


def test_valid_rows_of_a_folder_described_like_the_pipelines_are_used_where_they_are(train: Path) -> None:
    folder = with_rows([OURS, OURS])(train)
    assert training_data(folder, None, "train.x") == folder


def test_rows_described_like_the_pipelines_get_its_form(train: Path) -> None:
    rows = [{key: OURS[key] for key in ("instruction", "output", "system")} | {"note": 1}]
    assert read_json(training_data(with_rows(rows)(train), None, "train.x") / "sft.json") == [OURS]


def test_rows_of_a_prompt_form_without_system_text_are_used(train: Path) -> None:
    write_dataset([OURS | {"system": ""}], train)
    assert training_data(train, None, "train.mine") == train


def test_data_that_cannot_be_trained_on_are_refused_with_their_file(train: Path) -> None:
    unclear = []
    description = (train / "dataset_info.json").read_bytes()
    for make, sources, pattern in BROKEN:
        (train / "dataset_info.json").write_bytes(description)
        with pytest.raises(UserError) as refusal:
            training_data(make(train), sources, "train.x")
        if not re.search(pattern, str(refusal.value)):
            unclear.append((pattern, str(refusal.value)))
    assert not unclear


def test_a_description_without_a_set_named_train_is_refused_with_the_names_that_it_has(train: Path) -> None:
    folder = brought([ROW])
    (folder / "dataset_info.json").write_text('{"alpaca": {}, "dolly": {}}')
    with pytest.raises(UserError, match=r'no data set "train" \(found: alpaca, dolly\)'):
        training_data(folder, None, "train.x")


def test_rows_that_do_not_fit_the_list_of_sources_are_refused(train: Path) -> None:
    with (train / "rows.jsonl").open("a") as file:
        file.write(json.dumps(asdict(TrainingRow("own:9", "own", "q", "d", "s"))) + "\n")
    with pytest.raises(UserError, match=r"rows\.jsonl: 6 lines for 5 rows; next: dvc repro dedupe_test"):
        training_data(train, ["own"], "train.x")
