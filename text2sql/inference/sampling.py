"""Drawing tokens so that a question's answer does not depend on the batch that it is in.

transformers draws the tokens of a whole batch from one stream of random numbers, so the neighbours
of a question would decide its answer. Here every row has its own stream: one uniform number a token,
which picks the token by the inverse of the cumulative distribution.
Not covered: another batch rounds probabilities differently, in the last digits; a number that falls
just there picks the neighbouring token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from text2sql.inference.settings import Decoding


class RowSampler(LogitsProcessor):
    """Leaves only the token that it picks, so that transformers' greedy decoding takes that one.

    `seeds`: one a row; `mask`: [rows, width] attention mask of the prompts, padded on the left.
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
        """Of each row of `answers` ([rows, tokens]) the mean to its first token of `ends`, with it.

        The log-probabilities (nats) are the model's own, after the repetition penalty, before
        temperature and top_p.
        """
        ended = torch.isin(answers, torch.tensor(ends, device=answers.device))
        counted = ended.cumsum(1) - ended.long() == 0  # all up to the first end
        logprobs = torch.stack(self._logprobs, dim=1).where(counted, 0.0)
        return [float(mean) for mean in logprobs.sum(1) / counted.sum(1)]

    def _penalised(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        penalty = self._decoding.repetition_penalty
        if penalty == 1:
            return scores
        width = self._mask.shape[1]
        # padding is no text: the prompt's last token stands in for it
        prompt = input_ids[:, :width].where(self._mask, input_ids[:, width - 1 : width])
        said = torch.cat([prompt, input_ids[:, width:]], dim=1)
        seen = torch.zeros_like(scores, dtype=torch.bool).scatter(1, said, True)
        return scores.where(~seen, torch.where(scores > 0, scores / penalty, scores * penalty))

    def _pick(self, scores: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """The next token of each row, [rows, 1]; `uniform`: [rows], from 0 to below 1."""
        if self._decoding.temperature == 0:
            return scores.argmax(-1, keepdim=True)
        scaled = scores.double() / self._decoding.temperature
        shares, tokens = scaled.softmax(-1).sort(dim=-1, descending=True, stable=True)
        total = shares.cumsum(-1)
        kept = total - shares < self._decoding.top_p  # the likeliest token always is
        mass = (shares * kept).sum(-1, keepdim=True)
        place = (total <= uniform[:, None] * mass).sum(-1, keepdim=True)
        last = kept.sum(-1, keepdim=True) - 1  # rounding must not lead out of what is kept
        return tokens.gather(1, place.minimum(last))
