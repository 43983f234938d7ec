"""The shapes of training rows, by the names of their keys, and where each has question, schema and SQL.

Rows with a field for each text are known by the names of public data sets (KEYED). Rows that hold schema and
question in one text (an instruction, or a chat) are taken apart: the schema is DB-GPT's prose or the CREATE
TABLE statements, the question is what a label such as "Question:" names, or else what is left.
Not covered: a chat with several answers, of which none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    Keys("question", "sql", evidence="external_knowledge"),  # SynSQL-2.5M
)
# Alpaca, and in its form DB-GPT-Hub (prose in the instruction) and NSText2SQL (all in the instruction)
_INSTRUCTION, _INPUT, _OUTPUT = "instruction", "input", "output"
# (key of the turns, of who speaks, of the text): OpenAI's messages and ShareGPT
_CHATS = (("messages", "role", "content"), ("conversations", "from", "value"))
_ANSWERS = ("assistant", "gpt", "model", "bot")
NAMES = frozenset(
    [name for keys in KEYED for name in (keys.question, keys.sql, keys.schema, keys.db_id, keys.evidence)]
    + [_INSTRUCTION, _INPUT, _OUTPUT]
    + [chat[0] for chat in _CHATS]
)
"""Every key that a known shape reads."""

_PROSE = re.compile(r"[^\n]* contains tables such as .*", re.DOTALL)
_CREATE = re.compile(r"\bCREATE\s+(?:TEMP(?:ORARY)?\s+)?TABLE\b", re.IGNORECASE)
# A label at the start of a line: "### Question:", "[QUESTION]", "**Input**:"
_LABEL = re.compile(
    r"^[ \t#*\[</-]*(?P<name>(?:user |the )?question|input|query|response|answer|sql(?: query)?|output|"
    r"(?:database )?schema|context|instruction|evidence|hint|external knowledge)"
    r"[ \t*\]>]*(?::|\]|>)[*]*[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_ASKS = ("question", "user question", "the question", "input")
_FENCE = re.compile(r"```[ \t]*\w*\n(.*?)```", re.DOTALL)
_COMMENT = re.compile(r"^--[ \t]*(.*)", re.MULTILINE)
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|[()]", re.DOTALL)
_AFTER_TABLE = re.compile(r"[^;\n]*;|[^\n;(]*(?=\n|\Z)")
_FOLLOWS = re.compile(
    r"\s*(?:(?:CREATE|INSERT|ALTER|DROP)\b|/\*|--[^\n]*(?=\s*(?:CREATE|INSERT)\b))", re.IGNORECASE
)
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
    if _INSTRUCTION in row or (_INPUT in row and _OUTPUT in row):
        return _of_instruction(row)
    chat = next((chat for chat in _CHATS if isinstance(row.get(chat[0]), list)), None)
    return _of_chat(row, *chat) if chat else None


def _of_instruction(row: Mapping[Any, Any]) -> Fields:
    instruction, text = row.get(_INSTRUCTION), row.get(_INPUT)
    if not isinstance(instruction or "", str) or not isinstance(text or "", str):
        return Fields(text, instruction, row.get(_OUTPUT), row.get("db_id"))
    question, schema = split_task(instruction or "", text or "")
    return Fields(question, schema, row.get(_OUTPUT), row.get("db_id"))


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
    question, schema = split_task("\n".join([system or "", *asked[:-1]]), asked[-1] if asked else "")
    return Fields(question, schema, _sql(answers[0]), row.get("db_id"))


def _joined(content: Any) -> str:
    """The text of a message, whose content may be a list of parts."""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _sql(answer: str) -> str:
    """The SQL of an answer: its last fenced block, or all of it; thoughts are left out."""
    text = answer.rpartition("</think>")[2]
    blocks = _FENCE.findall(text)
    return blocks[-1] if blocks else text


def split_task(instruction: str, text: str) -> tuple[str, str]:
    """Question and schema of a task whose parts are in an instruction and a text, in either or in both."""
    parts = [_Part(piece) for piece in (instruction, text) if piece.strip()]
    schema = next((part.schema for part in parts if part.schema), "")
    labelled = next((part.labelled for part in reversed(parts) if part.labelled), "")
    bare = [part.rest for part in reversed(parts) if not part.schema and part.rest]
    left = [part.rest for part in parts if part.schema and part.rest]
    return labelled or next(iter([*bare, *left]), ""), schema


class _Part:
    """One text of a task: the schema in it, the question that a label names, and what is left beside."""

    def __init__(self, text: str) -> None:
        start, end = _schema_span(text)
        self.schema = text[start:end].strip()
        outside = (text[:start], text[end:])
        self.labelled = next((found for part in reversed(outside) if (found := _labelled(part))), "")
        self.rest = _asked(outside[1]) or _asked(outside[0])


def _schema_span(text: str) -> tuple[int, int]:
    """Where the schema begins and ends; (0, 0) if there is none."""
    create = _CREATE.search(text)
    if create:
        return create.start(), _end_of_tables(text, create.start())
    prose = _PROSE.search(text)
    if prose is None:
        return 0, 0
    label = _LABEL.search(text, prose.start())
    return prose.start(), label.start() if label else prose.end()


def _end_of_tables(text: str, at: int) -> int:
    """Where the last statement of a run of CREATE and INSERT statements ends."""
    while True:
        create = _CREATE.match(text, at)
        end = _end_of_table(text, at) if create else _end_of_statement(text, at)
        following = _FOLLOWS.match(text, end)
        if following is None or end == len(text):
            return end
        at = following.end() - len(following.group().lstrip())


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
    found = _STATEMENT.match(text, at)
    return found.end() if found else len(text)


def _labelled(text: str) -> str:
    """The text under the last label that names a question, up to the next label."""
    labels = list(_LABEL.finditer(text))
    for number, label in reversed(list(enumerate(labels))):
        if label["name"].lower() in _ASKS:
            end = labels[number + 1].start() if number + 1 < len(labels) else len(text)
            return text[label.end() : end].strip()
    return ""


def _asked(text: str) -> str:
    """What a text asks: the last SQL comment (NSText2SQL), or all of it without empty labels."""
    comments = [line for line in _COMMENT.findall(text) if line.strip()]
    if comments:
        return str(comments[-1]).strip()
    return _LABEL.sub("", text).strip().strip('"').strip()
