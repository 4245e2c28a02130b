"""What a dialog knows: the values of slots, how sure each of them is, and what else it may have been."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..events import Event, FlowFilled
from ..tools import plain
from .grammar import Reading
from .slots import Context, Found, Slot, Text, YesNo
from .template import say_value
from .wording import Wording

__all__ = ["Known"]

#: A value that is less sure than this may be doubted when the caller says "no" to several at once.
_SURE = 0.9


class Known:
    """The values of the slots, as they are filled, corrected, doubted and forgotten.

    values: what is known from the start; the same object holds what is known at any time, results of tools as well.
    confirm_below: a value that was heard with less confidence is in doubt.
    wording: how the caller is told of a value that was heard again after a "no".
    emit: is given the events.
    """

    def __init__(
        self,
        slots: Mapping[str, Slot[Any]],
        values: dict[str, Any],
        *,
        context: Callable[[], Context],
        confirm_below: float,
        wording: Wording,
        emit: Callable[[Event], None],
    ) -> None:
        self.values = values
        #: Slots that were filled by the last turn, and were not said back yet.
        self.fresh: list[str] = []
        #: Whether the value in doubt is a guess: what else the recognizer has heard.
        self.perhaps = False
        self._slots = slots
        self._given = dict(values)
        self._context = context
        self._confirm_below = confirm_below
        self._wording = wording
        self._emit = emit
        self._order: list[str] = []  # slots in the order in which they were filled
        self._given_once: set[str] = set()
        self._doubts: list[str] = []
        self._sure: dict[str, float] = {}
        self._others: dict[str, list[Any]] = {}  # what else the recognizer has heard for a slot
        self._rejected: dict[str, list[Any]] = {}

    # -- what is known

    @property
    def doubt(self) -> str | None:
        """The first slot whose value is in doubt."""
        return next((name for name in self._doubts if name in self.values), None)

    def said_back(self) -> tuple[list[str], tuple[str, ...]]:
        """The fresh values in words, and the slots that they are of. They are not fresh any more."""
        fresh, self.fresh = self.fresh, []
        names = tuple(name for name in fresh if name in self.values and not isinstance(self._slots[name], YesNo | Text))
        return [self._slots[name].say(self.values[name]) for name in names], names

    def last_of(self, slots: Sequence[Slot[Any]]) -> str | None:
        """The one of these that was filled last."""
        here = {slot.name for slot in slots}
        return next((name for name in reversed(self._order) if name in here), None)

    def least_sure(self, slots: Sequence[Slot[Any]]) -> str | None:
        """The one of these that a bare "no" means, if that can be told."""
        names = [slot.name for slot in slots]
        doubtful = [name for name in names if self._others.get(name) and self._sure.get(name, 1.0) < _SURE]
        if len(names) != 1 and not doubtful:
            return None
        return min(doubtful or names, key=lambda name: self._sure.get(name, 1.0))

    def summary(self) -> str:
        """All of it, in a line: for the person who takes over."""
        return "; ".join(
            f"{self._slots[name].label}: {say_value(self.values[name], self._slots[name])}"
            for name in self._order
            if name in self.values
        )

    # -- what is said

    def hear_others(self, reading: Reading, others: Sequence[Reading]) -> None:
        """Keep what else the turn may have been."""
        self._others = {
            name: [value for other in others for value in other.values.get(name, found).values[:1]]
            for name, found in reading.values.items()
        } | {name: values for name, values in self._others.items() if name not in reading.values}

    def fill(self, values: Mapping[str, Found[Any]], confidence: float) -> str | None:
        """Take values. Returns why one of them could not be taken, if so."""
        problem = None
        for name, found in values.items():
            slot = self._slots[name]
            context = self._context()
            rejected = self._rejected.get(name, [])
            # Said again after a "no" it was probably misheard again.
            options = [*found.values[:1], *self._others.get(name, []), *found.values[1:]]
            value = slot.choose(options, context, rejected)
            if value is None:  # all of them were rejected before: perhaps it was meant after all
                value = slot.choose(found.values, context)
            reason = slot.valid(value, context)
            if reason is not None:
                problem = self._heard_again(slot, found) or reason
                self.forget(name)
                continue
            if name in self._order:
                self._order.remove(name)
            self._order.append(name)
            self.settle(name)
            self._sure[name] = confidence * found.sure
            if self._sure[name] < self._confirm_below and not isinstance(slot, Text):
                self._doubts.append(name)
            self.fresh.append(name)
            if self.values.get(name) != value:
                self.values[name] = value
                self._emit(FlowFilled(slot=name, corrected=name in self._given_once, value=plain(value)))
                self._given_once.add(name)
        return problem or self._check_all()

    def _heard_again(self, slot: Slot[Any], found: Found[Any]) -> str | None:
        """What to say if the first meaning is only out of the question because it was rejected before.

        Of what is left ("the sixth" of the next year) the reason is true, but is about nothing that was said.
        """
        first = found.values[0]
        if first not in self._rejected.get(slot.name, []) or slot.valid(first, self._context()) is not None:
            return None
        return self._wording.heard_again.format(value=slot.say(first))

    def _check_all(self) -> str | None:
        """What was valid may not be any more: the time, on another day."""
        for name in [name for name in self._order if name in self.values]:
            reason = self._slots[name].valid(self.values[name], self._context())
            if reason is not None:
                self.forget(name)
                return reason
        return None

    def settle(self, name: str) -> None:
        """There is no doubt about it any more."""
        self._doubts = [doubt for doubt in self._doubts if doubt != name]
        self.perhaps = False

    def reject(self, name: str) -> None:
        """What is known of this slot is not what was meant."""
        self._rejected.setdefault(name, []).append(self.values[name])

    def guess(self, name: str) -> bool:
        """Forget a value that was rejected, and take what else it may have been. Whether there is something."""
        slot, context = self._slots[name], self._context()
        rejected = self._rejected.get(name, [])
        options = [v for v in self._others.get(name, []) if v not in rejected and slot.valid(v, context) is None]
        self.forget(name)
        if not options:
            return False
        self.values[name] = options[0]
        self._order.append(name)
        self._doubts.insert(0, name)
        self._emit(FlowFilled(slot=name, corrected=True, value=plain(options[0])))
        self.perhaps = True
        return True

    # -- what is forgotten

    def forget(self, name: str) -> None:
        """Know nothing of this slot."""
        self.settle(name)
        self.values.pop(name, None)
        self.fresh = [fresh for fresh in self.fresh if fresh != name]
        self._order = [known for known in self._order if known != name]

    def go_back_to(self, values: Mapping[str, Any]) -> None:
        """Know what was known then."""
        for name in set(self.values) - set(values):
            self.forget(name)
        self.values.update(values)

    def start_over(self) -> None:
        """Know what was known from the start."""
        for name in list(self._order):
            self.forget(name)
        self.values.clear()
        self.values.update(self._given)
        self._rejected.clear()
        self._given_once.clear()
        self._others.clear()
