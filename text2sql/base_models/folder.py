"""A base model in a folder of Hugging Face's form: what is wrong with it, what it is, and its copy."""

from __future__ import annotations

import importlib.metadata
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from text2sql.devices import quiet_transformers
from text2sql.errors import UserError
from text2sql.files import publish, read_json
from text2sql.training.memory import weight_files, weight_shapes

# Configuration, tokenizer and licence; the weights are those of `weight_files`.
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
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
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

    Not covered: weights that fit their configuration badly, which training and prediction report.
    """
    if not folder.is_dir():
        return [f"{folder}: no such folder; set fetch_model.folder to a folder with a model"]
    if (folder / "adapter_config.json").is_file():
        return [
            f"{folder}/adapter_config.json: this is an adapter, not a complete model; "
            f"`text2sql merge --adapter {folder}` makes one of it and its base model"
        ]
    found = [*_config_problems(folder), *_weight_problems(folder), *_tokenizer_problems(folder)]
    return found or [*_vocabulary_problems(folder), *_loading_problems(folder)]


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
        content, problem = _json(index)
        if problem or not isinstance(content.get("weight_map"), dict):
            yield problem or f"{index}: weight_map is missing; {_AGAIN}"
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
        needed = 8 + start + max(v["data_offsets"][1] for k, v in header.items() if k != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError):
        yield f"{file}: not a file of safetensors, or cut off ({found:,} bytes); {_AGAIN}"
        return
    if found < needed:
        yield f"{file}: cut off, it has {found:,} of {needed:,} bytes; {_AGAIN}"


# -- tokenizer --


def _tokenizer_problems(folder: Path) -> Iterator[str]:
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        yield f"{folder}/tokenizer.json: no such file, nor another tokenizer; {_AGAIN}"
    elif problem := _broken_tokenizer(folder / "tokenizer.json"):
        yield problem
    config, problem = _json(folder / "tokenizer_config.json")
    if problem:
        yield problem
    templates = [*folder.glob("chat_template.*"), *folder.glob("additional_chat_templates/*")]
    if not templates and not config.get("chat_template"):
        yield (
            f"{folder}: no chat template, neither as chat_template.jinja nor in tokenizer_config.json; use "
            "an instruction-tuned model, or copy the chat template of one to that file"
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


def _loading_problems(folder: Path) -> Iterator[str]:
    """What only loading shows: a tokenizer class that is not known, a chat template that fails."""
    from text2sql.inference.chat_tokens import ChatTokens
    from text2sql.inference.weights import Weights
    from text2sql.training.dataset import SAMPLE, chat

    quiet_transformers()
    try:
        ChatTokens(Weights(folder, "")).encode(chat(SAMPLE))
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
