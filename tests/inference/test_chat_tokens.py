"""Token ids of chats, with and without a beginning of the answer."""

from __future__ import annotations

import pytest

from tests.tiny import tiny_qwen3, tiny_tokenizer
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.weights import Weights
from text2sql.prompts import messages, prompt_form

pytestmark = pytest.mark.slow

CHAT = messages("CREATE TABLE t (a);", "How many?")
ASKED = "<|im_start|>system\nAnswer the question with one SQLite query.<|im_end|>\n"
ASKED += "<|im_start|>user\nCREATE TABLE t (a);\nHow many?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> ChatTokens:
    return ChatTokens(Weights(tiny_tokenizer(tiny_qwen3(tmp_path_factory.mktemp("base"))), ""))


def text(tokens: ChatTokens, chat: list[dict[str, str]]) -> str:
    return str(tokens.tokenizer.decode(tokens.encode(chat), skip_special_tokens=False))


def test_without_a_beginning_thinking_is_switched_off(tokens: ChatTokens) -> None:
    assert text(tokens, CHAT) == f"{ASKED}<think>\n\n</think>\n\n"


@pytest.mark.parametrize("begun", ["SELECT", "<think>\n\n</think>\n", "<think>\n\n</think>\n\n[ANSWER]\n"])
def test_a_beginning_follows_the_generation_prompt_as_it_is(tokens: ChatTokens, begun: str) -> None:
    assert text(tokens, [*CHAT, {"role": "assistant", "content": begun}]) == ASKED + begun


def test_a_beginning_may_be_what_the_template_writes(tokens: ChatTokens) -> None:
    thought = {"role": "assistant", "content": "<think>\n\n</think>\n\n"}
    assert tokens.encode([*CHAT, thought]) == tokens.encode(CHAT)


def test_the_reference_form_has_one_thought_and_one_line_break_behind_it(tokens: ChatTokens) -> None:
    chat = messages("CREATE TABLE t (a);", "How many?", form=prompt_form("reference"))
    assert text(tokens, chat).endswith("<|im_start|>assistant\n<think>\n\n</think>\n")
    assert text(tokens, chat).count("<think>") == 1
