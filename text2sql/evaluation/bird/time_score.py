"""R-VES, BIRD's score for the speed of right queries. It is noisy: two runs of it differ.

Not covered: other load on the machine, such as the judge's other processes; caches of the disk; a prediction
that was slow only the first time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

_REWARDS = ((2.0, 1.25), (1.0, 1.0), (0.5, 0.75), (0.25, 0.5), (0.0, 0.25))
_DEVIATIONS = 3
_SHORTEST_S = 1e-9  # a clock may show no time at all


def speed_score(ratios: Sequence[float]) -> float:
    """The square root of the reward for these ratios, the gold's time through the prediction's: up to 1.118.

    Raises:
        ValueError: there are no ratios.
    """
    ratio = _mean_ratio(ratios)
    return math.sqrt(next(reward for least, reward in _REWARDS if ratio >= least))


def time_ratios(predicted: Callable[[], float], gold: Callable[[], float], runs: int) -> list[float]:
    """Run both queries alternately, `runs` times each; return the gold's time through the prediction's.

    `predicted` and `gold` run a query once and return the seconds that it took.
    """
    ratios = []
    for _ in range(runs):
        seconds = predicted()
        ratios.append(max(gold(), _SHORTEST_S) / max(seconds, _SHORTEST_S))
    return ratios


def _mean_ratio(ratios: Sequence[float]) -> float:
    if not ratios:
        raise ValueError("no ratios, so no score")
    mean, far = np.mean(ratios), _DEVIATIONS * np.std(ratios)
    near = [ratio for ratio in ratios if mean - far < ratio < mean + far]
    near = near or list(ratios)  # all are equal
    return sum(near) / len(near)
