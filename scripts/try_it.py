"""Prints a `text2sql ask` command to try, at the end of `make reproduce`: a test question of the best arm."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from stages._arms import best_arm
from stages._params import load_params
from text2sql.databases import database_path
from text2sql.errors import UserError
from text2sql.files import read_jsonl

DATABASES, TEST, VERDICTS = Path("data/raw/databases"), Path("data/test/test.jsonl"), Path("data/verdicts")
_SHELL = set("'\"$`!\\")


def command(arm: str) -> str | None:
    """A question that the arm answered right, on its database; None if there is none.

    One without quotes and other signs that a shell reads.
    """
    right = {row["row"] for row in read_jsonl(VERDICTS / f"{arm}.jsonl") if row["ex"]}
    for question in read_jsonl(TEST):
        database = database_path(DATABASES, question["db_id"])
        text = question["question"]
        if question["row"] in right and database.is_file() and not set(text) & _SHELL:
            return f'.venv/bin/text2sql ask --database {shlex.quote(str(database))} "{text}"'
    return None


def main() -> None:
    """Print the command; nothing where no arm can answer a question about another database."""
    try:
        found = command(best_arm(load_params()))
    except UserError as error:
        print(f"no `text2sql ask` to try: {error}", file=sys.stderr)
        return
    if found:
        print(f"\nAsk a database yourself (docs/ask.md):\n  {found}")


if __name__ == "__main__":
    main()
