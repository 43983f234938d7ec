"""Tokens per second of training with our recipe for Qwen3-1.7B, compared with the reference's recipe.

LLaMA-Factory trains with both, on the same rows and device, a model with random weights. Without a GPU the
model has the size of the built-in one. bench/README.md explains the output.
"""

from __future__ import annotations

import importlib.metadata
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.profiles import load_profile
from text2sql.base_models.tiny import initialise, train_tokenizer
from text2sql.builtin.benchmark import build_benchmark
from text2sql.devices import torch_device
from text2sql.files import read_jsonl
from text2sql.gpus import visible_gpus
from text2sql.prompts import schema_text
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.launch import launch
from text2sql.training.lengths import row_lengths
from text2sql.training.nodes import Nodes
from text2sql.training.preflight import check_feasible
from text2sql.training.recipe import accumulation, llamafactory_config
from text2sql.training.settings import Recipe

if TYPE_CHECKING:
    from transformers import Qwen3Config
    from transformers.tokenization_utils_base import PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parents[1]
REFERENCE, OURS = "qwen3-1.7b-reference", "qwen3-1.7b"  # profiles
LINES = {"LoRA": "train_lora32", "full": "train_full"}  # sections of the profiles
SPEED_LIMIT = 1.5  # times the tokens per second of the reference
MFU_LIMIT = 0.45  # share of the device's peak, full training with our recipe
WARM_UP = 2  # log lines that are left out
PACKAGES = ("flash-attn", "liger-kernel", "bitsandbytes")
SEED = 7
CPU_PACK = 512  # tokens of a packed sequence on the CPU
MIN_MEAN_TOKENS = 100  # per row; the real mean is higher
SCHEMA_TOKENS = (100, 600)  # of the rows for the large model, about as in Spider
# https://huggingface.co/Qwen/Qwen3-1.7B/blob/main/config.json
QWEN3 = {
    "vocab_size": 151_936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000},
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Speed:
    """Speed with one recipe: tokens per second, and the share of the device's peak if that is known."""

    tokens_per_s: float
    mfu: float | None


@click.command()
@click.option(
    "--shape",
    type=click.Choice(["tiny", "qwen3-1.7b"]),
    help="Size of the model; tiny trains on the CPU.  [default: qwen3-1.7b if a GPU is visible]",
)
@click.option("--rounds", default=3, show_default=True, help="Trainings with each recipe, alternately.")
@click.option(
    "--steps", default=6, show_default=True, help="Measured optimizer steps of our recipe per training."
)
def main(shape: str | None, rounds: int, steps: int) -> None:
    """Print tokens per second of both recipes and their ratio.

    On a GPU there are limits; exit status 1 if one is missed.
    """
    gpus = visible_gpus()
    shape = shape or ("qwen3-1.7b" if gpus else "tiny")
    if shape == "tiny":
        gpus = []
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not gpus:
        raise click.UsageError(
            "--shape qwen3-1.7b needs a GPU, and none is visible (see nvidia-smi, CUDA_VISIBLE_DEVICES); "
            "without a GPU use --shape tiny"
        )
    print(f"{gpus[0].name if gpus else 'CPU'}, model {shape}, random weights", flush=True)
    packages = installed()
    if gpus and (missing := [package for package in PACKAGES if package not in packages]):
        print(f"not installed, so settings that need it are off: {', '.join(missing)}", flush=True)
    pairs = {line: recipes(section, bool(gpus), packages) for line, section in LINES.items()}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        needed = max(ours.global_batch * ours.cutoff_len for _, ours in pairs.values()) * (WARM_UP + steps)
        row_tokens = make_inputs(place, shape, needed)
        good = [
            report(line, *compare(line, pair, place, row_tokens, rounds, steps), on_gpu=bool(gpus))
            for line, pair in pairs.items()
        ]
    sys.exit(0 if all(good) else 1)


def recipes(section: str, gpu: bool, packages: Collection[str]) -> tuple[Recipe, Recipe]:
    """The reference's recipe and ours, adapted to this machine; prints the differences from the profiles."""
    fitted = []
    for name, profile in (("reference", REFERENCE), ("ours", OURS)):
        original = profile_recipe(profile, section)
        fitted.append(for_gpu(original, packages) if gpu else for_cpu(original))
        print(f"{section}, {name}: {differences(original, fitted[-1]) or 'as in the profile'}", flush=True)
    return fitted[0], fitted[1]


def profile_recipe(profile: str, section: str) -> Recipe:
    """The recipe of a section of profiles/PROFILE.yaml."""
    params = load_profile(profile)
    return params.recipe(section)


def installed() -> set[str]:
    """Which of `PACKAGES` are installed."""
    return {package for package in PACKAGES if any(importlib.metadata.distributions(name=package))}


def for_gpu(recipe: Recipe, packages: Collection[str]) -> Recipe:
    """The recipe on one GPU with these packages; settings that need another package are off."""
    recipe = on_one_device(recipe)
    if recipe.attention == "fa2" and "flash-attn" not in packages:
        recipe = recipe.replace(attention="sdpa")
    if recipe.optimizer == "adamw_8bit" and "bitsandbytes" not in packages:
        recipe = recipe.replace(optimizer="adamw")
    if "liger-kernel" not in packages:
        recipe = recipe.replace(liger=False)
    return recipe


def for_cpu(recipe: Recipe) -> Recipe:
    """The recipe for a CPU, with one backward pass per step: packing, checkpointing and targets are kept.

    Packed sequences are shorter, and there are more of them: without flash attention the cost grows with the
    square of their length.
    """
    parts = recipe.cutoff_len // CPU_PACK if recipe.packing else 1
    return on_one_device(recipe).replace(
        cutoff_len=recipe.cutoff_len // parts,
        device_batch=recipe.device_batch * parts,
        global_batch=recipe.device_batch * parts,
        optimizer="adamw",
        precision="fp32",
        attention="sdpa",
        liger=False,
        threads=1,
    )


def on_one_device(recipe: Recipe) -> Recipe:
    """The recipe of one rank alone: its batches are kept, and the global batch is divided by the ranks."""
    share = recipe.device_batch * accumulation(recipe, 1)
    return recipe.replace(ranks=1, deepspeed=None, megatron=None, global_batch=share)


def differences(original: Recipe, adapted: Recipe) -> str:
    """The settings that differ: "ranks 4 → 1, ..."."""
    before, after = dict(original), dict(adapted)
    formats = {"megatron": bool}
    changed = [
        f"{key} {formats.get(key, str)(before[key])} → {formats.get(key, str)(after[key])}"
        for key in before
        if before[key] != after[key]
    ]
    return ", ".join(changed)


def make_inputs(place: Path, shape: str, tokens: int) -> float:
    """Write `place`/base and `place`/dataset with at least `tokens` tokens; returns the mean of a row."""
    large = shape == "qwen3-1.7b"
    base, dataset = place / "base", place / "dataset"
    build_benchmark(place / "raw", SEED, train_rows=tokens // MIN_MEAN_TOKENS, test_rows=1)
    rows = list(read_jsonl(place / "raw" / "train" / "embedded.jsonl"))
    tiny = load_profile("embedded").fetch_model.tiny
    train_tokenizer((text for row in rows for text in row.values()), tiny.vocab_size, base)
    if large:
        turns = wide_turns(rows, base)
        initialise_qwen3(base)
    else:
        turns = [turn(schema_text(row["context"], False), row["prompt"], row["answer"]) for row in rows]
        initialise(tiny.replace(seed=SEED), base)
    lengths = row_lengths(base, turns, enough=0, answer_tokens=2)
    write_dataset(turns, dataset)
    print_lengths(lengths)
    return statistics.mean(lengths)


def wide_turns(rows: Sequence[Mapping[str, str]], base: Path) -> list[dict[str, str]]:
    """Rows with schemas extended by tables of other rows to lengths evenly distributed in `SCHEMA_TOKENS`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    sizes = [len(tokenizer(row["context"])["input_ids"]) for row in rows]
    rng = random.Random(SEED)
    turns = []
    for at, row in enumerate(rows):
        schemas, size, wanted = [row["context"]], sizes[at], rng.randint(*SCHEMA_TOKENS)
        while size + sizes[other := rng.randrange(len(rows))] <= wanted:
            schemas.append(rows[other]["context"])
            size += sizes[other]
        turns.append(turn("\n".join(schemas), row["prompt"], row["answer"]))
    return turns


def initialise_qwen3(folder: Path) -> None:
    """Save a model of Qwen3-1.7B's size with random bf16 weights to `folder`, which has the tokenizer."""
    import torch
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    torch.manual_seed(SEED)
    config = qwen3_config(AutoTokenizer.from_pretrained(str(folder)))
    with torch.device(torch_device()):  # random numbers take a minute on a CPU
        model = Qwen3ForCausalLM._from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)


def qwen3_config(tokenizer: PreTrainedTokenizerBase) -> Qwen3Config:
    """Qwen3-1.7B's configuration, for a tokenizer with fewer tokens."""
    from transformers import Qwen3Config

    return Qwen3Config(**QWEN3, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)


def print_lengths(lengths: Sequence[int]) -> None:
    percentile_90 = statistics.quantiles(lengths, n=10)[-1]
    print(
        f"{len(lengths)} generated rows of {statistics.mean(lengths):.0f} tokens on average, "
        f"90th percentile {percentile_90:.0f}, longest {max(lengths)}; padding is not counted as tokens",
        flush=True,
    )


def compare(
    line: str, pair: tuple[Recipe, Recipe], place: Path, row_tokens: float, rounds: int, steps: int
) -> tuple[Speed, Speed]:
    """Train with both recipes alternately, so that a slow minute of the machine affects both."""
    logged: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    line_tokens = tokens_per_step(pair[1], row_tokens)
    for number in range(1, rounds + 1):
        for name, recipe, lines in zip(("reference", "ours"), pair, logged, strict=True):
            short = cut_short(recipe, row_tokens, line_tokens, WARM_UP + steps)
            lines += train_once(short, place, f"{line}, {name}, round {number} of {rounds}")
    return median_speed(logged[0]), median_speed(logged[1])


def tokens_per_step(recipe: Recipe, row_tokens: float) -> float:
    """Approximate tokens of an optimizer step; rows that are not packed have `row_tokens` tokens."""
    return recipe.global_batch * (recipe.cutoff_len if recipe.packing else row_tokens)


def cut_short(recipe: Recipe, row_tokens: float, line_tokens: float, lines: int) -> Recipe:
    """The recipe with an end after `lines` log lines of about `line_tokens` tokens each."""
    every = max(1, round(line_tokens / tokens_per_step(recipe, row_tokens)))
    steps = every * lines
    return recipe.replace(
        max_steps=steps, epochs=None, logging_steps=every, save_steps=steps, save_minutes=None
    )


def train_once(recipe: Recipe, place: Path, label: str) -> list[dict[str, float]]:
    """Train with LLaMA-Factory; returns the lines that `TrainingMonitor` logged after the warm-up."""
    base, dataset = place / "base", place / "dataset"
    check_feasible(recipe, base, recipe.cutoff_len, Nodes())
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        work = Path(scratch)
        config = llamafactory_config(recipe, base, dataset, work / "run")
        config |= {"save_strategy": "no", "template": "qwen3"}  # that of the model made here
        launch(recipe, config, work, Nodes(), label)
        return list(read_jsonl(work / "throughput.jsonl"))[WARM_UP:]


def median_speed(lines: Sequence[Mapping[str, float]]) -> Speed:
    """The medians over log lines."""
    shares = [line["mfu"] for line in lines if "mfu" in line]
    return Speed(
        statistics.median(line["tokens_per_s"] for line in lines),
        statistics.median(shares) if shares else None,
    )


def report(line: str, reference: Speed, ours: Speed, on_gpu: bool) -> bool:
    """Print one line, or two for full training on a GPU; returns whether they are within their limits."""
    ratio = ours.tokens_per_s / reference.tokens_per_s
    figures = (
        f"reference {reference.tokens_per_s:,.0f} tokens/s, ours {ours.tokens_per_s:,.0f}, "
        f"{ratio:.2f} times as fast"
    )
    if not on_gpu:
        print(f"{line:<5} {figures}; there is a limit on a GPU only", flush=True)
        return True
    good = verdict(line, f"{figures}, limit {SPEED_LIMIT:.2f}", ratio >= SPEED_LIMIT)
    return report_mfu(ours) and good if line == "full" else good


def report_mfu(ours: Speed) -> bool:
    """Print our share of the device's peak; without a known peak there is no limit."""
    if ours.mfu is None:
        print("MFU   unknown: text2sql/training/throughput.py has no peak for this device", flush=True)
        return True
    figures = f"ours {100 * ours.mfu:.1f} % in full training, limit {100 * MFU_LIMIT:.0f} %"
    return verdict("MFU", figures, ours.mfu >= MFU_LIMIT)


def verdict(label: str, figures: str, good: bool) -> bool:
    """Print one result; returns whether it is within its limit."""
    print(f"{label:<5} {figures}: {'good' if good else 'UNDER THE LIMIT'}", flush=True)
    return good


if __name__ == "__main__":
    main()
