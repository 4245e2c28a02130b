"""What a slot is: a typed value that the caller says, in words or with keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..expressions import Expr, Named, Rules
from ..places import here
from ..words import tokens

if TYPE_CHECKING:
    from ...call import Call

__all__ = ["Context", "Found", "Slot", "spot"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """What the meaning of words depends on: `now` where the callee is, the call, and what is known already."""

    now: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  # virtual time begins here
    call: Call | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A value in a text: the words `start` to `end` (exclusive) say it.

    values: what they may mean, the most plausible first.
    sure: from 0 to 1; below 1 the words contradict themselves ("Monday the third" when that is a Tuesday).
    """

    start: int
    end: int
    values: tuple[T, ...]
    sure: float = 1.0


class Slot(ABC, Generic[T]):
    """A typed value to be collected. It holds no value itself: one slot may be asked for in several states and calls.

    name: how prompts (`{day}`) and tools call it; a Python name.
    prompt: the question for it; None if the prompt of its state asks for it.
    label: what it is called in "change the day"; the name, if left out.
    hint: what may be said, in a sentence, for help and for the second time of asking; each type has its own.
    check: says why a value of the right type cannot be taken, as a sentence for the caller, or None if it can.
    """

    #: The type of its values, as tools take it.
    type: ClassVar[type]
    #: Words that may stand before the value: "on Thursday".
    lead: tuple[str, ...] = ()
    #: How many keys make an answer; 0 for any number.
    digits: int = 0

    def __init__(
        self,
        name: str,
        prompt: str | None = None,
        *,
        label: str | None = None,
        hint: str | None = None,
        check: Callable[[T, Context], str | None] | None = None,
    ) -> None:
        self.name = name
        self.prompt = prompt
        self.label = label or name.replace("_", " ")
        self._hint = hint
        self._check = check
        self.place = here()

    # -- what each type has to say

    @abstractmethod
    def expression(self, context: Context) -> Expr:
        """What may be said. Its value is what `meanings()` takes."""

    def meanings(self, said: Any, context: Context) -> tuple[Sequence[T], float]:
        """What was said as values, the most plausible first, and how sure that is."""
        return [said], 1.0

    @abstractmethod
    def say(self, value: T) -> str:
        """The value in words; `parse()` takes them back."""

    def dtmf(self, digits: str, context: Context) -> T | None:
        """The value of these keys, or None."""
        return None

    def keys_hint(self, context: Context) -> str:
        """How to give it by keys, as the end of a sentence ("type the day …"), or "" if there is no way."""
        return ""

    def default_hint(self, context: Context) -> str:
        """What may be said, as a sentence."""
        return ""

    def reason(self, value: T, context: Context) -> str | None:
        """Why this type does not take the value."""
        return None

    # -- what all have

    @property
    def own_hint(self) -> str | None:
        """The hint that it was given, None where its type has one."""
        return self._hint

    @property
    def has_check(self) -> bool:
        """Whether it has a `check=`."""
        return self._check is not None

    def hint(self, context: Context) -> str:
        """What may be said, as a sentence."""
        return self.default_hint(context) if self._hint is None else self._hint

    def valid(self, value: T, context: Context) -> str | None:
        """None if the value can be taken, or why not, as a sentence for the caller."""
        reason = self.reason(value, context)
        if reason is None and self._check is not None:
            reason = self._check(value, context)
        return reason

    def choose(self, values: Sequence[T], context: Context, rejected: Sequence[T] = ()) -> T | None:
        """The first of several meanings that can be taken and was not rejected; else the first not rejected."""
        left = [value for value in values if value not in rejected]
        return next((value for value in left if self.valid(value, context) is None), left[0] if left else None)

    def spot(self, words: Sequence[str], context: Context, expression: Expr | None = None) -> Iterator[Found[T]]:
        """Every place in the words where a value is said. They may overlap. `expression`: if it is made already."""
        for start, end, said in spot(expression or self.expression(context), words):
            values, sure = self.meanings(said, context)
            if values:
                yield Found(start, end, tuple(values), sure)

    def parse(self, text: str, context: Context) -> T | None:
        """The value that the text says, and nothing else but words like "on" before it; else None."""
        words = tokens(text)
        for found in self.spot(words, context):
            if found.end == len(words) and (found.start == 0 or tuple(words[: found.start]) in self._leads()):
                return self.choose(found.values, context)
        return None

    def _leads(self) -> set[tuple[str, ...]]:
        return {tuple(tokens(lead)) for lead in self.lead}

    def grammar(self, context: Context, rules: Rules | None = None) -> str:
        """What may be said in JSGF. With `rules` as a reference to a rule that is added there, else its definitions."""
        made: Rules = {}
        reference = Named(f"slot_{self.name}", self.expression(context)).jsgf(made if rules is None else rules)
        return reference if rules is not None else "\n".join(f"<{name}> = {rule};" for name, rule in made.items())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def spot(expression: Expr, words: Sequence[str]) -> Iterator[tuple[int, int, Any]]:
    """Every place in the words where the expression matches: start, end, value."""
    for start in range(len(words)):
        for end, value in expression.match(words, start):
            if end > start:
                yield start, end, value
