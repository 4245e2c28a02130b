"""Opening hours: "Mon-Fri 09:00-17:00", "Sat 10:00-13:00", "Fri 22:00-02:00"."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Final, NamedTuple

__all__ = ["Hours"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = "|".join(_DAYS)
_SPAN: Final = re.compile(rf"({_DAY})(?:\s*-\s*({_DAY}))?\s+(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)", re.IGNORECASE)


class Hours(NamedTuple):
    """A span of the week: these days (0 is Monday) from `begin` to `end`, the day after if that is not later."""

    days: frozenset[int]
    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Raises `ValueError`, which says what it should look like."""
        found = _SPAN.fullmatch(text.strip())
        if found is None:
            raise ValueError(f'{text!r} are no hours: write them as "Mon-Fri 09:00-17:00" or "Sat 10:00-13:00"')
        first = _DAYS.index(found[1].lower())
        last = _DAYS.index((found[2] or found[1]).lower())
        days = frozenset((first + n) % 7 for n in range((last - first) % 7 + 1))
        return cls(days, _time(found[3], found[4], text), _time(found[5], found[6], text))

    def contain(self, now: datetime) -> bool:
        """Whether it is within them; `end` itself is not."""
        clock = now.time()
        if self.begin < self.end:
            return now.weekday() in self.days and self.begin <= clock < self.end
        evening = now.weekday() in self.days and clock >= self.begin
        return evening or ((now - timedelta(days=1)).weekday() in self.days and clock < self.end)


def _time(hour: str, minute: str, text: str) -> time:
    if hour == "24" and minute == "00":
        return time(0)
    try:
        return time(int(hour), int(minute))
    except ValueError:
        raise ValueError(f"{hour}:{minute} in {text!r} is no time of a day") from None
