"""The rewritings that other tests use are equal to their gold queries."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.suites.random_databases import constants_of, random_database
from tests.suites.rewritings import rewritings
from text2sql.evaluation.execution.equivalence import same_result
from text2sql.evaluation.execution.sandbox import Sandbox
from text2sql.evaluation.spider.rewrite import order_matters, rewrite_gold
from text2sql.suites.constraints import read_constraints


@pytest.mark.slow
def test_over_two_hundred_rewritings_agree_with_their_gold_queries(real_data: Path) -> None:
    rows = json.loads((real_data / "spider/dev_sql.json").read_text(encoding="utf-8"))[::20]
    made: Counter[str] = Counter()
    failed = []
    for row in rows:
        gold, db_id = row["output"], row["instruction"].split()[0]
        file = real_data / f"spider/database/{db_id}/{db_id}.sqlite"
        facts = read_constraints(file)
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            found = rewritings(gold, facts, connection)
        made.update(rewriting.rule for rewriting in found)
        ordered = order_matters(rewrite_gold(gold))
        with Sandbox(file, 100_000) as sandbox:
            deadline = time.monotonic() + 60
            expected = sandbox.run(rewrite_gold(gold), deadline)
            for rewriting in found:
                if not same_result(expected, sandbox.run(rewrite_gold(rewriting.sql), deadline), ordered):
                    failed.append(rewriting)
        for seed in range(3):
            constants = constants_of(gold, facts)
            with closing(random_database(file, facts, constants, f"{gold} {seed}")) as connection:
                expected = connection.execute(rewrite_gold(gold)).fetchall()
                for rewriting in found:
                    rows_found = connection.execute(rewrite_gold(rewriting.sql)).fetchall()
                    if not same_result(expected, rows_found, ordered):
                        failed.append(rewriting)
    assert failed == []
    assert made.total() >= 200 and len(made) >= 10
