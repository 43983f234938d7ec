"""A Milvus server that tests start: Milvus Lite's own, on a port, in a process that a test can kill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import free_port


@dataclass(frozen=True)
class MilvusServer:
    """A running server, and its process."""

    uri: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """End the server as a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def milvus_server(folder: Path) -> Iterator[MilvusServer]:
    """A server with an empty data folder."""
    port = free_port()
    run = f"run_server({str(folder)!r}, '127.0.0.1', {port})"
    command = [sys.executable, "-u", "-c", f"from milvus_lite.adapter.grpc.server import run_server; {run}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout and "listening" in process.stdout.readline()
            yield MilvusServer(f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()
