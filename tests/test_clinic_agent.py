"""The clinic with a model: booked by its tools in what callers say, and heard without a network."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("espeakng_loader", reason="needs voiceframe[local]")
pytest.importorskip("starlette", reason="needs voiceframe[telephony]")

from tests.clinic_brain import Brain, BrainLLM, BrainOpenAI
from tests.served import served
from voiceframe import Call, Pipeline, Processor
from voiceframe.clock import run_virtual
from voiceframe.demo import clinic_agent
from voiceframe.demo.calendar import Calendar
from voiceframe.demo.callers import Actor, OnTheLine, make_plan, verdict
from voiceframe.demo.command import demo, demo_runs
from voiceframe.demo.telephoning import local_now
from voiceframe.frames import ExpectFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.models import POCKETSPHINX, places
from voiceframe.testing import ScriptedLLM, call_tool, dial
from voiceframe.testing.run import rig

speech = pytest.mark.skipif(
    not any(place.present for place in places(POCKETSPHINX)),
    reason="needs the recognizer's model: `voiceframe models fetch`",
)
NOW = local_now(False)


def brainy(call: Call) -> Pipeline:
    return clinic_agent.pipeline(call, model=BrainLLM(Brain(call.data["calendar"], NOW)))


class Line(OnTheLine):
    """Over text keys are complete after a pause."""

    async def presses(self, digits: str) -> None:
        await super().presses(digits)
        await self._caller.waits(clinic_agent.Keys.PAUSE_MS + 500)


def with_calendar(path: Path, bot: Callable[[Call], Pipeline] = brainy) -> Callable[[Call], Pipeline]:
    def made(call: Call) -> Pipeline:
        call.data["calendar"] = Calendar(path)
        return bot(call)

    return made


@pytest.mark.parametrize("seed", range(1, 13))
async def test_callers_book_or_are_put_through(seed: int, tmp_path: Path) -> None:
    async with dial(with_calendar(tmp_path / "clinic.db"), seed=seed) as caller:
        actor = Actor(Line(caller), make_plan(seed, NOW))
        await actor.act()
        reason = await caller.hears_the_end(within_ms=20_000)
    booked = Calendar(tmp_path / "clinic.db").appointments()
    assert verdict(actor, reason, str(caller.call.data.get("outcome")), booked) == ""


async def test_a_caller_who_wants_a_person_is_handed_over(tmp_path: Path) -> None:
    async with dial(with_calendar(tmp_path / "clinic.db")) as caller:
        await caller.says("operator")
        await caller.hears("put you through")
        assert await caller.hears_the_end() == "handed-over"
    (handoff,) = caller.record.of("handoff.requested")
    assert handoff.data["target"] == "reception"


async def test_keys_are_a_turn_and_interrupt(tmp_path: Path) -> None:
    model = ScriptedLLM(["What is your name? You can also type it, with the letters of your telephone.", "Anna Smith."])
    bot = with_calendar(tmp_path / "clinic.db", lambda call: clinic_agent.pipeline(call, model=model))
    async with dial(bot) as caller:
        await caller.says("hello")
        await caller.hears("your name")
        await caller.presses("764")
        await caller.presses("84#")
        await caller.hears("Anna Smith")
    assert model.requests[1].messages[-1].text == "(Keys pressed: 76484#)"
    assert caller.record.of("interruption")


def test_the_model_knows_the_doctors_and_the_days(tmp_path: Path) -> None:
    texts: list[str] = []

    async def talk() -> None:
        model = ScriptedLLM(["Good morning."])
        bot = with_calendar(tmp_path / "clinic.db", lambda call: clinic_agent.pipeline(call, model=model))
        async with dial(bot) as caller:
            await caller.says("hello")
            await caller.hears("good morning")
        texts.append(model.requests[0].messages[0].text)

    run_virtual(talk())
    assert "The doctors are Dr Brown, Dr Lee, Dr Garcia." in " ".join(texts[0].split())
    assert "Monday the fifth of January is 2026-01-05" in texts[0]
    assert "Saturday the" not in texts[0]
    assert "It is Thursday the first of January 2026, 00:00." in texts[0]


# -- tools


async def test_the_tools_say_what_a_model_needs(tmp_path: Path) -> None:
    Calendar(tmp_path / "clinic.db").book("other", "Anna Smith", "Dr Lee", date(2026, 1, 5), time(10))
    booking = {"patient": "Peter Miller", "doctor": "Dr Lee", "day": "2026-01-05", "at": "10:30"}

    async def outcome(name: str, **arguments: Any) -> str:
        model = ScriptedLLM([call_tool(name, **arguments), "Well."])
        bot = with_calendar(tmp_path / "clinic.db", lambda call: clinic_agent.pipeline(call, model=model))
        async with dial(bot) as caller:
            await caller.says("hello")
            await caller.hears("well")
        return model.requests[1].messages[-1].text

    taken = await outcome("book", **(booking | {"at": "10:00"}))
    assert json.loads(taken)["result"] == "Busy"
    assert "at nine" in json.loads(taken)["free"]
    assert json.loads(await outcome("book", **booking))["result"] == "Booked"
    refused = await outcome("book", **(booking | {"doctor": "Dr House"}))
    assert "There is no doctor 'Dr House'; there are Dr Brown" in refused
    assert "There is no patient 'Bob'" in await outcome("book", **(booking | {"patient": "Bob"}))
    assert "closed on Sundays" in await outcome("book", **(booking | {"day": "2026-01-04"}))
    assert "take times from nine to four thirty" in await outcome("book", **(booking | {"at": "20:00"}))
    free = json.loads(await outcome("free_times", day="2026-01-05"))
    assert list(free) == ["Dr Brown", "Dr Lee", "Dr Garcia"]
    assert free["Dr Lee"].startswith("nine, nine thirty, eleven")
    assert list(json.loads(await outcome("free_times", day="2026-01-05", doctor="Dr Lee"))) == ["Dr Lee"]
    assert "closed" in await outcome("free_times", day="2026-01-04")
    assert "no doctor 'Dr Who'" in await outcome("free_times", day="2026-01-05", doctor="Dr Who")
    assert await outcome("find_patient", said="76484#") == "Anna Smith"
    assert await outcome("find_patient", said="my name is Linda Baker") == "Linda Baker"
    assert "nobody of that name" in await outcome("find_patient", said="Rumpelstiltskin")


# -- hearing


async def test_the_recognizer_is_told_what_may_be_answered(tmp_path: Path) -> None:
    expects = clinic_agent.Expects()
    async with rig(expects) as running:
        running.call.data["calendar"] = Calendar(tmp_path / "clinic.db")

        async def after(text: str) -> str:
            before = len(running.result.up)
            number = expects.begin_reply()
            for frame in (ReplyStartedFrame(number, None, True), TextFrame(text, number), ReplyEndedFrame(number)):
                running.push(frame)
            await asyncio.sleep(0)
            found = [frame for frame in running.result.up[before:] if isinstance(frame, ExpectFrame)]
            return found[-1].jsgf if found else ""

        name = await after("All right. What is your name?")
        assert "anna smith" in name
        assert "opening hours" not in name
        day = await after("Dr Lee. On which day?")
        assert "tomorrow" in day
        assert "yes" in day  # or no, to Dr Lee
        assert await after("Dr Lee. On which day?") == ""  # known already
        assert "yes" in await after("Anna Smith, with Dr Lee, on Monday at ten. Is that right?")
        anything = await after("Tell me more.")
        for phrase in ("anna smith", "doctor lee", "tomorrow", "opening hours", "yes", "operator"):
            assert phrase in anything


@speech
def test_it_is_called_and_books_by_sound(tmp_path: Path) -> None:
    def bot(call: Call) -> Pipeline:
        return brainy(call)

    out = io.StringIO()
    assert demo(fast=True, folder=str(tmp_path), bot=bot, as_json=True, out=out) == 0
    found = json.loads(out.getvalue())
    assert {check["id"]: check["verdict"] for check in found["checks"]}["demo.corrected"] == "pass"
    assert {check["verdict"] for check in found["checks"]} == {"pass"}
    assert [tool["name"] for tool in found["tools"]] == ["book", "hang_up"]
    model = found["model"]
    assert (model["name"], model["requests"]) == ("scripted/clinic", len(found["turns"]) + 1)
    assert model["first_word"]["p50_ms"] == pytest.approx(320, abs=20)
    assert model["input_tokens"] == 1_000 * model["requests"]
    page = (tmp_path / "call.html").read_text("utf-8")
    assert "scripted/clinic" in page
    assert "Its first word" in page
    assert "hang_up" in page


@pytest.mark.slow
@speech
def test_many_calls_are_understood() -> None:
    out = io.StringIO()
    assert demo_runs(3, seed=2, bot=brainy, as_json=True, out=out) == 0
    assert json.loads(out.getvalue())["pass_rate"] == 1.0


@speech
@pytest.mark.slow
def test_a_model_by_its_sdk_answers_a_call_at_real_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason="needs voiceframe[openai]")
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    calendar = Calendar(tmp_path / "doctors.db")
    with served(BrainOpenAI(Brain(calendar, local_now(True)), models=("small",))) as fake:
        out = io.StringIO()
        assert demo(llm_url=f"{fake.url}/v1", folder=str(tmp_path / "call"), out=out) == 0
        assert fake.connections == 0
    assert "It answers with small at http://127.0.0.1" in out.getvalue()
    assert "model        openai/small: first word p50" in out.getvalue()
    assert "All of it went as it should." in out.getvalue()


@speech
@pytest.mark.parametrize(
    ("part", "code", "mended"),
    [("stt", 0, "turn.committed"), ("tts", 0, "reply.heard"), ("db", 1, "handoff.requested")],
)
def test_a_part_that_is_killed_is_noticed_and_mended(part: Any, code: int, mended: str, tmp_path: Path) -> None:
    def bot(call: Call, *parts: Processor) -> Pipeline:
        return clinic_agent.pipeline(call, *parts, model=BrainLLM(Brain(call.data["calendar"], NOW)))

    out = io.StringIO()
    assert demo(fast=True, part=part, folder=str(tmp_path), bot=bot, as_json=True, out=out) == code
    found = json.loads(out.getvalue())
    assert found["break"]["mended"]["event"] == mended
    assert (found["appointment"] is None) == (part == "db")
