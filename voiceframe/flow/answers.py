"""Which answers one point of a dialog has: by mouth, and by keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .grammar import Expectation, Reading
from .help import Focus
from .slots import Context, Found, Slot, YesNo
from .states import AnyState, Intent, State
from .wording import Wording

__all__ = ["expected", "read_keys"]


def expected(
    focus: Focus,
    state: AnyState,
    slot: Slot[Any] | None,
    context: Context,
    *,
    values: Mapping[str, Any],
    echoed: Sequence[str],
    wording: Wording,
    person: bool,
) -> Expectation:
    """What can be said here. echoed: slots that were said back with the question. person: whether there is one."""
    slots: list[Slot[Any]] = []
    intents: Sequence[Intent] = ()
    labels: Sequence[Slot[Any]] = ()
    answers = focus in ("value", "confirm")
    digits = 1
    if focus == "value" and slot is not None:
        slots = [slot]
    elif isinstance(state, State) and focus in ("confirm", "which"):
        slots, labels = list(state.slots), state.slots
    elif isinstance(state, State):
        intents = state.intents
        if slot is not None:
            others = [
                s for s in state.slots if s is not slot and (s.name not in values or s.name in echoed or state.clear)
            ]
            slots = [slot, *others]
            answers = bool(echoed) and not any(isinstance(s, YesNo) for s in slots)
            digits = slot.digits or state.key_count or 0
    universals = wording.universals
    others_turn = focus in ("agent", "record")
    if focus in ("busy", "over"):
        universals = {name: phrases for name, phrases in universals.items() if name in ("person", "goodbye")}
    if others_turn:
        universals = {name: phrases for name, phrases in universals.items() if name == "person"}
    if not person:
        universals = {name: phrases for name, phrases in universals.items() if name != "person"}
    return Expectation(
        context,
        universals=universals,
        intents=intents,
        slots=slots,
        answers=answers,
        labels=labels,
        digits=digits,
        asked=focus == "slot",
        echoed=echoed,
        anything=others_turn,
    )


def read_keys(digits: str, focus: Focus, state: AnyState, slot: Slot[Any] | None, context: Context) -> Reading:
    """What these keys mean here."""
    reading = Reading(coverage=1.0)
    if focus == "slot" and slot is not None:
        value = slot.dtmf(digits, context)
        if value is not None:
            reading.values[slot.name] = Found(0, 0, (value,))
    elif focus in ("value", "confirm"):
        reading.yes, reading.no = digits == "1", digits == "2"
    elif focus == "which" and isinstance(state, State) and digits.isdecimal():
        reading.label = next((s.name for n, s in enumerate(state.slots, 1) if n == int(digits)), "")
    if not reading.understood and digits == "0":
        reading.universal = "person"
    elif not reading.understood and digits == "*":
        reading.universal = "repeat"
    elif not reading.understood and isinstance(state, State) and focus in ("state", "slot"):
        reading.intent = next((intent for intent in state.intents if intent.key == digits), None)
    return reading
