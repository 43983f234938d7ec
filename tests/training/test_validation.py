"""Measurements on held-out rows: which weights are kept, when training stops, and what a kill changes."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.tiny import TINY_RECIPE, tiny_qwen3, tiny_tokenizer
from text2sql.errors import UserError
from text2sql.files import write_json, write_jsonl
from text2sql.records import TrainingRow
from text2sql.training import run as running
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.holdout import split
from text2sql.training.lengths import Lengths
from text2sql.training.run import train
from text2sql.training.settings import Megatron, Validation
from text2sql.training.validation import (
    HeldOut,
    Plan,
    Point,
    best,
    best_folder,
    choose_questions,
    collect_validation,
    exhausted,
    kept,
    publish_validation,
    read_plan,
    read_points,
    write_points,
    write_validation,
)
from text2sql.workstore import hash_path

SETTINGS = Validation(rows=16, every=4, questions=6)
RESUMED = Validation(rows=16, every=2, questions=2)
RECIPE = TINY_RECIPE.replace(max_steps=24, learning_rate=1.0e-2, scheduler="constant", validation=SETTINGS)
COLUMNS = ["age", "name", "year", "country"]


def row(number: int, source: str = "a", db_id: str = "", insert: bool = False) -> TrainingRow:
    table, column = f"singer{number // 4}", COLUMNS[number % 4]
    ddl = f"CREATE TABLE {table} ({', '.join(COLUMNS)});"
    ddl += f"\nINSERT INTO {table} VALUES (1, 'b', 3, 'd');" if insert else ""
    question, sql = f"What is the {column} of all?", f"SELECT {column} FROM {table}"
    return TrainingRow(f"{source}:{number}", source, question, ddl, sql, db_id)


def dataset(folder: Path, rows: list[TrainingRow]) -> Path:
    folder.mkdir(parents=True)
    write_dataset((turn(one.ddl, one.question, one.sql) for one in rows), folder)
    write_jsonl(folder / "rows.jsonl", map(asdict, rows))
    return folder


# -- which measurement counts --

POINTS = [Point(4, 3.0, 20.0, 5), Point(8, 2.0, 60.0, 5), Point(12, 1.5, 60.0, 5), Point(16, 2.5, 40.0, 5)]


def test_the_best_is_the_lowest_loss_or_the_highest_accuracy_and_of_equal_ones_the_lowest_loss() -> None:
    assert best(POINTS, "loss") == best(POINTS, "execution") == POINTS[2]
    assert best(POINTS[:2], "execution") == POINTS[1]
    assert best([Point(4, float("nan"), None, 0), POINTS[0]], "loss") == POINTS[0]
    assert best([POINTS[0], Point(8, 3.0, 20.0, 5)], "loss") == POINTS[0]
    assert best([], "loss") is None


def test_the_last_measurement_has_the_weights_unless_the_best_is_wanted() -> None:
    assert kept(POINTS, SETTINGS) == POINTS[2]
    assert kept(POINTS, SETTINGS.replace(keep="last")) == POINTS[3]


def test_training_stops_after_so_many_measurements_without_a_better_one() -> None:
    patient = SETTINGS.replace(patience=2)
    assert [exhausted(POINTS[:end], patient) for end in range(5)] == [False] * 5
    assert exhausted([*POINTS, Point(20, 2.0, 40.0, 5)], patient)
    assert not exhausted([*POINTS, Point(20, 2.0, 40.0, 5)], SETTINGS)


def test_the_table_marks_the_step_with_the_weights(tmp_path: Path) -> None:
    write_validation([Point(4, 3.0, 20.0, 5), Point(8, 2.5, None, 0)], tmp_path / "v.csv", SETTINGS)
    lines = ["step,loss,execution_accuracy,n,kept", "4,3.0,20.0,5,0", "8,2.5,,0,1", ""]
    assert (tmp_path / "v.csv").read_text() == "\n".join(lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": SETTINGS.replace(every=25)}, "every is larger than max_steps"),
        ({"deepspeed": "z3"}, "ZeRO-3 split"),
        ({"megatron": Megatron()}, "Megatron and ZeRO-3 split"),
    ],
)
def test_recipes_that_cannot_be_validated_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RECIPE.replace(**changes)


def test_settings_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="by: execution needs questions"):
        SETTINGS.replace(by="execution", questions=0)


# -- what is executed --


def database(file: Path, rows: int = 1) -> None:
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"CREATE TABLE singer0 ({', '.join(COLUMNS)})")
        connection.executemany("INSERT INTO singer0 VALUES (?, 'b', 3, 'd')", [[n] for n in range(rows)])
        connection.commit()


def held_out(tmp_path: Path, rows: list[TrainingRow], settings: Validation = SETTINGS) -> HeldOut:
    folder = dataset(tmp_path / "dataset", rows)
    recipe = RECIPE.replace(validation=settings)
    return HeldOut(recipe, folder, tmp_path / "databases", Lengths(len(rows), {}, 99))


def questions(tmp_path: Path, rows: list[TrainingRow]) -> list[tuple[int, str]]:
    chosen = choose_questions(rows, SETTINGS, tmp_path / "databases", tmp_path / "copies", seed=0)
    return [(question.row, question.db_id) for question in chosen]


@pytest.mark.parametrize(
    ("rows", "file"),
    [
        ([row(n, db_id="singers") for n in range(4)], "databases/a/singers/singers.sqlite"),
        ([row(n) for n in range(4)], "databases/a/of_this_schema/of_this_schema.sqlite"),
        ([row(n, insert=True) for n in range(4)], None),
    ],
    ids=["by name", "by schema", "from INSERT"],
)
def test_rows_run_on_the_database_of_their_name_or_schema_or_on_their_own_rows(
    tmp_path: Path, rows: list[TrainingRow], file: str | None
) -> None:
    if file:
        database(tmp_path / file, rows=2)
    assert questions(tmp_path, rows) == [(number, "0") for number in range(4)]
    with closing(sqlite3.connect(tmp_path / "copies/0/0.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM singer0").fetchone() == (2 if file else 1,)


def test_rows_whose_own_query_fails_are_no_questions(tmp_path: Path) -> None:
    database(tmp_path / "databases/a/singers/singers.sqlite")
    fails = TrainingRow("a:4", "a", "Who?", row(0).ddl, "SELECT nobody FROM singer0", "singers")
    assert questions(tmp_path, [fails, *(row(number, db_id="singers") for number in range(3))]) == [
        (1, "0"),
        (2, "0"),
        (3, "0"),
    ]


def test_at_most_so_many_questions_are_asked_and_the_seed_draws_them(tmp_path: Path) -> None:
    rows = [row(number, insert=True) for number in range(40)]
    drawn = [
        choose_questions(rows, SETTINGS, tmp_path, tmp_path / f"copies{at}", seed=at // 2) for at in range(4)
    ]
    assert len(drawn[0]) == SETTINGS.questions
    assert drawn[0] == drawn[1] and drawn[2] == drawn[3] and drawn[0] != drawn[2]


def test_without_databases_only_the_loss_is_measured_and_the_stage_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(number) for number in range(40)]
    chosen = held_out(tmp_path, rows)
    assert chosen.planned(Path("base"), tmp_path, "test") == split(rows, 16, RECIPE.seed).unused
    assert read_plan(tmp_path).questions == []
    assert "no held-out row has a database" in capsys.readouterr().err
    by_execution = held_out(tmp_path / "second", rows, SETTINGS.replace(by="execution"))
    with pytest.raises(UserError, match=r"validation\.by is execution, and no held-out row"):
        by_execution.planned(Path("base"), tmp_path, "test")


def test_held_out_rows_that_are_all_too_long_are_refused(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "dataset", [row(number) for number in range(40)])
    with pytest.raises(UserError, match="all 16 rows that are held out have more than"):
        HeldOut(RECIPE, folder, tmp_path, Lengths(40, dict.fromkeys(range(40), 999), 9))


def test_the_key_of_a_training_has_the_databases_of_the_questions(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "dataset", [row(number) for number in range(40)])
    lengths = Lengths(40, {}, 9)
    without, with_it = (
        running._key(one, "base", folder, lengths, running.Nodes())
        for one in (RECIPE.replace(validation=None), RECIPE)
    )
    assert without == with_it  # what is added for validation is in HeldOut
    before = HeldOut(RECIPE, folder, tmp_path / "databases", lengths).key
    assert HeldOut(RECIPE, folder, tmp_path / "databases", lengths).key == before
    database(tmp_path / "databases/a/singers/singers.sqlite")
    assert HeldOut(RECIPE, folder, tmp_path / "databases", lengths).key != before


# -- the callback, in a trainer of this process --


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """More threads only slow a model this small down."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """A tiny model that a few steps can change much."""
    return tiny_tokenizer(tiny_qwen3(tmp_path_factory.mktemp("base")))


def write_plan(work: Path, base: Path, settings: Validation) -> Plan:
    """A plan with eight rows, on the databases that their INSERTs make."""
    rows = [row(number, insert=True) for number in range(40, 48)]
    (work / "validation_plan").mkdir(parents=True)
    folder = work / "validation_plan/databases"
    plan = Plan(
        settings=settings,
        base=str(base),
        template="qwen3",
        thinks=False,
        batch_tokens=700,
        rows=[turn(one.ddl, one.question, one.sql) for one in rows],
        questions=choose_questions(rows, settings, work, folder, seed=0),
    )
    write_json(work / "validation_plan/plan.json", asdict(plan) | {"settings": settings.model_dump()})
    return plan


def fit(work: Path, base: Path, settings: Validation | None, steps: int, resume: str | None = None) -> Any:
    """Train the tiny model with dropout on four rows, which it learns by heart; returns the trainer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

    from text2sql.training.logits import AnswerLogits
    from text2sql.training.monitor import TrainingMonitor
    from text2sql.training.parity import encoded
    from text2sql.training.validator import Validator

    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32, attention_dropout=0.1)
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    rows = []
    for number in range(4):
        one = row(number)
        tokens = encoded("qwen3", tokenizer, turn(one.ddl, one.question, one.sql), thinks=False)
        labels = [-100] * len(tokens.prompt) + tokens.answer
        rows.append({"input_ids": tokens.prompt + tokens.answer, "labels": labels})
    monitor = TrainingMonitor(work, None, 1, hook_model=True)
    arguments = TrainingArguments(
        output_dir=str(work / "run"),
        per_device_train_batch_size=1,
        learning_rate=1.0e-2,
        lr_scheduler_type="constant",
        max_steps=steps,
        logging_steps=1,
        save_steps=4,
        save_total_limit=2,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
    )
    callbacks = [monitor, AnswerLogits()] + ([Validator(work, monitor)] if settings else [])
    trainer = Trainer(
        model=model, args=arguments, train_dataset=rows, processing_class=tokenizer, callbacks=callbacks
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def weights(model: Any) -> dict[str, Any]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name].equal(other[name]) for name in one)


def saved(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(folder / "model.safetensors")
    return found


@pytest.mark.slow
def test_validation_does_not_change_the_training(tmp_path: Path, base: Path) -> None:
    settings = SETTINGS.replace(every=2)
    write_plan(tmp_path / "with", base, settings)
    trained = fit(tmp_path / "with", base, settings, 8)
    plain = fit(tmp_path / "without", base, None, 8)
    assert same(weights(trained.model), weights(plain.model))
    losses = [[line["loss"] for line in one.state.log_history if "loss" in line] for one in (trained, plain)]
    assert losses[0] == losses[1]
    assert [point.step for point in read_points(tmp_path / "with")] == [2, 4, 6, 8]


@pytest.mark.slow
def test_the_loss_is_that_of_the_model_and_correct_answers_count(tmp_path: Path, base: Path) -> None:
    import torch

    from text2sql.training.parity import encoded

    settings = SETTINGS.replace(every=3)
    plan = write_plan(tmp_path, base, settings)
    trainer = fit(tmp_path, base, settings, 3)
    total, tokens = 0.0, 0
    for one in plan.rows:
        both = encoded("qwen3", trainer.processing_class, one, thinks=False)
        ids = torch.tensor([both.prompt + both.answer])
        with torch.no_grad():
            logits = trainer.model.eval()(input_ids=ids).logits[0, len(both.prompt) - 1 : -1]
        total += float(torch.nn.functional.cross_entropy(logits, ids[0, len(both.prompt) :], reduction="sum"))
        tokens += len(both.answer)
    (point,) = read_points(tmp_path)
    assert point.loss == pytest.approx(total / tokens, rel=1e-5)
    assert (point.execution_accuracy, point.n) == (0.0, 6)


@pytest.mark.slow
def test_the_best_weights_are_kept_where_training_goes_on_to_overfit(tmp_path: Path, base: Path) -> None:
    settings = SETTINGS.replace(every=2, patience=3, questions=0)
    write_plan(tmp_path, base, settings)
    trainer = fit(tmp_path, base, settings, 60)
    points = read_points(tmp_path)
    found = best(points, "loss")
    assert found and found != points[-1]
    assert [point.step for point in points] == list(range(2, found.step + 7, 2))  # three more: patience
    assert trainer.state.global_step == points[-1].step < 60
    folder = best_folder(tmp_path, found.step)
    assert not same(saved(folder), weights(trainer.model))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The work folder of a training of 20 steps, of which step 10 is the best."""
    work = tmp_path_factory.mktemp("whole")
    write_plan(work, base, RESUMED)
    fit(work, base, RESUMED, 20)
    found = best(read_points(work), "loss")
    assert found and found.step == 10
    return work


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reached", "newest"), [(11, 8), (15, 12)], ids=["measured again", "from before the kill"]
)
def test_a_resumed_training_measures_the_same_and_has_the_same_best_weights(
    tmp_path: Path, base: Path, whole: Path, reached: int, newest: int
) -> None:
    write_plan(tmp_path, base, RESUMED)
    fit(tmp_path, base, RESUMED, reached)
    shutil.rmtree(tmp_path / f"run/checkpoint-{reached}")  # killed before it was saved
    fit(tmp_path, base, RESUMED, 20, resume=str(tmp_path / f"run/checkpoint-{newest}"))
    assert read_points(tmp_path) == read_points(whole)
    assert same(saved(best_folder(tmp_path, 10)), saved(best_folder(whole, 10)))


@pytest.mark.slow
def test_weights_stay_as_long_as_a_checkpoint_may_need_them(tmp_path: Path, base: Path) -> None:
    settings = SETTINGS.replace(every=2, questions=0)
    write_plan(tmp_path, base, settings)
    fit(tmp_path, base, settings, 8)  # every measurement is better than the one before
    found = {path.name for path in best_folder(tmp_path, 8).parent.iterdir()}
    assert found == {"step-4", "step-8"}  # those of the two checkpoints


# -- with LLaMA-Factory --


def test_the_result_has_the_weights_of_the_best_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_points(POINTS, tmp_path)
    for folder, text in ((best_folder(tmp_path, 12), "best"), (tmp_path / "result/weights", "last")):
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "config.json"):
            (folder / name).write_text(f"{text} {name}")
    collect_validation(tmp_path, tmp_path / "result", SETTINGS.replace(keep="last"))
    assert (tmp_path / "result/weights/model.safetensors").read_text() == "last model.safetensors"
    collect_validation(tmp_path, tmp_path / "result", SETTINGS)
    assert (tmp_path / "result/weights/model.safetensors").read_text() == "best model.safetensors"
    assert (tmp_path / "result/weights/config.json").read_text() == "last config.json"
    publish_validation(tmp_path / "result", tmp_path / "v.csv", SETTINGS, "test")
    assert "12,1.5,60.0,5,1\n" in (tmp_path / "v.csv").read_text()
    assert capsys.readouterr().err == (
        "test: the weights are those of step 12, the best by loss of 4 measurements up to step 16: "
        "validation loss 1.5, execution accuracy 60.0 % of 5\n"
    )


def test_best_weights_that_were_removed_are_an_error(tmp_path: Path) -> None:
    write_points(POINTS, tmp_path)
    (tmp_path / "result/weights").mkdir(parents=True)
    (tmp_path / "result/weights/model.safetensors").touch()
    with pytest.raises(UserError, match="step-12: the weights of the best step are not there; remove"):
        collect_validation(tmp_path, tmp_path / "result", SETTINGS)
    assert (tmp_path / "result/weights/model.safetensors").exists()


@pytest.mark.slow
def test_training_stops_early_once_and_for_all_with_the_weights_of_that_many_steps(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    rows = [row(number, insert=True) for number in range(40)]
    data = dataset(tmp_path / "dataset", rows)
    settings = SETTINGS.replace(keep="last", patience=1, questions=3)
    recipe = RECIPE.replace(warmup_ratio=0.0, max_steps=60, validation=settings)
    paths = (Path("output"), Path("loss.csv"), "test", None, Path("validation.csv"))
    with monkeypatch.context() as patch:
        patch.setattr(
            running, "_collect", lambda *_: sys.exit("killed")
        )  # with a checkpoint of the last step
        with pytest.raises(SystemExit, match="killed"):
            train(recipe, base, data, *paths)
    (measured,) = tmp_path.glob("work/train/*/validation/points.jsonl")
    before = measured.read_text()
    train(recipe, base, data, *paths)
    table = Path("validation.csv").read_text().splitlines()
    stopped = 4 * (len(table) - 1)
    assert 4 < stopped < 60 and table[-1].startswith(f"{stopped},") and table[-1].endswith(",3,1")
    assert f"those of step {stopped}, the last of" in capsys.readouterr().err
    assert len(before.splitlines()) == len(table) - 1
    assert not list(tmp_path.glob("work/train/*/validation/best"))

    unused = split(rows, 16, RECIPE.seed).unused
    rest = dataset(tmp_path / "rest", [one for number, one in enumerate(rows) if number not in unused])
    plain = recipe.replace(max_steps=stopped, validation=None)
    train(plain, base, rest, Path("plain"), Path("plain.csv"), "test", None, Path("none.csv"))
    assert hash_path("plain") == hash_path("output")
    assert Path("plain.csv").read_text() == Path("loss.csv").read_text()
    assert Path("none.csv").read_text() == "step,loss,execution_accuracy,n,kept\n"
