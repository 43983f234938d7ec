"""Profiles: differences from the committed params.yaml, composed with it and shown side by side."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.profiles import base_text, composed, load_profile, names, table
from text2sql.errors import UserError

ROOT = Path(__file__).parents[2]
PROFILES = names()


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def commit(folder: Path, text: str) -> None:
    (folder / "params.yaml").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "params")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository whose params.yaml is the base, with an empty folder of profiles."""
    (tmp_path / "profiles").mkdir()
    git(tmp_path, "init", "-q")
    commit(tmp_path, base_text())
    return tmp_path


def write_profile(checkout: Path, text: str) -> None:
    (checkout / "profiles" / "mine.yaml").write_text(f"# Profile `mine`: for a test.\nprofile: mine\n{text}")


def leaves(values: dict[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= leaves(value, f"{above}{key}.")
        else:
            found[above + key] = value
    return found


def comments(text: str) -> dict[str, str]:
    """The comment behind each `key: value`, by the line's text before it."""
    lines = [line.partition("#") for line in text.splitlines() if ":" in line.partition("#")[0]]
    return {before.strip(): comment.strip() for before, _, comment in lines}


def test_every_profile_is_valid_and_tells_its_own_name() -> None:
    assert len(PROFILES) > 4
    assert [load_profile(name).profile for name in PROFILES] == PROFILES


def test_the_base_is_the_committed_file_byte_by_byte(checkout: Path) -> None:
    assert composed("embedded", checkout) == base_text()


def test_a_profile_holds_only_what_differs_and_gives_a_reason_on_each_line() -> None:
    base = leaves(yaml.safe_load(base_text()))
    faults = []
    for name in PROFILES[1:]:
        text = (ROOT / "profiles" / f"{name}.yaml").read_text()
        same = {k for k, v in leaves(yaml.safe_load(text)).items() if k in base and base[k] == v}
        faults += [
            f"{name}: {key} is as in params.yaml"
            for key in same
            if not key.startswith(("arms.", "contexts.", "train."))
        ]  # whole tables
        settings = re.findall(r"^  \S.*", text, re.MULTILINE)
        tables = (
            "hub_model: ",
            "spider: ",
            "sql_",
            "bird",
            "baseline: ",
            "rag_",
            "lora32: ",
            "lora128: ",
            "full: ",
            "lora: ",
        )
        bare = [line for line in settings if " # " not in line and not line.strip().startswith(tables)]
        faults += [f"{name}: no reason: {line}" for line in bare if not line.endswith(":")]
        if len(text.splitlines()) > 70:
            faults.append(f"{name}: more than 70 lines")
    assert not faults


def test_values_of_the_profile_replace_those_of_the_base_and_nothing_else(checkout: Path) -> None:
    write_profile(checkout, "lora:\n  rank: 8\ntraining:\n  weight_decay: 0.5\n")
    found, base = yaml.safe_load(composed("mine", checkout)), yaml.safe_load(base_text())
    base["profile"], base["lora"]["rank"], base["training"]["weight_decay"] = "mine", 8, 0.5
    assert found == base


def test_comments_of_the_base_stay_and_those_of_the_profile_take_their_place(checkout: Path) -> None:
    write_profile(checkout, "training:\n  cutoff_len: 64   # short rows\n  warmup_ratio: 0.5\n")
    text = composed("mine", checkout)
    before, after = comments(base_text()), comments(text)
    changed = {"profile", "cutoff_len", "warmup_ratio"}
    kept = [{k: v for k, v in found.items() if k.split(":")[0] not in changed} for found in (before, after)]
    assert kept[0] == kept[1]
    assert after["cutoff_len: 64"] == "short rows"
    assert text.startswith("# Profile `mine`: for a test.\n#\n# Every setting")
    headings = [line for line in base_text().splitlines() if line.startswith("# ---")]
    assert [line for line in text.splitlines() if line.startswith("# ---")] == headings


def test_a_rarer_setting_is_added_at_the_end_of_its_section(checkout: Path) -> None:
    write_profile(checkout, "evaluate:\n  max_rows: 5   # small\nprepare:\n  executor: ray\n")
    text = composed("mine", checkout)
    assert "  executor: ray\n\ndedupe_test:" in text
    assert re.search(r"\n  max_rows: 5 +# small\n\narms:", text)


def test_a_table_of_free_names_is_replaced_whole(checkout: Path) -> None:
    write_profile(checkout, "arms:\n  mine: {weights: models/base, questions: data/test}\n")
    assert list(load_profile("mine", checkout).arms) == ["mine"]


def test_own_arms_of_a_profile_are_composed_and_shown(checkout: Path) -> None:
    own = "{base: models/base, data: data/train, learning_rate: 1.0e-2, max_steps: 9}"
    arm = "{weights: models/low, questions: data/test, predict: {samples: 4, temperature: 0.7}}"
    write_profile(checkout, f"train:\n  low: {own}   # short\narms:\n  low: {arm}\n")
    params = load_profile("mine", checkout)
    assert (list(params.train), params.prediction("low").samples) == (["low"], 4)
    text = composed("mine", checkout)
    assert re.search(r"\ntrain:[^\n]*\n  low: \{.*\} +# short\n\n# --- prediction and evaluation", text)
    rows = table(checkout).splitlines()
    assert "| train.low.max_steps | – | 9 |" in rows
    assert "| train.low.global_batch | – | 8 |" in rows
    assert "| arms.low.predict.samples | – | 4 |" in rows


def test_the_base_is_found_in_the_history_after_a_profile_was_committed(checkout: Path) -> None:
    write_profile(checkout, "lora:\n  rank: 8\n")
    commit(checkout, composed("mine", checkout))
    assert base_text(checkout) == base_text()
    assert load_profile("embedded", checkout).lora.rank != 8


def test_a_history_without_the_base_is_an_error_with_the_next_command(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    commit(tmp_path, "profile: other\n")
    with pytest.raises(UserError, match="git fetch --unshallow"):
        base_text(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lora:\n  rnk: 8\n", r"profile mine: lora\.rnk: unknown key; allowed beside it: .*rank"),
        ("lora:\n  rank: wide\n", r"profile mine: lora\.rank: .*integer"),
        ("lora: [1\n", r"mine\.yaml: not YAML"),
        ("lora:\n  max_steps: 5\n  epochs: 1.0\n", "lora, with training: set either max_steps or epochs"),
    ],
)
def test_a_broken_profile_is_refused_with_the_key(checkout: Path, text: str, said: str) -> None:
    write_profile(checkout, text)
    with pytest.raises(UserError, match=said):
        load_profile("mine", checkout)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"profile: mine\n", r"mine\.yaml: has no comment before its first key"),
        (b"# Profile `mine`.\nprofile: other\n", r"mine\.yaml: must have the line `profile: mine`"),
        (b"# Profile `mine`.\n", r"mine\.yaml: holds no settings"),
        ("# Profil für mich\nprofile: mine\n".encode("latin-1"), r"mine\.yaml: not YAML in UTF-8"),
    ],
)
def test_a_profile_without_its_head_is_refused(checkout: Path, text: bytes, said: str) -> None:
    (checkout / "profiles" / "mine.yaml").write_bytes(text)
    with pytest.raises(UserError, match=said):
        composed("mine", checkout)


def test_a_file_outside_the_folder_is_no_profile(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"no profile '\.\./params'"):
        composed("../params", checkout)


def test_the_table_has_a_row_for_each_setting_that_differs_and_a_column_for_each_profile(
    checkout: Path,
) -> None:
    write_profile(checkout, "lora:\n  rank: 8\ntraining:\n  device_batch: 4\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(checkout).splitlines()]
    assert rows[0] == ["setting", "embedded", "mine"]
    found = {row[0]: row[1:] for row in rows[2:]}
    base = load_profile("embedded", checkout)
    assert found["lora.rank"] == [str(base.lora.rank), "8"]
    inherited = [str(base.recipe("train_full").device_batch), "4"]
    assert found["train_full.device_batch"] == inherited, "an arm shows what it takes from training"
    assert all(values[0] != values[1] for values in found.values())


@pytest.fixture
def whole_checkout(checkout: Path) -> Path:
    """The checkout with the code that `make use` runs, and an environment that counts as complete."""
    for name in ("stages", "text2sql", "scripts", "configs"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, checkout / name)
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".complete").touch()
    return checkout


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH")
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=inherited | {"PATH": path}, capture_output=True, text=True
    )


def test_make_use_writes_the_composed_file_and_keeps_the_old_one(whole_checkout: Path) -> None:
    write_profile(whole_checkout, "lora:\n  rank: 8\n")
    (whole_checkout / "params.yaml").write_text("profile: edited\n")
    done = make(whole_checkout, "use", "PROFILE=mine")
    assert done.returncode == 0, done.stderr
    assert (whole_checkout / "params.yaml").read_text() == composed("mine", whole_checkout)
    assert (whole_checkout / "params.yaml.old").read_text() == "profile: edited\n"
    assert "params.yaml is now profile mine; next: text2sql check, then make reproduce" in done.stdout


@pytest.mark.parametrize("argument", ["PROFILE=nope", "PROFILE="])
def test_an_unknown_profile_is_refused_with_the_known_ones(whole_checkout: Path, argument: str) -> None:
    write_profile(whole_checkout, "lora:\n  rank: 8\n")
    before = (whole_checkout / "params.yaml").read_text()
    done = make(whole_checkout, "use", argument)
    assert done.returncode != 0
    assert "make use PROFILE=name, name being one of: embedded mine" in done.stderr
    assert (whole_checkout / "params.yaml").read_text() == before
