"""Settings of the search for training rows that leak test questions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from text2sql.settings import Executor, Settings, Similarity

# In the order in which they are tried: the strongest evidence first.
RULES = ("question", "same_sql", "masked_sql", "near_question", "embedding", "same_database")


class Rules(Settings):
    """Which training rows leak; None and False switch a rule off.

    question: the folded questions are equal, whatever the schema. near_question: the three-character
    shingles of the questions have at least this Jaccard similarity, whatever the schema. same_sql: "exact",
    the folded queries are equal and so are the tables and columns of the schemas; "masked", also where the
    queries are equal except for their values and, in the tables they use, one schema has all columns of the
    other (evidence "masked_sql"). embedding: the questions' vectors have at least this cosine, and one schema
    contains the other. same_database: one schema contains the other, whatever is asked.
    """

    question: bool = Field(True, description="Equal folded questions.")
    near_question: Similarity | None = Field(
        0.8, description="Least Jaccard similarity of the questions' letter triples; 0: off."
    )
    same_sql: Literal["exact", "masked"] | None = Field(
        "masked",
        description="Equal queries on an equal schema; masked: except for values, on matching tables.",
    )
    same_database: bool = Field(
        False, description="Equal schemas, and schemas of which one contains the other."
    )
    embedding: Similarity | None = Field(
        None, description="Least cosine of the questions' MiniLM vectors, on such a schema; 0: off."
    )

    def names(self) -> list[str]:
        """The rules (as evidence names them) that may remove a row, in the order of RULES."""
        on = {
            "question": self.question,
            "same_sql": self.same_sql is not None,
            "masked_sql": self.same_sql == "masked",
            "near_question": self.near_question is not None,
            "embedding": self.embedding is not None,
            "same_database": self.same_database,
        }
        return [rule for rule in RULES if on[rule]]


class DedupeTest(Rules):
    """The rules, whether they are also measured on the labelled set, and where the search runs."""

    labelled: bool = True
    executor: Executor = "local"
