"""A short notation for patterns of what people say, which reads more like it than a regular expression.

A space stands for whatever is between two words, `~3` for up to three words, and a group in parentheses is never
numbered: `you (should|must) ~3 (pills|tablets)`. All else is as in `syntax`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["said", "said_any"]

#: Between words; a full stop as well, since a recognizer sets them where it likes.
_GAP: Final = r"[^\w]{1,4}"
#: Between the words of one sentence.
_WITHIN: Final = r"[^\w.!?]{1,4}"


def said(text: str, gap: str = _GAP) -> str:
    """The pattern of a saying, from the beginning of a word."""
    text = re.sub(r"(?<!\\)\((?!\?)", "(?:", text)
    text = re.sub(r" ~(\d) ", lambda match: rf"(?:{gap}\w+){{0,{match[1]}}}{gap}", text)
    return text.replace(" ", gap)


def said_any(sayings: Iterable[str]) -> str:
    """The pattern of any of these, each within one sentence: what the bot says need not wait for the next."""
    return rf"\b(?:{'|'.join(f'(?:{said(each, _WITHIN)})' for each in sayings)})"
