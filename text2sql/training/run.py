"""One training run from recipe to finished weights, resumed or reused through the work store."""

from __future__ import annotations

import csv
import importlib.metadata
import itertools
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from pydantic import TypeAdapter, ValidationError

from text2sql.cpu import KERNELS
from text2sql.errors import UserError
from text2sql.files import publish, read_json, replacing, write_json
from text2sql.gpus import visible_gpus
from text2sql.training.checkpoints import BASE_FILE, copy_weights, newest_checkpoint, step_of
from text2sql.training.launch import launch, reports, run_ranks
from text2sql.training.lengths import Lengths, longest_row, measure, without_long_rows
from text2sql.training.megatron import convert_to_hugging_face, source_of_mcore_adapter
from text2sql.training.nodes import Nodes
from text2sql.training.preflight import check_feasible, lacks_flash_attention
from text2sql.training.recipe import llamafactory_config, on_this_machine, with_ranks, with_short_packs
from text2sql.training.settings import Recipe
from text2sql.training.shared_prefix import LARGEST_GROUP
from text2sql.training.templates import form_of
from text2sql.training.throughput import read_throughput, write_throughput
from text2sql.training.validation import (
    HeldOut,
    collect_validation,
    publish_validation,
    remove_best,
    stopped_early,
)
from text2sql.workstore import WorkStore, hash_path, locked

_SHORT_PACK = 1024  # tokens; shorter packed sequences gain nothing
# Arguments of the trainer without effect on the weights.
_NOT_IN_KEY = (
    *("model_name_or_path", "dataset_dir", "output_dir"),  # the contents count
    *("logging_steps", "plot_loss", "save_steps", "save_total_limit", "ddp_timeout", "overwrite_cache"),
    "report_to",
)
_PACKAGES = ("llamafactory", "torch", "transformers", "peft", "accelerate", "trl")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")


def train(
    recipe: Recipe,
    base: Path,
    dataset: Path,
    output: Path,
    loss: Path,
    label: str,
    throughput: Path | None = None,
    validation: Path | None = None,
    databases: Path = Path("data/train_databases"),
) -> None:
    """Train `base` on the data set "train" in `dataset`; write weights to `output`, loss by step to `loss`.

    The speed, which varies between runs, is written to the folder `throughput`, see `write_throughput`; what
    is measured on held-out rows to the CSV file `validation`. `databases` has the databases of training
    sources, as SOURCE/ID/ID.sqlite.

    The work is kept under a key of recipe, package versions and the contents of base and dataset: a killed
    run resumes from its newest complete checkpoint, a finished one is copied to the outputs again. Of several
    machines (see `Nodes`) each calls this function with a shared work store; node 0 writes the outputs.

    Raises:
        UserError: no template fits the model's prompts, no rows can be held out, this machine cannot run the
            training, or the trainer fails or writes no weights.
    """
    nodes, base_hash = Nodes.from_environment(), hash_path(base)
    # refuses prompts unlike prediction's
    form = form_of(recipe.template, base, base_hash, dataset, recipe.enable_thinking)
    recipe = on_this_machine(_with_ranks(recipe, nodes, label)).model_copy(update={"template": form.template})
    if lacks_flash_attention(recipe):
        recipe = _without_flash_attention(recipe, base, dataset, form.answer_tokens, label)
    lengths = _lengths(recipe, base, base_hash, dataset, form.answer_tokens)
    held_out = HeldOut(recipe, dataset, databases, lengths) if recipe.validation else None
    key = _key(recipe, base_hash, dataset, lengths, nodes)
    work = WorkStore.from_environment().open("train", key | (held_out.key if held_out else {}))
    if nodes.rank > 0:
        _run_other_node(recipe, base, lengths, work, nodes, label)
        return
    with locked(work):
        result = work / "result"
        if not result.is_dir():
            check_feasible(recipe, base, lengths.longest, nodes)
            unused = held_out.planned(base, work, label) if held_out else ()
            rows = without_long_rows(dataset, lengths, recipe.longest_row, work, label, unused)
            _train_rows(recipe, base, base_hash, rows, work, nodes, label)
        publish(result / "weights", output)
        write_loss(_read_loss(result / "loss.csv"), loss, recipe.logging_steps)
        publish_validation(result, validation, recipe.validation, label)
        _publish_throughput(work, throughput, label)


def _train_rows(
    recipe: Recipe, base: Path, base_hash: str, rows: Path, work: Path, nodes: Nodes, label: str
) -> None:
    """Train on the data set `rows`, and put weights and losses into the result of the work folder."""
    if recipe.lora is not None:
        _write_base(work, base, base_hash)  # for the adapters of single steps
    run = _run(recipe, base, rows, work, nodes, label)
    _collect(run, work / "result", base, base_hash, recipe)


def _with_ranks(recipe: Recipe, nodes: Nodes, label: str) -> Recipe:
    """`recipe` with the number that `ranks: auto` is here, which is printed."""
    if not recipe.auto_ranks:
        return recipe
    gpus = len(visible_gpus())
    known = with_ranks(recipe, gpus, nodes.count)
    text = f"{label}: ranks: auto is {known.ranks}; {gpus or 'no'} GPUs are visible"
    if known.ranks < gpus:
        text += f", and with more ranks a step of {known.global_batch} rows is no multiple of device_batch"
        text += f" ({known.device_batch}) times ranks; lower device_batch to use more"
    print(text, file=sys.stderr)
    return known


def _without_flash_attention(
    recipe: Recipe, base: Path, dataset: Path, answer_tokens: int, label: str
) -> Recipe:
    """The recipe with torch's attention, see `with_short_packs`; says so on stderr."""
    longest = longest_row(base, dataset, _SHORT_PACK, recipe.longest_row, answer_tokens)
    found = with_short_packs(recipe, max(longest, _SHORT_PACK - 1))
    packs = f", packed sequences of {found.cutoff_len} tokens, {found.global_batch} a step"
    print(
        f"{label}: attention: fa2 needs the package flash-attn, which is not installed: trained with "
        f"attention: sdpa{packs if found.packing else ''}; `pip install flash-attn` for flash attention",
        file=sys.stderr,
    )
    return found


def _lengths(recipe: Recipe, base: Path, base_hash: str, dataset: Path, answer_tokens: int) -> Lengths:
    """`measure`, computed once for all arms with the same base model, rows and limit."""
    key = {
        "base": base_hash,
        "dataset": hash_path(dataset / "sft.json"),
        "limit": recipe.longest_row,
        "answer_tokens": answer_tokens,
        "transformers": _version("transformers"),
    }
    file = WorkStore.from_environment().open("lengths", key) / "lengths.json"
    try:
        return TypeAdapter(Lengths).validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):  # not measured yet, or damaged
        lengths = measure(base, dataset, recipe.longest_row, answer_tokens)
        write_json(file, asdict(lengths))
        return lengths


def _key(recipe: Recipe, base_hash: str, dataset: Path, lengths: Lengths, nodes: Nodes) -> dict[str, object]:
    """Everything that affects the weights; folders and files count by content, not by name.

    How often the loss is logged and a checkpoint saved is not part of it. Entries that a training in one
    process on all rows does not need are left out, so that its key does not change when such entries are
    added.
    """
    configuration = _configuration(recipe, nodes)
    packages: tuple[str, ...] = _PACKAGES
    more: dict[str, object] = {}
    if recipe.deepspeed_file is not None:
        configuration["deepspeed"] = read_json(recipe.deepspeed_file)
        packages += ("deepspeed",)
    if recipe.megatron is not None:
        packages += ("megatron-core", "transformer-engine")
        more["mcore_adapter"] = source_of_mcore_adapter()
    if recipe.packing == "shared_prefix":
        more["largest_group"] = LARGEST_GROUP
    if nodes.count * recipe.ranks > 1:
        more["ranks"] = nodes.count * recipe.ranks
        if recipe.group_by_length:
            more["grouped"] = "rows of a step"  # not those that one rank has of it, as before
    if lengths.long:
        more["rows_left_out"] = list(lengths.long)
    if not visible_gpus():
        more["cpu_kernels"] = KERNELS
        if recipe.optimizer == "muon":
            more["muon"] = "float32"
    return more | {
        "configuration": configuration,
        "threads": recipe.threads,
        "base": base_hash,
        "dataset": hash_path(dataset / "sft.json"),
        "packages": {name: _version(name) for name in packages},
    }


def _configuration(recipe: Recipe, nodes: Nodes) -> dict[str, object]:
    """The trainer's arguments that affect the weights."""
    here = Path()
    configuration = llamafactory_config(recipe, here, here, here, nodes.count)
    for name in _NOT_IN_KEY:
        configuration.pop(name, None)
    if recipe.packing is not True:  # each of these processes packs its own share of the rows
        configuration.pop("preprocessing_num_workers")
    return configuration


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"  # `check_feasible` then reports it with the command that installs it


def _publish_throughput(work: Path, folder: Path | None, label: str) -> None:
    """Write the speed that the trainer measured in `work`, in this run or in the one that is reused."""
    if folder is None:
        return
    lines = read_throughput(work / "throughput.jsonl")
    if not lines:
        print(
            f"{label}: no tokens per second were recorded for this training, so none are plotted",
            file=sys.stderr,
        )
    write_throughput(lines, folder, label)


def _run_other_node(
    recipe: Recipe, base: Path, lengths: Lengths, work: Path, nodes: Nodes, label: str
) -> None:
    """Run this machine's ranks of the training that node 0 controls; torchrun waits for node 0."""
    check_feasible(recipe, base, lengths.longest, nodes)
    status = run_ranks(recipe, work, nodes, label)
    if status != 0:
        log = work / f"train{nodes.rank}.log"
        raise UserError(
            f"{label}: node {nodes.rank} ended with status {status}; read {log} and the log of node 0"
        )
    print(f"{label}: node {nodes.rank} has finished; node 0 writes the weights", file=sys.stderr)


def _run(recipe: Recipe, base: Path, dataset: Path, work: Path, nodes: Nodes, label: str) -> Path:
    """Train to the end, from the newest complete checkpoint if there is one; returns the run's folder."""
    run = work / "run"
    config = llamafactory_config(recipe, base, dataset, run, nodes.count)
    if recipe.precision == "bf16" and not visible_gpus():
        config["use_cpu"] = True  # transformers allows bf16 on a CPU only with this option
    if recipe.report_to != "none":
        config["run_name"] = label
    if recipe.report_to == "tensorboard":
        print(f"{label}: `tensorboard --logdir {reports(work)}` shows the training", file=sys.stderr)
    checkpoint = newest_checkpoint(run, nodes.count * recipe.ranks)
    if checkpoint is not None:
        config["resume_from_checkpoint"] = str(checkpoint)
    elif run.exists():
        shutil.rmtree(run)
    if checkpoint is not None and stopped_early(work, step_of(checkpoint), recipe.validation):
        config["max_steps"] = step_of(checkpoint)
    if recipe.megatron is None or not (run / "trainer_state.json").is_file():  # the trainer writes it at last
        (run / "trainer_log.jsonl").unlink(missing_ok=True)
        launch(recipe, config, work, nodes, label)
    if recipe.megatron is not None:
        run = convert_to_hugging_face(run, work / "converted", base, label)
    if not any((run / name).is_file() for name in _WEIGHTS):
        raise UserError(
            f"{label}: the trainer ended with status 0 and wrote no weights to {run}; "
            f"read {work / 'train.log'}, then `dvc repro`"
        )
    return run


def _collect(run: Path, result: Path, base: Path, base_hash: str, recipe: Recipe) -> None:
    """Copy the reproducible files of a finished run to `result`, which appears complete or not at all."""
    scratch = result.with_name("result.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    weights = scratch / "weights"
    copy_weights(run, weights)
    if recipe.lora is not None:
        _normalise_adapter_config(weights, base, base_hash)
    write_loss(read_json(run / "trainer_state.json")["log_history"], scratch / "loss.csv")
    if recipe.validation is not None:
        collect_validation(result.parent, scratch, recipe.validation)
    if recipe.extra.get("pissa_init"):
        from text2sql.training.pissa import START, convert  # loads torch

        convert(weights, result.with_name(START))
    scratch.rename(result)
    for folder in {run, result.with_name("run")}:  # checkpoints, and Megatron's converted weights
        shutil.rmtree(folder)
    remove_best(result.parent)


def _normalise_adapter_config(weights: Path, base: Path, base_hash: str) -> None:
    """Sort the target modules, which PEFT lists in arbitrary order, and record the base's path and hash."""
    config = read_json(weights / "adapter_config.json")
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = str(base)
    (weights / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    _write_base(weights, base, base_hash)


def _write_base(folder: Path, base: Path, base_hash: str) -> None:
    """Say on what an adapter was trained, see `resolve_weights`."""
    write_json(folder / BASE_FILE, {"path": str(base), "sha256": base_hash})


def write_loss(history: Sequence[Mapping[str, float]], path: Path, every: int = 1) -> None:
    """Write step, loss (nats per token) and learning rate, a row for `every` steps that have a loss.

    The loss is the mean over these steps, the rate that of the last of them. The last row has the steps that
    remain, which may be fewer.
    """
    entries = [entry for entry in history if "loss" in entry]
    groups = itertools.groupby(entries, key=lambda entry: (entry["step"] - 1) // every)
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "loss", "learning_rate"])
        for steps in (list(group) for _, group in groups):
            last = steps[-1]
            writer.writerow([last["step"], fmean(e["loss"] for e in steps), last["learning_rate"]])


def _read_loss(path: Path) -> list[dict[str, float]]:
    """The rows that `write_loss` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {**{key: float(row[key]) for key in row}, "step": int(row["step"])}
            for row in csv.DictReader(file)
        ]
