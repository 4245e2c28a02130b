"""Expressions: what may be said, once for both uses: as a grammar for a recognizer, and as a parser for its words.

    Seq(Opt("on"), weekday, make=lambda day: day)

An expression matches a run of words and has a value. It can write itself in JSpeech Grammar Format and make up samples,
so that a grammar never lets through what the parser does not understand. `Typed(...)` is understood, but not part of
the grammar: spellings that occur in text alone, and rare ways to say a thing that would cost accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .words import tokens

if TYPE_CHECKING:
    import random

__all__ = ["Expr", "Named", "OneOf", "Opt", "Pattern", "Phrases", "Repeat", "Rules", "Seq", "Table", "Typed"]

#: The named rules of a grammar, each by its name.
Rules: TypeAlias = dict[str, str]
Part: TypeAlias = "Expr | str"


class Expr:
    """The base. `capture` says whether its value is given to the `make` of a `Seq` around it."""

    capture = True
    #: Whether it is part of the grammar.
    spoken = True

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        """Each way to match from `start`: where it ends, and its value."""
        raise NotImplementedError

    def jsgf(self, rules: Rules) -> str:
        """The expression in JSGF; the named rules that it needs are added to `rules`."""
        raise NotImplementedError

    def sample(self, rng: random.Random) -> list[str]:
        """Something that the grammar lets through."""
        raise NotImplementedError


def expr(part: Part) -> Expr:
    """A string is its words, and no value."""
    return _Words(part) if isinstance(part, str) else part


class _Words(Expr):
    capture = False

    def __init__(self, text: str) -> None:
        self._words = tokens(text)

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        end = start + len(self._words)
        if list(words[start:end]) == self._words:
            yield end, None

    def jsgf(self, rules: Rules) -> str:
        return " ".join(self._words)

    def sample(self, rng: random.Random) -> list[str]:
        return list(self._words)


class Table(Expr):
    """Phrases, each with its value. `typed` are further ones that are no part of the grammar."""

    def __init__(self, entries: Mapping[str, Any], typed: Mapping[str, Any] | None = None) -> None:
        self.entries = {tuple(tokens(phrase)): value for phrase, value in entries.items()}
        self._all = dict(self.entries)
        for phrase, value in (typed or {}).items():
            self._all.setdefault(tuple(tokens(phrase)), value)
        self._longest = max(map(len, self._all), default=0)
        self.spoken = bool(self.entries)

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        for length in range(min(self._longest, len(words) - start), 0, -1):
            key = tuple(words[start : start + length])
            if key in self._all:
                yield start + length, self._all[key]

    def jsgf(self, rules: Rules) -> str:
        return " | ".join(" ".join(key) for key in self.entries)

    def sample(self, rng: random.Random) -> list[str]:
        return list(rng.choice(list(self.entries)))


def Phrases(phrases: Iterable[str], value: Any = True, typed: Iterable[str] = ()) -> Table:
    """Several phrases for one value."""
    return Table(dict.fromkeys(phrases, value), dict.fromkeys(typed, value))


class Seq(Expr):
    """One part after the other. `make` gets the values of those that have one; None of it is no match."""

    def __init__(self, *parts: Part, make: Callable[..., Any]) -> None:
        self._parts = [expr(part) for part in parts]
        self._make = make
        said = [part.spoken for part in self._parts if not isinstance(part, Opt)]
        self.spoken = all(said) and any(part.spoken for part in self._parts)

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        yield from self._rest(words, start, 0, ())

    def _rest(self, words: Sequence[str], at: int, index: int, values: tuple[Any, ...]) -> Iterator[tuple[int, Any]]:
        if index == len(self._parts):
            value = self._make(*values)
            if value is not None:
                yield at, value
            return
        part = self._parts[index]
        for end, value in part.match(words, at):
            yield from self._rest(words, end, index + 1, (*values, value) if part.capture else values)

    def jsgf(self, rules: Rules) -> str:
        return " ".join(_grouped(part, rules) for part in self._parts if part.spoken)

    def sample(self, rng: random.Random) -> list[str]:
        return [word for part in self._parts if part.spoken for word in part.sample(rng)]


class OneOf(Expr):
    """One of several."""

    def __init__(self, *options: Part) -> None:
        self._options = [expr(option) for option in options]
        self.capture = any(option.capture for option in self._options)
        self._said = [option for option in self._options if option.spoken]
        self.spoken = bool(self._said)

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        for option in self._options:
            yield from option.match(words, start)

    def jsgf(self, rules: Rules) -> str:
        return " | ".join(option.jsgf(rules) for option in self._said)

    def sample(self, rng: random.Random) -> list[str]:
        return rng.choice(self._said).sample(rng)


class Opt(Expr):
    """Something, or nothing, whose value is None."""

    def __init__(self, part: Part) -> None:
        self._part = expr(part)
        self.capture = self._part.capture
        self.spoken = self._part.spoken

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        yield from self._part.match(words, start)
        yield start, None

    def jsgf(self, rules: Rules) -> str:
        return f"[ {self._part.jsgf(rules)} ]"

    def sample(self, rng: random.Random) -> list[str]:
        return self._part.sample(rng) if rng.random() < 0.5 else []


class Repeat(Expr):
    """The same several times; its value is the list of values."""

    def __init__(self, part: Part, low: int, high: int) -> None:
        self._part = expr(part)
        self._low = low
        self._high = high

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        # As many as possible, one way for each: digits have no other.
        ends: list[tuple[int, list[Any]]] = [(start, [])]
        values: list[Any] = []
        while len(values) < self._high:
            found = next(self._part.match(words, ends[-1][0]), None)
            if found is None:
                break
            values = [*values, found[1]]
            ends.append((found[0], values))
        yield from reversed(ends[self._low :])

    def jsgf(self, rules: Rules) -> str:
        part = _grouped(self._part, rules)
        if self._high - self._low > 3:
            return " ".join([*[part] * self._low, f"( {part} )*"])
        text = " ".join([part] * self._low)
        tail = ""
        for _ in range(self._high - self._low):
            tail = f"[ {part} {tail}]" if tail else f"[ {part} ]"
        return f"{text} {tail}".strip()

    def sample(self, rng: random.Random) -> list[str]:
        return [word for _ in range(rng.randint(self._low, self._high)) for word in self._part.sample(rng)]


class Named(Expr):
    """An expression that is a rule of its own in the grammar. Of two with one name the grammar has the first."""

    def __init__(self, name: str, part: Part) -> None:
        self._name = name
        self._part = expr(part)
        self.capture = self._part.capture
        self.spoken = self._part.spoken

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        return self._part.match(words, start)

    def jsgf(self, rules: Rules) -> str:
        if self._name not in rules:
            rules[self._name] = ""  # its place in the order
            rules[self._name] = self._part.jsgf(rules)
        return f"<{self._name}>"

    def sample(self, rng: random.Random) -> list[str]:
        return self._part.sample(rng)


class Typed(Expr):
    """Understood where it stands in a text, but not part of the grammar."""

    spoken = False

    def __init__(self, part: Part) -> None:
        self._part = expr(part)
        self.capture = self._part.capture

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        return self._part.match(words, start)


class Pattern(Expr):
    """One word by a regular expression; `make` gets the match. For numerals, so it is no part of the grammar."""

    spoken = False

    def __init__(self, pattern: str, make: Callable[[re.Match[str]], Any] = lambda match: int(match[0])) -> None:
        self._pattern = re.compile(pattern)
        self._make = make

    def match(self, words: Sequence[str], start: int) -> Iterator[tuple[int, Any]]:
        found = self._pattern.fullmatch(words[start]) if start < len(words) else None
        if found is not None:
            value = self._make(found)
            if value is not None:
                yield start + 1, value


def _grouped(part: Expr, rules: Rules) -> str:
    text = part.jsgf(rules)
    depth = 0
    for word in text.split():
        depth += word.startswith(("[", "(")) - word.startswith(("]", ")"))
        if word == "|" and depth == 0:
            return f"( {text} )"
    return text
