"""Embed the training questions and write them to a Milvus Lite index."""

from __future__ import annotations

from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.cpu import allowed_cores
from text2sql.errors import UserError
from text2sql.files import replacing_folder, write_json
from text2sql.records import TrainingRow, read_records


@click.command(help=__doc__)
@click.option("--train", required=True, type=click.Path(path_type=Path), help="Folder with rows.jsonl.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the index.")
@stage_main
def main(train: Path, output: Path) -> None:
    settings = load_params().index_examples
    rows = read_records(train / "rows.jsonl", TrainingRow)
    if not rows:
        raise UserError(f"{train}/rows.jsonl: no rows to index; `dvc repro dedupe_test` creates them")

    # imported here, because they take seconds and errors above should come first
    from text2sql.retrieval.embed import load_embedder
    from text2sql.retrieval.index import build_index

    embedder = load_embedder(settings.embedding_model, settings.batch_size, allowed_cores())
    vectors = embedder.embed([row.question for row in rows])
    # Milvus Lite 3.2 writes the same bytes for the same rows, so its folder can be the DVC output.
    with replacing_folder(output) as folder:
        build_index(folder / "examples.db", [row.id for row in rows], vectors)
        # The search must use the same model, so it is recorded with the index.
        write_json(folder / "meta.json", {**settings.model_dump(), "dimension": vectors.shape[1]})


if __name__ == "__main__":
    main()
