"""Texts of prompts, by form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests import reference
from tests.conftest import ROOT
from text2sql.errors import UserError
from text2sql.prompts import (
    COMPACT,
    SYSTEM,
    Example,
    Prompt,
    messages,
    noted,
    prompt_form,
    repaired,
    with_evidence,
)
from text2sql.schema.recorded import recorded_ddl
from text2sql.schema.settings import PROMPT_FILES

DDL = "CREATE TABLE dog (name TEXT);"
EXAMPLES = [
    Example(
        question="How many cinema\ndo we have?",
        ddl="CREATE TABLE cinema (id);",
        sql="SELECT COUNT(*)  FROM cinema;",
    ),
    Example(
        question=" How many tracks do we have?",
        ddl="CREATE TABLE track (id);",
        sql="SELECT COUNT(*)\nFROM track;\n",
    ),
]
BEGUN = {"role": "assistant", "content": "<think>\n\n</think>\n"}


@pytest.mark.parametrize("evidence", ["", " \n"])
def test_a_question_without_evidence_stays_as_it_is(evidence: str) -> None:
    assert with_evidence(" How many? ", evidence) == "How many?"


def test_evidence_is_on_a_line_of_its_own() -> None:
    assert with_evidence("How many?", " few = under 3 ") == "How many?\nEvidence: few = under 3"


def test_the_compact_form_has_schema_and_question_in_training_and_prediction() -> None:
    expected = Prompt(SYSTEM, f"{DDL}\nHow many?")
    assert COMPACT.training(f" {DDL}\n", "How many? ") == COMPACT.prediction(DDL, "How many?") == expected


def test_the_compact_form_writes_examples_like_the_task() -> None:
    examples = [Example(question="Who?", ddl=DDL, sql="SELECT name FROM dog\n")]
    user = f"{DDL}\nWho?\nSELECT name FROM dog\n\n{DDL}\nHow many?"
    assert messages(DDL, "How many?", examples) == [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": user},
    ]


def test_a_training_prompt_of_the_reference_is_the_published_one_to_the_character() -> None:
    prompt = prompt_form("reference").training(reference.CONTEXT, reference.QUESTION)
    assert prompt == Prompt(reference.SYSTEM, reference.USER)


def test_a_training_prompt_of_the_reference_keeps_white_space() -> None:
    assert prompt_form("reference").training(" x\n", "y \n").user == "\n[SCHEMA]\n x\n\n[QUESTION]\ny \n\n"


def chatml(chat: Sequence[dict[str, str]]) -> str:
    """A chat that ends in the beginning of the answer, as the reference's prompt templates write it."""
    *turns, begun = chat
    text = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
    return f"{text}<|im_start|>assistant\n{begun['content']}"


def test_a_test_prompt_of_the_reference_is_the_published_one_to_the_character() -> None:
    chat = messages(recorded_ddl(reference.SCHEMA_ANSWER), "How many?", form=prompt_form("reference"))
    assert chatml(chat) == reference.P2.format(schema=reference.SCHEMA_ANSWER, question="How many?")


def test_a_few_shot_prompt_of_the_reference_is_the_published_one_to_the_character() -> None:
    chat = messages(recorded_ddl(reference.SCHEMA_ANSWER), "How many?", EXAMPLES, prompt_form("reference"))
    assert chatml(chat) == reference.P3.format(
        reference_list=reference.REFERENCE_LIST,
        schema=" ".join(reference.SCHEMA_ANSWER.split()),
        question="How many?",
    )


@pytest.mark.parametrize("examples", [[], EXAMPLES])
def test_the_example_file_is_the_compact_form(examples: list[Example]) -> None:
    form = prompt_form(str(ROOT / "configs/prompts/compact.jinja"))
    assert form.prediction(f"{DDL}\n", " How many?", examples) == COMPACT.prediction(
        DDL, "How many?", examples
    )
    assert form.training(DDL, "How many?") == COMPACT.training(DDL, "How many?")


GOOD_USER = "{% block user %}{{ schema }}{{ question }}{% endblock %}"
SYSTEM_BLOCK = "{% block system %}{% endblock %}"
BAD_FILES = [
    (GOOD_USER, "mine.jinja: has no block system; write {% block system %}"),
    ("{% block system %}{% endblock %}", "mine.jinja: has no block user"),
    (f"{{% block system %}}\n{{% if %}}\n{GOOD_USER}", "mine.jinja, line 2: .*; fix it"),
    (
        f"{{% block system %}}a\n\n{{{{ shema }}}}{{% endblock %}}\n{GOOD_USER}",
        "line 3: UndefinedError: 'shema'",
    ),
    (
        f"{{% block system %}}{{% endblock %}}{GOOD_USER[:-14]}\n{{% for e in examples %}}\n{{{{ e.ddl }}}}"
        "{% endfor %}{% endblock %}",
        "line 3: UndefinedError: .*ddl",
    ),
    (f"{{% block system %}}{{{{ 1 / 0 }}}}{{% endblock %}}{GOOD_USER}", "line 1: ZeroDivisionError"),
    (
        f"{{% block system %}}{{{{ schema.__class__.mro() }}}}{{% endblock %}}{GOOD_USER}",
        "line 1: SecurityError",
    ),
    (
        f"{{% block system %}}{{% include 'no' %}}{{% endblock %}}{GOOD_USER}",
        "line 1: TemplateNotFound: 'no' not found",
    ),
    (
        f"{SYSTEM_BLOCK}{{% block user %}}{{{{ schema }}}}{{% endblock %}}",
        "without examples lacks the question",
    ),
    (
        f"{SYSTEM_BLOCK}{{% block user %}}{{{{ question }}}} t{{% endblock %}}",
        "without examples lacks the schema",
    ),
    (
        f"{SYSTEM_BLOCK}{{% block user %}}{{{{ schema }}}}{{% if examples %}}{{{{ examples[0].question }}}}"
        "{% else %}{{ question }}{% endif %}{% endblock %}",
        "mine.jinja: a prompt with an example lacks the question; write {{ question }} in the block user",
    ),
    (f"{SYSTEM_BLOCK}\n\n  Be short.\n{GOOD_USER}", "mine.jinja, line 3: text outside the blocks.*move it"),
    (f"{SYSTEM_BLOCK}\n{GOOD_USER}\n{{{{ question }}}}", "mine.jinja, line 3: text outside the blocks"),
    (
        f"{{% block system %}}\n{{{{ 'a' * 10**10 }}}}{{% endblock %}}{GOOD_USER}",
        "line 2: SecurityError: the result",
    ),
    (
        f"{{% block system %}}{{{{ 10 ** 10000000 }}}}{{% endblock %}}{GOOD_USER}",
        "line 1: SecurityError: the result",
    ),
    (
        f"{{% block system %}}{{{{ 2000000 * [0] }}}}{{% endblock %}}{GOOD_USER}",
        "line 1: SecurityError: the result",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_what_is_wrong_with_a_file_is_said_when_it_is_loaded(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.jinja").write_text(text)
    with pytest.raises(UserError, match=message.replace("{", r"\{")):
        prompt_form(str(tmp_path / "mine.jinja"))


def test_a_missing_file_and_one_that_is_not_utf_8_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"mine.jinja: cannot be read as UTF-8"):
        prompt_form(str(tmp_path / "mine.jinja"))
    with pytest.raises(UserError, match=r"other.jinja: no such file; write it, or set prompt.form: compact"):
        prompt_form(str(tmp_path / "other.jinja"))


def test_a_file_that_fails_with_one_question_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(
        "{% block system %}{% endblock %}\n{% block user %}\n{{ 1 // (question | length) }}"
        "{{ question }}{{ schema }}{% endblock %}"
    )
    form = prompt_form(str(tmp_path / "mine.jinja"))
    with pytest.raises(UserError, match=r"mine.jinja, line 3: ZeroDivisionError"):
        form.training(DDL, "")


def test_a_file_may_change_letters_and_multiply(tmp_path: Path) -> None:
    text = "{# a comment #}\n{% block system %}{{ '=' * 3 }}{{ 2 ** 3 * 0.5 }}{% endblock %}\n"
    (tmp_path / "mine.jinja").write_text(text + GOOD_USER.replace("question", "question | upper"))
    prompt = prompt_form(str(tmp_path / "mine.jinja")).training(DDL, "How many?")
    assert (prompt.system, prompt.user) == ("===4.0", f"{DDL}HOW MANY?")


def test_dvc_compares_the_folder_of_forms_wherever_the_form_of_prompts_counts() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items()
    bodies = {name: body.get("do", body) for name, body in stages}
    with_form = {
        name for name, body in bodies.items() if {"prompt", "prompt.form"} & set(body.get("params", []))
    }
    assert {name for name, body in bodies.items() if PROMPT_FILES in body["deps"]} == with_form
    readers = {"fetch_model", "dedupe_test", "retrieve_examples", "rank_by_draft", "add_context"}
    assert with_form == readers | {"predict", "report"}


def test_a_repair_follows_the_chat() -> None:
    chat = messages(DDL, "How many?")
    assert repaired(chat, "SELECT x", "no such column: x") == [
        *chat,
        {"role": "assistant", "content": "SELECT x"},
        {"role": "user", "content": "SQLite says: no such column: x\nAnswer with the corrected query only."},
    ]


def test_a_note_stands_behind_the_question() -> None:
    for form in ("compact", "reference"):
        chat = messages(DDL, "How many?", form=prompt_form(form))
        again = noted(noted(chat, "x is a column of t"), "y is a column of u")
        changed = [number for number, (old, new) in enumerate(zip(chat, again, strict=True)) if old != new]
        assert changed == [1]
        notes = "\nNote: x is a column of t.\nNote: y is a column of u."
        assert again[1] == chat[1] | {"content": chat[1]["content"].rstrip() + notes}


def test_a_repair_begins_the_answer_again() -> None:
    chat = messages(DDL, "How many?", form=prompt_form("reference"))
    assert chat[-1] == BEGUN
    again = repaired(chat, "SELECT x", "no such column: x")
    assert [turn["role"] for turn in again] == ["system", "user", "assistant", "user", "assistant"]
    assert again[2]["content"] == "SELECT x" and again[-1] == BEGUN
