"""What every carrier's stream says, whatever its words: the messages that come in, and the contract of a serializer.

A serializer is a module of pure functions on bytes, such as `voiceframe.serializers.twilio`. It reads a message into
one of the classes below and writes messages for a stream. It does no input or output and keeps no state: whether a
message may come now, what is still playing and when to send are the transport's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ..audio import AudioFormat
from ..errors import WireError

__all__ = [
    "MAX_MESSAGE",
    "Capabilities",
    "Connected",
    "Digit",
    "Marked",
    "Media",
    "Message",
    "Outgoing",
    "Serializer",
    "Started",
    "Stopped",
    "Unrecognized",
    "WireError",
    "quoted",
    "shown",
]

#: The longest message that is read, in bytes (in characters of a `str`). 20 ms of audio make some 400; all else is
#: shorter than 4,000.
MAX_MESSAGE: Final = 65_536

#: How much of what came is repeated in an error or an `Unrecognized`, in characters.
_SHOWN: Final = 80


# -- what comes in


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket speaks the carrier's protocol. Nothing is known of the call yet."""

    protocol: str
    version: str


@dataclass(frozen=True, slots=True)
class Started:
    """A stream of a call has begun. The ids are letters, digits and `_.:-`, fit for a URL or the name of a file."""

    stream_id: str
    call_id: str
    account_id: str
    #: In which the audio comes.
    format: AudioFormat
    #: What the answer to the carrier has given the stream on its way, such as a token.
    custom: Mapping[str, str]


# Not frozen, only not to be changed, as frames are: a frozen one would make reading half as dear again, and of these
# fifty a second come.
@dataclass(slots=True)
class Media:
    """A piece of audio."""

    payload: bytes
    #: Its place since the stream began, in milliseconds.
    timestamp_ms: int
    #: Its number within its track; what order is restored by where the carrier does not keep it.
    chunk: int
    #: Who is heard: "inbound" is the caller. "outbound" comes only from streams that merely listen.
    track: str


@dataclass(frozen=True, slots=True)
class Digit:
    """The caller has pressed a key: one of `0123456789*#ABCD`."""

    digit: str


@dataclass(frozen=True, slots=True)
class Marked:
    """What was sent before this mark has been played, or was cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream has ended; the carrier closes the socket."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Unrecognized:
    """An event that is not known here: no error, for a protocol may grow. Its name is cut to 80 characters."""

    event: str


Message = Connected | Started | Media | Digit | Marked | Stopped | Unrecognized


# -- the contract


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a carrier's streams can do: a transport asks here, never for the carrier's name."""

    carrier: str
    #: The formats in which audio can be sent, the best first.
    formats: tuple[AudioFormat, ...]
    #: Keys can be sent as messages; else as tones in the audio.
    dtmf_out: bool
    #: `Stopped` comes before the socket closes; else closing is all there is.
    stop_message: bool
    #: A mark that is pending when the audio is cleared comes back as `Marked`; else it never does.
    marks_on_clear: bool
    #: Audio comes in order; else `Media.chunk` restores it.
    order_guaranteed: bool
    #: Closing the socket ends the call, if nothing else was to follow; else it must be hung up.
    close_ends_call: bool


class Outgoing(Protocol):
    """Writes the messages of one stream, each as ASCII: `.decode("ascii")` where text is wanted.

    All that it keeps is what every message of the stream has in common, made once.
    """

    def audio(self, payload: bytes) -> bytes:
        """Audio in the stream's format, to be played after all that was sent before."""

    def mark(self, name: str) -> bytes:
        """A mark that comes back as `Marked` when all that was sent before it has been played.

        Raises `WireError` (`wire.name`) for a name with NUL or half a surrogate pair in it.
        """

    def clear(self) -> bytes:
        """Forget all that was sent and is not yet played."""


class Serializer(Protocol):
    """What a transport needs of a carrier's wire format. A module of functions is one."""

    @property
    def CAPABILITIES(self) -> Capabilities: ...

    def decode(self, message: str | bytes, *, limit: int = MAX_MESSAGE) -> Message:
        """What a message says. Fields that are not used are not looked at.

        Raises `WireError` and nothing else: `wire.size` above `limit`, `wire.json`, `wire.schema`, `wire.base64`, and
        `wire.format` when a stream starts in a format that the carrier is not known for.
        """

    def outgoing(self, stream_id: str, format: AudioFormat) -> Outgoing:
        """What writes the messages of a stream whose audio goes out in `format`.

        Raises `WireError`: `wire.format` when the carrier does not take it, `wire.name` for an id as in `mark()`.
        """


# -- for those who write one


def quoted(name: str) -> bytes:
    """`name` as a JSON string in ASCII, with its quotes. Raises `WireError` (`wire.name`)."""
    if "\0" in name:  # many a database and log takes it for the end
        raise WireError.of("wire.name", name=f"'{shown(name)}'", what="NUL")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WireError.of("wire.name", name=f"'{shown(name)}'", what="half a surrogate pair") from None
    return json.dumps(name).encode("ascii")


def shown(text: str) -> str:
    """The beginning of something that came, as one line of ASCII fit for an error or a log."""
    escaped = text[: _SHOWN + 1].encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= _SHOWN else f"{escaped[: _SHOWN - 3]}..."
