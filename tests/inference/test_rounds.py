"""Rounds: which questions are repeated, with which prompts and seeds, and what is reused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from text2sql.errors import UserError
from text2sql.evaluation.settings import EvaluationSettings
from text2sql.inference.engine import Answer, Request
from text2sql.inference.questions import Chat
from text2sql.inference.rounds import Execution, database_hashes, executable_chats, predict_all
from text2sql.inference.settings import SamplingPlan
from text2sql.prompts import messages
from text2sql.records import Prediction

CHATS = [Chat(row, "concert", messages("CREATE TABLE singer (name);", f"Q{row}")) for row in (3, 7)]
GOOD, EMPTY, BAD = "SELECT name FROM singer", "SELECT name FROM singer WHERE 0", "SELECT nme FROM singer"


class Scripted:
    """Answers each request with `answer`; prompts of more than `longest` messages are too long."""

    identity: Mapping[str, object] = {}
    max_prompt_tokens = 10

    def __init__(self, answer: Callable[[Request], str | Answer], longest: int = 99) -> None:
        self.asked: list[Request] = []
        self._answer, self._longest = answer, longest

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        return [[n] for n, request in enumerate(requests) if len(request.messages) <= self._longest]

    def generate(
        self, batches: Sequence[tuple[int, Sequence[Request]]]
    ) -> Iterator[tuple[int, list[Answer]]]:
        for number, (request,) in batches:
            self.asked.append(request)
            answer = self._answer(request)
            yield number, [answer if isinstance(answer, Answer) else Answer(answer)]


def row(request: Request) -> int:
    return int(request.messages[1]["content"].rpartition("Q")[2].split()[0])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one database, databases/concert, and an empty folder work."""
    (tmp_path / "databases" / "concert").mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "databases" / "concert" / "concert.sqlite")) as connection:
        connection.executescript("CREATE TABLE singer (name); INSERT INTO singer VALUES ('Ann');")
    (tmp_path / "work").mkdir()
    return tmp_path


def predict(
    engine: Scripted, place: Path, samples: int = 1, max_repairs: int = 0, chats: Sequence[Chat] = CHATS
) -> list[Prediction]:
    plan = SamplingPlan(samples=samples, max_repairs=max_repairs, seed=42)
    execution = Execution(place / "databases", EvaluationSettings(timeout_s=1.0, max_rows=100))
    return predict_all(engine, chats, plan, execution, place / "work", "test")


def chat(row: int, db_id: str, test_set: str, scored: bool) -> Chat:
    return Chat(row, db_id, messages("CREATE TABLE t (a);", f"Q{row}"), test_set, scored)


def test_one_greedy_answer_needs_no_database(place: Path) -> None:
    (place / "databases").rename(place / "elsewhere")
    assert predict(Scripted(lambda _: BAD), place) == [Prediction(3, BAD, BAD), Prediction(7, BAD, BAD)]


def test_only_questions_whose_query_fails_are_asked_again(place: Path) -> None:
    engine = Scripted(lambda request: BAD if row(request) == 3 else EMPTY)
    found = predict(engine, place, max_repairs=2)
    assert [row(request) for request in engine.asked] == [3, 7, 3, 3]
    assert [prediction.tries for prediction in found] == [3, 1]


def test_the_question_is_asked_again_with_a_note_on_a_column_that_is_not_there(place: Path) -> None:
    engine = Scripted(lambda _: BAD)
    predict(engine, place, max_repairs=1)
    system, question = CHATS[0].messages
    note = "\nNote: no table has a column nme; the nearest names are singer.name."
    assert engine.asked[2].messages == [system, question | {"content": question["content"] + note}]


def test_a_note_comes_once_then_the_model_sees_its_query_and_the_error(place: Path) -> None:
    engine = Scripted(lambda _: f"```sql\n{BAD}\n```")
    predict(engine, place, max_repairs=2)
    *before, answer, complaint = engine.asked[4].messages
    assert before == engine.asked[2].messages
    assert answer == {"role": "assistant", "content": BAD}
    assert complaint == {
        "role": "user",
        "content": "SQLite says: no such column: nme\nAnswer with the corrected query only.",
    }


def test_the_question_is_asked_again_with_a_note_on_a_table_that_is_not_there(place: Path) -> None:
    engine = Scripted(lambda _: "SELECT name FROM singers")
    predict(engine, place, max_repairs=1)
    note = "\nNote: no table is called singers; the nearest names are singer."
    assert engine.asked[2].messages[-1]["content"] == CHATS[0].messages[-1]["content"] + note


def test_notes_on_several_names_stand_below_each_other(place: Path) -> None:
    answers = {row: ["SELECT name FROM singers", BAD, GOOD] for row in (3, 7)}
    engine = Scripted(lambda request: answers[row(request)].pop(0))
    assert [one.tries for one in predict(engine, place, max_repairs=2)] == [3, 3]
    notes = [line for line in engine.asked[4].messages[-1]["content"].splitlines() if "Note: " in line]
    assert [note.split(";")[0] for note in notes] == [
        "Note: no table is called singers",
        "Note: no table has a column nme",
    ]


def test_an_error_without_a_name_shows_the_query_and_the_error_at_once(place: Path) -> None:
    engine = Scripted(lambda _: "SELECT year(name) FROM singer")
    predict(engine, place, max_repairs=1)
    assert engine.asked[2].messages[-2]["content"] == "SELECT year(name) FROM singer"
    assert engine.asked[2].messages[-1]["content"].startswith("SQLite says: other: no such function: year\n")


def test_a_database_that_has_only_views_gives_no_notes_and_is_named_once(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "databases" / "concert" / "concert.sqlite"
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE VIEW singer AS SELECT 'Ann' AS name")
    engine = Scripted(lambda _: BAD)
    predict(engine, place, max_repairs=1)
    assert engine.asked[2].messages[-2]["content"] == BAD
    assert capsys.readouterr().err.count("test: no notes on the names of concert: ") == 1


def test_the_repair_prompt_has_an_answer_without_sql_unchanged(place: Path) -> None:
    engine = Scripted(lambda _: "I cannot.")
    predict(engine, place, max_repairs=1)
    assert engine.asked[2].messages[-2]["content"] == "I cannot."
    assert "SQLite says: empty: no statement" in engine.asked[2].messages[-1]["content"]


def test_with_samples_a_question_is_asked_again_only_if_all_of_them_fail(place: Path) -> None:
    answers = {3: [BAD, BAD, GOOD, BAD], 7: [BAD, BAD, GOOD, EMPTY]}
    engine = Scripted(lambda request: answers[row(request)].pop(0))
    found = predict(engine, place, samples=2, max_repairs=1)
    assert [(p.sql, p.agreement, p.tries) for p in found] == [(GOOD, 0.5, 2), (GOOD, 0.5, 2)]
    assert len(engine.asked) == 8


def test_every_sample_of_every_round_has_its_own_seed(place: Path) -> None:
    engine = Scripted(lambda _: BAD)
    predict(engine, place, samples=3, max_repairs=1)
    assert len({request.seed for request in engine.asked}) == len(engine.asked) == 12


def test_a_question_too_long_to_be_asked_again_keeps_its_answer(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = predict(Scripted(lambda _: BAD, longest=2), place, max_repairs=2)
    assert [(p.sql, p.tries) for p in found] == [(BAD, 2), (BAD, 2)]  # the note has no message of its own
    assert "2 of 2 prompts exceed 10 tokens" in capsys.readouterr().err


def test_the_problems_of_all_samples_are_counted_and_listed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, none = Answer("SELECT name FROM", problem="truncated"), Answer("", problem="empty")
    answers = {3: [cut, Answer(GOOD), none, cut], 7: [Answer(GOOD)] * 4}
    found = predict(Scripted(lambda request: answers[row(request)].pop(0)), place, samples=4)
    assert [(p.sql, p.problems) for p in found] == [(GOOD, {"empty": 1, "truncated": 2}), (GOOD, None)]
    said = capsys.readouterr().err
    assert "test: 2 answers are truncated; raise predict.max_new_tokens" in said
    assert "test: 1 answers have no text" in said and "declined" not in said


def test_a_question_that_is_too_long_to_be_asked_says_so(place: Path) -> None:
    found = predict(Scripted(lambda _: GOOD, longest=1), place)
    assert found == [Prediction(n, "", "", problems={"prompt_too_long": 1}) for n in (3, 7)]


def test_a_finished_vote_is_not_repeated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = predict(Scripted(lambda _: GOOD), place, samples=2)

    def never(*_: object) -> None:
        raise AssertionError("the vote was repeated")

    monkeypatch.setattr("text2sql.inference.rounds.vote", never)
    again = Scripted(lambda _: GOOD)
    assert predict(again, place, samples=2) == first
    assert again.asked == []


def test_a_missing_database_is_named(place: Path) -> None:
    with pytest.raises(UserError, match=r"none\.sqlite: no such file"):
        database_hashes([Chat(1, "none", [])], place / "databases")


def test_a_set_without_gold_and_databases_is_asked_once_and_keeps_its_place(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chats = [chat(1, "none", "own", scored=False), *CHATS, chat(9, "other", "own", scored=False)]
    engine = Scripted(lambda _: BAD)
    found = predict(engine, place, samples=2, max_repairs=1, chats=chats)
    assert [(p.row, p.agreement, p.tries) for p in found] == [
        (1, None, None),
        (3, 0.0, 2),
        (7, 0.0, 2),
        (9, None, None),
    ]
    assert sorted(row(request) for request in engine.asked) == [1, 3, 3, 3, 3, 7, 7, 7, 7, 9]
    said = "test: 2 questions of test set own have neither gold SQL nor databases; each is asked once"
    assert said in capsys.readouterr().err


def test_a_run_without_any_database_and_gold_asks_every_question_once(place: Path) -> None:
    chats = [chat(1, "none", "", scored=False), chat(2, "none", "", scored=False)]
    engine = Scripted(lambda _: GOOD)
    assert predict(engine, place, samples=2, chats=chats) == [Prediction(n, GOOD, GOOD) for n in (1, 2)]
    assert len(engine.asked) == 2


def test_a_finished_run_of_questions_asked_once_is_not_repeated(place: Path) -> None:
    chats = [*CHATS, chat(9, "none", "own", scored=False)]
    first = predict(Scripted(lambda _: GOOD), place, samples=2, chats=chats)
    again = Scripted(lambda _: BAD)
    assert predict(again, place, samples=2, chats=chats) == first
    assert again.asked == []


def test_a_set_without_gold_that_has_its_databases_is_voted_on(place: Path) -> None:
    chats = [chat(1, "concert", "own", scored=False)]
    assert predict(Scripted(lambda _: GOOD), place, samples=2, chats=chats)[0].agreement == 1.0


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        (chat(9, "none", "bird", scored=True), "1 of 1 databases of test set bird are missing: none"),
        (chat(9, "none", "spider", scored=False), "1 of 2 databases of test set spider are missing: none"),
    ],
)
def test_a_set_with_gold_or_with_some_databases_needs_all_of_them_before_anything_is_asked(
    place: Path, missing: Chat, what: str
) -> None:
    chats = [chat(1, "concert", "spider", scored=False), missing]
    engine = Scripted(lambda _: GOOD)
    with pytest.raises(UserError, match=what):
        predict(engine, place, samples=2, chats=chats)
    with pytest.raises(UserError, match=what):
        executable_chats(chats, place / "databases")
    assert engine.asked == []
