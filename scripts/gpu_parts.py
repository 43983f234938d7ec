"""The parts of scripts/gpu_check.py: each trains or predicts with the library, and reports its figures."""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import train as bench
from scripts.profiles import ROOT, load_profile
from text2sql.devices import torch_device
from text2sql.errors import UserError
from text2sql.files import read_json, read_jsonl, write_json
from text2sql.gpus import visible_gpus
from text2sql.inference.engine import Answer, Engine, Request
from text2sql.inference.questions import read_chats
from text2sql.inference.settings import Batching, Decoding
from text2sql.inference.weights import resolve_weights
from text2sql.processes import die_with_parent
from text2sql.prompts import prompt_form
from text2sql.training.launch import launch
from text2sql.training.lengths import measure
from text2sql.training.memory import estimate, read_model
from text2sql.training.nodes import Nodes
from text2sql.training.preflight import installed
from text2sql.training.recipe import llamafactory_config
from text2sql.training.settings import Lora, Megatron, Recipe

Report = Callable[[str, bool], None]
"""Takes a line for the user, and whether its figure is within its limit."""

DATA_PROFILE = "spider-cpu"
KERNEL_LIMIT = 1e-3  # largest relative difference of a step's loss with another kernel; 1e-4 was measured
LOSS_LIMIT = 1e-2  # where every update differs a little; 6e-3 was measured with Megatron
MEMORY_LIMITS = (0.75, 1.25)  # peak divided by the estimate
ANSWERS_LIMIT = 0.9  # share of equal answers: bf16 decides near ties differently in another order of sums
SPIDER_LIMIT = 30.0  # execution accuracy on Spider dev, in percent; the base model has about 1
SAME_LOSS = 1e-3  # of one batch with the same weights
GRADIENT_LIMIT = 0.05  # of their norm; bf16 rounds once more in every layer
LABELLED = 0.15  # share of tokens with a label, as in the training rows
LIMITED_SET = "spider_dev"
STEPS = 8  # of a training whose losses are compared
PLAIN = "full, packed, checkpointing"
UNPACKED = 1024  # tokens of the longest row that is not packed; the generated ones are shorter
PACK = 4096  # tokens of a packed sequence
QUESTIONS = 128  # of the comparison of engines
RANKS = (32, 128)  # of the adapters in it


@dataclass(frozen=True)
class Place:
    """A folder for models, data and logs that the parts share. `tiny`: a model of the built-in one's size."""

    folder: Path
    tiny: bool

    @property
    def pack(self) -> int:
        """Tokens of a packed sequence."""
        return 512 if self.tiny else PACK

    @property
    def base(self) -> Path:
        """A model with random weights; it is made, with the rows, by the first part that needs it."""
        return self.inputs / "base"

    @property
    def dataset(self) -> Path:
        """Generated training rows."""
        return self.inputs / "dataset"

    @property
    def inputs(self) -> Path:
        """The folder with model and rows."""
        folder = self.folder / "inputs"
        done = folder / "complete"
        if not done.is_file():
            rows = 4 * STEPS * PACK // bench.SCHEMA_TOKENS[0]
            shape = "tiny" if self.tiny else "qwen3-1.7b"
            row_tokens = bench.make_inputs(folder, shape, rows * bench.MIN_MEAN_TOKENS)
            done.write_text(str(row_tokens))
        return folder


@dataclass(frozen=True)
class Trained:
    """Loss of each step, seconds of the training, peak memory of the device in bytes (0 on a CPU)."""

    losses: list[float]
    seconds: float
    peak: int


def plain(place: Place) -> Recipe:
    """Full training in bf16, packed, with torch's attention and AdamW: what the others are compared with."""
    return Recipe(
        template="qwen3",
        cutoff_len=place.pack,
        packing=True,
        attention="sdpa",
        global_batch=1,
        device_batch=1,
        optimizer="adamw",
        learning_rate=2.0e-5,
        scheduler="constant",
        warmup_ratio=0.0,
        weight_decay=0.0,
        precision="fp32" if place.tiny else "bf16",
        gradient_checkpointing=not place.tiny,
        seed=7,
        max_steps=STEPS,
        logging_steps=1,
        save_steps=STEPS,
        threads=1,
    )


def train_once(recipe: Recipe, place: Place, name: str) -> Trained:
    """Train in `place`/NAME, where config.yaml and train.log stay."""
    work = place.folder / "trained" / name.replace(" ", "_").replace(",", "")
    work.mkdir(parents=True, exist_ok=True)
    for old in ("throughput.jsonl", "train.log"):
        (work / old).unlink(missing_ok=True)
    config = llamafactory_config(recipe, place.base, place.dataset, work / "run")
    config |= {"save_strategy": "no", "template": "qwen3", "overwrite_output_dir": True}
    if recipe.megatron is not None:
        del config["overwrite_output_dir"]  # its arguments have none
    started = time.monotonic()
    launch(recipe, config, work, Nodes(), name)
    seconds = time.monotonic() - started
    history = read_json(work / "run" / "trainer_state.json")["log_history"]
    lines = list(read_jsonl(work / "throughput.jsonl")) if recipe.megatron is None else []
    peak = max((line.get("peak_bytes", 0) for line in lines), default=0)
    return Trained([entry["loss"] for entry in history if "loss" in entry], seconds, peak)


def kept_training(place: Place, report: Report, recipe: Recipe, name: str) -> list[float]:
    """The losses of a comparison's first training, which is kept for the other parts."""
    file = place.folder / f"losses_{name.replace(' ', '_')}.json"
    if not file.is_file():
        trained = train_once(recipe, place, name)
        report_memory(place, report, name, recipe, trained.peak)
        write_json(file, trained.losses)
    losses: list[float] = read_json(file)
    return losses


def same_losses(
    place: Place, report: Report, name: str, first: Recipe, second: Recipe, kept: str, limit: float
) -> None:
    """Train with both recipes and report the largest relative difference of a step's loss."""
    expected = kept_training(place, report, first, kept)
    trained = train_once(second, place, name)
    found = trained.losses
    if len(expected) != len(found):
        report(f"{name}: {len(found)} steps were logged, {len(expected)} without it", False)
        return
    worst = max(abs(a - b) / abs(a) for a, b in zip(expected, found, strict=True))
    report(
        f"{name}: {len(found)} steps, losses {found[0]:.4f} to {found[-1]:.4f}, largest relative difference "
        f"{worst:.1e}, limit {limit:.0e}",
        worst <= limit,
    )
    if second.megatron is None:
        report_memory(place, report, name, second, trained.peak)


def report_memory(place: Place, report: Report, name: str, recipe: Recipe, peak: int) -> None:
    """Report the peak of the device's memory against the estimate; nothing for a training on a CPU."""
    if not peak:
        return
    longest = measure(place.base, place.dataset, UNPACKED, 2).longest
    expected = estimate(recipe, read_model(place.base), longest, 1).total
    low, high = MEMORY_LIMITS
    report(
        f"memory, {name}: peak {peak / 2**30:.1f} GiB, estimate {expected / 2**30:.1f} GiB, "
        f"{peak / expected:.2f} times, limits {low} and {high}",
        low <= peak / expected <= high,
    )


def flash_attention(place: Place, report: Report) -> None:
    """Flash attention on packed rows against torch's."""
    recipe = plain(place)
    second = recipe.replace(attention="fa2")
    same_losses(place, report, "full, flash attention", recipe, second, PLAIN, KERNEL_LIMIT)


def liger(place: Place, report: Report) -> None:
    """Liger's kernels against those of torch."""
    recipe = plain(place)
    same_losses(place, report, "full, Liger", recipe, recipe.replace(liger=True), PLAIN, KERNEL_LIMIT)


def moments(place: Place, report: Report) -> None:
    """AdamW with its moments in 8 bits against 32 bits."""
    recipe = plain(place)
    second = recipe.replace(optimizer="adamw_8bit")
    same_losses(place, report, "full, 8-bit moments", recipe, second, PLAIN, LOSS_LIMIT)


def labelled(place: Place, report: Report) -> None:
    """Loss and gradients where logits are computed for labelled tokens only, against those for all tokens."""
    import torch
    from transformers import AutoModelForCausalLM, TrainerControl, TrainerState, TrainingArguments

    from text2sql.training.logits import AnswerLogits

    dtype = torch.float32 if place.tiny else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(place.base, dtype=dtype).to(torch_device())
    torch.manual_seed(7)
    ids = torch.randint(0, read_model(place.base).vocabulary, (4, place.pack // 8), device=model.device)
    labels = torch.where(torch.rand(ids.shape, device=ids.device) < LABELLED, ids, -100)
    found = []
    for alone in (False, True):
        if alone:
            arguments = TrainingArguments(output_dir=str(place.folder / "unused"), report_to="none")
            AnswerLogits().on_train_begin(arguments, TrainerState(), TrainerControl(), model=model)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        found.append((float(loss.detach()), gradients))
        model.zero_grad()
    (loss, gradients), (second, others) = found
    far = float((gradients - others).float().norm() / gradients.float().norm())
    relative = abs(loss - second) / loss
    report(
        f"labelled tokens only: loss {second:.5f}, relative difference {relative:.1e}, limit "
        f"{SAME_LOSS:.0e}; gradients differ by {far:.1e} of their norm, limit {GRADIENT_LIMIT:.0e}",
        relative <= SAME_LOSS and far <= GRADIENT_LIMIT,
    )


def megatron(place: Place, report: Report) -> None:
    """Megatron in one process against transformers; rows are not packed, which Megatron cannot train."""
    recipe = plain(place).replace(packing=False, global_batch=4, device_batch=4, cutoff_len=UNPACKED)
    second = recipe.replace(megatron=Megatron(**_local()))
    same_losses(place, report, "full, Megatron", recipe, second, "full, unpacked, checkpointing", LOSS_LIMIT)


def _local() -> dict[str, Any]:
    """Megatron's own layers where the settings have a choice: transformer-engine is not needed then."""
    return {"transformer_impl": "local"} if "transformer_impl" in Megatron.model_fields else {}


def memory_rows(place: Place) -> dict[str, Recipe]:
    """Recipes whose memory differs in one thing each, beside those of the comparisons of losses."""
    saving = plain(place).replace(max_steps=2)
    packed = saving.replace(gradient_checkpointing=False)
    short = packed.replace(packing=False, group_by_length=True, global_batch=8, device_batch=8)
    short = short.replace(cutoff_len=UNPACKED)
    lora = Lora(rank=32, alpha=32, targets=["all"])
    return {
        "LoRA": short.replace(lora=lora),
        "LoRA, packed": packed.replace(lora=lora),
        "LoRA, packed, checkpointing": saving.replace(lora=lora),
        "full": short,
        "full, packed, checkpointing, ZeRO-2": saving.replace(deepspeed="z2"),
        "full, packed, checkpointing, ZeRO-3": saving.replace(deepspeed="z3"),
    }


def memory(place: Place, report: Report) -> None:
    """Peak memory against the estimate, a training of two steps for each row."""
    for name, recipe in memory_rows(place).items():
        if recipe.deepspeed is not None and not installed("deepspeed"):
            report(f"memory, {name}: skipped, deepspeed is not installed", True)
            continue
        try:
            peak = train_once(recipe, place, f"memory {name}").peak
        except UserError as error:  # reported, and the other rows are measured
            report(f"memory, {name}: {error}", False)
            continue
        report_memory(place, report, name, recipe, peak)


def speed(place: Place, report: Report) -> None:
    """Tokens per second and MFU of both recipes, as bench/train.py measures them, one round."""
    row_tokens = float((place.inputs / "complete").read_text())
    on_gpu = not place.tiny
    for line, section in bench.LINES.items():
        printed = io.StringIO()
        with redirect_stdout(sys.stderr):
            pair = bench.recipes(section, on_gpu, bench.installed())
            measured = bench.compare(line, pair, place.inputs, row_tokens, 1, 3)
        with redirect_stdout(printed):
            bench.report(line, *measured, on_gpu=on_gpu)
        for text in printed.getvalue().splitlines():
            report(f"speed: {text}", "UNDER THE LIMIT" not in text)


def spider_params(place: Place) -> dict[str, object]:
    """params.yaml of profile spider-cpu with what a GPU does better: bf16 and larger batches."""
    steps = int(os.environ.get("GPU_CHECK_STEPS", "700"))
    params = load_profile(DATA_PROFILE).model_dump(mode="json", exclude_unset=True)
    params["training"] |= {
        "precision": "fp32" if place.tiny else "bf16",
        "global_batch": 6,
        "device_batch": 1 if place.tiny else 6,
        "logging_steps": 20 if steps >= 20 else 1,
        "save_steps": 500,
        "kept_checkpoints": None,
    }
    params["train_full"] |= {"max_steps": steps, "epochs": None}
    params["predict"] |= {"batch_tokens": 65_536, "max_batch": 256}
    return dict(params)


def spider(place: Place, report: Report) -> None:
    """SmolLM2-135M on all of Spider train and sql_create_context, predicted and scored by the stages."""
    work = place.folder / "spider"
    (work / "data").mkdir(parents=True, exist_ok=True)
    (work / "params.yaml").write_text(yaml.safe_dump(spider_params(place), sort_keys=False))
    base, questions = ROOT / "models" / "base", ROOT / "data" / "test" / "test.jsonl"
    started = time.monotonic()
    _stage(
        place,
        work,
        f"train_full --base {base} --train {ROOT}/data/train --output full --loss loss.csv "
        "--throughput throughput",
    )
    trained = time.monotonic() - started
    losses = (work / "loss.csv").read_text().splitlines()
    report(
        f"spider: {losses[-1].split(',')[0]} steps in {trained:.0f} s, last loss {losses[-1].split(',')[1]}",
        True,
    )
    databases = ROOT / "data" / "raw" / "databases"
    started = time.monotonic()
    _stage(
        place,
        work,
        f"predict --arm full --questions {questions} --weights full --databases {databases} "
        "--output predictions.jsonl",
    )
    seconds = time.monotonic() - started
    count = sum(1 for _ in read_jsonl(questions))
    report(f"spider: {count:,} questions predicted in {seconds:.0f} s, {count / seconds:.0f} a second", True)
    _stage(
        place,
        work,
        f"evaluate --arm full --questions {questions} --predictions predictions.jsonl "
        f"--databases {databases} --verdicts verdicts.jsonl --metrics metrics.json",
    )
    scores = read_json(work / "metrics.json")
    write_json(place.folder / "spider_metrics.json", scores)
    report_scores(scores, report, tiny=place.tiny)


def report_scores(scores: dict[str, Any], report: Report, tiny: bool) -> None:
    """Report the execution accuracy of every test set in stage evaluate's metrics; Spider dev has a limit."""
    for name, found in {scores["test_set"]: scores, **scores["other_sets"]}.items():
        accuracy = found["ex"]["all"]
        limited = name == LIMITED_SET and not tiny
        limit = f", limit {SPIDER_LIMIT:.0f}" if limited else ""
        report(f"spider: {name} EX {accuracy:.1f}{limit}", not limited or accuracy >= SPIDER_LIMIT)


def _stage(place: Place, work: Path, command: str) -> None:
    """Run a stage in `work`, with the params.yaml there; its output goes to this process's stderr."""
    subprocess.run(
        [sys.executable, "-m", *f"stages.{command}".split()],
        cwd=work,
        env=_environment(place),
        stdout=sys.stderr,
        preexec_fn=die_with_parent,
        check=True,
    )


def _environment(place: Place) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        "TEXT2SQL_WORK": str(place.folder / "store"),
    }


def data_missing() -> str | None:
    """What part spider needs and this checkout does not have."""
    wanted = ("models/base/config.json", "data/train/sft.json", "data/test/test.jsonl", "data/raw/databases")
    lacking = [path for path in wanted if not (ROOT / path).exists()]
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    if not lacking and params["profile"] == DATA_PROFILE:
        return None
    what = f"{lacking[0]} is not there" if lacking else f"params.yaml has profile {params['profile']}"
    return (
        f"{what}; `make use PROFILE={DATA_PROFILE} && dvc repro fetch_model dedupe_test convert_schema` "
        "makes the data"
    )


def vllm(place: Place, report: Report) -> None:
    """vLLM against transformers on the base model and on adapters with random weights, greedy answers."""
    from text2sql.inference.transformers_engine import TransformersEngine
    from text2sql.inference.vllm_engine import VllmEngine

    decoding, batching = Decoding(max_new_tokens=64), Batching(batch_tokens=65_536, max_batch=128)
    base = ROOT / "models" / "base"
    requests = _requests()
    folders = {"base": base} | {f"adapter of rank {n}": _adapter(place, base, n) for n in RANKS}
    expected = {}
    for name, folder in folders.items():
        engine = TransformersEngine(resolve_weights(folder), decoding, batching, 1)
        expected[name] = _asked(engine, requests)[0]
    for name, folder in folders.items():
        with closing(VllmEngine(resolve_weights(folder), decoding)) as served:
            _asked(served, requests[:1])  # loads the model
            answers, seconds = _asked(served, requests)
        pairs = zip(answers, expected[name], strict=True)
        share = statistics.mean(one.text == other.text for one, other in pairs)
        report(
            f"vLLM, {name}: {100 * share:.0f} % of {len(requests)} answers equal transformers', limit "
            f"{100 * ANSWERS_LIMIT:.0f} %; {len(requests) / seconds:.0f} questions a second",
            share >= ANSWERS_LIMIT,
        )


def _requests() -> list[Request]:
    prompt = load_profile(DATA_PROFILE).prompt
    questions = ROOT / "data" / "test" / "test.jsonl"
    chats = read_chats(questions, prompt.schema_types, prompt.comments, prompt_form(prompt.form))
    return [Request(chat.messages, chat.row) for chat in chats[:: len(chats) // QUESTIONS][:QUESTIONS]]


def _asked(engine: Engine, requests: Sequence[Request]) -> tuple[list[Answer], float]:
    """The answers in the order of the requests, and the seconds that they took."""
    started = time.monotonic()
    batches = engine.plan(requests)
    found = dict(engine.generate([(n, [requests[i] for i in batch]) for n, batch in enumerate(batches)]))
    answers = {i: a for n, batch in enumerate(batches) for i, a in zip(batch, found[n], strict=True)}
    return [answers[number] for number in range(len(requests))], time.monotonic() - started


def _adapter(place: Place, base: Path, rank: int) -> Path:
    """An adapter of `base` with small random weights; an untrained one would change nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = place.folder / f"adapter{rank}"
    torch.manual_seed(rank)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-3)
    model.save_pretrained(folder)
    adapter = json.loads((folder / "adapter_config.json").read_text())
    write_json(folder / "adapter_config.json", adapter | {"base_model_name_or_path": str(base)})
    write_json(folder / "base.json", {"path": str(base), "sha256": resolve_weights(base).sha256})
    return folder


def device_name() -> str:
    """The name of the first visible GPU, "CPU" without one."""
    gpus = visible_gpus()
    return gpus[0].name if gpus else "CPU"
