"""What a validation measures, and the files that stages and workers share about it."""

from __future__ import annotations

import csv
import json
import math
import random
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from text2sql.contamination.folding import Signature, schema_signature
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.evaluation.judge import EVALUATOR_VERSION, judge
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case
from text2sql.files import copy_file, publish, read_json, replacing, replacing_folder, write_json
from text2sql.records import TrainingRow
from text2sql.schema.database_files import database_ids, find_database
from text2sql.schema.ddl import executed
from text2sql.schema.sqlite import read_sqlite
from text2sql.training.holdout import Split, source_rows, split
from text2sql.training.lengths import Lengths
from text2sql.training.settings import Recipe, Validation
from text2sql.workstore import hash_path

JUDGED = JudgeSettings(keep_value=True)  # no query has a placeholder
JUDGES = 4  # processes; there are few queries
_PLAN, _MEASURED = "validation_plan", "validation"  # folders in the work folder of a training
_WEIGHTS = ("*.safetensors", "model.safetensors.index.json")
_COLUMNS = ("step", "loss", "execution_accuracy", "n", "kept")


@dataclass(frozen=True)
class Point:
    """A measurement after `step` optimizer steps.

    `loss` is in nats per token of the answers of all held-out rows; `execution_accuracy` is in percent of `n`
    questions, None if there are none.
    """

    step: int
    loss: float
    execution_accuracy: float | None
    n: int


@dataclass(frozen=True)
class Question:
    """A held-out row whose gold query runs: its number among the measured rows, and its database."""

    row: int
    db_id: str


@dataclass(frozen=True)
class Plan:
    """What a worker needs: the measured rows in LLaMA-Factory's form, and the questions among them.

    A batch has at most `batch_tokens` tokens, padding included.
    """

    settings: Validation
    base: str
    template: str
    thinks: bool
    batch_tokens: int
    rows: list[dict[str, str]]
    questions: list[Question]


# -- choosing --


def best(points: Sequence[Point], by: str) -> Point | None:
    """The best measurement, of equal ones the first; None if there are none."""
    return min(points, key=lambda point: _rank(point, by), default=None)


def kept(points: Sequence[Point], settings: Validation) -> Point | None:
    """The measurement whose weights are the result."""
    if settings.keep == "best":
        return best(points, settings.by)
    return points[-1] if points else None


def exhausted(points: Sequence[Point], settings: Validation) -> bool:
    """Whether the last `patience` measurements are not better than one before them."""
    found = best(points, settings.by)
    if settings.patience is None or found is None:
        return False
    return len(points) - 1 - points.index(found) >= settings.patience


def stopped_early(work: Path, step: int, settings: Validation | None) -> bool:
    """Whether a training with a checkpoint of this step had stopped there."""
    return settings is not None and exhausted(read_points(work, step), settings)


def _rank(point: Point, by: str) -> tuple[float, float]:
    """The smaller the better; a loss that is no number is the worst."""
    loss = point.loss if math.isfinite(point.loss) else math.inf
    return (-(point.execution_accuracy or 0.0) if by == "execution" else 0.0, loss)


# -- files --


def read_points(work: Path, up_to: int | None = None) -> list[Point]:
    """The measurements in the work folder of a training, at most those `up_to` this step."""
    try:
        lines = (work / _MEASURED / "points.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    points = [Point(**json.loads(line)) for line in lines]
    return points if up_to is None else [point for point in points if point.step <= up_to]


def write_points(points: Iterable[Point], work: Path) -> None:
    """Write the measurements, so that a killed training finds all of them or those before."""
    with replacing(work / _MEASURED / "points.jsonl") as file:
        file.writelines(f"{json.dumps(asdict(point))}\n" for point in points)


def write_validation(points: Sequence[Point], path: Path, settings: Validation | None = None) -> None:
    """Write a line for each measurement; `kept` is 1 for the one whose weights are the result."""
    chosen = kept(points, settings) if settings else None
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for point in points:
            accuracy = "" if point.execution_accuracy is None else point.execution_accuracy
            writer.writerow([point.step, point.loss, accuracy, point.n, int(point == chosen)])


def best_folder(work: Path, step: int) -> Path:
    """Where the weights after `step` are, if they are or were the best ones."""
    return work / _MEASURED / "best" / f"step-{step}"


def databases_folder(work: Path) -> Path:
    """The databases of the questions."""
    return work / _PLAN / "databases"


def read_plan(work: Path) -> Plan:
    """The plan in the work folder of a training."""
    values = read_json(work / _PLAN / "plan.json")
    values["settings"] = Validation(**values["settings"])
    values["questions"] = [Question(**question) for question in values["questions"]]
    return Plan(**values)


def collect_validation(work: Path, result: Path, settings: Validation) -> None:
    """Write validation.csv of a finished training to `result`, and the best weights to its `weights`.

    Raises:
        UserError: the best weights have been removed.
    """
    points = read_points(work)
    chosen = kept(points, settings)
    write_validation(points, result / "validation.csv", settings)
    if settings.keep == "last" or chosen is None or chosen == points[-1]:
        return
    last, better = (
        [*_weight_files(folder)] for folder in (result / "weights", best_folder(work, chosen.step))
    )
    if not better:
        raise UserError(
            f"{best_folder(work, chosen.step)}: the weights of the best step are not there; remove "
            f"{work} and train again, or set validation.keep: last"
        )
    for file in last:
        file.unlink()
    for file in better:
        copy_file(file, result / "weights" / file.name)


def _weight_files(folder: Path) -> Iterator[Path]:
    return (file for pattern in _WEIGHTS for file in folder.glob(pattern))


def remove_best(work: Path) -> None:
    """Remove the weights that were kept for the result, once it is there."""
    shutil.rmtree(best_folder(work, 0).parent, ignore_errors=True)


def publish_validation(result: Path, output: Path | None, settings: Validation | None, label: str) -> None:
    """Copy validation.csv from `result` to `output`, and print which step has the weights."""
    if output is not None and settings is None:
        write_validation([], output)
    if settings is not None:
        print(f"{label}: {_kept_sentence(result / 'validation.csv', settings)}", file=sys.stderr)
        if output is not None:
            publish(result / "validation.csv", output)


def _kept_sentence(file: Path, settings: Validation) -> str:
    with open(file, encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    row = next(row for row in rows if row["kept"] == "1")
    accuracy = f", execution accuracy {row['execution_accuracy']} % of {row['n']}" if int(row["n"]) else ""
    which = "the last" if settings.keep == "last" else f"the best by {settings.by}"
    return (
        f"the weights are those of step {row['step']}, {which} of {len(rows)} measurements up to step "
        f"{rows[-1]['step']}: validation loss {float(row['loss']):.4g}{accuracy}"
    )


# -- what is measured --


class HeldOut:
    """The rows of a data set that a recipe holds out, and what is measured on those that are not too long."""

    def __init__(self, recipe: Recipe, dataset: Path, databases: Path, lengths: Lengths) -> None:
        """`databases` has the databases of training sources, as SOURCE/ID/ID.sqlite.

        Raises:
            UserError: see `source_rows` and `split`; or all rows that would be held out are too long.
        """
        assert recipe.validation is not None
        self._recipe, self._settings = recipe, recipe.validation
        self._dataset, self._databases = dataset, databases
        self._rows = source_rows(dataset)
        self.split = split(self._rows, self._settings.rows, recipe.seed)
        self._measured = [number for number in self.split.held_out if number not in lengths.long]
        if not self._measured:
            raise UserError(
                f"training.validation: all {len(self.split.held_out)} rows that are held out have more than "
                f"{recipe.longest_row} tokens (cutoff_len); raise training.validation.rows or cutoff_len"
            )

    @property
    def key(self) -> dict[str, object]:
        """What the result depends on, in addition to what it depends on without validation."""
        sources = {self._rows[number].source for number in self._measured if self._settings.questions}
        folders = {name: self._databases / name for name in sorted(sources)}
        held_out = {
            "settings": self._settings.model_dump(),
            "held_out": self.split.held_out,
            "set_aside": self.split.set_aside,
            "databases": {name: hash_path(path) for name, path in folders.items() if path.is_dir()},
            "evaluator": EVALUATOR_VERSION,
        }
        return {"validation": held_out}

    def planned(self, base: Path, work: Path, label: str) -> frozenset[int]:
        """Write what is measured during the training in the folder `work`, and print how much it is.

        Returns the numbers of the rows that are not trained on.

        Raises:
            UserError: the best weights are to be found by execution, and no row can be executed.
        """
        turns = read_json(self._dataset / "sft.json")
        rows = [self._rows[number] for number in self._measured]
        recipe, settings = self._recipe, self._settings
        with replacing_folder(work / _PLAN) as folder:
            plan = Plan(
                settings=settings,
                base=str(base),
                template=recipe.template,
                thinks=recipe.enable_thinking is not False,
                batch_tokens=recipe.cutoff_len * recipe.device_batch,
                rows=[turns[number] for number in self._measured],
                questions=choose_questions(
                    rows, settings, self._databases, folder / "databases", recipe.seed
                ),
            )
            write_json(folder / "plan.json", asdict(plan) | {"settings": settings.model_dump()})
        _announce(plan, self._databases, self.split, label)
        return self.split.unused


def _announce(plan: Plan, databases: Path, split: Split, label: str) -> None:
    settings = plan.settings
    aside = f"; {len(split.set_aside)} rows on parts of their schemas are left out" if split.set_aside else ""
    print(
        f"{label}: {len(plan.rows)} rows are held out and measured every {settings.every} steps, execution "
        f"accuracy on {len(plan.questions)} of them{aside}",
        file=sys.stderr,
    )
    if plan.questions or not settings.questions:
        return
    reason = f"no held-out row has a database in {databases}, or rows in its schema, on which its query runs"
    if settings.by == "execution":
        raise UserError(
            f"training.validation.by is execution, and {reason}; name the databases of a source "
            "(fetch_data.train.NAME.databases), or set by: loss"
        )
    print(f"{label}: {reason}, so only the loss is measured", file=sys.stderr)


def choose_questions(
    rows: Sequence[TrainingRow], settings: Validation, databases: Path, output: Path, seed: int
) -> list[Question]:
    """At most `settings.questions` rows whose gold query runs, by `seed`; their databases in `output`."""
    output.mkdir(parents=True)
    if not settings.questions:
        return []
    files, found = _Databases(databases, output), list[Question]()
    order = random.Random(f"validation:{seed}:questions").sample(range(len(rows)), len(rows))
    for number in order:
        if len(found) == settings.questions:
            break
        db_id = files.name(rows[number])
        if db_id is not None:
            found.append(Question(number, db_id))
    cases = [Case(q.row, q.db_id, rows[q.row].sql, rows[q.row].sql) for q in found]
    verdicts = judge(cases, output, JUDGED, workers=JUDGES) if cases else ()
    runs = {verdict.row for verdict in verdicts if verdict.ex}
    return sorted((q for q in found if q.row in runs), key=lambda question: question.row)


class _Databases:
    """Puts the databases of rows into the folder `output`, one for each file or text, named 0, 1, ..."""

    def __init__(self, databases: Path, output: Path) -> None:
        self._databases, self._output = databases, output
        self._names: dict[Path | str, str] = {}
        self._by_schema: dict[str, dict[Signature, Path]] = {}

    def name(self, row: TrainingRow) -> str | None:
        """The name of the row's database; None if it has none, or only one without rows."""
        file = self._file(row)
        key = file or row.ddl
        if key not in self._names:
            target = database_path(self._output, str(len(self._names)))
            if file is not None:
                copy_file(file, target)
            elif not _has_rows(row.ddl) or not _made(row.ddl, target):
                return None
            self._names[key] = target.stem
        return self._names[key]

    def _file(self, row: TrainingRow) -> Path | None:
        """The file with the database's name; for a row that names none, the one with its schema."""
        folder = self._databases / row.source
        if row.db_id:
            file = find_database(folder, row.db_id)
            return file if file.is_file() else None
        if row.source not in self._by_schema:
            self._by_schema[row.source] = _by_schema(folder)
        try:
            return self._by_schema[row.source].get(schema_signature(row.ddl))
        except UserError:
            return None  # a schema that was not checked


def _by_schema(folder: Path) -> dict[Signature, Path]:
    files = [find_database(folder, db_id) for db_id in reversed(database_ids(folder))]
    return {schema_signature(read_sqlite(file)): file for file in files}


def _has_rows(ddl: str) -> bool:
    return "insert into" in ddl.lower()


def _made(ddl: str, target: Path) -> bool:
    """Make a database of CREATE TABLE and INSERT statements; False if SQLite refuses them."""
    target.parent.mkdir(parents=True)
    try:
        with executed(ddl) as memory, closing(sqlite3.connect(target)) as file:
            memory.backup(file)
    except UserError:
        return False
    return True
