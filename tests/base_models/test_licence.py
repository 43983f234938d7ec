"""text2sql.base_models.licence: what a card or a package states, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from text2sql.base_models.licence import licence_in, packaged_licence

CARDS = {
    "---\nlicense: apache-2.0\n---\n# A model": "apache-2.0",
    "---\nlicense: Apache-2.0\nlanguage: en\n---\n": "apache-2.0",
    "---\nlicense: other\nlicense_name: tongyi-qianwen\n---\n": "tongyi-qianwen",
    "---\nlicense: other\n---\n": None,
    "---\nlicense: unknown\n---\n": None,
    "---\nlicense: [mit, apache-2.0]\n---\n": None,
    "---\nlicense:\n---\n": None,
    "---\nlanguage: en\n---\nlicense: mit": None,
    "# A model under the MIT licence": None,
    "---\nlicense: [\n---\n": None,
    "---\n- license\n---\n": None,
    "": None,
}


@pytest.mark.parametrize("card", CARDS)
def test_the_licence_is_the_one_in_the_metadata_of_the_card(card: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    assert licence_in(tmp_path) == CARDS[card]


def test_without_a_card_in_utf_8_the_licence_is_unknown(tmp_path: Path) -> None:
    assert licence_in(tmp_path) is None
    (tmp_path / "README.md").write_bytes(b"---\nlicense: mit\n---\n\xff")
    assert licence_in(tmp_path) is None


def test_the_licence_of_a_package_is_the_one_that_it_states() -> None:
    assert packaged_licence("click") == "bsd-3-clause"
    assert packaged_licence("no-such-package") is None
