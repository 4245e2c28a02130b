"""The contract of a language model: a client that streams, not a processor."""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["LLM", "LLMRequest", "Message", "Part", "Stop", "TextDelta", "ToolCall", "Usage"]


@dataclass(slots=True, frozen=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(slots=True, frozen=True)
class ToolCall:
    """The model wants a tool to be called; `arguments` are complete."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class Usage:
    """What the request has cost, in tokens. `cached_tokens` are part of `input_tokens`."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


@dataclass(slots=True, frozen=True)
class Stop:
    """The last part of every stream: why the model stopped."""

    reason: Literal["end", "tools", "length", "refused"] = "end"


Part = TextDelta | ToolCall | Usage | Stop


@dataclass(slots=True, frozen=True)
class Message:
    """One entry of a conversation, as a model sees it."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None


@dataclass(slots=True, frozen=True)
class LLMRequest:
    """What a model is asked: the conversation so far, and settings of its vendor."""

    messages: tuple[Message, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


class LLM(abc.ABC):
    """A language model. One instance may serve many calls at once."""

    name: str = "llm"

    @abc.abstractmethod
    def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        """The answer, part by part, ending with a `Stop`. Closing the generator (`aclose()`) cancels the request."""
