"""`text2sql`: the command-line tools, which work without the pipeline."""

from __future__ import annotations

from typing import Any

import click

from text2sql.commands.convert_schema import convert_schema
from text2sql.commands.dedupe import dedupe
from text2sql.commands.evaluate import evaluate
from text2sql.commands.merge import merge
from text2sql.errors import DISK_FULL, RERUN, UserError, file_error


class _Commands(click.Group):
    """Turns a UserError, or an OSError about a file, into `error: ...` on stderr and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except UserError as error:
            message = str(error)
        except OSError as error:
            if error.filename is None and error.errno not in DISK_FULL:  # not about a file of the user
                raise
            error.filename = error.filename or "the standard output"
            message = file_error(error, "fix that or give another file", again=RERUN)
        click.echo(f"error: {message}", err=True)
        context.exit(1)


@click.group(cls=_Commands)
def main() -> None:
    """Text-to-SQL tools: evaluation, data preparation and model merging."""


main.add_command(convert_schema)
main.add_command(dedupe)
main.add_command(evaluate)
main.add_command(merge)

if __name__ == "__main__":
    main()
