"""Where audio and text come from and go to."""

from .base import Transport
from .loopback import LineConditions, LoopbackTransport
from .output import AudioOutput
from .text import TextTransport

__all__ = ["AudioOutput", "LineConditions", "LoopbackTransport", "TextTransport", "Transport"]
