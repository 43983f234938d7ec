"""How many tokens a second our recipe for Qwen3-1.7B trains, beside the reference's, in the same run.

LLaMA-Factory trains both on the same rows and device, a model of random weights. Without a GPU the model
is of the built-in one's size. See bench/README.md for what is printed.
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
from text2sql.files import read_jsonl
from text2sql.prompts import schema_text
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.launch import launch
from text2sql.training.lengths import row_lengths
from text2sql.training.nodes import Nodes
from text2sql.training.preflight import check_feasible, visible_gpus
from text2sql.training.recipe import accumulation, llamafactory_config
from text2sql.training.settings import Recipe

if TYPE_CHECKING:
    from transformers import Qwen3Config
    from transformers.tokenization_utils_base import PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parents[1]
REFERENCE, OURS = "qwen3-1.7b-reference", "qwen3-1.7b"  # profiles
LINES = {"LoRA": "train_lora32", "full": "train_full"}  # their sections
FASTER = 1.5  # limit: times the reference's tokens a second
UTILISED = 0.45  # limit: of the device's peak, full training by our recipe
WARM_UP = 2  # log lines that do not count
PACKAGES = ("flash-attn", "liger-kernel", "bitsandbytes")
SEED = 7
CPU_PACK = 512  # tokens of a packed sequence on the CPU
LEAST_MEAN = 100  # tokens of a row; on average they have more
SCHEMA_TOKENS = (100, 600)  # of the rows for the large model: those of Spider are about as long
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
    """What one recipe reached: tokens a second, and the share of the device's peak where that is known."""

    tokens_per_s: float
    mfu: float | None


@click.command()
@click.option(
    "--shape",
    type=click.Choice(["tiny", "qwen3-1.7b"]),
    help="Of the model; tiny trains on the CPU.  [default: qwen3-1.7b where a GPU is visible]",
)
@click.option("--rounds", default=3, show_default=True, help="Trainings by each recipe, in turns.")
@click.option("--steps", default=6, show_default=True, help="Optimizer steps of ours that count, each time.")
def main(shape: str | None, rounds: int, steps: int) -> None:
    """Print tokens a second of both recipes, their ratio and, on a GPU, limits; status 1 if one is broken."""
    gpus = visible_gpus()
    shape = shape or ("qwen3-1.7b" if gpus else "tiny")
    if shape == "tiny":
        gpus = []
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not gpus:
        raise click.UsageError(
            "--shape qwen3-1.7b needs a GPU, and none is visible here (nvidia-smi, CUDA_VISIBLE_DEVICES); "
            "without one: --shape tiny"
        )
    print(f"{gpus[0].name if gpus else 'CPU'}, model {shape}, random weights", flush=True)
    packages = installed()
    if gpus and (missing := [package for package in PACKAGES if package not in packages]):
        print(f"not installed, so what needs it is left out: {', '.join(missing)}", flush=True)
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
    """The reference's recipe and ours as they can run here; prints what differs from the profiles."""
    fitted = []
    for name, profile in (("reference", REFERENCE), ("ours", OURS)):
        written = profile_recipe(profile, section)
        fitted.append(for_gpu(written, packages) if gpu else for_cpu(written))
        print(f"{section}, {name}: {differences(written, fitted[-1]) or 'as the profile'}", flush=True)
    return fitted[0], fitted[1]


def profile_recipe(profile: str, section: str) -> Recipe:
    """The recipe of a section of profiles/PROFILE.yaml."""
    params = load_profile(profile)
    return params.recipe(section)


def installed() -> set[str]:
    """Which of `PACKAGES` are here."""
    return {package for package in PACKAGES if any(importlib.metadata.distributions(name=package))}


def for_gpu(recipe: Recipe, packages: Collection[str]) -> Recipe:
    """The recipe on one GPU with these packages; what needs another package is left out."""
    recipe = on_one_device(recipe)
    if recipe.attention == "fa2" and "flash-attn" not in packages:
        recipe = recipe.replace(attention="sdpa")
    if recipe.optimizer == "adamw_8bit" and "bitsandbytes" not in packages:
        recipe = recipe.replace(optimizer="adamw")
    if "liger-kernel" not in packages:
        recipe = recipe.replace(fused_loss=False)
    return recipe


def for_cpu(recipe: Recipe) -> Recipe:
    """The recipe as a CPU can run it, one backward pass a step: packing, checkpointing and targets stay.

    Packs are shorter and as many more: without flash attention every token of a pack looks at all others.
    """
    parts = recipe.cutoff_len // CPU_PACK if recipe.packing else 1
    return on_one_device(recipe).replace(
        cutoff_len=recipe.cutoff_len // parts,
        device_batch=recipe.device_batch * parts,
        global_batch=recipe.device_batch * parts,
        optimizer="adamw",
        precision="fp32",
        attention="sdpa",
        fused_loss=False,
        threads=1,
    )


def on_one_device(recipe: Recipe) -> Recipe:
    """One rank of the recipe, alone: its batches stay, and a step sees as many fewer as there were ranks."""
    share = recipe.device_batch * accumulation(recipe, 1)
    return recipe.replace(ranks=1, deepspeed=None, megatron=None, global_batch=share)


def differences(written: Recipe, run: Recipe) -> str:
    """What `run` has otherwise than `written`: "ranks 4 → 1, ..."."""
    before, after = dict(written), dict(run)
    shown = {"megatron": bool}
    changed = [
        f"{key} {shown.get(key, str)(before[key])} → {shown.get(key, str)(after[key])}"
        for key in before
        if before[key] != after[key]
    ]
    return ", ".join(changed)


def make_inputs(place: Path, shape: str, tokens: int) -> float:
    """Write `place`/base and `place`/dataset, with rows of at least `tokens` in all; a row's mean tokens."""
    large = shape == "qwen3-1.7b"
    base, dataset = place / "base", place / "dataset"
    build_benchmark(place / "raw", SEED, train_rows=tokens // LEAST_MEAN, test_rows=1)
    rows = list(read_jsonl(place / "raw" / "train" / "embedded.jsonl"))
    tiny = load_profile("embedded").fetch_model.tiny
    train_tokenizer((text for row in rows for text in row.values()), tiny.vocab_size, base)
    if large:
        turns = wide_turns(rows, base)
        initialise_qwen3(base)
    else:
        turns = [turn(schema_text(row["context"], False), row["prompt"], row["answer"]) for row in rows]
        initialise(tiny.replace(seed=SEED), base)
    lengths = row_lengths(base, turns, enough=0)
    write_dataset(turns, dataset)
    print_lengths(lengths)
    return statistics.mean(lengths)


def wide_turns(rows: Sequence[Mapping[str, str]], base: Path) -> list[dict[str, str]]:
    """Rows whose schemas are filled up with others' tables to lengths spread evenly over `SCHEMA_TOKENS`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    sizes = [len(tokenizer(row["context"])["input_ids"]) for row in rows]
    chance = random.Random(SEED)
    turns = []
    for at, row in enumerate(rows):
        schemas, size, wanted = [row["context"]], sizes[at], chance.randint(*SCHEMA_TOKENS)
        while size + sizes[other := chance.randrange(len(rows))] <= wanted:
            schemas.append(rows[other]["context"])
            size += sizes[other]
        turns.append(turn("\n".join(schemas), row["prompt"], row["answer"]))
    return turns


def initialise_qwen3(folder: Path) -> None:
    """Save random weights in Qwen3-1.7B's shape, in bf16, beside the tokenizer in `folder`."""
    import torch
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    torch.manual_seed(SEED)
    config = qwen3_config(AutoTokenizer.from_pretrained(str(folder)))
    Qwen3ForCausalLM._from_config(config, dtype=torch.bfloat16).save_pretrained(folder)


def qwen3_config(tokenizer: PreTrainedTokenizerBase) -> Qwen3Config:
    """Qwen3-1.7B's configuration, for a tokenizer of fewer tokens."""
    from transformers import Qwen3Config

    return Qwen3Config(**QWEN3, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)


def print_lengths(lengths: Sequence[int]) -> None:
    tenth = statistics.quantiles(lengths, n=10)[-1]
    print(
        f"{len(lengths)} generated rows of {statistics.mean(lengths):.0f} tokens on average, "
        f"90th percentile {tenth:.0f}, longest {max(lengths)}; padding is not counted as tokens",
        flush=True,
    )


def compare(
    line: str, pair: tuple[Recipe, Recipe], place: Path, row_tokens: float, rounds: int, steps: int
) -> tuple[Speed, Speed]:
    """Train by both recipes in turns, so that a slow minute of the machine falls on both."""
    logged: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    a_line = tokens_a_step(pair[1], row_tokens)
    for number in range(1, rounds + 1):
        for name, recipe, lines in zip(("reference", "ours"), pair, logged, strict=True):
            short = cut_short(recipe, row_tokens, a_line, WARM_UP + steps)
            lines += train_once(short, place, f"{line}, {name}, round {number} of {rounds}")
    return median_speed(logged[0]), median_speed(logged[1])


def tokens_a_step(recipe: Recipe, row_tokens: float) -> float:
    """About how many tokens an optimizer step sees; rows have `row_tokens` where they are not packed."""
    return recipe.global_batch * (recipe.cutoff_len if recipe.packing else row_tokens)


def cut_short(recipe: Recipe, row_tokens: float, line_tokens: float, lines: int) -> Recipe:
    """The recipe ended after `lines` log lines of about `line_tokens` tokens each."""
    every = max(1, round(line_tokens / tokens_a_step(recipe, row_tokens)))
    steps = every * lines
    return recipe.replace(
        max_steps=steps, epochs=None, logging_steps=every, save_steps=steps, save_minutes=None
    )


def train_once(recipe: Recipe, place: Path, label: str) -> list[dict[str, float]]:
    """Train with LLaMA-Factory; return what `TrainingMonitor` logged after the warm-up."""
    base, dataset = place / "base", place / "dataset"
    check_feasible(recipe, base, recipe.cutoff_len, Nodes())
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        work = Path(scratch)
        config = llamafactory_config(recipe, base, dataset, work / "run") | {"save_strategy": "no"}
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
    """Print one line, or two for full training on a GPU; say whether they are within their limits."""
    ratio = ours.tokens_per_s / reference.tokens_per_s
    figures = (
        f"reference {reference.tokens_per_s:,.0f} tokens/s, ours {ours.tokens_per_s:,.0f}, "
        f"{ratio:.2f} times as fast"
    )
    if not on_gpu:
        print(f"{line:<5} {figures}; the limit counts on a GPU only", flush=True)
        return True
    good = verdict(line, f"{figures}, limit {FASTER:.2f}", ratio >= FASTER)
    return report_mfu(ours) and good if line == "full" else good


def report_mfu(ours: Speed) -> bool:
    """Print our share of the device's peak; without a known peak there is no limit."""
    if ours.mfu is None:
        print("MFU   not known: text2sql/training/throughput.py has no peak for this device", flush=True)
        return True
    figures = f"ours {100 * ours.mfu:.1f} % in full training, limit {100 * UTILISED:.0f} %"
    return verdict("MFU", figures, ours.mfu >= UTILISED)


def verdict(label: str, figures: str, good: bool) -> bool:
    """Print one result and say whether it is within its limit."""
    print(f"{label:<5} {figures}: {'good' if good else 'UNDER THE LIMIT'}", flush=True)
    return good


if __name__ == "__main__":
    main()
