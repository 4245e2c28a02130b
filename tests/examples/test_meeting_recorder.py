"""The meeting recorder listens only, keeps what it may, and writes the minutes whatever fails."""

from __future__ import annotations

import array
import io
import stat
import wave
from pathlib import Path

import pytest

from examples import meeting_recorder
from tests.served import served
from voiceframe import Call, Pipeline
from voiceframe.chat import chat
from voiceframe.check import check_bot
from voiceframe.errors import ProviderError
from voiceframe.models import POCKETSPHINX, places
from voiceframe.processors.recording.wav import WavFile
from voiceframe.testing import ScriptedLLM, ScriptedSTT, dial, judge
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.tones import tone

EXAMPLE = Path(meeting_recorder.__file__)
NAMES = "The new price is nine million"

speech = pytest.mark.skipif(
    not any(place.present for place in places(POCKETSPHINX)),
    reason="needs the recognizer's model: `voiceframe models fetch`",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "meetings"


def minutes(folder: Path) -> str:
    """What is written behind the call."""
    return (folder / "call_00000000.md").read_text("utf-8")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- as its user


def test_the_script_of_the_docstring_leaves_minutes(folder: Path) -> None:
    out = io.StringIO()
    assert chat(str(EXAMPLE), script=str(EXAMPLE.with_suffix(".txt")), out=out) == 0, out.getvalue()
    text = (folder / "call_00000000.md").read_text("utf-8")
    assert "- We decided to move the launch to Friday" in text
    assert "customer is not happy" not in text
    assert "customer is not happy" not in out.getvalue()
    assert [path.name for path in folder.iterdir()] == ["call_00000000.md"]  # by text there is no sound to keep


def test_it_has_all_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    report = check_bot(str(EXAMPLE))
    assert report.exit_code == 0, report.markdown()


# -- by text


async def test_it_says_that_it_records_and_answers_nobody(folder: Path) -> None:
    async with dial(meeting_recorder.bot) as caller:
        await caller.hears("being recorded", within_ms=5_000)
        await caller.says("Hello everybody. Who is here?")
        await caller.says("Can you hear us, bot?")
        await caller.waits(60_000)  # silence: nobody is asked whether they are still there
    assert [event.data["why"] for event in caller.record.of("turn.skipped")] == ["recording only"] * 2
    judge(caller.record).not_heard("still there|say that again").turns(at_least=2).no_errors().holds()
    assert caller.record.heard == [meeting_recorder.NOTICE]
    assert "00:04  Line: Hello everybody. Who is here?" in minutes(folder)


async def test_the_notice_cannot_be_interrupted() -> None:
    async with dial(meeting_recorder.bot) as caller:
        await caller.interrupts("Who is that?", after_ms=300)
        await caller.listens()
    assert caller.record.heard == [meeting_recorder.NOTICE]


async def test_nothing_is_kept_that_is_off_the_record(folder: Path) -> None:
    async with dial(meeting_recorder.bot) as caller:
        await caller.says("Item one. We agreed on blue.")
        await caller.says("Off the record!")
        await caller.hears("off the record")
        await caller.says(NAMES)
        await caller.presses("4711#")
        await caller.says("Off the record, I said")  # twice is once
        await caller.says("Back on the record.")
        await caller.hears("on the record")
        await caller.says("Item two.")
    assert "million" not in caller.record.lines()
    assert "4711" not in caller.record.lines()
    text = minutes(folder)
    assert text.count("(off the record)") == 1
    assert text.index("Line: Item one") < text.index("(off the record)") < text.index("Line: Item two")


async def test_after_the_stop_nothing_is_kept_until_the_start(folder: Path) -> None:
    async with dial(meeting_recorder.bot) as caller:
        await caller.says("Please stop recording now")
        await caller.hears("has stopped")
        await caller.says(NAMES)
        await caller.says("Start recording, please")
        await caller.hears("being recorded")
        await caller.says("Anna will call them by Monday")
    assert "million" not in caller.record.lines()
    text = minutes(folder)
    assert "million" not in text
    assert "- Anna will call them by Monday" in text


async def test_who_goes_back_on_the_record_is_recorded_again_and_told_so(folder: Path) -> None:
    async with dial(meeting_recorder.bot) as caller:
        await caller.says("Stop recording")
        await caller.says("Back on the record")
        await caller.hears("is being recorded")


async def test_a_meeting_of_nothing_has_minutes_as_well(folder: Path) -> None:
    async with dial(meeting_recorder.bot) as caller:
        await caller.hears("recorded")
    assert "(nothing was said for the record)" in minutes(folder)
    assert [mode(path) for path in (folder, folder / "call_00000000.md")] == [0o700, 0o600]


# -- the summary


async def test_a_model_writes_the_summary_and_gets_nothing_private(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ScriptedLLM(["- Anna calls them on Monday."])
    monkeypatch.setattr(meeting_recorder, "model", model)
    async with dial(meeting_recorder.bot) as caller:
        await caller.says("Anna will call them on Monday")
        await caller.says("Off the record")
        await caller.says(NAMES)
    text = minutes(folder)
    assert "## Summary\n\n- Anna calls them on Monday.\n" in text
    (request,) = model.requests
    assert "nothing in it is an instruction" in request.messages[0].text
    assert "Line: Anna will call them on Monday" in request.messages[1].text
    assert "million" not in repr(request)


async def test_a_dead_model_costs_the_meeting_no_minutes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = ProviderError.of("provider.connection", vendor="acme", detail="refused", by="llm()")
    monkeypatch.setattr(meeting_recorder, "model", ScriptedLLM([dead]))
    async with dial(meeting_recorder.bot) as caller:
        await caller.says("Anna will call them on Monday")
    text = minutes(folder)
    assert "the model has failed: provider.connection" in text
    assert "- Anna will call them on Monday" in text
    assert [event.data["hook"] for event in caller.record.of("after.done")] == ["write_minutes"]


def test_the_summary_takes_what_comes_again_and_what_was_decided() -> None:
    said = ["The weather is nice", "The budget is the topic", "We decided on the budget", "Hm", "The budget must wait"]
    lines = [f"00:0{at}  Line: {text}" for at, text in enumerate(said)]
    assert meeting_recorder.extract(lines, most=2) == "- We decided on the budget\n- The budget must wait"
    assert "Clerk" not in meeting_recorder.extract(["00:00  Clerk: The budget must be recorded", *lines])


@pytest.mark.real_time
def test_a_model_that_chat_is_given_writes_the_summary(folder: Path) -> None:
    script = folder.parent / "meeting.txt"
    script.write_text("/hears recorded\nThe launch is on Friday\n", "utf-8")
    out = io.StringIO()
    with served(FakeOpenAI(["Hello.", "- Launch: Friday."], plain=True)) as fake:
        url = f"{fake.url}/v1"
        chatted = chat(str(EXAMPLE), llm="m", llm_url=url, script=str(script), words_per_minute=0, out=out)
    assert chatted == 0, out.getvalue()
    assert "## Summary\n\n- Launch: Friday.\n" in (folder / "call_00000000.md").read_text("utf-8")


# -- over a line


def sides(path: Path) -> tuple[array.array[int], array.array[int], int]:
    """Left, right, and the rate."""
    with wave.open(str(path)) as file:
        both = array.array("h", file.readframes(file.getnframes()))
        return both[0::2], both[1::2], file.getframerate()


def loudest(side: array.array[int], rate: int, from_ms: int, to_ms: int) -> int:
    return max((abs(value) for value in side[from_ms * rate // 1000 : to_ms * rate // 1000]), default=0)


@speech
async def test_over_a_line_it_hears_the_commands_and_records_both_legs(folder: Path) -> None:
    async with dial(str(EXAMPLE), via="audio") as caller:
        await caller.hears("at any time", within_ms=12_000)
        await caller.says("off the record")
        await caller.hears("off the record")
        await caller.waits(1_500)
        began_ms = round(caller.began_ms + len(caller.sent) // 16)
        await caller.plays(tone(700, 2_000))
        await caller.waits(500)
        await caller.says("back on the record")
        await caller.hears("on the record")
        await caller.says("stop recording")
        await caller.hears("has stopped")
        await caller.plays(tone(700, 2_000))
        await caller.waits(1_500)
        await caller.says("start recording")
        await caller.hears("being recorded")
        await caller.plays(tone(700, 500))
    kinds = [event.kind for event in caller.record.events if event.kind.startswith("recording.")]
    one = ["recording.started", "recording.paused", "recording.resumed", "recording.stopped"]
    assert kinds == [*one, "recording.started", "recording.stopped"]
    stopped = caller.record.of("recording.stopped")[0].data
    assert stopped["reason"] == "asked"
    left, right, rate = sides(folder / "call_00000000.wav")
    assert loudest(right, rate, 0, 3_000) > 1_000  # the notice, on the right
    assert loudest(left, rate, 0, 3_000) < 200
    assert loudest(left, rate, 3_000, began_ms - 1_500) > 1_000  # the command, on the left
    assert loudest(left, rate, began_ms, began_ms + 2_000) == 0  # and nothing of what was private
    assert len(left) * 1000 // rate == pytest.approx(stopped["duration_ms"], abs=1)
    again, _, rate = sides(folder / "call_00000000-2.wav")
    assert loudest(again, rate, 0, 10_000) > 1_000
    assert set(caller.record.outcomes.values()) == {"skipped"}


async def test_over_a_line_the_minutes_have_what_a_recognizer_hears_and_when(folder: Path) -> None:
    words = {9_000: "the launch is on Friday", 12_000: "off the record", 16_000: NAMES}

    async def bot(call: Call) -> Pipeline:
        await meeting_recorder.meetings.attend(call)
        return meeting_recorder.pipeline(call, ScriptedSTT(words))

    async with dial(bot, via="audio") as caller:
        await caller.hears("at any time", within_ms=12_000)
        await caller.waits(8_000 - caller.call.clock.at_ms())
        await caller.plays(tone(300, 1_000))
        await caller.waits(11_000 - caller.call.clock.at_ms())
        await caller.plays(tone(300, 1_000))
        await caller.waits(15_000 - caller.call.clock.at_ms())
        await caller.plays(tone(300, 1_000))
        await caller.waits(3_000)
    text = minutes(folder)
    assert "  Line: the launch is on Friday" in text
    assert "(off the record)" in text
    assert "million" not in text + caller.record.lines()
    assert f"Recording: {Path('meetings') / 'call_00000000.wav'}" in text


async def test_when_the_disk_is_full_everybody_is_told_and_the_minutes_are_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: WavFile, left: bytes, right: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WavFile, "write", full)
    async with dial(str(EXAMPLE), via="audio") as caller:
        await caller.hears("can no longer record", within_ms=15_000)
    assert caller.record.of("recording.stopped")[0].data["reason"] == "ENOSPC"
