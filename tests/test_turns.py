"""No silent turn: each committed turn of the caller has exactly one outcome in the log."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voiceframe import Agent, Call, Pipeline, Processor, handles
from voiceframe.call import CallSettings
from voiceframe.clock import run_virtual
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    ErrorFrame,
    Frame,
    HeardFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
)
from voiceframe.testing import CallTranscript
from voiceframe.testing.run import Rig, rig
from voiceframe.transports.text import TextTransport

REPROMPTS = CallSettings(reply_deadline_ms=2_000, reprompt="Pardon?")


def outcomes(call: Rig) -> list[tuple[int, str, str]]:
    """Turn, outcome, reason."""
    return [
        (event.data["turn"], event.kind.partition(".")[2], str(event.data.get("reason") or event.data.get("why") or ""))
        for event in call.events("turn.answered", "turn.unanswered", "turn.skipped")
    ]


async def test_a_turn_is_answered_when_its_reply_sounds() -> None:
    async with rig(settings=REPROMPTS) as call:
        call.push(UserTurnFrame(1, "hello"))
        number = call.call.replies.begin(1)
        await asyncio.sleep(0.7)
        call.up(BotStartedSpeakingFrame(number))
        await asyncio.sleep(5)
    assert outcomes(call) == [(1, "answered", "")]
    [answered] = call.events("turn.answered")
    assert answered.data == {"turn": 1, "reply": 1, "latency_ms": 700}


async def test_what_is_said_unasked_answers_nothing() -> None:
    async with rig(settings=REPROMPTS) as call:
        number = call.call.replies.begin(None)
        call.push(UserTurnFrame(1, "hello"))
        call.up(BotStartedSpeakingFrame(number))
        await asyncio.sleep(2)
    assert outcomes(call) == [(1, "unanswered", "deadline")]


async def test_after_the_deadline_a_reprompt_is_said_once() -> None:
    async with rig(settings=REPROMPTS) as call:
        call.push(UserTurnFrame(1, "hello"))
        await asyncio.sleep(60)
        assert call.result.texts == ["hello", "Pardon?"]
        assert [event.at_ms for event in call.events("turn.unanswered")] == [2000]
        await call.ends()
    assert outcomes(call) == [(1, "unanswered", "deadline")]


async def test_an_answer_after_the_deadline_is_spoken_and_changes_nothing() -> None:
    async with rig(settings=REPROMPTS) as call:
        call.push(UserTurnFrame(1, "hello"))
        number = call.call.replies.begin(1)
        await asyncio.sleep(3)
        call.push(ReplyStartedFrame(number, 1), TextFrame("at last", number), ReplyEndedFrame(number))
        call.up(BotStartedSpeakingFrame(number))
        await call.ends()
    assert "at last" in call.result.texts
    assert outcomes(call) == [(1, "unanswered", "deadline")]


async def test_nobody_is_talked_over_at_the_deadline() -> None:
    async with rig(settings=REPROMPTS) as call:
        call.push(UserTurnFrame(1, "hello"))
        await asyncio.sleep(1)
        call.push(UserStartedSpeakingFrame())
        await asyncio.sleep(4)
        assert outcomes(call) == []
        call.push(UserStoppedSpeakingFrame(), UserTurnFrame(2, "are you there"))
        await asyncio.sleep(1)
        assert outcomes(call) == [(1, "unanswered", "superseded")]
        await asyncio.sleep(1)
    assert outcomes(call) == [(1, "unanswered", "superseded"), (2, "unanswered", "deadline")]


async def test_an_empty_reply_is_no_answer_and_a_failed_one_says_why() -> None:
    for fails in (False, True):
        async with rig(settings=REPROMPTS) as call:
            call.push(UserTurnFrame(1, "hello"))
            number = call.call.replies.begin(1)
            if fails:
                call.push(ErrorFrame(ValueError("no model"), "agent"))
            call.push(ReplyStartedFrame(number, 1), ReplyEndedFrame(number))
            call.up(HeardFrame(number, "", complete=True, final=True))
            await asyncio.sleep(0)
            assert outcomes(call) == [(1, "unanswered", "error" if fails else "empty")]
            assert call.result.texts[-1] == "Pardon?"


async def test_a_turn_whose_reply_was_interrupted_before_it_sounded() -> None:
    async with rig(settings=REPROMPTS) as call:
        call.push(UserTurnFrame(1, "hello"))
        call.call.replies.begin(1)
        call.call.interrupt()
        await asyncio.sleep(3)
    assert outcomes(call) == [(1, "unanswered", "interrupted")]


async def test_the_end_is_an_outcome_too() -> None:
    async with rig(settings=REPROMPTS) as call:
        call.push(UserTurnFrame(1, "hello"))
        await call.ends()
    assert outcomes(call) == [(1, "unanswered", "ended")]


@pytest.mark.parametrize("before", [True, False])
async def test_while_the_bot_is_to_be_silent_turns_are_skipped(before: bool) -> None:
    async with rig(settings=REPROMPTS) as call:
        if before:
            call.call.turns.hush("on hold")
        call.push(UserTurnFrame(1, "hello"))
        call.call.turns.hush("on hold")
        call.call.turns.hush(None)
        call.push(UserTurnFrame(2, "hello again"))
        await call.ends()
    assert outcomes(call) == [(1, "skipped", "on hold"), (2, "unanswered", "ended")]


async def test_a_changed_copy_of_a_turn_is_the_same_turn() -> None:
    class Redacts(Processor):
        @handles(UserTurnFrame)
        def on_turn(self, frame: UserTurnFrame) -> Frame:
            return frame.replace(text="*")

    async with rig(Redacts()) as call:
        call.push(UserTurnFrame(1, "secret"))
        await call.ends()
    assert [(event.personal or {})["text"] for event in call.events("turn.committed")] == ["secret"]
    assert call.result.texts == ["*"]
    assert outcomes(call) == [(1, "unanswered", "ended")]


# -- over random conversations


class Moody(Agent):
    """Answers, says nothing, fails, hangs, talks for long, ends the call: as the dice fall."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__("moody", greeting="Hello.", interruptible=dice.random() < 0.9)
        self.dice = dice

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        await asyncio.sleep(self.dice.choice([0, 0, 0.2, 1, 3]))
        match self.dice.randrange(8):
            case 0:
                return
            case 1:
                raise ValueError("no model")
            case 2:
                await asyncio.sleep(3600)
            case 3:
                yield "Well, "
                raise ValueError("half way")
            case 4:
                yield "Goodbye!"
                self.call.end()
            case 5:
                for _ in range(20):
                    yield "A long story. "
                    await asyncio.sleep(0.3)
            case _:
                yield f"You said {turn.text}."


async def conversation(seed: int) -> CallTranscript:
    dice = random.Random(seed)
    transport, record = TextTransport(words_per_minute=dice.choice([0, 180, 600])), CallTranscript()
    settings = CallSettings(reply_deadline_ms=dice.choice([500, 2_000, 6_000]), reprompt=dice.choice(["", "Pardon?"]))
    call = Call(transport, seed=seed, sinks=[record], settings=settings)
    agent = Moody(dice)
    await call.start(Pipeline([transport.input(), agent, transport.output()]))
    for number in range(dice.randrange(1, 12)):
        await asyncio.sleep(dice.choice([0, 0, 0.1, 0.5, 1.5, 4]))
        if call.ended or call.engine.finished:
            break
        match dice.randrange(14):
            case 0:
                call.interrupt()
            case 1:
                call.say("By the way.", interruptible=dice.random() < 0.7)
            case 2:
                call.turns.hush(dice.choice([None, "on hold"]))
            case 3:
                agent.push(ErrorFrame(ValueError("odd"), "agent"))
            case 4:
                call.end()
            case 5 if dice.random() < 0.3:
                call.engine.fatal(ValueError("fatal"), "agent")
            case 6:
                transport.input().push(UserStartedSpeakingFrame())
            case _:
                transport.type(f"line {number}", source="speech")
    match dice.randrange(4):
        case 0:
            call.cancel()
        case 1:
            call.hang_up()
        case 2:
            call.end()
        case 3:
            call.end(after="now")
    async with asyncio.timeout(60):
        # A wish may have lapsed by now; then the caller leaves.
        while not call.ended:
            await asyncio.sleep(1)
            if not call.engine.ending and call.clock.at_ms() > 30_000:
                call.hang_up()
    return record


def check_conversation(seed: int) -> None:
    record = run_virtual(conversation(seed))
    committed = [event.data["turn"] for event in record.of("turn.committed")]
    outcome = [event.data["turn"] for event in record.of("turn.answered", "turn.unanswered", "turn.skipped")]
    assert sorted(outcome) == committed, f"seed {seed}"
    assert committed == list(range(1, len(committed) + 1)), f"seed {seed}"
    begun = {event.data["reply"] for event in record.of("reply.started")}
    heard = [event.data["reply"] for event in record.of("reply.heard")]
    assert len(heard) == len(set(heard)), f"seed {seed}"
    assert begun <= set(heard), f"seed {seed}"


def test_every_turn_of_random_conversations_has_one_outcome() -> None:
    for seed in range(300):
        check_conversation(seed)


@pytest.mark.slow
def test_every_turn_of_ten_thousand_random_conversations_has_one_outcome() -> None:
    for seed in range(10_000):
        check_conversation(seed)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_conversation_has_the_same_events_to_the_byte(seed: int) -> None:
    one: Any = run_virtual(conversation(seed)).lines(wall=True)
    assert one == run_virtual(conversation(seed)).lines(wall=True)
