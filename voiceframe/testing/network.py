"""How a simulated carrier reaches a bot: requests and WebSockets, over real sockets, or by `memory_asgi`."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from ..extras import optional

__all__ = ["Answer", "HandshakeRefused", "Headers", "Network", "Socket", "SocketNetwork", "within"]

Headers = Sequence[tuple[str, str]]

#: As long as Twilio waits for the answer to a webhook, and for a handshake.
_TIMEOUT_S: Final = 15
#: Twilio takes 64 KB of TwiML.
_MOST: Final = 65_536


class Answer(NamedTuple):
    """What a request was answered. `content_type` as it stands in the header."""

    status: int
    content_type: str
    body: bytes


class HandshakeRefused(ConnectionError):
    """The bot's side has not opened the WebSocket. `status` is that of its answer, 0 if there was none."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the handshake was answered with {status}" if status else "the handshake was not answered")
        self.status = status


class Socket(Protocol):
    """An open WebSocket, seen by the carrier."""

    @property
    def closed_with(self) -> int:
        """The code with which it was closed; 1006 if without any, 0 while it is open."""

    async def send(self, text: str) -> None:
        """Send this. Waits while the peer does not read. Raises `ConnectionError` when the connection is gone."""

    async def receive(self) -> str | None:
        """The next message; None when the peer has closed the connection, or it was lost."""

    async def close(self, code: int = 1000) -> None:
        """Close it as the protocol wants it."""

    def abort(self) -> None:
        """Drop the TCP connection."""


class Network(Protocol):
    """The way to the bot. URLs are those that the carrier was told: public ones."""

    async def post(self, url: str, headers: Headers, body: bytes) -> Answer:
        """Ask. Raises `OSError` (`TimeoutError` after 15 s) if there is no answer."""

    async def open(self, url: str, headers: Headers) -> Socket:
        """Open a WebSocket. Raises `HandshakeRefused`, or `OSError`."""


def within(url: str, public_url: str) -> str | None:
    """The path and query of `url` below `public_url`, whose scheme may be the WebSocket's; None if it is elsewhere."""
    base = public_url.rstrip("/")
    for known in (base, "ws" + base.removeprefix("http")):
        rest = url.removeprefix(known)
        if base and rest != url and rest[:1] in ("/", "?", ""):
            return rest if rest.startswith("/") else "/" + rest
    return None


class SocketNetwork:
    """Real sockets.

    public_url, address: what begins with that URL is asked for at this address, `"127.0.0.1:8080"`, without TLS and
    without the path of the public URL, as by way of a proxy; all else at the host that it names.
    """

    def __init__(self, public_url: str = "", address: str = "") -> None:
        self._public_url = public_url
        self._address = address

    def _place(self, url: str) -> tuple[str, int, bool, str, str]:
        """Host, port, whether TLS, what the header Host says, path and query."""
        parts = urlsplit(url)
        path = within(url, self._public_url)
        if self._address and path is not None:
            host, _, port = self._address.rpartition(":")
            return host.strip("[]"), int(port), False, parts.netloc, path
        tls = parts.scheme in ("https", "wss")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.netloc, target

    async def post(self, url: str, headers: Headers, body: bytes) -> Answer:
        host, port, tls, name, target = self._place(url)
        lines = [f"POST {target} HTTP/1.1", f"Host: {name}", *(f"{key}: {value}" for key, value in headers)]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls or None)
            try:
                writer.write("\r\n".join(lines).encode("latin-1") + body)
                answer = bytearray()
                while len(answer) <= 2 * _MOST and (part := await reader.read(_MOST)):
                    answer += part
            finally:
                writer.close()
                await writer.wait_closed()
        return _read(bytes(answer))

    async def open(self, url: str, headers: Headers) -> Socket:
        package = optional("websockets.asyncio.client", extra="telephony", what="Calling over real sockets")
        errors = optional("websockets.exceptions", extra="telephony", what="Calling over real sockets")
        host, port, tls, name, target = self._place(url)
        try:
            connection = await package.connect(
                f"{'wss' if tls else 'ws'}://{name}{target}",
                host=host,
                port=port,
                additional_headers=[(key, value) for key, value in headers if key.lower() != "user-agent"],
                user_agent_header=dict(headers).get("User-Agent"),
                compression=None,
                proxy=None,
                open_timeout=_TIMEOUT_S,
                ping_interval=None,
            )
        except errors.InvalidStatus as refused:
            raise HandshakeRefused(refused.response.status_code) from None
        except errors.InvalidHandshake as broken:
            raise HandshakeRefused(0) from broken
        return _Socket(connection, errors.ConnectionClosed)


class _Socket:
    def __init__(self, connection: Any, closed: type[Exception]) -> None:
        self._connection = connection
        self._closed = closed

    @property
    def closed_with(self) -> int:
        return self._connection.close_code or 0

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except self._closed as error:
            raise ConnectionResetError(str(error)) from None

    async def receive(self) -> str | None:
        try:
            message = await self._connection.recv()
        except self._closed:
            return None
        return message if isinstance(message, str) else ""  # Twilio has no use for binary ones: that is no message

    async def close(self, code: int = 1000) -> None:
        await self._connection.close(code)

    def abort(self) -> None:
        self._connection.transport.abort()


def _read(answer: bytes) -> Answer:
    """An answer as it came, connection closed behind it."""
    from http.client import HTTPException, HTTPResponse

    class Came:
        def makefile(self, mode: str) -> io.BytesIO:
            return io.BytesIO(answer)

    response = HTTPResponse(Came(), method="POST")  # type: ignore[arg-type]  # all that it asks of a socket
    try:
        response.begin()
        return Answer(response.status, response.getheader("Content-Type", ""), response.read())
    except HTTPException as error:
        raise ConnectionError(f"the answer is not HTTP: {error!r}") from None
