"""Megatron's weights in Hugging Face's format, and the check that both give the same logits."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.workstore import hash_path

_PROMPTS = 20
_PADDED_TO = 64  # tokens: sequence parallelism divides a row by the number of ranks
# Largest root mean square of the differences, as a share of that of the logits: see docs/training.md.
_TOLERANCE = {"torch.float32": 1.0e-4, "torch.bfloat16": 5.0e-2}


def automap_cache(work: Path) -> dict[str, str]:
    """The environment variable that keeps mcore_adapter from writing into the working directory."""
    return {"HUGGINGFACE_AUTOMAP_CACHE": str(work / "automap")}


def source_of_mcore_adapter() -> str:
    """The commit that mcore_adapter was installed from, or the hash of its files; "none" if it is not there.

    Its version number is the same in many commits.
    """
    try:
        origin = importlib.metadata.distribution("mcore_adapter").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        origin = None
    if commit := json.loads(origin or "{}").get("vcs_info", {}).get("commit_id"):
        return str(commit)
    spec = importlib.util.find_spec("mcore_adapter")
    if spec is None or not spec.submodule_search_locations:
        return "none"
    folder = Path(spec.submodule_search_locations[0])
    return " ".join(hash_path(file) for file in sorted(folder.rglob("*.py")))


def record_logits(trainer: Any, folder: Path) -> None:
    """Write logits.pt: the logits after 20 prompts of the training data, gathered over the ranks.

    Each rank calls this. The prompts are those of the first rows that mcore_adapter's `trainer` trains on.
    """
    import torch
    from mcore_adapter.trainer.utils import get_ltor_masks_and_position_ids
    from megatron.core.tensor_parallel import gather_from_tensor_model_parallel_region

    model = trainer.model[0]
    model.eval()
    prompts = [_prompt(row) for row in trainer.train_dataset.select(range(_PROMPTS))]
    rows = []
    for ids in prompts:
        padded = ids + [0] * (-len(ids) % _PADDED_TO)
        batch = torch.tensor([padded], device=trainer.args.device)
        mask, positions = get_ltor_masks_and_position_ids(batch, trainer.model_impl != "transformer_engine")
        with torch.no_grad():
            logits = model(input_ids=batch, position_ids=positions, attention_mask=mask)
        rows.append(gather_from_tensor_model_parallel_region(logits)[0, len(ids) - 1].float().cpu())
    if trainer.args.process_index == 0:
        kind = str(next(model.parameters()).dtype)
        torch.save({"prompts": prompts, "logits": torch.stack(rows), "dtype": kind}, folder / "logits.pt")


def _prompt(row: dict[str, list[int]]) -> list[int]:
    """The tokens before the first one with a label, which is the first of the answer."""
    answer = next(i for i, label in enumerate(row["labels"]) if label >= 0)
    return row["input_ids"][:answer]


def convert_to_hugging_face(run: Path, output: Path, base: Path, label: str) -> Path:
    """Write Megatron's weights from `run` as a Hugging Face model to `output`; returns `output`.

    The weights have the number type of `base`, whose generation_config.json is copied, as trainer_state.json
    is. The logits of the model that transformers loads from `output` are compared with those in logits.pt.

    Raises:
        UserError: the converter fails, or the logits differ by more than rounding.
    """
    shutil.rmtree(output, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "text2sql.training.megatron", str(run), str(output), str(base)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"} | automap_cache(run.parent),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        raise UserError(
            f"{label}: mcore_adapter could not convert {run} (status {done.returncode})\n"
            f"{done.stderr[-2000:]}\nfix the cause, then `dvc repro`; the training itself is not repeated"
        )
    (output / "trainer_state.json").write_bytes((run / "trainer_state.json").read_bytes())
    found = read_json(output / "logits.json")
    if not found["difference"] <= found["tolerance"]:
        raise UserError(
            f"{label}: the logits of the converted model {output} differ from Megatron's by "
            f"{found['difference']:.2g} of their size; rounding explains at most {found['tolerance']:.2g}; "
            "install what configs/requirements-gpu.txt lists, then `dvc repro`, or train without Megatron"
        )
    return output


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("base", type=click.Path(path_type=Path))
def main(run: Path, output: Path, base: Path) -> None:
    """Convert, and write logits.json: in a process of its own, because the converter sets global states."""
    import torch
    from mcore_adapter.models.converter.post_converter import convert_checkpoint_to_hf
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(str(base)).dtype or torch.float32
    # with low_mem the converter ignores the number type
    convert_checkpoint_to_hf(str(run), str(output), torch_dtype=kind, low_mem=False)
    # which has the training's number type
    config = read_json(output / "config.json") | {"dtype": str(kind).removeprefix("torch.")}
    write_json(output / "config.json", config)
    if (base / "generation_config.json").is_file():
        shutil.copy2(base / "generation_config.json", output)
    recorded = torch.load(run / "logits.pt")
    difference = _difference(recorded["prompts"], recorded["logits"], output)
    write_json(
        output / "logits.json",
        {
            "difference": difference,
            "tolerance": _TOLERANCE[recorded["dtype"]],
            "prompts": len(recorded["prompts"]),
        },
    )


def _difference(prompts: list[list[int]], logits: Any, model_folder: Path) -> float:
    """Root mean square of the differences as a share of that of `logits`, [prompts, vocabulary]."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(model_folder), dtype=torch.float32).eval()
    with torch.inference_mode():
        rows = [model(input_ids=torch.tensor([ids])).logits[0, -1] for ids in prompts]
    converted = torch.stack(rows)
    recorded = logits[:, : converted.shape[1]]  # Megatron's vocabulary may be padded
    return float((converted - recorded).square().mean().sqrt() / recorded.square().mean().sqrt())


if __name__ == "__main__":
    main()
