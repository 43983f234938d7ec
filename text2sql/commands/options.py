"""Command-line options made from the fields of settings, which declare default, help and bounds once.

And the check of the options that name files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import combinations, permutations
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from text2sql.errors import UserError
from text2sql.evaluation.execution.sandbox import is_sqlite
from text2sql.evaluation.execution.suite import MANIFEST
from text2sql.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(
    model: type[Settings],
    field: str,
    *names: str,
    off: float | str | None = None,
    required: bool = True,
    text: str | None = None,
) -> Callable[[Command], Command]:
    """An option for one field of `model`; `names` are its spellings (default: --FIELD with hyphens).

    The value arrives under the field's name. A boolean field becomes a flag, with a --no- form where it is
    true by default. An optional field (`X | None`) is None where the option is not given, or given as `off`,
    which is a word beside the field's own or the number at which its open range begins. With `required`
    false a field without default is None where the option is not given: another option says whether it is
    needed. `text` is the help in place of the field's own.
    """
    info = model.model_fields[field]
    spellings = names or (f"--{field.replace('_', '-')}",)
    shown: dict[str, Any] = {"help": text or info.description, "show_default": True}
    shown |= {"required": required} if info.is_required() else {"default": info.default}
    if off is not None:
        shown["callback"] = lambda context, parameter, value: None if value == off else value
        shown["default"] = off if info.default is None else info.default
    inner = _without_none(info)
    if inner.annotation is bool:
        flag = f"{spellings[0]}/--no-{spellings[0][2:]}" if info.default is True else spellings[0]
        return click.option(flag, *spellings[1:], field, is_flag=True, **shown)
    return click.option(*spellings, field, type=_click_type(inner, off), **shown)


def field_option(roles: str) -> Callable[[Command], Command]:
    """The option --field, see `FieldNames.chosen`; `roles` are those that the help names."""
    shown = f"The field for {roles}, where it has no usual name; can be repeated."
    return click.option("--field", "fields", multiple=True, metavar="ROLE=NAME", help=shown)


def check_outputs(inputs: Mapping[str, Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Check that no output replaces an input, another output, or a database.

    Keys are the names of the options; the value of one that is not given is None. Paths are compared by what
    they lead to: through `..`, symbolic links and hard links. A folder is replaced with all that it contains.
    A device such as /dev/null may be named twice.

    Raises:
        UserError: an output is the file or folder of another option or contains it, is a SQLite database,
            or is a file in a test suite.
    """
    given = {name: path for name, path in {**inputs, **outputs}.items() if path is not None}
    for (name, path), (other, output) in combinations(given.items(), 2):
        if other in outputs and _is_same(path, output):
            raise UserError(f"{output}: {name} and {other} are the same; change {other}")
    for (name, path), (other, output) in permutations(given.items(), 2):
        if other in outputs and _contains(output, path):
            raise UserError(f"{output}: {other} would replace {name}, which is in it; change {other}")
    for name in outputs.keys() & given.keys():
        if given[name].is_file():
            _check_replaceable(given[name], name)


def _check_replaceable(path: Path, option: str) -> None:
    """Check that a file that an output replaces is no database and no file of a test suite.

    Raises:
        UserError: it is one.
    """
    with suppress(OSError):  # writing it says why
        if is_sqlite(path):
            raise UserError(f"{path}: is a database, which {option} would replace; change {option}")
    if any((folder / MANIFEST).is_file() for folder in Path(os.path.realpath(path)).parents):
        raise UserError(f"{path}: is in a test suite, whose files {option} would replace; change {option}")


def _is_same(one: Path, other: Path) -> bool:
    if one.is_char_device():
        return False
    with suppress(OSError):  # one of them does not exist
        if one.samefile(other):
            return True
    return os.path.realpath(one) == os.path.realpath(other)


def _contains(folder: Path, path: Path) -> bool:
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _without_none(info: FieldInfo) -> FieldInfo:
    """The field with `X` for `X | None`."""
    if get_origin(info.annotation) not in (Union, UnionType):
        return info
    (kind,) = (part for part in get_args(info.annotation) if part is not NoneType)
    return FieldInfo.from_annotation(kind)


def _click_type(info: FieldInfo, off: float | str | None) -> Any:
    if get_origin(info.annotation) is Literal:
        choices = get_args(info.annotation)
        return click.Choice(choices if off is None else [off, *choices])
    bounds = _bounds(info)
    if info.annotation in (int, float) and (bounds or off is not None):
        range_type = click.IntRange if info.annotation is int else click.FloatRange
        return range_type(**bounds if off is None else bounds | {"min": off, "min_open": False})
    return info.annotation


def _bounds(info: FieldInfo) -> dict[str, Any]:
    """The least and greatest value of a number, in click's terms."""
    bounds: dict[str, Any] = {}
    for limit in info.metadata:
        match limit:
            case Gt(gt=least):
                bounds |= {"min": least, "min_open": True}
            case Ge(ge=least):
                bounds |= {"min": least}
            case Lt(lt=most):
                bounds |= {"max": most, "max_open": True}
            case Le(le=most):
                bounds |= {"max": most}
    return bounds
