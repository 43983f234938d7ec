"""Profiles: the committed params.yaml, and what profiles/NAME.yaml changes in it.

Usage: python -m scripts.profiles use NAME    writes params.yaml
       python -m scripts.profiles table       shows all profiles side by side, as Markdown
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.tokens import CommentToken

from stages._params import Params
from text2sql.errors import UserError
from text2sql.files import replacing
from text2sql.settings import checked
from text2sql.training.settings import Run

ROOT = Path(__file__).resolve().parents[1]
BASE = "embedded"  # the profile of the committed params.yaml
_COLUMN = 28  # of a comment


def names(root: Path = ROOT) -> list[str]:
    """The names of all profiles, the base first."""
    return [BASE, *sorted(path.stem for path in (root / "profiles").glob("*.yaml"))]


def base_text(root: Path = ROOT) -> str:
    """The newest committed params.yaml whose profile is the base.

    Raises:
        UserError: git knows none, as in a shallow clone whose last commit has another profile.
    """
    for commit in _git(root, "log", "--format=%H", "--", "params.yaml").split():
        text = _git(root, "show", f"{commit}:./params.yaml")
        if f"\nprofile: {BASE}\n" in f"\n{text}":
            return text
    raise UserError(
        f"params.yaml: no commit has it with profile: {BASE}, which profiles are differences from; "
        "next: git fetch --unshallow"
    )


def composed(name: str, root: Path = ROOT) -> str:
    """The text of params.yaml for profile `name`: the base with the profile's values and comments.

    Raises:
        UserError: the profile does not exist, or its file is refused.
    """
    text = base_text(root)
    if name == BASE:
        return text
    path = root / "profiles" / f"{name}.yaml"
    if name not in names(root):
        raise UserError(
            f"no profile {name!r}; next: make use PROFILE=name, name being one of: {' '.join(names(root))}"
        )
    yaml = _round_trip()
    params, profile = yaml.load(text), _loaded(yaml, path)
    params.ca.comment[1][:1] = profile.ca.comment[1]  # the first line names the profile
    _merge(params, profile, Params)
    out = StringIO()
    yaml.dump(params, out)
    return out.getvalue()


def load_profile(name: str, root: Path = ROOT) -> Params:
    """The settings of profile `name`.

    Raises:
        UserError: as `composed`, or a value is not allowed.
    """
    return checked(Params, YAML(typ="safe", pure=True).load(composed(name, root)), f"profile {name}")


def table(root: Path = ROOT) -> str:
    """All settings that differ between profiles, a row each, as a Markdown table."""
    columns = {name: dict(_leaves(_effective(load_profile(name, root)))) for name in names(root)}
    keys = dict.fromkeys(key for values in columns.values() for key in values)
    rows = [[key, *(_shown(values.get(key, "–")) for values in columns.values())] for key in keys]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    lines = [["setting", *columns], ["---"] * (1 + len(columns)), *differing]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _merge(target: CommentedMap, source: CommentedMap, model: type[BaseModel]) -> None:
    """Put the values of `source` into `target`: sections key by key, everything else whole."""
    for key, value in source.items():
        inner = _section(model, key)
        if inner and isinstance(value, CommentedMap) and isinstance(target.get(key), CommentedMap):
            _merge(target[key], value, inner)
        else:
            _put(target, key, value, _own(_comment(source, key)))


def _put(target: CommentedMap, key: str, value: Any, reason: str) -> None:
    """Set one key; its comment becomes `reason`, if there is one, and the headings behind it stay there."""
    last = key if key in target else next(reversed(target))
    holder, end = _end(target, last)
    own, headings = _split(_comment(holder, end))
    kept = _own(_comment(target, key)) if key in target else ""
    if last != key:
        _set_comment(holder, end, own)
    if isinstance(value, CommentedSeq):
        value.fa.set_flow_style()
    target[key] = value
    _set_comment(target, key, reason or kept)
    holder, end = _end(target, key)
    _set_comment(holder, end, _own(_comment(holder, end)).rstrip("\n") + headings)


def _end(mapping: CommentedMap, key: str) -> tuple[CommentedMap, str]:
    """Where the last line of `key` is: its own, or that of the last key below it."""
    while isinstance(mapping[key], CommentedMap) and mapping[key] and not mapping[key].fa.flow_style():
        mapping = mapping[key]
        key = next(reversed(mapping))
    return mapping, key


def _comment(mapping: CommentedMap, key: str) -> str:
    """What follows the value of `key`: its comment, and blank lines and headings before the next key."""
    tokens = mapping.ca.items.get(key)
    return tokens[2].value if tokens and tokens[2] else ""


def _own(comment: str) -> str:
    return _split(comment)[0]


def _split(comment: str) -> tuple[str, str]:
    """A key's own comment, and the blank line and headings behind it."""
    end = comment.find("\n\n")
    return (comment, "") if end < 0 else (comment[:end], comment[end:])


def _set_comment(mapping: CommentedMap, key: str, text: str) -> None:
    token = CommentToken(text, CommentMark(_COLUMN)) if text else None
    mapping.ca.items[key] = [None, None, token, None]
    if isinstance(mapping[key], CommentedMap):
        mapping[key].ca.comment = [token, None]


def _section(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The settings below `key`, None where it holds a value or a table of free names."""
    field = model.model_fields.get(key)
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def _loaded(yaml: YAML, path: Path) -> CommentedMap:
    """The file of a profile: settings below a comment, under the name of the file."""
    try:
        profile = yaml.load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML in UTF-8: {error}") from error
    if not isinstance(profile, CommentedMap):
        raise UserError(f"{path}: holds no settings; write those that differ from params.yaml")
    if profile.ca.comment is None:
        raise UserError(
            f"{path}: has no comment before its first key; write one that says what the profile is"
        )
    if profile.get("profile") != path.stem:
        raise UserError(f"{path}: must have the line `profile: {path.stem}`, as its file name says")
    return profile


def _effective(params: Params) -> dict[str, Any]:
    """All settings; a trained arm shows what it takes from `training`, nothing where it is not enabled."""
    values = params.model_dump(exclude={"profile"})
    for section, arm in params.trained().items():
        *above, name = section.split(".")
        table = values[above[0]] if above else values
        table[name] = _trained(params, section, table[name]) if arm.enabled else {"enabled": False}
    for arm in values["arms"].values():
        if not arm["predict"]:
            del arm["predict"]
    return values


def _trained(params: Params, section: str, values: dict[str, Any]) -> dict[str, Any]:
    recipe = params.recipe(section)
    shown = {key: getattr(recipe, key) for key in Run.model_fields}
    if recipe.auto_ranks:
        shown["ranks"] = "auto"
    if not values["training"]:
        del values["training"]
    return values | shown


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _shown(value: object) -> str:
    """A value as YAML writes it, short enough for a table."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)[:40]


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {done.stderr.strip()}; profiles need the git history")
    return done.stdout


@click.group()
def main() -> None:
    """Compose and compare profiles."""


@main.command()
@click.argument("name")
def use(name: str) -> None:
    """Make profile NAME the params.yaml; the file that was there is kept as params.yaml.old."""
    text = composed(name)
    load_profile(name)  # refuses values that are not allowed
    path = ROOT / "params.yaml"
    if path.is_file():
        shutil.copy2(path, ROOT / "params.yaml.old")
    with replacing(path) as file:
        file.write(text)
    click.echo(f"params.yaml is now profile {name}; next: text2sql check, then make reproduce")


@main.command(name="table")
def show_table() -> None:
    """Show all profiles side by side."""
    click.echo(table())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
