"""Progress of long work on stderr: how much is done, the speed, and the remaining time."""

from __future__ import annotations

import sys
import time

_TERMINAL_S, _LOG_S = 1.0, 5.0  # seconds between lines


class Progress:
    """Counts up to `total`, starting at `done`, which does not count for the speed."""

    def __init__(self, total: int, unit: str, label: str, done: int = 0) -> None:
        self.total, self.unit, self.label, self.done = total, unit, label, done
        self._done_before = done
        self._start = time.monotonic()
        self._last_print = float("-inf")

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more as done; prints at most once per interval, and at the end, with `note` appended."""
        self.done += n
        now = time.monotonic()
        interval = _TERMINAL_S if sys.stderr.isatty() else _LOG_S
        if self.done >= self.total or now - self._last_print >= interval:
            self._last_print = now
            line = self._line(now - self._start)
            print(f"{line}; {note}" if note else line, file=sys.stderr, flush=True)

    def _line(self, elapsed: float) -> str:
        rate = (self.done - self._done_before) / max(elapsed, 1e-9)
        share = 100 * self.done // max(self.total, 1)
        line = f"{self.label}: {self.done}/{self.total} {self.unit} ({share} %), {rate:.1f}/s"
        if self.done >= self.total:
            return f"{line}, took {_clock(elapsed)}"
        return f"{line}, {_clock((self.total - self.done) / rate)} left" if rate else line


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
