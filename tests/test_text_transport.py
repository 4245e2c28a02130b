"""The text transport: a caller who types, and a bot whose words take time to be heard."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.call import Call
from voiceframe.frames import HeardFrame, PauseFrame, ReplyEndedFrame, ReplyStartedFrame, ResumeFrame, TextFrame
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Observer, observes
from voiceframe.transports import TextTransport
from voiceframe.transports.text import split_words


class Ear(Observer):
    def __init__(self) -> None:
        self.heard: list[HeardFrame] = []

    @observes(HeardFrame)
    def on_heard(self, frame: HeardFrame) -> None:
        self.heard.append(frame)


async def start(transport: TextTransport) -> tuple[Call, Ear]:
    call = Call(transport)
    ear = Ear()
    await call.start(Pipeline([transport.input(), transport.output()], observers=[ear]))
    await asyncio.sleep(0)
    return call, ear


@given(st.text(alphabet=st.sampled_from("ab .,\n\t"), max_size=60))
def test_words_joined_are_the_text_again(text: str) -> None:
    words = list(split_words(text))
    assert "".join(words) == text
    assert all(words)


async def test_words_are_heard_at_the_pace_of_speech() -> None:
    said: list[tuple[int, str]] = []
    transport = TextTransport(words_per_minute=100, on_word=lambda word, reply: said.append((call.clock.at_ms(), word)))
    call, _ = await start(transport)
    call.say("Good morning, caller")
    await asyncio.sleep(5)
    assert said == [(400, "Good"), (1_300, " morning,"), (2_000, " caller")]
    call.hang_up()
    await call.wait_ended()


async def test_at_once_if_there_is_no_pace() -> None:
    transport = TextTransport(words_per_minute=0)
    call, ear = await start(transport)
    heard = await call.say("A whole sentence. And another.")
    assert (heard.text, heard.complete, call.clock.at_ms()) == ("A whole sentence. And another.", True, 0)
    assert [(frame.text, frame.final) for frame in ear.heard] == [("A whole sentence.", False), (" And another.", True)]
    call.hang_up()
    await call.wait_ended()


@given(st.integers(0, 4_000))
async def test_an_interruption_cuts_at_the_word_and_each_reply_is_closed_once(after_ms: int) -> None:
    transport = TextTransport()
    call, ear = await start(transport)
    text = "One two three. Four five six seven, eight. Nine."
    reply = call.say(text)
    other = call.say("And then this.")
    await asyncio.sleep(after_ms / 1000)
    transport.type("stop")
    heard, later = await reply, await other
    assert text.startswith(heard.text)
    assert heard.complete is (heard.text == text)
    assert heard.text == text[: len(heard.text)].rstrip() or heard.complete
    assert "".join(f.text for f in ear.heard if f.reply == 1) == heard.text
    finals = [frame.reply for frame in ear.heard if frame.final]
    assert len(finals) == len(set(finals))
    assert later.complete is False or heard.complete
    call.hang_up()
    await call.wait_ended()


@given(st.integers(0, 1_500), st.integers(1, 5_000))
async def test_a_pause_loses_nothing(after_ms: int, length_ms: int) -> None:
    transport = TextTransport()
    call, _ = await start(transport)
    text = "Please hold the line while I look."
    reply = call.say(text)
    await asyncio.sleep(after_ms / 1000)
    transport.output().push(PauseFrame(reply.number))
    await asyncio.sleep(length_ms / 1000)
    assert reply.heard is None
    transport.output().push(ResumeFrame(reply.number))
    heard = await reply
    assert (heard.text, heard.complete) == (text, True)
    # The whole took as long as it takes, and the pause.
    assert call.clock.at_ms() == pytest.approx(len(text) * 10_000 / 180 + length_ms, abs=2)
    call.hang_up()
    await call.wait_ended()


async def test_the_pace_does_not_drift() -> None:
    transport = TextTransport(words_per_minute=170)
    call, _ = await start(transport)
    text = " ".join(["word"] * 2_000)
    await call.say(text)
    assert call.clock.at_ms() == pytest.approx(len(text) * 10_000 / 170, abs=2)
    call.hang_up()
    await call.wait_ended()


async def test_a_reply_without_words_does_not_hold_up_the_next_one() -> None:
    transport = TextTransport()
    call, _ = await start(transport)
    stuck = call.replies.begin()
    call.send(ReplyStartedFrame(stuck))
    heard = await call.say("Sorry, could you say that again?")
    assert heard.complete
    call.hang_up()
    await call.wait_ended()


async def test_words_that_come_late_are_said_late_and_the_reply_is_closed_by_its_end() -> None:
    transport = TextTransport()
    call, ear = await start(transport)
    number = call.replies.begin()
    call.send(ReplyStartedFrame(number))
    call.send(TextFrame("One moment.", number))
    await asyncio.sleep(5)
    call.send(TextFrame(" Here it is.", number))
    await asyncio.sleep(5)
    assert not any(frame.final for frame in ear.heard)
    call.send(ReplyEndedFrame(number))
    assert [frame.complete for frame in ear.heard if frame.final] == [True]
    call.hang_up()
    await call.wait_ended()


async def test_the_end_waits_until_what_is_being_said_was_heard() -> None:
    transport = TextTransport()
    call, _ = await start(transport)
    reply = call.say("Thank you for calling, and goodbye.")
    assert await call.end() is True
    await call.wait_ended()
    assert reply.heard is not None
    assert reply.heard.complete
