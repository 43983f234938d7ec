"""stages.report: writes the files that DVC compares."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard

from stages import report
from tests.report_inputs import question
from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.evaluation.verdicts import Verdict, without_gold
from text2sql.files import write_json, write_jsonl

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {
    "questions": "data/test/test.jsonl",
    "predictions": "data/predictions",
    "databases": "data/raw/databases",
    "verdicts": "data/verdicts",
    "metrics": "metrics",
    "loss": "metrics/loss",
    "validation": "metrics/validation",
    "throughput": "metrics/throughput",
    "summary": "metrics/summary.json",
    "table": "metrics/table.md",
    "plots": "metrics/accuracy_by_hardness.csv",
    "pairs": "metrics/pairs.json",
    "page": "metrics/report.html",
    "cards": "models/cards",
}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a params.yaml of two arms, and the scores of these two and of a third arm."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["arms"] = {name: params["arms"][name] for name in ("lora32", "baseline")}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for folder in ("data/verdicts", "metrics"):
        (tmp_path / folder).mkdir(parents=True)
    for arm in ("lora32", "baseline", "full"):
        write_scores(tmp_path, arm)
    write_questions(tmp_path, {"": 2})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_scores(root: Path, arm: str) -> None:
    score = {"ex": {"all": 50.0}, "n": {"all": 2}, "ci95": {}, "errors": {}, "evaluator": {}}
    (root / "metrics" / f"{arm}.json").write_text(json.dumps(score))
    verdicts = [Verdict(row, "clinic", "", "easy", ex) for row, ex in enumerate([True, False])]
    rows = [asdict(verdict) for verdict in verdicts]
    lines = [json.dumps({key: row[key] for key in row if key not in ("seconds", "parts")}) for row in rows]
    (root / "data/verdicts" / f"{arm}.jsonl").write_text("\n".join(lines) + "\n")


def write_questions(root: Path, sets: dict[str, int]) -> None:
    """So many test questions of each set, and what both arms predict."""
    names = [name for name, count in sets.items() for _ in range(count)]
    (root / "data/test").mkdir(parents=True, exist_ok=True)
    (root / "data/predictions").mkdir(parents=True, exist_ok=True)
    questions = [
        question(row, "Which?", "" if name == "own" else "SELECT 1", name) for row, name in enumerate(names)
    ]
    write_jsonl(root / "data/test/test.jsonl", questions)
    for arm in ("lora32", "baseline"):
        rows = [{"row": row, "sql": "SELECT 2", "raw": "SELECT 2"} for row in range(len(names))]
        write_jsonl(root / "data/predictions" / f"{arm}.jsonl", rows)


def run() -> Result:
    arguments = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    return CliRunner().invoke(report.main, arguments)


def test_summary_table_and_plot_are_written(pipeline: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "| baseline |" in (pipeline / "metrics/table.md").read_text()
    assert (pipeline / "metrics/accuracy_by_hardness.csv").read_text().startswith("arm,hardness,ex,bar\n")


def test_only_the_arms_of_params_are_reported_in_their_order(pipeline: Path) -> None:
    run()
    summary = json.loads((pipeline / "metrics/summary.json").read_text())
    assert list(summary) == ["lora32", "baseline"]


def test_each_pair_of_arms_is_compared_in_a_json_file(pipeline: Path) -> None:
    run()
    assert json.loads((pipeline / "metrics/pairs.json").read_text()) == [
        {
            "a": "lora32",
            "b": "baseline",
            "difference": 0.0,
            "ci95": {"low": 0.0, "high": 0.0},
            "mcnemar_p": 1.0,
        }
    ]


def test_a_missing_file_is_an_error_of_one_line_with_the_next_command(pipeline: Path) -> None:
    (pipeline / "data/verdicts/lora32.jsonl").unlink()
    result = run()
    assert result.exit_code == 1
    assert "dvc repro evaluate@lora32" in str(result.output) + str(result.exception)
    assert "Traceback" not in result.output


def test_after_an_error_the_old_outputs_are_unchanged(pipeline: Path) -> None:
    (pipeline / "metrics/table.md").write_text("old")
    (pipeline / "metrics/lora32.json").write_text("{")
    assert run().exit_code == 1
    assert (pipeline / "metrics/table.md").read_text() == "old"
    assert not (pipeline / "metrics/pairs.json").exists()
    assert not (pipeline / "metrics/report.html").exists()


def test_the_page_has_the_arms_and_its_provenance(pipeline: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    page = (pipeline / "metrics/report.html").read_text()
    assert '<th scope="row">lora32</th>' in page and "SELECT" not in page.split("<script")[0]
    assert "profile: embedded" in page  # params.yaml
    assert "<li>sqlglot " in page and "Python 3.11" in page


def test_without_predictions_the_error_names_the_next_command(pipeline: Path) -> None:
    (pipeline / "data/predictions/baseline.jsonl").unlink()
    result = run()
    assert result.exit_code == 1
    assert "dvc repro predict@baseline" in str(result.exception)
    assert not (pipeline / "metrics/table.md").exists()


def write_sets(root: Path, arm: str, by_set: dict[str, list[Verdict]]) -> None:
    """Scores and verdicts as the stage evaluate writes them."""
    scores = ScoresBySet(by_set)
    rows = [scores.add(name, verdict) for name, verdicts in by_set.items() for verdict in verdicts]
    write_jsonl(root / "data/verdicts" / f"{arm}.jsonl", rows)
    write_json(root / "metrics" / f"{arm}.json", scores.metrics({}))


def test_several_test_sets_are_in_every_file(pipeline: Path) -> None:
    spider = [Verdict(row, "clinic", "", "easy", ex) for row, ex in enumerate([True, False])]
    for arm in ("lora32", "baseline"):
        write_sets(pipeline, arm, {"spider": spider, "own": [without_gold(2, "mine")]})
    write_questions(pipeline, {"spider": 2, "own": 1})
    result = run()
    assert result.exit_code == 0, result.output
    page = (pipeline / "metrics/table.md").read_text()
    assert "## spider" in page and "## own" in page
    summary = json.loads((pipeline / "metrics/summary.json").read_text())
    assert summary == {key: {"spider": 50.0, "own": None} for key in ("lora32", "baseline")}
    (pair,) = json.loads((pipeline / "metrics/pairs.json").read_text())
    assert (pair["test_set"], pair["a"], pair["b"]) == ("spider", "lora32", "baseline")
    bars = (pipeline / "metrics/accuracy_by_hardness.csv").read_text()
    assert bars.startswith("test_set,arm,hardness,ex,bar\nspider,lora32,easy,50.0,")


def test_without_any_gold_the_report_succeeds_with_a_sentence(pipeline: Path) -> None:
    for arm in ("lora32", "baseline"):
        write_sets(pipeline, arm, {"own": [without_gold(0, "mine")]})
    write_questions(pipeline, {"own": 1})
    result = run()
    assert result.exit_code == 0, result.output
    assert "No question has gold SQL: 1 questions" in (pipeline / "metrics/table.md").read_text()
    assert json.loads((pipeline / "metrics/summary.json").read_text()) == {"lora32": None, "baseline": None}
    assert (pipeline / "metrics/accuracy_by_hardness.csv").read_text() == "arm,hardness,ex,bar\n"
    assert json.loads((pipeline / "metrics/pairs.json").read_text()) == []


def test_every_trained_model_that_an_arm_uses_has_a_card(pipeline: Path) -> None:
    (pipeline / "models/cards").mkdir(parents=True)
    (pipeline / "models/cards/gone.md").write_text("of an arm that is no more")
    base = {"source": "hub", "name": "Qwen/Qwen3-1.7B", "commit": "7" * 40, "licence": "apache-2.0"}
    write_json(pipeline / "metrics/fetch_model.json", base)
    spider = [Verdict(row, "clinic", "", "easy", ex) for row, ex in enumerate([True, False])]
    for arm in ("lora32", "baseline"):
        write_sets(pipeline, arm, {"spider": spider, "geo": spider[:1]})
    result = run()
    assert result.exit_code == 0, result.output
    assert [path.name for path in (pipeline / "models/cards").iterdir()] == ["lora32.md"]
    card = ModelCard.load(pipeline / "models/cards/lora32.md")
    assert (card.data.base_model, card.data.license) == ("Qwen/Qwen3-1.7B", "apache-2.0")
    values = {result.dataset_name: result.metric_value for result in card.data.eval_results}
    assert values == {"spider": 50.0, "geo": 100.0}
    assert "| all | 2 | 50.0 (9.5 to 90.5) | 50.0 (9.5 to 90.5) |" in card.text
    assert "| `lora rank` | `32` |" in card.text


def test_the_options_are_those_of_dvc_yaml() -> None:
    command = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["report"]["cmd"].split()
    assert [word for word in command if word.startswith("--")] == [f"--{name}" for name in OPTIONS]
