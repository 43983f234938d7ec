"""Compare the arms of two revisions, question by question, as Markdown.

BASE and HEAD are commits, branches or tags; without HEAD it is the working tree.

\b
Examples:
  text2sql compare main                  # the working tree against a branch
  text2sql compare HEAD~1 HEAD           # the last commit against the one before
  text2sql compare v1.0 --questions 20 > changes.md

Verdicts, scores and parameters are read from git. Questions and predictions are shown where data/ or DVC's
cache has them.
"""

from __future__ import annotations

import click

from stages import _revisions
from stages._main import stage_main
from text2sql.report.comparison_page import QUESTIONS, page


@click.command(name="compare", help=__doc__)
@click.argument("base")
@click.argument("head", required=False)
@click.option(
    "--questions",
    type=click.IntRange(min=0),
    help="Questions shown as gained, and as lost, of each arm on each test set.  "
    f"[default: {QUESTIONS}, fewer if the page would be too long for a comment on GitHub]",
)
@stage_main
def main(base: str, head: str | None, questions: int | None) -> None:
    before = _revisions.commit(base)
    after = _revisions.working_tree() if head is None else _revisions.commit(head)
    click.echo(page(before, after, questions), nl=False)


if __name__ == "__main__":
    main()
