"""Outputs are either complete or unchanged."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.conftest import ROOT
from text2sql import files
from text2sql.errors import UserError, file_error
from text2sql.files import (
    copy_file,
    copy_folder,
    folder_above,
    publish,
    read_json,
    read_jsonl,
    replacing,
    replacing_folder,
    require_writable,
    write_bytes,
    write_json,
    write_jsonl,
    writing,
)

HOLD = """
import sys
from pathlib import Path
from text2sql.files import replacing, replacing_folder

with globals()[sys.argv[1]](Path(sys.argv[2])) as made:
    (made / "half").write_text("half") if isinstance(made, Path) else made.write("half" * 9999)
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(kind: str, output: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing `output`, and ends without error when stdin is closed."""
    command = [sys.executable, "-c", HOLD, kind, str(output)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process


def killed(kind: str, output: Path) -> None:
    with held(kind, output) as process:
        process.send_signal(signal.SIGKILL)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_block_without_error_replaces_the_old_folder(tmp_path: Path) -> None:
    output = tmp_path / "data" / "raw"
    for name in ("old", "new"):
        with replacing_folder(output) as folder:
            (folder / name).write_text(name)
    assert [path.name for path in output.iterdir()] == ["new"]
    assert [path.name for path in output.parent.iterdir()] == ["raw"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_with_an_error_leaves_the_old_folder_and_no_other_files(
    tmp_path: Path, error: type[BaseException]
) -> None:
    output = tmp_path / "raw"
    with replacing_folder(output) as folder:
        (folder / "old").write_text("old")
    with pytest.raises(error), replacing_folder(output) as folder:
        (folder / "half").write_text("half")
        raise error
    assert [path.name for path in output.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_other_users_can_read_the_folder(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "raw") as folder:
        copy_file(Path(__file__), folder / "a" / "b")
    assert (tmp_path / "raw").stat().st_mode & 0o055 == 0o055
    assert (tmp_path / "raw" / "a" / "b").read_bytes() == Path(__file__).read_bytes()


def test_publishing_replaces_a_complete_folder(tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "out" / "model"
    source.mkdir()
    (source / "new").write_text("new")
    output.mkdir(parents=True)
    (output / "old").write_text("old")
    publish(source, output)
    assert [file.name for file in output.iterdir()] == ["new"]
    assert [entry.name for entry in output.parent.iterdir()] == ["model"]


def test_publishing_a_file_replaces_it_and_leaves_no_other_files(tmp_path: Path) -> None:
    source, output = tmp_path / "loss.csv", tmp_path / "metrics" / "loss" / "train.csv"
    source.write_text("new")
    for _ in range(2):
        publish(source, output)
    assert output.read_text() == "new"
    assert list(output.parent.iterdir()) == [output]


def test_a_folder_is_copied_with_the_files_that_its_links_refer_to(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner" / "empty").mkdir(parents=True)
    (source / "inner" / "a").write_text("a")
    (source / "link").symlink_to(source / "inner" / "a")
    (source / "folder").symlink_to(source / "inner")
    copy_folder(source, tmp_path / "new" / "copy")
    copy = tmp_path / "new" / "copy"
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == [
        "folder",
        "folder/a",
        "folder/empty",
        "inner",
        "inner/a",
        "inner/empty",
        "link",
    ]
    assert not any(path.is_symlink() for path in copy.rglob("*"))


@pytest.mark.parametrize("kind", [replacing, replacing_folder])
def test_a_pipe_or_device_is_not_replaced(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe: is neither a file nor a folder"), kind(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo() and names(tmp_path) == ["pipe"]


# -- outputs that a user names --


def test_a_named_output_that_is_new_or_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with pytest.raises(KeyError), writing(tmp_path / "out") as file:
            file.write("half")
            raise KeyError
        with writing(tmp_path / "out") as file:
            file.write(text)
    assert (tmp_path / "out").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_the_target_of_a_named_link_is_replaced_also_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/real")
    for value in (1, 2):
        write_json(tmp_path / "link", value, writing)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder/real").read_text() == "2\n"
    assert names(tmp_path / "folder") == ["real"]


def test_a_named_open_file_is_written_from_where_it_stands(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        log.write("first\n")
        log.flush()
        write_jsonl(f"/dev/fd/{log.fileno()}", [{"a": 1}], writing)
        log.write("last\n")
    assert (tmp_path / "log").read_text() == 'first\n{"a": 1}\nlast\n'


def test_an_error_of_a_device_has_its_name() -> None:
    with pytest.raises(OSError, match="No space") as error, writing("/dev/full") as file:
        file.write("x")
    assert error.value.filename == "/dev/full"


def test_what_can_be_written_is_told_before_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "link", "pipe", "new"):
        require_writable(tmp_path / name)
    require_writable(Path("/dev/stdout"))
    assert names(tmp_path) == ["file", "link", "pipe"]
    assert (tmp_path / "file").read_text() == "old"
    with pytest.raises(UserError, match="is a folder"):
        require_writable(tmp_path)
    with pytest.raises(OSError, match="file") as error:
        require_writable(tmp_path / "file/new")
    assert error.value.filename == str(tmp_path / "file")


# -- killed processes --


@pytest.mark.parametrize("kind", ["replacing", "replacing_folder"])
def test_what_a_killed_process_left_is_removed_by_the_next_run_for_that_output(
    tmp_path: Path, kind: str
) -> None:
    for output in ("raw", "raw", "raw.x", "other"):
        killed(kind, tmp_path / output)
    left = {name for name in names(tmp_path) if name.endswith(".partial")}
    assert len(left) == 3  # the second run for "raw" has removed what the first one left
    with getattr(files, kind)(tmp_path / "raw"):
        pass
    assert names(tmp_path) == sorted(
        ["raw", *(name for name in left if not name.startswith(".raw.") or ".x." in name)]
    )


@pytest.mark.parametrize("kind", ["replacing", "replacing_folder"])
def test_what_a_running_process_writes_is_left_alone(tmp_path: Path, kind: str) -> None:
    output = tmp_path / "raw"
    with held(kind, output) as process:
        with getattr(files, kind)(output) as made:
            assert len(names(tmp_path)) == 2  # a scratch folder of each
            del made
        assert len(names(tmp_path)) == 2
        assert process.stdin
        process.stdin.close()
        assert process.wait() == 0
    assert names(tmp_path) == ["raw"]
    assert names(output) == ["half"] if output.is_dir() else output.read_text() == "half" * 9999


def test_files_with_similar_names_are_left_alone(tmp_path: Path) -> None:
    similar = [".raw.abcd1234.partial", ".raw.abc.partial", ".raw.abcd1234", "raw.abcd1234.partial"]
    for name in similar[1:]:
        (tmp_path / name).mkdir()
    (tmp_path / similar[0]).write_text("a file of the user")
    with replacing_folder(tmp_path / "raw"):
        pass
    assert names(tmp_path) == sorted([*similar, "raw"])


@pytest.mark.parametrize("locked", [False, True])
def test_an_empty_scratch_folder_and_one_without_content_are_removed(tmp_path: Path, locked: bool) -> None:
    left = tmp_path / ".raw.abcd1234.partial"
    left.mkdir()
    if locked:
        (left / "lock").touch()
    with replacing(tmp_path / "raw"):
        pass
    assert names(tmp_path) == ["raw"]


def test_after_a_kill_between_the_two_renames_the_old_folder_is_put_back(tmp_path: Path) -> None:
    left = tmp_path / ".raw.abcd1234.partial"
    for name in ("old", "new"):
        (left / name).mkdir(parents=True)
        (left / name / name).touch()
    (left / "lock").touch()
    with pytest.raises(ValueError), replacing_folder(tmp_path / "raw"):
        assert names(tmp_path / "raw") == ["old"]
        raise ValueError
    assert names(tmp_path) == ["raw"]
    assert names(tmp_path / "raw") == ["old"]


def test_a_rename_that_fails_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, rename = tmp_path / "raw", os.rename
    output.mkdir()
    (output / "old").touch()

    def failing(source: Path, target: Path) -> None:
        if source.name == "new":
            raise OSError(errno.EIO, "Input/output error", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="Input/output"), replacing_folder(output):
        pass
    assert names(tmp_path) == ["raw"] and names(output) == ["old"]


def test_a_file_system_without_locks_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    killed("replacing", tmp_path / "raw")
    (left,) = names(tmp_path)
    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    with replacing(tmp_path / "raw") as file:
        file.write("new")
    assert (tmp_path / "raw").read_text() == "new"
    assert names(tmp_path) == [left, "raw"]  # it might be another machine's


# -- a full disk --


def rows_without_end() -> Iterator[dict[str, str]]:
    while True:
        yield {"text": "x" * 1000}


def test_a_full_disk_is_named_with_the_file_that_was_written(small_disk: Path) -> None:
    path = small_disk / "rows.jsonl"
    with pytest.raises(OSError, match="No space") as error:
        write_jsonl(path, rows_without_end())
    assert error.value.filename == str(path)
    assert names(small_disk) == []
    assert file_error(error.value, "fix that", "`dvc repro`") == (
        f"{path}: No space left on device; free some space on that disk, then `dvc repro`"
    )


def test_bytes_are_whole_or_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "a.bin"
    write_bytes(path, b"\0\xff\n")
    with pytest.raises(OSError, match="No space") as error:
        write_bytes(path, bytes(1 << 20))
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"\0\xff\n"
    assert names(small_disk) == ["a.bin"]


def test_of_two_files_the_one_that_did_not_fit_is_named(small_disk: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="No space") as error,
        replacing(small_disk / "kept") as kept,
        replacing(tmp_path / "removed") as removed,
    ):
        for row in rows_without_end():
            removed.write("x")
            kept.write(row["text"])
    assert error.value.filename == str(small_disk / "kept")


@pytest.mark.parametrize("way", ["rows", "plain", "copy", "publish", "publish file"])
def test_a_full_disk_is_named_with_the_place_in_the_folder(
    small_disk: Path, tmp_path: Path, way: str
) -> None:
    output = small_disk / "raw"
    big = tmp_path / "source" / "inner" / "big"
    big.parent.mkdir(parents=True)
    big.write_bytes(bytes(1 << 20))
    with pytest.raises(OSError, match="No space") as error:
        if way.startswith("publish"):
            publish(big if "file" in way else big.parent.parent, output)
        with replacing_folder(output) as folder:
            if way == "rows":
                write_jsonl(folder / "inner" / "big", rows_without_end())
            elif way == "copy":
                copy_file(big, folder / "inner" / "big")
            else:
                (folder / "big").write_bytes(bytes(1 << 20))  # an error without a name
    expected = output if way in ("plain", "publish file") else output / "inner" / "big"
    assert error.value.filename == str(expected)
    assert names(small_disk) == []


def test_a_full_disk_is_named_by_the_folder_where_a_library_has_an_error_of_its_own(
    small_disk: Path,
) -> None:
    output = small_disk / "model"
    with pytest.raises(OSError, match="No space") as error, replacing_folder(output) as folder:
        save_file({"a": np.ones(1 << 20, dtype=np.float32)}, folder / "model.safetensors")
    assert error.value.filename == str(output)
    assert names(small_disk) == []


def test_what_a_killed_process_left_is_removed_from_a_full_disk(small_disk: Path) -> None:
    killed("replacing", small_disk / "raw")
    with pytest.raises(OSError, match="No space"), open(small_disk / "fill", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with replacing(small_disk / "raw") as made:
        made.write("new")
    assert (small_disk / "raw").read_text() == "new"


def test_errors_of_writing_and_closing_have_the_name_of_the_file() -> None:
    full = files._NamedFile(Path("/dev/full"), Path("target"))
    with pytest.raises(OSError, match="No space") as error:
        full.write(b"x")
    assert error.value.filename == "target"
    os.close(full.fileno())
    with pytest.raises(OSError, match="Bad file descriptor") as error:
        full.close()
    assert error.value.filename == "target"


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_full_disk_without_a_file_is_named_by_the_folder(tmp_path: Path, kind: type[Exception]) -> None:
    full = (errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No space") as error, replacing_folder(tmp_path / "raw"):
        raise kind(*full) if kind is OSError else kind(f"I/O error: {full[1]}")
    assert error.value.filename == str(tmp_path / "raw")


def test_a_message_for_the_user_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^a: No space left on device$"), replacing_folder(tmp_path / "raw"):
        raise UserError("a: No space left on device")


def test_an_error_of_something_else_keeps_its_name(tmp_path: Path) -> None:
    for kind in (replacing, replacing_folder):
        with pytest.raises(FileNotFoundError) as error, kind(tmp_path / "raw"):
            (tmp_path / "none").read_text()
        assert error.value.filename == str(tmp_path / "none")


def test_a_folder_that_cannot_be_written_to_is_named_by_the_output() -> None:
    with pytest.raises(OSError) as error, replacing(Path("/proc/raw")):
        pass
    assert error.value.filename == "/proc/raw"


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a": ' + "1" * 5000 + "}"])
def test_json_that_python_does_not_read_is_an_error_with_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: (not JSON|lists or objects are nested too deeply)"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"a\.json, line 1: not JSON"):
        list(read_jsonl(tmp_path / "a.json"))


def test_the_folder_above_is_found_however_the_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to("models")
    for path in ("models", "models/base", "./models/base", "x/../models/a", tmp_path / "models/a", "link/a"):
        assert folder_above(path, "data", "models") == "models"
    for path in ("mine", "models2/base", "mine/models/base", "/models/base", "../models"):
        assert folder_above(path, "data", "models") is None
