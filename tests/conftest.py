"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.openai_server import Serve

ROOT = Path(__file__).resolve().parent.parent

# By default Hypothesis also fails an example that takes over 200 ms, as any may on a busy machine.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of outside data: $TEXT2SQL_REAL_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("TEXT2SQL_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no outside data in {folder}; set TEXT2SQL_REAL_DATA to run this test")
    return folder


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that speaks OpenAI's protocol and replies as a script says."""
    from tests.openai_server import Server

    with ExitStack() as stack:
        yield lambda script: stack.enter_context(Server(script).running())
