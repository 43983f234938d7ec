"""The judge on a Ray cluster, through Ray's own pool of actors.

Each actor runs the same guarded process as a single machine does, so verdicts and limits are the
same. Every node must see the databases under the same path. A lost node ends the run with Ray's own
error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

from text2sql.evaluation.case_judge import CaseJudge
from text2sql.evaluation.pool import Limits, ProcessPool
from text2sql.evaluation.verdicts import Case, Verdict
from text2sql.ray_cluster import cluster

_CASES = 512  # in one task, because starting a process costs as much as a few hundred cases


def judge_on_ray(
    cases: Iterable[Case], make_judge: Callable[[], CaseJudge], limits: Limits, workers: int | None
) -> Iterator[Verdict]:
    """Yield a verdict for each case, in order, from `workers` actors (None: one per CPU).

    Raises:
        UserError: Ray is not installed.
    """
    with cluster("ray.util.multiprocessing") as multiprocessing, multiprocessing.Pool(workers) as pool:
        for verdicts in pool.imap(partial(_judge, make_judge, limits), _tasks(cases)):
            yield from verdicts


def _tasks(cases: Iterable[Case]) -> Iterator[list[Case]]:
    remaining = iter(cases)
    while task := list(islice(remaining, _CASES)):
        yield task


def _judge(make_judge: Callable[[], CaseJudge], limits: Limits, cases: list[Case]) -> list[Verdict]:
    # Ray's processes have threads, so they must not fork.
    return list(ProcessPool(make_judge, limits, workers=1, method="spawn").judge(cases))
