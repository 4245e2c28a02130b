"""ITU-T G.711: µ-law and A-law, one byte per sample, at any rate (by the standard 8 kHz)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Final

__all__ = ["DECODERS", "ENCODERS", "audioop"]

# To Python 3.12 `audioop` is in the standard library, which warns that it will leave; from 3.13 on audioop-lts brings a
# module of the same name.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="'audioop' is deprecated", category=DeprecationWarning)
    import audioop


def _swap(data: bytes) -> bytes:
    return audioop.byteswap(data, 2)


def _same(data: bytes) -> bytes:
    return data


#: From each encoding to s16le.
DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "pcm_s16le": _same,
    "pcm_s16be": _swap,
    "mulaw": lambda data: audioop.ulaw2lin(data, 2),
    "alaw": lambda data: audioop.alaw2lin(data, 2),
}

#: From s16le to each encoding.
ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "pcm_s16le": _same,
    "pcm_s16be": _swap,
    "mulaw": lambda pcm: audioop.lin2ulaw(pcm, 2),
    "alaw": lambda pcm: audioop.lin2alaw(pcm, 2),
}
