"""What the stages need from the network: repositories of the Hugging Face hub, and servers of models."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from stages._params import Params
from text2sql.base_models.hub import PATTERNS, read_pins
from text2sql.endpoint_settings import KEY_VARIABLE
from text2sql.errors import UserError
from text2sql.hub import RECORDS, Hub
from text2sql.preparation.hub_data import patterns, pins, read_record
from text2sql.retrieval.settings import is_on_hub

_MILVUS_PORT = 19530
_ALL_S, _ONE_S = 20.0, 5.0  # for all questions, which are asked at the same time, and for an answer


@dataclass(frozen=True)
class Question:
    """What `place` is asked for a stage; `ask` returns the problems."""

    stage: str
    place: str
    ask: Callable[[], Iterable[str]]


def network_questions(params: Params) -> Iterator[Question]:
    """A question to each repository and server that a stage uses, also to one that the cache may replace."""
    hub = Hub(_pins())
    config = params.fetch_data
    for source in (*config.train.values(), *config.test.values()):
        if source.repo is not None:
            ask = partial(hub.problems, source.repo, source.asked_revision, "dataset", patterns(source))
            yield Question("fetch_data", source.repo, ask)
    for stage, repo, revision in _models(params):
        yield Question(stage, repo, partial(hub.problems, repo, revision, "model", PATTERNS))
    for stage, base_url in _servers(params):
        yield Question(stage, base_url, partial(server_problems, base_url))
    if uri := params.index_examples.milvus_uri:
        yield Question("index_examples", uri, partial(milvus_problems, uri))


def _pins() -> dict[str, str]:
    """The commits of an earlier run, which fetch_data and fetch_model keep to."""
    return pins(read_record(Path(RECORDS["dataset"]))) | read_pins(Path(RECORDS["model"]))


def _models(params: Params) -> Iterator[tuple[str, str, str]]:
    """Stage, repository and revision of models on the hub."""
    model = params.fetch_model
    if model.source == "hub" and model.hub_model and model.hub_revision:
        yield "fetch_model", model.hub_model, model.hub_revision
    index, retrieval = params.index_examples, params.retrieve_examples
    if is_on_hub(index.embedding_model):
        yield "index_examples", index.embedding_model, index.embedding_revision or "main"
    if retrieval.reranks and is_on_hub(retrieval.reranker):
        yield "retrieve_examples", retrieval.reranker, retrieval.reranker_revision or "main"


def _servers(params: Params) -> Iterator[tuple[str, str]]:
    """Stage and address of servers."""
    converter = params.convert_schema
    if converter.backend == "openai" and converter.openai:
        yield "convert_schema", converter.openai.base_url
    for name in params.arms:
        settings = params.prediction(name)
        if settings.engine == "openai" and settings.endpoint.base_url:
            yield f"predict@{name}", settings.endpoint.base_url


def server_problems(base_url: str) -> Iterator[str]:
    """What is wrong with a server that speaks OpenAI's protocol: it is not there, or wants another key.

    Any other answer counts as one: servers differ in what they answer besides chats.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{base_url.rstrip('/')}/models", headers=headers)
    try:
        urllib.request.urlopen(request, timeout=_ONE_S).close()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            state = "does not accept the key in" if key else "wants a key in"
            yield f"{base_url}: the server {state} {KEY_VARIABLE}; `export {KEY_VARIABLE}=...`"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        yield f"{base_url}: no answer ({reason}); start the server, or fix base_url in params.yaml"


def milvus_problems(uri: str) -> Iterator[str]:
    """What is wrong with a Milvus server: nothing listens there."""
    try:
        place = urlsplit(uri)
        socket.create_connection((place.hostname or "", place.port or _MILVUS_PORT), timeout=_ONE_S).close()
    except (OSError, ValueError) as error:
        yield f"Milvus server {uri}: no answer ({error}); start it (docs/retrieval.md), or fix milvus_uri"


def answers(questions: Iterable[Question]) -> Iterator[tuple[str, str]]:
    """Stage and text of every problem, in the order of `questions`; no answer in time is one."""
    asked = list(questions)
    # read when huggingface_hub is imported
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", str(int(_ONE_S)))
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", str(int(_ONE_S)))
    found = _collect(asked)
    for number, question in enumerate(asked):
        late = [f"{question.place}: no answer within {_ALL_S:.0f} s; check the network"]
        yield from ((question.stage, text) for text in found.get(number, late))


def _collect(asked: Sequence[Question]) -> dict[int, list[str]]:
    """The answers that came in time, by the number of the question."""
    box: queue.SimpleQueue[tuple[int, list[str]]] = queue.SimpleQueue()
    for number, question in enumerate(asked):
        threading.Thread(target=_answer, args=(number, question, box), daemon=True).start()
    found: dict[int, list[str]] = {}
    deadline = time.monotonic() + _ALL_S
    while len(found) < len(asked) and (left := deadline - time.monotonic()) > 0:
        try:
            number, problems = box.get(timeout=left)
        except queue.Empty:
            break
        found[number] = problems
    return found


def _answer(number: int, question: Question, box: queue.SimpleQueue[tuple[int, list[str]]]) -> None:
    try:
        problems = list(question.ask())
    except (UserError, OSError) as error:
        problems = [str(error)]
    box.put((number, problems))
