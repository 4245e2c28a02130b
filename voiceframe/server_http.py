"""uvicorn's protocols, for a port that strangers reach: a head is bounded before it is parsed, and all has its time.

h11 and uvicorn bound neither how long a connection may say nothing, nor how long a head that comes at once may be, nor
how long they wait for a peer to take its answer; one stranger could keep a process from stopping.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from .errors import MissingExtra

try:
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
except ModuleNotFoundError as error:
    raise MissingExtra.of("extra.missing", what="The gateway", package=error.name, extra="telephony") from error

__all__ = ["HttpProtocol", "WebSocketProtocol"]

#: What the head of a request may have. Carriers' have some 30 lines and 2 KB; h11 takes 2 µs for each line.
_HEAD_BYTES: Final = 16_384
_HEAD_LINES: Final = 100
#: From the end of an answer, or the connection, to the end of the next one. The body alone has `body_ms`.
_REQUEST_S: Final = 20.0
#: Until the whole head is there.
_HEAD_S: Final = 5.0
#: What a peer that pings may leave unread before it gets no more answers.
_PONGS: Final = 4_096
#: Read at a time from a stream: ten messages of a carrier, or 700 empty frames of somebody else.
_READ_BYTES: Final = 4_096
#: How long a peer may take to take that it is over.
_CLOSE_S: Final = 2.0


class HttpProtocol(H11Protocol):
    """HTTP with bounds."""

    _watch: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is h11.IDLE and _too_much(self.conn.trailing_data[0] + data):
            self._unset_keepalive_if_required()
            self.send_400_response("Invalid HTTP request received.")
            return
        super().data_received(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._arm()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._disarm()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._disarm()
        self._since = self.loop.time()
        self._watch = self.loop.call_later(_HEAD_S, self._overdue)

    def _disarm(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _overdue(self) -> None:
        self._watch = None
        left = self._since + _REQUEST_S - self.loop.time()
        if self.conn.their_state is h11.IDLE or self.transport.is_closing() or left <= 0:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(left, self._overdue)


def _too_much(head: bytes) -> bool:
    end = head.find(b"\r\n\r\n", 0, _HEAD_BYTES + 4)
    lines = head.count(b"\n", 0, end if end >= 0 else len(head))
    return (end < 0 and len(head) > _HEAD_BYTES) or lines > _HEAD_LINES


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets with bounds."""

    def connection_made(self, transport: Any) -> None:
        # Of a read asyncio takes up to 256 KB: as frames of some bytes that is 0.1 s in which nothing else is served.
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        super().connection_made(transport)

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() < _PONGS:
            super().handle_ping()
        else:
            self.conn.data_to_send()

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:  # uvicorn would wait for ever for what the peer does not take
            self.loop.call_later(_CLOSE_S, self.transport.abort)
