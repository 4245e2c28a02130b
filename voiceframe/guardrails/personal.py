"""Personal data: numbers, addresses and dates by which a person, or their money, is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, Literal, get_args

from ..extras import optional
from .decisions import STAGES, Action, Finding, Stage
from .machine import Machine
from .numbers import LANGUAGES, Run, card_lengths, iban_is_valid, iban_length, luhn, number_words, runs_of
from .rules import Rule, Scan, Text, one_of

__all__ = ["PERSONAL_KINDS", "PersonalData", "PersonalKind"]

#: What can be found: numbers of payment cards; numbers that look like one but for their check digit; their security
#: codes; bank accounts; US social security numbers; telephone numbers; e-mail and IP addresses; dates of birth.
PersonalKind = Literal["card", "card-like", "cvv", "iban", "ssn", "phone", "email", "ip", "birthdate"]
PERSONAL_KINDS: Final[tuple[PersonalKind, ...]] = get_args(PersonalKind)

_CVV_WORDS: Final = re.compile(r"\b(?:cvv|cvc|csc|cid|security code|card code|verification (?:code|number|value))\b")
_SSN_WORDS: Final = re.compile(r"\b(?:ssn|social security|social)\b")
_BIRTH_WORDS: Final = re.compile(r"\b(?:born|birth|birthday|birthdate|dob|d o b|date of birth)\b")
#: What stands in front of a telephone number and belongs to it.
_SIGN: Final = re.compile(r"(?:\bplus[^\w]{1,4}|\+ ?\(?|\()$")
_SSN: Final = re.compile(r"(?!000|666|9\d\d)\d{3}[ .-]{1,3}(?!00)\d\d[ .-]{1,3}(?!0000)\d{4}")

_MONTHS: Final = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?)"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Labels that end a host's name, where it is said and not written.
_TLDS: Final = _words("""
    com org net edu gov mil int io ai app dev biz info me tv us uk de fr es it nl be at ch pl se no dk fi ie pt cz eu
    ca au nz in jp br mx co
""")
#: Words before "at" that are not the name of a mailbox.
_NO_MAILBOX: Final = _words("""
    us me look looks here there is are was were be it them him her you we not online visit website page site or and
    so find found call available sold shop see located based meet arrive open opens stay only ship order buy
""")

_Found = Iterable[tuple[int, int, str]]  # in the folded text


class PersonalData(Rule):
    """Finds personal data, written or said ("four one double one …").

        PersonalData("card", "iban", stages=("transcript", "tool-input"))

    kinds: what to look for; all if none is named. A card is one by its issuer's range and its check digit (Luhn), an
        IBAN by its country's length and MOD 97, a telephone number by the library `phonenumbers`, an SSN by its form or
        the words in front of it, a security code and a date of birth by these words.
    languages: in which numbers are said. A word that is a number in one of them is none in another ("once"), so name
        only those that are spoken.
    region: where a telephone number without a country code is (ISO 3166-1, two letters).

    Raises `GuardrailError` (`guard.value`), and `MissingExtra` for telephone numbers without the extra `agents`.
    """

    def __init__(
        self,
        *kinds: PersonalKind,
        languages: Sequence[str] = ("en",),
        region: str = "US",
        name: str = "personal-data",
        stages: Sequence[Stage] = STAGES,
        action: Action = "redact",
        say: str = "",
        reason: str = "",
        target: str = "person",
        replacement: str = "[{label}]",
    ) -> None:
        super().__init__(
            name, stages=stages, action=action, say=say, reason=reason, target=target, replacement=replacement
        )
        where = f"The rule {name!r}"
        self.kinds = frozenset(one_of(kind, PERSONAL_KINDS, where, "kinds") for kind in kinds or PERSONAL_KINDS)
        spoken = tuple(one_of(language, LANGUAGES, where, "languages") for language in languages)
        self._region = region
        self._runs = runs_of(spoken) if self.kinds & _BY_DIGITS else None
        self._shapes = [(_machine(kind, spoken), _SHAPES[kind]) for kind in sorted(self.kinds & _SHAPES.keys())]
        self._units, _, self._times = number_words(spoken)
        self._phones: Any = None
        if "phone" in self.kinds:
            self._phones = optional("phonenumbers", extra="agents", what="PersonalData('phone')")
            one_of(region, sorted(self._phones.SUPPORTED_REGIONS), where, "region")

    def scan(self, text: Text) -> Scan:
        folded = text.folded
        found: list[tuple[int, int, str]] = []
        opened = len(folded.text)
        for machine, look in self._shapes:
            spans, at = machine.matches(folded.text, before=text.folded_before, final=text.final)
            opened = min(opened, at)
            for start, end in spans:
                found += look(self, text, start, end)
        if self._runs is not None:
            runs, at = self._runs.find(text)
            opened = min(opened, at)
            for run in runs:
                found += self._in_run(text, run)
        findings = [Finding(*folded.span(start, end), label) for start, end, label in _apart(found)]
        return Scan(findings, len(text.raw) if text.final else folded.start(opened))

    # -- in a run of digits

    def _in_run(self, text: Text, run: Run) -> Iterator[tuple[int, int, str]]:
        count = len(run.digits)
        if count < 3:
            return
        kinds = self.kinds
        cards = list(_cards(run)) if count >= 13 and "card" in kinds else []
        for first, last in cards:
            yield (*run.span(first, last), "card")
        if "card-like" in kinds and not cards:
            for first, last in _card_like(run):
                yield (*run.span(first, last), "card")
        if "ssn" in kinds:
            yield from self._ssn(text, run)
        if "cvv" in kinds and count in (3, 4) and _CVV_WORDS.search(text.context(run.start, 60)):
            yield run.start, run.end, "security code"
        if "birthdate" in kinds and 4 <= count <= 8 and _BIRTH_WORDS.search(text.context(run.start, 60)):
            yield run.start, run.end, "date of birth"
        if "phone" in kinds and count >= 7:
            yield from self._phone(text, run)

    def _ssn(self, text: Text, run: Run) -> Iterator[tuple[int, int, str]]:
        folded = text.folded.text
        for match in _SSN.finditer(folded, run.start, run.end):
            beside = folded[match.start() - 1 : match.start()] + folded[match.end() : match.end() + 1]
            if not any(char.isdigit() for char in beside):
                yield match.start(), match.end(), "ssn"
        if len(run.digits) == 9 and _SSN_WORDS.search(text.context(run.start, 60)):
            yield run.start, run.end, "ssn"

    def _phone(self, text: Text, run: Run) -> Iterator[tuple[int, int, str]]:
        sign = _SIGN.search(text.context(run.start, 12))
        lead = len(sign[0]) if sign else 0
        marked = sign is not None and sign[0] != "("
        if self._is_phone(run.value, marked):
            yield max(0, run.start - lead), run.end, "phone"
            return
        for part in run.parts:
            value = "".join(digit.value for digit in part)
            first = part is run.parts[0]
            if self._is_phone(value, marked and first):
                yield max(0, part[0].start - (lead if first else 0)), part[-1].end, "phone"
        if len(run.parts) == 1 and len(run.digits) <= 18:
            yield from self._phone_inside(run)

    def _phone_inside(self, run: Run) -> Iterator[tuple[int, int, str]]:
        """With a number of another kind in front of it or behind it: "at 9 212 555 0123"."""
        count = len(run.digits)
        for first, last in [(1, count), (2, count), (0, count - 1), (0, count - 2), (1, count - 1)]:
            if last - first >= 7 and self._is_phone(run.value[first:last], False):
                yield (*run.span(first, last), "phone")
                return

    def _is_phone(self, digits: str, marked: bool) -> bool:
        if not 7 <= len(digits) <= 15:
            return False
        phones = self._phones
        try:
            number = phones.parse(f"+{digits}" if marked else digits, None if marked else self._region)
        except phones.NumberParseException:
            return False
        return bool(phones.is_valid_number(number))

    # -- by their shape

    def _email(self, text: Text, start: int, end: int) -> _Found:
        while end > start and text.folded.text[end - 1] in ".-":
            end -= 1
        return [(start, end, "email")]

    def _said_email(self, text: Text, start: int, end: int) -> _Found:
        said = text.folded.text[start:end]
        local, _, host = re.sub(r"\s+", " ", said).partition(" at ")
        last = re.split(r" dot |\.", host)[-1].strip()
        return [(start, end, "email")] if last in _TLDS and local not in _NO_MAILBOX else []

    def _ip(self, text: Text, start: int, end: int) -> _Found:
        try:
            ip_address(text.folded.text[start:end].strip(".:"))
        except ValueError:
            return []
        return [(start, end, "ip")]

    def _iban(self, text: Text, start: int, end: int) -> _Found:
        chars: list[tuple[str, int, int]] = []
        times = 1
        for match in re.finditer(r"[a-z0-9]+", text.folded.text[start:end]):
            word, begin = match[0], start + match.start()
            unit = self._units.get(word)
            if unit is not None and not word.isdigit():
                chars += [(digit, begin, begin + len(word)) for digit in unit * times]
                times = 1
            elif word in self._times:
                times = self._times[word]
            else:
                chars += [(char, begin + at, begin + at + 1) for at, char in enumerate(word)]
        value = "".join(char for char, _, _ in chars)
        found: list[tuple[int, int, str]] = []
        at = 0
        while at < len(value):
            length = iban_length(value[at : at + 2])
            if length and iban_is_valid(value[at : at + length]):
                found.append((chars[at][1], chars[at + length - 1][2], "iban"))
                at += length
            else:
                at += 1
        return found

    def _birthdate(self, text: Text, start: int, end: int) -> _Found:
        return [(start, end, "date of birth")] if _BIRTH_WORDS.search(text.context(start, 60)) else []


_BY_DIGITS: Final = frozenset({"card", "card-like", "cvv", "ssn", "phone", "birthdate"})
_SHAPES: Final[dict[str, Callable[[PersonalData, Text, int, int], _Found]]] = {
    "email": lambda rule, text, start, end: (
        rule._email(text, start, end) if "@" in text.folded.text[start:end] else rule._said_email(text, start, end)
    ),
    "ip": PersonalData._ip,
    "iban": PersonalData._iban,
    "birthdate": PersonalData._birthdate,
}


@lru_cache(maxsize=64)
def _machine(kind: str, languages: tuple[str, ...]) -> Machine:
    units, tens, _ = number_words(languages)
    number = "|".join(sorted({*units, *tens}, key=len, reverse=True))
    day = r"(?:\d{1,2}(?:st|nd|rd|th)?|[a-z]{3,12}(?:[ -][a-z]{3,7})?)"
    year = rf"(?:\d{{4}}|(?:{number})(?:[ -](?:{number}|hundred)){{1,3}})"
    patterns = {
        "email": r"[a-z0-9][a-z0-9._%+-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)+|"
        r"\b[a-z0-9]+(?:[.-][a-z0-9]+)*(?:\s(?:dot|underscore|dash|hyphen|plus)\s[a-z0-9]+)*\sat\s[a-z0-9-]+(?:(?:\sdot\s|\.)[a-z0-9-]+)+",
        "ip": r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}\b|::[0-9a-f]{1,4}\b",
        "iban": rf"\b[a-z][ .-]?[a-z][ .-]?(?:\d[ -]?\d|(?:{number})[ -](?:{number}))(?:[ -]{{0,2}}[a-z0-9]){{10,150}}",
        "birthdate": r"\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\b\d{4}-\d{1,2}-\d{1,2}\b|"
        rf"\b{_MONTHS}(?: the)? {day}(?: of)?,? {year}\b|\b(?:the )?{day}(?: of)? {_MONTHS},? {year}\b",
    }
    return Machine(patterns[kind])


def _cards(run: Run) -> Iterator[tuple[int, int]]:
    """Where in a run of digits card numbers stand."""
    value, at = run.value, 0
    while at + 13 <= len(value):
        for length in reversed(card_lengths(value[at : at + 4])):
            if at + length <= len(value) and luhn(value[at : at + length]):
                yield at, at + length
                at += length
                break
        else:
            at += 1


def _card_like(run: Run) -> Iterator[tuple[int, int]]:
    """Groups of digits that may be a card's with a digit that was heard wrongly."""
    at = 0
    for part in run.parts:
        if 15 <= len(part) <= 16 and card_lengths(run.value[at : at + 4]):
            yield at, at + len(part)
        at += len(part)
    if len(run.parts) > 1 and 15 <= len(run.digits) <= 16 and card_lengths(run.value[:4]):
        yield 0, len(run.digits)


def _apart(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Without findings inside of others; what overlaps becomes one, under the first label."""
    joined: list[tuple[int, int, str]] = []
    for start, end, label in sorted(found, key=lambda item: (item[0], -item[1])):
        if joined and start < joined[-1][1]:
            first, until, named = joined[-1]
            joined[-1] = (first, max(until, end), named)
        else:
            joined.append((start, end, label))
    return joined
