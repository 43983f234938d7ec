"""`text2sql serve`: a web page and a JSON API that ask databases."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from text2sql.commands.model_options import Seconds, chosen_plan, model_options
from text2sql.errors import UserError

if TYPE_CHECKING:
    from text2sql.ask.plan import ModelPlan

_MEGABYTE = 1_000_000

EXAMPLES = """
\b
Examples:
  text2sql serve --database shop.sqlite
  text2sql serve --database shop.sqlite --database postgresql://reader@localhost/sales
  text2sql serve --database folder/with/databases --arm full --port 8000
  text2sql serve --database shop.sqlite --host 0.0.0.0      (prints a token)
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--database",
    multiple=True,
    type=click.Path(),
    help="A file, a folder of files, or a URL; may be repeated.",
)
@model_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: a free one.")
@click.option("--rows", type=click.IntRange(min=1), default=100, show_default=True, help="Rows, at most.")
@click.option("--timeout", type=Seconds(), default=30.0, show_default=True, help="Seconds for a query.")
@click.option("--samples", type=click.IntRange(min=1), help="Answers to a question; their results vote.")
@click.option("--queue", type=click.IntRange(min=0), default=10, show_default=True, help="Waiting questions.")
@click.option("--upload-mb", type=click.IntRange(min=0), default=50, show_default=True, help="0: no uploads.")
@click.pass_context
def serve(context: click.Context, **options: Any) -> None:
    """Ask databases in a web page, or through a JSON API.

    Nothing can be written to a database, and the page loads nothing from other servers. It is at the printed
    address, the API's description at /docs. Only this machine reaches the server unless --host is given; then
    a token is needed, which is printed, or taken from TEXT2SQL_TOKEN. Ctrl-C ends the server.
    """
    status, busy = _serve(chosen_plan(options), options)
    if busy:  # a model cannot be interrupted, and must not be torn down while it computes
        sys.stdout.flush()
        os._exit(status)
    context.exit(status)


def _serve(plan: ModelPlan, options: dict[str, Any]) -> tuple[int, bool]:
    """Serve until a signal comes; returns the exit status, and whether something is still computed."""
    from text2sql.ask.plan import open_engine
    from text2sql.targets.model import Limits
    from text2sql.web import server
    from text2sql.web.databases import Databases, named_targets

    if isinstance(plan.weights, Path) and not plan.weights.is_dir():
        raise UserError(f"{plan.weights}: no such folder; name a model: --model FOLDER, or --arm NAME")
    settings = server.Settings(
        Limits(options["timeout"], options["rows"]), options["queue"], options["upload_mb"] * _MEGABYTE
    )
    targets = named_targets(options["database"])
    with server.listen(options["host"], options["port"]) as listening, server.temporary_folder() as folder:
        rules = server.rules(listening, settings.upload_bytes)
        service = server.create_service(plan, open_engine, settings)
        databases = Databases(targets, service.model)
        if len(targets) == len(options["database"]):  # those of a folder may be many
            databases.read()
        app = server.create_app(service, databases, rules, settings, folder)
        service.model.load()  # only now, as two threads that import much can be in each other's way
        click.echo(_greeting(server.address(listening, rules), plan, list(targets)))
        status = server.run(server.create_server(app), listening)
        return status, service.busy


def _greeting(address: str, plan: ModelPlan, names: list[str]) -> str:
    where, _, token = address.partition("/?token=")
    bearer = f"; the API wants the header `Authorization: Bearer {token}`" if token else ""
    found = ", ".join(names) or "none; upload one in the page"
    return f"page: {address}\nAPI: {where}/docs{bearer}\nmodel: {plan.about}\ndatabases: {found}"
