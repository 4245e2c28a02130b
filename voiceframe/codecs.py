"""G.722 and Opus, packet by packet, through FFmpeg's libraries (`av`, extra `codecs`).

    encoder, decoder = Encoder("opus"), Decoder("opus")
    stream = AudioStream(decoder.format)
    for packet in encoder.encode(pcm):  # s16le at encoder.format.rate
        piece = stream.add(decoder.decode(packet))

G.722 (ITU-T G.722, 64 kbit/s) has 16 kHz on both sides, though its RTP clock says 8000 (RFC 3551, 4.5.2).
Opus (RFC 6716) takes several rates and decodes to 48 kHz.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias

from .audio import AudioFormat
from .errors import AudioError
from .extras import optional

__all__ = ["Decoder", "Encoder"]

_Codec: TypeAlias = Literal["g722", "opus"]

#: FFmpeg's name of each codec, the rates that its encoder takes, and the rate that its decoder gives.
_CODECS: Final[dict[str, tuple[str, tuple[int, ...], int]]] = {
    "g722": ("g722", (16_000,), 16_000),
    "opus": ("libopus", (8_000, 12_000, 16_000, 24_000, 48_000), 48_000),
}
_PACKET_MS: Final = 20
_FADE_MS: Final = 5


def _known(codec: str, rate: int | None) -> tuple[str, int]:
    try:
        name, rates, decoded = _CODECS[codec]
    except KeyError:
        raise AudioError.of("audio.codec", codec=repr(codec), known=", ".join(_CODECS)) from None
    if rate is None:
        rate = decoded
    if rate not in rates:
        raise AudioError.of("audio.codec-rate", codec=codec, rate=rate, rates=", ".join(map(str, rates)))
    return name, rate


class Encoder:
    """Makes packets of 20 ms from mono s16le at `rate` Hz: by default 16000 for G.722, 48000 for Opus.

    bitrate: of Opus, in bit/s; G.722 always has 64,000.

    Raises `AudioError` (`audio.codec`, `audio.codec-rate`) for a codec or rate that there is not, and `MissingExtra`.
    """

    def __init__(self, codec: _Codec, rate: int | None = None, *, bitrate: int = 24_000) -> None:
        name, rate = _known(codec, rate)
        self._av: Any = optional("av", extra="codecs", what=f"The codec {codec}")
        self._name = name
        self._options = {"application": "voip", "b": str(bitrate)} if codec == "opus" else {}
        self.format = AudioFormat("pcm_s16le", rate)
        self._samples = rate * _PACKET_MS // 1000
        self._context: Any = None
        self._pending = b""

    def encode(self, pcm: bytes) -> list[bytes]:
        """The packets that `pcm` completes. It may be of any length; what fills no packet waits for more.

        Raises `AudioError` (`audio.length`) for half a sample.
        """
        if len(pcm) % 2:
            raise AudioError.of("audio.length", size=len(pcm), format=self.format, sample=2)
        pending = self._pending + pcm
        step = 2 * self._samples
        full = len(pending) - len(pending) % step
        self._pending = pending[full:]
        packets: list[bytes] = []
        for start in range(0, full, step):
            packets += self._encode(pending[start : start + step])
        return packets

    def flush(self) -> list[bytes]:
        """The last packets, filled up with silence. What is encoded next begins another stream."""
        packets = self.encode(bytes(2 * self._samples - len(self._pending))) if self._pending else []
        if self._context is not None:
            packets += [bytes(packet) for packet in self._context.encode(None)]
            self._context = None
        return packets

    def _encode(self, pcm: bytes) -> list[bytes]:
        import numpy as np

        if self._context is None:
            self._context = self._open()
        samples = np.frombuffer(pcm, "<i2").astype(np.int16)[None, :]
        frame = self._av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = self.format.rate
        return [bytes(packet) for packet in self._context.encode(frame)]

    def _open(self) -> Any:
        context = self._av.CodecContext.create(self._name, "w")
        context.sample_rate = self.format.rate
        context.layout = "mono"
        context.format = "s16"
        context.time_base = Fraction(1, self.format.rate)
        context.options = self._options
        context.open()
        return context


class Decoder:
    """Makes mono s16le of packets, in the `format` that the codec has: 16 kHz of G.722, 48 kHz of Opus.

    Raises `AudioError` (`audio.codec`) for a codec that there is not, and `MissingExtra`.
    """

    def __init__(self, codec: _Codec) -> None:
        self._name, rate = _known(codec, None)
        self._av: Any = optional("av", extra="codecs", what=f"The codec {codec}")
        self.codec = codec
        self.format = AudioFormat("pcm_s16le", rate)
        self._size = 2 * rate * _PACKET_MS // 1000  # of the last packet, decoded
        self._last = b""
        self._toc = b""
        self._context = self._open()

    def decode(self, packet: bytes | None) -> bytes:
        """The audio of the next packet. `None` stands for a lost one: what replaces it is as long as the last one was.

        Opus conceals a loss itself; with G.722 the sound fades away within 5 ms. Opus audio is late by the encoder's
        look-ahead, 6.5 ms.

        Raises `AudioError` (`audio.packet`) for what is no packet of this codec; the next one may be good again.
        """
        if packet is None:
            return self._concealed()
        if not packet:
            raise AudioError.of("audio.packet", size=0, codec=self.codec, error="it is empty")
        pcm = self._decode(packet)
        if not pcm:
            raise AudioError.of("audio.packet", size=len(packet), codec=self.codec, error="there is no audio in it")
        self._size, self._last, self._toc = len(pcm), pcm, packet[:1]
        return pcm

    def _decode(self, packet: bytes) -> bytes:
        try:
            frames = self._context.decode(self._av.Packet(packet))
            return b"".join(frame.to_ndarray().tobytes() for frame in frames)
        except self._av.error.FFmpegError as error:
            raise AudioError.of("audio.packet", size=len(packet), codec=self.codec, error=error.strerror) from error

    def _concealed(self) -> bytes:
        if self.codec == "opus" and self._toc:
            # A frame of length 0 was lost, and the decoder conceals it (RFC 6716, 3.2.1 and 4.4): the table of contents
            # of the last packet, for a single frame, as often as its length needs.
            lost = bytes([self._toc[0] & 0xFC])
            pcm = self._decode(lost)
            while len(pcm) < self._size:
                pcm += self._decode(lost)
            return pcm[: self._size]
        return _fading(self._last, self._size, self.format.rate)

    def _open(self) -> Any:
        context = self._av.CodecContext.create(self._name, "r")
        context.sample_rate = self.format.rate
        context.layout = "mono"
        return context


def _fading(last: bytes, size: int, rate: int) -> bytes:
    """The last few milliseconds backwards, so that they go on where the sound broke off, down to silence."""
    import numpy as np

    count = min(rate * _FADE_MS // 1000, len(last) // 2, size // 2)
    end = np.frombuffer(last, "<i2")[::-1][:count]
    fade = np.rint(end * np.linspace(1.0, 0.0, count)).astype("<i2")
    return fade.tobytes().ljust(size, b"\0")
