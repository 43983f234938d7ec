"""Finds LLaMA-Factory's template for a model: the one that makes the same prompt as its chat template."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from text2sql.errors import UserError
from text2sql.files import read_json, write_json
from text2sql.training.dataset import SAMPLE, Row
from text2sql.workstore import WorkStore, hash_path

if TYPE_CHECKING:
    from text2sql.training.parity import Parity

AUTO = "auto"
# A mark in the chat template, and LLaMA-Factory's templates that write it. The first mark found counts.
_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("<|im_sep|>", ("phi4",)),
    ("<|im_start|>", ("chatml", "qwen3", "qwen3_nothink", "qwen", "smollm2", "smollm", "yi")),
    ("<|start_header_id|>", ("llama3",)),
    ("<start_of_turn>", ("gemma", "gemma2", "gemma3")),
    ("<|start_of_role|>", ("granite3", "granite4")),
    ("<｜Assistant｜>", ("deepseek3", "deepseekr1")),
    ("<|end|>", ("phi", "phi4_mini", "phi_small", "starchat")),
    ("<|assistant|>", ("zephyr", "olmo")),
    ("[SYSTEM_PROMPT]", ("mistral_small",)),
    ("[INST]", ("llama2", "mistral", "ministral")),
    ("### Instruction:", ("deepseekcoder", "alpaca")),
    ("### User:", ("solar",)),
    ("[|assistant|]", ("exaone",)),
    ("USER:", ("vicuna",)),
    ("User:", ("deepseek", "falcon")),
)
# The template of a model type (config.json) where several of a family make the same prompt.
_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "qwen2": ("qwen",),
    "qwen3": ("qwen3", "qwen3_nothink"),
    "gemma": ("gemma",),
    "gemma2": ("gemma2",),
    "gemma3": ("gemma3",),
    "gemma3_text": ("gemma",),  # LLaMA-Factory's gemma3 is for the models that read images
}
_REMEDY = "set training.template: auto, which finds the template that fits"


@dataclass(frozen=True)
class Form:
    """How a model's rows are written: LLaMA-Factory's template, and the tokens it adds to each answer."""

    template: str
    answer_tokens: int


def template_of(folder: Path, row: Row = SAMPLE, enable_thinking: bool | None = False) -> str:
    """LLaMA-Factory's name of the template that makes the prompt of prediction for the model in `folder`.

    Raises:
        UserError: the folder has no model with a chat template, or no template fits.
    """
    from text2sql.training.parity import Parity  # takes seconds to import; what is remembered needs it not

    parity = Parity(folder, row, enable_thinking)
    tried = candidates(folder, parity)
    if not tried:
        raise UserError(
            f"{folder}: its chat template is of no known kind, so training.template: auto finds nothing; set "
            "training.template to LLaMA-Factory's name of its template"
        )
    for template in tried:
        if not parity.differs(template) and parity.problem(template) is None:
            return template
    raise UserError(
        f"{parity.problem(tried[0])}; none of LLaMA-Factory's templates {', '.join(tried)} fits; set "
        f"training.template to one that does, or change the chat template in {folder}"
    )


def checked_template(template: str, folder: Path, enable_thinking: bool | None = False) -> str:
    """`template`, or for "auto" the one that is found, for the model in `folder`.

    Raises:
        UserError: it makes other prompts than prediction, or none fits.
    """
    if template == AUTO:
        return template_of(folder, enable_thinking=enable_thinking)
    from text2sql.training.parity import parity_problem

    problem = parity_problem(folder, template, enable_thinking)
    if problem is not None:
        raise UserError(f"{problem}; {_REMEDY}")
    return template


def candidates(folder: Path, parity: Parity) -> list[str]:
    """The templates worth a try, the likeliest first.

    Those that LLaMA-Factory has for the model type come first, then those whose default system message the
    chat template has too, then those without one.
    """
    from text2sql.training.parity import known_templates

    templates = known_templates()
    text = str(parity.tokens.tokenizer.get_chat_template())
    family = next((names for mark, names in _FAMILIES if mark in text), ())
    own = _BY_TYPE.get(read_json(folder / "config.json")["model_type"], ())

    def rank(name: str) -> tuple[bool, int]:
        system = templates[name].default_system.rstrip(".\n")  # some chat templates lack these at its end
        return name not in own, 1 if not system else 0 if system in text else 2

    return sorted(family, key=rank)


def form_of(
    template: str, base: Path, base_hash: str, dataset: Path, enable_thinking: bool | None = False
) -> Form:
    """The form in which the model in `base` is trained on `dataset`; `template` may be "auto".

    The prompts of training and prediction are compared on the first row. What was compared once is remembered
    in the work store.

    Raises:
        UserError: no template fits, the chosen one makes other prompts than prediction, or there are no rows.
    """
    key = {
        "base": base_hash,
        "dataset": hash_path(dataset / "sft.json"),
        "template": template,
        "enable_thinking": enable_thinking,
        "packages": {name: _version(name) for name in ("llamafactory", "transformers")},
        "families": [_FAMILIES, dict(_BY_TYPE)],
    }
    file = WorkStore.from_environment().open("template", key) / "form.json"
    try:
        return TypeAdapter(Form).validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):  # not compared yet, or damaged
        form = _compared(template, base, _first_row(dataset), enable_thinking)
        write_json(file, asdict(form))
        return form


def _compared(template: str, folder: Path, row: Row, enable_thinking: bool | None) -> Form:
    from text2sql.training.parity import Parity

    if template == AUTO:
        template = template_of(folder, row, enable_thinking)
    parity = Parity(folder, row, enable_thinking)
    problem = parity.problem(template)
    if problem is not None:
        raise UserError(f"{problem}; {_REMEDY}")
    trained, sql = parity.trained(template), parity.tokens.tokenizer(row["output"], add_special_tokens=False)
    prompt_and_answer = len(trained.prompt) + len(trained.answer)
    return Form(template, prompt_and_answer - len(parity.predicted) - len(sql["input_ids"]))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"  # `known_templates` then reports it with the command that installs it


def _first_row(dataset: Path) -> Row:
    rows: Sequence[Row] = read_json(dataset / "sft.json")
    if not rows:
        raise UserError(f"{dataset}: no rows; `dvc repro` writes the pipeline's data sets")
    return rows[0]
