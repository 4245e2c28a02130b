"""Keys in a call without turn taking (a call of text), collected to answers."""

from __future__ import annotations

from collections.abc import Callable

from ..processor import Processor
from ..processors.turn.timer import Timer

__all__ = ["Keying"]

#: A caller who leans on the keypad makes no book of it.
_MOST_KEYS = 64


class Keying:
    """Collects keys until the answer is complete: at the key that ends it, at the number that is expected, after a
    pause. answer: is given the keys."""

    def __init__(self, owner: Processor, answer: Callable[[str], None]) -> None:
        self._answer = answer
        self._keys = ""
        self._timer = Timer(owner)

    @property
    def waiting(self) -> bool:
        """Whether an answer has begun."""
        return bool(self._keys)

    def press(self, key: str, *, expected: int, end: str, pause_ms: int) -> None:
        """A key was pressed. expected: how many make an answer, 0 for any number."""
        self._timer.stop()
        self._keys += key
        ends = key in (end, "#") or (key == "*" and len(self._keys) == 1)
        if ends or len(self._keys) >= (expected or _MOST_KEYS):
            self._over()
        else:
            self._timer.after(pause_ms, self._over)

    def _over(self) -> None:
        keys = self._keys
        self.drop()
        if keys:
            self._answer(keys)

    def drop(self) -> None:
        """Forget what was pressed."""
        self._keys = ""
        self._timer.stop()
