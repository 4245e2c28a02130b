"""Google's Gemini API, as a local server.

Follows https://ai.google.dev/api/generate-content (streamGenerateContent with server-sent events),
https://ai.google.dev/gemini-api/docs/function-calling and the types of `google-genai` 3.4.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...llm import TextDelta, ToolCall
from .scripts import Broken, FakeLLM, Thought, in_order, sse
from .server import Asked

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["FakeGemini"]

_FINISH: Final = {"end": "STOP", "tools": "STOP", "length": "MAX_TOKENS", "refused": "SAFETY"}
_STATUS: Final = {"UNAVAILABLE": 503, "RESOURCE_EXHAUSTED": 429, "INTERNAL": 500, "INVALID_ARGUMENT": 400}
_SIGNS: Final = re.compile(r"gemini-[3-9]")


class FakeGemini(FakeLLM):
    """Gemini on a port of this machine: `Gemini("gemini-2.5-flash", place=Place(fake.url), api_key="key")`.

    It refuses what the service refuses: empty parts, a model that speaks first or last, calls of tools that do not
    follow the caller, other results than there were calls, and of `gemini-3` and later a call without a signature.
    A `Broken` answer has the kind of a status (`"UNAVAILABLE"`), or the reason why the model has finished.
    """

    def authorized(self, asked: Asked) -> bool:
        return asked.headers.get("x-goog-api-key") == self.key

    def error_body(self, message: str, status: int) -> Mapping[str, Any]:
        return {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}

    def routes(self, app: web.Application) -> None:
        stream = self.answering(self._stream, content_type="text/event-stream")
        app.router.add_post(r"/{version}/models/{model:[^:]+}:streamGenerateContent", stream)
        app.router.add_get("/{version}/models/{model}", self.answering(self._model))

    async def _model(self, asked: Asked) -> Mapping[str, Any]:
        return {"name": f"models/{asked.path.rpartition('/')[2]}", "version": "001"}

    async def _stream(self, asked: Asked) -> AsyncIterator[bytes]:
        if asked.query.get("alt") != "sse":
            self.refuse("alt: this server only speaks server-sent events")
        model = asked.path.rpartition("/")[2].partition(":")[0]
        body = self.read(asked)
        self.check(body, signed=bool(_SIGNS.match(model)))
        return in_order(self._chunks(body, model))

    def _chunks(self, body: dict[str, Any], model: str) -> Iterator[bytes]:
        parts, usage, reason = self.next_answer(body)
        counted = {
            "promptTokenCount": usage.input_tokens,
            "cachedContentTokenCount": usage.cached_tokens,
            "candidatesTokenCount": usage.output_tokens,
            "totalTokenCount": usage.input_tokens + usage.output_tokens,
        }

        def chunk(part: dict[str, Any] | None, finish: str = "") -> bytes:
            candidate: dict[str, Any] = {"index": 0}
            if part is not None:
                candidate["content"] = {"role": "model", "parts": [part]}
            if finish:
                candidate["finishReason"] = finish
            return sse({"candidates": [candidate], "usageMetadata": counted, "modelVersion": model})

        signature = ""
        for part in parts:
            if isinstance(part, TextDelta):
                yield chunk({"text": part.text})
            elif isinstance(part, ToolCall) and part.error:
                yield chunk(None, "MALFORMED_FUNCTION_CALL")
                return
            elif isinstance(part, ToolCall):
                call: dict[str, Any] = {"name": part.name, "args": dict(part.arguments)}
                if part.id:
                    call["id"] = part.id
                yield chunk({"functionCall": call} | ({"thoughtSignature": signature} if signature else {}))
                signature = ""
            elif isinstance(part, Thought):
                signature = part.signature
                yield chunk({"text": part.text, "thought": True})
            elif isinstance(part, Broken):
                if part.kind in _STATUS:
                    status = _STATUS[part.kind]
                    yield sse({"error": {"code": status, "message": part.message, "status": part.kind}})
                else:
                    yield chunk(None, part.kind)
                return
        yield chunk({"text": ""}, _FINISH[reason])

    # -- what is refused

    def check(self, body: dict[str, Any], *, signed: bool) -> None:
        """Refuse what the service refuses; `signed`: the model signs its calls of tools."""
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            self.refuse("contents is not specified")
        if contents[0].get("role") != "user" or contents[-1].get("role") != "user":
            self.refuse("Please ensure that multiturn requests begin and end with a user turn.")
        calls: list[str] = []
        for number, content in enumerate(contents):
            before = contents[number - 1]["role"] if number else ""
            calls = self._check_content(f"contents[{number}]", content, before, calls, signed=signed)
        if calls:
            self.refuse("Please ensure that function call turns are followed by their function responses.")
        for part in body.get("systemInstruction", {}).get("parts", ()):
            self._check_part("systemInstruction", part)
        names = {d["name"] for tool in body.get("tools", ()) for d in tool.get("functionDeclarations", ())}
        allowed = body.get("toolConfig", {}).get("functionCallingConfig", {}).get("allowedFunctionNames", ())
        if not set(allowed) <= names:
            self.refuse(f"allowed_function_names: {allowed}")

    def _check_content(
        self, where: str, content: dict[str, Any], before: str, calls: list[str], *, signed: bool
    ) -> list[str]:
        role, parts = content.get("role"), content.get("parts")
        if role not in ("user", "model") or not parts:
            self.refuse(f"{where}: must include at least one parts field")
        for part in parts:
            self._check_part(where, part)
        called = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        answered = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if called and (role != "model" or before != "user"):
            self.refuse("Please ensure that function call turn comes immediately after a user turn.")
        if called and signed:
            first = next(part for part in parts if "functionCall" in part)
            if "thoughtSignature" not in first:
                self.refuse(f"Function call `{called[0]}` is missing a thought_signature.")
        if answered != calls or (answered and (role != "user" or len(answered) != len(parts))):
            self.refuse("the number of function response parts must be that of the function call parts before them")
        return called

    def _check_part(self, where: str, part: dict[str, Any]) -> None:
        data = [name for name in ("text", "functionCall", "functionResponse", "inlineData") if name in part]
        if len(data) != 1 or (data == ["text"] and not part["text"].strip()):
            self.refuse(f"{where}: required oneof field 'data' must have one initialized field")
