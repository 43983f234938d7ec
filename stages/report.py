"""Stage report: puts the arms of params.yaml side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.files import replacing, write_json
from text2sql.report import table

FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--verdicts", type=FOLDER, required=True, help="Folder of ARM.jsonl, a verdict a line.")
@click.option("--metrics", type=FOLDER, required=True, help="Folder of ARM.json, an arm's scores.")
@click.option("--loss", type=FOLDER, required=True, help="Folder of train_ARM.csv, the loss histories.")
@click.option("--summary", type=FOLDER, required=True, help="Written: accuracy by arm, as JSON.")
@click.option("--table", "table_path", type=FOLDER, required=True, help="Written: the page, as Markdown.")
@click.option("--plots", type=FOLDER, required=True, help="Written: accuracy by arm and hardness, as CSV.")
@click.option("--pairs", type=FOLDER, required=True, help="Written: every two arms compared, as JSON.")
@stage_main
def main(
    verdicts: Path, metrics: Path, loss: Path, summary: Path, table_path: Path, plots: Path, pairs: Path
) -> None:
    """Write the summary, the table, the plot data and the pairs; `make reproduce` shows the table."""
    arms = list(load_params().arms)
    scores = table.read_scores(arms, metrics, verdicts)
    page = table.page(scores, table.read_losses(arms, loss))
    write_json(summary, table.summary(scores))
    table.write_accuracy_by_hardness(plots, scores)
    write_json(pairs, [asdict(pair) for pair in table.pairs(scores)])
    with replacing(table_path) as file:
        file.write(page)


if __name__ == "__main__":
    main()
