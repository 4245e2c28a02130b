"""What the caller has said since their last turn: stretches of speech, and the words for them as they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...frames import Alternative, ExpectFrame, TranscriptionFrame
from .analyzers import Pause
from .settings import TurnSettings

__all__ = ["Speech", "Utterance"]


@dataclass(slots=True, eq=False)
class Speech:
    """A stretch of voice activity. Times are media time; `ended_ms` is -1 while it lasts."""

    began_ms: int
    ended_ms: int = -1
    over_bot: bool = False  # the bot had something to say when it began
    echo: bool = False
    keyed: bool = False  # a key was pressed in it: its tone may be all there was
    recognized: bool = False  # its final words have come, be they none

    @property
    def length_ms(self) -> int:
        return max(0, self.ended_ms - self.began_ms)


@dataclass(slots=True)
class Utterance:
    """Collected until the turn is committed."""

    stretches: list[Speech] = field(default_factory=list)
    finals: list[TranscriptionFrame] = field(default_factory=list)
    interim: str = ""
    changed_ms: int = -1  # when the words last changed
    pauses_ms: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All words so far."""
        return " ".join(part for part in (*(frame.text.strip() for frame in self.finals), self.interim.strip()) if part)

    @property
    def ended_ms(self) -> int:
        """When the caller last spoke: the end of the last stretch, or else when the last words came."""
        return self.stretches[-1].ended_ms if self.stretches else self.changed_ms

    @property
    def spoke_ms(self) -> int:
        return sum(speech.length_ms for speech in self.stretches)

    @property
    def waits_for_words(self) -> bool:
        """Whether the final words of some stretch have not come."""
        return bool(self.interim) or any(not speech.recognized for speech in self.stretches)

    @property
    def wordless_ms(self) -> int:
        """Length of the speech for which there are no words."""
        return sum(speech.length_ms for speech in self.stretches if not (speech.echo or speech.keyed))

    @property
    def confidence(self) -> float:
        """That of the least sure part; words that were still changing count as 0.5."""
        known = [frame.confidence for frame in self.finals]
        return min((*known, 0.5) if self.interim else known, default=0.0)

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """What else the whole may have been: known if it came in one piece."""
        return self.finals[0].alternatives if len(self.finals) == 1 and not self.interim else ()

    def pause(self, expect: ExpectFrame | None, audio: Callable[[int], bytes]) -> Pause:
        """What an analyzer is told when the caller falls silent."""
        return Pause(
            text=self.text,
            final=not self.interim,
            spoke_ms=self.spoke_ms,
            pauses_ms=tuple(self.pauses_ms),
            expect=expect,
            audio=audio,
        )

    def due_ms(self, silence_ms: int, settings: TurnSettings) -> int:
        """When it is a turn, if nothing more comes: after this silence, and after the words that may still come."""
        due = self.ended_ms + silence_ms
        if self.interim:
            due = max(due, self.changed_ms + settings.stability_ms)
        if self.waits_for_words:
            due = max(due, self.ended_ms + settings.transcript_wait_ms)
        return due

    def unrecognized(self) -> Speech | None:
        """The first stretch whose words have not come: those that come next are its."""
        return next((speech for speech in self.stretches if not speech.recognized), None)

    def drop(self, speech: Speech) -> None:
        """It was nothing: echo, noise or a backchannel."""
        if speech in self.stretches:
            self.stretches.remove(speech)
