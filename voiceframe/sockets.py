"""A WebSocket to a vendor, for SDKs that leave it to their user, or cannot be told how to make theirs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from .extras import optional
from .provider import redacted
from .tls import for_socket

__all__ = ["Refused", "alive", "close", "connect", "options", "query"]

#: How long a vendor may take for its part of a close.
_CLOSE_S: Final = 0.2
#: The largest message that is taken, in bytes.
_LARGEST: Final = 16 << 20
#: How long it may take for a ping to come back.
_PONG_S: Final = 0.5


class _Redacted(logging.Filter):
    """`websockets` writes the headers of its handshakes when it is asked for all that happens."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


#: Where `websockets` writes what happens on these connections.
_log: Final = logging.getLogger("voiceframe.sockets")
_log.addFilter(_Redacted())


def options(url: str, *, ping_s: float = 20, pong_s: float = 60) -> dict[str, Any]:
    """What `websockets` is told for each connection to this place.

    No permessage-deflate: it costs more than it saves for 20 ms of sound. Pings find a connection that is half-open:
    how often one is sent, and how long its answer may take, by default as long as for sound that it waits behind.
    """
    return {
        "compression": None,
        "ping_interval": ping_s,
        "ping_timeout": pong_s,
        "max_size": _LARGEST,
        "close_timeout": 1,
        "logger": _log,
        **for_socket(url),
    }


async def connect(url: str, headers: Mapping[str, str], *, extra: str, what: str, **given: float) -> Any:
    """A `websockets.asyncio.client.ClientConnection`. Raises what `websockets` raises.

    given: as for `options()`.
    """
    client = optional("websockets.asyncio.client", extra=extra, what=what)
    return await client.connect(url, additional_headers=dict(headers), **options(url, **given))


async def close(socket: Any) -> None:
    """Close it, and do not wait for a vendor that does not answer."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await socket.close()
    except Exception:
        pass
    finally:
        socket.transport.abort()
        with contextlib.suppress(Exception):
            await socket.wait_closed()


class Refused(Exception):
    """A vendor says in a message that it cannot do something. status_code: as of HTTP, 0 if it has none."""

    def __init__(self, detail: str, status_code: int = 0) -> None:
        super().__init__(detail)
        self.status_code = status_code


async def alive(socket: Any) -> None:
    """Raises `TimeoutError`, or what `websockets` raises, if nobody is at the other end any more."""
    async with asyncio.timeout(_PONG_S):
        await (await socket.ping())


def query(given: Mapping[str, Any]) -> str:
    """A query string: lists repeat their name, true and false are in small letters."""
    pairs = [
        (name, str(each).lower() if isinstance(each, bool) else str(each))
        for name, value in given.items()
        for each in (value if isinstance(value, tuple | list) else (value,))
    ]
    return urlencode(pairs)
