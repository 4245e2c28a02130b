"""Dates: "Thursday the third of December", "tomorrow", "next Monday", "in two weeks", "3/12", 0312 on the keypad."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from ..expressions import Expr, Named, OneOf, Opt, Pattern, Seq, Table, Typed
from ..words import MONTHS, ORDINALS, WEEKDAYS, spell, spell_year
from .base import Context, Slot

__all__ = ["Date"]


@dataclass(frozen=True, slots=True)
class DateWords:
    """What was said of a date; the rest follows from today."""

    day: int | None = None
    month: int | None = None
    year: int | None = None
    weekday: int | None = None
    week: Literal["", "next", "after"] = ""  # "next Monday", "Monday in a week"
    offset: int | None = None  # days from today


class Date(Slot[date]):
    """A day. Relative ones count from the call's own clock, in the flow's time zone.

    earliest_days, latest_days: the days that can be taken, from today; 0 is today.
    closed: weekdays that cannot be taken: `("Saturday", "Sunday")`.
    keys: the order in which the day and the month are typed.

    "Thursday" is the next one after today; with a window of more than a year, or into the past, the year is said too.
    """

    type = date
    lead = ("on", "for")

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        *,
        earliest_days: int = 0,
        latest_days: int = 180,
        closed: Iterable[str] = (),
        keys: Literal["DDMM", "MMDD"] = "DDMM",
        label: str | None = None,
        hint: str | None = None,
        check: Callable[[date, Context], str | None] | None = None,
    ) -> None:
        super().__init__(name, prompt, label=label, hint=hint, check=check)
        self.earliest_days = earliest_days
        self.latest_days = latest_days
        self.closed = frozenset(WEEKDAYS.index(day) for day in closed)
        self.keys = keys
        self.past = latest_days <= 0 and earliest_days < -31
        self.years = earliest_days < 0 or latest_days > 360
        self.digits = 8 if self.years else 4

    def expression(self, context: Context) -> Expr:
        months = self._months(context)
        weekday = Named("weekday", Table({name: number for number, name in enumerate(WEEKDAYS)}, _SHORT_DAYS))
        date_in_month = self._in_month(months)
        any_day = Named("day", _ordinals(1, 31))
        options: list[Expr] = [
            Seq(
                Opt(Typed(weekday)),
                date_in_month,
                make=lambda weekday, said: DateWords(said[0], said[1], said[2], weekday),
            ),
            Typed(_numeric(self.keys)),
        ]
        if not self.past:  # nobody is born tomorrow, or on the third
            options += self._agreeing(context)
            options += [
                Seq(Opt(Typed(weekday)), "the", any_day, make=lambda weekday, day: DateWords(day, weekday=weekday)),
                Seq(weekday, Typed(any_day), make=lambda weekday, day: DateWords(day, weekday=weekday)),
                Seq(weekday, make=lambda weekday: DateWords(weekday=weekday)),
                Seq(Typed(any_day), make=DateWords),
                Seq(
                    Table({"next": "next", "this": ""}, {"this coming": "", "coming": ""}),
                    weekday,
                    make=lambda week, weekday: DateWords(weekday=weekday, week=week),
                ),
                Seq(
                    weekday,
                    Table({"next week": "next", "in a week": "after"}, {"of next week": "next", "week": "after"}),
                    make=lambda weekday, week: DateWords(weekday=weekday, week=week),
                ),
                Seq(
                    Table(
                        {
                            "today": 0,
                            "tomorrow": 1,
                            "the day after tomorrow": 2,
                            "in a week": 7,
                            "a week from today": 7,
                        },
                        {"day after tomorrow": 2, "in one week": 7, "yesterday": -1, "tonight": 0},
                    ),
                    make=lambda days: DateWords(offset=days),
                ),
                Seq(
                    "in",
                    Table({spell(n): n for n in range(2, 8)}, {str(n): n for n in range(1, 100)}),
                    Table({"days": 1, "weeks": 7}, {"day": 1, "week": 7}),
                    make=lambda count, unit: DateWords(offset=count * unit),
                ),
            ]
        return OneOf(*options)

    def _months(self, context: Context) -> list[int]:
        """The months of the days that can be taken, in order."""
        if self.latest_days - self.earliest_days > 330:
            return list(range(1, 13))
        today = context.now.date()
        first, last = today + timedelta(self.earliest_days), today + timedelta(self.latest_days)
        count = (last.year - first.year) * 12 + last.month - first.month
        return [(first.month - 1 + n) % 12 + 1 for n in range(count + 1)]

    def _agreeing(self, context: Context) -> Iterable[Expr]:
        """The days that can be taken, with their weekdays.

        A recognizer that has to agree with the calendar hears one by the other. ("Friday the fifteenth" of a month in
        which that is a Thursday is understood in a text.)
        """
        if self.latest_days - self.earliest_days > 190:
            return
        today = context.now.date()
        days = [today + timedelta(n) for n in range(self.earliest_days, self.latest_days + 1)]
        for number, name in enumerate(WEEKDAYS):
            open_days = [day for day in days if day.weekday() == number and number not in self.closed]
            if not open_days:
                continue
            forms: list[Expr] = [
                Seq("the", Table({ORDINALS[day.day]: day.day for day in open_days}), make=lambda day: (day, None))
            ]
            for month in dict.fromkeys(day.month for day in open_days):
                ordinals = Table({ORDINALS[day.day]: day.day for day in open_days if day.month == month})
                named = Table({MONTHS[month - 1]: month})
                forms += [
                    Seq(Opt("the"), ordinals, Opt("of"), named, make=lambda day, month: (day, month)),
                    Seq(named, Opt("the"), ordinals, make=lambda month, day: (day, month)),
                ]
            yield Seq(
                Table({name: number}),
                OneOf(*forms),
                make=lambda weekday, said: DateWords(said[0], said[1], weekday=weekday),
            )

    def _in_month(self, months: Sequence[int]) -> Expr:
        """Day and month, with the year where it matters: days that the month does not have cannot be said."""
        year = Opt(Named("year", _years())) if self.years else Opt(Typed(_years()))
        options: list[Expr] = []
        # Days that nearly all months have stand once; the others only with the months that have them.
        for longest, ordinals in ((29, _ordinals(1, 29)), (30, _ordinals(30, 30)), (31, _ordinals(31, 31))):
            names = {name: n for n, name in enumerate(MONTHS, 1) if _LENGTHS[n] >= longest}
            said = {name: n for name, n in names.items() if n in months}
            short = {name[:length]: n for name, n in names.items() for length in (3, 4)}
            month = Table(said, {**names, **short})
            if said:
                options.append(_both_orders(Named(f"month{longest}", month), ordinals, year))
            else:
                options.append(Typed(_both_orders(month, ordinals, year)))
        return OneOf(*options)

    def meanings(self, said: DateWords, context: Context) -> tuple[Sequence[date], float]:
        today = context.now.date()
        dates, sure = _dates(said, today, past=self.past)
        first, last = today + timedelta(self.earliest_days), today + timedelta(self.latest_days)
        return sorted(dates, key=lambda day: not first <= day <= last), sure

    def say(self, value: date) -> str:
        text = f"the {ORDINALS[value.day]} of {MONTHS[value.month - 1]}"
        if not self.past:
            text = f"{WEEKDAYS[value.weekday()]} {text}"
        return f"{text} {spell_year(value.year)}" if self.years else text

    def dtmf(self, digits: str, context: Context) -> date | None:
        if len(digits) != self.digits or not digits.isdecimal():
            return None
        first, second = int(digits[:2]), int(digits[2:4])
        day, month = (first, second) if self.keys == "DDMM" else (second, first)
        if not 1 <= month <= 12 or not 1 <= day <= _LENGTHS[month]:
            return None
        year = int(digits[4:]) if self.years else None
        dates, _ = self.meanings(DateWords(day, month, year), context)
        return self.choose(dates, context)

    def keys_hint(self, context: Context) -> str:
        order = "the day and the month" if self.keys == "DDMM" else "the month and the day"
        example = "zero three one two for the third of December" if self.keys == "DDMM" else "one two zero three"
        if self.years:
            return f"type {order} with two digits each, and the year with four"
        return f"type {order} on your keypad, {example}"

    def default_hint(self, context: Context) -> str:
        if self.years:
            return "You can say, for example, the third of December nineteen eighty four."
        return "You can say, for example, tomorrow, Thursday, or the third of December."

    def reason(self, value: date, context: Context) -> str | None:
        days = (value - context.now.date()).days
        if days < self.earliest_days:
            return "That day is in the past." if days < 0 else "That is too soon."
        if days > self.latest_days:
            return "That day is in the future." if self.latest_days <= 0 else "That is too far ahead."
        if value.weekday() in self.closed:
            return f"We are closed on {WEEKDAYS[value.weekday()]}s."
        return None


_LENGTHS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SHORT_DAYS = {
    short: number
    for number, name in enumerate(WEEKDAYS)
    for short in {name[:3], name[:4], f"{name}s", "thurs" if number == 3 else name[:3]}
    if short not in ("sun", "Sun")
}


def _ordinals(first: int, last: int) -> Expr:
    days = range(first, last + 1)
    suffix = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
    table = Table({ORDINALS[n]: n for n in days}, {f"{n}{suffix.get(n, 'th')}": n for n in days})
    return Named("day29", table) if (first, last) == (1, 29) else table


def _both_orders(month: Expr, day: Expr, year: Expr) -> Expr:
    # "December 3", "December three": beside a month a plain number is the day.
    cardinal = Table({}, {str(n): n for n in range(1, 32)})
    counted = Table({}, {spell(n): n for n in range(1, 32)})
    return OneOf(
        Seq(Opt("the"), OneOf(day, cardinal), Opt("of"), month, year, make=lambda d, m, y: (d, m, y)),
        Seq(month, Opt("the"), OneOf(day, cardinal, counted), year, make=lambda m, d, y: (d, m, y)),
    )


def _years() -> Expr:
    one_to_nine = {spell(n): n for n in range(1, 10)}
    tens = Table({spell(n): n for n in range(20, 100, 10)})
    pairs = OneOf(
        Seq(tens, Opt(Table(one_to_nine)), make=lambda t, n: t + (n or 0)),
        Table({spell(n): n for n in range(10, 20)}),
        Seq("oh", Table(one_to_nine), make=lambda n: n),
    )
    return OneOf(
        Seq(Table({"nineteen": 19, "twenty": 20}), pairs, make=lambda century, rest: century * 100 + rest),
        Seq("nineteen hundred", make=lambda: 1900),
        Seq("two thousand", Opt("and"), Opt(Table(one_to_nine)), make=lambda n: 2000 + (n or 0)),
        Pattern(r"(?:19|20)\d\d"),
    )


def _numeric(keys: str) -> Expr:
    number, year = Pattern(r"\d{1,2}"), Pattern(r"(?:19|20)\d\d")
    mark = Pattern(r"[/.\-]", lambda match: match[0])

    def day_first(first: int, _: str, second: int, rest: int | None) -> DateWords | None:
        day, month = (first, second) if keys == "DDMM" else (second, first)
        return DateWords(day, month, rest) if 1 <= month <= 12 and 1 <= day <= _LENGTHS[month] else None

    def iso(year: int, _: str, month: int, __: str, day: int) -> DateWords | None:
        return DateWords(day, month, year) if 1 <= month <= 12 and 1 <= day <= _LENGTHS[month] else None

    return OneOf(
        Seq(year, mark, number, mark, number, make=iso),
        Seq(number, mark, number, Opt(Seq(mark, year, make=lambda _, y: y)), make=day_first),
    )


def _dates(said: DateWords, today: date, *, past: bool) -> tuple[list[date], float]:
    if said.offset is not None:
        return [today + timedelta(said.offset)], 1.0
    if said.day is None:
        return _weekdays(said, today), 1.0
    found = _days(said, today, past=past)
    if not found and said.year is not None:  # the 29th of February of a year that has none
        return [date(said.year, 2, 28)], 0.4
    if said.weekday is None or not found:
        return found[:2], 1.0
    right = [day for day in found if day.weekday() == said.weekday]
    if said.month is not None:  # the weekday does not say which year: it agrees with the nearest, or it is wrong
        return (found[:2], 1.0) if found[0] in right else (found[:2], 0.4)
    return (right[:2], 1.0) if right else (found[:1], 0.4)


def _weekdays(said: DateWords, today: date) -> list[date]:
    assert said.weekday is not None
    nearest = today + timedelta((said.weekday - today.weekday() - 1) % 7 + 1)
    if said.week == "after":
        return [nearest + timedelta(7)]
    if said.week == "next":
        # The one of the next calendar week; many mean the nearest, unless that is this week.
        following = today + timedelta(7 - today.weekday() + said.weekday)
        return [following] if following == nearest else [following, nearest]
    # Nobody says "Thursday" of today, but it is the other thing that it can mean.
    other = today if nearest == today + timedelta(7) else nearest + timedelta(7)
    return [nearest, other]


def _days(said: DateWords, today: date, *, past: bool) -> list[date]:
    """The days with this day (and month, and year) of the month, the nearest first."""
    assert said.day is not None
    if said.year is not None:
        return _existing([(said.year, said.month or 1, said.day)])
    if said.month is not None:
        years = range(today.year, today.year - 9, -1) if past else range(today.year, today.year + 10)
        found = _existing([(year, said.month, said.day) for year in years])
    else:
        months = range(today.year * 12 + today.month - 1, today.year * 12 + today.month + 40)
        found = _existing([(month // 12, month % 12 + 1, said.day) for month in months])
    return [day for day in found if (day <= today if past else day >= today)]


def _existing(parts: Iterable[tuple[int, int, int]]) -> list[date]:
    found = []
    for year, month, day in parts:
        try:
            found.append(date(year, month, day))
        except ValueError:
            continue
    return found
