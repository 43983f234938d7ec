"""What every stage shares: turning a user's error into one line and exit status 1."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from text2sql.errors import UserError


def stage_main(body: Callable[..., None]) -> Callable[..., None]:
    """Wrap a click command's body so that UserError and OSError end in `error: ...` and status 1."""

    @functools.wraps(body)
    def run(*args: Any, **options: Any) -> None:
        try:
            body(*args, **options)
        except UserError as error:
            sys.exit(f"error: {error}")
        except OSError as error:
            sys.exit(f"error: {error.filename or 'a file'}: {error.strerror}; mend it, then `dvc repro`")

    return run
