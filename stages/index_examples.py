"""Embed the training questions and write them to an index in Milvus Lite, or on a Milvus server."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.cpu import allowed_cores
from text2sql.errors import UserError
from text2sql.files import replacing_folder
from text2sql.records import TrainingRow, read_records
from text2sql.retrieval.index import require_server


@click.command(help=__doc__)
@click.option("--train", required=True, type=click.Path(path_type=Path), help="Folder with rows.jsonl.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="Folder for the index.")
@stage_main
def main(train: Path, output: Path) -> None:
    settings = load_params().index_examples
    rows = read_records(train / "rows.jsonl", TrainingRow)
    if not rows:
        raise UserError(f"{train}/rows.jsonl: no rows to index; `dvc repro dedupe_test` creates them")
    if settings.milvus_uri:
        require_server(settings.milvus_uri)  # the embedding can take minutes

    # imported here, because they take seconds and errors above should come first
    from text2sql.retrieval.embed import load_embedder, too_long_warning
    from text2sql.retrieval.mask import embedded_texts
    from text2sql.retrieval.stored import write_index

    model, revision = settings.embedding_model, settings.embedding_revision
    embedder = load_embedder(model, settings.batch_size, allowed_cores(), revision)
    texts = embedded_texts(rows, settings.masked)
    print(too_long_warning(embedder, texts), end="", file=sys.stderr)
    vectors = embedder.embed(texts)
    with replacing_folder(output) as folder:
        write_index(folder, [row.id for row in rows], vectors, settings)


if __name__ == "__main__":
    main()
