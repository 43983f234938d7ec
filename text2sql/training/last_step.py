"""No step after the last one.

The trainer of transformers 5 trains one more batch when it resumes from the last checkpoint of a training:
it looks for the end after a step, not before it.
"""

from __future__ import annotations

from typing import Any

from transformers import Trainer


def stop_at_last_step() -> None:
    """From now on transformers' trainer ends at once if it resumes after its last step.

    Raises:
        RuntimeError: this transformers has another trainer.
    """
    original = getattr(Trainer, "_run_epoch", None)
    if original is None:
        raise RuntimeError(f"transformers: its trainer has no _run_epoch, see {__name__}")

    def run_epoch(trainer: Any, *arguments: Any, **options: Any) -> None:
        if trainer.state.global_step >= trainer.state.max_steps:
            trainer.control.should_training_stop = True
        else:
            original(trainer, *arguments, **options)

    Trainer._run_epoch = run_epoch
