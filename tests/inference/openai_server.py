"""A server that speaks just enough of OpenAI's protocol, and fails as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], Any]  # status, headers, JSON


def completion(text: str | None, logprobs: list[float] | None = None) -> Reply:
    """A chat completion of one choice."""
    content = None if logprobs is None else {"content": [{"token": "x", "logprob": p} for p in logprobs]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": content}
    return 200, {}, {"id": "1", "object": "chat.completion", "choices": [choice]}


def failure(status: int, message: str = "it broke", **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return status, headers, {"error": {"message": message, "type": "server_error", "code": None}}


class Server:
    """What it was asked, and how many requests it had open at a time."""

    def __init__(self, answer: Callable[[dict[str, Any]], Reply], delay_s: float = 0.0) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.most_open = 0
        self._answer, self._delay_s, self._open = answer, delay_s, 0
        self._lock = threading.Lock()
        self.url = ""

    def take(self, body: dict[str, Any], key: str | None) -> Reply:
        with self._lock:
            self.bodies.append(body)
            self.keys.add(key)
            self._open += 1
            self.most_open = max(self.most_open, self._open)
        time.sleep(self._delay_s)
        with self._lock:
            self._open -= 1
            return self._answer(body)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve on a free port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, value = server.take(body, self.headers["Authorization"])
            data = json.dumps(value).encode()
            self.send_response(status)
            for name, text in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
