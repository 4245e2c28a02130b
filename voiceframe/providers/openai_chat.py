"""The chat API of OpenAI: what is sent, and what comes.

https://developers.openai.com/api/reference/resources/chat/subresources/completions
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ..llm import LLMRequest, Part, Stop, TextDelta, ToolCall, Usage
from .conversation import BEGIN, Called, Conversation, arguments_of, conversation

if TYPE_CHECKING:
    from .openai import OpenAI

__all__ = ["body_of", "cache_key", "is_strict", "parts_of"]

_REASONS: Final[Mapping[str, Literal["end", "tools", "length", "refused"]]] = {
    "content_filter": "refused",
    "function_call": "tools",
    "length": "length",
    "tool_calls": "tools",
}


def body_of(model: str, request: LLMRequest, *, is_vendors: bool) -> dict[str, Any]:
    """The request. A server that is only compatible is not sent what it may not know."""
    told = conversation(request.messages)
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(told),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)},
            }
            for t in request.tools
        ]
        body["tool_choice"] = (
            request.tool_choice
            if request.tool_choice in ("auto", "none", "required")
            else {"type": "function", "function": {"name": request.tool_choice}}
        )
        if is_vendors or not request.parallel_tools:
            body["parallel_tool_calls"] = request.parallel_tools
    if request.schema is not None:
        schema = {"name": "answer", "schema": dict(request.schema), "strict": is_strict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body["max_completion_tokens" if is_vendors else "max_tokens"] = request.max_tokens
    if is_vendors:
        body["prompt_cache_key"] = cache_key(told)
    return body


def _messages(told: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if told.instructions:
        messages.append({"role": "system", "content": told.instructions})
    for entry in told.entries:
        if not isinstance(entry, Called):
            messages.append({"role": entry.role, "content": entry.text})
            continue
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for call in entry.calls
        ]
        messages.append({"role": "assistant", "content": entry.text or None, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": r.call_id, "content": r.text} for r in entry.results]
    return messages or [{"role": "user", "content": BEGIN}]


def cache_key(told: Conversation) -> str:
    """The same for all requests of a conversation: made of all up to the first thing that the caller said."""
    digest = hashlib.sha256(told.instructions.encode())
    for entry in told.entries:
        digest.update(repr(entry).encode())
        if not isinstance(entry, Called) and entry.role == "user":
            break
    return digest.hexdigest()[:32]


def is_strict(schema: object) -> bool:
    """Whether the vendor can hold the answer to a schema: each object has all that it may have.

    https://developers.openai.com/api/docs/guides/structured-outputs
    """
    if isinstance(schema, list | tuple):
        return all(is_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            return False
    return all(is_strict(item) for item in schema.values())


@dataclass(slots=True)
class _Call:
    """A call of a tool, as far as it has come."""

    id: str
    name: str
    written: Any = ""

    def part(self) -> ToolCall:
        arguments, error = arguments_of(self.written)
        return ToolCall(self.id or f"call_{secrets.token_hex(8)}", self.name, arguments, error)


class _Calls:
    """The calls of an answer. Servers that are only compatible leave out ids and indices, or send all in one piece."""

    def __init__(self) -> None:
        self.all: list[_Call] = []
        self._at: dict[int, _Call] = {}

    def add(self, delta: Any) -> None:
        function = getattr(delta, "function", None)
        id = getattr(delta, "id", None) or ""
        name = getattr(function, "name", None) or ""
        written = getattr(function, "arguments", None)
        index = getattr(delta, "index", None)
        if not isinstance(index, int):
            index = len(self.all) if name or not self.all else len(self.all) - 1
        call = self._at.get(index)
        if call is None or self._is_another(call, id, name):
            call = self._at[index] = _Call(id, name)
            self.all.append(call)
        call.id = call.id or id
        call.name = call.name or name
        if isinstance(written, str) and isinstance(call.written, str):
            call.written += written
        elif written is not None:
            call.written = written

    @staticmethod
    def _is_another(call: _Call, id: str, name: str) -> bool:
        if id and call.id:
            return id != call.id
        return bool(name and call.name and (name != call.name or (call.written and not id)))


async def parts_of(stream: AsyncIterable[Any], llm: OpenAI) -> AsyncGenerator[Part | None, None]:
    """The parts of an answer that comes as `ChatCompletionChunk`s."""
    calls = _Calls()
    usage: Usage | None = None
    reason: str | None = None
    refused = False
    async for chunk in stream:
        usage = _usage(getattr(chunk, "usage", None)) or usage
        for choice in getattr(chunk, "choices", None) or ():
            delta = getattr(choice, "delta", None)
            refusal = getattr(delta, "refusal", None)
            refused = refused or bool(refusal)
            text = getattr(delta, "content", None) or refusal
            if text:
                yield TextDelta(text)
            for piece in getattr(delta, "tool_calls", None) or ():
                calls.add(piece)
                yield None
            if getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None):
                yield None
            reason = getattr(choice, "finish_reason", None) or reason
    if reason is None and usage is None:
        raise llm.ended()
    for call in calls.all:
        yield call.part()
    if usage is not None:
        yield usage
    if refused:
        yield Stop("refused")
    elif calls.all and reason != "length":  # some servers say "stop" all the same
        yield Stop("tools")
    else:
        yield Stop(_REASONS.get(reason or "", "end"))


def _usage(usage: Any) -> Usage | None:
    if usage is None or getattr(usage, "prompt_tokens", None) is None:
        return None
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        usage.prompt_tokens,
        getattr(usage, "completion_tokens", None) or 0,
        getattr(details, "cached_tokens", None) or 0,
        getattr(details, "cache_write_tokens", None) or 0,
    )
