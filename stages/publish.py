"""Push the model of an arm with its card to the Hugging Face hub; without --push only show what would go.

Weights of a LoRA arm are merged into the base. With llama.cpp's converter a GGUF file and a Modelfile for
Ollama are written beside. The files are in the folder publish/ARM afterwards.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import BASE, Params, load_params
from text2sql.errors import UserError
from text2sql.inference.questions import read_chats
from text2sql.inference.weights import Weights, resolve_weights
from text2sql.prompts import prompt_form
from text2sql.publishing import gguf
from text2sql.publishing.folder import CARD, assemble, card_for, complete_weights, sizes
from text2sql.publishing.push import check_repository, push
from text2sql.publishing.snippet import QUESTION, SCHEMA
from text2sql.workstore import WorkStore

CARDS = Path("models/cards")
QUESTIONS = Path("data/test/test.jsonl")
_COMPARED = 20  # prompts, whose logits are compared before and after merging


@click.command(help=__doc__)
@click.option("--arm", required=True, help="A name in section arms of params.yaml.")
@click.option("--repo", required=True, help="The repository on the hub: owner/name.")
@click.option("--push", "pushed", is_flag=True, help="Upload; without it nothing leaves this machine.")
@click.option(
    "--gguf",
    "converter",
    default="",
    help="Path of llama.cpp's convert_hf_to_gguf.py, by default one on the PATH; none: no GGUF file.",
)
@stage_main
def main(arm: str, repo: str, pushed: bool, converter: str) -> None:
    params = load_params()
    check_repository(repo)
    name = trained_model(params, arm)
    found = gguf.find_converter(converter)
    weights = resolve_weights(Path(f"models/{name}"))
    card = card_for(CARDS / f"{name}.md", f"models/{name}", repo, revision())
    output = Path("publish") / arm
    assemble(complete(weights, params), Path(BASE), card, output)
    add_gguf(found, arm, output, params)
    show(output)
    if pushed:
        click.echo(f"pushed to {push(output, repo, f'Model {name}')}")
    else:
        click.echo(f"nothing was pushed; add PUSH=1 to push these files to {repo}")


def trained_model(params: Params, arm: str) -> str:
    """The name of the trained model that an arm uses, such as lora32 for models/lora32.

    Raises:
        UserError: there is no such arm, or its weights are not trained here.
    """
    if arm not in params.arms:
        raise UserError(f"ARM={arm}: params.yaml has no such arm; choose from {', '.join(params.arms)}")
    weights = params.arms[arm].weights
    name = weights.removeprefix("models/")
    if name not in params.compared_models():
        raise UserError(
            f"ARM={arm}: its weights, {weights}, are not trained here; choose an arm that is trained"
        )
    return name


def revision() -> str:
    """The commit of the checkout, for people; without git it is unknown."""
    try:
        found = subprocess.run(
            [
                "git",
                "describe",
                "--always",
                "--abbrev=40",
                "--dirty= (with uncommitted changes)",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return "an unknown commit"
    return f"commit {found.stdout.strip()}" if found.returncode == 0 else "an unknown commit"


def complete(weights: Weights, params: Params) -> Path:
    """The folder with complete weights."""
    if weights.base is None:
        return weights.folder
    form, prompt = prompt_form(params.prompt.form), params.prompt
    chats = read_chats(QUESTIONS, prompt.schema_types, prompt.comments, form)[:_COMPARED]
    return complete_weights(weights, [chat.messages for chat in chats], WorkStore.from_environment())


def add_gguf(converter: Path | None, arm: str, output: Path, params: Params) -> None:
    """Write the GGUF file and the Modelfile, or say why not."""
    if converter is None:
        click.echo("no GGUF file: llama.cpp's converter is not named (GGUF=) and not on the PATH", err=True)
        return
    from text2sql.inference.chat_tokens import ChatTokens  # loads torch

    try:
        gguf.write_gguf(converter, output, output / f"{arm}.gguf")
    except gguf.UnknownTokenizer as error:
        click.echo(f"warning: {error}", err=True)
        return
    tokens = ChatTokens(resolve_weights(output))
    prompt = prompt_form(params.prompt.form).prediction(SCHEMA, QUESTION)
    gguf.write_modelfile(
        output / "Modelfile",
        f"{arm}.gguf",
        tokens.text(gguf.ollama_chat(prompt.begun)),
        prompt.system,
        tokens.tokenizer.convert_ids_to_tokens(tokens.ends),
        tokens.context,
    )


def show(output: Path) -> None:
    """Print the card, and each file with its size."""
    click.echo((output / CARD).read_text(encoding="utf-8"))
    found = sizes(output)
    for name, size in found.items():
        click.echo(f"{size:>15,} bytes  {output / name}")
    click.echo(f"{sum(found.values()):>15,} bytes  in {len(found)} files")


if __name__ == "__main__":
    main()
