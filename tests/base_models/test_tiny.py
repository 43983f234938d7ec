"""The tiny base model's tokenizer and first weights."""

from pathlib import Path

import pytest

from text2sql.base_models.settings import TinyModel
from text2sql.base_models.tiny import CHAT_TOKENS, initialise, train_tokenizer
from text2sql.prompts import messages
from text2sql.workstore import hash_path

TEXTS = [
    "CREATE TABLE singer (singer_id PRIMARY KEY, name, country, age);\nHow many singers are there?\n"
    "SELECT COUNT(*) FROM singer",
    "CREATE TABLE dog (dog_id PRIMARY KEY, owner_name, weight);\nWhich dogs weigh over 20 kg?\n"
    "SELECT owner_name FROM dog WHERE weight > 20",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, 400, folder)
    return folder


def test_chat_tokens_are_single_ids(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer.encode(token, add_special_tokens=False) for token in CHAT_TOKENS]
    assert ids == [[number] for number in range(len(CHAT_TOKENS))]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


@pytest.mark.parametrize("text", [*TEXTS, "naïve ☃ 'O''Neil'\t  two  blanks\n", "日本語 and 12.50"])
def test_any_text_survives_the_tokenizer(folder: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize("text", ["(weight,", "T1.weight", "AVG(weight)", "'weight'", "the weights?"])
def test_a_name_has_the_same_tokens_everywhere(folder: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    alone = tokenizer.encode("weight", add_special_tokens=False)
    inside = tokenizer.encode(text, add_special_tokens=False)
    assert any(inside[at : at + len(alone)] == alone for at in range(len(inside)))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    shape = TinyModel(vocab_size=400, hidden_size=32, layers=1, heads=2, kv_heads=1)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_tokenizer(TEXTS, 400, tmp_path / name)
        initialise(shape.replace(seed=seed), tmp_path / name)
    first, again, other = (hash_path(tmp_path / name) for name in "abc")
    assert first == again
    assert first != other


def test_training_and_prediction_feed_the_same_token_ids(folder: Path) -> None:
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = messages("CREATE TABLE dog (dog_id PRIMARY KEY, weight);", "How heavy are the dogs?")
    predicted = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    arguments = DataArguments(template="qwen3", enable_thinking=False)
    template = get_template_and_fix_tokenizer(AutoTokenizer.from_pretrained(folder), arguments)
    turn = [chat[1], {"role": "assistant", "content": "SELECT weight FROM dog"}]
    trained, answer = template.encode_oneturn(tokenizer, turn, chat[0]["content"])
    assert trained == predicted
    assert tokenizer.decode(answer) == "SELECT weight FROM dog<|im_end|>\n"
