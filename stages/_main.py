"""Shared by all stages: progress in their logs, and errors that a user can fix as one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from text2sql.errors import UserError, file_error
from text2sql.progress import log_progress


def stage_main(body: Callable[..., None]) -> Callable[..., None]:
    """Wrap the body of a click command: UserError and OSError become `error: ...` and exit status 1."""

    @functools.wraps(body)
    def run(*args: Any, **options: Any) -> None:
        log_progress()
        try:
            body(*args, **options)
        except UserError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            sys.exit(f"error: {file_error(error, 'fix that, then `dvc repro`', again='`dvc repro`')}")

    return run
