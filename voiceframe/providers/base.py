"""What language models of vendors have in common: when to wait, when to try again, and what errors mean."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from ..errors import ProviderError
from ..extras import optional
from ..llm import LLM, LLMRequest, Part
from ..provider import Backoff, Place, Vendor, api_key, has_secret, redacted, typed
from ..settings import Settings, setting

__all__ = ["LLMSettings", "Pieces", "VendorLLM"]

_logger = logging.getLogger("voiceframe.llm")

#: How long the end of an answer is waited for behind its last part.
_END_S: Final = 0.1


class LLMSettings(Settings, prefix="LLM"):
    """What holds for every language model that is asked over the network."""

    model: str = setting(
        default="", doc="which model `llm()` gives, as `openai/gpt-4.1-mini`: vendor, slash, the vendor's name of it"
    )
    first_ms: int = setting(
        default=10_000, doc="time until an answer begins, attempts that fail and are repeated included", ge=50
    )
    silence_ms: int = setting(default=10_000, doc="time between two parts of an answer", ge=50)
    retries: int = setting(default=2, doc="how often it is asked again when nothing of an answer has come", ge=0, le=10)
    keep_alive_ms: int = setting(
        default=300_000, doc="how long a connection that is not used is kept for the next turn", ge=0
    )


class Pieces:
    """The pieces of an answer, as an SDK's stream gives them, and its end.

        async with Pieces(stream, stream.close) as pieces:
            async for piece in pieces: ...

    A stream of an SDK is a chain of generators. One that is left half-way stays for the garbage collector, which closes
    it in tasks that nobody knows of; and a connection whose answer was not read to its end cannot serve again. So an
    answer that is complete is read to its end, if that comes at once; of one that is not, the connection is closed
    first, and all generators see that it is.
    """

    def __init__(self, stream: Any, close: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._close = close

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                await self._close()
            with contextlib.suppress(Exception):  # that it is closed, or what nobody asks for any more
                async with asyncio.timeout(_END_S):
                    while True:
                        await anext(self)
        finally:
            await self._close()


class VendorLLM(LLM):
    """A model of a vendor. A subclass says how to connect, and how to ask once.

    One instance serves many calls, on one event loop; make it once, because the SDK is imported here (which takes up to
    two seconds) and connections are kept. What fails before the answer has begun is tried again within `first_ms`; what
    fails later is a `ProviderError`, and nothing of the answer comes twice.

    model: the vendor's name of it. api_key: by default the vendor's variable of the environment.
    place: another URL, headers and query, for a proxy or a compatible server, where no key is needed.
    settings: by default from the environment and the settings file.
    options: more of the vendor's own for each request, by their names; None leaves out what would be sent. Those of
        `LLMRequest.settings` take their place.

    Raises `MissingExtra` without the SDK, and `ProviderError` (`provider.key`) without a key.
    """

    of: ClassVar[Vendor]
    package: ClassVar[str]

    def __init__(
        self,
        model: str,
        *,
        api_key: str = "",
        place: Place | None = None,
        settings: LLMSettings | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.vendor = self.of.name
        self.model = model
        self.name = f"{self.vendor}/{model}"
        self.settings = settings or LLMSettings.load()
        self.options = dict(options or {})
        self.place = place or Place()
        #: Whether it is the vendor that is asked, not a proxy or a compatible server.
        self.is_vendors = urlsplit(self.place.http(self.of)).hostname == urlsplit(self.of.url).hostname
        self._key = self._find_key(api_key)
        self._sdk: ModuleType = optional(self.package, extra=self.of.extra, what=type(self).__name__)
        # Here, because it reads certificates and loads what the SDK has left out: that would hold up all calls.
        self._client: Any = self._connect()
        self._rng = random.Random(secrets.randbits(64))

    def _find_key(self, given: str) -> str:
        try:
            return api_key(self.of, given, type(self).__name__)
        except ProviderError:
            if self.is_vendors:
                raise
            return "none"

    # -- for a subclass

    @abc.abstractmethod
    def _connect(self) -> Any:
        """The client of the SDK, which tries nothing again and waits for ever: both are done here."""

    @abc.abstractmethod
    def _ask(self, client: Any, request: LLMRequest) -> AsyncGenerator[Part | None, None]:
        """One request, and its parts as they come; None for what makes no part but shows that the model is at work.

        Raises `ValueError` for messages that are no conversation.
        """

    @abc.abstractmethod
    async def _ping(self, client: Any) -> None:
        """Any small request, so that there is a connection."""

    async def _close(self, client: Any) -> None:
        await client.close()

    def _error(self, error: Exception) -> ProviderError:
        """What an exception of the SDK means."""
        return typed(error, self.of, type(self).__name__)

    def failure(self, status: int, detail: str) -> ProviderError:
        """The error for a status of HTTP, also one that comes in the middle of an answer."""
        code = "provider.server"
        if status in (401, 403):
            code = "provider.auth"
        elif status == 429:
            code = "provider.rate-limit"
        elif 400 <= status < 500:
            code = "provider.request"
        facts = {"vendor": self.vendor, "status": status, "detail": " ".join(redacted(detail).split())[:200]}
        return ProviderError.of(code, by=type(self).__name__, variable=self.of.key_variable, **facts)

    def refused(self, detail: str) -> ProviderError:
        """The error for what is not even sent."""
        facts = {"vendor": self.vendor, "status": 0, "detail": " ".join(redacted(detail).split())[:200]}
        return ProviderError.of("provider.request", by=type(self).__name__, **facts)

    def ended(self) -> ProviderError:
        """The error for an answer that stops in the middle of nowhere."""
        return ProviderError.of(
            "provider.connection", vendor=self.vendor, detail="the answer ended in the middle", by=type(self).__name__
        )

    # -- the contract

    @property
    def client(self) -> Any:
        """The client of the SDK; another one after `aclose()`."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        backoff = Backoff(self._rng)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.first_ms / 1000
        while True:
            begun = False
            parts = self._ask(self.client, request)
            try:
                async with contextlib.aclosing(parts):
                    until = deadline
                    while True:
                        limit = asyncio.timeout_at(until)
                        try:
                            async with limit:
                                part = await anext(parts)
                        except TimeoutError as error:
                            raise (self._silent(until == deadline) if limit.expired() else self._error(error)) from None
                        if part is not None:
                            begun = True
                            yield part
                        until = loop.time() + self.settings.silence_ms / 1000
            except StopAsyncIteration:
                return
            except Exception as error:
                found = self._understood(error)
                wait_ms = None
                if not begun and found.code != "provider.silent" and backoff.attempts < self.settings.retries:
                    wait_ms = backoff.next_ms(found)
                if wait_ms is None or loop.time() + wait_ms / 1000 >= deadline:
                    raise found from (None if has_secret(error) else error)
                await asyncio.sleep(wait_ms / 1000)

    def _understood(self, error: Exception) -> ProviderError:
        if isinstance(error, ValueError) and type(error) is ValueError:
            return self.refused(f"these messages are no conversation: {error}")
        return self._error(error)

    def _silent(self, first: bool) -> ProviderError:
        name = "first_ms" if first else "silence_ms"
        return ProviderError.of(
            "provider.silent",
            vendor=self.vendor,
            waited_ms=getattr(self.settings, name),
            setting=f"LLMSettings({name}=...)",
        )

    async def warm(self) -> None:
        try:
            async with asyncio.timeout(self.settings.first_ms / 1000):
                await self._ping(self.client)
        except Exception as error:
            _logger.warning("%s cannot be reached yet: %s", self.name, self._error(error))

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await self._close(client)
