"""The shapes of training rows, by the names of their keys, and where each has question, schema and SQL.

Rows with a field for each text are known by the names of public data sets (KEYED). Rows that hold schema and
question in one text (an instruction, or a chat) are taken apart: the schema is DB-GPT's prose or the CREATE
TABLE statements, the question is what a label such as "Question:" names, or else what is left.
Hints such as "Evidence:" in an instruction become the evidence.
Not covered: a chat with several answers, of which none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from text2sql.preparation.rejects import Unusable
from text2sql.preparation.settings import Columns


@dataclass(frozen=True, slots=True)
class Fields:
    """What a row has for each field, as it is in the file; None where it has nothing."""

    question: Any
    schema: Any
    sql: Any
    db_id: Any = None
    evidence: Any = None


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a row with a field for each text; schema, db_id and evidence may be missing."""

    question: str
    sql: str
    schema: str = "schema"
    db_id: str = "db_id"
    evidence: str = "evidence"

    def fields(self, row: Mapping[Any, Any]) -> Fields:
        """The fields of a row."""
        return Fields(*map(row.get, (self.question, self.schema, self.sql, self.db_id, self.evidence)))


KEYED = (
    Keys("question", "answer", "context"),  # sql-create-context
    Keys("prompt", "answer", "context"),  # fahmiaziz/text2sql-dataset
    Keys("sql_prompt", "sql", "sql_context"),  # gretelai/synthetic_text_to_sql
    Keys("SpiderSynQuestion", "query"),  # Spider-Syn
    Keys("question", "query"),  # Spider and its other variants
    Keys("question", "SQL"),  # BIRD
    Keys("prompt", "query", "setup_sql"),  # motherduckdb/duckdb-text2sql-25k
    Keys("question", "sql", evidence="external_knowledge"),  # SynSQL-2.5M
    Keys("question", "chosen"),  # zerolink/zsql-postgres-dpo
)
# Alpaca, and in its form DB-GPT-Hub (prose in the instruction) and NSText2SQL (all in the instruction)
_INSTRUCTION, _INPUT, _OUTPUTS = "instruction", "input", ("output", "response")
# Forms with one text, or list of messages, for the task and one for the answer
_PAIRS = (("prompt", "completion"), ("prompt", "response"), ("input_seq", "output_seq"))
# (key of the turns, of who speaks, of the text): OpenAI's messages and ShareGPT
_CHATS = (("messages", "role", "content"), ("conversations", "from", "value"))
_ANSWERS = ("assistant", "gpt", "model", "bot")
NAMES = frozenset(
    [name for keys in KEYED for name in (keys.question, keys.sql, keys.schema, keys.db_id, keys.evidence)]
    + [_INSTRUCTION, _INPUT, *_OUTPUTS]
    + [name for pair in _PAIRS for name in pair]
    + [chat[0] for chat in _CHATS]
)
"""Every key that a known shape reads."""

_PROSE = re.compile(r"[^\n]* contains tables such as .*", re.DOTALL)
_NAME = r"""(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$]+)"""
_CREATE = re.compile(
    rf"\bCREATE\s+(?:TEMP(?:ORARY)?\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}(?:\s*\.\s*{_NAME})*\s*\(",
    re.IGNORECASE,
)
# A label at the start of a line: "### Question:", "[QUESTION]", "**Input**:", "<USER_QUERY>", "## Question"
_LABEL_NAME = (
    r"(?P<{}>(?:user |the )?question|input|user[ _]query|query|response|answer|sql ?(?:query)?|"
    r"output(?: format)?|(?:database )?(?:schema|engine)|context|tables?|instructions?|"
    r"evidence|hint|external knowledge)"
)
_LABEL = re.compile(
    rf"^[ \t#*\[</-]*{_LABEL_NAME.format('name')}[ \t*\]>]*(?::|\]|>)[*]*[ \t]*"
    rf"|^#+[ \t]*{_LABEL_NAME.format('heading')}[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_ASKS = ("question", "user question", "the question", "input", "user query", "user_query")
_HINTS = ("evidence", "hint", "external knowledge")
_TAGGED = re.compile(
    r"([<\[])(question|user_query)[>\]]((?:(?!\1\2).)*?)\1/\2[>\]]", re.IGNORECASE | re.DOTALL
)
# Marks around a task: of turns (Llama 2), and of a fenced block whose text was the schema
_MARKS = re.compile(r"\[/?INST\]|<</?SYS>>|</?s>|^[ \t]*```[ \t]*\w*[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"```[ \t]*(?:\w*[ \t]*\r?\n|sql\w*[ \t])(.*?)```", re.DOTALL | re.IGNORECASE)
_ANSWER = re.compile(r"\s*(?:answer|(?:the )?sql(?: query)?)[ \t]*:", re.IGNORECASE)
_COMMENT = re.compile(r"^--[ \t]*(.*)", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/", re.DOTALL)
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|[()]", re.DOTALL)
_AFTER_TABLE = re.compile(r"[^;\n]*;|[^\n;(]*(?=\n|\Z)")
_FOLLOWS = re.compile(
    r"\s*(?:(?P<word>CREATE|INSERT|ALTER|DROP)\b|/\*(?:(?!\*/).)*\*/(?=\s*\S)|"
    r"(?:--[^\n]*\n\s*)+(?=(?:CREATE|INSERT)\b))",
    re.IGNORECASE | re.DOTALL,
)
_PARAGRAPH = re.compile(r".*?(?=\n\s*\n)", re.DOTALL)
_STATEMENT = re.compile(r"(?:'(?:[^']|'')*'|[^;'])*;")


def fields_of(row: Mapping[Any, Any], columns: Columns | None = None) -> Fields | None:
    """The fields of a row, by `columns` or else by its shape; None if its shape is unknown.

    Raises:
        Unusable: a chat has no answer or several.
    """
    if columns is not None:
        found = {field: row[name] for field, name in columns.items() if name in row}
        known = "question" in found or "sql" in found
        return Fields(**{"question": None, "schema": None, "sql": None, **found}) if known else None
    keyed = next((k for k in KEYED if k.question in row and k.sql in row), None)
    keyed = keyed or next((k for k in KEYED if k.question in row and k.schema in row), None)
    if keyed:
        return keyed.fields(row)
    if _INSTRUCTION in row or (_INPUT in row and any(name in row for name in _OUTPUTS)):
        answer = next((row[name] for name in _OUTPUTS if row.get(name) is not None), None)
        return _of_task(row, row.get(_INSTRUCTION), row.get(_INPUT), answer)
    pair = next((pair for pair in _PAIRS if pair[0] in row and pair[1] in row), None)
    if pair and isinstance(row[pair[0]], list) and isinstance(row[pair[1]], list):
        return _of_chat({**row, "messages": row[pair[0]] + row[pair[1]]}, *_CHATS[0])
    if pair:
        return _of_task(row, row[pair[0]], None, row[pair[1]])
    chat = next((chat for chat in _CHATS if isinstance(row.get(chat[0]), list)), None)
    return _of_chat(row, *chat) if chat else None


def _of_task(row: Mapping[Any, Any], instruction: Any, text: Any, answer: Any) -> Fields:
    """The fields of a row with the task in an instruction and a text, either of which may be missing."""
    answer = _sql(answer) if isinstance(answer, str) else answer
    if not isinstance(instruction or "", str) or not isinstance(text or "", str):
        return Fields(text, instruction, answer, row.get("db_id"))
    question, schema, evidence = split_task(instruction or "", text or "")
    return Fields(question, schema, answer, row.get("db_id"), row.get("evidence") or evidence)


def _of_chat(row: Mapping[Any, Any], turns: str, speaker: str, content: str) -> Fields:
    """The fields of a chat.

    Raises:
        Unusable: it has no answer or several.
    """
    said = [(turn.get(speaker), _joined(turn.get(content))) for turn in row[turns] if isinstance(turn, dict)]
    asked = [text for who, text in said if who not in _ANSWERS]
    answers = [text for who, text in said if who in _ANSWERS]
    if len(answers) != 1:
        raise Unusable("chat without exactly one answer", f"it has {len(answers)}")
    system = row.get("system") if isinstance(row.get("system"), str) else ""
    before = "\n".join([system or "", *asked[:-1]])
    task = asked[-1] if asked else ""
    question, schema, evidence = split_task("", task)
    if not question or not schema:
        question, schema, evidence = split_task(before, task)
    return Fields(question, schema, _sql(answers[0]), row.get("db_id"), row.get("evidence") or evidence)


def _joined(content: Any) -> str:
    """The text of a message, whose content may be a list of parts."""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _sql(answer: str) -> str:
    """The SQL of an answer: its last fenced block, or all of it; thoughts and a label are left out."""
    text = answer.rpartition("</think>")[2]
    blocks = _FENCE.findall(text)
    return blocks[-1] if blocks else _ANSWER.sub("", text, count=1) if _ANSWER.match(text) else text


def split_task(instruction: str, text: str) -> tuple[str, str, str | None]:
    """Question, schema and evidence of a task, each in an instruction, in a text, or in parts of both."""
    parts = [_Part(piece) for piece in (instruction, text) if piece.strip()]
    schema = next((part.schema for part in parts if part.schema), "")
    labelled = next((part.labelled for part in reversed(parts) if part.labelled), "")
    hint = next((part.hint for part in reversed(parts) if part.hint), None)
    return labelled or _unlabelled(parts), schema, hint


def _unlabelled(parts: list[_Part]) -> str:
    """The question where no label names it: what follows the schema, else the other part, else what precedes.

    Where the schema is in the last part, the first may be the question or only say that SQL is asked for.
    """
    if not parts:
        return ""
    last = parts[-1]
    left = [last.after, *(text for part in parts[:-1] for text in (part.after, part.before)), last.before]
    asking = [text for text in left if text.endswith("?")] if last.schema else []
    return next((text for text in [*asking, *left] if text), "")


class _Part:
    """One text of a task: the schema in it, what labels name as question and as hint, and what is left."""

    def __init__(self, text: str) -> None:
        spans = _schema_spans(text)
        ends = [0, *(end for _, end in spans)]
        outside = [
            text[end:start] for end, start in zip(ends, [*(s for s, _ in spans), len(text)], strict=True)
        ]
        self.schema = "\n".join(text[start:end].strip() for start, end in spans)
        self.labelled = next((found for part in reversed(outside) if (found := _question(part))), "")
        self.hint = next((found for part in reversed(outside) if (found := _labelled(part, _HINTS))), "")
        self.hint = self.hint.partition("\n\n")[0]
        self.before, self.after = _asked(outside[0]), _asked(outside[-1])


def _schema_spans(text: str) -> list[tuple[int, int]]:
    """Where the parts of the schema begin and end, in order."""
    create = _CREATE.search(text)
    if create is None:
        prose = _PROSE.search(text)
        label = _LABEL.search(text, prose.start()) if prose else None
        return [(prose.start(), label.start() if label else prose.end())] if prose else []
    spans: list[tuple[int, int]] = []
    while create:
        # tables may be parted by headings; if a question is between them, they belong to different tasks
        if spans and _question(text[spans[-1][1] : create.start()]):
            if not _question(text[_end_of_tables(text, create.start()) :]):
                break
            spans = []
        spans.append((create.start(), _end_of_tables(text, create.start())))
        create = _CREATE.search(text, spans[-1][1])
    return spans


def _end_of_tables(text: str, end: int) -> int:
    """Where the last statement of a run of CREATE and INSERT statements ends, which begins at `end`."""
    while following := _FOLLOWS.match(text, end):
        start = following.start("word")
        if start < 0:
            end = following.end()
        elif _CREATE.match(text, start):
            end = _end_of_table(text, start)
        else:
            end = _end_of_statement(text, start)
    return end


def _end_of_table(text: str, at: int) -> int:
    """Where a CREATE TABLE statement ends, which may have no semicolon: with its closing bracket and line."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if token.group() == ")" and depth == 0:
            rest = _AFTER_TABLE.match(text, token.end())
            return rest.end() if rest else token.end()
    return len(text)


def _end_of_statement(text: str, at: int) -> int:
    """Where another statement ends: with its semicolon, else before a blank line."""
    found = _STATEMENT.match(text, at) or _PARAGRAPH.match(text, at)
    return found.end() if found else len(text)


def _question(text: str) -> str:
    """What is between the last marks of a question ([QUESTION] ...), or under its label."""
    tagged = _TAGGED.findall(text)
    return tagged[-1][2].strip() if tagged else _labelled(text, _ASKS)


def _labelled(text: str, names: Collection[str]) -> str:
    """The text under the last of these labels that has any, up to the next label."""
    end = len(text)
    for label in reversed(list(_LABEL.finditer(text))):
        found = _MARKS.sub("", text[label.end() : end]).strip()
        if found and (label["name"] or label["heading"]).lower() in names:
            return found
        end = label.start()
    return ""


def _asked(text: str) -> str:
    """What a text asks: the last SQL comment (NSText2SQL), or all of it without empty labels."""
    text = _MARKS.sub("", text).strip()
    if _BLOCK_COMMENT.fullmatch(text):
        return text[2:-2].strip()
    comments = [line for line in _COMMENT.findall(text) if line.strip()]
    if comments:
        return str(comments[-1]).strip()
    labelled = _labelled(text, ("instruction",))
    return labelled or _LABEL.sub("", text).strip().strip('"').strip()
