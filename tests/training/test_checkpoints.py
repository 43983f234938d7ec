"""Only complete checkpoints are resumed from."""

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


def test_a_checkpoint_without_its_last_file_is_incomplete(tmp_path: Path) -> None:
    complete, incomplete = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20, state="")
    assert newest_checkpoint(tmp_path) == complete
    assert not incomplete.exists()


def test_a_checkpoint_whose_last_file_is_cut_short_is_incomplete(tmp_path: Path) -> None:
    complete, _ = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20, state='{"global_st')
    assert newest_checkpoint(tmp_path) == complete


def test_a_checkpoint_with_the_state_of_another_step_is_incomplete(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 20, state='{"global_step": 10}')
    assert newest_checkpoint(tmp_path) is None


def test_a_checkpoint_of_two_ranks_needs_the_files_of_both(tmp_path: Path) -> None:
    complete, incomplete = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20)
    for folder, rank in ((complete, 0), (complete, 1), (incomplete, 0)):
        (folder / f"rng_state_{rank}.pth").touch()
    assert newest_checkpoint(tmp_path, ranks=2) == complete


def test_a_run_that_never_began_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "run") is None
