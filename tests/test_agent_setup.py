"""An agent before and at the start of a call: greeting, warm-up, voice, instructions, and settings that change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import pytest

from voiceframe.app import App, Bot
from voiceframe.audio import AudioFormat
from voiceframe.call import Call
from voiceframe.errors import ConfigurationError, ProviderError
from voiceframe.frames import TextFrame, UpdateSettingsFrame, UserTurnFrame
from voiceframe.llm import LLM, LLMRequest, Message, Part, Stop, TextDelta, Usage
from voiceframe.pipeline import Pipeline
from voiceframe.prices import Price, Prices, use_prices
from voiceframe.processors.agents import Agent, AgentSettings, Generated
from voiceframe.processors.tts import TTS
from voiceframe.testing import ScriptedLLM, dial
from voiceframe.testing.run import rig
from voiceframe.transports.text import TextTransport


def bot_with(*processors: Any) -> Bot:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), *processors, call.transport.output()])

    return bot


class Voice(TTS):
    """A voice that remembers what it was to prepare."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[str] = []
        self.opened: list[str] = []

    async def open(self, format: AudioFormat, voice: str, language: str) -> Any:
        self.opened.append(voice)
        await asyncio.sleep(0.5)
        return _Silence()

    async def prepare(self, texts: Iterable[str]) -> None:
        self.prepared += texts


class _Silence:
    async def send(self, reply: int, text: str) -> None: ...
    async def flush(self, reply: int) -> None: ...
    async def cancel(self, reply: int) -> None: ...
    async def aclose(self) -> None: ...

    async def chunks(self) -> AsyncGenerator[Any, None]:
        await asyncio.Event().wait()
        yield None


async def test_the_greeting_is_a_template_and_the_first_thing_that_is_heard() -> None:
    agent = Agent("clinic", llm=ScriptedLLM([]), greeting="Hello, this is {{ agent }}. It is {{ weekday }}.")
    async with dial(bot_with(agent)) as caller:
        await caller.hears("Hello, this is clinic. It is Thursday.")
        await caller.listens()
    assert agent.context == (Message("assistant", "Hello, this is clinic. It is Thursday."),)


@pytest.mark.parametrize("interruptible", [True, False])
async def test_a_greeting_may_not_be_interruptible(interruptible: bool) -> None:
    options = AgentSettings(greeting_interruptible=interruptible)
    agent = Agent("clinic", llm=ScriptedLLM(["Yes?"]), greeting="This call may be recorded.", settings=options)
    async with dial(bot_with(agent)) as caller:
        await caller.interrupts("But", after_ms=300)
        await caller.hears("yes")
        await caller.listens()
    assert caller.record.of("reply.heard")[0].data["complete"] is not interruptible


async def test_a_greeting_of_the_model_is_ready_before_the_call_is_answered() -> None:
    llm = ScriptedLLM(["Good morning, Ann!"], delay_ms=2_000)
    agent = Agent("clinic", "Be kind.", llm, greeting=Generated("Greet {{ data.name }}."))
    voice = Voice()

    def bot(call: Call) -> Pipeline:
        call.data["name"] = "Ann"
        return Pipeline([call.transport.input(), agent, voice, call.transport.output()])

    app = App(bot, store=None)
    call = await app.take(TextTransport(), seed=1, ringing=True)
    await asyncio.sleep(2.5)
    assert call.ringing
    assert voice.prepared == ["Good morning, Ann!"]
    assert llm.requests[0].messages == (
        Message("system", "Be kind."),
        Message("user", "(The call is about to be answered. Greet Ann.)"),
    )
    texts: list[str] = []
    voice.push = lambda frame, **_: texts.append(frame)  # type: ignore[method-assign]
    call.answered()
    await asyncio.sleep(0)
    assert call.replies.last == 1  # begun in the moment of the answer
    call.cancel()
    await call.wait_ended()


@pytest.mark.parametrize("answer", [RuntimeError("out of reach"), ""])
async def test_without_the_model_there_is_a_greeting_all_the_same(answer: Any) -> None:
    agent = Agent("clinic", llm=ScriptedLLM([answer]), greeting=Generated("Greet them.", fallback="Hello there!"))
    async with dial(bot_with(agent)) as caller:
        await caller.hears("Hello there!")


async def test_a_model_that_is_too_slow_does_not_hold_up_the_greeting() -> None:
    agent = Agent("clinic", llm=ScriptedLLM(["x"], delay_ms=60_000), greeting=Generated("Greet."))
    async with dial(bot_with(agent)) as caller:
        await caller.hears("Hello!", within_ms=5_000)


async def test_the_model_is_warmed_and_the_voice_is_the_agents() -> None:
    class Warm(ScriptedLLM):
        warmed = 0

        async def warm(self) -> None:
            await asyncio.sleep(30)  # one that hangs holds up nobody
            self.warmed += 1

    llm, voice = Warm([]), Voice()
    async with rig(Agent("clinic", llm=llm, voice="ann"), voice) as running:
        await asyncio.sleep(31)
        assert llm.warmed == 1
        assert voice.opened == ["ann"]
        assert running.result.errors == []


async def test_a_name_without_value_ends_the_call_at_its_start_with_the_nearest() -> None:
    agent = Agent("clinic", "You talk to {{ data.costumer }}.", ScriptedLLM([]))

    def bot(call: Call) -> Pipeline:
        call.data["customer"] = "Ann"
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    async with dial(bot) as caller:
        await caller.hears_the_end()
    failed = caller.record.of("processor.failed")[0]
    assert failed.data["fatal"]
    assert "`data.customer`" in str(failed.personal)


def test_names_that_cannot_be_are_refused_where_the_agent_is_made() -> None:
    for arguments in ({"instructions": "{{ call.form }}"}, {"greeting": "{{ call.form }}"}):
        with pytest.raises(ConfigurationError, match=r"call\.from"):
            Agent("clinic", llm=ScriptedLLM([]), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"agent\.zone"):
        Agent("clinic", settings=AgentSettings(zone="Mars/Olympus"))


async def test_instructions_are_filled_in_for_each_request() -> None:
    llm = ScriptedLLM(["One.", "Two."])
    async with dial(bot_with(Agent("clinic", "It is {{ time }} in {{ agent }}.", llm))) as caller:
        await caller.says("One")
        await caller.hears("one")
        await caller.waits(120_000)
        await caller.says("Two")
        await caller.hears("two")
    assert [r.messages[0].text for r in llm.requests] == ["It is 00:00 in clinic.", "It is 00:02 in clinic."]


async def test_instructions_may_be_a_function_of_the_call() -> None:
    llm = ScriptedLLM(["One."])
    async with dial(bot_with(Agent("clinic", lambda call: f"You are in {call.id}.", llm))) as caller:
        await caller.says("One")
        await caller.hears("one")
    assert llm.requests[0].messages[0].text == "You are in call_00000000."


async def test_settings_change_in_the_call() -> None:
    llm, other = ScriptedLLM(["One.", "Two."]), ScriptedLLM(["Three."])
    voice = Voice()
    agent = Agent("clinic", "First.", llm)
    async with rig(agent, voice) as running:
        running.push(UserTurnFrame(1, "One"))
        await asyncio.sleep(0.1)
        changes = {"instructions": "Then {{ agent }}.", "temperature": 0.5, "model": "larger", "voice": "ann"}
        running.push(UpdateSettingsFrame("clinic", changes), UpdateSettingsFrame("nobody", {"temperature": 1}))
        running.push(UserTurnFrame(2, "Two"))
        await asyncio.sleep(0.1)
        running.push(UpdateSettingsFrame("clinic", {"llm": other}), UserTurnFrame(3, "Three"))
        await asyncio.sleep(0.1)
        running.push(UpdateSettingsFrame("clinic", {"temprature": 1}))
        await asyncio.sleep(0.1)
        updates = [frame for frame in running.result.down if isinstance(frame, UpdateSettingsFrame)]
    assert llm.requests[0].messages[0].text == "First."
    second = llm.requests[1]
    assert (second.messages[0].text, second.temperature, second.settings) == ("Then clinic.", 0.5, {"model": "larger"})
    assert other.requests[0].settings == {}
    assert not updates or all(frame.target for frame in updates)
    assert "temperature" in str(running.result.errors[0])


class Counting(LLM):
    """A model that tells what it has cost, or fails."""

    vendor, model, name = "acme", "small", "acme/small"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        await asyncio.sleep(0.25)
        if self.error is not None:
            raise self.error
        yield TextDelta("Hello.")
        yield Usage(100, 20, 80)
        yield Stop()


async def test_what_the_model_took_and_cost_is_in_the_log() -> None:
    async with dial(bot_with(Agent("clinic", llm=Counting()))) as caller:
        await caller.says("Hello")
        await caller.hears("hello")
    ttfb = caller.record.of("provider.ttfb")[0].data
    assert (ttfb["vendor"], ttfb["service"], ttfb["model"], ttfb["ttfb_ms"]) == ("acme", "llm", "small", 250)
    usage = caller.record.of("provider.usage")[0].data
    assert (usage["requests"], usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]) == (
        1,
        100,
        80,
        20,
    )


async def test_what_a_model_costs_is_in_the_log() -> None:
    class Priced(Counting):
        vendor, model = "openai", "gpt-4.1-mini"

    use_prices(Prices("test", {"openai/*": Price(input=1.0, cached=0.5, output=10.0)}))
    try:
        async with dial(bot_with(Agent("clinic", llm=Priced()))) as caller:
            await caller.says("Hello")
            await caller.hears("hello")
    finally:
        use_prices(None)
    usage = caller.record.of("provider.usage")[0].data
    assert (round(usage["cost_usd"] * 1e6), usage["prices"]) == (20 + 40 + 200, "test")


async def test_a_provider_that_fails_is_in_the_log_with_its_code() -> None:
    error = ProviderError.of("provider.server", vendor="acme", status=503, detail="busy", by="Acme")
    async with dial(bot_with(Agent("clinic", llm=Counting(error)))) as caller:
        await caller.says("Hello")
        await caller.hears("say that again")
    lost = caller.record.of("provider.lost")[0].data
    assert (lost["vendor"], lost["code"], lost["status"], lost["retry_ms"]) == ("acme", "provider.server", 503, None)
    assert caller.record.of("provider.usage")[0].data["requests"] == 1


async def test_a_refusal_without_words_is_no_silence() -> None:
    llm = ScriptedLLM([[Stop("refused")]])
    async with dial(bot_with(Agent("clinic", llm=llm))) as caller:
        await caller.says("Hello")
        await caller.hears("say that again")


async def test_pieces_go_on_as_they_form() -> None:
    llm = ScriptedLLM(["one two three"], word_ms=300)
    async with rig(Agent("clinic", llm=llm)) as running:
        running.push(UserTurnFrame(1, "Count"))
        await asyncio.sleep(0.4)
        assert [f.text for f in running.result.down if isinstance(f, TextFrame)] == ["one", " two"]
