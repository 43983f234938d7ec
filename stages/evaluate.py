"""Stage evaluate: runs the predictions of an arm and the gold queries, compares the results, scores them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from stages._predictions import read_predictions, read_questions
from text2sql.databases import check_databases
from text2sql.evaluation.doubtful.kept import kept_reasons
from text2sql.evaluation.doubtful.questions import Gold
from text2sql.evaluation.execution.databases import warning_of_ignored
from text2sql.evaluation.judge import describe, judge
from text2sql.evaluation.scores_by_set import ScoresBySet
from text2sql.evaluation.settings import JudgeSettings
from text2sql.evaluation.verdicts import Case, Verdict, without_gold
from text2sql.files import read_jsonl, write_json, write_jsonl
from text2sql.progress import Progress
from text2sql.records import ConvertedQuestion
from text2sql.report.kept_verdicts import kept_verdicts, write_kept
from text2sql.workstore import WorkStore


@click.command()
@click.option("--arm", required=True)
@click.option("--questions", required=True, type=click.Path(path_type=Path))
@click.option("--predictions", required=True, type=click.Path(path_type=Path))
@click.option("--databases", required=True, type=click.Path(path_type=Path))
@click.option("--suites", required=True, type=click.Path(path_type=Path))
@click.option("--verdicts", required=True, type=click.Path(path_type=Path))
@click.option("--kept", required=True, type=click.Path(path_type=Path), help="CSV file kept in git.")
@click.option("--metrics", required=True, type=click.Path(path_type=Path))
@stage_main
def main(
    arm: str,
    questions: Path,
    predictions: Path,
    databases: Path,
    suites: Path,
    verdicts: Path,
    kept: Path,
    metrics: Path,
) -> None:
    """Judge the predictions of ARM and write verdicts and scores."""
    settings = JudgeSettings(**load_params().evaluate.model_dump())
    asked = read_questions(questions)
    predicted = read_predictions(predictions, asked, arm)
    scored = [q for q in asked if has_gold(q)]
    check_databases(databases, ((q.test_set, q.db_id) for q in scored))
    if ignored := warning_of_ignored(databases, (question.db_id for question in scored)):
        print(f"warning: {ignored}", file=sys.stderr)
    cases = [Case(q.row, q.db_id, q.gold, predicted[q.row].sql, q.slice) for q in scored]
    judged = judge(cases, databases, settings, gold_cache=gold_cache(), suite=suites) if cases else ()
    golds = [Gold(q.row, q.db_id, q.gold, q.question) for q in scored]
    doubtful = kept_reasons(golds, databases, settings, WorkStore.from_environment())
    scores = ScoresBySet((q.test_set for q in asked), doubtful)
    for question in asked:
        scores.count_answers(question.test_set, predicted[question.row].problems or {})
    write_jsonl(verdicts, watched(asked, judged, scores, arm, questions))
    write_kept(kept, kept_verdicts(asked, read_jsonl(verdicts)))
    write_json(metrics, scores.metrics(describe(settings)))
    for warning in scores.warnings():
        print(f"warning: {questions}: {warning}", file=sys.stderr)


def has_gold(question: ConvertedQuestion) -> bool:
    """Whether the question has a gold query; a blank one counts as none."""
    return bool(question.gold.strip())


def gold_cache() -> Path:
    """The file in which all arms and all experiments keep the results of gold queries."""
    return WorkStore.from_environment().root / "evaluate" / "gold.sqlite"


def watched(
    asked: Sequence[ConvertedQuestion],
    judged: Iterable[Verdict],
    scores: ScoresBySet,
    arm: str,
    questions: Path,
) -> Iterator[dict[str, object]]:
    """Count the verdict of each question and yield its row; report failing gold queries on stderr."""
    progress = Progress(len(asked), "questions", f"evaluate {arm}")
    for question, verdict in with_verdicts(asked, judged):
        row = scores.add(question.test_set, verdict)
        progress.advance()
        if verdict.gold_failed:
            what = f"{questions}, row {verdict.row} (database {verdict.db_id})"
            print(
                f"warning: {what}: left out, {verdict.error}: {verdict.message}{_advice(verdict)}",
                file=sys.stderr,
            )
        yield row


def _advice(verdict: Verdict) -> str:
    return "; `dvc repro --force fetch_data` fetches it again" if verdict.error == "gold: database" else ""


def with_verdicts(
    asked: Iterable[ConvertedQuestion], judged: Iterable[Verdict]
) -> Iterator[tuple[ConvertedQuestion, Verdict]]:
    """Pair each question with its verdict; `judged` has those of the questions with gold, in their order."""
    remaining = iter(asked)
    for verdict in judged:
        for question in remaining:
            if has_gold(question):
                yield question, verdict
                break
            yield question, _without_gold(question)
    for question in remaining:
        yield question, _without_gold(question)


def _without_gold(question: ConvertedQuestion) -> Verdict:
    return without_gold(question.row, question.db_id, question.slice)


if __name__ == "__main__":
    main()
