"""The tiny base model: Qwen3's architecture, a tokenizer of its own, trained on simple questions only."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from text2sql.base_models.settings import TinyModel
from text2sql.builtin.base_rows import SimpleRow
from text2sql.devices import quiet_transformers
from text2sql.prompts import COMPACT, SYSTEM, PromptForm
from text2sql.training.dataset import turn, write_dataset
from text2sql.training.run import train

# Qwen3's chat tokens in the order of its tokenizer; the model card of Qwen/Qwen3-1.7B names them.
CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
# The chat form of Qwen3 without tools: turns in <|im_start|> and <|im_end|>, and an empty thought
# before the answer when thinking is off. A conformance test compares it with Qwen3's own template.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
# Queries with the SQL keywords that do not occur in the simple rows of the base model.
SQL_SAMPLES = (
    "SELECT T1.a, T2.b, COUNT(*) FROM c AS T1 JOIN d AS T2 ON T1.id = T2.c_id JOIN e AS T3 ON T2.e_id = T3.id"
    " WHERE T2.f = 'g' AND T2.h >= 1 GROUP BY T1.id HAVING COUNT(*) >= 2 ORDER BY COUNT(*) DESC LIMIT 3",
    "SELECT AVG(a), MAX(b), MIN(c), SUM(T1.d) FROM e WHERE f NOT IN (SELECT g FROM h WHERE i BETWEEN 1 AND 2)"
    " OR j LIKE '%k%' ORDER BY l DESC LIMIT 1",
    "SELECT DISTINCT a FROM b WHERE c > (SELECT AVG(d) FROM b) AND e IN (SELECT f FROM g) GROUP BY a LIMIT 1",
    "SELECT COUNT(DISTINCT a) FROM b WHERE c = 'd' OR e < 1 INTERSECT SELECT a FROM b ORDER BY f",
    "SELECT a FROM b EXCEPT SELECT a FROM b WHERE c <= 1 UNION SELECT a FROM b WHERE c != 'd'",
)
_SQL_WEIGHT = 200
_POSITIONS = 2048
# Qwen3 has 0.02; a model this narrow learns to copy names in fewer steps with a larger value.
_INITIAL_SPREAD = 0.06


def build_base_model(
    rows: Iterable[SimpleRow], model: TinyModel, output: Path, form: PromptForm = COMPACT
) -> None:
    """Train the tiny Qwen3 with LLaMA-Factory on `rows`, in the form `form`.

    The model is put in `output`. `model.seed` also decides the first weights. A killed training resumes from
    the work store.
    """
    turns = [turn(row["schema"], row["question"], row["sql"], form, row["examples"]) for row in rows]
    with tempfile.TemporaryDirectory() as scratch:
        start, dataset = Path(scratch) / "start", Path(scratch) / "dataset"
        train_tokenizer(_texts(turns), model.vocab_size, start, turns[0]["system"])
        initialise(model, start)
        write_dataset(turns, dataset)
        train(model.recipe(), start, dataset, output, Path(scratch) / "loss.csv", "fetch_model")


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: Path, system: str = SYSTEM) -> None:
    """Train a byte-level BPE of at most `vocab_size` tokens with Qwen3's chat tokens and template.

    `system`, the text that begins every prompt, is one more token unless it is "".
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    # A space belongs to the keyword or symbol beside it, and the s of a plural is a token of its own. So a
    # name has the same tokens in the schema, the question, T1.name and quotes, and a small model learns to
    # copy it.
    words = pre_tokenizers.Split(
        Regex(
            r" ?\b[A-Z]{2,}\b(?: [A-Z]{2,}\b)* ?|T\d|[A-Za-z]+?(?=s(?![A-Za-z]))|s(?![A-Za-z])"
            r"|[A-Za-z]+|\d| ?[^\sA-Za-z\d]+ ?|\s"
        ),
        "isolated",
    )
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CHAT_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    # The same in every prompt: as one token it shortens prompts by an eighth.
    tokenizer.add_tokens([system])
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)


def initialise(shape: TinyModel, folder: Path) -> None:
    """Save a Qwen3 of random weights, drawn with `shape.seed`, beside the tokenizer in `folder`."""
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    quiet_transformers()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = Qwen3Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=shape.hidden_size,
        intermediate_size=3 * shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.hidden_size // shape.heads,
        max_position_embeddings=_POSITIONS,
        initializer_range=_INITIAL_SPREAD,
        tie_word_embeddings=True,
        eos_token_id=CHAT_TOKENS.index("<|im_end|>"),
        pad_token_id=CHAT_TOKENS.index("<|endoftext|>"),
        bos_token_id=None,
    )
    torch.manual_seed(shape.seed)
    Qwen3ForCausalLM(config).save_pretrained(folder)


def _texts(turns: list[dict[str, str]]) -> list[str]:
    """The texts on which the tokenizer is trained: every turn as the chat template writes it."""
    chats = [
        f"system\n{row['system']}\nuser\n{row['instruction']}\nassistant\n{row['output']}\n" for row in turns
    ]
    return chats + [query for query in SQL_SAMPLES for _ in range(_SQL_WEIGHT)]
