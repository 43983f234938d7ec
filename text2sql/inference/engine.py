"""What turns prompts into text: the interface of every engine, and the planning of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Engine(Protocol):
    """A language model that answers chats; greedy, so one prompt has one answer."""

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The token ids of a chat, up to where the model's answer begins."""

    def generate(self, prompts: Sequence[Sequence[int]]) -> list[str]:
        """One answer for each prompt, in order; the prompts share one batch."""


def plan_batches(
    lengths: Mapping[int, int], max_new_tokens: int, batch_tokens: int, max_batch: int
) -> list[list[int]]:
    """Divide prompts into batches of similar length, the longest first.

    `lengths` maps each prompt's number to its tokens. A batch costs (its longest prompt +
    `max_new_tokens`) times its prompts and stays within `batch_tokens`; a prompt that costs more
    than that on its own gets a batch of its own. Longest first: what is too big for the machine
    fails at once, and the time left is never understated.
    """
    batches: list[list[int]] = []
    room = 0  # prompts that the newest batch still takes
    for number in sorted(lengths, key=lambda n: (-lengths[n], n)):
        if room == 0:
            batches.append([])
            room = max(1, min(max_batch, batch_tokens // (lengths[number] + max_new_tokens)))
        batches[-1].append(number)
        room -= 1
    return batches
