"""Reads what a commit, or the working tree, says about its arms: metrics, verdicts and parameters from git.

Questions and predictions are outputs that DVC keeps; those of a commit are read where its cache has them.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from ruamel.yaml import YAML, YAMLError

from text2sql.errors import UserError
from text2sql.files import read_jsonl
from text2sql.report.comparison import Asked, Revision, Texts, flat
from text2sql.report.kept_verdicts import KeptVerdict, read_kept

METRICS = "metrics"
SUMMARY = "metrics/summary.json"
KEPT = "metrics/verdicts"
PARAMS = "params.yaml"
LOCK = "dvc.lock"
QUESTIONS = "data/test/test.jsonl"
_FIGURES = ("prepare", "dedupe_test", "convert_schema", "fetch_model")  # metrics of stages before training

Files = Mapping[str, str]  # text by path


def commit(name: str) -> Revision:
    """The revision of a commit, branch or tag.

    Raises:
        UserError: there is no git, no repository or no such commit, or its files are missing or malformed.
    """
    found = _resolve(name)
    files = _files_of(found)
    shown = f"{found[:10]}" if found.startswith(name) else f"{name} ({found[:10]})"
    return _revision(shown, files, partial(_cached_texts, files.get(LOCK, "")))


def working_tree() -> Revision:
    """The revision of the files as they are.

    Raises:
        UserError: there is no git or no repository, or files are missing or malformed.
    """
    found = _git("rev-parse", "--short=10", "HEAD").strip()
    changed = ", with uncommitted changes" if _git("status", "--porcelain").strip() else ""
    paths = [path for path in Path(METRICS).rglob("*") if path.is_file()] + [Path(PARAMS)]
    files = {
        path.as_posix(): _decoded(path.as_posix(), path.read_bytes()) for path in paths if path.is_file()
    }
    return _revision(f"the working tree ({found}{changed})", files, partial(_texts, _present))


# -- git --


def _resolve(name: str) -> str:
    """The hash of the commit that `name` means."""
    _git("rev-parse", "--git-dir")
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except UserError:
        shallow = _git("rev-parse", "--is-shallow-repository").strip() == "true"
        remedy = (
            "this clone is shallow: `git fetch --unshallow` brings the older commits (in a workflow: "
            "fetch-depth: 0)"
            if shallow
            else "`git log --oneline --all` lists the commits here, `git fetch` brings those of the remote"
        )
        raise UserError(f"{name}: no such commit in this repository; {remedy}") from None


def _files_of(found: str) -> dict[str, str]:
    """The texts of metrics/, params.yaml and dvc.lock in a commit, by path."""
    listed = _git("ls-tree", "-r", "-z", "--name-only", found, "--", METRICS, PARAMS, LOCK)
    names = [name for name in listed.split("\0") if name]
    asked = "".join(f"{found}:./{name}\n" for name in names)
    answer = io.BytesIO(_run("cat-file", "--batch", given=asked.encode()))
    texts = {}
    for name in names:
        size = int(answer.readline().split()[2])
        texts[name] = _decoded(f"{found[:10]}:{name}", answer.read(size))
        answer.read(1)  # the line end after each file
    return texts


def _git(*arguments: str) -> str:
    return _run(*arguments).decode(errors="surrogateescape")


def _run(*arguments: str, given: bytes = b"") -> bytes:
    """The output of a git command.

    Raises:
        UserError: git is not installed, or the command fails.
    """
    try:
        done = subprocess.run(["git", *arguments], input=given, capture_output=True)
    except FileNotFoundError as error:
        raise UserError("git is not installed; `text2sql compare` reads revisions with it") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed"
        raise UserError(f"{said}; run `text2sql compare` in the project's folder, a clone made by git")
    return done.stdout


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}: not UTF-8 text ({error.reason} at byte {error.start}); restore it"
        ) from error


# -- metrics --


def _revision(name: str, files: Files, texts: Callable[[list[str]], Texts]) -> Revision:
    if SUMMARY not in files:
        raise UserError(
            f"{name}: no {SUMMARY}; `dvc repro` writes the metrics of the working tree, and a commit has "
            "them if metrics/ was committed with it"
        )
    summary = _json(name, files, SUMMARY)
    verdicts = {arm: kept for arm in summary if (kept := _kept(name, files, arm)) is not None}
    only = _only_set(name, files, verdicts)
    losses = {stage: rows for stage, rows in _columns(name, files, "metrics/loss") if rows}
    return Revision(
        name=name,
        accuracy={arm: score if isinstance(score, dict) else {only: score} for arm, score in summary.items()},
        verdicts=verdicts,
        evaluators={arm: evaluator for arm in summary if (evaluator := _evaluator(name, files, arm))},
        params=dict(flat(_params(name, files))),
        figures=_figures(name, files),
        losses={stage: [value for _, value in rows] for stage, rows in losses.items()},
        steps={stage: rows[-1][0] for stage, rows in losses.items()},
        speeds=_speeds(name, files),
        table=files.get("metrics/table.md", ""),
        texts=partial(texts, list(summary)),
    )


def _kept(name: str, files: Files, arm: str) -> list[KeptVerdict] | None:
    path = f"{KEPT}/{arm}.csv"
    if path not in files:
        return None
    return read_kept(files[path], f"{name}: {path}", f"`dvc repro --force --single-item evaluate@{arm}`")


def _only_set(name: str, files: Files, verdicts: Mapping[str, list[KeptVerdict]]) -> str:
    """The name of the test set where there is one only, which the summary does not name."""
    names = {verdict.test_set for kept in verdicts.values() for verdict in kept}
    if not names and "metrics/prepare.json" in files:
        names = set(_json(name, files, "metrics/prepare.json").get("test", {}))
    return names.pop() if len(names) == 1 else ""


def _evaluator(name: str, files: Files, arm: str) -> dict[str, Any]:
    path = f"{METRICS}/{arm}.json"
    evaluator: dict[str, Any] = _json(name, files, path).get("evaluator", {}) if path in files else {}
    return evaluator


def _figures(name: str, files: Files) -> dict[str, Any]:
    paths = {stage: f"{METRICS}/{stage}.json" for stage in _FIGURES}
    return dict(flat({stage: _json(name, files, path) for stage, path in paths.items() if path in files}))


def _speeds(name: str, files: Files) -> dict[str, float]:
    """The mean tokens a second of every stage that was trained here."""
    speeds = dict(_columns(name, files, "metrics/throughput/tokens_per_s"))
    return {stage: sum(value for _, value in rows) / len(rows) for stage, rows in speeds.items() if rows}


def _columns(name: str, files: Files, folder: str) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """The step and the next column of every CSV file in a folder, by the file's name."""
    for path, text in sorted(files.items()):
        if PurePosixPath(path).parent.as_posix() == folder and path.endswith(".csv"):
            lines = list(csv.reader(io.StringIO(text)))[1:]
            try:
                yield PurePosixPath(path).stem, [(int(line[0]), float(line[1])) for line in lines]
            except (IndexError, ValueError) as error:
                raise UserError(f"{name}: {path}: not a step and a number in each line ({error})") from error


def _json(name: str, files: Files, path: str) -> dict[str, Any]:
    try:
        values = json.loads(files[path])
    except ValueError as error:
        raise UserError(f"{name}: {path}: not JSON ({error}); `dvc repro` writes it again") from error
    if not isinstance(values, dict):
        raise UserError(f"{name}: {path}: not a JSON object; `dvc repro` writes it again")
    return values


def _params(name: str, files: Files) -> dict[str, Any]:
    try:
        return YAML(typ="safe", pure=True).load(files.get(PARAMS, "")) or {}
    except YAMLError as error:
        raise UserError(f"{name}: {PARAMS}: not YAML: {error}; fix it") from error


# -- questions and predictions --


def _texts(find: Callable[[str], Path | None], arms: list[str]) -> Texts:
    """The questions and predictions whose files `find` returns."""
    paths = {arm: find(f"data/predictions/{arm}.jsonl") for arm in arms}
    questions = find(QUESTIONS)
    return Texts(
        {row["row"]: Asked(row["question"], row["gold"]) for row in read_jsonl(questions)}
        if questions
        else {},
        {arm: {row["row"]: row["sql"] for row in read_jsonl(path)} for arm, path in paths.items() if path},
    )


def _present(path: str) -> Path | None:
    return Path(path) if Path(path).is_file() else None


def _cached_texts(lock: str, arms: list[str]) -> Texts:
    """The questions and predictions that dvc.lock, of which `lock` is the text, names and DVC's cache has."""
    from dvc.exceptions import NotDvcRepoError  # loads DVC, which takes a second
    from dvc.repo import Repo

    stages = (yaml.load(lock, Loader=yaml.CSafeLoader) or {}).get("stages", {})
    hashes = {out["path"]: out.get("md5") for stage in stages.values() for out in stage.get("outs", ())}
    try:
        place = Repo().cache.local.oid_to_path
    except NotDvcRepoError:
        return Texts()
    return _texts(partial(_cached, hashes, place), arms)


def _cached(hashes: Mapping[str, str | None], place: Callable[[str], str], path: str) -> Path | None:
    """The cache's file of an output, or of a file in an output that is a folder; None if it has none."""
    hash_, folder = hashes.get(path), hashes.get(str(PurePosixPath(path).parent))
    if folder and _present(place(folder)):
        listed = json.loads(Path(place(folder)).read_text(encoding="utf-8"))
        hash_ = next((each["md5"] for each in listed if each["relpath"] == PurePosixPath(path).name), None)
    return _present(place(hash_)) if hash_ else None
