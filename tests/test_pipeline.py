"""The whole pipeline with DVC on a small benchmark: the commands of a new user."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from scripts.profiles import composed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "fetch_data": {"train_rows": 240, "test_rows": 32},
    "training": {"save_steps": 10},
    "train_lora32": {"max_steps": 10},
    "train_lora128": {"max_steps": 10},
    "train_full": {"max_steps": 10},
    "lora": {"max_steps": 10},
    "predict": {"max_new_tokens": 8},
}
ARMS = ("baseline", "rag_rerank", "full", "lora")  # an arm of each kind; all are trained
OWN = {  # an own arm on top of the trained model, with prediction settings of its own
    "train": {
        "mine": {
            **{"base": "models/full", "data": "data/train", "sources": ["embedded"]},
            **{"learning_rate": 0.01, "max_steps": 10},
        }
    },
    "arms": {"weights": "models/mine", "questions": "data/test", "predict": {"max_new_tokens": 5}},
}
SWEEP = re.compile(r"^(dvc exp run --queue -S '(\S+)=(\S+)'|dvc queue start -j 2) +#", re.MULTILINE)
TINY = {"rows": 100, "vocab_size": 400, "hidden_size": 32, "layers": 1, "heads": 2, "max_steps": 10}


def _run(place: Path, *command: str, **variables: str) -> str:
    """Output of a command in `place` that must succeed."""
    environment = _environment(place) | variables
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def _environment(place: Path) -> dict[str, str]:
    author = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | author | {"PATH": path, "TEXT2SQL_WORK": str(place / ".work")}


def _ran(output: str) -> set[str]:
    """The stages that DVC ran."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


def _trainings(place: Path) -> int:
    return len(list((place / ".work" / "train").iterdir()))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with small parameters whose pipeline has run and is committed."""
    place = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        made = name.startswith(("metrics/", "dvc.lock")) and not name.endswith(".gitignore")
        if (ROOT / name).is_file() and not made:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    params = yaml.safe_load(composed("embedded"))
    for section, values in SMALL.items():
        params[section] |= values
    params["fetch_model"]["tiny"] |= TINY
    params["arms"] = {arm: params["arms"][arm] for arm in ARMS} | {"mine": OWN["arms"]}
    params["train"] = OWN["train"]
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    _run(place, "git", "init", "-q")
    _run(place, "dvc", "repro")
    _run(place, "git", "add", "-A")
    _run(place, "git", "commit", "-qm", "run")
    return place


def test_every_arm_is_scored_and_is_in_the_table(place: Path) -> None:
    arms = list(yaml.safe_load((place / "params.yaml").read_text())["arms"])
    table = (place / "metrics" / "table.md").read_text()
    assert list(json.loads((place / "metrics" / "summary.json").read_text())) == arms
    for arm in arms:
        assert json.loads((place / "metrics" / f"{arm}.json").read_text())["n"]["all"] == 32
        assert f"| {arm} |" in table


def test_every_planted_question_is_found(place: Path) -> None:
    planted = json.loads((place / "metrics" / "dedupe_test.json").read_text())["planted"]
    assert planted
    assert all(kind["found"] > 0 and kind["missed"] == 0 for kind in planted.values())


def test_a_second_run_runs_no_stage(place: Path) -> None:
    assert _ran(_run(place, "dvc", "repro")) == set()


def test_a_colleague_who_pulls_from_the_remote_has_everything_and_runs_no_stage(
    place: Path, tmp_path: Path
) -> None:
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    _run(place, "dvc", "remote", "add", "--default", "team", str(remote))
    _run(place, "git", "commit", "-qam", "where data and models are")
    _run(place, "dvc", "push")
    _run(tmp_path, "git", "clone", "-q", str(place), str(clone))
    _run(clone, "dvc", "pull")
    assert _ran(_run(clone, "dvc", "repro")) == set()
    assert _run(clone, "git", "status", "--porcelain") == ""
    weights = "models/full/model.safetensors"
    assert (clone / weights).read_bytes() == (place / weights).read_bytes()


def test_the_speed_of_every_training_is_plotted_and_not_in_git(place: Path) -> None:
    folder = "metrics/throughput/tokens_per_s"
    stages = ["train_full", "train_lora", "train_lora128", "train_lora32", "train_mine"]
    assert sorted(file.stem for file in (place / folder).iterdir()) == stages
    assert _run(place, "git", "ls-files", "metrics/throughput").split() == ["metrics/throughput/.gitignore"]
    page = place / _run(place, "dvc", "plots", "show").strip().rpartition("file://")[2]
    assert all(f"{folder}/{stage}.csv" in page.read_text() for stage in stages)


def test_the_recipe_of_lora128_changes_the_arm_lora_only_and_is_not_trained_again(place: Path) -> None:
    before = _trainings(place)
    lora128 = yaml.safe_load((place / "params.yaml").read_text())["train_lora128"]
    keys = ("rank", "alpha", "targets", "learning_rate")
    changes = [f"lora.{key}={json.dumps(lora128[key])}" for key in keys]
    flags = [word for change in changes for word in ("-S", change)]
    output = _run(place, "dvc", "exp", "run", *flags, "-n", "wide")
    assert _ran(output) == {"train_lora", "predict@lora", "evaluate@lora", "report"}
    assert _trainings(place) == before
    changed = {path for path in _run(place, "git", "diff", "--name-only").split() if "metrics/" in path}
    assert changed <= {
        *("metrics/lora.json", "metrics/loss/train_lora.csv", "metrics/summary.json"),
        *("metrics/table.md", "metrics/accuracy_by_hardness.csv", "metrics/pairs.json"),
        "metrics/verdicts/lora.csv",
    }
    moved = json.loads(_run(place, "dvc", "metrics", "diff", "--json"))
    assert set(moved.get("metrics/summary.json", {})) <= {"lora"}
    weights = [
        (place / "models" / arm / "adapter_model.safetensors").read_bytes() for arm in ("lora", "lora128")
    ]
    assert weights[0] == weights[1]
    assert "wide" in _run(place, "dvc", "exp", "show", "--only-changed", "--no-pager")
    page = place / _run(place, "dvc", "plots", "diff").strip().rpartition("file://")[2]
    assert "Training loss" in page.read_text()
    assert "Execution accuracy by hardness" in page.read_text()
    _run(place, "git", "checkout", "-q", ".")
    _run(place, "dvc", "checkout", "-q")


def test_an_own_arm_is_trained_on_its_base_and_predicts_with_its_own_settings(place: Path) -> None:
    own, full = ((place / "models" / arm / "model.safetensors").read_bytes() for arm in ("mine", "full"))
    assert own != full
    keys = [json.loads(file.read_text()) for file in (place / ".work" / "predict").glob("*/key.json")]
    assert {key["predict"]["max_new_tokens"] for key in keys} >= {5, 8}
    assert "| mine | 10 |" in (place / "metrics" / "table.md").read_text()


def test_a_changed_setting_of_one_arm_predicts_this_arm_only(place: Path) -> None:
    output = _run(place, "dvc", "exp", "run", "-S", "arms.mine.predict.max_new_tokens=4", "-n", "shorter")
    assert _ran(output) - {"outside_data"} == {"predict@mine", "evaluate@mine", "report"}
    _run(place, "git", "checkout", "-q", ".")
    _run(place, "dvc", "checkout", "-q")


def test_the_sweep_of_the_readme_runs_two_at_a_time_and_trains_nothing_twice(place: Path) -> None:
    found = list(SWEEP.finditer((ROOT / "README.md").read_text()))
    queue, start = (shlex.split(command[1]) for command in found)
    key, values = found[0][2], found[0][3].split(",")
    before = _trainings(place)
    _run(place, *queue)
    _run(place, *start)
    while (counts := _statuses(place)).keys() & {"Queued", "Running"}:
        time.sleep(1)
    assert counts == {"Success": len(values)}
    assert _trainings(place) == before + len(values) - 1  # the rank of params.yaml is trained already
    shown = _run(place, "dvc", "exp", "show", "--csv", "--no-pager", "--drop", ".*", "--keep", key)
    assert set(values) <= {line.rsplit(",", 1)[-1] for line in shown.splitlines()}


def _statuses(place: Path) -> Counter[str]:
    """How many experiments of the queue wait, run, have succeeded or failed."""
    lines = _run(place, "dvc", "queue", "status").partition("\n\n")[0].splitlines()[1:]
    return Counter(line.split()[-1] for line in lines)


def test_a_parameter_that_is_not_allowed_stops_the_stage_with_an_error_that_names_it(place: Path) -> None:
    file = place / "params.yaml"
    text = file.read_text()
    file.write_text(text.replace("timeout_s: 10.0", "timeout_s: -1.0"))
    done = subprocess.run(
        ["dvc", "repro", "evaluate@full"], cwd=place, capture_output=True, text=True, env=_environment(place)
    )
    file.write_text(text)
    assert done.returncode != 0
    assert "evaluate.timeout_s: Input should be greater than 0 (found -1.0)" in done.stderr


PAGE = ROOT / "docs" / "your-data.md"
DATABASES = {
    "library": "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, pages INT);"
    "INSERT INTO book VALUES (1, 'Rain', 210), (2, 'Tide', 90), (3, 'Salt', 340);",
    "bakery": "CREATE TABLE loaf (id INTEGER PRIMARY KEY, grain TEXT, price REAL);"
    "INSERT INTO loaf VALUES (1, 'rye', 3.5), (2, 'wheat', 2.5);",
}
COLUMNS = {"library": ("book", "title", "pages"), "bakery": ("loaf", "grain", "price")}
ASKED = (
    ("How many {table}s are there?", "SELECT count(*) FROM {table}"),
    ("What is the highest {number}?", "SELECT max({number}) FROM {table}"),
    ("What is the lowest {number}?", "SELECT min({number}) FROM {table}"),
    ("What is the mean {number}?", "SELECT avg({number}) FROM {table}"),
    ("Give every {text}.", "SELECT {text} FROM {table}"),
    ("Give every {text} in order.", "SELECT {text} FROM {table} ORDER BY {text}"),
    ("Which {text} has the highest {number}?", "SELECT {text} FROM {table} ORDER BY {number} DESC LIMIT 1"),
    ("Which {text}s are above the mean {number}?", "SELECT {text} FROM {table} WHERE {number} > 200"),
    ("How many different {text}s are there?", "SELECT count(DISTINCT {text}) FROM {table}"),
    ("How many {table}s are below 3 {number}?", "SELECT count(*) FROM {table} WHERE {number} < 3"),
    ("Give {text} and {number} of all.", "SELECT {text}, {number} FROM {table}"),
    ("What is the sum of {number}?", "SELECT sum({number}) FROM {table}"),
    ("How many {table}s has each {text}?", "SELECT {text}, count(*) FROM {table} GROUP BY {text}"),
    ("Which {text} begins with R?", "SELECT {text} FROM {table} WHERE {text} LIKE 'R%'"),
    ("What would you read?", ""),
)


def _own_data(folder: Path) -> Path:
    """Two SQLite files and 30 questions, two of them without gold query, as the page shows them."""
    (folder / "databases").mkdir(parents=True)
    rows = []
    for db_id, (table, text, number) in COLUMNS.items():
        with closing(sqlite3.connect(folder / "databases" / f"{db_id}.sqlite")) as connection:
            connection.executescript(DATABASES[db_id])
        names = {"table": table, "text": text, "number": number}
        asked = [(question.format(**names), sql.format(**names)) for question, sql in ASKED]
        rows += [{"db_id": db_id, "question": question, "sql": sql} for question, sql in asked]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_your_own_data_are_scored_as_the_page_says(place: Path, tmp_path: Path) -> None:
    lines = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
    file = place / "params.yaml"
    text = file.read_text()
    assert text.count("  test: {}\n") == 1
    file.write_text(text.replace("  test: {}\n", lines))
    _run(place, "dvc", "repro", TEXT2SQL_DATA=str(_own_data(tmp_path / "mine")))
    for arm in ARMS:
        scores = json.loads((place / "metrics" / f"{arm}.json").read_text())
        assert (scores["n"]["all"], scores["without_gold"], scores["gold_failures"]) == (28, 2, [])
        assert len((place / "data" / "predictions" / f"{arm}.jsonl").read_text().splitlines()) == 30
    assert "28 questions" in (place / "metrics" / "table.md").read_text()
    prepared = json.loads((place / "metrics" / "prepare.json").read_text())
    assert prepared["test"] == {"mine": {"read": 30, "beyond_limit": 0, "kept": 30, "without_gold": 2}}
    _run(place, "git", "checkout", "-q", ".")
