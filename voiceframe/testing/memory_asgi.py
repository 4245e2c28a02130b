"""The way to a bot in memory: calls an ASGI application as a server would, with the same bytes, also on virtual time.

What waits in either direction is bounded, as it is by TCP: who sends to a peer that does not read waits as well. What a
server does where the specification leaves it open is what uvicorn does.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from .network import Answer, HandshakeRefused, Headers, Socket, within

__all__ = ["MemoryNetwork"]

_Message: TypeAlias = MutableMapping[str, Any]
ASGIApp: TypeAlias = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Coroutine[Any, Any, None]
]

_TIMEOUT_S: Final = 15


class MemoryNetwork:
    """Reaches `app` in memory.

    public_url: where the app is known to be. Its path is taken off, as a proxy does; other URLs cannot be reached.
    client: whom the app takes its peer for: host and port.
    buffer_bytes: how much may wait for a peer that does not read, for each WebSocket and direction.
    """

    def __init__(
        self,
        app: ASGIApp,
        public_url: str,
        *,
        client: tuple[str, int] = ("memory", 0),
        buffer_bytes: int = 65_536,
    ) -> None:
        self._app = app
        self._public_url = public_url
        self._client = client
        self._buffer_bytes = buffer_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        #: What the application has raised.
        self.errors: list[Exception] = []

    async def post(self, url: str, headers: Headers, body: bytes) -> Answer:
        scope = self._scope("http", url, [*headers, ("Content-Length", str(len(body)))])
        scope["method"] = "POST"
        exchange = _Exchange(body)
        task = self._start(scope, exchange.receive, exchange.send, exchange.gone)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await exchange.done.wait()
        finally:
            exchange.gone()
            await asyncio.sleep(0)  # it learns so, and is through
        if exchange.status is None:
            if task.done():
                return Answer(500, "text/plain; charset=utf-8", b"Internal Server Error")
            raise ConnectionResetError("there was no answer")
        return Answer(exchange.status, exchange.content_type, b"".join(exchange.parts))

    async def open(self, url: str, headers: Headers) -> Socket:
        # What makes an upgrade of it; the key is that of RFC 6455, for nobody looks.
        upgrade = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ]
        scope = self._scope("websocket", url, [*upgrade, *headers])
        scope["subprotocols"] = []
        scope["extensions"] = {"websocket.http.response": {}}
        socket = _MemorySocket(self._buffer_bytes)
        self._start(scope, socket.app_receives, socket.app_sends, socket.app_is_through)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status = await socket.handshake
        except BaseException:
            socket.abort()
            raise
        if status != 101:
            raise HandshakeRefused(status)
        return socket

    async def aclose(self, timeout_ms: int = 5_000) -> None:
        """Wait until the application is through with all that it was asked; what takes longer is cancelled."""
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=timeout_ms / 1000)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _scope(self, kind: str, url: str, headers: Headers) -> _Message:
        """As uvicorn makes it behind a proxy that ends TLS."""
        target = within(url, self._public_url)
        if target is None:
            raise ConnectionRefusedError(f"{url} is not below {self._public_url}")
        parts = urlsplit(url)
        raw_path, _, query = target.partition("?")
        named = [("Host", parts.netloc), *headers]
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4" if kind == "websocket" else "2.3"},
            "http_version": "1.1",
            "scheme": "http" if kind == "http" else "ws",
            "server": (parts.hostname, parts.port or 443),
            "client": self._client,
            "root_path": "",
            "path": unquote(raw_path),
            "raw_path": raw_path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "headers": [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in named],
            "state": {},
        }

    def _start(self, scope: _Message, receive: Any, send: Any, through: Callable[[], None]) -> asyncio.Task[None]:
        async def serve() -> None:
            try:
                await self._app(scope, receive, send)
            except ConnectionError:  # of ours: what it has sent to nobody
                pass
            except Exception as error:
                self.errors.append(error)
            finally:
                through()

        # A server knows nothing of who calls: neither does what runs here.
        task = asyncio.get_running_loop().create_task(serve(), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Exchange:
    """One request and its answer."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._over = asyncio.Event()
        self.done = asyncio.Event()
        self.status: int | None = None
        self.content_type = ""
        self.parts: list[bytes] = []

    async def receive(self) -> _Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            named = {bytes(key).lower(): bytes(value) for key, value in message.get("headers", ())}
            self.content_type = named.get(b"content-type", b"").decode("latin-1")
        elif message["type"] == "http.response.body":
            self.parts.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self.gone()

    def gone(self) -> None:
        """The answer is complete, or nobody waits for it any more."""
        self._over.set()
        self.done.set()


class _MemorySocket:
    """A WebSocket with two ends: the application's, and that of who has opened it (`network.Socket`)."""

    def __init__(self, most: int) -> None:
        self.handshake: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.closed_with = 0
        self._in = _Pipe(most)  # to the application
        self._out = _Pipe(most)  # from it
        self._accepted = False
        self._asked = False  # whether the application knows that it is asked
        self._sent_close = False  # by the application
        self._gone = False  # the connection is
        self._bye: _Message = {"type": "websocket.disconnect", "code": 1006, "reason": ""}

    # -- the application's end

    async def app_receives(self) -> _Message:
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        text = await self._in.get()
        return dict(self._bye) if text is None else {"type": "websocket.receive", "text": text}

    async def app_sends(self, message: _Message) -> None:
        kind = message["type"]
        await self._out.room()
        if self._gone:
            raise ConnectionResetError("the client is gone")
        if not self._accepted:
            if kind == "websocket.accept":
                self._accepted = True
                self._answer(101)
            elif kind == "websocket.close":
                self._answer(403)
            elif kind == "websocket.http.response.start":
                self._answer(message["status"])
            elif kind != "websocket.http.response.body":
                raise RuntimeError(f"{kind!r} before the handshake")
        elif self._sent_close:
            raise RuntimeError(f"{kind!r} after 'websocket.close'")
        elif kind == "websocket.send":
            text = message.get("text")
            self._out.put(text if text is not None else "")
        elif kind == "websocket.close":
            self._sent_close = True
            self.closed_with = self.closed_with or message.get("code", 1000)
            self._bye = {"type": "websocket.disconnect", "code": self.closed_with, "reason": message.get("reason", "")}
            self._out.end()
            self._in.end()

    def app_is_through(self) -> None:
        self._answer(500)
        self._drop()

    def _answer(self, status: int) -> None:
        if not self.handshake.done():
            self.handshake.set_result(status)

    def _drop(self) -> None:
        self._gone = True
        self.closed_with = self.closed_with or 1006
        self._out.end()
        self._in.end()

    # -- the end of who has opened it

    async def send(self, text: str) -> None:
        await self._in.room()
        if self._gone:
            raise ConnectionResetError("the server is gone")
        if not self._sent_close:
            self._in.put(text)

    async def receive(self) -> str | None:
        return await self._out.get()

    async def close(self, code: int = 1000) -> None:
        if not self._gone:
            self.closed_with = self.closed_with or code
            self._bye = {"type": "websocket.disconnect", "code": code, "reason": ""}
            self._in.end()
            self._gone = True
            self._out.end()

    def abort(self) -> None:
        if not self._gone:
            self._bye = {"type": "websocket.disconnect", "code": 1005, "reason": ""}  # uvicorn's, of a lost connection
            self._in.clear()
            self._out.clear()
            self._drop()


class _Pipe:
    """What is under way in one direction."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[str] = deque()
        self._size = 0
        self._over = False
        self._changed = asyncio.Event()

    async def room(self) -> None:
        """Wait while too much is under way."""
        while self._size >= self._most and not self._over:
            await self._wait()

    def put(self, text: str) -> None:
        if not self._over:
            self._items.append(text)
            self._size += len(text)
            self._tell()

    async def get(self) -> str | None:
        """The next one; None at the end."""
        while not self._items:
            if self._over:
                return None
            await self._wait()
        text = self._items.popleft()
        self._size -= len(text)
        self._tell()
        return text

    def end(self) -> None:
        """Nothing more comes behind what is under way."""
        self._over = True
        self._tell()

    def clear(self) -> None:
        self._items.clear()
        self._size = 0
        self._tell()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
