"""The JSON API: questions and queries to the databases that the server was started with."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from text2sql.ask.asker import Asker
from text2sql.schema.ddl import write_ddl
from text2sql.web.databases import Databases
from text2sql.web.service import Kind, Problem, Reply, Service

STATUS: dict[Kind, int] = {"no_query": 422, "refused": 422, "queue_full": 429, "unavailable": 503}
_FAILED = {"timeout": 504, "query_failed": 422}
_QUESTION, _SQL = 10_000, 100_000  # characters

DESCRIPTION = """\
Questions in plain language to databases: a model writes the query, and the database runs it. Nothing can be
written to a database. A server with a token wants the header `Authorization: Bearer TOKEN`."""


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    database: str = Field("", description="Its name; may be left out where there is one only.")
    explain: bool = Field(False, description="Whether the answer has the database's plan.")
    rows: int | None = Field(None, ge=1, description="Rows at most; the server has a limit of its own.")


class Ask(_Wanted):
    """A question."""

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_QUESTION)] = (
        Field(examples=["How many orders are there?"])
    )


class Query(_Wanted):
    """A query of the user's own, in the database's SQL."""

    sql: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_SQL)] = Field(
        examples=["SELECT count(*) FROM orders"]
    )


class Fault(BaseModel):
    """What went wrong: `kind` for programs, `message` for people."""

    kind: str
    message: str


class Answer(BaseModel):
    """The object that `text2sql ask --json` prints."""

    question: str
    database: str
    dialect: str
    model: str
    sql: str
    tables: list[str] = Field(description="The tables that the query reads.")
    shown_tables: list[str] = Field([], description="Those the model saw, if not all.")
    samples: int | None = Field(None, description="Number of the model's queries, if several.")
    agreement: float | None = Field(None, description="Share of them with this result, 0 to 1.")
    plan: list[str] | None = None
    columns: list[str]
    rows: list[list[Any]] = Field(description="A blob is text in hexadecimal digits.")
    more: bool = Field(description="Whether the query has further rows.")


class NoAnswer(BaseModel):
    """An error. With a query that failed it has the fields of an answer too, except the rows."""

    error: Fault


class DatabaseList(BaseModel):
    """The server's model and databases. `state` is loading, ready or failed."""

    model: str
    state: str
    databases: list[dict[str, str]]


class SchemaText(BaseModel):
    """A database's tables, and their CREATE TABLE text."""

    database: str
    dialect: str
    tables: list[str]
    ddl: str


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": NoAnswer, "description": text}
    for status, text in (
        (401, "The token is missing or wrong."),
        (404, "There is no database of this name."),
        (422, "The request is malformed, no query may be run, or the query fails."),
        (429, "Too many questions wait."),
        (503, "The model or the database cannot be used."),
        (504, "The query takes too long."),
    )
}


def create_api(service: Service, databases: Databases) -> FastAPI:
    """The API with its OpenAPI page at /docs, which loads nothing from elsewhere."""
    app = FastAPIOffline(
        title="text2sql", description=DESCRIPTION, version="1", redoc_url=None, default_response_class=_Json
    )
    _add_errors(app)

    def asker(name: str) -> Asker:
        names = list(databases.dialects)
        chosen = name or (names[0] if len(names) == 1 else "")
        if chosen not in names:
            problem = f"no database {name!r}." if name else "which database?"
            raise HTTPException(404, f"{problem} There are: {', '.join(names) or 'none'}")
        found: Asker = service.read(lambda: databases.asker(chosen))
        return found

    @app.post("/api/ask", response_model=Answer, responses=_ERRORS)
    def ask(wanted: Ask) -> JSONResponse:
        """Ask a database a question."""
        return _response(service.ask(asker(wanted.database), wanted.question, wanted.explain, wanted.rows))

    @app.post("/api/query", response_model=Answer, responses=_ERRORS)
    def query(wanted: Query) -> JSONResponse:
        """Run a query of your own; one SELECT."""
        return _response(service.query(asker(wanted.database), wanted.sql, wanted.explain, wanted.rows))

    @app.get("/api/databases", response_model=DatabaseList)
    def list_databases() -> Any:
        """The databases that can be asked."""
        found = [{"name": name, "dialect": dialect} for name, dialect in databases.dialects.items()]
        return {"model": service.model.plan.about, "state": service.model.state, "databases": found}

    @app.get("/api/schema", response_model=SchemaText, responses=_ERRORS)
    def schema(database: str = "") -> Any:
        """The tables of a database."""
        found = asker(database)
        names = [table.name for table in found.schema.tables]
        about = {"database": found.target.label, "dialect": found.target.dialect}
        return {**about, "tables": names, "ddl": write_ddl(found.schema)}

    @app.api_route("/api/{rest:path}", methods=["GET", "POST"], include_in_schema=False)
    def nothing(rest: str) -> None:  # the page's own 404, which follows, has another form
        raise HTTPException(404, f"there is nothing at /api/{rest}, or not for this method; see /docs")

    return app


class _Json(JSONResponse):
    """JSON of any text: half a surrogate pair, which a model may write, is no UTF-8."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _response(reply: Reply) -> JSONResponse:
    error = reply.answer.get("error")
    return _Json(reply.answer, _FAILED[error["kind"]] if error else 200)


def _add_errors(app: FastAPI) -> None:
    """Give every error the same form."""

    @app.exception_handler(Problem)
    def problem(request: Request, error: Problem) -> JSONResponse:
        headers = {"Retry-After": "10"} if error.kind == "queue_full" else None
        return _error(STATUS[error.kind], error.kind, str(error), headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:])) or "the body"
        return _error(422, "malformed", f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        kind = "not_found" if error.status_code == 404 else "refused"
        return _error(error.status_code, kind, str(error.detail))

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:  # its traceback is in the server's log
        return _error(500, "internal", "the server has a fault; its terminal shows more")


def _error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return _Json({"error": {"kind": kind, "message": message}}, status, headers)
