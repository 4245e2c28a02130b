"""A carrier's line on virtual time: sound ahead of the clock, marks for what was heard, clear, and bad peers."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.app import App
from voiceframe.audio import PCM_8K, Audio
from voiceframe.call import Call
from voiceframe.clock import run_virtual
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    InputDTMFFrame,
    OutputAudioFrame,
    OutputDTMFFrame,
    PauseFrame,
    PlayedAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    ResumeFrame,
    Word,
)
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Observer, Processor, handles, observes
from voiceframe.testing.record import CallTranscript
from voiceframe.tones import tone
from voiceframe.transports.media import MediaSettings, MediaTransport


class Messages:
    """The messages of a stream as what they are."""

    def audio(self, payload: bytes) -> bytes:
        return b"a" + payload

    def mark(self, name: str) -> bytes:
        return b"m" + name.encode()

    def clear(self) -> bytes:
        return b"c"


@dataclass
class Carrier:
    """Plays what it is sent at the pace of the clock, gives marks back, and keeps what it has played."""

    line: MediaTransport
    latency_ms: int = 0
    marks: bool = True
    reads: bool = True
    played: list[tuple[int, bytes]] = field(default_factory=list)  # at which millisecond
    closed: list[tuple[int, str]] = field(default_factory=list)
    most_ahead_ms: int = 0
    waiting: int = 0
    _queue: deque[bytes] = field(default_factory=deque)
    _ends: float = 0.0
    _timers: set[asyncio.TimerHandle] = field(default_factory=set)

    def attach(self, name: str = "socket") -> None:
        self.loop = asyncio.get_running_loop()
        self.line.attach(self, Messages(), name)

    # -- what the bot's side does

    def send(self, message: bytes) -> None:
        if self.closed:
            return
        if not self.reads:
            self.waiting += len(message)
            return
        self.loop.call_later(self.latency_ms / 1000, self._take, message)

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    # -- as a carrier

    def _take(self, message: bytes) -> None:
        now = self.loop.time()
        kind, rest = message[:1], message[1:]
        if kind == b"a":
            self._queue.append(rest)
            begins = max(now, self._ends)
            self._ends = begins + len(rest) / 16_000
            self.most_ahead_ms = max(self.most_ahead_ms, round((self._ends - now) * 1000))
            self._timers.add(self.loop.call_at(begins, self._play, round(begins * 1000), rest))
        elif kind == b"m":
            if self.marks:
                self._timers.add(self.loop.call_at(max(now, self._ends), self._return, rest.decode()))
        else:
            due, self._timers = self._timers, set()
            self._ends = now
            for timer in due:
                if timer.when() > now and not timer.cancelled():
                    timer.cancel()
                    callback, args = timer._callback, timer._args  # type: ignore[attr-defined]
                    if callback == self._return:
                        self._return(*args)

    def _play(self, at_ms: int, data: bytes) -> None:
        self.played.append((at_ms, data))

    def _return(self, name: str) -> None:
        self.loop.call_later(self.latency_ms / 1000, self.line.marked, name)

    def sound(self) -> bytes:
        return b"".join(data for _, data in self.played)


class Says(Processor):
    """Does what the test tells it."""

    def __init__(self) -> None:
        self.got: list[Frame] = []

    @handles(InputAudioFrame, InputDTMFFrame)
    def on_any(self, frame: Frame) -> None:
        self.got.append(frame)

    def reply(self, words: int, ms: int = 200, *, end: bool = True) -> int:
        """A reply of so many words, each of `ms`."""
        number = self.begin_reply(None)
        self.push(ReplyStartedFrame(number))
        for index in range(words):
            self.more(number, f" w{index}" if index else "w0", ms)
        if end:
            self.push(ReplyEndedFrame(number))
        return number

    def more(self, number: int, word: str, ms: int) -> None:
        data = tone(300, ms, -12, 8_000)
        self.push(OutputAudioFrame(Audio(data, PCM_8K), number, (Word(word, 0, ms),)))


class Recorder(Observer):
    """What the line says was played."""

    def __init__(self) -> None:
        self.sound: list[tuple[int, bytes]] = []

    @observes(PlayedAudioFrame, upstream=True)
    def on_played(self, frame: PlayedAudioFrame) -> None:
        self.sound.append((frame.position, frame.audio.data))


@dataclass
class World:
    call: Call
    line: MediaTransport
    carrier: Carrier
    says: Says
    record: CallTranscript
    recorder: Recorder
    words: list[str]
    over: list[tuple[int, bool]]
    talking: asyncio.Task[None]

    def heard(self, reply: int) -> str:
        return "".join(
            str((e.personal or {})["text"]) for e in self.record.of("reply.heard") if e.data["reply"] == reply
        )


async def world(*, latency_ms: int = 0, marks: bool = True, media: MediaSettings | None = None) -> World:
    words: list[str] = []
    over: list[tuple[int, bool]] = []
    line = MediaTransport(
        "test",
        PCM_8K,
        leg="leg",
        settings=media or MediaSettings(),
        on_word=lambda word, _: words.append(word),
        on_reply=lambda reply, complete: over.append((reply, complete)),
    )
    says, record, recorder = Says(), CallTranscript(), Recorder()
    app = App(
        lambda call: Pipeline([call.transport.input(), says, call.transport.output()], observers=[recorder]),
        store=None,
        sinks=[record],
        observers=lambda: (),
    )
    call = await app.take(line, id="call", seed=1)
    carrier = Carrier(line, latency_ms, marks)
    carrier.attach()
    talking = asyncio.get_running_loop().create_task(_talk(line, carrier))
    await asyncio.sleep(0.02)
    return World(call, line, carrier, says, record, recorder, words, over, talking)


async def _talk(line: MediaTransport, carrier: Carrier) -> None:
    """The caller's side sends silence all the time, as carriers do."""
    while not line.call.ended:
        if line.attached and not carrier.closed:
            line.audio(bytes(320))
        await asyncio.sleep(0.02)


async def finish(world: World) -> None:
    world.call.end(after="now")
    await world.call.wait_ended()
    world.talking.cancel()


@pytest.mark.parametrize("latency_ms", [0, 40, 150])
@pytest.mark.parametrize("marks", [True, False])
def test_a_reply_is_sent_ahead_and_heard_when_it_was_played(latency_ms: int, marks: bool) -> None:
    async def main() -> None:
        w = await world(latency_ms=latency_ms, marks=marks)
        reply = w.says.reply(10)
        await asyncio.sleep(1.0)
        played_ms = 20 * len(w.carrier.played)
        assert w.carrier.most_ahead_ms in range(160, 221)
        assert len(w.words) <= played_ms // 200
        if marks:
            assert len(w.words) >= (played_ms - 2 * latency_ms - 40) // 200
        await asyncio.sleep(3.0)
        assert w.heard(reply) == "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9"
        assert w.over == [(reply, True)]
        assert w.carrier.sound()[: 2000 * 16] == b"".join(tone(300, 200, -12, 8_000) for _ in range(10))
        starts = [at for at, _ in w.carrier.played]
        assert starts == list(range(starts[0], starts[0] + 20 * len(starts), 20))  # no gap, no drift
        await finish(w)

    run_virtual(main())


def test_an_interruption_clears_the_carrier_and_counts_what_was_played() -> None:
    async def main() -> None:
        w = await world(latency_ms=30)
        reply = w.says.reply(20)
        await asyncio.sleep(1.51)
        w.call.interrupt()
        at_ms = round(asyncio.get_running_loop().time() * 1000)
        await asyncio.sleep(1)
        last_ms, last = w.carrier.played[-1]
        assert last_ms - at_ms <= 60
        heard = w.heard(reply).split()
        played = sum(len(data) for _, data in w.carrier.played) / 16 / 200
        assert played - 1.5 <= len(heard) <= played
        assert w.over == [(reply, False)]
        # It ends in a fade and not in a step.
        assert max(map(abs, _samples(last)[-8:])) < 1_000
        # The next reply is sent at once and whole.
        following = w.says.reply(3)
        await asyncio.sleep(2)
        assert w.heard(following) == "w0 w1 w2"
        await finish(w)

    run_virtual(main())


def _samples(data: bytes) -> list[int]:
    import array

    return list(array.array("h", data))


def test_marks_of_an_interrupted_reply_say_nothing_about_the_next_one() -> None:
    async def main() -> None:
        w = await world(latency_ms=100)
        first = w.says.reply(20)
        await asyncio.sleep(0.5)
        w.call.interrupt()
        second = w.says.reply(20)  # while the marks of the first are on their way back
        await asyncio.sleep(0.3)
        assert w.heard(second) == ""
        assert len(w.words) <= 3
        await asyncio.sleep(5)
        assert w.over == [(first, False), (second, True)]
        await finish(w)

    run_virtual(main())


@pytest.mark.parametrize("at_ms", [600, 613, 1_999, 2_150])
@pytest.mark.parametrize("latency_ms", [0, 40])
def test_a_pause_holds_at_once_and_nothing_is_lost(at_ms: int, latency_ms: int) -> None:
    async def main() -> None:
        w = await world(latency_ms=latency_ms)
        reply = w.says.reply(10)
        await asyncio.sleep(at_ms / 1000)
        w.says.push(PauseFrame(reply))
        await asyncio.sleep(0.5)
        played = len(w.carrier.played)
        last_ms = w.carrier.played[-1][0]
        assert last_ms - 40 <= at_ms + latency_ms + 20  # the fade behind it included
        await asyncio.sleep(1)
        assert len(w.carrier.played) == played
        heard = len(w.heard(reply).split())
        w.says.push(ResumeFrame(reply))
        await asyncio.sleep(3)
        assert w.heard(reply).split() == [f"w{n}" for n in range(10)]
        assert heard < 10 or at_ms > 2_000
        assert w.over == [(reply, True)]
        # What the carrier has played while it did not know yet is said again, and a fade; but nothing is missing.
        whole = sum(len(data) for _, data in w.carrier.played) / 16
        assert 2_000 <= whole <= 2_000 + 2 * latency_ms + 80
        await finish(w)

    run_virtual(main())


def test_speech_that_comes_late_leaves_a_gap_and_does_not_pile_up() -> None:
    async def main() -> None:
        w = await world()
        number = w.says.reply(2, end=False)
        await asyncio.sleep(1.0)
        for index in range(2, 4):
            w.says.more(number, f" w{index}", 200)
        w.says.push(ReplyEndedFrame(number))
        await asyncio.sleep(1.0)
        assert w.heard(number) == "w0 w1 w2 w3"
        assert w.carrier.most_ahead_ms <= 220
        starts = [at for at, _ in w.carrier.played]
        assert max(b - a for a, b in pairwise(starts)) > 400
        await finish(w)

    run_virtual(main())


def test_the_record_has_sound_where_it_was_played() -> None:
    async def main() -> None:
        w = await world()
        w.says.reply(3)
        await asyncio.sleep(1.5)
        w.says.reply(3)
        await asyncio.sleep(1.5)
        began = w.carrier.played[0][0]
        offset = w.recorder.sound[0][0] // 8 - began
        for (position, data), (at_ms, sent) in zip(w.recorder.sound, w.carrier.played, strict=False):
            assert abs(position // 8 - offset - at_ms) <= 20
            assert data == sent[: len(data)]
        await finish(w)

    run_virtual(main())


def test_keys_of_the_bot_are_to_be_heard() -> None:
    async def main() -> None:
        from voiceframe.keys import DTMFDetector

        w = await world()
        w.says.push(OutputDTMFFrame("159#"))
        await asyncio.sleep(2)
        detector = DTMFDetector(8_000)
        found = [digit for _, data in w.carrier.played for digit in detector.feed(data)]
        assert "".join(str(getattr(digit, "digit", digit)) for digit in found) == "159#"
        await finish(w)

    run_virtual(main())


# -- peers


def test_keys_and_sound_of_the_caller_come_in() -> None:
    async def main() -> None:
        w = await world()
        w.line.digit("5")
        await asyncio.sleep(0.1)
        assert [f.digit for f in w.says.got if isinstance(f, InputDTMFFrame)] == ["5"]
        assert sum(isinstance(f, InputAudioFrame) for f in w.says.got) >= 5
        await finish(w)

    run_virtual(main())


def test_a_silent_peer_is_given_up_and_another_connection_goes_on() -> None:
    async def main() -> None:
        w = await world(media=MediaSettings(silent_ms=1_000, reconnect_ms=3_000))
        w.talking.cancel()
        reply = w.says.reply(20)
        await asyncio.sleep(1.5)
        assert w.carrier.closed == [(1013, "the peer is silent")]
        assert not w.line.attached
        second = Carrier(w.line)
        second.attach("again")
        task = asyncio.get_running_loop().create_task(_talk(w.line, second))
        await asyncio.sleep(6)
        assert w.over == [(reply, False)]  # it waited; but what was under way is lost
        heard = w.heard(reply).split()
        assert heard[-1] == "w19"
        assert 0 < 20 - len(heard) <= 3
        assert [e.data["connection"] for e in w.record.of("connection.attached")] == ["socket", "again"]
        task.cancel()
        await finish(w)

    run_virtual(main())


def test_a_peer_that_does_not_read_is_given_up_and_the_call_ends_without_another() -> None:
    async def main() -> None:
        w = await world(media=MediaSettings(slow_bytes=8_192, reconnect_ms=500))
        w.carrier.reads = False
        w.says.reply(20)
        await asyncio.sleep(1.0)
        assert w.carrier.closed == [(1013, "the peer does not read")]
        assert await w.call.wait_ended() == "connection lost"
        w.talking.cancel()

    run_virtual(main())


def test_a_flood_of_sound_costs_its_own_connection() -> None:
    async def main() -> None:
        w = await world(media=MediaSettings(burst_ms=1_000))
        for _ in range(40):
            w.line.audio(bytes(320))  # 0.8 s at once: the network was held up
        assert w.line.attached
        for _ in range(40):
            w.line.audio(bytes(320))
        assert w.carrier.closed == [(1008, "more sound than time")]
        await finish(w)

    run_virtual(main())


def test_the_caller_hangs_up() -> None:
    async def main() -> None:
        w = await world()
        reply = w.says.reply(20)
        await asyncio.sleep(1.0)
        w.line.stopped()
        assert await w.call.wait_ended() == "hangup"
        assert w.over == [(reply, False)]
        assert w.carrier.closed == [(1000, "hangup")]
        w.talking.cancel()

    run_virtual(main())


def test_a_goodbye_is_heard_before_the_end() -> None:
    async def main() -> None:
        w = await world(latency_ms=60)
        reply = w.says.reply(5)
        w.call.end()
        await w.call.wait_ended()
        assert w.heard(reply) == "w0 w1 w2 w3 w4"
        assert len(w.carrier.sound()) >= 1000 * 16
        w.talking.cancel()

    run_virtual(main())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_whatever_happens_each_reply_has_one_end_and_no_word_is_heard_that_was_not_played(seed: int) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        w = await world(latency_ms=rng.choice((0, 20, 90)), marks=rng.random() < 0.8)
        replies = []
        open_reply = 0
        for _ in range(rng.randint(3, 12)):
            act = rng.choice(("reply", "open", "more", "end", "interrupt", "pause", "resume", "lose", "keys", "wait"))
            if act == "reply":
                replies.append(w.says.reply(rng.randint(1, 6), rng.choice((35, 120, 300))))
            elif act == "open" and not open_reply:
                open_reply = w.says.reply(rng.randint(0, 2), end=False)
                replies.append(open_reply)
            elif act == "more" and open_reply:
                w.says.more(open_reply, " more", rng.choice((20, 200)))
            elif act == "end" and open_reply:
                w.says.push(ReplyEndedFrame(open_reply))
                open_reply = 0
            elif act == "interrupt":
                w.call.interrupt()
                open_reply = 0
            elif act == "pause" and replies:
                w.says.push(PauseFrame(replies[-1]))
            elif act == "resume" and replies:
                w.says.push(ResumeFrame(replies[-1]))
            elif act == "lose":
                w.line.lose("test")
                w.carrier = Carrier(w.line, w.carrier.latency_ms, w.carrier.marks, played=w.carrier.played)
                w.carrier.attach()
            elif act == "keys":
                w.says.push(OutputDTMFFrame("1"))
            await asyncio.sleep(rng.choice((0, 0.01, 0.1, 0.5, 1.3)))
        await finish(w)
        ends = [reply for reply, _ in w.over]
        assert sorted(ends) == sorted(set(ends))
        assert set(ends) <= set(replies)
        played_ms = sum(len(data) for _, data in w.carrier.played) / 16
        assert len(w.words) * 20 <= played_ms + 20
        assert w.carrier.most_ahead_ms <= 220

    run_virtual(main())
