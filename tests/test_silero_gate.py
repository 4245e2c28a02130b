"""The gate of Silero at the noise of the line: steady noise is not judged, and nobody is heard later for it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listening import Ear, feed, listen, needs_silero, needs_silero_and_voice
from voiceframe.audio import PCM_8K, PCMU_8K, Audio
from voiceframe.frames import Frame, UpdateSettingsFrame
from voiceframe.models import SILERO, find
from voiceframe.processors.vad import SileroVAD, VADSettings
from voiceframe.processors.vad.batch import Batcher, batcher
from voiceframe.processors.vad.noise import NoiseFloor
from voiceframe.processors.vad.silero import load
from voiceframe.testing.run import rig
from voiceframe.testing.voices import VOICES, noisy, pick, speech, telephone
from voiceframe.tones import mix, noise, silence

if TYPE_CHECKING:
    from voiceframe.processors.vad.batch import Floats

OFF = VADSettings(noise_gate_db=0.0)
SETTINGS = VADSettings(noise_gate_db=4.0)


async def hear(pcm: bytes, settings: VADSettings, piece_ms: int = 20) -> Ear:
    return await listen(SileroVAD(settings), pcm, PCMU_8K, piece_ms)


class Model:
    """Stands for the network: what is above a level is speech, and what is not is nearly so while speech lasts."""

    def __init__(self, dbfs: float = -20.0, rest: float = 0.0) -> None:
        self.limit = 10 ** (dbfs / 20)
        self.rest = rest
        self.windows: list[bytes] = []

    def __call__(self, rate: int, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        self.windows += [window.tobytes() for window in windows]
        rms = np.sqrt((windows[:, rate // 250 :] ** 2).mean(axis=1, keepdims=True))
        return np.where(rms > self.limit, np.float32(1), np.float32(self.rest)), states


async def runs(model: Model, pcm: bytes, settings: VADSettings, piece_ms: int = 20) -> tuple[int, Ear]:
    """How many windows were shown to the model."""
    notes = Ear()
    vad = SileroVAD(settings)
    load(find(SILERO))  # so that setting up does not come after the next line but one
    async with rig(vad, notes) as call:
        vad._batcher = Batcher(model)
        await feed(call, pcm, PCM_8K, piece_ms)
        await call.ends()
    return len(model.windows), notes


# -- the floor


@given(st.lists(st.integers(0, 3_000), max_size=400), st.sampled_from([20, 32]))
def test_the_floor_is_the_lowest_level_of_the_last_three_seconds(levels: list[int], window_ms: int) -> None:
    floor = NoiseFloor(window_ms)
    size = 300 // window_ms
    alive: list[int] = []
    for level in levels:
        floor.add(level)
        if level > 1:  # a line that is switched off says nothing
            alive.append(level)
        whole = len(alive) // size
        assert floor.blocks == min(10, whole)
        assert floor.full == (whole >= 10)
        assert floor.rms == min(alive[max(0, whole - 10) * size :], default=32768)


@given(st.lists(st.tuples(st.integers(2, 3_000), st.booleans()), max_size=300))
def test_speech_never_raises_the_floor(levels: list[tuple[int, bool]]) -> None:
    floor = NoiseFloor(32)
    for level, spoken in levels:
        before, known = floor.rms, floor.blocks
        floor.add(level, speech=spoken)
        if spoken:
            assert floor.rms == min(before, level)
            assert floor.blocks == known


# -- what is judged


@needs_silero
async def test_steady_noise_is_not_judged_once_it_is_known() -> None:
    hiss = noise(20_000, -42, 8_000, 5)
    everything, _ = await runs(Model(), hiss, OFF)
    assert everything == 20_000 // 32
    gated, _ = await runs(Model(), hiss, SETTINGS)
    assert 1_200 // 32 <= gated <= 1_200 // 32 + 6


@needs_silero
async def test_it_can_be_switched_off_and_on_in_a_call() -> None:
    model, vad = Model(), SileroVAD(OFF)
    hiss = noise(3_200, -42, 8_000, 5)
    load(find(SILERO))
    async with rig(vad) as call:
        vad._batcher = Batcher(model)
        found = []
        for db in (0.0, 4.0, 0.0):
            call.push(UpdateSettingsFrame("SileroVAD", {"noise_gate_db": db}))
            before = len(model.windows)
            await feed(call, hiss)
            await asyncio.sleep(0.02)
            found.append(len(model.windows) - before)
    assert found[0] == 100
    assert found[1] <= 4
    assert 98 <= found[2] <= 102


@needs_silero
@pytest.mark.parametrize("dbfs", [-33.0, -25.0, -10.0])
async def test_what_is_as_loud_as_speech_is_never_noise(dbfs: float) -> None:
    """Music, a running engine, a vowel that is sung for ten seconds: the model says what it is."""
    count, _ = await runs(Model(0), noise(10_000, dbfs, 8_000, 2), SETTINGS)
    assert count == 10_000 // 32


@needs_silero
async def test_while_speech_lasts_every_window_is_judged() -> None:
    """Ten seconds of noise that the model takes for more of the same speech."""
    hiss, call_of_speech = noise(14_000, -44, 8_000, 3), noise(200, -15, 8_000, 4)
    line = mix(hiss, silence(3_008) + call_of_speech)
    count, notes = await runs(Model(-20, rest=0.6), line, SETTINGS)
    assert len(notes.stretches) == 1
    assert notes.stretches[0][1] == pytest.approx(14_000, abs=32)
    assert count >= (14_000 - 3_008) // 32 + 1_200 // 32


@needs_silero
async def test_long_speech_is_not_learned_as_noise() -> None:
    """Who talks for ten seconds without a gap is heard on when the model takes a second of it for no speech."""
    line = mix(noise(15_000, -47, 8_000, 3), silence(3_008) + noise(12_000, -38, 8_000, 4))
    model = Model(-42)
    real = model.__call__

    def doubts(rate: int, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        found, states = real(rate, windows, states)
        return found * (len(model.windows) < 40 + 10_000 // 32), states

    vad, notes = SileroVAD(SETTINGS), Ear()
    load(find(SILERO))
    async with rig(vad, notes) as call:
        vad._batcher = Batcher(doubts)
        await feed(call, line)
        await call.ends()
    ((_, ended),) = notes.stretches
    assert 12_500 < ended < 13_500
    assert len(model.windows) >= 40 + 11_900 // 32


@needs_silero
async def test_two_windows_before_and_after_a_louder_one_are_judged_with_it() -> None:
    hiss = np.frombuffer(noise(8_000, -42, 8_000, 3), "<i2").copy()
    at = 150 * 256  # a whole window that is louder
    hiss[at : at + 256] = np.frombuffer(noise(32, -25, 8_000, 4), "<i2")
    model = Model(0)
    await runs(model, hiss.tobytes(), SETTINGS)
    late = [number for number in range(60, 250) if _shown(model, hiss, number)]
    assert late == [148, 149, 150, 151, 152]


def _shown(model: Model, samples: Any, number: int) -> bool:
    window = samples[256 * number - 32 : 256 * (number + 1)].astype(np.float32) / 32768
    return window.tobytes() in model.windows


@needs_silero
@pytest.mark.parametrize("seed", range(6))
async def test_what_is_judged_does_not_depend_on_when_it_comes(seed: int) -> None:
    """Several windows at once: the verdict on the first of them decides about the others."""
    rng = random.Random(seed)
    line = noise(12_800, -44, 8_000, seed)
    loud = b""
    while len(loud) < len(line):
        loud += silence(rng.randint(200, 1_500)) + noise(rng.randint(20, 400), rng.uniform(-40, -10), 8_000, seed)
    line = mix(line, loud[: len(line)])
    found = []
    for piece_ms in (20, 60, 320, 400):
        model = Model(-25, rest=0.5)
        count, notes = await runs(model, line, SETTINGS.replace(stop_ms=100), piece_ms)
        found.append((model.windows, notes.stretches))
        assert count < 400 - 40
        assert notes.stretches
    assert found[1:] == found[:1] * 3


# -- who is heard


def talk(seed: int, snr_db: float, dbfs: float | None = None) -> bytes:
    """Somebody in a noisy room, over a telephone."""
    rng = random.Random(seed)
    person = pick(rng, VOICES)
    if dbfs is not None:
        person = replace(person, dbfs=dbfs)
    words = ("six", "five", "Friday", "that's right", "half past four", "help", "Susan Clark")
    pcm = silence(2_500)
    for word in rng.sample(words, len(words)):
        pcm += speech(word, person) + silence(rng.randint(700, 2_500))
    return telephoned(noisy(pcm, snr_db, rng, speech_dbfs=person.dbfs))


def telephoned(pcm: bytes) -> bytes:
    return Audio(telephone(pcm), PCMU_8K).pcm(8_000)


async def compared(pcm: bytes) -> tuple[Ear, Ear, float]:
    """Without the gate, with it, and the share of windows that were run with it."""
    shared = batcher(load(find(SILERO)), asyncio.get_running_loop())
    real, count = shared._model, 0
    without = await hear(pcm, OFF)

    def counted(rate: int, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        nonlocal count
        count += len(windows)
        return real(rate, windows, states)

    shared._model = counted
    with_gate = await hear(pcm, SETTINGS)
    shared._model = real
    return without, with_gate, count / (len(pcm) // 512)


def assert_not_later(without: Ear, with_gate: Ear, most_ms: int = 32) -> None:
    """Each stretch that is told without the gate is told with it, a window later at most."""
    spans = with_gate.stretches
    for began, ended in without.stretches:
        over = [stretch for stretch in spans if stretch[0] < ended and stretch[1] > began]
        assert over, f"nothing is heard of {began} to {ended}"
        assert over[0][0] <= began + most_ms
    for began, ended in spans:
        assert any(a < ended and b > began for a, b in without.stretches), f"{began} to {ended} is nothing"


@needs_silero_and_voice
@pytest.mark.parametrize("seed", range(8))
async def test_callers_in_noise_are_heard_as_without_the_gate(seed: int) -> None:
    without, with_gate, share = await compared(talk(seed, 20))
    assert len(with_gate.stretches) == 7
    assert_not_later(without, with_gate)
    assert share < 0.75


@needs_silero_and_voice
@pytest.mark.parametrize("seed", range(8))
async def test_quiet_callers_in_much_noise_are_heard_as_without_the_gate(seed: int) -> None:
    without, with_gate, share = await compared(talk(seed, 10, -36))
    assert len(with_gate.stretches) >= len(without.stretches)
    spans = with_gate.stretches
    for began, ended in without.stretches:
        assert any(a < ended and b > began and a <= began + 32 for a, b in spans)
    assert share < 0.75


@needs_silero_and_voice
async def test_ten_seconds_without_a_pause_are_one_stretch() -> None:
    rng = random.Random(4)
    person = pick(rng, VOICES)
    said = speech("one moment please my name is Anna Brown and I am new here so I do not know how it goes", person)
    line = telephoned(noisy(silence(3_000) + said[:-800] + said[:-800] + said + silence(3_000), 20, rng))
    assert len(said) * 3 > 16 * 10_000
    without, with_gate, _ = await compared(line)
    assert [began for began, _ in with_gate.stretches] == [began for began, _ in without.stretches]
    ((began, ended),) = [stretch for stretch in with_gate.stretches if stretch[1] - stretch[0] > 9_000]
    assert began == pytest.approx(3_000, abs=100)
    assert ended > 3_000 + len(said) * 3 // 16 - 400


@needs_silero_and_voice
@pytest.mark.parametrize("step_db", [-20, 20])
@pytest.mark.parametrize("after_ms", [60, 500, 2_000, 5_000])
async def test_a_floor_that_moves_by_20_db_hides_nobody(step_db: int, after_ms: int) -> None:
    """The noise changes, and so long after it somebody speaks."""
    rng = random.Random(after_ms)
    word = speech("six, on Friday", replace(pick(rng, VOICES), dbfs=-20.0))
    floor = -40 - max(0, step_db)
    hiss = noise(5_000, floor, 8_000, 1) + noise(after_ms + len(word) // 16 + 1_500, floor + step_db, 8_000, 2)
    line = mix(hiss, silence(5_000 + after_ms) + word)
    without, with_gate, share = await compared(line)
    assert with_gate.stretches
    assert_not_later(without, with_gate)
    assert share < 0.9


@needs_silero_and_voice
@pytest.mark.parametrize("start", ["silence", "comfort", "speech"])
async def test_the_beginning_of_a_call(start: str) -> None:
    """Digital silence or comfort noise before the line is open; and somebody who speaks at once."""
    person = replace(pick(random.Random(1), VOICES), dbfs=-24.0)
    said = speech("Friday please", person)
    hiss = noise(6_000, -43, 8_000, 1)
    begin = {"silence": silence(3_000), "comfort": noise(3_000, -62, 8_000, 2), "speech": b""}[start]
    line = begin + mix(hiss, (b"" if start == "speech" else silence(300)) + said + silence(2_500) + said)
    without, with_gate, _ = await compared(line)
    assert len(with_gate.stretches) == 2
    assert_not_later(without, with_gate, 0)


@pytest.mark.slow
@needs_silero_and_voice
async def test_calls_on_a_loop_hear_in_noise_what_they_hear_alone() -> None:
    lines = [talk(100 + number, 14 + number % 8)[: 16 * 7_000] for number in range(34)]
    alone = [(await hear(line, SETTINGS)).frames for line in lines]

    async def late(number: int) -> list[Frame]:
        await asyncio.sleep(number * 0.0037)
        return (await hear(lines[number], SETTINGS, 20 * (1 + number % 3))).frames

    together = await asyncio.gather(*[late(number) for number in range(34)])
    for number in range(0, 34, 3):  # in pieces of 20 ms, as alone
        assert together[number] == alone[number]
    assert sum(map(len, alone)) > 34 * 3
