"""Anything: what the caller says, in their own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..expressions import Expr, Typed
from ..words import tokens
from .base import Context, Found, Slot

__all__ = ["Text"]

#: What is kept of one answer, in characters.
_MOST_CHARS: Final = 2_000


class _Anything(Expr):
    """All of the words, whatever they are. No grammar lets that through, so it is no part of one."""

    spoken = False

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, str]]:
        if start == 0 and words:
            yield len(words), " ".join(words)

    def jsgf(self, rules: dict[str, str]) -> str:
        return "<NULL>"


class Text(Slot[str]):
    """What the caller says, in their own words: "How may I help you?"

    It is taken as it was recognized, up to 2,000 characters, and is not said back. Only an answer that is nothing but a
    command ("operator", "help") or a key of the state is not. No recognizer with a grammar can hear it. It is asked for
    where it is the next slot, and never filled in passing.
    """

    type = str
    digits = 1

    def expression(self, context: Context) -> Expr:
        return Typed(_Anything())

    def say(self, value: str) -> str:
        return value

    def spot(self, words: Sequence[str], context: Context, expression: Expr | None = None) -> Iterator[Found[str]]:
        return iter(())  # it is whatever nothing else is: `Expectation.read()` takes it

    def take(self, text: str) -> str | None:
        """What is kept of an answer, None for nothing."""
        kept = " ".join(text.split())[:_MOST_CHARS]
        return kept if tokens(kept) else None

    def parse(self, text: str, context: Context) -> str | None:
        return self.take(text)

    def default_hint(self, context: Context) -> str:
        return "Please tell me in your own words."
