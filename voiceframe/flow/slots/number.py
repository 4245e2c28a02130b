"""Whole numbers and strings of digits."""

from __future__ import annotations

from collections.abc import Callable

from ..expressions import Expr, Named, OneOf, Opt, Pattern, Repeat, Seq, Table, Typed
from ..words import DIGITS, spell
from .base import Context, Slot

__all__ = ["Digits", "Number"]


class Number(Slot[int]):
    """A whole number from `low` to `high`, at most 999,999: "twelve", "one hundred and twenty", "120"."""

    type = int

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        *,
        low: int = 0,
        high: int = 100,
        label: str | None = None,
        hint: str | None = None,
        check: Callable[[int, Context], str | None] | None = None,
    ) -> None:
        super().__init__(name, prompt, label=label, hint=hint, check=check)
        self.low = low
        self.high = high

    def expression(self, context: Context) -> Expr:
        numeral = Pattern(r"\d{1,6}")
        if self.high - self.low <= 100:
            typed = {spell(n).replace("hundred ", "hundred and "): n for n in range(self.low, self.high + 1) if n > 100}
            numbers = Table({spell(n): n for n in range(self.low, self.high + 1)}, typed)
            # What is out of the bounds is understood all the same, to say so.
            return OneOf(numbers, numeral, Typed(_below(1_000_000)))
        return OneOf(_below(self.high + 1), numeral)

    def say(self, value: int) -> str:
        return spell(value)

    def dtmf(self, digits: str, context: Context) -> int | None:
        if not digits.isdecimal() or len(digits) > 6 or (digits == "0" and self.low > 0):  # that is the person
            return None
        return int(digits)

    def keys_hint(self, context: Context) -> str:
        return "type it on your keypad, and then the pound key"

    def default_hint(self, context: Context) -> str:
        return f"It is a number from {spell(self.low)} to {spell(self.high)}."

    def reason(self, value: int, context: Context) -> str | None:
        if self.low <= value <= self.high:
            return None
        return f"It must be a number from {spell(self.low)} to {spell(self.high)}."


class Digits(Slot[str]):
    """Digits, one by one, of a fixed length or from `shortest` to `length`: "four seven double one", "4711"."""

    type = str

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        *,
        length: int,
        shortest: int | None = None,
        label: str | None = None,
        hint: str | None = None,
        check: Callable[[str, Context], str | None] | None = None,
    ) -> None:
        super().__init__(name, prompt, label=label, hint=hint, check=check)
        self.length = length
        self.shortest = length if shortest is None else shortest
        self.digits = length if self.shortest == length else 0

    def expression(self, context: Context) -> Expr:
        digit = Named("digit", Table({**{word: str(n) for n, word in enumerate(DIGITS)}, "oh": "0"}, {"o": "0"}))
        piece = OneOf(
            digit,
            Typed(
                Seq(
                    Table({}, {"double": 2, "triple": 3}),
                    OneOf(digit, Pattern(r"\d", lambda m: m[0])),
                    make=lambda times, one: one * times,
                )
            ),
            Pattern(r"\d+", lambda match: match[0]),
        )
        # Too many or too few are understood all the same, to say so.
        return OneOf(
            Seq(Repeat(piece, self.shortest, self.length), make="".join),
            Typed(Seq(Repeat(piece, 1, 40), make="".join)),
        )

    def say(self, value: str) -> str:
        return " ".join(DIGITS[int(digit)] for digit in value)

    def dtmf(self, digits: str, context: Context) -> str | None:
        return digits if digits.isdecimal() and self.shortest <= len(digits) <= self.length else None

    def keys_hint(self, context: Context) -> str:
        return "type it on your keypad" + ("" if self.digits else ", and then the pound key")

    def default_hint(self, context: Context) -> str:
        return f"Say its {self._count()} digits one by one."

    def reason(self, value: str, context: Context) -> str | None:
        return None if self.shortest <= len(value) <= self.length else f"It has {self._count()} digits."

    def _count(self) -> str:
        return spell(self.length) if self.digits else f"{spell(self.shortest)} to {spell(self.length)}"


def _below(bound: int) -> Expr:
    """The whole numbers below a bound, and some above it: "two hundred thousand and twelve"."""
    units = Table({spell(n): n for n in range(1, 10)})
    teens = Table({spell(n): n for n in range(10, 20)})
    tens = Table({spell(n): n for n in range(20, 100, 10)})
    small = Named("number99", OneOf(Seq(tens, Opt(units), make=lambda t, u: t + (u or 0)), teens, units))
    zero = Table({"zero": 0})
    if bound <= 100:
        return OneOf(zero, small)
    hundreds = Named(
        "number999",
        OneOf(
            Seq(
                Table({**{spell(n): n for n in range(1, 10)}, "a": 1}),
                "hundred",
                Opt(Seq(Opt("and"), small, make=lambda n: n)),
                make=lambda h, rest: h * 100 + (rest or 0),
            ),
            small,
        ),
    )
    if bound <= 1000:
        return OneOf(zero, hundreds)
    thousands = Seq(
        hundreds if bound > 100_000 else small if bound > 10_000 else units,
        "thousand",
        Opt(Seq(Opt("and"), hundreds, make=lambda n: n)),
        make=lambda t, rest: t * 1000 + (rest or 0),
    )
    return OneOf(zero, thousands, hundreds)
