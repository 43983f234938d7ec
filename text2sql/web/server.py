"""The server of the page and the API: one process, one port."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from text2sql.ask.plan import ModelPlan
from text2sql.errors import UserError
from text2sql.inference.engine import Engine
from text2sql.targets.model import Limits
from text2sql.web.api import create_api
from text2sql.web.databases import Databases
from text2sql.web.guard import Guard, LocalPage, Rules
from text2sql.web.model import SharedModel
from text2sql.web.service import Service
from text2sql.web.uploads import Uploads

TOKEN = "TEXT2SQL_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
_GRADIO = "gradio"
_FOLDERS = {"GRADIO_TEMP_DIR": _GRADIO, "GRADIO_EXAMPLES_CACHE": "examples"}  # in the temporary folder
_SHUTDOWN_S = 1  # for answers that are under way


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one server. `waiting` is the number of questions that may wait; upload_bytes 0: no uploads."""

    limits: Limits
    waiting: int
    upload_bytes: int


def listen(host: str, port: int) -> socket.socket:
    """A socket at which the server listens; port 0 is a free one.

    Raises:
        UserError: the port is in use, or the address is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(f"--host {host}: {error.strerror}; name an address of this machine") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen()  # here, as two servers can bind one port while none listens
    except OSError as error:
        listening.close()
        remedy = f"stop the other program, or choose another port: text2sql serve ... --port {port + 1}"
        raise UserError(f"{host}:{port}: {error.strerror}; {remedy}") from error
    return listening


def rules(listening: socket.socket, upload_bytes: int) -> Rules:
    """Whom a server at this socket answers: others than this machine need a token.

    Raises:
        UserError: TEXT2SQL_TOKEN is too short, or has other signs than letters, digits, - and _.
    """
    address, port = listening.getsockname()[:2]
    loopback = ip_address(address).is_loopback
    token = os.environ.get(TOKEN) or None
    if token is not None and not _TOKEN.fullmatch(token):
        raise UserError(f"{TOKEN} must have 16 to 200 letters, digits, - or _; unset it, and one is made")
    if token is None and not loopback:
        token = secrets.token_urlsafe(24)
    return Rules(token, loopback, port, upload_bytes)


def address(listening: socket.socket, rules: Rules) -> str:
    """The page's address for people, with the token if there is one."""
    host, port = listening.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = socket.gethostname()
    where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"{where}/?token={rules.token}" if rules.token else where


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for all temporary files of this process, Gradio's too; it is removed at the end."""
    before = tempfile.tempdir, {name: os.environ.get(name) for name in _FOLDERS}
    with tempfile.TemporaryDirectory(prefix="text2sql-serve-") as name:
        os.environ.update({variable: f"{name}/{folder}" for variable, folder in _FOLDERS.items()})
        tempfile.tempdir = name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before[0]
            for variable, value in before[1].items():
                os.environ.pop(variable)
                if value is not None:
                    os.environ[variable] = value


def create_service(
    plan: ModelPlan, open_engine: Callable[[ModelPlan], Engine], settings: Settings
) -> Service:
    """What answers questions; the model is not loaded yet."""
    return Service(SharedModel(plan, open_engine, settings.waiting), settings.limits, settings.waiting)


def create_app(
    service: Service, databases: Databases, rules: Rules, settings: Settings, folder: Path
) -> ASGIApp:
    """The page and the API behind their guard; `folder` is that of `temporary_folder`.

    Raises:
        UserError: Gradio cannot be imported, as where vLLM has brought packages that it does not go with.
    """
    try:
        from text2sql.web.page import Page, mount_page  # Gradio takes seconds
    except ImportError as error:
        remedy = "use an environment without vLLM (`make setup`), in which it can"
        raise UserError(f"Gradio {version('gradio')} cannot be imported ({error}); {remedy}") from error

    uploads = Uploads(folder, service.model) if settings.upload_bytes else None
    app = create_api(service, databases)
    mount_page(app, Page(service, databases, uploads, folder / _GRADIO), settings.upload_bytes)
    return Guard(LocalPage(app), rules)


def run(server: uvicorn.Server, listening: socket.socket) -> int:
    """Serve until a signal ends it; returns the exit status that shells expect of it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn passes the signal on when it has ended
        signal.signal(number, _stop)
    try:
        server.run(sockets=[listening])
    except _Stopped as stopped:
        return 128 + stopped.number
    return 0


def create_server(app: ASGIApp) -> uvicorn.Server:
    """A server for one application."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # it would have the token
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Ends at once, although open pages listen to the server, and do so until it ends."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections, and end."""
        logging.getLogger("uvicorn.error").disabled = True  # that answers are cut off is no error then
        for connection in list(self.server_state.connections):
            connection.transport.close()
        await super().shutdown(sockets)


class _Stopped(BaseException):
    """A signal that ends the server."""

    def __init__(self, number: int) -> None:
        self.number = number


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped(number)
