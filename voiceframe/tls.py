"""The one TLS context of the process.

Making one reads all certificates, which takes tens of milliseconds: too long to be done on the event loop, or for each
call. The SDKs do it for each client, and `websockets` for each connection, unless they are given one.
"""

from __future__ import annotations

import contextlib
import ssl
from functools import lru_cache
from typing import Any

__all__ = ["for_socket", "tls"]


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """The system's certificates, and those of `certifi` where it is installed. Blocks when it is first called."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def for_socket(url: str) -> dict[str, Any]:
    """What `websockets.connect(url)` is to be given for it: nothing for a `ws://` URL."""
    return {"ssl": tls()} if url.startswith("wss://") else {}
