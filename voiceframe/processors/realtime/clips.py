"""Audio files in the place of what a model says: `call.play()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...audio import Audio
from ...frames import ClipFrame, OutputAudioFrame, Word
from ..tts.clips import Clip, spread

if TYPE_CHECKING:
    from .base import Realtime

__all__ = ["played"]


async def played(owner: Realtime, frame: ClipFrame) -> None:
    """Play a file as it is read, with the words of its text spread over it, until its reply is cut.

    Raises `SpeechError` (`tts.clip`) for a file that cannot be read.
    """
    clip = Clip(frame.path, owner.format)
    try:
        await owner.offload(clip.open)
        words = spread(frame.text, clip.duration_ms)
        at_ms = 0.0
        while owner.alive(frame.reply):
            data = await owner.offload(clip.read)
            audio = Audio(data, owner.format)
            end_ms = at_ms + audio.duration_ms
            due = [word for word in words if not data or word.start_ms < end_ms]
            words = words[len(due) :]
            inside = tuple(Word(w.text, w.start_ms - round(at_ms), w.end_ms - round(at_ms)) for w in due)
            if (data or inside) and owner.alive(frame.reply):
                owner.push(OutputAudioFrame(audio, frame.reply, inside))
            if not data:
                return
            at_ms = end_ms
            await owner.drain()
    finally:
        clip.close()
