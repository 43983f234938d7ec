"""The Python code of a model card: one question to a model, with the prompt that it was trained on."""

from __future__ import annotations

from text2sql.prompts import PromptForm, schema_text

QUESTION = "How many singers are older than 30?"
SCHEMA = "CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, country TEXT, age INTEGER);"
_ASKED, _SHOWN = "{question}", "{schema}"


def snippet(model: str, form: PromptForm, schema_types: bool, max_new_tokens: int) -> str:
    """Code that asks the model (a folder, or owner/name on the hub) one question and prints its answer.

    It gives the prompt of `inference.chat_tokens` for chat templates that write the system message and obey
    `enable_thinking`, as those of Qwen3 do. Not covered: other templates, and what `inference.extract`
    removes around a query.
    """
    schema = schema_text(SCHEMA, schema_types)
    prompt = form.prediction(schema, QUESTION)
    user, values = _with_places(form, schema)
    return "\n".join(
        [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            model_line(model),
            f"SCHEMA = {_literal(schema)}",
            f"QUESTION = {_literal(QUESTION)}",
            "",
            f"system = {_literal(prompt.system)}",
            f"user = {_literal(user)}{values}",
            "",
            "tokenizer = AutoTokenizer.from_pretrained(MODEL)",
            "model = AutoModelForCausalLM.from_pretrained(MODEL)",
            'chat = [{"role": "system", "content": system}, {"role": "user", "content": user}]',
            "prompt = tokenizer.apply_chat_template(",
            f"    chat, tokenize=False, add_generation_prompt=True, enable_thinking={bool(prompt.begun)}",
            ")" + (f" + {_literal(prompt.begun)}" if prompt.begun else ""),
            'tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
            "answer = model.generate(",
            "    **tokens,",
            f"    max_new_tokens={max_new_tokens},",
            "    do_sample=False,",
            "    eos_token_id=tokenizer.eos_token_id,",
            "    pad_token_id=tokenizer.pad_token_id,",
            ")",
            'print(tokenizer.decode(answer[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True))',
        ]
    )


def model_line(model: str) -> str:
    """The line of the code that names the model."""
    return f"MODEL = {_literal(model)}"


def _with_places(form: PromptForm, schema: str) -> tuple[str, str]:
    """The user's message with places for schema and question, and the code that fills them.

    A form that does more than insert the two gives the message of the example, and no code.
    """
    places = form.prediction(_SHOWN, _ASKED)
    example = form.prediction(schema, QUESTION)
    filled = places.user.replace(_SHOWN, schema).replace(_ASKED, QUESTION)
    if places.system != example.system or filled != example.user:
        return example.user, "  # with SCHEMA and QUESTION"
    return places.user, f'.replace("{_SHOWN}", SCHEMA).replace("{_ASKED}", QUESTION)'


def _literal(text: str) -> str:
    """A Python literal, on several lines where the text has them."""
    if not all(letter.isprintable() or letter == "\n" for letter in text) or "\\" in text or '"""' in text:
        return repr(text)
    if "\n" in text or '"' in text:
        return repr(text) if text.endswith('"') else f'"""{text}"""'
    return f'"{text}"'
