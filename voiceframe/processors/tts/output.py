"""What a voice hands on: sound in pieces with its words, prompts, and clips."""

from __future__ import annotations

from collections.abc import Sequence

from ...audio import PCM_16K, Audio, AudioFormat
from ...errors import SpeechError
from ...frames import ClipFrame, OutputAudioFrame, Word
from ...processor import Processor
from .clips import Clip, spread
from .prompt import Prompt
from .prompts import fitted
from .settings import TTSSettings
from .speech import Speech

__all__ = ["Output", "choose_format"]


class Output(Processor):
    """The side of a voice that is turned to the caller."""

    def __init__(self, settings: TTSSettings) -> None:
        self.settings = settings
        #: The format of what goes out: the first one of `produces` that the output takes as it is.
        self.format: AudioFormat = PCM_16K
        self._speeches: dict[int, Speech] = {}
        self._draining = False  # sound is there, and waits for room

    def _speaks(self, speech: Speech) -> bool:
        return self._speeches.get(speech.number) is speech

    async def _hand_on(self, speech: Speech, audio: bytes, words: Sequence[Word]) -> None:
        """Push sound in pieces, each with the words that begin in it, as fast as there is room for it."""
        format = self.format
        per_second = format.bytes_per_second
        size = per_second * self.settings.piece_ms // 1000
        size -= size % (per_second // format.rate)
        for start in range(0, max(1, len(audio)), size):
            piece = audio[start : start + size]
            if words:
                begin = start * 1000 // per_second
                last = start + size >= len(audio)
                end = (start + size) * 1000 // per_second
                inside = tuple(
                    word if not begin else Word(word.text, word.start_ms - begin, word.end_ms - begin)
                    for word in words
                    if (begin <= word.start_ms or not start) and (word.start_ms < end or last)
                )
            else:
                inside = ()
            if not self._speaks(speech):
                return
            self.push(OutputAudioFrame(Audio(piece, format), speech.number, inside))
            await self.drain()

    async def _repeat(self, speech: Speech, prompt: Prompt, text: str) -> None:
        """Play a sentence that was kept."""
        for audio, words in fitted(prompt, text):
            await self._hand_on(speech, audio, words)

    async def _play(self, speech: Speech, frame: ClipFrame) -> None:
        """Play a file as it is read, with the words of its text spread over it."""
        clip = Clip(frame.path, self.format)
        try:
            await self.offload(clip.open)
            marks = spread(frame.text, clip.duration_ms)
            played_ms = 0.0
            while True:
                audio = await self.offload(clip.read)
                if not audio:
                    break
                length_ms = len(audio) * 1000 / self.format.bytes_per_second
                due = [word for word in marks if word.start_ms < played_ms + length_ms]
                marks = marks[len(due) :]
                at_ms = round(played_ms)
                words = [Word(word.text, word.start_ms - at_ms, word.end_ms - at_ms) for word in due]
                await self._hand_on(speech, audio, words)
                if not self._speaks(speech):
                    return
                played_ms += length_ms
                if played_ms >= self.settings.clip_ms:
                    raise SpeechError.of("tts.clip-long", path=frame.path, limit_ms=self.settings.clip_ms)
            if marks and self._speaks(speech):
                self.push(OutputAudioFrame(Audio(b"", self.format), speech.number, tuple(marks)))
        finally:
            clip.close()


def choose_format(produces: Sequence[AudioFormat], accepts: Sequence[AudioFormat]) -> AudioFormat:
    """What to make: the first format of the output that can be made as it is; else the first that can be made.

    A voice without `produces` makes any of one channel.
    """
    for format in accepts:
        if format in produces or (not produces and format.channels == 1):
            return format
    return produces[0] if produces else PCM_16K
