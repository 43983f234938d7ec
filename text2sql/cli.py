"""`text2sql`: the command-line tools, which work without the pipeline."""

from __future__ import annotations

import signal
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from typing import Any

import click

from text2sql.commands.ask import ask
from text2sql.commands.audit_gold import audit_gold
from text2sql.commands.convert_schema import convert_schema
from text2sql.commands.dedupe import dedupe
from text2sql.commands.evaluate import evaluate
from text2sql.commands.make_suite import make_suite
from text2sql.commands.merge import merge
from text2sql.commands.serve import serve
from text2sql.errors import DISK_FULL, RERUN, UserError, file_error
from text2sql.processes import Stopped

ENTRY_POINTS = "text2sql.commands"
"""The group of entry points whose click commands are `text2sql`'s too."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as of a shell: 128 and the number of SIGINT."""

_COMPLETION = """
Completion in bash: eval "$(_TEXT2SQL_COMPLETE=bash_source text2sql)"; for zsh and fish write zsh_source or
fish_source.
"""


class _Commands(click.Group):
    """Turns a UserError, or an OSError about a file, into `error: ...` on stderr and exit status 1.

    Ctrl-C, and a signal that raises `Stopped`, end a command with a line that says how to go on.

    Has the commands of `ENTRY_POINTS` as well; each is imported when it is used, or listed by --help.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*super().list_commands(context), *_outside()})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of this name, if there is one."""
        own = super().get_command(context, name)
        if own is None and (point := _outside().get(name)):
            found: click.Command = point.load()
            return found
        return own

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt as stop:
            click.echo(f"stopped; {_next_step(stop)}", err=True)
            context.exit(INTERRUPTED)
        except Stopped as stop:
            click.echo(f"stopped by {signal.Signals(stop.number).name}; {_next_step(stop)}", err=True)
            context.exit(128 + stop.number)
        except UserError as error:
            message = str(error)
        except OSError as error:
            if error.filename is None and error.errno not in DISK_FULL:  # not about a file of the user
                raise
            error.filename = error.filename or "the standard output"
            message = file_error(error, "fix that or give another file", again=RERUN)
        click.echo(f"error: {message}", err=True)
        context.exit(1)


def _next_step(stop: BaseException) -> str:
    """How to go on: what a command has added to the exception as a note, or the usual words."""
    notes: list[str] = getattr(stop, "__notes__", [])
    return notes[0] if notes else f"{RERUN} to go on"


def _outside() -> dict[str, EntryPoint]:
    """The commands from outside the library whose package can be imported, as `stages` in a checkout."""
    points = entry_points(group=ENTRY_POINTS)
    return {point.name: point for point in points if find_spec(point.module.partition(".")[0])}


@click.group(cls=_Commands, epilog=_COMPLETION)
@click.version_option(version("text2sql-qwen3"), prog_name="text2sql", message="%(prog)s %(version)s")
def main() -> None:
    """Text-to-SQL tools: ask a database, evaluate predictions, prepare data, merge models.

    `text2sql COMMAND --help` has the options of a command.
    """


main.add_command(ask)
main.add_command(audit_gold)
main.add_command(convert_schema)
main.add_command(dedupe)
main.add_command(evaluate)
main.add_command(make_suite)
main.add_command(merge)
main.add_command(serve)

if __name__ == "__main__":
    main()
