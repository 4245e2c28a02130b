"""The examples on providers do what they say: each is called as by its user, and talks to servers on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from voiceframe.audio import AudioFormat
from voiceframe.check import check_bot
from voiceframe.checks import Check
from voiceframe.llm import Stop, TextDelta, ToolCall
from voiceframe.testing import Caller, dial
from voiceframe.testing.providers.anthropic import FakeAnthropic
from voiceframe.testing.providers.cartesia_tts import FakeCartesiaTTS
from voiceframe.testing.providers.deepgram_stt import FakeDeepgramSTT
from voiceframe.testing.providers.gemini import FakeGemini
from voiceframe.testing.providers.openai import FakeOpenAI
from voiceframe.testing.providers.openai_realtime import FakeOpenAIRealtime
from voiceframe.testing.providers.openai_realtime import speech as levels
from voiceframe.testing.voices import Voice, speech


def there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "anthropic",
    "cartesia",
    "deepgram",
    "espeakng_loader",
    "google.genai",
    "onnxruntime",
    "openai",
    "starlette",
)
pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(
        not all(map(there, PACKAGES)), reason="needs the extras of the providers, and voiceframe[local,telephony]"
    ),
]


def example(name: str) -> str:
    return str(ROOT / f"examples/{name}.py")


def call(tool: str, /, **arguments: Any) -> list[Any]:
    return [ToolCall(f"call_{tool}", tool, arguments), Stop("tools")]


def bye(text: str) -> list[Any]:
    return [TextDelta(text), ToolCall("call_bye", "hang_up", {}), Stop("tools")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for vendor in ("ANTHROPIC", "CARTESIA", "DEEPGRAM", "GEMINI", "OPENAI"):
        monkeypatch.setenv(f"{vendor}_API_KEY", "key")
    return tmp_path


@contextlib.asynccontextmanager
async def chatting(name: str) -> AsyncIterator[Caller]:
    """Somebody types to the example, who reads fast."""
    async with dial(example(name), words_per_minute=0) as caller:
        try:
            yield caller
        finally:
            await caller.hangs_up()
            await sys.modules[f"voiceframe_bot_{name}"].model.aclose()


async def test_openai_agent_reserves_what_the_caller_has_agreed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = {"day": "2026-12-03", "at": "19:00", "people": 5, "name": "Ann"}
    answers = [call("free_hours", day="2026-12-03", people=5), "At seven, then?", call("reserve", **wish)]
    async with FakeOpenAI([*answers, bye("It is reserved. Goodbye!")]) as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        async with chatting("openai_agent") as caller:
            await caller.hears("da mario")
            await caller.says("On the third of December, five of us")
            await caller.hears("at seven")
            await caller.says("Yes, for Ann")
            await caller.hears("a table for five on .* for Ann. Is that right")
            await caller.says("yes")
            await caller.hears("it is reserved")
            assert await caller.hears_the_end() == "completed"
        assert sys.modules["voiceframe_bot_openai_agent"].reserved
        assert "12:00" in fake.bodies[1]["messages"][-1]["content"]
        assert fake.bodies[0]["temperature"] == 0.3


async def test_anthropic_agent_finds_two_books_at_once_and_renews_one(monkeypatch: pytest.MonkeyPatch) -> None:
    books = [ToolCall(f"toolu_{title}", "find_book", {"title": title}) for title in ("Emma", "Dracula")]
    answers = [
        "Good afternoon, town library!",
        [*books, Stop("tools")],
        "Emma is there, and Dracula is not.",
        call("collect_digits", question="What is the number of your card?", shortest=6, longest=6),
        call("renew", card="204711", title="Dracula"),
        bye("It is renewed. Goodbye!"),
    ]
    async with FakeAnthropic(answers) as fake:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
        async with chatting("anthropic_agent") as caller:
            await caller.hears("good afternoon")
            await caller.says("Have you got Emma and Dracula?")
            await caller.hears("dracula is not")
            await caller.says("I have it! Can I keep it?")
            await caller.hears("number of your card")
            await caller.says("two zero four seven one one")
            await caller.hears("is that right")
            await caller.says("yes")
            await caller.hears("renewed")
            assert await caller.hears_the_end() == "completed"
        caller.record.tool_called("find_book", title="Emma").tool_called("find_book", title="Dracula")
        (renewed,) = [event for event in caller.record.of("tool.called") if event.data["name"] == "renew"]
        assert (renewed.personal or {})["arguments"]["card"] == "[secret]"


async def test_gemini_agent_has_a_parcel_brought_on_a_day_that_was_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        call("track", parcel="4711"),
        "It is at the depot. Shall we bring it again?",
        call("collect_date", question="On which day?"),
        call("deliver_again", parcel="4711", day="2027-01-05"),
        bye("It comes then. Goodbye!"),
    ]
    async with FakeGemini(answers) as fake:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", fake.url)
        async with chatting("gemini_agent") as caller:
            await caller.hears("which parcel")
            await caller.says("four seven one one")
            await caller.hears("at the depot")
            await caller.says("yes")
            await caller.hears("on which day")
            await caller.says("tomorrow")
            await caller.hears("is that right")
            await caller.says("yes")
            await caller.hears("comes then")
            assert await caller.hears_the_end() == "completed"
    assert "coming on" in sys.modules["voiceframe_bot_gemini_agent"].PARCELS["4711"]


async def test_local_llm_takes_a_message_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    told = {"problem": "The sink leaks.", "address": "12 Mill Lane, Bath", "when": "tomorrow morning"}
    async with FakeOpenAI([call("take_message", **told), bye("They call you back. Goodbye!")], plain=True) as fake:
        monkeypatch.setenv("LLM_URL", f"{fake.url}/v1")
        monkeypatch.setenv("LLM_MODEL", "qwen3")
        async with chatting("local_llm") as caller:
            await caller.says("My sink leaks, at twelve Mill Lane in Bath. Tomorrow morning would be fine.")
            await caller.hears("call you back")
            assert await caller.hears_the_end() == "completed"
        assert fake.bodies[0]["model"] == "qwen3"
    assert (folder / "messages.txt").read_text() == "unknown: The sink leaks. 12 Mill Lane, Bath, tomorrow morning\n"


async def test_cloud_cascade_books_by_sound_over_twilio(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [call("book", day="2026-12-03", name="Ann Lee"), bye("Booked. Goodbye!")]
    async with FakeDeepgramSTT() as ears, FakeOpenAI(answers) as model, FakeCartesiaTTS(char_ms=15) as voice:
        monkeypatch.setenv("DEEPGRAM_BASE_URL", ears.url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
        monkeypatch.setenv("CARTESIA_BASE_URL", voice.url)
        ears.says.append("On the third of December for Ann Lee")
        async with dial(example("cloud_cascade"), via="twilio", voice=lambda text: speech("third", Voice())) as caller:
            await caller.hears("which day would you like")
            await caller.says("The third of December, for Ann Lee.")
            await caller.hears("booked")
            assert await caller.hears_the_end() == "completed"
        await sys.modules["voiceframe_bot_cloud_cascade"].model.aclose()
        assert caller.record.turns == ["On the third of December for Ann Lee"]
        assert ears.asked[0].query["encoding"] == "mulaw"
        assert voice.texts[-1].strip().endswith("Goodbye!")
    (booked,) = [event for event in caller.record.of("tool.called") if event.data["name"] == "book"]
    assert (booked.personal or {})["arguments"] == {"day": "2026-12-03", "name": "Ann Lee"}


@pytest.mark.slow
async def test_openai_realtime_twilio_looks_a_repair_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [call("repair", number="4711"), bye("It is done. Bye!"), "Bye!"]
    async with FakeOpenAIRealtime(answers, words="four seven one") as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
        said = levels([1, 2, 3, 3], AudioFormat("pcm_s16le", 8_000))
        async with dial(example("openai_realtime_twilio"), via="twilio", voice=lambda text: said) as caller:
            await caller.hears("number of your repair")
            await caller.says("four seven one one")
            await caller.hears("it is done")
            assert await caller.hears_the_end() == "completed"
        settings = fake.sessions[0].settings["audio"]
        assert settings["input"]["format"] == settings["output"]["format"] == {"type": "audio/pcmu"}
    caller.record.tool_called("repair", number="4711")


# -- before anybody calls


def checked(name: str) -> dict[str, Check]:
    return {check.id: check for check in check_bot(example(name)).checks}


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai_agent", "OPENAI_API_KEY"),
        ("anthropic_agent", "ANTHROPIC_API_KEY"),
        ("gemini_agent", "GEMINI_API_KEY"),
        ("cloud_cascade", "OPENAI_API_KEY"),
        ("cloud_cascade", "DEEPGRAM_API_KEY"),
        ("cloud_cascade", "CARTESIA_API_KEY"),
        ("openai_realtime_twilio", "OPENAI_API_KEY"),
    ],
)
def test_the_check_names_the_key_that_is_missing(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = checked(name)
    assert not [id for id, check in found.items() if check.verdict == "fail" and id.startswith(("bot", "needs"))]
    assert not [id for id, check in found.items() if check.verdict != "pass" and id.startswith("model")]
    monkeypatch.delenv(variable)
    wrong = [check for check in checked(name).values() if check.verdict == "fail" and variable in (check.fix or "")]
    assert len(wrong) == 1


def test_the_check_knows_the_model_and_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked("openai_agent")["model.host"].verdict == "pass"
    monkeypatch.setenv("VOICEFRAME_OPENAI_REALTIME_MODEL", "gpt-realtme-2")
    source = Path(example("openai_agent")).read_text().replace("gpt-4.1-mini", "gpt-4.1-mni")
    Path("mistyped.py").write_text(source)
    (check,) = [check for check in check_bot("mistyped.py").checks if check.id == "model.host"]
    assert (check.verdict, "`gpt-4.1-mini`" in (check.fix or "")) == ("warn", True)
    realtime = checked("openai_realtime_twilio")["model.OpenAIRealtime"]
    assert realtime.verdict == "pass"  # what the example says stands, not the environment
    assert "model.plumbers" not in checked("local_llm")  # another server's names are its own affair


def test_the_check_knows_the_vendors() -> None:
    Path("unknown.py").write_text("from voiceframe.providers import llm\nmodel = llm('opneai/gpt-4.1')\n")
    (check,) = [check for check in check_bot("unknown.py").checks if check.id == "bot.loads"]
    assert check.verdict == "fail"
    assert "nearest is `openai`" in str(check.evidence)
