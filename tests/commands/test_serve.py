"""`text2sql serve` as a user types it; the model is a server that replies as a script says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from tests.openai_server import Reply, Serve
from tests.web.served import LONG_S, database
from text2sql.cli import main
from text2sql.errors import UserError
from text2sql.web import server

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
# The command, with each address that it connects to, or asks a name server for, on a line of its own.
RECORDING = """
import sys
def record(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        print("to", arguments[1] if event == "socket.connect" else arguments[0], file=sys.stderr, flush=True)
sys.addaudithook(record)
from text2sql.cli import main
main()
"""


@contextmanager
def started(*arguments: str, temporary: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The running command, with its temporary files in a folder of its own."""
    command = [sys.executable, "-c", RECORDING, "serve", *arguments]
    variables = {**os.environ, "TMPDIR": str(temporary), "OPENAI_API_KEY": "x", **environment}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _runs(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def children(parent: int) -> list[int]:
    """The processes that a process has started, and that still run."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


@pytest.mark.slow
def test_ctrl_c_ends_everything_and_nothing_beyond_this_machine_was_asked(
    serve: Serve, tmp_path: Path
) -> None:
    model = serve(lambda request: Reply("SELECT name FROM singer ORDER BY id"))
    music, temporary = database(tmp_path / "music.sqlite"), tmp_path / "tmp"
    temporary.mkdir()
    options = ["--database", str(music), "--base-url", model.base_url, "--model", "m", "--port", "0"]
    with started(*options, temporary=temporary) as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("page: ").strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        assert process.stdout.readline() == f"API: {address}/docs\n"
        asked = httpx.post(f"{address}/api/ask", json={"question": "Names?"}, timeout=LONG_S)
        assert asked.json()["rows"] == [["Ann"], ["Bo"], [None]]
        assert "Ask a database" in httpx.get(address).text
        query = threading.Thread(target=_post, args=(f"{address}/api/query", {"sql": ENDLESS}))
        query.start()
        while not children(process.pid):
            time.sleep(0.05)
        running = children(process.pid)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=LONG_S)
        query.join()
    assert process.returncode == 130
    end = time.monotonic() + LONG_S
    while any(_runs(pid) for pid in running):
        assert time.monotonic() < end
    assert list(temporary.iterdir()) == []
    lines = told.splitlines()
    assert lines and all(re.search(r"^to .*(127\.0\.0\.1|localhost)", line) for line in lines), told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["music.sqlite", "tmp"]


def _post(address: str, body: dict[str, str]) -> None:
    with pytest.raises(httpx.TransportError):  # the server ends in the middle
        httpx.post(address, json=body, timeout=LONG_S)


def _run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["serve", *arguments], env={"OPENAI_API_KEY": "x"})
    return done.exit_code, done.stderr


def test_a_port_in_use_is_an_error_that_names_the_next_command(tmp_path: Path) -> None:
    music = database(tmp_path / "music.sqlite")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        model = ["--base-url", "http://127.0.0.1:1/v1", "--model", "m"]
        status, told = _run("--database", str(music), *model, "--port", str(port))
    assert status == 1
    assert told.startswith(f"error: 127.0.0.1:{port}: Address already in use; stop the other program, or ")
    assert f"text2sql serve ... --port {port + 1}" in told


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--database", "missing.sqlite"], "missing.sqlite: No such file or directory"),
        (["--database", "."], r"\.: has no SQLite or DuckDB file"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: "),
        (["--host", "192.0.2.1"], "192.0.2.1:7860: Cannot assign requested address"),
    ],
)
def test_what_cannot_be_served_is_an_error_at_the_start(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, told = _run(*arguments, "--base-url", "http://127.0.0.1:1/v1", "--model", "m")
    assert status == 1
    assert re.match(f"error: {message}", told), told


def test_a_model_that_is_not_here_is_an_error_at_the_start(tmp_path: Path) -> None:
    status, told = _run("--model", str(tmp_path / "none"))
    assert status == 1
    assert "none: no such folder" in told


def test_help_has_examples() -> None:
    shown = CliRunner().invoke(main, ["serve", "--help"]).stdout
    assert "text2sql serve --database shop.sqlite\n" in shown
    assert "--queue" in shown and "--upload-mb" in shown


def test_a_token_is_made_where_others_reach_the_server_and_only_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(server.TOKEN, raising=False)
    with server.listen("127.0.0.1", 0) as here, server.listen("0.0.0.0", 0) as everywhere:
        assert server.rules(here, 0).token is None and server.rules(here, 0).loopback
        rules = server.rules(everywhere, 0)
        assert rules.token and len(rules.token) == 32 and not rules.loopback
        assert server.rules(everywhere, 0).token != rules.token
        assert server.address(everywhere, rules).endswith(f":{rules.port}/?token={rules.token}")
        monkeypatch.setenv(server.TOKEN, "a-token-of-24-characters")
        assert server.rules(here, 0).token == server.rules(everywhere, 0).token == "a-token-of-24-characters"


@pytest.mark.parametrize("token", ["short", "with a space in between", "x" * 201])
def test_a_weak_token_is_refused(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server.TOKEN, token)
    with server.listen("127.0.0.1", 0) as here, pytest.raises(UserError, match="16 to 200 letters"):
        server.rules(here, 0)
