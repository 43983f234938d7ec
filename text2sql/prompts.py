"""Makes all prompts, those of training and those of prediction, in the form that `prompt.form` names.

`compact` is short, for small models. `reference` has the texts of Qianvenh/Text2SQL-Qwen3-1p7B, whose
prediction prompts differ from its training prompts; docs/reference.md shows both. A form of your own is a
Jinja2 file in configs/prompts, see `FileForm`.
"""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from text2sql.errors import UserError
from text2sql.schema.ddl import without_types
from text2sql.schema.settings import PROMPT_FILES

if TYPE_CHECKING:
    from jinja2.runtime import Context
    from jinja2.sandbox import SandboxedEnvironment

SYSTEM = "Answer the question with one SQLite query."

_TASK = "Given the database schema and the user question, generate the corresponding SQL query."
_ANSWER_ONLY = "The output must be only a valid SQL query, without explanations, comments, or extra text."
_SHOWN = "Here are some reference examples that might help you:"
_TABLE, _ASKED = "zq_trial_table", "zq_trial_things"  # in trial prompts; no file has these words by itself
_LARGEST = 1_000_000  # characters or items of a product, bits of a power
_NO_THOUGHT = "<think>\n\n</think>\n"


class Example(TypedDict):
    """A solved training row shown before the question (few-shot)."""

    question: str
    ddl: str
    sql: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The texts of one prompt; `begun` is the beginning of the answer, "" if the model writes all of it."""

    system: str
    user: str
    begun: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The chat; a last message of the assistant is the beginning of the answer."""
        chat = [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]
        return [*chat, {"role": "assistant", "content": self.begun}] if self.begun else chat


class PromptForm(Protocol):
    """How prompts are written."""

    def training(self, ddl: str, question: str) -> Prompt:
        """The prompt of a training row."""
        ...

    def prediction(self, ddl: str, question: str, examples: Sequence[Example] = ()) -> Prompt:
        """The prompt of a test question, with solved examples if there are any."""
        ...


class CompactForm:
    """One sentence, then the schema and the question; examples are written like the task, with their SQL."""

    def training(self, ddl: str, question: str) -> Prompt:
        """As in prediction."""
        return self.prediction(ddl, question)

    def prediction(self, ddl: str, question: str, examples: Sequence[Example] = ()) -> Prompt:
        """The same texts in training and in prediction."""
        solved = [f"{_task(e['ddl'], e['question'])}\n{e['sql'].strip()}\n\n" for e in examples]
        return Prompt(SYSTEM, "".join(solved) + _task(ddl, question))


class ReferenceForm:
    """The reference's prompts, to the character; texts of the data are not stripped.

    In training: the template of its dataset_process.ipynb. In prediction: prompt_template ("P2") of its
    vllm_infer_config.yaml, and with examples prompt_reference_template ("P3"), in which schema and examples
    are on one line each. A test schema is between <sql> and </sql>, as in the answers of its large model.
    Both begin the answer themselves, with an empty thought.
    """

    def training(self, ddl: str, question: str) -> Prompt:
        """The prompt of a training row."""
        return Prompt(f"{_TASK} {_ANSWER_ONLY}", f"\n{_tagged(ddl, question)}")

    def prediction(self, ddl: str, question: str, examples: Sequence[Example] = ()) -> Prompt:
        """The prompt of a test question."""
        schema = f"<sql>\n{ddl.strip()}\n</sql>"
        system = f"{_TASK}\n{_ANSWER_ONLY}\n"
        if not examples:
            return Prompt(system, _tagged(schema, question), _NO_THOUGHT)
        shown = f"{system}{_SHOWN}\n{_reference_list(examples)}\n"
        return Prompt(shown, _tagged(_one_line(schema), question), f"{_NO_THOUGHT}\n[ANSWER]\n")


class FileForm:
    """A Jinja2 file with the blocks `system` and `user`, used in training and in prediction.

    Its variables: `schema`, `question` and `examples`, a list of {question, schema, sql} that is empty in
    training. The file runs in Jinja2's sandbox and can include other files of its folder; the line break
    after a tag is left out. Not covered: a file that loops for a very long time.
    """

    def __init__(self, path: Path) -> None:
        """Load the file and write two trial prompts.

        Raises:
            UserError: the file is missing or not UTF-8, has an error or text outside its blocks, or lacks a
                block, the question or the schema; the message names the line if there is one.
        """
        from jinja2 import FileSystemLoader, StrictUndefined

        self._path = path
        self._environment = _sandbox()(
            loader=FileSystemLoader(path.parent),
            undefined=StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
        )
        self._template = self._load()
        missing = [name for name in ("system", "user") if name not in self._template.blocks]
        if missing:
            block = f"{{% block {missing[0]} %}} ... {{% endblock %}}"
            raise UserError(f"{path}: has no block {missing[0]}; write {block}, as in {PROMPT_FILES}")
        self._require_nothing_outside()
        self._require_question_and_schema()

    def training(self, ddl: str, question: str) -> Prompt:
        """As in prediction. Raises: UserError, see `prediction`."""
        return self.prediction(ddl, question)

    def prediction(self, ddl: str, question: str, examples: Sequence[Example] = ()) -> Prompt:
        """The same texts in training and in prediction.

        Raises:
            UserError: the file fails with these texts; the message names the line.
        """
        shown = [{"question": e["question"], "schema": e["ddl"], "sql": e["sql"]} for e in examples]
        variables = {"schema": ddl, "question": question, "examples": shown}
        return Prompt(self._written("system", variables), self._written("user", variables))

    def _require_nothing_outside(self) -> None:
        """Jinja2 would write text outside the blocks, but prompts are the blocks."""
        from jinja2 import nodes

        source = self._path.read_text(encoding="utf-8")
        for output in (
            node for node in self._environment.parse(source).body if isinstance(node, nodes.Output)
        ):
            for part in output.nodes:
                text = part.data if isinstance(part, nodes.TemplateData) else "{{"
                if text.strip():
                    line = part.lineno + text[: -len(text.lstrip())].count("\n")
                    raise UserError(
                        f"{self._path}, line {line}: text outside the blocks, which no prompt has; move it "
                        "into the block system or user, or make it a comment: {# ... #}"
                    )

    def _require_question_and_schema(self) -> None:
        """Write two trial prompts with names that the file cannot have by itself."""
        example = Example(question="How many?", ddl="CREATE TABLE t (a);", sql="SELECT count(*) FROM t")
        for shown, which in (([], "without examples"), ([example], "with an example")):
            prompt = self.prediction(f"CREATE TABLE {_TABLE} (a);", f"How many {_ASKED}?", shown)
            written = f"{prompt.system}{prompt.user}".lower()  # a file may write capitals
            for variable, mark in (("question", _ASKED), ("schema", _TABLE)):
                if mark not in written:
                    raise UserError(
                        f"{self._path}: a prompt {which} lacks the {variable}; write {{{{ {variable} }}}} in "
                        "the block user"
                    )

    def _load(self) -> Any:
        from jinja2 import TemplateNotFound, TemplateSyntaxError

        try:
            return self._environment.get_template(self._path.name)
        except TemplateNotFound as error:
            raise UserError(f"{self._path}: no such file; write it, or set prompt.form: compact") from error
        except TemplateSyntaxError as error:
            file = Path(error.filename or self._path)
            raise UserError(f"{file}, line {error.lineno}: {error.message}; fix it") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self._path}: cannot be read as UTF-8 ({error}); fix it") from error

    def _written(self, block: str, variables: dict[str, Any]) -> str:
        try:
            context = self._template.new_context(variables)
            return "".join(self._template.blocks[block](context))
        except Exception as error:  # the expressions of the file can raise anything
            raise UserError(f"{self._place(error)}: {type(error).__name__}: {error}; fix it") from error

    def _place(self, error: Exception) -> str:
        """The file, and the line that the traceback names."""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if frame.filename == self._template.filename and frame.lineno:
                return f"{self._path}, line {self._template.get_corresponding_lineno(frame.lineno)}"
        return str(self._path)


@functools.cache
def _sandbox() -> type[SandboxedEnvironment]:
    """Jinja2's sandbox, in which products and powers cannot take all memory; it is imported when needed."""
    from jinja2.sandbox import SandboxedEnvironment, SecurityError

    class Sandbox(SandboxedEnvironment):
        intercepted_binops = frozenset(["*", "**"])

        def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
            if _size(operator, left, right) > _LARGEST:
                raise SecurityError(f"the result of {operator} is too large")
            return super().call_binop(context, operator, left, right)

    return Sandbox


def _size(operator: str, left: Any, right: Any) -> int:
    """Length of a repeated text or list, bits of a power; 0 for other operands, whose result is small."""
    if operator == "**":
        return left.bit_length() * right if isinstance(left, int) and isinstance(right, int) else 0
    for one, count in ((left, right), (right, left)):
        if isinstance(one, Sized) and isinstance(count, int):
            return len(one) * count
    return 0


COMPACT = CompactForm()
_FORMS: dict[str, PromptForm] = {"compact": COMPACT, "reference": ReferenceForm()}


def prompt_form(name: str) -> PromptForm:
    """The form of this name, or in this file.

    Raises:
        UserError: see `FileForm`.
    """
    return _FORMS[name] if name in _FORMS else FileForm(Path(name))


@functools.lru_cache(maxsize=65_536)  # questions share schemas
def schema_text(ddl: str, types: bool, comments: bool = False) -> str:
    """The schema as it is in the prompt: unchanged, or without column types.

    A schema without column types keeps its INSERT statements, and with `comments` also its comments. Whether
    it has either is decided where it is written, by `prepare.insert_rows`, `convert_schema.values` and
    `prompt.comments`.

    Raises:
        UserError: `types` is false and SQLite rejects the schema.
    """
    return ddl if types else without_types(ddl, comments)


def with_evidence(question: str, evidence: str) -> str:
    """The question's text, and the evidence, unless it is blank, on a line of its own, as for BIRD."""
    evidence = evidence.strip()
    return f"{question.strip()}\nEvidence: {evidence}" if evidence else question.strip()


def messages(
    ddl: str, question: str, examples: Sequence[Example] = (), form: PromptForm = COMPACT
) -> list[dict[str, str]]:
    """The chat of one question in prediction, see `Prompt.messages`."""
    return form.prediction(ddl, question, examples).messages


def repaired(messages: Sequence[dict[str, str]], answer: str, failure: str) -> list[dict[str, str]]:
    """A chat whose `answer` failed, followed by the answer and the `failure`, SQLite's message.

    If the chat begins the answer, it begins the next one too.
    """
    begun = list(messages[-1:]) if messages[-1]["role"] == "assistant" else []
    return [
        *messages[: len(messages) - len(begun)],
        {"role": "assistant", "content": answer},
        {"role": "user", "content": f"SQLite says: {failure}\nAnswer with the corrected query only."},
        *begun,
    ]


def noted(messages: Sequence[dict[str, str]], note: str) -> list[dict[str, str]]:
    """A chat whose question is asked again, with a note behind it; an answer that it begins stays."""
    at = max(number for number, message in enumerate(messages) if message["role"] == "user")
    asked = messages[at] | {"content": f"{messages[at]['content'].rstrip()}\nNote: {note}."}
    return [*messages[:at], asked, *messages[at + 1 :]]


def _task(ddl: str, question: str) -> str:
    """Schema and question; an example may have no schema."""
    return f"{ddl.strip()}\n{question.strip()}" if ddl else question.strip()


def _tagged(schema: str, question: str) -> str:
    return f"[SCHEMA]\n{schema}\n[QUESTION]\n{question}\n"


def _reference_list(examples: Sequence[Example]) -> str:
    """The examples, numbered from 0, without their schemas, on one line."""
    items = "".join(
        f' <reference_item id="{number}"> [QUESTION] {e["question"]} [ANSWER] {e["sql"]} </reference_item>'
        for number, e in enumerate(examples)
    )
    return _one_line(f"<reference_list>{items} </reference_list>")


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
