"""The error whose message is meant for the user."""

from __future__ import annotations

import errno
from collections.abc import Sequence

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
RERUN = "run the same command again"


class UserError(Exception):
    """An error that the user can fix: the message names the file, the row and the next command."""


def listed(problems: Sequence[str]) -> str:
    """One problem as it is, several with their number and a line each."""
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return problems[0] if len(problems) == 1 else f"{len(problems)} problems:\n{lines}"


def file_error(error: OSError, remedy: str, again: str) -> str:
    """The message for an error of the file system: the file, what is wrong, and `remedy`.

    For a full disk the remedy is to free some space, and then `again`.
    """
    name = error.filename2 or error.filename or "a file"  # of two files the second is the one written
    if error.errno in DISK_FULL:
        remedy = f"free some space on that disk, then {again}"
    return f"{name}: {error.strerror or error}; {remedy}"
