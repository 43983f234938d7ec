"""stages.add_context: questions and training rows with context, and the figures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from scripts.profiles import composed
from stages import add_context
from tests.context.databases import SINGERS, singers
from tests.small_raw import without_contexts
from text2sql.files import read_json, read_jsonl, write_jsonl
from text2sql.inference.questions import read_chats
from text2sql.prompts import CompactForm, prompt_form, schema_text
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.training.dataset import chat
from text2sql.workstore import hash_path

QUESTION = "Which singers are from France?"
GOLD = "SELECT Name FROM singer WHERE Country = 'France'"
TEST = [
    ConvertedQuestion(0, "concert_singer", QUESTION, GOLD, SINGERS, "", "rules", ()),
    ConvertedQuestion(1, "concert_singer", "How many?", "", SINGERS, "", "rules", ("p",), "own"),
]
TRAIN = [
    TrainingRow("spider:0", "spider", QUESTION, SINGERS, GOLD, "concert_singer"),
    TrainingRow("other:0", "other", QUESTION, SINGERS, GOLD),
]


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two test questions, two training rows and a context `mine`."""
    (tmp_path / "params.yaml").write_text(composed("embedded"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    set_context(value_hints=5)
    write_jsonl("data/test/test.jsonl", TEST)
    write_jsonl("data/train/rows.jsonl", TRAIN)
    singers(Path("data/raw/databases"))
    singers(Path("data/train_databases/spider"))
    return tmp_path


def set_context(prompt: dict[str, Any] | None = None, **values: Any) -> None:
    params = without_contexts(yaml.safe_load(Path("params.yaml").read_text()))
    params["contexts"] = {"mine": {"questions": "data/test", **values}}
    params["prompt"] |= prompt or {}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def run(questions: str = "data/test", output: str = "data/context/mine") -> Result:
    paths = {
        "context": "mine",
        "questions": f"{questions}/test.jsonl",
        "train": "data/train",
        "databases": "data/raw/databases",
        "train-databases": "data/train_databases",
        "output": output,
        "metrics": "metrics/context/mine.json",
    }
    arguments = [word for name, path in paths.items() for word in (f"--{name}", path)]
    return CliRunner().invoke(add_context.main, arguments)


def figures(**values: Any) -> dict[str, Any]:
    set_context(**values)
    result = run()
    assert result.exit_code == 0, result.output
    return read_json("metrics/context/mine.json")


def rows() -> list[dict[str, Any]]:
    return list(read_jsonl("data/context/mine/test/test.jsonl"))


def test_questions_keep_their_fields_and_get_a_context(pipeline: Path) -> None:
    figures(value_hints=5)
    first, second = rows()
    assert set(first) == {*ConvertedQuestion.__dataclass_fields__, "context"}
    assert "Country /* 'France' */" in first["context"]
    assert (second["problems"], second["test_set"]) == (["p"], "own")
    assert not Path("data/context/mine/train").exists()


def test_few_shot_examples_stay_as_they_are(pipeline: Path) -> None:
    examples = [{"id": "a", "question": "q", "ddl": SINGERS, "sql": "s", "score": 1.0}]
    questions = [{**row, "examples": examples} for row in read_jsonl("data/test/test.jsonl")]
    write_jsonl("data/examples/rerank/test.jsonl", questions)
    assert run("data/examples/rerank").exit_code == 0
    assert [row["examples"] for row in rows()] == [examples, examples]
    (prompt,) = [
        c.messages[1]["content"] for c in read_chats(Path("data/context/mine/test/test.jsonl"), False)
    ][:1]
    assert prompt.startswith(schema_text(SINGERS, types=False))
    assert prompt.count("/* 'France' */") == 1


def test_the_prompt_of_prediction_has_the_context_in_place_of_the_schema(pipeline: Path) -> None:
    figures(value_hints=5)
    (first, _) = read_chats(Path("data/context/mine/test/test.jsonl"), schema_types=False)
    assert first.messages == CompactForm().prediction(rows()[0]["context"], QUESTION).messages


@pytest.mark.parametrize("form", ["ddl", "m_schema"])
@pytest.mark.parametrize("types", [True, False])
def test_training_and_prediction_have_the_same_prompt_for_the_same_question(
    pipeline: Path, form: str, types: bool
) -> None:
    exact = {"missing_rate": 0.0, "wrong_rate": 0.0, "train": True, "form": form, "link": 5}
    set_context({"schema_types": types}, value_hints=5, example_values=2, **exact)
    assert run().exit_code == 0
    asked = read_chats(Path("data/context/mine/test/test.jsonl"), types)[0].messages
    assert chat(read_json("data/context/mine/train/sft.json")[0]) == asked
    assert "'France'" in asked[1]["content"]


def test_training_data_have_the_form_that_dedupe_test_writes(pipeline: Path) -> None:
    figures(value_hints=5, train=True, missing_rate=0.0, wrong_rate=0.0)
    folder = Path("data/context/mine/train")
    assert sorted(path.name for path in folder.iterdir()) == ["dataset_info.json", "rows.jsonl", "sft.json"]
    assert hash_path(folder / "rows.jsonl") == hash_path("data/train/rows.jsonl")
    assert read_json(folder / "dataset_info.json")["train"]["file_name"] == "sft.json"
    assert [row["output"] for row in read_json(folder / "sft.json")] == [GOLD, GOLD]


def test_a_training_row_without_database_has_the_plain_schema_and_is_counted(pipeline: Path) -> None:
    set_context(value_hints=5, train=True)
    assert "1 of 2 training rows name no database, and keep their plain schema" in run().output
    found = read_json("metrics/context/mine.json")["train"]
    second = read_json("data/context/mine/train/sft.json")[1]
    plain = prompt_form("compact").training(schema_text(SINGERS, types=False), QUESTION)
    assert second["instruction"] == plain.user
    assert (found["n"], found["without_context"]) == (2, 1)


def test_training_rows_of_one_id_have_each_their_own_schema(pipeline: Path) -> None:
    other = dataclasses.replace(TRAIN[0], ddl="CREATE TABLE other (a);")
    write_jsonl("data/train/rows.jsonl", [TRAIN[0], other])
    figures(value_hints=5, train=True)
    found = [row["instruction"] for row in read_json("data/context/mine/train/sft.json")]
    assert [text.split()[2] for text in found] == ["singer", "other"]


def test_rates_of_hints_in_training_are_measured(pipeline: Path) -> None:
    assert figures(value_hints=5, train=True, missing_rate=1.0, wrong_rate=0.0)["train"]["hinted"] == {
        "rows": 1,
        "kept": 0.0,
        "missing": 1.0,
        "wrong": 0.0,
    }


def test_figures_have_recall_and_characters(pipeline: Path) -> None:
    found = figures(value_hints=5)
    assert (found["n"], found["questions"], found["without_context"]) == (2, 1, 0)
    assert (found["table_recall"], found["value_recall"], found["lossy_questions"]) == (100.0, 100.0, 0.0)
    assert found["characters"]["context"] > found["characters"]["plain"]


def test_a_context_without_value_hints_has_no_recall_of_values(pipeline: Path) -> None:
    found = figures(example_values=2, train=True)
    for part in (found, found["train"]):
        assert (part["value_recall"], part["value_precision"], part["hints"]) == (None, None, 0)
        assert part["values"] > 0
    assert found["column_recall"] == 100.0


def test_a_context_that_adds_nothing_is_written_with_a_warning(pipeline: Path) -> None:
    set_context(train=True)
    result = run()
    assert result.exit_code == 0
    assert "contexts.mine: shows what the plain prompts of data/test show, but for INSERT" in result.stderr
    assert rows()[0]["context"] == schema_text(SINGERS, types=False)


@pytest.mark.parametrize(
    "key",
    [
        {"value_hints": 1},
        {"example_values": 1},
        {"descriptions": True},
        {"foreign_keys": False},
        {"link": 3},
        {"form": "m_schema"},
    ],
    ids=lambda key: next(iter(key)),
)
def test_a_context_that_adds_or_leaves_out_something_has_no_warning(
    pipeline: Path, key: dict[str, Any]
) -> None:
    set_context(**key)
    assert "plain prompts" not in run().output


def test_a_missing_database_is_named_once_and_its_questions_keep_the_plain_schema(pipeline: Path) -> None:
    lost = [dataclasses.replace(TEST[0], row=row, db_id="lost") for row in (2, 3)]
    write_jsonl("data/test/test.jsonl", [*lost, *TEST])
    result = run()
    assert result.exit_code == 0
    assert result.output.count("no context for questions about lost") == 1
    assert ["context" in row for row in rows()] == [False, False, True, True]
    found = read_json("metrics/context/mine.json")
    assert found["without_context"] == 2
    assert found["databases"]["without_values"] == {"n": 1, "names": ["lost"]}
    chats = read_chats(Path("data/context/mine/test/test.jsonl"), schema_types=False)
    assert chats[0].messages[1]["content"].startswith(schema_text(SINGERS, types=False))


def test_a_question_whose_schema_sqlite_rejects_is_named(pipeline: Path) -> None:
    bad = [dataclasses.replace(TEST[0], row=row, ddl="CREATE TABLE t (") for row in (2, 3)]
    write_jsonl("data/test/test.jsonl", [*TEST, *bad])
    assert "no context for 2 of 4 questions, such as row 2: CREATE TABLE text does not" in run().output
    assert ["context" in row for row in rows()] == [True, True, False, False]


def test_no_context_for_any_question_is_said_and_counted(pipeline: Path) -> None:
    Path("data/raw/databases/concert_singer/concert_singer.sqlite").unlink()
    result = run()
    assert result.exit_code == 0
    assert (
        "none of the 2 questions has a context, so all are plain: data/raw/databases/concert_singer"
        in result.output
    )
    assert figures()["without_context"] == 2
    assert not any("context" in row for row in rows())


def test_training_rows_none_of_which_names_a_database_are_plain_and_counted(pipeline: Path) -> None:
    write_jsonl("data/train/rows.jsonl", TRAIN[1:])
    set_context(value_hints=5, train=True)
    result = run()
    assert result.exit_code == 0
    assert "data/train/rows.jsonl: no row names its database, so none has a context" in result.output
    found = read_json("metrics/context/mine.json")["train"]
    assert found["without_context"] == found["n"] == len(TRAIN) - 1


def test_two_runs_write_the_same_bytes(pipeline: Path) -> None:
    set_context(value_hints=5, example_values=2, link=6, train=True)
    assert run(output="one").exit_code == run(output="two").exit_code == 0
    assert hash_path("one") == hash_path("two")


def test_a_row_without_schema_is_an_error_that_names_it(pipeline: Path) -> None:
    write_jsonl("data/test/test.jsonl", [{"row": 0, "db_id": "d", "question": "q", "gold": ""}])
    result = run()
    assert result.exit_code == 1
    assert "data/test/test.jsonl, record 1: ddl is missing" in result.output


def test_a_name_that_is_not_in_contexts_is_refused(pipeline: Path) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["contexts"] = {}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    result = run()
    assert result.exit_code == 1
    assert "error: params.yaml: contexts has no 'mine'; it has no entry" in result.output


def test_no_questions_are_an_error(pipeline: Path) -> None:
    Path("data/test/test.jsonl").write_text("")
    assert "data/test/test.jsonl: no questions" in run().output


def test_a_context_that_is_not_a_text_is_an_error_in_prediction(pipeline: Path) -> None:
    row = {**next(read_jsonl("data/test/test.jsonl")), "context": 3}
    Path("bad.jsonl").write_text(json.dumps(row))
    with pytest.raises(Exception, match="'context' is missing or not of type str"):
        read_chats(Path("bad.jsonl"), schema_types=False)
