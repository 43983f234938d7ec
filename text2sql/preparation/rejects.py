"""Why a training row is left out."""

from __future__ import annotations


class Unusable(Exception):
    """A row that is left out: `reason` is one of a few classes, `detail` is SQLite's message, if any."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
