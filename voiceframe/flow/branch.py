"""Branches: where a dialog goes on by what is known, without asking.

    Branch("line", [When("tier", equals="gold", to="gold"), When("amount", at_least=100, to="large")], to="menu")
    Branch("open", [When(hours=["Mon-Fri 09:00-17:00"], to="menu")], to="closed")

The first case that holds is taken. A value that is not known holds in no case but `known=False`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, time
from typing import Any, Final

from ..tools.values import plain
from .hours import Hours
from .node import Node
from .places import here
from .slots import Context
from .template import look_up

__all__ = ["Branch", "When"]

_UNSET: Final[Any] = ...


class When:
    """A case of a branch: what must hold, and where it leads. All that is given must hold.

    value: a slot, a result or a field of it, or a fact of the call, as prompts name them: "doctor", "book.free",
        "call.from", "call.metadata.tier".
    equals, one_of: the value is this, or one of these. Dates and times may be texts in ISO 8601.
    at_least, at_most: bounds, for numbers, dates and times.
    known: whether it is known at all.
    hours: it is now within one of these, in the zone of the flow: "Mon-Fri 09:00-17:00".
    check: a function of the context (`now`, `call`, `values`) that says whether it holds; it must be quick.
    """

    def __init__(
        self,
        value: str = "",
        *,
        to: str,
        equals: Any = _UNSET,
        one_of: Iterable[Any] | None = None,
        at_least: Any = None,
        at_most: Any = None,
        known: bool | None = None,
        hours: Iterable[str] | str = (),
        check: Callable[[Context], bool] | None = None,
    ) -> None:
        self.value = value
        self.to = to
        self.equals = equals
        self.one_of = None if one_of is None else tuple(one_of)
        self.at_least = at_least
        self.at_most = at_most
        self.known = known
        self.hours = (hours,) if isinstance(hours, str) else tuple(hours)
        self.check = check
        self.place = here()

    @property
    def asks_value(self) -> bool:
        """Whether it says something about the value."""
        return (
            self.equals is not _UNSET
            or self.one_of is not None
            or self.known is not None
            or self.at_least is not None
            or self.at_most is not None
        )

    @property
    def label(self) -> str:
        """What must hold, in a few words."""
        parts = []
        if self.equals is not _UNSET:
            parts.append(f"{self.value} is {plain(self.equals)}")
        if self.one_of is not None:
            parts.append(f"{self.value} is one of {', '.join(str(plain(one)) for one in self.one_of)}")
        if self.at_least is not None:
            parts.append(f"{self.value} ≥ {plain(self.at_least)}")
        if self.at_most is not None:
            parts.append(f"{self.value} ≤ {plain(self.at_most)}")
        if self.known is not None:
            parts.append(f"{self.value} is {'known' if self.known else 'not known'}")
        parts += self.hours
        if self.check is not None:
            parts.append(getattr(self.check, "__name__", "check"))
        return " and ".join(parts)

    def holds(self, context: Context) -> bool:
        """Whether it holds now."""
        if self.hours and not any(Hours.parse(hours).contain(context.now) for hours in self.hours):
            return False
        if self.check is not None and not self.check(context):
            return False
        return not self.asks_value or self._fits(look_up(self.value, context.values, context.call))

    def _fits(self, value: Any) -> bool:
        if self.known is not None and (value is not None) is not self.known:
            return False
        if value is None:
            return self.equals is _UNSET and self.one_of is None and self.at_least is None and self.at_most is None
        if self.equals is not _UNSET and not same(value, self.equals):
            return False
        if self.one_of is not None and not any(same(value, one) for one in self.one_of):
            return False
        return self._within(value)

    def _within(self, value: Any) -> bool:
        try:
            low = self.at_least is None or value >= like(value, self.at_least)
            return bool(low and (self.at_most is None or value <= like(value, self.at_most)))
        except (TypeError, ValueError):
            return False


def like(value: Any, other: Any) -> Any:
    """`other` as what `value` is: "2026-12-03" as a date. Raises `ValueError` for a text that says none."""
    if isinstance(other, str):
        if isinstance(value, date):
            return date.fromisoformat(other)
        if isinstance(value, time):
            return time.fromisoformat(other)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(other)
    return other


def same(value: Any, other: Any) -> bool:
    """Whether two values are the same; True is not 1, "10:00" is a time where that is compared, and the case of letters
    says nothing."""
    if isinstance(value, bool) is not isinstance(other, bool):
        return False
    if isinstance(value, str) and isinstance(other, str):
        return value.casefold() == other.casefold()
    try:
        return bool(value == like(value, other)) or plain(value) == plain(other)
    except ValueError:
        return False


class Branch(Node):
    """Goes on without a word, by the first case that holds, else to `to`."""

    def __init__(self, name: str, cases: Iterable[When], *, to: str) -> None:
        super().__init__(name)
        self.cases = tuple(cases)
        self.to = to

    def choose(self, context: Context) -> str:
        """The state that follows."""
        return next((case.to for case in self.cases if case.holds(context)), self.to)
