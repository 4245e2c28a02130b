"""What Twilio is answered when it asks what to do with a call: documents of TwiML, as text.

https://www.twilio.com/docs/voice/twiml. Send them as `text/xml`, encoded as UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

from ...errors import TwiMLError
from ...serializers.base import shown

__all__ = ["CONTENT_TYPE", "MAX_PARAMETER", "MAX_SAID", "connect", "hang_up", "reject", "say"]

CONTENT_TYPE: Final = "text/xml; charset=utf-8"
#: The name and the value of a parameter have fewer characters together.
MAX_PARAMETER: Final = 500
#: The characters of a message that are said; https://www.twilio.com/docs/voice/twiml/say has the limit of 4,096.
MAX_SAID: Final = 4_096

_NONE: Final[Mapping[str, str]] = MappingProxyType({})

#: What no XML document may hold, escaped or not (https://www.w3.org/TR/xml/#charsets).
_IMPOSSIBLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ACTION: Final = re.compile(r"(https?:/)?/[!-~]+")
#: What would end a text or an attribute, and what a parser makes one space of.
_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def connect(url: str, parameters: Mapping[str, str] = _NONE, *, action: str = "") -> str:
    """Twilio opens a stream both ways to `url`, and the call lasts as long as that.

    parameters: come back in the stream's start message; a query Twilio would leave out.
    action: what is asked when the stream is over, by a POST that is signed; without it the call ends.

    Raises `TwiMLError`: `twiml.url` unless the URL is `wss://` and without a query (`ws://` only on this machine, for
    those who call as Twilio does), `twiml.parameter` for a name that is empty, for what XML cannot hold, and for
    `MAX_PARAMETER` characters or more, `twiml.action` unless that is a URL or the path of one.
    https://www.twilio.com/docs/voice/twiml/stream, https://www.twilio.com/docs/voice/twiml/connect
    """
    if reason := _wrong_address(url):
        raise TwiMLError.of("twiml.url", url=shown(url.partition("?")[0]), reason=reason)
    if action and not _ACTION.fullmatch(action):
        raise TwiMLError.of("twiml.action", url=shown(action.partition("?")[0]))
    inner = "".join(_parameter(name, value) for name, value in parameters.items())
    verb = f'Connect action="{_escaped(action)}"' if action else "Connect"
    return _response(f'<{verb}><Stream url="{_escaped(url)}">{inner}</Stream></Connect>')


def reject(reason: Literal["busy", "rejected"] = "busy") -> str:
    """The call is not answered and costs nothing; the caller hears a busy tone, or that the number is not in service.

    https://www.twilio.com/docs/voice/twiml/reject
    """
    return _response(f'<Reject reason="{reason}"/>')


def say(text: str, *, language: str = "", voice: str = "") -> str:
    """Twilio answers, says `text` with a voice of its own, and hangs up.

    What XML cannot hold is left out, and so is what is beyond `MAX_SAID` characters: a refusal must not fail for its
    words. https://www.twilio.com/docs/voice/twiml/say
    """
    said = _IMPOSSIBLE.sub("", text).strip()[:MAX_SAID]
    if not said:  # Twilio takes an empty one for an error
        return hang_up()
    attributes = "".join(
        f' {name}="{_escaped(_IMPOSSIBLE.sub("", value))}"'
        for name, value in (("language", language), ("voice", voice))
        if value
    )
    return _response(f"<Say{attributes}>{_escaped(said)}</Say><Hangup/>")


def hang_up() -> str:
    """The call ends. Not answered yet it is answered first; `reject()` does not do that."""
    return _response("<Hangup/>")


def _response(inner: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{inner}</Response>'


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _parameter(name: str, value: str) -> str:
    reason = ""
    if not name:
        reason = "it has no name"
    elif len(name) + len(value) >= MAX_PARAMETER:
        reason = f"it has {len(name) + len(value)} characters"
    elif _IMPOSSIBLE.search(name + value):
        reason = "it has a character that XML cannot hold"
    if reason:  # the value may be a secret
        raise TwiMLError.of("twiml.parameter", name=f"'{shown(name)}'", reason=reason, limit=MAX_PARAMETER)
    return f'<Parameter name="{_escaped(name)}" value="{_escaped(value)}"/>'


def _wrong_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises for one that is none
    except ValueError:
        return "it cannot be read"
    if not re.fullmatch(r"[!-~]+", url):
        return "it has characters that must be escaped"
    if "?" in url or "#" in url:
        return "Twilio leaves out what comes after its path"
    if not host:
        return "it has no host"
    if parts.scheme == "wss" or (parts.scheme == "ws" and _is_loopback(host)):
        return ""
    return "Twilio opens none but wss://"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
