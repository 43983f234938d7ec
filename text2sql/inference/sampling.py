"""Draws tokens so that the answer to a question does not depend on the other questions of its batch.

transformers draws the tokens of a batch from one stream of random numbers, so the answer to a question
would depend on the other rows. Here every row has its own stream, with one uniform number per token; the
inverse of the cumulative distribution maps the number to the token.
Not covered: in another batch the last digits of the probabilities are rounded differently, and a number
exactly between two tokens may then select the other one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from text2sql.inference.settings import Decoding


class RowSampler(LogitsProcessor):
    """Masks all tokens except the one that it draws, so that transformers' greedy decoding takes that one.

    `seeds`: one per row; `mask`: attention mask of the prompts, [rows, width], padded on the left.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[int], mask: torch.Tensor) -> None:
        self._decoding = decoding
        self._mask = mask.bool()
        streams = [np.random.default_rng(seed).random(decoding.max_new_tokens) for seed in seeds]
        self._uniform = torch.tensor(np.stack(streams), device=mask.device)  # [rows, tokens], float64
        self._logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`input_ids`: [rows, width + tokens so far]; `scores`: logits, [rows, vocabulary]."""
        scores = self._penalised(input_ids, scores.float())
        token = self._pick(scores, self._uniform[:, len(self._logprobs)])
        self._logprobs.append(scores.log_softmax(-1).gather(1, token)[:, 0])
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)

    def mean_logprobs(self, answers: torch.Tensor, ends: Sequence[int]) -> list[float]:
        """Mean log-probability of each row of `answers` ([rows, tokens]) up to and with its first end token.

        `ends` are the ids of end tokens. Log-probabilities (nats) are taken after the repetition penalty and
        before temperature and top_p.
        """
        ended = torch.isin(answers, torch.tensor(ends, device=answers.device))
        counted = ended.cumsum(1) - ended.long() == 0  # all tokens up to the first end token
        logprobs = torch.stack(self._logprobs, dim=1).where(counted, 0.0)
        return [float(mean) for mean in logprobs.sum(1) / counted.sum(1)]

    def _penalised(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        penalty = self._decoding.repetition_penalty
        if penalty == 1:
            return scores
        width = self._mask.shape[1]
        # padding must not be penalised: it is replaced with the prompt's last token
        prompt = input_ids[:, :width].where(self._mask, input_ids[:, width - 1 : width])
        tokens = torch.cat([prompt, input_ids[:, width:]], dim=1)
        seen = torch.zeros_like(scores, dtype=torch.bool).scatter(1, tokens, True)
        return scores.where(~seen, torch.where(scores > 0, scores / penalty, scores * penalty))

    def _pick(self, scores: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """The next token of each row, [rows, 1]; `uniform`: [rows], from 0 to below 1."""
        if self._decoding.temperature == 0:
            return scores.argmax(-1, keepdim=True)
        scaled = scores.double() / self._decoding.temperature
        shares, tokens = scaled.softmax(-1).sort(dim=-1, descending=True, stable=True)
        total = shares.cumsum(-1)
        kept = total - shares < self._decoding.top_p  # always includes the likeliest token
        mass = (shares * kept).sum(-1, keepdim=True)
        place = (total <= uniform[:, None] * mass).sum(-1, keepdim=True)
        last = kept.sum(-1, keepdim=True) - 1  # rounding must not select a token that is not kept
        return tokens.gather(1, place.minimum(last))
