"""Libraries print nothing of their own beside the messages of commands and stages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

ODD = "CALL f(1); ALTER TABLE t RENAME COLUMN a TO b; SHOW TABLES; VACUUM"


@pytest.mark.parametrize("module", ["text2sql", "text2sql.cli", "text2sql.contamination.folding", "stages"])
def test_sqlglot_does_not_warn_of_statements_that_it_does_not_know(module: str) -> None:
    code = (
        f"import sqlglot, {module}\n"
        f"sqlglot.parse({ODD!r}, read='sqlite')\n"
        f"sqlglot.transpile('SELECT a FROM t TABLESAMPLE (10 PERCENT)', read='duckdb', write='sqlite')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sqlglot_warns_without_this_project() -> None:
    code = f"import sqlglot; sqlglot.parse({ODD!r}, read='sqlite')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "unsupported syntax" in done.stderr
