"""Puts the page together: the template, the styles, the scripts, the data of the questions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from text2sql.report.html.charts import WIDTHS
from text2sql.report.html.questions import packed
from text2sql.report.html.sections import Part

_FOLDER = Path(__file__).parent
_STYLES = ("vendor/datatables.min.css", "page.css")
_SCRIPTS = ("vendor/datatables.min.js", "page.js")


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from: facts as pairs of name and value, versions of packages, parameters."""

    facts: Sequence[tuple[str, str]]
    packages: Mapping[str, str]
    parameters: str


@dataclass(frozen=True)
class Content:
    """All that is on the page: parts of its sections, and the data of the questions (see `question_data`)."""

    scores: Sequence[Part]
    errors: Part
    training: Sequence[Part]
    data: Sequence[Part]
    questions: Mapping[str, Any]
    provenance: Provenance


def page(content: Content) -> str:
    """The HTML of the page; the same content gives the same bytes.

    Every text of the data is escaped, and the page allows no scripts but its own and no request at all.
    """
    loader = FileSystemLoader(_FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    scripts = [_inline(name) for name in _SCRIPTS]
    text = environment.get_template("page.html.j2").render(
        content=content,
        data=packed(content.questions),
        policy=_policy(scripts),
        scripts=scripts,
        styles=[_inline(name) for name in _STYLES],
        widths=list(WIDTHS),
        safe=Markup,  # of the SVG that vl-convert writes, in which texts are escaped
    )
    return text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written


def _inline(name: str) -> Markup:
    """A file of this package as it is in an element of the page, which its text must not end."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} would end its own element")
    return Markup(text)


def _policy(scripts: Sequence[str]) -> str:
    """What the browser allows the page: its own scripts, by their hash; styles; nothing from outside."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
