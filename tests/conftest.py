"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of outside data: $TEXT2SQL_REAL_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("TEXT2SQL_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no outside data in {folder}; set TEXT2SQL_REAL_DATA to run this test")
    return folder
