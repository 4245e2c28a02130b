"""`voiceframe say`: what a voice makes of a text, as a WAV file or from the loudspeaker."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .audio import AudioFormat
from .call import Call
from .errors import ConfigurationError
from .events import LoggedEvent
from .frames import HeardFrame, OutputAudioFrame, ReplyEndedFrame
from .pipeline import Pipeline
from .processor import Processor, handles
from .transports.base import Transport

if TYPE_CHECKING:
    from .processors.tts import TTS

__all__ = ["say", "spoken"]

#: What plays a WAV file, as it is called: on Linux, on a Mac, and wherever ffmpeg is.
_PLAYERS: Final = (("paplay",), ("aplay", "-q"), ("afplay",), ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet"))
_PATIENCE_S: Final = 120


class _Source(Processor):
    role = "source"


class _Sink(Processor):
    """Keeps the sound, and says that it was heard."""

    role = "sink"

    def __init__(self, format: AudioFormat) -> None:
        self.accepts = (format,)
        self._format = format
        self.pcm = bytearray()

    @handles(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> None:
        self.pcm += frame.audio.pcm(self._format.rate)

    @handles(ReplyEndedFrame)
    def on_ended(self, frame: ReplyEndedFrame) -> None:
        self.push(HeardFrame(frame.reply, "", complete=True, final=True), upstream=True)


class _Ends(Transport):
    def __init__(self, format: AudioFormat) -> None:
        self._source, self._sink = _Source(), _Sink(format)

    def input(self) -> Processor:
        return self._source

    def output(self) -> _Sink:
        return self._sink


async def spoken(tts: TTS, text: str, rate: int) -> tuple[bytes, list[LoggedEvent]]:
    """The sound of a text as mono s16le at `rate` Hz, and the events of what went wrong."""
    ends = _Ends(AudioFormat("pcm_s16le", rate))
    call = Call(ends)
    failed: list[LoggedEvent] = []
    call.log.subscribe(lambda event: failed.append(event) if event.kind == "processor.failed" else None)
    await call.start(Pipeline([ends.input(), tts, ends.output()]))
    try:
        if not call.ended:
            call.answered()
            async with asyncio.timeout(_PATIENCE_S):
                await call.say(text)
    finally:
        if not call.ended:
            call.hang_up()
        await call.wait_ended()
    return bytes(ends.output().pcm), failed


def say(text: str, *, voice: str, provider: str, language: str, rate: int, out: str | None) -> int:
    """Say it. Returns the exit code: 1 if the voice has failed.

    Raises `ConfigurationError` for a rate or a file that cannot be, and what making the voice raises.
    """
    from .processors.tts import TTS

    if not 8_000 <= rate <= 48_000:
        raise ConfigurationError.of("say.rate", rate=rate)
    if not text.strip():
        raise ConfigurationError.of("say.text")
    player = None if out is not None else next((each for each in _PLAYERS if shutil.which(each[0])), None)
    if out is None and player is None:
        raise ConfigurationError.of("say.player", players=", ".join(each[0] for each in _PLAYERS))
    tts = TTS.by_name(provider, **({"voice": voice} if voice else {}))
    if language:
        tts.language = language
    pcm, failed = asyncio.run(spoken(tts, text, rate))
    for event in failed:
        print(f"{tts.name}: {(event.personal or {}).get('message', event.data)}")
    if failed or not pcm:
        return 1
    length_ms = len(pcm) // 2 * 1000 // rate
    if out is not None:
        _write(Path(out), pcm, rate)
        print(f"{out}: {length_ms / 1000:.2f} s, {rate} Hz, {tts.name} {tts.voice}".rstrip())
        return 0
    assert player is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        _write(path, pcm, rate)
        return int(subprocess.run([*player, str(path)], check=False).returncode != 0)


def _write(path: Path, pcm: bytes, rate: int) -> None:
    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(pcm)
    except OSError as error:
        raise ConfigurationError.of("file.unusable", path=path, done="written", error=error) from error
