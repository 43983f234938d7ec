"""Settings of made test suites."""

from __future__ import annotations

from pydantic import Field

from text2sql.settings import Count, Settings


class SuiteSettings(Settings):
    """The section `make_suites` of params.yaml."""

    databases: Count = Field(
        default=20, description="Most databases made beside each original one; 0: no suites."
    )
    seed: int = Field(default=1, description="The same seed always gives the same databases.")
