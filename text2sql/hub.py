"""Models and data sets on the Hugging Face hub: a revision's commit, and the files of a commit.

huggingface_hub talks to the hub and keeps what it brings in its cache. It obeys HF_ENDPOINT (a mirror),
HF_TOKEN (or `hf auth login`), HF_HUB_CACHE and HF_HUB_OFFLINE. A commit never changes: what the cache has of
it needs no network.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from text2sql.errors import DISK_FULL, RERUN, UserError
from text2sql.files import read_json
from text2sql.progress import Progress

if TYPE_CHECKING:
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

Kind = Literal["model", "dataset"]
"""What a repository holds, in the hub's words."""

WITHOUT_NETWORK = "work without a network: `make use PROFILE=embedded`"

RECORDS: dict[Kind, str] = {"model": "metrics/fetch_model.json", "dataset": "metrics/fetch_data.json"}
"""The files that keep the commits of an earlier run."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TOKEN = "`hf auth login`, or set HF_TOKEN to a token from huggingface.co/settings/tokens"
_MB = 1_000_000  # bytes
_SPARE = 200 * _MB  # bytes of the disk that a download leaves free
_CLIENT = threading.Lock()  # while huggingface_hub is given another client


class NoSuchRevision(UserError):
    """The repository is there, and has no such branch, tag or commit."""


class Hub:
    """The hub as this machine reaches it: over the network where it must, else from the local cache."""

    def __init__(self, pins: Mapping[str, str] | None = None) -> None:
        """`pins` has the commits of an earlier run: `pin(kind, repo, revision)` -> 40 hex digits."""
        self._pins = dict(pins or {})
        self._pinned: dict[tuple[str, str, Kind], str] = {}  # the revision that a commit was a pin for
        self._resolved: dict[str, str] = {}
        self._listings: dict[tuple[str, str, Kind], dict[str, int]] = {}

    def resolve(self, repo: str, revision: str, kind: Kind) -> str:
        """The commit (40 hex digits) that a branch or tag stands for; a commit stands for itself.

        A pin decides; else the hub; and where it cannot be reached, its last answer, which the cache keeps.

        Raises:
            UserError: the hub does not have it, does not give it, or cannot be reached, and it is not cached.
        """
        if is_commit(revision):
            return revision
        name = pin(kind, repo, revision)
        if name in self._pins:
            self._pinned[repo, self._pins[name], kind] = revision
            return self._pins[name]
        if name not in self._resolved:
            self._resolved[name] = _resolved(repo, revision, kind)
        return self._resolved[name]

    def snapshot(self, repo: str, commit: str, kind: Kind, patterns: Sequence[str]) -> Path:
        """A folder of the cache with the files of a commit whose path matches one of `patterns`.

        `*` in a pattern stands for any text, also with `/`. Files that are there are not brought again; all
        are checked against the hub's checksums.
        Not covered: a cached folder without the list of the commit's files may be incomplete, and is returned
        as it is where the hub cannot be reached.

        Raises:
            UserError: a file cannot be brought, is damaged, or does not fit on the disk.
        """
        return _brought(repo, commit, kind, self._wanted(repo, commit, kind, patterns))

    def files(self, repo: str, commit: str, kind: Kind) -> dict[str, int]:
        """The files of a commit, with their bytes: as cached by an earlier call, else as the hub lists them.

        Raises:
            UserError: the hub does not have it, does not give it, or cannot be reached, and it is not cached.
        """
        place = repo, commit, kind
        if place not in self._listings:
            try:
                self._listings[place] = _listed_or_cached(*place)
            except NoSuchRevision as error:
                if place not in self._pinned:
                    raise
                raise NoSuchRevision(f"{error}; {_from_record(kind, self._pinned[place])}") from error
        return self._listings[place]

    def problems(self, repo: str, revision: str, kind: Kind, patterns: Sequence[str] = ()) -> list[str]:
        """What keeps the files that match `patterns` from being brought, each with the remedy."""
        try:
            commit = self.resolve(repo, revision, kind)
            missing = _missing(_folder(repo, commit, kind), self._wanted(repo, commit, kind, patterns))
            if missing:
                with _sentences(repo, commit, kind):
                    _api().auth_check(repo, repo_type=kind)  # a gated repository lists its files to all
            _require_space(repo, missing)
        except UserError as error:
            return [str(error)]
        return []

    def _wanted(self, repo: str, commit: str, kind: Kind, patterns: Sequence[str]) -> dict[str, int]:
        listing = self.files(repo, commit, kind)
        return {name: size for name, size in listing.items() if matches(name, patterns)}


def pin(kind: Kind, repo: str, revision: str) -> str:
    """The name under which a revision's commit is kept."""
    return f"{kind}:{repo}@{revision}"


def is_commit(value: object) -> bool:
    """Whether a value is the full name of a commit: 40 hex digits."""
    return isinstance(value, str) and _COMMIT.fullmatch(value) is not None


def read_record_file(path: Path) -> dict[str, Any]:
    """The object in a file of `RECORDS`, {} if there is no file.

    Raises:
        UserError: the file does not have a JSON object.
    """
    try:
        record = read_json(path) if path.is_file() else {}
    except UserError as error:
        raise UserError(f"{error}; delete {path}, then: dvc repro") from error
    if not isinstance(record, dict):
        raise not_a_record(path)
    return record


def not_a_record(path: Path) -> UserError:
    """The error for a file of `RECORDS`, named as its stage, that the stage did not write so."""
    return UserError(f"{path}: not as {path.stem} writes it; delete it, then: dvc repro")


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a path in a repository matches one of the patterns, as huggingface_hub matches them."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def exactly(name: str) -> str:
    """The pattern that only this path matches."""
    return re.sub(r"([*?[])", r"[\1]", name)


# -- asking the hub --


def _resolved(repo: str, revision: str, kind: Kind) -> str:
    """The commit that the hub, or else the cache, has for a branch or tag."""
    with _sentences(repo, revision, kind):
        commit = str(_api().resolve_revision(repo, repo_type=kind, revision=revision).resolved)
    if not is_commit(commit):
        file = _folder(repo, "any", kind).parents[1] / "refs" / revision
        raise UserError(
            f"{file}: damaged, it has {commit!r} where a commit has 40 hex digits; `rm {file}`, then {RERUN}"
        )
    return commit


def _api() -> HfApi:
    """The hub's interface, which checks a commit before the cache keeps it."""
    from huggingface_hub import HfApi

    class Api(HfApi):
        def repo_info(self, *args: Any, **options: Any) -> Any:
            info = super().repo_info(*args, **options)
            if not is_commit(info.sha):
                raise ValueError(f"its commit is {info.sha!r}, not 40 hex digits")
            return info

    return Api()


def _require_listing(repo: str, commit: str, kind: Kind) -> None:
    """Check the hub's list of a commit's files, before the cache keeps it.

    Raises:
        ValueError: the list is empty, or a file's path or size is none.
    """
    from huggingface_hub.hf_api import RepoFile

    tree = list(_api().list_repo_tree(repo, repo_type=kind, revision=commit, recursive=True))
    if not tree:
        raise ValueError("it lists no files")
    for entry in tree:
        size = entry.size if isinstance(entry, RepoFile) else 0
        if not isinstance(size, int) or not _is_inside(entry.path):
            raise ValueError(f"it lists a file {entry.path!r} of {size!r} bytes")


def _is_inside(path: object) -> bool:
    """Whether a path in a repository stays in it."""
    return isinstance(path, str) and bool(path) and not path.startswith("/") and ".." not in path.split("/")


def _limit_waits() -> None:
    """Have huggingface_hub give up a request that has no time limit of its own, as those for metadata."""
    with _CLIENT:
        _use_limited_client()


@functools.cache
def _use_limited_client() -> None:
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def client() -> httpx.Client:
        made = default_client_factory()
        made.event_hooks["request"].append(_limit)  # a default of the client would not do: calls pass None
        return made

    set_client_factory(client)


def _limit(request: httpx.Request) -> None:
    from huggingface_hub import constants

    limits = request.extensions.get("timeout", {})
    seconds = constants.HF_HUB_ETAG_TIMEOUT
    request.extensions["timeout"] = {
        phase: seconds if limits.get(phase) is None else limits[phase]
        for phase in ("connect", "read", "write", "pool")
    }


# -- bringing files --


def _listed_or_cached(repo: str, commit: str, kind: Kind) -> dict[str, int]:
    try:
        return _listed(repo, commit, kind)
    except UserError:
        folder = _folder(repo, commit, kind)
        if not folder.is_dir():
            raise
    print(f"{repo}: the hub does not list its files; using the cached ones", file=sys.stderr)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def _listed(repo: str, commit: str, kind: Kind) -> dict[str, int]:
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    with _sentences(repo, commit, kind):
        try:
            tree = get_cached_repo_tree(repo, repo_type=kind, revision=commit)
        except CachedRepoTreeNotFoundError:
            _require_listing(repo, commit, kind)  # also says at once if it cannot be reached
            with _counting(Progress(0, "MB", repo)) as bar:  # of nothing: only the list is brought
                snapshot_download(repo, repo_type=kind, revision=commit, allow_patterns=[], tqdm_class=bar)
            tree = get_cached_repo_tree(repo, repo_type=kind, revision=commit)
    return {file.path: file.size for file in tree}


def _brought(repo: str, commit: str, kind: Kind, wanted: Mapping[str, int]) -> Path:
    """The snapshot's folder once it has the files `wanted` (bytes by path), each of them checked."""
    folder = _folder(repo, commit, kind)
    missing = _missing(folder, wanted)
    if missing:
        _require_space(repo, missing)
        _download(repo, commit, kind, missing)
    for name in sorted(wanted):
        _check(folder / name, f"{repo}: {name}")
    return folder


def _download(repo: str, commit: str, kind: Kind, missing: Mapping[str, int]) -> None:
    from huggingface_hub import snapshot_download

    patterns = [exactly(name) for name in missing]
    counting = _counting(Progress(-(-sum(missing.values()) // _MB), "MB", repo))
    with _sentences(repo, commit, kind), counting as bar:
        snapshot_download(repo, repo_type=kind, revision=commit, allow_patterns=patterns, tqdm_class=bar)


@contextmanager
def _counting(progress: Progress) -> Iterator[Any]:
    """A class of progress bars that counts the megabytes of a download in `progress`, and shows no bar."""
    from huggingface_hub.utils import tqdm

    lock, done = threading.Lock(), 0

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            self._counts = options.get("name") == "huggingface_hub.snapshot_download"  # of three bars
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            nonlocal done
            with lock:
                done += int(n or 0) if self._counts else 0
                if whole := min(done // _MB, progress.total) - progress.done:
                    progress.advance(whole)

    yield Bar
    if rest := progress.total - progress.done:
        progress.advance(rest)


def _folder(repo: str, commit: str, kind: Kind) -> Path:
    """Where the cache has, or will have, the files of a commit."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"{kind}s--{repo.replace('/', '--')}" / "snapshots" / commit


def _missing(folder: Path, wanted: Mapping[str, int]) -> dict[str, int]:
    return {name: size for name, size in wanted.items() if not (folder / name).is_file()}


def _require_space(repo: str, missing: Mapping[str, int]) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    disk = Path(HF_HUB_CACHE)
    while not disk.exists():
        disk = disk.parent
    needed, free = sum(missing.values()), shutil.disk_usage(disk).free
    if missing and needed + _SPARE > free:
        raise UserError(
            f"{HF_HUB_CACHE}: no room for {repo}, which needs {needed:,} bytes and {_SPARE:,} to spare; "
            f"{free:,} are free; free some space, or set HF_HUB_CACHE to a folder on another disk"
        )


# -- checksums --


def _check(path: Path, name: str) -> None:
    """Compare a file with the checksum that the cache names it by: SHA-256 of large files, else git's id.

    Raises:
        UserError: they differ.
    Not covered: a cache without links, whose files have their own names.
    """
    expected = path.readlink().name if path.is_symlink() else ""
    found = {64: _sha256, 40: _git_id}.get(len(expected))
    if found is None or (actual := found(path)) == expected:
        return
    blob = os.path.normpath(path.parent / path.readlink())
    # a blob may be a link to one that caches share
    copies = sorted({blob, str(path), os.path.realpath(blob)})
    raise UserError(
        f"{name} is damaged in the local cache: its checksum is {actual}, not {expected}; "
        f"`rm {' '.join(copies)}`, then {RERUN}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_id(path: Path) -> str:
    """The id of a file's content in git: SHA-1 of a header and the bytes."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_MB), b""):
            digest.update(block)
    return digest.hexdigest()


# -- errors --


@contextmanager
def _sentences(repo: str, revision: str, kind: Kind) -> Iterator[None]:
    """Turn the errors of huggingface_hub into ones that name the remedy.

    Raises:
        UserError: the hub, the network or the name is at fault.
        OSError: the disk is full.
    """
    import httpx
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HFValidationError, RevisionNotFoundError, RevisionResolutionError

    _limit_waits()
    try:
        yield
    except HFValidationError as error:
        raise UserError(
            f"{repo}: not a name of a repository, which is owner/name ({_first(error)})"
        ) from error
    except UnicodeEncodeError as error:  # of a header
        raise UserError(
            f"{repo} at {revision}: the token has characters other than ASCII; {_TOKEN}"
        ) from error
    except (OSError, httpx.HTTPError, RevisionResolutionError, RuntimeError) as error:  # the last by hf_xet
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise OSError(error.errno, error.strerror, error.filename or HF_HUB_CACHE) from error
        missing = any(isinstance(cause, RevisionNotFoundError) for cause in _causes(error))
        kind_of_error = NoSuchRevision if missing else UserError
        raise kind_of_error(f"{repo} at {revision}: {_remedy(error, repo, kind)}") from error
    except _unlike_the_hub() as error:
        raise UserError(f"{repo} at {revision}: {_something_else(error)}") from error


def _unlike_the_hub() -> tuple[type[Exception], ...]:
    """The errors of huggingface_hub on an answer that is not as the hub's."""
    import httpx
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    of_parsing = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
    return (*of_parsing, CachedRepoTreeNotFoundError, httpx.InvalidURL)


def _something_else(error: BaseException) -> str:
    return (
        f"{_endpoint()} answers with something else than the hub ({type(error).__name__}: {_first(error)}); "
        f"check HF_ENDPOINT, a proxy or a log-in page, then {RERUN}"
    )


def _from_record(kind: Kind, revision: str) -> str:
    """Where a commit that the hub does not have comes from."""
    file = RECORDS[kind]
    return f"the commit is from {file}: delete that file, then dvc repro resolves {revision} anew"


def _remedy(error: BaseException, repo: str, kind: Kind) -> str:
    """What is wrong and what to do, from the error or the one that caused it."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError):
            return _answered(cause, _page(repo, kind))
        if isinstance(cause, OfflineModeIsEnabled):
            return _offline()
        if isinstance(cause, httpx.TransportError):
            return _unreached(cause)
        if isinstance(cause, httpx.TooManyRedirects):
            return _something_else(cause)
    return (
        f"the download failed ({type(error).__name__}: {_first(error)}); files that are complete stay in the "
        f"cache: {RERUN}"
    )


def _answered(error: HfHubHTTPError, page: str) -> str:
    """The sentence for an answer of the hub that is an error."""
    from huggingface_hub.errors import GatedRepoError, RemoteEntryNotFoundError, RevisionNotFoundError

    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return f"the repository is gated; accept its conditions on {page}, then {_TOKEN}, and {RERUN}"
    if isinstance(error, RevisionNotFoundError):
        return f"the repository has no such branch, tag or commit; {page} shows those it has"
    if isinstance(error, RemoteEntryNotFoundError):
        return f"the repository has no such file ({error.response.url}); {page} shows those it has"
    if status == 429:
        return _too_many(error.response)
    if status == 401 and "credentials" in error.response.headers.get("X-Error-Message", ""):
        return f"the hub does not accept the token; {_TOKEN}"
    if status in (401, 404):
        return (
            f"the hub has no such repository, or it is private; fix the name, or for a private one {_TOKEN}"
        )
    if status == 403:
        return f"the token may not read it; give it that right, or {_TOKEN}"
    return f"{_endpoint()} answers {status}; {RERUN} later, or set HF_ENDPOINT to a mirror"


def _too_many(response: httpx.Response) -> str:
    wait = response.headers.get("Retry-After")
    later = f"in {wait} s" if wait else "in some minutes"
    return (
        f"the hub answers 429, too many requests; {RERUN} {later} (what is complete stays in the cache); "
        f"with a token the limit is higher: {_TOKEN}"
    )


def _offline() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return (
        f"not in the local cache {HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids the network; unset it, set "
        f"HF_HUB_CACHE to a cache that has it, or {WITHOUT_NETWORK}"
    )


def _unreached(error: BaseException) -> str:
    import httpx

    slow = isinstance(error, httpx.TimeoutException)
    state = "does not answer in time" if slow else "cannot be reached"
    longer = ", or set HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT to more seconds" if slow else ""
    return (
        f"{_endpoint()} {state} ({type(error).__name__}: {_first(error)}), and it is not in the "
        f"local cache; check the network, HTTPS_PROXY and HF_ENDPOINT{longer}, then {RERUN} (what is "
        f"complete stays in the cache), or {WITHOUT_NETWORK}"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _first(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _endpoint() -> str:
    from huggingface_hub.constants import ENDPOINT

    return str(ENDPOINT)


def _page(repo: str, kind: Kind) -> str:
    return f"{_endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"
