"""Twilio Media Streams: the messages of a bidirectional `<Connect><Stream>`, and of a `<Start><Stream>` that listens.

    message = decode(received)              # Connected, Started, Media, Digit, Marked, Stopped or Unrecognized
    stream = outgoing(message.stream_id)    # once, when it has started
    sent = stream.audio(mulaw)

https://www.twilio.com/docs/voice/media-streams/websocket-messages. What Twilio writes as strings (`"timestamp":"5"`)
may come as numbers too. Of a key that comes twice the last value counts. Audio is µ-law at 8 kHz both ways.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Annotated, Final, Literal

from ..audio import PCMU_8K, AudioFormat
from ..errors import MissingExtra
from .base import (
    MAX_MESSAGE,
    Capabilities,
    Connected,
    Digit,
    Marked,
    Media,
    Message,
    Started,
    Stopped,
    Unrecognized,
    WireError,
    quoted,
    shown,
)

# Not by `extras.optional`: serializers import only what lies below them.
try:
    from msgspec import Meta, MsgspecError, Struct, ValidationError, field
    from msgspec.json import Decoder
except ModuleNotFoundError as error:
    if error.name != "msgspec":
        raise
    raise MissingExtra.of(
        "extra.missing", what="Reading Twilio's messages", package="msgspec", extra="telephony"
    ) from error

__all__ = ["CAPABILITIES", "TwilioStream", "decode", "outgoing"]

CAPABILITIES: Final = Capabilities(
    carrier="Twilio",
    formats=(PCMU_8K,),
    dtmf_out=False,
    stop_message=True,
    marks_on_clear=True,
    order_guaranteed=True,
    close_ends_call=True,
)

#: Milliseconds or chunks: more than a call of 24 days has, and Twilio ends one after 24 hours.
_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
#: Twilio's are two letters and 32 hex digits. They go into URLs, logs and file names: nothing worse than this may pass.
_Id = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}\Z")]
_Text = Annotated[str, Meta(pattern=r"\A[^\0]*\Z")]


# -- the messages as they stand on the wire


class _Connected(Struct, tag_field="event", tag="connected"):
    protocol: _Text
    version: _Text

    def message(self) -> Connected:
        return Connected(self.protocol, self.version)


class _Format(Struct, rename="camel"):
    encoding: str
    sample_rate: int
    channels: int


class _StartBody(Struct, rename="camel"):
    account_sid: _Id
    call_sid: _Id
    media_format: _Format
    custom_parameters: dict[_Text, _Text] = field(default_factory=dict)


class _Start(Struct, rename="camel", tag_field="event", tag="start"):
    stream_sid: _Id
    start: _StartBody

    def message(self) -> Started:
        body = self.start
        got = body.media_format
        if (got.encoding, got.sample_rate, got.channels) != ("audio/x-mulaw", 8_000, 1):
            found = shown(f"{got.encoding} at {got.sample_rate} Hz with {got.channels} channels")
            raise WireError.of("wire.format", found=found, carrier=CAPABILITIES.carrier, expected=PCMU_8K)
        return Started(self.stream_sid, body.call_sid, body.account_sid, PCMU_8K, body.custom_parameters)


class _MediaBody(Struct, gc=False):
    payload: bytes
    timestamp: _Count
    chunk: _Count
    track: Literal["inbound", "outbound"]


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody


class _DigitBody(Struct):
    digit: Annotated[str, Meta(pattern=r"\A[0-9*#A-D]\Z")]


class _Digit(Struct, tag_field="event", tag="dtmf"):
    dtmf: _DigitBody

    def message(self) -> Digit:
        return Digit(self.dtmf.digit)


class _MarkBody(Struct):
    name: _Text


class _Mark(Struct, tag_field="event", tag="mark"):
    mark: _MarkBody

    def message(self) -> Marked:
        return Marked(self.mark.name)


class _StopBody(Struct, rename="camel"):
    call_sid: _Id


class _Stop(Struct, tag_field="event", tag="stop"):
    stop: _StopBody

    def message(self) -> Stopped:
        return Stopped(self.stop.call_sid)


class _Any(Struct):
    """Only to learn why a message is none of these."""

    event: str


class _AnyAudioBody(Struct):
    payload: str
    timestamp: _Count
    chunk: _Count
    track: Literal["inbound", "outbound"]


class _AnyAudio(Struct, tag_field="event", tag="media"):
    """A media message whose payload is any text: what is this, and no `_Media`, is not base64."""

    media: _AnyAudioBody


_MESSAGES: Final[Decoder[_Connected | _Start | _Media | _Digit | _Mark | _Stop]] = Decoder(
    _Connected | _Start | _Media | _Digit | _Mark | _Stop, strict=False
)
_EVENTS: Final = frozenset({"connected", "start", "media", "dtmf", "mark", "stop"})
_ANY: Final = Decoder(_Any)
_ANY_AUDIO: Final = Decoder(_AnyAudio, strict=False)

#: What msgspec raises: UnicodeError (a ValueError) for what is not UTF-8, RecursionError for what is nested too deep.
_REFUSALS: Final = (MsgspecError, ValueError, RecursionError)


# -- in


def decode(message: str | bytes, *, limit: int = MAX_MESSAGE) -> Message:
    """What a message of Twilio says; see `Serializer.decode`. Raises `WireError` and nothing else."""
    if len(message) > limit:
        raise WireError.of("wire.size", size=len(message), limit=limit)
    try:
        found = _MESSAGES.decode(message)
    except _REFUSALS as error:
        return _unread(message, error)
    if isinstance(found, _Media):  # fifty times a second, so without a method of its own
        body = found.media
        return Media(body.payload, body.timestamp, body.chunk, body.track)
    return found.message()


def _unread(message: str | bytes, error: Exception) -> Unrecognized:
    """A message that is none of the known ones: of another event, or a `WireError` that says why."""
    try:
        event = _ANY.decode(message).event
    except ValidationError as reason:
        raise WireError.of("wire.schema", error=shown(str(reason))) from None
    except _REFUSALS as reason:
        raise _no_json(reason) from None
    if event not in _EVENTS:
        return Unrecognized(shown(event))
    if not isinstance(error, ValidationError):
        raise _no_json(error) from None
    try:
        _ANY_AUDIO.decode(message)
    except _REFUSALS:
        raise WireError.of("wire.schema", error=shown(str(error))) from None
    raise WireError.of("wire.base64") from None


def _no_json(error: Exception) -> WireError:
    if isinstance(error, RecursionError):
        reason = "it is nested too deep"
    elif isinstance(error, UnicodeError):
        reason = "it is not UTF-8"
    else:
        reason = shown(str(error))
    return WireError.of("wire.json", error=reason)


# -- out


class TwilioStream:
    """Writes the messages of one stream; see `Outgoing`. `audio` takes µ-law at 8 kHz without a header."""

    __slots__ = ("_audio", "_clear", "_mark")

    def __init__(self, stream_id: str) -> None:
        of_stream = b',"streamSid":' + quoted(stream_id)
        self._audio = b'{"event":"media"' + of_stream + b',"media":{"payload":"'
        self._mark = b'{"event":"mark"' + of_stream + b',"mark":{"name":'
        self._clear = b'{"event":"clear"' + of_stream + b"}"

    def audio(self, payload: bytes) -> bytes:
        return self._audio + b2a_base64(payload, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        return self._mark + quoted(name) + b"}}"

    def clear(self) -> bytes:
        return self._clear


def outgoing(stream_id: str, format: AudioFormat = PCMU_8K) -> TwilioStream:
    """What writes the messages of a stream; see `Serializer.outgoing`. Raises `WireError`."""
    if format not in CAPABILITIES.formats:
        raise WireError.of("wire.format", found=format, carrier=CAPABILITIES.carrier, expected=PCMU_8K)
    return TwilioStream(stream_id)
