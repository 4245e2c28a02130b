"""Frames: the typed things that move through a live call.

A frame is a slots dataclass, immutable by convention: to change one, make another with `frame.replace(...)`.
Each type belongs to a stream, in which order is kept from end to end, and some carry the number of the bot's reply
that they are part of. See `docs/processors.md` for the promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, ClassVar, Literal, Self

from .audio import Audio

__all__ = [
    "Alternative",
    "BotStartedSpeakingFrame",
    "BotStoppedSpeakingFrame",
    "CancelFrame",
    "ClipFrame",
    "EagerTurnFrame",
    "EndFrame",
    "ErrorFrame",
    "ExpectFrame",
    "Frame",
    "HeardFrame",
    "InputAudioFrame",
    "InputDTMFFrame",
    "InterimTranscriptionFrame",
    "InterruptionFrame",
    "InterruptionRequestFrame",
    "MessageFrame",
    "OutputAudioFrame",
    "OutputDTMFFrame",
    "PauseFrame",
    "PlayFrame",
    "PlayedAudioFrame",
    "RecordingFrame",
    "ReplyEndedFrame",
    "ReplyStartedFrame",
    "ResumeFrame",
    "STTEagerTurnFrame",
    "STTTurnEndedFrame",
    "STTTurnResumedFrame",
    "SayFrame",
    "StartFrame",
    "Stream",
    "TextFrame",
    "ToolCallFrame",
    "ToolResultFrame",
    "TranscriptionFrame",
    "TurnResumedFrame",
    "UpdateSettingsFrame",
    "UserIdleFrame",
    "UserStartedSpeakingFrame",
    "UserStoppedSpeakingFrame",
    "UserTurnFrame",
    "VADUserStartedSpeakingFrame",
    "VADUserStoppedSpeakingFrame",
    "Word",
]


class Stream(IntEnum):
    """What a frame keeps its order with."""

    AUDIO = 0  # the caller's audio
    CALLER = 1  # the caller's words, keys and turns
    BOT = 2  # what the bot says and does
    CONTROL = 3  # visits every processor and waits its turn at each
    URGENT = 4  # one sweep over all processors before any other frame


@dataclass(slots=True, frozen=True)
class Word:
    """A word with its place in the call's media time."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(slots=True, frozen=True)
class Alternative:
    """What else may have been said, and how sure the recognizer is of it, from 0 to 1."""

    text: str
    confidence: float


_fields_of: dict[type, tuple[str, ...]] = {}


@dataclass(slots=True, kw_only=True)
class Frame:
    """The base of all frames.

    `at_ms` is the media time of the frame's cause in the call. Left at -1 it is filled in when the frame is pushed:
    with the time of the frame that is being handled, else with the call's present time.
    """

    #: The stream in which this type keeps its order.
    stream: ClassVar[Stream] = Stream.CALLER
    #: Whether the frame dies with the reply that it belongs to (its `reply` field).
    mortal: ClassVar[bool] = False
    #: Whether the engine may drop the frame when a queue is over its bound. Only the caller's audio is.
    droppable: ClassVar[bool] = False

    at_ms: int = field(default=-1)

    def __init_subclass__(cls) -> None:
        for base in cls.__mro__[1:]:
            if issubclass(base, Frame) and base is not Frame and (base.stream, base.mortal) != (cls.stream, cls.mortal):
                raise TypeError(f"{cls.__name__} is a {base.__name__}, so it must keep its `stream` and `mortal`.")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed. Raises `TypeError` for a field that the frame does not have."""
        cls = self.__class__
        names = _fields_of.get(cls)
        if names is None:
            names = _fields_of[cls] = tuple(f.name for f in fields(cls))
        new = cls.__new__(cls)
        for name in names:
            setattr(new, name, changes.pop(name) if name in changes else getattr(self, name))
        if changes:
            raise TypeError(f"{cls.__name__} has no field {next(iter(changes))!r}")
        return new


# -- the life of the call


@dataclass(slots=True)
class StartFrame(Frame):
    """The call has begun. The first frame that every processor sees, after its `setup()`."""

    stream = Stream.CONTROL


@dataclass(slots=True)
class EndFrame(Frame):
    """No more input will come; the call closes behind this frame. Made by `call.end()`; cannot be undone."""

    stream = Stream.CONTROL
    reason: str = "completed"


@dataclass(slots=True)
class CancelFrame(Frame):
    """The call is closed now; nothing more is delivered. Made by the engine."""

    stream = Stream.URGENT
    reason: str = "cancelled"


@dataclass(slots=True)
class ErrorFrame(Frame):
    """Something failed. `source` names the processor. A fatal one ends the call; any other one travels both ways."""

    stream = Stream.CALLER
    error: Exception
    source: str = ""
    fatal: bool = False


# -- audio


@dataclass(slots=True)
class InputAudioFrame(Frame):
    """Audio from the caller, usually 20 ms."""

    stream = Stream.AUDIO
    droppable = True
    audio: Audio


@dataclass(slots=True)
class OutputAudioFrame(Frame):
    """Audio to the caller, a piece of `reply`.

    `words` are placed in milliseconds from the start of this piece. Each carries the white space in front of it and
    the punctuation behind it, so that the words of a reply, joined, are its text.
    """

    stream = Stream.BOT
    mortal = True
    audio: Audio
    reply: int
    words: tuple[Word, ...] = ()


@dataclass(slots=True)
class PlayedAudioFrame(Frame):
    """Audio as it goes to the caller, after pauses and cuts. From the output, upstream; none while the bot is silent.

    `at_ms` is when its first sample sounds. `position` is that moment in samples since the output began to play: the
    frames of a call, laid out by it, are the bot's side of the conversation.
    """

    stream = Stream.BOT
    audio: Audio
    reply: int
    position: int


# -- hearing


@dataclass(slots=True)
class VADUserStartedSpeakingFrame(Frame):
    """Voice activity has begun. `confidence` from 0 to 1; `began_ms` is when, in media time (-1: not known)."""

    confidence: float = 1.0
    began_ms: int = -1


@dataclass(slots=True)
class VADUserStoppedSpeakingFrame(Frame):
    """Voice activity has stopped, at `ended_ms` in media time (-1: not known), which a VAD notices later.

    `level_dbfs` is the mean level of the speech (RMS, full scale = 0).
    """

    ended_ms: int = -1
    level_dbfs: float | None = None


@dataclass(slots=True)
class UserStartedSpeakingFrame(Frame):
    """Turn taking holds that the caller has begun to speak."""


@dataclass(slots=True)
class UserStoppedSpeakingFrame(Frame):
    """Turn taking holds that the caller has stopped speaking."""


@dataclass(slots=True)
class InterimTranscriptionFrame(Frame):
    """Words that may still change."""

    text: str
    language: str | None = None
    confidence: float = 1.0


@dataclass(slots=True)
class TranscriptionFrame(Frame):
    """Words that will not change. An empty text says: there was speech, but nothing that could be recognized.

    `alternatives` are what else it may have been, best first, without `text` itself. `heard` is what the recognizer has
    given where a correction of the bot's has changed it, else empty.
    """

    text: str
    language: str | None = None
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    heard: str = ""


@dataclass(slots=True)
class STTEagerTurnFrame(Frame):
    """The recognizer itself holds that the caller's turn has probably ended, with all of this text."""

    text: str
    confidence: float = 1.0


@dataclass(slots=True)
class STTTurnResumedFrame(Frame):
    """The recognizer itself holds that the caller goes on after an `STTEagerTurnFrame`."""


@dataclass(slots=True)
class STTTurnEndedFrame(Frame):
    """The recognizer itself holds that the caller's turn has ended; `text` is all of it."""

    text: str
    confidence: float = 1.0


@dataclass(slots=True)
class EagerTurnFrame(Frame):
    """The turn has probably ended with `text`; a `UserTurnFrame` or a `TurnResumedFrame` follows."""

    text: str


@dataclass(slots=True)
class TurnResumedFrame(Frame):
    """The caller goes on; what was begun for the `EagerTurnFrame` is void."""


@dataclass(slots=True)
class UserTurnFrame(Frame):
    """A committed turn of the caller: what the bot has to answer. `turn` counts from 1 in the call.

    An empty text is speech that could not be recognized. `alternatives` are what else it may have been, best first.
    """

    turn: int
    text: str
    source: Literal["speech", "dtmf", "text"] = "speech"
    confidence: float = 1.0
    alternatives: tuple[Alternative, ...] = ()


@dataclass(slots=True)
class UserIdleFrame(Frame):
    """The caller has been silent for `idle_ms` while the bot waited; `count` times in a row."""

    count: int


@dataclass(slots=True)
class ExpectFrame(Frame):
    """What the caller may say now. From the dialog, upstream: for the recognizer and for turn taking.

    jsgf: a grammar in JSpeech Grammar Format (W3C note of 2000-06-05), or "" for anything.
    phrases: the same as hints for a recognizer that takes no grammar.
    digits: how many keys make an answer; 0 for any number, ended by `#` or a pause.
    """

    jsgf: str = ""
    phrases: tuple[str, ...] = ()
    digits: int = 0


@dataclass(slots=True)
class InputDTMFFrame(Frame):
    """A key that the caller pressed: 0-9, *, #, A-D."""

    digit: str


# -- speaking


@dataclass(slots=True)
class ReplyStartedFrame(Frame):
    """The bot begins reply number `reply`; `turn` is the user turn that it answers, if any."""

    stream = Stream.BOT
    mortal = True
    reply: int
    turn: int | None = None
    interruptible: bool = True


@dataclass(slots=True)
class TextFrame(Frame):
    """Words of a reply, in order; concatenated they are its text."""

    stream = Stream.BOT
    mortal = True
    text: str
    reply: int


@dataclass(slots=True)
class ReplyEndedFrame(Frame):
    """Nothing more will be added to the reply."""

    stream = Stream.BOT
    mortal = True
    reply: int


@dataclass(slots=True)
class SayFrame(Frame):
    """Say `text` as a reply of its own.

    The engine expands it where it is pushed: `ReplyStartedFrame`, `TextFrame`, `ReplyEndedFrame` with a new number.
    """

    stream = Stream.BOT
    text: str
    interruptible: bool = True


@dataclass(slots=True)
class ClipFrame(Frame):
    """An audio file as a piece of `reply`; `text` is what stands for it in the transcript."""

    stream = Stream.BOT
    mortal = True
    path: str
    text: str
    reply: int


@dataclass(slots=True)
class PlayFrame(Frame):
    """Play an audio file as a reply of its own; expanded by the engine as a `SayFrame` is.

    `text` is what is said in it; empty, the transcript has the name of the file in brackets.
    """

    stream = Stream.BOT
    path: str
    text: str = ""
    interruptible: bool = True


@dataclass(slots=True)
class BotStartedSpeakingFrame(Frame):
    """The first sound of the reply is being played. From the output, upstream."""

    stream = Stream.BOT
    reply: int


@dataclass(slots=True)
class BotStoppedSpeakingFrame(Frame):
    """The last sound of the reply was played; `cut` if an interruption ended it. From the output, upstream."""

    stream = Stream.BOT
    reply: int
    cut: bool = False


@dataclass(slots=True)
class HeardFrame(Frame):
    """What the caller has heard since the last `HeardFrame` of this reply. From the output, upstream.

    The last one of each reply has `final=True`, exactly once; then `complete` tells whether all of it was heard. Bot
    text enters transcript and context by this frame and by no other.
    """

    stream = Stream.BOT
    reply: int
    text: str
    complete: bool = False
    final: bool = False


@dataclass(slots=True)
class OutputDTMFFrame(Frame):
    """Keys to send to the other side."""

    stream = Stream.BOT
    digits: str


# -- interruption


@dataclass(slots=True)
class InterruptionFrame(Frame):
    """All replies up to number `reply` are dead. Made by the engine for `interrupt()`; its handlers are `def`."""

    stream = Stream.URGENT
    reply: int
    reason: str = ""


@dataclass(slots=True)
class InterruptionRequestFrame(Frame):
    """Asks turn taking to interrupt the bot. Any processor but turn taking pushes this instead of interrupting."""

    reason: str = ""


@dataclass(slots=True)
class PauseFrame(Frame):
    """Hold what has not been played yet: it may have been a false alarm. A `ResumeFrame` or an interruption follows."""

    stream = Stream.URGENT
    reply: int


@dataclass(slots=True)
class ResumeFrame(Frame):
    """Go on where the pause began, without losing a sample."""

    stream = Stream.URGENT
    reply: int


# -- tools, application, settings


@dataclass(slots=True)
class RecordingFrame(Frame):
    """Start, pause, resume or stop the recording. In either direction; a paused one keeps silence of equal length."""

    stream = Stream.CALLER
    action: Literal["start", "pause", "resume", "stop"]
    reason: str = ""


@dataclass(slots=True)
class ToolCallFrame(Frame):
    """The agent calls a tool."""

    stream = Stream.BOT
    call_id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class ToolResultFrame(Frame):
    """A tool has answered: `result`, or `error`. Never dropped."""

    stream = Stream.BOT
    call_id: str
    result: Any = None
    error: str | None = None


@dataclass(slots=True)
class MessageFrame(Frame):
    """A message of the application (browser client, carrier): JSON-like `data`."""

    data: Any


@dataclass(slots=True)
class UpdateSettingsFrame(Frame):
    """Change settings of the processor named `target` in the running call."""

    stream = Stream.CONTROL
    target: str
    changes: Mapping[str, Any]
