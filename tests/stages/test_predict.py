"""The predict stage: killed runs resume with the same bytes, clear errors, complete outputs only."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from scripts.profiles import composed
from stages.predict import main
from tests.conftest import ROOT
from tests.openai_server import Reply, Serve, Server, refusal
from tests.openai_server import Request as Asked
from tests.small_raw import without_contexts
from tests.tiny import tiny_adapter, tiny_qwen3, tiny_tokenizer
from text2sql.inference.engine import Answer, Request

pytestmark = pytest.mark.slow

ENDPOINT: dict[str, Any] = {
    "base_url": None,
    "models": {},
    "concurrency": 2,
    "timeout_s": 10.0,
    "max_retries": 0,
    "extra_body": {},
}
SETTINGS = {
    "engine": "transformers",
    "temperature": 0.0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "seed": 42,
    "max_new_tokens": 60,
    "samples": 1,
    "max_repairs": 0,
    "batch_tokens": 2000,
    "max_batch": 3,
    "threads": 1,
    "endpoint": ENDPOINT,
}
OUTPUT = Path("data/predictions/baseline.jsonl")
OWN = {"test_set": "own", "db_id": "mine", "gold": ""}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base/, another/ and lora32/ (an adapter for models/base)."""
    root = tmp_path_factory.mktemp("workplace")
    for seed, name in enumerate(["base", "another"]):
        tiny_tokenizer(tiny_qwen3(root / "models" / name, seed=seed))
    before = Path.cwd()
    os.chdir(root)  # an adapter names its base relative to the working directory
    try:
        tiny_adapter(Path("models/lora32"), Path("models/base"))
    finally:
        os.chdir(before)
    return root / "models"


@pytest.fixture
def workplace(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a run: params.yaml, models/ and ten questions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    shutil.copytree(models, "models")
    write_params()
    write_questions(questions(10))
    return tmp_path


def write_params(**changes: Any) -> None:
    params = without_contexts(yaml.safe_load(composed("embedded")))
    params["predict"] = SETTINGS | changes
    params["prompt"] = {"schema_types": False}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def questions(count: int) -> list[dict[str, Any]]:
    return [
        {
            "row": 100 + n,
            "db_id": "concert",
            "question": f"Which singers are older than {n}{' years' * (n % 4)}?",
            "gold": "SELECT 1",
            "ddl": "CREATE TABLE singer (name TEXT, age INTEGER);",
            "slice": "",
            "backend": "rules",
            "problems": [],
        }
        for n in range(count)
    ]


def write_questions(rows: list[dict[str, Any]]) -> Path:
    path = Path("data/test/test.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def arguments(weights: str = "models/base", arm: str = "baseline") -> list[str]:
    return [
        *("--arm", arm, "--weights", weights),
        *("--questions", "data/test/test.jsonl", "--databases", "data/raw/databases"),
        *("--output", str(OUTPUT)),
    ]


def predict(weights: str = "models/base", arm: str = "baseline") -> Result:
    return CliRunner().invoke(main, arguments(weights, arm))


def refused(result: Result) -> str:
    """The output of a run that fails; no file may be in the folder of the predictions."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert list(OUTPUT.parent.glob("*")) == []
    return result.output


def journal() -> Path:
    (found,) = Path("work/predict").glob("*/journal.jsonl")
    return found


def predictions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in OUTPUT.read_text(encoding="utf-8").splitlines()]


def test_every_question_has_a_prediction_in_the_order_of_the_questions(workplace: Path) -> None:
    result = predict()
    assert result.exit_code == 0, result.output
    assert [p["row"] for p in predictions()] == list(range(100, 110))
    assert all(set(p) - {"problems"} == {"row", "sql", "raw"} and p["raw"] for p in predictions())
    assert all(p.get("problems") in (None, {"truncated": 1}) for p in predictions())


def test_the_prediction_is_the_sql_extracted_from_the_answer(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from text2sql.inference.transformers_engine import TransformersEngine

    def answer(_: object, requests: list[Request]) -> list[Answer]:
        return [Answer("```sql\nSELECT 1;\n```")] * len(requests)

    monkeypatch.setattr(TransformersEngine, "_answer", answer)
    assert predict().exit_code == 0
    expected = {"row": 100, "sql": "SELECT 1", "raw": "```sql\nSELECT 1;\n```"}
    assert predictions()[0] == expected


def test_a_finished_run_is_reused_without_reading_the_weights(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict()
    first = OUTPUT.read_bytes()
    OUTPUT.unlink()

    def unread(*_: object) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr("text2sql.inference.transformers_engine._load_model", unread)
    assert predict().exit_code == 0
    assert OUTPUT.read_bytes() == first


@pytest.mark.parametrize("change", ["parameter", "question", "weights"])
def test_work_for_another_input_is_not_reused(workplace: Path, change: str) -> None:
    predict()
    if change == "parameter":
        write_params(max_new_tokens=61)
    if change == "question":
        write_questions([*questions(9), questions(10)[9] | {"question": "Who?"}])
    predict("models/another" if change == "weights" else "models/base")
    assert len(list(Path("work/predict").glob("*/journal.jsonl"))) == 2


def test_an_adapter_gets_the_same_questions_and_gives_other_answers(workplace: Path) -> None:
    predict()
    base = predictions()
    result = predict("models/lora32", "lora32")
    assert result.exit_code == 0, result.output
    assert [p["row"] for p in predictions()] == [p["row"] for p in base]
    assert predictions() != base


def test_retrieved_examples_are_part_of_the_prompt(workplace: Path) -> None:
    predict()
    plain = predictions()
    example = {"id": "a:1", "question": "Who?", "ddl": "CREATE TABLE t (a INT);", "sql": "SELECT a"}
    write_questions([row | {"examples": [example | {"score": 0.5}]} for row in questions(10)])
    result = predict(arm="rag_embedding")
    assert result.exit_code == 0, result.output
    assert predictions() != plain


def test_a_prompt_longer_than_the_context_is_listed_and_its_prediction_is_empty(workplace: Path) -> None:
    rows = questions(4)
    rows[2]["question"] = "Who? " * 300
    write_questions(rows)
    result = predict()
    assert "1 of 4 prompts exceed 452 tokens" in result.stderr
    assert "rows 102" in result.stderr
    assert [bool(p["raw"]) for p in predictions()] == [True, True, False, True]
    assert predictions()[2] == {"row": 102, "sql": "", "raw": "", "problems": {"prompt_too_long": 1}}


def test_a_question_whose_schema_sqlite_rejects_is_asked_with_a_warning(workplace: Path) -> None:
    write_questions([questions(1)[0] | {"ddl": "CREATE TABLE singer (name TEXT"}])
    result = predict()
    assert "record 1: column types are kept in the prompt" in result.stderr
    assert predictions()[0]["raw"]


def test_a_killed_run_ends_with_the_bytes_of_an_uninterrupted_one(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(max_new_tokens=300, max_batch=2)
    write_questions(questions(30))
    rng = random.Random(7)
    kept = b""
    for _ in range(3):
        now = kill_after(kept.count(b"\n") + rng.randint(1, 4), rng.uniform(0, 0.3))
        assert now.startswith(kept)  # no batch is repeated
        kept = now
    assert not OUTPUT.exists()
    assert predict().exit_code == 0
    assert journal().read_bytes().startswith(kept)
    batches = [json.loads(line)["batch"] for line in journal().read_text().splitlines()]
    assert sorted(batches) == list(range(15))

    resumed = OUTPUT.read_bytes()
    monkeypatch.setenv("TEXT2SQL_WORK", str(workplace / "elsewhere"))
    assert predict().exit_code == 0
    assert OUTPUT.read_bytes() == resumed


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_cores_does_not_change_a_byte(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    write_params(threads=threads)
    outputs = []
    for cores in (1, 3):
        monkeypatch.setattr("text2sql.inference.transformers_engine.allowed_cores", lambda n=cores: n)
        monkeypatch.setenv("TEXT2SQL_WORK", str(workplace / f"work of {cores}"))
        assert predict().exit_code == 0
        outputs.append(OUTPUT.read_bytes())
    assert outputs[0] == outputs[1]


def kill_after(lines: int, seconds: float) -> bytes:
    """Start the stage, kill it once the journal has `lines` lines; returns its complete lines."""
    command = [sys.executable, "-m", "stages.predict", *arguments()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while complete_lines().count(b"\n") < lines:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        time.sleep(seconds)  # so that the kill is within a batch, not just after one
        process.kill()
    return complete_lines()


def complete_lines() -> bytes:
    data = b"".join(path.read_bytes() for path in Path("work/predict").glob("*/journal*.jsonl"))
    return data[: data.rfind(b"\n") + 1]


def write_endpoint_params(server: Server, **changes: Any) -> None:
    """The openai engine; the weights of each arm are served under the name of their folder."""
    names = ("base", "lora32", "lora128", "full", "lora")
    served = {f"models/{name}": name for name in names}
    endpoint = ENDPOINT | {"base_url": server.base_url, "models": served}
    write_params(engine="openai", endpoint=endpoint, **changes)


def age(request: Asked) -> str:
    """The number in the question of a request."""
    return "".join(c for c in request.messages[-1]["content"].splitlines()[-1] if c.isdigit())


def select_age(request: Asked) -> Reply:
    return Reply(f"SELECT {age(request)};")


def test_requests_name_the_model_that_serves_the_weights_of_the_arm(workplace: Path, serve: Serve) -> None:
    server = serve(select_age)
    write_endpoint_params(server)
    result = predict("models/lora32", "lora32")
    assert result.exit_code == 0, result.output
    assert {request.body["model"] for request in server.requests} == {"lora32"}
    assert [p["sql"] for p in predictions()] == [f"SELECT {n}" for n in range(10)]


def test_after_a_server_failure_the_next_run_loses_and_repeats_nothing(workplace: Path, serve: Serve) -> None:
    server = serve(lambda asked: refusal(503, "gone") if len(server.requests) > 5 else select_age(asked))
    write_endpoint_params(server)
    said = refused(predict())
    assert "gone" in said and "run the same command again to continue" in said
    kept = complete_lines()
    server.script = select_age
    server.requests.clear()
    assert predict().exit_code == 0
    assert complete_lines().startswith(kept)
    assert len(server.requests) == 10 - kept.count(b"\n")
    assert [p["sql"] for p in predictions()] == [f"SELECT {n}" for n in range(10)]


def test_a_run_killed_while_it_waits_for_a_server_requests_only_missing_answers(
    workplace: Path, serve: Serve
) -> None:
    def slowly(request: Asked) -> Reply:
        time.sleep(0.1)
        return select_age(request)

    server = serve(slowly)
    write_endpoint_params(server)
    kept = kill_after(3, 0.05)
    time.sleep(0.3)  # until the requests of the killed process are answered
    server.requests.clear()
    assert predict().exit_code == 0
    answered = {json.loads(line)["prompts"][0] for line in kept.splitlines()}
    assert sorted(int(age(request)) for request in server.requests) == sorted(set(range(10)) - answered)
    assert [p["sql"] for p in predictions()] == [f"SELECT {n}" for n in range(10)]


def test_drawn_answers_depend_on_the_seed(workplace: Path) -> None:
    drawn = []
    for seed in (1, 1, 2):
        write_params(temperature=1.5, seed=seed)
        assert predict().exit_code == 0
        drawn.append([p["raw"] for p in predictions()])
    assert drawn[0] == drawn[1] != drawn[2]


def write_database() -> None:
    """The database "concert" with three singers."""
    path = Path("data/raw/databases/concert/concert.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE singer (name TEXT, age INTEGER);"
            "INSERT INTO singer VALUES ('Ann', 30), ('Bo', 40), ('Cy', 50);"
        )


def test_the_most_frequent_result_of_the_samples_is_predicted(workplace: Path, serve: Serve) -> None:
    write_database()
    write_questions(questions(3))
    count = "SELECT count(*) FROM singer"
    texts = ["SELECT nme FROM singer", count, "SELECT name FROM singer", count]
    drawn: Counter[str] = Counter()

    def next_text(request: Asked) -> Reply:
        drawn[age(request)] += 1
        return Reply(texts[drawn[age(request)] - 1])

    write_endpoint_params(serve(next_text), samples=4, temperature=0.8)
    result = predict()
    assert result.exit_code == 0, result.output
    assert [p["sql"] for p in predictions()] == [count] * 3
    assert [p["agreement"] for p in predictions()] == [0.5] * 3


def test_a_question_whose_query_fails_is_asked_again_with_a_note_then_with_the_error(
    workplace: Path, serve: Serve
) -> None:
    write_database()
    write_questions(questions(2))

    def repair_query(request: Asked) -> Reply:
        prompt = request.messages[-1]["content"]
        return Reply(
            "SELECT name FROM singer" if "no such column: nme" in prompt else "SELECT nme FROM singer"
        )

    server = serve(repair_query)
    write_endpoint_params(server, max_repairs=2)
    assert predict().exit_code == 0
    assert [p["sql"] for p in predictions()] == ["SELECT name FROM singer"] * 2
    assert [p["tries"] for p in predictions()] == [3, 3]
    assert [len(request.messages) for request in server.requests] == [2, 2, 2, 2, 4, 4]
    noted = server.requests[2].messages[-1]["content"]
    assert noted.endswith("\nNote: no table has a column nme; the nearest names are singer.name.")


def test_a_missing_database_is_refused_before_the_model_is_asked(workplace: Path, serve: Serve) -> None:
    server = serve(select_age)
    write_endpoint_params(server, max_repairs=1)
    assert "concert.sqlite: no such file" in refused(predict())
    assert server.requests == []


def test_the_set_of_a_missing_database_is_named_before_the_model_is_asked(
    workplace: Path, serve: Serve
) -> None:
    write_database()
    rows = questions(3)
    write_questions(
        [row | {"test_set": "spider"} for row in rows[:2]] + [rows[2] | OWN | {"gold": "SELECT 1"}]
    )
    server = serve(select_age)
    write_endpoint_params(server, samples=2, temperature=0.7)
    text = refused(predict())
    assert "data/raw/databases/mine/mine.sqlite: no such file" in text
    assert "1 of 1 databases of test set own are missing: mine" in text
    assert server.requests == []


def test_a_set_without_gold_and_databases_is_predicted_beside_one_that_is_voted_on(
    workplace: Path, serve: Serve
) -> None:
    write_database()
    rows = questions(3)
    write_questions([row | {"test_set": "spider"} for row in rows[:2]] + [rows[2] | OWN])
    write_endpoint_params(serve(select_age), samples=2, temperature=0.7)
    result = predict()
    assert result.exit_code == 0, result.output
    assert [p["sql"] for p in predictions()] == ["SELECT 0", "SELECT 1", "SELECT 2"]
    assert [p.get("agreement") for p in predictions()] == [1.0, 1.0, None]
    assert "1 questions of test set own have neither gold SQL nor databases" in result.stderr


def test_the_name_of_the_set_does_not_change_which_answers_are_reused(workplace: Path, serve: Serve) -> None:
    server = serve(select_age)
    write_endpoint_params(server)
    write_questions(questions(2))
    assert predict().exit_code == 0
    asked = len(server.requests)
    write_questions([row | {"test_set": "spider"} for row in questions(2)])
    assert predict().exit_code == 0
    assert len(server.requests) == asked == 2


def test_a_run_with_samples_and_repair_ends_with_the_same_bytes_wherever_it_is_killed(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_database()
    write_params(samples=3, max_repairs=1, temperature=0.7, max_new_tokens=100)
    write_questions(questions(8))
    for lines in (2, 9, 12):
        kill_after(lines, 0.05)
    assert predict().exit_code == 0
    resumed = OUTPUT.read_bytes()
    monkeypatch.setenv("TEXT2SQL_WORK", str(workplace / "elsewhere"))
    assert predict().exit_code == 0
    assert OUTPUT.read_bytes() == resumed
    assert {p["tries"] for p in predictions()} == {2}  # a random model writes no query that runs


def test_an_unknown_arm_is_refused_with_the_known_arms(workplace: Path) -> None:
    text = refused(predict(arm="lora31"))
    assert "arms has no 'lora31'; it has baseline, rag_embedding, rag_rerank, lora32" in text


def test_an_engine_that_is_not_installed_is_refused_with_instructions(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    write_params(engine="vllm")
    text = refused(predict())
    assert "predict.engine is vllm, which is not installed;" in text
    assert "configs/requirements-gpu.txt" in text and "make test-vllm" in text


def test_missing_weights_are_refused(workplace: Path) -> None:
    assert "models/full: no such folder; `dvc repro`" in refused(predict("models/full", "full"))


def test_an_adapter_of_another_base_is_refused(workplace: Path) -> None:
    shutil.rmtree("models/base")
    shutil.copytree("models/another", "models/base")
    text = refused(predict("models/lora32", "lora32"))
    assert "models/lora32 was trained on models/base" in text
    assert "another base" in text


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: expected a JSON object"),
        ('{"row": 7, "question": "Who?"}', "record 2: 'ddl' is missing"),
        ('{"row": "7", "question": "Who?", "ddl": ""}', "record 2: 'row' is missing or not of"),
        ('{"row": 7, "question": "Who?", "ddl": ""}', "record 2: 'db_id' is missing"),
        ('{"row": true, "question": "Who?", "ddl": ""}', "record 2: 'row' is missing or not of"),
        ('{"row": 7, "question": null, "ddl": ""}', "record 2: 'question' is missing or not of"),
        ('{"row": 100, "question": "", "ddl": "", "db_id": ""}', "record 2: row 100 is repeated"),
        ('{"row": 7, "question": "", "ddl": "", "db_id": "", "test_set": 1}', "record 2: 'test_set' is"),
        ('{"row": 7, "question": "", "ddl": "", "db_id": "", "gold": null}', "record 2: 'gold' is"),
        ('{"row": 7, "question": "", "ddl": "", "examples": {}}', "record 2: 'examples' is"),
        ('{"row": 7, "question": "", "ddl": "", "examples": [1]}', "record 2, example 1: expected"),
        (
            '{"row": 7, "question": "", "ddl": "", "examples": [{"ddl": "", "question": ""}]}',
            "record 2, example 1: 'sql' is missing",
        ),
    ],
)
def test_a_malformed_question_is_refused_with_its_line(workplace: Path, line: str, fault: str) -> None:
    path = write_questions(questions(1))
    path.write_text(path.read_text() + line + "\n")
    assert f"data/test/test.jsonl, {fault}" in refused(predict())


def test_a_file_without_questions_is_refused(workplace: Path) -> None:
    write_questions([])
    assert "data/test/test.jsonl: no questions;" in refused(predict())


def test_a_disk_full_at_the_end_leaves_no_output_and_keeps_the_answers(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("text2sql.records.os.replace", full_disk)
        text = refused(predict())
    assert f"{OUTPUT}: No space left on device; the answers are kept" in text
    kept = journal().read_bytes()
    assert predict().exit_code == 0
    assert journal().read_bytes() == kept
    assert len(predictions()) == 10


def test_a_disk_full_while_generating_is_reported_with_the_journal(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", full_disk)
    assert "journal.jsonl: No space left on device; 0 of 4 batches" in refused(predict())


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_second_run_of_the_same_work_waits_and_uses_the_answers_of_the_first(workplace: Path) -> None:
    from text2sql.workstore import locked

    predict()
    first, answers = OUTPUT.read_bytes(), journal().read_bytes()
    OUTPUT.unlink()
    command = [sys.executable, "-m", "stages.predict", *arguments()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with locked(journal().parent):
        second = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert second.stderr
        assert any("another run is doing this work" in line for line in second.stderr)
        assert not OUTPUT.exists()
    assert second.wait(120) == 0
    assert (OUTPUT.read_bytes(), journal().read_bytes()) == (first, answers)


# -- prediction settings of an arm --


def give_arm(arm: str, **own: Any) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["arms"][arm] = {"weights": "models/base", "questions": "data/test", "predict": own}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def key() -> dict[str, Any]:
    """The work key of the newest prediction."""
    files = Path("work/predict").glob("*/key.json")
    return json.loads(max(files, key=lambda file: file.stat().st_mtime_ns).read_text())


def test_an_arm_predicts_with_its_own_settings_and_the_others_with_those_of_the_section(
    workplace: Path,
) -> None:
    give_arm("short", max_new_tokens=5)
    assert predict().exit_code == 0
    greedy, plain = OUTPUT.read_bytes(), key()
    assert predict(arm="short").exit_code == 0
    assert max(len(row["raw"]) for row in predictions()) < max(
        len(json.loads(line)["raw"]) for line in greedy.splitlines()
    )
    assert key() == plain | {"predict": plain["predict"] | {"max_new_tokens": 5}}


def test_own_settings_that_change_nothing_reuse_the_answers(workplace: Path) -> None:
    give_arm("same", max_new_tokens=SETTINGS["max_new_tokens"])
    assert predict().exit_code == 0
    assert predict(arm="same").exit_code == 0
    assert journal().is_file()  # of the only work folder


def test_an_arm_can_vote_beside_a_greedy_one(workplace: Path, serve: Serve) -> None:
    write_database()
    server = serve(select_age)
    write_endpoint_params(server)
    give_arm("vote", samples=3, temperature=0.8)
    assert predict(arm="vote").exit_code == 0
    assert {row["agreement"] for row in predictions()} == {1.0}
    assert len(server.requests) == 3 * 10
    assert {request.body["temperature"] for request in server.requests} == {0.8}
    assert predict().exit_code == 0
    assert len(server.requests) == 3 * 10 + 10
    assert "agreement" not in predictions()[0]


def test_an_arm_with_an_engine_of_its_own_asks_the_server(workplace: Path, serve: Serve) -> None:
    server = serve(select_age)
    endpoint = {"base_url": server.base_url, "models": {"models/base": "served"}, "max_retries": 0}
    give_arm("remote", engine="openai", endpoint=endpoint)
    assert predict(arm="remote").exit_code == 0
    assert {request.body["model"] for request in server.requests} == {"served"}


# -- weights of the user's --


def test_weights_from_any_folder_are_used(workplace: Path) -> None:
    shutil.move("models/another", "brought")
    assert predict("models/base").exit_code == 0
    ours = OUTPUT.read_bytes()
    assert predict("brought").exit_code == 0
    assert OUTPUT.read_bytes() != ours


def test_an_adapter_that_was_trained_elsewhere_is_used_once_its_base_is_confirmed(workplace: Path) -> None:
    shutil.move("models/lora32", "brought")
    Path("brought/base.json").unlink()
    text = refused(predict("brought"))
    assert "brought/base.json: no such file" in text
    line = text[text.index('{"path"') : text.index("}") + 1]
    Path("brought/base.json").write_text(line)
    assert predict("brought").exit_code == 0


def test_an_adapter_whose_base_is_a_name_on_the_hub_is_refused_with_the_line_to_change(
    workplace: Path,
) -> None:
    shutil.move("models/lora32", "brought")
    file = Path("brought/adapter_config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": "Qwen/Qwen3-1.7B"}))
    text = refused(predict("brought"))
    assert "base_model_name_or_path" in text and "Qwen/Qwen3-1.7B" in text and "models/base" in text
