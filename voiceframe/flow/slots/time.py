"""Times of day: "ten", "half past two", "three thirty in the afternoon", "15:30", 1530 on the keypad."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Literal

from ..expressions import Expr, OneOf, Opt, Pattern, Seq, Table, Typed
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
        hour = Table({}, every | {str(n): n for n in range(1, 13)})
        minutes = range(self.step_minutes, 60, self.step_minutes) if self.step_minutes < 60 else range(0)
        said = {_minute(n): n for n in minutes}
        typed = {**{_minute(n): n for n in range(1, 60)}, **{f"{n:02}": n for n in range(60)}}
        minute = Table({}, said | typed)
        others = {"at night": "night", "this morning": "am", "this afternoon": "pm", "tonight": "pm"}
        half = Table({}, _HALVES | others)
        past = {**_QUARTERS, **{f"{spell(n)} {word}": n * sign for n in range(1, 30) for word, sign in _SIGNS.items()}}
        past |= {f"{spell(n)} minutes {word}": n * sign for n in range(1, 30) for word, sign in _SIGNS.items()}
        mark = Pattern(r"[:.]", lambda match: match[0])
        return OneOf(
            *self._spoken(),
            Seq(
                hour,
                OneOf(minute, Opt(Table({}, {"o'clock": 0}))),
                Opt(half),
                make=lambda h, m, p: TimeWords(h, m or 0, p or ""),
            ),
            Seq(
                Table({}, past),
                hour,
                Opt(half),
                make=lambda m, h, p: (
                    TimeWords(h, m, p or "") if m > 0 else TimeWords((h - 2) % 12 + 1, 60 + m, p or "")
                ),
            ),
            Table({}, {"noon": _NOON, "midday": _NOON, "midnight": _MIDNIGHT}),
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

    def _spoken(self) -> Iterator[Expr]:
        """The times that can be taken, and no others: what a recognizer listens for."""
        times = [time(hour, minute) for hour in range(24) for minute in range(0, 60, min(self.step_minutes, 60))]
        times = [at for at in times if self.earliest <= at <= self.latest]
        for half, phrases in (("am", ("a m", "in the morning")), ("pm", ("p m", "in the afternoon", "in the evening"))):
            these = [at for at in times if (at.hour >= 12) == (half == "pm")]
            if half == "pm" and these and these[-1].hour < 17:
                phrases = phrases[:2]
            yield from self._spoken_half(these, Table(dict.fromkeys(phrases, half)))
        special = {"noon": (time(12), _NOON), "midnight": (time(0), _MIDNIGHT)}
        words = {name: said for name, (at, said) in special.items() if at in times}
        if words:
            yield Table(words)

    def _spoken_half(self, times: Sequence[time], half: Table) -> Iterator[Expr]:
        """The times of a morning or an afternoon: "ten", "ten o'clock", "ten thirty a m", "half past ten"."""
        for minute in dict.fromkeys(at.minute for at in times):
            numbers = [(at.hour - 1) % 12 + 1 for at in times if at.minute == minute]
            hours = Table({spell(number): number for number in numbers})
            behind: Expr = Opt(Table({"o'clock": 0})) if minute == 0 else Table({_minute(minute): minute})
            yield Seq(hours, behind, Opt(half), make=lambda h, m, p: TimeWords(h, m or 0, p or ""))
            for phrase, offset in _QUARTERS.items():
                if offset == minute:
                    yield Seq(Table({phrase: offset}), hours, Opt(half), make=lambda m, h, p: TimeWords(h, m, p or ""))
                elif offset < 0 and offset + 60 == minute:
                    following = Table({spell(number % 12 + 1): number % 12 + 1 for number in numbers})
                    yield Seq(
                        Table({phrase: minute}),
                        following,
                        Opt(half),
                        make=lambda m, h, p: TimeWords((h - 2) % 12 + 1, m, p or ""),
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


_NOON, _MIDNIGHT = TimeWords(12, 0, "pm"), TimeWords(12, 0, "am")
_HALVES = {
    "a m": "am",
    "p m": "pm",
    "in the morning": "am",
    "in the afternoon": "pm",
    "in the evening": "pm",
}
_SIGNS = {"past": 1, "after": 1, "to": -1, "before": -1}
_QUARTERS = {"half past": 30, "a quarter past": 15, "quarter past": 15, "a quarter to": -15, "quarter to": -15}


def _minute(minute: int) -> str:
    return f"oh {spell(minute)}" if minute < 10 else spell(minute)
