"""What the four training stages share: their command line, and parameters turned into a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from stages._main import stage_main
from stages._params import FullArm, LoraArm, MegatronSwitch, TrainedArm, Training, load_params
from text2sql.training.recipe import Lora, Megatron, Recipe
from text2sql.training.run import train, write_loss
from text2sql.training.throughput import write_throughput

DEEPSPEED = Path(__file__).resolve().parents[1] / "configs" / "deepspeed"


def recipe_from(training: Training, arm: TrainedArm) -> Recipe:
    """The recipe of one arm: what all arms share, and what is its own. UserError: they exclude each other."""
    lora = Lora(arm.rank, arm.alpha, tuple(arm.targets)) if isinstance(arm, LoraArm) else None
    megatron = _megatron(arm.megatron) if isinstance(arm, FullArm) else None
    return Recipe(
        **training.model_dump(),
        learning_rate=arm.learning_rate,
        max_steps=arm.max_steps,
        epochs=arm.epochs,
        global_batch=arm.global_batch,
        device_batch=arm.device_batch,
        ranks=arm.ranks,
        deepspeed=DEEPSPEED / f"{arm.deepspeed}.json" if arm.deepspeed and not megatron else None,
        megatron=megatron,
        lora=lora,
    )


def _megatron(switch: MegatronSwitch) -> Megatron | None:
    return Megatron(**switch.model_dump(exclude={"enabled"})) if switch.enabled else None


def training_command(stage: str, section: str) -> click.Command:
    """The command of the training stage `stage`, whose parameters lie in `section` of params.yaml."""

    @click.command(name=stage)
    @click.option("--base", type=Path, required=True, help="Folder of the base model.")
    @click.option("--train", "dataset", type=Path, required=True, help="LLaMA-Factory dataset folder.")
    @click.option("--output", type=Path, required=True, help="Folder of the trained weights.")
    @click.option("--loss", type=Path, required=True, help="CSV of the loss by step.")
    @click.option("--throughput", type=Path, required=True, help="Folder for CSVs of the speed by step.")
    @stage_main
    def command(base: Path, dataset: Path, output: Path, loss: Path, throughput: Path) -> None:
        params = load_params()
        arm: TrainedArm = getattr(params, section)
        if arm.enabled:
            train(recipe_from(params.training, arm), base, dataset, output, loss, stage, throughput)
        else:
            _leave_empty(section, output, loss)
            write_throughput([], throughput, stage)

    return command


def _leave_empty(section: str, output: Path, loss: Path) -> None:
    click.echo(f"{section}.enabled is false: {output} stays empty", err=True)
    output.mkdir(parents=True, exist_ok=True)
    write_loss([], loss)
