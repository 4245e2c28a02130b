"""Other sampling rates: linear-phase polyphase filters that hold back at most 2 ms, and give the same bits everywhere.

The prototype is a sinc that is cut off at half of the lower rate, under a Kaiser window (J. F. Kaiser, R. W. Schafer,
"On the use of the I0-sinh window for spectrum analysis", IEEE Trans. ASSP 28, 1980). Of the lower rate it passes up to
0.425 (3.4 kHz of 8 kHz) and stops from 0.575 on (4.6 kHz) by some 60 dB.

Every tap is a whole multiple of 2**-24, so that all products with 16-bit samples and all their sums are exact in a
double. The order of the additions does not matter then: however a stream is cut into pieces, and whatever the
processor and its BLAS are, the bits are the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Samples: TypeAlias = npt.NDArray[np.int16]
    Matrix: TypeAlias = npt.NDArray[np.float64]

__all__ = ["Resampler"]

#: Half the length of the filter, in samples of the lower rate: 1.5 ms at 8 kHz. It is the group delay of a stream.
_HALF: Final = 12
#: Of the Kaiser window: 60 dB, for which this length needs the transition band that is wanted.
_BETA: Final = 0.1102 * (60 - 8.7)
_UNIT: Final = float(1 << 24)
#: Products of one matrix multiplication. Above some 260,000 OpenBLAS wakes threads, which costs more than it gives.
_MOST_PRODUCTS: Final = 200_000
#: Bytes of a block matrix; a ratio of large numbers (47,999 to 8,000 Hz) does without.
_MOST_BYTES: Final = 2_000_000
_PIECE: Final = 2048  # outputs that are gathered at once
# Made once: numpy takes longer to make them of Python's numbers than to use them.
_S16LE: Final = np.dtype("<i2")
_DOUBLE: Final = np.dtype(np.float64)
_LOWEST: Final = np.array(-32768.0)
_HIGHEST: Final = np.array(32767.0)


class Resampler:
    """From `source` to `target` Hz, mono. It has no state: what a conversion needs of the past is handed to it.

    Output `j` of a stream is the input around the instant `j * source / target - delay`, in samples of the input. It
    can be computed when that many samples have come, and needs `history` samples before them.
    """

    __slots__ = ("_block_in", "_block_out", "_blocks", "_down", "_matrix", "_taps", "_up", "_width", "delay", "history")

    def __init__(self, source: int, target: int) -> None:
        common = math.gcd(source, target)
        self._up, self._down = target // common, source // common
        lower = min(source, target)
        #: What a stream holds back, in samples of the input.
        self.delay = -(-_HALF * source // lower)
        #: How many samples before a piece its conversion needs.
        self.history = 2 * self.delay
        self._taps = self._design(source / lower)
        periods = max(1, round(source / 400 / self._down))  # blocks of 2.5 ms, which any packet is whole blocks of
        self._block_in, self._block_out = periods * self._down, periods * self._up
        # The last window of a block ends where its last output needs it to: no sample later than that has come.
        width = (self._block_out - 1) * self._down // self._up + self.history + 1
        self._width = width
        small = width * self._block_out * 8 <= _MOST_BYTES
        self._matrix = self._toeplitz(width) if small else np.empty((0, 0))
        self._blocks = max(1, _MOST_PRODUCTS // (width * self._block_out)) if small else 0

    def _design(self, stretch: float) -> Matrix:
        """A row of taps for each phase, oldest input first. `stretch` is the input samples in one of the lower rate."""
        phase = np.arange(self._up)[:, None] / self._up
        at = (phase + self.delay - np.arange(self.history + 1)) / stretch
        window = np.i0(_BETA * np.sqrt(np.maximum(0.0, 1.0 - (at / _HALF) ** 2)))
        taps = np.where(np.abs(at) < _HALF, np.sinc(at) * window, 0.0)
        # Each phase passes a constant unchanged: what rounding the taps adds is far below half a step of 16 bits.
        exact: Matrix = np.rint(taps * (_UNIT / taps.sum(axis=1, keepdims=True))) / _UNIT
        return exact

    def _toeplitz(self, width: int) -> Matrix:
        """The taps of all outputs of a block, each in the column of its output, moved to where its inputs are."""
        matrix = np.zeros((width, self._block_out))
        for j in range(self._block_out):
            start, phase = divmod(j * self._down, self._up)
            matrix[start : start + self.history + 1, j] = self._taps[phase]
        return matrix

    def outputs(self, count: int) -> int:
        """How many output samples of a stream there are when `count` input samples have come."""
        return -(-count * self._up // self._down)

    def piece(self, before: bytes, data: bytes, position: int) -> bytes:
        """Convert a piece of a stream, s16le. `before` is what came before it: `history` samples, fewer at the start.

        `position` is the piece's first sample in the stream.
        """
        past = 2 * self.history
        if len(before) != past:
            before = before[-past:].rjust(past, b"\0")
        blocks, short = divmod(len(data), 2 * self._block_in)
        if not short and 0 < blocks <= self._blocks and position % self._down == 0:
            return self._multiply(before + data, 0, blocks)  # the usual packet
        end = position + len(data) // 2
        return self._run(before + data, position, self.outputs(position), self.outputs(end))

    def rest(self, before: bytes, position: int) -> bytes:
        """What the filter still holds of a stream that ended at `position`, as if silence followed."""
        if position == 0:
            return b""
        return self.piece(before, bytes(2 * self.delay), position)

    def whole(self, data: bytes) -> bytes:
        """Convert a piece that stands alone, s16le: without lag, to the nearest whole number of samples."""
        count = len(data) // 2
        silence = bytes(2 * self.delay)
        total = (2 * count * self._up + self._down) // (2 * self._down)
        return self._run(silence + data + silence, 0, 0, total)

    def _run(self, pcm: bytes, base: int, first: int, end: int) -> bytes:
        """Outputs `first` to `end`. The window of an output begins at input `j * down // up - base` of `pcm`."""
        if first >= end:
            return b""
        aligned = min(end, -(-first // self._up) * self._up)
        blocks = (end - aligned) // self._block_out
        if blocks == 0 or self._blocks == 0:
            return self._gather(pcm, base, first, end)
        body = aligned + blocks * self._block_out
        made = self._multiply(pcm, aligned // self._up * self._down - base, blocks)
        if aligned == first and body == end:
            return made
        return self._gather(pcm, base, first, aligned) + made + self._gather(pcm, base, body, end)

    def _multiply(self, pcm: bytes, start: int, blocks: int) -> bytes:
        """Whole blocks, whose first window begins at sample `start` of `pcm`."""
        step, most = self._block_in, self._blocks
        if blocks > most:
            return b"".join(
                self._multiply(pcm, start + done * step, min(most, blocks - done)) for done in range(0, blocks, most)
            )
        # Windows overlap; the conversion to doubles copies them side by side, as BLAS wants them.
        windows: Samples = np.ndarray((blocks, self._width), _S16LE, pcm, 2 * start, (2 * step, 2))
        return _rounded(windows.astype(_DOUBLE).dot(self._matrix))

    def _gather(self, pcm: bytes, base: int, first: int, end: int) -> bytes:
        """Outputs one by one: those that fill no block."""
        if end - first > _PIECE:
            return b"".join(self._gather(pcm, base, at, min(end, at + _PIECE)) for at in range(first, end, _PIECE))
        inputs = np.arange(first, end) * self._down
        starts = inputs // self._up - base
        windows = np.frombuffer(pcm, _S16LE)[starts[:, None] + np.arange(self.history + 1)]
        return _rounded((windows * self._taps[inputs % self._up]).sum(axis=1))


def _rounded(samples: Matrix) -> bytes:
    """To the nearest 16-bit sample; what is louder than full scale is cut off there."""
    np.rint(samples, samples)
    samples.clip(_LOWEST, _HIGHEST, samples)
    return samples.astype(_S16LE).tobytes()
