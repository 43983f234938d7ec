"""`text2sql merge`: merges a LoRA adapter and its base into one model."""

from __future__ import annotations

from pathlib import Path

import click

from text2sql.commands.options import check_outputs
from text2sql.files import read_json
from text2sql.inference.questions import read_chats

_PROMPTS = 20


@click.command()
@click.option("--adapter", type=click.Path(path_type=Path), required=True, help="Folder of the LoRA adapter.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder for the merged model.")
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    required=True,
    help="Questions for the comparison, such as data/test/test.jsonl.",
)
def merge(adapter: Path, output: Path, questions: Path) -> None:
    """Merge a LoRA adapter into its base model.

    Compares the logits for 20 prompts before and after merging, and writes nothing if they differ by more
    than rounding.
    """
    check_outputs(
        {"--adapter": adapter, "the base model of --adapter": _base(adapter), "--questions": questions},
        {"--output": output},
    )
    from text2sql.training.merge import merge_adapter  # loads torch

    chats = [chat.messages for chat in read_chats(questions, schema_types=True)[:_PROMPTS]]
    difference = merge_adapter(adapter, output, chats)
    click.echo(f"{output}: logits on {len(chats)} prompts differ by {difference:.1e} of the largest")


def _base(adapter: Path) -> Path | None:
    """The folder of the adapter's base model; None if it has none, which merging reports."""
    file = adapter / "adapter_config.json"
    config = read_json(file) if file.is_file() else None
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return Path(base) if isinstance(base, str) else None
