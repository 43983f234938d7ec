"""Works around faults of ROLL's mcore_adapter, so that Megatron trains what the other trainers train.

Tried with the versions in `_TRIED`. Each fault has a function of its own. If a name that is replaced does not
exist any more, the training stops: it would otherwise train on other rows, or with other weights for them,
without a message.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from text2sql.training.megatron import record_logits

_TRIED = {"megatron-core": "0.16.1"}


def patch_mcore_adapter(seed: int) -> None:
    """Apply all patches; rows are shuffled with `seed`.

    Raises:
        RuntimeError: megatron-core has another version than the tried one, or mcore_adapter has no such name.
    """
    for package, tried in _TRIED.items():
        if (found := importlib.metadata.version(package)) != tried:
            raise RuntimeError(
                f"{package} {found} is installed, and Megatron was tried with {tried} only; "
                "install what configs/requirements-gpu.txt lists"
            )
    trainer: Any = importlib.import_module("mcore_adapter.trainer.trainer")
    _keep_plan_check(trainer)
    _shuffle(trainer, seed)
    _end_epochs(trainer.McaTrainer)
    _log_mean_loss(trainer.McaTrainer)
    _record_logits(trainer.McaTrainer)


def _keep_plan_check(trainer: Any) -> None:
    """mcore_adapter replaces a function of torch that was slow by one that returns a truth value.

    torch 2.13 has a fast one, which returns a list of errors: with the other one every checkpoint of the
    distributed optimizer fails.
    """
    _expect(trainer, "patch_torch_validate_global_plan")
    planner: Any = importlib.import_module("torch.distributed.checkpoint.default_planner")
    _expect(planner, "_validate_global_plan")
    if inspect.signature(planner._validate_global_plan).return_annotation not in (bool, "bool"):
        trainer.patch_torch_validate_global_plan = lambda: None


def _shuffle(trainer: Any, seed: int) -> None:
    """mcore_adapter trains in the order of the file; transformers shuffles the rows in every epoch."""
    from accelerate.data_loader import SeedableRandomSampler

    _expect(trainer, "SequentialSampler")
    trainer.SequentialSampler = lambda rows: SeedableRandomSampler(rows, data_seed=seed)


def _end_epochs(trainer_class: Any) -> None:
    """An epoch of mcore_adapter has one step more than batches, on the first batches once more.

    A training that resumes at its last step trains one step more, too, and one that resumes in a later epoch
    would shuffle as in the first. Rows that do not fill a step at the end of an epoch are left out.
    """
    _expect(trainer_class, "_get_train_cyclic_iterator")

    def batches(self: Any, loader: Any) -> Iterator[Any]:
        if self.state.global_step < self.state.max_steps:
            loader.set_epoch(int(self.state.epoch))
            yield from loader

    trainer_class._get_train_cyclic_iterator = batches


def _log_mean_loss(trainer_class: Any) -> None:
    """With a loss for each token, mcore_adapter divides the mean over several steps by their number again."""
    _expect(trainer_class, "_maybe_log_save_evaluate")
    original = trainer_class._maybe_log_save_evaluate

    def log(self: Any, loss: Any, *args: Any, **kwargs: Any) -> None:
        steps = self.state.global_step - self._globalstep_last_logged
        if self.control.should_log and steps > 0 and self.args.calculate_per_token_loss:
            loss[0] *= steps  # of [sum of the tokens' losses, number of tokens]; it is set to zero afterwards
        original(self, loss, *args, **kwargs)

    trainer_class._maybe_log_save_evaluate = log


def _record_logits(trainer_class: Any) -> None:
    """The end of a training also writes logits, with which the converted model is compared."""
    _expect(trainer_class, "save_model")
    original = trainer_class.save_model

    def save(self: Any, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if output_dir is None:  # else it is a checkpoint
            record_logits(self, Path(self.args.output_dir))
        original(self, output_dir, _internal_call)

    trainer_class.save_model = save


def _expect(owner: Any, name: str) -> None:
    if not hasattr(owner, name):
        raise RuntimeError(
            f"{owner.__name__} has no {name}, which {__name__} replaces; install the commit of mcore_adapter "
            "that configs/requirements-gpu.txt lists"
        )
