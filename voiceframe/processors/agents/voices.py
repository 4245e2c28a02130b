"""The voice of whoever speaks; several agents may share one TTS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...frames import UpdateSettingsFrame
from .greeting import voice_behind

if TYPE_CHECKING:
    from ..tts import TTS
    from .agent import Agent

__all__ = ["Voices"]


class Voices:
    """Those of one call. front: the agent that stands in the pipeline."""

    def __init__(self, front: Agent) -> None:
        self._front = front
        self._tts: TTS | None = None
        self._default = ""
        self._now = ""

    def begin(self) -> None:
        """Have the voice of the one who speaks first; nothing is being said yet."""
        tts = self._tts = voice_behind(self._front)
        if tts is None:
            return
        self._default = self._now = tts.voice
        wanted = self._wanted
        if wanted != self._now:
            tts.voice = self._now = wanted
            tts.configure({"voice": wanted})

    @property
    def _wanted(self) -> str:
        voice = self._front._speaker.voice
        return self._default if voice is None else voice

    def sync(self) -> None:
        """Have the voice of whoever speaks now, from the next words on."""
        tts = self._tts
        if tts is not None and self._wanted != self._now:
            self._now = self._wanted
            self._front.push(UpdateSettingsFrame(tts.name, {"voice": self._now}))

    def default(self, voice: str) -> None:
        """The voice of all who have none of their own, from the next words on."""
        self._default = voice
        self.sync()

    def take_over(self) -> bool:
        """Somebody else goes on with the reply in hand. False if it is over.

        A voice holds for a reply, so that a reply in which something was said already ends, and another one begins.
        """
        saying = self._front._saying
        reply = saying.reply
        if self._tts is None or self._wanted == self._now or reply is None or not reply.said:
            self.sync()
            return True
        if not self._front.alive(reply.number):
            return False
        return saying.open(reply.turn, interruptible=self._front._speaker.interruptible)

    def changed(self, frame: UpdateSettingsFrame) -> None:
        """Somebody else has set the voice: it is that of all who have none of their own."""
        if self._tts is not None and frame.target == self._tts.name and "voice" in frame.changes:
            self._default = self._now = frame.changes["voice"]
