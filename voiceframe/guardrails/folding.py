"""Folding: a text as a rule reads it, whatever letters it is written with.

Small letters, no accents, no characters that nobody sees; letters that look like Latin ones are Latin, digits of any
script are 0 to 9, and the invisible "tag" letters with which text is smuggled are what they stand for. Each character
is folded by itself, so a text may come in pieces.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from functools import lru_cache
from typing import Final

__all__ = ["Folded", "fold", "hidden_chars"]

#: Letters of other scripts by the Latin ones that they look like (Unicode TR 39, confusables; the common ones).
_LOOKALIKES: Final = {
    **dict(zip("аеорсухіјѕһԁԛԝѵьӏкмтнв", "aeopcyxijshdqwvblkmthb", strict=True)),
    **dict(zip("αβεηικνορτυχωγϲϳ", "abenikvoptuxwycj", strict=True)),
    **dict(zip("ıɩɪɡɑοսհոօԍɴʀʏʟʜʙᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢ", "iiigaouhnognrylhbacdejkmoptuvwz", strict=True)),
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "’": "'",
    "‘": "'",
    "ʼ": "'",
    "´": "'",
    "“": '"',
    "”": '"',
    "„": '"',
    "«": '"',
    "»": '"',
    "–": "-",
    "—": "-",
    "‐": "-",
    "‑": "-",
    "−": "-",
    "∕": "/",
    "⁄": "/",
}
_TAGS: Final = range(0xE0000, 0xE0080)
_KEPT_CONTROLS: Final = "\t\n\v\f\r"


class Folded:
    """A folded text, and where each of its characters stands in the original."""

    __slots__ = ("_index", "_length", "text")

    def __init__(self, text: str, index: list[int] | None, length: int) -> None:
        self.text = text
        self._index = index  # None: as in the original
        self._length = length

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original, with the unseen characters behind it."""
        index = self._index
        if index is None or start >= end:
            return start, end
        last = index[end - 1]
        behind = index[end] if end < len(index) else self._length
        return index[start], max(last + 1, behind)

    def start(self, at: int) -> int:
        """Where the character at `at` stands in the original; its end, if there is none."""
        index = self._index
        if index is None:
            return at
        return index[at] if at < len(index) else self._length

    def find(self, at: int) -> int:
        """Where the character of the original at `at` stands here, or the first one behind it."""
        return at if self._index is None else bisect_left(self._index, at)


def fold(text: str) -> Folded:
    """The text as a rule reads it."""
    if text.isascii():
        return Folded(text.lower(), None, len(text))
    folded: list[str] = []
    index: list[int] = []
    for at, char in enumerate(text):
        for new in _fold_char(char):
            folded.append(new)
            index.append(at)
    return Folded("".join(folded), index, len(text))


def hidden_chars(text: str) -> int:
    """How many characters nobody sees: such as carry text past a reader. Joiners of emoji and accents are none."""
    if text.isascii():
        return 0
    return sum(
        1
        for char in text
        if ord(char) in _TAGS or (unicodedata.category(char) == "Cf" and char not in "\u00ad\u200d\ufe0f")
    )


@lru_cache(maxsize=8192)
def _fold_char(char: str) -> str:
    code = ord(char)
    if code < 128:
        return char.lower()
    if code in _TAGS:
        shown = chr(code - _TAGS.start)
        return shown.lower() if shown.isprintable() else ""
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    found = ""
    for part in unicodedata.normalize("NFKD", char):
        for small in part.lower():
            category = unicodedata.category(small)
            if category in ("Mn", "Me", "Cf") or (category == "Cc" and small not in _KEPT_CONTROLS):
                continue
            found += _LOOKALIKES.get(small, small)
    return found
