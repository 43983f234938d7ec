"""Makes the pictures in docs/images: of the report, of the page that `text2sql serve` has, and of a terminal.

`make screenshots` runs it. Needs what `make reproduce` made, the package playwright and Chromium.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.text import Text

IMAGES = Path("docs/images")
REPORT = Path("metrics/report.html")
DATABASE = Path("data/raw/databases/clinic/clinic.sqlite")
QUESTIONS = ("How many doctors are there?", "Show the name and salary of the doctors with salary above 90.")
_WIDTH = 100  # columns of the terminal
_START_S = 120.0
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # from a CDN; the reader's own will do


def main() -> None:
    """Write the pictures."""
    for needed in (REPORT, DATABASE):
        if not needed.is_file():
            sys.exit(f"error: {needed}: no such file; `make reproduce` makes it")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: Chromium is not installed; `apt-get install chromium` (as root) brings it")
    IMAGES.mkdir(parents=True, exist_ok=True)
    terminal(IMAGES / "ask.svg")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        report(browser)
        serve(browser)
        browser.close()


def terminal(picture: Path) -> None:
    """A command and its output, as a terminal shows it."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
    for question in QUESTIONS:
        command = ["ask", "--database", str(DATABASE), "--explain", question]
        shown = [f'"{part}"' if " " in part else part for part in command]
        console.print(Text(f"$ text2sql {' '.join(shown)}", style="bold"))
        environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_WIDTH)}
        done = subprocess.run(
            [sys.executable, "-m", "text2sql.cli", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        console.print(Text.from_ansi(done.stdout))
    drawn = console.export_svg(title="text2sql ask", unique_id="ask")
    picture.write_text(_FONT.sub("", drawn), encoding="utf-8")


def report(browser: Browser) -> None:
    """The report's first screen, light and dark, and a question on a telephone."""
    for scheme in ("light", "dark"):
        with _page(browser, 1200, 900, scheme) as page:
            page.goto(REPORT.resolve().as_uri())
            page.screenshot(path=IMAGES / f"report-{scheme}.png")


def serve(browser: Browser) -> None:
    """The page of `text2sql serve` with an answer."""
    with _server() as address, _page(browser, 1200, 1000, "light") as page:
        page.goto(address)
        page.get_by_label("Question").first.fill(QUESTIONS[0])
        page.get_by_role("button", name="Ask", exact=True).click()
        page.get_by_text("SELECT", exact=False).first.wait_for(timeout=_START_S * 1000)
        page.wait_for_timeout(1000)
        page.screenshot(path=IMAGES / "serve.png")


@contextmanager
def _page(browser: Browser, width: int, height: int, scheme: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def _server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    command = [
        sys.executable,
        "-m",
        "text2sql.cli",
        "serve",
        "--database",
        str(DATABASE),
        "--port",
        str(port),
    ]
    with subprocess.Popen(command) as process:
        try:
            _wait(address)
            yield address
        finally:
            process.terminate()


def _wait(address: str) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    main()
