"""WebSockets of carriers by picows, in place of uvicorn's: a third of the cost per message, on the same port.

    uvicorn: accepts, ends TLS, reads the head of a request
       ├── HTTP, other WebSockets ──▶ ASGI
       └── a WebSocket for a stream ──▶ picows ──▶ StreamHandler

picows (https://picows.readthedocs.io) parses frames in C and hands each over in the callback of the socket: no task,
no queue, no copy of the message as text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from ..extras import optional
from .sockets import CLOSE_MS, NORMAL, REASON_BYTES, TOO_BIG, MediaSocket, StreamHandler, StreamOpener

__all__ = ["handing_over"]

_PROTOCOL_ERROR, _RESTARTS = 1002, 1012
_HANDSHAKE_S: Final = 5
#: What a peer that pings may leave unread before it gets no more answers.
_PONGS: Final = 4_096


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """picows logs each connection, and what strangers do wrong as errors: for a public server that is noise."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        quieter = logging.DEBUG if level <= logging.INFO else logging.INFO if level == logging.ERROR else level
        super().log(level if kwargs.get("exc_info") else quieter, msg, *args, **kwargs)


_log = _Quiet(logging.getLogger("voiceframe.server.picows"), {})


def handing_over(streams: Mapping[str, StreamOpener], *, message_bytes: int) -> Callable[..., asyncio.Protocol]:
    """What uvicorn is to make of a WebSocket (its `ws=`): for a path in `streams` picows, for others its own protocol.

    Raises `MissingExtra`.
    """
    picows = optional("picows", extra="picows", what="`VOICEFRAME_SERVER_WEBSOCKETS=picows`")
    from picows.picows import WSProtocol  # type: ignore[attr-defined]  # it is not in its stub

    from ..server_http import WebSocketProtocol

    text, binary, more = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION
    ping, close = picows.WSMsgType.PING, picows.WSMsgType.CLOSE

    class Listener(picows.WSListener):  # type: ignore[misc, name-defined]
        """A connection of picows, and the handler that takes what comes on it."""

        def __init__(self, handler: StreamHandler) -> None:
            self._handler = handler
            self._parts: list[bytes] | None = None  # of a message in fragments
            self._size = 0
            self.socket: _Socket | None = None

        def on_ws_connected(self, transport: Any) -> None:
            self.socket = _Socket(transport, picows)
            self._handler.opened(self.socket)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            socket = self.socket
            assert socket is not None
            kind = frame.msg_type
            if socket.closing:
                if kind == close:
                    transport.disconnect()
            elif kind == text and frame.fin and self._parts is None and not (frame.rsv1 or frame.rsv2 or frame.rsv3):
                self._handler.text(frame.get_payload_as_bytes())
            elif kind == close:
                code = int(frame.get_close_code())
                self._end(code or 1005)
                socket.close(_answer_to(code), "")
                transport.disconnect()
            elif kind == ping:
                if socket.waiting < _PONGS:
                    transport.send_pong(frame.get_payload_as_bytes())
            elif frame.rsv1 or frame.rsv2 or frame.rsv3:
                self._refuse(_PROTOCOL_ERROR, "an extension that was not agreed on")
            elif kind == binary and self._parts is None:
                self._handler.binary()
            elif kind in (text, binary, more):
                self._fragment(kind == more, frame)

        def _fragment(self, continues: bool, frame: Any) -> None:
            """Part of a message."""
            if continues != (self._parts is not None):
                self._refuse(_PROTOCOL_ERROR, "fragments out of order")
                return
            parts = self._parts = self._parts or []
            parts.append(frame.get_payload_as_bytes())
            # An empty fragment is no progress, and costs memory all the same.
            self._size += len(parts[-1]) + 1
            if self._size > message_bytes:
                self._refuse(TOO_BIG, "wire.size")
            elif frame.fin:
                message = b"".join(parts)
                self._parts, self._size = None, 0
                self._handler.text(message)

        def on_ws_disconnected(self, transport: Any) -> None:
            self._end(1006)

        def _refuse(self, code: int, reason: str) -> None:
            assert self.socket is not None
            self._end(code)
            self.socket.close(code, reason)

        def _end(self, code: int) -> None:
            """Tell the handler, once, unless it has closed the socket itself."""
            socket = self.socket
            if socket is not None and not socket.closing and not socket.told:
                socket.told = True
                self._handler.gone(code)

    class HandedOver(asyncio.Protocol):
        """Reads the head of the request, which uvicorn has read before, and gives the connection to whose it is."""

        def __init__(self, config: Any, server_state: Any, app_state: Any) -> None:
            self._config, self._state, self._app_state = config, server_state, app_state
            self._transport: asyncio.Transport
            self._inner: Any = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = transport  # type: ignore[assignment]

        def data_received(self, data: bytes) -> None:
            inner = self._inner
            if inner is not None:
                _feed(inner, data)
                return
            target = data.split(b" ", 2)[1] if data.count(b" ", 0, 8_192) > 1 else b""
            raw_path, _, query = target.partition(b"?")
            opener = streams.get(unquote(raw_path.decode("latin-1")))
            if opener is None:
                inner = WebSocketProtocol(self._config, self._state, self._app_state)
            else:
                inner = _Buffered(self._state.connections, self._make(opener, raw_path, query))
            self._inner = inner
            inner.connection_made(self._transport)
            _feed(inner, data)
            # uvicorn makes this object the connection's protocol when we return.
            asyncio.get_running_loop().call_soon(self._let_go)

        def _make(self, opener: StreamOpener, raw_path: bytes, query: bytes) -> Any:
            peer = self._transport.get_extra_info("peername")

            def listener(request: Any) -> Any:
                scope = {
                    "type": "websocket",
                    "path": unquote(raw_path.decode("latin-1")),
                    "raw_path": raw_path,
                    "query_string": query,
                    "client": tuple(peer[:2]) if peer else None,
                    "headers": [
                        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
                        for name, value in request.headers.items()
                    ],
                }
                handler = opener(scope)
                if isinstance(handler, int):
                    refusal = picows.WSUpgradeResponse.create_error_response(handler)
                    return picows.WSUpgradeResponseWithListener(refusal, None)
                return Listener(handler)

            # The arguments of `picows.ws_create_server`, which makes the same for a port of its own.
            return WSProtocol(
                None,  # host and port, of a client
                None,  # its path
                False,  # no client
                listener,
                _log,
                True,  # an exception ends the connection
                _HANDSHAKE_S,
                False,  # no pings: the silence of a stream is noticed
                20,
                20,
                picows.WSAutoPingStrategy.PING_WHEN_IDLE,
                False,  # no pongs to those who do not read
                message_bytes,
                None,  # more headers, of a client
                4_096,  # read at a time
            )

        def _let_go(self) -> None:
            if not self._transport.is_closing():
                self._transport.set_protocol(self._inner)

        def connection_lost(self, error: Exception | None) -> None:
            if self._inner is not None:
                self._inner.connection_lost(error)

    return HandedOver


def _answer_to(code: int) -> int:
    """The code that answers the peer's, 0 for none (RFC 6455 section 7.4)."""
    if not code:
        return NORMAL
    allowed = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    return code if allowed else _PROTOCOL_ERROR


def _feed(protocol: Any, data: bytes) -> None:
    if not isinstance(protocol, asyncio.BufferedProtocol):
        protocol.data_received(data)
        return
    view = memoryview(data)
    while view:
        buffer = memoryview(protocol.get_buffer(len(view)))
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]


class _Buffered(asyncio.BufferedProtocol):
    """A protocol of picows that uvicorn knows of, so that it waits for it when it stops."""

    def __init__(self, connections: set[Any], inner: Any) -> None:
        self._connections = connections
        self._inner = inner
        self.get_buffer = inner.get_buffer  # type: ignore[method-assign]
        self.buffer_updated = inner.buffer_updated  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._inner.connection_lost(exc)

    def shutdown(self) -> None:
        """uvicorn stops. The calls have ended before."""
        listener = self._inner.listener
        if listener is not None and listener.socket is not None:
            listener.socket.close(_RESTARTS, "")
        else:
            self._inner.transport.disconnect()


class _Socket:
    """A `MediaSocket` on a transport of picows."""

    __slots__ = ("_buffered", "_code", "_send", "_text", "_transport", "closing", "told")

    def __init__(self, transport: Any, picows: Any) -> None:
        self._transport = transport
        self._send = transport.send
        self._text = picows.WSMsgType.TEXT
        self._code = picows.WSCloseCode
        self._buffered = transport.underlying_transport.get_write_buffer_size
        #: Whether it was closed from this side, and whether the handler knows that it is gone.
        self.closing = False
        self.told = False

    @property
    def waiting(self) -> int:
        return int(self._buffered())

    def send(self, message: bytes) -> None:
        if not self.closing:
            self._send(self._text, message)

    def close(self, code: int, reason: str) -> None:
        if self.closing:
            return
        self.closing = True
        transport = self._transport
        transport.send_close(code, reason.encode()[:REASON_BYTES])
        # The peer answers and closes. If it does not, it is dropped, with what it has not taken.
        asyncio.get_running_loop().call_later(CLOSE_MS / 1000, transport.disconnect, False)


_: type[MediaSocket] = _Socket
