"""Outputs are either complete or unchanged."""

from pathlib import Path

import pytest

from text2sql.files import copy_file, publish, replacing_folder


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
