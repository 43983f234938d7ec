"""The values of a JSON list, decoded as its text comes in: memory holds a piece of the text and one value.

The list may be in an object, such as {"version": 1, "data": [...]}, if no other list of objects is in it.

Python's own parser decodes each value, so a list gives what the same values on a line each would give. A
library was tried and fails at that: ijson 3.6.0 reads half of a surrogate pair as "?" (such a row must be
rejected), refuses NaN and needs 4 GB for 40,000 nested brackets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

_LONGEST_WORD = 20  # characters of a word or an escape in JSON, at most
_KEYS = 5  # of an object, named in a message


class Text(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> str:
        """At most `size` characters, "" at the end."""


class JsonList:
    """One list in a text, which is read `size` characters at a time."""

    def __init__(self, file: Text, size: int) -> None:
        self._file, self._size = file, size
        self._text, self._at = "", 0  # what was read last, and how much of that is decoded
        self._lines = 0  # that ended before what was read last
        self._decode = json.JSONDecoder().raw_decode

    def values(self) -> Iterator[Any]:
        """Yield each value.

        Raises:
            json.JSONDecodeError: the text is not a list, nor an object with just one list of objects, or is
                cut off, or goes on after the list.
            ValueError: a value is a number that is too long for Python.
            RecursionError: a value is nested too deeply for Python.
        """
        if not self._next():
            raise self._error("the file is empty")
        yield from self._only_list() if self._next() == "{" else self._list()
        if self._next():
            raise self._error("text after the list")

    def line_of(self, error: json.JSONDecodeError) -> int:
        """The line, from 1, at which the values ended with this error."""
        return self._lines + error.lineno

    def _list(self) -> Iterator[Any]:
        self._take("[")
        yield from self._elements()

    def _only_list(self) -> Iterator[Any]:
        """The values of the one list of objects in an object; its other values are decoded and dropped."""
        found: str | None = None
        keys: list[str] = []
        self._take("{")
        while self._next() != "}":
            key = self._key()
            keys += [key][: _KEYS - len(keys)]
            if self._lists_objects():
                if found is not None:
                    raise self._error(f"two lists of objects, {found!r} and {key!r}; keep one of them")
                found = key
                yield from self._elements()
            self._separator("}")
        self._take("}")
        if found is None:
            raise self._error(f"an object that has no list of objects under {', '.join(keys) or 'any key'}")

    def _lists_objects(self) -> bool:
        """Whether the next value is a list of objects, of which the bracket is taken; others are dropped."""
        if self._next() != "[":
            self._value()
            return False
        self._take("[")
        if self._next() == "{":
            return True
        for _ in self._elements():
            pass
        return False

    def _elements(self) -> Iterator[Any]:
        """The values of a list whose first bracket is taken."""
        while self._next() != "]":
            yield self._value()
            self._separator("]")
        self._take("]")

    def _separator(self, end: str) -> None:
        """Take the comma between two values; after the last there is none."""
        if self._next() != end:
            self._take(",")
            if self._next() == end:
                raise self._error("a value is missing")

    def _key(self) -> str:
        if self._next() != '"':
            raise self._error('expected "')
        key = self._value()
        self._take(":")
        return str(key)

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
        left = self._text[self._at :]
        # a long value is tried again with each piece: were these not longer each time, that would take hours
        piece = self._file.read(max(self._size, len(left)))
        if piece:
            self._lines += self._text.count("\n", 0, self._at)
            self._text, self._at = left + piece, 0
        return bool(piece)

    def _error(self, what: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(what, self._text, self._at)
