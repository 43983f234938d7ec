"""Shared by outside_train and outside_test: what a source's files are now, so that a change is noticed.

DVC runs these stages every time, as it cannot know the files; with generated data there are none. A file
below TEXT2SQL_DATA is named by its hash: it is read once, and again when its size or its time of change is
another one. A data set on the hub is named by its commit, which an earlier run pinned or which is asked for
once.
"""

from __future__ import annotations

from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import write_json
from text2sql.hub import Hub
from text2sql.preparation.hub_data import pins as pins_of
from text2sql.preparation.hub_data import read_record, resolve
from text2sql.preparation.outside_data import content_hashes, data_folder, outside_files
from text2sql.preparation.settings import TrainingFile
from text2sql.workstore import WorkStore


def write_state(
    section: str,
    sources: dict[str, TrainingFile],
    name: str,
    recorded: str | None,
    pins: Path,
    output: Path,
) -> None:
    """Write the place of the source `name` among `sources` (`section` of params.yaml), and its files' state.

    That is the commit, or the hashes of the files.

    `recorded` is a file below TEXT2SQL_DATA that goes with it, `pins` the metrics of an earlier fetch_data.

    Raises:
        UserError: there is no such source, or no such folder, or the hub does not give a commit.
    """
    if name not in sources:
        raise UserError(f"params.yaml, {section}: has no {name}; `dvc repro` runs the stages of those it has")
    source, key = sources[name], f"{section}.{name}"
    # the report has the sets in this order
    state: dict[str, object] = {"position": list(sources).index(name)}
    if source.repo is not None:
        revision, commit = source.asked_revision, resolve(Hub(pins_of(read_record(pins))), key, source)
        state["hub"] = {"repo": source.repo, "revision": revision, "commit": commit}
    local = [] if source.repo is not None else [source]
    if local or recorded:
        root = data_folder()
        cache = WorkStore.from_environment().open("outside_data", {"source": key}) / "hashes.json"
        state["files"] = content_hashes(root, outside_files(root, local, recorded), cache)
    write_json(output, state)
