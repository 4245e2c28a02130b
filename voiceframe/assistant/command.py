"""`voiceframe assistant report`: what the calls of assistants came to."""

from __future__ import annotations

import time

from ..report import show
from .memory import DAY_MS
from .report import assistant_report

__all__ = ["report_command"]


def report_command(store: str, *, assistant: str, tenant: str | None, days: float | None, form: str) -> int:
    """Print the report of the assistants in a store. Returns the exit code."""
    since_ms = None if days is None else time.time_ns() // 1_000_000 - round(days * DAY_MS)
    return show(assistant_report(store, assistant=assistant, tenant=tenant, since_ms=since_ms), form)
