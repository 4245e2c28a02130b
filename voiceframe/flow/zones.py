"""Time zones by name."""

from __future__ import annotations

from datetime import timezone, tzinfo
from zoneinfo import ZoneInfo

from ..errors import FlowError

__all__ = ["time_zone"]


def time_zone(name: str) -> tzinfo:
    """The zone of this name. Raises `FlowError` (`flow.zone`)."""
    if name == "UTC":
        return timezone.utc  # noqa: UP017  # a machine without tzdata has this one
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise FlowError.of("flow.zone", zone=name) from None
