"""Milliseconds and memory of the loss: logits of labelled tokens only, compared with those of all tokens.

On a GPU all tokens go through Liger's fused loss, on a CPU through torch's. Forward and backward pass of the
output layer alone. bench/README.md explains the output.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import click
import torch
from torch.nn.functional import cross_entropy, linear

from text2sql.devices import torch_device

NO_LABEL = -100
SEED = 7
LIMIT = 2.0  # times as fast
# tokens, width and vocabulary: a packed sequence of profile qwen3-1.7b; and SmolLM2-135M's widths
SHAPES = {"cuda": (8192, 2048, 151_936), "cpu": (256, 576, 49_152)}
SHARE = 0.146  # of the tokens that have a label: rows of Spider and sql_create_context
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@click.command()
@click.option("--rounds", default=10, show_default=True, help="Passes of each kind, alternately.")
@click.option("--share", default=SHARE, show_default=True, help="Share of the tokens that have a label.")
def main(rounds: int, share: float) -> None:
    """Print both times, and exit with status 1 if labelled tokens only are below the limit.

    Full training also needs the gradient of the output layer; LoRA only that of the states.
    """
    device = torch_device()
    other = ("Liger's fused loss", fused_loss()) if device == "cuda" else ("all tokens", loss_of_all)
    good = []
    for line, trained in (("LoRA", False), ("full", True)):
        inputs = make_inputs(device, share, trained)
        (ours, our_loss), (theirs, their_loss) = compare((loss_of_labelled, other[1]), inputs, rounds)
        ratio = theirs[0] / ours[0]
        good.append(ratio >= LIMIT)
        print(
            f"{line:<5} {other[0]} {figures(*theirs)}, labelled only {figures(*ours)}, "
            f"{ratio:.2f} times as fast, limit {LIMIT:.2f}: {'good' if good[-1] else 'UNDER THE LIMIT'}; "
            f"losses {their_loss:.6f} and {our_loss:.6f}",
            flush=True,
        )
    sys.exit(0 if all(good) else 1)


def make_inputs(device: str, share: float, trained: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States (tokens, width), the output layer (vocabulary, width), and a label for each token or none."""
    tokens, width, vocabulary = SHAPES[device]
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(SEED)
    states = torch.randn(tokens, width, dtype=dtype, device=device, requires_grad=True)
    # without autocast's copies: trained weights are bf16 here as well
    layer = torch.nn.Parameter(0.02 * torch.randn(vocabulary, width, dtype=dtype, device=device), trained)
    labels = torch.randint(vocabulary, (tokens,), device=device)
    return states, layer, labels.masked_fill(torch.rand(tokens, device=device) >= share, NO_LABEL)


def loss_of_labelled(states: torch.Tensor, layer: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As `AnswerLogits` in text2sql/training/logits.py."""
    chosen = labels != NO_LABEL
    return cross_entropy(linear(states[chosen], layer).float(), labels[chosen])


def loss_of_all(states: torch.Tensor, layer: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As transformers without `AnswerLogits`."""
    return cross_entropy(linear(states, layer).float(), labels, ignore_index=NO_LABEL)


def fused_loss() -> Loss:
    """Liger's fused output layer and loss, as LLaMA-Factory's enable_liger_kernel switches it on."""
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
    except ImportError as error:
        raise click.UsageError("liger-kernel is not installed; `pip install liger-kernel`") from error
    loss = LigerFusedLinearCrossEntropyLoss(ignore_index=NO_LABEL)
    return lambda states, layer, labels: loss(layer, states, labels)


def compare(
    losses: tuple[Loss, Loss], inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], rounds: int
) -> list[tuple[tuple[float, float], float]]:
    """For each: (median milliseconds, GiB allocated at most) and the loss. The first pass is not counted."""
    measured: list[list[tuple[float, float, float]]] = [[], []]
    for _ in range(1 + rounds):
        for lines, loss in zip(measured, losses, strict=True):
            lines.append(one_pass(loss, *inputs))
    medians = [[statistics.median(column) for column in zip(*lines[1:], strict=True)] for lines in measured]
    return [((ms, gib), value) for ms, gib, value in medians]


def one_pass(
    loss: Loss, states: torch.Tensor, layer: torch.Tensor, labels: torch.Tensor
) -> tuple[float, float, float]:
    """Milliseconds, GiB above the inputs (0 on a CPU), and the loss."""
    states.grad = layer.grad = None
    on_gpu = states.is_cuda
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        torch.cuda.synchronize()
    started = time.perf_counter()
    value = loss(states, layer, labels)
    value.backward()
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    peak = (torch.cuda.max_memory_allocated() - before) / (1 << 30) if on_gpu else 0.0
    return 1000 * seconds, peak, value.item()


def figures(milliseconds: float, gib: float) -> str:
    """ "12.3 ms (4.5 GiB)"."""
    return f"{milliseconds:.1f} ms" + (f" ({gib:.1f} GiB)" if gib else "")


if __name__ == "__main__":
    main()
