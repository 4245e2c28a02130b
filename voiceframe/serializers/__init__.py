"""Wire formats: pure functions on bytes, no input or output. One module is one carrier, loaded when it is imported.

from voiceframe.serializers import Media, WireError, twilio
"""

from .base import (
    MAX_MESSAGE,
    Capabilities,
    Connected,
    Digit,
    Marked,
    Media,
    Message,
    Outgoing,
    Serializer,
    Started,
    Stopped,
    Unrecognized,
    WireError,
)

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
]
