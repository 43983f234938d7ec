"""Remove training rows that leak test questions, and write the evidence for each.

Reads train.jsonl and test.jsonl (and planted.json, if there is one) below --prepared, and for the rule
same_result the test databases (ID/ID.sqlite) below --databases. Writes rows.jsonl (the rows kept),
removed.jsonl (the rows removed, each with its evidence), leaks.md (what was found, for people), sft.json and
dataset_info.json (LLaMA-Factory's alpaca form, data set "train") below --output.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.contamination.duplicates import Duplicates
from text2sql.contamination.exposure import Exposure
from text2sql.contamination.labelled import LabelledSet, label_report, labelled_set
from text2sql.contamination.leaks import Embed, Evidence, find_leaks
from text2sql.contamination.lookalikes import lookalike_set, write_databases
from text2sql.contamination.page import EXAMPLES, Example, leaks_page
from text2sql.contamination.settings import DedupeTest, Rules
from text2sql.errors import UserError
from text2sql.files import read_json, replacing, replacing_folder, write_json
from text2sql.progress import Progress
from text2sql.prompts import prompt_form, schema_text
from text2sql.records import TestQuestion, TrainingRow, iterate_records, read_records
from text2sql.schema.settings import Prompt
from text2sql.training.dataset import turn, write_dataset

Found = tuple[TrainingRow, Evidence | None]
_EMBEDDED_AT_ONCE = 64  # questions


@dataclass
class Tally:
    """Counts of kept and removed rows; the numbers of the rows are kept only if leaks were planted."""

    settings: DedupeTest
    planted: list[dict[str, Any]] | None
    rows: Counter[str] = field(default_factory=Counter)  # by source, as are the next two
    removed: Counter[tuple[str, str]] = field(default_factory=Counter)  # and rule
    repeated: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)
    present: set[int] = field(default_factory=set)
    found: set[int] = field(default_factory=set)

    def note(self, row: TrainingRow, evidence: Evidence | None) -> None:
        """Count one row."""
        self.rows[row.source] += 1
        if evidence:
            self.removed[row.source, evidence.rule] += 1
            if self.by_rule()[evidence.rule] <= EXAMPLES:
                self.examples.append((row, evidence))
        if self.planted is not None:
            (self.found if evidence else self.present).add(_row_number(row.id))

    def by_rule(self) -> Counter[str]:
        """The removed rows by rule."""
        counts: Counter[str] = Counter()
        for (_, rule), count in self.removed.items():
            counts[rule] += count
        return counts

    def kept(self) -> int:
        """Rows that are neither leaks nor, if those are removed, repeated."""
        return self.rows.total() - self.removed.total() - self._removed_duplicates()

    def figures(self) -> dict[str, Any]:
        """The figures of metrics/dedupe_test.json, in rows; `planted` only if leaks were planted."""
        rules, by_rule = self.settings.names(), self.by_rule()
        figures: dict[str, Any] = {
            "rows": self.rows.total(),
            "kept": self.kept(),
            "removed": self.removed.total(),
            "removed_by_rule": {rule: by_rule[rule] for rule in rules},
            "removed_by_source": {source: self._of_source(source, rules) for source in self.rows},
            "duplicates": {
                "rows": self.repeated.total(),
                "removed": self._removed_duplicates(),
                "by_source": dict(self.repeated),
            },
        }
        if self.planted is not None:
            figures["planted"] = planted_by_kind(self.present, self.found, self.planted)
        return figures

    def _of_source(self, source: str, rules: Sequence[str]) -> dict[str, int]:
        counts = {rule: self.removed[source, rule] for rule in rules}
        return {"rows": self.rows[source], **counts, "removed": sum(counts.values())}

    def _removed_duplicates(self) -> int:
        return self.repeated.total() if self.settings.duplicates == "remove" else 0


@click.command(help=__doc__)
@click.option("--prepared", type=click.Path(path_type=Path), required=True)
@click.option("--databases", type=click.Path(path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(prepared: Path, databases: Path, output: Path, metrics: Path) -> None:
    params = load_params()
    train, settings = prepared / "train.jsonl", params.dedupe_test
    test = read_records(prepared / "test.jsonl", TestQuestion)
    tally, exposure = Tally(settings, read_planted(prepared / "planted.json")), Exposure(test)
    found = exposure.watch(find(train, test, settings, databases))
    with replacing_folder(output) as folder:
        kept = split(with_progress(found, train), folder, tally)
        write_dataset(turns(kept, params.prompt), folder)
        if tally.kept() == 0:
            raise UserError(
                f"{train}: all {tally.rows.total()} rows leak test questions; use other rows, then dvc repro"
            )
        figures = tally.figures() | {"test_sets": exposure.shares()}
        (folder / "leaks.md").write_text(leaks_page(figures, tally.examples, test), encoding="utf-8")
    if settings.labelled:
        figures |= measure(settings)
    write_json(metrics, figures)


def find(path: Path, test: Sequence[TestQuestion], settings: DedupeTest, databases: Path) -> Iterator[Found]:
    """Yield the rows of train.jsonl with the evidence against each; the search runs here or on Ray."""
    if settings.executor == "ray":
        from text2sql.contamination.ray_leaks import find_leaks_on_ray

        return find_leaks_on_ray(path, test, settings, load_embed if settings.embedding else None, databases)
    embed = load_embed() if settings.embedding else None
    return find_leaks(iterate_records(path, TrainingRow), test, settings, embed, databases=databases)


def with_progress(found: Iterable[Found], path: Path) -> Iterator[Found]:
    """Pass on the rows of a file, and show the progress on stderr.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; next: dvc repro prepare")
    with open(path, "rb") as file:
        progress = Progress(sum(1 for line in file if line.strip()), "rows", "dedupe_test")
    for row in found:
        yield row
        progress.advance()


def split(found: Iterable[Found], folder: Path, tally: Tally) -> Iterator[TrainingRow]:
    """Yield the rows to keep; write them to rows.jsonl, the others with the evidence to removed.jsonl."""
    duplicates = Duplicates()
    with replacing(folder / "rows.jsonl") as rows, replacing(folder / "removed.jsonl") as removed:
        for row, evidence in found:
            tally.note(row, evidence)
            against = dataclasses.asdict(evidence) if evidence else _repeated(row, duplicates, tally)
            value = dataclasses.asdict(row) | ({"evidence": against} if against else {})
            (removed if against else rows).write(json.dumps(value, ensure_ascii=False) + "\n")
            if not against:
                yield row


def _repeated(row: TrainingRow, duplicates: Duplicates, tally: Tally) -> dict[str, str] | None:
    """Count a row that repeats an earlier one; what to write beside it if such rows are removed, or None."""
    earlier = duplicates.first(row)
    if earlier is None:
        return None
    tally.repeated[row.source] += 1
    return {"rule": "duplicate", "of": earlier} if tally.settings.duplicates == "remove" else None


def turns(rows: Iterable[TrainingRow], prompt: Prompt) -> Iterator[dict[str, str]]:
    """The rows as LLaMA-Factory trains on them."""
    form = prompt_form(prompt.form)
    for row in rows:
        schema = schema_text(row.ddl, prompt.schema_types, prompt.comments)
        yield turn(schema, row.question, row.sql, form)


def measure(rules: Rules) -> dict[str, Any]:
    """Precision and recall of the rules on both labelled sets."""
    embed = load_embed() if rules.embedding else None

    def report(labelled: LabelledSet, databases: Path) -> dict[str, Any]:
        def removed(train: list[TrainingRow], test: list[TestQuestion]) -> dict[str, Evidence]:
            found = find_leaks(train, test, rules, embed, databases=databases)
            return {row.id: evidence for row, evidence in found if evidence}

        return label_report(removed, labelled)

    with TemporaryDirectory() as name:
        write_databases(Path(name))
        # the first set has no databases with rows
        first = [dataclasses.replace(question, db_id="") for question in labelled_set()[0]]
        return {
            "labelled": report((first, labelled_set()[1]), Path(name)),
            "lookalikes": report(lookalike_set(), Path(name)),
        }


def load_embed() -> Embed:
    """The packaged MiniLM.

    Raises:
        UserError: it is not installed.
    """
    # imported here: it loads torch, which takes seconds, and few profiles use it
    from text2sql.retrieval.embed import PACKAGED_MODEL, load_embedder

    return load_embedder(PACKAGED_MODEL, _EMBEDDED_AT_ONCE).embed


def read_planted(path: Path) -> list[dict[str, Any]] | None:
    """The leaks that the built-in benchmark planted; None if there is no such file.

    Raises:
        UserError: an entry has no test_row, train_row or kind.
    """
    if not path.is_file():
        return None
    planted: list[dict[str, Any]] = read_json(path)
    for number, entry in enumerate(planted):
        if not isinstance(entry, dict) or not {"test_row", "train_row", "kind"} <= set(entry):
            raise UserError(
                f"{path}, entry {number}: expected test_row, train_row and kind; "
                "make it again: dvc repro fetch_data"
            )
    return planted


def planted_by_kind(
    kept: set[int], removed: set[int], planted: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, int]]:
    """How many planted leaks of each kind were found (removed) and missed (kept).

    `absent` counts those that prepare had already left out. A planted row is identified by its number in
    the only training file, which is at the end of its id.
    """
    kinds: dict[str, dict[str, int]] = {}
    for entry in planted:
        figures = kinds.setdefault(entry["kind"], {"found": 0, "missed": 0, "absent": 0})
        number = entry["train_row"]
        figures["found" if number in removed else "missed" if number in kept else "absent"] += 1
    return dict(sorted(kinds.items()))


def _row_number(row_id: str) -> int:
    return int(row_id.rpartition(":")[2])


if __name__ == "__main__":
    main()
