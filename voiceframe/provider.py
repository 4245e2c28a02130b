"""What all providers share: where they are, their key, what their errors mean, and when to try again.

A provider is a recognizer (`STT`), a voice (`TTS`), a model (`LLM`) or both ears and mouth (`Realtime`) that is asked
over the network, by its official SDK. Everything here is independent of which.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from .errors import ProviderError

__all__ = ["Backoff", "Place", "Vendor", "api_key", "choose", "has_secret", "redacted", "typed"]


T = TypeVar("T")


class Vendor(NamedTuple):
    """A vendor: its name in events, the variable with its key, the extra that brings its SDK, and its URL.

    `base_variable` may name another place of the same API: a proxy, or a server that is compatible.
    """

    name: str
    key_variable: str
    extra: str
    url: str
    base_variable: str = ""


@dataclass(frozen=True)
class Place:
    """Where a provider is asked. Everything may be left out.

    url: in place of the vendor's own: `https://` or `http://`; WebSockets go to the same host by `wss://` or `ws://`.
    headers, query: added to each request, in place of those of the same name.
    """

    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # they may hold a token
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def http(self, vendor: Vendor) -> str:
        """The URL for HTTP, without a slash at its end: this one's, the environment's, or the vendor's."""
        url = self.url or (os.environ.get(vendor.base_variable, "") if vendor.base_variable else "") or vendor.url
        for socket, plain in (("wss://", "https://"), ("ws://", "http://")):
            url = plain + url.removeprefix(socket) if url.startswith(socket) else url
        return url.rstrip("/")

    def websocket(self, vendor: Vendor) -> str:
        """The same for WebSockets."""
        return "ws" + self.http(vendor).removeprefix("http")

    def with_query(self, url: str, query: Mapping[str, str]) -> str:
        """`url` with these parameters, and those that were set here in place of theirs."""
        parts = urlsplit(url)
        merged = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(query) | dict(self.query)
        return urlunsplit(parts._replace(query=urlencode(merged)))


def api_key(vendor: Vendor, given: str, by: str) -> str:
    """The key that was given, or that of the environment. Raises `ProviderError` (`provider.key`) if there is none."""
    key = (given or os.environ.get(vendor.key_variable, "")).strip()  # a file's last line ends with a line feed
    if not key:
        raise ProviderError.of("provider.key", vendor=vendor.name, variable=vendor.key_variable, by=by)
    if len(key) >= _SHORTEST_KEY:
        _keys.add(key)
    return key


#: Shorter ones are no keys of a vendor's, and may be words.
_SHORTEST_KEY: Final = 8
#: All keys of this process, so that they can be kept out of what is written.
_keys: Final[set[str]] = set()


def redacted(text: str) -> str:
    """The text without any of the keys that `api_key()` has given: vendors and SDKs repeat them in what they say."""
    for key in sorted(_keys, key=len, reverse=True):
        if key in text:
            text = text.replace(key, "[key]")
    return text


def has_secret(error: BaseException | None) -> bool:
    """Whether a traceback of this error, with all that led to it, would have a key in it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = f"{error} {error!r} {getattr(error, '__notes__', '')}"
        if redacted(text) != text:
            return True
        error = error.__cause__ or error.__context__
    return False


def choose(kind: str, name: str, known: Mapping[str, T], *, by: str) -> T:
    """What is known as `name`, in any case of letters: a provider by its name from settings.

    kind: what it is, in words: `"voice"`. by: the class or function that was given the name. Raises `ProviderError`
    (`provider.unknown`), which names the nearest.
    """
    found = known.get(name.strip().casefold())
    if found is None:
        nearest = difflib.get_close_matches(name.strip().casefold(), known, n=1, cutoff=0)
        raise ProviderError.of(
            "provider.unknown",
            kind=kind,
            name=repr(name),
            nearest=f"`{nearest[0]}`" if nearest else "none",
            known=", ".join(f"`{each}`" for each in known),
            by=by,
        )
    return found


_MOST_DETAIL: Final = 200


def typed(error: BaseException, vendor: Vendor, by: str) -> ProviderError:
    """What an exception of an SDK, of `websockets` or of the network means.

    by: the class that the user has written, `"DeepgramSTT"`.
    """
    if isinstance(error, ProviderError):
        if has_secret(error.__cause__ or error.__context__):
            error.__cause__ = error.__context__ = None
        return error
    status = _status(error)
    # Redacted before it is cut, which might leave half a key.
    detail = " ".join(redacted(str(error) or repr(error)).split())[:_MOST_DETAIL]
    facts: dict[str, Any] = {
        "vendor": vendor.name,
        "status": status,
        "detail": detail,
        "by": by,
        "variable": vendor.key_variable,
        "extra": vendor.extra,
    }
    if status in (401, 403):
        return ProviderError.of("provider.auth", **facts)
    if status == 429:
        found = ProviderError.of("provider.rate-limit", **facts)
        found.retry_after_ms = _retry_after_ms(error)
        return found
    if 400 <= status < 500 and status != 408:
        return ProviderError.of("provider.request", **facts)
    if status >= 500:
        found = ProviderError.of("provider.server", **facts)
        found.retry_after_ms = _retry_after_ms(error)
        return found
    if _is_of_the_network(error):
        return ProviderError.of("provider.connection", **facts)
    return ProviderError.of("provider.protocol", **facts)


def _status(error: BaseException) -> int:
    """The status of HTTP that an exception carries, wherever its library keeps it; 0 if none."""
    response = getattr(error, "response", None)
    for holder, name in (
        (error, "status_code"),
        (error, "status"),
        (error, "code"),
        (response, "status_code"),
        (response, "status"),
    ):
        if name == "code" and _is_closed_socket(holder):
            continue  # of the WebSocket, not of HTTP; and to ask for it is deprecated
        value = getattr(holder, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
            return int(value)
    return 0


def _retry_after_ms(error: BaseException) -> int | None:
    """`Retry-After` in seconds or as a date (RFC 9110 section 10.2.3), or in milliseconds as some vendors have it."""
    for holder in (error, getattr(error, "response", None)):
        headers = getattr(holder, "headers", None)
        if headers is None:
            continue
        found = {str(name).lower(): str(value) for name, value in dict(headers).items()}
        try:
            if "retry-after-ms" in found:
                return max(0, int(float(found["retry-after-ms"])))
            if "retry-after" in found:
                try:
                    return max(0, int(float(found["retry-after"]) * 1000))
                except ValueError:
                    at = parsedate_to_datetime(found["retry-after"])
                    now = parsedate_to_datetime(found["date"]) if "date" in found else None
                    return max(0, int((at - now).total_seconds() * 1000)) if now is not None else None
        except (ValueError, TypeError, OverflowError):
            return None
    return None


#: Classes of libraries that are not imported here, by name.
_NETWORK: Final = frozenset(
    {
        "APIConnectionError",
        "APITimeoutError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectionClosed",
        "InvalidHandshake",
        "InvalidMessage",
        "NetworkError",
        "PoolTimeout",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "TimeoutException",
        "TransportError",
        "WriteError",
        "WebSocketConnectionClosedException",
    }
)


def _is_closed_socket(error: object) -> bool:
    return any(cls.__name__ == "ConnectionClosed" for cls in type(error).__mro__)


def _is_of_the_network(error: BaseException) -> bool:
    if isinstance(error, OSError | TimeoutError | EOFError | asyncio.IncompleteReadError):
        return True
    return any(cls.__name__ in _NETWORK for cls in type(error).__mro__)


class Backoff:
    """When to try again: at once, then ever later, with some chance in it so that not all calls come back together.

    rng: the call's, so that a run can be repeated.
    """

    def __init__(self, rng: random.Random, *, first_ms: int = 250, most_ms: int = 5_000) -> None:
        self._rng = rng
        self._first_ms = first_ms
        self._most_ms = most_ms
        #: How often it was tried in vain since the last success.
        self.attempts = 0

    def next_ms(self, error: ProviderError | None = None) -> int | None:
        """How long to wait before the next attempt; None if there is no use in one."""
        if error is not None and not error.retryable:
            return None
        self.attempts += 1
        if error is not None and error.retry_after_ms is not None:
            return error.retry_after_ms
        if self.attempts == 1:
            return 0
        bound = min(self._most_ms, self._first_ms << min(self.attempts - 2, 20))
        return int(bound * (0.5 + self._rng.random() / 2))

    def succeeded(self) -> None:
        """It has worked: the next failure is a first one."""
        self.attempts = 0
