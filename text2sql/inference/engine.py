"""What turns chats into answers: the interface of every engine, and the planning of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be drawn to a chat; what is random in it comes from `seed` (0 to 2**32 - 1)."""

    messages: Messages
    seed: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said; `logprob` is the mean over its tokens (nats), None where it is not known."""

    text: str
    logprob: float | None = None


class Engine(Protocol):
    """A language model that answers chats."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What decides the answers beside requests and decoding: weights, device, libraries."""

    @property
    def max_prompt_tokens(self) -> int | None:
        """Tokens that a prompt may have; None: only the endpoint knows."""

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """The numbers of the requests in batches; a prompt that is too long is in none.

        The same requests always give the same batches.
        """

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        """Yield each batch's number with its answers, as soon as they are there, in any order."""


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
    free = 0  # places left in the newest batch
    for number in sorted(lengths, key=lambda n: (-lengths[n], n)):
        if free == 0:
            batches.append([])
            free = max(1, min(max_batch, batch_tokens // (lengths[number] + max_new_tokens)))
        batches[-1].append(number)
        free -= 1
    return batches
