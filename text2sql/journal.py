"""A journal: finished work in a file, one JSON object a line, each on disk before anything else is done.

Not covered: work that was under way when the process was killed; it is done again.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from text2sql.errors import UserError


class Journal:
    """The file `path`, which may not exist yet.

    `read` takes the value of each line of the file in turn (None where the line is not JSON) and returns what
    is wrong with it, "" if nothing. A last line that a kill cut short is cut off the file, with a note on
    stderr that ends in `repeated`: what is done again for it. `loss` says what deleting the file costs.
    """

    def __init__(self, path: Path, read: Callable[[Any], str], repeated: str, loss: str = "") -> None:
        """Read what the file holds.

        Raises:
            UserError: `read` finds something wrong with a line, which is named by its number from 1.
        """
        self.path = path
        for number, line in enumerate(_complete_lines(path, repeated), 1):
            problem = read(_value(line))
            if problem:
                remedy = f"`rm {shlex.quote(str(path))}` and run again{loss}"
                raise UserError(f"{path}, line {number}: {problem}; {remedy}")

    def append(self, entry: Mapping[str, Any], kept: str) -> None:
        """Put one more line on disk.

        Raises:
            UserError: the disk does not take it. The file ends as it did before; `kept` is in the message.
        """
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab") as file:
                file.write(f"{json.dumps(entry)}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, size)  # other entries may still come: no partial line before them
            message = f"{self.path}: {error.strerror}; {kept}; fix that and run the same command again"
            raise UserError(message) from error


def _value(line: bytes) -> Any:
    """The JSON value of a line; None where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _complete_lines(path: Path, repeated: str) -> list[bytes]:
    """The lines of the file; a last one without its newline is cut off the file."""
    data = path.read_bytes() if path.exists() else b""
    end = data.rfind(b"\n") + 1
    if end < len(data):
        print(f"{path}: the last line was cut short; {repeated}", file=sys.stderr)
        os.truncate(path, end)
    return data[:end].splitlines()
