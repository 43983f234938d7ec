"""Compares the arms of params.yaml: tables and figures for DVC, and a page with every question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from stages._cards import write_cards
from stages._main import stage_main
from stages._params import Params, load_params
from stages._provenance import provenance
from text2sql.files import replacing, write_json
from text2sql.report import sets
from text2sql.report.html.inputs import Places, read_content
from text2sql.report.html.page import Content, page
from text2sql.report.scores import ScoredSet, read_sets
from text2sql.report.table import read_losses

FOLDER = click.Path(path_type=Path)
_INPUTS = {
    "questions": "File with the test questions, JSON lines.",
    "predictions": "Folder with ARM.jsonl, the predictions of an arm.",
    "databases": "Folder with ID/ID.sqlite.",
    "verdicts": "Folder with ARM.jsonl, one verdict per line.",
    "metrics": "Folder with ARM.json, the scores of an arm, and with the figures of other stages.",
    "loss": "Folder with train_ARM.csv, the loss histories.",
    "validation": "Folder with train_ARM.csv, what was measured on held-out rows.",
    "throughput": "Folder with UNIT/train_ARM.csv, the speed; it may be missing.",
}


def _inputs(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each input; the command takes them by name."""
    for name, meaning in reversed(_INPUTS.items()):
        command = click.option(f"--{name}", type=FOLDER, required=True, help=meaning)(command)
    return command


@click.command()
@_inputs
@click.option("--summary", type=FOLDER, required=True, help="JSON file for the accuracy by arm.")
@click.option("--table", "table_path", type=FOLDER, required=True, help="Markdown file for the table.")
@click.option("--plots", type=FOLDER, required=True, help="CSV file for the accuracy by arm and hardness.")
@click.option(
    "--pairs", type=FOLDER, required=True, help="JSON file for the comparison of each pair of arms."
)
@click.option("--page", "page_path", type=FOLDER, required=True, help="HTML file for the page.")
@click.option("--cards", type=FOLDER, required=True, help="Folder for the cards of the trained models.")
@stage_main
def main(
    summary: Path,
    table_path: Path,
    plots: Path,
    pairs: Path,
    page_path: Path,
    cards: Path,
    **inputs: Path,
) -> None:
    """Write the summary, the table, the plot data, the pairs, the page and the cards of the models.

    Nothing is written if anything fails. `make reproduce` prints the table.
    """
    params = load_params()
    scored = read_sets(list(params.arms), inputs["metrics"], inputs["verdicts"])
    markdown = sets.page(scored, read_losses(params.compared_models(), inputs["loss"]))
    html = page(_content(params, scored, inputs))
    write_json(summary, sets.summary(scored))
    sets.write_accuracy_by_hardness(plots, scored)
    write_json(pairs, sets.pairs(scored))
    write_cards(cards, params, scored, inputs["metrics"], inputs["loss"])
    for path, text in ((table_path, markdown), (page_path, html)):
        with replacing(path) as file:
            file.write(text)


def _content(params: Params, scored: Sequence[ScoredSet], inputs: Mapping[str, Path]) -> Content:
    arms = {name: Path(arm.questions) / "test.jsonl" for name, arm in params.arms.items()}
    return read_content(
        Places(arms=arms, **inputs),
        scored,
        params.compared_models(),
        params.prompt,
        params.evaluate,
        provenance(params.profile),
    )


if __name__ == "__main__":
    main()
