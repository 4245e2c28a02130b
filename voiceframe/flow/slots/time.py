"""Times of day: "ten", "half past two", "three thirty in the afternoon", "15:30", 1530 on the keypad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Literal

from ..expressions import Expr, Named, OneOf, Opt, Pattern, Seq, Table, Typed
from ..words import spell
from .base import Context, Slot

__all__ = ["Time"]


@dataclass(frozen=True, slots=True)
class TimeWords:
    """What was said of a time; which half of the day follows from the hours that can be taken."""

    hour: int
    minute: int = 0
    half: Literal["", "am", "pm", "night"] = ""


class Time(Slot[time]):
    """A time of day.

    earliest, latest: the times that can be taken, both included: of "three" it is then known that it is 15:00.
    step_minutes: 30 takes only full and half hours, and keeps the grammar small.
    """

    type = time
    lead = ("at", "for")
    digits = 4

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        *,
        earliest: time = time(0, 0),
        latest: time = time(23, 59),
        step_minutes: int = 15,
        label: str | None = None,
        hint: str | None = None,
        check: Callable[[time, Context], str | None] | None = None,
    ) -> None:
        super().__init__(name, prompt, label=label, hint=hint, check=check)
        self.earliest = earliest
        self.latest = latest
        self.step_minutes = step_minutes

    def expression(self, context: Context) -> Expr:
        every = {spell(n): n for n in range(1, 13)}
        hours = {name: n for name, n in every.items() if self._open(n)}
        hour = Named("hour", Table(hours, every | {str(n): n for n in range(1, 13)}))
        minutes = range(self.step_minutes, 60, self.step_minutes) if self.step_minutes < 60 else range(0)
        said = {_minute(n): n for n in minutes}
        typed = {**{_minute(n): n for n in range(1, 60)}, **{f"{n:02}": n for n in range(60)}}
        minute = Named("minute", Table(said, typed))
        half = Named(
            "half_of_day",
            Table(
                {
                    "a m": "am",
                    "p m": "pm",
                    "in the morning": "am",
                    "in the afternoon": "pm",
                    "in the evening": "pm",
                },
                {"at night": "night", "this morning": "am", "this afternoon": "pm", "tonight": "pm"},
            ),
        )
        quarters = {phrase: n for phrase, n in _QUARTERS.items() if abs(n) % self.step_minutes == 0}
        past = {**_QUARTERS, **{f"{spell(n)} {word}": n * sign for n in range(1, 30) for word, sign in _SIGNS.items()}}
        past |= {f"{spell(n)} minutes {word}": n * sign for n in range(1, 30) for word, sign in _SIGNS.items()}
        mark = Pattern(r"[:.]", lambda match: match[0])
        return OneOf(
            Seq(
                hour,
                OneOf(minute, Opt(Table({"o'clock": 0}))),
                Opt(half),
                make=lambda h, m, p: TimeWords(h, m or 0, p or ""),
            ),
            Seq(
                Table(quarters, past),
                hour,
                Opt(half),
                make=lambda m, h, p: (
                    TimeWords(h, m, p or "") if m > 0 else TimeWords((h - 2) % 12 + 1, 60 + m, p or "")
                ),
            ),
            Table(
                {"noon": TimeWords(12, 0, "pm"), "midnight": TimeWords(12, 0, "am")}, {"midday": TimeWords(12, 0, "pm")}
            ),
            Typed(
                Seq(
                    Pattern(r"[01]?\d|2[0-3]"),
                    mark,
                    Pattern(r"[0-5]\d"),
                    Opt(half),
                    make=lambda h, _, m, p: TimeWords(h, m, p or ""),
                )
            ),
            Typed(
                Seq(
                    Table({}, {spell(n): n for n in (0, *range(13, 24))} | {str(n): n for n in range(13, 24)}),
                    Opt(OneOf(minute, Table({}, {"hundred": 0, "hundred hours": 0, "o'clock": 0}))),
                    make=lambda h, m: TimeWords(h, m or 0),
                )
            ),
        )

    def _open(self, hour: int) -> bool:
        """Whether some time of this hour, in either half of the day, can be taken: others are not listened for."""
        return any(
            time(full, 0) <= self.latest and time(full, 59) >= self.earliest for full in (hour % 12, hour % 12 + 12)
        )

    def meanings(self, said: TimeWords, context: Context) -> tuple[Sequence[time], float]:
        hour = said.hour
        if hour > 12 or (hour == 0 and not said.half):
            return [time(hour, said.minute)], 1.0
        half = said.half
        if half == "night":
            half = "pm" if 5 <= hour < 12 else "am"
        morning, evening = time(hour % 12, said.minute), time(hour % 12 + 12, said.minute)
        if half:
            return [morning if half == "am" else evening], 1.0
        # By day first, which is from seven; then whatever can be taken.
        both = [morning, evening] if 7 <= hour < 12 else [evening, morning]
        return sorted(both, key=lambda value: not self.earliest <= value <= self.latest), 1.0

    def say(self, value: time) -> str:
        if value.minute == 0 and value.hour in (0, 12):
            return "midnight" if value.hour == 0 else "noon"
        hour = spell((value.hour - 1) % 12 + 1)
        text = f"{hour} {_minute(value.minute)}" if value.minute else hour
        said = TimeWords((value.hour - 1) % 12 + 1, value.minute)
        if self.meanings(said, Context())[0][0] == value:
            return text
        return f"{text} {'a.m.' if value.hour < 12 else 'p.m.'}"

    def dtmf(self, digits: str, context: Context) -> time | None:
        if len(digits) not in (3, 4) or not digits.isdecimal():
            return None
        hour, minute = int(digits[:-2]), int(digits[-2:])
        if hour > 23 or minute > 59:
            return None
        return self.choose(self.meanings(TimeWords(hour, minute), context)[0], context)

    def keys_hint(self, context: Context) -> str:
        return "type the hour and the minutes with four digits, one zero zero zero for ten o'clock"

    def default_hint(self, context: Context) -> str:
        last = time(self.latest.hour, self.latest.minute)
        span = "" if self.earliest == time(0, 0) else f", between {self.say(self.earliest)} and {self.say(last)}"
        example = "half past two" if 30 % self.step_minutes == 0 else "two o'clock"
        return f"You can say, for example, ten o'clock, or {example}{span}."

    def reason(self, value: time, context: Context) -> str | None:
        if not self.earliest <= value <= self.latest:
            return f"We take times from {self.say(self.earliest)} to {self.say(self.latest)}."
        if value.minute % self.step_minutes:
            return f"We take only times in steps of {spell(self.step_minutes)} minutes."
        return None


_SIGNS = {"past": 1, "after": 1, "to": -1, "before": -1}
_QUARTERS = {"half past": 30, "a quarter past": 15, "quarter past": 15, "a quarter to": -15, "quarter to": -15}


def _minute(minute: int) -> str:
    return f"oh {spell(minute)}" if minute < 10 else spell(minute)
