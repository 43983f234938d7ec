"""Extracts one SQL statement from a model's answer."""

from __future__ import annotations

import re

from text2sql.inference.places import Place, Rank, find_places
from text2sql.inference.sql_tokens import unescape

_THOUGHT = re.compile(
    r"<(?P<end>/?)(?:think|thinking|thought|reasoning|reflection|scratchpad)>"
    r"|<\|(?:begin|(?P<over>end))_of_thought\|>",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"\A.*<\|channel\|>final[^<]*<\|message\|>", re.DOTALL)
_TURN = re.compile(
    r"<[|｜][^<>\n]{1,40}[|｜]>|</?s>|<(?:start|end)_of_turn>|<(?:eos|bos|pad)>|\[/?INST\]", re.IGNORECASE
)
_QUERY = re.compile(
    r"(?<![A-Za-z0-9.])(?:SELECT|WITH|VALUES)(?![A-Za-z0-9_])|\\[nrt\"]+(?:SELECT|WITH)\b",
    re.IGNORECASE,
)
_ESCAPED_QUERY = re.compile(r"\\[nrt\"']\s*(?:SELECT|WITH|AS|FROM|WHERE)\b", re.IGNORECASE)
_DECORATION = r"[\s*_#>\"'`~]*(?:```\w*|~~~\w*)?(?:sql\w*)?[\s*`\"']*\Z"
_FINAL = r"""(?: \b(?:final|corrected|correct|fixed|revised|updated|improved)\b
               | \b(?:corrig|corregid|korrigiert|endgültig) | 修正 | 更正 | 改正 | 最终 | 最終 | 正确)"""
_HEADING = re.compile(  # text before a query that replaces an earlier one: "Final SQL:", "### Final Answer"
    rf"""(?: {_FINAL} [^\n:：.。]{{0,60}} [:：]
           | (?:\A|\n)[ \t]*[\#*] [^\n]{{0,40}} {_FINAL} [^\n]{{0,40}} \n ) {_DECORATION}""",
    re.VERBOSE | re.IGNORECASE,
)
_RETRACTION = re.compile(
    r"""\b(?: (?:edit|update|correction):
            | (?: wait | actually | sorry | oops | mistaken? | wrong | incorrect | should\ be | hmm
                | let\ me\ (?:fix|correct|revise) )\b )""",
    re.VERBOSE | re.IGNORECASE,
)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_OPTION = re.compile(r"\bif\b|\balternativ|\boption", re.IGNORECASE)
_KINDS = [
    {Rank.LABELLED, Rank.FIRST, Rank.FENCED},
    {Rank.LEADING, Rank.INLINE},
    {Rank.WITHIN, Rank.CONTINUED},
    {Rank.TITLE, Rank.DOUBTFUL},
]
_MAX_PLACES = 6  # places tried, so that an answer full of repetitions does not take long
_MAX_LATER = 5  # later queries that may replace the first; of more, the last are looked at
_NEAR = 300  # characters before a query in which a correction is announced


def extract_sql(raw: str) -> str:
    """The query (SELECT, WITH or VALUES) that a model gave as its answer; "" if there is none. Never raises.

    In this order:

    1. Thoughts (<think> and the like, also several or unfinished) are removed; of the texts between them,
       the last one with a query counts. So are special tokens and what follows the end of the turn.
    2. The places where a statement may begin are ranked: values of JSON keys such as "sql" and tags such as
       <sql>, the start of the text, code fences, other places after a line break, colon or quote, code in a
       sentence, the middle of a sentence. The first place whose statement SQLite can parse is taken; but
       if it can parse none after a label, at the start or in a fence, prose is not searched for another.
    3. A statement ends at a semicolon, fence, tag, or closing quote or bracket. If SQLite cannot parse it,
       it is cut at the last place where it can and prose, a list, a table or the next query follows.
    4. A later query replaces it if the text before says so ("Corrected:", "Final SQL:", "Wait, ...").
    5. Outside quoted text, comments are removed, white space becomes one space, and HTML entities, escapes
       (\\n, \\", \\_) and typographic quotes are replaced. Brackets around a whole SELECT are removed.

    Quoted text is unchanged, except where the whole answer is escaped. SQL that SQLite cannot parse is
    returned as the model wrote it: nothing is corrected.
    Not covered: quoted text that contains a tag of a thought or a special token; strings that a program
    joins; prose that SQLite can parse as part of the query (`FROM singer as requested`); prose after a
    statement that SQLite cannot parse.
    """
    queries = (_query(_turn(text)) for text in reversed(_outside_thoughts(raw)))
    return next(filter(None, queries), "")


def _outside_thoughts(raw: str) -> list[str]:
    """The texts before, between and after thoughts; an end without a beginning ends all text before it."""
    raw = _CHANNEL.sub("", raw, count=1)
    texts: list[str] = []
    begin: int | None = 0  # of the text outside thoughts; None inside
    for tag in _THOUGHT.finditer(raw):
        if tag["end"] or tag["over"]:
            texts = [] if begin is not None else texts
            begin = tag.end()
        elif begin is not None:
            texts.append(raw[begin : tag.start()])
            begin = None
    return texts if begin is None else [*texts, raw[begin:]]


def _turn(text: str) -> str:
    """The first text between special tokens that has a query; without escapes if all of it has them."""
    turns = _TURN.split(text)
    turn = next(filter(_QUERY.search, turns), turns[0])
    for _ in range(3):
        if not _ESCAPED_QUERY.search(turn):
            break
        turn = unescape(turn)
    return turn


def _query(text: str) -> str:
    """The query in a text without thoughts; "" if there is none."""
    places = list(find_places(text))
    chosen = _chosen(sorted(places, key=lambda place: (place.rank, place.at)))
    return _corrected(text, chosen, places).statement.sql if chosen else ""


def _chosen(places: list[Place]) -> Place | None:
    """The first place whose statement parses, of those of the best kind; if none does, the first of them."""
    for ranks in _KINDS:
        kind = [place for place in places if place.rank in ranks][:_MAX_PLACES]
        if Rank.WITHIN in ranks:  # prose has the word SELECT, but seldom FROM too
            kind = [place for place in kind if _FROM.search(place.statement.sql)]
        good = [place for place in kind if place.statement.parses]
        as_written = kind if Rank.TITLE not in ranks else []
        if good or as_written:
            return (good or as_written)[0]
    return None


def _corrected(text: str, chosen: Place, places: list[Place]) -> Place:
    """The last place after `chosen` whose query replaces it, by the text before; else `chosen`."""
    later = [place for place in places if place.at > chosen.at and place.rank <= Rank.INLINE]
    for place in later[-_MAX_LATER:]:
        end = chosen.statement.end if chosen.statement.parses else chosen.at + 1
        replaces = place.at >= end and _replaces(text[max(end, place.at - _NEAR) : place.at])
        if replaces and place.statement.parses:
            chosen = place
    return chosen


def _replaces(between: str) -> bool:
    """Whether the text between two queries says that the second replaces the first."""
    said = _HEADING.search(between) or _RETRACTION.search(between)
    return bool(said) and not _OPTION.search(between)
