"""Which checkpoints may be resumed from."""

import json
from pathlib import Path

from text2sql.training.checkpoints import newest_checkpoint


def _checkpoint(run: Path, step: int, state: str | None = None) -> Path:
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if state is None:
        state = json.dumps({"global_step": step})
    if state:
        (folder / "trainer_state.json").write_text(state)
    return folder


def test_the_highest_step_is_the_newest(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 90)
    newest = _checkpoint(tmp_path, 100)
    assert newest_checkpoint(tmp_path) == newest


def test_a_checkpoint_without_its_last_file_is_torn(tmp_path: Path) -> None:
    whole, torn = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20, state="")
    assert newest_checkpoint(tmp_path) == whole
    assert not torn.exists()


def test_a_checkpoint_whose_last_file_is_cut_is_torn(tmp_path: Path) -> None:
    whole, _ = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20, state='{"global_st')
    assert newest_checkpoint(tmp_path) == whole


def test_a_checkpoint_that_tells_another_step_is_torn(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 20, state='{"global_step": 10}')
    assert newest_checkpoint(tmp_path) is None


def test_a_checkpoint_of_two_ranks_needs_what_both_leave(tmp_path: Path) -> None:
    whole, torn = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20)
    for file in (whole / "rng_state_0.pth", whole / "rng_state_1.pth", torn / "rng_state_0.pth"):
        file.touch()
    assert newest_checkpoint(tmp_path, ranks=2) == whole


def test_a_run_that_never_began_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "run") is None
