"""EspeakTTS: time to the first sound, share of real time, cached against not, memory of the cache.

    uv run python -m benchmarks.tts
    uv run python -m benchmarks.tts --rounds 5

The voice stands in a call on the real clock, between two ends that keep what comes out: its thread hop and its frames
are in the times. The line is µ-law at 8 kHz.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time

from voiceframe import Call, Pipeline, Processor, espeak, handles, observes
from voiceframe.audio import PCMU_8K, AudioFormat
from voiceframe.call import CallSettings
from voiceframe.frames import Frame, OutputAudioFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.processors.tts import EspeakSettings, EspeakTTS, PromptCache, PromptCacheSettings
from voiceframe.processors.tts.espeak import PromptMaker
from voiceframe.transports.base import Transport

SENTENCES = [
    "Yes.",
    "City clinic, hello!",
    "Which day would suit you best?",
    "I have found three free times for you this week.",
    "Your appointment is on Thursday, the fourteenth of July, at half past ten in the morning.",
    "Please bring your insurance card, a list of the medicines that you take, and the letter of your doctor, and come "
    "ten minutes early so that we can fill in the form together.",
]


class Source(Processor):
    role = "source"

    @handles(TextFrame, upstream=True)
    def on_text(self, frame: TextFrame) -> Frame:
        return frame


class Sink(Processor):
    """Notes when sound comes, and when the reply is over."""

    role = "sink"
    accepts: tuple[AudioFormat, ...] = (PCMU_8K,)

    def __init__(self) -> None:
        self.first_s = 0.0
        self.audio_ms = 0.0
        self.ended = asyncio.Event()

    @observes(OutputAudioFrame, ReplyEndedFrame)
    def on_frame(self, frame: OutputAudioFrame | ReplyEndedFrame) -> None:
        if isinstance(frame, ReplyEndedFrame):
            self.ended.set()
            return
        self.first_s = self.first_s or time.perf_counter()
        self.audio_ms += frame.audio.duration_ms


class Ends(Transport):
    def __init__(self) -> None:
        self.source, self.sink = Source(), Sink()

    def input(self) -> Processor:
        return self.source

    def output(self) -> Processor:
        return self.sink


async def speak(rounds: int, cache: PromptCache, sentences: list[str]) -> list[tuple[float, float, float]]:
    """For each sentence: milliseconds to the first sound and of CPU (medians), and milliseconds of sound."""
    ends = Ends()
    call = Call(ends, settings=CallSettings(reprompt=""))
    await call.start(Pipeline([ends.source, EspeakTTS(EspeakSettings(), cache=cache), ends.sink]))
    await asyncio.sleep(0.3)  # its setup
    found: list[tuple[float, float, float]] = []
    for sentence in sentences:
        firsts: list[float] = []
        costs: list[float] = []
        for _ in range(rounds):
            sink = ends.sink
            sink.first_s = sink.audio_ms = 0.0
            sink.ended.clear()
            number = ends.source.begin_reply()
            began, cpu = time.perf_counter(), time.process_time()
            for frame in (ReplyStartedFrame(number), TextFrame(sentence, number), ReplyEndedFrame(number)):
                ends.source.push(frame)
            await sink.ended.wait()
            await asyncio.sleep(0.01)  # the library is made ready for the next one
            firsts.append((sink.first_s - began) * 1000)
            costs.append((time.process_time() - cpu) * 1000)
        found.append((statistics.median(firsts), statistics.median(costs), ends.sink.audio_ms))
    call.cancel()
    await call.wait_ended()
    return found


def megabytes() -> float:
    """The most memory that the process has had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1_048_576 if sys.platform == "darwin" else 1_024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often each sentence is spoken")
    rounds: int = parser.parse_args().rounds

    began = time.perf_counter()
    espeak.version()
    print(f"the library, first use: {(time.perf_counter() - began) * 1000:.1f} ms")
    began = time.perf_counter()
    none = PromptCache(PromptCacheSettings(memory_mb=0))
    maker = PromptMaker(EspeakSettings(), "en-us", PCMU_8K, none)
    print(f"a voice, first use (its loudness is measured): {(time.perf_counter() - began) * 1000:.1f} ms")

    kept = PromptCache(PromptCacheSettings(memory_mb=64))
    fresh = asyncio.run(speak(rounds, none, SENTENCES))
    asyncio.run(speak(1, kept, SENTENCES))
    again = asyncio.run(speak(rounds, kept, SENTENCES))
    print("| characters | sound ms | first sound ms | CPU ms | real time / CPU | cached: first sound ms | CPU ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for sentence, new, old in zip(SENTENCES, fresh, again, strict=True):
        print(
            f"| {len(sentence)} | {new[2]:.0f} | {new[0]:.2f} | {new[1]:.2f} | {new[2] / new[1]:.0f} "
            f"| {old[0]:.2f} | {old[1]:.2f} |"
        )

    maker = PromptMaker(EspeakSettings(), "en-us", PCMU_8K, kept)
    text = SENTENCES[2]
    count = 20_000
    began = time.perf_counter()
    for _ in range(count):
        maker.cached(text)
    print(f"a prompt from memory: {(time.perf_counter() - began) / count * 1e6:.2f} µs")
    costs: list[float] = []
    for number in range(200):
        began = time.perf_counter()
        maker.make(f"Your number is {number}.")
        costs.append((time.perf_counter() - began) * 1000)
    print(f"a prompt made: {statistics.median(costs):.2f} ms, p99 {sorted(costs)[198]:.2f} ms")
    print(f"{len(kept)} prompts in memory: {kept.bytes / 1e6:.2f} MB, {kept.bytes / len(kept) / 1e3:.1f} kB each")
    before = megabytes()
    for number in range(1_000):
        maker.make(f"Your number is {number}.", private=True)
    print(f"memory of the process {before:.0f} MB, after 1,000 more texts {megabytes():.0f} MB")


if __name__ == "__main__":
    main()
