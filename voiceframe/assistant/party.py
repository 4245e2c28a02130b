"""Who is on the line, as far as the carrier says."""

from __future__ import annotations

from typing import Final

from ..call import Call

__all__ = ["party"]

#: What carriers say for "withheld", as a word or, as Twilio does, spelled on the keys of a telephone.
_NOBODY: Final = frozenset(
    {
        "anonymous",
        "blocked",
        "private",
        "restricted",
        "unavailable",
        "unknown",
        "+266696687",
        "+2562533",
        "+7378742833",
        "+86282452253",
        "+8656696",
    }
)


def party(call: Call) -> str | None:
    """The number or address of the other side; None where it is withheld. Nothing proves that it is true."""
    found = (call.from_ if call.direction == "inbound" else call.to).strip()
    return found if found and found.lower() not in _NOBODY else None
