"""Trainer callback: measures loss and execution accuracy on held-out rows, keeps the best, stops early."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from transformers import GenerationConfig, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from text2sql.evaluation.judge import judge
from text2sql.evaluation.pool import QUICKEST
from text2sql.evaluation.verdicts import Case
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.engine import plan_batches
from text2sql.inference.extract import extract_sql
from text2sql.inference.weights import Weights
from text2sql.training.checkpoints import step_of
from text2sql.training.dataset import chat
from text2sql.training.monitor import TrainingMonitor
from text2sql.training.parity import encoded
from text2sql.training.validation import (
    JUDGED,
    JUDGES,
    Point,
    best,
    best_folder,
    databases_folder,
    exhausted,
    read_plan,
    read_points,
    write_points,
)

_NO_LABEL = -100
_LARGEST_BATCH = 48  # questions
Encoded = tuple[list[int], list[int]]  # prompt and answer


class Validator(TrainerCallback):
    """Measures every `every` steps and after the last one, as the plan in the folder `work` says.

    Ranks share the batches; rank 0 runs the queries and writes the files. The weights and the random state of
    the training are not changed, so neither is the training, except that it may end early. A resumed training
    forgets what was measured after its checkpoint, and has the best weights until then.
    Not covered: weights that are split over ranks (ZeRO-3, Megatron).
    """

    def __init__(self, work: Path, monitor: TrainingMonitor) -> None:
        self._work, self._monitor = work, monitor
        self._plan = read_plan(work)
        self._points: list[Point] = []
        self._rows: list[Encoded] = []
        self._prompts: dict[int, list[int]] = {}  # of the questions, by row
        self._greedy: GenerationConfig | None = None
        self._tokenizer: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Encode the rows, and go on after the measurements before this step."""
        plan, self._tokenizer = self._plan, kwargs["processing_class"]
        self._points = read_points(self._work, up_to=state.global_step)
        rows = [encoded(plan.template, self._tokenizer, row, plan.thinks) for row in plan.rows]
        self._rows = [(row.prompt, row.answer) for row in rows]
        tokens = ChatTokens(Weights(Path(plan.base), ""))
        self._prompts = {q.row: tokens.encode(chat(plan.rows[q.row])) for q in plan.questions}
        longest = max((len(self._rows[row][1]) for row in self._prompts), default=1)
        pad = tokens.tokenizer.pad_token_id
        self._greedy = GenerationConfig(
            max_new_tokens=2 * longest,
            do_sample=False,
            repetition_penalty=1.0,
            use_cache=True,  # training switches it off
            eos_token_id=tokens.ends,
            pad_token_id=tokens.ends[0] if pad is None else pad,
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure when it is due; keep the weights if they are the best; stop if patience is at its end."""
        settings = self._plan.settings
        if state.global_step % settings.every and state.global_step < state.max_steps:
            return
        began = time.monotonic()
        point = self._measure(kwargs["model"], args, state.global_step)
        self._points.append(point)
        if state.is_world_process_zero:
            write_points(self._points, self._work)
            if settings.keep == "best" and best(self._points, settings.by) == point:
                _save(kwargs["model"], best_folder(self._work, point.step))
                self._remove_weights(Path(args.output_dir))
        control.should_training_stop |= exhausted(self._points, settings)
        self._monitor.leave_out(time.monotonic() - began)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remove weights that no checkpoint needs any more."""
        if state.is_world_process_zero:
            self._remove_weights(Path(args.output_dir))

    def _remove_weights(self, run: Path) -> None:
        """Remove weights that are the best neither now nor for a training that resumes from a checkpoint."""
        steps = [step_of(folder) for folder in run.glob("checkpoint-*")]
        ends = [*steps, *(point.step for point in self._points[-1:])]
        before = [[point for point in self._points if point.step <= end] for end in ends]
        needed = [found for points in before if (found := best(points, self._plan.settings.by))]
        keep = {best_folder(self._work, point.step) for point in needed}
        for folder in best_folder(self._work, 0).parent.glob("step-*"):
            if folder not in keep:
                shutil.rmtree(folder)

    def _measure(self, model: Any, args: TrainingArguments, step: int) -> Point:
        """The same point on every rank."""
        with _in_evaluation(model, args):
            loss = self._loss(model, args)
            answers = self._answers(model, args)
        accuracy = self._accuracy(answers) if args.process_index == 0 and answers else None
        return _of_first_rank(Point(step, loss, accuracy, len(self._prompts)))

    def _loss(self, model: Any, args: TrainingArguments) -> float:
        """Mean over all tokens of the answers, in nats."""
        lengths = {number: len(prompt) + len(answer) for number, (prompt, answer) in enumerate(self._rows)}
        total = 0.0
        for batch in _own(plan_batches(lengths, 0, self._plan.batch_tokens, len(lengths)), args):
            total += _summed_loss(model, [self._rows[number] for number in batch], args.device)
        return sum(_from_ranks(total)) / sum(len(answer) for _, answer in self._rows)

    def _answers(self, model: Any, args: TrainingArguments) -> dict[int, str]:
        """The queries that the model writes, by row."""
        assert self._greedy is not None
        lengths = {row: len(prompt) for row, prompt in self._prompts.items()}
        new, found = self._greedy.max_new_tokens, dict[int, str]()
        for batch in _own(plan_batches(lengths, new, self._plan.batch_tokens, _LARGEST_BATCH), args):
            ids, mask = _padded([self._prompts[row] for row in batch], args.device)
            output = model.generate(input_ids=ids, attention_mask=mask, generation_config=self._greedy)
            texts = self._tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
            found |= {row: extract_sql(text) for row, text in zip(batch, texts, strict=True)}
        return {row: text for part in _from_ranks(found) for row, text in part.items()}

    def _accuracy(self, answers: dict[int, str]) -> float:
        """Percent of the questions whose query has the result of the gold query."""
        cases = [
            Case(q.row, q.db_id, self._plan.rows[q.row]["output"], answers[q.row])
            for q in self._plan.questions
        ]
        # a process that uses a GPU must not fork; on a CPU the child only parses and runs queries
        method = "spawn" if torch.cuda.is_initialized() else QUICKEST
        verdicts = judge(cases, databases_folder(self._work), JUDGED, workers=JUDGES, method=method)
        return round(100 * sum(bool(verdict.ex) for verdict in verdicts) / len(cases), 2)


@contextmanager
def _in_evaluation(model: Any, args: TrainingArguments) -> Iterator[None]:
    """Without gradients and dropout, in the number type of the training; its random state stays the same."""
    training, kind = model.training, args.device.type
    model.eval()
    try:
        with (
            torch.random.fork_rng(devices=[args.device] if kind == "cuda" else []),
            torch.no_grad(),
            torch.autocast(kind, torch.bfloat16, enabled=bool(args.bf16)),
        ):
            yield
    finally:
        model.train(training)


def _summed_loss(model: Any, rows: Sequence[Encoded], device: torch.device) -> float:
    """Cross-entropy of all tokens of the answers; logits are computed for these positions only."""
    ids, mask = _padded([prompt + answer for prompt, answer in rows], device)
    last = max(len(answer) for _, answer in rows)
    labels = torch.full((len(rows), last), _NO_LABEL)
    for at, (_, answer) in enumerate(rows):
        labels[at, last - len(answer) :] = torch.tensor(answer)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    # the state before a token predicts it, and the last token predicts none that is known
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=last + 1)
    logits = output.logits[:, :-1].float().flatten(0, 1)
    return float(
        torch.nn.functional.cross_entropy(
            logits, labels.to(device).flatten(), ignore_index=_NO_LABEL, reduction="sum"
        )
    )


def _padded(rows: Sequence[list[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, [rows, longest row], padded on the left."""
    width = max(map(len, rows))
    ids = [[0] * (width - len(row)) + row for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _save(model: Any, folder: Path) -> None:
    """Write the weights as the trainer does; the folder is complete or absent."""
    partial = folder.with_name(f"partial-{folder.name}")
    for path in (partial, folder):
        shutil.rmtree(path, ignore_errors=True)
    model.save_pretrained(str(partial))
    partial.rename(folder)


def _own(batches: Sequence[list[int]], args: TrainingArguments) -> Sequence[list[int]]:
    """The batches of this rank."""
    return batches[args.process_index :: args.world_size]


def _from_ranks(value: Any) -> list[Any]:
    if not torch.distributed.is_initialized():
        return [value]
    values = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def _of_first_rank(point: Point) -> Point:
    if not torch.distributed.is_initialized():
        return point
    shared = [point]
    torch.distributed.broadcast_object_list(shared, src=0)
    return shared[0]
