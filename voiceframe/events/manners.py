"""What is noted of the manners of a call: voicemail, hold, noise, languages."""

from __future__ import annotations

from typing import Literal

from .base import Event, Personal, event

__all__ = [
    "HoldAnnounced",
    "HoldEnded",
    "HoldStarted",
    "LanguageSwitched",
    "LineNoisy",
    "VoicemailBeep",
    "VoicemailDetected",
    "VoicemailMessage",
    "VoicemailRuledOut",
]


@event("voicemail.detected", version=1)
class VoicemailDetected(Event):
    """A machine has answered: told `by` its words, by speech without a pause, or by its tone. `took_ms` counts from the
    answer."""

    by: Literal["words", "speech", "beep"]
    took_ms: int
    phrase: Personal[str] = ""


@event("voicemail.ruled-out", version=1)
class VoicemailRuledOut(Event):
    """A person has answered, or nothing has spoken for a machine in the time that it was looked for (`time`)."""

    by: Literal["answer", "words", "time"]
    took_ms: int


@event("voicemail.beep", version=1)
class VoicemailBeep(Event):
    """The tone after which a message is left was heard, from `began_ms` to `ended_ms`."""

    began_ms: int
    ended_ms: int
    hz: float
    dbfs: float


@event("voicemail.message", version=1)
class VoicemailMessage(Event):
    """A message was left, or `complete` is false: the other side has hung up, or it failed.

    `after`: what it waited for; `nothing` if no tone and no silence came in time, and none was left.
    """

    after: Literal["beep", "silence", "nothing"]
    began_ms: int
    complete: bool
    text: Personal[str] = ""


@event("hold.started", version=1)
class HoldStarted(Event):
    """The caller has put us on hold: there is music since about `began_ms`. Until `hold.ended` the bot is silent."""

    began_ms: int


@event("hold.announced", version=1)
class HoldAnnounced(Event):
    """What was said during the hold was an announcement, and no turn."""

    text: Personal[str]


@event("hold.ended", version=1)
class HoldEnded(Event):
    """The hold is over. `why`: somebody speaks (`words`, or `sound` without a recognizer), nothing sounds any more
    (`quiet`), it was given up (`time`)."""

    why: Literal["words", "sound", "quiet", "time"]
    lasted_ms: int


@event("line.noisy", version=1)
class LineNoisy(Event):
    """The caller's noise was so close to their speech for so long. `speech_dbfs` is None while it is not known and was
    assumed; `offered`: keys were offered."""

    snr_db: float
    noise_dbfs: float
    speech_dbfs: float | None
    offered: bool


@event("language.switched", version=1)
class LanguageSwitched(Event):
    """The call goes on in another language: the caller has `asked` for it, or spoke it (`heard`) for so many turns."""

    from_: str
    to: str
    why: Literal["asked", "heard", "program"]
    turns: int
    confidence: float
