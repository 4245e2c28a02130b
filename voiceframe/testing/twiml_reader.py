"""Reads TwiML as Twilio does, as far as a call that streams needs it; anything else is an error that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from ..errors import TestKitError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Connect", "Hangup", "Reject", "Say", "Verb", "read"]


@dataclass(frozen=True)
class Connect:
    """Open a stream both ways. action: what to ask when it is over; "" if there is nothing to ask."""

    url: str
    parameters: Mapping[str, str]
    action: str


@dataclass(frozen=True)
class Reject:
    """Do not answer. reason: "busy" or "rejected"."""

    reason: str


@dataclass(frozen=True)
class Say:
    """Say this with a voice of Twilio's."""

    text: str


@dataclass(frozen=True)
class Hangup:
    """End the call."""


Verb: TypeAlias = Connect | Reject | Say | Hangup

#: https://www.twilio.com/docs/usage/webhooks/getting-started-twilio-webhooks: of other types it says error 12300.
_XML: Final = frozenset({"text/xml", "application/xml", "text/html"})
#: The most characters of a parameter's name and value: https://www.twilio.com/docs/voice/twiml/stream#parameter
_MOST: Final = 500


def read(body: bytes, content_type: str) -> list[Verb]:
    """The verbs of a document, in order.

    Raises `TestKitError` (`test.twiml`) for what is no TwiML, for what Twilio refuses, and for verbs and attributes
    that a call of the test kit does not know.
    """
    from xml.etree.ElementTree import ParseError, fromstring

    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _XML:
        raise _wrong(f"its type is {kind or 'not said'} (error 12300)")
    try:
        root = fromstring(body)  # of the program that is being tested
    except ParseError as error:
        raise _wrong(f"it is not XML: {error} (error 12100)") from None
    if root.tag != "Response":
        raise _wrong(f"its root is <{root.tag}>, not <Response> (error 12100)")
    return list(_verbs(root))


def _verbs(root: Element) -> Iterator[Verb]:
    for element in root:
        reader = _READERS.get(element.tag)
        if reader is None:
            raise _wrong(f"<{element.tag}> is not known here")
        yield reader(element)


def _connect(element: Element) -> Connect:
    given = _attributes(element, "action", "method")
    if given.get("method", "POST") != "POST":
        raise _wrong(f"the method {given['method']} is not known here")
    if len(element) != 1 or element[0].tag != "Stream":
        raise _wrong("<Connect> has something else in it than one <Stream>")
    stream = element[0]
    url = _attributes(stream, "url", "name").get("url", "")
    parts = urlsplit(url)
    if parts.scheme != "wss" and not (parts.scheme == "ws" and parts.hostname in ("localhost", "127.0.0.1", "::1")):
        raise _wrong(f"a stream is opened to wss://, not to {url!r} (error 31923)")
    if parts.query:
        raise _wrong(f"Twilio leaves out the query of {url!r}")
    parameters: dict[str, str] = {}
    for child in stream:
        if child.tag != "Parameter":
            raise _wrong(f"<{child.tag}> is not known in a <Stream>")
        named = _attributes(child, "name", "value")
        name, value = named.get("name", ""), named.get("value", "")
        if not name or len(name) + len(value) > _MOST:
            raise _wrong(f"the parameter {name!r} is refused")
        parameters[name] = value
    return Connect(url, parameters, given.get("action", ""))


def _reject(element: Element) -> Reject:
    reason = _attributes(element, "reason").get("reason", "rejected")
    if reason not in ("busy", "rejected"):
        raise _wrong(f"a call cannot be rejected as {reason!r}")
    return Reject(reason)


def _say(element: Element) -> Say:
    _attributes(element, "language", "voice", "loop")
    text = "".join(element.itertext()).strip()
    if not text:
        raise _wrong("<Say> has nothing to say (error 13520)")
    return Say(text)


def _hangup(element: Element) -> Hangup:
    _attributes(element)
    return Hangup()


_READERS: Final[Mapping[str, Callable[[Element], Verb]]] = {
    "Connect": _connect,
    "Reject": _reject,
    "Say": _say,
    "Hangup": _hangup,
}


def _attributes(element: Element, *known: str) -> dict[str, str]:
    unknown = sorted(set(element.attrib) - set(known))
    if unknown:
        raise _wrong(f"<{element.tag}> has the attribute {unknown[0]}, which is not known here")
    return dict(element.attrib)


def _wrong(reason: str) -> TestKitError:
    return TestKitError.of("test.twiml", reason=reason)
