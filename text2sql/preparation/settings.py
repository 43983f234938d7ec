"""Settings of the raw inputs: where they come from, how much of them is used, what a row must pass."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import AfterValidator, Field, field_validator, model_validator

from text2sql.settings import Executor, Positive, PositiveFloat, Settings

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
        raise ValueError("give the path below TEXT2SQL_DATA, or below the repository, without the first /")
    return path


OutsidePath = Annotated[str, MinLen(1), AfterValidator(_below)]
"""A path below the folder of outside data, or below the source's own repository."""

Repository = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
"""A data set of the Hugging Face hub: owner/name."""


class TrainingFile(Settings):
    """A file of training rows, and where the schemas are of rows that only name a database.

    `databases` is a folder of SQLite files (ID/ID.sqlite, ID.sqlite, or with .db), `tables` a file in the
    form of Spider's tables.json. All three are paths below the folder of outside data, or with `repo` below
    that data set of the hub at `revision`, a branch, tag or commit; None: main.
    """

    file: OutsidePath
    databases: OutsidePath | None = None
    tables: OutsidePath | None = None
    repo: Repository | None = None
    revision: Name | None = None

    @model_validator(mode="after")
    def _revision_is_of_a_repository(self) -> TrainingFile:
        if self.revision is not None and self.repo is None:
            raise ValueError("revision is that of a data set on the hub: add repo, or take revision out")
        return self

    @property
    def asked_revision(self) -> str:
        """The branch, tag or commit of the repository."""
        return self.revision or "main"


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


class FetchData(Settings):
    """Where the raw rows come from: made here, or files of outside data.

    `train` has training sources by name; with none, rows are made: `seed` decides the benchmark of
    `train_rows` (planted leaks included) and `test_rows`. `test` has test sets by name; with none, the made
    rows have their own. `recorded_schemas` is a file of schemas that a language model wrote, below the folder
    of outside data. `sha256` has expected checksums by path below that folder, or by owner/name/path for a
    file of a data set on the hub.
    """

    seed: int = 11
    train_rows: Positive = 6000
    test_rows: Positive = 240
    train: dict[SetName, TrainingFile] = Field(default_factory=dict)
    test: dict[SetName, QuestionFile] = Field(default_factory=dict)
    recorded_schemas: str | None = None
    sha256: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _training_rows_have_a_test(self) -> FetchData:
        if self.train and not self.test:
            raise ValueError(
                "train names files, so test must name a test set; the generated one is not theirs"
            )
        return self

    @model_validator(mode="after")
    def _made_rows_read_no_files(self) -> FetchData:
        if not self.test and self.sha256:
            raise ValueError("sha256 must be {} where train and test name no files")
        if not self.test and self.recorded_schemas:
            raise ValueError("recorded_schemas must be null where test names no files")
        return self

    @model_validator(mode="after")
    def _checksums_are_hexadecimal(self) -> FetchData:
        for name, digits in self.sha256.items():
            if not re.fullmatch(r"[0-9a-fA-F]{64}", digits):
                raise ValueError(f"sha256 of {name}: expected 64 hexadecimal digits, found {digits!r}")
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
