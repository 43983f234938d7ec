"""Merges an adapter into its base model and checks that the logits stay the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

from text2sql.devices import quiet_transformers
from text2sql.errors import UserError
from text2sql.files import replacing_folder
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.weights import resolve_weights

# Largest difference of two logits, as a share of the largest logit, that is taken for rounding.
_TOLERANCE = {torch.float32: 1.0e-4, torch.float16: 1.0e-2, torch.bfloat16: 5.0e-2}


def merge_adapter(adapter: Path, output: Path, chats: Sequence[Sequence[Mapping[str, str]]]) -> float:
    """Write base and LoRA adapter as one model, in the base's number type, to `output`.

    The next-token logits after each of `chats` are compared, in fp32: those of base and unmerged adapter
    with those of the written model, read from disk. Returns the largest difference as a share of the
    largest logit.

    Raises:
        UserError: `adapter` is not an adapter or belongs to another base, or the difference is larger than
            rounding. Nothing is written then.
    """
    quiet_transformers()
    weights = resolve_weights(adapter)
    if weights.base is None:
        raise UserError(f"{adapter}: is a complete model, not an adapter; give the folder of a LoRA arm")
    tokens = ChatTokens(weights)
    model = PeftModel.from_pretrained(_load(weights.base), str(adapter)).eval()
    before = _logits(model, tokens, chats)
    kind = AutoConfig.from_pretrained(str(weights.base)).dtype or torch.float32
    merged = model.merge_and_unload().to(kind)
    with replacing_folder(output) as folder:
        merged.save_pretrained(str(folder))
        tokens.tokenizer.save_pretrained(str(folder))
        after = _logits(_load(folder), tokens, chats)
        difference = float((after - before).abs().max() / before.abs().max())
        if not difference <= _TOLERANCE.get(kind, 0.0):
            raise UserError(
                f"{adapter}: after merging in {kind} the logits differ by {difference:.2g} of the largest; "
                "use the adapter unmerged, as the pipeline does"
            )
    return difference


def _load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()


def _logits(model: Any, tokens: ChatTokens, chats: Sequence[Sequence[Mapping[str, str]]]) -> torch.Tensor:
    """[chats, vocabulary], one prompt at a time, so that padding has no effect."""
    rows = []
    for chat in chats:
        ids = torch.tensor([tokens.encode(chat)])
        with torch.inference_mode():
            rows.append(model(input_ids=ids).logits[0, -1].float())
    return torch.stack(rows)
