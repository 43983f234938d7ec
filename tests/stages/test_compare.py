"""`text2sql compare` on real git repositories: what a pull request changed, as Markdown."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from stages import compare
from text2sql.evaluation.scores import mcnemar, paired_bootstrap
from text2sql.files import write_json, write_jsonl
from text2sql.records import ConvertedQuestion
from text2sql.report.kept_verdicts import kept_verdicts, write_kept

BASE_MARKS = "10" * 60  # one character a question: 1 right, 0 wrong
IMPROVED = "11" * 12 + "10" * 48  # 12 gained, none lost
NOISE = "10" * 57 + "11" * 2 + "00"  # 2 gained, 1 lost


@dataclass(frozen=True)
class State:
    """What a revision has on disk: the marks of each arm on each test set, losses and parameters."""

    arms: dict[str, dict[str, str]] = field(default_factory=lambda: {"baseline": {"dev": BASE_MARKS}})
    wording: str = "How many of kind"
    query: str = "SELECT "
    losses: Sequence[float] = (3.0, 2.0)
    params: dict[str, Any] = field(default_factory=lambda: {"lora": {"rank": 32}, "seed": 42})
    kept: bool = True
    evaluator: dict[str, Any] = field(default_factory=lambda: {"version": "2.0"})

    def write(self, place: Path) -> None:
        """Replace the files of the place by those of this state."""
        for folder in ("metrics", "data"):
            shutil.rmtree(place / folder, ignore_errors=True)
        sets = {name: marks for of_arm in self.arms.values() for name, marks in of_arm.items()}
        self._write_arms(place, sets)
        write_json(place / "metrics/summary.json", self._summary(len(sets)))
        (place / "metrics/loss").mkdir()
        rows = "".join(f"{step},{loss},0.001\n" for step, loss in enumerate(self.losses, 1))
        (place / "metrics/loss/train_full.csv").write_text(f"step,loss,learning_rate\n{rows}")
        (place / "params.yaml").write_text(yaml.safe_dump(self.params))
        (place / "metrics/table.md").write_text("# Execution accuracy\n")

    def _questions(self, marks: dict[str, str]) -> list[ConvertedQuestion]:
        asked = [(name, at) for name in marks for at in range(len(marks[name]))]
        return [
            ConvertedQuestion(
                row, f"db{at % 3}", f"{self.wording} {at}?", f"{self.query}{at}", "", "", "", (), name
            )
            for row, (name, at) in enumerate(asked)
        ]

    def _write_arms(self, place: Path, sets: dict[str, str]) -> None:
        for arm, of_arm in self.arms.items():
            questions = self._questions({name: of_arm[name] for name in sets if name in of_arm})
            marks = "".join(of_arm[name] for name in sets if name in of_arm)
            verdicts = [
                {"ex": None if mark == "?" else mark == "1", "error": "syntax" if mark == "0" else None}
                for mark in marks
            ]
            if self.kept:
                write_kept(place / f"metrics/verdicts/{arm}.csv", kept_verdicts(questions, verdicts))
            write_json(place / f"metrics/{arm}.json", {"evaluator": self.evaluator})
            write_jsonl(place / "data/test/test.jsonl", questions)
            predicted = [{"row": q.row, "sql": f"{q.gold} -- of {arm}", "raw": ""} for q in questions]
            write_jsonl(place / f"data/predictions/{arm}.jsonl", predicted)

    def _summary(self, sets: int) -> dict[str, Any]:
        percents = {
            arm: {name: round(100 * marks.count("1") / len(marks), 1) for name, marks in of_arm.items()}
            for arm, of_arm in self.arms.items()
        }
        if sets > 1:
            return dict(percents)
        return {arm: next(iter(table.values())) for arm, table in percents.items()}


START = State(arms={"baseline": {"dev": BASE_MARKS}, "full": {"dev": BASE_MARKS}})


def git(place: Path, *arguments: str) -> str:
    author = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, env=os.environ | author)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(place: Path, state: State) -> str:
    state.write(place)
    git(place, "add", "-A")
    git(place, "commit", "-qm", "a state", "--allow-empty")
    return git(place, "rev-parse", "HEAD").strip()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, in which data/ is not, as in a clone."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / ".gitignore").write_text("/data\n")
    commit(tmp_path, START)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    done = CliRunner().invoke(compare.main, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def error_of(*arguments: str) -> str:
    done = CliRunner().invoke(compare.main, arguments)
    assert done.exit_code == 1 and done.output.startswith("error: ")
    return done.output


def row_of(page: str, arm: str, test_set: str = "dev") -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {arm} | {test_set} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def arms(**marks: str) -> dict[str, dict[str, str]]:
    return {arm: {"dev": of_arm} for arm, of_arm in marks.items()}


# -- scores --


def test_a_planted_improvement_is_called_better_with_its_interval_and_p(place: Path) -> None:
    replace(START, arms=arms(baseline=BASE_MARKS, full=IMPROVED)).write(place)
    page = run("HEAD")
    after, before = ([mark == "1" for mark in marks] for marks in (IMPROVED, BASE_MARKS))
    low, high = paired_bootstrap(after, before)
    cells = row_of(page, "full")
    assert cells[2:4] == ["50.0 (41.2 to 58.8, n=120)", "60.0 (51.1 to 68.3, n=120)"]
    assert cells[4:] == [f"+10.0 ({low:+.1f} to {high:+.1f})", "0.0005", "12", "0", "**better**"]
    assert mcnemar(after, before) == pytest.approx(0.0005, abs=5e-5)
    assert "- **Better**: full on dev (+10.0)" in page


def test_a_planted_noise_change_is_called_noise(place: Path) -> None:
    replace(START, arms=arms(baseline=BASE_MARKS, full=NOISE)).write(place)
    page = run("HEAD")
    assert row_of(page, "full")[5:] == ["1.0000", "2", "1", "within noise"]
    assert "- Within noise, so no evidence of a difference: full on dev" in page
    assert "Better**" not in page and "Worse**" not in page


def test_a_planted_loss_is_called_worse(place: Path) -> None:
    commit(place, replace(START, arms=arms(baseline=BASE_MARKS, full=IMPROVED)))
    START.write(place)
    page = run("HEAD")
    assert row_of(page, "full")[5:] == ["0.0005", "0", "12", "**worse**"]
    assert "- **Worse**: full on dev (-10.0)" in page


def test_one_small_p_among_many_comparisons_is_within_noise(place: Path) -> None:
    slightly = "11" * 6 + "10" * 54  # p = 0.03125 alone
    many = {f"arm{number}": NOISE for number in range(4)}
    start = replace(START, arms=arms(baseline=BASE_MARKS, full=BASE_MARKS, **dict.fromkeys(many, BASE_MARKS)))
    commit(place, start)
    replace(START, arms=arms(baseline=BASE_MARKS, full=slightly, **many)).write(place)
    page = run("HEAD")
    assert row_of(page, "full")[5:] == ["0.0312", "6", "0", "within noise"]
    assert "Holm's correction for the number of comparisons in which an answer changed (5)" in page
    replace(start, arms=arms(baseline=BASE_MARKS, full=slightly)).write(place)
    assert row_of(run("HEAD"), "full")[-1] == "**better**"


def test_a_revision_compared_with_itself_changes_nothing(place: Path) -> None:
    page = run("HEAD", "HEAD")
    assert row_of(page, "full")[4:] == ["+0.0 (+0.0 to +0.0)", "1.0000", "0", "0", "unchanged"]
    assert "- No answer changed between right and wrong." in page
    assert "No parameter changed." in page
    assert "gained," not in page


def test_an_arm_that_was_added_or_removed_is_named_and_not_compared(place: Path) -> None:
    commit(place, replace(START, arms=arms(baseline=BASE_MARKS, old=BASE_MARKS)))
    replace(START, arms=arms(baseline=BASE_MARKS, new=BASE_MARKS)).write(place)
    page = run("HEAD")
    assert row_of(page, "new")[2:] == ["–", "50.0 (41.2 to 58.8, n=120)", *["–"] * 4, "only in head"]
    assert row_of(page, "old")[2:] == ["50.0 (41.2 to 58.8, n=120)", *["–"] * 5, "only in base"]
    assert row_of(page, "baseline")[-1] == "unchanged"


def test_a_test_set_that_was_added_is_named_and_the_other_one_is_compared(place: Path) -> None:
    both = {"geo": "1100", "dev": IMPROVED}
    replace(START, arms={"baseline": {**both, "dev": BASE_MARKS}, "full": both}).write(place)
    page = run("HEAD")
    assert row_of(page, "full", "dev")[-1] == "**better**"
    assert row_of(page, "full", "geo")[2:4] == ["–", "50.0 (15.0 to 85.0, n=4)"]
    assert row_of(page, "full", "geo")[-1] == "only in head"


def test_questions_of_one_revision_only_are_named_and_left_out(place: Path) -> None:
    replace(START, arms=arms(baseline=BASE_MARKS[:110], full=BASE_MARKS[:110])).write(place)
    page = run("HEAD")
    left_out = "10 questions (test rows 110, 111, 112, 113, 114, 115, 116, 117, 118, 119) scored in base only"
    assert f"- dev: left out, {left_out}." in page
    assert page.count("left out") == 1
    assert row_of(page, "full")[-1] == "unchanged"


def test_a_question_without_a_verdict_is_in_no_pair(place: Path) -> None:
    replace(START, arms=arms(baseline=f"?{BASE_MARKS[1:]}", full=f"?{BASE_MARKS[1:]}")).write(place)
    page = run("HEAD")
    assert "- dev: left out, 1 question (test rows 0) scored in base only." in page
    assert row_of(page, "full")[3] == "49.6 (40.8 to 58.4, n=119)"


def test_questions_may_stand_in_another_order(place: Path) -> None:
    sets = {"geo": "10", "dev": BASE_MARKS}
    commit(place, replace(START, arms={"full": sets}))
    replace(START, arms={"full": dict(reversed(sets.items()))}).write(place)
    page = run("HEAD")
    assert row_of(page, "full", "dev")[-1] == row_of(page, "full", "geo")[-1] == "unchanged"


def test_a_test_set_with_other_questions_is_named_beside_one_that_is_compared(place: Path) -> None:
    commit(place, replace(START, arms={"full": {"geo": "10", "dev": BASE_MARKS}}))
    replace(START, arms={"full": {"geo": "10", "dev": BASE_MARKS}}).write(place)
    path = place / "metrics/verdicts/full.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.replace(",db", ",other") if ",geo," in line else line for line in lines))
    page = run("HEAD")
    assert "- geo: no question in common (2 in base, 2 in head), so nothing is compared." in page
    assert row_of(page, "full", "geo")[-1] == "not tested"


def test_no_common_question_is_an_error(place: Path) -> None:
    replace(START, wording="Another question").write(place)
    assert "no question is scored in both revisions" in error_of("HEAD")
    assert "compare revisions that have an arm and test questions in common" in error_of("HEAD")


def test_a_commit_without_kept_verdicts_gives_its_scores_without_a_test(place: Path) -> None:
    commit(place, replace(START, kept=False))
    write_json(place / "metrics/prepare.json", {"test": {"dev": {"read": 120}}})
    git(place, "add", "-A")
    git(place, "commit", "-qm", "the name of the set")
    replace(START, arms=arms(baseline=BASE_MARKS, full=IMPROVED)).write(place)
    page = run("HEAD")
    assert row_of(page, "full")[2:] == [
        "50.0",
        "60.0 (51.1 to 68.3, n=120)",
        "+10.0",
        *["–"] * 3,
        "not tested",
    ]
    assert "has no metrics/verdicts/ARM.csv of any arm" in page
    assert "- No change can be tested." in page


def test_a_revision_without_a_scored_question_is_not_called_unchanged(place: Path) -> None:
    for arm in START.arms:
        write_kept(place / f"metrics/verdicts/{arm}.csv", [])
    page = run("HEAD")
    assert "- No arm is scored in both revisions, so nothing is compared." in page
    assert "No answer changed" not in page


def test_arms_without_a_test_are_named_beside_those_that_are_unchanged(place: Path) -> None:
    git(place, "rm", "-q", "metrics/verdicts/full.csv")
    git(place, "commit", "-qm", "without verdicts of one arm")
    START.write(place)
    assert "- No answer changed between right and wrong; not tested: full on dev." in run("HEAD")


def test_another_evaluator_is_named(place: Path) -> None:
    replace(START, evaluator={"version": "3.0", "timeout_s": 5}).write(place)
    named = '- Judged by different evaluators (baseline, full: version "2.0" → "3.0", timeout_s – → 5)'
    assert named in run("HEAD")


# -- questions --


def test_the_first_questions_gained_and_lost_are_shown_with_both_predictions(place: Path) -> None:
    replace(START, arms=arms(baseline=BASE_MARKS, full=NOISE)).write(place)
    page = run("HEAD", "--questions", "1")
    assert "<summary>full on dev: 2 gained, 1 lost</summary>" in page
    assert "Gained (2, the first 1):" in page and "Lost (1):" in page
    assert page.count("```sql\n") == 2
    assert "-- db1, test row 115: How many of kind 115?\n-- gold\nSELECT 115\n" in page
    assert "-- base: wrong, syntax (the prediction is not available here)\n" in page
    assert "-- head: right\nSELECT 115 -- of full\n```" in page
    assert "```sql" not in run("HEAD", "--questions", "0")


def test_test_questions_of_another_run_are_not_shown(place: Path) -> None:
    replace(START, arms=arms(baseline=BASE_MARKS, full=NOISE)).write(place)
    shown = (place / "data/test/test.jsonl").read_text()
    (place / "data/test/test.jsonl").write_text(shown.replace("How many", "How few"))
    page = run("HEAD")
    assert "(the text is not available here)" in page and "How few" not in page


@pytest.mark.slow
def test_the_predictions_of_a_commit_come_from_the_cache_of_dvc(place: Path) -> None:
    subprocess.run(["dvc", "init", "-q"], cwd=place, check=True)
    stages = {
        "test": {"cmd": "true", "outs": ["data/test"]},
        "full": {"cmd": "true", "outs": ["data/predictions/full.jsonl"]},
    }
    (place / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    subprocess.run(["dvc", "commit", "-q", "-f"], cwd=place, check=True)
    git(place, "add", "-A")
    git(place, "commit", "-qm", "with DVC")
    replace(START, arms=arms(baseline=BASE_MARKS, full=NOISE)).write(place)
    shutil.rmtree(place / "data")
    page = run("HEAD")
    assert "-- db1, test row 115: How many of kind 115?\n-- gold\nSELECT 115\n" in page
    assert "-- base: wrong, syntax\nSELECT 115 -- of full\n-- head: right (the prediction is not" in page
    shutil.rmtree(place / ".dvc/cache")
    assert "(the text is not available here)" in run("HEAD")


def test_text_of_questions_cannot_leave_its_code_fence(place: Path) -> None:
    hostile = replace(START, wording="```\n<script>alert(1)</script> @everyone\n````")
    commit(place, hostile)
    replace(hostile, arms=arms(baseline=BASE_MARKS, full=NOISE)).write(place)
    page = run("HEAD")
    assert page.count("\n`````sql\n") == page.count("\n`````\n") == 3
    inside = page.split("`````sql\n")[1].split("\n`````\n")[0]
    assert inside.startswith("-- db1, test row 115: ``` <script>alert(1)</script> @everyone ```` 115?")


def test_half_a_character_in_a_prediction_is_shown_as_an_escape(place: Path) -> None:
    replace(START, arms=arms(baseline=BASE_MARKS, full=NOISE)).write(place)
    predicted = place / "data/predictions/full.jsonl"
    predicted.write_text(predicted.read_text().replace("-- of full", r"-- \ud800"))
    assert "SELECT 115 -- \\ud800\n" in run("HEAD")


def test_names_of_branches_arms_and_evaluators_are_only_text(place: Path) -> None:
    git(place, "branch", "<b>@team_")
    named = replace(
        START, arms=arms(**{"baseline": BASE_MARKS, "@arm": BASE_MARKS}), evaluator={"<i>": "@all"}
    )
    named.write(place)
    for path in (place / "metrics/verdicts").glob("*.csv"):
        path.unlink()
    page = run("<b>@team_")
    assert "&#60;b&#62;&#64;team&#95;" in page
    for markup in ("<b>", "<i>", "@team", "@all", "@arm on"):
        assert markup not in page.split("### ")[0], markup


def test_a_page_too_long_for_a_comment_shows_fewer_questions(place: Path) -> None:
    many = {f"arm{number}": BASE_MARKS for number in range(20)}
    wordy = replace(START, wording="word " * 60, query=f"SELECT '{'x' * 300}', ", arms=arms(**many))
    commit(place, wordy)
    replace(wordy, arms=arms(**dict.fromkeys(many, NOISE))).write(place)
    page = run("HEAD")
    assert len(page) < 65_536
    assert page.count("```sql\n") < 60
    assert len(run("HEAD", "--questions", "3")) > 65_536


# -- parameters, training, plots --


def test_parameters_that_changed_appeared_or_went_are_listed(place: Path) -> None:
    replace(START, params={"lora": {"rank": 64, "targets": ["a|b"]}, "none": None}).write(place)
    page = run("HEAD")
    assert "| `lora.rank` | `32` | `64` |\n" in page
    assert '| `lora.targets` | – | `["a\\|b"]` |\n' in page
    assert "| `none` | – | `null` |\n" in page
    assert "| `seed` | `42` | – |\n" in page


def test_figures_of_data_and_cost_that_changed_are_listed(place: Path) -> None:
    assert "### Data and cost" not in run("HEAD")
    write_json(place / "metrics/convert_schema.json", {"usd": 0.5, "schemas": 16})
    page = run("HEAD")
    assert "### Data and cost" in page and "| `convert_schema.usd` | – | `0.5` |\n" in page


def test_steps_losses_and_speed_of_a_changed_training_are_listed(place: Path) -> None:
    assert "### Training" not in run("HEAD")
    replace(START, losses=(3.0, 2.0, 1.5)).write(place)
    speed = place / "metrics/throughput/tokens_per_s/train_full.csv"
    speed.parent.mkdir(parents=True)
    speed.write_text("step,tokens_per_s\n1,900\n2,1100\n")
    assert "| train_full | 2 | 3 | 2.0000 | 1.5000 | – | 1000 |\n" in run("HEAD")


def test_every_test_set_has_a_chart_with_bars_for_head_and_a_line_for_base(place: Path) -> None:
    sets = {"dev": BASE_MARKS, "geo": "1000"}
    commit(place, replace(START, arms={"baseline": sets, "full": sets}))
    replace(START, arms={"baseline": sets, "full": {"dev": IMPROVED, "geo": "1100"}}).write(place)
    page = run("HEAD")
    assert page.count('x-axis ["baseline", "full"]\n') == 2
    assert 'title "dev: execution accuracy in percent: bars head, line base"\n' in page
    assert "bar [50, 60]\n  line [50, 50]\n" in page
    assert "bar [25, 50]\n  line [25, 25]\n" in page


def test_with_an_arm_that_the_base_does_not_have_there_is_no_line(place: Path) -> None:
    replace(START, arms=arms(baseline=BASE_MARKS, new=BASE_MARKS)).write(place)
    page = run("HEAD")
    assert "bar [50, 50]\n" in page and "line [" not in page


def test_a_test_set_without_scores_has_no_chart(place: Path) -> None:
    unscored = {"own": "?" * 4, "dev": BASE_MARKS}
    replace(START, arms={"baseline": unscored, "full": unscored}).write(place)
    page = run("HEAD")
    assert page.count("xychart-beta") == 1 and "own" not in page


def test_only_changed_losses_are_plotted(place: Path) -> None:
    assert "training loss" not in run("HEAD")
    replace(START, losses=(3.0, 1.5)).write(place)
    assert "line [3, 1.5]\n  line [3, 2]\n" in run("HEAD")


def test_a_long_history_is_thinned_and_keeps_its_last_value(place: Path) -> None:
    replace(START, losses=[float(step) for step in range(1, 1001)]).write(place)
    drawn = next(line for line in run("HEAD").splitlines() if line.strip().startswith("line [25"))
    assert len(drawn.split(",")) == 40
    assert drawn.endswith(" 1000]")


def test_the_table_of_all_arms_is_folded_away(place: Path) -> None:
    assert "<details><summary>All arms of the working tree" in run("HEAD")


# -- revisions --


def test_two_commits_can_be_compared_and_the_working_tree_has_no_part(place: Path) -> None:
    first = git(place, "rev-parse", "HEAD").strip()
    commit(place, replace(START, arms=arms(baseline=BASE_MARKS, full=IMPROVED)))
    replace(START, params={}, arms=arms(baseline="0000", full="0000")).write(place)
    page = run(first, "main")
    assert page.startswith("## Scores of main (") and f"compared with {first[:10]}\n" in page
    assert row_of(page, "full")[-1] == "**better**"
    assert "No parameter changed." in page


def test_the_working_tree_says_whether_it_has_uncommitted_changes(place: Path) -> None:
    assert "uncommitted" not in run("HEAD")
    (place / "params.yaml").write_text("seed: 43\n")
    page = run("HEAD")
    assert (
        page.startswith("## Scores of the working tree (") and ", with uncommitted changes) compared" in page
    )
    assert "| `seed` | `42` | `43` |\n" in page


def test_a_project_below_the_top_of_its_repository_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "inner project"
    inner.mkdir()
    git(tmp_path, "init", "-q")
    commit(inner, START)
    replace(START, arms=arms(baseline=BASE_MARKS, full=IMPROVED)).write(inner)
    monkeypatch.chdir(inner)
    assert row_of(run("HEAD"), "full")[-1] == "**better**"


@pytest.mark.parametrize("name", ["nowhere", "--all", "HEAD:params.yaml", "", "$(touch x)"])
def test_an_unknown_revision_is_an_error_with_a_next_step(place: Path, name: str) -> None:
    said = error_of("--", name)
    assert f"error: {name}: no such commit in this repository" in said and "`git fetch`" in said
    assert not (place / "x").exists()


def test_a_shallow_clone_without_the_base_says_how_to_get_it(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = git(place, "rev-parse", "HEAD").strip()
    commit(place, replace(START, losses=(1.0,)))
    clone = tmp_path_factory.mktemp("clone")
    git(clone, "clone", "-q", "--depth", "1", f"file://{place}", ".")
    monkeypatch.chdir(clone)
    said = error_of(first)
    assert "this clone is shallow: `git fetch --unshallow`" in said and "fetch-depth: 0" in said
    git(clone, "fetch", "-q", "--unshallow")
    assert row_of(run(first), "full")[-1] == "unchanged"


def test_outside_a_repository_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    said = error_of("HEAD")
    assert "not a git repository" in said and "run `text2sql compare` in the project's folder" in said


def test_without_git_the_error_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    assert "git is not installed" in error_of("HEAD")


def test_a_repository_without_a_commit_or_without_metrics_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    assert "HEAD: no such commit" in error_of("HEAD")
    git(tmp_path, "commit", "-qm", "empty", "--allow-empty")
    said = error_of("HEAD")
    assert "no metrics/summary.json; `dvc repro` writes" in said


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "summary": ("metrics/summary.json", b"{", "not JSON"),
    "list": ("metrics/summary.json", b"[1]", "not a JSON object"),
    "bytes": ("metrics/full.json", b"\xff", "not UTF-8"),
    "kept": ("metrics/verdicts/full.csv", b"row,test_set,db_id,question,right,error\n1,a,b,c,2,\n", "line 2"),
    "short": ("metrics/verdicts/full.csv", b"row,test_set,db_id,question,right,error\n1,a\n", "line 2"),
    "head": ("metrics/verdicts/full.csv", b"a,b\n1,2\n", "line 2"),
    "params": ("params.yaml", b"a: [", "not YAML"),
    "merge": ("params.yaml", b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n", "not YAML"),
    "loss": ("metrics/loss/train_full.csv", b"step,loss\n1,none\n", "not a step and a number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_its_revision(place: Path, case: str) -> None:
    path, content, expected = BROKEN[case]
    (place / path).write_bytes(content)
    said = error_of("HEAD")
    assert path in said and expected in said
    git(place, "commit", "-qam", "broken")
    START.write(place)
    said = error_of("HEAD")
    assert path in said and expected in said and git(place, "rev-parse", "HEAD")[:10] in said
