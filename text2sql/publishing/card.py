"""Model cards in Hugging Face's format: metadata in YAML that the hub reads, and a page for people.

Every number is one of the pipeline's metrics; what the pipeline does not know is called unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text2sql.report.markdown import ABSENT, plain
from text2sql.report.scores import LEVELS, OTHER_METRICS, ArmScores
from text2sql.report.table import LossHistory

if TYPE_CHECKING:
    from huggingface_hub import EvalResult
    from jinja2 import Template

PROJECT = "Text2SQL-Qwen3-1.7B"
BASE = "models/base"
DATA = "data/train"
_TEMPLATE = Path(__file__).with_name("card.md")
_METRICS = {"ex": "Execution accuracy", "ex_plug": "Execution accuracy, gold's values plugged in"} | {
    "ts": "Test-suite accuracy",
    "ts_plug": "Test-suite accuracy, gold's values plugged in",
    "em": "Exact set match",
    "bird_ex": "BIRD's execution accuracy",
    "soft_f1": "BIRD's Soft F1 (mean)",
    "r_ves": "BIRD's R-VES (mean, noisy)",
    "strict": "Strict execution accuracy",
}


@dataclass(frozen=True)
class Source:
    """Training rows of one source: their number, and the data set on the hub that they are from, if any."""

    name: str
    rows: int | None
    repo: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Scored:
    """The scores of an arm with this model on one test set, and those of the base model."""

    test_set: str
    arm: ArmScores
    baseline: ArmScores | None


@dataclass(frozen=True)
class CardFacts:
    """What a card says about the model in models/`name`.

    `base` is what metrics/fetch_model.json says of the base model, `start` the folder that training started
    from, `rows` the folder with its training rows. `recipe` are the settings by name. `leaks` is
    metrics/dedupe_test.json, {} if there is none.
    """

    name: str
    base: Mapping[str, Any]
    start: str
    rows: str
    rank: int | None
    recipe: Mapping[str, Any]
    loss: LossHistory | None
    sources: Sequence[Source]
    leaks: Mapping[str, Any]
    scored: Sequence[Scored]
    cutoff_len: int
    schema_types: bool
    code: str

    @property
    def builtin(self) -> bool:
        """Whether base model and training rows are the project's own, made by the pipeline."""
        return self.base.get("source") == "builtin" and not self.sources

    @property
    def licence(self) -> str | None:
        """The licence that the base model states, which the trained weights inherit; None: unknown."""
        value = self.base.get("licence") if self.start == BASE else None
        return value if isinstance(value, str) else None


def model_card(facts: CardFacts) -> str:
    """The card's text: metadata between two lines of `---`, then Markdown."""
    return _template().render(
        metadata=_metadata(facts),
        title=f"{facts.name}: text-to-SQL, by {PROJECT}",
        about=_about(facts),
        fence="`" * max(3, 1 + max(map(len, re.findall("`+", facts.code)), default=0)),
        code=facts.code,
        use=_use(facts),
        scores="\n".join(_scores(facts)).strip(),
        data="\n".join(_data(facts)),
        contamination="\n".join(_contamination(facts)),
        recipe="\n".join(_recipe(facts)),
        limits="\n".join(f"- {limit}" for limit in _limits(facts)),
        licence=_licence(facts),
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


# -- metadata --


def _metadata(facts: CardFacts) -> str:
    """The YAML that the hub reads, written by huggingface_hub."""
    from huggingface_hub import ModelCardData

    licence, name = _hub_licence(facts.licence or "unknown")
    data = ModelCardData(
        license=licence,
        license_name=name,
        base_model=facts.base["name"] if facts.base.get("source") == "hub" and facts.start == BASE else None,
        datasets=[source.repo for source in facts.sources if source.repo] or None,
        language="en" if facts.builtin else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["text-to-sql", "sql", "sqlite"],
        model_name=facts.name,
        eval_results=list(_results(facts)) or None,
    )
    return data.to_yaml()


def _hub_licence(licence: str) -> tuple[str, str | None]:
    """A licence as the hub wants it: an identifier, or `other` and its name."""
    return (licence, None) if re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", licence) else ("other", licence)


def _results(facts: CardFacts) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    for scored in facts.scored:
        for metric, percent in _measured(scored.arm):
            of_arm = "" if scored.arm.name == facts.name else f", arm {scored.arm.name}"
            yield EvalResult(
                task_type="text-generation",
                task_name="Text-to-SQL",
                dataset_type=scored.test_set or "test",
                dataset_name=scored.test_set or "test",
                dataset_split="test",
                metric_type="execution_accuracy" if metric == "ex" else metric,
                metric_name=f"{_METRICS[metric]}{of_arm} (percent)",
                metric_value=percent,
            )


def _measured(arm: ArmScores) -> Iterator[tuple[str, float]]:
    """Each metric of an arm over all questions, in percent."""
    if (percent := arm.ex.get("all")) is not None:
        yield "ex", percent
    for metric in OTHER_METRICS:
        if share := arm.others.get(metric):
            yield metric, share.percent


# -- the page --


def _about(facts: CardFacts) -> str:
    how = "all of its weights trained" if facts.rank is None else f"a LoRA adapter of rank {facts.rank}"
    published = "" if facts.rank is None else " Published weights have the adapter merged into the base."
    return (
        "The model turns a question about a database, with the schema as CREATE TABLE text, into one SQLite "
        f"query. It is {_base(facts)}, with {how}.{published}"
    )


def _base(facts: CardFacts) -> str:
    """The base model with its revision."""
    if facts.start != BASE:
        return f"a model that was in the folder {_code(facts.start)}"
    base = facts.base
    if not base:
        return "an unknown base model"
    size = f"{base['parameters']:,} parameters" if base.get("parameters") else "unknown size"
    what = f"{base.get('architecture', 'unknown architecture')}, {size}"
    match base.get("source"):
        case "builtin":
            return f"a tiny model ({what}) that the pipeline trained itself on a built-in benchmark"
        case "hub":
            place = f"https://huggingface.co/{base['name']}"
            return f"[{base['name']}]({place}) at commit {_code(base['commit'])} ({what})"
        case "package":
            return f"the model in the Python package {_code(base['name'])} ({what})"
    place = _code(str(base.get("name")))
    return f"the model in the folder {place}, SHA-256 {_code(str(base.get('sha256')))} ({what})"


def _use(facts: CardFacts) -> str:
    types = "with" if facts.schema_types else "without"
    return (
        "The prompt is the one that the model was trained with; other wordings give worse queries. Schemas "
        f"are CREATE TABLE statements {types} column types. The model can write any statement: run its "
        "queries on a read-only connection, with a time limit."
    )


def _scores(facts: CardFacts) -> Iterator[str]:
    if not any(scored.arm.rows for scored in facts.scored):
        yield "Nothing is scored: no test question has gold SQL that runs."
        return
    yield (
        "Execution accuracy is the share of questions whose predicted query returns the same rows as the "
        "gold query. Everything in percent, with 95 % intervals (low to high) and the number of questions."
    )
    for scored in facts.scored:
        if scored.arm.rows:
            title = scored.test_set or "Test questions"
            named = "" if scored.arm.name == facts.name else f", arm {scored.arm.name}"
            yield from ("", f"### {title}{named}", "", *_tables(scored, facts.start == BASE))
    evaluators = {str(scored.arm.evaluator.get("version", "unknown")) for scored in facts.scored}
    yield from ("", f"Evaluator: {PROJECT}, version {', '.join(sorted(evaluators))}.")


def _tables(scored: Scored, on_base: bool) -> Iterator[str]:
    """By hardness, beside the arm baseline; `on_base`: whether that has this model's base.

    Then the other metrics.
    """
    arm, baseline = scored.arm, scored.baseline
    rows = [["hardness", "questions", "this model", "base model" if on_base else "arm baseline"]]
    for level in LEVELS:
        if arm.n.get(level):
            rows.append([level, str(arm.n[level]), _at(arm, level), _at(baseline, level)])
    yield from plain(rows)
    yield ""
    for metric in OTHER_METRICS:
        if share := arm.others.get(metric):
            interval = f"{share.low:.1f} to {share.high:.1f}, n={share.n}"
            yield f"- {_METRICS[metric]}: {share.percent:.1f} ({interval})"
    if len(arm.slices) > 1:
        shares = ", ".join(
            f"{name} {share:.1f} (n={arm.slice_n[name]})" for name, share in arm.slices.items()
        )
        yield f"- Execution accuracy by slice of the test set: {shares}"


def _at(arm: ArmScores | None, level: str) -> str:
    """The execution accuracy of an arm at one hardness, with its interval."""
    if arm is None or (percent := arm.ex.get(level)) is None:
        return ABSENT
    ends = arm.ci95.get(level)
    return f"{percent:.1f}" + (f" ({ends['low']:.1f} to {ends['high']:.1f})" if ends else "")


def _data(facts: CardFacts) -> Iterator[str]:
    if facts.rows != DATA:
        yield f"The rows in the folder {_code(facts.rows)}, which is not one of the pipeline's."
        return
    kept = facts.leaks.get("kept")
    total = f"{kept:,} rows" if isinstance(kept, int) else "an unknown number of rows"
    if not facts.sources:
        yield f"{total} that the pipeline generated, those of its built-in benchmark."
        return
    yield from (f"{total} from these sources (rows before de-duplication):", "")
    for source in facts.sources:
        rows = ABSENT if source.rows is None else f"{source.rows:,}"
        place = (
            f": https://huggingface.co/datasets/{source.repo}" if source.repo else ": a file of the trainer's"
        )
        commit = f" at commit {_code(source.commit)}" if source.commit else ""
        yield f"- {source.name} ({rows} rows){place}{commit}"


def _contamination(facts: CardFacts) -> Iterator[str]:
    leaks = facts.leaks
    if facts.rows != DATA or not leaks:
        yield "Unknown: the pipeline did not compare these training rows with the test questions."
        return
    rules = ", ".join(f"{name} {count:,}" for name, count in leaks["removed_by_rule"].items())
    yield (
        f"{leaks['removed']:,} of {leaks['rows']:,} training rows leaked test questions and were removed"
        + (f" (by rule: {rules})." if rules else ".")
    )
    for name, shares in leaks.get("test_sets", {}).items():
        yield (
            f"Of {name}'s {shares['questions']:,} questions {shares['before']:.1f} % had such a row before, "
            f"and {shares['after']:.1f} % after the removal, by the strictest rules that need no model."
        )
    yield (
        "Not found: paraphrases with other words and other SQL."
        if facts.base.get("source") == "builtin"
        else "Not found: paraphrases with other words and other SQL, and what the base model has read before."
    )


def _recipe(facts: CardFacts) -> Iterator[str]:
    rows = [["setting", "value"], *([_code(name), _code(str(value))] for name, value in facts.recipe.items())]
    yield from plain(rows)
    if facts.loss:
        loss = facts.loss
        yield from (
            "",
            f"Trained for {loss.steps:,} steps; loss {loss.first:.4f} (first logged) and {loss.last:.4f} "
            "(last), in nats per token.",
        )


def _limits(facts: CardFacts) -> Iterator[str]:
    if facts.builtin:
        yield (
            "A demonstration: the model knows little more than the words and query forms of the built-in "
            "benchmark, and is of no use on real databases."
        )
    yield "SQLite's dialect only."
    yield f"Trained on sequences of at most {facts.cutoff_len:,} tokens, so on no larger schema."
    yield "A query can be wrong and run: it returns rows, and they answer another question."
    yield (
        "Each test question has one database, so a wrong query that happens to return the right rows counts "
        "as right."
    )
    yield "Not measured: questions in other languages than the test sets', and hostile questions."


def _licence(facts: CardFacts) -> str:
    if facts.builtin:
        return f"{facts.licence or 'unknown'}: base model, training rows and code are those of {PROJECT}."
    stated = (
        f"{facts.licence}, as the base model states."
        if facts.licence
        else "Unknown: the base model came without a statement of its licence. Ask its authors before you "
        "pass the weights on."
    )
    return (
        f"{stated} The training data have licences of their own, which the pipeline does not read: look them "
        "up before you publish the weights."
    )


def _code(text: str) -> str:
    """Text in monospace, also in a table."""
    return "`" + " ".join(text.replace("`", "'").split()).replace("|", "\\|") + "`"
