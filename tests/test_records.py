"""Records of older files can still be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.records import Prediction, read_records


def test_optional_fields_of_a_prediction_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "arm.jsonl"
    file.write_text(
        '{"row": 1, "sql": "", "raw": ""}\n{"row": 2, "sql": "", "raw": "", "agreement": 0.5, "tries": 2}\n'
    )
    assert read_records(file, Prediction) == [Prediction(1, "", ""), Prediction(2, "", "", 0.5, 2)]
    file.write_text('{"row": 1, "sql": "", "raw": "", "problems": {"empty": 1}}\n')
    assert read_records(file, Prediction) == [Prediction(1, "", "", problems={"empty": 1})]


@pytest.mark.parametrize("line", ['{"row": 1, "sql": ""}', '{"row": 1, "sql": "", "raw": "", "votes": 1}'])
def test_a_missing_or_unknown_field_is_named_with_its_record(tmp_path: Path, line: str) -> None:
    file = tmp_path / "arm.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(UserError, match=r"record 1: missing or unknown field (raw|votes)"):
        read_records(file, Prediction)
