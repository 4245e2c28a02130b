"""Voice activity: what it costs and how exact it is.

    uv run python -m benchmarks.vad              # all of it, a minute
    uv run python -m benchmarks.vad cost         # µs per window by batch, beside the bare model
    uv run python -m benchmarks.vad memory       # per call, beside the model that all share
    uv run python -m benchmarks.vad accuracy     # where speech begins and ends, against the truth
    uv run python -m benchmarks.vad gate         # what SileroVAD tells and runs, with `noise_gate_db` and without

Costs are process CPU time, medians of runs that take turns. The words for accuracy are spoken by espeak-ng at 5 voices,
3 paces and 4 levels, each alone between pauses, so that the truth is known from the samples; the line is µ-law.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat, AudioStream
from voiceframe.clock import run_virtual
from voiceframe.espeak import RATE, synthesize
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.models import SILERO, find
from voiceframe.processor import Processor, observes
from voiceframe.processors.vad import VAD, EnergyVAD, SileroVAD, VADSettings, WebRTCVAD, Window
from voiceframe.processors.vad.batch import JUDGE, Batcher, Stream, batcher
from voiceframe.processors.vad.silero import load
from voiceframe.testing.levels import sounds
from voiceframe.testing.run import rig
from voiceframe.testing.voices import VOICES as ALL_VOICES
from voiceframe.testing.voices import noisy, pick, speech, telephone
from voiceframe.tones import level_dbfs, mix, noise, peak_dbfs, silence

VOICES = ("en-us", "en-us+f2", "en-us+m7", "en-gb+m3", "en-gb+f3")
WORDS = ("yes", "no", "two", "Wednesday", "ten thirty", "I would like an appointment", "my name is Anna Brown")
PACES = (150, 190, 260)
LEVELS = (-18.0, -22.0, -26.0, -32.0)
SIZES = (1, 2, 4, 8, 16, 32)


# -- what is heard


@dataclass(frozen=True)
class Material:
    """Speech on a line, and when there is some, in milliseconds."""

    pcm: bytes
    spoken: list[tuple[float, float]]


def spoken(text: str, voice: str, pace: int, dbfs: float, rate: int) -> bytes:
    """Words at a level, mono s16le."""
    pcm = Audio(synthesize(text, voice, pace).pcm, AudioFormat("pcm_s16le", RATE)).pcm(rate)
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    samples *= 10 ** ((dbfs - level_dbfs(pcm)) / 20)
    return np.rint(samples).clip(-32768, 32767).astype("<i2").tobytes()


def material(rate: int, count: int = 105, snr_db: float | None = None, seed: int = 1) -> Material:
    """Words with pauses of 0.6 to 2 s; with an SNR the noise goes through all of it, that far under the words."""
    rng = random.Random(seed)
    pieces: list[bytes] = []
    truth: list[tuple[float, float]] = []
    at_ms = 0.0
    for number in range(count):
        pause = silence(rng.randint(600, 2_000), rate)
        dbfs = LEVELS[number % 4] if snr_db is None else -22.0
        word = spoken(WORDS[number % 7], VOICES[number % 5], PACES[number % 3], dbfs, rate)
        at_ms += len(pause) * 500 / rate
        # Sound is what has at least a hundredth of the amplitude of the word's peak.
        parts = sounds(word, rate, floor_dbfs=peak_dbfs(word) - 40)
        truth.append((at_ms + parts[0][0], at_ms + parts[-1][1]))
        at_ms += len(word) * 500 / rate
        pieces += (pause, word)
    pcm = b"".join((*pieces, silence(1_000, rate)))
    floor = -75.0 if snr_db is None else -22.0 - snr_db
    return Material(mix(pcm, noise(len(pcm) * 500 // rate, floor, rate, seed)), truth)


class Notes(Processor):
    """What a VAD said, and when."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Frame]] = []

    @observes(VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame)
    def on_frame(self, frame: Frame) -> None:
        self.seen.append((self.call.clock.at_ms(), frame))


async def listen(vad: VAD, pcm: bytes, format: AudioFormat) -> list[tuple[int, Frame]]:
    """Let `vad` hear a line on virtual time, 20 ms at a time."""
    notes = Notes()
    data = Audio(pcm, AudioFormat("pcm_s16le", format.rate)).to(format)
    stream = AudioStream(format)
    step = format.bytes_per_second // 50
    async with rig(vad, notes) as call:
        for start in range(0, len(data), step):
            await asyncio.sleep(0.02)
            call.push(InputAudioFrame(stream.add(data[start : start + step])))
        await call.ends()
    return notes.seen


@dataclass
class Errors:
    """Found against true, in milliseconds; late is positive."""

    onset: list[float] = field(default_factory=list)
    offset: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)  # from the true onset to the frame
    missed: int = 0
    split: int = 0
    false: int = 0
    merged: int = 0  # with the one before
    at: dict[float, int] = field(default_factory=dict)  # when it was told, by the true onset


def compare(truth: list[tuple[float, float]], seen: list[tuple[int, Frame]]) -> Errors:
    """What was found of the truth."""
    found: list[tuple[int, int, int]] = []
    for (told, started), (_, stopped) in zip(seen[::2], seen[1::2], strict=True):
        assert isinstance(started, VADUserStartedSpeakingFrame)
        assert isinstance(stopped, VADUserStoppedSpeakingFrame)
        found.append((started.began_ms, stopped.ended_ms, told))
    errors = Errors()
    used: set[int] = set()
    for began, ended in truth:
        over = [n for n, (b, e, _) in enumerate(found) if b < ended and e > began]
        if not over:
            errors.missed += 1
            continue
        if over[0] in used:
            errors.merged += 1
            continue
        used.update(over)
        errors.split += len(over) - 1
        errors.onset.append(found[over[0]][0] - began)
        errors.told.append(found[over[0]][2] - began)
        errors.at[began] = found[over[0]][2]
        errors.offset.append(found[over[-1]][1] - ended)
    errors.false = len(found) - len(used)
    return errors


def _row(values: list[float]) -> str:
    ordered = sorted(values)
    low, high = (ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (5, 95))
    return f"{statistics.median(values):+.0f} ({low:+.0f} to {high:+.0f})"


KINDS: dict[str, Callable[[], VAD]] = {
    "SileroVAD": lambda: SileroVAD(VADSettings()),
    "WebRTCVAD": lambda: WebRTCVAD(VADSettings()),
    "EnergyVAD": lambda: EnergyVAD(VADSettings()),
}


def accuracy() -> None:
    print("ms, median (5 % to 95 %); late is positive\n")
    print("| VAD | line | onset error | offset error | told after onset | missed | split | false |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for label, format, snr in (
        ("µ-law 8 kHz, clean", PCMU_8K, None),
        ("µ-law 8 kHz, 20 dB", PCMU_8K, 20.0),
        ("L16 16 kHz, clean", PCM_16K, None),
        ("L16 16 kHz, 20 dB", PCM_16K, 20.0),
    ):
        heard = material(format.rate, snr_db=snr)
        for name, make in KINDS.items():
            errors = compare(heard.spoken, run_virtual(listen(make(), heard.pcm, format)))
            cells = (_row(errors.onset), _row(errors.offset), _row(errors.told))
            counts = f"{errors.missed} of {len(heard.spoken)} | {errors.split} | {errors.false}"
            print(f"| {name} | {label} | {' | '.join(cells)} | {counts} |")
    print("\n| VAD | starts in 30 s of white noise at -45 dBFS, 8 kHz | 16 kHz |")
    print("| --- | --- | --- |")
    for name, make in KINDS.items():
        counts = " | ".join(
            str(len(run_virtual(listen(make(), noise(30_000, -45, format.rate, 3), format))) // 2)
            for format in (PCMU_8K, PCM_16K)
        )
        print(f"| {name} | {counts} |")


# -- what the gate at the noise of the line changes

#: Steady noise at two distances, people who talk, somebody quiet, and a room that gets 20 dB louder or quieter.
LINES: dict[str, tuple[float, float | None, Literal["speech", "babble"], float]] = {
    "20 dB": (20.0, None, "speech", 0.0),
    "10 dB": (10.0, None, "speech", 0.0),
    "10 dB, quiet caller (-36 dBFS)": (10.0, -36.0, "speech", 0.0),
    "15 dB of babble": (15.0, None, "babble", 0.0),
    "30 dB, then 10 dB": (30.0, None, "speech", 20.0),
    "10 dB, then 30 dB": (10.0, None, "speech", -20.0),
    "without noise": (100.0, None, "speech", 0.0),
}
SAID = (
    *("yes", "no", "six", "three", "Friday", "forty four", "half past six", "Susan Clark", "help", "that's right"),
    *("I would like an appointment", "on the fourth of February", "with Doctor Garcia please", "this afternoon"),
    "first I went to the shop and then I came home and I saw that nobody was there so I sat down and waited for you",
)


def line(number: int, label: str) -> Material:
    """Somebody says all of these over a telephone in a noisy room, with pauses of 0.3 to 4 s."""
    rng = random.Random(number)
    snr_db, dbfs, kind, step_db = LINES[label]
    person = pick(rng, ALL_VOICES)
    if dbfs is not None:
        person = replace(person, dbfs=dbfs)
    pieces: list[bytes] = []
    truth: list[tuple[float, float]] = []
    at_ms = 0.0
    for text in rng.sample(SAID, len(SAID)):
        pause = silence(int(300 * 13 ** rng.random()), 8_000)
        word = speech(text, person)
        at_ms += len(pause) / 16
        truth.append((at_ms, at_ms + len(word) / 16))
        at_ms += len(word) / 16
        pieces += (pause, word)
    pcm = b"".join((*pieces, silence(1_000)))
    if snr_db < 100 and not step_db:
        pcm = noisy(pcm, snr_db, rng, kind=kind, speech_dbfs=person.dbfs)
    elif snr_db < 100:
        # The step is in the pause before a word in the middle.
        middle = 16 * int(truth[len(truth) // 2][0] - 150)
        snrs = zip((pcm[:middle], pcm[middle:]), (snr_db, snr_db - step_db), strict=True)
        pcm = b"".join(noisy(part, snr, rng, speech_dbfs=person.dbfs) for part, snr in snrs)
    return Material(Audio(telephone(pcm), PCMU_8K).pcm(8_000), truth)


async def _heard(lines: list[Material], settings: VADSettings) -> tuple[list[Errors], float]:
    """What is told on these lines, all at once, and the share of windows that the model was run for."""
    shared = batcher(load(find(SILERO)), asyncio.get_running_loop())
    real, runs = shared._model, 0

    def counted(rate: int, windows: Any, states: Any) -> Any:
        nonlocal runs
        runs += len(windows)
        return real(rate, windows, states)

    shared._model = counted
    seen = await asyncio.gather(*[listen(SileroVAD(settings), heard.pcm, PCMU_8K) for heard in lines])
    windows = sum(len(heard.pcm) // 512 for heard in lines)
    return [compare(heard.spoken, told) for heard, told in zip(lines, seen, strict=True)], runs / windows


def gate(count: int = 32) -> None:
    default = VADSettings().noise_gate_db
    print(f"{count} callers, 16 voices, telephone band, µ-law; ms; `noise_gate_db` 0 → {default:g}\n")
    print("| line | windows run | words | missed | false | split | merged | told later: mean, 99 %, most | end error |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for label in LINES:
        lines = [line(number, label) for number in range(count)]
        (plain, all_run), (gated, run) = (
            run_virtual(_heard(lines, VADSettings(noise_gate_db=db))) for db in (0.0, default)
        )
        later = sorted(
            with_gate.at[began] - without.at[began]
            for with_gate, without in zip(gated, plain, strict=True)
            for began in with_gate.at.keys() & without.at.keys()
        )
        sums = [
            [sum(getattr(errors, name) for errors in found) for found in (plain, gated)]
            for name in ("missed", "false", "split", "merged")
        ]
        counts = " | ".join(f"{without} → {with_gate}" for without, with_gate in sums)
        most = f"{statistics.mean(later):+.1f}, {later[len(later) * 99 // 100]:+.0f}, {later[-1]:+.0f}"
        ends = " → ".join(
            f"{statistics.median(ms for errors in found for ms in errors.offset):+.0f}" for found in (plain, gated)
        )
        words = sum(len(heard.spoken) for heard in lines)
        print(f"| {label} | {all_run:.0%} → {run:.0%} | {words} | {counts} | {most} | {ends} |", flush=True)


# -- what it costs


def _us(run: Callable[[], object], each: int, least_s: float = 0.02) -> Callable[[], float]:
    """A measurement: microseconds of CPU time for each of the `each` things that `run` does."""
    began = time.process_time()
    run()
    repeat = max(1, int(least_s / max(1e-6, time.process_time() - began)))

    def take() -> float:
        began = time.process_time()
        for _ in range(repeat):
            run()
        return (time.process_time() - began) * 1e6 / (repeat * each)

    return take


def by_turns(takes: dict[str, Callable[[], float]], turns: int = 15) -> dict[str, tuple[float, float, float]]:
    """Median, lowest and highest of each, taken by turns."""
    values: dict[str, list[float]] = {name: [] for name in takes}
    for turn in range(turns + 1):
        for name, take in takes.items():
            value = take()
            if turn:  # the first one warms up
                values[name].append(value)
    return {name: (statistics.median(found), min(found), max(found)) for name, found in values.items()}


def _windows(rate: int, count: int) -> list[bytes]:
    """Windows of speech with what the model wants to have before each."""
    pcm = material(rate, 20).pcm
    size, context = rate // 500 * 32, rate // 500 * 4
    places = range(0, len(pcm) - size - context, size)
    loud = [pcm[at : at + size + context] for at in places if level_dbfs(pcm[at : at + size + context]) > -40]
    return loud[:count]


def cost() -> None:
    model: Any = load(find(SILERO))
    print("| µs per window of 32 ms | " + " | ".join(f"{size}" for size in SIZES) + " |")
    print("| --- |" + " --- |" * len(SIZES))
    for rate in (8_000, 16_000):
        pieces = _windows(rate, 32)
        takes: dict[str, Callable[[], float]] = {}
        for size in SIZES:
            samples = np.frombuffer(b"".join(pieces[:size]), "<i2").reshape(size, -1).astype(np.float32) / 32768
            state = np.zeros((2, size, 128), np.float32)
            takes[f"floor {size}"] = _us(lambda r=rate, w=samples, s=state: model(r, w, s), size)  # type: ignore[misc]
            takes[f"batch {size}"] = _us(_batch(model, rate, pieces[:size]), size)
        found = by_turns(takes)
        for kind, label in (("floor", "bare `session.run`"), ("batch", "all of it: bytes in, verdicts out")):
            print(
                f"| {rate // 1000} kHz, {label} | " + " | ".join(f"{found[f'{kind} {n}'][0]:.0f}" for n in SIZES) + " |"
            )
    _cost_of_frames()


def _batch(model: Any, rate: int, pieces: list[bytes]) -> Callable[[], None]:
    batch = Batcher(model)
    streams = [batch.join(rate, lambda window, p: None, _raise) for _ in pieces]
    windows = [Window(piece, 1_000, 0.0, 0, 0.0) for piece in pieces]

    def run() -> None:
        for stream, window in zip(streams, windows, strict=True):
            stream.waiting.append((window, JUDGE))
        batch.run(streams)

    return run


def _raise(error: Exception) -> None:
    raise error


class _NoBatch(SileroVAD):
    """What SileroVAD does without the model: windows, levels, the gates, the verdicts."""

    def begin(self, rate: int) -> None:
        self._stream = Stream(rate, 0, self._judged, _raise)

    def _add(self, window: Window, wish: int) -> None:
        self._judged(window, 0.0)


def _cost_of_frames() -> None:
    """Of a 20 ms frame of µ-law in a processor's handler, without the engine."""
    heard = material(8_000, 20)
    takes: dict[str, Callable[[], float]] = {}
    frames = _frames(heard.pcm)
    quiet = _frames(noise(10_000, -60.0, 8_000))
    kinds: dict[str, Callable[[], VAD]] = {**KINDS, "SileroVAD but the model": lambda: _NoBatch(VADSettings())}
    del kinds["SileroVAD"]
    for name, make in kinds.items():
        takes[f"{name}, speech"] = _us(lambda m=make: _feed(m(), frames), len(frames))  # type: ignore[misc]
        takes[f"{name}, under the gate"] = _us(lambda m=make: _feed(m(), quiet), len(quiet))  # type: ignore[misc]
    print("\n| µs per frame of 20 ms, µ-law 8 kHz, conversion included | median (lowest to highest) |")
    print("| --- | --- |")
    for name, (median, low, high) in by_turns(takes).items():
        print(f"| {name} | {median:.2f} ({low:.2f} to {high:.2f}) |")
    whole = heard.pcm
    run_virtual(listen(SileroVAD(VADSettings()), whole, PCMU_8K))
    began = time.process_time()
    run_virtual(listen(SileroVAD(VADSettings()), whole, PCMU_8K))
    spent = time.process_time() - began
    print(f"\nA call alone through SileroVAD and the engine: {spent * 1e6 / len(frames):.0f} µs per 20 ms, ", end="")
    print(f"{len(whole) / 16_000 / spent:.0f} times as fast as real time.")


def _frames(pcm: bytes) -> list[bytes]:
    data = Audio(pcm, PCM_8K).to(PCMU_8K)
    return [data[at : at + 160] for at in range(0, len(data) - 159, 160)]


def _feed(vad: VAD, frames: list[bytes]) -> None:
    vad.__dict__["push"] = lambda frame: None
    vad.__dict__["_stall"] = object()  # no timer: there is no loop
    stream = AudioStream(PCMU_8K)
    at_ms = 0
    for data in frames:
        at_ms += 20
        vad.on_audio(InputAudioFrame(stream.add(data), at_ms=at_ms))


def _rss_kib() -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def memory() -> None:
    """Each kind in a process of its own: memory that another has freed would be used again."""
    for name in KINDS:
        subprocess.run([sys.executable, "-m", "benchmarks.vad", "memory-of", name], check=True)


def memory_of(name: str, calls: int = 1_000) -> None:
    """Of the shared model, and of calls that hear speech, without the engine."""
    make, model = KINDS[name], None
    frames = _frames(material(8_000, 2).pcm)[:100]
    if name == "SileroVAD":
        importlib.import_module("onnxruntime")  # the library is not the model
        before = _rss_kib()
        model = load(find(SILERO))
        for rate, samples in ((8_000, 288), (16_000, 576)):
            model(rate, np.zeros((32, samples), np.float32), np.zeros((2, 32, 128), np.float32))
        print(f"the model, shared by all calls of the process: {(_rss_kib() - before) / 1024:.1f} MiB RSS")
    _many(make, 10, frames, model)
    gc.collect()
    rss = _rss_kib()
    kept = _many(make, calls, frames, model)
    gc.collect()
    rss = _rss_kib() - rss
    tracemalloc.start()
    more = _many(make, calls, frames, model)
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(f"{name}: {traced / 1024 / calls:.1f} KiB per call traced, {rss / calls:.1f} KiB RSS ({calls} calls)")
    del kept, more


def _many(make: Callable[[], VAD], calls: int, frames: list[bytes], model: Any) -> list[object]:
    batch = Batcher(model)
    kept: list[object] = [batch]
    for _ in range(calls):
        vad = make()
        if isinstance(vad, SileroVAD):
            vad.__dict__["_batcher"] = batch
            batch.__dict__["_disarm"] = bool  # no ticker: there is no loop
        _feed(vad, frames)
        if isinstance(vad, SileroVAD):
            vad.finish()
            batch.__dict__["_due"] = []
        kept.append(vad)
    return kept


def main(names: list[str]) -> None:
    if names[:1] == ["memory-of"]:
        memory_of(names[1])
        return
    parts = {"cost": cost, "memory": memory, "accuracy": accuracy, "gate": gate}
    for name in names or parts:
        print(f"\n## {name}\n", flush=True)
        parts[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
