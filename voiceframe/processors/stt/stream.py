"""The contract between `STT` and a recognizer: a stream that takes sound and gives words."""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...frames import Alternative, ExpectFrame, Word

__all__ = ["EagerEnd", "Final", "Interim", "Restart", "Resumed", "STTResult", "STTStream", "TurnEnd", "TurnStart"]


@dataclass(slots=True, frozen=True)
class Interim:
    """What the words of the present segment are so far; all of it may still change."""

    text: str
    confidence: float = 1.0


@dataclass(slots=True, frozen=True)
class Final:
    """Words that will not change.

    words: placed in milliseconds from the first sample that was sent since `begin()`; of a stream that is fed always,
        since it was opened.
    alternatives: what else it may have been, best first, without `text` itself.
    last: whether this ends the segment. Parts before it have False; their texts and its own are joined by spaces.
    until_ms: how far the words given until now cover the audio, counted as those of `words`; None if that is not known.
        When the connection is lost, audio behind it is recognized again; without it the segment is, from its beginning.
    language: which one was heard (BCP 47), where the recognizer finds that out; else empty.
    """

    text: str
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    last: bool = True
    until_ms: float | None = None
    language: str = ""


@dataclass(slots=True, frozen=True)
class Restart:
    """What was given of the present segment is void: it is recognized once more, from its beginning."""


@dataclass(slots=True, frozen=True)
class TurnStart:
    """The recognizer itself holds that the caller has begun to speak."""


@dataclass(slots=True, frozen=True)
class EagerEnd:
    """The recognizer itself holds that the caller's turn, with all of this text, has probably ended."""

    text: str
    confidence: float = 1.0


@dataclass(slots=True, frozen=True)
class Resumed:
    """It has not: the caller goes on."""


@dataclass(slots=True, frozen=True)
class TurnEnd:
    """The recognizer itself holds that the caller's turn has ended; `text` is all of it.

    until_ms: how far it covers the audio, as in `Final`; None for all that was sent until now.
    """

    text: str
    confidence: float = 1.0
    until_ms: float | None = None


STTResult: TypeAlias = Interim | Final | Restart | TurnStart | EagerEnd | Resumed | TurnEnd


class STTStream(abc.ABC):
    """A recognizer at work: one for each call.

    begin ─▶ send … send ─▶ finalize ─▶ begin …       one `Final` with `last=True` for each `finalize()`, in their order

    All methods are called on the call's event loop, one at a time. An exception in any of them, or the end of the
    iteration, is the end of the stream: segments without a result get an empty one, and the next opens another stream.
    """

    async def begin(self, expect: ExpectFrame | None) -> None:  # noqa: B027
        """A segment of speech begins. `expect` is what the dialog expects in it, None if it has not said."""

    @abc.abstractmethod
    async def send(self, audio: bytes) -> None:
        """More audio, whole samples in the format of the stream. Returns when it was taken."""

    @abc.abstractmethod
    async def finalize(self) -> None:
        """The segment is over: give the rest of its results. Returns when that was taken, not when it is done."""

    async def keep_alive(self) -> None:  # noqa: B027
        """Nothing was sent for a while: send something that keeps the connection."""

    async def configure(self, hints: tuple[str, ...], changes: Mapping[str, Any]) -> bool:
        """Listen for other phrases and by other settings from now on. False if another stream must be opened for it."""
        return False

    async def resume(self, words: int) -> None:  # noqa: B027
        """The audio that comes first is of a turn of which so many words were given: they are not given again."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Give back what the stream holds. Nothing else is called after it."""

    @abc.abstractmethod
    def results(self) -> AsyncGenerator[STTResult, None]:
        """What is recognized, as it is. Read once, from the opening to the end."""
