"""Settings of the search for training rows that leak test questions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from text2sql.settings import Executor, Settings, Similarity

# In the order in which they are tried: the strongest evidence first, and what costs time late.
RULES = (
    "question",
    "same_sql",
    "masked_sql",
    "contains",
    "near_question",
    "embedding",
    "same_result",
    "same_database",
)


RECOMMENDED: dict[str, Any] = {
    "question": True,
    "contains": True,
    "near_question": 0.8,
    "same_sql": "specific",
    "same_database": False,
    "embedding": 0.7,
}
"""The rules that `recommended: true` puts in place of these keys; same_result beside them needs databases."""


class Rules(Settings):
    """Which training rows leak; None and False switch a rule off. `recommended` replaces them by RECOMMENDED.

    question: the folded questions are equal, whatever the schema; with `question_form` "exact" the questions
    themselves, but for white space at their ends. contains: one question contains the other
    word for word, or they are equal without the evidence behind them. near_question: the three-character
    shingles of the questions have at least this Jaccard similarity. same_sql: "exact", the folded queries are
    equal and so are the tables and columns of the schemas; "masked", also where the queries are equal except
    for their values and, in the tables they use, one schema has all columns of the other (evidence
    "masked_sql"); "specific", as masked, but not where the query is generic (one column of one table where
    one column equals a value). embedding: the questions' vectors have at least this cosine, and one schema
    contains the other. same_result: the row's query gives what a test query gives, on the test database and
    on shuffled copies of it; needs the test databases, and is recommended where they are available.
    same_database: one schema contains the other, whatever is asked.

    contains, near_question and embedding do not remove a row whose query asks for something else (see
    meaning.py). Where a row has no schema, the names of the databases are compared instead.
    """

    recommended: bool = Field(
        False,
        description="The recommended rules in place of those named here; add --same-result where there are "
        "databases.",
    )
    question: bool = Field(True, description="Equal folded questions.")
    question_form: Literal["folded", "exact"] = "folded"
    contains: bool = Field(True, description="A question that contains the other one word for word.")
    near_question: Similarity | None = Field(
        0.8, description="Least Jaccard similarity of the questions' letter triples; 0: off."
    )
    same_sql: Literal["exact", "masked", "specific"] | None = Field(
        "specific",
        description="Equal queries on an equal schema; masked: except for values, on matching tables; "
        "specific: likewise, but not for generic queries.",
    )
    same_result: bool = Field(
        False, description="Equal results on the test database and on shuffled copies of it."
    )
    same_database: bool = Field(
        False, description="Equal schemas, and schemas of which one contains the other."
    )
    embedding: Similarity | None = Field(
        None, description="Least cosine of the questions' MiniLM vectors, on such a schema; 0: off."
    )

    @model_validator(mode="before")
    @classmethod
    def _recommend(cls, values: Any) -> Any:
        is_on = isinstance(values, dict) and values.get("recommended") is True
        return {**values, **RECOMMENDED} if is_on else values

    def names(self) -> list[str]:
        """The rules (as evidence names them) that may remove a row, in the order of RULES."""
        on = {
            "question": self.question,
            "same_sql": self.same_sql is not None,
            "masked_sql": self.same_sql in ("masked", "specific"),
            "contains": self.contains,
            "near_question": self.near_question is not None,
            "embedding": self.embedding is not None,
            "same_result": self.same_result,
            "same_database": self.same_database,
        }
        return [rule for rule in RULES if on[rule]]


class DedupeTest(Rules):
    """The rules, whether rows that repeat another one are kept, and where the search runs.

    labelled: the rules are also measured on both labelled sets.
    """

    duplicates: Literal["keep", "remove"] = Field(
        "keep", description="Rows with the question, SQL and schema of an earlier row."
    )
    labelled: bool = True
    executor: Executor = "local"
