"""`text2sql merge`: a LoRA adapter and its base as one model."""

from __future__ import annotations

from pathlib import Path

import click

from text2sql.inference.questions import read_chats

_PROMPTS = 20


@click.command()
@click.option("--adapter", type=click.Path(path_type=Path), required=True, help="Folder of a LoRA arm.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--questions", type=click.Path(path_type=Path), required=True, help="Such as data/test/test.jsonl."
)
def merge(adapter: Path, output: Path, questions: Path) -> None:
    """Merge a LoRA adapter into its base; refused if 20 prompts are answered otherwise."""
    from text2sql.training.merge import merge_adapter  # loads torch

    chats = [chat.messages for chat in read_chats(questions, schema_types=True)[:_PROMPTS]]
    difference = merge_adapter(adapter, output, chats)
    click.echo(f"{output}: logits on {len(chats)} prompts differ by {difference:.1e} of the largest")
