"""Recording: both sides of a call in a file."""

from .recorder import Recorder

__all__ = ["Recorder"]
