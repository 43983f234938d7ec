"""The profiles whose data and model are on the hub, from its cache and without a network, on a CPU.

The cache has small data sets and a random tiny Qwen3 in the places of the real ones: 50 rows of each training
source and 20 questions. `pytest tests/test_offline_hub.py` runs the whole pipeline of profile qwen3-1.7b so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.profiles import composed
from tests.hub_server import lay_snapshot
from tests.small_raw import write_database
from tests.tiny import tiny_qwen3, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("barn", "harbour", "castle", "orchard", "tower")
TEST_PLACES = ("shop", "club")
# `dvc exp run -S ...`: what a machine without a GPU, and a model this small, need
SMALL = [
    "training.precision=fp32",
    "training.attention=sdpa",
    "training.packing=false",
    "training.liger=false",
    "training.cutoff_len=1024",
    "training.threads=1",
    "training.epochs=null",
    "training.logging_steps=1",
    "train_lora32.max_steps=4",
    "train_lora128.enabled=false",
    "train_full.enabled=false",
    "lora.enabled=false",
    "predict.engine=transformers",
    "predict.max_new_tokens=8",
    "predict.threads=1",
]
ARMS = {
    "baseline": {"weights": "models/base", "questions": "data/test"},
    "lora32": {"weights": "models/lora32", "questions": "data/test"},
}
CONTEXT_ARM = {"lora32_context": {"weights": "models/lora32_context", "questions": "data/context/hints/test"}}
DESCRIPTION = "validation/dev_databases/shop/database_description/shop.csv"
DATA = ("fetch_data", "fetch_model", "prepare", "dedupe_test", "convert_schema")


def rows(places: tuple[str, ...], count: int, query: str) -> list[dict[str, Any]]:
    """`count` rows with questions on the databases `places`, the SQL under the key `query`."""
    return [
        {
            "db_id": places[number % len(places)],
            "question": f"Give the names in the {places[number % len(places)]} above size {number}.",
            query: f"SELECT name FROM {places[number % len(places)]} WHERE size > {number}",
        }
        for number in range(count)
    ]


def ddl(place: str) -> str:
    return f"CREATE TABLE {place} (id INTEGER PRIMARY KEY, name TEXT, size REAL);"


def databases(scratch: Path, below: str, places: tuple[str, ...]) -> dict[str, bytes]:
    for place in places:
        write_database(scratch / f"{place}.sqlite", f"{ddl(place)} INSERT INTO {place} VALUES (1, 'a', 50);")
    return {f"{below}/{place}/{place}.sqlite": (scratch / f"{place}.sqlite").read_bytes() for place in places}


def lay_hub(cache: Path, scratch: Path) -> None:
    """All repositories of the two profiles: Spider, BIRD and sql-create-context in small, and the model."""
    scratch.mkdir()
    spider = databases(scratch, "database", PLACES + TEST_PLACES) | {
        "train.json": json.dumps(rows(PLACES, 50, "query")).encode(),
        "validation.json": json.dumps(rows(TEST_PLACES, 20, "query")).encode(),
    }
    lay_snapshot(cache, "premai-io/spider", "dataset", spider)
    bird = databases(scratch / "bird", "validation/dev_databases", TEST_PLACES) | {
        "train/train.json": json.dumps(
            [{**row, "evidence": "size is in m"} for row in rows(PLACES, 50, "SQL")]
        ).encode(),
        "train/train_databases/train_tables.json": json.dumps(
            [tables_entry(place) for place in PLACES]
        ).encode(),
        "validation/validation.json": json.dumps(
            [{**row, "difficulty": "simple"} for row in rows(TEST_PLACES, 20, "SQL")]
        ).encode(),
        DESCRIPTION: b"original_column_name,column_description\nsize,in m\n",
    }
    lay_snapshot(cache, "premai-io/birdbench", "dataset", bird)
    context = [
        {
            "question": f"How many of lot {n}?",
            "context": ddl(f"lot{n}"),
            "answer": f"SELECT count(*) FROM lot{n}",
        }
        for n in range(50)
    ]
    content = {"sql_create_context_v4.json": json.dumps(context).encode()}
    lay_snapshot(cache, "b-mc2/sql-create-context", "dataset", content)
    model = tiny_tokenizer(tiny_qwen3(scratch / "model", context=2048))
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    commit = yaml.safe_load((ROOT / "profiles/qwen3-1.7b.yaml").read_text())["fetch_model"]["hub_revision"]
    lay_snapshot(cache, "Qwen/Qwen3-1.7B", "model", files, commit)


def tables_entry(place: str) -> dict[str, object]:
    """An entry of BIRD's tables.json."""
    return {
        "db_id": place,
        "table_names_original": [place],
        "column_names_original": [[-1, "*"], [0, "id"], [0, "name"], [0, "size"]],
        "column_types": ["text", "number", "text", "number"],
        "primary_keys": [1],
        "foreign_keys": [],
    }


def project(folder: Path, profile: str) -> None:
    """A checkout with the parameters of a profile, changed for a CPU."""
    from dvc.utils.hydra import apply_overrides

    for name in ("dvc.yaml", ".dvc/config", "data/outside/.gitkeep"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("stages", "text2sql", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    values = yaml.safe_load(composed(profile)) | {"arms": dict(ARMS)}
    if own := values["train"]:
        values["train"] = {"lora32_context": own["lora32_context"] | {"max_steps": 4}}
        values["arms"] |= CONTEXT_ARM
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    apply_overrides(folder / "params.yaml", SMALL)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def repro(folder: Path, *stages: str) -> str:
    """What `dvc repro` says with the network forbidden and the cache beside `folder`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TEXT2SQL_", "HF_"))
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "HF_HUB_CACHE": str(folder.parent / "hub"),
        "HF_HUB_OFFLINE": "1",
        "TEXT2SQL_WORK": str(folder / ".work"),
    }
    done = subprocess.run(
        ["dvc", "repro", *stages], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkout of the profile that the test names, beside the cache."""
    lay_hub(tmp_path / "hub", tmp_path / "scratch")
    project(tmp_path / "checkout", request.param)
    return tmp_path / "checkout"


@pytest.mark.slow
@pytest.mark.parametrize("checkout", ["qwen3-1.7b"], indirect=True)
def test_profile_qwen3_runs_from_the_cache_of_the_hub_to_the_table(checkout: Path) -> None:
    repro(checkout, "report")
    prepared = read(checkout / "metrics/prepare.json")
    assert {name: one["kept"] for name, one in prepared["sources"].items()} == {
        "spider": 50,
        "sql_create_context": 50,
    }
    assert read(checkout / "metrics/summary.json").keys() == (ARMS | CONTEXT_ARM).keys()
    assert "| lora32_context |" in (checkout / "metrics/table.md").read_text()
    context = read(checkout / "metrics/context/hints.json")
    assert (context["without_context"], context["train"]["without_context"]) == (0, 50)
    record = read(checkout / "metrics/fetch_data.json")
    assert list(record) == ["b-mc2/sql-create-context@main", "premai-io/spider@main"]
    again = repro(checkout, "report")
    outside = ("outside_train@spider", "outside_train@sql_create_context", "outside_test@spider_dev")
    ran = {line.split("'")[1] for line in again.splitlines() if line.startswith("Running stage")}
    assert ran == set(outside)


@pytest.mark.slow
@pytest.mark.parametrize("checkout", ["bird"], indirect=True)
def test_the_data_stages_of_profile_bird_run_from_the_cache_of_the_hub(checkout: Path) -> None:
    repro(checkout, *DATA)
    prepared = read(checkout / "metrics/prepare.json")
    assert prepared["sources"]["bird"]["kept"] == 50 and prepared["test"]["bird_dev"]["kept"] == 20
    row = json.loads((checkout / "data/prepared/train.jsonl").read_text().splitlines()[0])
    assert row["question"].endswith("\nEvidence: size is in m")
    assert (checkout / "data/raw/databases/shop/database_description/shop.csv").is_file()
    assert read(checkout / "metrics/convert_schema.json")
