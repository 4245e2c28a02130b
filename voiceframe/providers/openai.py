"""OpenAI, and every server that speaks its chat API: vLLM, Ollama, llama.cpp.

Of `openai` 3.52; https://developers.openai.com/api/reference (chat completions and responses, with streaming).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal

from ..errors import ProviderError
from ..extras import optional
from ..llm import LLMRequest, Part
from ..provider import Place, Vendor
from . import openai_chat, openai_responses
from .base import LLMSettings, Pieces, VendorLLM

__all__ = ["OpenAI"]

#: Errors that come in the middle of an answer, and the status that they would have had before it.
_STATUS: Mapping[str, int] = {
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}


class OpenAI(VendorLLM):
    """A model of OpenAI: `OpenAI("gpt-4.1-mini")`, or of a compatible server:
    `OpenAI("llama3.2", place=Place("http://127.0.0.1:11434/v1"))`.

    api: `"chat"`, which all compatible servers have, or `"responses"`.

    Otherwise as `VendorLLM`. The beginning of a conversation is cached by the vendor itself; it is told which requests
    belong together (`prompt_cache_key`).
    """

    of = Vendor("openai", "OPENAI_API_KEY", "openai", "https://api.openai.com/v1", "OPENAI_BASE_URL")
    package = "openai"

    def __init__(
        self,
        model: str,
        *,
        api: Literal["chat", "responses"] = "chat",
        api_key: str = "",
        place: Place | None = None,
        settings: LLMSettings | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if api not in ("chat", "responses"):
            raise ProviderError.of(
                "provider.unknown",
                kind="API of OpenAI",
                name=repr(api),
                nearest="'chat'",
                known="'chat', 'responses'",
                by="OpenAI",
            )
        self.api = api
        super().__init__(model, api_key=api_key, place=place, settings=settings, options=options)

    def _connect(self) -> Any:
        http = optional("httpx2", extra=self.of.extra, what="OpenAI")
        limits = http.Limits(
            max_connections=None, max_keepalive_connections=100, keepalive_expiry=self.settings.keep_alive_ms / 1000
        )
        client = self._sdk.AsyncOpenAI(
            api_key=self._key,
            base_url=self.place.http(self.of),
            default_headers=dict(self.place.headers),
            default_query=dict(self.place.query),
            max_retries=0,
            timeout=None,
            http_client=self._sdk.DefaultAsyncHttpxClient(limits=limits),
        )
        # The SDK loads its parts when they are first asked for.
        _ = client.models, client.chat.completions if self.api == "chat" else client.responses
        types = "chat.chat_completion_chunk" if self.api == "chat" else "responses.response_stream_event"
        optional(f"openai.types.{types}", extra=self.of.extra, what="OpenAI")
        return client

    async def _ask(self, client: Any, request: LLMRequest) -> AsyncGenerator[Part | None, None]:
        """Everything goes in `extra_body`: the SDK passes on also what only another server knows.

        And as it is: of what stands in its own arguments it looks at every field, which takes up to half a millisecond
        for each message of a conversation, on the event loop.
        """
        if self.api == "chat":
            body = openai_chat.body_of(self.model, request, is_vendors=self.is_vendors)
        else:
            body = openai_responses.body_of(self.model, request, is_vendors=self.is_vendors)
        body |= self.options | dict(request.settings)
        body = {name: value for name, value in body.items() if value is not None}
        if self.api == "chat":
            stream = await client.chat.completions.create(
                model=body["model"], messages=[], stream=True, extra_body=body
            )
        else:
            stream = await client.responses.create(model=body["model"], input=[], stream=True, extra_body=body)
        read = openai_chat.parts_of if self.api == "chat" else openai_responses.parts_of
        async with Pieces(stream, stream.close) as pieces, contextlib.aclosing(read(pieces, self)) as parts:
            async for part in parts:
                yield part

    async def _ping(self, client: Any) -> None:
        if self.is_vendors:
            await client.models.retrieve(self.model)
        else:
            await client.models.list()  # not every compatible server can be asked for one

    def _error(self, error: Exception) -> ProviderError:
        # An error that comes as a piece of the answer has no status, and says what it is in its body.
        if type(error) is self._sdk.APIError:
            return self.stream_failure(getattr(error, "code", None), getattr(error, "type", None), str(error))
        return super()._error(error)

    def stream_failure(self, code: object, kind: object, detail: str) -> ProviderError:
        """The error that came in the middle of an answer."""
        status = next((_STATUS[str(name)] for name in (code, kind) if str(name) in _STATUS), 500)
        if isinstance(code, int) and 400 <= code < 600:
            status = code
        return self.failure(status, detail)
