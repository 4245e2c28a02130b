"""The text transport: words at the pace of speech, and what of them was heard."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Call, Observer, Pipeline, Processor, handles, observes
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    HeardFrame,
    InputDTMFFrame,
    OutputDTMFFrame,
    PauseFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    ResumeFrame,
    TextFrame,
    UserTurnFrame,
)
from voiceframe.testing import CallTranscript
from voiceframe.transports.text import TextTransport, split_words


class Line:
    """A call over text; the words that the caller hears, each with its time."""

    def __init__(self, *processors: Processor, words_per_minute: int = 200) -> None:  # 50 ms for each character
        self.words: list[tuple[int, str]] = []
        self.over: list[tuple[int, bool]] = []
        self.digits: list[str] = []
        self.transport = TextTransport(
            words_per_minute=words_per_minute,
            on_word=lambda word, reply: self.words.append((self.call.clock.at_ms(), word)),
            on_reply=lambda reply, complete: self.over.append((reply, complete)),
            on_digits=self.digits.append,
        )
        self.record = CallTranscript()
        self.call = Call(self.transport, sinks=[self.record])
        self.pipeline = Pipeline([self.transport.input(), *processors, self.transport.output()])

    async def __aenter__(self) -> Line:
        await self.call.start(self.pipeline)
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await self.call.wait_ended()

    @property
    def heard(self) -> str:
        return "".join(word for _, word in self.words)

    def push(self, *frames: Frame) -> None:
        for frame in frames:
            self.call.send(frame)


@given(st.text(alphabet="ab \n.", max_size=40))
def test_words_keep_their_spaces(text: str) -> None:
    words = list(split_words(text))
    assert "".join(words) == text
    assert all(words)
    assert all(" " not in word.lstrip() or word.isspace() for word in words if "\n" not in word)


async def test_a_reply_is_spoken_at_the_pace_of_its_characters() -> None:
    async with Line() as line:
        heard = await line.call.say("One two. Three")
        assert line.words == [(150, "One"), (400, " two."), (700, " Three")]
        assert heard.text == "One two. Three"
        assert heard.complete
        assert line.over == [(1, True)]


async def test_at_no_pace_it_is_delivered_at_once() -> None:
    async with Line(words_per_minute=0) as line:
        assert (await line.call.say("One two.")).complete
        assert line.call.clock.at_ms() == 0


async def test_what_the_output_tells_travels_upstream_in_order() -> None:
    seen: list[Frame] = []

    class Sees(Processor):
        @handles(BotStartedSpeakingFrame, BotStoppedSpeakingFrame, HeardFrame, upstream=True)
        def on_any(self, frame: Frame) -> Frame:
            seen.append(frame)
            return frame

    async with Line(Sees()) as line:
        await line.call.say("One. Two.")
    assert seen == [
        BotStartedSpeakingFrame(1, at_ms=0),
        HeardFrame(1, "One.", at_ms=200),
        BotStoppedSpeakingFrame(1, at_ms=450),
        HeardFrame(1, " Two.", complete=True, final=True, at_ms=450),
    ]


async def test_an_interruption_cuts_at_the_word() -> None:
    async with Line() as line:
        reply = line.call.say("One two three four")
        await asyncio.sleep(0.4)
        line.transport.type("stop")
        assert (await reply).text == "One two"
        assert line.heard == "One two"
        await asyncio.sleep(5)
        assert line.heard == "One two"
        assert line.over == [(1, False)]


async def test_replies_are_spoken_one_after_the_other() -> None:
    async with Line() as line:
        line.call.say("One.")
        await line.call.say("Two.")
        assert line.words == [(200, "One."), (400, "Two.")]


async def test_a_protected_reply_is_spoken_to_its_end_and_those_behind_it_are_gone() -> None:
    async with Line() as line:
        first = line.call.say("Stay on the line.", interruptible=False)
        second = line.call.say("Or not.")
        await asyncio.sleep(0.3)
        line.transport.type("hello")
        assert not (await second).complete
        assert (await first).complete
        assert line.heard == "Stay on the line."


async def test_pause_holds_and_resume_goes_on_without_losing_anything() -> None:
    async with Line() as line:
        reply = line.call.say("One two")
        await asyncio.sleep(0.25)
        line.push(PauseFrame(1))
        await asyncio.sleep(10)
        assert line.transport.output().remaining_ms() == 0
        line.push(ResumeFrame(1))
        assert (await reply).complete
        assert line.words == [(150, "One"), (10_350, " two")]
        assert [event.kind for event in line.record.of("pause", "resume")] == ["pause", "resume"]


@pytest.mark.parametrize("protected", [False, True])
async def test_an_interruption_ends_a_pause(protected: bool) -> None:
    async with Line() as line:
        reply = line.call.say("One two", interruptible=not protected)
        await asyncio.sleep(0.25)
        line.push(PauseFrame(1))
        await asyncio.sleep(1)
        line.call.interrupt()
        assert (await reply).complete == protected
        assert line.heard == ("One two" if protected else "One")
        assert (await line.call.say("And on.")).complete


async def test_a_text_that_comes_after_the_end_of_its_reply_holds_up_nothing() -> None:
    async with Line() as line:
        number = line.call.replies.begin()
        line.push(ReplyStartedFrame(number), TextFrame("One.", number), ReplyEndedFrame(number))
        await asyncio.sleep(1)
        line.push(TextFrame("Late.", number))
        assert (await line.call.say("Two.")).complete
        assert line.heard == "One.Two."


async def test_a_reply_without_words_is_over_at_once_and_makes_no_sound() -> None:
    async with Line() as line:
        number = line.call.replies.begin()
        line.push(ReplyStartedFrame(number), ReplyEndedFrame(number))
        await asyncio.sleep(0)
        assert line.over == [(number, True)]
        assert [event.kind for event in line.record.events if event.kind.startswith("reply")] == [
            "reply.started",
            "reply.ended",
            "reply.heard",
        ]


async def test_turns_keys_and_the_hang_up_come_from_the_caller() -> None:
    seen: list[Frame] = []

    class Sees(Processor):
        @handles(UserTurnFrame, InputDTMFFrame)
        def on_any(self, frame: Frame) -> Frame:
            seen.append(frame)
            return frame

    async with Line(Sees()) as line:
        assert line.transport.type("hello") == 1
        line.transport.press("1#")
        assert line.transport.type("again", source="speech") == 2
        line.push(OutputDTMFFrame("42"))
        line.transport.hang_up()
        assert await line.call.wait_ended() == "hangup"
    assert seen == [
        UserTurnFrame(1, "hello", "text", at_ms=0),
        InputDTMFFrame("1", at_ms=0),
        InputDTMFFrame("#", at_ms=0),
        UserTurnFrame(2, "again", "speech", at_ms=0),
    ]
    assert line.digits == ["42"]


async def test_turns_that_are_typed_faster_than_they_are_handled_have_numbers_of_their_own() -> None:
    async with Line() as line:
        state = line.call.engine.dispatcher.state
        state.running = object()  # type: ignore[assignment]
        numbers = [line.transport.type("a"), line.transport.type("b")]
        state.running = None
        await asyncio.sleep(0)
        assert numbers == [1, 2]
    assert line.record.turns == ["a", "b"]


async def test_the_end_lets_be_heard_what_is_being_said() -> None:
    async with Line() as line:
        line.call.say("One two")
        line.call.engine.request_end("completed")
        await line.call.wait_ended()
        assert line.heard == "One two"
        assert line.record.heard == ["One two"]


async def test_a_reply_that_is_never_ended_does_not_keep_the_call() -> None:
    async with Line() as line:
        number = line.call.replies.begin()
        line.push(ReplyStartedFrame(number), TextFrame("One", number))
        line.call.engine.request_end("completed")
        await line.call.wait_ended()
        assert line.call.clock.at_ms() == 150
        assert line.record.heard == ["One"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.sampled_from(["", "One.", "Two three four. Five!", "  six "]), st.booleans()),
            st.tuples(st.just("sleep"), st.integers(0, 600)),
            st.tuples(st.sampled_from(["interrupt", "pause", "resume", "type"])),
        ),
        max_size=15,
    ),
    st.sampled_from([0, 200]),
)
async def test_each_reply_has_one_last_word_and_the_log_knows_what_was_heard(
    schedule: list[tuple[object, ...]], pace: int
) -> None:
    async with Line(words_per_minute=pace) as line:
        said: dict[int, str] = {}
        for step in schedule:
            match step:
                case ("say", str(text), bool(interruptible)):
                    said[line.call.say(text, interruptible=interruptible).number] = text
                case ("sleep", int(ms)):
                    await asyncio.sleep(ms / 1000)
                case ("interrupt",):
                    line.call.interrupt()
                case ("pause",):
                    line.push(PauseFrame(0))
                case ("resume",):
                    line.push(ResumeFrame(0))
                case ("type",):
                    line.transport.type("line")
        line.push(ResumeFrame(0))
        await asyncio.sleep(20)
        line.call.hang_up()
        await line.call.wait_ended()
    heard = {event.data["reply"]: event for event in line.record.of("reply.heard")}
    assert said.keys() <= heard.keys()
    assert len(heard) == len(line.record.of("reply.heard"))
    for number, text in said.items():
        kept = (heard[number].personal or {})["text"]
        assert text.startswith(kept)
        if heard[number].data["complete"]:
            assert kept == text
    assert "".join((event.personal or {})["text"] for event in line.record.of("reply.heard")) == line.heard or pace == 0


class Ear(Observer):
    """Hears what the output says was heard."""

    def __init__(self) -> None:
        self.heard: list[HeardFrame] = []

    @observes(HeardFrame)
    def on_heard(self, frame: HeardFrame) -> None:
        self.heard.append(frame)


async def start(transport: TextTransport) -> tuple[Call, Ear]:
    call, ear = Call(transport), Ear()
    await call.start(Pipeline([transport.input(), transport.output()], observers=[ear]))
    await asyncio.sleep(0)
    return call, ear


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


async def test_a_producer_that_drains_is_held_back_until_half_of_the_words_are_spoken() -> None:
    from voiceframe.frames import UserTurnFrame
    from voiceframe.processor import Processor, handles
    from voiceframe.transports.text import MOST_WORDS

    made: list[int] = []

    class Endless(Processor):
        @handles(UserTurnFrame)
        async def on_turn(self, frame: UserTurnFrame) -> None:
            number = self.begin_reply(frame.turn)
            for count in range(MOST_WORDS):
                self.push(TextFrame(" word", number))
                made.append(count)
                await self.drain()

    transport = TextTransport(words_per_minute=6_000)
    call = Call(transport)
    await call.start(Pipeline([transport.input(), Endless(), transport.output()]))
    transport.type("go on")
    await asyncio.sleep(1)
    held = len(made)
    assert MOST_WORDS // 2 <= held < MOST_WORDS // 2 + 200
    await asyncio.sleep(10)
    assert held < len(made) < MOST_WORDS  # it goes on as words are spoken
    call.hang_up()
    await call.wait_ended()


async def test_words_without_measure_end_the_call_and_name_the_output() -> None:
    from voiceframe.transports.text import MOST_WORDS

    transport = TextTransport()
    call, _ = await start(transport)
    failed: list[object] = []
    call.log.subscribe(lambda event: failed.append(event.data) if event.kind == "processor.failed" else None)
    call.say("word " * (MOST_WORDS + 10))
    assert await call.wait_ended() == "error"
    assert "TextOutput" in str(failed[0])
    assert "processor.overflow" in str(failed[0])
