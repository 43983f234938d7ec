"""Settings: what each package can be told, declared once and checked when it is loaded.

A package's `settings.py` holds its settings as models; params.yaml is composed of them, and the commands take
their options from the same fields (see commands/options.py).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from text2sql.errors import UserError

Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Gt(0)]
PositiveFloat = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Similarity = Annotated[float, Gt(0), Le(1)]
Rate = Annotated[float, Gt(0), Lt(1)]


def _folder(path: str) -> str:
    """The path as it is.

    Raises:
        ValueError: it has a sign that a shell may change, or another path names the same folder.
    """
    if not re.fullmatch(r"[\w./][\w./+@,=-]*", path):
        raise ValueError(f"{path!r}: a folder here has letters, digits and ./_-+@,= in its path")
    if path != posixpath.normpath(path):
        raise ValueError(f"{path!r}: write it as {posixpath.normpath(path)}")
    return path


Folder = Annotated[str, AfterValidator(_folder)]
"""A folder that params.yaml names; DVC puts it into commands, and the same folder has one name."""

Executor = Literal["local", "ray"]
"""Where parallel work runs: on this machine, or on a Ray cluster (RAY_ADDRESS names one that runs)."""


class Settings(BaseModel):
    """A group of settings: types are exact, unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    def replace(self, **changes: object) -> Self:
        """A copy with `changes`, checked as a whole. Raises: pydantic.ValidationError."""
        values = {key: getattr(self, key) for key in self.model_fields_set}
        return type(self)(**{**values, **changes})

    def laid_under(self, changes: Mapping[str, object]) -> Self:
        """A copy with `changes` in place of its values, groups and tables key by key, checked as a whole.

        Raises:
            pydantic.ValidationError: a key is unknown, or a value is not allowed.
        """
        return type(self).model_validate(_merged(self.model_dump(exclude_unset=True), changes))


Model = TypeVar("Model", bound=Settings)


def checked(model: type[Model], values: object, origin: str, next_step: str = "") -> Model:
    """Build `model` from `values`, which were read from `origin` (a file, or the command line).

    `next_step` ends the message of an error.

    Raises:
        UserError: a key is unknown or missing, or a value is not allowed; every such fault is listed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{origin}: {sentences(model, error)}{next_step}") from error


def sentences(model: type[Settings], error: ValidationError, above: str = "") -> str:
    """What is wrong with the values that `model` refused, each fault with its key, which is below `above`."""
    return "; ".join(_sentence(model, dict(fault), above) for fault in error.errors())


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**values, **changes}
    for key in values.keys() & changes.keys():
        if isinstance(values[key], Mapping) and isinstance(changes[key], Mapping):
            merged[key] = _merged(values[key], changes[key])
    return merged


def _sentence(model: type[BaseModel], fault: dict[str, Any], above: str) -> str:
    # pydantic marks a fault of a key itself, such as the name of an arm, by "[key]" behind it
    key = ".".join(str(part) for part in (above, *fault["loc"]) if part not in ("", "[key]"))
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed beside it: {_siblings(model, fault['loc'])}"
    if fault["type"] == "missing":
        return f"{key}: missing"
    said = _said(model, fault)
    # a model's own check sees the whole group, which is too long to repeat
    found = "" if fault["type"] == "value_error" else f" (found {fault['input']!r})"
    return f"{key}: {said}{found}" if key else said


def _said(model: type[BaseModel], fault: dict[str, Any]) -> str:
    """What is allowed: in pydantic's words, except where these speak of Python."""
    if fault["type"] == "model_type":
        return f"needs keys with values; allowed keys: {_siblings(model, (*fault['loc'], ''))}"
    if fault["type"] == "dict_type":
        return "needs keys with values, or {} for none"
    if fault["type"] == "too_short":
        least = fault["ctx"]["min_length"]
        return f"needs at least {least} {'entry' if least == 1 else 'entries'}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _siblings(model: type[BaseModel], place: tuple[str | int, ...]) -> str:
    """The keys that the model at `place` has."""
    for part in place[:-1]:
        field = model.model_fields.get(str(part))
        inner = _model_of(field.annotation) if field else None
        model = inner or model  # a free name, such as an arm's: the model found before it holds
    return ", ".join(model.model_fields)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `Model`, `Model | None` or `dict[str, Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_of(part) for part in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found), None)
