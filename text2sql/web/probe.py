"""Reads the schema of a file that is not trusted, in a process of its own.

`python -m text2sql.web.probe PARENT FILE EXAMPLES COMMENTS`, with the process id of the one that waits.
Exit status 1 and a message on the standard output if it cannot be read; the process is killed where it takes
too long or too much memory.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from text2sql.errors import UserError
from text2sql.processes import die_with
from text2sql.targets.files import FileTarget, file_dialect

PROBE_S = 10.0
"""Seconds of processor time that reading a schema may take."""

_MEMORY = 4 << 30  # bytes of address space


def main(parent: str, name: str, examples: str, comments: str) -> None:
    """Read the schema, and nothing else."""
    die_with(int(parent))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(PROBE_S), int(PROBE_S)))
    file = Path(name)
    try:
        FileTarget(file, file_dialect(file)).schema(int(examples), bool(int(comments)))
    except UserError as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
