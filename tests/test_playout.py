"""The playout: order, pauses without loss, cuts without clicks, and what was heard."""

from __future__ import annotations

import array
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.audio import PCM_8K, PCMU_8K, Audio, AudioFormat
from voiceframe.frames import Word
from voiceframe.tones import tone
from voiceframe.transports.fades import fader
from voiceframe.transports.playout import Playout

TICK = 160
FADE = 24


@dataclass
class Ear:
    """Keeps what the playout tells."""

    news: list[tuple[object, ...]] = field(default_factory=list)
    sent: list[tuple[int, int, bytes]] = field(default_factory=list)  # reply, position, samples

    def started(self, reply: int) -> None:
        self.news.append(("started", reply))

    def played(self, data: bytes, reply: int, position: int) -> None:
        self.sent.append((reply, position, data))

    def word(self, word: str, reply: int) -> None:
        self.news.append(("word", word, reply))

    def heard(self, text: str, reply: int) -> None:
        self.news.append(("heard", text, reply))

    def over(self, reply: int, text: str, complete: bool, sounded: bool) -> None:
        self.news.append(("over", reply, text, complete, sounded))

    def finals(self) -> list[tuple[object, ...]]:
        return [item for item in self.news if item[0] == "over"]

    def heard_of(self, reply: int) -> str:
        texts = [str(item[1]) for item in self.news if item[0] == "heard" and item[2] == reply]
        return "".join(texts) + "".join(str(item[2]) for item in self.finals() if item[1] == reply)


def make(format: AudioFormat = PCM_8K) -> tuple[Playout, Ear]:
    ear = Ear()
    return Playout(format, ear), ear


def pcm(*values: int) -> bytes:
    return array.array("h", values).tobytes()


def numbers(data: bytes) -> list[int]:
    return list(array.array("h", data))


def ticks(playout: Playout, count: int) -> bytes:
    return b"".join(playout.take(TICK) for _ in range(count))


def largest_step(data: bytes) -> int:
    values = numbers(data)
    return max(abs(b - a) for a, b in pairwise(values))


def hum(ms: int, rate: int = 8_000) -> bytes:
    """A tone of 200 Hz that is loud: a cut at the top of its wave is a step of 16,384."""
    return tone(200, ms, -9.03, rate)


OWN_STEP = largest_step(hum(100))  # what the tone has of itself: 2,559


def test_replies_are_played_in_order_and_each_is_over_once() -> None:
    playout, ear = make()
    playout.begin(1)
    playout.begin(2)
    playout.add(2, pcm(*[2] * 200), [Word("Two.", 0, 20)])
    playout.end(2)
    playout.add(1, pcm(*[1] * 200), [Word("One", 0, 10), Word(" more.", 10, 25)])
    playout.end(1)
    data = numbers(ticks(playout, 6))
    assert data == [1] * 200 + [0] * 120 + [2] * 200 + [0] * 440
    assert ear.news == [
        ("started", 1),
        ("word", "One", 1),
        ("word", " more.", 1),
        ("over", 1, "One more.", True, True),
        ("started", 2),
        ("word", "Two.", 2),
        ("over", 2, "Two.", True, True),
    ]
    assert [(reply, position, len(data) // 2) for reply, position, data in ear.sent] == [
        (1, 0, 160),
        (1, 160, 40),
        (2, 320, 160),
        (2, 480, 40),
    ]
    assert playout.idle


def test_a_reply_that_never_gets_a_sound_holds_up_no_other() -> None:
    playout, ear = make()
    playout.begin(1)
    playout.begin(2)
    playout.add(2, pcm(*[2] * 160))
    playout.end(2)
    ticks(playout, 2)
    assert ear.finals() == [("over", 2, "", True, True)]


def test_a_reply_that_ends_without_a_sound_is_over_at_once() -> None:
    playout, ear = make()
    playout.begin(1)
    playout.end(1)
    assert ear.news == [("over", 1, "", True, False)]
    playout.add(1, pcm(1, 2, 3))
    playout.end(1)
    assert ticks(playout, 1) == bytes(320)
    assert ear.news == [("over", 1, "", True, False)]


def test_a_word_was_heard_when_its_last_sample_was_sent() -> None:
    playout, ear = make()
    playout.add(1, hum(100), [Word("One.", 0, 40), Word(" Two", 40, 61), Word(" three", 61, 100)])
    ticks(playout, 1)
    assert [item for item in ear.news if item[0] == "word"] == []
    ticks(playout, 1)
    assert ear.news[1:] == [("word", "One.", 1), ("heard", "One.", 1)]
    ticks(playout, 1)  # to 60 ms: one short of the second word
    playout.cut(lambda reply: True)
    assert ear.finals() == [("over", 1, "", False, True)]
    playout, ear = make()
    playout.add(1, hum(100), [Word("One", 0, 40), Word(" two", 40, 60), Word(" three", 60, 100)])
    ticks(playout, 3)
    playout.cut(lambda reply: True)
    assert ear.finals() == [("over", 1, "One two", False, True)]


def test_words_that_are_said_to_end_behind_the_last_sample_are_heard_with_it() -> None:
    playout, ear = make()
    playout.add(1, hum(20), [Word("One", 0, 21)])
    playout.end(1)
    ticks(playout, 2)
    assert ear.finals() == [("over", 1, "One", True, True)]


@pytest.mark.parametrize("format", [PCM_8K, PCMU_8K, AudioFormat("alaw", 8_000), AudioFormat("pcm_s16le", 48_000)])
@pytest.mark.parametrize("after_ms", [20, 21, 22, 23, 24])  # at the top of the wave, and elsewhere
@pytest.mark.parametrize("how", ["cut", "pause", "gap"])
def test_sound_stops_and_goes_on_without_a_click(format: AudioFormat, after_ms: int, how: str) -> None:
    rate = format.rate
    playout, _ = make(format)
    source = hum(400, rate)
    coded = Audio(source, AudioFormat("pcm_s16le", rate)).to(format)
    width = len(coded) // (len(source) // 2)
    samples = rate // 1000
    if how == "gap":
        playout.add(1, coded[: after_ms * samples * width])
    else:
        playout.add(1, coded)
    sent = playout.take(after_ms * samples)
    if how == "cut":
        playout.cut(lambda reply: True)
    elif how == "pause":
        playout.pause()
    sent += playout.take(20 * samples)
    playout.resume()
    if how == "gap":
        playout.add(1, coded[after_ms * samples * width :])
    sent += playout.take(20 * samples)
    played = Audio(sent, format).pcm(rate)
    own = largest_step(Audio(coded, format).pcm(rate))
    # A fade adds to the steps of the tone at most 1/15 of its height at 8 kHz.
    assert largest_step(played) <= own + 16_384 * 8_000 / rate / 12
    # What there is over 1.5 kHz around the stop and the start: -56 dBFS is the noise of µ-law itself.
    for middle in (after_ms, after_ms + 20):
        # In a gap only the last sample is there to fade out.
        bound = -80 if format.encoding == "pcm_s16le" and how != "gap" else -53
        assert high_dbfs(played, rate, middle * samples) < bound


def high_dbfs(pcm: bytes, rate: int, middle: int) -> float:
    """The energy over 1.5 kHz in the 20 ms around a sample, which a click has and this tone has not."""
    around = rate // 100
    part = np.frombuffer(pcm, "<i2")[middle - around : middle + around] / 32768
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)))) / len(part)
    high = spectrum[np.fft.rfftfreq(len(part), 1 / rate) >= 1_500]
    return float(10 * np.log10((high**2).sum() + 1e-12))


@pytest.mark.parametrize("after_ms", [21, 22, 23, 24])
def test_a_cut_without_a_fade_would_be_heard(after_ms: int) -> None:
    hard = hum(100)[: after_ms * 16] + bytes(320)
    assert high_dbfs(hard, 8_000, after_ms * 8) > -43
    assert largest_step(hard) > 2 * OWN_STEP


def test_a_cut_sends_three_milliseconds_of_what_would_have_come() -> None:
    playout, ear = make()
    playout.add(1, pcm(*[1_000] * 800))
    ticks(playout, 1)
    playout.cut(lambda reply: True)
    data = numbers(ticks(playout, 1))
    assert data[0] == 996
    assert data[23] == 4
    assert data[24:] == [0] * 136
    assert data[:24] == sorted(data[:24], reverse=True)
    assert ear.sent[-1] == (1, 160, pcm(*data[:24]))
    assert playout.idle


def test_a_pause_stays_at_its_sample_and_no_sample_is_lost() -> None:
    source = pcm(*range(1, 1601))
    playout, ear = make()
    playout.add(1, source)
    playout.end(1)
    data = numbers(ticks(playout, 3))
    playout.pause()
    held = numbers(ticks(playout, 5))
    assert playout.position == 8 * TICK
    assert held[FADE:] == [0] * (5 * TICK - FADE)
    playout.resume()
    rest = numbers(ticks(playout, 8))
    assert data == list(range(1, 481))
    # From the very next sample on, faded in over three milliseconds and from there on as it is.
    assert rest[FADE:1120] == list(range(481 + FADE, 1601))
    fade = numbers(fader(PCM_8K).rise(pcm(*range(481, 481 + FADE)), 0))
    assert rest[:FADE] == fade
    assert ear.finals() == [("over", 1, "", True, True)]


def test_a_pause_that_ends_before_the_next_tick_changes_nothing() -> None:
    playout, _ = make()
    playout.add(1, pcm(*range(1, 801)))
    ticks(playout, 1)
    playout.pause()
    playout.resume()
    assert numbers(ticks(playout, 1)) == list(range(161, 321))


def test_a_cut_in_a_pause_makes_no_sound() -> None:
    playout, ear = make()
    playout.add(1, hum(200), [Word("One", 0, 20)])
    ticks(playout, 1)
    playout.pause()
    ticks(playout, 1)
    playout.cut(lambda reply: True)
    assert playout.idle
    assert ticks(playout, 1) == bytes(320)
    assert ear.finals() == [("over", 1, "One", False, True)]


def test_a_cut_ends_a_pause_for_the_reply_that_lives() -> None:
    playout, ear = make()
    playout.add(1, hum(40))
    playout.end(1)
    playout.add(2, pcm(*[7] * 160))
    playout.end(2)
    ticks(playout, 1)
    playout.pause()
    ticks(playout, 3)
    playout.cut(lambda reply: reply == 1)
    assert numbers(ticks(playout, 1)) == [7] * 160
    ticks(playout, 1)
    assert ear.finals() == [("over", 1, "", False, True), ("over", 2, "", True, True)]


def test_a_reply_whose_last_sample_was_sent_is_complete_even_if_it_is_cut_then() -> None:
    playout, ear = make()
    playout.add(1, hum(20), [Word("One", 0, 20)])
    playout.end(1)
    ticks(playout, 1)
    assert ear.finals() == []
    playout.cut(lambda reply: True)
    assert ear.finals() == [("over", 1, "One", True, True)]


def test_sound_that_comes_late_leaves_a_gap_that_is_counted() -> None:
    playout, ear = make()
    playout.add(1, pcm(*[1_000] * 240))
    data = numbers(ticks(playout, 4))
    assert data[:240] == [1_000] * 240
    assert data[240:264] == sorted(data[240:264], reverse=True)
    assert data[264:] == [0] * 376
    playout.add(1, pcm(*[1_000] * 160))
    playout.end(1)
    data = numbers(ticks(playout, 2))
    assert data[:24] == sorted(data[:24])
    assert data[24:160] == [1_000] * 136
    assert (playout.gaps, playout.gap_samples) == (1, 400)
    assert ear.finals() == [("over", 1, "", True, True)]


def test_sound_of_no_reply_is_played_in_its_place_and_outlives_an_interruption() -> None:
    playout, ear = make()
    playout.add(1, pcm(*[1] * 160))
    playout.end(1)
    playout.sound(pcm(*[5] * 320))
    ticks(playout, 1)
    playout.cut(lambda reply: True)
    assert numbers(ticks(playout, 2)) == [5] * 320
    ticks(playout, 1)
    assert playout.idle
    assert [item[0] for item in ear.news] == ["started", "over"]
    assert [reply for reply, _, _ in ear.sent] == [1, 0, 0]


def test_whoever_is_told_may_interrupt() -> None:
    playout, ear = make()

    class Impatient(Ear):
        def started(self, reply: int) -> None:
            super().started(reply)
            playout.cut(lambda reply: True)

    ear = Impatient()
    playout = Playout(PCM_8K, ear)
    playout.add(1, hum(100), [Word("One", 0, 5)])
    assert playout.take(TICK) == hum(100)[:320]
    assert ear.news == [("started", 1), ("word", "One", 1), ("over", 1, "One", False, True)]
    assert len(ear.sent) == 1
    ticks(playout, 1)
    assert playout.idle
    assert len(ear.sent) == 2


def test_silence_is_that_of_the_encoding() -> None:
    playout, _ = make(PCMU_8K)
    assert playout.take(4) == b"\xff" * 4
    assert make(AudioFormat("alaw", 8_000))[0].take(2) == b"\xd5\xd5"
    assert make()[0].take(2) == bytes(4)


def test_time_in_which_nothing_can_be_sent_plays_nothing() -> None:
    playout, ear = make()
    playout.add(1, pcm(*range(1, 321)))
    ticks(playout, 1)
    playout.skip(TICK)
    assert playout.position == 2 * TICK
    assert len(ear.sent) == 1
    data = numbers(ticks(playout, 1))
    assert data[:FADE] == numbers(fader(PCM_8K).rise(pcm(*range(161, 161 + FADE)), 0))
    assert data[FADE:] == list(range(161 + FADE, 321))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 4), st.integers(1, 500), st.integers(0, 3)),
        st.tuples(st.just("begin"), st.integers(1, 4)),
        st.tuples(st.just("end"), st.integers(1, 4)),
        st.tuples(st.just("take"), st.sampled_from([1, 10, 80, 160, 160, 160, 400])),
        st.tuples(st.just("cut"), st.integers(0, 4)),
        st.tuples(st.just("skip"), st.sampled_from([1, 160])),
        st.tuples(st.sampled_from(["pause", "resume"])),
    ),
    max_size=40,
)


@given(STEPS)
def test_nothing_is_lost_or_played_twice_and_each_reply_is_over_once(steps: list[tuple[object, ...]]) -> None:
    """Against a simple model: what a reply has been given, and what of it has gone to the line."""
    playout, ear = make()
    given_: dict[int, list[int]] = {}
    words: dict[int, list[tuple[int, str]]] = {}
    ended: set[int] = set()
    begun: set[int] = set()
    taken = 0
    count = 0
    for step in [*steps, ("resume",), *[("end", reply) for reply in range(1, 5)], *[("take", 160)] * 400]:
        over = {item[1] for item in ear.finals()}
        match step:
            case ("add", int(reply), int(size), int(spoken)):
                if reply in ended or reply in over:
                    continue
                begun.add(reply)
                samples = given_.setdefault(reply, [])
                here = words.setdefault(reply, [])
                pieces = []
                for index in range(spoken):
                    ends_ms = (index + 1) * (size * 1000 // 8_000) // spoken
                    count += 1
                    pieces.append(Word(f" w{count}" + "." * (count % 3 == 0), 0, ends_ms))
                    here.append((len(samples) + ends_ms * 8, pieces[-1].text))
                playout.add(reply, pcm(*[1_000 * reply] * size), pieces)
                samples += [1_000 * reply] * size
            case ("begin", int(reply)):
                begun.add(reply)
                playout.begin(reply)
            case ("end", int(reply)):
                if reply not in over:
                    ended.add(reply)
                    begun.add(reply)
                playout.end(reply)
            case ("take", int(size)):
                data = playout.take(size)
                assert len(data) == 2 * size
                taken += size
            case ("skip", int(size)):
                playout.skip(size)
                taken += size
            case ("cut", int(last)):
                playout.cut(lambda reply, last=last: reply <= last)  # type: ignore[misc]
            case ("pause",):
                playout.pause()
            case ("resume",):
                playout.resume()
        assert playout.position == taken
    assert playout.idle
    assert not playout.waiting_ms
    finals = [item[1] for item in ear.finals()]
    assert sorted(finals) == sorted(begun)  # type: ignore[type-var]
    for _, closed, _, complete, sounded in ear.finals():
        assert isinstance(closed, int)
        reply = closed
        whole = [data for number, _, data in ear.sent if number == reply]
        # At full height each sample was sent once; those in fades were sent at least once.
        full = sum(numbers(data).count(1_000 * reply) for data in whole)
        assert sounded is bool(whole)
        if complete:
            assert full <= len(given_.get(reply, []))
            assert sum(len(data) // 2 for data in whole) >= len(given_.get(reply, []))
            assert ear.heard_of(reply) == "".join(text for _, text in words.get(reply, []))
        else:
            assert "".join(text for _, text in words.get(reply, [])).startswith(ear.heard_of(reply))
    positions = [(position, position + len(data) // 2) for _, position, data in ear.sent]
    assert all(end <= begin for (_, end), (begin, _) in pairwise(positions))
