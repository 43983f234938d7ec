"""Shared by all stages: turns errors that a user can fix into one line and exit status 1."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from text2sql.errors import UserError, file_error


def stage_main(body: Callable[..., None]) -> Callable[..., None]:
    """Wrap the body of a click command: UserError and OSError become `error: ...` and exit status 1."""

    @functools.wraps(body)
    def run(*args: Any, **options: Any) -> None:
        try:
            body(*args, **options)
        except UserError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            sys.exit(f"error: {file_error(error, 'fix that, then `dvc repro`', again='`dvc repro`')}")

    return run
