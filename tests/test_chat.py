"""`voiceframe chat`: scripts, what is shown, and what is kept."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from voiceframe.chat import chat
from voiceframe.chat_script import Action, parse_line, parse_script
from voiceframe.cli import main
from voiceframe.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["echo", "two_agents"])
def test_the_examples_run_with_their_scripts(name: str) -> None:
    out = io.StringIO()
    code = chat(str(ROOT / f"examples/{name}.py"), script=str(ROOT / f"examples/{name}.txt"), out=out)
    assert code == 0, out.getvalue()


def test_a_script_says_the_same_on_every_run(tmp_path: Path) -> None:
    shown, kept = [], []
    for run in range(2):
        out = io.StringIO()
        events = tmp_path / f"events{run}.jsonl"
        bot, script = str(ROOT / "examples/two_agents.py"), str(ROOT / "examples/two_agents.txt")
        chat(bot, script=script, seed=7, events_file=str(events), out=out)
        shown.append(out.getvalue())
        kept.append(events.read_bytes())
    assert shown[0] == shown[1]
    assert kept[0] == kept[1]
    kinds = [json.loads(line)["kind"] for line in kept[0].splitlines()]
    assert (kinds[0], kinds[-1], kinds.count("turn.committed")) == ("call.started", "call.ended", 5)


def test_an_expectation_that_fails_fails_the_script(tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text("hello\n/hears goodness gracious\n")
    out = io.StringIO()
    assert chat(str(ROOT / "examples/echo.py"), script=str(script), out=out) == 1
    assert "FAILED" in out.getvalue()
    assert "goodness gracious" in out.getvalue()


def test_a_cut_reply_is_shown_as_far_as_it_was_heard(tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text("tell me something that takes a while to say\n/interrupt 1200 stop\n")
    out = io.StringIO()
    chat(str(ROOT / "examples/echo.py"), script=str(script), show_events=False, out=out)
    assert "You said: tell me —" in out.getvalue()


def test_lines_of_a_script() -> None:
    text = "# a remark\n\nhello there\n/interrupt 400 wait, please\n/keys 12#\n/wait 1500\n"
    text += "/hears which (day|time)\n/hangup\n"
    assert parse_script(text) == [
        Action("say", "hello there"),
        Action("interrupt", "wait, please", 400),
        Action("keys", "12#"),
        Action("wait", ms=1500),
        Action("hears", "which (day|time)"),
        Action("hangup"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/hears (", "not a regular expression"),
        ("/keys abc", "/keys 12#"),
        ("/wait soon", "/wait 1500"),
        ("/interrupt wait", "/interrupt 400 wait"),
        ("/hangup now", "/hangup"),
        ("/dance", "there is no /dance"),
    ],
)
def test_a_line_that_makes_no_sense_is_explained(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_line(line)
    assert words in str(caught.value)


def test_the_line_of_a_script_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"calls\.txt, line 3"):
        parse_script("one\ntwo\n/three\n", "calls.txt")


def test_input_from_a_pipe_on_real_time() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "voiceframe", "chat", "examples/echo.py", "--wpm", "0", "--no-events"],
        cwd=ROOT,
        input="hello\n/hears hello\nbye\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "You said: hello" in done.stdout
    assert "Goodbye!" in done.stdout


def test_wrong_input_is_explained_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "no_such_bot.py"]) == 2
    error = capsys.readouterr().err
    assert "there is no such file" in error
    assert "[bot.not-found]" in error


def test_the_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    help_text = capsys.readouterr().out
    assert help_text.startswith("usage: voiceframe")
    for command in ("chat", "soak", "docs"):
        assert command in help_text
