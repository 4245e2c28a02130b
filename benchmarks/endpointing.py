"""False cut-offs against delay, for fixed and adaptive endpointing, on the labelled set of turn ends.

    uv run --group bench python -m benchmarks.endpointing            # the whole set, the table and docs/endpointing.svg
    uv run python -m benchmarks.endpointing --count 60 --no-plot

Each utterance goes through the real VAD once, and then through `Turns` with each setting, on virtual time. The words
come as from a recognizer that is right and takes 150 ms: what is compared is turn taking alone. A false cut-off is a
turn that was committed in a pause of the caller's; the delay is from the true end of speech to the commit, of the
turns that were not cut.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks._turn_ends import COUNT, Utterance, turn_ends
from voiceframe.audio import PCM_8K, Audio
from voiceframe.clock import run_virtual
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    TranscriptionFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processor import Processor, observes
from voiceframe.processors.turn import Turns, TurnSettings
from voiceframe.processors.vad import SileroVAD
from voiceframe.testing.run import Rig, rig

PIECE = 320  # bytes of 20 ms
RECOGNIZER_MS = 150


class Notes(Processor):
    """The frames of voice activity and the turns, with their times."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Frame]] = []

    @observes(VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame, UserTurnFrame)
    def on_frame(self, frame: Frame) -> None:
        self.seen.append((self.call.clock.at_ms(), frame))


async def _feed(call: Rig, utterance: Utterance) -> None:
    for start in range(0, len(utterance.pcm), PIECE):
        await asyncio.sleep(0.02)
        call.push(InputAudioFrame(Audio(utterance.pcm[start : start + PIECE], PCM_8K)))


async def activity(utterance: Utterance) -> list[tuple[int, Frame]]:
    """What the VAD says of it, and when."""
    notes = Notes()
    async with rig(SileroVAD(), notes) as call:
        await _feed(call, utterance)
    return notes.seen


async def commits(utterance: Utterance, seen: list[tuple[int, Frame]], settings: TurnSettings) -> list[int]:
    """When turns were committed."""
    notes = Notes()
    async with rig(Turns(settings), notes) as call:
        loop = asyncio.get_running_loop()
        began = loop.time()
        given = 0
        for at_ms, frame in seen:
            loop.call_at(began + at_ms / 1000, call.push, frame.replace())
            if isinstance(frame, VADUserStoppedSpeakingFrame):
                # All words that lie before the end of this stretch, which the VAD places to a window.
                words = [word for word in utterance.words[given:] if word.start_ms < frame.ended_ms]
                given += len(words)
                text = " ".join(word.text for word in words)
                loop.call_at(began + (at_ms + RECOGNIZER_MS) / 1000, call.push, TranscriptionFrame(text))
        await _feed(call, utterance)
    return [at_ms for at_ms, frame in notes.seen if isinstance(frame, UserTurnFrame)]


@dataclass(frozen=True)
class Point:
    """One setting: what it does to the set."""

    label: str
    cut: float  # share of the pauses... of the turns that were cut
    median_ms: float
    p90_ms: float


def measure(label: str, settings: TurnSettings, items: list[tuple[Utterance, list[tuple[int, Frame]]]]) -> Point:
    cut = 0
    delays: list[int] = []
    for utterance, seen in items:
        at = run_virtual(commits(utterance, seen, settings))
        if any(when < utterance.end_ms for when in at) or not at:
            cut += 1
        else:
            delays.append(at[0] - utterance.end_ms)
    delays.sort()
    return Point(label, cut / len(items), statistics.median(delays), delays[len(delays) * 9 // 10])


def at_delay(points: list[Point], median_ms: float) -> float:
    """The share of cut turns at this median delay, between the measured points."""
    ordered = sorted(points, key=lambda point: point.median_ms)
    for left, right in pairwise(ordered):
        if left.median_ms <= median_ms <= right.median_ms:
            share = (median_ms - left.median_ms) / max(1e-9, right.median_ms - left.median_ms)
            return left.cut + share * (right.cut - left.cut)
    return ordered[0].cut if median_ms < ordered[0].median_ms else ordered[-1].cut


def sweep(items: list[tuple[Utterance, list[tuple[int, Frame]]]]) -> tuple[list[Point], list[Point]]:
    base = TurnSettings(idle_ms=0)
    fixed = [
        measure(f"fixed {silence}", base.replace(endpointing="fixed", silence_ms=silence), items)
        for silence in (300, 400, 500, 600, 700, 850, 1_000, 1_200, 1_400)
    ]
    adaptive = []
    for percent in (60, 80, 100, 125, 150, 200, 250):
        settings = base.replace(
            endpointing="adaptive",
            silence_ms=base.silence_ms * percent // 100,
            min_silence_ms=max(100, base.min_silence_ms * percent // 100),
        )
        adaptive.append(measure(f"adaptive {percent} %", settings, items))
    return fixed, adaptive


def table(points: list[Point]) -> str:
    lines = ["setting          cut turns   median delay   90 %"]
    lines += [f"{p.label:15}  {p.cut:8.1%}  {p.median_ms:9.0f} ms  {p.p90_ms:6.0f} ms" for p in points]
    return "\n".join(lines)


def plot(fixed: list[Point], adaptive: list[Point], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "voiceframe"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    for name, points, style in (("fixed", fixed, "o-"), ("adaptive", adaptive, "s-")):
        axes.plot([p.median_ms for p in points], [100 * p.cut for p in points], style, label=name)
    default = next(p for p in adaptive if p.label == "adaptive 100 %")
    axes.annotate("default", (default.median_ms, 100 * default.cut), (8, 8), textcoords="offset points")
    axes.set_xlabel("median delay from the end of speech to the commit (ms)")
    axes.set_ylabel("turns cut in a pause (%)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="how many turn ends")
    parser.add_argument("--no-plot", action="store_true")
    arguments = parser.parse_args()
    items = [(utterance, run_virtual(activity(utterance))) for utterance in turn_ends(arguments.count)]
    pauses = [gap for utterance, _ in items for gap in utterance.gaps]
    inside = sum(gap.inside for gap in pauses)
    print(f"{len(items)} turn ends, {len(pauses)} pauses inside turns, {inside} of them in the middle of a phrase\n")
    fixed, adaptive = sweep(items)
    print(table([*fixed, *adaptive]))
    print("\nat equal median delay:")
    for point in adaptive:
        other = at_delay(fixed, point.median_ms)
        ratio = f"{other / point.cut:.1f} times" if point.cut else "all"
        print(f"  {point.median_ms:5.0f} ms: fixed cuts {other:.1%}, adaptive {point.cut:.1%}: {ratio} fewer")
    if not arguments.no_plot:
        plot(fixed, adaptive, Path(__file__).resolve().parent.parent / "docs" / "endpointing.svg")


if __name__ == "__main__":
    main()
