"""text2sql.context.words: questions, values and names in one form."""

import pytest

from text2sql.context.words import name_words, question_words, stem, value_keys, value_words


def test_a_word_of_a_question_knows_its_place_in_the_text() -> None:
    question = "Is José's song “Peña” old?"
    assert [question[word.start : word.end] for word in question_words(question)] == [
        "Is",
        "José",
        "song",
        "Peña",
        "old",
    ]


def test_case_accents_apostrophes_and_plurals_do_not_count() -> None:
    assert [word.stem for word in question_words("O'Brien's CAFÉS")] == ["obrien", "cafe"]
    assert value_words("O'Brien café") == ["obrien", "cafe"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dogs", "dog"),
        ("cities", "city"),
        ("boxes", "box"),
        ("class", "class"),
        ("bus", "bus"),
        ("gas", "gas"),
    ],
)
def test_the_ending_of_a_plural_is_removed(word: str, expected: str) -> None:
    assert stem(word) == expected


@pytest.mark.parametrize("name", ["song_name", "songName", "SongName", "Song Names"])
def test_spellings_of_a_name_have_the_same_words(name: str) -> None:
    assert name_words(name) == ["song", "name"]


def test_keys_of_many_values_are_those_of_each_alone() -> None:
    texts = ["New York", "O'Brien's dogs", "  ", "a_b-c", "Peña", "São Paulo", "日本", "ab\tcd"]
    assert value_keys(texts) == [value_keys([text])[0] for text in texts]
    assert value_keys(texts)[:4] == ["new york", "obrien dog", "", "a b c"]


def test_no_values_have_no_keys() -> None:
    assert value_keys([]) == []
