"""Compares the arms of params.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from stages._cards import write_cards
from stages._main import stage_main
from stages._params import load_params
from text2sql.files import replacing, write_json
from text2sql.report import sets
from text2sql.report.scores import read_sets
from text2sql.report.table import read_losses

FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--verdicts", type=FOLDER, required=True, help="Folder with ARM.jsonl, one verdict per line.")
@click.option("--metrics", type=FOLDER, required=True, help="Folder with ARM.json, the scores of an arm.")
@click.option("--loss", type=FOLDER, required=True, help="Folder with train_ARM.csv, the loss histories.")
@click.option("--summary", type=FOLDER, required=True, help="JSON file for the accuracy by arm.")
@click.option("--table", "table_path", type=FOLDER, required=True, help="Markdown file for the page.")
@click.option("--plots", type=FOLDER, required=True, help="CSV file for the accuracy by arm and hardness.")
@click.option(
    "--pairs", type=FOLDER, required=True, help="JSON file for the comparison of each pair of arms."
)
@click.option("--cards", type=FOLDER, required=True, help="Folder for the cards of the trained models.")
@stage_main
def main(
    verdicts: Path,
    metrics: Path,
    loss: Path,
    summary: Path,
    table_path: Path,
    plots: Path,
    pairs: Path,
    cards: Path,
) -> None:
    """Write the summary, the table, the plot data, the pairs and the cards."""
    params = load_params()
    scored = read_sets(list(params.arms), metrics, verdicts)
    page = sets.page(scored, read_losses(params.compared_models(), loss))
    write_json(summary, sets.summary(scored))
    sets.write_accuracy_by_hardness(plots, scored)
    write_json(pairs, sets.pairs(scored))
    write_cards(cards, params, scored, metrics, loss)
    with replacing(table_path) as file:
        file.write(page)


if __name__ == "__main__":
    main()
