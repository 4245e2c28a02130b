"""Anthropic: Claude, by the messages API.

Of `anthropic` 2.11; https://platform.claude.com/docs/en/api/messages, and for caching
https://platform.claude.com/docs/en/build-with-claude/prompt-caching.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any, Final, Literal

from ..errors import ProviderError
from ..extras import optional
from ..llm import LLMRequest, Part, Stop, TextDelta, ToolCall, Usage
from ..provider import Place, Vendor
from .base import LLMSettings, Pieces, VendorLLM
from .conversation import BEGIN, SILENCE, Called, Conversation, arguments_of, conversation

__all__ = ["Anthropic", "body_of"]

_REASONS: Final[Mapping[str, Literal["end", "tools", "length", "refused"]]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused",
    "tool_use": "tools",
}
#: Errors by their type, https://platform.claude.com/docs/en/api/errors.
_STATUS: Final[Mapping[str, int]] = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "request_too_large": 413,
    "timeout_error": 504,
}
_CACHE: Final = {"type": "ephemeral"}
_MOST_TOKENS: Final = 4_096


class Anthropic(VendorLLM):
    """A model of Anthropic: `Anthropic("claude-haiku-4-5")`.

    cache: whether the vendor keeps instructions, tools and the conversation so far for the next turn, five minutes
        long; writing it costs a quarter more than reading it anew, reading it a tenth.

    Otherwise as `VendorLLM`. The vendor wants a bound of the answer: 4,096 tokens if the request names none.
    """

    of = Vendor("anthropic", "ANTHROPIC_API_KEY", "anthropic", "https://api.anthropic.com", "ANTHROPIC_BASE_URL")
    package = "anthropic"

    def __init__(
        self,
        model: str,
        *,
        cache: bool = True,
        api_key: str = "",
        place: Place | None = None,
        settings: LLMSettings | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, api_key=api_key, place=place, settings=settings, options=options)
        self.cache = cache

    def _connect(self) -> Any:
        http = optional("httpx2", extra=self.of.extra, what="Anthropic")
        limits = http.Limits(
            max_connections=None, max_keepalive_connections=100, keepalive_expiry=self.settings.keep_alive_ms / 1000
        )
        client = self._sdk.AsyncAnthropic(
            api_key=self._key,
            base_url=self.place.http(self.of),
            default_headers=dict(self.place.headers),
            default_query=dict(self.place.query),
            max_retries=0,
            timeout=None,
            http_client=self._sdk.DefaultAsyncHttpxClient(limits=limits),
        )
        _ = client.models, client.messages  # the SDK loads its parts when they are first asked for
        optional("anthropic.types.raw_message_stream_event", extra=self.of.extra, what="Anthropic")
        return client

    async def _ask(self, client: Any, request: LLMRequest) -> AsyncGenerator[Part | None, None]:
        body = body_of(self.model, request, cache=self.cache) | self.options | dict(request.settings)
        body = {name: value for name, value in body.items() if value is not None}
        stream = await client.messages.create(
            model=body["model"], max_tokens=body["max_tokens"], messages=body["messages"], stream=True, extra_body=body
        )
        async with Pieces(stream, stream.close) as pieces, contextlib.aclosing(_parts(pieces, self)) as parts:
            async for part in parts:
                yield part

    async def _ping(self, client: Any) -> None:
        await client.models.retrieve(self.model)

    def _error(self, error: Exception) -> ProviderError:
        # One that comes as a piece of the answer has the status of the answer, which is 200.
        if isinstance(error, self._sdk.APIStatusError) and error.status_code < 400:
            body: Any = error.body
            fault = body.get("error", {}) if isinstance(body, dict) else {}
            kind = str(fault.get("type", "")) if isinstance(fault, dict) else ""
            return self.failure(_STATUS.get(kind, 500), str(fault.get("message") or error) if fault else str(error))
        return super()._error(error)


def body_of(model: str, request: LLMRequest, *, cache: bool) -> dict[str, Any]:
    """The request. Raises `ValueError` for messages that are no conversation."""
    told = conversation(request.messages)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens or _MOST_TOKENS,
        "messages": _messages(told),
        "stream": True,
    }
    if told.instructions:
        body["system"] = [{"type": "text", "text": told.instructions}]
    tools = [{"name": t.name, "description": t.description, "input_schema": dict(t.parameters)} for t in request.tools]
    known = {tool["name"] for tool in tools}
    choice: dict[str, Any] = {"type": "auto"}
    if request.tools:
        kinds = {"auto": "auto", "none": "none", "required": "any"}
        kind = kinds.get(request.tool_choice)
        choice = {"type": kind} if kind is not None else {"type": "tool", "name": request.tool_choice}
        if not request.parallel_tools and kind != "none":
            choice["disable_parallel_tool_use"] = True
    else:
        choice = {"type": "none"}
    # Whoever was called in the conversation must be among the tools, also when none may be called now.
    for entry in told.entries:
        for call in entry.calls if isinstance(entry, Called) else ():
            if call.name not in known:
                known.add(call.name)
                tools.append({"name": call.name, "description": "Gone.", "input_schema": {"type": "object"}})
    if tools:
        body |= {"tools": tools, "tool_choice": choice}
    if request.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": _closed(request.schema)}}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if cache:
        # The instructions and the tools before them, and the conversation as far as it has come.
        if told.instructions:
            body["system"][-1]["cache_control"] = _CACHE
        elif tools:
            tools[-1]["cache_control"] = _CACHE
        body["messages"][-1]["content"][-1]["cache_control"] = _CACHE
    return body


def _messages(told: Conversation) -> list[dict[str, Any]]:
    """Roles that take turns, the caller first and last; results of tools stand before anything else of their turn."""
    messages: list[dict[str, Any]] = []

    def add(role: str, blocks: list[dict[str, Any]]) -> None:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})

    for entry in told.entries:
        assistant = isinstance(entry, Called) or entry.role == "assistant"
        if assistant and not messages:
            add("user", [_text(BEGIN)])
        if not isinstance(entry, Called):
            text = f"<system>\n{entry.text}\n</system>" if entry.role == "system" else entry.text
            add("assistant" if assistant else "user", [_text(text)])
            continue
        blocks = _thoughts(entry)
        if entry.text:
            blocks.append(_text(entry.text))
        blocks += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
            for call in entry.calls
        ]
        add("assistant", blocks)
        results: list[dict[str, Any]] = []
        for result in entry.results:
            block: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.call_id, "content": result.text}
            if result.failed:
                block["is_error"] = True
            results.append(block)
        add("user", results)
    if not messages or messages[-1]["role"] == "assistant":
        add("user", [_text(SILENCE if messages else BEGIN)])
    return messages


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _thoughts(entry: Called) -> list[dict[str, Any]]:
    """What the model thought before it called, as it wants it back. Another vendor's is not for it."""
    for call in entry.calls:
        if call.opaque.startswith("anthropic:"):
            return list(json.loads(call.opaque.removeprefix("anthropic:")))
    return []


def _closed(schema: Any) -> Any:
    """The same schema with objects that have nothing that it does not name, which the vendor insists on."""
    if isinstance(schema, list | tuple):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


class _Block:
    """A content block, as far as it has come."""

    def __init__(self, block: Any) -> None:
        self.kind: str = getattr(block, "type", "")
        self.block = block
        self.written = ""
        self.thought = getattr(block, "thinking", "") or ""
        self.signature = getattr(block, "signature", "") or ""

    def thoughts(self) -> dict[str, Any] | None:
        if self.kind == "thinking":
            return {"type": "thinking", "thinking": self.thought, "signature": self.signature}
        if self.kind == "redacted_thinking":
            return {"type": "redacted_thinking", "data": self.block.data}
        return None


async def _parts(stream: AsyncIterable[Any], llm: Anthropic) -> AsyncGenerator[Part | None, None]:
    blocks: dict[int, _Block] = {}
    thoughts: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    reason: str | None = None
    async for event in stream:
        kind = getattr(event, "type", "")
        if kind == "message_start":
            _count(counts, getattr(event.message, "usage", None))
        elif kind == "content_block_start":
            blocks[event.index] = block = _Block(event.content_block)
            text = getattr(event.content_block, "text", "") if block.kind == "text" else ""
            yield TextDelta(text) if text else None
        elif kind == "content_block_delta":
            block = blocks[event.index]
            delta = event.delta
            if delta.type == "text_delta" and delta.text:
                yield TextDelta(delta.text)
                continue
            if delta.type == "input_json_delta":
                block.written += delta.partial_json
            elif delta.type == "thinking_delta":
                block.thought += delta.thinking
            elif delta.type == "signature_delta":
                block.signature += delta.signature
            yield None
        elif kind == "content_block_stop":
            block = blocks[event.index]
            thought = block.thoughts()
            if thought is not None:
                thoughts.append(thought)
            elif block.kind == "tool_use":
                arguments, error = arguments_of(block.written or getattr(block.block, "input", None))
                opaque = f"anthropic:{json.dumps(thoughts)}" if thoughts else ""
                thoughts = []  # they stand before the first call only
                yield ToolCall(block.block.id, block.block.name, arguments, error, opaque)
        elif kind == "message_delta":
            _count(counts, getattr(event, "usage", None))
            reason = getattr(event.delta, "stop_reason", None) or reason
        elif kind == "message_stop":
            if counts:
                read, wrote = counts.get("cache_read_input_tokens", 0), counts.get("cache_creation_input_tokens", 0)
                yield Usage(counts.get("input_tokens", 0) + read + wrote, counts.get("output_tokens", 0), read, wrote)
            yield Stop(_REASONS.get(reason or "", "end"))
            return
    raise llm.ended()


def _count(counts: dict[str, int], usage: Any) -> None:
    """Note what an event says of usage: later ones count from the beginning as well."""
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        value = getattr(usage, name, None)
        if isinstance(value, int):
            counts[name] = value
