"""A stand-in for the Hugging Face hub on this machine, and its cache format, for the real huggingface_hub.

It answers /api/models|datasets/OWNER/NAME[/revision/REV], .../tree/COMMIT, .../auth-check and
/[datasets/]OWNER/NAME/resolve/COMMIT/PATH: large files by a redirect to /blobs/SHA256, with ranges, small
ones itself. It takes uploads at /api/repos/create, /api/validate-yaml, .../preupload/main,
/OWNER/NAME.git/info/lfs/objects/batch and .../commit/main, by the LFS protocol (HF_HUB_DISABLE_XET).
What goes wrong is set by the attributes of `Hub`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = 1000  # bytes from which on a file is kept as the hub keeps large ones
_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|auth-check)(?:/([^/]+))?)?")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


def etag(content: bytes) -> str:
    """The name of a file's content in the cache: SHA-256 of a large file, git's id of a small one."""
    if len(content) >= _LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lay_snapshot(cache: Path, repo: str, kind: str, files: Mapping[str, bytes], commit: str = COMMIT) -> Path:
    """Lay a repository out as the cache has it, with `main` at `commit`; returns the snapshot."""
    root = cache / f"{kind}s--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    for name, content in files.items():
        blob, link = root / "blobs" / etag(content), snapshot / name
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * (len(link.relative_to(root).parts) - 1)) / "blobs" / blob.name)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    return snapshot


@dataclass
class Hub:
    """The repositories ("model:owner/name") with their files, what goes wrong, and what was asked."""

    repositories: dict[str, dict[str, bytes]]
    fail: tuple[int, dict[str, str]] | None = None
    """A status with headers that answers every request."""
    instead: tuple[str, bytes] | None = None
    """A part of a path, and what answers, with status 200, the requests whose path has it."""
    gated: bool = False
    cut: int | None = None
    """After so many bytes of a large file the connection ends, once."""
    cut_always: bool = False
    url: str = ""
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    token: str | None = None
    """The token with which uploads are allowed; another one gets `refusal`."""
    refusal: int = 401
    card_errors: list[str] = field(default_factory=list)
    """What the hub finds wrong with every card."""
    cards: list[str] = field(default_factory=list)
    """The cards that it was asked to check."""
    broken_uploads: bool = False
    """The connection ends while a large file is sent."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files that were sent, by SHA-256, whether or not a commit has them."""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` on a free port, which its `url` then has."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_UPLOAD = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main")
_BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        """Answer with the headers only."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer as the hub does."""
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.fail:
            return self._answer(self.hub.fail[0], b"{}", self.hub.fail[1])
        if self.hub.instead and self.hub.instead[0] in path:
            return self._answer(200, self.hub.instead[1])
        if path.startswith("/blobs/"):
            return self._blob(path.removeprefix("/blobs/"))
        if api := _API.fullmatch(path):
            return self._api(f"{api[1][:-1]}:{api[2]}", api[3] or "revision", api[4] or "main")
        if found := _RESOLVE.fullmatch(path):
            kind = "dataset" if found[1] else "model"
            return self._file(f"{kind}:{found[2]}", found[3], found[4])
        return self._error(404, "RepoNotFound")

    def do_PUT(self) -> None:
        """Store a large file under its checksum, which is checked."""
        self.hub.asked.append(f"PUT {self.path}")
        if self.hub.broken_uploads:
            self.rfile.read(100)
            self.close_connection = True
            return
        content, digest = self._body(), self.path.removeprefix("/lfs/")
        if hashlib.sha256(content).hexdigest() != digest:
            return self._answer(400, b"{}")
        self.hub.stored[digest] = content
        self._answer(200, b"")

    def do_POST(self) -> None:
        """Answer the requests of an upload."""
        path, body = unquote(urlsplit(self.path).path), self._body()
        self.hub.asked.append(f"POST {path}")
        if self.hub.fail:
            return self._answer(self.hub.fail[0], b"{}", self.hub.fail[1])
        if path != "/api/validate-yaml" and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._answer(self.hub.refusal, b'{"error": "refused"}')
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._check_card(json.loads(body))
        if _BATCH.fullmatch(path):
            return self._batch(json.loads(body)["objects"])
        if upload := _UPLOAD.fullmatch(path):
            lines = [json.loads(line) for line in body.splitlines()]
            if upload[2] == "preupload":
                return self._preupload(f"model:{upload[1]}", lines[0]["files"])
            return self._commit(f"model:{upload[1]}", lines)
        return self._error(404, "RepoNotFound")

    def _create(self, asked: dict[str, str]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        known = f"model:{name}" in self.hub.repositories
        self.hub.repositories.setdefault(f"model:{name}", {})
        self._json({"url": f"{self.hub.url}/{name}"}, 409 if known else 200)

    def _check_card(self, asked: dict[str, str]) -> None:
        self.hub.cards.append(asked["content"])
        errors = [{"message": error} for error in self.hub.card_errors]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _preupload(self, name: str, files: list[dict[str, Any]]) -> None:
        known = self.hub.repositories[name]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= _LARGE else "regular",
                "shouldIgnore": False,
                "oid": etag(known[file["path"]]) if file["path"] in known else None,
            }
            for file in files
        ]
        self._json({"files": modes})

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        """An address for each large file that is not stored."""
        answers = []
        for each in objects:
            upload = {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}
            answers.append(each if each["oid"] in self.hub.stored else {**each, "actions": upload})
        self._json({"transfer": "basic", "objects": answers})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        for line in lines[1:]:
            value = line["value"]
            large = line["key"] == "lfsFile"
            content = self.hub.stored[value["oid"]] if large else base64.b64decode(value["content"])
            self.hub.repositories[name][value["path"]] = content
        url = f"{self.hub.url}/{name.partition(':')[2]}/commit/{COMMIT}"
        self._json({"success": True, "commitOid": COMMIT, "commitUrl": url})

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _json(self, value: object, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode())

    def _api(self, name: str, what: str, revision: str) -> None:
        files = self.hub.repositories.get(name)
        if files is None:
            return self._error(401, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self._error(404, "RevisionNotFound")
        if what == "auth-check":
            return self._error(403, "GatedRepo") if self.hub.gated else self._answer(200, b"{}")
        if what == "tree":
            return self._answer(200, json.dumps([_entry(*item) for item in files.items()]).encode())
        info = {"id": name.partition(":")[2], "sha": COMMIT, "siblings": [], "tags": [], "private": False}
        return self._answer(200, json.dumps(info).encode())

    def _file(self, name: str, revision: str, path: str) -> None:
        content = self.hub.repositories.get(name, {}).get(path)
        if self.hub.gated:
            return self._error(401, "GatedRepo")
        if content is None:
            return self._error(404, "EntryNotFound")
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(content)}"'}
        if len(content) < _LARGE:
            return self._answer(200, content, headers)
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        elsewhere = self.hub.url.replace("127.0.0.1", "localhost")  # another host, as the hub's files are on
        return self._answer(302, b"", headers | {"Location": f"{elsewhere}/blobs/{etag(content)}"})

    def _blob(self, digest: str) -> None:
        contents = [content for files in self.hub.repositories.values() for content in files.values()]
        content = next(content for content in contents if etag(content) == digest)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.hub.ranges += [self.headers["Range"]] if asked else []
        headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(206 if asked else 200, content[start:], headers, self.hub.cut)

    def _error(self, status: int, code: str) -> None:
        self._answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None and cut < len(body):
            self.close_connection = True
            self.hub.cut = 0 if self.hub.cut_always else None


def _entry(path: str, content: bytes) -> dict[str, object]:
    """An entry of a listing."""
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": etag(content)[:40]}
    if len(content) >= _LARGE:
        entry["lfs"] = {"oid": etag(content), "size": len(content), "pointerSize": 134}
    return entry
