"""The text of an input file, which is read once: also from gzip, a pipe or standard input."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import BinaryIO

from text2sql.errors import UserError
from text2sql.file_kinds import HEAD, other_kind

STDIN = Path("-")
"""The name of standard input on the command line."""

MOST_BYTES = 1 << 29
"""Most bytes of a file, also once it is unpacked; the text is held in memory."""

_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks; that of UTF-32 begins with the first or with NUL


def shown(path: Path) -> str:
    """How messages name the file."""
    return "standard input" if path == STDIN else str(path)


def read_text(path: Path, option: str, lenient: bool) -> str:
    """Return the text of a UTF-8 file; `option` is the option that names it.

    With `lenient`, bytes that are not UTF-8 are replaced by U+FFFD.

    Raises:
        UserError: the file is missing, a folder, larger than `MOST_BYTES`, damaged, not text, or not UTF-8.
    """
    name = shown(path)
    data = _bytes(path, name, option)
    if data.startswith(_GZIP):
        data = _unpacked(data, name)
    _require_text(data, name)
    try:
        return data.decode("utf-8-sig", "replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}, line {line}: not UTF-8 text; save the file as UTF-8") from error


def _bytes(path: Path, name: str, option: str) -> bytes:
    if path == STDIN:
        return _bounded(sys.stdin.buffer, name)
    if path.is_dir():
        raise UserError(f"{name}: a folder; name a file with {option}")
    try:
        with open(path, "rb") as file:
            return _bounded(file, name)
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file; correct {option}") from error


def _bounded(file: BinaryIO | gzip.GzipFile, name: str) -> bytes:
    data = bytearray()
    while block := file.read(_BLOCK):
        data += block
        if len(data) > MOST_BYTES:
            raise UserError(f"{name}: more than {MOST_BYTES >> 20} MiB; split it and evaluate each part")
    return bytes(data)


def _unpacked(data: bytes, name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return _bounded(file, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name}: damaged or cut off ({error}); copy the file again") from error


def _require_text(data: bytes, name: str) -> None:
    head = data[:HEAD]
    if head.startswith(_UTF16) or _has_wide_characters(head):
        fix = "save it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW_FILE"
        raise UserError(f"{name}: UTF-16 text; {fix}")
    kind = other_kind(head, "")
    if kind:
        raise UserError(f"{name}: {kind}")


def _has_wide_characters(head: bytes) -> bool:
    """Whether the text is UTF-16 without a mark: of plain text each second byte is then NUL."""
    return len(head) > 1 and any(not any(head[start::2]) for start in (0, 1))
