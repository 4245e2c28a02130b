"""Where audio and text come from and go to."""

from .base import Transport
from .text import TextTransport

__all__ = ["TextTransport", "Transport"]
