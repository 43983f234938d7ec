"""SQL scripts of any database system, cut into statements.

A script is cut where people end statements: at a semicolon, at the mark that DELIMITER names, at a line GO or
/, and, because semicolons are often missing, before a CREATE TABLE, and before CREATE, INSERT INTO, ALTER
TABLE, DROP, COMMENT ON or PRAGMA at the start of a line. Strings, quoted names, comments, $$ bodies and the
bodies of triggers and procedures are not searched for such places. No text is refused.
Not covered: the text after a string or comment that never ends, which belongs to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NAME = r'(?:"(?:[^"]|"")+(?:"|\Z)|`(?:[^`]|``)+(?:`|\Z)|\[(?!\d*\])[^\]\[\n]*\]|[^\W\d][\w$#@]*)'
"""A regular expression for a name: in double quotes, backticks or brackets, or a word.

Here and below, what is never closed ends with the text: a search for its end from every beginning would take
too long.
"""

BACKSLASH = frozenset(("mysql", "bigquery", "databricks", "hive", "spark", "clickhouse", "snowflake"))
"""sqlglot's names of the database systems in which a backslash in a string escapes the next character."""
_STRING = r"'(?:[^']|'')*(?:'|\Z)"
_ESCAPED = r"'(?:[^'\\]|\\.|'')*(?:'|\Z)"
_HIDDEN = rf"""--[^\n]* | ^[ \t]*\#[^\n]* | /\*.*?(?:\*/|\Z) | \bE{_ESCAPED}
    | (?<![\w$])\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z) | {{string}}
    | "(?:[^"]|"")*(?:"|\Z) | `[^`]*(?:`|\Z) | \[[^\]\[\n]*\]"""
_PLACES = r"""
    | (?P<copy> ^COPY\s[^;]{1,2000}?\sFROM\s+STDIN\b[^;\n]*;[^\n]*\n .*? (?:^\\\.[ \t\r]*$ | \Z) )
    | (?P<delimiter> ^[ \t]*DELIMITER[ \t]+(?P<mark>\S+)[^\n]* )
    | (?P<batch> ^[ \t]*(?:GO(?:[ \t]+\d+)?|/)[ \t]*;?[ \t\r]*$ )
    | (?P<client> ^[ \t]*(?:\\[a-z!?][^\n]* | (?:source|prompt|rem|spool)\b[^\n]* | \.[a-z][^\n]*) )
    | (?P<open> \( ) | (?P<close> \) ) | (?P<end> ; )
    | (?P<table> \bCREATE\s+TABLE\b )
    | (?P<start> ^[ \t]*(?:CREATE|INSERT\s+INTO|INSERT|ALTER\s+TABLE|DROP|COMMENT\s+ON|PRAGMA)\b )
    | (?P<block> \b(?:BEGIN|CASE)\b ) | (?P<other_end> \bEND\s+(?:IF|LOOP|WHILE|REPEAT)\b )
    | (?P<block_end> \bEND(?:\s+CASE)?\b )
"""
_FLAGS = re.VERBOSE | re.DOTALL | re.MULTILINE | re.IGNORECASE
_SCAN = {
    escapes: re.compile(_HIDDEN.format(string=_ESCAPED if escapes else _STRING) + _PLACES, _FLAGS)
    for escapes in (False, True)
}
_DELIMITER = re.compile(r"^[ \t]*DELIMITER\b", re.MULTILINE | re.IGNORECASE)
_BATCHES = re.compile(r"^[ \t]*GO[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
_LEADING = re.compile(r"(?:\s+|--[^\n]*|\#[^\n]*|/\*(?!!).*?(?:\*/|\Z))+", re.DOTALL)
_CONDITIONAL = re.compile(r"/\*!\d*\s*")  # text in it is executed by MySQL only
_TEMPORARY = re.compile(r"\w+\s+TABLE\s+(?:[\w\[\]]+\.+)*\[?#", re.IGNORECASE)  # T-SQL
_WORD = re.compile(r"[A-Za-z_]+")
_ROUTINES = frozenset("TRIGGER PROCEDURE PROC FUNCTION EVENT PACKAGE RULE".split())  # noqa: SIM905
_WHOLE = _ROUTINES | {"VIEW", "GRANT"}  # in which CREATE does not begin another statement
_OBJECTS = _ROUTINES | frozenset(
    """AGGREGATE CAST COLLATION CONSTRAINT CONVERSION DATABASE DEFAULT DOMAIN EXTENSION INDEX LANGUAGE LOGIN
    OPERATOR POLICY PUBLICATION ROLE SCHEMA SEQUENCE SERVER STATISTICS SYNONYM TABLE TABLESPACE TYPE USER VIEW
    WAREHOUSE""".split()  # noqa: SIM905
)
_VERBS = frozenset(
    """ANALYZE BEGIN CALL CHECKPOINT CLUSTER COMMIT COPY DECLARE DELETE DO END EXEC EXECUTE EXPLAIN GRANT IF
    INSERT LOAD LOCK MERGE OPTIMIZE PRAGMA PRINT REINDEX RELEASE REPLACE RETURN REVOKE ROLLBACK SAVEPOINT
    SELECT SET START TRUNCATE UNLOCK UPDATE USE VACUUM VALUES WITH""".split()  # noqa: SIM905
)
_HEAD = 400  # characters in which a statement says what it is


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement without its end mark; `kind` is such as CREATE TABLE, INSERT, SET, COPY, psql command."""

    kind: str
    text: str


def statements(text: str, dialect: str | None = None) -> Iterator[Statement]:
    """Yield the statements of a script in order; `dialect` is sqlglot's name of its database system."""
    for piece in _Splitter(text, dialect in BACKSLASH).pieces():
        kind = piece.kind or _kind(piece.text)
        if kind:
            leading = _LEADING.match(piece.text)
            yield Statement(kind, piece.text[leading.end() if leading else 0 :].rstrip())


def guess_dialect(text: str) -> str:
    """sqlglot's name of the database system that a script looks like; postgres if there is no sign."""
    found = {name: len(signs.findall(text)) for name, signs in _SIGNS.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else "postgres"


def bare(name: str) -> str:
    """A name without its quotes."""
    if name[:1] in ('"', "`"):
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[:1] == "[" else name


_SIGNS = {
    name: re.compile(signs, re.IGNORECASE)
    for name, signs in {
        "mysql": r"`|\bENGINE\s*=|\bAUTO_INCREMENT\b|\bUNSIGNED\b|\bENUM\s*\(|\bDELIMITER\b|\bCOMMENT\s+'",
        "tsql": r"^\s*GO\s*$|\[[a-z_][\w ]*\]|\bIDENTITY\b|\bNVARCHAR\b|\bUNIQUEIDENTIFIER\b|\bCLUSTERED\b",
        "oracle": r"\bVARCHAR2\b|\bNUMBER\s*\(|\bNUMBER\b|\bCLOB\b|\bSYSDATE\b|\bTABLESPACE\b|\bVISIBLE\b",
        "duckdb": r"\bSTRUCT\s*\(|\bMAP\s*\(|\bHUGEINT\b|\bUNION\s*\(|\b(?:VARCHAR|INTEGER|DOUBLE)\[",
        "snowflake": r"\bVARIANT\b|\bTIMESTAMP_[LNT]TZ\b|\bNUMBER\s*\(\s*38|\bTRANSIENT\b|\bWAREHOUSE\b",
        "bigquery": r"\bINT64\b|\bFLOAT64\b|\bSTRUCT\s*<|\bARRAY\s*<|\bSTRING\b",
        "postgres": r"::|\b(?:BIG|SMALL)?SERIAL\b|\bJSONB\b|\bNEXTVAL\b|\$\$|\btext\[|\bOWNER\s+TO\b"
        r"|\bCHARACTER\s+VARYING\b|\bWITH(?:OUT)?\s+TIME\s+ZONE\b|\bTIMESTAMPTZ\b|^\\",
    }.items()
}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the text; `kind` is "" where the part itself says it."""

    text: str
    kind: str = ""


class _Splitter:
    """Cuts one script. `begin` is where the present statement begins."""

    def __init__(self, text: str, escapes: bool) -> None:
        self._text = text
        self._scan = _SCAN[escapes]
        self._in_batches = bool(_BATCHES.search(text))
        self._reset(0)

    def pieces(self) -> Iterator[_Piece]:
        at = 0
        while place := self._scan.search(self._text, at):
            name, at = place.lastgroup, place.end()
            if name in ("copy", "client", "delimiter", "mark"):
                if name == "client" and not self._is_blank(place.start()):
                    continue
                yield _Piece(self._text[self._begin : place.start()])
                if name == "copy":
                    yield _Piece(place[0], "COPY")
                elif name == "client":
                    yield _Piece(place[0], _client(place[0]))
                else:
                    following = _DELIMITER.search(self._text, at)
                    end = following.start() if following else len(self._text)
                    if place["mark"] != ";":
                        yield from map(_Piece, self._text[at:end].split(place["mark"]))
                        at = end
                self._reset(at)
            elif name == "batch" or (name == "end" and not self._in_routine()):
                yield _Piece(self._text[self._begin : place.start()])
                self._reset(at)
            elif name in ("table", "start") and self._starts(place):
                yield _Piece(self._text[self._begin : place.start()])
                self._reset(place.start())
            else:
                self._count(name)
        yield _Piece(self._text[self._begin :])

    def _reset(self, begin: int) -> None:
        self._begin, self._depth, self._blocks = begin, 0, 0
        self._head: str | None = None

    def _count(self, name: str | None) -> None:
        self._depth += {"open": 1, "close": -1}.get(name or "", 0)
        self._blocks += {"block": 1, "block_end": -1}.get(name or "", 0)

    def _is_blank(self, end: int) -> bool:
        begin = self._begin
        found = _LEADING.match(self._text, begin, end)
        return (found.end() if found else begin) >= end

    def _object(self) -> str:
        """What the present statement creates, such as TRIGGER; GRANT for one that speaks of statements."""
        if self._head is None:
            kind = _kind(self._text[self._begin : self._begin + 4 * _HEAD])
            created = kind.partition(" ")[2] if kind.startswith(("CREATE", "ALTER")) else ""
            self._head = "GRANT" if kind in ("GRANT", "REVOKE") else created
        return self._head

    def _in_routine(self) -> bool:
        """Whether a semicolon here is inside the body of a trigger or procedure."""
        return self._object() in _ROUTINES and (self._in_batches or self._blocks > 0)

    def _starts(self, place: re.Match[str]) -> bool:
        """Whether a statement begins here although the one before has no end."""
        if self._is_blank(place.start()):
            return False
        first = place.start() == 0 or self._text[place.start() - 1] == "\n"
        if place.lastgroup == "table" and first:
            return True
        return self._depth <= 0 and self._object() not in _WHOLE


def _client(line: str) -> str:
    word = line.split()[0].lower()
    return {"\\": "psql command", ".": "dot command"}.get(word[0], word)


def _kind(text: str) -> str:
    """What a statement is, in one or two words; "" if there is none."""
    found = _LEADING.match(text)
    head = text[found.end() if found else 0 :][:_HEAD]
    if not head:
        return ""
    words = [word.upper() for word in _WORD.findall(_CONDITIONAL.sub("", head))[:12]]
    if not words or not (head[0].isalpha() or head.startswith("/*!")):
        return "other text"
    if words[0] in ("CREATE", "ALTER", "DROP"):
        at = next((n for n, word in enumerate(words[1:], 1) if word in _OBJECTS), 0)
        special = {"VIRTUAL", "TEMP", "TEMPORARY"}.intersection(words[1:at])
        temporary = special or _TEMPORARY.match(head)
        name = "VIRTUAL " if "VIRTUAL" in special else "TEMPORARY " if temporary else ""
        return f"{words[0]} {name}{words[at]}" if at else words[0]
    if words[0] == "COMMENT":
        return "COMMENT ON"
    return words[0] if words[0] in _VERBS else "other text"
