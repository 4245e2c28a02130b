"""Sentences: where streamed text may be cut, so that each piece can be spoken by itself.

A voice needs the whole sentence for its melody, and the caller should not wait for more than that. So a sentence goes
out as soon as it is certain that it is over: when the text behind it shows that its full stop was one.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Sentences", "split_sentences"]

#: A piece that is longer than this is cut at a comma, else at a space: nobody waits for the end of an endless sentence.
MOST_CHARS: Final = 300

#: What ends a sentence. The wide ones need no white space behind them.
_ENDS: Final = ".!?…"
_WIDE: Final = "。！？｡"
#: What may stand behind the end and belongs to it.
_CLOSING: Final = "\"'”’»)]}*_"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words whose full stop ends no sentence, whatever follows.
# "no", "sat" and "sun" are not among them: they are words, which end sentences far more often.
_NEVER: Final = _words("""
    dr mr mrs ms mx prof rev hon st sr jr gen col lt sgt capt cmdr gov sen rep pres vs e.g i.e cf approx dept est
    fig ext tel jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri ave blvd rd
    hwy apt ste bldg z.b d.h u.a bzw ca evtl ggf hr fr str mme mlle sra srta
""")
#: Words whose full stop ends a sentence only if what follows begins like one.
_MAYBE: Final = _words("a.m p.m am pm etc inc ltd co corp u.s u.k p.s ph.d b.c a.d usw")

_LAST_WORD: Final = re.compile(r"[^\s\"'“‘«(\[{]*$")


class Sentences:
    """Cuts a text that comes in pieces. Joined, the sentences are the text; white space stands in front of each."""

    __slots__ = ("_scanned", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._scanned = 0  # no end of a sentence lies before this

    def feed(self, text: str) -> list[str]:
        """The sentences that are certain now."""
        self._text += text
        found: list[str] = []
        while True:
            end = self._next()
            if not end:
                return found
            found.append(self._text[:end])
            self._text = self._text[end:]
            self._scanned = 0

    def flush(self) -> str:
        """What is left: the last sentence, or an unfinished one. May be empty, or white space."""
        rest, self._text = self._text, ""
        self._scanned = 0
        return rest

    def _next(self) -> int:
        """Where the first sentence ends; 0 if that is not known yet."""
        text = self._text
        index = self._scanned
        while index < len(text):
            char = text[index]
            if char == "\n" and text[:index].strip():
                return index
            if char in _ENDS or char in _WIDE:
                end = index + 1
                while end < len(text) and (text[end] in _ENDS or text[end] in _WIDE or text[end] in _CLOSING):
                    end += 1
                if end == len(text):  # more of the same may follow, or a decimal
                    break
                verdict = _ends_here(text, index, end)
                if verdict is None:
                    break
                if verdict:
                    return end
                index = end
                continue
            index += 1
        self._scanned = min(index, len(text))
        if len(text) > MOST_CHARS:
            return _cut(text)
        return 0


def split_sentences(text: str) -> list[str]:
    """The sentences of a whole text; joined they are the text."""
    sentences = Sentences()
    found = sentences.feed(text)
    rest = sentences.flush()
    if rest:
        if rest.strip() or not found:
            found.append(rest)
        else:
            found[-1] += rest
    return found


def _ends_here(text: str, index: int, end: int) -> bool | None:
    """Whether the mark at `index`, with what belongs to it up to `end`, ends a sentence. None: the text must go on."""
    if any(char in _WIDE for char in text[index:end]):
        return True
    if not text[end].isspace():  # 3.5, example.com, U.S.A
        return False
    if not any(char.isalnum() for char in text[:index]):  # nothing was said yet: "...", "1." has been
        return False
    follows = text[end:].lstrip()
    marks = text[index:end]
    if "!" in marks or "?" in marks:
        return True
    word = _last_word(text[:index])
    if marks.startswith("..") or "…" in marks:
        # An ellipsis: the sentence goes on in small letters.
        return None if not follows else not follows[0].islower()
    if word in _NEVER or (len(word) == 1 and word.isalpha() and text[index - 1].isupper() and word != "i"):
        return False
    if word in _MAYBE or re.fullmatch(r"(\w\.)+\w", word):
        return None if not follows else follows[0].isupper() or not (follows[0].isalnum() or follows[0] in ",;:-–—")
    return not (word.isdigit() and not text[: index - len(word)].strip())  # "1. Press the key": a list


def _last_word(text: str) -> str:
    match = _LAST_WORD.search(text[-24:])
    return match.group().casefold() if match else ""


def _cut(text: str) -> int:
    """Where to cut a piece that is too long: behind its last comma or the like, else behind its last word."""
    head = text[:MOST_CHARS]
    for marks in (",;:—–、，；", None):
        for index in range(MOST_CHARS - 1, MOST_CHARS // 3, -1):
            if marks is None:
                if head[index].isspace():
                    return index
            elif head[index - 1] in marks and (head[index].isspace() or head[index - 1] in "、，；"):
                return index
    return MOST_CHARS
