"""What it is worth to prefer queries with rows when samples vote: execution accuracy of three ways to choose.

Prints a Markdown table. All ways choose among the same answers; differences are to the vote that counts equal
results alone, paired by question. The answers are kept in --work, so that a second run is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

import click

from text2sql.evaluation.judge import judge
from text2sql.evaluation.scores import mcnemar, wilson_interval
from text2sql.evaluation.settings import EvaluationSettings, JudgeSettings
from text2sql.evaluation.verdicts import Case
from text2sql.inference.engine import Engine
from text2sql.inference.extract import extract_sql
from text2sql.inference.questions import Chat, read_chats
from text2sql.inference.rounds import draw
from text2sql.inference.settings import Batching, Decoding, SamplingPlan
from text2sql.inference.voting import Candidates, Comparison, choose, compare
from text2sql.inference.weights import resolve_weights
from text2sql.records import ConvertedQuestion, read_records

SEED = 42
HEAD = """| | EX (95 % interval) | queries that differ | better | worse | p (McNemar) |
|---|---:|---:|---:|---:|---:|"""

existing = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--weights", type=existing, default="models/full", show_default=True)
@click.option("--questions", type=existing, default="data/test/test.jsonl", show_default=True)
@click.option("--databases", type=existing, default="data/raw/databases", show_default=True)
@click.option("--temperature", default=0.8, show_default=True, help="Temperature of random draws.")
@click.option("--samples", default=8, show_default=True, help="As predict.samples.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for the answers.")
def main(
    weights: Path, questions: Path, databases: Path, temperature: float, samples: int, work: Path
) -> None:
    """Print the execution accuracy of the greedy query, and of the query that each vote chooses."""
    chats, records = read_chats(questions, schema_types=False), read_records(questions, ConvertedQuestion)
    greedy = answers(weights, chats, 0.0, 1, work / "greedy")
    drawn = answers(weights, chats, temperature, samples, work / "drawn")
    compared = compare(drawn, databases, EvaluationSettings())
    pairs = list(zip(drawn, compared, strict=True))
    found = {
        "greedy": [one.queries[0] for one in greedy],
        "vote of equal results": [by_votes_alone(*pair) for pair in pairs],
        "vote, rows preferred": [one.queries[choose(one, results).chosen] for one, results in pairs],
    }
    judged = {name: verdicts(records, queries, databases) for name, queries in found.items()}
    click.echo(f"{weights}, {len(chats)} questions, {samples} samples at {temperature}\n\n{HEAD}")
    former = "vote of equal results"
    for name, right in judged.items():
        other = sum(a != b for a, b in zip(found[name], found[former], strict=True))
        click.echo(line(name, right, judged[former], other))


def answers(
    weights: Path, chats: Sequence[Chat], temperature: float, samples: int, work: Path
) -> list[Candidates]:
    """The queries of each question, drawn or read from the folder `work`."""
    work.mkdir(parents=True, exist_ok=True)
    plan = SamplingPlan(samples=samples, seed=SEED)
    drawn = draw(engine(weights, temperature, samples), chats, plan, 0, work, work.name)
    if len(drawn) < len(chats):
        raise click.ClickException("some prompts are too long for the model; choose other questions")
    return [
        Candidates(
            one.chat.db_id,
            tuple(extract_sql(answer.text) for answer in one.answers),
            tuple(answer.logprob for answer in one.answers),
        )
        for one in drawn
    ]


def engine(weights: Path, temperature: float, samples: int) -> Engine:
    """The engine of the pipeline, with the embedded profile's batches."""
    # imported here, because every worker process of the judge imports this file
    from text2sql.inference.transformers_engine import TransformersEngine

    decoding = Decoding(max_new_tokens=80, temperature=temperature, likelihood=samples > 1)
    return TransformersEngine(resolve_weights(weights), decoding, Batching(), threads=1)


def by_votes_alone(question: Candidates, compared: Comparison) -> str:
    """The query whose result is the most frequent, with rows or without; ties as in the pipeline."""

    def rank(at: int) -> tuple[int, float, int]:
        logprob = question.logprobs[at]
        return compared.votes[question.queries[at]], -inf if logprob is None else logprob, -at

    return question.queries[max(range(len(question.queries)), key=rank)]


def verdicts(questions: Sequence[ConvertedQuestion], queries: Sequence[str], databases: Path) -> list[bool]:
    """Whether each query is right; questions whose gold query fails are left out."""
    cases = [Case(q.row, q.db_id, q.gold, sql) for q, sql in zip(questions, queries, strict=True)]
    found = judge(cases, databases, JudgeSettings(keep_value=True), method="spawn")
    return [bool(verdict.ex) for verdict in found if not verdict.gold_failed]


def line(name: str, right: Sequence[bool], former: Sequence[bool], other: int) -> str:
    """A row of the table; accuracy in percent."""
    low, high = wilson_interval(sum(right), len(right))
    better = count(right, former, lambda now, before: now and not before)
    worse = count(right, former, lambda now, before: before and not now)
    accuracy = f"{100 * sum(right) / len(right):.1f} ({low:.1f} to {high:.1f})"
    return f"| {name} | {accuracy} | {other} | {better} | {worse} | {mcnemar(right, former):.2f} |"


def count(now: Sequence[bool], before: Sequence[bool], holds: Callable[[bool, bool], bool]) -> int:
    """The number of questions for which `holds` is true."""
    return sum(holds(*pair) for pair in zip(now, before, strict=True))


if __name__ == "__main__":
    main()
