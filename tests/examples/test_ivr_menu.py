"""The menu: every way of it, by keys and by voice, at any hour, and what goes wrong."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import os
import sys
import wave
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from voiceframe.bots import load_bot
from voiceframe.chat import chat
from voiceframe.check import check_bot
from voiceframe.cli import main
from voiceframe.clock import VIRTUAL_EPOCH_MS
from voiceframe.flow import Workflow, check_workflow
from voiceframe.models import POCKETSPHINX, SILERO, places
from voiceframe.testing import Database, dial, inserted, judge, repeat
from voiceframe.testing.voices import Voice, speech

ROOT = Path(__file__).resolve().parents[2]
FILE = str(ROOT / "examples/ivr_menu.py")
MENU = str(ROOT / "examples/ivr_menu.yaml")
TEXT = Path(MENU).read_text("utf-8")
DAY = str(ROOT / "examples/flows/ivr_day.txt")
MONDAY, SATURDAY = "2026-01-05", "2026-01-03"
CREW = "+12125550177"

audible = pytest.mark.skipif(
    not all(any(place.present for place in places(model)) for model in (POCKETSPHINX, SILERO))
    or importlib.util.find_spec("espeakng_loader") is None,
    reason="needs voiceframe[local], and its models: `voiceframe models fetch`",
)


@pytest.fixture
def ivr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, with an office of its own."""
    monkeypatch.chdir(tmp_path)
    load_bot(FILE)
    return sys.modules["voiceframe_bot_ivr_menu"]


async def at(day: str, hour: str) -> None:
    """Let it be this time in New York: on virtual time days pass at once."""
    then = datetime.fromisoformat(f"{day} {hour}").replace(tzinfo=ZoneInfo("America/New_York"))
    now_s = VIRTUAL_EPOCH_MS / 1000 + asyncio.get_running_loop().time()
    await asyncio.sleep(then.timestamp() - now_s)


def handed(caller: Any) -> tuple[str, str]:
    one = caller.record.handoffs[-1]
    return one.target, one.number


# -- the file, by its commands


@pytest.mark.parametrize("options", [[], ["--tools", FILE]])
def test_the_flow_can_work(ivr: ModuleType, options: list[str]) -> None:
    assert main(["flow", "check", MENU, *options]) == 0


def test_every_way_of_it_can_be_walked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", "test", MENU, "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "22 of 22 nodes were reached" in said
    assert "32 of 32 ways were taken" in said


def test_a_day_of_it_goes_as_the_script_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", "test", MENU, "--script", DAY]) == 0, capsys.readouterr().out
    assert "morning → opening → menu → account → look_up → unknown → look_up → owed" in capsys.readouterr().out


@pytest.mark.parametrize("form", [[], ["--mermaid"]])
def test_it_can_be_drawn(tmp_path: Path, form: list[str]) -> None:
    picture = tmp_path / "ivr.svg"
    assert main(["flow", "draw", MENU, *form, "-o", str(picture)]) == 0
    drawn = picture.read_text("utf-8")
    assert all(name in drawn for name in ("menu", "crew", "box", "restored"))


def test_what_cannot_work_is_refused_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(TEXT.replace("to: look_up}", "to: lok_up}", 1), "utf-8")
    assert main(["flow", "check", str(broken)]) != 0
    said = "".join(capsys.readouterr())
    line = next(at for at, row in enumerate(TEXT.splitlines(), 1) if row.startswith("  account: {kind: collect"))
    assert f"broken.yaml:{line}" in said
    assert "look_up" in said


def test_the_script_of_the_docstring_is_answered(ivr: ModuleType) -> None:
    out = io.StringIO()
    assert chat(FILE, script=FILE.replace(".py", ".txt"), out=out) == 0, out.getvalue()


def test_it_has_all_that_it_needs(ivr: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "secret")
    monkeypatch.setenv("VOICEFRAME_PUBLIC_URL", "https://voice.example.com")
    report = check_bot(FILE)
    assert report.exit_code == 0, report.markdown()


# -- by day and by night, in words


@pytest.mark.parametrize(
    ("day", "hour", "greeting", "open_now"),
    [
        (MONDAY, "08:00", "good morning", True),
        (MONDAY, "07:59", "good morning", False),
        (MONDAY, "12:00", "good afternoon", True),
        (MONDAY, "17:59", "good afternoon", True),
        (MONDAY, "18:00", "good evening", False),
        (SATURDAY, "12:30", "good afternoon", True),
        (SATURDAY, "13:00", "good afternoon", False),
        ("2026-01-04", "10:00", "good morning", False),
    ],
)
async def test_the_greeting_and_the_menu_go_by_the_hour(
    ivr: ModuleType, day: str, hour: str, greeting: str, open_now: bool
) -> None:
    await at(day, hour)
    async with dial(ivr.bot) as caller:
        said = await caller.listens()
    assert said.startswith(f"Riverside Power, {greeting}.")
    assert ("We are closed" not in said) is open_now


async def test_a_bill_is_told_to_who_knows_its_number(ivr: ModuleType) -> None:
    await at(MONDAY, "10:00")
    async with dial(ivr.bot) as caller:
        await caller.says("my bill")
        await caller.hears("account number")
        await caller.says("four seven one one nine nine")
        await caller.hears("there is no account four seven one one nine nine")
        await caller.presses("471100")
        await caller.hears("one hundred twenty dollars, and due on the first of may.*press one")
    caller.record.tool_called("bill", account="471199").tool_called("bill", account="471100")
    judge(caller.record).no_unanswered_turn().no_errors().holds()


async def test_a_known_power_cut_is_told_at_any_hour(ivr: ModuleType) -> None:
    for day, hour in ((SATURDAY, "03:00"), (MONDAY, "10:00")):
        await at(day, hour)
        async with dial(ivr.bot) as caller:
            await caller.says("power cut")
            await caller.says("one one one zero one")
            await caller.hears("power cut in queens.*back at ten")
            assert await caller.hears_the_end() == "completed"
        assert caller.call.data["outcome"] == "outage-known"


@pytest.mark.parametrize("why", ["unknown", "dead tool", "not understood"])
async def test_any_other_power_cut_gets_the_crew(ivr: ModuleType, why: str) -> None:
    if why == "dead tool":
        ivr.office.close()
    async with dial(ivr.bot) as caller:  # it is the evening of the 31st of December
        await caller.listens()
        await caller.presses("1")
        await caller.hears("zip code")
        for _ in range(2 if why == "not understood" else 1):
            await caller.says("hm" if why == "not understood" else "one one one zero two")
        await caller.hears("emergency crew")
        assert await caller.hears_the_end() == "handed-over"
    assert handed(caller) == (CREW, CREW)
    assert caller.record.of("handoff.requested")[0].data["reason"] == "power cut"


@pytest.mark.parametrize("how", ["operator", "0", "not understood", "silence"])
async def test_who_wants_a_person_or_is_not_understood_gets_one(ivr: ModuleType, how: str) -> None:
    await at(MONDAY, "10:00")
    async with dial(ivr.bot) as caller:
        await caller.listens()
        if how == "0":
            await caller.presses("0")
        elif how == "silence":
            await caller.presses("9")
            await caller.listens()
            await caller.presses("8")
        else:
            for _ in range(2 if how == "not understood" else 1):
                await caller.says("mumble" if how == "not understood" else how)
        await caller.hears("put you through")
    assert handed(caller)[0] == "reception"


async def test_the_crew_cannot_be_interrupted_and_the_menu_can(ivr: ModuleType) -> None:
    await at(MONDAY, "10:00")
    async with dial(ivr.bot) as caller:
        await caller.interrupts("the power is out", after_ms=1_000)
        await caller.hears("zip code")
        await caller.says("one one one zero two")
        await caller.interrupts("wait", after_ms=3_000)
        assert await caller.hears_the_end() == "handed-over"
    assert "I will put you through to our emergency crew." in caller.record.heard  # to its end


async def test_a_message_by_night_is_on_the_list_of_those_who_call_back(ivr: ModuleType) -> None:
    office = Database(ivr.office, ignore=("key",))
    before = office.snapshot()
    async with dial(ivr.bot, from_="+12025550101") as caller:
        await caller.says("leave a message")
        await caller.hears("after the tone")
        await caller.says("This is Ann Lee. My bill is wrong.")
        await caller.hears("we will call you back", within_ms=15_000)
        assert await caller.hears_the_end() == "completed"
    noted = inserted("messages", caller="+12025550101", path="", text="This is Ann Lee. My bill is wrong.")
    judge(caller.record).add(office.since(before).check(noted)).holds()
    assert [event.kind for event in caller.record.of("turn.skipped", "flow.recorded")] == [
        "turn.skipped",
        "flow.recorded",
    ]


async def test_who_says_nothing_after_the_tone_leaves_nothing(ivr: ModuleType) -> None:
    async with dial(ivr.bot) as caller:
        await caller.says("leave a message")
        await caller.hears("goodbye", within_ms=20_000)
    assert not ivr.office.execute("select * from messages").fetchall()


async def test_a_change_of_the_file_holds_for_the_next_call_and_a_broken_one_for_none(
    ivr: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, menu = TEXT, tmp_path / "menu.yaml"
    menu.write_text(text, "utf-8")
    monkeypatch.setattr(ivr, "MENU", menu)
    changes = [text.replace("Riverside", "Lakeside"), text.replace("to: menu", "to: manu")]
    failed = []
    for number, change in enumerate([text, *changes]):
        menu.write_text(change, "utf-8")
        os.utime(menu, (number, number))
        async with dial(ivr.bot) as caller:
            await caller.hears("Lakeside Power" if number else "Riverside Power")
        failed.append(len(caller.record.of("flow.reload-failed")))
    assert failed == [0, 0, 1]


async def test_the_workflows_keep_their_contracts(ivr: ModuleType) -> None:
    message = ["leave a message", "This is Ann Lee, please call me back", "/wait 5000"]
    crew = Workflow.preset("transfer-handoff", turns=["/keys 1", "one one one zero two"], target=CREW)
    box = Workflow(
        "message",
        turns=message,
        fields=["box.text"],
        nodes=["evening", "closed", "box", "filed", "thanks"],
        outcome="message",
        handoffs="none",
    )
    report = await check_workflow(ivr.bot, [crew, box])
    assert report.exit_code == 0, report.markdown()


# -- over a line


@audible
async def test_over_a_line_by_voice(ivr: ModuleType) -> None:
    await at(MONDAY, "10:00")
    async with dial(ivr.bot, via="audio", voice=lambda text: speech(text, Voice(rate_wpm=150))) as caller:
        await caller.hears("for our opening hours three", within_ms=15_000)
        await caller.says("I have a question about my bill")
        await caller.hears("account number", within_ms=15_000)
        await caller.says("four seven one one zero zero")
        await caller.hears("one hundred twenty dollars", within_ms=15_000)
    caller.record.tool_called("bill", account="471100")
    judge(caller.record).no_errors().no_unanswered_turn().holds()


@audible
async def test_over_a_line_by_keys_that_are_only_to_be_heard(ivr: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVR_INBAND_KEYS", "1")
    async with dial(ivr.bot, via="audio") as caller:
        await caller.hears("for a power cut press one", within_ms=15_000)
        await caller.presses("1", in_band=True)  # into the prompt
        await caller.hears("zip code", within_ms=15_000)
        await caller.listens()
        await caller.presses("11101", in_band=True)
        await caller.hears("power cut in queens", within_ms=20_000)
        assert await caller.hears_the_end() == "completed"
    assert caller.record.of("interruption")[0].data["reason"] == "key"
    assert caller.record.turns == ["1", "11101"]
    assert {event.data["source"] for event in caller.record.of("turn.committed")} == {"dtmf"}


@audible
async def test_over_a_line_by_keys_of_which_the_carrier_tells(ivr: ModuleType) -> None:
    async with dial(ivr.bot, via="twilio") as caller:
        await caller.hears("press two", within_ms=15_000)
        await caller.presses("1")
        await caller.hears("zip code")
        await caller.listens()
        await caller.presses("11101")
        await caller.hears("power cut in queens", within_ms=20_000)
        assert await caller.hears_the_end() == "completed"
    assert caller.record.turns == ["1", "11101"]
    assert "InbandDTMF" not in caller.record.of("call.started")[0].data["pipeline"]  # it would count each press twice


@audible
async def test_over_a_line_a_message_is_recorded(ivr: ModuleType, tmp_path: Path) -> None:
    async with dial(ivr.bot, via="audio", from_="+12025550101") as caller:
        await caller.hears("press two", within_ms=15_000)
        await caller.presses("2")
        await caller.hears("after the tone", within_ms=15_000)
        await caller.waits(1_500)
        await caller.plays(speech("this is Ann Lee and my bill is wrong", Voice()))
        await caller.hears("we will call you back", within_ms=20_000)
    ((path,),) = ivr.office.execute("select path from messages")
    with wave.open(str(tmp_path / path)) as file:
        assert file.getnframes() / file.getframerate() > 2
    assert caller.record.of("flow.recorded")[0].data["reason"] == "silence"


@audible
async def test_a_noisy_line_is_understood_by_keys_in_every_run(ivr: ModuleType) -> None:
    async def scenario(seed: int) -> object:
        async with dial(ivr.bot, via="audio", seed=seed, noise_dbfs=-38) as caller:
            await caller.listens()
            await caller.presses("1")
            await caller.hears("zip code", within_ms=15_000)
            await caller.listens()
            await caller.presses("11101")
            await caller.hears("power cut in queens", within_ms=20_000)
        return judge(caller.record).no_errors()

    found = await repeat(scenario, runs=4, seed=0)
    assert found.pass_hat(4) == 1.0, found.report().markdown()
