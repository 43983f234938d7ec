"""Schemas of databases that rows of a training source name by their id."""

from __future__ import annotations

from pathlib import Path

from text2sql.errors import UserError
from text2sql.files import read_json
from text2sql.preparation.rejects import Unusable

_AGAIN = "fetch the data again: dvc repro --force fetch_data"


class NamedSchemas:
    """CREATE TABLE texts by source and database id, from a folder of SOURCE.json = {id: text}."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._texts: dict[str, dict[str, str]] = {}

    def schema(self, source: str, db_id: str) -> str:
        """The schema of a database.

        Raises:
            Unusable: no database is named, or its schema is not known.
            UserError: the source's file is damaged.
        """
        if not db_id:
            raise Unusable("missing schema")
        if source not in self._texts:
            self._texts[source] = self._read(source)
        schemas = self._texts[source]
        if db_id not in schemas:
            known = (
                f"{len(schemas)} databases are known" if schemas else "no database of this source is known"
            )
            raise Unusable("schema of its database is not known", f"{db_id}; {known}")
        return schemas[db_id]

    def _read(self, source: str) -> dict[str, str]:
        path = self._folder / f"{source}.json" if self._folder else None
        if path is None or not path.is_file():
            return {}
        texts = read_json(path)
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise UserError(f"{path}: expected a JSON object of schemas by database id; {_AGAIN}")
        return texts
