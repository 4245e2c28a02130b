"""`voiceframe run`, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs voiceframe[telephony]")

from voiceframe.app import App
from voiceframe.run_command import app_of
from voiceframe.transports.twilio import Twilio

ROOT = Path(__file__).resolve().parent.parent


def started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("VOICEFRAME_", "TWILIO_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "voiceframe", "run", *arguments],
        cwd=ROOT,
        env=known | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_what_to_paste_serves_and_stops_when_it_is_told_to(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("from examples.echo import bot\n", encoding="utf-8")
    process = started(
        str(bot),
        "--port=0",
        TWILIO_AUTH_TOKEN="12345",
        VOICEFRAME_PUBLIC_URL="https://voice.example.com/",
        PYTHONPATH=str(ROOT),
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == (
            "Twilio, phone number, Voice Configuration, A call comes in: "
            "Webhook, https://voice.example.com/twilio/voice, HTTP POST\n"
        )
        port = process.stdout.readline().split(":")[1].split(";")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("environment", "code"),
    [({}, "server.no-secret"), ({"TWILIO_AUTH_TOKEN": "12345"}, "server.no-public-url")],
)
def test_without_what_it_needs_it_says_what_that_is(environment: dict[str, str], code: str) -> None:
    with started("examples/echo.py", **environment) as process:
        _, said = process.communicate(timeout=20)
        assert process.returncode == 2
        assert code in said
        assert "Traceback" not in said


def test_an_app_of_ones_own_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an app without a store of its own has one in the working folder
    file = tmp_path / "mine.py"
    file.write_text("from voiceframe import App\napp = App(lambda call: None, store=None)\n", encoding="utf-8")
    mine = app_of(str(file))
    assert isinstance(mine, App)
    assert not mine.endpoints
    other = app_of(str(ROOT / "examples/echo.py"))
    assert [type(endpoint) for endpoint in other.endpoints] == [Twilio]
    asyncio.run(other.aclose())
