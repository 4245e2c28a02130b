"""The nearest valid name, for errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(name: str, options: Iterable[str]) -> str:
    """The option that is most like `name`; of several alike the first by the alphabet."""
    found = difflib.get_close_matches(name, sorted(options), n=1, cutoff=0.0)
    return found[0] if found else "nothing of the kind is known"
