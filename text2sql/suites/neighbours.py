"""Values near to others: numbers and dates next to them, texts with a small change."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from datetime import date, timedelta

from text2sql.suites.source_rows import Value

LARGEST = 2**62
"""Neighbours of larger integers could be beyond SQLite's 64 bits."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DATE = re.compile(r"(?<!\d)(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?!\d)", re.ASCII)
_DECIMAL = re.compile(r"([+-]?\d*)(?:\.(\d+))?", re.ASCII)


def neighbour(value: Value, chance: random.Random) -> Value:
    """A value close to this one: a number or date next to it, a text with a small change."""
    if isinstance(value, str):
        return _near_text(value, chance)
    if isinstance(value, bytes):
        return value[:-1] + bytes([(value[-1] + chance.randint(1, 255)) % 256]) if value else b"\0"
    return moved(value, chance.choice((-1, 1)), chance)


def moved(value: Value, direction: int, chance: random.Random) -> Value:
    """A value that is a little above (`direction` 1) or below (-1), in the same notation."""
    step = direction * chance.choice((1, 1, 1, 2, 3, 10))
    if isinstance(value, int):
        return value + step if abs(value) < LARGEST else value // 2
    if isinstance(value, float):
        digits = min(len(repr(value).partition(".")[2]), 4) if abs(value) < 1e15 else 0
        return round(value + step * 10.0**-digits, digits)
    if isinstance(value, str):
        return _moved_text(value, step)
    return value


def extended(text: str) -> tuple[str, ...]:
    """The text with something before or behind it, for `LIKE '%text%'`; none of a number or a date."""
    return () if is_number(text) or DATE.search(text) else (f"{text}x", f"x{text}", f"{text} x")


def respelled(text: str, chance: random.Random) -> str:
    """The text in another case, or with a blank before or behind it."""
    ways: tuple[Callable[[str], str], ...] = (
        str.lower,
        str.upper,
        str.swapcase,
        str.capitalize,
        lambda one: one + " ",
        lambda one: " " + one,
        str.strip,
    )
    return chance.choice(ways)(text)


def is_number(text: str) -> bool:
    """Whether the text is a decimal number."""
    return bool(NUMBER.fullmatch(text))


def _moved_text(text: str, step: int) -> str:
    found = DATE.search(text)
    if found:
        return text[: found.start()] + _moved_date(found, step) + text[found.end() :]
    number = _DECIMAL.fullmatch(text)
    if number and number[1].lstrip("+-"):
        digits = len(number[2] or "")
        scaled = int(number[1] + (number[2] or "")) + step
        sign, figures = "-" if scaled < 0 else "", str(abs(scaled)).zfill(digits + 1)
        point = f".{figures[len(figures) - digits :]}" if digits else ""
        return f"{sign}{figures[: len(figures) - digits].zfill(len(number[1]))}{point}"
    at = len(text) - 1
    return text[:at] + chr(max(ord(text[at]) + step, 33)) if text else "a"


def _moved_date(found: re.Match[str], step: int) -> str:
    year, sign, month, day = found.groups()
    try:
        new = date(int(year), int(month), int(day)) + timedelta(days=step)
    except (ValueError, OverflowError):  # not a day, such as 2014-00-00
        return found[0]
    return f"{new.year:04}{sign}{str(new.month).zfill(len(month))}{sign}{str(new.day).zfill(len(day))}"


def _near_text(text: str, chance: random.Random) -> str:
    if is_number(text) or DATE.search(text):
        return _moved_text(text, chance.choice((-1, 1)) * chance.choice((1, 1, 2, 30, 365)))
    letter = chance.choice(string.ascii_lowercase)
    at = chance.randrange(len(text)) if text else 0
    return chance.choice(
        (
            text[:at] + letter + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text + letter,
            letter + text,
            respelled(text, chance),
        )
    )
