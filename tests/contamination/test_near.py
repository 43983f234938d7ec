"""The search for near questions finds exactly what comparing all pairs finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2sql.contamination import near
from text2sql.contamination.near import NearQuestions, jaccard, shingles

WORDS = st.sampled_from(
    ["the", "name", "of", "a", "singer", "singers", "older", "oldest", "30", "café", "😀"]
)
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


def compared_with_all(test: list[str], text: str, threshold: float) -> tuple[int, float] | None:
    similar = [(jaccard(shingles(text), shingles(other)), -place) for place, other in enumerate(test)]
    best, place = max(similar, default=(0.0, 0))
    return (-place, best) if best >= threshold else None


@given(
    test=st.lists(TEXTS, max_size=12),
    texts=st.lists(TEXTS, max_size=12),
    threshold=st.sampled_from([0.01, 0.3, 0.5, 0.8, 1.0]),
)
def test_the_most_similar_question_is_found_as_if_all_were_compared(
    test: list[str], texts: list[str], threshold: float
) -> None:
    found = NearQuestions(test, threshold).nearest(texts)
    assert found == [compared_with_all(test, text, threshold) for text in texts]


@given(test=st.lists(st.text(max_size=12), max_size=6), text=st.text(max_size=12))
def test_any_text_is_found_as_if_all_were_compared(test: list[str], text: str) -> None:
    assert NearQuestions(test, 0.4).nearest([text]) == [compared_with_all(test, text, 0.4)]


@pytest.mark.parametrize("rare", ["q", "quiz", "zymurgy", "a zymurgist in jodhpurs", "0123456789" * 90])
def test_a_question_without_the_rarest_shingles_is_found(rare: str) -> None:
    common = "how many singers are there in all of the concerts of this year"
    test = [f"{common} {rare}", *(f"{common} {word}" for word in ("alone", "again", "here"))]
    threshold = jaccard(shingles(common), shingles(test[0]))
    found = NearQuestions(test[:1], threshold).nearest([common])
    assert found == [(0, threshold)]
    assert NearQuestions(test, threshold).nearest([common]) == [compared_with_all(test, common, threshold)]


def test_a_threshold_that_is_met_exactly_is_met_despite_rounding() -> None:
    words = [chr(0x4E00 + at) for at in range(60)]
    pairs = [(" ".join(words[n - k : n]), " ".join(words[:n])) for n in range(2, 60) for k in range(1, n)]
    shares = {(text, test): jaccard(shingles(text), shingles(test)) for text, test in pairs}
    # all of the text is in the test question, of which the threshold then asks for a little more
    odd = {(a, b): share for (a, b), share in shares.items() if share * len(shingles(b)) > len(shingles(a))}
    assert odd
    found = {
        (text, test): NearQuestions([test], share).nearest([text]) for (text, test), share in odd.items()
    }
    assert found == {pair: [(0, share)] for pair, share in odd.items()}


@pytest.mark.parametrize("bits", [1, 3])
def test_shingles_that_share_a_hash_hide_nothing(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_HASH_BITS", bits)
    test = ["how many singers are there", "name all singers older than 30", "x"]
    texts = ["how many singer are there", "name all singers older than 31", "x", "what else"]
    found = NearQuestions(test, 0.7).nearest(texts)
    assert found == [compared_with_all(test, text, 0.7) for text in texts]
    assert [hit and hit[0] for hit in found] == [0, 1, 2, None]


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    test, texts = ["how many singers", "who sings"], ["how many singer", "who", "who sings", "how many"]
    at_once = NearQuestions(test, 0.5).nearest(texts)
    monkeypatch.setattr(near, "_CELLS", 1)
    assert NearQuestions(test, 0.5).nearest(texts) == at_once


def test_one_text_does_not_run_into_the_next() -> None:
    assert NearQuestions(["who sings"], 0.9).nearest(["who s", "ings"]) == [None, None]


def test_of_equally_similar_questions_the_first_is_found() -> None:
    assert NearQuestions(["b", "who sings", "who sings"], 0.5).nearest(["who sings"]) == [(1, 1.0)]


def test_a_question_without_words_is_near_nothing() -> None:
    assert NearQuestions(["", "who"], 0.1).nearest(["", "?"]) == [None, None]


def test_without_test_questions_nothing_is_found() -> None:
    assert NearQuestions([], 0.5).nearest(["who", ""]) == [None, None]


def test_half_a_surrogate_pair_and_a_megabyte_are_looked_up_like_any_text() -> None:
    broken, long = "who \ud800 sings", "sing " * 200_000
    assert NearQuestions([broken, long], 0.9).nearest([broken, long]) == [(0, 1.0), (1, 1.0)]


def test_the_similarity_is_shared_shingles_over_all() -> None:
    assert shingles("abc") == {" ab", "abc", "bc "}
    assert jaccard(shingles("abc"), shingles("abd")) == pytest.approx(1 / 5)
    assert jaccard(frozenset(), frozenset()) == 0
