"""The contract between `Realtime` and a vendor: a stream that takes sound and gives sound."""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ...audio import AudioFormat
from ...errors import ProviderError
from ...llm import Message, ToolCall, ToolSpec
from ...prices import Amounts

__all__ = [
    "CallerSaid",
    "RealtimeConfig",
    "RealtimeEvent",
    "RealtimeStream",
    "Refused",
    "ResponseBegan",
    "ResponseEnded",
    "SpeechBegan",
    "SpeechStopped",
    "Spoken",
    "SpokenText",
    "ToolWanted",
    "TurnTaken",
]


@dataclass(frozen=True)
class RealtimeConfig:
    """What a stream is opened for.

    format: of the sound in both directions. own_turns: somebody else says when a turn is over, by `commit()`.
    options: the vendor's own settings.
    """

    format: AudioFormat
    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    own_turns: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


# Times of events are in milliseconds of the sound that this stream was sent, from its first sample on.


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The caller has begun to speak."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller has stopped speaking."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class TurnTaken:
    """What the caller has said is a turn now, `item` of the conversation. Unless `own_turns`, it will be answered."""

    item: str


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """What was understood of a turn; it may come after the answer. A text that is not final is all of it so far."""

    item: str
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class ResponseBegan:
    """The model begins to answer; `tag` is that of `respond()`, empty for one that nobody asked for."""

    response: str
    tag: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """Sound of a response, as it follows what came before. `item` is its place in the conversation."""

    response: str
    item: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class SpokenText:
    """Words of a response, as they follow what came before."""

    response: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolWanted:
    """The model calls a tool; the arguments are complete."""

    response: str
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """Nothing more of this response comes. error: why it has failed."""

    response: str
    reason: Literal["end", "cancelled", "length", "refused", "failed"] = "end"
    amounts: Amounts | None = None
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The vendor does not do something that it was asked for; the stream goes on.

    tag: of the `respond()` that it is, empty for anything else.
    busy: another response is still under way: ask again behind it.
    """

    error: ProviderError
    tag: str = ""
    busy: bool = False


RealtimeEvent: TypeAlias = (
    SpeechBegan
    | SpeechStopped
    | TurnTaken
    | CallerSaid
    | ResponseBegan
    | Spoken
    | SpokenText
    | ToolWanted
    | ResponseEnded
    | Refused
)


class RealtimeStream(abc.ABC):
    """A connection to a model that hears and speaks. All methods are called on the call's event loop.

    send_audio … ──▶ SpeechBegan ──▶ SpeechStopped ──▶ TurnTaken ──▶ ResponseBegan ──▶ Spoken … ──▶ ResponseEnded
                                                          └──▶ CallerSaid, at any time

    An exception in any of them, or the end of `events()`, is the end of the stream.
    """

    @abc.abstractmethod
    async def send_audio(self, audio: bytes) -> None:
        """More of what the caller says."""

    @abc.abstractmethod
    async def commit(self) -> None:
        """What was sent is a turn; `TurnTaken` follows, and nothing is answered without `respond()`."""

    @abc.abstractmethod
    async def clear(self) -> None:
        """Forget what was sent since the last turn."""

    @abc.abstractmethod
    async def send_text(self, text: str, role: Literal["user", "system", "assistant"]) -> None:
        """Something that was said or is to be known, as a message of the conversation."""

    @abc.abstractmethod
    async def send_tool_result(self, call_id: str, text: str) -> None:
        """What a tool has returned."""

    @abc.abstractmethod
    async def respond(self, tag: str, *, say: str = "", said: str = "") -> None:
        """Answer now. say: exactly this. said: so much of the answer was spoken before; the rest is wanted."""

    @abc.abstractmethod
    async def cancel(self) -> None:
        """Stop the response that is under way, if there is one."""

    @abc.abstractmethod
    async def truncate(self, item: str, heard_ms: int) -> None:
        """Of this item the caller has heard so much of the sound."""

    @abc.abstractmethod
    async def restore(self, messages: tuple[Message, ...]) -> None:
        """The conversation so far, on a stream that is new."""

    @abc.abstractmethod
    async def configure(self, config: RealtimeConfig) -> None:
        """Other settings from now on."""

    @abc.abstractmethod
    def events(self) -> AsyncGenerator[RealtimeEvent, None]:
        """What comes, as it comes. Read once, from the opening to the end."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Give back what the stream holds. Nothing else is called after it."""
