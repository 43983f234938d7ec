"""Make test suites: databases beside each original one that tell its gold queries from near-misses.

Predictions are then judged on all of them (`ts` and `ts_plug` in metrics/ARM.json). With
`make_suites.databases: 0` the suite is empty, and predictions are judged on the original databases alone.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click

from stages._main import stage_main
from stages._params import load_params
from text2sql.cpu import allowed_cores
from text2sql.databases import check_databases
from text2sql.files import write_json
from text2sql.records import ConvertedQuestion, read_records
from text2sql.suites.make import make_suites, summary


@click.command(help=__doc__)
@click.option("--questions", type=click.Path(path_type=Path), required=True)
@click.option("--databases", type=click.Path(path_type=Path), required=True)
@click.option("--suites", type=click.Path(path_type=Path), required=True)
@click.option("--metrics", type=click.Path(path_type=Path), required=True)
@stage_main
def main(questions: Path, databases: Path, suites: Path, metrics: Path) -> None:
    settings = load_params().make_suites
    asked = [q for q in read_records(questions, ConvertedQuestion) if q.gold.strip()]
    check_databases(databases, ((q.test_set, q.db_id) for q in asked))
    golds: defaultdict[str, list[str]] = defaultdict(list)
    for question in asked:
        golds[question.db_id].append(question.gold)
    quality = make_suites(golds, databases, suites, settings, processes=allowed_cores())
    write_json(metrics, summary(quality))


if __name__ == "__main__":
    main()
