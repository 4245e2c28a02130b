"""Whether Pipecat is here to be measured beside. `uv run --group bench …` installs it."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["ABSENT", "AVAILABLE"]

AVAILABLE = find_spec("pipecat") is not None
ABSENT = "Pipecat is not installed, so nothing was compared with it: `uv run --group bench …` installs it."
