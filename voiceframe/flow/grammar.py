"""What can be said now: as a grammar for the recognizer, and as the reading of what it heard.

An `Expectation` is made whenever the dialog asks something. One list of parts serves both ways, so that what the
grammar lets through is understood; free text is searched for the same parts, and may have other words around them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from .expressions import Expr, Named, Phrases, Rules, Table
from .slots import Context, Found, Slot, Text
from .slots.base import spot
from .slots.choice import NO, TYPED_NO, YES
from .states import Intent
from .words import tokens

__all__ = ["Expectation", "Reading"]

#: What a recognizer listens for around an answer. Each further word is one more thing that a noise can be.
_BEFORE: Final = (
    "uh",
    "um",
    "i'd like",
    "i'd like to",
    "i would like",
    "i would like to",
    "i want",
    "i want to",
    "it's",
    "i said",
)
_AFTER: Final = ("please", "thank you")
_CHANGE: Final = ("change the", "the", "wrong")
#: Words that change nothing about what is said; they may stand anywhere in a free text.
_FILLERS: Final = frozenset(
    tokens(
        "a an the uh um er ah oh hm well so and i i'd i'm i'll like would want to is it it's its that that's be am my "
        "me please thanks thank you for on at with in of then actually rather say said make made need have let's can "
        "could do does this name just maybe think hello hi hey good morning okay there sorry but prefer take mean see "
        "meant come change about how we us will yes"
    )
)
_NEGATIONS: Final = frozenset(("not", "don't", "never", "isn't", "doesn't", "can't", "won't", "neither"))


@dataclass(slots=True)
class Reading:
    """What a text means here.

    values: what was said for each slot, the most plausible first, and how sure the words are.
    denied: slots whose value was said after a "not": "not Thursday".
    coverage: which part of the words that matter was understood, from 0 to 1; 0 is nothing.
    """

    universal: str = ""
    intent: Intent | None = None
    yes: bool = False
    no: bool = False
    label: str = ""
    values: dict[str, Found[Any]] = field(default_factory=dict)
    denied: dict[str, Found[Any]] = field(default_factory=dict)
    coverage: float = 0.0
    words: int = 0

    @property
    def understood(self) -> bool:
        """Whether it means anything here."""
        return bool(self.universal or self.intent or self.yes or self.no or self.label or self.values or self.denied)


@dataclass(frozen=True, slots=True)
class _Hit:
    start: int
    end: int
    rank: int
    kind: str
    what: Any


class Expectation:
    """What can be said at one point of the dialog.

    universals: phrases by the name of the command. intents: what the state offers. slots: what may be given, the one
    that is asked for first. answers: whether yes and no are answers. labels: the slots that may be named to be changed.
    digits: how many keys make an answer. asked: whether the first of the slots is what was asked for; then the others
    are said behind it, if at all, for a recognizer with a grammar. echoed: those of them that were just said back.
    anything: whatever is said is for somebody else; only the commands are of the dialog.
    """

    def __init__(
        self,
        context: Context,
        *,
        universals: Mapping[str, Sequence[str]],
        intents: Sequence[Intent] = (),
        slots: Sequence[Slot[Any]] = (),
        answers: bool = False,
        labels: Iterable[Slot[Any]] = (),
        digits: int = 0,
        asked: bool = False,
        echoed: Iterable[str] = (),
        anything: bool = False,
    ) -> None:
        self.slots = tuple(slots)
        self._asked = asked
        self._echoed = tuple(slot for slot in self.slots if slot.name in set(echoed))
        self._anything = anything
        self._open = self.slots[0] if asked and self.slots and isinstance(self.slots[0], Text) else None
        self.intents = tuple(intents)
        self.answers = answers
        self.digits = digits
        self._universals = Table({phrase: name for name, phrases in universals.items() for phrase in phrases})
        self._labels = Table({slot.label: slot.name for slot in labels})
        self._values = {slot.name: slot.expression(context) for slot in self._all_slots()}

    def _all_slots(self) -> dict[Slot[Any], None]:
        return dict.fromkeys((*self.slots, *(slot for intent in self.intents for slot in intent.takes)))

    # -- as a grammar

    @cached_property
    def jsgf(self) -> str:
        """The grammar in JSGF 1.0, lower case, numbers in words; "" where anything may be said."""
        if self._open is not None or self._anything:
            return ""
        rules: Rules = {}
        lines = self._top(rules)
        body = "".join(f"<{name}> = {rule};\n" for name, rule in rules.items())
        before, after = " | ".join(_BEFORE), " | ".join(_AFTER)
        return (
            f"#JSGF V1.0;\ngrammar flow;\npublic <turn> = {' | '.join(lines)};\n"
            f"<before> = {before};\n<after> = {after};\n{body}"
        )

    def _top(self, rules: Rules) -> list[str]:
        # A recognizer copies a rule into each place that names it: whatever is large is named once.
        lines = []
        if self._universals.entries:
            lines.append(f"{Named('command', self._universals).jsgf(rules)} [ <after> ]")
        for number, takes in enumerate(dict.fromkeys(intent.takes for intent in self.intents), 1):
            phrases = [phrase for intent in self.intents if intent.takes == takes for phrase in intent.phrases]
            text = f"[ <before> ] ( {Phrases(phrases).jsgf(rules)} )"
            also = self._more(takes, rules, f"with{number}")
            lines.append(f"{text} {also and f'[ {also} ] '}[ <after> ]")
        if self.answers:
            lines.append(Named("yes", Phrases(YES)).jsgf(rules))
            lines.append(Named("no", Phrases(NO)).jsgf(rules))
        no = f"[ {'<no>' if self.answers else 'no'} ]"
        lines += self._answer(no, rules)
        if self._labels.entries:
            rules["label"] = self._labels.jsgf(rules)
            lines.append(f"{no} [ {' | '.join(_CHANGE)} ] <label>")
        return lines or ["goodbye"]  # a grammar must not be empty

    def _answer(self, no: str, rules: Rules) -> Iterable[str]:
        """The values that may be said. The narrower, the surer: to a question its answer comes first."""
        first = self._asked_first()
        one = self._one(first, rules, "answer")
        if not one:
            return
        more = self._more([slot for slot in self.slots if first != [slot]], rules, "more")
        yield f"{no} [ <before> ] {one} {more and f'[ {more} ] '}[ <after> ]"
        corrected = self._one(self._echoed, rules, "corrected") if self.answers else ""
        if corrected:
            yield f"<no> [ <before> ] {corrected} [ <after> ]"

    def _asked_first(self) -> list[Slot[Any]]:
        """The slots with which an answer may begin: the one that was asked for, where one was."""
        spoken = [slot for slot in self.slots if self._values[slot.name].spoken]
        return spoken[:1] if self._asked and spoken and spoken[0] is self.slots[0] else spoken

    def _one(self, slots: Sequence[Slot[Any]], rules: Rules, name: str) -> str:
        """The value of one of these slots."""
        options = []
        for slot in slots:
            if self._values[slot.name].spoken:
                said = Named(f"slot_{slot.name}", self._values[slot.name]).jsgf(rules)
                options.append(f"[ {' | '.join(slot.lead)} ] {said}" if slot.lead else said)
        if not options:
            return ""
        rules[name] = " | ".join(options)
        return f"<{name}>"

    def _more(self, slots: Sequence[Slot[Any]], rules: Rules, name: str) -> str:
        """Values of these slots behind others: each once, in their order, and behind the word that leads to it.

        Without that word a recognizer hears a further value in every noise.
        """
        options = []
        for slot in slots:
            if self._values[slot.name].spoken and slot.lead:
                said = Named(f"slot_{slot.name}", self._values[slot.name]).jsgf(rules)
                options.append(f"[ ( {' | '.join(slot.lead)} ) {said} ]")
        if not options:
            return ""
        rules[name] = " ".join(options)
        return f"<{name}>"

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        """The same as hints: the phrases of intents, choices and commands, no numbers."""
        found: dict[str, None] = {}
        tables = [Phrases(intent.phrases) for intent in self.intents if intent.phrases]
        tables += [values for values in self._values.values() if isinstance(values, Table)]
        for table in (*tables, self._labels, self._universals):
            found.update(dict.fromkeys(" ".join(key) for key in table.entries))
        return tuple(found)

    def size(self) -> tuple[int, int]:
        """How many rules and how many different words the grammar has."""
        words = {
            word
            for line in self.jsgf.splitlines()[2:]
            for word in line.partition("=")[2].rstrip(";").split()
            if word[0] not in "()[]|<"
        }
        return self.jsgf.count(" = "), len(words)

    def sample(self, rng: random.Random) -> str:
        """Something that the grammar lets through."""
        choices: list[list[str]] = []
        if self._universals.entries:
            choices.append(self._universals.sample(rng))
        choices += [
            _maybe(rng, _BEFORE) + Phrases(intent.phrases).sample(rng) + self._sample_more(intent.takes, rng)
            for intent in self.intents
        ]
        if self._open is not None:
            choices.append(["the", "light", "in", "the", "hall", "is", "broken"])
        elif any(self._values[slot.name].spoken for slot in self.slots):
            choices += [_maybe(rng, _BEFORE) + self._sample_answer(rng, 1) for _ in range(4)]
        if self.answers:
            choices += [Phrases(YES).sample(rng) for _ in range(3)]
            choices += [Phrases(NO).sample(rng) + self._sample_answer(rng, 0) for _ in range(2)]
        if self._labels.entries:
            choices.append([*_maybe(rng, _CHANGE), *self._labels.sample(rng)])
        return " ".join(rng.choice(choices))

    def _sample_answer(self, rng: random.Random, least: int) -> list[str]:
        if not least and rng.random() < 0.5:
            return self._sample_one(rng.choice(self._echoed), rng) if self._asked and self._echoed else []
        first = self._asked_first()
        if not first:
            return []
        others = [slot for slot in self.slots if first != [slot]]
        return self._sample_one(rng.choice(first), rng) + self._sample_more(others, rng)

    def _sample_one(self, slot: Slot[Any], rng: random.Random) -> list[str]:
        return _maybe(rng, slot.lead) + self._values[slot.name].sample(rng)

    def _sample_more(self, slots: Sequence[Slot[Any]], rng: random.Random) -> list[str]:
        chosen = [slot for slot in slots if self._values[slot.name].spoken and slot.lead and rng.random() < 0.3]
        return [
            word for slot in chosen for word in (*tokens(rng.choice(slot.lead)), *self._values[slot.name].sample(rng))
        ]

    # -- as a reading

    def read(self, text: str, context: Context) -> Reading:
        """What the text means here."""
        reading = self._read(text, context)
        meant = reading.universal or reading.intent or ((reading.no or reading.denied) and reading.values)
        if self._open is None or (meant and reading.coverage > 0.99):
            return reading
        # In somebody's own words a command, or a "no", is a word like any other, unless it is all that they say.
        said = self._open.take(text)
        if said is None:
            return Reading()
        words = tokens(text)
        return Reading(values={self._open.name: Found(0, len(words), (said,))}, coverage=1.0, words=len(words))

    def _read(self, text: str, context: Context) -> Reading:
        words = tokens(text)
        hits = _best(list(self._hits(words, context)), len(words))
        reading = Reading(words=len(words))
        explained: set[int] = set()
        for hit in hits:
            explained.update(range(hit.start, hit.end))
            self._take(hit, words, reading)
        if not reading.understood:
            return reading
        matter = [n for n, word in enumerate(words) if n in explained or word not in _FILLERS]
        unexplained = {words[n] for n in matter if n not in explained}
        if unexplained & _NEGATIONS:
            if reading.denied:
                unexplained -= _NEGATIONS
            else:  # "I do not want that": whatever it is, it is not what was found
                return Reading(words=len(words))
        reading.coverage = 1 - len(unexplained) / len(matter) if matter else 1.0
        # A command in the middle of a long sentence is none.
        if reading.coverage < 0.5:
            return Reading(words=len(words))
        return reading

    def _hits(self, words: list[str], context: Context) -> Iterable[_Hit]:
        for rank, slot in enumerate(self._all_slots(), 1):
            for found in slot.spot(words, context, self._values[slot.name]):
                yield _Hit(found.start, found.end, rank, "slot", (slot, found))
        for intent in self.intents:
            yield from self._plain(Phrases(intent.phrases, intent), words, 20, "intent")
        if self.answers:
            yield from self._plain(_YES, words, 21, "yes")
        yield from self._plain(_NO if self.answers else _PLAIN_NO, words, 22, "no")
        yield from self._plain(self._labels, words, 23, "label")
        yield from self._plain(self._universals, words, 24, "universal")

    @staticmethod
    def _plain(expression: Expr, words: list[str], rank: int, kind: str) -> Iterable[_Hit]:
        for start, end, value in spot(expression, words):
            yield _Hit(start, end, rank, kind, value)

    @staticmethod
    def _take(hit: _Hit, words: list[str], reading: Reading) -> None:
        if hit.kind == "slot":
            slot, found = hit.what
            before = [word for word in words[max(0, hit.start - 2) : hit.start] if word not in slot.lead]
            if before and before[-1] == "not":
                reading.denied[slot.name] = found
            else:
                reading.values[slot.name] = found
        elif hit.kind == "intent":
            reading.intent = hit.what
        elif hit.kind == "label":
            reading.label = hit.what
        elif hit.kind == "universal":
            reading.universal = hit.what
        elif hit.kind == "yes":
            reading.yes = True
        else:
            reading.no = True


_YES: Final = Phrases((*YES, "yep", "yup", "sure thing", "please do", "absolutely", "that's correct", "it is", "fine"))
_NO: Final = Phrases((*NO, *TYPED_NO))
_PLAIN_NO: Final = Phrases(("no",))


def _best(hits: list[_Hit], length: int) -> list[_Hit]:
    """Hits that do not overlap and explain the most words; of equals fewer ones, and those of lower rank."""
    by_end: list[list[_Hit]] = [[] for _ in range(length + 1)]
    for hit in hits:
        by_end[hit.end].append(hit)
    best: list[tuple[tuple[int, int, int], list[_Hit]]] = [((0, 0, 0), [])]
    for end in range(1, length + 1):
        top = best[end - 1]
        for hit in by_end[end]:
            score, chosen = best[hit.start]
            new = (score[0] + hit.end - hit.start, score[1] - 1, score[2] - hit.rank)
            if new > top[0]:
                top = (new, [*chosen, hit])
        best.append(top)
    return best[length][1]


def _maybe(rng: random.Random, phrases: Sequence[str]) -> list[str]:
    return tokens(rng.choice(phrases)) if phrases and rng.random() < 0.4 else []
