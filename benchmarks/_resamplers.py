"""Resamplers to compare, and what is measured of each: its response, and for how long it holds sound back."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from voiceframe.audio import AudioFormat, AudioStream
from voiceframe.g711 import audioop

__all__ = ["ABSENT", "PIECE_MS", "Delay", "click", "delay", "response", "soxr", "streams"]

Samples: TypeAlias = npt.NDArray[np.floating[Any]]
#: Takes the next 20 ms of a stream, gives what comes out.
Stream: TypeAlias = Callable[[bytes], bytes]

PIECE_MS = 20
ABSENT = "soxr is not installed: its columns are left out. `uv run --group bench` installs it."


def _optional(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


soxr = _optional("soxr")


def _ours(source: int, target: int) -> Stream:
    stream = AudioStream(AudioFormat("pcm_s16le", source))
    return lambda data: stream.add(data).pcm(target)


def _ratecv(source: int, target: int) -> Stream:
    state: Any = None

    def step(data: bytes) -> bytes:
        nonlocal state
        out, state = audioop.ratecv(data, 2, 1, source, target, state)
        return out

    return step


def _soxr_hq(source: int, target: int) -> Stream:
    assert soxr is not None
    stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality="HQ")

    def step(data: bytes) -> bytes:
        out: bytes = stream.resample_chunk(np.frombuffer(data, "<i2")).tobytes()
        return out

    return step


def streams(source: int, target: int) -> dict[str, Stream]:
    """A new stream of each resampler that there is."""
    made = {"ours": _ours(source, target), "audioop.ratecv": _ratecv(source, target)}
    if soxr is not None:
        made["soxr HQ"] = _soxr_hq(source, target)
    return made


@dataclass(frozen=True, slots=True)
class Delay:
    """What a stream of 20 ms pieces adds. `signal_ms`: a click is so much later in what comes out.

    `held_ms` is how much of the sound had not come out yet, after each piece.
    """

    signal_ms: float
    held_ms: tuple[float, ...]

    @property
    def total_ms(self) -> float:
        """What playing without a gap costs: the delay of the signal, and the longest that anything was held back."""
        return self.signal_ms + max(self.held_ms)


def click(step: Stream, source: int, seconds: float = 2.0) -> tuple[bytes, list[int], int]:
    """A click at 1 s. Returns what comes out, the bytes that had come out after each piece, and where the click was."""
    size, at = source * PIECE_MS // 1000, source
    signal = np.zeros(int(source * seconds), "<i2")
    signal[at] = 30_000
    out, totals = b"", list[int]()
    for start in range(0, len(signal) - size + 1, size):
        out += step(signal[start : start + size].tobytes())
        totals.append(len(out))
    return out, totals, at


def delay(step: Stream, source: int, target: int) -> Delay:
    """Measured with a click and a stream of two seconds, of which the second counts."""
    out, totals, at = click(step, source)
    response = np.frombuffer(out, "<i2").astype(np.float64)
    around = slice(max(0, at * target // source - target // 50), at * target // source + target // 50)
    energy = response[around] ** 2
    centre = float((energy * np.arange(len(response))[around]).sum() / energy.sum())
    held = tuple(PIECE_MS * (n + 1) - 1000 * total / 2 / target for n, total in enumerate(totals))
    # soxr adds random dither: without rounding two plots would differ.
    return Delay(round(1000 * (centre / target - at / source), 2), tuple(max(0.0, h) for h in held[len(held) // 2 :]))


def response(name: str, source: int, target: int) -> tuple[Samples, Samples]:
    """Frequencies in Hz up to half of the higher rate, and the gain at each in dB.

    The response of the filter itself, at the higher rate: what passes, what is left of images, and what folds back.
    A click at each place of the input between two samples of the output has a part of it.
    """
    higher = max(source, target)
    down = max(1, source // target)
    parts: list[Samples] = []
    for phase in reversed(range(down)):
        signal = np.zeros(source // 10 * 2)
        signal[source // 10 + phase] = 30_000
        parts.append(_at_once(name, signal, source, target))
    whole = np.stack(parts, axis=1).reshape(-1)
    spectrum = np.abs(np.fft.rfft(whole, 16_384)) / 30_000 * (source / target if target > source else 1)
    frequencies: Samples = np.fft.rfftfreq(16_384, 1 / higher)
    gains: Samples = 20 * np.log10(np.maximum(spectrum, 1e-6))
    return frequencies, gains


def _at_once(name: str, signal: Samples, source: int, target: int) -> Samples:
    if name == "ours":
        out = _ours(source, target)(signal.astype("<i2").tobytes())
        return np.frombuffer(out, "<i2").astype(np.float64)
    assert soxr is not None
    made: Samples = soxr.resample(signal, source, target, quality="HQ")
    return made
