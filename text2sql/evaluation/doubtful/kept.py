"""The reasons of a set's golds, found once for all arms and kept in the work store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from text2sql.evaluation.doubtful.audit import audit, number_of_queries
from text2sql.evaluation.doubtful.questions import Gold
from text2sql.evaluation.doubtful.reasons import RULES_VERSION, Reason, doubtful_reasons
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.files import read_json, write_json
from text2sql.progress import Progress
from text2sql.schema.database_files import find_database
from text2sql.workstore import WorkStore, hash_path, locked

_STAGE = "doubtful_gold"


def kept_reasons(
    golds: Sequence[Gold], databases: Path, settings: EvaluationSettings, store: WorkStore
) -> dict[int, tuple[Reason, ...]]:
    """The reasons of each row with doubtful gold; of rows with the same golds and databases as before, kept.

    Each database must exist. Runs in processes on this machine, also with the executor "ray".

    Raises:
        UserError: the kept file is damaged.
    """
    folder = store.open(_STAGE, _key(golds, databases, settings))
    file = folder / "reasons.json"
    with locked(folder):
        if not file.is_file():
            progress = Progress(number_of_queries(golds), "gold queries", "doubtful gold")
            found = audit(golds, databases, settings, advance=progress.advance)
            reasons = [(each.gold.row, doubtful_reasons(each.findings)) for each in found]
            write_json(file, [[row, some] for row, some in reasons if some])
        return {row: tuple(some) for row, some in read_json(file)}


def _key(golds: Sequence[Gold], databases: Path, settings: EvaluationSettings) -> dict[str, object]:
    files = {gold.db_id: find_database(databases, gold.db_id) for gold in golds}
    return {
        "rules": RULES_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "sqlglot": version("sqlglot"),
        "timeout_s": settings.timeout_s,
        "max_rows": settings.max_rows,
        "golds": [list(asdict(gold).values()) for gold in golds],
        "databases": {name: hash_path(file) for name, file in sorted(files.items())},
    }
