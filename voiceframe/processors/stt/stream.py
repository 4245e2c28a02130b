"""The contract between `STT` and a recognizer: a stream that takes sound and gives words."""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ...frames import Alternative, ExpectFrame, Word

__all__ = ["Final", "Interim", "STTStream"]


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
    """

    text: str
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    last: bool = True


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

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Give back what the stream holds. Nothing else is called after it."""

    @abc.abstractmethod
    def results(self) -> AsyncGenerator[Interim | Final, None]:
        """What is recognized, as it is. Read once, from the opening to the end."""
