"""One of a list: doctors, departments, names of people; and yes or no."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..expressions import Expr, OneOf, Phrases, Table, Typed
from ..words import spell, spoken_list, tokens
from .base import Context, Slot

if TYPE_CHECKING:
    from ...call import Call

__all__ = ["NO", "YES", "Choice", "Name", "YesNo"]

#: The options of a choice: their names, with further ways to say them where the name alone will not do.
Options: TypeAlias = "Iterable[str] | Mapping[str, Sequence[str]]"

YES = ("yes", "yeah", "yes please", "that's right", "that is right", "correct", "right", "sure", "okay", "exactly")
NO = ("no", "nope", "no thanks", "that's wrong", "that is wrong")
#: Understood in a text as well; to a recognizer they sound too much like other words.
TYPED_NO = ("wrong", "not right", "not correct", "nah", "not at all", "incorrect", "not that", "no no")


class Choice(Slot[str]):
    """One of a list of options; the value is its name.

        Choice("doctor", "Which doctor?", ["Dr Brown", "Dr Lee"])
        Choice("doctor", "Which doctor?", {"Dr Nguyen": ["doctor win", "doctor nguyen"], "Dr Lee": []})
        Choice("doctor", "Which doctor?", lambda call: calendar.doctors())

    A function is asked whenever the caller is; it must be quick (what takes longer is a tool in a state before). The
    name itself can be said if it is not given other ways, and the last word of it if no other option has it.
    Options that say nothing in plain words cannot be chosen.
    """

    type = str
    lead: tuple[str, ...] = ("with", "for")

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        options: Options | Callable[[Call], Options] = (),
        *,
        label: str | None = None,
        hint: str | None = None,
        check: Callable[[str, Context], str | None] | None = None,
    ) -> None:
        super().__init__(name, prompt, label=label, hint=hint, check=check)
        self._options: Options | Callable[[Call], Options] = options
        if not callable(options) and not isinstance(options, Mapping):
            self._options = tuple(options)
        self.digits = 1

    @property
    def phrases(self) -> dict[str, tuple[str, ...]] | None:
        """The phrases that each option was given, None where they are a function of the call."""
        if callable(self._options):
            return None
        given = self._options
        return {name: tuple(given[name]) if isinstance(given, Mapping) else () for name in given}

    @property
    def fixed_options(self) -> tuple[str, ...] | None:
        """The names of the options, None where they are a function of the call."""
        phrases = self.phrases
        return None if phrases is None else tuple(phrases)

    def options(self, context: Context) -> dict[str, tuple[str, ...]]:
        """The options now: the phrases for each name."""
        found = self._options
        if callable(found):
            assert context.call is not None, "its options are a function of the call"
            found = found(context.call)
        given = found if isinstance(found, Mapping) else dict.fromkeys(found, ())
        options = {name: tuple(phrases) or (name,) for name, phrases in given.items()}
        taken: dict[tuple[str, ...], str | None] = {}
        for name, phrases in options.items():
            for phrase in phrases:
                taken[tuple(tokens(phrase))] = name
        for name in options:
            for short in self.short_forms(name):
                key = tuple(tokens(short))
                if key and taken.get(key, name) != name:
                    taken[key] = None  # of two that could be meant neither is
                elif key not in taken:
                    taken[key] = name
        return {
            name: (*phrases, *(" ".join(key) for key, owner in taken.items() if owner == name and _new(key, phrases)))
            for name, phrases in options.items()
        }

    def short_forms(self, name: str) -> Iterable[str]:
        """What else may be said for a name, if nobody else has it."""
        return [name.split()[-1]] if " " in name else []

    def expression(self, context: Context) -> Expr:
        return Table({phrase: name for name, phrases in self.options(context).items() for phrase in phrases})

    def say(self, value: str) -> str:
        return value

    def dtmf(self, digits: str, context: Context) -> str | None:
        names = list(self.options(context))
        if len(names) > 9 or not digits.isdecimal() or not 1 <= int(digits) <= len(names):
            return None
        return names[int(digits) - 1]

    def keys_hint(self, context: Context) -> str:
        names = list(self.options(context))
        if len(names) > 9:
            return ""
        return "press " + spoken_list([f"{spell(n)} for {name}" for n, name in enumerate(names, 1)])

    def default_hint(self, context: Context) -> str:
        names = list(self.options(context))
        return f"You can say {spoken_list(names)}." if 1 <= len(names) <= 9 else ""

    def reason(self, value: str, context: Context) -> str | None:
        return None if value in self.options(context) else f"{value} is not to be had."


class Name(Choice):
    """A person from a list: "Anna Smith", "my name is Anna Smith"; on the keypad by the letters of the last name.

    The last name alone, and the first, are understood in a text, but not asked of a recognizer with a grammar: short
    names sound too much like other words.
    """

    lead = ("my name is", "this is", "i am", "i'm", "it is", "it's", "for")

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        options: Options | Callable[[Call], Options] = (),
        *,
        label: str | None = None,
        hint: str | None = None,
        check: Callable[[str, Context], str | None] | None = None,
    ) -> None:
        super().__init__(name, prompt, options, label=label, hint=hint, check=check)
        self.digits = 0

    def short_forms(self, name: str) -> Iterable[str]:
        parts = name.split()
        return [parts[-1], parts[0]] if len(parts) > 1 else []

    def expression(self, context: Context) -> Expr:
        whole: dict[str, str] = {}
        short: dict[str, str] = {}
        for name, phrases in self.options(context).items():
            parts = {tuple(tokens(part)) for part in self.short_forms(name)}
            for phrase in phrases:
                (short if tuple(tokens(phrase)) in parts else whole)[phrase] = name
        return Table(whole, short)

    def dtmf(self, digits: str, context: Context) -> str | None:
        if len(digits) < 2:
            return None
        found = [name for name in self.options(context) if _keys(name.split()[-1]).startswith(digits)]
        return found[0] if len(found) == 1 else None

    def keys_hint(self, context: Context) -> str:
        return "type your last name with the letters on your keypad, and then the pound key"

    def default_hint(self, context: Context) -> str:
        return "Please say your first and your last name."

    def reason(self, value: str, context: Context) -> str | None:
        return None if value in self.options(context) else "I do not know that name."


class YesNo(Slot[bool]):
    """Yes or no."""

    type = bool
    digits = 1

    def expression(self, context: Context) -> Expr:
        return OneOf(Phrases(YES, value=True), Phrases(NO, value=False), Typed(Phrases(TYPED_NO, value=False)))

    def say(self, value: bool) -> str:
        return "yes" if value else "no"

    def dtmf(self, digits: str, context: Context) -> bool | None:
        return {"1": True, "2": False}.get(digits)

    def keys_hint(self, context: Context) -> str:
        return "press one for yes, or two for no"

    def default_hint(self, context: Context) -> str:
        return "Please say yes or no."


def _new(key: tuple[str, ...], phrases: Iterable[str]) -> bool:
    return all(tuple(tokens(phrase)) != key for phrase in phrases)


def _keys(word: str) -> str:
    """A word as it is typed with the letters of a keypad: "lee" is 533."""
    return "".join(_KEYS.get(letter, "") for part in tokens(word) for letter in part)


_KEYS = {
    letter: key
    for key, letters in zip("23456789", ("abc", "def", "ghi", "jkl", "mno", "pqrs", "tuv", "wxyz"), strict=True)
    for letter in letters
}
