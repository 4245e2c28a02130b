"""No network: while the bot's own code runs, no socket of this process connects."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

__all__ = ["offline"]


@contextlib.contextmanager
def offline() -> Iterator[list[str]]:
    """While it is open no socket of this process connects; yields what was tried."""
    tried: list[str] = []

    def refuse(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        shown = ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)
        tried.append(shown)
        raise ConnectionRefusedError(f"voiceframe check lets nobody reach {shown}")

    def resolve(host: Any, *arguments: Any, **rest: Any) -> Any:
        tried.append(str(host))
        raise socket.gaierror(socket.EAI_FAIL, f"voiceframe check lets nobody reach {host}")

    own = {name: vars(socket.socket).get(name) for name in ("connect", "connect_ex", "sendto")}
    names = socket.getaddrinfo
    for name in own:
        setattr(socket.socket, name, refuse)
    socket.getaddrinfo = resolve
    try:
        yield tried
    finally:
        socket.getaddrinfo = names
        for name, method in own.items():
            if method is None:
                delattr(socket.socket, name)  # what it inherits is there again
            else:
                setattr(socket.socket, name, method)
