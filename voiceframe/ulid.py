"""ULIDs: 26 characters that sort by the time of their making (https://github.com/ulid/spec).

48 bits of epoch milliseconds, then 80 random bits, in Crockford's base32. Both come from the caller, so under virtual
time and a seeded generator the same run makes the same ids.
"""

from __future__ import annotations

import random
import re
from typing import Final

__all__ = ["ULIDs", "is_ulid", "ulid_ms"]

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)  # 10 bits at a time
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_SHAPE: Final = re.compile(f"[0-7][{_ALPHABET}]{{25}}")  # the first character holds 3 bits
_LAST_RANDOM: Final = (1 << 80) - 1
_LAST_MS: Final = (1 << 48) - 1


def _encode(value: int) -> str:
    pairs = _PAIRS
    return "".join([pairs[(value >> shift) & 0x3FF] for shift in range(120, -1, -10)])


class ULIDs:
    """Makes ids, each greater than the one before, also within one millisecond and when the wall clock is set back.

    `rng` is used once for each new millisecond. Not thread-safe.
    """

    __slots__ = ("_last_ms", "_random", "_rng")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last_ms = -1
        self._random = 0

    def next(self, wall_ms: int) -> str:
        """The id for this epoch millisecond."""
        if wall_ms > self._last_ms:
            self._last_ms = min(wall_ms, _LAST_MS)
            self._random = self._rng.getrandbits(80)
        elif self._random < _LAST_RANDOM:
            self._random += 1
        else:  # the specification lets this fail; the next millisecond is as good
            self._last_ms += 1
            self._random = self._rng.getrandbits(80)
        return _encode(self._last_ms << 80 | self._random)


def is_ulid(text: str) -> bool:
    """Whether `text` is a ULID in its canonical, upper-case form."""
    return _SHAPE.fullmatch(text) is not None


def ulid_ms(ulid: str) -> int:
    """The epoch milliseconds in a ULID. Raises `ValueError` if it is none."""
    if not is_ulid(ulid):
        raise ValueError(f"{ulid!r} is not a ULID")
    value = 0
    for character in ulid[:10]:
        value = value << 5 | _VALUES[character]
    return value
