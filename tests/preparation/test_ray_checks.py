"""The check on a local Ray cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from text2sql.errors import UserError
from text2sql.preparation.settings import Prepare
from text2sql.preparation.training import prepare_training
from text2sql.ray_cluster import started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    pytest.importorskip("ray", reason="Ray is not installed")
    with started(num_cpus=2, include_dashboard=False, log_to_driver=False):
        yield


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two files of several chunks, every seventh row of which is rejected."""
    (tmp_path / "raw" / "train").mkdir(parents=True)
    for name in ("b.jsonl", "a.json"):
        rows = [
            {
                "question": f"{'long ' * 200}{number}",
                "context": f"CREATE TABLE t{number % 9} (a)",
                "answer": f"SELECT a FROM t{number % 7 and number % 9}",
            }
            for number in range(2500)
        ]
        text = json.dumps(rows) if name == "a.json" else "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "raw" / "train" / name).write_text(text)
    return tmp_path / "raw"


def prepared(raw: Path, executor: Literal["local", "ray"]) -> dict[str, bytes]:
    folder = raw.parent / executor
    folder.mkdir()
    prepare_training(raw, folder, Prepare(train_limit=1000, executor=executor))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("cluster")
def test_ray_writes_the_same_bytes_as_one_process(raw: Path) -> None:
    here = prepared(raw, "local")
    assert here["rejected.jsonl"].count(b"\n") > 500
    assert prepared(raw, "ray") == here


@pytest.mark.usefixtures("cluster")
def test_a_damaged_file_is_named_as_it_is_without_ray(raw: Path) -> None:
    (raw / "train" / "c.json").write_text("[\n{")
    with pytest.raises(UserError, match=r"c\.json: not a whole JSON list \(line 2: "):
        prepared(raw, "ray")


def test_without_ray_the_error_says_what_to_install(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(UserError, match="pip install ray"):
        prepared(raw, "ray")
