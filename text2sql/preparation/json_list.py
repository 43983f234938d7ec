"""The values of a JSON list, decoded as its text comes in: memory holds a piece of the text and one value.

Python's own parser decodes each value, so a list gives what the same values on a line each would give. A
library was tried and fails at that: ijson 3.6.0 reads half of a surrogate pair as "?" (such a row must be
rejected), refuses NaN and needs 4 GB for 40,000 nested brackets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

_LONGEST_WORD = 20  # characters of a word or an escape in JSON, at most


class JsonList:
    """One list in a text, which is read `size` characters at a time."""

    def __init__(self, file: IO[str], size: int) -> None:
        self._file, self._size = file, size
        self._text, self._at = "", 0  # what was read last, and how much of that is decoded
        self._decode = json.JSONDecoder().raw_decode

    def values(self) -> Iterator[Any]:
        """Yield each value.

        Raises:
            json.JSONDecodeError: the text is not a list, or is cut off, or goes on after the list.
            RecursionError: a value is nested too deeply for Python.
            UnicodeDecodeError: as the file raises it.
        """
        self._take("[")
        while self._next() != "]":
            yield self._value()
            if self._next() != "]":
                self._take(",")
                if self._next() == "]":
                    raise self._error("a value is missing")
        self._take("]")
        if self._next():
            raise self._error("text after the list")

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not (self._may_go_on(error) and self._read()):
                    raise
                continue
            # a number that is cut off looks like a shorter one with a sign or two after it: 4 of 4.5
            if len(self._text) - end > 2 or not self._read():
                self._at = end
                return value

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether more text may complete the value; after any other fault no more is read."""
        return error.msg.startswith("Unterminated") or error.pos > len(self._text) - _LONGEST_WORD

    def _take(self, sign: str) -> None:
        if self._next() != sign:
            raise self._error(f"expected {sign}")
        self._at += 1

    def _next(self) -> str:
        """The next character that is not a blank, which is not taken; "" at the end."""
        while True:
            found = self._text[self._at : self._at + 1]
            if found and not found.isspace():
                return found
            self._at += len(found)
            if not found and not self._read():
                return ""

    def _read(self) -> bool:
        """Read another piece; False at the end of the text."""
        piece = self._file.read(self._size)
        if piece:
            self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)

    def _error(self, what: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(what, self._text, self._at)
