"""A tiny tokenizer, a tiny random Qwen3 and a short recipe for tests."""

from __future__ import annotations

import json
from pathlib import Path

from text2sql.base_models.tiny import CHAT_TEMPLATE
from text2sql.training.settings import Recipe

# A short full training; tests replace the values that matter to them.
TINY_RECIPE = Recipe(
    template="qwen3",
    cutoff_len=256,
    global_batch=4,
    device_batch=2,
    optimizer="adamw",
    learning_rate=1.0e-3,
    scheduler="cosine",
    max_steps=60,
    warmup_ratio=0.1,
    weight_decay=0.01,
    precision="fp32",
    seed=3,
    logging_steps=2,
    save_steps=4,
    threads=1,
)

_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_TEXT = [
    "CREATE TABLE singer (singer_id, name, country, age); SELECT name FROM singer WHERE age > 20",
    "How many singers are there? SELECT count(*) FROM singer GROUP BY country ORDER BY age DESC",
    "Answer the question with one SQLite query. What are the names of all countries?",
]


def tiny_tokenizer(folder: Path) -> Path:
    """Write a byte-level BPE tokenizer (at most 402 tokens) with Qwen3's chat template."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        _TEXT, vocab_size=400, min_frequency=1, special_tokens=_SPECIAL, show_progress=False
    )
    bpe.add_tokens(["<think>", "</think>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def tiny_qwen3(folder: Path, seed: int = 0, context: int = 512, hidden_size: int = 32) -> Path:
    """Write a random two-layer Qwen3 (vocabulary 402, `context` tokens) into `folder`.

    `tiny_tokenizer(folder)` adds the tokenizer.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=402,
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=hidden_size // 2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        initializer_range=0.5,  # far from zero: answers differ and near ties are rare
        eos_token_id=2,
        pad_token_id=0,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def tiny_adapter(folder: Path, base: Path, seed: int = 1) -> Path:
    """Write a random LoRA adapter of rank 4 for `base` into `folder`, with the files that training writes."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from text2sql.workstore import hash_path

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    lora.init_lora_weights = False  # random, so that the adapter changes the answers
    adapted = get_peft_model(model, lora)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(str(folder))
    (folder / "base.json").write_text(json.dumps({"path": str(base), "sha256": hash_path(base)}))
    return folder
