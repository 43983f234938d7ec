"""The hub through the real huggingface_hub: against a stand-in server, and offline in its cache format."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub import close_session

from tests.hub_server import COMMIT, Hub, etag, lay_snapshot, serving
from text2sql import hub as hub_module
from text2sql.errors import UserError
from text2sql.hub import Hub as Client
from text2sql.hub import exactly, matches, pin

REPO = "owner/data"
FILES = {
    "train.json": b'[{"question": "How many?"}]',
    "database/a/a.sqlite": b"a" * 5000,
    "database/b/b.sqlite": b"b" * 300_000,
    "README.md": b"# Data",
}
WANTED = ["train.json", "database/*.sqlite"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no waiting between attempts."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return tmp_path / "hub"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that has one data set, which huggingface_hub is pointed to."""
    with serving(Hub({f"dataset:{REPO}": FILES})) as hub:
        point_to(hub.url, monkeypatch)
        yield hub
        close_session()


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def fetched(repo: str = REPO, revision: str = "main") -> Path:
    client = Client()
    return client.snapshot(repo, client.resolve(repo, revision, "dataset"), "dataset", WANTED)


def refusal(repo: str = REPO, revision: str = "main") -> str:
    with pytest.raises(UserError) as error:
        fetched(repo, revision)
    assert "\n" not in str(error.value)
    return str(error.value)


# -- what is brought --


def test_the_files_that_match_are_brought_and_no_others(
    server: Hub, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("text2sql.progress._log", True)
    folder = fetched()
    assert folder.name == COMMIT
    assert names_below(folder) == ["database/a/a.sqlite", "database/b/b.sqlite", "train.json"]
    assert (folder / "database/b/b.sqlite").read_bytes() == FILES["database/b/b.sqlite"]
    assert capsys.readouterr().err.splitlines()[-1].startswith("owner/data: 1/1 MB (100 %)")


def test_a_second_time_nothing_is_asked(server: Hub) -> None:
    folder = fetched()
    server.asked.clear()
    assert fetched(revision=COMMIT) == folder
    assert server.asked == []


def test_only_what_is_missing_is_brought_again(server: Hub) -> None:
    folder = fetched()
    link = folder / "database/a/a.sqlite"
    link.resolve().unlink()
    link.unlink()
    server.asked.clear()
    fetched(revision=COMMIT)
    assert [line for line in server.asked if "GET" in line] == [
        f"GET /blobs/{etag(FILES[names_below(folder)[0]])}"
    ]


def test_a_pin_decides_what_a_branch_is(server: Hub) -> None:
    client = Client({pin("dataset", REPO, "main"): "f" * 40})
    assert client.resolve(REPO, "main", "dataset") == "f" * 40
    assert server.asked == []


def test_a_dying_connection_goes_on_where_it_stopped(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)  # written at a time
    server.cut = 100_000
    folder = fetched()
    assert server.ranges == ["bytes=100000-"]
    assert (folder / "database/b/b.sqlite").read_bytes() == FILES["database/b/b.sqlite"]


def test_a_pattern_matches_as_that_of_huggingface_hub() -> None:
    from huggingface_hub.utils import filter_repo_objects

    names = ["a.json", "d/x[1].sqlite", "d/x1.sqlite", "d/e/f.sqlite"]
    for patterns in (["d/*.sqlite"], [exactly("d/x[1].sqlite")], ["*"], ["a.json", "*f.*"]):
        assert [name for name in names if matches(name, patterns)] == list(
            filter_repo_objects(names, allow_patterns=patterns)
        )


# -- errors, each with its remedy --


def test_a_connection_that_keeps_dying_names_the_way_on_and_keeps_what_is_complete(
    server: Hub, cache: Path
) -> None:
    fetched_before = Client().snapshot(REPO, COMMIT, "dataset", ["train.json"])
    server.cut, server.cut_always = 100, True
    said = refusal()
    assert "cannot be reached (RemoteProtocolError" in said and "run the same command again" in said
    assert names_below(fetched_before) == ["train.json"]
    assert not list(cache.rglob("*.incomplete"))
    server.cut, server.cut_always = None, False
    assert len(names_below(fetched())) == 3


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            "does not accept the token",
        ),
        (
            401,
            {},
            "the hub has no such repository, or it is private; fix the name, or for a private one `hf auth",
        ),
        (404, {"X-Error-Code": "RepoNotFound"}, "the hub has no such repository"),
        (403, {"X-Error-Code": "GatedRepo"}, "the repository is gated; accept its conditions on"),
        (403, {}, "the token may not read it"),
        (429, {"Retry-After": "7"}, "429, too many requests; run the same command again in 7 s"),
        (429, {}, "again in some minutes"),
        (500, {}, "answers 500; run the same command again later, or set HF_ENDPOINT to a mirror"),
        (503, {}, "answers 503; run the same"),
    ],
)
def test_what_the_hub_answers_is_named_with_the_remedy(
    server: Hub, status: int, headers: dict[str, str], said: str
) -> None:
    server.fail = status, headers
    for revision in ("main", COMMIT):
        message = refusal(revision=revision)
        assert said in message and message.startswith(f"{REPO} at {revision}: ")


def test_a_gated_repository_is_named_with_its_page_and_the_token(server: Hub) -> None:
    server.gated = True
    said = refusal()
    assert f"conditions on {server.url}/datasets/{REPO}, then `hf auth login`, or set HF_TOKEN" in said


def test_a_missing_repository_and_a_missing_revision_are_told_apart(server: Hub) -> None:
    assert "no such repository" in refusal("owner/none")
    assert f"no such branch, tag or commit; {server.url}/datasets/{REPO} shows" in refusal(revision="v9")
    assert "no such branch, tag or commit" in refusal(revision="f" * 40)


def test_a_name_that_cannot_be_one_is_refused(server: Hub) -> None:
    assert "a/b/c: not a name of a repository" in refusal("a/b/c")


def test_a_server_that_is_not_there_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("http://127.0.0.1:9", monkeypatch)
    for revision in ("main", COMMIT):
        said = refusal(revision=revision)
        assert "http://127.0.0.1:9 cannot be reached (ConnectError" in said
        assert "HF_ENDPOINT" in said and "make use PROFILE=embedded" in said


def test_a_server_that_accepts_and_never_answers_is_given_up(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts, and no program reads
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        point_to(url, monkeypatch)
        for revision in ("main", COMMIT):
            said = refusal(revision=revision)
            assert f"{url} does not answer in time (ReadTimeout" in said
            assert "HF_HUB_ETAG_TIMEOUT" in said and "HF_ENDPOINT" in said
        with pytest.raises(httpx.ReadTimeout):
            hub_module._api().auth_check(REPO, repo_type="dataset")
    close_session()


@pytest.mark.parametrize(
    "answer", [b"<html>Log in</html>", b"{}", b'{"error": "x"}', b"null", b"[]", b'"x"', b"\xff"]
)
def test_a_page_that_answers_for_the_hub_is_named(server: Hub, answer: bytes) -> None:
    server.instead = "/", answer
    for revision in ("main", COMMIT):
        said = refusal(revision=revision)
        assert f"{server.url} answers with something else than the hub (" in said
        assert "check HF_ENDPOINT, a proxy or a log-in page" in said


@pytest.mark.parametrize("sha", [None, 3, "xyz", "F" * 40, COMMIT + "0"])
def test_a_commit_that_is_none_is_refused_and_not_kept(server: Hub, cache: Path, sha: object) -> None:
    server.instead = "/revision/", json.dumps({"id": REPO, "sha": sha}).encode()
    said = refusal()
    assert f"answers with something else than the hub (ValueError: its commit is {sha!r}, not 40 hex" in said
    assert not list(cache.rglob("refs/*"))


@pytest.mark.parametrize(
    "entry",
    [
        {"x": 1},
        {"type": "file", "path": "../a", "size": 1, "oid": "a"},
        {"type": "file", "path": "/a", "size": 1, "oid": "a"},
        {"type": "file", "path": 1, "size": 1, "oid": "a"},
        {"type": "file", "path": "a", "size": "1", "oid": "a"},
    ],
)
def test_a_list_of_files_that_is_none_is_refused_and_not_kept(
    server: Hub, cache: Path, entry: dict[str, object]
) -> None:
    server.instead = "/tree/", json.dumps([entry]).encode()
    assert "answers with something else than the hub (" in refusal()
    server.instead = None
    assert len(names_below(fetched())) == 3


def test_a_page_that_leads_to_itself_is_named(server: Hub) -> None:
    server.fail = 302, {"Location": f"{server.url}/login"}
    assert "answers with something else than the hub (TooManyRedirects" in refusal()


def test_a_token_that_is_none_is_named(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_é")
    assert "the token has characters other than ASCII; `hf auth login`" in refusal()


def test_an_address_that_is_none_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("http://127.0.0.1:port", monkeypatch)
    assert "http://127.0.0.1:port answers with something else than the hub (InvalidURL" in refusal()


def test_a_pin_that_the_hub_does_not_have_is_named_with_its_file(server: Hub) -> None:
    client = Client({pin("dataset", REPO, "main"): "f" * 40})
    said = client.problems(REPO, "main", "dataset", WANTED)[0]
    assert "no such branch, tag or commit" in said
    assert (
        "the commit is from metrics/fetch_data.json: delete that file, then dvc repro resolves main" in said
    )
    assert "metrics" not in refusal(revision="f" * 40)


def test_too_little_room_is_said_before_anything_is_brought(
    server: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    said = refusal()
    assert "needs 305,027 bytes and 200,000,000 to spare; 1,000 are free" in said and "HF_HUB_CACHE" in said
    assert not any("resolve" in line for line in server.asked)


def test_a_full_disk_is_named_by_its_folder(
    server: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub.file_download, "http_get", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        fetched()
    assert error.value.filename == str(cache)


def test_an_error_of_the_download_itself_is_named(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CAS client: reset by peer")

    monkeypatch.setattr(huggingface_hub.file_download, "http_get", broken)
    said = refusal()
    assert "the download failed (RuntimeError: CAS client: reset by peer)" in said
    assert said.endswith("run the same command again")


@pytest.mark.parametrize("name", ["train.json", "database/b/b.sqlite"])
def test_a_damaged_file_of_the_cache_is_named_with_the_command(server: Hub, name: str) -> None:
    folder = fetched()
    with (folder / name).resolve().open("r+b") as file:
        file.write(b"X")
    said = refusal(revision=COMMIT)
    assert f"owner/data: {name} is damaged in the local cache" in said and etag(FILES[name]) in said
    command = said.partition("`rm ")[2].partition("`")[0]
    for path in command.split():
        Path(path).unlink()
    assert (fetched(revision=COMMIT) / name).read_bytes() == FILES[name]


def test_of_a_damaged_file_that_caches_share_every_copy_is_named(offline: Path, tmp_path: Path) -> None:
    snapshot = lay_snapshot(offline, REPO, "dataset", FILES)
    blob = (snapshot / "database/a/a.sqlite").resolve()
    blob.rename(tmp_path / "shared")
    blob.symlink_to(tmp_path / "shared")
    (tmp_path / "shared").write_bytes(b"x")
    command = refusal().partition("`rm ")[2].partition("`")[0]
    assert command.split() == sorted(map(str, (blob, snapshot / "database/a/a.sqlite", tmp_path / "shared")))


# -- without a network --


@pytest.fixture
def offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache, with the network forbidden."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cache


def test_a_snapshot_in_the_cache_needs_no_network(offline: Path) -> None:
    snapshot = lay_snapshot(offline, REPO, "dataset", FILES)
    assert fetched() == fetched(revision=COMMIT) == snapshot


def test_a_damaged_branch_of_the_cache_is_named(offline: Path) -> None:
    file = lay_snapshot(offline, REPO, "dataset", FILES).parents[1] / "refs" / "main"
    file.write_text("xyz")
    assert f"{file}: damaged, it has 'xyz'" in refusal()


def test_what_the_cache_lacks_is_named_with_both_ways_out(offline: Path) -> None:
    for revision in ("main", COMMIT):
        said = refusal(revision=revision)
        assert f"not in the local cache {offline}, and HF_HUB_OFFLINE forbids the network; unset it" in said
    lay_snapshot(offline, REPO, "dataset", FILES)
    assert "not in the local cache" in refusal(revision="f" * 40)


def test_a_damaged_snapshot_is_named_offline_too(offline: Path) -> None:
    snapshot = lay_snapshot(offline, REPO, "dataset", FILES)
    (snapshot / "database/a/a.sqlite").resolve().write_bytes(b"x")
    assert "database/a/a.sqlite is damaged" in refusal()


def test_the_cache_serves_where_the_hub_cannot_be_reached(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = lay_snapshot(cache, REPO, "dataset", FILES)
    point_to("http://127.0.0.1:9", monkeypatch)
    assert fetched() == snapshot
    assert "owner/data: the hub does not list its files; using the cached ones" in capsys.readouterr().err


# -- before a run --


def test_problems_are_listed_and_nothing_is_brought(server: Hub, cache: Path) -> None:
    client = Client()
    assert client.problems(REPO, "main", "dataset", WANTED) == []
    assert not any("/resolve/" in line for line in server.asked)
    assert "no such repository" in client.problems("owner/none", "main", "dataset")[0]
    server.gated = True
    assert "is gated" in client.problems(REPO, "main", "dataset", WANTED)[0]
    server.gated = False
    fetched()
    server.fail = 503, {}
    assert client.problems(REPO, COMMIT, "dataset", WANTED) == []
