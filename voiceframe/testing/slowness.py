"""How slow this machine is now: tests with sockets wait in real time, and must not take its slowness for a fault."""

from __future__ import annotations

import os
import time
from typing import Final

__all__ = ["slowness"]

#: What the work below takes on a machine for which the bounds were chosen, in seconds, at least.
_TAKES_S: Final = 0.004
_ROUNDS: Final = 60_000
_MOST: Final = 30.0


def slowness() -> float:
    """By how much bounds in real time are to be multiplied: 1 or more.

    Measured in some milliseconds: how fast Python runs, and how many wait for each processor. What
    `VOICEFRAME_TEST_SLOWNESS` says takes its place.
    """
    given = os.environ.get("VOICEFRAME_TEST_SLOWNESS")
    if given:
        return max(1.0, float(given))
    began = time.perf_counter()
    count = 0
    for number in range(_ROUNDS):
        count += number
    took = time.perf_counter() - began
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 1.0
    return min(_MOST, max(1.0, took / _TAKES_S) * max(1.0, waiting))
