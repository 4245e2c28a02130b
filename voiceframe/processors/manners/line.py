"""The caller's audio on its way to those who listen: let through, held back as silence, or let through late.

open ──mute()──▶ muted: silence goes on, the last moments are kept
                    │ release(back_ms)
                    ▼
                  late: what was kept goes on first, so that nothing of a first word is lost;
                    │ each pause makes up for some of it
                    ▼
                  open
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ...audio import Audio, AudioFormat
from ...frames import InputAudioFrame
from ...transports.fades import fader
from .sound import QUIET

__all__ = ["DelayLine", "Silences"]

#: So long a pause must have lasted before more of it is left out: the pauses between words stay as they are.
_PAUSE_MS: Final = 300
#: A pause this long is none of music that goes on.
_GAP_MS: Final = 160
#: So much is kept of what was before it became loud: words begin softly.
_LEAD_MS: Final = 200
#: A line has pieces of one length or two; one that has a new one each time must not fill the memory.
_MOST_LENGTHS: Final = 16


class Silences:
    """Silence in place of audio. There are only so many lengths, so that each is made once, conversions and all."""

    def __init__(self) -> None:
        self._made: dict[tuple[AudioFormat, int], Audio] = {}

    def like(self, audio: Audio) -> Audio:
        """As much of it, in the same format."""
        format, size = audio.format, len(audio.data)
        found = self._made.get((format, size))
        if found is None:
            if len(self._made) >= _MOST_LENGTHS:
                self._made.clear()
            sample = fader(AudioFormat(format.encoding, format.rate)).silence
            found = self._made[format, size] = Audio((sample * (size // len(sample) + 1))[:size], format)
        return found


class DelayLine:
    """keep_ms: how much it can give back."""

    def __init__(self, keep_ms: int) -> None:
        self.muted = False
        self._keep_ms = keep_ms
        self._kept: deque[tuple[Audio, int]] = deque()
        self._kept_ms = 0.0
        self._pause_ms = 0.0
        self._silences = Silences()

    @property
    def late_ms(self) -> int:
        """By how much what goes on is late."""
        return 0 if self.muted else round(self._kept_ms)

    def mute(self) -> None:
        """Silence from now on. What was still to come late is let go: it is of what is to be muted."""
        self.muted = True
        self._kept.clear()
        self._kept_ms = 0.0

    def release(self, back_ms: int, *, over_rms: float = 0.0) -> None:
        """Let the audio through again, from so long ago on.

        What was muted is left out as far as it can be told: up to the first pause, or, if that is over `over_rms`, up
        to shortly before what is.
        """
        self.muted = False
        self._pause_ms = 0.0
        while self._kept and self._kept_ms - self._kept[0][0].duration_ms >= back_ms:
            self._drop()
        for _ in range(self._muted_part(over_rms)):
            self._drop()

    def _drop(self) -> None:
        self._kept_ms -= self._kept.popleft()[0].duration_ms

    def _muted_part(self, over_rms: float) -> int:
        """How many of the kept pieces are not of what is to be heard."""
        pause_ms = 0.0
        lead: deque[float] = deque()  # lengths of the pieces of the last moment
        for number, (audio, rms) in enumerate(self._kept):
            length_ms = audio.duration_ms
            pause_ms = pause_ms + length_ms if rms < QUIET else 0.0
            if pause_ms >= _GAP_MS:
                return number
            if over_rms and rms > over_rms:
                return number - len(lead)
            lead.append(length_ms)
            while sum(lead) > _LEAD_MS:
                lead.popleft()
        return 0

    def through(self, frame: InputAudioFrame, rms: int) -> InputAudioFrame:
        """What goes on in place of this frame; `rms` is its level."""
        audio = frame.audio
        if self.muted:
            self._kept.append((audio, rms))
            self._kept_ms += audio.duration_ms
            while self._kept_ms > self._keep_ms:
                self._drop()
            return frame.replace(audio=self._silences.like(audio))
        if not self._kept:
            return frame
        self._kept.append((audio, rms))
        self._kept_ms += audio.duration_ms
        while True:
            late, level = self._kept.popleft()
            length_ms = late.duration_ms
            self._kept_ms -= length_ms
            self._pause_ms = self._pause_ms + length_ms if level < QUIET else 0.0
            if self._pause_ms <= _PAUSE_MS or not self._kept:
                return frame.replace(audio=late)
