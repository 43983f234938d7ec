"""Which requests reach the page and the API: from whom, with which size, to which addresses.

Three attacks are covered. A page of another site asks this server through the user's browser: requests with a
foreign origin are refused. The other site gives its own name the address 127.0.0.1 (DNS rebinding): on
loopback only loopback's names are answered. Others on the network: a token is needed where the server listens
to more than loopback. Not covered: who reads the network reads the token too, because this is HTTP; other
users of this machine reach loopback, and need the token only if there is one (TEXT2SQL_TOKEN).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 1_000_000
"""Largest body of a request that is no upload: a question or a query is far smaller."""

_ENVELOPE_BYTES = 10_000  # around an uploaded file
_UPLOAD = "/gradio_api/upload"
# All that the page and the API need; Gradio has further ones, such as a proxy.
_PATHS = re.compile(
    r"/|/api/\w+|/docs|/openapi\.json|/static-offline-docs/[^/]+"
    r"|/(assets|static|svelte)/.+|/(config|theme\.css|favicon\.ico|manifest\.json)/?"
    r"|/gradio_api/(upload|upload_progress|cancel|reset|queue/(join|data)|heartbeat/\w+)"
    r"|/gradio_api/file=/.+"
)
_HEADERS = {
    # Gradio has scripts and styles in its page, and compiles some; all of them come from this server.
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Whom the server answers: with `token` those who have it, with `loopback` those who use such a name.

    `port` is the server's own, which tells its cookie from those of others on this machine.
    """

    token: str | None
    loopback: bool
    port: int
    upload_bytes: int

    @property
    def cookie(self) -> str:
        """The name of the cookie with the token."""
        return f"text2sql_{self.port}"


class Guard:
    """Refuses requests by `Rules`, and adds headers that keep the page to this server."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._answer(Request(scope)) or self._app
            await answer(scope, receive, _with_headers(send))

    def _answer(self, request: Request) -> Response | None:
        """What is answered here; None if the request goes through."""
        if self._rules.loopback and not _is_loopback(request.headers.get("host", "")):
            return _refusal(421, "host", "this server answers to localhost and 127.0.0.1 only")
        if _is_foreign(request):
            return _refusal(403, "cross_origin", "requests from pages of other sites are refused")
        if self._rules.token is not None and not self._has_token(request):
            return self._without_token(request)
        if not _PATHS.fullmatch(request.url.path):
            return _refusal(404, "not_found", "there is nothing at this address; see /docs")
        return self._size_problem(request)

    def _has_token(self, request: Request) -> bool:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else request.cookies.get(self._rules.cookie, "")
        return self._is_right(given)

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.strip().encode(), str(self._rules.token).encode())

    def _without_token(self, request: Request) -> Response:
        """The page's address with the token in it sets a cookie; anything else is refused."""
        if request.url.path == "/" and self._is_right(request.query_params.get("token", "")):
            response = RedirectResponse("/", 303)
            # lax, as a link in a message opens the page too; posts from elsewhere are refused above
            response.set_cookie(
                self._rules.cookie, str(self._rules.token), httponly=True, samesite="lax", path="/"
            )
            return response
        help = "open the address that `text2sql serve` printed, with ?token=..., or send the header"
        message = f"a token is needed: {help} `Authorization: Bearer TOKEN`"
        return _refusal(401, "token", message, {"WWW-Authenticate": "Bearer"})

    def _size_problem(self, request: Request) -> Response | None:
        if request.method in ("GET", "HEAD"):
            return None
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return _refusal(411, "length", "the request has no Content-Length")
        upload = request.url.path == _UPLOAD
        limit = self._rules.upload_bytes if upload else BODY_BYTES
        if int(length) > limit + _ENVELOPE_BYTES:
            return _refusal(413, "too_large", f"a request may have at most {limit} bytes here")
        return None


def _is_loopback(host: str) -> bool:
    """Whether a Host header names loopback, with any port: a tunnel has one of its own."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _is_foreign(request: Request) -> bool:
    """Whether a page of another origin causes the request. A link to this page is no such case."""
    headers = request.headers
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return True
    by_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    same = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return not same and not (by_link and request.method == "GET")


def _refusal(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


_FOREIGN = re.compile(
    rb"""<script\s[^>]*src="https?://[^>]*></script>|<link\s+rel="preconnect"[^>]*/>""", re.DOTALL
)


class LocalPage:
    """Leaves out what the page's HTML would load from other servers, which Gradio has in its template."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        # uncompressed, as it is read here
        headers = [header for header in scope["headers"] if header[0] != b"accept-encoding"]
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self._app({**scope, "headers": headers}, receive, collect)
        start, *rest = messages
        body = _FOREIGN.sub(b"", b"".join(message.get("body", b"") for message in rest))
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})
