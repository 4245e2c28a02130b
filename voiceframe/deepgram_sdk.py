"""The SDK of Deepgram, as its recognizers and its voice use it: its clients of a socket, on connections of our own.

By itself the SDK (7.17) opens WebSockets with the old client of `websockets`, which is deprecated, compresses, takes a
connection for dead when the reader takes its time, and keeps the `Retry-After` of a refusal to itself. It would take
another transport, but one for the whole process, and so for whoever else uses the SDK in it.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Mapping
from typing import Any, Final

from . import sockets
from .extras import optional
from .provider import Place, Vendor
from .tls import tls

__all__ = ["DEEPGRAM", "load", "socket_client"]

DEEPGRAM: Final = Vendor("deepgram", "DEEPGRAM_API_KEY", "deepgram", "https://api.deepgram.com", "DEEPGRAM_BASE_URL")
_importing: Final = threading.Lock()


async def socket_client(
    place: Place, path: str, query: Mapping[str, Any], key: str, *, by: str, **pings: float
) -> tuple[Any, Any]:
    """The SDK's client of the WebSocket at `path`, as `/v1/listen`, and the connection under it.

    What `load()` imports should be there. query: what is None, empty or false is left out. by: the class that the user
    has written. pings: as for `sockets.options()`. Raises what `websockets` does, and `MissingExtra`.
    """
    module = load(path, by)
    given = {name: value for name, value in query.items() if value not in (None, "", (), False)}
    given |= dict(place.query)
    socket = await sockets.connect(
        f"{place.websocket(DEEPGRAM)}{path}?{sockets.query(given)}",
        {"Authorization": f"Token {key}", **place.headers},
        extra=DEEPGRAM.extra,
        what=by,
        **pings,
    )
    return getattr(module, f"Async{path.split('/')[1].upper()}SocketClient")(websocket=socket), socket


def load(path: str, by: str) -> Any:
    """The SDK's module for the WebSocket at `path`. The first import takes most of a second: call this in a thread."""
    _, version, product = path.split("/")
    name = f"deepgram.{product}.{version}.socket_client"
    loaded = sys.modules.get(name)
    if loaded is not None and tls.cache_info().currsize:
        return loaded
    with _importing, warnings.catch_warnings():  # which are of the process: one at a time
        warnings.simplefilter("ignore", DeprecationWarning)  # of websockets.legacy, which is imported and not used
        module = optional(name, extra=DEEPGRAM.extra, what=by)
        optional("websockets.asyncio.client", extra=DEEPGRAM.extra, what=by)
        tls()
        return module
