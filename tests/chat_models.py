"""Tiny random models of other architectures, with the chat forms of real models, for tests.

The chat templates are our own and shorter than the real ones. For a chat of text messages without tools they
write what the real ones write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TEXT = [
    "CREATE TABLE singer (singer_id, name, country, age); SELECT name FROM singer WHERE age > 20",
    "How many singers are there? SELECT count(*) FROM singer GROUP BY country ORDER BY age DESC",
    "Answer the question with one SQLite query. What are the names of all countries? user system",
]


@dataclass(frozen=True)
class ChatModel:
    """The form of one model family: chat template, special tokens, architecture, and the template auto finds.

    `end` is the tokenizer's end token, which need not end an answer.
    """

    template: str
    jinja: str
    specials: tuple[str, ...]
    end: str
    architecture: str = "Llama"
    begin: str | None = None
    shape: Mapping[str, Any] = field(default_factory=dict)


def _turns(header: str, close: str, system: str = "", roles: str = "message.role") -> str:
    """A chat template of turns between `header` (with ROLE) and `close`; `system` is the default message."""
    opened = header.replace("ROLE", "{{ " + roles + " }}")
    first = header.replace("ROLE", "system") + system + close
    default = "{% if messages[0].role != 'system' %}" + first + "{% endif %}" if system else ""
    answer = header.replace("ROLE", "model" if "model" in roles else "assistant")
    return (
        default
        + "{% for message in messages %}"
        + f"{opened}{{{{ message.content }}}}{close}"
        + "{% endfor %}{% if add_generation_prompt %}"
        + answer
        + "{% endif %}"
    )


_CHATML = ("<|im_start|>ROLE\n", "<|im_end|>\n")
_CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
_HEADERS = ("<|start_header_id|>ROLE<|end_header_id|>\n\n", "<|eot_id|>")
_LLAMA3_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
_TRIMMED = "{{ message.content }}", "{{ message.content | trim }}"
_GEMMA_ROLE = "'model' if message.role == 'assistant' else message.role"
_GEMMA_TURNS = _turns("<start_of_turn>ROLE\n", "<end_of_turn>\n", roles=_GEMMA_ROLE).replace(*_TRIMMED)
_GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + _GEMMA_TURNS
)
_GEMMA3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set before = messages[0].content + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set before = '' %}{% endif %}"
    + _GEMMA_TURNS.replace(
        "{{ message.content | trim }}", "{{ before if loop.first else '' }}{{ message.content | trim }}"
    )
)
_GEMMA_TOKENS = ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
_DATED = (
    "{{ bos_token }}DATE{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: {{ date }}\n\n{{ system }}<|eot_id|>" + _turns(*_HEADERS).replace(*_TRIMMED)
)
_LLAMA2 = (
    "{% if messages[0].role == 'system' %}"
    "{% set before = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set before = '' %}{% endif %}"
    "{% for message in messages %}{% if message.role == 'user' %}"
    "{{ bos_token }}[INST] {{ ((before if loop.first else '') + message.content).strip() }} [/INST]"
    "{% else %} {{ message.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}"
)


def _mistral(opened: str, answer: str) -> str:
    """The system message is in the last user message."""
    return (
        "{{ bos_token }}{% if messages[0].role == 'system' %}{% set before = messages[0].content + '\n\n' %}"
        "{% set messages = messages[1:] %}{% else %}{% set before = '' %}{% endif %}"
        "{% for message in messages %}{% if message.role == 'user' %}"
        + opened
        + "{{ before if loop.last else '' }}{{ message.content }}[/INST]"
        + "{% else %}"
        + answer
        + "{{ eos_token }}{% endif %}{% endfor %}"
    )


_MISTRAL_TOKENS = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
_DEEPSEEK_CODER = (
    "{{ bos_token }}{% if messages[0].role != 'system' %}You are an AI programming assistant, utilizing the "
    "DeepSeek Coder model, developed by DeepSeek Company, and you only answer questions related to computer "
    "science. For politically sensitive questions, security and privacy issues, and other non-computer "
    "science questions, you will refuse to answer.\n{% endif %}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}{% elif message.role == 'user' %}"
    "### Instruction:\n{{ message.content }}\n{% else %}### Response:\n{{ message.content }}\n<|EOT|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}### Response:{% endif %}"
)
_DEEPSEEK = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
    "<｜User｜>{{ message.content }}{% elif message.role == 'assistant' %}"
    "<｜Assistant｜>{{ message.content }}<｜end▁of▁sentence｜>"
    "{% else %}{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"
)
_DEEPSEEK_TOKENS = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")
_PHI_END = "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"
_PHI_TOKENS = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_QWEN3_OFF = (
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
)
_QWEN3 = _turns(*_CHATML).replace("assistant\n{% endif %}", "assistant\n" + _QWEN3_OFF + "{% endif %}")
_GRANITE = _turns("<|start_of_role|>ROLE<|end_of_role|>", "<|end_of_text|>\n")

CHAT_MODELS = {
    "qwen2.5": ChatModel(
        "qwen",
        _turns(*_CHATML, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        _CHATML_TOKENS,
        "<|im_end|>",
        "Qwen2",
    ),
    "qwen2.5 base": ChatModel(
        "qwen", _turns(*_CHATML, "You are a helpful assistant."), _CHATML_TOKENS, "<|endoftext|>", "Qwen2"
    ),
    "qwen3": ChatModel("qwen3", _QWEN3, _CHATML_TOKENS, "<|im_end|>", "Qwen3"),
    "qwen3 instruct": ChatModel("qwen3_nothink", _turns(*_CHATML), _CHATML_TOKENS, "<|im_end|>", "Qwen3"),
    "qwen3 thinking": ChatModel(
        "qwen3",
        _turns(*_CHATML).replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"),
        _CHATML_TOKENS,
        "<|im_end|>",
        "Qwen3",
    ),
    "chatml": ChatModel("chatml", _turns(*_CHATML), _CHATML_TOKENS, "<|im_end|>"),
    "smollm2": ChatModel(
        "smollm2",
        _turns(*_CHATML, "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
        _CHATML_TOKENS,
        "<|im_end|>",
    ),
    "llama2": ChatModel("llama2", _LLAMA2, ("<unk>", "<s>", "</s>"), "</s>", begin="<s>"),
    "llama3": ChatModel(
        "llama3",
        "{{ bos_token }}" + _turns(*_HEADERS).replace(*_TRIMMED),
        _LLAMA3_TOKENS,
        "<|eot_id|>",
        begin="<|begin_of_text|>",
    ),
    "llama3.1": ChatModel(
        "llama3",
        _DATED.replace("DATE", "{% set date = '26 Jul 2024' %}"),
        _LLAMA3_TOKENS,
        "<|eot_id|>",
        begin="<|begin_of_text|>",
    ),
    "llama3.2": ChatModel(
        "llama3",
        _DATED.replace("DATE", "{% set date = strftime_now('%d %b %Y') %}"),
        _LLAMA3_TOKENS,
        "<|eot_id|>",
        begin="<|begin_of_text|>",
    ),
    "gemma": ChatModel("gemma", _GEMMA, _GEMMA_TOKENS, "<eos>", "Gemma", "<bos>"),
    "gemma2": ChatModel(
        "gemma2", _GEMMA, _GEMMA_TOKENS, "<eos>", "Gemma2", "<bos>", {"query_pre_attn_scalar": 16}
    ),
    "gemma3": ChatModel(
        "gemma", _GEMMA3, _GEMMA_TOKENS, "<eos>", "Gemma3Text", "<bos>", {"query_pre_attn_scalar": 16}
    ),
    "phi3": ChatModel(
        "phi", _turns("<|ROLE|>\n", "<|end|>\n") + _PHI_END, _PHI_TOKENS, "<|endoftext|>", "Phi3"
    ),
    "phi4": ChatModel(
        "phi4",
        _turns("<|im_start|>ROLE<|im_sep|>", "<|im_end|>"),
        ("<|endoftext|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>"),
        "<|im_end|>",
        "Phi3",
    ),
    "phi4 mini": ChatModel(
        "phi4_mini", _turns("<|ROLE|>", "<|end|>") + _PHI_END, _PHI_TOKENS, "<|endoftext|>", "Phi3"
    ),
    "mistral": ChatModel(
        "mistral",
        _mistral("[INST] ", " {{ message.content }}"),
        _MISTRAL_TOKENS,
        "</s>",
        "Mistral",
        "<s>",
    ),
    "ministral": ChatModel(
        "ministral", _mistral("[INST]", "{{ message.content }}"), _MISTRAL_TOKENS, "</s>", "Mistral", "<s>"
    ),
    "deepseek coder": ChatModel(
        "deepseekcoder", _DEEPSEEK_CODER, ("<s>", "<|EOT|>", "<pad>"), "<|EOT|>", begin="<s>"
    ),
    "deepseek 3": ChatModel(
        "deepseek3", _DEEPSEEK, _DEEPSEEK_TOKENS, "<｜end▁of▁sentence｜>", begin="<｜begin▁of▁sentence｜>"
    ),
    "deepseek r1": ChatModel(
        "deepseekr1",
        _DEEPSEEK.replace("<｜Assistant｜>{% endif %}", "<｜Assistant｜><think>\n{% endif %}"),
        _DEEPSEEK_TOKENS,
        "<｜end▁of▁sentence｜>",
        begin="<｜begin▁of▁sentence｜>",
    ),
    "granite": ChatModel(
        "granite3",
        _GRANITE,
        ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"),
        "<|end_of_text|>",
    ),
}


def write_tokenizer(model: ChatModel, folder: Path) -> Path:
    """Write a byte-level BPE tokenizer (at most 420 tokens) with the model's special tokens and template."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        _TEXT, vocab_size=400, min_frequency=1, special_tokens=list(model.specials), show_progress=False
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token=model.end,
        bos_token=model.begin,
        pad_token=model.specials[0],
    )
    tokenizer.chat_template = model.jinja
    tokenizer.save_pretrained(folder)
    return folder


def write_model(model: ChatModel, folder: Path, seed: int = 0) -> Path:
    """Write a random two-layer model of the architecture with its tokenizer into `folder`."""
    import torch
    import transformers

    write_tokenizer(model, folder)
    torch.manual_seed(seed)
    config = getattr(transformers, f"{model.architecture}Config")(
        vocab_size=448,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=1024,
        initializer_range=0.5,  # far from zero: answers differ and near ties are rare
        bos_token_id=model.specials.index(model.begin) if model.begin else None,
        eos_token_id=model.specials.index(model.end),
        pad_token_id=0,
        **model.shape,
    )
    name = model.architecture.removesuffix("Text")
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(folder)
    return folder
