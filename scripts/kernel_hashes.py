"""Print hashes of a little of every kind of float32 work of the pipeline, to compare two kinds of CPU.

`python -m scripts.kernel_hashes` in the checkout, after `make reproduce`. An emulated CPU will do:
`qemu-x86_64 -cpu Haswell .venv/bin/python -m scripts.kernel_hashes`. With --free the libraries choose their
kernels themselves, as they would without text2sql/cpu.py.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from text2sql import cpu
from text2sql.files import read_json

ROWS, STEPS, BATCH = 24, 3, 8
BASE = Path("models/base")


def main(free: bool) -> None:
    if free:
        cpu.use_fixed_products = lambda: None  # type: ignore[assignment]
    else:
        cpu.fix_kernels(threads=1)
    import torch

    torch.set_num_threads(1)
    cpu.use_fixed_products()
    rows = read_json(Path("data/train/sft.json"))[:ROWS]
    print(f"training    {digest(trained(rows))}", flush=True)
    print(f"embeddings  {digest(embedded(rows))}", flush=True)
    print(f"answers     {digest(answered(rows))}", flush=True)


def digest(parts: Iterator[bytes]) -> str:
    """The first 16 hex digits of a SHA-256."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def trained(rows: list[dict[str, str]]) -> Iterator[bytes]:
    """The weights of the base model after three steps of Muon, as the training stages take them."""
    import torch
    from llamafactory.third_party.muon import Muon
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from text2sql.training.logits import AnswerLogits
    from text2sql.training.muon import use_float32

    use_float32()
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).train()
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizer = Muon(lr=1e-2, wd=0.01, muon_params=matrices, adamw_params=others)
    AnswerLogits().on_train_begin(None, None, None, model=model)
    for step in range(STEPS):
        model(**batch(tokenizer, rows[BATCH * step : BATCH * (step + 1)])).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    yield from (weights.detach().numpy().tobytes() for weights in model.parameters())


def batch(tokenizer: Any, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Rows as a padded batch; the loss falls on the answers."""
    import torch

    prompts = [tokenizer(row["system"] + row["instruction"])["input_ids"] for row in rows]
    answers = [tokenizer(row["output"])["input_ids"] for row in rows]
    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    padding = [width - len(p) - len(a) for p, a in zip(prompts, answers, strict=True)]
    parts = list(zip(prompts, answers, padding, strict=True))
    return {
        "input_ids": torch.tensor([[*p, *a, *[0] * n] for p, a, n in parts]),
        "attention_mask": torch.tensor([[1] * (len(p) + len(a)) + [0] * n for p, a, n in parts]),
        "labels": torch.tensor([[-100] * len(p) + a + [-100] * n for p, a, n in parts]),
    }


def embedded(rows: list[dict[str, str]]) -> Iterator[bytes]:
    """Vectors of questions and of their word pieces."""
    from text2sql.retrieval.embed import PACKAGED_MODEL, load_embedder

    embedder = load_embedder(PACKAGED_MODEL, batch_size=64)
    questions = [row["instruction"].splitlines()[-1] for row in rows]
    yield embedder.embed(questions).tobytes()
    yield from (vectors.tobytes() for vectors in embedder.embed_tokens(questions[:BATCH]))


def answered(rows: list[dict[str, str]]) -> Iterator[bytes]:
    """Answers drawn at random, with their log-probabilities."""
    from text2sql.inference.engine import Request
    from text2sql.inference.settings import Batching, Decoding
    from text2sql.inference.transformers_engine import TransformersEngine
    from text2sql.inference.weights import resolve_weights

    decoding = Decoding(max_new_tokens=12, temperature=1.0, likelihood=True)
    engine = TransformersEngine(resolve_weights(BASE), decoding, Batching(), threads=1)
    chats = [[{"role": "user", "content": row["instruction"]}] for row in rows[:BATCH]]
    requests = [Request(chat, seed) for seed, chat in enumerate(chats)]
    yield from (repr(answers).encode() for _, answers in engine.generate([(0, requests)]))


if __name__ == "__main__":
    main(free="--free" in sys.argv[1:])
