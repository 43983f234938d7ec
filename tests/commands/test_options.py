"""Options of commands have the default, the help and the bounds of the settings they stand for."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from text2sql.commands.options import check_outputs, setting
from text2sql.errors import UserError
from text2sql.settings import Positive, PositiveFloat, Settings, Similarity, checked


class Example(Settings):
    timeout_s: PositiveFloat = Field(10.0, description="Seconds for one prediction.")
    rows: Positive = Field(description="Rows of a result.")
    near: Similarity | None = Field(0.8, description="Least similarity.")
    same: Literal["exact", "masked"] | None = Field("masked", description="How queries are compared.")
    question: bool = Field(True, description="Compare questions.")
    plug: bool = Field(False, description="Plug values.")
    seed: int = Field(1, description="Seed.")


@click.command()
@setting(Example, "timeout_s", "--timeout")
@setting(Example, "rows")
@setting(Example, "near")
@setting(Example, "same")
@setting(Example, "question")
@setting(Example, "plug", "--plug-value", "--plug_value")
@setting(Example, "seed", text="Another help.")
def example(**options: Any) -> None:
    click.echo(repr(checked(Example, options, "the command line")))


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(example, arguments)
    return result.exit_code, result.output


def test_options_have_the_defaults_of_the_fields() -> None:
    assert run("--rows", "3") == (0, repr(Example(rows=3)) + "\n")


def test_values_arrive_with_the_types_of_the_fields() -> None:
    numbers = ["--rows", "3", "--timeout", "2", "--near", "1"]
    expected = Example(rows=3, timeout_s=2.0, near=1.0, same="exact", question=False, plug=True)
    assert run(*numbers, "--same", "exact", "--no-question", "--plug_value") == (0, repr(expected) + "\n")


def test_help_shows_description_default_and_bounds() -> None:
    shown = " ".join(run("--help")[1].split())
    assert "Seconds for one prediction. [default: 10.0; x>0]" in shown
    assert "[exact|masked] How queries are compared. [default: masked]" in shown
    assert "Rows of a result. [x>0; required]" in shown
    assert "Least similarity. [default: 0.8; 0<x<=1]" in shown


def test_help_has_the_text_in_place_of_the_description_and_no_bound_where_there_is_none() -> None:
    assert "--seed INTEGER Another help. [default: 1]" in " ".join(run("--help")[1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rows", "0"],
        ["--rows", "1", "--near", "0"],
        ["--rows", "1", "--near", "1.1"],
        ["--rows", "1", "--same", "x"],
        [],
    ],
)
def test_a_value_outside_the_bounds_of_the_field_is_refused(arguments: list[str]) -> None:
    status, said = run(*arguments)
    assert status == 2 and "Error" in said


class Switches(Settings):
    near: Similarity | None = Field(0.8, description="Least similarity.")
    same: Literal["exact", "masked"] | None = Field("masked", description="How queries are compared.")
    cosine: Similarity | None = Field(None, description="Least cosine.")


@click.command()
@setting(Switches, "near", off=0)
@setting(Switches, "same", off="none")
@setting(Switches, "cosine", off=0)
def switches(**options: Any) -> None:
    click.echo(repr(checked(Switches, options, "the command line")))


def switched(*arguments: str) -> str:
    return CliRunner().invoke(switches, arguments).output.strip()


def test_a_setting_is_switched_off_by_the_value_that_stands_for_off() -> None:
    assert switched("--near", "0", "--same", "none") == repr(Switches(near=None, same=None))
    assert switched("--near", "0.0") == repr(Switches(near=None))
    assert switched("--cosine", "0.5") == repr(Switches(cosine=0.5))
    assert switched() == repr(Switches())


def test_the_value_that_stands_for_off_is_shown_and_the_other_bound_stays() -> None:
    shown = " ".join(switched("--help").split())
    assert "[none|exact|masked] How queries are compared. [default: masked]" in shown
    assert "Least similarity. [default: 0.8; 0<=x<=1]" in shown
    assert "Least cosine. [default: 0; 0<=x<=1]" in shown
    assert "Error" in switched("--near", "1.1") and "Error" in switched("--near", "-0.1")


def test_a_field_that_another_option_may_make_needless_is_none_without_its_option() -> None:
    @click.command()
    @setting(Example, "rows", required=False)
    def few(**options: Any) -> None:
        click.echo(repr(options))

    assert CliRunner().invoke(few, []).output == "{'rows': None}\n"
    assert CliRunner().invoke(few, ["--rows", "0"]).exit_code == 2


# -- outputs --


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file `data/in`, links of both kinds to it, and a link to `data`."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/in").touch()
    Path("link").symlink_to("data/in")
    Path("hard").hardlink_to("data/in")
    Path("folder").symlink_to("data")
    return tmp_path


@pytest.mark.parametrize(
    "output", ["data/in", "./data/in", "data/../data/in", "link", "hard", "folder/in", "{}/data/in"]
)
def test_an_output_that_is_an_input_is_refused(folder: Path, output: str) -> None:
    path = Path(output.format(folder))
    with pytest.raises(UserError, match=r": --input and --output are the same; change --output$"):
        check_outputs({"--input": Path("data/in")}, {"--output": path})


@pytest.mark.parametrize("output", ["new", "./new", "folder/../new", "data/../new", "{}/new"])
def test_two_outputs_in_one_place_are_refused(folder: Path, output: str) -> None:
    path = Path(output.format(folder))
    with pytest.raises(UserError, match="--out and --json are the same; change --json"):
        check_outputs({}, {"--out": Path("new"), "--json": path})


@pytest.mark.parametrize("output", ["data", ".", "folder", ".."])
def test_an_output_that_contains_an_input_or_another_output_is_refused(folder: Path, output: str) -> None:
    with pytest.raises(UserError, match="--output would replace --input, which is in it; change --output"):
        check_outputs({"--input": Path("data/in")}, {"--output": Path(output)})
    outputs = {"--output": Path(output), "--json": Path("data/new")}
    for given in (outputs, dict(reversed(outputs.items()))):
        with pytest.raises(UserError, match="--output would replace --json, which is in it"):
            check_outputs({}, given)


def test_an_output_that_is_a_database_is_refused(folder: Path) -> None:
    file = folder / "any.name"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(UserError, match=r"any\.name: is a database, which --out would replace; change --out"):
        check_outputs({"--db": folder}, {"--out": file})


def test_an_output_that_is_a_file_of_a_test_suite_is_refused(folder: Path) -> None:
    (folder / "suite" / "d").mkdir(parents=True)
    kept = [folder / "suite" / "suite.json", folder / "suite" / "d" / "notes.txt"]
    for file in kept:
        file.write_text("{}")
        with pytest.raises(UserError, match="is in a test suite, whose files --json would replace"):
            check_outputs({}, {"--json": file})
    check_outputs({}, {"--json": folder / "suite" / "new.json"})


def test_a_device_may_be_named_twice() -> None:
    check_outputs({"--gold": Path("/dev/null")}, {"--out": Path("/dev/null"), "--json": Path("/dev/null")})


def test_one_pipe_for_two_outputs_is_refused(folder: Path) -> None:
    os.mkfifo("pipe")
    with pytest.raises(UserError, match="are the same"):
        check_outputs({}, {"--out": Path("pipe"), "--json": Path("pipe")})


def test_other_outputs_are_allowed(folder: Path) -> None:
    same = Path("data/in")
    inputs = {"--gold": same, "--pred": same, "--db": Path("data"), "--table": None}
    check_outputs(inputs, {"--out": Path("data/out"), "--json": Path("in"), "--more": None})
