"""The recorder: both sides to the sample, whatever happens to the call, the process and the disk."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe import Call, Observer, Pipeline, observes
from voiceframe.audio import PCM_8K, PCMU_8K, Audio, AudioFormat
from voiceframe.errors import RecordingError
from voiceframe.events import LoggedEvent
from voiceframe.frames import (
    Frame,
    InputAudioFrame,
    OutputAudioFrame,
    PauseFrame,
    PlayedAudioFrame,
    RecordingFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    ResumeFrame,
)
from voiceframe.processors.recording import Recorder
from voiceframe.processors.recording import wav as wav_module
from voiceframe.processors.recording.legs import BOT, CALLER, Legs
from voiceframe.processors.recording.place import create, fill
from voiceframe.processors.recording.take import Take
from voiceframe.processors.recording.wav import WavFile, header
from voiceframe.processors.recording.writer import MOST_BLOCKS
from voiceframe.testing import CallTranscript
from voiceframe.testing.levels import sounds
from voiceframe.tones import level_dbfs, noise, tone
from voiceframe.transports import LineConditions, LoopbackTransport


class Line:
    """A recorded call over a loopback; what the far side sent and got, tick by tick."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        format: AudioFormat = PCMU_8K,
        conditions: LineConditions | None = None,
        id: str = "call_1",
        source: Callable[[], bytes] | None = None,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self.transport = LoopbackTransport(format, conditions=conditions)
        self.sent: list[bytes] = []
        self.received: list[bytes] = []
        far = self.transport.far
        make = source or far.next

        def next() -> bytes:
            self.sent.append(make())
            return self.sent[-1]

        far.source = next
        far.on_audio = self.received.append
        self.recorder = recorder
        self._observers = (recorder, *observers)
        self.record = CallTranscript()
        self.call = Call(self.transport, sinks=[self.record], seed=1, id=id)

    async def __aenter__(self) -> Line:
        ends = [self.transport.input(), self.transport.output()]
        await self.call.start(Pipeline(ends, observers=self._observers))
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await self.call.wait_ended()

    def push(self, *frames: Frame) -> None:
        for frame in frames:
            self.call.send(frame)

    def says(self, pcm: bytes, *, ends: bool = True) -> int:
        number = self.call.replies.begin()
        audio = Audio(pcm, AudioFormat("pcm_s16le", self.transport.format.rate))
        self.push(ReplyStartedFrame(number), OutputAudioFrame(audio, number))
        if ends:
            self.push(ReplyEndedFrame(number))
        return number

    def events(self, *kinds: str) -> list[LoggedEvent]:
        return self.record.of(*(f"recording.{kind}" for kind in kinds))


def read(path: Path) -> tuple[int, bytes, bytes]:
    """Rate, left and right of a WAV file."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        data = file.readframes(file.getnframes())
        return file.getframerate(), *apart(data)


def apart(data: bytes) -> tuple[bytes, bytes]:
    values = memoryview(data).cast("h")
    return bytes(values[0::2]), bytes(values[1::2])


def decode(path: Path) -> tuple[int, bytes, bytes]:
    """The same of anything that FFmpeg reads."""
    av: Any = pytest.importorskip("av")
    data = []
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=rate)
        for frame in container.decode(audio=0):
            data += [bytes(made.planes[0])[: 4 * made.samples] for made in resampler.resample(frame)]
    return rate, *apart(b"".join(data))


def names(path: Path) -> list[str]:
    return [child.name for child in path.iterdir()]


def hum(ms: int, hz: int = 400, rate: int = 8_000) -> bytes:
    return tone(hz, ms, -12.0, rate)


async def test_both_sides_are_in_the_file_at_the_time_of_the_call(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "{call}.wav"), format=PCM_8K) as line:
        await asyncio.sleep(1.99)
        line.transport.far.play(hum(500, 300))
        await asyncio.sleep(1)
        line.says(hum(700))
        await asyncio.sleep(2)
        line.transport.hang_up()
        await line.call.wait_ended()
    rate, left, right = read(tmp_path / "call_1.wav")
    assert rate == 8_000
    assert left[16 * 2_000 : 16 * 2_500] == hum(500, 300)
    assert right[16 * 3_000 : 16 * 3_700] == hum(700)
    assert len(left) == len(right) == 16 * 5_000
    started, stopped = line.events("started", "stopped")
    assert started.data == {"path": str(tmp_path / "call_1.wav"), "rate": 8_000}
    assert stopped.data == {
        "path": str(tmp_path / "call_1.wav"),
        "duration_ms": 5_000,
        "paused_ms": 0,
        "reason": "ended",
    }
    assert line.recorder.path == tmp_path / "call_1.wav"


@pytest.mark.parametrize("format", [pytest.param(PCMU_8K, marks=pytest.mark.slow), AudioFormat("pcm_s16le", 48_000)])
async def test_over_ten_minutes_of_a_bad_line_both_sides_stay_aligned_to_the_sample(
    tmp_path: Path, format: AudioFormat
) -> None:
    """Jitter, loss, pauses, interruptions, late audio, a lost connection: what the far side has sent and got is in the
    file sample for sample, lost pieces as silence."""
    minutes = 10 if format is PCMU_8K else 0.5
    rng = random.Random(11)
    samples = format.rate // 50
    width = 1 if format is PCMU_8K else 2
    # A click in every piece, at a place of its own: wherever a piece goes in the file, it is known.
    pieces = [
        bytes(width * place) + bytes([17] * 4) + bytes(width * (samples - place) - 4) for place in range(0, 100, 7)
    ]
    number = 0

    def source() -> bytes:
        nonlocal number
        number += 1
        return pieces[number * 31 % len(pieces)]

    conditions = LineConditions(network_ms=40, jitter_ms=140, loss=0.03, seed=4)
    came: list[int] = []

    class Sees(Observer):
        @observes(InputAudioFrame)
        def on_audio(self, frame: InputAudioFrame) -> None:
            came.append(frame.at_ms)

    line = Line(Recorder(tmp_path / "a.wav"), format=format, conditions=conditions, source=source, observers=(Sees(),))
    async with line:
        while line.call.clock.at_ms() < minutes * 60_000:
            reply = line.says(hum(rng.randrange(200, 4_000), rng.randrange(300, 900), format.rate), ends=False)
            await asyncio.sleep(rng.random() * 2)
            match rng.randrange(6):
                case 0:
                    line.call.interrupt()
                case 1 | 2:
                    line.push(PauseFrame(reply))
                    await asyncio.sleep(rng.random())
                    line.push(ResumeFrame(reply))
                    await asyncio.sleep(rng.random() * 3)
                case 3:
                    await asyncio.sleep(3)  # the rest is late
                    audio = Audio(hum(300, 500, format.rate), AudioFormat("pcm_s16le", format.rate))
                    line.push(OutputAudioFrame(audio, reply))
                    await asyncio.sleep(0.1)
                case 4 if rng.random() < 0.3:
                    line.transport.lose()
                    await asyncio.sleep(rng.random() * 3)
                    line.transport.attach()
            line.push(ReplyEndedFrame(reply))
        playout = line.transport.output().playout
    rate, left, right = read(tmp_path / "a.wav")
    assert rate == format.rate
    assert playout.gaps > 0
    began = line.transport.began_ms
    silence = line.transport.far.silence
    ms = 2 * format.rate // 1000

    # The caller: each piece that came, at its place; and silence at all others.
    arrived = {(at_ms - began - 40) // 20 for at_ms in came}
    assert len(arrived) == len(came) > 0.9 * len(line.sent) - 500
    expected = b"".join(piece if index in arrived else silence for index, piece in enumerate(line.sent))
    expected = bytes(ms * (began + 40)) + Audio(expected, format).pcm(rate)
    whole = min(len(left), ms * (began + 40) + max(arrived) * 20 * ms)
    assert left[:whole] == expected[:whole]

    # The bot: what the far side got, 40 ms earlier: so long it was under way.
    got = Audio(b"".join(line.received), format).pcm(rate)[40 * ms :]
    start = ms * began
    # While the connection was lost and when it broke the far side got less than was sent: 40 ms were under way.
    wrong = [i for i in range(0, len(got) - 20 * ms, 20 * ms) if right[start + i :][: 20 * ms] != got[i : i + 20 * ms]]
    lost = len(line.record.of("connection.lost")) - 1
    assert len(wrong) <= 2 * lost
    assert all(not any(got[i : i + 20 * ms]) for i in wrong)
    assert minutes * 60_000 * 2 * format.rate // 1000 <= len(right) == len(left)


async def test_paused_and_private_are_silence_of_equal_length(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "a.wav"), format=PCM_8K) as line:
        line.transport.far.play(hum(6_000, 300))
        line.says(hum(6_000))
        await asyncio.sleep(1)
        line.push(RecordingFrame("pause", "card"))
        line.push(RecordingFrame("pause", "again"))
        await asyncio.sleep(1)
        line.push(RecordingFrame("resume", "paid"))
        await asyncio.sleep(1)
        with line.call.private():
            await asyncio.sleep(1)
            line.push(RecordingFrame("resume"))  # what is private stays so
            await asyncio.sleep(0.5)
        await asyncio.sleep(1)
    _, left, right = read(tmp_path / "a.wav")
    for leg in (left, right):
        quiet = [(round(a), round(b)) for a, b in sounds(leg, 8_000)]
        assert quiet == [(20, 1_020), (2_020, 3_020), (4_540, 5_520)] or quiet == [
            (20, 1_020),
            (2_020, 3_020),
            (4_520, 5_520),
        ]
    assert left[16 * 2_020 : 16 * 3_020] == hum(6_000, 300)[16 * 2_000 : 16 * 3_000]
    kinds = [(event.kind.partition(".")[2], event.data.get("reason")) for event in line.events("paused", "resumed")]
    assert kinds == [("paused", "card"), ("resumed", "paid"), ("paused", "private"), ("resumed", "private")]
    assert line.events("stopped")[0].data["paused_ms"] == pytest.approx(2_500, abs=20)


async def test_a_piece_that_was_private_and_comes_late_is_silence(tmp_path: Path) -> None:
    take = Take(0)
    loud = Audio(hum(20), PCM_8K)
    for tick in range(5):
        take.caller(tick * 20, loud)
    take.hush(100)
    take.unhush(200)
    for tick in range(5, 15):  # of 100 to 300 ms, all after the end
        take.caller(tick * 20, loud)
    left = b"".join(block[0] for block in take.stop(300))
    assert [(round(a), round(b)) for a, b in sounds(left, 8_000, gap_ms=20)] == [(0, 100), (200, 300)]


async def test_frames_start_and_stop_it_and_each_take_is_a_file_of_its_own(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "{call}.wav", start=False), format=PCM_8K) as line:
        line.transport.far.play(hum(6_000, 300))
        await asyncio.sleep(1)
        assert not names(tmp_path)
        line.push(RecordingFrame("pause"), RecordingFrame("resume"), RecordingFrame("stop"))
        assert not line.events("paused", "resumed", "stopped")
        line.push(RecordingFrame("start"))
        line.push(RecordingFrame("start"))
        await asyncio.sleep(0.5)
        line.push(RecordingFrame("stop", "asked"))
        line.push(RecordingFrame("stop"))
        await asyncio.sleep(0.5)
        line.push(RecordingFrame("start"))
        await asyncio.sleep(0.3)
    assert sorted(names(tmp_path)) == ["call_1-2.wav", "call_1.wav"]
    _, left, _ = read(tmp_path / "call_1.wav")
    # At 1 s and at 1.5 s the tick was served before the frame came.
    assert left == bytes(16 * 20) + hum(6_000, 300)[16 * 1_000 : 16 * 1_500]
    _, left, right = read(tmp_path / "call_1-2.wav")
    assert len(left) == len(right) == 16 * 320
    assert [event.data["reason"] for event in line.events("stopped")] == ["asked", "ended"]
    assert [event.data["duration_ms"] for event in line.events("stopped")] == [520, 320]


async def test_a_call_without_audio_has_no_file(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "a.wav")) as line:
        line.transport.lose()
        await asyncio.sleep(1)
    assert not names(tmp_path)
    assert not line.events("started", "stopped")


async def test_the_side_that_is_silent_is_as_long_as_the_other(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "a.wav"), format=PCM_8K) as line:
        line.says(hum(300))
        await asyncio.sleep(0.1)
        line.transport.lose()  # nothing of the caller for a minute
        await asyncio.sleep(60)
        line.transport.attach()
        await asyncio.sleep(1)
    _, left, right = read(tmp_path / "a.wav")
    assert len(left) == len(right) == pytest.approx(16 * 61_100, abs=16 * 20)
    assert level_dbfs(left) == -120
    assert [(round(a), round(b)) for a, b in sounds(right, 8_000)] == [(20, 120), (60_120, 60_320)]


# -- files


async def test_a_file_is_nobody_elses_and_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    (tmp_path / "rec/call_1.wav").write_text("dear")
    old = os.umask(0)
    try:
        async with Line(Recorder(tmp_path / "rec/{call}.wav")) as line:
            await asyncio.sleep(0.1)
    finally:
        os.umask(old)
    assert (tmp_path / "rec/call_1.wav").read_text() == "dear"
    assert line.recorder.path == tmp_path / "rec/call_1-2.wav"
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "rec/call_1-2.wav").stat().st_mode) == 0o600


@given(st.text(max_size=200))
def test_no_id_leads_out_of_the_directory(call: str) -> None:
    path = fill("/recordings/{call}/sound.wav", call)
    assert path.parts[:2] == ("/", "recordings")
    assert len(path.parts) == 4
    assert path.parts[2] not in ("", ".", "..")
    assert "\0" not in str(path)


def test_ids_that_look_alike_when_made_harmless_stay_apart() -> None:
    assert fill("{call}.wav", "a/b") != fill("{call}.wav", "a_b")
    assert fill("{call}.wav", "a_b") == Path("a_b.wav")
    assert fill("{call}.wav", "../../etc/passwd").parent == Path()
    assert fill("{call}.wav", "x" * 150) != fill("{call}.wav", "x" * 151)


async def test_a_hostile_id_stays_in_its_directory(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "rec/{call}.wav"), id="../../../tmp/evil"):
        await asyncio.sleep(0.1)
    (path,) = (tmp_path / "rec").iterdir()
    assert path.name.startswith("_.._.._tmp_evil-")


def test_a_path_that_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"recording\.format"):
        Recorder("call.mp3")
    for path in ("{id}.wav", "{call", "a}.wav", "{call.log}.wav"):
        with pytest.raises(RecordingError, match=r"recording\.template"):
            Recorder(path)
    Recorder("call.raw", "wav")


def test_too_many_files_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceframe.processors.recording.place._MOST", 3)
    for _ in range(2):
        os.close(create(tmp_path / "a.wav")[0])
    with pytest.raises(FileExistsError):
        create(tmp_path / "a.wav")


# -- what others can read


def test_each_flush_leaves_a_file_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    file = WavFile(create(path)[0], 8_000)
    for seconds in range(4):
        rate, left, right = read(path)
        assert (rate, left, right) == (8_000, hum(1_000) * seconds, bytes(16_000) * seconds)
        file.write(hum(1_000), bytes(16_000))
    # What is behind the last header is no part of it.
    with path.open("ab") as more:
        more.write(b"half a block")
    assert len(read(path)[1]) == 64_000
    file.close()


def test_over_four_gigabytes_it_becomes_an_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav_module, "RF64_FROM", 100_000)
    path = tmp_path / "a.wav"
    file = WavFile(create(path)[0], 8_000)
    for count in range(5):
        file.write(hum(1_000), bytes(16_000))
        assert path.read_bytes()[:4] == (b"RIFF" if count < 3 else b"RF64")
    file.close()
    assert decode(path) == (8_000, hum(1_000) * 5, bytes(16_000) * 5)
    monkeypatch.undo()
    big = header(8_000, 6_000_000_000)
    assert big[12:16] == b"ds64"
    assert int.from_bytes(big[28:36], "little") == 6_000_000_000
    assert len(big) == len(header(8_000, 0)) == 80


@pytest.mark.parametrize("suffix", ["flac", "opus"])
async def test_other_formats_have_the_same_sound(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("av")
    async with Line(Recorder(tmp_path / f"a.{suffix}"), format=PCM_8K) as line:
        line.transport.far.play(hum(2_000, 300))
        await asyncio.sleep(1)
        line.says(hum(2_500))
        await asyncio.sleep(4.5)
    rate, left, right = decode(tmp_path / f"a.{suffix}")
    (caller,), (bot,) = sounds(left, rate, floor_dbfs=-30), sounds(right, rate, floor_dbfs=-30)
    exact = 0.2 if suffix == "flac" else 6
    assert caller == pytest.approx((20, 2_020), abs=exact)
    assert bot == pytest.approx((1_020, 3_520), abs=exact)
    if suffix == "flac":
        assert left[16 * 20 :][: 16 * 2_000] == hum(2_000, 300)
    assert len(left) // 2 / rate == pytest.approx(5.5, abs=0.03)


def test_opus_at_a_rate_that_it_does_not_know(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from voiceframe.processors.recording.coded import CodedFile

    path = tmp_path / "a.opus"
    file = CodedFile(create(path)[0], 44_100, "opus")
    for _ in range(3):
        file.write(hum(1_000, rate=44_100), bytes(2 * 44_100))
    file.close()
    rate, left, _ = decode(path)
    assert rate == 48_000
    assert len(left) / 2 / rate == pytest.approx(3, abs=0.03)
    assert level_dbfs(left) == pytest.approx(-12, abs=1)


# -- what goes wrong

CRASHES = """
import asyncio, os, resource, signal, sys
sys.path.insert(0, {tests!r})
from test_recorder import Line, Recorder, PCM_8K, noise, tone
from voiceframe.testing import run_virtual

FORMATS = {formats!r}

async def main():
    first, *others = [Recorder({path!r} + "." + format) for format in FORMATS]
    async with Line(first, observers=tuple(others), format=PCM_8K) as line:
        line.transport.far.play(noise(40_000, -12))
        line.says(tone(400, 40_000, -12.0))
{what}

run_virtual(main())
"""


def crash(path: Path, formats: list[str], what: str) -> subprocess.CompletedProcess[str]:
    code = CRASHES.format(tests=str(Path(__file__).parent), path=str(path / "a"), formats=formats, what=what)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def formats() -> list[str]:
    return ["wav", "flac", "opus"] if importlib.util.find_spec("av") else ["wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_after_a_kill_the_files_play_to_the_last_seconds(tmp_path: Path) -> None:
    kill = """
        await asyncio.sleep(12.5)
        os.kill(os.getpid(), signal.SIGKILL)
"""
    done = crash(tmp_path, formats(), kill)
    assert done.returncode == -9, done.stderr
    for suffix in formats():
        path = tmp_path / f"a.{suffix}"
        rate, left, right = read(path) if suffix == "wav" else decode(path)
        least = {"wav": 11, "flac": 10, "opus": 10}[suffix]
        assert least <= len(left) / 2 / rate <= 12.5
        for leg in (left, right):
            (stretch,) = sounds(leg, rate, floor_dbfs=-30)
            assert stretch[0] == pytest.approx(20, abs=6)
            assert stretch[1] >= least * 1000
        if suffix != "opus":
            assert left[16 * 20 :] == noise(40_000, -12)[: len(left) - 16 * 20]
    if shutil.which("sox"):
        subprocess.run(["sox", str(tmp_path / "a.wav"), "-n", "stat"], check=True, capture_output=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no resource limits")
def test_when_the_disk_takes_no_more_the_call_goes_on_and_what_there_is_plays(tmp_path: Path) -> None:
    full = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        await asyncio.sleep(41)
        assert not line.call.replies.open
        assert line.record.heard == []
    for stopped in line.events("stopped"):
        print(stopped.data["path"], stopped.data["reason"], stopped.data["duration_ms"], line.record.reason)
"""
    done = crash(tmp_path, formats(), full)
    assert done.returncode == 0, done.stderr
    stopped = [line.split() for line in done.stdout.splitlines()]
    assert sorted(Path(path).suffix[1:] for path, *_ in stopped) == sorted(formats())
    for name, reason, duration_ms, ended in stopped:
        path = Path(name)
        assert (reason, ended) == ("EFBIG", "cancelled")
        rate, left, right = read(path) if path.suffix == ".wav" else decode(path)
        assert len(left) == len(right)
        if path.suffix == ".wav":
            assert len(left) // 16 == int(duration_ms) == 3_000
            assert path.stat().st_size == 80 + 3 * 32_000  # no half block behind it
        assert len(left) / 2 / rate >= int(duration_ms) / 1000 - 1.1
        assert sounds(right, rate, floor_dbfs=-30)[0][0] == pytest.approx(20, abs=6)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
async def test_a_disk_that_fails_stops_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    async with Line(Recorder(tmp_path / "a.wav"), format=PCM_8K) as line:
        line.says(hum(9_000))
        await asyncio.sleep(4.5)

        def fail(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(WavFile, "write", fail)
        await asyncio.sleep(2)
        monkeypatch.undo()
        assert not line.call.ended
        (stopped,) = line.events("stopped")
        assert stopped.data["reason"] == errno.errorcode[code]
        assert stopped.data["duration_ms"] == 3_000
        (failed,) = line.record.of("processor.failed")
        assert (failed.data["processor"], failed.data["code"]) == ("Recorder", "recording.failed")
        assert not failed.data["fatal"]
        # One may try again.
        line.push(RecordingFrame("start"))
        await asyncio.sleep(1)
    assert len(read(tmp_path / "a.wav")[1]) == 16 * 3_000
    assert len(read(tmp_path / "a-2.wav")[1]) == 16 * 1_020


async def test_a_directory_that_vanishes_stops_the_recording(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "rec/a.wav")) as line:
        await asyncio.sleep(3.5)
        shutil.rmtree(tmp_path / "rec")
        await asyncio.sleep(3)
        (stopped,) = line.events("stopped")
        assert stopped.data["reason"] == "ENOENT"
        assert not line.call.ended


async def test_a_place_where_nothing_can_be_made_is_told_and_the_call_goes_on(tmp_path: Path) -> None:
    (tmp_path / "rec").write_text("a file")
    async with Line(Recorder(tmp_path / "rec/a.wav")) as line:
        await asyncio.sleep(3.5)
        assert not line.events("started")
        (stopped,) = line.events("stopped")
        assert stopped.data["reason"] in ("EEXIST", "ENOTDIR")
        assert stopped.data["duration_ms"] == 0
        assert not line.call.ended


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is read-only here")
async def test_a_read_only_directory_is_told_and_the_call_goes_on(tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir(mode=0o500)
    async with Line(Recorder(tmp_path / "rec/a.wav")) as line:
        await asyncio.sleep(3.5)
        assert line.events("stopped")[0].data["reason"] == "EACCES"
        assert not line.call.ended


@pytest.mark.real_time
async def test_a_slow_disk_holds_up_no_call_and_a_stuck_one_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    write = WavFile.write

    def slow(self: WavFile, left: bytes, right: bytes) -> None:
        free.wait(20)
        write(self, left, right)

    monkeypatch.setattr(WavFile, "write", slow)
    async with Line(Recorder(tmp_path / "a.wav"), format=PCM_8K) as line:
        await asyncio.sleep(0.05)
        source = line.transport.input()
        stream = Audio(hum(1_000), PCM_8K)
        for second in range(MOST_BLOCKS + 5):  # much faster than real time
            source.push(InputAudioFrame(stream, at_ms=1_000 * (second + 1)))
        await asyncio.sleep(0.05)
        assert not line.call.ended
        free.set()
        await asyncio.sleep(0.5)
        assert line.events("stopped")[0].data["reason"] == "recording.slow"
    assert len(read(tmp_path / "a.wav")[1]) == 16 * 1_000


@pytest.mark.real_time
async def test_off_the_loop_the_end_of_the_call_waits_for_the_file(tmp_path: Path) -> None:
    async with Line(Recorder(tmp_path / "a.wav"), format=PCM_8K) as line:
        line.says(hum(100))
        await asyncio.sleep(0.2)
    _, left, right = read(tmp_path / "a.wav")
    assert len(left) == len(right) >= 16 * 190
    assert [event.kind for event in line.record.events][-3:] == ["connection.lost", "leg.closed", "call.ended"]
    assert line.events("stopped")


# -- the time line


def test_a_clock_that_drifts_is_followed_to_within_a_piece() -> None:
    for ppm in (-400, 400):
        take = Take(0)
        piece = Audio(hum(20), PCM_8K)
        blocks = []
        for number in range(15_000):
            blocks += take.caller(round(number * 20 / (1 + ppm / 1e6)), piece)
        blocks += take.stop(300_000)
        length_ms = sum(len(block.left) for block in blocks) / 16
        assert length_ms == pytest.approx(300_000, abs=140)
        left = b"".join(block.left for block in blocks)
        # A slow clock leaves gaps of 20 ms, a fast one loses pieces: 400 ppm are 120 ms in five minutes.
        assert len(sounds(left, 8_000, gap_ms=10)) == (7 if ppm < 0 else 1)


@given(
    st.lists(
        st.tuples(st.sampled_from([CALLER, BOT]), st.integers(-20, 400), st.integers(1, 60), st.booleans()), max_size=30
    )
)
def test_the_time_line_against_a_simple_one(steps: list[tuple[Any, int, int, bool]]) -> None:
    legs = Legs()
    model = (dict[int, bytes](), dict[int, bytes]())
    out: tuple[list[bytes], list[bytes]] = ([], [])
    end = 0
    for leg, position, length, taking in steps:
        pcm = bytes((position + i) % 256 for i in range(2 * length))
        begin = legs.begin
        legs.put(leg, position, pcm)
        for i in range(length):
            if position + i >= begin:
                model[leg][position + i] = pcm[2 * i : 2 * i + 2]
        end = max(end, position + length)
        if taking:
            left, right, _ = legs.take(25)
            out[0].append(left)
            out[1].append(right)
            end = max(end, legs.begin)
        assert legs.end == max(end, 0)
    for leg in (0, 1):
        data = b"".join(out[leg])
        expected = b"".join(model[leg].get(i, b"\0\0") for i in range(len(data) // 2))
        assert data == expected


def test_a_recording_of_an_hour_holds_two_seconds_in_memory() -> None:
    take = Take(0)
    piece = Audio(bytes(320), PCM_8K)
    most = 0
    for number in range(3_600 * 50):
        take.caller(number * 20, piece)
        if number % 3 == 0:
            take.bot(number * 20, number * 160, piece)
        if number % 500 == 0:
            most = max(most, sum(len(data) for data in take._legs._data))
    assert most <= 2 * 2 * 16_320


def test_it_looks_and_takes_nothing() -> None:
    handlers = Recorder.table.handlers
    assert all(handler.observes for handler in handlers)
    assert any(PlayedAudioFrame in handler.types for handler in handlers)
