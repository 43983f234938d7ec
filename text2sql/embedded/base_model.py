"""The tiny base model: Qwen3's architecture, its own tokenizer, schooled on simple questions only."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from text2sql.prompts import SYSTEM, schema_text, user_text
from text2sql.records import write_json
from text2sql.training.recipe import Recipe
from text2sql.training.run import train

# Qwen3's chat tokens in the order of its own tokenizer; the model card of Qwen/Qwen3-1.7B names them.
CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
# The chat form of Qwen3 without tools: turns in <|im_start|> and <|im_end|>, and an empty thought
# before the answer when thinking is off. A conformance test holds it against Qwen3's own template.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
_POSITIONS = 2048


@dataclass(frozen=True)
class Shape:
    """Size of the tiny model; the intermediate size is three times `hidden_size`."""

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int


def build_base_model(
    rows: Iterable[dict[str, str]],
    shape: Shape,
    recipe: Recipe,
    schema_types: bool,
    output: Path,
) -> None:
    """Train the tiny Qwen3 with LLaMA-Factory on `rows` {prompt, context, answer} and put it in `output`.

    `recipe.seed` also decides the first weights. The work store makes it resumable.
    """
    turns = [_turn(row, schema_types) for row in rows]
    with tempfile.TemporaryDirectory() as scratch:
        start, dataset = Path(scratch) / "start", Path(scratch) / "dataset"
        tokenizer_size = train_tokenizer(_texts(turns), shape.vocab_size, start)
        initialise(shape, tokenizer_size, recipe.seed, start)
        write_dataset(turns, dataset)
        train(recipe, start, dataset, output, Path(scratch) / "loss.csv", "fetch_model")


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: Path) -> int:
    """Train a byte-level BPE with Qwen3's chat tokens and template; returns its number of tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    # Words with their leading blank but without a plural's s, single digits, single other signs: a
    # name keeps its tokens in schema, question and answer, so that a small model learns to copy it.
    words = pre_tokenizers.Split(
        Regex(r" ?[A-Za-z]+?(?=s?(?![A-Za-z]))|s(?![A-Za-z])|\d| ?[^\sA-Za-z\d]|\s"), "isolated"
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CHAT_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def initialise(shape: Shape, tokens: int, seed: int, folder: Path) -> None:
    """Save a Qwen3 of random weights that `seed` decides, for a vocabulary of `tokens`."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=-(-tokens // 64) * 64,
        hidden_size=shape.hidden_size,
        intermediate_size=3 * shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.hidden_size // shape.heads,
        max_position_embeddings=_POSITIONS,
        tie_word_embeddings=True,
        eos_token_id=CHAT_TOKENS.index("<|im_end|>"),
        pad_token_id=CHAT_TOKENS.index("<|endoftext|>"),
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    Qwen3ForCausalLM(config).save_pretrained(folder)


def write_dataset(turns: list[dict[str, str]], folder: Path) -> None:
    """Write the turns as LLaMA-Factory's data set "train"."""
    columns = {"system": "system", "prompt": "instruction", "response": "output"}
    write_json(folder / "dataset_info.json", {"train": {"file_name": "sft.json", "columns": columns}})
    write_json(folder / "sft.json", turns)


def _turn(row: dict[str, str], schema_types: bool) -> dict[str, str]:
    user = user_text(schema_text(row["context"], schema_types), row["prompt"])
    return {"system": SYSTEM, "instruction": user, "output": row["answer"]}


def _texts(turns: list[dict[str, str]]) -> list[str]:
    """What the tokenizer learns its words from: every turn as the chat template spells it."""
    return [
        f"system\n{turn['system']}\nuser\n{turn['instruction']}\nassistant\n{turn['output']}\n"
        for turn in turns
    ]
