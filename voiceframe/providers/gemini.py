"""Google: Gemini, by the Gemini API.

Of `google-genai` 3.4; https://ai.google.dev/api/generate-content (streamGenerateContent), and for the signatures of
thoughts https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import base64
import contextlib
import contextvars
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from ..errors import ProviderError
from ..extras import optional
from ..llm import LLMRequest, Part, Stop, TextDelta, ToolCall, Usage
from ..provider import Vendor
from .base import Pieces, VendorLLM
from .conversation import BEGIN, SILENCE, Called, Conversation, arguments_of, conversation

__all__ = ["Gemini", "contents_of", "settings_of"]

_REASONS: Final[Mapping[str, Literal["end", "length", "refused"]]] = {
    "BLOCKLIST": "refused",
    "LANGUAGE": "refused",
    "MAX_TOKENS": "length",
    "MODEL_ARMOR": "refused",
    "PROHIBITED_CONTENT": "refused",
    "RECITATION": "refused",
    "SAFETY": "refused",
    "SPII": "refused",
}
#: The model has written what is no call of a tool: nothing was said, and it may do better.
_BROKEN: Final = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"})
#: Stands, by Google's documentation, for the signature of a call that is not the model's own.
_NO_SIGNATURE: Final = b"skip_thought_signature_validator"
_WANTS_SIGNATURES: Final = re.compile(r"gemini-(?:[3-9]|\d\d)")

#: The answers of HTTP to the request that is being sent: the SDK does not close them when its stream is closed.
_answers: contextvars.ContextVar[list[Any] | None] = contextvars.ContextVar("voiceframe_gemini", default=None)


class Gemini(VendorLLM):
    """A model of Google: `Gemini("gemini-2.5-flash")`.

    As `VendorLLM`; `options` are fields of the SDK's `GenerateContentConfig`. The beginning of a conversation is cached
    by the vendor itself.
    """

    of = Vendor(
        "google",
        "GEMINI_API_KEY",
        "google",
        "https://generativelanguage.googleapis.com",
        "GOOGLE_GEMINI_BASE_URL",
    )
    package = "google.genai"

    def _connect(self) -> Any:
        http = optional("httpx2", extra=self.of.extra, what="Gemini")
        types = self._sdk.types
        limits = http.Limits(
            max_connections=None, max_keepalive_connections=100, keepalive_expiry=self.settings.keep_alive_ms / 1000
        )
        client = http.AsyncClient(
            limits=limits, timeout=None, event_hooks={"request": [self._address], "response": [_note]}
        )
        sdk = self._sdk.Client(
            enterprise=False,
            api_key=self._key,
            http_options=types.HttpOptions(
                base_url=self.place.http(self.of),
                headers=dict(self.place.headers),
                retry_options=types.HttpRetryOptions(attempts=1),
                httpx_async_client=client,
            ),
        )
        return sdk, client

    async def _address(self, request: Any) -> None:
        """The SDK has no way to add to the query."""
        request.url = request.url.copy_merge_params(dict(self.place.query))

    async def _close(self, client: Any) -> None:
        sdk, http = client
        await sdk.aio.aclose()
        sdk.close()
        await http.aclose()

    async def _ask(self, client: Any, request: LLMRequest) -> AsyncGenerator[Part | None, None]:
        told = conversation(request.messages)
        contents = contents_of(told, signed=bool(_WANTS_SIGNATURES.match(self.model)))
        try:
            config = settings_of(self._sdk.types, told, request, self.options | dict(request.settings))
        except ValueError as error:
            raise self.refused(f"settings are not those of GenerateContentConfig: {error}") from None
        answers: list[Any] = []
        token = _answers.set(answers)
        try:
            stream = await client[0].aio.models.generate_content_stream(
                model=self.model, contents=contents, config=config
            )
        finally:
            _answers.reset(token)

        async def close() -> None:
            for answer in answers:
                await answer.aclose()

        async with _Pieces(stream, close, answers) as pieces, contextlib.aclosing(_parts(pieces, self)) as parts:
            async for part in parts:
                yield part

    async def _ping(self, client: Any) -> None:
        await client[0].aio.models.get(model=self.model)

    def _error(self, error: Exception) -> ProviderError:
        if getattr(error, "code", None) == 400 and "api key" in str(error).casefold():  # its status for a wrong key
            return self.failure(401, str(error))
        return super()._error(error)


async def _note(response: Any) -> None:
    answers = _answers.get()
    if answers is not None:
        answers.append(response)


class _Pieces(Pieces):
    """A request that is sent when its first piece is asked for is noted as well."""

    def __init__(self, stream: Any, close: Callable[[], Awaitable[None]], answers: list[Any]) -> None:
        super().__init__(stream, close)
        self._answers = answers

    async def __anext__(self) -> Any:
        token = _answers.set(self._answers)
        try:
            return await super().__anext__()
        finally:
            _answers.reset(token)


def settings_of(types: Any, told: Conversation, request: LLMRequest, settings: Mapping[str, Any]) -> Any:
    """The `GenerateContentConfig`. Raises `ValueError` for settings that are none of its fields."""
    config: dict[str, Any] = {"automatic_function_calling": {"disable": True}}
    if told.instructions:
        config["system_instruction"] = told.instructions
    if request.tools:
        config["tools"] = [
            {
                "function_declarations": [
                    {"name": t.name, "description": t.description, "parameters_json_schema": dict(t.parameters)}
                    for t in request.tools
                ]
            }
        ]
        modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
        calling: dict[str, Any] = {"mode": modes.get(request.tool_choice, "ANY")}
        if request.tool_choice not in modes:
            calling["allowed_function_names"] = [request.tool_choice]
        config["tool_config"] = {"function_calling_config": calling}
    if request.schema is not None:
        config |= {"response_mime_type": "application/json", "response_json_schema": dict(request.schema)}
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.max_tokens is not None:
        config["max_output_tokens"] = request.max_tokens
    config = {name: value for name, value in (config | dict(settings)).items() if value is not None}
    return types.GenerateContentConfig(**config)


def contents_of(told: Conversation, *, signed: bool) -> list[dict[str, Any]]:
    """Roles that take turns, the caller first and last; results of tools are a turn of their own."""
    contents: list[dict[str, Any]] = []

    def add(role: str, parts: list[dict[str, Any]], *, alone: bool = False) -> None:
        last = contents[-1] if contents else None
        joins = last is not None and last["role"] == role and not alone and "function_response" not in last["parts"][-1]
        if last is not None and joins:
            last["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})

    for entry in told.entries:
        model = isinstance(entry, Called) or entry.role == "assistant"
        if model and not contents:
            add("user", [{"text": BEGIN}])
        if not isinstance(entry, Called):
            text = f"<system>\n{entry.text}\n</system>" if entry.role == "system" else entry.text
            add("model" if model else "user", [{"text": text}])
            continue
        parts: list[dict[str, Any]] = [{"text": entry.text}] if entry.text else []
        for number, call in enumerate(entry.calls):
            part: dict[str, Any] = {"function_call": {"id": call.id, "name": call.name, "args": dict(call.arguments)}}
            if call.opaque.startswith("google:"):
                part["thought_signature"] = base64.b64decode(call.opaque.removeprefix("google:"))
            elif signed and number == 0:
                part["thought_signature"] = _NO_SIGNATURE
            parts.append(part)
        add("model", parts)
        results = [
            {
                "function_response": {
                    "id": result.call_id,
                    "name": call.name,
                    "response": {"error" if result.failed else "output": result.text},
                }
            }
            for call, result in zip(entry.calls, entry.results, strict=True)
        ]
        add("user", results, alone=True)
    if not contents or contents[-1]["role"] == "model":
        add("user", [{"text": SILENCE if contents else BEGIN}])
    return contents


async def _parts(stream: AsyncIterable[Any], llm: Gemini) -> AsyncGenerator[Part | None, None]:
    usage: Usage | None = None
    reason: str | None = None
    called = False
    async for chunk in stream:
        usage = _usage(chunk.usage_metadata) or usage
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            reason = "SAFETY"
        for candidate in chunk.candidates or ():
            for part in (candidate.content.parts if candidate.content is not None else None) or ():
                call = part.function_call
                if call is not None and call.name:
                    called = True
                    arguments, error = arguments_of(call.args)
                    signature = part.thought_signature
                    opaque = f"google:{base64.b64encode(signature).decode()}" if signature else ""
                    yield ToolCall(call.id or f"call_{secrets.token_hex(8)}", call.name, arguments, error, opaque)
                elif part.text and not part.thought:
                    yield TextDelta(part.text)
                else:
                    yield None
            if candidate.finish_reason is not None:
                reason = str(candidate.finish_reason.value)
    if reason is None:
        raise llm.ended()
    if reason in _BROKEN:
        raise llm.failure(0, f"the model has called a tool in a way that cannot be read ({reason})")
    if usage is not None:
        yield usage
    yield Stop("tools" if called else _REASONS.get(reason, "end"))


def _usage(usage: Any) -> Usage | None:
    """Thoughts are output, https://ai.google.dev/gemini-api/docs/thinking#pricing."""
    if usage is None or usage.prompt_token_count is None:
        return None
    return Usage(
        usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0),
        (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        usage.cached_content_token_count or 0,
    )
