"""A GGUF file of a model, by llama.cpp's converter, and a Modelfile for Ollama with the project's prompt.

The converter is a script of llama.cpp's repository, convert_hf_to_gguf.py. It knows tokenizers by a hash of
what they make of a text, so one that was trained here, as the tiny model's, has no name in llama.cpp.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import replacing

COMMANDS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")
_UNKNOWN_TOKENIZER = "BPE pre-tokenizer was not recognized"
_LONGEST_CONTEXT = 8192  # tokens; Ollama reserves memory for all of them
_SYSTEM, _PROMPT = "{{ .System }}", "{{ .Prompt }}"


NONE = "none"
"""In place of a converter: no GGUF file is wanted."""


class UnknownTokenizer(UserError):
    """llama.cpp has no name for the model's tokenizer, so there can be no GGUF file of the model."""


def find_converter(given: str | None) -> Path | None:
    """The converter that is named, else one on the PATH; None if there is none, or `given` is NONE.

    Raises:
        UserError: there is no file of the given name.
    """
    if given == NONE:
        return None
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise UserError(f"GGUF={given}: no such file; name convert_hf_to_gguf.py of llama.cpp")
        return path
    found = next(filter(None, map(shutil.which, COMMANDS)), None)
    return Path(found) if found else None


def write_gguf(converter: Path, model: Path, output: Path) -> None:
    """Convert the model in a folder to `output`, with weights of 16 bits.

    Raises:
        UnknownTokenizer: the converter does not know the tokenizer.
        UserError: the converter fails; the message has the end of what it wrote.
    """
    program = [sys.executable, str(converter)] if converter.suffix == ".py" else [str(converter)]
    unfinished = output.with_name(f".{output.name}.partial")
    command = [*program, str(model), "--outfile", str(unfinished), "--outtype", "auto"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise _failure(converter, model, done.stderr)
        unfinished.replace(output)
    except FileNotFoundError as error:
        raise UserError(
            f"{converter}: wrote no file; use a version of llama.cpp that takes --outfile"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _failure(converter: Path, model: Path, said: str) -> UserError:
    if _UNKNOWN_TOKENIZER in said:
        return UnknownTokenizer(
            f"{model}: llama.cpp does not know this model's tokenizer, so there is no GGUF file"
        )
    last = " ".join(said.strip().splitlines()[-1:]) or "it wrote no message"
    return UserError(f"{converter}: cannot convert {model}: {last}; fix that, or set GGUF=none")


def write_modelfile(
    path: Path, gguf: str, template: str, system: str, ends: Sequence[str], context: int
) -> None:
    """Write a Modelfile for `ollama create`, next to the file `gguf`.

    `template` is `ollama_chat` as the model's chat template writes it, `ends` are the texts that end an
    answer, `context` is the model's, in tokens.
    """
    lines = [
        f"FROM ./{gguf}",
        f'TEMPLATE """{template}"""',
        f'SYSTEM """{system}"""',
        "PARAMETER temperature 0",
        f"PARAMETER num_ctx {min(context, _LONGEST_CONTEXT)}",
        *(f'PARAMETER stop "{end}"' for end in ends),
    ]
    with replacing(path) as file:
        file.write("\n".join(lines) + "\n")


def ollama_chat(begun: str) -> list[dict[str, str]]:
    """A chat with Ollama's places for texts; as the chat template writes it, it is Ollama's template.

    `begun` is the beginning of the answer that the prompt form writes, "" if it writes none.
    """
    chat = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _PROMPT}]
    return [*chat, {"role": "assistant", "content": begun}] if begun else chat
