"""Which requests are answered."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from text2sql.web.guard import BODY_BYTES, Guard, LocalPage, Rules

TOKEN = "a-token-of-24-characters"
HTML = """<script src="https://cdn.example/x.js" async></script>
<link rel="preconnect" href="https://fonts.example" />
<link
    rel="preconnect"
    href="https://fonts.example"
    crossorigin="anonymous"
/>
<script src="./assets/a.js"></script><p>Ask</p>"""


async def _echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def _page(request: Request) -> HTMLResponse:
    return HTMLResponse(HTML)


def _client(
    token: str | None = None, loopback: bool = True, base: str = "http://127.0.0.1:7860"
) -> TestClient:
    routes = [Route("/", _page), Route("/{rest:path}", _echo, methods=["GET", "POST"])]
    guard = Guard(LocalPage(Starlette(routes=routes)), Rules(token, loopback, 7860, 5_000_000))
    return TestClient(guard, base, follow_redirects=False)


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "127.0.0.2:9000", "LOCALHOST"])
def test_loopback_answers_to_its_own_names(host: str) -> None:
    assert _client().get("/api/databases", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", "10.0.0.1", "", "[::1"])
def test_loopback_refuses_other_names_which_dns_may_point_at_it(host: str) -> None:
    refused = _client().get("/api/databases", headers={"host": host})
    assert refused.status_code == 421
    assert refused.json()["error"]["kind"] == "host"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},  # another program on this machine
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
    ],
)
def test_requests_that_another_site_causes_are_refused(headers: dict[str, str]) -> None:
    for answer in (_client().get("/", headers=headers), _client().post("/api/ask", headers=headers)):
        assert answer.status_code == 403
        assert answer.json()["error"]["kind"] == "cross_origin"


def test_own_requests_and_links_from_elsewhere_are_answered() -> None:
    own = {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"}
    assert _client().post("/api/ask", headers=own).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert _client().get("/", headers=link).status_code == 200
    assert _client().post("/", headers=link).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"cookie": "text2sql_1=x"}],
)
def test_without_the_token_neither_page_nor_api_is_answered(headers: dict[str, str]) -> None:
    client = _client(TOKEN, loopback=False, base="http://machine.example:7860")
    for path in (
        "/",
        "/?token=wrong",
        "/api/databases",
        f"/api/databases?token={TOKEN}",
        "/docs",
        "/assets/a.js",
    ):
        refused = client.get(path, headers=headers)
        assert refused.status_code == 401, path
        assert "a token is needed" in refused.json()["error"]["message"]
        assert TOKEN not in refused.text


def test_the_token_opens_the_api_as_a_header_and_the_page_through_its_address() -> None:
    client = _client(TOKEN, loopback=False, base="http://machine.example:7860")
    assert client.get("/api/databases", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    opened = client.get(f"/?token={TOKEN}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/")  # the address loses the token
    assert "HttpOnly" in opened.headers["set-cookie"]
    assert client.get("/").status_code == 200


def test_addresses_of_gradio_that_the_page_does_not_use_are_not_found() -> None:
    for path in (
        "/gradio_api/proxy=http://evil.example",
        "/gradio_api/file=http://evil.example",
        "/gradio_api/component_server",
        "/gradio_api/run/predict",
        "/monitoring",
        "/login",
    ):
        assert _client().get(path).status_code == 404, path


def test_bodies_have_a_limit_which_is_larger_for_uploads() -> None:
    client = _client()
    assert client.post("/api/ask", content=b"x" * BODY_BYTES).status_code == 200
    assert client.post("/api/ask", content=b"x" * (BODY_BYTES + 20_000)).status_code == 413
    assert client.post("/gradio_api/upload", content=b"x" * 5_000_000).status_code == 200
    assert client.post("/gradio_api/upload", content=b"x" * 5_020_000).status_code == 413
    assert client.post("/api/ask", content=iter([b"x"])).status_code == 411  # in chunks, of unknown length


def test_the_page_names_no_other_server_and_its_headers_forbid_one() -> None:
    page = _client().get("/")
    assert "example" not in page.text
    assert '<script src="./assets/a.js"></script><p>Ask</p>' in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
