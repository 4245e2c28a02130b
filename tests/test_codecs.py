"""G.722 and Opus: what a round trip costs, what a loss sounds like, and that no packet can crash a decoder."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.audio import PCM_16K, Audio, AudioFormat, AudioStream
from voiceframe.codecs import Decoder, Encoder
from voiceframe.errors import AudioError, MissingExtra
from voiceframe.tones import dtmf, goertzel, level_dbfs, mix, noise, silence, tone

pytest.importorskip("av", reason="no wheel of av for this platform")

G722, OPUS = Encoder("g722").format.rate, Encoder("opus").format.rate


def best_delay(sent: bytes, got: bytes, most: int) -> tuple[int, float]:
    """The delay in samples at which `got` fits `sent` best, and the ratio of signal to difference there in dB."""
    a, b = (np.frombuffer(pcm, "<i2").astype(np.float64) for pcm in (sent, got))
    size = len(a) - most
    errors = [float(((a[:size] - b[delay : delay + size]) ** 2).sum()) for delay in range(most)]
    delay = int(np.argmin(errors))
    return delay, 10 * float(np.log10((a[:size] @ a[:size]) / errors[delay]))


def test_g722_keeps_a_16_khz_sound_with_22_samples_of_delay() -> None:
    pcm = mix(tone(437, 600, -20, G722), tone(2_300, 600, -26, G722), tone(6_100, 600, -35, G722))
    encoder, decoder = Encoder("g722"), Decoder("g722")
    packets = encoder.encode(pcm) + encoder.flush()
    assert [len(packet) for packet in packets] == [160] * 30  # 64 kbit/s
    heard = b"".join(map(decoder.decode, packets))
    assert len(heard) == len(pcm)
    delay, snr = best_delay(pcm, heard, 100)
    assert delay == 22  # of its two filter banks: 1.4 ms
    assert snr > 25
    for hz, dbfs in ((437, -20), (2_300, -26), (6_100, -35)):
        assert goertzel(heard[6_400:], G722, hz) == pytest.approx(dbfs, abs=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_opus_keeps_speech_bands_and_is_late_by_its_look_ahead(rate: int) -> None:
    pcm = silence(300, rate) + mix(*(tone(hz, 500, -25, rate) for hz in (310, 905, 1_710, 2_590))) + silence(200, rate)
    encoder, decoder = Encoder("opus", rate), Decoder("opus")
    packets = encoder.encode(pcm) + encoder.flush()
    assert len(packets) == 51  # of which the last has what the look-ahead held back
    assert sum(map(len, packets)) * 8 / 1.02 < 40_000
    heard = b"".join(decoder.decode(packet) for packet in packets)
    assert decoder.format == AudioFormat("pcm_s16le", OPUS)
    assert len(heard) == 2 * 960 * 51
    middle = heard[2 * OPUS * 4 // 10 : 2 * OPUS * 7 // 10]
    for hz in (310, 905, 1_710, 2_590):
        assert goertzel(middle, OPUS, hz) == pytest.approx(-25, abs=2)
    levels = np.abs(np.frombuffer(heard, "<i2").astype(int))
    begins_ms = 1000 * int(np.argmax(levels > 1_500)) / OPUS
    assert begins_ms == pytest.approx(300 + 6.5, abs=3)


@pytest.mark.parametrize("codec", ["g722", "opus"])
def test_packets_do_not_depend_on_the_pieces(codec: str) -> None:
    one, other = Encoder(codec), Encoder(codec)  # type: ignore[arg-type]
    pcm = dtmf("159", 60, 40, rate=one.format.rate) + noise(13, -30, one.format.rate)
    whole = one.encode(pcm) + one.flush()
    chance = random.Random(4)
    pieces: list[bytes] = []
    start = 0
    while start < len(pcm):
        size = 2 * chance.randrange(0, 1_500)
        pieces += other.encode(pcm[start : start + size])
        start += size
    assert pieces + other.flush() == whole
    assert other.flush() == []
    assert other.encode(pcm) + other.flush() == whole  # a stream of its own


@pytest.mark.parametrize("codec", ["g722", "opus"])
@pytest.mark.parametrize("lost", [0, 1, 12, 29])
def test_what_replaces_a_lost_packet_is_as_long_as_the_packet(codec: str, lost: int) -> None:
    encoder, decoder = Encoder(codec), Decoder(codec)  # type: ignore[arg-type]
    rate = encoder.format.rate
    packets = encoder.encode(tone(400, 600, -20, rate))
    heard = [decoder.decode(None if number == lost else packet) for number, packet in enumerate(packets)]
    assert {len(piece) for piece in heard} == {2 * decoder.format.rate // 50}
    if lost > 1:
        # No louder than the sound was. Opus goes on with the tone, of G.722 there are 5 ms that fade.
        assert (-26 if codec == "opus" else -36) < level_dbfs(heard[lost]) < -17
        edge = np.frombuffer(heard[lost - 1] + heard[lost], "<i2").astype(int)
        middle = len(edge) // 2
        assert abs(edge[middle] - edge[middle - 1]) <= 1.5 * np.abs(np.diff(edge[:middle])).max()
    assert all(-23 < level_dbfs(piece) < -17 for piece in heard[lost + 10 :])


def test_opus_conceals_a_packet_of_60_ms_in_full() -> None:
    encoder, decoder = Encoder("opus"), Decoder("opus")
    frames = encoder.encode(tone(400, 400, -20, OPUS))
    joined = bytes([frames[5][0] & 0xFC | 3, 0x80 | 3])  # RFC 6716, 3.2.5: three frames, lengths given
    for frame in frames[5:7]:
        body = len(frame) - 1
        joined += bytes([body]) if body < 252 else bytes([252 + (body & 3), (body - 252 - (body & 3)) // 4])
    joined += b"".join(frame[1:] for frame in frames[5:8])
    assert len(decoder.decode(joined)) == 2 * 3 * 960
    assert len(decoder.decode(None)) == 2 * 3 * 960


@pytest.mark.parametrize("codec", ["g722", "opus"])
def test_an_empty_packet_is_refused(codec: str) -> None:
    with pytest.raises(AudioError, match=f"0 bytes are no packet of {codec}: it is empty"):
        Decoder(codec).decode(b"")  # type: ignore[arg-type]


GOOD = Encoder("opus").encode(tone(400, 100, -20, OPUS))


@settings(max_examples=200)
@given(st.binary(max_size=300) | st.integers(0, 10_000).map(lambda seed: random.Random(seed).randbytes(3_000)))
def test_garbage_is_an_error_and_the_next_packet_is_heard(garbage: bytes) -> None:
    decoder = Decoder("opus")
    with contextlib.suppress(AudioError):
        decoder.decode(garbage)
    assert len(decoder.decode(GOOD[2])) == 2 * 960
    wide = Decoder("g722")
    if garbage:
        assert len(wide.decode(garbage)) == 4 * len(garbage)  # any byte is two samples of G.722
    assert len(wide.decode(bytes(160))) == 640


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(AudioError, match="'mp3' is not a codec") as refusal:
        Encoder("mp3")  # type: ignore[arg-type]
    assert refusal.value.code == "audio.codec"
    with pytest.raises(AudioError, match="'mp3' is not a codec"):
        Decoder("mp3")  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="g722 does not encode audio at 8000 Hz") as refusal:
        Encoder("g722", 8_000)
    assert refusal.value.code == "audio.codec-rate"
    with pytest.raises(AudioError) as refusal:
        Encoder("opus").encode(bytes(3))
    assert refusal.value.code == "audio.length"


def test_without_av_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtra, match=r"voiceframe\[codecs\]"):
        Decoder("opus")


def test_a_call_in_opus_reaches_a_recognizer_at_16_khz() -> None:
    encoder, decoder = Encoder("opus", 16_000), Decoder("opus")
    stream = AudioStream(decoder.format)
    packets = encoder.encode(tone(1_000, 400, -20, PCM_16K.rate))
    heard = b"".join(stream.add(decoder.decode(packet)).pcm(16_000) for packet in packets) + stream.flush(16_000)
    assert goertzel(heard[6_400:-1_600], 16_000, 1_000) == pytest.approx(-20, abs=1)
    assert Audio(heard, PCM_16K).duration_ms == pytest.approx(400.75, abs=0.1)
