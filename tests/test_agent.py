"""The agent: answers turns, keeps what was heard, and is cancelled by an interruption."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.frames import UserTurnFrame
from voiceframe.llm import Message
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import Agent
from voiceframe.testing import ScriptedLLM, dial


def bot_with(agent: Agent) -> Bot:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    return bot


async def test_answers_with_its_model_and_sends_it_instructions_and_context() -> None:
    llm = ScriptedLLM(["On Thursday at ten.", "You are welcome."], delay_ms=300)
    agent = Agent("clinic", "You book appointments.", llm, greeting="City clinic, hello!")
    async with dial(bot_with(agent)) as caller:
        await caller.says("When can I come?")
        await caller.hears("thursday")
        await caller.says("Thank you")
        await caller.hears("welcome")
    assert llm.requests[1].messages == (
        Message("system", "You book appointments."),
        Message("assistant", "City clinic, hello!"),
        Message("user", "When can I come?"),
        Message("assistant", "On Thursday at ten."),
        Message("user", "Thank you"),
    )
    assert [event.data["latency_ms"] for event in caller.record.of("turn.answered")] == [300, 300]


async def test_the_context_holds_what_was_heard_not_what_was_made() -> None:
    agent = Agent("clinic", llm=ScriptedLLM(["Our doctors are on holiday until the end of March.", "Of course."]))
    async with dial(bot_with(agent)) as caller:
        await caller.says("Hello?")
        await caller.interrupts("Can I come anyway?", after_ms=1_500)
        await caller.hears("of course")
        await caller.listens()
    cut = agent.context[1].text
    assert "Our doctors are on holiday until the end of March.".startswith(cut)
    assert 0 < len(cut) < 40
    assert [message.role for message in agent.context] == ["user", "assistant", "user", "assistant"]


async def test_an_interruption_cancels_the_request() -> None:
    llm = ScriptedLLM(["one two three four five six seven eight nine ten", "Yes."], word_ms=400)
    async with dial(bot_with(Agent("slow", llm=llm))) as caller:
        await caller.says("Count")
        await caller.interrupts("Stop", after_ms=1_000)
        await caller.hears("yes")
    assert llm.cancelled == 1


async def test_a_subclass_answers_by_itself() -> None:
    class Parrot(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield "You said: "
            await asyncio.sleep(0.5)
            yield turn.text

    async with dial(bot_with(Parrot("parrot"))) as caller:
        await caller.says("polly wants a cracker")
        await caller.hears("You said: polly wants a cracker")


async def test_an_own_agent_that_goes_on_after_its_cancellation_is_not_heard() -> None:
    class Stubborn(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield f"First answer to {turn.text}."
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                await asyncio.sleep(0.5)
                yield f" Late words about {turn.text}."
                return
            yield " Done."

    async with dial(bot_with(Stubborn("stubborn"))) as caller:
        await caller.says("one")
        await caller.interrupts("two", after_ms=300)
        await caller.hears("answer to two. Done")
        await caller.listens()
    assert not any("Late" in heard for heard in caller.record.heard)


async def test_a_model_that_fails_leaves_no_silent_turn() -> None:
    llm = ScriptedLLM([RuntimeError("out of reach"), "Better now."])
    async with dial(bot_with(Agent("sick", llm=llm))) as caller:
        await caller.says("Hello?")
        await caller.hears("say that again")
        await caller.says("Hello?")
        await caller.hears("better now")
    assert caller.record.outcomes == {1: "unanswered", 2: "answered"}
    assert caller.record.of("turn.unanswered")[0].data["reason"] == "error"
    failed = caller.record.of("processor.failed")[0]
    assert failed.data["processor"] == "sick"
    assert "out of reach" in str(failed.personal)


async def test_a_model_that_says_nothing_leaves_no_silent_turn() -> None:
    async with dial(bot_with(Agent("mute", llm=ScriptedLLM([""])))) as caller:
        await caller.says("Hello?")
        await caller.hears("say that again", within_ms=2_000)
    assert caller.record.of("turn.unanswered")[0].data["reason"] == "empty"


async def test_a_model_that_never_answers_leaves_no_silent_turn() -> None:
    async with dial(bot_with(Agent("stuck", llm=ScriptedLLM(["late"], delay_ms=3_600_000)))) as caller:
        await caller.says("Hello?")
        await caller.hears("say that again", within_ms=9_000)
    assert caller.record.of("turn.unanswered")[0].data["reason"] == "deadline"


async def test_an_agent_without_model_or_reply_says_so() -> None:
    async with dial(bot_with(Agent("empty"))) as caller:
        await caller.says("Hello?")
        await caller.listens()
    assert "has no llm" in str(caller.record.of("processor.failed")[0].personal)


@pytest.mark.parametrize("interruptible", [True, False])
async def test_an_agent_may_not_be_interruptible(interruptible: bool) -> None:
    llm = ScriptedLLM(["This call may be recorded for training.", "Fine."])
    agent = Agent("notice", llm=llm, interruptible=interruptible)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Hello?")
        await caller.interrupts("But", after_ms=500)
        await caller.hears("fine")
        await caller.listens()
    heard = caller.record.of("reply.heard")[0]
    assert heard.data["complete"] is not interruptible


async def test_a_call_with_a_model_of_its_own_is_forgotten_when_a_reply_was_cut() -> None:
    async def made() -> weakref.ref[Call]:
        def bot(call: Call) -> Pipeline:
            model = ScriptedLLM(["One.", "Two."], delay_ms=2_000)
            return Pipeline([call.transport.input(), Agent("a", "Speak.", model), call.transport.output()])

        async with dial(bot) as caller:
            await caller.says("Begin")
            await caller.waits(500)
            caller.interrupts_now("Stop")
            await caller.hears("two")
        return weakref.ref(caller.call)

    call = await made()
    await asyncio.sleep(1)
    gc.collect()
    assert call() is None
