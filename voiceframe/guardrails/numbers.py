"""Numbers as people write and say them: "4111 1111", "four one double one", "forty-one, uh, eleven".

A run is a stretch of figures and number words with little between them, as long as it can be. Where each of its digits
stands in the text is known, so that a part of it can be taken out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from .machine import Machine
from .rules import Text

__all__ = ["LANGUAGES", "Digit", "Run", "Runs", "iban_is_valid", "luhn", "number_words"]

#: Number words by language, folded: what they stand for, as digits. Those of tens may have a unit behind them.
_UNITS: Final[dict[str, str]] = {
    "en": "0:zero oh o nought null 1:one 2:two 3:three 4:four 5:five 6:six 7:seven 8:eight 9:nine niner 10:ten "
    "11:eleven 12:twelve 13:thirteen 14:fourteen 15:fifteen 16:sixteen 17:seventeen 18:eighteen 19:nineteen",
    "de": "0:null 1:eins ein eine 2:zwei zwo 3:drei 4:vier 5:funf fuenf 6:sechs 7:sieben 8:acht 9:neun 10:zehn 11:elf "
    "12:zwolf zwoelf 13:dreizehn 14:vierzehn 15:funfzehn 16:sechzehn 17:siebzehn 18:achtzehn 19:neunzehn",
    "es": "0:cero 1:uno una un 2:dos 3:tres 4:cuatro 5:cinco 6:seis 7:siete 8:ocho 9:nueve 10:diez 11:once 12:doce "
    "13:trece 14:catorce 15:quince 16:dieciseis 17:diecisiete 18:dieciocho 19:diecinueve",
    "fr": "0:zero 1:un une 2:deux 3:trois 4:quatre 5:cinq 6:six 7:sept 8:huit 9:neuf 10:dix 11:onze 12:douze 13:treize "
    "14:quatorze 15:quinze 16:seize",
}
_TENS: Final[dict[str, str]] = {
    "en": "2:twenty 3:thirty 4:forty fourty 5:fifty 6:sixty 7:seventy 8:eighty 9:ninety",
    "de": "2:zwanzig 3:dreissig 4:vierzig 5:funfzig 6:sechzig 7:siebzig 8:achtzig 9:neunzig",
    "es": "2:veinte 3:treinta 4:cuarenta 5:cincuenta 6:sesenta 7:setenta 8:ochenta 9:noventa",
    "fr": "2:vingt 3:trente 4:quarante 5:cinquante 6:soixante",
}
_TIMES: Final[dict[str, str]] = {
    "en": "2:double 3:triple treble",
    "de": "2:doppel doppelt 3:dreifach",
    "es": "2:doble 3:triple",
    "fr": "2:double 3:triple",
}
#: What may stand between the words of a number and is none.
_FILLERS: Final = "uh um uhm er erm ah and then dash hyphen minus space comma dot point plus und dann y e et puis"

#: Languages in which numbers are understood.
LANGUAGES: Final = tuple(_UNITS)


def number_words(languages: Sequence[str]) -> tuple[dict[str, str], dict[str, str], dict[str, int]]:
    """Words for numbers below 20, for tens (their first digit), and for how often the next one is meant."""
    units: dict[str, str] = {}
    tens: dict[str, str] = {}
    times: dict[str, int] = {}
    for language in languages:
        units |= _table(_UNITS[language])
        tens |= _table(_TENS[language])
        times |= {word: int(value) for word, value in _table(_TIMES[language]).items()}
    return units, tens, times


def _table(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    value = ""
    for word in text.split():
        number, colon, rest = word.partition(":")
        if colon:
            value, word = number, rest
        found[word] = value
    return found


class Digit(NamedTuple):
    """One digit of a run, and where in the folded text what stands for it does."""

    value: str
    start: int
    end: int


class Run:
    """A stretch of numbers: its digits, and where it stands in the folded text."""

    __slots__ = ("digits", "end", "parts", "start", "value")

    def __init__(self, start: int, end: int, parts: list[list[Digit]]) -> None:
        self.start = start
        self.end = end
        #: The digits by the groups in which they were said: between commas, full stops and words such as "and".
        self.parts = parts
        self.digits = [digit for part in parts for digit in part]
        self.value = "".join(digit.value for digit in self.digits)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where the digits from `first` to before `last` stand."""
        return self.digits[first].start, self.digits[last - 1].end


class Runs:
    """Finds the runs of a text, in these languages."""

    __slots__ = ("_machine", "_tens", "_times", "_token", "_units")

    def __init__(self, languages: Sequence[str]) -> None:
        self._units, self._tens, self._times = number_words(languages)
        words = sorted({*self._units, *self._tens, *self._times}, key=len, reverse=True)
        token = rf"(?:\d+|\b(?:{'|'.join(words)})\b)"
        filler = rf"(?:{'|'.join(_FILLERS.split())})"
        between = rf"(?:[^\w]{{0,4}}|[^\w]{{1,4}}(?:{filler}[^\w]{{1,4}}){{1,2}})"
        self._machine = Machine(rf"{token}(?:{between}{token})*")
        self._token = re.compile(rf"\d|\b(?:{'|'.join(words)})\b|[,;.!?\n]|\b{filler}\b")

    def find(self, text: Text) -> tuple[list[Run], int]:
        """The runs of the folded text, and where a run begins at its end that may go on."""
        folded = text.folded
        spans, opened = self._machine.matches(folded.text, before=text.folded_before, final=text.final)
        return [self._read(folded.text, start, end) for start, end in spans], opened

    def _read(self, text: str, start: int, end: int) -> Run:
        parts: list[list[Digit]] = [[]]
        times, since = 1, -1
        ten: tuple[str, int, int] | None = None  # of tens, behind which a unit may stand

        def add(value: str, begin: int, stop: int) -> None:
            nonlocal times, since
            begin = since if since >= 0 else begin
            parts[-1] += [Digit(digit, begin, stop) for digit in value * times]
            times, since = 1, -1

        for match in self._token.finditer(text, start, end):
            word, begin, stop = match[0], match.start(), match.end()
            unit = word if word.isdigit() else self._units.get(word)
            if ten is not None:
                value, ten_begin, ten_end = ten
                ten = None
                if unit is not None and len(unit) == 1 and unit != "0" and not word.isdigit():
                    add(value + unit, ten_begin, stop)
                    continue
                add(value + "0", ten_begin, ten_end)
            if unit is not None:
                add(unit, begin, stop)
            elif word in self._tens:
                ten = (self._tens[word], begin, stop)
            elif word in self._times:
                times, since = self._times[word], begin
            elif parts[-1] and not (word == "." and text[stop : stop + 1].isdigit()):
                parts.append([])
        if ten is not None:
            add(ten[0] + "0", ten[1], ten[2])
        return Run(start, end, [part for part in parts if part])


@lru_cache(maxsize=16)
def runs_of(languages: tuple[str, ...]) -> Runs:
    """One `Runs` for all rules of the same languages: its machine learns from all texts."""
    return Runs(languages)


def luhn(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def card_lengths(digits: str) -> tuple[int, ...]:
    """How long a card number is that begins so, by the ranges that issuers have; () if none does."""
    one, two, three, four = digits[:1], int(digits[:2] or 0), int(digits[:3] or 0), int(digits[:4] or 0)
    if one == "4":
        return (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return (16,)
    if two in (34, 37):
        return (15,)
    if 300 <= three <= 305 or two in (36, 38, 39):
        return (14, 16, 19)
    if 3528 <= four <= 3589:
        return (16, 17, 18, 19)
    if four == 6011 or two in (62, 65) or 644 <= three <= 649:
        return (16, 17, 18, 19)
    if two in (50, 60, 67, 68) or 56 <= two <= 59 or two in (61, 63, 69):
        return (13, 14, 15, 16, 17, 18, 19)
    return ()


#: Lengths of an IBAN by country (SWIFT IBAN registry).
_IBAN_LENGTHS: Final = {
    code: length
    for length, codes in {
        15: "no", 16: "be", 18: "dk fi fo gl nl sd fk", 19: "mk si", 20: "at ba ee kz lt lu xk mn",
        21: "ch cr hr li lv", 22: "ba bg bh de gb ge ie me rs va", 23: "ae gi il iq tl om so",
        24: "ad cz es md pk ro sa se sk tn vg", 25: "ly pt st", 26: "is tr", 27: "fr gr it mc mr sm bi dj",
        28: "al az by cy do gt hu lb ni pl sv", 29: "br eg ps qa ua", 30: "jo kw mu ye", 31: "mt sc",
        32: "lc", 33: "ru",
    }.items()
    for code in codes.split()
}  # fmt: skip
_IBAN_LENGTHS["ba"] = 20


def iban_length(country: str) -> int:
    """How long an IBAN of the country is, by its two letters; 0 if it has none."""
    return _IBAN_LENGTHS.get(country, 0)


def iban_is_valid(iban: str) -> bool:
    """Whether letters and digits, without spaces, are an IBAN: length by country, and ISO 7064 MOD 97-10."""
    iban = iban.lower()
    if len(iban) != iban_length(iban[:2]) or not iban.isascii() or not iban.isalnum() or not iban[2:4].isdigit():
        return False
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1
