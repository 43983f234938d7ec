"""Command-line options made from the fields of settings, which declare default, help and bounds once."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from text2sql.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(model: type[Settings], field: str, *names: str) -> Callable[[Command], Command]:
    """An option for one field of `model`; `names` are its spellings (default: --FIELD with hyphens).

    The value arrives under the field's name. A boolean field becomes a flag, with a --no- form where it is
    true by default. An optional field (`X | None`) is None where the option is not given.
    """
    info = model.model_fields[field]
    spellings = names or (f"--{field.replace('_', '-')}",)
    shown: dict[str, Any] = {"help": info.description, "show_default": True}
    shown |= {"required": True} if info.is_required() else {"default": info.default}
    inner = _without_none(info)
    if inner.annotation is bool:
        flag = f"{spellings[0]}/--no-{spellings[0][2:]}" if info.default is True else spellings[0]
        return click.option(flag, *spellings[1:], field, is_flag=True, **shown)
    return click.option(*spellings, field, type=_click_type(inner), **shown)


def _without_none(info: FieldInfo) -> FieldInfo:
    """The field with `X` for `X | None`."""
    if get_origin(info.annotation) not in (Union, UnionType):
        return info
    (kind,) = (part for part in get_args(info.annotation) if part is not NoneType)
    return FieldInfo.from_annotation(kind)


def _click_type(info: FieldInfo) -> Any:
    if get_origin(info.annotation) is Literal:
        return click.Choice(get_args(info.annotation))
    if info.annotation in (int, float):
        range_type = click.IntRange if info.annotation is int else click.FloatRange
        return range_type(**_bounds(info))
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
