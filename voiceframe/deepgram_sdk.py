"""The SDK of Deepgram, as its recognizer and its voice use it.

By itself the SDK (7.17) opens WebSockets with the old client of `websockets`, which is deprecated, compresses, and
takes a connection for dead when the reader takes its time. It takes another transport, so it is given one here. The SDK
keeps one transport for the process: a program that uses the SDK beside Voiceframe gets this one as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from .extras import optional
from .provider import Place, Vendor
from .tls import for_socket, tls

__all__ = ["DEEPGRAM", "Socket", "client"]

DEEPGRAM = Vendor("deepgram", "DEEPGRAM_API_KEY", "deepgram", "https://api.deepgram.com", "DEEPGRAM_BASE_URL")

_CLOSE_S = 0.5
#: An answer to a ping may wait behind sound that the caller still has to hear: the usual 20 s are too short.
_PING_TIMEOUT_S = 60


def client(key: str, place: Place, *, what: str) -> Any:
    """An `AsyncDeepgramClient`. The first import of the SDK takes most of a second: call this by `offload()`.

    what: what it is for, said if the SDK is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of websockets.legacy, which is imported and not used
        sdk = optional("deepgram", extra="deepgram", what=what)
        environment = optional("deepgram.environment", extra="deepgram", what=what)
        http, socket = place.http(DEEPGRAM), place.websocket(DEEPGRAM)
        where = environment.DeepgramClientEnvironment(base=http, production=socket, agent=socket, agent_rest=http)
        # Nothing is asked by HTTP, for which the client would make a TLS context of its own.
        plain = optional("httpx", extra="deepgram", what=what).AsyncClient(verify=tls())
        return sdk.AsyncDeepgramClient(api_key=key, environment=where, transport_factory=_Transport, httpx_client=plain)


class Socket:
    """A WebSocket of the SDK, opened and closed.

    sdk: what `client.listen.v1.connect()` and its like give.
    """

    def __init__(self, entered: contextlib.AsyncExitStack, sdk: Any, transport: _Transport) -> None:
        self._entered = entered
        self._transport = transport
        self.sdk = sdk

    @classmethod
    async def open(cls, connecting: contextlib.AbstractAsyncContextManager[Any]) -> Socket:
        """Enter `connecting` and wait for the handshake. Raises what `websockets` does."""
        entered = contextlib.AsyncExitStack()
        try:
            sdk = await entered.enter_async_context(connecting)
            transport = _latest.get()
            await transport.open()
        except BaseException:
            await entered.aclose()
            raise
        return cls(entered, sdk, transport)

    async def aclose(self) -> None:
        """Close it: politely if the other side answers, at any rate soon."""
        with contextlib.suppress(Exception):
            await self._entered.aclose()


_latest: ContextVar[_Transport] = ContextVar("deepgram_transport")


class _Transport:
    """What the SDK sends and receives by. It is connected by `open()`, or by the first message."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._socket: Any = None
        self._opening = asyncio.Lock()
        _latest.set(self)

    async def open(self) -> Any:
        async with self._opening:
            if self._socket is None:
                websockets = optional("websockets.asyncio.client", extra="deepgram", what="Deepgram")
                self._socket = await websockets.connect(
                    self._url,
                    additional_headers=self._headers,
                    compression=None,
                    max_size=None,
                    ping_timeout=_PING_TIMEOUT_S,
                    close_timeout=_CLOSE_S,
                    **for_socket(self._url),
                )
        return self._socket

    async def send(self, data: Any) -> None:
        await (self._socket or await self.open()).send(data)

    async def recv(self) -> Any:
        return await (self._socket or await self.open()).recv()

    async def __aiter__(self) -> AsyncIterator[Any]:
        socket = self._socket or await self.open()
        async for message in socket:
            yield message

    async def close(self) -> None:
        socket = self._socket
        if socket is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await socket.close()
        except TimeoutError:
            pass
        finally:
            socket.transport.abort()
