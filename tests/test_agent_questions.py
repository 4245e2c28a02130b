"""Tools that ask the caller: dates, numbers, names, addresses and cards, and what leads out of a question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.errors import ToolError
from voiceframe.flow import Context, Date
from voiceframe.frames import (
    ExpectFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    UserIdleFrame,
    UserTurnFrame,
)
from voiceframe.llm import Part, Stop, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import Agent
from voiceframe.testing import ScriptedLLM, call_tool, dial
from voiceframe.testing.caller import Caller
from voiceframe.testing.run import rig
from voiceframe.tools import (
    AskSlot,
    Card,
    Spelled,
    ToolContext,
    card_collector,
    collect_address,
    collect_card_number,
    collect_date,
    collect_digits,
    collect_number,
    collect_spelled_name,
    collect_yes_or_no,
    tool,
)
from voiceframe.tools.asking import luhn

CARD = "4111111111111111"


def bot_with(agent: Agent) -> Bot:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    return bot


async def collected(
    collector: Any, turns: list[tuple[str, str]], then: str = "Thank you", **arguments: Any
) -> tuple[str, Agent, Caller]:
    """Let the caller say each text when they have heard each pattern; the result as the model has it."""
    llm = ScriptedLLM([call_tool(collector.name, **arguments), f"{then}."])
    agent = Agent("desk", llm=llm, tools=[collector])
    async with dial(bot_with(agent)) as caller:
        await caller.says("Hello")
        for pattern, text in turns:
            await caller.hears(pattern)
            await caller.says(text)
        await caller.hears(then)
        await caller.listens()
    return next(m.text for m in llm.requests[1].messages if m.role == "tool"), agent, caller


async def test_a_date() -> None:
    text, agent, _ = await collected(
        collect_date,
        [
            ("Which day", "on the fifth of January"),
            ("the fifth of January.*Is that right", "No, the sixth"),
            ("sixth", "yes"),
        ],
        question="Which day?",
    )
    assert text == "2026-01-06"
    # The call and its result, then what was asked: each of the caller's turns with the bot's words.
    roles = [message.role for message in agent.context]
    assert roles == ["user", "assistant", "tool", *(["user", "assistant"] * 3)]


async def test_a_number_and_digits() -> None:
    assert (await collected(collect_number, [("many", "twelve"), ("twelve", "yes")], question="How many?"))[0] == "12"
    turns = [("number", "four seven one"), ("four seven one", "yes")]
    assert (await collected(collect_digits, turns, question="Which number?"))[0] == "471"


async def test_a_spelled_name() -> None:
    turns = [("spell", "M U double L E R"), ("M, U, L, L, E, R", "yes")]
    assert (await collected(collect_spelled_name, turns))[0] == "Muller"


async def test_an_address() -> None:
    turns = [
        ("address", "Baker Street"),
        ("with its number", "221 Baker Street, London"),
        ("221 Baker Street, London. Is that right", "No, 212 Baker Street, London"),
        ("212 Baker", "yes"),
    ]
    assert (await collected(collect_address, turns))[0] == "212 Baker Street, London"


async def test_yes_or_no() -> None:
    assert (await collected(collect_yes_or_no, [("older", "No")], question="Are you older than 18?"))[0] == "false"


async def test_a_card_is_in_no_event_and_in_no_context() -> None:
    turns = [
        ("card", "4111 1111"),
        ("go on", "1111 1111"),
        ("the card ending in one one one one. Is that right", "yes"),
    ]
    text, agent, caller = await collected(collect_card_number, turns)
    assert text == "the card ending in 1111"
    lines = "".join(caller.record.lines()) + repr(agent.context)
    assert "4111" not in lines
    assert "11111" not in lines
    assert caller.call.log.private == 0
    assert "Thank you" in lines  # what comes behind is kept


async def test_a_card_by_keys_becomes_a_token() -> None:
    tokens: list[str] = []

    async def tokenize(number: str) -> str:
        tokens.append(number)
        return "tok_1"

    collector = card_collector(tokenize)
    llm = ScriptedLLM([call_tool("collect_card_number"), "Thank you."])
    agent = Agent("desk", llm=llm, tools=[collector])
    async with rig(agent) as running:
        running.push(UserTurnFrame(1, "I want to pay"))
        await asyncio.sleep(1)
        expected = [frame for frame in running.result.up if isinstance(frame, ExpectFrame)]
        assert expected[-1].digits == 0
        running.push(UserTurnFrame(2, CARD[:-1] + "2#", "dtmf"))
        await asyncio.sleep(1)
        assert "not the number of a card" in running.result.texts[-1]
        running.push(UserTurnFrame(3, f"{CARD}#", "dtmf"))
        await asyncio.sleep(1)
        running.push(UserTurnFrame(4, "1", "dtmf"))
        await asyncio.sleep(1)
        assert running.result.up[-1] == ExpectFrame(at_ms=running.result.up[-1].at_ms)
    assert tokens == [CARD]
    assert [m.text for m in llm.requests[1].messages if m.role == "tool"] == ["tok_1"]
    assert CARD not in repr([event.to_dict() for event in running.result.events])


async def test_a_tokenizer_that_fails_tells_nothing_of_the_card() -> None:
    async def tokenize(number: str) -> str:
        raise RuntimeError(f"refused: {number}")

    turns = [("card", CARD), ("Is that right", "yes")]
    text, _, caller = await collected(card_collector(tokenize), turns)
    assert "RuntimeError" in text
    assert CARD not in text + "".join(caller.record.lines())


@pytest.mark.parametrize(("leaving", "why"), [("goodbye", "end the call"), ("operator", "asks for a person")])
@pytest.mark.parametrize("collector", [collect_spelled_name, collect_address])
async def test_a_caller_may_leave_a_question(collector: Any, leaving: str, why: str) -> None:
    text, _, _ = await collected(collector, [(r"\?", leaving)], then="Of course")
    assert why in text


@pytest.mark.parametrize("collector", [collect_spelled_name, collect_address, collect_card_number])
async def test_a_question_is_given_up_when_it_is_not_understood(collector: Any) -> None:
    turns = [(r"\?|card", "blah"), ("sorry|need", "blah"), ("sorry|need", "blah")]
    text, _, _ = await collected(collector, turns, then="Never mind")
    assert "not understood" in text


async def test_silence_is_asked_after() -> None:
    llm = ScriptedLLM([call_tool("collect_spelled_name"), "Never mind."])
    async with rig(Agent("desk", llm=llm, tools=[collect_spelled_name])) as running:
        running.push(UserTurnFrame(1, "Hello"))
        await asyncio.sleep(1)
        for count in (1, 2, 3):
            running.push(UserIdleFrame(count))
            await asyncio.sleep(1)
        said = running.result.texts
    assert "did not hear anything" in "".join(said)
    assert "".join(said).endswith("Never mind.")
    assert "not understood" in llm.requests[1].messages[-1].text


async def test_a_turn_stops_what_is_said_after_a_question_that_was_given_up() -> None:
    llm = ScriptedLLM([call_tool("collect_spelled_name"), "never mind " * 20, "Now then."], word_ms=200)
    async with rig(Agent("desk", llm=llm, tools=[collect_spelled_name])) as running:
        running.push(UserTurnFrame(1, "Hello"))
        await asyncio.sleep(1)
        for count in (1, 2, 3):
            running.push(UserIdleFrame(count))
            await asyncio.sleep(0.7)
        running.push(UserTurnFrame(2, "I am here"))
        await asyncio.sleep(3)
        down = running.result.down
    started = [frame.reply for frame in down if isinstance(frame, ReplyStartedFrame)]
    ended = [frame.reply for frame in down if isinstance(frame, ReplyEndedFrame)]
    assert started == ended
    assert "".join(frame.text for frame in down if isinstance(frame, TextFrame)).endswith("Now then.")
    assert llm.cancelled == 1


async def test_a_tool_that_nobody_waits_for_asks_nothing() -> None:
    @tool(timeout_ms=60_000)
    async def intake(ctx: ToolContext) -> str:
        await asyncio.sleep(2)
        return await ctx.ask(AskSlot(Spelled("name"), "Your name, please?"))

    llm = ScriptedLLM([call_tool("intake"), "Two o'clock.", "Fine."])
    agent = Agent("desk", llm=llm, tools=[intake])
    async with dial(bot_with(agent)) as caller:
        await caller.says("Hello")
        await caller.waits(500)
        caller.interrupts_now("When do you open?")
        await caller.hears("two o'clock")
        await caller.waits(3_000)
        await caller.says("Thanks")
        await caller.hears("fine")
    assert "interrupted" in next(message.text for message in agent.context if message.role == "tool")
    assert not any("name" in heard for heard in caller.record.heard)


async def test_two_questions_are_asked_one_after_the_other() -> None:
    parts: list[Part] = [
        ToolCall("1", "collect_number", {"question": "How many?"}),
        ToolCall("2", "collect_number", {"question": "And how old?"}),
        Stop("tools"),
    ]
    llm = ScriptedLLM([parts, "Thank you."])
    async with dial(bot_with(Agent("desk", llm=llm, tools=[collect_number]))) as caller:
        await caller.says("Hello")
        await caller.hears("How many")
        await caller.says("two")
        await caller.hears("Is that right")
        await caller.says("yes")
        await caller.hears("And how old")
        await caller.says("forty")
        await caller.hears("Is that right")
        await caller.says("yes")
        await caller.hears("Thank you")
    assert [m.text for m in llm.requests[1].messages if m.role == "tool"] == ["2", "40"]


async def test_an_own_tool_asks_several_things() -> None:
    @tool(timeout_ms=60_000)
    async def intake(ctx: ToolContext) -> dict[str, str]:
        day = await ctx.ask(AskSlot(Date("day"), "Which day?"))
        name = await ctx.ask(AskSlot(Spelled("name"), "And your name, please?"))
        return {"day": day.isoformat(), "name": name}

    class Own(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield "Let us see. "
            yield f"So {(await self.use(intake))['name']}."

    async with dial(bot_with(Own("own"))) as caller:
        await caller.says("Hello")
        await caller.hears("Let us see. Which day")
        await caller.says("tomorrow")
        await caller.hears("name")
        await caller.says("l e e")
        await caller.hears("So Lee")


async def test_nobody_can_be_asked_without_an_agent() -> None:
    async with rig() as running:
        with pytest.raises(ToolError, match=r"tool\.no-floor"):
            await collect_date.run(ToolContext(running.call, "x"), {"question": "When?"})


@pytest.mark.parametrize(
    ("collector", "arguments"),
    [
        (collect_date, {"question": "", "earliest": "2026-05-01", "latest": "2026-04-01"}),
        (collect_number, {"question": "", "low": 5, "high": 3}),
        (collect_digits, {"question": "", "shortest": 5, "longest": 99}),
    ],
)
async def test_bounds_that_make_no_sense_are_explained_to_the_model(collector: Any, arguments: dict[str, Any]) -> None:
    async with rig() as running:
        with pytest.raises(ToolError, match=r"tool\.refused"):
            await collector.run(ToolContext(running.call, "x"), arguments)


async def test_a_birthday_lies_in_the_past() -> None:
    turns = [("born", "the third of May nineteen eighty"), ("Is that right", "yes")]
    text, _, _ = await collected(
        collect_date, turns, question="When were you born?", latest=date(2025, 12, 31).isoformat()
    )
    assert text == "1980-05-03"


# -- slots


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=30))
def test_a_spelled_word_is_understood_as_it_is_said_back(word: str) -> None:
    slot = Spelled("name")
    assert slot.parse(slot.say(word.title()), Context()) == word.title()


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("M as in Mike, U, E, double L, E, R", "Mueller"),
        ("mike uniform lima", "Mul"),
        ("it is o hyphen b", "O-B"),
        ("M as in November", None),
        ("Muller", None),
    ],
)
def test_ways_to_spell(said: str, word: str | None) -> None:
    assert Spelled("name").parse(said, Context()) == word


@given(st.integers(min_value=10**11, max_value=10**18))
def test_one_check_digit_in_ten_is_right(number: int) -> None:
    assert sum(luhn(f"{number}{digit}") for digit in range(10)) == 1


def test_a_card_is_never_said() -> None:
    slot = Card("card")
    assert slot.say(CARD) == "the card ending in one one one one"
    assert slot.valid(CARD, Context()) is None
    assert slot.valid("4111111111111112", Context())
    assert slot.valid("4111", Context())
