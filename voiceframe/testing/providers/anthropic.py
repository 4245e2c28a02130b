"""Anthropic's messages, as a local server.

Follows https://platform.claude.com/docs/en/api/messages with its page about streaming, and the types of `anthropic`
2.11.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...llm import TextDelta, ToolCall
from .scripts import Broken, FakeLLM, Thought, in_order, sse
from .server import Asked

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeAnthropic"]

_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_FINISH: Final = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refused": "refusal"}
_MOST_BREAKPOINTS: Final = 4


class FakeAnthropic(FakeLLM):
    """Anthropic on a port of this machine: `Anthropic("claude-haiku-4-5", place=Place(fake.url), api_key="key")`.

    It refuses what the service refuses: no bound of tokens, texts that are blank, an assistant who speaks first or
    last, calls without a result right behind them, results of what was not called, more than four cache breakpoints.
    """

    nonsense = b"event: content_block_delta\ndata: {no json\n\n"

    def authorized(self, asked: Asked) -> bool:
        headers = asked.headers
        return headers.get("x-api-key") == self.key or headers.get("authorization") == f"Bearer {self.key}"

    def error_body(self, message: str, status: int) -> Mapping[str, Any]:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/messages", self.answering(self._create, content_type="text/event-stream"))
        app.router.add_get("/v1/models/{model}", self.answering(self._model))

    async def _model(self, asked: Asked) -> Mapping[str, Any]:
        name = asked.path.rpartition("/")[2]
        return {"id": name, "type": "model", "display_name": name, "created_at": "2026-01-01T00:00:00Z"}

    async def _create(self, asked: Asked) -> AsyncIterator[bytes]:
        if not asked.headers.get("anthropic-version"):
            self.refuse("anthropic-version: header is required")
        body = self.read(asked)
        self.check(body)
        return in_order(self._events(body))

    def _events(self, body: dict[str, Any]) -> Iterator[bytes]:
        parts, usage, reason = self.next_answer(body)

        def event(kind: str, **fields: Any) -> bytes:
            return sse({"type": kind, **fields}, kind)

        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        counted = {
            "input_tokens": plain,
            "cache_read_input_tokens": usage.cached_tokens,
            "cache_creation_input_tokens": usage.cache_write_tokens,
        }
        message = {
            "id": f"msg_{len(self.bodies)}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": counted | {"output_tokens": 1},
        }
        yield event("message_start", message=message)
        yield event("ping")
        index = -1
        open_text = False
        for part in parts:
            if open_text and not isinstance(part, TextDelta):
                open_text = False
                yield event("content_block_stop", index=index)
            if isinstance(part, TextDelta):
                if not open_text:
                    index, open_text = index + 1, True
                    yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
                yield event("content_block_delta", index=index, delta={"type": "text_delta", "text": part.text})
            elif isinstance(part, ToolCall):
                index += 1
                block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                yield event("content_block_start", index=index, content_block=block)
                written = part.error or json.dumps(dict(part.arguments))
                for piece in ["", *(written[start : start + 6] for start in range(0, len(written), 6))]:
                    delta = {"type": "input_json_delta", "partial_json": piece}
                    yield event("content_block_delta", index=index, delta=delta)
                yield event("content_block_stop", index=index)
            elif isinstance(part, Thought):
                index += 1
                block = {"type": "thinking", "thinking": "", "signature": ""}
                yield event("content_block_start", index=index, content_block=block)
                delta = {"type": "thinking_delta", "thinking": part.text}
                yield event("content_block_delta", index=index, delta=delta)
                delta = {"type": "signature_delta", "signature": part.signature}
                yield event("content_block_delta", index=index, delta=delta)
                yield event("content_block_stop", index=index)
            elif isinstance(part, Broken):
                yield event("error", error={"type": part.kind, "message": part.message})
                return
        if open_text:
            yield event("content_block_stop", index=index)
        yield event(
            "message_delta",
            delta={"stop_reason": _FINISH[reason], "stop_sequence": None},
            usage={"output_tokens": usage.output_tokens},
        )
        yield event("message_stop")

    # -- what is refused

    def check(self, body: dict[str, Any]) -> None:
        """Refuse what the service refuses."""
        messages = body.get("messages")
        if not body.get("model") or not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
            self.refuse("max_tokens: Field required")
        if not isinstance(messages, list) or not messages:
            self.refuse("messages: at least one message is required")
        if messages[0]["role"] != "user":
            self.refuse('messages: first message must use the "user" role')
        if messages[-1]["role"] != "user":
            self.refuse("This model does not support assistant message prefill.")
        system = body.get("system", [])
        for block in system:
            self._check_text("system", block)
        ids: set[str] = set()
        called: list[str] = []
        for number, message in enumerate(messages):
            called = self._check_message(f"messages.{number}", message, called, ids)
        if called:
            self.refuse(f"tool_use ids were found without tool_result blocks immediately after: {', '.join(called)}")
        blocks = [*system, *body.get("tools", ()), *(b for m in messages for b in m["content"])]
        if sum("cache_control" in block for block in blocks) > _MOST_BREAKPOINTS:
            self.refuse("A maximum of 4 blocks with cache_control may be provided.")
        tools = {tool["name"] for tool in body.get("tools", ())}
        if (ids or "tool_choice" in body) and not tools:
            self.refuse("tools: Field required")
        choice = body.get("tool_choice", {})
        if choice.get("type") == "tool" and choice.get("name") not in tools:
            self.refuse(f"Tool '{choice.get('name')}' not found in provided tools")
        self._check_format(body.get("output_config", {}).get("format", {}).get("schema", {}))

    def _check_message(self, where: str, message: dict[str, Any], called: list[str], ids: set[str]) -> list[str]:
        """Returns what this message calls; what was called before it must be answered here, before anything else."""
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant") or not isinstance(content, list) or not content:
            self.refuse(f"{where}: content must not be empty")
        waiting, calls = list(called), []
        results_over = False
        for block in content:
            kind = block.get("type")
            if kind == "tool_result":
                if role != "user" or block["tool_use_id"] not in called:
                    self.refuse(f"{where}: unexpected `tool_use_id` found in `tool_result` blocks")
                if results_over or block["tool_use_id"] not in waiting:
                    self.refuse(f"{where}: `tool_result` blocks must come first, one for each `tool_use`")
                waiting.remove(block["tool_use_id"])
                continue
            results_over = True
            if kind == "text":
                self._check_text(where, block)
            elif kind == "tool_use" and role == "assistant":
                if not _ID.fullmatch(block["id"]) or block["id"] in ids or not isinstance(block["input"], dict):
                    self.refuse(f"{where}: `tool_use` ids must be unique, of letters, digits, _ and -")
                ids.add(block["id"])
                calls.append(block["id"])
            elif kind not in ("thinking", "redacted_thinking") or role != "assistant":
                self.refuse(f"{where}: unexpected {kind!r}")
        if waiting:
            self.refuse(f"`tool_use` ids were found without `tool_result` blocks immediately after: {waiting}")
        return calls

    def _check_text(self, where: str, block: dict[str, Any]) -> None:
        if not str(block.get("text", "")).strip():
            self.refuse(f"{where}: text content blocks must contain non-whitespace text")

    def _check_format(self, schema: Any) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
                self.refuse("output_config.format.schema: 'additionalProperties' must be explicitly set to false")
            for value in schema.values():
                self._check_format(value)
        elif isinstance(schema, list):
            for value in schema:
                self._check_format(value)
