"""WAV files, read piece by piece: PCM of 8 to 32 bits, floats, µ-law and A-law.

The format is RIFF ("Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991) with
WAVEFORMATEX and WAVEFORMATEXTENSIBLE. Python's own `wave` refuses what is not PCM. Every size in the file is taken for
a claim and held against what the file has.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

import numpy as np

from .clips import NotPlayable

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

__all__ = ["WavFile"]

_PCM: Final = 1
_FLOAT: Final = 3
_ALAW: Final = 6
_MULAW: Final = 7
_EXTENSIBLE: Final = 0xFFFE

_NAMES: Final = {_PCM: "PCM", _FLOAT: "floats", _ALAW: "A-law", _MULAW: "µ-law"}
_BITS: Final = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64), _ALAW: (8,), _MULAW: (8,)}

_MOST_CHANNELS: Final = 8
_LOWEST_RATE: Final = 2_000
_HIGHEST_RATE: Final = 384_000
#: Chunks that may stand before the sound; more of them are no file that anybody made to be played.
_MOST_CHUNKS: Final = 1_000


class WavFile:
    """A WAV file as mono s16le. Raises `NotPlayable` for what is none that it knows, and `OSError`."""

    def __init__(self, path: str) -> None:
        self._file: BinaryIO = Path(path).open("rb")  # noqa: SIM115  closed by close()
        try:
            self._size = self._file.seek(0, 2)
            self._file.seek(0)
            self._read_header()
        except BaseException:
            self._file.close()
            raise

    def _read_header(self) -> None:
        file = self._file
        if (head := file.read(12))[:4] != b"RIFF" or head[8:12] != b"WAVE":
            raise NotPlayable("it is no WAV file")
        known = False
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                raise NotPlayable("it has no sound in it" if known else "its header is cut off")
            name, size = head[:4], struct.unpack("<I", head[4:])[0]
            if name == b"fmt ":
                self._read_format(file.read(min(size, 64)), size)
                known = True
                file.seek(max(0, size - 64) + size % 2, 1)
            elif name == b"data":
                if not known:
                    raise NotPlayable("its sound stands before its format")
                # A size of 0 or of all ones was written by a program that could not know it yet.
                there = self._size - file.tell()
                if size and size != 0xFFFFFFFF:
                    there = min(size, there)
                self.length = there // self._frame
                self._left = self.length
                return
            else:
                file.seek(size + size % 2, 1)
        raise NotPlayable("it has no sound in it")

    def _read_format(self, data: bytes, size: int) -> None:
        if len(data) < 16:
            raise NotPlayable("its format is cut off")
        kind, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", data[:16])
        if kind == _EXTENSIBLE:
            if len(data) < 40:
                raise NotPlayable("its format is cut off")
            kind = struct.unpack("<H", data[24:26])[0]
        if kind not in _NAMES:
            raise NotPlayable(f"its encoding (number {kind}) is not known")
        if bits not in _BITS[kind]:
            raise NotPlayable(f"{_NAMES[kind]} of {bits} bits is not known")
        if not 1 <= channels <= _MOST_CHANNELS:
            raise NotPlayable(f"it has {channels} channels")
        if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
            raise NotPlayable(f"its rate is {rate} Hz")
        if frame != channels * bits // 8:
            raise NotPlayable("its header contradicts itself")
        self.rate: int = rate
        self._kind: int = kind
        self._bits: int = bits
        self._channels: int = channels
        self._frame: int = frame

    def read(self, samples: int) -> bytes:
        """The next samples as mono s16le; fewer at the end, where there are none."""
        count = min(samples, self._left)
        data = self._file.read(count * self._frame)
        count = len(data) // self._frame
        self._left = self._left - count if count else 0
        return self._pcm(data[: count * self._frame])

    def _pcm(self, data: bytes) -> bytes:
        kind, bits = self._kind, self._bits
        if kind in (_ALAW, _MULAW):
            from ...g711 import DECODERS

            data = DECODERS["alaw" if kind == _ALAW else "mulaw"](data)
            bits = 16
        elif kind == _FLOAT:
            values = np.nan_to_num(np.frombuffer(data, f"<f{bits // 8}").astype(np.float64), posinf=1.0, neginf=-1.0)
            return self._mono(values.clip(-1, 1) * 32767)
        if bits == 16 and self._channels == 1:
            return data
        if bits == 8:
            return self._mono((np.frombuffer(data, np.uint8).astype(np.float64) - 128) * 256)
        if bits == 16:
            return self._mono(np.frombuffer(data, "<i2").astype(np.float64))
        if bits == 24:
            raw = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
            joined = (raw[:, 0] | raw[:, 1] << 8 | raw[:, 2] << 16) << 8
            return self._mono(joined.astype(np.float64) / 65536)
        return self._mono(np.frombuffer(data, "<i4").astype(np.float64) / 65536)

    def _mono(self, values: Floats) -> bytes:
        if self._channels > 1:
            values = values.reshape(-1, self._channels).mean(axis=1)
        return bytes(np.rint(values).clip(-32768, 32767).astype("<i2"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
