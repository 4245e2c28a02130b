"""One WebSocket of Twilio: its messages, from the handshake to the end. Nothing of a bot before its token is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import TokenError
from ...serializers.base import Connected, Digit, Marked, Media, Message, Started, Stopped, Unrecognized, WireError
from ...serializers.twilio import decode
from ..media import MediaTransport
from ..sockets import INVALID, POLICY, TOO_BIG, UNSUPPORTED, MediaSocket

__all__ = ["Stream"]


class Stream:
    """A `StreamHandler`.

    begin: gives a stream that has started its line, or raises `TokenError`.
    handshake_ms, handshake_bytes: what it has until then. message_bytes: the longest message.
    """

    def __init__(
        self,
        begin: Callable[[Started, MediaSocket], MediaTransport],
        *,
        handshake_ms: int,
        handshake_bytes: int,
        message_bytes: int,
    ) -> None:
        self._begin = begin
        self._handshake_s = handshake_ms / 1000
        self._handshake_bytes = handshake_bytes
        self._message_bytes = message_bytes
        self._size = 0
        self._line: MediaTransport | None = None
        self._socket: MediaSocket
        self._deadline: asyncio.TimerHandle | None = None
        self._over = False

    def opened(self, socket: MediaSocket) -> None:
        self._socket = socket
        self._deadline = asyncio.get_running_loop().call_later(
            self._handshake_s, self._close, POLICY, "no token in time"
        )

    def text(self, message: str | bytes) -> None:
        if self._over:
            return
        try:
            found = decode(message, limit=self._message_bytes)
        except WireError as error:
            self._close(TOO_BIG if error.code == "wire.size" else INVALID, error.code)
            return
        line = self._line
        if line is None:
            self._before(found, len(message))
        elif not line.serves(self._socket):  # it was given up, or another one has come
            self._close(POLICY, "not the stream of this call")
        elif isinstance(found, Media):
            if found.track == "inbound":
                line.audio(found.payload)
        elif isinstance(found, Marked):
            line.marked(found.name)
        elif isinstance(found, Digit):
            line.digit(found.digit)
        elif isinstance(found, Stopped):
            line.stopped()
            self._close(1000, "")
        elif isinstance(found, Started):
            self._close(POLICY, "a second start")

    def _before(self, message: Message, size: int) -> None:
        """Before it has shown a token."""
        self._size += size
        if isinstance(message, Started):
            try:
                self._line = self._begin(message, self._socket)
            except TokenError as error:
                self._close(POLICY, error.code)
            else:
                self._timeless()
        elif not isinstance(message, Connected | Unrecognized):
            self._close(POLICY, "not started")
        elif self._size > self._handshake_bytes:
            self._close(POLICY, "too much before the start")

    def binary(self) -> None:
        if not self._over:
            self._close(UNSUPPORTED, "a binary message")

    def gone(self, code: int) -> None:
        self._over = True
        self._timeless()
        if self._line is not None:
            self._line.detached(self._socket, f"closed by the peer ({code})")

    def _timeless(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self, code: int, reason: str) -> None:
        self._over = True
        self._timeless()
        if self._line is not None:
            self._line.detached(self._socket, reason, code)
        self._socket.close(code, reason)
