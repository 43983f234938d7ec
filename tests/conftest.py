"""Fixtures that every test may use."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from text2sql.errors import UserError
from text2sql.preparation.outside_data import data_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser import Visit
    from tests.openai_server import Serve

ROOT = Path(__file__).resolve().parent.parent

# With telemetry on, huggingface_hub asks its server for a list, here whatever a stand-in answers, and keeps
# that in the user's own cache for a day. Read when huggingface_hub is imported; inherited by subprocesses.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

_WORKER_BYTES = 3 << 30  # a worker with torch, and a trainer or two that it starts

# By default Hypothesis also fails an example that takes over 200 ms, as any may on a busy machine.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


class Told(io.StringIO):
    """A standard error stream that says when a run waits for another."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def write(self, text: str) -> int:
        if "another run is doing this work" in text:
            self.waits.set()
        return super().write(text)


def pytest_xdist_auto_num_workers() -> int:
    """One more than the cores that this process may use, as tests also wait; fewer if memory is short."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)) + 1, memory // _WORKER_BYTES))


@pytest.fixture(autouse=True)
def no_progress_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what stages that ran in this process have switched on for all of it."""
    monkeypatch.setattr("text2sql.progress._log", False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of outside data, without which the tests on it are skipped."""
    try:
        return data_folder()
    except UserError as error:
        pytest.skip(f"no outside data: {error}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, which a test can fill."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that speaks OpenAI's protocol and replies as a script says."""
    from tests.openai_server import Server

    with ExitStack() as stack:
        yield lambda script: stack.enter_context(Server(script).running())


# Not for the whole session: while Playwright runs, its event loop counts as running in this thread, and other
# tests of the same process could not start theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, without which the test is skipped."""
    from tests.browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page of ordinary size in Chromium."""
    from tests.browser import visiting

    with visiting(browser) as visit:
        yield visit
