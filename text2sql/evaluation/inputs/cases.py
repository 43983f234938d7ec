"""The cases in a file of gold queries and a file of predictions: their fields, and which belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from text2sql.errors import UserError
from text2sql.evaluation.doubtful.questions import Gold
from text2sql.evaluation.inputs.layout import BIRD_SEPARATOR, Content, Entry, read_content
from text2sql.evaluation.inputs.text import STDIN
from text2sql.evaluation.verdicts import Case
from text2sql.schema.database_files import is_database_id

_GOLD_FORM = "write one gold query per line: its SQL, a tab, its db_id"
_DB_ID_FORM = "add the name of its database as db_id, or name its field: --field db_id=NAME"
_PREDICTIONS_FORM = "write one prediction per line, and an empty line for a missing one"
_ROLES = {
    **{role: role for role in ("gold", "pred", "db_id", "id")},
    **{"gold.id": "gold_id", "pred.id": "pred_id"},
}
_CLASSES = ("difficulty", "slice")
_SHOWN = 5  # ids in a message


@dataclass(frozen=True, slots=True)
class FieldNames:
    """The names that a field may have in JSON and in tables; of several in one row one must be chosen.

    `gold` and `pred` are the SQL of the two files, `db_id` the database, `id` what pairs their rows;
    `gold_id` and `pred_id` are its name in one of the files, where that is another. `question` is what is
    asked, and of several in one row the first counts.
    """

    gold: tuple[str, ...] = ("query", "sql", "SQL", "gold", "gold_sql", "gold_query", "output")
    pred: tuple[str, ...] = (
        *("sql", "SQL", "prediction", "pred", "predicted", "predicted_sql", "pred_sql", "generated_sql"),
        *("answer", "output", "response"),
    )
    db_id: tuple[str, ...] = ("db_id",)
    id: tuple[str, ...] = ("question_id", "row")
    question: tuple[str, ...] = ("question", "SpiderSynQuestion", "input")
    gold_id: tuple[str, ...] = ()
    pred_id: tuple[str, ...] = ()

    @classmethod
    def chosen(cls, options: Iterable[str], *more: str) -> FieldNames:
        """The usual names, except for the roles that `options` ("ROLE=NAME") gives another name.

        `more`: roles beside those of `text2sql evaluate` that may be given one, such as question.

        Raises:
            UserError: an option has another form, or names no role.
        """
        names, known = cls(), _ROLES | {role: role for role in more}
        for option in options:
            role, _, name = option.partition("=")
            if role not in known or not name:
                roles = ", ".join(known)
                raise UserError(f"--field {option}: write ROLE=NAME, with a ROLE of {roles}")
            names = replace(names, **{known[role]: (name,)})
        return names


class _Row(NamedTuple):
    """A gold query or a prediction; `ids` are those of its fields that can pair it, by their names.

    `sql` of a gold query is "" where the row has none and the file need not have one in each.
    """

    where: str
    sql: str
    db_id: str
    group: str
    ids: Mapping[str, str | int]
    question: str = ""


def read_cases(
    gold: Path,
    pred: Path,
    names: FieldNames | None = None,
    warn: Callable[[str], object] = lambda warning: None,
) -> list[Case]:
    """Return a case for each gold query, rows counted from 0, with the prediction that belongs to it.

    The files may have lines, a JSON list, JSON lines, or a table with a header, also compressed with gzip;
    the predictions also BIRD's JSON object. Rows belong together by their ids (see `_by_id`), or by
    position.

    Gold lines are SQL, tab, db_id; a blank line separates two sessions, and prediction lines must have it
    in the same place. A prediction is the text before the first tab of its line, as in the official
    evaluator; a blank line is an empty prediction. Lines end as in Python's universal newlines. The class of
    a case (`slice`) is BIRD's `difficulty`, if the gold has it. `warn` is called where rows are paired by
    position, though they may have ids under an unknown name.

    Raises:
        UserError: a file or a row cannot be read, or the files do not belong together.
    """
    names = names or FieldNames()
    if gold == pred == STDIN:
        raise UserError("standard input: only one of --gold and --pred can be read from it; name a file")
    gold_file, golds = _read_golds(gold, names)
    pred_file = read_content(pred, "--pred", (names.pred,), lenient=True)
    predictions = _paired(gold_file, golds, pred_file, _predictions(pred_file, gold_file, names), names)
    if doubt := _doubt(gold_file, golds, pred_file, predictions, names):
        warn(doubt)
    for found, predicted in zip(golds, predictions, strict=True):
        _require_database(gold_file, found, pred_file, predicted)
    pairs = zip(golds, predictions, strict=True)
    return [Case(row, g.db_id, g.sql, p.sql, g.group, _own_id(g, p)) for row, (g, p) in enumerate(pairs)]


def _own_id(gold: _Row, predicted: _Row) -> str | int | None:
    """The id of a question, if one of the files has it; the number of its row is none."""
    ids = {**predicted.ids, **gold.ids}
    return next((value for key, value in ids.items() if key != "row"), None)


# -- gold queries --


def read_golds(gold: Path, names: FieldNames | None = None, partial: bool = False) -> list[Gold]:
    """Return the gold queries of a file, which `read_cases` takes, too; rows are counted from 0.

    `partial`: a row without a gold query is left out, and the others keep their numbers.

    Raises:
        UserError: the file or a row cannot be read, or there are none.
    """
    rows = _read_golds(gold, names or FieldNames(), partial)[1]
    return [Gold(n, row.db_id, row.sql, row.question) for n, row in enumerate(rows) if row.sql]


def _read_golds(gold: Path, names: FieldNames, partial: bool = False) -> tuple[Content, list[_Row]]:
    file = read_content(gold, "--gold", (names.gold, names.db_id), lenient=False)
    golds = _golds(file, names, partial)
    if not any(found.sql for found in golds):
        field = ", or name their field: --field gold=NAME" if file.kind == "rows" else ""
        raise UserError(f"{file.name}: no gold queries; {_GOLD_FORM}{field}")
    return file, golds


def _golds(file: Content, names: FieldNames, partial: bool) -> list[_Row]:
    if file.kind == "lines":
        golds = [_gold_line(file.name, entry) for entry in file.entries if entry.value]
    elif file.kind == "rows":
        golds = [_gold_row(file.name, entry, names, partial) for entry in file.entries]
    else:
        raise UserError(f"{file.name}: one JSON object with numbers as keys; write a list of objects")
    for found in (row for row in golds if row.sql):
        if "\0" in found.sql:
            raise UserError(f"{file.name}, {found.where}: a NUL byte in the SQL; remove it")
        if not is_database_id(found.db_id):
            said = f"{found.db_id!r} cannot be the name of a database"
            raise UserError(f"{file.name}, {found.where}: {said}; correct the db_id")
    return golds


def _gold_line(name: str, entry: Entry) -> _Row:
    fields = entry.value.split("\t")
    if len(fields) != 2:
        raise UserError(f"{name}, {entry.where}: {len(fields) - 1} tabs instead of one; {_GOLD_FORM}")
    return _Row(entry.where, fields[0], fields[1], "", {})


def _gold_row(name: str, entry: Entry, names: FieldNames, partial: bool) -> _Row:
    row = _object(name, entry)
    keys = [key for key in names.gold if not partial or (isinstance(row.get(key), str) and row[key].strip())]
    if not keys:
        return _Row(entry.where, "", "", "", {})
    sql = _text(name, entry, keys, "gold").strip()
    if not sql:
        raise UserError(f"{name}, {entry.where}: the gold query is empty; add it, or remove the row")
    db_id = _database(name, entry, names)
    group = next((row[key] for key in _CLASSES if isinstance(row.get(key), str)), "")
    question = next((row[key].strip() for key in names.question if isinstance(row.get(key), str)), "")
    return _Row(entry.where, sql, db_id, group, _ids(name, entry, names, names.gold_id), question)


def _database(name: str, entry: Entry, names: FieldNames) -> str:
    """The field db_id, or what DB-GPT's prose under `instruction` begins with."""
    from text2sql.schema.prose import is_prose, prose_database

    row = entry.value
    prose = row.get("instruction")
    if any(isinstance(row.get(key), str) for key in names.db_id):
        return _text(name, entry, names.db_id, "db_id")
    if isinstance(prose, str) and is_prose(prose):
        try:
            return prose_database(prose)
        except UserError as error:
            raise UserError(f"{name}, {entry.where}: no db_id, and in instruction: {error}") from error
    like = next((key for key in row if "db" in key.lower() or "database" in key.lower()), None)
    fix = f"name it with --field db_id={like}" if like else _DB_ID_FORM
    fields = ", ".join(map(str, row))
    raise UserError(
        f"{name}, {entry.where}: no text in a field {names.db_id[0]}; its fields: {fields}; {fix}"
    )


# -- predictions --


def _predictions(file: Content, gold: Content, names: FieldNames) -> list[_Row]:
    if file.kind == "lines":
        return _prediction_lines(file, gold)
    if file.kind == "object":
        return [_bird_prediction(file.name, entry, names) for entry in file.entries]
    return [_prediction_row(file.name, entry, names) for entry in file.entries]


def _prediction_lines(file: Content, gold: Content) -> list[_Row]:
    """The predictions in lines, without the blank ones between sessions and after the last gold query."""
    lines, wanted = file.entries, gold.entries
    if gold.kind == "lines":
        wanted = _without_blank_end(wanted, 0)
        lines = _without_sessions(file.name, lines, gold.name, wanted)
        wanted = [entry for entry in wanted if entry.value]
    lines = _without_blank_end(lines, len(wanted))
    return [_Row(line.where, line.value.split("\t")[0].strip(), "", "", {}) for line in lines]


def _without_sessions(name: str, lines: list[Entry], gold_name: str, golds: list[Entry]) -> list[Entry]:
    """The lines without those that are blank in the gold file."""
    if len(lines) < len(golds):
        raise UserError(f"{name}: {len(lines)} lines, but {gold_name} has more; {_PREDICTIONS_FORM}")
    for gold, line in zip(golds, lines, strict=False):
        if line.value and not gold.value:
            fix = "separate the sessions in the same places as the gold file"
            raise UserError(f"{name}, {line.where}: not blank, but {gold_name} is blank there; {fix}")
    kept = [line for gold, line in zip(golds, lines, strict=False) if gold.value]
    return kept + lines[len(golds) :]


def _without_blank_end(lines: list[Entry], least: int) -> list[Entry]:
    """The lines without the blank ones at the end, but at least so many."""
    end = len(lines)
    while end > least and not lines[end - 1].value:
        end -= 1
    return lines[:end]


def _bird_prediction(name: str, entry: Entry, names: FieldNames) -> _Row:
    """BIRD's evaluator takes a number in the place of the text for a missing prediction."""
    key, value = entry.value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f'{name}, {entry.where}: no text; write "SQL{BIRD_SEPARATOR!r}DB_ID"')
    sql, db_id = _without_database(value if isinstance(value, str) else "")
    return _Row(entry.where, sql, db_id, "", {names.id[0]: key})


def _prediction_row(name: str, entry: Entry, names: FieldNames) -> _Row:
    if isinstance(entry.value, str):
        sql, db_id = _without_database(entry.value)
        return _Row(entry.where, sql, db_id, "", {})
    row = _object(name, entry)
    sql, db_id = _without_database(_text(name, entry, names.pred, "pred"))
    own = next((row[key] for key in names.db_id if isinstance(row.get(key), str)), "")
    return _Row(entry.where, sql, db_id or own, "", _ids(name, entry, names, names.pred_id))


def _without_database(text: str) -> tuple[str, str]:
    sql, _, db_id = text.partition(BIRD_SEPARATOR)
    return sql.strip(), db_id.strip()


# -- fields --


def _object(name: str, entry: Entry) -> dict[str, Any]:
    if not isinstance(entry.value, dict):
        kind = type(entry.value).__name__
        raise UserError(
            f"{name}, {entry.where}: a {kind} instead of an object; write objects with named fields"
        )
    return entry.value


def _text(name: str, entry: Entry, keys: Sequence[str], role: str) -> str:
    """The one field among `keys` that is text."""
    found = [key for key in keys if isinstance(entry.value.get(key), str)]
    if len(found) == 1:
        return str(entry.value[found[0]])
    choose = f"say which one it is with --field {role}=NAME"
    if found:
        raise UserError(f"{name}, {entry.where}: several fields may be {role}: {', '.join(found)}; {choose}")
    fields = ", ".join(map(str, entry.value)) or "none"
    raise UserError(
        f"{name}, {entry.where}: no text in a field {' or '.join(keys)}; its fields: {fields}; {choose}"
    )


def _ids(name: str, entry: Entry, names: FieldNames, own: Sequence[str]) -> dict[str, str | int]:
    """The ids of a row by their names; the one that is called `own` in this file has all usual names."""
    row = {**entry.value, **dict.fromkeys(names.id, entry.value.get(own[0]))} if own else entry.value
    if own and entry.value.get(own[0]) is None:
        fields = ", ".join(map(str, entry.value)) or "none"
        raise UserError(f"{name}, {entry.where}: no {own[0]}; its fields: {fields}; correct --field")
    found = {key: row[key] for key in names.id if row.get(key) is not None}
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise UserError(f"{name}, {entry.where}: {key} is {value!r}; write a number or a text")
    return found


# -- pairs --


def _paired(
    gold: Content, golds: list[_Row], pred: Content, predictions: list[_Row], names: FieldNames
) -> list[_Row]:
    """The predictions in the order of the gold queries."""
    known = [key for key in names.id if any(key in row.ids for row in predictions)]
    if known:
        return _by_id(gold, golds, pred, predictions, known, names)
    if names.id != FieldNames().id and not any(row.ids for row in golds):
        fields = ", ".join(_fields(pred)) or "none"
        raise UserError(f"{pred.name}: no {names.id[0]}; its fields: {fields}; correct --field")
    if len(predictions) < len(golds):
        said = f"{len(predictions)} predictions, but {gold.name} has {len(golds)} queries"
        raise UserError(f"{pred.name}: {said}; {_PREDICTIONS_FORM}")
    if len(predictions) > len(golds):
        raise UserError(f"{pred.name}: more predictions than {gold.name}; {_PREDICTIONS_FORM}")
    return predictions


def _by_id(
    gold: Content,
    golds: list[_Row],
    pred: Content,
    predictions: list[_Row],
    known: Sequence[str],
    names: FieldNames,
) -> list[_Row]:
    """Pair by the first of the `known` ids that both files have, else by the gold's row, counted from 0.

    The keys of BIRD's predictions are such rows too, unless they are just the ids of the gold queries.
    """
    key = next((key for key in known if any(key in row.ids for row in golds)), None)
    name = key or ("row" if "row" in known else known[0])
    predicted_ids = _all_ids(pred, predictions, name)
    rows = [str(row) for row in range(len(golds))]
    gold_ids = rows if key is None else _all_ids(gold, golds, key)
    if pred.kind == "object" and set(predicted_ids) != set(gold_ids):
        gold_ids = rows
    by_id = dict(zip(predicted_ids, predictions, strict=True))
    meant = f"which {gold.name} has"
    if key is None and name != "row":
        meant = f"where the number of a row of {gold.name}, from 0, is expected, because it has no {name}"
    faults = {
        f"missing, {meant}": [it for it in gold_ids if it not in by_id],
        f"not in {gold.name}": sorted(set(predicted_ids) - set(gold_ids)),
    }
    called = names.pred_id[0] if names.pred_id else name
    found = [f"{_listed(called, ids)} {fault}" for fault, ids in faults.items() if ids]
    if found:
        raise UserError(f"{pred.name}: {'; '.join(found)}; write one prediction for each gold query")
    return [by_id[it] for it in gold_ids]


def _all_ids(file: Content, rows: Sequence[_Row], key: str) -> list[str]:
    without = next((row.where for row in rows if key not in row.ids), None)
    if without:
        raise UserError(f"{file.name}, {without}: no {key}, which other rows have; add it, or remove all")
    ids = [str(row.ids[key]).strip() for row in rows]
    repeated = [it for it, count in Counter(ids).items() if count > 1]
    if repeated:
        raise UserError(f"{file.name}: {_listed(key, repeated)} more than once; give each row its own")
    return ids


def _doubt(
    gold: Content, golds: list[_Row], pred: Content, predictions: list[_Row], names: FieldNames
) -> str:
    """Why rows that are paired without an id of both files may not belong together; "" if they do."""
    in_gold, in_pred = (next((key for row in rows for key in row.ids), "") for rows in (golds, predictions))
    if pred.kind == "object" or bool(in_gold) == bool(in_pred) or "row" in (in_gold, in_pred):
        return ""
    lacking, role, known = (pred, "pred", in_gold) if in_gold else (gold, "gold", in_pred)
    sql = getattr(names, role)
    others = [key for key in _fields(lacking) if key not in (*sql, *names.db_id)]
    if role == "gold":  # Spider's gold has no ids, and the predictions may have its rows
        others = [key for key in others if key.lower().endswith("id")]
    if not others:
        return ""
    other = gold if in_gold else pred
    how = "by position" if in_gold else "by the number of their row"
    said = f"no field {' or '.join(names.id)}, but {other.name} has {known}, so its rows are paired {how}"
    return (
        f"{lacking.name}: {said};"
        f" its fields: {', '.join(_fields(lacking))}; if one is the id, add --field {role}.id=NAME"
    )


def _fields(file: Content) -> list[str]:
    """The names of the fields in the first row; none if the file has no objects."""
    first = file.entries[0].value if file.kind == "rows" and file.entries else {}
    return list(map(str, first)) if isinstance(first, dict) else []


def _listed(key: str, ids: Collection[str]) -> str:
    first = ", ".join(list(ids)[:_SHOWN])
    return f"{key} {first}" + (f" and {len(ids) - _SHOWN} others" if len(ids) > _SHOWN else "")


def _require_database(gold: Content, found: _Row, pred: Content, predicted: _Row) -> None:
    if predicted.db_id and predicted.db_id != found.db_id:
        raise UserError(
            f"{pred.name}, {predicted.where}: database {predicted.db_id}, but {gold.name}, {found.where}, "
            f"has {found.db_id}; the files do not belong together, or their order differs"
        )
