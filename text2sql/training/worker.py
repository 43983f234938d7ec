"""Run one rank of a training: LLaMA-Factory's trainer with this project's callback. `launch` starts it."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from text2sql.cpu import use_fixed_products
from text2sql.devices import torch_device
from text2sql.processes import die_with_parent
from text2sql.training.recipe import ALL_ROWS

if TYPE_CHECKING:
    from transformers import TrainerCallback


@click.command(help=__doc__)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--save-minutes", type=float, help="Save a checkpoint also after this many minutes.")
@click.option("--keep-steps", type=int, help="Keep the weights after every so many steps.")
@click.option("--validate", is_flag=True, help="Validate as the plan beside the configuration says.")
def main(config: Path, save_minutes: float | None, keep_steps: int | None, validate: bool) -> None:
    """Train with the arguments in `config`; fault.txt beside it gets the reason if the loss stops it."""
    die_with_parent()  # of several ranks the parent is torchrun
    gc.disable()  # imported objects stay alive: looking for garbage takes a seventh of the import time
    from llamafactory.train.tuner import run_exp

    from text2sql.training.monitor import NonFiniteLoss, TrainingMonitor
    from text2sql.training.pissa import KeepStart, OtherStart

    gc.enable()
    arguments = yaml.safe_load(config.read_text(encoding="utf-8"))
    megatron = os.environ.get("USE_MCA") == "1"
    _replace_parts_of_the_trainer(arguments, config.parent, megatron)
    # every step is logged, so that a checkpoint may be between two lines of the speed: a running mean of the
    # loss would be lost there
    log_steps, arguments["logging_steps"] = arguments["logging_steps"], 1
    monitor = TrainingMonitor(config.parent, save_minutes, log_steps, not megatron, keep_steps)
    callbacks: list[TrainerCallback] = [monitor]
    if validate:
        from text2sql.training.validator import Validator

        callbacks.append(Validator(config.parent, monitor))
    if arguments.get("pissa_init"):
        callbacks.append(KeepStart(config.parent))
    if not megatron:
        from text2sql.training.logits import AnswerLogits

        callbacks.append(AnswerLogits())
        if torch_device() == "cpu":
            _prepare_cpu(arguments)
    try:
        run_exp(arguments, callbacks=callbacks)
    except (NonFiniteLoss, OtherStart) as error:
        (config.parent / "fault.txt").write_text(str(error), encoding="utf-8")
        sys.exit(str(error))


def _replace_parts_of_the_trainer(arguments: dict[str, Any], folder: Path, megatron: bool) -> None:
    """Apply what the arguments need of this project's changes to LLaMA-Factory, transformers and Megatron."""
    from text2sql.training.last_step import stop_at_last_step

    if "train_sampling_strategy" in arguments:
        from text2sql.training.sampler import use_order_by_epoch

        ranks = int(os.environ.get("WORLD_SIZE", "1"))  # torchrun sets it
        use_order_by_epoch(arguments["data_seed"], ranks)
    if arguments.get("preprocessing_batch_size") == ALL_ROWS:
        from text2sql.training.shared_prefix import use_shared_prefixes

        use_shared_prefixes(arguments["data_seed"], folder)
    if megatron:
        from text2sql.training.mcore_patches import patch_mcore_adapter

        patch_mcore_adapter(arguments["data_seed"])
    if arguments.get("enable_liger_kernel"):
        from text2sql.training.logits import keep_output_layer

        keep_output_layer()
    stop_at_last_step()


def _prepare_cpu(arguments: dict[str, Any]) -> None:
    """Set number type and kernels for a CPU."""
    import torch

    from text2sql.training.muon import use_float32

    if arguments["use_muon"]:
        use_float32()
    if torch.get_num_threads() == 1 and not arguments["bf16"]:
        use_fixed_products()


if __name__ == "__main__":
    main()
