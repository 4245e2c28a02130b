"""What each step between two sides of a call adds in time, and what a call holds in memory beside what all share.

    uv run --group bench python -m benchmarks.hearing           # both tables, three minutes
    uv run --group bench python -m benchmarks.hearing delays    # only this one; --calls 8
    uv run python -m benchmarks.hearing memory                  # only that one; --calls 20

Delays are measured by sound: where a click, a tone or a word is in what goes in, and where in what comes out. Steps
that wait are on virtual time. The voice, and whole calls of the clinic, of which several are made at once, are on the
real clock, with its threads and its noise: the parts of calls are those of `turn.latency`, and the last row is taken
from the recordings.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from voiceframe import Call, Pipeline, Processor, handles
from voiceframe.audio import PCM_8K, PCMU_8K, Audio
from voiceframe.call import CallSettings
from voiceframe.clock import run_virtual
from voiceframe.codecs import Decoder, Encoder
from voiceframe.errors import VoiceframeError
from voiceframe.frames import (
    InputAudioFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processors.observers import LatencyObserver
from voiceframe.processors.recording import Recorder
from voiceframe.processors.turn import TurnSettings
from voiceframe.processors.vad import SileroVAD
from voiceframe.testing.voices import pick, speech
from voiceframe.tones import noise, silence, tone
from voiceframe.transports.loopback import TICK_MS, LineConditions, LoopbackTransport

from . import _resamplers
from ._report import machine

#: Median, the value that 90 % do not exceed, most.
Row = tuple[float, float, float]


def row(values: Iterable[float]) -> Row:
    ordered = sorted(values)
    return statistics.median(ordered), ordered[round(0.9 * (len(ordered) - 1))], ordered[-1]


def _first(pcm: bytes, over: int = 400) -> int:
    """The first sample that is louder."""
    return int(np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) > over)[0])


# -- the line


class Echo(Processor):
    """Says what it hears, piece by piece."""

    def __init__(self) -> None:
        self._reply = 0

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        if not self._reply:
            self._reply = self.call.replies.begin()
            self.push(ReplyStartedFrame(self._reply))
        self.push(OutputAudioFrame(frame.audio, self._reply))


async def _echoed(conditions: LineConditions) -> float:
    """How much later a click comes back to the caller, in ms."""
    transport = LoopbackTransport(conditions=conditions)
    heard: list[bytes] = []
    transport.far.on_audio = heard.append
    pcm = silence(1_000) + tone(1_000, 100, -12.0) + silence(500)
    transport.far.play(pcm)
    call = Call(transport, settings=CallSettings(reprompt=""))
    await call.start(Pipeline([transport.input(), Echo(), transport.output()]))
    await asyncio.sleep(2)
    call.cancel()
    await call.wait_ended()
    return (_first(Audio(b"".join(heard), PCMU_8K).pcm(8_000)) - _first(pcm)) / 8


def echoes(network_ms: int = 0, jitter_ms: int = 0, count: int = 20) -> Row:
    """There and back over the line, through a bot that repeats what it hears."""
    lines = [LineConditions(network_ms=network_ms, jitter_ms=jitter_ms, seed=seed) for seed in range(count)]
    return row(run_virtual(_echoed(line)) for line in lines)


async def _waits(count: int) -> list[float]:
    transport = LoopbackTransport()
    heard: list[bytes] = []
    transport.far.on_audio = heard.append
    call = Call(transport, settings=CallSettings(reprompt=""))
    await call.start(Pipeline([transport.input(), transport.output()]))
    await asyncio.sleep(0.1)
    rng = random.Random(1)
    beep, loop, found = Audio(tone(1_000, 60, -12.0), PCM_8K), asyncio.get_running_loop(), list[float]()
    for _ in range(count):
        await asyncio.sleep(0.2 + rng.random() / 10)
        before, asked = len(heard), loop.time()
        reply = call.replies.begin()
        for frame in (ReplyStartedFrame(reply), OutputAudioFrame(beep, reply), ReplyEndedFrame(reply)):
            call.send(frame)
        # A tick is on the grid: the first piece after the request is at the next multiple of 20 ms.
        grid = asked * 1_000 // TICK_MS * TICK_MS + TICK_MS
        await asyncio.sleep(0.15)
        sound = _first(Audio(b"".join(heard[before:]), PCMU_8K).pcm(8_000)) - _first(beep.data)
        found.append(grid - asked * 1_000 + sound / 8)
    call.cancel()
    await call.wait_ended()
    return found


def output_waits(count: int = 200) -> Row:
    """From sound that is handed to the output to the moment at which it is heard."""
    return row(run_virtual(_waits(count)))


def resampled(source: int, target: int) -> float:
    """How late a click is behind the resampler, with the most that it holds back of a stream."""
    step = _resamplers.streams(source, target)["ours"]
    return _resamplers.delay(step, source, target).total_ms


def coded(codec: Any) -> float:
    """How late sound is behind an encoder and a decoder, in whole packets."""
    encoder, decoder = Encoder(codec), Decoder(codec)
    rate = encoder.format.rate
    pcm = noise(1_000, -20.0, rate)
    packets = [packet for at in range(0, len(pcm), rate // 25) for packet in encoder.encode(pcm[at : at + rate // 25])]
    out = Audio(b"".join(map(decoder.decode, packets)), decoder.format).pcm(rate)
    sent, got = (np.frombuffer(data, "<i2").astype(np.float64) for data in (pcm, out))
    size = min(len(sent), len(got))
    spectra = np.fft.rfft(got[:size], 2 * size) * np.conj(np.fft.rfft(sent[:size], 2 * size))
    return float(np.argmax(np.fft.irfft(spectra)[:size])) * 1_000 / rate


# -- hearing


def voice_activity() -> tuple[Row, Row]:
    """From the true beginning and the true end of words to the moment at which the VAD tells them."""
    from .vad import compare, listen, material

    heard = material(8_000, count=63, snr_db=20.0)
    seen = run_virtual(listen(SileroVAD(), heard.pcm, PCMU_8K))
    ends = [(frame.ended_ms, told) for told, frame in seen if isinstance(frame, VADUserStoppedSpeakingFrame)]
    stopped = []
    for _, ended in heard.spoken:
        near = min(ends, key=lambda end: abs(end[0] - ended))
        if abs(near[0] - ended) < 200:
            stopped.append(near[1] - ended)
    return row(compare(heard.spoken, seen).told), row(stopped)


def endpoints(count: int) -> dict[str, tuple[float, float, float]]:
    """From the true end of a turn to its commit: median, 90 %, and the share of turns that were cut."""
    from ._turn_ends import turn_ends
    from .endpointing import activity, measure

    items = [(utterance, run_virtual(activity(utterance))) for utterance in turn_ends(count)]
    kinds = {kind: TurnSettings(idle_ms=0).replace(endpointing=kind) for kind in ("fixed", "adaptive")}
    points = {kind: measure(kind, settings, items) for kind, settings in kinds.items()}
    return {kind: (point.median_ms, point.p90_ms, point.cut) for kind, point in points.items()}


# -- speaking


def voice() -> tuple[float, Row, Row]:
    """To the first sound: of the first sentence of a process, of any later one, and of one that is prepared.

    Called before anything else has used espeak-ng.
    """
    from voiceframe.processors.tts import PromptCache, PromptCacheSettings

    from .tts import SENTENCES, speak

    began = time.perf_counter()
    first = run_first()
    cold_ms = (first - began) * 1_000
    none, kept = PromptCache(PromptCacheSettings(memory_mb=0)), PromptCache(PromptCacheSettings(memory_mb=64))
    fresh = asyncio.run(speak(10, none, SENTENCES))
    asyncio.run(speak(1, kept, SENTENCES))
    again = asyncio.run(speak(10, kept, SENTENCES))
    return cold_ms, row(first_ms for first_ms, _, _ in fresh), row(first_ms for first_ms, _, _ in again)


def run_first() -> float:
    """Load the library, measure the voice and make a sentence. Returns when that was done."""
    from voiceframe.processors.tts import EspeakSettings, PromptCache, PromptCacheSettings
    from voiceframe.processors.tts.espeak import PromptMaker

    cache = PromptCache(PromptCacheSettings(memory_mb=0))
    PromptMaker(EspeakSettings(), "en-us", PCMU_8K, cache).make("City clinic, hello!")
    return time.perf_counter()


# -- whole calls on the real clock


async def _answers(calls: int, seed: int) -> dict[str, list[float]]:
    """For each answer to something that was said: the parts of its latency, and the whole as it was to be heard."""
    from voiceframe.demo.sounding import find_starts

    from .clinic_calls import converse

    now = datetime.now(ZoneInfo("Europe/London")).replace(tzinfo=None)  # the clinic's
    found: dict[str, list[float]] = defaultdict(list)

    async def one(number: int) -> None:
        await asyncio.sleep(number * 0.37)  # not all at once, as callers do not
        caller, _, mouth, _ = await converse(seed + number, observers=[LatencyObserver()], now=now)
        starts, _ = find_starts(caller, mouth)
        speaking = caller.record.of("reply.speaking")
        if len(starts.off_ms) != len(speaking):
            return
        sounded = {event.data["reply"]: event.at_ms + off for event, off in zip(speaking, starts.off_ms, strict=True)}
        reply_of = {event.data["turn"]: event.data["reply"] for event in caller.record.of("reply.started")}
        network_ms = caller.transport.conditions.network_ms
        for event in caller.record.of("turn.latency"):
            if "vad" not in event.data["parts"]:
                continue  # keys
            for part, ms in event.data["parts"].items():
                found[part].append(ms)
            start_ms = sounded[reply_of[event.data["turn"]]]
            ends = [ended + network_ms for _, ended in caller.spoke if ended + network_ms < start_ms]
            found["sound"].append(start_ms - ends[-1])

    await asyncio.gather(*(one(number) for number in range(calls)))
    return found


# -- the table of delays


def delays(calls: int, turns: int) -> str:
    cold_ms, fresh, prepared = voice()
    lines = [
        "| step | median | 90 % | most | what it is |",
        "| --- | ---: | ---: | ---: | --- |",
    ]

    def add(step: str, values: Row | float, what: str) -> None:
        cells = [f"{value:.1f}" for value in values] if isinstance(values, tuple) else [f"{values:.1f}", "", ""]
        lines.append(f"| {step} | {' | '.join(cells)} | {what} |")

    for source, target in ((8_000, 16_000), (16_000, 8_000), (48_000, 16_000)):
        add(f"resampling, {source // 1000} → {target // 1000} kHz", resampled(source, target), "a click, by energy")
    for codec in ("g722", "opus"):
        try:
            add(f"{codec}, encoder and decoder", coded(codec), "noise, by correlation; of packets of 20 ms")
        except VoiceframeError as missing:
            print(missing, file=sys.stderr)
    for network, jitter in ((0, 0), (20, 0), (60, 0), (60, 60)):
        name = f"line of {network} ms" + f", jitter of {jitter} ms" * bool(jitter)
        add(name, echoes(network, jitter), "there and back, a tone through a bot that repeats it")
    add("output", output_waits(), "sound is there → sound is heard: the wait for its tick")
    started, stopped = voice_activity()
    add("voice activity, start", started, "first sound of a word → told, µ-law, noise at 20 dB")
    add("voice activity, end", stopped, "last sound of a word → told")
    for kind, (median_ms, p90_ms, cut) in endpoints(turns).items():
        what = (
            f"last sound of a turn → turn, words 150 ms after the VAD; it cuts {cut:.0%} of turns, most of which pause"
        )
        lines.append(f"| end of turn, {kind} | {median_ms:.1f} | {p90_ms:.1f} | | {what} |")
    add("voice, first use in a process", cold_ms, "library, loudness of the voice, sentence")
    add("voice, a new sentence", fresh, "text → first sound")
    add("voice, a sentence that is prepared", prepared, "text → first sound")
    answers = asyncio.run(_answers(calls, 10_000))
    for part, what in (
        ("vad", "last sound of the caller, as the VAD has it → told"),
        ("stt", "told → words: the recognizer"),
        ("turn", "words → turn: the rest of the silence that ends it"),
        ("agent", "turn → reply: the dialog, its tools"),
        ("llm", "reply → its text"),
        ("tts", "text → first sound is sent: the voice, and the wait for a tick"),
        ("sound", "the recording alone: caller's last sample → bot's first, without the network"),
    ):
        name = "**all of it, by sound**" if part == "sound" else f"call: {part}"
        add(name, row(answers[part]), what)
    head = ", ".join(f"{key}: {value}" for key, value in machine().items())
    many = f"{calls} calls of the clinic at once, {len(answers['sound'])} answers; {turns} turn ends"
    return "\n".join([head, "", "Milliseconds.", "", *lines, "", many])


# -- memory


def _rss_mib() -> float:
    gc.collect()
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


#: What the callers say at which time: each call is in the middle of its dialog when it is measured.
SCRIPT = ((6_500, "make an appointment"), (11_000, "my name is Susan Clark"), (16_500, "doctor Lee"))
HOLD_MS = 21_000


async def _hold(count: int, folder: Path, recorded: bool) -> tuple[list[Call], int]:
    """So many calls of the clinic, each with a caller who does not keep what is heard; and how many turns they had."""
    from voiceframe.demo import calendar, clinic

    calls: list[Call] = []
    turns: list[str] = []
    for number in range(count):
        transport = LoopbackTransport()
        call = Call(transport, seed=number, id=f"call_{number}", settings=CallSettings(reprompt=""))
        call.data["calendar"] = calendar.Calendar(folder / f"{number}.db")
        pipeline = clinic.bot(call)
        observers = [*pipeline.observers, *([Recorder(folder / "{call}.wav")] if recorded else [])]
        await call.start(Pipeline(pipeline.elements, observers=observers))
        call.answered()
        call.log.subscribe(lambda event: turns.append(event.call) if event.kind == "turn.committed" else None)
        calls.append(call)
        person, loop = pick(random.Random(number)), asyncio.get_running_loop()
        for at_ms, text in SCRIPT:
            loop.call_at(loop.time() + (at_ms + 37 * number) / 1_000, transport.far.play, speech(text, person))
    await asyncio.sleep((HOLD_MS + 37 * count) / 1_000)
    return calls, len(turns)


async def _held(count: int, recorded: bool, take: Any) -> Any:
    """What `take()` gives while so many calls are up."""
    with tempfile.TemporaryDirectory() as name:
        calls, turns = await _hold(count, Path(name), recorded)
        gc.collect()
        found = take()
        for call in calls:
            call.cancel()
            await call.wait_ended()
    if turns < 2 * count:  # they would hold less than a call does
        print(f"only {turns} turns in {count} calls", file=sys.stderr)
    return found


def _rehearse(count: int) -> None:
    """Let the callers' words be made, which are kept: they are not the bot's."""
    for number in range(count):
        for _, text in SCRIPT:
            speech(text, pick(random.Random(number)))


def resident(count: int, recorded: bool) -> None:
    """RSS: what the process shares, step by step, and then calls beside it."""
    last = 0.0

    def step(what: str) -> None:
        nonlocal last
        now = _rss_mib()
        if not recorded:  # it is the same a second time
            print(f"| {what} | {now - last:.1f} MiB |")
        last = now

    step("shared: the interpreter, voiceframe, numpy")

    run_first()
    step("shared: espeak-ng and a voice")
    run_virtual(_silero())
    step("shared: onnxruntime, Silero and its batch")
    for number in (1, 2):
        run_virtual(_held(number, recorded, bool))
    step("shared: the recognizer, its grammars, the prompts")
    _rehearse(count)
    last = _rss_mib()
    more = run_virtual(_held(count, recorded, _rss_mib)) - last
    print(f"| each of {count} calls{', recorded' if recorded else ''} | {more * 1024 / count:.0f} KiB |")


async def _silero() -> None:
    from .vad import listen, material

    await listen(SileroVAD(), material(8_000, count=4).pcm, PCMU_8K)


#: Whose memory it is, by where in the package it was asked for. What a processor lets others do is its own.
OWNERS = {
    "processors/vad": "Silero",
    "processors/stt": "recognizer",
    "processors/tts": "voice",
    "processors/recording": "recorder",
    "processors/turn": "turn taking",
    "flow": "dialog",
}
OTHERS = {"espeak": "voice", "transports": "line and sound", "audio": "line and sound"}


def _owner(trace: tracemalloc.Traceback) -> str:
    places = [frame.filename.rpartition("/voiceframe/")[2] for frame in reversed(trace)]
    for owners in (OWNERS, OTHERS):
        for place in places:
            for part, owner in owners.items():
                if place.startswith(part):
                    return owner
    return "engine, events, the rest"


def _traced() -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for statistic in tracemalloc.take_snapshot().statistics("traceback"):
        found[_owner(statistic.traceback)] += statistic.size
    return found


def traced(count: int) -> None:
    """What Python has allocated for the calls, by whom."""
    _rehearse(count)
    run_virtual(_held(2, True, bool))
    tracemalloc.start(12)
    run_virtual(_held(2, True, bool))
    gc.collect()
    before = _traced()
    held = run_virtual(_held(count, True, _traced))
    sizes = {owner: (size - before.get(owner, 0)) / 1024 / count for owner, size in held.items()}
    for owner, kib in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"| of which {owner} | {kib:.1f} KiB |")
    print(f"| all of Python's, per call | {sum(sizes.values()):.1f} KiB |")


def memory(count: int) -> None:
    """Each measurement in a process of its own: memory that another has freed would be used again."""
    print("| memory | |\n| --- | ---: |", flush=True)
    for part in ("resident", "recorded", "traced"):
        subprocess.run([sys.executable, "-m", "benchmarks.hearing", part, "--calls", str(count)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["delays", "memory", "resident", "recorded", "traced"])
    parser.add_argument("--calls", type=int, help="how many are made at once: 8 for delays, 20 for memory")
    parser.add_argument("--turns", type=int, default=120, help="how many turn ends")
    arguments = parser.parse_args()
    if arguments.part in ("resident", "recorded"):
        resident(arguments.calls or 20, arguments.part == "recorded")
    elif arguments.part == "traced":
        traced(arguments.calls or 20)
    else:
        if arguments.part != "memory":
            print(delays(arguments.calls or 8, arguments.turns), end="\n\n", flush=True)
        if arguments.part != "delays":
            memory(arguments.calls or 20)


if __name__ == "__main__":
    main()
