"""OpenAI's chat completions and responses, as a local server.

Follows https://developers.openai.com/api/reference (chat completions and responses, streaming) and the types of
`openai` 3.52.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...llm import TextDelta, ToolCall, Usage
from .scripts import Broken, FakeLLM, Thought, in_order, sse
from .server import Asked

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeOpenAI"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FINISH: Final = {"end": "stop", "tools": "tool_calls", "length": "length", "refused": "content_filter"}


class FakeOpenAI(FakeLLM):
    """OpenAI on a port of this machine: `OpenAI("gpt-4.1-mini", place=Place(fake.url + "/v1"), api_key="key")`.

    It refuses what the service refuses: results of tools that nobody called, calls without a result, missing content,
    settings of tools without tools, ids that are too long.

    plain: it is a compatible server instead: no key, and it sends what such servers send: no usage, no ids of tool
        calls, their arguments in one piece, `"stop"` after them.
    """

    def __init__(self, *args: Any, plain: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plain = plain
        #: The models that it lists.
        self.models: Sequence[str] = ("m",)

    def authorized(self, asked: Asked) -> bool:
        return self.plain or asked.headers.get("authorization") == f"Bearer {self.key}"

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/chat/completions", self.answering(self._chat, content_type="text/event-stream"))
        app.router.add_post("/v1/responses", self.answering(self._respond, content_type="text/event-stream"))
        app.router.add_get("/v1/models", self.answering(self._models))
        if not self.plain:  # not every compatible server can be asked for one
            app.router.add_get("/v1/models/{model}", self.answering(self._model))

    async def _models(self, asked: Asked) -> Mapping[str, Any]:
        listed = [{"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in self.models]
        return {"object": "list", "data": listed}

    async def _model(self, asked: Asked) -> Mapping[str, Any]:
        return {"id": asked.path.rpartition("/")[2], "object": "model", "created": 1, "owned_by": "fake"}

    # -- chat completions

    async def _chat(self, asked: Asked) -> AsyncIterator[bytes]:
        body = self.read(asked)
        self.check_chat(body)
        return in_order(self._chunks(body))

    def _chunks(self, body: dict[str, Any]) -> Iterator[bytes]:
        parts, usage, reason = self.next_answer(body)

        def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
            return sse(self._chunk(body, [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]))

        yield chunk({"role": "assistant", "content": ""})
        index = 0
        for part in parts:
            if isinstance(part, TextDelta):
                yield chunk({"refusal": part.text} if reason == "refused" else {"content": part.text})
            elif isinstance(part, ToolCall):
                yield from (chunk({"tool_calls": [delta]}) for delta in self._call_deltas(index, part))
                index += 1
            elif isinstance(part, Broken):
                yield sse({"error": {"message": part.message, "type": part.kind, "code": part.kind, "param": None}})
                return
            elif isinstance(part, Thought) and self.plain:
                yield chunk({"reasoning_content": part.text})
        yield chunk({}, "stop" if self.plain else _FINISH[reason])
        if not self.plain and (body.get("stream_options") or {}).get("include_usage"):
            yield sse(self._chunk(body, []) | {"usage": _chat_usage(usage)})
        yield sse("[DONE]")

    def _chunk(self, body: dict[str, Any], choices: list[Any]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{len(self.bodies)}",
            "object": "chat.completion.chunk",
            "created": 1_763_000_000,
            "model": body["model"],
            "choices": choices,
        }

    def _call_deltas(self, index: int, call: ToolCall) -> Iterator[dict[str, Any]]:
        written = call.error or json.dumps(dict(call.arguments))
        if self.plain:
            yield {"index": index, "type": "function", "function": {"name": call.name, "arguments": written}}
            return
        head = {"name": call.name, "arguments": ""}
        yield {"index": index, "id": call.id, "type": "function", "function": head}
        for start in range(0, len(written), 6):
            yield {"index": index, "function": {"arguments": written[start : start + 6]}}

    def check_chat(self, body: dict[str, Any]) -> None:
        """Refuse what the service refuses of a request for a chat completion."""
        messages = body.get("messages")
        if not body.get("model") or not isinstance(messages, list) or not messages:
            self.refuse("you must provide a model and messages")
        open_ids: list[str] = []
        for number, message in enumerate(messages):
            role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
            if role == "tool":
                if message.get("tool_call_id") not in open_ids:
                    self.refuse("messages with role 'tool' must be a response to a preceding message with 'tool_calls'")
                open_ids.remove(message["tool_call_id"])
            elif open_ids:
                self.refuse(f"tool_call_ids did not have response messages: {', '.join(open_ids)}")
            if role not in ("system", "developer", "user", "assistant", "tool"):
                self.refuse(f"messages[{number}].role: {role!r}")
            if not isinstance(content, str) and not (role == "assistant" and calls and content is None):
                self.refuse(f"messages[{number}].content: expected a string, got {content!r}")
            if calls is not None:
                open_ids = self._check_calls(calls)
        if open_ids:
            self.refuse(f"tool_call_ids did not have response messages: {', '.join(open_ids)}")
        self._check_tools(body, [tool["function"] for tool in body.get("tools", ())])
        if self.plain and "prompt_cache_key" in body:
            self.refuse("prompt_cache_key: extra fields are not permitted")

    def _check_calls(self, calls: Sequence[Any]) -> list[str]:
        if not calls:
            self.refuse("[] is too short - 'messages.tool_calls'")
        for call in calls:
            if call.get("type") != "function" or not 1 <= len(call.get("id", "")) <= 40:
                self.refuse(f"tool_calls: {call!r}")
            if not isinstance(call["function"]["arguments"], str) or not _NAME.fullmatch(call["function"]["name"]):
                self.refuse(f"tool_calls.function: {call['function']!r}")
        return [call["id"] for call in calls]

    def _check_tools(self, body: dict[str, Any], tools: Sequence[Mapping[str, Any]]) -> None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body and not tools:
                self.refuse(f"'{name}' is only allowed when 'tools' are specified.")
        for tool in tools:
            if not _NAME.fullmatch(tool.get("name", "")) or tool["parameters"].get("type") != "object":
                self.refuse(f"tools: {tool!r}")
        choice = body.get("tool_choice")
        if isinstance(choice, dict):
            name = choice.get("name") or choice.get("function", {}).get("name")
            if name not in {tool["name"] for tool in tools}:
                self.refuse(f"tool_choice: there is no tool {name!r}")

    # -- responses

    async def _respond(self, asked: Asked) -> AsyncIterator[bytes]:
        body = self.read(asked)
        self.check_response(body)
        return in_order(self._events(body))

    def _events(self, body: dict[str, Any]) -> Iterator[bytes]:
        parts, usage, reason = self.next_answer(body)
        number = -1

        def event(kind: str, **fields: Any) -> bytes:
            nonlocal number
            number += 1
            return sse({"type": kind, "sequence_number": number, **fields}, kind)

        yield event("response.created", response=self._response(body, "in_progress"))
        index = 0
        for part in parts:
            if isinstance(part, TextDelta):
                kind = "response.refusal.delta" if reason == "refused" else "response.output_text.delta"
                more: dict[str, Any] = {} if reason == "refused" else {"logprobs": []}
                yield event(kind, item_id="msg_1", output_index=0, content_index=0, delta=part.text, **more)
            elif isinstance(part, ToolCall):
                index += 1
                written = part.error or json.dumps(dict(part.arguments))
                item = {"type": "function_call", "id": f"fc_{index}", "call_id": part.id, "name": part.name}
                begun = item | {"arguments": "", "status": "in_progress"}
                yield event("response.output_item.added", output_index=index, item=begun)
                for start in range(0, len(written), 6):
                    yield event(
                        "response.function_call_arguments.delta",
                        item_id=item["id"],
                        output_index=index,
                        delta=written[start : start + 6],
                    )
                whole = item | {"arguments": written, "status": "completed"}
                yield event("response.output_item.done", output_index=index, item=whole)
            elif isinstance(part, Broken):
                error = {"code": part.kind, "message": part.message}
                yield event("response.failed", response=self._response(body, "failed") | {"error": error})
                return
            elif isinstance(part, Thought):
                yield event(
                    "response.reasoning_summary_text.delta",
                    item_id="rs_1",
                    output_index=0,
                    summary_index=0,
                    delta=part.text,
                )
        if reason == "length":
            why = {"incomplete_details": {"reason": "max_output_tokens"}, "usage": _response_usage(usage)}
            yield event("response.incomplete", response=self._response(body, "incomplete") | why)
        else:
            done = self._response(body, "completed") | {"usage": _response_usage(usage)}
            yield event("response.completed", response=done)

    def _response(self, body: dict[str, Any], status: str) -> dict[str, Any]:
        return {
            "id": f"resp_{len(self.bodies)}",
            "object": "response",
            "created_at": 1_763_000_000,
            "model": body["model"],
            "status": status,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def check_response(self, body: dict[str, Any]) -> None:
        """Refuse what the service refuses of a request for a response."""
        items = body.get("input")
        if not body.get("model") or not isinstance(items, list) or not items:
            self.refuse("you must provide a model and input")
        called: set[str] = set()
        answered: set[str] = set()
        for number, item in enumerate(items):
            kind = item.get("type", "message")
            if kind == "message":
                if item.get("role") not in ("system", "developer", "user", "assistant") or not item.get("content"):
                    self.refuse(f"input[{number}]: {item!r}")
            elif kind == "function_call":
                if not 1 <= len(item["call_id"]) <= 64 or item["call_id"] in called:
                    self.refuse(f"input[{number}].call_id: {item['call_id']!r}")
                if not isinstance(item["arguments"], str) or not _NAME.fullmatch(item["name"]):
                    self.refuse(f"input[{number}]: {item!r}")
                called.add(item["call_id"])
            elif kind == "function_call_output":
                if item["call_id"] not in called or not isinstance(item["output"], str):
                    self.refuse(f"No tool call found for function call output with call_id {item['call_id']}.")
                answered.add(item["call_id"])
            else:
                self.refuse(f"input[{number}].type: {kind!r}")
        if called - answered:
            self.refuse(f"No tool output found for function call {min(called - answered)}.")
        self._check_tools(body, body.get("tools", ()))


def _chat_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
    }


def _response_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
