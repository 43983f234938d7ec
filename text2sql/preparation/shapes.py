"""The shapes of training rows, by the names of their keys, and where each has question, schema and SQL.

Rows with a field for each text are known by the names of public data sets (KEYED). Rows that hold schema and
question in one text (an instruction, a prompt or a chat) are taken apart: the schema is DB-GPT's prose or the
CREATE TABLE statements, the question is what a label such as "Question:" names, or else what is left of the
last text, or else of the one before it.
Not covered: a chat with several answers, of which none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
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


KEYED = (
    ("question", "answer"),  # sql-create-context
    ("sql_prompt", "sql"),  # gretelai/synthetic_text_to_sql
    ("SpiderSynQuestion", "query"),  # Spider-Syn
    ("question", "query"),  # Spider and its other variants
    ("question", "SQL"),  # BIRD
    ("question", "sql"),  # SynSQL-2.5M
    ("prompt", "answer"),  # fahmiaziz/text2sql-dataset
    ("prompt", "query"),  # motherduckdb/duckdb-text2sql-25k
    ("question", "chosen"),  # zerolink/zsql-postgres-dpo
)
"""Keys of question and SQL of rows with a field for each text."""
_SCHEMA = ("context", "sql_context", "schema", "setup_sql")
_EVIDENCE = ("evidence", "external_knowledge")
_DB_ID = "db_id"
# Keys of an instruction, of its input and of the answer: Alpaca, and in its form DB-GPT-Hub (prose in the
# instruction) and NSText2SQL (all in the instruction); Clinton/Text-to-sql-v1; OpenAI's older form
_TASKS = (
    ("instruction", "input", "output"),
    ("instruction", "input", "response"),
    ("", "prompt", "completion"),
    ("", "prompt", "response"),
    ("", "input_seq", "output_seq"),
)
_CHATS = ("messages", "conversations")  # OpenAI and ShareGPT
_SPEAKER, _SAID = ("role", "from"), ("content", "value")
_ANSWERS = ("assistant", "gpt", "model", "bot")
NAMES = frozenset(
    [*(name for keys in KEYED for name in keys), *_SCHEMA, *_EVIDENCE, _DB_ID, *_CHATS, "system"]
    + [name for keys in _TASKS for name in keys if name]
)
"""Every key that a known shape reads."""

_PROSE = re.compile(r"[^\n]* contains tables such as .*", re.DOTALL)
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_OF_PROSE = re.compile(r" has columns such as | is the (?:primary|foreign) key")
_NAME = r"""(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$]+)"""
_CREATE = re.compile(
    r"\bCREATE\s+(?:TEMP(?:ORARY)?\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    rf"{_NAME}(?:\s*\.\s*{_NAME})*\s*\(",
    re.IGNORECASE,
)
# A label at the start of a line: "### Question:", "[QUESTION]", "**Input**:"; or a line that is a heading
_LABEL = re.compile(
    r"^[ \t#*\[</-]*(?P<name>(?:user |the )?question|input|user[ _]query|query|response|answer|"
    r"sql(?: query)?|output|(?:database )?schema|context|tables|instruction|evidence|hint|external knowledge)"
    r"[ \t*\]>]*(?::|\]|>)[*]*[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(r"^[ \t]*(?:#+[ \t].*|[A-Z][\w ]{0,40}:[ \t]*)$", re.MULTILINE)
_HINTS = ("evidence", "hint", "external knowledge")
_ASKS = ("question", "user question", "the question", "input", "user query", "user_query")
# Marks around a task: of turns (Llama 2), and of a fenced block whose text was the schema
_MARKS = re.compile(r"\[/?INST\]|<</?SYS>>|</?s>|^[ \t]*```[ \t]*\w*[ \t]*$", re.MULTILINE)
# A question that is named inside a line
_NAMED = re.compile(
    r"\[QUESTION\](?P<tagged>.+?)\[/QUESTION\]|\b(?:following|this|user's) question:[ \t]*(?P<rest>\S[^\n]*)",
    re.IGNORECASE | re.DOTALL,
)
_FENCE = re.compile(r"```[ \t]*(?:sql\w*\b|\w*(?=[ \t]*\n))?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_QUERY = re.compile(r"\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_LATER_QUERY = re.compile(  # after prose: at the start of a line, or after a colon
    r"(?:^|:)[ \t]*((?:SELECT|WITH)\b(?:'(?:[^']|'')*'|\"[^\"]*\"|[^;'\"])*)", re.IGNORECASE | re.MULTILINE
)
_CUT_SELECT = re.compile(r"\nSELECT\s*\Z", re.IGNORECASE)
_COMMENT = re.compile(r"^--[ \t]*(.*)")
_USING = re.compile(r"using valid \w+", re.IGNORECASE)
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|[()]", re.DOTALL)
_AFTER_TABLE = re.compile(r"[^;\n]*;|[^;\n(]*(?=\n|\Z)")
_BLOCK_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/", re.DOTALL)
# Another statement, or a comment that is not the end of the text, where CodeS has the question
_FOLLOWS = re.compile(
    r"\s*(?:(?P<word>CREATE|INSERT|ALTER|DROP)\b|/\*(?:(?!\*/).)*\*/(?=\s*\S)|"
    r"(?:--[^\n]*\n\s*)+(?=(?:CREATE|INSERT)\b))",
    re.IGNORECASE | re.DOTALL,
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
    keyed = _keyed(row)
    if keyed:
        return Fields(row.get(keyed[0]), _first(row, _SCHEMA), row.get(keyed[1]), *_about(row))
    if isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
        return _of_chat(row, row["prompt"] + row["completion"])
    task = next((task for task in _TASKS if task[2] in row and (task[0] in row or task[1] in row)), None)
    if task or _TASKS[0][0] in row:
        return _of_task(row, *(task or _TASKS[0]))
    chat = next((row[name] for name in _CHATS if isinstance(row.get(name), list)), None)
    return None if chat is None else _of_chat(row, chat)


def _keyed(row: Mapping[Any, Any]) -> tuple[str, str] | None:
    """The keys of question and SQL, or of a question that has a schema but no SQL."""
    for keys in KEYED:
        if keys[0] in row and keys[1] in row:
            return keys
    has_schema = any(name in row for name in _SCHEMA)
    return next((keys for keys in KEYED if keys[0] in row and has_schema), None)


def _about(row: Mapping[Any, Any], *texts: str) -> tuple[Any, Any]:
    """The database of a row, and its evidence: under its own key, or under a label in one of its texts."""
    hints = (_labelled(text, _HINTS) for text in reversed(texts))
    return row.get(_DB_ID), _first(row, _EVIDENCE) or next(filter(None, hints), None)


def _first(row: Mapping[Any, Any], names: Sequence[str]) -> Any:
    """The first of the keys' values that is not empty."""
    for name in names:
        value = row.get(name)
        if value:
            return value
    return None


def _of_task(row: Mapping[Any, Any], instruction: str, text: str, output: str) -> Fields:
    parts, answer = [row.get(instruction) or "", row.get(text) or ""], row.get(output)
    if not all(isinstance(part, str) for part in parts):
        return Fields(row.get(text), row.get(instruction), answer, *_about(row))
    question, schema = split_task(*parts)
    if isinstance(answer, str):
        cut = _CUT_SELECT.search("\n".join(part for part in parts if part)) and not _QUERY.match(answer)
        answer = f"SELECT {answer.lstrip()}" if cut else sql_of(answer)
    return Fields(question, schema, answer, *_about(row, *parts))


def _of_chat(row: Mapping[Any, Any], turns: Sequence[Any]) -> Fields:
    """The fields of a chat.

    Raises:
        Unusable: it has no answer or several.
    """
    said = [
        (_first(turn, _SPEAKER), _joined(_first(turn, _SAID))) for turn in turns if isinstance(turn, dict)
    ]
    asked = [text for who, text in said if who not in _ANSWERS]
    answers = [text for who, text in said if who in _ANSWERS]
    if len(answers) != 1:
        raise Unusable("chat without exactly one answer", f"it has {len(answers)}")
    system = row.get("system") if isinstance(row.get("system"), str) else ""
    question, schema = split_task("\n".join([system or "", *asked[:-1]]), asked[-1] if asked else "")
    return Fields(question, schema, sql_of(answers[0]), *_about(row, *asked))


def _joined(content: Any) -> str:
    """The text of a message, whose content may be a list of parts."""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def sql_of(answer: str) -> str:
    """The SQL of an answer: its last fenced query, or the query after its prose, or all of it.

    Thoughts are left out.
    """
    text = answer.rpartition("</think>")[2]
    if _QUERY.match(text):
        return text
    blocks = _FENCE.findall(text)
    if blocks:
        return str(next((block for block in reversed(blocks) if _QUERY.match(block)), blocks[-1]))
    later = _LATER_QUERY.search(text)
    return later[1] if later else text


def split_task(instruction: str, text: str) -> tuple[str, str]:
    """Question and schema of a task whose parts are in an instruction and a text, in either or in both."""
    parts = [_Part(piece) for piece in (text, instruction) if piece.strip()]
    schema = next((part.schema for part in reversed(parts) if part.schema), "")
    questions = [*(part.labelled for part in parts), *(part.rest for part in parts)]
    return next(filter(None, questions), ""), schema


class _Part:
    """One text of a task: the schema in it, the question that a label names, and what is left beside."""

    def __init__(self, text: str) -> None:
        spans = _schema_spans(text)
        self.schema = "\n".join(text[start:end].strip() for start, end in spans)
        before, after = (text[: spans[0][0]], text[spans[-1][1] :]) if spans else ("", text)
        self.labelled = _labelled(after) or _labelled(before)
        self.rest = _asked(after) or _asked(_without_lead_in(before))


def _schema_spans(text: str) -> list[tuple[int, int]]:
    """Where the parts of the schema begin and end, in order."""
    create = _CREATE.search(text)
    if create is None:
        prose = _PROSE.search(text)
        return [(prose.start(), _end_of_prose(text, prose.start()))] if prose else []
    spans: list[tuple[int, int]] = []
    while create:
        # tables may be parted by headings; if a question is between them, they belong to different tasks
        if spans and _labelled(text[spans[-1][1] : create.start()]):
            if not _labelled(text[_end_of_tables(text, create.start()) :]):
                break
            spans = []
        spans.append((create.start(), _end_of_tables(text, create.start())))
        create = _CREATE.search(text, spans[-1][1])
    return spans


def _end_of_prose(text: str, at: int) -> int:
    """Where DB-GPT's prose ends: with its paragraph, or before a label."""
    label = _LABEL.search(text, at)
    end = label.start() if label else len(text)
    breaks = (found.start() for found in _PARAGRAPH.finditer(text, at, end))
    return next((place for place in breaks if not _OF_PROSE.search(text, place, end)), end)


def _without_lead_in(text: str) -> str:
    """The text before a schema without its last line if that announces the schema, as "The tables are:"."""
    lines = text.rstrip().splitlines()
    return "\n".join(lines[:-1]) if lines and lines[-1].endswith(":") else text


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
    found = _STATEMENT.match(text, at)
    blank = None if found else _PARAGRAPH.search(text, at)
    return found.end() if found else blank.start() if blank else len(text)


def _labelled(text: str, names: Collection[str] = _ASKS) -> str:
    """The question that is named inside a line, or the text under the last of these labels."""
    named = _NAMED.search(text) if names is _ASKS else None
    if named:
        return _bare(named["tagged"] or named["rest"])
    for label in reversed(list(_LABEL.finditer(text))):
        if label["name"].lower() in names:
            ends = (found.search(text, label.end()) for found in (_LABEL, _HEADING))
            end = min((found.start() for found in ends if found), default=len(text))
            asked = _bare(text[label.end() : end])
            if asked:
                return asked
    return ""


def _bare(text: str) -> str:
    return _MARKS.sub("", text).strip()


def _asked(text: str) -> str:
    """What a text asks: its last run of SQL comments (NSText2SQL), or all of it without labels."""
    text = _bare(text)
    if _BLOCK_COMMENT.fullmatch(text):
        return text[2:-2].strip()
    runs: list[list[str]] = [[]]
    for line in text.splitlines():
        comment = _COMMENT.match(line)
        if comment and not _USING.match(comment[1]):
            runs[-1].append(comment[1].strip())
        elif runs[-1]:
            runs.append([])
    asked = [" ".join(filter(None, run)) for run in runs]
    if any(asked):
        return next(filter(None, reversed(asked)))
    instruction = _labelled(text, ("instruction",))
    return instruction or _HEADING.sub("", _LABEL.sub("", text)).strip().strip('"').strip()
