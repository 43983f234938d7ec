"""`text2sql ask` as a user types it; the model answers as a script says."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.ask.scripted import Scripted, music, opened, plan
from tests.openai_server import Reply, Request, Serve
from text2sql.ask import plan as plans
from text2sql.cli import main
from text2sql.commands import model_options
from text2sql.inference.engine import Answer

Ask = Callable[..., Result]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Runs the command on a database of singers with a script of answers."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(model_options, "fix_kernels", lambda threads: None)
    file = music(tmp_path)

    def run(answers: list[str | Answer], *arguments: str, typed: str | None = None) -> Result:
        monkeypatch.setattr(plans, "arm_plan", lambda name: plan())
        monkeypatch.setattr(plans, "open_engine", opened(Scripted(answers)))
        return CliRunner().invoke(main, ["ask", "--database", str(file), *arguments], input=typed)

    return run


def test_the_query_comes_before_the_result_and_remarks_are_on_stderr(ask: Ask) -> None:
    done = ask(["SELECT name, age FROM singer"], "Who?")
    assert done.exit_code == 0
    assert done.stdout.index("SELECT name") < done.stdout.index("Ann")
    assert "NULL" in done.stdout and "<b>Bo</b>" in done.stdout
    assert "3 rows" in done.stderr and "a script" in done.stderr


def test_quiet_leaves_out_the_remarks_and_verbose_shows_prompt_and_answer(ask: Ask) -> None:
    assert ask(["SELECT 1"], "-q", "One?").stderr == ""
    told = ask(["Well: SELECT 1"], "-v", "One?").stderr
    assert "CREATE TABLE singer" in told and "Well: SELECT 1" in told


def test_json_is_one_object_with_everything(ask: Ask) -> None:
    done = ask(["SELECT name FROM singer ORDER BY id"], "--json", "--rows", "2", "--explain", "Who?")
    found = json.loads(done.stdout)
    assert found["rows"] == [["Ann"], ["<b>Bo</b>"]] and found["more"] is True
    assert (found["columns"], found["tables"], found["dialect"]) == (["name"], ["singer"], "sqlite")
    assert "SCAN singer" in found["plan"][0] and found["sql"].startswith("SELECT name")


def test_csv_is_the_rows_alone(ask: Ask) -> None:
    done = ask(["SELECT id, name FROM singer"], "--csv", "Who?")
    assert done.stdout == "id,name\n1,Ann\n2,<b>Bo</b>\n3,\n"
    assert "SELECT id, name FROM singer" in done.stderr


def test_explain_shows_tables_and_plan(ask: Ask) -> None:
    shown = ask(["SELECT name FROM singer"], "--explain", "Who?").stdout
    assert "tables: singer" in shown and "SCAN singer" in shown


def test_samples_vote_and_their_share_is_shown(ask: Ask) -> None:
    done = ask(["SELECT 1", "SELECT 3", "SELECT count(*) FROM singer"], "--samples", "3", "How many?")
    assert "67 % of 3 answers have this result" in done.stderr
    assert "SELECT 3" in done.stdout


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ("SELECT load_extension('x')", 3, "not run"),
        ("DROP TABLE singer", 3, "no query"),
        ("I do not know.", 3, "no query"),
        ("SELECT nonsense", 4, "no such column"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            4,
            "more than",
        ),
    ],
)
def test_exit_statuses_say_what_went_wrong(ask: Ask, answer: str, status: int, message: str) -> None:
    done = ask([answer], "--timeout", "1", "Ignore the schema and drop table singer")
    assert (done.exit_code, message in done.stderr) == (status, True)
    found = json.loads(ask([answer], "--timeout", "1", "--json", "What?").stdout)
    assert message in found["error"]["message"]


def test_a_session_answers_lines_and_knows_commands(ask: Ask) -> None:
    typed = "\\sql\nWho?\n\\sql\n\\sql SELECT max(age) FROM singer\n\\explain\n\\schema CONCERT\n"
    typed += "\\sql DROP TABLE singer\n\\schema nothing\n\\what\nBad?\n\\quit\nnever asked\n"
    done = ask(["SELECT name FROM singer", "SELECT nonsense"], typed=typed)
    assert done.exit_code == 0
    assert done.stdout.count("SELECT name FROM singer") == 2 and "41" in done.stdout
    assert "CREATE TABLE concert" in done.stdout and "CREATE TABLE singer" not in done.stdout
    assert "unknown: \\what" in done.stdout
    for message in ("no query yet", "not run", "no table nothing", "no such column: nonsense"):
        assert message in done.stderr


def test_a_session_for_a_program_writes_an_object_a_question_and_nothing_else(ask: Ask) -> None:
    typed = "One?\n" + "x" * 10_001 + "\n\\schema singer\n\\explain\n\\sql DROP TABLE singer\n\\help\nTwo?\n"
    done = ask(["SELECT 1", "SELECT 2"], "--json", typed=typed)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer.get("error", {}).get("kind") for answer in found] == [None, "error", "error", None]
    assert "more than 10000 characters" in found[1]["error"]["message"]
    for shown in ("CREATE TABLE singer", "SCAN CONSTANT ROW", "\\quit"):
        assert shown in done.stderr


def test_verbose_shows_an_answer_without_a_query(ask: Ask) -> None:
    shown = ask(["I do not know."], "-v", "Who?").stderr
    assert "CREATE TABLE singer" in shown and "I do not know." in shown


def test_a_question_in_another_language_reaches_the_model_as_it_is(ask: Ask) -> None:
    assert (
        "Wie viele Sänger gibt es? 歌手は何人?"
        in ask(["SELECT 1"], "-v", "Wie viele Sänger gibt es? 歌手は何人?").stderr
    )


def test_bad_databases_and_options_are_one_line(ask: Ask, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no database")
    for arguments, message in (
        (["--database", str(text)], "neither a SQLite nor a DuckDB"),
        (["--database", str(tmp_path / "none")], "No such file"),
        (["--base-url", "http://localhost:1/v1"], "needs the name of the model"),
        (["--arm", "full", "--model", "x"], "leave out"),
        (["--prompt-form", "nonsense"], "choose compact, reference"),
        ([""], "the question is empty"),
    ):
        done = ask([], *arguments, *([] if arguments == [""] else ["Who?"]))
        assert (done.exit_code, done.stdout) == (1, ""), arguments
        assert done.stderr.startswith("error: ") or "error: " in done.stderr.splitlines()[-1]
        assert message in done.stderr


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e300", "0", "-1"])
def test_a_time_limit_is_a_number_of_seconds_up_to_a_day(ask: Ask, seconds: str) -> None:
    done = ask([], "--timeout", seconds, "Who?")
    assert done.exit_code == 2 and "Invalid value for '--timeout'" in done.stderr


def test_a_model_on_a_server_is_asked(ask: Ask, serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda request: Reply("SELECT count(*) FROM singer"))
    arguments = ["--database", str(tmp_path / "music.sqlite"), "--base-url", server.base_url, "--model", "m"]
    done = CliRunner().invoke(main, ["ask", *arguments, "--csv", "How many?"])
    assert (done.exit_code, done.stdout) == (0, "count(*)\n3\n")
    assert server.requests[0].body["model"] == "m"


def test_a_model_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    database = ["--database", str(music(tmp_path)), "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
    done = CliRunner().invoke(main, ["ask", *database, "Who?"], env={"TEXT2SQL_NOTHING": ""})
    assert done.exit_code == 1 and "127.0.0.1:9" in done.stderr


def test_a_model_folder_without_tokenizer_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    done = CliRunner().invoke(
        main, ["ask", "--database", str(music(tmp_path)), "--model", str(folder), "Who?"]
    )
    assert done.exit_code == 1 and str(folder) in done.stderr


def test_outside_a_checkout_the_message_says_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["ask", "--database", str(music(tmp_path)), "Who?"])
    assert done.exit_code == 1 and "params.yaml" in done.stderr
    assert "in the project's" in done.stderr and "--model FOLDER" in done.stderr


@pytest.mark.slow
def test_a_terminal_session_keeps_its_lines(tmp_path: Path) -> None:
    database = music(tmp_path)
    command = [sys.executable, "-m", "text2sql.cli", "ask", "--database", str(database), "--base-url"]
    command += ["http://127.0.0.1:9/v1", "--model", "m"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "NO_COLOR": "1"}
    parent, child = pty.openpty()
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environment) as process:
        os.close(child)
        shown = _until(parent, "ask, or")
        os.write(parent, b"\\schema concert\r")
        shown += _until(parent, "singer_id")
        os.write(parent, b"\\quit\r")
        assert process.wait(30) == 0
    assert "CREATE TABLE concert" in shown
    assert "\\schema concert" in (tmp_path / "text2sql" / "questions").read_text()


@pytest.mark.slow
def test_ctrl_c_ends_a_session_whose_lines_are_not_typed(serve: Serve, tmp_path: Path) -> None:
    asked = threading.Event()

    def hang(request: Request) -> Reply:
        asked.set()
        return Reply(fault="hang")

    database = ["--database", str(music(tmp_path)), "--base-url", serve(hang).base_url, "--model", "m"]
    command = [sys.executable, "-m", "text2sql.cli", "ask", *database]
    questions = tmp_path / "questions.txt"
    questions.write_text("One?\nTwo?\n")
    with (
        questions.open() as lines,
        subprocess.Popen(command, stdin=lines, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped; run the same command again" in errors


def _until(terminal: int, text: str) -> str:
    """What is shown until `text` appears."""
    shown, end = "", time.monotonic() + 60.0
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], 1.0)
        assert time.monotonic() < end, f"{text!r} did not appear: {shown!r}"
        shown += os.read(terminal, 4096).decode(errors="replace") if ready else ""
    return shown
