"""A bot calls somebody of the test kit, who picks up; and `voiceframe chat --called` does so in the terminal."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from voiceframe import App, Call, Pipeline
from voiceframe.chat import chat
from voiceframe.chat_script import parse_line
from voiceframe.cli import main
from voiceframe.dialling import LoopbackDialler
from voiceframe.errors import DialError, TestKitError
from voiceframe.processors import EnergyVAD, Turns
from voiceframe.processors.agents import Agent
from voiceframe.subject import Subject, subject_of
from voiceframe.testing import AudioCaller, Caller, ScriptedLLM, ToneTTS, TwilioCaller, answer, dial
from voiceframe.tones import tone

ANN = "+447700900101"
CALLING = """
from voiceframe import Agent, Call, Pipeline

def bot(call: Call) -> Pipeline:
    greeting = f"Calling {call.to}." if call.direction == "outbound" else "You have called."
    return Pipeline([call.transport.input(), Agent("it", greeting=greeting), call.transport.output()])
"""


def bot(call: Call) -> Pipeline:
    agent = Agent("it", "You call.", ScriptedLLM(["Very well."]), greeting=f"Hello, {call.data['context']['name']}!")
    if not call.has_audio:
        return Pipeline([call.transport.input(), agent, call.transport.output()])
    return Pipeline([call.transport.input(), EnergyVAD(), Turns(), agent, ToneTTS(), call.transport.output()])


async def test_somebody_is_called_and_talks() -> None:
    async with answer(bot, ANN, subject=("appointment", "7"), context={"name": "Ann"}, seed=3) as callee:
        assert isinstance(callee, Caller)
        call = callee.call
        assert (call.direction, call.to, call.id) == ("outbound", ANN, "call_00000003")
        assert subject_of(call) == Subject("appointment", "7")
        assert not call.has_audio
        await callee.hears("hello, ann")
        await callee.says("Yes")
        await callee.hears("very well")
    kinds = [event.kind for event in callee.record.events if event.kind != "agent.advised"]
    assert kinds[:4] == ["dial.started", "call.started", "dial.ended", "call.answered"]
    assert kinds[-1] == "call.ended"


async def test_it_is_the_same_by_sound() -> None:
    async with answer(bot, via="audio", context={"name": "Ann"}, voice=lambda text: tone(300, 500)) as callee:
        assert isinstance(callee, AudioCaller)
        assert callee.call.has_audio
        await callee.hears("hello, ann")
        await callee.listens()
        assert len(callee.bot_spoke) == 1


async def test_a_bot_that_cannot_begin_calls_nobody() -> None:
    with pytest.raises(DialError, match=r"bot it could not|name"):
        async with answer(bot, ANN):
            pass


async def test_somebody_has_a_number_and_picks_up_once() -> None:
    dialler = LoopbackDialler()
    ann = Caller(180)
    ann.answers(dialler, ANN, rings_ms=3_000)
    async with App(bot, dialler, store=None):
        waiting = asyncio.ensure_future(ann.is_called())
        dialled = await dialler.place(ANN, bot, context={"name": "Ann"})
        assert await waiting is dialled.call
        await ann.hears("hello, ann")
        assert ann.record.of("dial.ended")[0].data["ring_ms"] == 3_000
        await ann.hangs_up()
        again = await dialler.place(ANN, bot, context={"name": "Ann"})
        assert (await again.answered()).outcome == "no-answer"
        await again.call.wait_ended()


async def test_who_is_never_called_does_not_wait_for_ever() -> None:
    ann = Caller(180)
    ann.answers(LoopbackDialler(), ANN)
    with pytest.raises(TimeoutError):
        await ann.is_called(within_ms=5_000)


def test_who_has_no_line_in_memory_cannot_be_called() -> None:
    caller = object.__new__(TwilioCaller)
    caller._line = None
    with pytest.raises(TestKitError) as caught:
        caller.answers(LoopbackDialler(), ANN)
    assert caught.value.code == "test.no-line"


async def test_a_bot_that_says_nothing_cannot_be_interrupted() -> None:
    def silent(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), call.transport.output()])

    async with dial(silent) as caller:
        with pytest.raises(TestKitError) as caught:
            await caller.interrupts("Wait")
    assert caught.value.code == "test.not-speaking"


# -- in the terminal


@pytest.fixture
def calling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.py").write_text(CALLING)
    return tmp_path


def test_a_script_says_who_is_called(calling: Path) -> None:
    (calling / "script.txt").write_text(f"# Ann\n/called {ANN}\n/hears calling .{ANN[1:]}\n")
    out = io.StringIO()
    assert chat("bot.py", script="script.txt", out=out) == 0, out.getvalue()
    assert "dial.ended outcome=answered" in out.getvalue()


def test_the_command_says_who_is_called(calling: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (calling / "script.txt").write_text("/hears calling\n")
    assert main(["chat", "bot.py", "--script", "script.txt", "--called", ANN]) == 0
    (calling / "script.txt").write_text("/hears you have called\n")
    assert main(["chat", "bot.py", "--script", "script.txt"]) == 0
    assert main(["chat", "bot.py", "--script", "script.txt", "--called", "0301"]) != 0
    assert "E.164" in capsys.readouterr().err


def test_who_is_called_is_said_first(calling: Path) -> None:
    (calling / "script.txt").write_text(f"/hears you have called\n/called {ANN}\n")
    out = io.StringIO()
    assert chat("bot.py", script="script.txt", out=out) == 1
    assert "must be said before anything else" in out.getvalue()
    with pytest.raises(TestKitError) as caught:
        raise TestKitError.of("test.called")
    assert "`/called NUMBER`" in caught.value.fix


@pytest.mark.parametrize("line", ["/called", "/called 0301", "/called +0301234567", "/called Ann"])
def test_a_number_is_in_e164(line: str) -> None:
    with pytest.raises(ValueError, match="/called"):
        parse_line(line)
