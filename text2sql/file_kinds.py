"""What a file is that is not what its name says: a pointer, a web page, an archive, a table and the like."""

from __future__ import annotations

import re

HEAD = 512
"""Bytes at the start of a file that are enough to tell."""

_OTHER_KINDS = (
    (rb"version https://git-lfs", "a git-lfs pointer, not the file itself; fetch that: git lfs pull"),
    (
        rb"(\xef\xbb\xbf)?\s*<(?i:!doctype html|html|head|body)\b",
        "a web page, not the data; download the file itself",
    ),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML file; convert it to JSON lines"),
    (rb"\x1f\x8b", "compressed with gzip; add .gz to its name"),
    (rb"\x28\xb5\x2f\xfd", "compressed with zstd; add .zst to its name"),
    (rb"BZh[1-9]1AY&SY", "compressed with bzip2; unpack it: bunzip2"),
    (rb"\xfd7zXZ\x00", "compressed with xz; unpack it: unxz"),
    (rb"PK\x03\x04", "a ZIP archive, as Excel files are; unpack it, or save the table as CSV"),
    (rb"PAR1[\x00-\x1f]", "a Parquet file; let its name end in .parquet"),
    (rb"SQLite format 3\x00", "an SQLite database; export its rows as CSV or JSON lines"),
    (rb"%PDF-", "a PDF document; take it out"),
)
_EXPECTED = {".gz": "compressed with gzip", ".zst": "compressed with zstd", ".parquet": "a Parquet file"}


def other_kind(head: bytes, suffix: str) -> str | None:
    """What the file is, and what to do, if it is not what `suffix` says; the suffix of text is any other."""
    found = next((said for start, said in _OTHER_KINDS if re.match(start, head)), None)
    expected = _EXPECTED.get(suffix)
    return None if found and expected and found.startswith(expected) else found


def kind_of_text(line: str) -> str:
    """What a text file is whose first line is `line` and of which no line is JSON, and what to do."""
    line = line.strip()
    if line.startswith("{'"):
        return "it looks like dicts as Python prints them; write them with json.dumps"
    if line.startswith(("{", "[")):
        return "it looks like JSON over several lines; bring each row to one line: jq -c . FILE"
    if "\t" in line:
        return "it looks like a table; let its name end in .tsv"
    if "," in line:
        return "it looks like a table; let its name end in .csv"
    return "it is another kind of file, or damaged"
