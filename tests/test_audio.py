"""Audio: formats, pieces, and conversions that are made when they are asked for, once."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.audio import (
    ENCODINGS,
    PCM_8K,
    PCM_16K,
    PCMU_8K,
    Audio,
    AudioFormat,
    AudioStream,
    convertible,
)
from voiceframe.errors import AudioError
from voiceframe.tones import noise, tone

FORMATS = [
    AudioFormat(encoding, rate, channels) for encoding in ENCODINGS for rate in (8_000, 16_000) for channels in (1, 2)
]


def test_a_format_says_what_it_is() -> None:
    assert str(PCMU_8K) == "mulaw at 8000 Hz"
    assert str(AudioFormat(channels=2)) == "pcm_s16le at 16000 Hz, stereo"
    assert AudioFormat("pcm_s16be", 48_000, 2).bytes_per_second == 192_000
    assert Audio(bytes(160), PCMU_8K).duration_ms == 20
    assert Audio(bytes(160), PCM_8K).duration_ms == 10


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("audio.encoding", lambda: AudioFormat("mp3")),
        ("audio.rate", lambda: AudioFormat(rate=7_999)),
        ("audio.rate", lambda: AudioFormat(rate=96_000)),
        ("audio.rate", lambda: AudioFormat(channels=3)),
        ("audio.rate", lambda: Audio(bytes(2), PCM_8K).pcm(4_000)),
        ("audio.rate", lambda: AudioStream(PCM_8K).flush(96_000)),
        ("audio.length", lambda: AudioStream(PCM_8K).add(bytes(3))),
        ("audio.length", lambda: AudioStream(AudioFormat(channels=2)).add(bytes(6))),
        ("audio.length", lambda: Audio(bytes(3), PCM_8K).pcm(16_000)),
        ("audio.length", lambda: Audio(bytes(3), PCM_8K).to(PCMU_8K)),
        ("audio.length", lambda: Audio(bytes(3), AudioFormat("mulaw", 8_000, 2)).pcm(8_000)),
        ("audio.length", lambda: Audio(bytes(7), AudioFormat("pcm_s16be", 8_000)).pcm(8_000)),
        ("audio.no-converter", lambda: Audio(bytes(2), PCM_8K).to(AudioFormat("pcm_s16le", 8_000, 2))),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(code: str, make: Callable[[], object]) -> None:
    with pytest.raises(AudioError) as refusal:
        make()
    assert refusal.value.code == code


def test_half_a_sample_leaves_the_stream_as_it_was() -> None:
    stream = AudioStream(PCM_8K)
    first = noise(20, -10)
    stream.add(first)
    with pytest.raises(AudioError, match="321 bytes are no whole number of samples of pcm_s16le at 8000 Hz"):
        stream.add(bytes(321))
    assert stream.samples == 160
    other = AudioStream(PCM_8K)
    other.add(first)
    assert stream.add(first).pcm(16_000) == other.add(first).pcm(16_000)


@pytest.mark.parametrize("source", FORMATS, ids=str)
@pytest.mark.parametrize("target", FORMATS, ids=str)
def test_convertible_says_what_can_be_had(source: AudioFormat, target: AudioFormat) -> None:
    audio = AudioStream(source).add(bytes(source.bytes_per_second // 50))
    if convertible(source, target):
        assert len(audio.to(target)) == target.bytes_per_second // 50
    else:
        with pytest.raises(AudioError):
            audio.to(target)


def test_anything_can_be_had_as_mono_and_stereo_only_unchanged() -> None:
    stereo = AudioFormat(channels=2)
    assert convertible(stereo, PCMU_8K)
    assert convertible(PCMU_8K, AudioFormat("alaw", 48_000))
    assert convertible(stereo, stereo)
    assert not convertible(PCM_16K, stereo)
    assert not convertible(AudioFormat("mulaw", 8_000, 2), stereo)


def test_what_needs_no_conversion_is_the_data_itself() -> None:
    data = noise(20, -20)
    assert Audio(data, PCM_8K).pcm(8_000) is data
    assert Audio(data, PCM_8K).to(AudioFormat("pcm_s16le", 8_000)) is data
    ulaw = Audio(data, PCM_8K).to(PCMU_8K)
    piece = AudioStream(PCMU_8K).add(ulaw)
    assert piece.to(PCMU_8K) is ulaw


def test_a_conversion_is_made_once_however_many_ask() -> None:
    piece = AudioStream(PCMU_8K).add(bytes(range(160)))
    assert piece.pcm(16_000) is piece.pcm(16_000)
    assert piece.pcm(8_000) is piece.pcm(8_000)
    assert piece.to(PCM_16K) is piece.pcm(16_000)
    a_law = AudioFormat("alaw", 16_000)
    assert piece.to(a_law) is piece.to(AudioFormat("alaw", 16_000))


def test_pieces_are_equal_by_what_they_hold() -> None:
    stream = AudioStream(PCM_8K)
    first, second = stream.add(bytes(320)), stream.add(bytes(320))
    assert first == second == Audio(bytes(320), PCM_8K)
    first.pcm(16_000)
    assert first == second
    assert repr(Audio(b"\0\0", PCM_8K)) == f"Audio(data=b'\\x00\\x00', format={PCM_8K!r})"


def test_a_piece_carries_4_ms_of_what_came_before_and_no_piece_before_it() -> None:
    stream = AudioStream(PCM_16K)
    pieces = [stream.add(bytes(640)) for _ in range(1_000)]
    assert max(len(pickle.dumps(piece)) for piece in pieces) < 640 + 2 * 64 + 300
    again: Audio = pickle.loads(pickle.dumps(pieces[-1]))
    assert again.pcm(8_000) == pieces[-1].pcm(8_000)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_encoding_of_a_stream_changes_nothing_of_its_conversion(encoding: str) -> None:
    source = AudioFormat(encoding, 8_000)
    data = Audio(noise(100, -15), PCM_8K).to(source)
    plain = Audio(data, source).pcm(8_000)
    coded, pcm = AudioStream(source), AudioStream(PCM_8K)
    step = len(data) // 5
    for number in range(5):
        a = coded.add(data[number * step : (number + 1) * step])
        b = pcm.add(plain[number * 320 : (number + 1) * 320])
        assert a.pcm(16_000) == b.pcm(16_000)
        assert a.to(AudioFormat("alaw", 24_000)) == b.to(AudioFormat("alaw", 24_000))
    assert coded.flush(16_000) == pcm.flush(16_000) != b""
    assert coded.samples == pcm.samples == 800


def test_network_order_is_the_other_one() -> None:
    big = AudioFormat("pcm_s16be", 8_000)
    assert Audio(b"\x01\x02\x03\x04", PCM_8K).to(big) == b"\x02\x01\x04\x03"
    assert Audio(b"\x02\x01\x04\x03", big).pcm(8_000) == b"\x01\x02\x03\x04"


@given(st.lists(st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767)), max_size=50))
def test_stereo_becomes_the_mean_of_its_channels(frames: list[tuple[int, int]]) -> None:
    both = np.array(frames, "<i2").reshape(-1, 2)
    mono = np.frombuffer(Audio(both.tobytes(), AudioFormat("pcm_s16le", 8_000, 2)).pcm(8_000), "<i2")
    assert [2 * int(m) for m in mono] == pytest.approx([a + b for a, b in frames], abs=1)


def test_a_stereo_stream_has_no_seams_either() -> None:
    left, right = np.frombuffer(tone(440, 200), "<i2"), np.frombuffer(noise(200, -20), "<i2")
    stereo = AudioFormat("pcm_s16le", 8_000, 2)
    data = np.stack([left, right], axis=1).tobytes()
    mono = Audio(data, stereo).pcm(8_000)
    one, other = AudioStream(stereo), AudioStream(PCM_8K)
    joined = b"".join(one.add(data[at : at + 636]).pcm(16_000) for at in range(0, len(data), 636))
    assert joined == other.add(mono).pcm(16_000)
    assert one.flush(16_000) == other.flush(16_000)


def test_flush_changes_nothing_and_reset_begins_anew() -> None:
    data = noise(20, -10)
    stream = AudioStream(PCM_8K)
    first = stream.add(data).pcm(16_000)
    assert stream.flush(8_000) == b""
    assert stream.flush(16_000) == stream.flush(16_000)
    assert len(stream.flush(16_000)) == 2 * 24  # 1.5 ms
    assert stream.add(data).pcm(16_000) != first
    stream.reset()
    assert stream.samples == 0
    assert stream.flush(16_000) == b""
    assert stream.add(data).pcm(16_000) == first


def test_the_parts_that_convert_are_loaded_when_they_are_needed() -> None:
    code = (
        "import sys, voiceframe.audio as a\n"
        "stream = a.AudioStream(a.PCM_16K)\n"
        "stream.add(bytes(640)).pcm(16_000)\n"
        "assert not sys.modules.keys() & {'numpy', 'audioop'}, 'too early'\n"
        "stream.add(bytes(640)).pcm(8_000)\n"
        "assert 'numpy' in sys.modules and 'audioop' not in sys.modules\n"
        "stream.add(bytes(640)).to(a.PCMU_8K)\n"
        "assert 'audioop' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
