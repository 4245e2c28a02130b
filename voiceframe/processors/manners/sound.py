"""The caller's audio in slices of 20 ms, with the spectrum of each: for the detectors of music and of tones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...g711 import audioop

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["RATE", "SLICE_MS", "Slice", "Slicer"]

RATE: Final = 8_000
SLICE_MS: Final = 20
#: Bytes of a slice, and samples of the window whose spectrum it has: 64 ms, which tell notes apart from D3 on.
_BYTES: Final = 2 * RATE * SLICE_MS // 1000
WINDOW: Final = 512
#: Under this RMS (-50 dBFS) there is nothing to look at.
QUIET: Final = 32768.0 * 10 ** (-50 / 20)


class Slice:
    """20 ms. `power` is the power spectrum of the last 64 ms (bins of 15.6 Hz), None while it is quiet."""

    __slots__ = ("power", "rms")

    def __init__(self, rms: int, power: Floats | None) -> None:
        self.rms = rms
        self.power = power


class Slicer:
    """Cuts mono s16le at 8 kHz, in pieces of any length. With `spectrum=False` slices have their level only."""

    __slots__ = ("_rest", "_spectrum", "_window")

    def __init__(self, *, spectrum: bool) -> None:
        import numpy as np

        self._rest = bytes(2 * WINDOW - _BYTES)
        self._spectrum = spectrum
        self._window: Floats = np.hanning(WINDOW).astype(np.float32)

    def feed(self, pcm: bytes) -> list[Slice]:
        """The slices that this piece completes."""
        import numpy as np

        data = self._rest + pcm
        found: list[Slice] = []
        start = 0
        while len(data) - start >= 2 * WINDOW:
            piece = data[start : start + 2 * WINDOW]
            rms = audioop.rms(piece[-_BYTES:], 2)
            power: Floats | None = None
            if self._spectrum and rms > QUIET:
                spectrum = np.fft.rfft(np.frombuffer(piece, "<i2") * self._window)
                power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
            found.append(Slice(rms, power))
            start += _BYTES
        self._rest = data[start:]
        return found
