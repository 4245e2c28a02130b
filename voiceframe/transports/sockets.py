"""WebSockets that carriers open: what a transport needs of one, and how an ASGI server brings it.

    the server ── messages ──▶ StreamHandler ──▶ a transport
    the server ◀── MediaSocket ◀── a transport

`sockets_picows` brings the same by another listener.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

__all__ = [
    "INVALID",
    "NORMAL",
    "POLICY",
    "TOO_BIG",
    "TRY_AGAIN",
    "UNSUPPORTED",
    "MediaSocket",
    "StreamHandler",
    "StreamOpener",
    "serve_websocket",
]

#: WebSocket close codes (RFC 6455 section 7.4.1).
NORMAL, UNSUPPORTED, INVALID, POLICY, TOO_BIG, TRY_AGAIN = 1000, 1003, 1007, 1008, 1009, 1013

#: How long a peer may take to take that it is over.
CLOSE_MS: Final = 2_000
#: A close frame holds 125 bytes, two of them the code.
REASON_BYTES: Final = 120

_Scope: TypeAlias = MutableMapping[str, Any]


class MediaSocket(Protocol):
    """A socket to the carrier. Neither method waits, and both may be called when it is closed."""

    def send(self, message: bytes) -> None:
        """Send this, a text message, behind all that was sent before."""

    def close(self, code: int, reason: str) -> None:
        """Send what waits and close. With another code than `NORMAL` what waits need not be sent."""

    @property
    def waiting(self) -> int:
        """How many bytes the peer has not taken."""


class StreamHandler(Protocol):
    """Who takes what comes on one socket. Nothing here waits. After it has closed the socket nothing more comes."""

    def opened(self, socket: MediaSocket) -> None:
        """The socket is open."""

    def text(self, message: str | bytes) -> None:
        """A text message has come, decoded or as UTF-8."""

    def binary(self) -> None:
        """A binary message has come."""

    def gone(self, code: int) -> None:
        """The peer has closed the socket with this code, or has gone (1006)."""


#: Looks at a handshake, as an ASGI scope: who takes the stream, or the HTTP status with which it is refused.
StreamOpener: TypeAlias = Callable[[_Scope], "StreamHandler | int"]


async def serve_websocket(websocket: WebSocket, opener: StreamOpener) -> None:
    """Bring a WebSocket of Starlette to the handler that takes it."""
    handler = opener(websocket.scope)
    if isinstance(handler, int):
        await websocket.close(POLICY)  # before it is accepted: the answer is 403
        return
    await websocket.accept()
    socket = _AsgiSocket(websocket)
    try:
        handler.opened(socket)
        while not socket.closing:
            received = await websocket.receive()
            if socket.through:
                return
            if received["type"] == "websocket.disconnect":
                handler.gone(received.get("code", 1006))
                return
            text = received.get("text")
            if text is None:
                handler.binary()
            else:
                handler.text(text)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not socket.through or task is None:
            raise
        task.uncancel()  # the socket is closed, and nothing more is read
    except BaseException:
        handler.gone(1011)
        raise
    finally:
        await socket.aclose()


class _AsgiSocket:
    """A WebSocket of Starlette whose sending waits for nobody: a task writes, and what waits is counted."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: deque[str] = deque()
        self._size = 0
        self._more = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._broken = False
        #: Whether it was closed, and the peer has been told or will not be: there is nothing to read for.
        self.through = False
        self._given_up = False
        self._reader = asyncio.current_task()
        self._writer = asyncio.get_running_loop().create_task(self._write())

    @property
    def waiting(self) -> int:
        return self._size

    @property
    def closing(self) -> bool:
        """Whether it was closed from this side."""
        return self._closing is not None

    def send(self, message: bytes) -> None:
        if self._closing is None and not self._broken:
            self._queue.append(message.decode("ascii"))
            self._size += len(message)
            self._more.set()

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = (code, reason[:REASON_BYTES])
            if code != NORMAL:
                self._queue.clear()
                self._size = 0
            self._more.set()
            asyncio.get_running_loop().call_later(CLOSE_MS / 1000, self._give_up)

    def _give_up(self) -> None:
        if not self._writer.done():
            self._given_up = True
            self._stop_reading()

    def _stop_reading(self) -> None:
        self.through = True
        if self._reader is not None and self._reader is not asyncio.current_task() and not self._reader.done():
            self._reader.cancel()

    async def _write(self) -> None:
        send = self._websocket.send_text
        queue = self._queue
        try:
            while True:
                while queue:
                    text = queue[0]
                    await send(text)
                    if queue:  # not cleared meanwhile
                        queue.popleft()
                        self._size -= len(text)
                if self._closing is not None:
                    await self._websocket.close(*self._closing)
                    self._stop_reading()
                    return
                self._more.clear()
                await self._more.wait()
        except Exception:  # it is closed: the reader hears of that
            self._broken = True
            queue.clear()
            self._size = 0

    async def aclose(self) -> None:
        """Let the writer finish, but not for long."""
        self._reader = None
        self.close(NORMAL, "")
        _, late = await asyncio.wait((self._writer,), timeout=0 if self._given_up else 1)
        for task in late:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
