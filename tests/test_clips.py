"""Clips: audio files as replies, in many formats, and what is no audio file."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_tts import Full, HumTTS, shape, words_of
from voiceframe.audio import PCM_8K, PCM_16K, PCMU_8K, Audio, AudioFormat, AudioStream
from voiceframe.errors import SpeechError
from voiceframe.frames import ClipFrame, Frame, OutputAudioFrame, ReplyEndedFrame, ReplyStartedFrame, TextFrame
from voiceframe.processors.tts import TTSSettings
from voiceframe.processors.tts.clips import Clip, spread
from voiceframe.testing.run import Result, rig, run
from voiceframe.tones import goertzel, level_dbfs, noise, silence, tone


def riff(kind: int, bits: int, data: bytes, *, rate: int = 8_000, channels: int = 1, before: bytes = b"") -> bytes:
    """A WAV file."""
    frame = channels * bits // 8
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * frame % 2**32, frame, bits)
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(header)) + header
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def saved(folder: Path, data: bytes, name: str = "clip.wav") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def open_clip(path: str, format: AudioFormat) -> Clip:
    opened = Clip(path, format)
    opened.open()
    return opened


def clip(path: str, text: str = "[clip.wav]", number: int = 1) -> list[Frame]:
    return [ReplyStartedFrame(number), ClipFrame(path, text, number), ReplyEndedFrame(number)]


def sound_of(result: Result, number: int = 1) -> bytes:
    return b"".join(f.audio.data for f in result.down if isinstance(f, OutputAudioFrame) and f.reply == number)


def played(path: str, format: AudioFormat = PCM_8K) -> bytes:
    """All of a clip as mono s16le at the rate of `format`."""
    opened = open_clip(path, format)
    pieces: list[bytes] = []
    while piece := opened.read():
        pieces.append(piece)
    opened.close()
    return Audio(b"".join(pieces), format).pcm(format.rate)


def played_or_refused(path: str) -> bytes:
    """The same, and nothing of a clip that cannot be played."""
    with contextlib.suppress(SpeechError):
        return played(path)
    return b""


SINE = tone(440, 1_000, -20, 8_000)
VALUES = np.frombuffer(SINE, "<i2").astype(np.int64)


def packed_24(values: np.ndarray) -> bytes:
    return b"".join(int(value << 8).to_bytes(3, "little", signed=True) for value in values)


ENCODED = {
    "8 bits": (1, 8, bytes((VALUES // 256 + 128).astype(np.uint8))),
    "16 bits": (1, 16, SINE),
    "24 bits": (1, 24, packed_24(VALUES)),
    "32 bits": (1, 32, bytes((VALUES << 16).astype("<i4"))),
    "floats": (3, 32, bytes((VALUES / 32768).astype("<f4"))),
    "doubles": (3, 64, bytes((VALUES / 32768).astype("<f8"))),
    "A-law": (6, 8, Audio(SINE, PCM_8K).to(AudioFormat("alaw", 8_000))),
    "µ-law": (7, 8, Audio(SINE, PCM_8K).to(PCMU_8K)),
}


@pytest.mark.parametrize("name", ENCODED)
def test_every_encoding_is_the_same_tone(name: str, tmp_path: Path) -> None:
    kind, bits, data = ENCODED[name]
    pcm = played(saved(tmp_path, riff(kind, bits, data)))
    assert len(pcm) == len(SINE)
    assert goertzel(pcm, 8_000, 440) == pytest.approx(-20, abs=0.5)
    exact = np.abs(np.frombuffer(pcm, "<i2").astype(int) - VALUES).max()
    assert exact <= {"8 bits": 256, "A-law": 256, "µ-law": 256}.get(name, 2)


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("format", [PCM_8K, PCM_16K, PCMU_8K], ids=str)
def test_every_rate_is_the_same_tone(rate: int, format: AudioFormat, tmp_path: Path) -> None:
    path = saved(tmp_path, riff(1, 16, tone(440, 1_200, -20, rate), rate=rate))
    opened = open_clip(path, format)
    assert opened.duration_ms == pytest.approx(1_200, abs=1)
    opened.close()
    pcm = played(path, format)
    assert len(pcm) / 2 / format.rate == pytest.approx(1.2, abs=0.004)
    middle = pcm[format.rate // 10 * 2 : format.rate // 10 * 2 + format.rate * 2]
    assert goertzel(middle, format.rate, 440) == pytest.approx(-20, abs=0.5)
    assert level_dbfs(middle) == pytest.approx(-20, abs=0.5)  # and nothing else is in it, no click where pieces meet


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_a_clip_that_is_read_in_pieces_is_the_whole(rate: int, tmp_path: Path) -> None:
    pcm = noise(1_700, -20, rate, seed=1)
    stream = AudioStream(AudioFormat("pcm_s16le", rate))
    whole = stream.add(pcm).pcm(8_000) + stream.flush(8_000)
    assert played(saved(tmp_path, riff(1, 16, pcm, rate=rate))) == whole


def test_channels_are_mixed(tmp_path: Path) -> None:
    both = np.stack([VALUES, np.zeros(len(VALUES))], axis=1).astype("<i2")
    pcm = played(saved(tmp_path, riff(1, 16, bytes(both), channels=2)))
    assert goertzel(pcm, 8_000, 440) == pytest.approx(-26, abs=0.2)


def test_the_files_of_python_are_read(tmp_path: Path) -> None:
    path = str(tmp_path / "clip.wav")
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(SINE)
    assert played(path) == SINE


def test_what_is_odd_but_usual_in_wav_files(tmp_path: Path) -> None:
    listed = b"LIST" + struct.pack("<I", 5) + b"INFOx\x00"  # of odd length, so padded
    assert played(saved(tmp_path, riff(1, 16, SINE, before=listed))) == SINE
    header = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8_000, 16_000, 2, 16, 22, 16, 4)
    guid = struct.pack("<H", 1) + bytes(14)
    extensible = b"WAVEfmt " + struct.pack("<I", 40) + header + guid + b"data" + struct.pack("<I", len(SINE)) + SINE
    assert played(saved(tmp_path, b"RIFF" + struct.pack("<I", len(extensible)) + extensible)) == SINE
    whole = riff(1, 16, SINE)
    for unknown in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"):  # written to a pipe
        assert played(saved(tmp_path, whole[:40] + unknown + whole[44:])) == SINE
    cut = saved(tmp_path, whole[:-8_001])  # the file is cut off
    assert played(cut) == SINE[:-8_002]
    assert Clip(cut, PCM_8K).duration_ms == 0  # not open yet
    opened = open_clip(cut, PCM_8K)
    assert opened.duration_ms == pytest.approx(500, abs=1)
    opened.close()
    assert played(saved(tmp_path, whole + b"junk")) == SINE


BROKEN = {
    "empty": b"",
    "short": b"RIFF",
    "header": riff(1, 16, SINE)[:30],
    "no data": riff(1, 16, SINE)[:36],
    "unknown": riff(85, 16, SINE),
    "bits": riff(1, 12, SINE),
    "no channels": riff(1, 16, SINE, channels=0),
    "many channels": riff(1, 16, SINE, channels=60),
    "no rate": riff(1, 16, SINE, rate=0),
    "high rate": riff(1, 16, SINE, rate=4_000_000_000),
    "contradiction": riff(1, 16, SINE)[:32] + b"\x04\x00" + riff(1, 16, SINE)[34:],
    "data first": b"RIFF\x10\x00\x00\x00WAVEdata\x04\x00\x00\x00\x00\x00\x00\x00",
    "endless chunks": b"RIFF\xff\xff\xff\x00WAVE" + b"junk\x00\x00\x00\x00" * 2_000,
    "a text": b"Once upon a time there was no sound at all.",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_cannot_be_played_is_an_error_and_the_call_goes_on(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, BROKEN[name])
    result = await run(HumTTS(), frames=[*clip(path), ReplyStartedFrame(2), TextFrame("On.", 2), ReplyEndedFrame(2)])
    (error,) = result.errors
    assert isinstance(error, SpeechError)
    assert error.code == "tts.clip"
    assert path in error.message
    assert words_of(result, 2) == "On."
    assert [f.reply for f in result.down if isinstance(f, ReplyEndedFrame)] == [1, 2]
    assert result.reason == "completed"


@pytest.mark.parametrize("path", ["/nowhere/clip.wav", "", "/", "a\0b"])
async def test_a_file_that_is_not_there_is_an_error(path: str) -> None:
    result = await run(HumTTS(), frames=clip(path))
    assert [getattr(error, "code", "") for error in result.errors] == ["tts.clip"]
    assert shape([f for f in result.down if hasattr(f, "reply")]) == ["ReplyStarted 1", "ReplyEnded 1"]


@given(st.binary(max_size=80), st.integers(0, 60), st.booleans())
def test_no_file_can_do_harm(tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int, whole: bool) -> None:
    data = riff(1, 16, SINE[:2_000])
    data = data[:at] + junk + (data[at + len(junk) :] if whole else b"")
    path = saved(tmp_path_factory.getbasetemp(), data, "junk.wav")
    assert len(played_or_refused(path)) <= 48 * len(data) + 1_000


async def test_a_clip_is_a_reply_with_marks(tmp_path: Path) -> None:
    path = saved(tmp_path, riff(1, 16, tone(440, 1_000, -20, 16_000), rate=16_000))
    result = await run(HumTTS(), frames=clip(path, "One two three four"))
    assert shape(result.down) == ["ReplyStarted 1", "OutputAudio 1", "ReplyEnded 1"]
    assert words_of(result) == "One two three four"
    assert sound_of(result) == tone(440, 1_000, -20, 16_000)
    at_ms = 0.0
    begins: list[float] = []
    for frame in result.down:
        if isinstance(frame, OutputAudioFrame):
            begins += [at_ms + word.start_ms for word in frame.words]
            at_ms += frame.audio.duration_ms
    assert begins == pytest.approx([0, 167, 389, 722], abs=2)


async def test_text_and_clips_of_a_reply_keep_their_order(tmp_path: Path) -> None:
    path = saved(tmp_path, riff(1, 16, SINE))
    frames: list[Frame] = [
        ReplyStartedFrame(1),
        TextFrame("Before", 1),
        ClipFrame(path, " [ding]", 1),
        TextFrame(" behind.", 1),
        ReplyEndedFrame(1),
    ]
    result = await run(HumTTS(delay_ms=50), frames=frames)
    assert words_of(result) == "Before [ding] behind."
    sound = sound_of(result)
    assert level_dbfs(sound[:1_900]) == -120
    assert level_dbfs(sound[2_000:30_000]) > -25
    assert level_dbfs(sound[-2_000:]) == -120


async def test_a_clip_without_sound_still_says_its_words(tmp_path: Path) -> None:
    result = await run(HumTTS(), frames=clip(saved(tmp_path, riff(1, 16, b"")), "[nothing]"))
    assert words_of(result) == "[nothing]"
    assert not result.errors


async def test_an_interruption_ends_a_clip(tmp_path: Path) -> None:
    path = saved(tmp_path, riff(1, 16, silence(60_000, 8_000)))
    full = Full(1_000)
    async with rig(HumTTS(), full) as call:
        number = call.source.begin_reply()
        call.push(*clip(path, "music", number))
        await asyncio.sleep(1)
        assert 500 <= full.has_ms <= 600  # no more was read than there was room for
        call.call.interrupt()
        full.empty()
        following = call.source.begin_reply()
        call.push(ReplyStartedFrame(following), TextFrame("Yes.", following), ReplyEndedFrame(following))
        await asyncio.sleep(0.1)
        assert words_of(call.result, following) == "Yes."
        assert f"ReplyEnded {number}" not in shape(call.result.down)


async def test_a_clip_plays_no_longer_than_the_setting_says(tmp_path: Path) -> None:
    path = saved(tmp_path, riff(1, 16, silence(5_000, 8_000)))
    result = await run(HumTTS(settings=TTSSettings(clip_ms=2_000)), frames=clip(path))
    assert [getattr(error, "code", "") for error in result.errors] == ["tts.clip-long"]
    assert len(sound_of(result)) == 2 * 16 * 2_000
    assert [f.reply for f in result.down if isinstance(f, ReplyEndedFrame)] == [1]


def test_a_huge_file_is_read_in_constant_memory(tmp_path: Path) -> None:
    path = saved(tmp_path, riff(1, 16, b"")[:40] + b"\xf0\xff\xff\xff")
    with Path(path).open("r+b") as file:
        file.truncate(4_000_000_000)  # a hole: nothing of it is on the disk
    opened = open_clip(path, PCM_8K)
    assert opened.duration_ms > 3_600_000
    tracemalloc.start()
    for _ in range(40):
        assert len(opened.read()) == 8_000
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    opened.close()


CODED = [("clip.flac", "flac"), ("clip.ogg", "libopus"), ("clip.mp3", "libmp3lame")]


@pytest.mark.parametrize(("name", "codec"), CODED)
def test_files_that_are_no_wav_are_decoded(name: str, codec: str, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = str(tmp_path / name)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        samples = np.frombuffer(tone(440, 1_000, -20, 48_000), "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    opened = open_clip(path, PCM_8K)
    assert opened.duration_ms == pytest.approx(1_000, abs=60)
    opened.close()
    pcm = played(path)
    assert len(pcm) / 16 == pytest.approx(1_000, abs=60)
    assert goertzel(pcm[3_200:12_800], 8_000, 440) == pytest.approx(-20, abs=1)


@pytest.mark.parametrize("at", [300, 2_000])
def test_a_coded_file_that_is_damaged_is_an_error_or_ends(at: int, tmp_path: Path) -> None:
    test_files_that_are_no_wav_are_decoded("clip.flac", "flac", tmp_path)
    path = tmp_path / "clip.flac"
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes(len(data) - at))
    assert len(played_or_refused(str(path))) <= 2 * 16_000


@given(st.text(max_size=40), st.floats(0, 100_000))
def test_words_are_spread_over_all_of_a_clip(text: str, duration_ms: float) -> None:
    words = spread(text, duration_ms)
    assert "".join(word.text for word in words) == text
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert not times or (times[0] == 0 and times[-1] == round(duration_ms))


def test_a_clip_that_is_closed_while_it_is_read_closes_its_file(tmp_path: Path) -> None:
    opened = open_clip(saved(tmp_path, riff(1, 16, SINE)), PCM_8K)
    source = opened._source
    assert source is not None
    read = source.read

    def closed_meanwhile(samples: int) -> bytes:
        opened.close()
        return read(samples)

    source.read = closed_meanwhile  # type: ignore[method-assign]
    assert opened.read() == SINE[:8_000]
    with pytest.raises(ValueError, match="closed file"):
        read(1)
    assert opened.read() == b""


def test_a_clip_that_is_closed_before_it_is_open_closes_its_file(tmp_path: Path) -> None:
    late = Clip(saved(tmp_path, riff(1, 16, SINE)), PCM_8K)
    late.close()
    late.open()
    assert late.read() == b""
