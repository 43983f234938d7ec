"""The web page, made of Gradio's components.

Texts of users and databases are values of text fields, code fields and tables, which show them as they are;
none is in Markdown, a message box or HTML.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio import processing_utils

from text2sql.ask.asker import Asker
from text2sql.ask.shown import printable, row_count, write_csv
from text2sql.schema.ddl import write_ddl
from text2sql.web.cells import table
from text2sql.web.databases import Databases
from text2sql.web.service import Problem, Reply, Service
from text2sql.web.uploads import Uploads

_HISTORY = 20  # questions that a page remembers
_CELL = 120  # characters of a value in the table; a click shows the rest
_LABEL = 70  # characters of a question in the history
_FILES_S = (600, 3600)  # how often files that were offered for download are removed, and at which age
_SQL_LABEL = "SQL (you can edit it; Esc, then Tab leaves the field)"
_STATES = {
    "loading": "the model is being loaded; a first question waits for it",
    "ready": "ready",
    "failed": "the model cannot be loaded; the server's terminal says why",
}
_FONTS = ["system-ui", "sans-serif"]
_MONO = ["ui-monospace", "monospace"]

Entry = dict[str, str]
"""A question of the history: question, sql, database (its key)."""


def mount_page(app: FastAPI, page: Page, upload_bytes: int) -> None:
    """Put the page at the address / of an application.

    Gradio would fetch files from addresses that a request names; here it has no reason to.
    """
    processing_utils.async_ssrf_protected_download = _refuse_download
    with contextlib.redirect_stdout(io.StringIO()):  # Gradio prints a word about it
        gr.mount_gradio_app(
            app,
            page.build(),
            path="",
            show_api=False,
            show_error=False,
            ssr_mode=False,
            pwa=False,
            enable_monitoring=False,
            mcp_server=False,
            max_file_size=upload_bytes,
        )


async def _refuse_download(url: str, cache_dir: str) -> str:
    raise gr.Error("files are not fetched from other servers", print_exception=False)


class Page:
    """The page's fields and what happens when they are used. `folder` is Gradio's for files."""

    def __init__(self, service: Service, databases: Databases, uploads: Uploads | None, folder: Path) -> None:
        self._service, self._databases, self._uploads = service, databases, uploads
        self._folder = folder

    def build(self) -> gr.Blocks:
        """The page; to be mounted once."""
        theme = gr.themes.Default(primary_hue="blue", font=_FONTS, font_mono=_MONO)
        with gr.Blocks(
            title="text2sql", theme=theme, analytics_enabled=False, delete_cache=_FILES_S
        ) as blocks:
            gr.Markdown("# Ask a database")
            self.history = gr.State([])
            with gr.Row():
                with gr.Column(scale=1, min_width=260):
                    self._add_choice()
                    self._add_state(blocks)
                with gr.Column(scale=3, min_width=320):
                    self._add_question()
                    self._add_result()
            self._connect(blocks)
        blocks.queue(default_concurrency_limit=None, api_open=False)
        return blocks

    def _add_choice(self) -> None:
        names = list(self._databases.dialects)
        first = names[0] if names else None
        self.database = gr.Dropdown([(name, name) for name in names], value=first, label="Database")
        if self._uploads is not None:
            self.upload = gr.UploadButton("Upload a SQLite or DuckDB file", size="sm")
        with gr.Accordion("Schema", open=False):
            self.schema = gr.Code(
                language="sql", label="CREATE TABLE", interactive=False, lines=1, max_lines=25
            )
        self.past = gr.Radio([], label="History", visible=False)

    def _add_state(self, blocks: gr.Blocks) -> None:
        self.state = gr.Textbox(label="Model", interactive=False, lines=2, max_lines=4, autoscroll=False)
        timer = gr.Timer(1.0)

        def tick() -> tuple[str, Any]:
            model = self._service.model
            text = f"{model.plan.about}: {_STATES[model.state]}"
            return text, gr.Timer(active=model.state == "loading")

        gr.on([blocks.load, timer.tick], tick, None, [self.state, timer], **_SILENT)

    def _add_question(self) -> None:
        self.question = gr.Textbox(
            label="Question", placeholder="How many orders are there?", lines=1, max_lines=8, autofocus=True
        )
        self.ask = gr.Button("Ask", variant="primary")
        self.note = gr.Textbox(label="Answer", interactive=False, lines=1, max_lines=6)
        self.sql = gr.Code(language="sql", label=_SQL_LABEL, lines=2, max_lines=20, wrap_lines=True)
        with gr.Row():
            self.run = gr.Button("Run the SQL", size="md")
            self.csv = gr.DownloadButton("Download as CSV", size="md", visible=False)

    def _add_result(self) -> None:
        """What belongs to the result; the table is last, as the keyboard stops at each of its cells."""
        with gr.Accordion("Tables used and plan", open=False):
            self.used = gr.Textbox(label="Tables used", interactive=False)
            self.plan = gr.Code(language=None, label="Plan", interactive=False, lines=1, max_lines=25)
        self.result = gr.Dataframe(
            label="Result", interactive=False, max_chars=_CELL, max_height=480, visible=False
        )

    def _connect(self, blocks: gr.Blocks) -> None:
        result = [self.note, self.result, self.csv, self.used, self.plan]
        shown = [*result, self.history, self.past]
        gr.on(
            [self.ask.click, self.question.submit],
            self._ask,
            [self.database, self.question, self.history],
            [self.sql, *shown],
            api_name=False,
        )
        self.run.click(self._run, [self.database, self.sql, self.history], shown, api_name=False)
        again = [self.question, self.database, self.sql, *result]
        self.past.input(self._again, [self.past, self.history], again, **_SILENT)
        gr.on([blocks.load, self.database.change], self._schema, self.database, self.schema, **_SILENT)
        if self._uploads is not None:
            self.upload.upload(self._upload, self.upload, [self.database, self.note], api_name=False)
            blocks.unload(self._leave)

    def _ask(self, key: str | None, question: str, history: list[Entry], request: gr.Request) -> list[Any]:
        def work(asker: Asker) -> Reply:
            return self._service.ask(asker, question, explain=True)

        sql, values = self._reply(key, question, history, request, work)
        return [sql, *values]

    def _run(self, key: str | None, sql: str, history: list[Entry], request: gr.Request) -> list[Any]:
        def work(asker: Asker) -> Reply:
            return self._service.query(asker, sql, explain=True)

        return self._reply(key, "", history, request, work)[1]  # the user may have typed on in the field

    def _reply(
        self,
        key: str | None,
        question: str,
        history: list[Entry],
        request: gr.Request,
        work: Callable[[Asker], Reply],
    ) -> tuple[str, list[Any]]:
        """The query, and the values of the other fields that an answer changes."""
        begin = time.monotonic()
        try:
            asker = self._asker(key, request)
            reply = work(asker)
        except Problem as error:
            return "", [printable(str(error), keep="\n"), *_no_result(), gr.skip(), gr.skip()]
        entry = {"question": _text(question), "sql": _text(reply.answer["sql"]), "database": str(key)}
        history = [entry, *(old for old in history if old != entry)][:_HISTORY]
        note = _note(reply, len(asker.schema.tables), time.monotonic() - begin)
        return entry["sql"], [note, *self._result(reply), history, _choices(history)]

    def _asker(self, key: str | None, request: gr.Request) -> Asker:
        """What asks the chosen database.

        Raises:
            Problem: there is none, or it cannot be read.
        """
        session = str(request.session_hash)
        if key in self._databases.dialects:
            found: Asker = self._service.read(lambda: self._databases.asker(str(key)))
            return found
        if self._uploads is None or key not in self._uploads.names(session):
            raise Problem("unavailable", "choose a database, or upload one")
        return self._uploads.asker(session, key)

    def _result(self, reply: Reply) -> list[Any]:
        used = printable(", ".join(reply.answer["tables"])) or "none"
        plan = printable("\n".join(reply.answer["plan"]), keep="\n\t")
        if reply.result is None:
            return [*_no_result()[:2], used, plan]
        # in Gradio's own folder, which it serves and empties; the address cannot be guessed
        file = self._folder / secrets.token_hex(16) / "result.csv"
        file.parent.mkdir(parents=True)
        file.write_text(write_csv(reply.result), encoding="utf-8")
        rows = gr.Dataframe(**table(reply.result), visible=True)
        return [rows, gr.DownloadButton(value=str(file), visible=True), used, plan]

    def _again(self, number: int, history: list[Entry]) -> list[Any]:
        """An earlier question; its result is not kept."""
        entry = history[number]
        note = "an earlier question; run the SQL to see its result again"
        return [entry["question"], entry["database"], entry["sql"], note, *_no_result()]

    def _schema(self, key: str | None, request: gr.Request) -> str:
        if key is None:
            return ""
        try:
            return printable(write_ddl(self._asker(key, request).schema), keep="\n\t")
        except Problem as error:
            return f"-- {printable(str(error))}"

    def _upload(self, file: str, request: gr.Request) -> list[Any]:
        assert self._uploads is not None
        session, path = str(request.session_hash), Path(file)
        try:
            uploads = self._uploads
            key = self._service.read(lambda: uploads.add(session, path, path.name))
        except Problem as error:
            return [gr.skip(), f"not uploaded: {printable(str(error))}"]
        finally:
            path.unlink(missing_ok=True)
        given = [(name, name) for name in self._databases.dialects]
        own = [(f"{name} (uploaded)", key) for key, name in uploads.names(session).items()]
        note = "uploaded; the server removes the file when this page is closed"
        return [gr.Dropdown(choices=[*given, *own], value=key), note]

    def _leave(self, request: gr.Request) -> None:
        assert self._uploads is not None
        self._uploads.drop(str(request.session_hash))


_SILENT: dict[str, Any] = {"api_name": False, "show_progress": "hidden"}


def _note(reply: Reply, tables: int, seconds: float) -> str:
    """What is said of an answer beside its rows."""
    answer = reply.answer
    if "error" in answer:
        return f"the query fails: {printable(answer['error']['message'])}"
    assert reply.result is not None
    parts = [row_count(reply.result).replace(" (--rows shows them)", ""), f"{seconds:.1f} s"]
    if "agreement" in answer:
        agreed = round(100 * answer["agreement"])
        parts.append(f"{agreed} % of {answer['samples']} answers have this result")
    if "shown_tables" in answer:
        parts.append(f"the model was shown {len(answer['shown_tables'])} of {tables} tables")
    return "; ".join(parts)


def _no_result() -> list[Any]:
    """Result, file, tables and plan, where there are none."""
    return [gr.Dataframe(value=None, visible=False), gr.DownloadButton(value=None, visible=False), "", ""]


def _choices(history: list[Entry]) -> Any:
    labels = [(_label(entry), number) for number, entry in enumerate(history)]
    return gr.Radio(choices=labels, value=None, visible=True)


def _label(entry: Entry) -> str:
    text = " ".join(printable(entry["question"] or entry["sql"]).split())
    return text if len(text) <= _LABEL else f"{text[:_LABEL]}..."


def _text(text: str) -> str:
    """Text for a field: half a surrogate pair, which a model may write, is no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
