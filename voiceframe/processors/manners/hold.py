"""The caller has put us on hold: there is music, and nobody to talk to.

talking ──music for music_ms──▶ held: the recognizer hears silence, the bot is silent, nobody is asked anything
            ▲                     │ something other than the music sounds      ▲
            │                     ▼                                            │ music again, or an announcement
            └──words of a person── listening: it is let through from its beginning ┘
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal

from ...settings import Settings, setting
from .line import DelayLine
from .music import MusicDetector
from .phrases import Phrases
from .sound import SLICE_MS

if TYPE_CHECKING:
    from ...frames import InputAudioFrame
    from .sound import Slice

__all__ = ["Hold", "HoldSettings", "Why"]

Why = Literal["words", "sound", "quiet", "time"]

#: The verdicts on music look back two seconds, and the first that is for it comes about one after it began.
_LAG_MS: Final = 1_000
#: Of the last verdicts (one in 100 ms) so many must say that it is no music, or louder than the music was.
_LOOKS: Final = 6
_NEEDED: Final = 4
#: How much louder it must be.
_RISE_DB: Final = 6.0
#: How much is given back: what the verdicts take, and the beginning of the word.
_BACK_MS: Final = 1_600
#: So long nothing but music sounds in, and the line is muted again.
_MUSIC_AGAIN_MS: Final = 800


class HoldSettings(Settings, prefix="HOLD"):
    """When the caller has put us on hold, and what ends it."""

    music_ms: int = setting(default=3_000, doc="music after which we are on hold", ge=1_500)
    quiet_ms: int = setting(
        default=10_000, doc="time without music and without words after which the hold is over all the same", ge=500
    )
    longest_ms: int = setting(
        default=600_000, doc="length of a hold after which the call ends, with the reason `on hold`; 0: never", ge=0
    )
    back: str = setting(
        default="Hello, are you back?", doc="what is said when the hold is over and nobody has said a word; or nothing"
    )
    announcements: tuple[str, ...] = setting(
        default=(
            "your call is * important",
            "call is important to us",
            "thank you for holding",
            "thank you for waiting",
            "thank you for your patience",
            "please hold",
            "continue to hold",
            "please stay on the line",
            "remain on the line",
            "will be with you shortly",
            "all * agents are",
            "all * representatives are",
            "all * operators are",
            "next available",
            "in the order",
            "position in the queue",
            "number * in the queue",
            "estimated wait",
        ),
        doc="what is said during a hold and is none of the caller's turns; `*` is up to two words",
    )


class Hold:
    """Follows one call. words: whether a recognizer tells what is said. It knows no clock but the slices.

    `changed` is what happened with the last slice.
    """

    def __init__(self, settings: HoldSettings, *, words: bool) -> None:
        self.settings = settings
        self.active = False
        self.line = DelayLine(_BACK_MS + 400)
        self._music = MusicDetector()
        self._words = words
        self._announcements = Phrases(settings.announcements)
        self._looks: deque[bool] = deque(maxlen=_LOOKS)
        self._level_dbfs = -96.0  # of the music
        self._silent_ms = 0  # without music, and without words
        self._music_ms = 0
        self.lasted_ms = 0

    def hear(self, slice: Slice) -> Why | Literal["began"] | None:
        """The next slice: whether a hold has begun, or why it is over."""
        if self.active:
            self.lasted_ms += SLICE_MS
        if not self._music.hear(slice):
            return None
        if not self.active:
            if self._music.music_ms < self.settings.music_ms - _LAG_MS:
                return None
            self._begin()
            return "began"
        if self.settings.longest_ms and self.lasted_ms >= self.settings.longest_ms:
            return self._end("time")
        return self._muted() if self.line.muted else self._listening()

    def spoken(self) -> None:
        """The caller has said something, which was recognized while it sounded: the music is not what they do."""
        self._music.music_ms = 0

    def _begin(self) -> None:
        self.active = True
        self.lasted_ms = self.settings.music_ms
        self._mute()

    def _mute(self) -> None:
        self.line.mute()
        self._looks.clear()
        self._level_dbfs = self._music.level_dbfs
        self._silent_ms = self._music_ms = 0

    def _muted(self) -> Why | None:
        music = self._music
        louder = music.level_dbfs > self._level_dbfs + _RISE_DB
        self._looks.append(music.now == "speech" or louder)
        if music.now == "music" and not louder:
            self._level_dbfs += 0.1 * (music.level_dbfs - self._level_dbfs)
            self._silent_ms = 0
        if self._looks.count(True) >= _NEEDED:
            over = 32768 * 10 ** ((self._level_dbfs + _RISE_DB) / 20)
            self.line.release(_BACK_MS, over_rms=over if louder else 0.0)
            self._music_ms = self._silent_ms = 0
            if not self._words:
                return self._end("sound")
            return None
        return self._quiet()

    def _listening(self) -> Why | None:
        music = self._music
        if music.now == "music" and music.level_dbfs <= self._level_dbfs + _RISE_DB / 2:
            self._music_ms += 100
            self._silent_ms = 0
            if self._music_ms >= _MUSIC_AGAIN_MS:
                self._mute()
            return None
        self._music_ms = 0
        return self._quiet()

    def _quiet(self) -> Why | None:
        """Whether nothing has sounded for so long that nobody holds us any more."""
        if self._music.now != "music":
            self._silent_ms += 100
        return self._end("quiet") if self._silent_ms >= self.settings.quiet_ms else None

    def said(self, text: str) -> Literal["announcement", "words", ""]:
        """What these words are, during a hold; words of a person end it."""
        if self.announces(text):
            self._silent_ms = 0
            return "announcement"
        if not text.strip():
            return ""
        self._end("words")
        return "words"

    def announces(self, text: str) -> bool:
        """Whether these are words of an announcement."""
        return self._announcements.find(text) is not None

    def over(self) -> None:
        """A person has made themselves known in another way: by a key."""
        if self.active:
            self._end("words")

    def _end(self, why: Why) -> Why:
        self.active = False
        if self.line.muted:
            self.line.release(0 if why in ("quiet", "time") else _BACK_MS)
        self._music.music_ms = 0
        return why

    def through(self, frame: InputAudioFrame, rms: int) -> InputAudioFrame:
        """The frame as those behind are to hear it."""
        line = self.line
        return line.through(frame, rms) if line.muted or line.late_ms else frame
