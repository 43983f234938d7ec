"""Our prompts against Qwen3's own tokenizer and chat template."""

import json
from pathlib import Path

import pytest

from text2sql.base_models.tiny import CHAT_TEMPLATE
from text2sql.prompts import messages

pytestmark = pytest.mark.slow

CHAT = messages("CREATE TABLE dog (dog_id PRIMARY KEY, weight);", "How heavy are the dogs?")


def test_the_embedded_chat_form_is_that_of_qwen3(real_data: Path) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    config = json.loads((real_data / "qwen3_tokenizer" / "tokenizer_config.json").read_text())
    answered = [*CHAT, {"role": "assistant", "content": "SELECT weight FROM dog"}]
    for chat, options in (
        (CHAT, {"add_generation_prompt": True, "enable_thinking": False}),
        (CHAT, {"add_generation_prompt": True}),
        (answered, {"add_generation_prompt": False}),
    ):
        ours, theirs = (
            render_jinja_template([chat], chat_template=template, **options)[0]
            for template in (CHAT_TEMPLATE, config["chat_template"])
        )
        assert ours == theirs


def test_llamafactory_trains_on_the_ids_that_qwen3s_template_gives(real_data: Path) -> None:
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    folder = real_data / "qwen3_tokenizer"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    predicted = tokenizer.apply_chat_template(
        CHAT, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    arguments = DataArguments(template="qwen3", enable_thinking=False)
    template = get_template_and_fix_tokenizer(AutoTokenizer.from_pretrained(folder), arguments)
    turn = [CHAT[1], {"role": "assistant", "content": "SELECT weight FROM dog"}]
    assert template.encode_oneturn(tokenizer, turn, CHAT[0]["content"])[0] == predicted
