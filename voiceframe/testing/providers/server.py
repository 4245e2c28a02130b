"""A local server that speaks a vendor's protocol, and what may go wrong with it.

    async with FakeDeepgram() as fake:          # a real port of this machine
        stt = DeepgramSTT(place=Place(fake.url), api_key="key")

Each vendor's fake is a subclass that adds routes; the official SDK talks to it over real sockets. What goes wrong is
scripted per connection or request, in order: `fake.faults.append(Fault(cut_after=3))`.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from ...extras import optional

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Asked", "FakeProvider", "FakeSocket", "Fault"]

_CLOSE_S: Final = 1


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong on one connection, or with one request.

    status: it is refused with this status of HTTP, with `retry_after_ms` in the header `Retry-After`, and `body`.
    cut_after: after so many messages, of both directions together, the TCP connection is reset; for an answer by HTTP
        so many pieces of it. 0: before the first.
    hang_after: from then on nothing is read or sent any more, and the connection stays open (half-open).
    close_after, close_code: the WebSocket is closed with this code.
    garble_after: the next message that is sent is no message of this protocol.
    delay_ms: before each message that is sent.
    """

    status: int = 0
    retry_after_ms: int | None = None
    body: str = ""
    cut_after: int | None = None
    hang_after: int | None = None
    close_after: int | None = None
    close_code: int = 1011
    garble_after: int | None = None
    delay_ms: int = 0


@dataclass(frozen=True)
class Asked:
    """A request or handshake that came: method, path, query, headers (names in lower case) and body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _Connection:
    """How many messages have passed, and what is going to happen."""

    fault: Fault
    transport: asyncio.Transport | None
    passed: int = 0
    garbled: bool = field(default=False)

    async def pass_one(self, *, sending: bool) -> None:
        """One more message is about to pass. Raises `ConnectionResetError` when it was cut instead."""
        fault = self.fault
        if sending and fault.delay_ms:
            await asyncio.sleep(fault.delay_ms / 1000)
        if fault.cut_after is not None and self.passed >= fault.cut_after:
            if self.transport is not None:
                self.transport.abort()
            raise ConnectionResetError("cut, as was asked for")
        if fault.hang_after is not None and self.passed >= fault.hang_after:
            await asyncio.Event().wait()
        self.passed += 1

    def garbles(self) -> bool:
        """Whether the next message that is sent is to be nonsense."""
        garble = self.fault.garble_after
        if garble is None or self.garbled or self.passed < garble:
            return False
        self.garbled = True
        return True


class FakeSocket:
    """A WebSocket, seen by the vendor. What its methods raise ends the connection, and nothing else."""

    def __init__(self, socket: web.WebSocketResponse, connection: _Connection, asked: Asked) -> None:
        self._socket = socket
        self._connection = connection
        #: The handshake.
        self.asked = asked
        #: What has come on it.
        self.received: list[str | bytes] = []

    @property
    def passed(self) -> int:
        """How many messages have passed, of both directions together."""
        return self._connection.passed

    async def receive(self) -> str | bytes | None:
        """The next message; None when the client has closed."""
        await self._close_if_due()
        message = await self._socket.receive()
        if not isinstance(message.data, str | bytes):
            return None
        await self._connection.pass_one(sending=False)
        self.received.append(message.data)
        return message.data

    async def messages(self) -> AsyncIterator[str | bytes]:
        """All of them, until the client closes."""
        while (message := await self.receive()) is not None:
            yield message

    async def send(self, message: str | bytes | Mapping[str, Any]) -> None:
        """Send this: text, bytes, or an object as JSON."""
        await self._close_if_due()
        await self._connection.pass_one(sending=True)
        if self._connection.garbles():
            await self._socket.send_str('{"type":{"this is":["no message"')
        elif isinstance(message, bytes):
            await self._socket.send_bytes(message)
        else:
            await self._socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it."""
        await self._socket.close(code=code, message=reason.encode())

    async def _close_if_due(self) -> None:
        fault = self._connection.fault
        if fault.close_after is not None and self._connection.passed >= fault.close_after:
            await self._socket.close(code=fault.close_code, message=b"as was asked for")
            raise ConnectionResetError("closed, as was asked for")


class FakeProvider(abc.ABC):
    """A vendor on a port of this machine. A subclass adds its routes in `routes()`.

    key: what it takes for a valid API key.
    """

    #: What is sent of a streamed answer in place of a piece that is garbled.
    nonsense: bytes = b"data: {no json\n\n"

    def __init__(self, *, key: str = "key") -> None:
        self.key = key
        #: What goes wrong with the next connections or requests, one each; then nothing does.
        self.faults: deque[Fault] = deque()
        #: All that was asked, and the sockets, in order.
        self.asked: list[Asked] = []
        self.sockets: list[FakeSocket] = []
        self._made: list[_Connection] = []
        self._runner: Any = None
        self._port = 0
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where it is: `http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """How many WebSockets and answers are open now."""
        return len(self._open)

    @property
    def messages(self) -> list[int]:
        """How many messages have passed on each WebSocket, or pieces of each answer, in order."""
        return [connection.passed for connection in self._made]

    @abc.abstractmethod
    def routes(self, app: web.Application) -> None:
        """Add the vendor's routes: `app.router.add_get(path, self.websocket(handler))`, `add_post(path, …)`."""

    @abc.abstractmethod
    def authorized(self, asked: Asked) -> bool:
        """Whether a request has the key, in the way of this vendor."""

    def websocket(
        self, handler: Callable[[FakeSocket], Awaitable[None]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A route for WebSockets: `handler` talks on each until it returns, then it is closed."""

        async def serve(request: web.Request) -> web.StreamResponse:
            from aiohttp import web

            fault, refused = await self._enter(request)
            if refused is not None:
                return refused
            socket = web.WebSocketResponse(compress=False, max_msg_size=0)
            await socket.prepare(request)
            connection = _Connection(fault, request.transport)
            self._made.append(connection)
            fake = FakeSocket(socket, connection, self.asked[-1])
            self.sockets.append(fake)
            with self._counted(), contextlib.suppress(ConnectionError):
                await handler(fake)
                await socket.close()
            return socket

        return serve

    def answering(
        self, handler: Callable[[Asked], Awaitable[Mapping[str, Any] | AsyncIterator[bytes]]], *, content_type: str = ""
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A route for requests: `handler` returns an object for an answer in JSON, or the pieces of a streamed one."""

        async def serve(request: web.Request) -> web.StreamResponse:
            from aiohttp import web

            fault, refused = await self._enter(request)
            if refused is not None:
                return refused
            connection = _Connection(fault, request.transport)
            self._made.append(connection)
            with self._counted():
                answer = await handler(self.asked[-1])
                if isinstance(answer, Mapping):
                    await connection.pass_one(sending=True)
                    if connection.garbles():
                        return web.Response(text="{no json", content_type="application/json")
                    return web.json_response(answer)
                response = web.StreamResponse(headers={"Content-Type": content_type or "application/octet-stream"})
                await response.prepare(request)
                async for piece in answer:
                    await connection.pass_one(sending=True)
                    await response.write(self.nonsense if connection.garbles() else piece)
                await connection.pass_one(sending=True)  # so that it can be cut before its end
                await response.write_eof()
                return response

        return serve

    async def _enter(self, request: web.Request) -> tuple[Fault, web.StreamResponse | None]:
        from aiohttp import web

        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, request.path, dict(request.query), headers, body)
        self.asked.append(asked)
        fault = self.faults.popleft() if self.faults else Fault()
        if not self.authorized(asked):
            return fault, web.json_response({"error": {"message": "invalid key", "type": "auth"}}, status=401)
        if fault.status:
            more = {}
            if fault.retry_after_ms is not None:
                more["Retry-After"] = f"{fault.retry_after_ms / 1000:g}"
            text = fault.body or json.dumps({"error": {"message": "refused, as was asked for", "type": "fault"}})
            return fault, web.Response(status=fault.status, text=text, content_type="application/json", headers=more)
        return fault, None

    @contextlib.contextmanager
    def _counted(self) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            yield
        finally:
            self._open.discard(task)

    async def __aenter__(self) -> Self:
        web = optional("aiohttp.web", extra="telephony", what="A local provider")
        app = web.Application()
        self.routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_S, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in tuple(self._open):
            task.cancel()
        await self._runner.cleanup()
