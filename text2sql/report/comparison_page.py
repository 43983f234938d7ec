"""The Markdown page that compares two revisions, short enough for a comment on a pull request."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from text2sql.report import mermaid
from text2sql.report.comparison import (
    SIGNIFICANCE,
    Asked,
    Change,
    Paired,
    Revision,
    Score,
    Texts,
    changes,
    parameter_changes,
)
from text2sql.report.kept_verdicts import KeptVerdict, question_mark
from text2sql.report.markdown import ABSENT, plain

QUESTIONS = 3  # shown as gained, and as lost, of each arm on each test set
_COMMENT = 60_000  # characters; GitHub takes 65,536, and the workflow adds a few lines
_SHOWN_ROWS = 10
_VALUE = 80  # characters of a parameter
_TEXT = 400  # characters of a question or a query


def page(base: Revision, head: Revision, questions: int | None = None) -> str:
    """The page; `questions` is how many gained and lost ones are shown of each arm on each test set.

    Without it QUESTIONS, or fewer if the page would be too long for a comment.

    Raises:
        UserError: the revisions have no scored question in common.
    """
    found = changes(base, head)
    texts = base.texts(), head.texts()
    shown = QUESTIONS if questions is None else questions
    text = _page(base, head, found, texts, shown)
    while questions is None and shown and len(text) > _COMMENT:
        shown //= 2
        text = _page(base, head, found, texts, shown)
    return text


def _page(
    base: Revision, head: Revision, found: Sequence[Change], texts: tuple[Texts, Texts], shown: int
) -> str:
    title = f"## Scores of {_name(head)} compared with {_name(base)}"
    parts = [title, "", *_conclusion(found), ""]
    parts += [*plain(_scores(found)), "", *_notes(base, head, found)]
    sections = {
        "Questions gained and lost": _questions(found, texts, shown),
        "Parameters": _parameters(base, head),
        "Training": _training(base, head),
        "Data and cost": _figures(base, head),
        "Plots": _plots(base, head, found),
    }
    for title, section in sections.items():
        if lines := list(section):
            parts += ["", f"### {title}", "", "\n".join(lines).rstrip()]
    if head.table:
        parts += ["", *_details(f"All arms of {_name(head)}", head.table.strip().splitlines())]
    text = "\n".join(parts).rstrip() + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # a model may write half a surrogate pair


# -- scores --


def _conclusion(found: Sequence[Change]) -> Iterator[str]:
    """What changed beyond noise, and how many changes are within it."""
    words = {word: [change for change in found if _word(change) == word] for word in ("better", "worse")}
    for word, those in words.items():
        names = ", ".join(
            f"{_named(change)} ({change.paired.difference:+.1f})" for change in those if change.paired
        )
        if those:
            yield f"- **{word.capitalize()}**: {names}"
    within = [change for change in found if _word(change) == _NOISE]
    if within:
        yield f"- Within noise, so no evidence of a difference: {', '.join(map(_named, within))}"
    if not within and not any(words.values()):
        yield f"- {_no_change(found)}"


def _no_change(found: Sequence[Change]) -> str:
    both = [change for change in found if change.base and change.head]
    if not both:
        return "No arm is scored in both revisions, so nothing is compared."
    if not any(change.paired for change in both):
        return "No change can be tested."
    untested = [_named(change) for change in both if not change.paired]
    rest = f"; not tested: {', '.join(untested)}" if untested else ""
    return f"No answer changed between right and wrong{rest}."


_NOISE = "within noise"


def _word(change: Change) -> str:
    """The change in a word or two."""
    if change.base is None or change.head is None:
        return "only in head" if change.base is None else "only in base"
    if change.paired is None:
        return "not tested"
    if not change.paired.changed:
        return "unchanged"
    if not change.significant:
        return _NOISE
    return "better" if len(change.paired.gained) > len(change.paired.lost) else "worse"


def _scores(found: Sequence[Change]) -> list[list[str]]:
    rows = [["arm", "test set", "base", "head", "difference", "p", "gained", "lost", "change"]]
    for change in found:
        word = _word(change)
        rows.append(
            [
                _cell(change.arm),
                _cell(change.test_set) or ABSENT,
                _score(change.base),
                _score(change.head),
                *_paired(change),
                f"**{word}**" if change.significant else word,
            ]
        )
    return rows


def _score(score: Score | None) -> str:
    if score is None:
        return ABSENT
    share = score.share
    return f"{score.percent:.1f}" + (f" ({share.low:.1f} to {share.high:.1f}, n={share.n})" if share else "")


def _paired(change: Change) -> list[str]:
    """The cells difference, p, gained and lost; without pairs the bare difference of the scores."""
    pair = change.paired
    if pair is None:
        both = (change.base.percent, change.head.percent) if change.base and change.head else None
        return [_signed(both[1] - both[0]) if both else ABSENT, ABSENT, ABSENT, ABSENT]
    p = "< 0.0001" if pair.p < 0.0001 else f"{pair.p:.4f}"
    interval = f"{_signed(pair.difference)} ({_signed(pair.low)} to {_signed(pair.high)})"
    return [interval, p, str(len(pair.gained)), str(len(pair.lost))]


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # the sum turns -0.0 into 0.0


def _notes(base: Revision, head: Revision, found: Sequence[Change]) -> Iterator[str]:
    yield (
        "Execution accuracy in percent with its 95 % interval. Difference: percentage points, head minus "
        "base, with the 95 % interval of a bootstrap over the questions that both revisions have, paired. "
        "p: McNemar's exact test on them, two-sided. Gained and lost: questions that head alone, and base "
        "alone, answers correctly."
    )
    tested = sum(change.p_corrected is not None for change in found)
    if tested:
        yield (
            f"Better and worse: p below {SIGNIFICANCE} after Holm's correction for the number of comparisons "
            f"in which an answer changed ({tested}); other changes are within noise."
        )
    for line in (*_missing_verdicts(base, head), *_left_out(found), *_other_evaluators(base, head)):
        yield f"- {line}"


def _missing_verdicts(base: Revision, head: Revision) -> Iterator[str]:
    """Arms whose verdicts a revision does not keep."""
    for revision in (base, head):
        arms = [arm for arm in revision.accuracy if arm not in revision.verdicts]
        if arms:
            names = "any arm" if len(arms) == len(revision.accuracy) else ", ".join(map(_cell, arms))
            yield (
                f"{_name(revision)} has no metrics/verdicts/ARM.csv of {names}, as commits before that file "
                "was kept: the scores are those of its metrics, without a test of the difference."
            )


def _left_out(found: Sequence[Change]) -> Iterator[str]:
    """Questions and test sets that only one revision has, each said once."""
    said: dict[str, None] = {}
    for change in found:
        if change.paired:
            for name, only in (("base", change.paired.only_base), ("head", change.paired.only_head)):
                if only:
                    said[f"{_cell(change.test_set)}: left out, {_rows(only)} scored in {name} only."] = None
        elif change.base and change.head and change.base.share and change.head.share:
            counts = f"{change.base.share.n} in base, {change.head.share.n} in head"
            said[f"{_cell(change.test_set)}: no question in common ({counts}), so nothing is compared."] = (
                None
            )
    yield from said


def _rows(only: Sequence[KeptVerdict]) -> str:
    shown = ", ".join(str(verdict.row) for verdict in only[:_SHOWN_ROWS])
    rest = f" and {len(only) - _SHOWN_ROWS} others" if len(only) > _SHOWN_ROWS else ""
    return f"{len(only)} question{'s' if len(only) > 1 else ''} (test rows {shown}{rest})"


def _other_evaluators(base: Revision, head: Revision) -> Iterator[str]:
    differing: dict[str, list[str]] = {}
    for arm, evaluator in head.evaluators.items():
        if arm in base.evaluators:
            moved = parameter_changes(base.evaluators[arm], evaluator)
            text = ", ".join(f"{key} {old or ABSENT} → {new or ABSENT}" for key, (old, new) in moved.items())
            if text:
                differing.setdefault(text, []).append(arm)
    for text, arms in differing.items():
        names = ", ".join(map(_cell, arms))
        yield f"Judged by different evaluators ({names}: {_cell(text)}); a change can come from that."


# -- questions --


def _questions(found: Sequence[Change], texts: tuple[Texts, Texts], shown: int) -> Iterator[str]:
    for change in found:
        if change.paired and change.paired.changed:
            pair = change.paired
            title = f"{_named(change)}: {len(pair.gained)} gained, {len(pair.lost)} lost"
            yield from _details(title, list(_examples(change.arm, pair, texts, shown)))


def _examples(arm: str, pair: Paired, texts: tuple[Texts, Texts], shown: int) -> Iterator[str]:
    for word, those in (("Gained", pair.gained), ("Lost", pair.lost)):
        if those:
            first = "" if len(those) <= shown else f", the first {shown}" if shown else ", none of them shown"
            yield from (f"{word} ({len(those)}{first}):", "")
        for before, after in those[:shown]:
            yield from _example(arm, before, after, texts)


def _example(arm: str, before: KeptVerdict, after: KeptVerdict, texts: tuple[Texts, Texts]) -> Iterator[str]:
    """One question in a code fence, in which nothing of it is taken for Markdown or HTML."""
    asked = _asked(before, texts[0]) or _asked(after, texts[1])
    lines = [f"-- {after.db_id}, test row {after.row}: {_one_line(asked.question) if asked else _UNKNOWN}"]
    if asked:
        lines += ["-- gold", _short(asked.gold)]
    for name, verdict, known in (("base", before, texts[0]), ("head", after, texts[1])):
        lines += _prediction(name, verdict, known.predictions.get(arm, {}).get(verdict.row))
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + _longest_run(text))
    yield from (f"{fence}sql", text, fence, "")


_UNKNOWN = "(the text is not available here)"


def _prediction(name: str, verdict: KeptVerdict, sql: str | None) -> list[str]:
    outcome = "right" if verdict.right else f"wrong, {verdict.error}" if verdict.error else "wrong"
    if sql is None:
        return [f"-- {name}: {outcome} (the prediction is not available here)"]
    return [f"-- {name}: {outcome}", _short(sql)]


def _asked(verdict: KeptVerdict, texts: Texts) -> Asked | None:
    """The question of a verdict, unless the test questions here are those of another run."""
    asked = texts.questions.get(verdict.row)
    known = asked and question_mark(asked.question, asked.gold) == verdict.question
    return asked if known else None


# -- parameters, training, cost --


def _parameters(base: Revision, head: Revision) -> Iterator[str]:
    moved = parameter_changes(base.params, head.params)
    if not moved:
        yield "No parameter changed."
        return
    rows = [["parameter", "base", "head"]]
    rows += [[_code(name), _code(old), _code(new)] for name, (old, new) in moved.items()]
    yield from plain(rows)


def _training(base: Revision, head: Revision) -> Iterator[str]:
    """Steps, last loss and speed of every trained stage that differs."""
    rows = [["", "steps, base", "head", "last loss, base", "head", "tokens/s, base", "head"]]
    for stage in dict.fromkeys([*head.losses, *base.losses]):
        cells = [
            text
            for tables in ((base.steps, head.steps), (base.losses, head.losses), (base.speeds, head.speeds))
            for text in (_figure(table.get(stage)) for table in tables)
        ]
        if cells[0] != cells[1] or base.losses.get(stage) != head.losses.get(stage):
            rows.append([_cell(stage), *cells])
    if len(rows) > 1:
        yield from plain(rows)
        yield from ("", "Tokens a second differ between runs and machines and are in no commit.")


def _figure(value: float | Sequence[float] | None) -> str:
    last = value[-1] if isinstance(value, Sequence) and value else value
    if last is None or isinstance(last, Sequence):
        return ABSENT
    return str(last) if isinstance(last, int) else f"{last:.0f}" if last >= 100 else f"{last:.4f}"


def _figures(base: Revision, head: Revision) -> Iterator[str]:
    """Rows read, kept and removed, schemas converted and what they cost, where any of it changed."""
    moved = parameter_changes(base.figures, head.figures)
    rows = [["figure", "base", "head"]]
    rows += [[_code(name), _code(old), _code(new)] for name, (old, new) in moved.items()]
    if len(rows) > _SHOWN_ROWS + 1:
        yield from _details(f"{len(rows) - 1} figures changed", list(plain(rows)))
    elif moved:
        yield from plain(rows)


# -- plots --


def _plots(base: Revision, head: Revision, found: Sequence[Change]) -> Iterator[str]:
    for name in dict.fromkeys(change.test_set for change in found):
        of_set = [change for change in found if change.test_set == name]
        after = {change.arm: change.head.percent for change in of_set if change.head}
        if after:
            before = {change.arm: change.base.percent for change in of_set if change.base}
            yield from mermaid.accuracy_chart(name, after, before)
    for stage, losses in head.losses.items():
        earlier = base.losses.get(stage, ())
        if losses != earlier and losses and all(map(math.isfinite, (*losses, *earlier))):
            yield from mermaid.loss_chart(stage, losses, earlier)


# -- text --


def _named(change: Change) -> str:
    return f"{_cell(change.arm)} on {_cell(change.test_set)}" if change.test_set else _cell(change.arm)


def _details(title: str, lines: Sequence[str]) -> Iterator[str]:
    """Lines that are folded away under a title; Markdown inside needs the blank lines."""
    yield from (f"<details><summary>{title}</summary>", "", *lines, "", "</details>", "")


_MARKUP = re.compile(r"[\\`*{}\[\]<>|#@~&]|(?<!\w)_|_(?!\w)")


def _cell(text: str) -> str:
    """Text in a table or a sentence, in which nothing is Markdown, HTML or the mention of a user."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", _one_line(text))


def _name(revision: Revision) -> str:
    """The name of a revision in a sentence. It keeps its ~, which git allows in no branch's name."""
    return _cell(revision.name).replace("&#126;", "~")


def _code(text: str | None) -> str:
    """Text in monospace in a table."""
    if text is None:
        return ABSENT
    line = _one_line(text)
    line = line if len(line) <= _VALUE else f"{line[:_VALUE]}…"
    mark = "`" * (1 + _longest_run(line))
    pad = " " if "`" in line else ""
    return f"{mark}{pad}{line}{pad}{mark}".replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}… ({len(text):,} characters)"


def _longest_run(text: str) -> int:
    """The length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
