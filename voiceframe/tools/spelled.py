"""Slots for what is given sign by sign: spelled words, and numbers of cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..flow import Context, Digits, Slot
from ..flow.expressions import Expr, Named, OneOf, Opt, Pattern, Repeat, Seq, Table, Typed
from ..flow.words import DIGITS
from .asking import luhn

__all__ = ["Card", "Spelled"]

#: The spelling alphabet of the ICAO (Annex 10, volume II), as it is said on the telephone as well.
_ALPHABET: Final = (
    *("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima"),
    *("mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey"),
    *("x-ray", "yankee", "zulu"),
)
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_SIGNS: Final = {"hyphen": "-", "dash": "-", "apostrophe": "'", "space": " "}


class Spelled(Slot[str]):
    """A word letter by letter: "M U double L E R", "M as in Mike, alpha, ..."."""

    type = str
    lead = ("my name is", "it is", "it's", "that is", "that's")

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        *,
        shortest: int = 2,
        label: str | None = None,
        check: Callable[[str, Context], str | None] | None = None,
    ) -> None:
        super().__init__(name, prompt, label=label, check=check)
        self._shortest = shortest

    def expression(self, context: Context) -> Expr:
        letters = {letter: letter for letter in _LETTERS}
        spoken = {word: word[0] for word in _ALPHABET}
        one = Named("letter", Table({**letters, **spoken, **_SIGNS}, {"alfa": "a", "juliett": "j", "xray": "x"}))
        like = Typed(Seq(OneOf("as in", "like", "for"), Pattern(r"[a-z']+", lambda match: match[0]), make=lambda w: w))
        piece = Seq(
            Opt(Typed(Table({}, {"double": 2, "triple": 3}))),
            one,
            Opt(like),
            make=lambda times, letter, word: None if word and word[0] != letter else letter * (times or 1),
        )
        return Seq(Repeat(piece, self._shortest, 40), make=lambda parts: "".join(parts).strip().title() or None)

    def say(self, value: str) -> str:
        names = {sign: word for word, sign in reversed(_SIGNS.items())}
        return ", ".join(names.get(letter, letter.upper()) for letter in value)

    def default_hint(self, context: Context) -> str:
        return "Please spell it, letter by letter."


class Card(Digits):
    """The number of a payment card: 12 to 19 digits, the last of which is a check digit (ISO/IEC 7812-1).

    It is never said back: only its last four digits are.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, length=19, shortest=12, label="card number", check=_check_card, **options)

    def say(self, value: str) -> str:
        return "the card ending in " + " ".join(DIGITS[int(digit)] for digit in value[-4:])


def _check_card(value: str, context: Context) -> str | None:
    return None if luhn(value) else "That is not the number of a card."
