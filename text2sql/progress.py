"""Progress of long work on stderr: a bar in a terminal, in the log of a stage a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

_LOG_S = 5.0  # seconds between lines
_log = False
_quiet = False

tqdm.monitor_interval = 0  # no thread of its own: processes that compute are forked


def log_progress() -> None:
    """Have this process write lines where stderr is no terminal, as the stages do, which run for hours."""
    global _log
    _log = True


@contextmanager
def showing_progress(quiet: bool) -> Iterator[None]:
    """Have this process, in the block, write lines where stderr is no terminal; with `quiet` show nothing."""
    global _log, _quiet
    before = _log, _quiet
    _log, _quiet = not quiet, quiet
    try:
        yield
    finally:
        _log, _quiet = before


class Progress:
    """Counts up to `total`, starting at `done`, which does not count for the speed.

    Without a terminal nothing is shown, unless `log_progress` was called, or in `showing_progress`.
    """

    def __init__(self, total: int, unit: str, label: str, done: int = 0) -> None:
        self.total, self.unit, self.label, self.done = total, unit, label, done
        self._done_before = done
        self._start = time.monotonic()
        self._last_print = float("-inf")
        self._bar: tqdm[None] | None = None
        if sys.stderr.isatty() and not _quiet:
            self._bar = tqdm(total=total, initial=done, desc=label, unit=f" {unit}", dynamic_ncols=True)

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more as done, and show it with `note`; at the end what it took."""
        self.done += n
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)
            if self.done >= self.total:
                self._bar.close()
            return
        now = time.monotonic()
        if _log and (self.done >= self.total or now - self._last_print >= _LOG_S):
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
