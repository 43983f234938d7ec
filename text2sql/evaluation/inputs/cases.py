"""The cases in a file of gold queries and a file of predictions: their fields, and which belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from text2sql.errors import UserError
from text2sql.evaluation.inputs.layout import BIRD_SEPARATOR, Content, Entry, read_content
from text2sql.evaluation.inputs.text import STDIN
from text2sql.evaluation.verdicts import Case
from text2sql.schema.database_files import is_database_id

_GOLD_FORM = "write one gold query per line: its SQL, a tab, its db_id"
_PREDICTIONS_FORM = "write one prediction per line, and an empty line for a missing one"
_CLASSES = ("difficulty", "slice")
_SHOWN = 5  # ids in a message


@dataclass(frozen=True, slots=True)
class FieldNames:
    """The names that a field may have in JSON and in tables; of several in one row one must be chosen.

    `gold` and `pred` are the SQL of the two files, `db_id` the database, `id` what pairs their rows.
    """

    gold: tuple[str, ...] = ("query", "sql", "SQL", "gold", "gold_sql", "gold_query", "output")
    pred: tuple[str, ...] = (
        *("sql", "SQL", "prediction", "pred", "predicted", "predicted_sql", "pred_sql", "generated_sql"),
        *("answer", "output", "response"),
    )
    db_id: tuple[str, ...] = ("db_id",)
    id: tuple[str, ...] = ("question_id", "row")

    @classmethod
    def chosen(cls, options: Iterable[str]) -> FieldNames:
        """The usual names, except for the roles that `options` ("ROLE=NAME") gives another name.

        Raises:
            UserError: an option has another form, or names no role.
        """
        names = cls()
        for option in options:
            role, _, name = option.partition("=")
            if role not in cls.__slots__ or not name:
                roles = ", ".join(cls.__slots__)
                raise UserError(f"--field {option}: write ROLE=NAME, with a ROLE of {roles}")
            names = replace(names, **{role: (name,)})
        return names


class _Row(NamedTuple):
    """A gold query or a prediction; `ids` are those of its fields that can pair it, by their names."""

    where: str
    sql: str
    db_id: str
    group: str
    ids: Mapping[str, str]


def read_cases(gold: Path, pred: Path, names: FieldNames | None = None) -> list[Case]:
    """Return a case for each gold query, rows counted from 0, with the prediction that belongs to it.

    The files may have lines, a JSON list, JSON lines, or a table with a header, also compressed with gzip;
    the predictions also BIRD's JSON object. Rows belong together by their ids (see `_by_id`), or by
    position.

    Gold lines are SQL, tab, db_id; a blank line separates two sessions, and prediction lines must have it
    in the same place. A prediction is the text before the first tab of its line, as in the official
    evaluator; a blank line is an empty prediction. Lines end as in Python's universal newlines. The class of
    a case (`slice`) is BIRD's `difficulty`, if the gold has it.

    Raises:
        UserError: a file or a row cannot be read, or the files do not belong together.
    """
    names = names or FieldNames()
    if gold == pred == STDIN:
        raise UserError("standard input: only one of --gold and --pred can be read from it; name a file")
    gold_file, golds = _read_golds(gold, names)
    pred_file = read_content(pred, "--pred", (names.pred,), lenient=True)
    predictions = _paired(gold_file, golds, pred_file, _predictions(pred_file, gold_file, names), names)
    for found, predicted in zip(golds, predictions, strict=True):
        _require_database(gold_file, found, pred_file, predicted)
    pairs = zip(golds, predictions, strict=True)
    return [Case(row, g.db_id, g.sql, p.sql, g.group) for row, (g, p) in enumerate(pairs)]


# -- gold queries --


def read_golds(gold: Path, names: FieldNames | None = None) -> list[tuple[str, str]]:
    """Return SQL and db_id of each gold query of a file, which `read_cases` takes, too.

    Raises:
        UserError: the file or a row cannot be read, or there are none.
    """
    return [(found.sql, found.db_id) for found in _read_golds(gold, names or FieldNames())[1]]


def _read_golds(gold: Path, names: FieldNames) -> tuple[Content, list[_Row]]:
    file = read_content(gold, "--gold", (names.gold, names.db_id), lenient=False)
    golds = _golds(file, names)
    if not golds:
        raise UserError(f"{file.name}: no gold queries; {_GOLD_FORM}")
    return file, golds


def _golds(file: Content, names: FieldNames) -> list[_Row]:
    if file.kind == "lines":
        golds = [_gold_line(file.name, entry) for entry in file.entries if entry.value]
    elif file.kind == "rows":
        golds = [_gold_row(file.name, entry, names) for entry in file.entries]
    else:
        raise UserError(f"{file.name}: one JSON object with numbers as keys; write a list of objects")
    for found in golds:
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


def _gold_row(name: str, entry: Entry, names: FieldNames) -> _Row:
    row = _object(name, entry)
    sql = _text(name, entry, names.gold, "gold").strip()
    if not sql:
        raise UserError(f"{name}, {entry.where}: the gold query is empty; add it, or remove the row")
    db_id = _text(name, entry, names.db_id, "db_id")
    group = next((row[key] for key in _CLASSES if isinstance(row.get(key), str)), "")
    return _Row(entry.where, sql, db_id, group, _ids(name, entry, names))


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
    return _Row(entry.where, sql, db_id or own, "", _ids(name, entry, names))


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


def _ids(name: str, entry: Entry, names: FieldNames) -> dict[str, str]:
    found = {key: entry.value[key] for key in names.id if entry.value.get(key) is not None}
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise UserError(f"{name}, {entry.where}: {key} is {value!r}; write a number or a text")
    return {key: str(value).strip() for key, value in found.items()}


# -- pairs --


def _paired(
    gold: Content, golds: list[_Row], pred: Content, predictions: list[_Row], names: FieldNames
) -> list[_Row]:
    """The predictions in the order of the gold queries."""
    known = [key for key in names.id if any(key in row.ids for row in predictions)]
    if known:
        return _by_id(gold, golds, pred, predictions, known)
    if len(predictions) < len(golds):
        said = f"{len(predictions)} predictions, but {gold.name} has {len(golds)} queries"
        raise UserError(f"{pred.name}: {said}; {_PREDICTIONS_FORM}")
    if len(predictions) > len(golds):
        raise UserError(f"{pred.name}: more predictions than {gold.name}; {_PREDICTIONS_FORM}")
    return predictions


def _by_id(
    gold: Content, golds: list[_Row], pred: Content, predictions: list[_Row], known: Sequence[str]
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
    faults = {
        f"missing, which {gold.name} has": [it for it in gold_ids if it not in by_id],
        f"not in {gold.name}": sorted(set(predicted_ids) - set(gold_ids)),
    }
    found = [f"{_listed(name, ids)} {fault}" for fault, ids in faults.items() if ids]
    if found:
        raise UserError(f"{pred.name}: {'; '.join(found)}; write one prediction for each gold query")
    return [by_id[it] for it in gold_ids]


def _all_ids(file: Content, rows: Sequence[_Row], key: str) -> list[str]:
    without = next((row.where for row in rows if key not in row.ids), None)
    if without:
        raise UserError(f"{file.name}, {without}: no {key}, which other rows have; add it, or remove all")
    ids = [row.ids[key] for row in rows]
    repeated = [it for it, count in Counter(ids).items() if count > 1]
    if repeated:
        raise UserError(f"{file.name}: {_listed(key, repeated)} more than once; give each row its own")
    return ids


def _listed(key: str, ids: Collection[str]) -> str:
    first = ", ".join(list(ids)[:_SHOWN])
    return f"{key} {first}" + (f" and {len(ids) - _SHOWN} others" if len(ids) > _SHOWN else "")


def _require_database(gold: Content, found: _Row, pred: Content, predicted: _Row) -> None:
    if predicted.db_id and predicted.db_id != found.db_id:
        raise UserError(
            f"{pred.name}, {predicted.where}: database {predicted.db_id}, but {gold.name}, {found.where}, "
            f"has {found.db_id}; the files do not belong together, or their order differs"
        )
