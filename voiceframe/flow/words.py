"""Words: free text as a list of spoken words, and numbers as words.

Typed text, a cloud recognizer and a grammar say the same thing in many spellings ("3:30 p.m.", "three thirty p m").
`tokens()` brings them to one form; what stays a numeral ("3", "3rd", "2026") is known to the tables of `expressions`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

__all__ = ["DIGITS", "MONTHS", "ORDINALS", "WEEKDAYS", "spell", "spell_year", "spoken_list", "tokens"]

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SMALL: Final = (
    *DIGITS,
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_FIRST: Final = ("zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_TEENTH: Final = ("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth")

#: The ordinals of the days of a month; ORDINALS[3] is "third".
ORDINALS: Final = (
    *_FIRST,
    *_TEENTH,
    *("eighteenth", "nineteenth", "twentieth"),
    *(f"twenty {_FIRST[n]}" for n in range(1, 10)),
    "thirtieth",
    "thirty first",
)

_TITLES: Final = {"dr": "doctor", "mr": "mister", "mrs": "missus", "oclock": "o'clock", "ok": "okay", "&": "and"}
_HALF_OF_DAY: Final = re.compile(r"(?<![a-z])([ap])\.\s?m\b\.?|(?<=\d)([ap])m\b")
_TOKEN: Final = re.compile(r"\d+(?:st|nd|rd|th)\b|\d+|[a-z]+(?:'[a-z]+)*|&|(?<=\d)[:/.\-](?=\d)")
#: What makes "am" in "ten am" a time of day and not the verb of "I am".
_BEFORE_AM: Final = frozenset({*_SMALL, *_TENS[2:], "o'clock", "past", "noon"})


def tokens(text: str) -> list[str]:
    """The words of a text: lower case, without accents and punctuation, "Dr." as "doctor", "p.m." as "p", "m"."""
    return list(_tokens(text))


@lru_cache(maxsize=4096)  # the phrases of tables come again with every turn
def _tokens(text: str) -> tuple[str, ...]:
    plain = text if text.isascii() else _without_accents(text)
    found: list[str] = []
    lowered = plain.lower().replace("o' clock", "o'clock").replace("o clock", "o'clock")
    for word in _TOKEN.findall(_HALF_OF_DAY.sub(_half_of_day, lowered)):
        if word == "pm":
            found += ("p", "m")
        elif word == "am" and found and (found[-1].isdigit() or found[-1] in _BEFORE_AM):
            found += ("a", "m")
        else:
            found.append(_TITLES.get(word, word))
    return tuple(found)


def _half_of_day(match: re.Match[str]) -> str:
    return f" {match[1] or match[2]} m "


def _without_accents(text: str) -> str:
    text = text.replace("’", "'").replace("‘", "'")
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def spell(number: int) -> str:
    """A whole number from -999,999 to 999,999 in words: 121 is "one hundred twenty one"."""
    if number < 0:
        return f"minus {spell(-number)}"
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return f"{_TENS[tens]} {_SMALL[rest]}" if rest else _TENS[tens]
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    head, rest = divmod(number, unit)
    return f"{spell(head)} {name} {spell(rest)}" if rest else f"{spell(head)} {name}"


def spell_year(year: int) -> str:
    """A year from 1900 to 2099 as it is said: "nineteen oh five", "two thousand six", "twenty twenty six"."""
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return f"two thousand {_SMALL[rest]}" if rest else "two thousand"
    if rest == 0:
        return f"{spell(century)} hundred"
    return f"{spell(century)} {'oh ' if rest < 10 else ''}{spell(rest)}"


def spoken_list(items: list[str] | tuple[str, ...], last: str = "or") -> str:
    """ "one, two or three"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"
