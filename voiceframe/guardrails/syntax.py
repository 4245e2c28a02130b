"""The language of patterns: what of regular expressions can be matched in time that grows with the text alone.

Characters, `.`, classes such as `[a-z]`, `\\d \\w \\s` and their opposites, groups, `|`, `*`, `+`, `?`, `{m,n}`, `\\b`,
`\\B`, `^` and `$` mean what they mean in `re`. Back references, looking around and possessive quantifiers are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

from ..errors import GuardrailError

__all__ = ["CharSet", "Node", "is_word", "parse"]

#: A quantifier may ask for so many at most; the machine has a copy for each.
MOST_COUNT: Final = 200
#: Groups inside of groups.
_DEEPEST: Final = 40


def is_word(char: str) -> bool:
    """Whether the character is one of words, as `\\w` has it."""
    return char.isalnum() or char == "_"


_CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "d": str.isdecimal,
    "w": is_word,
    "s": str.isspace,
    "D": lambda char: not char.isdecimal(),
    "W": lambda char: not is_word(char),
    "S": lambda char: not char.isspace(),
}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}


class CharSet:
    """Which characters may stand at a place."""

    __slots__ = ("_chars", "_classes", "_ignore_case", "_negated", "_ranges")

    def __init__(self, *, ignore_case: bool, negated: bool = False) -> None:
        self._chars: set[str] = set()
        self._ranges: list[tuple[str, str]] = []
        self._classes: list[Callable[[str], bool]] = []
        self._negated = negated
        self._ignore_case = ignore_case

    def add(self, char: str) -> CharSet:
        self._chars.add(char)
        return self

    def add_range(self, first: str, last: str) -> None:
        self._ranges.append((first, last))

    def add_class(self, name: str) -> CharSet:
        self._classes.append(_CLASSES[name])
        return self

    def accepts(self, char: str) -> bool:
        found = self._has(char)
        if not found and self._ignore_case:
            lower, upper = char.lower(), char.upper()
            found = (lower != char and self._has(lower)) or (upper != char and self._has(upper))
        return found != self._negated

    def _has(self, char: str) -> bool:
        return (
            char in self._chars
            or any(first <= char <= last for first, last in self._ranges)
            or any(accepts(char) for accepts in self._classes)
        )


#: A pattern as a tree: a set of characters; a condition (`"b"`, `"B"`, `"^"`, `"$"`); several in a row; one of several;
#: or one that is repeated.
Node: TypeAlias = (
    CharSet | str | tuple["tuple[Node, ...]"] | tuple["tuple[Node, ...]", None] | tuple["Node", int, "int | None"]
)


def parse(pattern: str, *, ignore_case: bool = True) -> Node:
    """The pattern as a tree. Raises `GuardrailError` (`guard.pattern`)."""
    return _Parser(pattern, ignore_case).whole()


class _Parser:
    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self._pattern = pattern
        self._ignore_case = ignore_case
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._choice()
        if self._at < len(self._pattern):
            self._fail("there is no group to close")
        return node

    def _fail(self, problem: str) -> NoReturn:
        raise GuardrailError.of("guard.pattern", pattern=self._pattern, at=self._at, problem=problem)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, what: str) -> bool:
        if self._pattern.startswith(what, self._at):
            self._at += len(what)
            return True
        return False

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else (tuple(options), None)

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._pattern) and self._peek() not in "|)":
            items.append(self._quantified(self._atom()))
        return (tuple(items),)

    def _quantified(self, atom: Node) -> Node:
        char = self._peek()
        if char and char in "*+?":
            self._at += 1
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        elif char == "{" and (counts := self._counts()) is not None:
            low, high = counts
        else:
            return atom
        if isinstance(atom, str):
            self._fail("a condition cannot be repeated")
        self._take("?")  # a lazy one finds the same
        if self._peek() and self._peek() in "*+?":
            self._fail("a quantifier cannot be quantified, and there are no possessive ones")
        return (atom, low, high)

    def _counts(self) -> tuple[int, int | None] | None:
        end = self._pattern.find("}", self._at)
        first, comma, last = self._pattern[self._at + 1 : max(end, self._at)].partition(",")
        if end < 0 or not (first + last).isdecimal() or not (first or comma):
            return None  # a brace like any other character
        low = int(first) if first else 0
        high = (int(last) if last else None) if comma else low
        if max(low, high or 0) > MOST_COUNT:
            self._fail(f"a part may be repeated {MOST_COUNT} times at most, or without a limit")
        if high is not None and high < low:
            self._fail("the smaller count stands first")
        self._at = end + 1
        return low, high

    def _atom(self) -> Node:
        char = self._peek()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "*+?":
            self._fail("there is nothing to repeat")
        self._at += 1
        if char in "^$":
            return char
        if char == ".":
            return CharSet(ignore_case=False, negated=True).add("\n")
        return CharSet(ignore_case=self._ignore_case).add(char)

    def _group(self) -> Node:
        self._at += 1
        if self._take("?P<"):
            end = self._pattern.find(">", self._at)
            if end < 0:
                self._fail("the name of the group has no end")
            self._at = end + 1
        elif self._peek() == "?" and not self._take("?:"):
            self._fail("groups that look around, refer back or set flags are not taken")
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("there are too many groups inside of groups")
        node = self._choice()
        self._depth -= 1
        if not self._take(")"):
            self._fail("a group is not closed")
        return node

    def _escape(self) -> Node:
        self._at += 1
        char = self._peek()
        if not char:
            self._fail("nothing stands behind the backslash")
        self._at += 1
        if char in "bB":
            return char
        if char in "AZ":
            return "^" if char == "A" else "$"
        if char in _CLASSES:
            return CharSet(ignore_case=False).add_class(char)
        return CharSet(ignore_case=self._ignore_case).add(self._literal(char))

    def _literal(self, char: str) -> str:
        """The character behind a backslash, which was read."""
        if char in _ESCAPES:
            return _ESCAPES[char]
        digits = {"x": 2, "u": 4, "U": 8}.get(char)
        if digits:
            code = self._pattern[self._at : self._at + digits]
            try:
                found = chr(int(code, 16)) if len(code) == digits else None
            except (ValueError, OverflowError):
                found = None
            if found is None:
                self._fail(f"behind \\{char} stand {digits} hexadecimal digits")
            self._at += digits
            return found
        if char.isalnum():
            self._fail(f"\\{char} is not taken")
        return char

    def _class(self) -> Node:
        self._at += 1
        found = CharSet(ignore_case=self._ignore_case, negated=self._take("^"))
        first = True
        while first or self._peek() != "]":
            if self._at >= len(self._pattern):
                self._fail("a class is not closed")
            first = False
            low = self._class_char(found)
            if low is None:
                continue
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._class_char(found)
                if high is None or high < low:
                    self._fail("the range of the class is none")
                found.add_range(low, high)
            else:
                found.add(low)
        self._at += 1
        return found

    def _class_char(self, into: CharSet) -> str | None:
        """A character of a class; None if it was a class in a class, which is in `into` then."""
        char = self._peek()
        self._at += 1
        if char != "\\":
            return char
        char = self._peek()
        if not char:
            self._fail("nothing stands behind the backslash")
        self._at += 1
        if char in _CLASSES:
            into.add_class(char)
            return None
        return "\b" if char == "b" else self._literal(char)
