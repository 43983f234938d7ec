"""Computes logits only for tokens that count for the loss."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_NO_LABEL = -100  # transformers' ignore_index


class AnswerLogits(TrainerCallback):
    """Skips the logits of tokens without a label: prompts and padding, most of every batch.

    Loss and gradients stay the same sums. Needs a model of transformers: it has an output layer, and
    compares its logits with `shift_labels` if these are given.
    """

    def __init__(self) -> None:
        self._labelled: torch.Tensor | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Register hooks before the model and before its output layer."""
        model = kwargs["model"]
        model.register_forward_pre_hook(self._choose, with_kwargs=True)
        model.get_output_embeddings().register_forward_pre_hook(self._keep)

    def _choose(self, model: Any, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Select states by the labels (rows, length): the state of a token predicts the label of the next.

        Without labels, as in validation, all are selected.
        """
        if "labels" not in inputs:
            return args, inputs
        following = torch.nn.functional.pad(inputs["labels"], (0, 1), value=_NO_LABEL)[:, 1:]
        self._labelled = following != _NO_LABEL
        return args, inputs | {"shift_labels": following[self._labelled].unsqueeze(0)}

    def _keep(self, layer: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        """States (rows, length, width) to (1, labels, width)."""
        labelled, self._labelled = self._labelled, None  # for this pass only: generation skips `_choose`
        return args if labelled is None else (args[0][labelled].unsqueeze(0),)


def keep_output_layer() -> None:
    """From now on LLaMA-Factory leaves the output layer as it is when it applies Liger's kernels.

    Liger's fused loss (Hsu et al. 2024) multiplies all tokens by the output layer, in pieces. `AnswerLogits`
    multiplies the labelled ones, about a seventh of them, so that its logits fit without pieces.

    Raises:
        RuntimeError: this LLaMA-Factory applies Liger's kernels in another way.
    """
    from llamafactory.model import loader

    apply = getattr(loader, "apply_liger_kernel", None)
    if apply is None or "require_logits" not in inspect.signature(apply).parameters:
        raise RuntimeError(f"llamafactory: it does not apply Liger's kernels as 0.9.5 does, see {__name__}")

    def apply_without_fused_loss(*args: Any, **kwargs: Any) -> None:
        apply(*args, **{**kwargs, "require_logits": True})

    loader.apply_liger_kernel = apply_without_fused_loss
