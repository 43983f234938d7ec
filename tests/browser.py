"""A headless Chromium for the tests of pages: Debian's, driven by Playwright. conftest.py has the fixtures.

Playwright's own browser builds are not used, because they are downloads from outside the package index.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "Chromium is not installed; `apt-get install chromium` (as root) brings it"


@dataclass
class Visit:
    """A page in a browser profile of its own, and what happened in it.

    `errors` are errors in the console and exceptions that no code caught, `requests` the addresses that the
    page asked for, its own included.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium; skips the test where none is installed."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, who runs the tests in containers; /dev/shm is small there.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[Visit]:
    """A fresh page; `options` are those of Playwright's `new_context`, such as viewport or color_scheme."""
    context = browser.new_context(**options)
    context.set_default_timeout(10_000)  # milliseconds; a test that waits longer has failed
    try:
        yield Visit(context.new_page())
    finally:
        context.close()
