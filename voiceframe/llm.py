"""The contract of a language model: a client that streams, not a processor."""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["LLM", "LLMRequest", "Message", "Part", "Stop", "TextDelta", "ToolCall", "ToolSpec", "Usage"]


@dataclass(slots=True, frozen=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(slots=True, frozen=True)
class ToolCall:
    """The model wants a tool to be called; `arguments` are complete.

    error: what is wrong with them, if the model has written no JSON object; `arguments` are then empty. The tool must
        not be called: this is its result, with `failed=True`, so that the model can do better.
    opaque: the vendor's own, which it wants back with the conversation (a signature of its thoughts). Keep it.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    error: str = ""
    opaque: str = field(default="", repr=False)


@dataclass(slots=True, frozen=True)
class Usage:
    """What the request has cost, in tokens.

    `cached_tokens` were read from a cache, and `cache_write_tokens` written to one; both are part of `input_tokens`.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(slots=True, frozen=True)
class Stop:
    """The last part of every stream: why the model stopped."""

    reason: Literal["end", "tools", "length", "refused"] = "end"


Part = TextDelta | ToolCall | Usage | Stop


@dataclass(slots=True, frozen=True)
class Message:
    """One entry of a conversation, as a model sees it.

    An assistant's message may call tools; then one message of the role `tool` for each follows, with its `call_id`, in
    any order and before anybody else speaks. failed: the tool has raised, and `text` says what.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    failed: bool = False


@dataclass(slots=True, frozen=True)
class ToolSpec:
    """A tool as a model is told of it. `parameters` is a JSON schema (draft 2020-12) of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class LLMRequest:
    """What a model is asked: the conversation so far, what it may call, and how to answer.

    tool_choice: `"auto"`, `"none"`, `"required"`, or the name of the tool that it must call.
    parallel_tools: whether it may call several at once.
    schema: a JSON schema; the answer's text is then an object that fits it.
    temperature, max_tokens: None for the vendor's own.
    settings: more of the vendor's own, passed on as they are.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    parallel_tools: bool = True
    schema: Mapping[str, Any] | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class LLM(abc.ABC):
    """A language model. One instance may serve many calls at once."""

    name: str = "llm"
    #: Whose it is, and which, for events and prices.
    vendor: str = ""
    model: str = ""

    @abc.abstractmethod
    def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        """The answer, part by part, ending with a `Stop`. Closing the generator (`aclose()`) cancels the request.

        Raises `ProviderError` for whatever goes wrong.
        """

    async def warm(self) -> None:  # noqa: B027
        """Have a connection ready: called while the phone rings. Raises nothing."""

    async def aclose(self) -> None:  # noqa: B027
        """Give back the connections. Whoever has made the model calls it, once nobody uses it any more."""
