"""Questions that a tool puts to the caller while it waits: small dialogs of their own, until there is an answer.

    asked ──understood──▶ (confirmed) ──▶ answered
      │ ▲                     │ no: asked again
      │ └──not understood─────┘
      └─too often, "goodbye", "operator"──▶ unanswered

A question about a slot is the declared dialog of `voiceframe.flow` with one state; see `docs/flow.md` for what it
understands: corrections, help, "repeat", keys.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from ..errors import ToolError
from ..events import Event, FlowFilled, FlowReprompted
from ..flow import AnyState, Context, Digits, End, FlowSettings, Handoff, Slot, State, Wording, YesNo
from ..flow.dialog import Dialog
from ..flow.words import tokens
from ..frames import ExpectFrame, UserTurnFrame

if TYPE_CHECKING:
    from ..call import Call

__all__ = ["Agree", "AskDigits", "AskSlot", "AskText", "Question"]

T = TypeVar("T")

_QUIET: Final = Wording(give_up="", goodbye="", person="")
_YES_NO: Final = YesNo("answer")
#: What leads out of a question without an answer, and what the model is told then.
_LEAVES: Final = {"person": "the caller asks for a person", "goodbye": "the caller wants to end the call"}


class Question(abc.ABC, Generic[T]):
    """Something that is asked until there is an answer. For one call; make another for another."""

    def __init__(self) -> None:
        self.done = False
        #: Whether the answers are kept from events and from the context.
        self.private = False
        self.value: T | None = None
        #: Why there is no answer, as a clause; "" while there may be one.
        self.failure = ""
        self.events: list[Event] = []
        self._said = ""

    def begin(self, call: Call, zone: tzinfo) -> None:
        """Ask. `take()` has the words."""
        self._call = call
        self._zone = zone
        self._begin()

    def take(self) -> str:
        """What is to be said now."""
        text, self._said = self._said, ""
        return text

    def answered(self, value: T) -> None:
        self.done, self.value = True, value

    def failed(self, why: str) -> None:
        self.done, self.failure = True, why

    def error(self, tool: str) -> ToolError:
        """What the tool is told when there is no answer."""
        return ToolError.of("tool.unanswered", tool=tool, why=self.failure or "the caller did not answer")

    def _context(self, values: Any = None) -> Context:
        now = datetime.fromtimestamp(self._call.clock.wall_ms() / 1000, self._zone)
        return Context(now, self._call, values or {})

    @abc.abstractmethod
    def _begin(self) -> None: ...

    @abc.abstractmethod
    def hear(self, turn: UserTurnFrame) -> None:
        """The caller has said something, or pressed keys."""

    @abc.abstractmethod
    def silence(self) -> None:
        """The caller says nothing."""

    @property
    @abc.abstractmethod
    def expectation(self) -> ExpectFrame:
        """What may be said now, for recognizers and for turn taking."""


class AskSlot(Question[T]):
    """Asks for the value of a slot. confirm: a question with `{slot}` in braces that needs a yes; "" for only where it
    was hard to understand."""

    def __init__(self, slot: Slot[T], question: str, *, confirm: str = "", attempts: int = 3) -> None:
        super().__init__()
        self.slot = copy.copy(slot)  # it is given its question, and may be asked for in other calls as well
        self._question = question
        self._confirm = confirm
        self._attempts = attempts

    def _begin(self) -> None:
        # A question may hold braces that are none of ours.
        ask = self._question.replace("{", "{{").replace("}", "}}")
        self.slot.prompt = ask
        states: dict[str, AnyState] = {
            "ask": State("ask", slots=[self.slot], confirm=self._confirm or None, to="done"),
            "done": End("done", ""),
            "failed": End("failed", "", outcome="failed"),
        }
        self._dialog = Dialog(
            states,
            {self.slot.name: self.slot},
            start="ask",
            person="person",
            give_up="failed",
            settings=FlowSettings.load(echo=False, attempts=self._attempts),
            wording=_QUIET,
            context=self._context,
            values={},
        )
        self._dialog.begin()
        self._follow()

    def hear(self, turn: UserTurnFrame) -> None:
        if turn.source == "dtmf":
            self._dialog.keys(turn.text)
        else:
            others = [(other.text, other.confidence) for other in turn.alternatives]
            self._dialog.hear([(turn.text, turn.confidence), *others])
        self._follow()

    def silence(self) -> None:
        self._dialog.silence()
        self._follow()

    def _follow(self) -> None:
        text, events, effect = self._dialog.take()
        self.events += [event for event in events if isinstance(event, FlowFilled | FlowReprompted)]
        if effect is None:
            self._said = text
        elif isinstance(effect, End) and effect.name == "done":
            self.answered(self._dialog.values[self.slot.name])
        elif isinstance(effect, Handoff) and effect.reason == "asked":
            self.failed(_LEAVES["person"])
        elif isinstance(effect, End) and effect.outcome == "cancelled":
            self.failed(_LEAVES["goodbye"])
        else:
            self.failed(f"the {self.slot.label} was asked for {self._attempts} times and not understood")

    @property
    def expectation(self) -> ExpectFrame:
        expected = self._dialog.expectation
        assert expected is not None
        return ExpectFrame(expected.jsgf, expected.phrases, expected.digits)


class AskDigits(AskSlot[str]):
    """Asks for digits, which may come in several turns: who reads a card stops to breathe."""

    def __init__(self, slot: Digits, question: str, *, confirm: str = "", more: str = "Go on, please.") -> None:
        super().__init__(slot, question, confirm=confirm)
        self._digits = slot
        self._more = more
        self._so_far = ""

    def hear(self, turn: UserTurnFrame) -> None:
        said = turn.text.removesuffix("#") if turn.source == "dtmf" else self._spoken(turn.text)
        if said.isdecimal() and self._asks:
            so_far = self._so_far + said
            if len(so_far) < self._digits.shortest and not turn.text.endswith("#"):
                self._so_far = so_far
                self._said = self._more
                return
            turn = turn.replace(text=so_far, alternatives=())
        self._so_far = ""
        super().hear(turn)

    @property
    def _asks(self) -> bool:
        return self._dialog.focus == "slot"

    def _spoken(self, text: str) -> str:
        """The digits of a turn that says nothing else."""
        words = tokens(text)
        whole = [found for found in self._digits.spot(words, self._context()) if found.start == 0]
        return next((found.values[0] for found in whole if found.end == len(words)), "")


class AskText(Question[str]):
    """Asks for words that no grammar knows, an address say, and has them confirmed.

    check: why what was said cannot be it, as a sentence for the caller, or None.
    confirm: with `{value}` in it.
    """

    def __init__(
        self,
        question: str,
        *,
        label: str,
        confirm: str = "I have {value}. Is that right?",
        check: Callable[[str], str | None] | None = None,
        attempts: int = 3,
    ) -> None:
        super().__init__()
        self._question = question
        self._label = label
        self._confirm = confirm
        self._check = check
        self._attempts = attempts
        self._fails = 0
        self._heard = ""

    def _begin(self) -> None:
        self._said = self._question

    def hear(self, turn: UserTurnFrame) -> None:
        text = " ".join(turn.text.split()).strip()
        words = tokens(text)
        for command, why in _LEAVES.items():
            if words and words in [tokens(phrase) for phrase in _QUIET.universals[command]]:
                self.failed(why)
                return
        if self._heard:
            answer = self._yes_or_no(turn)
            if answer:
                self.answered(self._heard)
                return
            if answer is not None:
                self._heard = ""
                self._again("All right.")
                return
            text = _without_no(text)
            if len(tokens(text)) < 2:
                self._again("Please say yes or no.", self._confirmation())
                return
        self._take(text, turn)

    def _take(self, text: str, turn: UserTurnFrame) -> None:
        problem: str | None = "Sorry, I did not get that."
        if text and turn.source != "dtmf":
            problem = self._check(text) if self._check is not None else None
        if problem:
            self._heard = ""
            self._again(problem)
        else:
            self._heard = text.rstrip(".!?")
            self._said = self._confirmation()

    def _yes_or_no(self, turn: UserTurnFrame) -> bool | None:
        if turn.source == "dtmf":
            return _YES_NO.dtmf(turn.text, self._context())
        return _YES_NO.parse(turn.text, self._context())

    def silence(self) -> None:
        self._again("I did not hear anything.", self._confirmation() if self._heard else "")

    def _again(self, sorry: str, question: str = "") -> None:
        self._fails += 1
        if self._fails >= self._attempts:
            self.failed(f"the {self._label} was asked for {self._attempts} times and not understood")
            return
        self.events.append(FlowReprompted(state=self._label, reason="no-match", count=self._fails))
        self._said = f"{sorry} {question or self._question}"

    def _confirmation(self) -> str:
        return self._confirm.replace("{value}", self._heard)

    @property
    def expectation(self) -> ExpectFrame:
        return ExpectFrame(phrases=("yes", "no") if self._heard else (), digits=1 if self._heard else 0)


class Agree(AskSlot[bool]):
    """Asks for a yes or a no."""

    def __init__(self, question: str) -> None:
        super().__init__(YesNo("answer"), question, attempts=2)


def _without_no(text: str) -> str:
    """ "No, it is Baker Street 7": "it is Baker Street 7"."""
    head, comma, rest = text.partition(",")
    return rest.strip() if comma and _YES_NO.parse(head, Context()) is False else text


def luhn(digits: Sequence[str] | str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
