"""Keys: presses, collected into an entry."""

from __future__ import annotations

__all__ = ["Keypad"]

#: A caller who leans on the keypad makes no book of it.
_MOST_KEYS = 64


class Keypad:
    """Collects keys until the entry is complete: at `#`, at the number of keys that is expected, or when time is up."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys = ""

    @property
    def waiting(self) -> bool:
        """Whether an entry has begun."""
        return bool(self._keys)

    def press(self, key: str, expected: int) -> str | None:
        """A key was pressed. Returns the entry if it is complete with it; `expected` is its length, 0 for any."""
        if key == "#":
            # Alone it is an answer of its own; behind other keys it ends them.
            return self.take() or "#"
        self._keys += key
        if (expected and len(self._keys) >= expected) or len(self._keys) >= _MOST_KEYS:
            return self.take()
        return None

    def take(self) -> str:
        """What was pressed so far; the next entry begins."""
        keys, self._keys = self._keys, ""
        return keys
