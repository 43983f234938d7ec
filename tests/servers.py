"""A PostgreSQL and a MariaDB that tests start, on a port of their own and with an empty data folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_START_S = 60.0
_POSTGRES = "/usr/lib/postgresql"


@dataclass(frozen=True)
class Server:
    """A running server: the URL of database `shop` for a user, and its client for the owner's SQL."""

    url: Callable[[str], str]
    run: Callable[[str], str]
    stop: Callable[[], None]


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """A PostgreSQL server; skips the test where none is installed. `folder` has a short path, for sockets."""
    binaries = _postgres_folder()
    data, port = folder / "data", free_port()
    user = _as_user("postgres", folder)
    _call([*user, binaries / "initdb", "-D", data, "-A", "trust", "-U", "owner", "--no-sync"])
    command: _Arguments = [
        binaries / "postgres",
        "-D",
        data,
        "-p",
        port,
        "-k",
        folder,
        "-h",
        "127.0.0.1",
        "-F",
    ]
    psql: _Arguments = [
        binaries / "psql",
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-U",
        "owner",
        "-Atq",
        "-v",
        "ON_ERROR_STOP=1",
    ]
    with _running([*user, *command], [*psql, "postgres", "-c", "SELECT 1"], folder / "log") as stop:
        _call([*psql, "postgres", "-c", "CREATE DATABASE shop"])
        yield Server(
            lambda name: f"postgresql://{name}@127.0.0.1:{port}/shop",
            lambda sql: _call([*psql, "shop", "-c", sql]),
            stop,
        )


@contextmanager
def mariadb(folder: Path) -> Iterator[Server]:
    """A MariaDB server likewise."""
    server, install = shutil.which("mariadbd", path=_PATH), shutil.which("mariadb-install-db", path=_PATH)
    if server is None or install is None:
        pytest.skip("MariaDB is not installed; `apt-get install mariadb-server` (as root) brings it")
    data, sock, port = folder / "data", folder / "s", free_port()
    own = ["--user=mysql"] if os.getuid() == 0 else []
    if own:
        _give(folder, "mysql")
    quick = [f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
    _call([install, "--no-defaults", *own, *quick])
    command: _Arguments = [
        server,
        "--no-defaults",
        *own,
        f"--datadir={data}",
        f"--socket={sock}",
        f"--port={port}",
    ]
    client: _Arguments = ["mariadb", "--no-defaults", "-S", sock, "-u", "root", "-BN"]
    more = ["--bind-address=127.0.0.1", f"--pid-file={folder / 'pid'}", "--skip-name-resolve"]
    with _running([*command, *more], [*client, "-e", "SELECT 1"], folder / "log") as stop:
        _call([*client, "-e", "CREATE DATABASE shop"])
        yield Server(
            lambda name: f"mysql://{name}@127.0.0.1:{port}/shop",
            lambda sql: _call([*client, "shop", "-e", sql]),
            stop,
        )


_PATH = f"{os.environ['PATH']}:/usr/sbin"
_Arguments = Sequence[str | Path | int]


def _postgres_folder() -> Path:
    versions = sorted(Path(_POSTGRES).glob("*/bin/initdb"))
    found = shutil.which("initdb")
    if not versions and found is None:
        pytest.skip("PostgreSQL is not installed; `apt-get install postgresql` (as root) brings it")
    return versions[-1].parent if versions else Path(str(found)).parent


def _as_user(name: str, folder: Path) -> list[str]:
    """How to run a command as a user that is not root, which PostgreSQL refuses."""
    if os.getuid() != 0:
        return []
    _give(folder, name)
    return ["runuser", "-u", name, "--"]


def _give(folder: Path, name: str) -> None:
    """Let a user write in a folder, and pass through those above it."""
    account = pwd.getpwnam(name)
    os.chown(folder, account.pw_uid, account.pw_gid)
    for above in folder.parents:
        if above.owner() == "root" and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: _Arguments, probe: _Arguments, log: Path) -> Iterator[Callable[[], None]]:
    with log.open("wb") as written:
        process = subprocess.Popen(
            list(map(str, command)), stdout=written, stderr=written, start_new_session=True
        )

    def stop() -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    try:
        _wait(probe, process, log)
        yield stop
    finally:
        stop()


def _wait(probe: _Arguments, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while subprocess.run(list(map(str, probe)), capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _call(command: _Arguments) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr or done.stdout}")
    return done.stdout
