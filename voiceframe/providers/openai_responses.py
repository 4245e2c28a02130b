"""The responses API of OpenAI: what is sent, and what comes.

https://developers.openai.com/api/reference/resources/responses
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable
from typing import TYPE_CHECKING, Any

from ..llm import LLMRequest, Part, Stop, TextDelta, ToolCall, Usage
from .conversation import BEGIN, Called, Conversation, arguments_of, conversation
from .openai_chat import cache_key, is_strict

if TYPE_CHECKING:
    from .openai import OpenAI

__all__ = ["body_of", "parts_of"]


def body_of(model: str, request: LLMRequest, *, is_vendors: bool) -> dict[str, Any]:
    """The request. Nothing of it is stored by the vendor unless `options={"store": True}` says so."""
    told = conversation(request.messages)
    items = _items(told)
    body: dict[str, Any] = {"model": model, "input": items, "stream": True, "store": False}
    if told.instructions and items:
        body["instructions"] = told.instructions
    elif not items:  # there must be some input
        role = "system" if told.instructions else "user"
        items.append({"type": "message", "role": role, "content": told.instructions or BEGIN})
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": t.name,
                "description": t.description,
                "parameters": dict(t.parameters),
                "strict": False,
            }
            for t in request.tools
        ]
        body["tool_choice"] = (
            request.tool_choice
            if request.tool_choice in ("auto", "none", "required")
            else {"type": "function", "name": request.tool_choice}
        )
        body["parallel_tool_calls"] = request.parallel_tools
    if request.schema is not None:
        strict = is_strict(request.schema)
        body["text"] = {
            "format": {"type": "json_schema", "name": "answer", "schema": dict(request.schema), "strict": strict}
        }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body["max_output_tokens"] = request.max_tokens
    if is_vendors:
        body["prompt_cache_key"] = cache_key(told)
    return body


def _items(told: Conversation) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for entry in told.entries:
        if not isinstance(entry, Called):
            items.append({"type": "message", "role": entry.role, "content": entry.text})
            continue
        if entry.text:
            items.append({"type": "message", "role": "assistant", "content": entry.text})
        items += [
            {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": json.dumps(dict(call.arguments)),
            }
            for call in entry.calls
        ]
        items += [{"type": "function_call_output", "call_id": r.call_id, "output": r.text} for r in entry.results]
    return items


async def parts_of(stream: AsyncIterable[Any], llm: OpenAI) -> AsyncGenerator[Part | None, None]:
    """The parts of an answer that comes as events of a response."""
    called = refused = False
    async for event in stream:
        kind = getattr(event, "type", "")
        if kind == "response.output_text.delta":
            yield TextDelta(event.delta)
        elif kind == "response.refusal.delta":
            refused = True
            yield TextDelta(event.delta)
        elif kind == "response.output_item.done" and getattr(event.item, "type", "") == "function_call":
            called = True
            arguments, error = arguments_of(event.item.arguments)
            yield ToolCall(event.item.call_id, event.item.name, arguments, error)
        elif kind in ("response.completed", "response.incomplete"):
            usage = _usage(getattr(event.response, "usage", None))
            if usage is not None:
                yield usage
            yield _stop(event.response, kind, called=called, refused=refused)
            return
        elif kind == "response.failed":
            fault = getattr(event.response, "error", None)
            raise llm.stream_failure(getattr(fault, "code", None), None, getattr(fault, "message", "") or "it failed")
        elif kind == "error":
            raise llm.stream_failure(event.code, None, event.message)
        elif kind.endswith(".delta"):  # arguments, and what it thinks
            yield None
    raise llm.ended()


def _stop(response: Any, kind: str, *, called: bool, refused: bool) -> Stop:
    if kind == "response.incomplete":
        why = getattr(getattr(response, "incomplete_details", None), "reason", None)
        return Stop("refused" if why == "content_filter" else "length")
    return Stop("refused" if refused else "tools" if called else "end")


def _usage(usage: Any) -> Usage | None:
    if usage is None or getattr(usage, "input_tokens", None) is None:
        return None
    details = getattr(usage, "input_tokens_details", None)
    return Usage(
        usage.input_tokens,
        getattr(usage, "output_tokens", None) or 0,
        getattr(details, "cached_tokens", None) or 0,
        getattr(details, "cache_write_tokens", None) or 0,
    )
