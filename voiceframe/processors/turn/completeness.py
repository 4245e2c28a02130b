"""Whether words are a whole utterance: a small grammar of how English utterances do and do not end."""

from __future__ import annotations

import contextlib
import re
from functools import lru_cache
from typing import Final

from ...errors import GrammarError
from ...frames import ExpectFrame
from ...jsgf import parse

__all__ = ["completeness"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words after which an utterance goes on: articles, prepositions, conjunctions, auxiliaries, possessives.
_GOES_ON: Final = _words(
    """a an the and or but nor so because since although though unless until while if when where which who whose that
    to of for from in into on onto at by with without about around between before after during against toward
    towards under over near per than as like via my your his her its our their this these those some any every
    each no another i we they he she is are was were am be been being do does did have has had will would shall
    should can could may might must let's i'd i'll i'm i've we'd we'll we're they're it's that's there's gonna
    wanna really very quite just maybe actually also even only then plus doctor dr mr mrs ms miss saint number"""
)
#: Sounds with which a speaker keeps the turn.
_FILLERS: Final = _words("""um umm uh uhm er erm hmm hm well like so""")
#: Short answers that are whole by themselves.
_WHOLE: Final = _words(
    """yes yeah yep yup no nope okay ok sure right correct exactly thanks hello hi bye goodbye stop cancel help
    operator repeat please nothing none never maybe perhaps absolutely definitely"""
)
#: Pronouns and adverbs that close what precedes them ("I need it", "call me back later").
_CLOSES: Final = _words(
    """please thanks it that's all me now today tomorrow tonight later back again then there here too well
    morning afternoon evening o'clock am pm a.m p.m"""
)
_NUMBERS: Final = _words(
    """zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand double
    triple"""
)
#: The first words of something that cannot stand without its object.
_OPENINGS: Final = re.compile(
    r"\b(i want|i need|i would like|i'd like|can you|could you|would you|do you|i was|what about|how about|my name is"
    r"|my number is|it is|(can|could|would|will|do|did|should|are) you|looking for|speak to|talk to|come in|make|book"
    r"|change|move|cancel my)$"
)


def completeness(text: str, expect: ExpectFrame | None = None) -> float:
    """How probable it is, from 0 to 1, that `text` is all that the caller wants to say for now."""
    text = text.strip().lower()
    if not text:
        return 0.5
    words = [word for word in re.split(r"[^\w'.-]+", text) if word.strip(".-'")]
    plain = [word.strip(".-'") for word in words]
    if not plain:
        return 0.5
    if expect is not None and _expected(" ".join(plain), expect):
        return 0.97
    last = plain[-1]
    if text.endswith(("...", "…", "-", ",")) or last in _FILLERS:
        return 0.12
    joined = " ".join(plain)
    if joined.endswith("thank you") or (len(plain) <= 3 and all(w in _WHOLE or w in _CLOSES for w in plain)):
        return 0.95
    if text.endswith(("?", "!")):
        return 0.93
    if last in _CLOSES and len(plain) > 1:
        return 0.85
    if last in _GOES_ON:
        return 0.08
    if _OPENINGS.search(joined):
        return 0.15
    if text.endswith("."):
        return 0.88
    if last in _NUMBERS:
        return _digits(plain)
    return 0.75 if len(plain) >= 3 else 0.6


def _expected(joined: str, expect: ExpectFrame) -> bool:
    """Whether this is one of the phrases that the dialog expects."""
    if joined in {phrase.lower() for phrase in expect.phrases}:
        return True
    return bool(expect.jsgf) and _accepts(expect.jsgf, joined)


@lru_cache(maxsize=512)
def _accepts(jsgf: str, text: str) -> bool:
    # A grammar that cannot be read is the recognizer's to report; here it only says nothing.
    with contextlib.suppress(GrammarError):
        return parse(jsgf).accepts(text)
    return False


def _digits(words: list[str]) -> float:
    """A run of digits is spoken in groups: the pause between two of them is no end."""
    run = 0
    for word in reversed(words):
        if word not in _NUMBERS:
            break
        run += 1
    if run <= 1:
        return 0.65  # "at ten"
    # Telephone numbers have 7, 10 or 11 digits, cards 4, dates 4, 6 or 8.
    return 0.6 if run in (2, 4) else 0.8 if run in (7, 10, 11) else 0.3
