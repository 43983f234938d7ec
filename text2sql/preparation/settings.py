"""Settings of the raw inputs: where they come from, how much of them is used, what a row must pass."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import Field, model_validator

from text2sql.settings import Commit, Executor, Positive, Settings

Columns = dict[Literal["question", "schema", "sql"], str]

SqlCheck = Literal["parse", "compile", "execute"]
"""How far an answer must get: it is one query; and its names exist; and it runs with the source's rows."""


class FetchData(Settings):
    """Where the raw rows come from: made here, from a folder of outside data, or from the hub at a commit.

    builtin: `seed` decides the benchmark of `train_rows` (planted leaks included) and `test_rows`.
    folder: `train_files` are training rows of your own, None takes Spider's and sql-create-context's. With
    folder and hub, `recorded_schemas` is a file of schemas that a language model wrote. Paths are relative to
    the folder of outside data, and so are the keys of `sha256`, whose values are the expected checksums.
    """

    source: Literal["builtin", "folder", "hub"]
    seed: int = 11
    train_rows: Positive = 6000
    test_rows: Positive = 240
    train_files: Annotated[list[str], MinLen(1)] | None = None
    recorded_schemas: str | None = None
    hub_dataset: str | None = None
    hub_revision: Commit | None = None
    sha256: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _hub_is_named(self) -> FetchData:
        for key in ("hub_dataset", "hub_revision"):
            if self.source == "hub" and getattr(self, key) is None:
                raise ValueError(f"{key} is needed with source: hub")
        return self

    @model_validator(mode="after")
    def _builtin_reads_no_files(self) -> FetchData:
        if self.source == "builtin" and self.sha256:
            raise ValueError("sha256 must be {} with source: builtin")
        if self.source == "builtin" and self.recorded_schemas:
            raise ValueError("recorded_schemas must be null with source: builtin")
        return self


class Prepare(Settings):
    """How much of the raw data is used (None: all of it), and what a training row must pass.

    `insert_rows`: how many rows of each table a schema shows as an INSERT statement, "all" of those that the
    row of data has, None: no rows. `columns` names those of question, schema and SQL where the files have
    names of their own. `executor` "ray" checks the rows on a Ray cluster, "local" in this process.
    """

    train_limit: Positive | None = None
    test_limit: Positive | None = None
    columns: Annotated[Columns, MinLen(3)] | None = None
    sql_check: SqlCheck = "compile"
    insert_rows: Positive | Literal["all"] | None = None
    executor: Executor = "local"
