"""text2sql.report.comparison and kept_verdicts: pairs of questions, corrected p-values, the file in git."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.errors import UserError
from text2sql.evaluation.scores import mcnemar, paired_bootstrap
from text2sql.report.comparison import Revision, changes, flat, holm, paired, parameter_changes
from text2sql.report.kept_verdicts import KeptVerdict, question_mark, read_kept, write_kept

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))  # as names of files are


def kept(row: int, question: str, right: bool | None, db_id: str = "db") -> KeptVerdict:
    return KeptVerdict(row, "dev", db_id, question_mark(question, "gold"), right, "")


def test_a_pair_has_the_statistics_of_the_verdicts_in_common() -> None:
    chance = random.Random(5)
    before = [kept(row, f"q{row}", chance.random() < 0.5) for row in range(80)]
    after = [kept(row, f"q{row + 10}", chance.random() < 0.6) for row in range(80)]
    chance.shuffle(after)
    found = paired(before, after)
    assert found and found.n == 70
    right = {verdict.question: bool(verdict.right) for verdict in before}
    common = [verdict for verdict in after if verdict.question in right]
    marks = [bool(verdict.right) for verdict in common], [right[verdict.question] for verdict in common]
    assert (found.low, found.high) == paired_bootstrap(*marks)
    assert found.p == mcnemar(*marks)
    assert found.difference == pytest.approx(100 * (sum(marks[0]) - sum(marks[1])) / 70)
    assert len(found.gained) - len(found.lost) == sum(marks[0]) - sum(marks[1])
    assert [len(found.only_base), len(found.only_head)] == [10, 10]


def test_a_question_asked_twice_is_two_pairs_and_one_on_another_database_is_none() -> None:
    before = [kept(0, "q", True), kept(1, "q", False)]
    found = paired(before, [kept(0, "q", True), kept(1, "q", True), kept(2, "q", True, "other")])
    assert found and found.n == 2 and len(found.gained) == 1 and len(found.only_head) == 1
    assert paired(before, [kept(0, "q", True, "other")]) is None


def test_a_question_or_gold_that_changed_has_another_mark() -> None:
    marks = {question_mark(*texts) for texts in (("a", "b"), ("ab", ""), ("", "ab"), ("a", "b "), ("A", "b"))}
    assert len(marks) == 5


def test_holm_gives_the_published_example() -> None:
    # Aickin and Gensler 1996, https://doi.org/10.2105/AJPH.86.5.726: p times the number of those left
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1)))
def test_holm_is_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    for raw, corrected in zip(p_values, holm(p_values), strict=True):
        assert raw <= corrected <= max(raw, min(1.0, len(p_values) * max(p_values)))


def test_parameters_are_compared_by_their_written_values() -> None:
    base, head = {"a": {"b": [1, 2], "c": {}}, "d": None}, {"a": {"b": [1], "c": {}}, "e": True}
    moved = parameter_changes(dict(flat(base)), dict(flat(head)))
    assert moved == {"a.b": ("[1, 2]", "[1]"), "e": (None, "true"), "d": ("null", None)}


def test_without_an_arm_in_common_the_error_names_both() -> None:
    revisions = [
        Revision(name, {name: {"dev": 1.0}}, {name: [kept(0, "q", True)]}) for name in ("one", "two")
    ]
    with pytest.raises(UserError, match="one has one on dev, two has two on dev; compare revisions"):
        changes(*revisions)


@given(
    st.lists(
        st.builds(KeptVerdict, st.integers(0), TEXT, TEXT, TEXT, st.sampled_from([True, False, None]), TEXT)
    )
)
def test_the_file_gives_back_what_was_written(verdicts: list[KeptVerdict]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_kept(Path(folder) / "arm.csv", verdicts)
        text = (Path(folder) / "arm.csv").read_bytes().decode()
    assert read_kept(text, "arm.csv", "again") == verdicts


def test_a_line_of_spider_takes_some_forty_bytes(tmp_path: Path) -> None:
    verdict = KeptVerdict(1033, "spider_dev", "concert_singer", question_mark("q", "g"), True, "")
    write_kept(tmp_path / "arm.csv", [verdict])
    line = (tmp_path / "arm.csv").read_text().splitlines()[1]
    assert line == f"1033,spider_dev,concert_singer,{verdict.question},1," and len(line) < 50
