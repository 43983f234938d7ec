"""Settings of the raw inputs: where they come from, how much of them is used, what a row must pass."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import AfterValidator, Field, field_validator, model_validator

from text2sql.settings import Commit, Executor, Positive, PositiveFloat, Settings

Name = Annotated[str, MinLen(1)]

Columns = dict[Literal["question", "schema", "sql", "db_id", "evidence"], Name]
"""The names that a file has for the fields of a training row."""

SqlCheck = Literal["parse", "compile", "execute"]
"""How far an answer must get: it is one query; and its names exist; and it runs with the source's rows."""


SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""The name of a test set or of a training source; it becomes the name of a file."""

Format = Literal["dbgpt", "spider", "bird", "rows"]
"""How a file of test questions is written; see text2sql/preparation/test_sets.py."""

QuestionColumns = dict[Literal["question", "sql", "db_id", "schema", "evidence", "slice"], str]


def _below(path: str) -> str:
    if path.startswith("/"):
        raise ValueError("give the path below the folder that TEXT2SQL_DATA names, without the first /")
    return path


OutsidePath = Annotated[str, AfterValidator(_below)]
"""A path below the folder of outside data."""


class TrainingFile(Settings):
    """A file of training rows, and where the schemas are of rows that only name a database.

    `databases` is a folder of SQLite files (ID/ID.sqlite, ID.sqlite, or with .db), `tables` a file in the
    form of Spider's tables.json. All three are paths below the folder of outside data.
    """

    file: OutsidePath
    databases: OutsidePath | None = None
    tables: OutsidePath | None = None


class QuestionFile(TrainingFile):
    """A file of test questions; `format` None is recognised from its rows.

    `columns` has the file's own names for question, sql, db_id, schema, evidence and slice, of which only
    question is needed; it goes with the format `rows`.
    """

    format: Format | None = None
    columns: QuestionColumns | None = None

    @model_validator(mode="after")
    def _columns_go_with_rows(self) -> QuestionFile:
        if self.columns is not None and "question" not in self.columns:
            raise ValueError("columns has no entry for question")
        if self.columns is not None and self.format not in (None, "rows"):
            raise ValueError(f"columns goes with format: rows, not with {self.format}")
        return self


SPIDER_TRAIN = {
    "spider": TrainingFile(file="spider/train_spider.json", databases="spider/train_database"),
    "sql_create_context": TrainingFile(file="sql_create_context/train.jsonl"),
}
SPIDER_DEV = {"spider_dev": QuestionFile(file="spider/dev_sql.json", databases="spider/database")}


class FetchData(Settings):
    """Where the raw rows come from: made here, from a folder of outside data, or from the hub at a commit.

    builtin: `seed` decides the benchmark of `train_rows` (planted leaks included) and `test_rows`.
    folder: `train` has training sources by name, None takes Spider's and sql-create-context's. With every
    source `test` has test sets by name, None takes the generated one or Spider dev. `recorded_schemas` is a
    file of schemas that a language model wrote. Paths are relative to the folder of outside data, and so are
    the keys of `sha256`, whose values are the expected checksums.
    """

    source: Literal["builtin", "folder", "hub"]
    seed: int = 11
    train_rows: Positive = 6000
    test_rows: Positive = 240
    train: Annotated[dict[SetName, TrainingFile], MinLen(1)] | None = None
    test: Annotated[dict[SetName, QuestionFile], MinLen(1)] | None = None
    recorded_schemas: str | None = None
    hub_dataset: str | None = None
    hub_revision: Commit | None = None
    sha256: dict[str, str] = Field(default_factory=dict)

    def outside_train(self) -> Mapping[str, TrainingFile]:
        """The training sources in the folder of outside data, by name."""
        if self.source != "folder":
            return {}
        return SPIDER_TRAIN if self.train is None else self.train

    def outside_test(self) -> Mapping[str, QuestionFile]:
        """The test sets in the folder of outside data, by name, in the order of the report."""
        if self.test is not None:
            return self.test
        return {} if self.source == "builtin" else SPIDER_DEV

    @model_validator(mode="after")
    def _hub_is_named(self) -> FetchData:
        for key in ("hub_dataset", "hub_revision"):
            if self.source == "hub" and getattr(self, key) is None:
                raise ValueError(f"{key} is needed with source: hub")
        return self

    @model_validator(mode="after")
    def _training_files_are_read(self) -> FetchData:
        if self.source != "folder" and self.train is not None:
            raise ValueError(f"train must be null with source: {self.source}; its files need source: folder")
        return self

    @model_validator(mode="after")
    def _builtin_reads_no_files(self) -> FetchData:
        generated = self.source == "builtin" and self.test is None
        if generated and self.sha256:
            raise ValueError("sha256 must be {} with source: builtin")
        if generated and self.recorded_schemas:
            raise ValueError("recorded_schemas must be null with source: builtin")
        return self


Dialect = Literal[
    "sqlite",
    "mysql",
    "postgres",
    "tsql",
    "oracle",
    "snowflake",
    "bigquery",
    "duckdb",
    "redshift",
    "spark",
    "databricks",
    "hive",
    "presto",
    "trino",
    "clickhouse",
]
"""sqlglot's names of SQL dialects."""


OnDialect = Literal["transpile", "keep", "reject"]
"""What is done with SQL of another dialect: translated to SQLite and compiled, kept as it is, or rejected."""


class TrainingSource(Settings):
    """How one training source is read; its name is that of its file, without suffixes.

    `columns` has its names for question, sql, and schema or db_id, and evidence if it has any; None: a known
    shape (text2sql/preparation/shapes.py). `dialect` is sqlglot's name of the SQL's dialect; None: SQLite,
    and SQL that SQLite does not compile is tried as the common others. `on_dialect`: what is done with SQL of
    another dialect; None: as prepare.on_dialect says. `limit` is the number of usable rows kept at most;
    `weight` (1, at most a million) is relative to the other sources': the share of its rows that
    prepare.train_limit keeps. `encoding` is Python's name of it; None: UTF-8, or UTF-16 with a mark.
    """

    columns: Columns | None = None
    dialect: Dialect | None = None
    on_dialect: OnDialect | None = None
    limit: Positive | None = None
    weight: Annotated[PositiveFloat, Field(le=1e6)] = 1.0
    encoding: str | None = None

    @field_validator("columns")
    @classmethod
    def _columns_name_a_row(cls, columns: Columns | None) -> Columns | None:
        if columns is not None and not {"question", "sql"} <= set(columns):
            raise ValueError("needs question and sql")
        if columns is not None and not {"schema", "db_id"} & set(columns):
            raise ValueError("needs schema or db_id")
        return columns

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str | None) -> str | None:
        try:
            codecs.lookup(encoding or "utf-8")
        except LookupError as error:
            raise ValueError("unknown encoding; use a name such as latin-1, cp1252 or utf-16") from error
        return encoding


_USUAL = TrainingSource()


class Prepare(Settings):
    """How much of the raw data is used (None: all of it), and what a training row must pass.

    `test_limit` applies to each test set. `sources` says how training sources are read that are not of a
    known shape, in UTF-8 and in SQLite's SQL. `on_dialect`: what is done with SQL of another dialect,
    unless the source says.
    `insert_rows`: how many rows of each table a schema shows as an INSERT statement, "all" of those that the
    row of data has, None: no rows. `as_written`: question, schema and SQL stay as they are in the file, and
    neither schema nor SQL is checked. `max_rejected`: percent of a source's rows that may be rejected before
    the stage stops; a source with more is most likely read in a wrong way. `executor` "ray" checks the rows
    on a Ray cluster, "local" in this process.
    """

    train_limit: Positive | None = None
    test_limit: Positive | None = None
    sources: dict[str, TrainingSource] = Field(default_factory=dict)
    sql_check: SqlCheck = "compile"
    on_dialect: OnDialect = "transpile"
    insert_rows: Positive | Literal["all"] | None = None
    as_written: bool = False
    max_rejected: Annotated[float, Field(ge=0, le=100)] = 50.0
    executor: Executor = "local"

    @model_validator(mode="after")
    def _weights_have_a_limit(self) -> Prepare:
        weighted = sorted(name for name, own in self.sources.items() if own.weight != 1)
        if weighted and self.train_limit is None:
            raise ValueError(f"sources.{weighted[0]}.weight has no effect without train_limit")
        return self

    def source(self, name: str) -> TrainingSource:
        """How the source of this name is read."""
        return self.sources.get(name, _USUAL)
