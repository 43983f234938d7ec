"""A base model in a folder of Hugging Face's form: what is wrong with it, what it is, and its copy."""

from __future__ import annotations

import importlib.metadata
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from text2sql.base_models.licence import CARD
from text2sql.errors import UserError
from text2sql.files import publish, read_json
from text2sql.inference.weights import Weights
from text2sql.training.memory import shards, weight_files, weight_shapes

# Configuration, tokenizer, licence and card; the weights are those of `weight_files`.
_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "LICENSE*",
    "NOTICE*",
    CARD,
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# Others than these, if they are links to files that do not exist, are not found missing.
_NAMED_IF_MISSING = ("config.json", "tokenizer_config.json", *_TOKENIZERS)
_AGAIN = "copy it from the model again"
# Where the input embedding ends in the names of weights.
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")


def copy_model(folder: Path, output: Path) -> None:
    """Copy the model in `folder` to `output`: weights, configuration, tokenizer, chat template, licence.

    Raises:
        UserError: the folder has no complete model; every problem is in the message.
    """
    require_model(folder)
    with tempfile.TemporaryDirectory() as links:
        named = [file for pattern in _FILES for file in sorted(folder.glob(pattern))]
        for file in [*named, *weight_files(folder)]:
            (Path(links) / file.name).symlink_to(file.resolve())
        publish(Path(links), output)  # copies the files that the links refer to


def require_model(folder: Path) -> None:
    """Raise a UserError with all problems of the model in `folder`, if it has any."""
    problems = model_problems(folder)
    if problems:
        raise UserError("\n".join(problems))


def model_facts(folder: Path) -> dict[str, object]:
    """Architecture, number of weights and rows of the embedding of the model in `folder`."""
    config = read_json(folder / "config.json")
    shapes = dict(weight_shapes(folder))
    return {
        "architecture": (config.get("architectures") or [config["model_type"]])[0],
        "parameters": sum(map(math.prod, shapes.values())),
        "vocabulary": _embedding_rows(folder, config),
    }


def model_problems(folder: Path) -> list[str]:
    """All that keeps the model in `folder` from being trained, each with the file and the next step.

    Not covered: quantized weights that do not fit their configuration, weights that the model has no place
    for, values of weights.
    """
    if not folder.is_dir():
        return [f"{folder}: no such folder; set fetch_model.folder to a folder with a model"]
    if (folder / "adapter_config.json").is_file():
        return [
            f"{folder}/adapter_config.json: this is an adapter, not a complete model; "
            f"`text2sql merge --adapter {folder}` makes one of it and its base model"
        ]
    found = [
        *_config_problems(folder),
        *_weight_problems(folder),
        *_tokenizer_problems(folder),
        *_other_problems(folder),
    ]
    found = found or [*_loading_problems(folder)] or [*_shape_problems(folder)]
    return found or [*_vocabulary_problems(folder), *_chat_problems(folder)]


# -- config.json --


def _config_problems(folder: Path) -> Iterator[str]:
    config, problem = _json(folder / "config.json")
    if problem:
        yield problem
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind, where = config.get("model_type"), f"{folder}/config.json"
    version = importlib.metadata.version("transformers")
    if not isinstance(kind, str):
        yield f"{where}: model_type is missing; {_AGAIN}"
    elif kind not in CONFIG_MAPPING_NAMES:
        own = ", and code in the model's folder is not run" if "auto_map" in config else ""
        yield f"{where}: transformers {version} has no architecture {kind!r}{own}; choose another base model"
    elif kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        yield (
            f"{where}: {kind!r} is not a model that writes text (a causal language model); choose another "
            "base model"
        )


# -- weights --


def _weight_problems(folder: Path) -> Iterator[str]:
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").is_file():
        if not index.is_file():
            yield _no_weights(folder)
            return
        try:
            shards(index)
        except UserError as error:
            yield f"{error}; {_AGAIN}"
            return
    for file in weight_files(folder):
        yield from _file_problems(file)


def _no_weights(folder: Path) -> str:
    if any(folder.glob("*.bin")):
        load = f"from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        return (
            f"{folder}: its weights are .bin files, and model.safetensors is needed; if you trust them: "
            f'`python -c "from transformers import AutoModelForCausalLM as M; M.{load}"`'
        )
    return f"{folder}/model.safetensors: no such file, and no model.safetensors.index.json; {_AGAIN}"


def _file_problems(file: Path) -> Iterator[str]:
    """A file of weights that is missing, or shorter than its header says."""
    if not file.is_file():
        yield f"{file}: no such file, but model.safetensors.index.json names it; {_AGAIN}"
        return
    found = file.stat().st_size
    try:
        with open(file, "rb") as stream:
            start = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(start)) if start <= found else {}
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        needed = 8 + start + max(entry["data_offsets"][1] for entry in entries)
        if not all(_is_shape(entry["shape"]) for entry in entries):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        yield f"{file}: not a file of safetensors, or cut off ({found:,} bytes); {_AGAIN}"
        return
    if found < needed:
        yield f"{file}: cut off, it has {found:,} of {needed:,} bytes; {_AGAIN}"


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(size, int) and size >= 0 for size in value)


def _shape_problems(folder: Path) -> Iterator[str]:
    """Weights that config.json asks for and the files lack, or have in another shape. Reads headers only."""
    from transformers import AutoModelForCausalLM

    from text2sql.inference.chat_tokens import load

    if "quantization_config" in read_json(folder / "config.json"):
        return  # its weights have other shapes than the configuration says
    options = {"device_map": "meta", "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        _, report = load(AutoModelForCausalLM, Weights(folder, ""), **options)
    except UserError as error:
        yield str(error)
        return
    if missing := sorted(report["missing_keys"]):
        yield (
            f"{folder}: {len(missing)} weights that config.json asks for are missing, such as {missing[0]}; "
            f"{_AGAIN}"
        )
    if others := sorted(report["mismatched_keys"]):
        name, found, asked = others[0]
        yield (
            f"{folder}: {len(others)} weights have other shapes than config.json asks for, such as {name} "
            f"with {list(found)} for {list(asked)}; {_AGAIN}"
        )


# -- tokenizer --


def _tokenizer_problems(folder: Path) -> Iterator[str]:
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        yield f"{folder}/tokenizer.json: no such file, nor another tokenizer; {_AGAIN}"
    elif problem := _broken_tokenizer(folder / "tokenizer.json"):
        yield problem
    config, problem = _json(folder / "tokenizer_config.json")
    if problem:
        yield problem
    if not _are_tokens(config.get("added_tokens_decoder", {})):
        yield f"{folder}/tokenizer_config.json: added_tokens_decoder is not a list of tokens by id; {_AGAIN}"
    if not isinstance(config.get("tokenizer_class") or "", str):
        yield f"{folder}/tokenizer_config.json: tokenizer_class is no text; {_AGAIN}"
    if not _is_template(config.get("chat_template") or ""):
        yield f"{folder}/tokenizer_config.json: chat_template is neither text nor a list of them; {_AGAIN}"
    templates = [*folder.glob("chat_template.*"), *folder.glob("additional_chat_templates/*")]
    if not templates and not config.get("chat_template"):
        yield (
            f"{folder}: no chat template, neither as chat_template.jinja nor in tokenizer_config.json; use "
            "an instruction-tuned model, or copy the chat template of one to that file"
        )


def _are_tokens(value: object) -> bool:
    """Whether this is {"id": {"content": text}}."""
    return isinstance(value, dict) and all(
        number.isdecimal() and isinstance(token, dict) and isinstance(token.get("content"), str)
        for number, token in value.items()
    )


def _is_template(value: object) -> bool:
    """Whether this is a chat template, or several: {name: text} or [{"name": text, "template": text}]."""
    if isinstance(value, dict):
        return all(isinstance(text, str) for text in value.values())
    if not isinstance(value, list):
        return isinstance(value, str)
    return all(
        isinstance(one, dict) and all(isinstance(one.get(key), str) for key in ("name", "template"))
        for one in value
    )


def _broken_tokenizer(file: Path) -> str | None:
    """Why the tokenizer cannot be read; None also if it is in another file."""
    from tokenizers import Tokenizer

    if not file.is_file():
        return None
    try:
        Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more special
        return f"{file}: not a tokenizer: {str(error).splitlines()[0]}; {_AGAIN}"
    return None


def _vocabulary_problems(folder: Path) -> Iterator[str]:
    """Compares the tokenizer's ids with the rows of the embedding and with the end token in config.json."""
    file, config = folder / "tokenizer.json", read_json(folder / "config.json")
    if not file.is_file():
        return  # of another form; training and prediction load it
    ids = _token_ids(file)
    rows = _embedding_rows(folder, config)
    beyond = [token for token, number in ids.items() if number >= rows]
    if beyond:
        yield (
            f"{file}: {len(beyond)} of its {len(ids)} tokens, such as {beyond[0]!r} with id "
            f"{ids[beyond[0]]}, are beyond the {rows} rows of the model's embedding: it is the tokenizer of "
            "another model; copy that of this one, or resize the embedding (model.resize_token_embeddings)"
        )
    ends = config.get("eos_token_id")
    for end in ends if isinstance(ends, list) else [ends]:
        if end is not None and end not in ids.values():
            yield (
                f"{file}: no token has the id {end}, which is eos_token_id in config.json: it is the "
                "tokenizer of another model; copy that of this one"
            )


def _token_ids(file: Path) -> dict[str, int]:
    """Ids by token, with those that tokenizer_config.json adds."""
    from tokenizers import Tokenizer

    added = read_json(file.with_name("tokenizer_config.json")).get("added_tokens_decoder", {})
    ids: dict[str, int] = Tokenizer.from_file(str(file)).get_vocab(with_added_tokens=True)
    return ids | {token["content"]: int(number) for number, token in added.items()}


def _embedding_rows(folder: Path, config: dict[str, Any]) -> int:
    rows = [shape[0] for name, shape in weight_shapes(folder) if name.endswith(_EMBEDDINGS)]
    return int(rows[0] if rows else config["vocab_size"])


# -- the rest --


def _other_problems(folder: Path) -> Iterator[str]:
    """Links to files that do not exist, and files that need not be there but must be JSON objects."""
    for file in (file for pattern in _FILES for file in sorted(folder.glob(pattern))):
        if not file.exists() and file.name not in _NAMED_IF_MISSING:
            yield f"{file}: a link to a file that does not exist; remove it, or {_AGAIN}"
    for name in ("generation_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).is_file() and (problem := _json(folder / name)[1]):
            yield problem


def _loading_problems(folder: Path) -> Iterator[str]:
    """What only loading shows: values of another type than the library needs."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    from text2sql.inference.chat_tokens import load

    has_own = (folder / "generation_config.json").is_file()
    try:
        for kind in (AutoConfig, AutoTokenizer, *([GenerationConfig] if has_own else [])):
            load(kind, Weights(folder, ""))
    except UserError as error:
        yield str(error)


def _chat_problems(folder: Path) -> Iterator[str]:
    """A chat template that fails, and end tokens that are no numbers or missing."""
    from text2sql.inference.chat_tokens import ChatTokens
    from text2sql.training.dataset import SAMPLE, chat

    try:
        tokens = ChatTokens(Weights(folder, ""))
        tokens.encode(chat(SAMPLE))
        if not tokens.ends:
            yield f"{folder}/tokenizer_config.json: no token ends an answer; set eos_token there"
    except UserError as error:
        yield str(error)


def _json(file: Path) -> tuple[dict[str, Any], str]:
    """The object in a JSON file, and what is wrong with the file."""
    if not file.is_file():
        return {}, f"{file}: no such file; copy the model's {file.name} there"
    try:
        content = read_json(file)
    except UserError as error:
        return {}, f"{error}; {_AGAIN}"
    if not isinstance(content, dict):
        return {}, f"{file}: expected a JSON object; {_AGAIN}"
    return content, ""
