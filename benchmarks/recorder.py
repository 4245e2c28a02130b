"""What a recording costs: time on the loop for 20 ms of both sides, time off it for each second, memory for each call.

    uv run python -m benchmarks.recorder
    uv run python -m benchmarks.recorder --calls 200 --seconds 60

The first lines are the take and the writer alone, on frames that are there. Then whole calls over a loopback on virtual
time, in which the bot speaks half of the time, with and without a recorder: the difference is the recorder's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path

from voiceframe import Call, Pipeline
from voiceframe.audio import PCMU_8K, Audio, AudioFormat
from voiceframe.clock import run_virtual
from voiceframe.frames import InputAudioFrame, OutputAudioFrame, PlayedAudioFrame, ReplyEndedFrame, ReplyStartedFrame
from voiceframe.processors.recording import Recorder
from voiceframe.processors.recording.coded import CodedFile
from voiceframe.processors.recording.place import create
from voiceframe.processors.recording.take import Take
from voiceframe.processors.recording.wav import WavFile
from voiceframe.tones import noise
from voiceframe.transports.loopback import LoopbackTransport


def on_the_loop(seconds: int) -> float:
    """Microseconds for a frame of the caller and one of the bot, in µ-law, decoded here."""
    data = Audio(noise(1_000), AudioFormat("pcm_s16le", 8_000)).to(PCMU_8K)
    pieces = [data[start : start + 160] for start in range(0, 8_000, 160)]
    rounds: list[float] = []
    for _ in range(5):
        take = Take(0)
        frames = [
            (InputAudioFrame(Audio(piece, PCMU_8K), at_ms=0), PlayedAudioFrame(Audio(piece, PCMU_8K), 1, 0))
            for piece in pieces * seconds
        ]
        began = time.perf_counter_ns()
        for tick, (caller, bot) in enumerate(frames):
            take.caller(tick * 20, caller.audio)
            take.bot(tick * 20, tick * 160, bot.audio)
        rounds.append((time.perf_counter_ns() - began) / len(frames) / 1_000)
    return statistics.median(rounds)


def off_the_loop(path: Path, kind: str) -> float:
    """Microseconds for a block of one second."""
    left, right = noise(1_000, seed=1), noise(1_000, seed=2)
    fd, _ = create(path)
    file = WavFile(fd, 8_000) if kind == "wav" else CodedFile(fd, 8_000, "flac" if kind == "flac" else "opus")
    times: list[float] = []
    for _ in range(60):
        began = time.perf_counter_ns()
        file.write(left, right)
        times.append((time.perf_counter_ns() - began) / 1_000)
    file.close()
    return statistics.median(times)


async def _calls(count: int, seconds: int, directory: Path | None) -> float:
    """CPU milliseconds for each second of one call."""
    speech = Audio(noise(1_000), AudioFormat("pcm_s16le", 8_000)).to(PCMU_8K)
    calls: list[Call] = []
    for number in range(count):
        transport = LoopbackTransport()
        call = Call(transport, seed=number, id=f"call_{number}")
        observers = [Recorder(directory / "{call}.wav")] if directory is not None else []
        await call.start(Pipeline([transport.input(), transport.output()], observers=observers))
        calls.append(call)
    began = time.process_time()
    for second in range(0, seconds, 2):
        for call in calls:
            reply = call.replies.begin()
            call.send(ReplyStartedFrame(reply))
            call.send(OutputAudioFrame(Audio(speech, PCMU_8K), reply))
            call.send(ReplyEndedFrame(reply))
        await asyncio.sleep(min(2, seconds - second))
    spent = time.process_time() - began
    for call in calls:
        call.cancel()
        await call.wait_ended()
    return spent * 1_000 / count / seconds


async def _memory(count: int, directory: Path | None) -> float:
    """Bytes that a call holds after ten seconds."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    calls: list[Call] = []
    for number in range(count):
        transport = LoopbackTransport()
        call = Call(transport, seed=number, id=f"call_{number}")
        observers = [Recorder(directory / "{call}.wav")] if directory is not None else []
        await call.start(Pipeline([transport.input(), transport.output()], observers=observers))
        calls.append(call)
    await asyncio.sleep(10)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for call in calls:
        call.cancel()
        await call.wait_ended()
    return held / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        print(f"20 ms of both sides, on the loop     {on_the_loop(60):8.2f} us")
        for kind in ("wav", "flac", "opus"):
            print(f"a block of 1 s as {kind:<4}, off the loop {off_the_loop(directory / f'a.{kind}', kind):8.0f} us")
        sizes = {path.suffix: path.stat().st_size / 60 for path in directory.iterdir()}
        for suffix, size in sorted(sizes.items()):
            print(f"bytes of a second as {suffix[1:]:<4}            {size:8.0f}")
        calls, seconds = arguments.calls, arguments.seconds
        without = min(run_virtual(_calls(calls, seconds, None)) for _ in range(3))
        recorded = min(run_virtual(_calls(calls, seconds, directory / str(n))) for n in range(3))
        print(f"a call over a loopback, CPU          {without:8.2f} ms for each second")
        print(f"the same, recorded                   {recorded:8.2f} ms for each second")
        print(f"the recorder's share of a core       {(recorded - without) / 10:8.3f} % for each call")
        bare = run_virtual(_memory(calls, None))
        held = run_virtual(_memory(calls, directory / "memory"))
        print(f"memory of a call, and of its recorder {bare / 1024:7.1f} KiB, {(held - bare) / 1024:.1f} KiB")
        print(f"({calls} calls, {seconds} s, {os.cpu_count()} cores)")


if __name__ == "__main__":
    main()
