"""Whether a request comes from Twilio: its signatures, checked on the bytes as they came.

    url = requested(public_url, scope["raw_path"], scope["query_string"])
    if not verify(url, body, content_type, signature, auth_token): ...

What is signed is the URL as Twilio has it; for a form it is followed by each key with each of its values, sorted and
without separators; a body of another kind is covered by its SHA-256 in the query (`bodySHA256`). A WebSocket handshake
and a GET have only their URL.

https://www.twilio.com/docs/usage/webhooks/webhooks-security and, for keys of one's own with HMAC-SHA256,
https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys.

What a signature does not say: when. A request that somebody has recorded is as good the second time, so what it may do
must be bound to its call: see `voiceframe.tokens`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from ...errors import SignatureError
from ...serializers.base import shown

__all__ = [
    "ALGORITHMS",
    "HEADER",
    "MAX_BODY",
    "MAX_FIELDS",
    "SETTINGS_HEADER",
    "check",
    "form",
    "requested",
    "sign",
    "verify",
]

HEADER: Final = "X-Twilio-Signature"
#: Comes with what is signed by a shared key: `key=<id>,algorithm=HMAC_SHA256`.
SETTINGS_HEADER: Final = "X-Twilio-Webhooks-Signature-Settings"

ALGORITHMS: Final = ("HMAC_SHA1", "HMAC_SHA256")
_HASHES: Final = MappingProxyType({"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256})

#: The longest body that is looked at, in bytes. Twilio's have about 1,000.
MAX_BODY: Final = 1_048_576
#: The most fields of a form or a query: they are sorted. Twilio's have about 40.
MAX_FIELDS: Final = 1_000
_MAX_URL: Final = 65_536
_MAX_HEADER: Final = 1_024

_URL: Final = re.compile(rb"(https?|wss?)://([^/?#]+)(.*)", re.DOTALL)
_PORTS: Final = {b"http": b":80", b"ws": b":80", b"https": b":443", b"wss": b":443"}
_NO_KEYS: Final[Mapping[str, str]] = MappingProxyType({})


def requested(public_url: str, path: bytes, query: bytes = b"", *, websocket: bool = False) -> str:
    """The URL that Twilio has asked for, from where we are known to be and what was asked.

    public_url: `https://host`, with a port if it is not the usual one, and with the path that a proxy takes off.
    path, query: as they stand in the request, escapes and all; ASGI's `raw_path` and `query_string`.
    websocket: for a handshake the scheme is `wss` or `ws`.

    The Host header has no part in it: anybody can set that.
    """
    base = public_url.rstrip("/")
    if websocket and base.startswith("http"):
        base = "ws" + base.removeprefix("http")
    asked = path + (b"?" + query if query else b"")
    return base + asked.decode("utf-8", "surrogateescape")


def sign(url: str, body: bytes, content_type: str, secret: str, *, algorithm: str = "HMAC_SHA1") -> str:
    """The signature of such a request, as Twilio makes it; base64. For those who call as Twilio does.

    A body that is no form is not looked at: its hash must be in the URL. Raises `SignatureError`.
    """
    if algorithm not in _HASHES:
        raise _algorithm()
    fields = _signed_fields(body) if _is_form(content_type) else b""
    return _digest(_bytes(secret), _bytes(url) + fields, algorithm).decode("ascii")


def verify(
    url: str,
    body: bytes,
    content_type: str,
    signature: str,
    token: str,
    *,
    settings: str = "",
    keys: Mapping[str, str] = _NO_KEYS,
) -> bool:
    """Whether Twilio has signed this request; see `check`. Raises nothing."""
    try:
        check(url, body, content_type, signature, token, settings=settings, keys=keys)
    except SignatureError:
        return False
    return True


def check(
    url: str,
    body: bytes,
    content_type: str,
    signature: str,
    token: str,
    *,
    settings: str = "",
    keys: Mapping[str, str] = _NO_KEYS,
) -> None:
    """Raise `SignatureError`, and nothing else, unless Twilio has signed this request.

    url: as Twilio has it, from `requested()`. It may have the default port, or another one that Twilio leaves out.
    body: as it came, not decoded; at most `MAX_BODY` bytes and, if it is a form, `MAX_FIELDS` fields.
    content_type: the header. What is no form, and not empty, needs its hash in the query.
    signature: the header `X-Twilio-Signature`.
    token: the account's auth token. Empty it fits nothing.
    settings: the header `X-Twilio-Webhooks-Signature-Settings`, if it came.
    keys: the shared keys that it may name, secret by id.

    The codes say why, for a log: whoever asked must learn nothing but that he is refused.
    """
    key, algorithm = _read_settings(settings)
    if key is None:
        secret = token
        if not secret:
            raise SignatureError.of("signature.secret", carrier="Twilio", setting="TWILIO_AUTH_TOKEN")
    else:
        secret = keys.get(key, "")
        if not secret:
            raise SignatureError.of("signature.key")
    if not signature:
        raise SignatureError.of("signature.missing", carrier="Twilio", header=HEADER)
    if len(url) > _MAX_URL:
        raise _wrong(url)
    if len(body) > MAX_BODY:
        raise _body(f"it has more than {MAX_BODY} bytes")
    fields = b""
    if _is_form(content_type):
        fields = _signed_fields(body)
    else:
        _check_hash(url, body)
    given = _bytes(signature[:_MAX_HEADER])
    fits = False
    for candidate in _with_and_without_port(_bytes(url)):
        # Both are always compared, each in the same time whatever came.
        fits |= hmac.compare_digest(_digest(_bytes(secret), candidate + fields, algorithm), given)
    if not fits:
        raise _wrong(url)


def form(body: bytes) -> dict[str, tuple[str, ...]]:
    """The fields of a form, each key with its values in their order, as they were signed.

    The same reading as in `check()`: what is acted upon is what was verified. What is not UTF-8 is replaced. Raises
    `SignatureError` (`signature.body`) for more than `MAX_FIELDS`.
    """
    found: dict[str, tuple[str, ...]] = {}
    for key, value in _pairs(body):
        name = key.decode("utf-8", "replace")
        found[name] = (*found.get(name, ()), value.decode("utf-8", "replace"))
    return found


# -- what is signed


def _digest(secret: bytes, signed: bytes, algorithm: str) -> bytes:
    return base64.b64encode(hmac.digest(secret, signed, _HASHES[algorithm]))


def _pairs(text: bytes) -> list[tuple[bytes, bytes]]:
    """The keys and values of `application/x-www-form-urlencoded`, empty ones too."""
    if text.count(b"&") >= MAX_FIELDS:
        raise _body(f"it has more than {MAX_FIELDS} fields")
    pairs = (part.replace(b"+", b" ").partition(b"=") for part in text.split(b"&") if part)
    return [(unquote_to_bytes(key), unquote_to_bytes(value)) for key, _, value in pairs]


def _signed_fields(body: bytes) -> bytes:
    # A pair that comes twice is signed once. UTF-8 sorts as the text that it encodes does.
    return b"".join(key + value for key, value in sorted(set(_pairs(body))))


def _check_hash(url: str, body: bytes) -> None:
    query = url.partition("#")[0].partition("?")[2]
    named = next((value for key, value in _pairs(_bytes(query)) if key == b"bodySHA256"), None)
    if named is None:
        if body:
            raise _body("it is no form, and the query has no bodySHA256")
        return
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode("ascii"), named):
        raise _body("it is not the one that bodySHA256 is of")


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"


def _with_and_without_port(url: bytes) -> tuple[bytes, bytes]:
    """The URL as it is, and with the default port or without its port: Twilio is of two minds."""
    match = _URL.fullmatch(url)
    if match is None:
        return url, url
    scheme, authority, rest = match.groups()
    host, colon, port = authority.rpartition(b":")
    if colon and host and port.isdigit():
        return url, scheme + b"://" + host + rest
    return url, scheme + b"://" + authority + _PORTS[scheme] + rest


def _read_settings(header: str) -> tuple[str | None, str]:
    """The id of the key, if one is named, and the algorithm."""
    if len(header) > _MAX_HEADER:
        raise _algorithm()
    found: dict[str, str] = {}
    for part in header.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name in found:
            raise _algorithm()  # two answers to one question: whoever reads the other one is fooled
        if name in ("key", "algorithm"):
            found[name] = value
    algorithm = found.get("algorithm", "").upper() or "HMAC_SHA1"
    if algorithm not in _HASHES:
        raise _algorithm()
    return found.get("key"), algorithm


def _algorithm() -> SignatureError:
    known = ", ".join(ALGORITHMS)
    return SignatureError.of("signature.algorithm", carrier="Twilio", known=known, header=SETTINGS_HEADER)


def _body(reason: str) -> SignatureError:
    return SignatureError.of("signature.body", carrier="Twilio", reason=reason)


def _wrong(url: str) -> SignatureError:
    address = shown(url.partition("?")[0])  # a query may hold what is not for a log
    return SignatureError.of("signature.wrong", carrier="Twilio", url=address, setting="TWILIO_AUTH_TOKEN")


def _bytes(text: str) -> bytes:
    """UTF-8; bytes that `requested()` could not read become themselves again, and nothing is refused."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
