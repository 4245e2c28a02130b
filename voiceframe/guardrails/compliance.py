"""Compliance: what callers must be told in time, and the wish not to be called any more."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import GuardrailError
from .decisions import Finding
from .machine import Machine
from .rules import Rule, Scan, Text, phrases, scanned

__all__ = ["Notice", "OptOut"]

_OPT_OUT = (
    "stop calling", "stop phoning", "stop ringing me", "quit calling", "do not call", "don't call", "never call",
    "don't ever call", "don't phone me", "don't ring me", "no more calls", "stop these calls", "stop the calls",
    "stop contacting me", "do not contact me", "don't contact me", "do not call list", "do not call register",
    "take me off your list", "take me off the list", "take me off this list", "take my number off", "take my name off",
    "remove me from your list", "remove me from the list", "remove me from this list",
    "remove me from your calling list", "remove me from your call list", "remove me from your phone list",
    "remove my number", "remove my name", "delete my number", "put me on your do not call",
    "unsubscribe", "unsubscribe me", "opt out", "opt me out",
    "lose my number",
)  # fmt: skip

#: What follows where only another time, another way or another name is wished for: "don't call before nine".
_NOT_NOW = re.compile(
    r"(?:\W+me)?\W+(?:before|after|until|till|at|on|in|during|between|yet|today|tonight|right now|while|if|unless|"
    r"when|so (?:early|late|often)|a|an|that|it|the (?:police|doctor|office)|by|collect)\b",
    re.IGNORECASE,
)


class OptOut(Rule):
    """The caller does not want to be called: it is honoured at once. `compliance.opted-out` is logged, the sentence is
    said, which cannot be interrupted, and the call ends with the reason `"opted-out"`. The agent gets nothing of it.

    phrases: in place of those that it knows (English). keys: key presses that mean the same: `keys=("9",)`.
    """

    def __init__(
        self,
        *words: str,
        keys: Sequence[str] = (),
        say: str = "I understand: you do not want to be called, and we will not call you again. Goodbye.",
        name: str = "opt-out",
    ) -> None:
        super().__init__(name, stages=("transcript",), action="block", say=say)
        self.keys = frozenset(keys)
        self._machine = Machine(phrases(words or _OPT_OUT, name))

    def scan(self, text: Text) -> Scan:
        found, opened = scanned(self._machine, text, "opt-out")
        return Scan([each for each in found if not _NOT_NOW.match(text.raw, each.end)], opened)

    def pressed(self, keys: str) -> list[Finding]:
        """What the keys of a turn mean."""
        return [Finding(0, len(keys), "opt-out")] if keys in self.keys else []


class Notice:
    """A clock: the caller must have heard something within a time from the answer of the call.

        Notice("recording-notice", "recorded", "recording")

    phrases: of which one must be heard, as `Words` takes them. What counts is what was heard, not what was said.
    within_ms: from the answer of the call. When it is over, `compliance.missed` is logged.
    say: said then, if the notice has not been heard; empty for nothing. Once it is heard, in time or not,
        `compliance.met` is logged.
    """

    def __init__(self, name: str, *words: str, within_ms: int = 10_000, say: str = "") -> None:
        if within_ms < 1:
            raise GuardrailError.of(
                "guard.number", where=f"Notice({name!r})", name="within_ms", value=within_ms, expected="1 or more"
            )
        self.name = name
        self.within_ms = within_ms
        self.say = say
        self._machine = Machine(phrases(words, name))

    def heard_in(self, text: str) -> bool:
        """Whether the notice is in what was heard."""
        return bool(scanned(self._machine, Text(text), self.name).findings)
