"""What a conversion of 20 ms costs, and what it delays.

    uv run --group bench python -m benchmarks.audio [--quick] [--plot docs/resampling.svg]

Each conversion goes as a processor asks for it: the piece is added to its stream and converted once. Beside it stands
the floor: the bare function of `audioop`, or `soxr` in its high quality, fed with the same bytes. All take turns in one
process; the medians of the turns count.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat, AudioStream
from voiceframe.codecs import Decoder, Encoder
from voiceframe.errors import MissingExtra
from voiceframe.g711 import audioop
from voiceframe.tones import DTMFDetector, dtmf, mix, noise, silence, tone

from . import _resampling_plot
from ._report import machine
from ._resamplers import ABSENT, PIECE_MS, delay, soxr, streams

PAIRS = (
    (8_000, 16_000),
    (16_000, 8_000),
    (24_000, 8_000),
    (8_000, 24_000),
    (24_000, 16_000),
    (48_000, 16_000),
    (16_000, 48_000),
    (48_000, 8_000),
    (8_000, 48_000),
    (44_100, 8_000),
    (8_000, 44_100),
    (44_100, 16_000),
    (44_100, 48_000),
    (22_050, 8_000),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One conversion of a piece of 20 ms, by whoever can do it."""

    what: str
    runs: dict[str, Callable[[], object]]


def voice(rate: int) -> bytes:
    """20 ms that are as loud as speech."""
    return mix(tone(310, PIECE_MS, -22, rate), tone(1_270, PIECE_MS, -28, rate), noise(PIECE_MS, -45, rate))


def encodings() -> list[Case]:
    """From and to what the wire has; the floor is the bare function."""
    pcm = voice(8_000)
    ulaw, alaw = audioop.lin2ulaw(pcm, 2), audioop.lin2alaw(pcm, 2)
    a_law, big = AudioFormat("alaw", 8_000), AudioFormat("pcm_s16be", 8_000)
    from_ulaw, from_pcm = AudioStream(PCMU_8K), AudioStream(PCM_8K)
    from_alaw, from_big = AudioStream(a_law), AudioStream(big)
    up, down = AudioStream(PCMU_8K), AudioStream(PCM_16K)
    wide = voice(16_000)
    return [
        Case(
            "a piece, nothing converted",
            {"ours": lambda: from_pcm.add(pcm).pcm(8_000), "floor": lambda: Audio(pcm, PCM_8K)},
        ),
        Case(
            "µ-law → s16le",
            {"ours": lambda: from_ulaw.add(ulaw).pcm(8_000), "floor": lambda: audioop.ulaw2lin(ulaw, 2)},
        ),
        Case(
            "s16le → µ-law", {"ours": lambda: from_pcm.add(pcm).to(PCMU_8K), "floor": lambda: audioop.lin2ulaw(pcm, 2)}
        ),
        Case(
            "A-law → s16le",
            {"ours": lambda: from_alaw.add(alaw).pcm(8_000), "floor": lambda: audioop.alaw2lin(alaw, 2)},
        ),
        Case("s16le → A-law", {"ours": lambda: from_pcm.add(pcm).to(a_law), "floor": lambda: audioop.lin2alaw(pcm, 2)}),
        Case(
            "L16 of the other order",
            {"ours": lambda: from_big.add(pcm).pcm(8_000), "floor": lambda: audioop.byteswap(pcm, 2)},
        ),
        Case("µ-law 8 kHz → s16le 16 kHz", {"ours": lambda: up.add(ulaw).pcm(16_000)}),
        Case("s16le 16 kHz → µ-law 8 kHz", {"ours": lambda: down.add(wide).to(PCMU_8K)}),
    ]


def resamplers() -> list[Case]:
    cases: list[Case] = []
    for source, target in PAIRS:
        data = voice(source)
        runs: dict[str, Callable[[], object]] = {}
        for name, step in streams(source, target).items():
            runs[name] = partial(step, data)
        cases.append(Case(f"{source:,} → {target:,} Hz", runs))
    return cases


def detectors() -> list[Case]:
    found: list[Case] = []
    for what, data in (
        ("in silence", silence(PIECE_MS)),
        ("in speech", voice(8_000)),
        ("in a key", dtmf("5", PIECE_MS, 0)),
    ):
        detector = DTMFDetector(8_000)
        found.append(Case(f"in-band keys, {what}", {"ours": partial(detector.feed, data)}))
    return found


def codecs() -> list[Case]:
    found: list[Case] = []
    for codec in ("g722", "opus"):
        encoder, decoder = Encoder(codec), Decoder(codec)
        pcm = voice(encoder.format.rate)
        (packet,) = encoder.encode(pcm)
        found += [
            Case(f"{codec}, encode", {"ours": partial(encoder.encode, pcm)}),
            Case(f"{codec}, decode", {"ours": partial(decoder.decode, packet)}),
        ]
    return found


def measure(cases: list[Case], turns: int, pieces: int) -> dict[tuple[str, str], float]:
    """Medians in microseconds of process time."""
    values: dict[tuple[str, str], list[float]] = {}
    for turn in range(turns + 1):  # the first warms up
        for case in cases:
            for name, run in case.runs.items():
                gc.collect()
                began = time.process_time()
                for _ in range(pieces):
                    run()
                spent = (time.process_time() - began) * 1e6 / pieces
                if turn:
                    values.setdefault((case.what, name), []).append(spent)
    return {key: statistics.median(found) for key, found in values.items()}


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """As Markdown."""
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audio", description="What conversions cost")
    parser.add_argument("--quick", action="store_true", help="fewer turns: a first look")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the filters into an SVG file")
    arguments = parser.parse_args()
    turns, pieces = (3, 500) if arguments.quick else (15, 2_000)
    print(", ".join(f"{key}: {value}" for key, value in machine().items()), end="\n\n")
    if soxr is None:
        print(ABSENT, file=sys.stderr)

    plain, resampled, heard = encodings(), resamplers(), detectors()
    try:
        packets = codecs()
    except MissingExtra as missing:
        packets = []
        print(missing, file=sys.stderr)
    spent = measure([*plain, *resampled, *heard, *packets], turns, pieces)

    def cell(case: Case, name: str) -> str:
        value = spent.get((case.what, name))
        return "" if value is None else f"{value:.2f}"

    print("µs per 20 ms, on one core\n")
    print(table(("encodings", "ours", "floor"), [(c.what, cell(c, "ours"), cell(c, "floor")) for c in plain]))
    names = ("ours", "audioop.ratecv", "soxr HQ")
    print("\n" + table(("resampling", *names), [(c.what, *(cell(c, name) for name in names)) for c in resampled]))
    print("\n" + table(("codecs and keys", "ours"), [(c.what, cell(c, "ours")) for c in [*heard, *packets]]))

    rows: list[tuple[str, ...]] = []
    for source, target in PAIRS:
        made = {name: delay(step, source, target) for name, step in streams(source, target).items()}
        row = [f"{source:,} → {target:,} Hz", f"{made['ours'].signal_ms:.2f}", f"{max(made['ours'].held_ms):.2f}"]
        if "soxr HQ" in made:
            held = made["soxr HQ"].held_ms
            row += [f"{statistics.mean(held):.0f}", f"{max(held):.0f}"]
        rows.append(tuple(row))
    heads = ("added delay, ms", "ours: signal", "ours: held back", "soxr HQ: held back, mean", "most")
    print("\n" + table(heads[: len(rows[0])], rows))

    if arguments.plot is not None:
        if _resampling_plot.available():
            _resampling_plot.draw(arguments.plot)
            print(f"\nDrawn: {arguments.plot}")
        else:
            print("The plot needs matplotlib and soxr: `uv run --group bench` installs both.", file=sys.stderr)


if __name__ == "__main__":
    main()
