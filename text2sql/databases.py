"""Where a database file is in Spider's layout, and how a SQLite file is opened for reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from text2sql.errors import UserError

_SHOWN = 5  # names in a message
_WAL_AT, _WAL = 19, b"\x02"  # https://www.sqlite.org/fileformat2.html: file format read version


def database_path(databases: Path, db_id: str) -> Path:
    """Return the path of the database `db_id` in the folder `databases`: ID/ID.sqlite."""
    return databases / db_id / f"{db_id}.sqlite"


def live_uri(file: Path) -> str:
    """SQLite's address of a file that others may write, to be opened for reading without changing anything.

    Readers of a database in WAL mode write beside it unless they open it as immutable
    (https://www.sqlite.org/wal.html, "Read-Only Databases"), which is right while there is no -wal file.
    """
    address = f"{file.resolve().as_uri()}?mode=ro"
    with file.open("rb") as opened:
        header = opened.read(_WAL_AT + 1)
    in_wal_mode = header[_WAL_AT:] == _WAL
    return f"{address}&immutable=1" if in_wal_mode and not changes_beside(file.resolve()) else address


def changes_beside(database: Path) -> str:
    """What to do about changes that only the -wal file beside a database has; "" where there are none.

    They would be lost where the file is copied, or read as immutable.
    """
    wal = Path(f"{database}-wal")
    if not wal.is_file() or not wal.stat().st_size:
        return ""
    return (
        f"{database}: {wal.name} beside it has changes that are not in the file yet; close the program "
        f"that writes it, or write them into it: sqlite3 {database} 'PRAGMA wal_checkpoint(TRUNCATE)'"
    )


def check_databases(databases: Path, needed: Iterable[tuple[str, str]]) -> None:
    """Check that the folder has every database of `needed`, which are pairs of a test set and a db_id.

    Raises:
        UserError: some are missing; the message names them by test set.
    """
    by_set: defaultdict[str, set[str]] = defaultdict(set)
    for test_set, db_id in needed:
        by_set[test_set].add(db_id)
    missing = {name: sorted(_missing(databases, db_ids)) for name, db_ids in by_set.items()}
    faults = [(name, db_ids) for name, db_ids in missing.items() if db_ids]
    if faults:
        first = database_path(databases, faults[0][1][0])
        listed = "; ".join(_fault(name, db_ids, len(by_set[name])) for name, db_ids in faults)
        raise UserError(
            f"{first}: no such file; {listed}; put each as ID/ID.sqlite into the folder of databases that "
            "params.yaml names for its test set (fetch_data), then `dvc repro fetch_data`"
        )


def _missing(databases: Path, db_ids: Iterable[str]) -> list[str]:
    return [db_id for db_id in db_ids if not database_path(databases, db_id).is_file()]


def _fault(test_set: str, missing: list[str], needed: int) -> str:
    names = ", ".join(missing[:_SHOWN])
    rest = f" and {len(missing) - _SHOWN} others" if len(missing) > _SHOWN else ""
    of_set = f" of test set {test_set}" if test_set else ""
    return f"{len(missing)} of {needed} databases{of_set} are missing: {names}{rest}"
