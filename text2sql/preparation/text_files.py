"""The text of a file in any encoding, compressed or not, which is read piece by piece.

The suffix names the compression (.gz, .zst). A byte order mark decides the encoding; without one it is the
encoding that the caller names, else UTF-16 if each second byte at the start is NUL, else UTF-8.
Bytes that the encoding does not have do not end the reading: each becomes a half of a surrogate pair, which
no valid text has, so that one damaged line need not cost the whole file.
Not covered: changed bytes in a .zst file that was written without a checksum.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from text2sql.errors import UserError

REMEDY = "fix it, or fetch the data again: dvc repro fetch_data"
"""How a message about a damaged file ends."""

_BUFFER = 1 << 16  # bytes read from disk at a time
_MARK = 0xDC00  # plus the value of a byte: what stands for a byte that cannot be decoded
_MARKS = re.compile("[\udc00-\udcff]")
_MARKED = "text2sql.marked"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# bytes below 32 that text has: tab, line feed, form feed, carriage return
_NO_TEXT = set(range(32)) - {9, 10, 12, 13}
_ABOVE_LATIN1 = set(range(0x80, 0xA0))  # control characters in Latin-1, mostly letters and quotes in cp1252
_NOT_IN_CP1252 = {0x81, 0x8D, 0x8F, 0x90, 0x9D}


class UndecodableError(Exception):
    """Text with a byte that its encoding does not have: `where` has line and byte, for a message."""

    def __init__(self, encoding: str, where: str) -> None:
        super().__init__(encoding, where)
        self.encoding = encoding
        self.where = where


class TextFile:
    """An open file: its text, the name of its encoding, and how much of it has been read."""

    def __init__(self, text: io.TextIOWrapper, raw: io.FileIO) -> None:
        self.text = text
        self.encoding = "UTF-8" if text.encoding == "utf-8-sig" else text.encoding.upper()
        self._raw, self._line, self._characters = raw, 1, 0

    @property
    def position(self) -> int:
        """How many bytes of the file, as it is on disk, have been read."""
        return self._raw.tell()

    def read(self, size: int) -> str:
        """At most `size` characters, "" at the end.

        Raises:
            UndecodableError: a byte of them cannot be decoded.
        """
        piece = self.text.read(size)
        self._require_decoded(piece)
        self._line += piece.count("\n")
        self._characters += len(piece)
        return piece

    def lines(self) -> Iterator[str]:
        """Yield the lines, with their ends.

        Raises:
            UndecodableError: as `read`.
        """
        for line in self.text:
            self._require_decoded(line)
            yield line
            self._line += 1
            self._characters += len(line)

    def _require_decoded(self, piece: str) -> None:
        at = undecodable(piece)
        if at is None:
            return
        line = self._line + piece.count("\n", 0, at)
        place = f"line {line}, character {self._characters + at + 1} of the file"
        raise UndecodableError(self.encoding, f"{place}: byte {byte_at(piece, at)}")


@contextmanager
def open_text(path: Path, encoding: str | None = None, newline: str = "\n") -> Iterator[TextFile]:
    """Open a file's text; `newline` as in `open`.

    Raises:
        UserError: the compressed file is damaged or cut off, also while it is read.
        LookupError: Python has no such encoding; `is_encoding` says so before.
    """
    with open_bytes(path) as (data, raw):
        found = _encoding(data.peek(4)[:4], encoding)
        with io.TextIOWrapper(data, found, _MARKED, newline) as text:
            yield TextFile(text, raw)


@contextmanager
def open_bytes(path: Path) -> Iterator[tuple[io.BufferedReader, io.FileIO]]:
    """Open a file's bytes, without the compression, and beside them the file as it is on disk.

    Raises:
        UserError: as `open_text`.
    """
    unpack = _UNPACKERS.get(path.suffix.lower())
    with open(path, "rb", buffering=0) as raw:
        stream: Any = _Unpacked(path, unpack(raw)) if unpack else raw
        with io.BufferedReader(stream, _BUFFER) as data:
            yield data, raw


def compression(path: Path) -> str:
    """The suffix of a compressed file, in small letters; "" for any other file."""
    suffix = path.suffix.lower()
    return suffix if suffix in _UNPACKERS else ""


def is_encoding(name: str) -> bool:
    """Whether Python can decode text in an encoding of this name."""
    try:
        b"a\n".decode(name, _MARKED)
    except (LookupError, ValueError):  # ValueError: a codec for something else than files, such as idna
        return False
    return True


def undecodable(text: str) -> int | None:
    """Where the first byte stands that could not be decoded; None if there is none."""
    if text.isascii():
        return None
    try:
        text.encode()  # a search for the marks takes three times as long
    except UnicodeEncodeError as error:
        return error.start
    return None


def byte_at(text: str, at: int) -> str:
    """The byte that stands at an undecodable place, in hexadecimal."""
    return f"0x{ord(text[at]) - _MARK:02x}"


def utf8_bytes(text: str) -> bytes:
    """The bytes of a text that was read as UTF-8, those included that could not be decoded."""
    return text.encode("utf-8", "surrogateescape")


def printable(text: str, limit: int) -> str:
    """The first `limit` characters of a text; control characters and undecodable bytes are escaped."""
    cut = text[:limit]
    shown = cut if cut.isprintable() else "".join(map(_printable, cut))
    return shown if len(text) <= limit else f"{shown}…"


def single_byte_encoding(pieces: Iterable[bytes]) -> str | None:
    """Latin-1 or Windows' cp1252, if these bytes are text in it, and are not UTF-8 with a few faults."""
    decode = codecs.getincrementaldecoder("utf-8")(_MARKED).decode
    seen: set[int] = set()
    valid = faults = 0  # characters beyond ASCII that are UTF-8, and bytes that are not
    for piece in pieces:
        seen.update(piece)
        text = decode(piece)
        marks = len(_MARKS.findall(text))
        valid += len(text) - len(text.encode("ascii", "ignore")) - marks
        faults += marks
    if valid > faults or seen & _NO_TEXT or (seen & _ABOVE_LATIN1 and seen & _NOT_IN_CP1252):
        return None
    return "cp1252" if seen & _ABOVE_LATIN1 else "latin-1"


def _printable(character: str) -> str:
    if character.isprintable() or character == "\t":
        return character
    byte = ord(character) - _MARK
    return f"\\x{byte:02x}" if 0 <= byte < 256 else character.encode("unicode_escape").decode()


def _encoding(start: bytes, named: str | None) -> str:
    """The encoding of a file that starts with these bytes, of which four are enough."""
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), None)
    if marked:
        return marked
    codec = codecs.lookup(named).name if named else ""
    if codec in ("utf-16", "utf-32"):  # Python's decoders of these demand a mark
        return f"{codec}-be" if start.startswith(b"\0") else f"{codec}-le"
    if named:
        return named
    zeros = [byte == 0 for byte in start]
    if len(zeros) > 1 and zeros[0] != zeros[1] and zeros[2:] in ([], zeros[:2]):
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return "utf-8"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Codecs call this for bytes that they cannot decode; returns their marks and where to go on."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    faulty = error.object[error.start : error.end]
    return "".join(chr(_MARK + byte) for byte in faulty), error.end


codecs.register_error(_MARKED, _mark)


class _Unpacked(io.RawIOBase):
    """The bytes of a compressed file."""

    def __init__(self, path: Path, stream: Any) -> None:
        super().__init__()
        self._path, self._stream = path, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as there are bytes; returns their number.

        Raises:
            UserError: the file is damaged or cut off.
        """
        try:
            piece = self._stream.read(len(buffer))
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's error, not the file's
            raise UserError(f"{self._path}: damaged or cut off ({error}); {REMEDY}") from error
        buffer[: len(piece)] = piece
        return len(piece)


def _zstd(raw: io.FileIO) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(raw, "zstd")


_UNPACKERS: dict[str, Callable[[io.FileIO], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
    ".zst": _zstd,
}
COMPRESSIONS = tuple(_UNPACKERS)
