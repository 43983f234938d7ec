"""A stage's output folder: there whole, or as it was before."""

from pathlib import Path

import pytest

from stages._output import copy_file, replacing_folder


def test_a_finished_block_takes_the_place_of_the_old_folder(tmp_path: Path) -> None:
    output = tmp_path / "data" / "raw"
    for name in ("old", "new"):
        with replacing_folder(output) as folder:
            (folder / name).write_text(name)
    assert [path.name for path in output.iterdir()] == ["new"]
    assert [path.name for path in output.parent.iterdir()] == ["raw"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_broken_block_leaves_the_old_folder_and_nothing_else(
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


def test_others_may_read_the_folder(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "raw") as folder:
        copy_file(Path(__file__), folder / "a" / "b")
    assert (tmp_path / "raw").stat().st_mode & 0o055 == 0o055
    assert (tmp_path / "raw" / "a" / "b").read_bytes() == Path(__file__).read_bytes()
