"""The dialog: where it is, what is known, and what follows from what the caller says. It speaks to no pipeline.

    asking for a slot ──value──▶ next slot ──all known──▶ confirm ──yes──▶ next state
       │    ▲                        │ unsure             │ "no, Thursday": corrected, confirmed again
       │    └──declined── value ◀────┘                    └ "no": the next alternative, or "What should I change?"
       └─not understood, silent: help grows, then a person

What a step comes to is taken with `take()`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from ..events import FlowOverran, FlowReprompted
from .answers import expected, read_keys
from .course import Course, sentence
from .grammar import Expectation, Reading
from .help import help_text
from .node import Asking
from .settings import FlowSettings
from .slots import Context, Slot
from .states import AgentNode, AnyState, End, State
from .wording import Wording
from .words import spoken_list

__all__ = ["Dialog"]

#: Commands that cannot be taken back.
_LAST: Final = ("goodbye",)


class Dialog(Course):
    """One run through the states of a flow: what is asked, and what follows from the answers."""

    def __init__(
        self,
        states: Mapping[str, AnyState],
        slots: Mapping[str, Slot[Any]],
        *,
        start: str,
        person: str | None,
        give_up: str | None,
        settings: FlowSettings,
        wording: Wording,
        context: Callable[[Mapping[str, Any]], Context],
        values: dict[str, Any],
        double: bool = False,
    ) -> None:
        """double: names in double braces are variables of the states' texts, as those in single ones are."""
        super().__init__(
            states,
            slots,
            start=start,
            person=person,
            give_up=give_up,
            settings=settings,
            wording=wording,
            context=context,
            values=values,
            double=double,
        )
        #: What can be said now.
        self.expectation: Expectation | None = None
        self._echoed: tuple[str, ...] = ()  # slots that were said back with the question

    @property
    def asked(self) -> Slot[Any] | None:
        """The slot that is asked for, or is to be confirmed."""
        return self._slot

    # -- asking

    def _ask(self, *, again: bool = False) -> None:
        """Ask what is to be asked next. `again`: also what the state's prompt has asked already."""
        state = self.state
        assert isinstance(state, State)
        doubt = self._known.doubt
        missing = next((slot for slot in state.slots if slot.name not in self.values), None)
        before = self._slot
        if doubt is not None:
            self.focus, self._slot = "value", self._slots[doubt]
            self._known.fresh = [name for name in self._known.fresh if name != doubt]
        elif missing is not None:
            self.focus, self._slot = "slot", missing
        elif state.slots and state.confirm is not None:
            self.focus, self._slot = "confirm", None
            self._known.fresh = []  # the question says it
        elif state.to is not None:
            self._leave(state.to)
            return
        else:
            self.focus, self._slot = "state", None
        if self._slot is not before:
            self._fails = 0
        echoed = self._say_echo()
        self._say(self._question(again=again))
        self._expect(echoed)

    def _question(self, *, again: bool = True) -> str:
        state = self.state
        slot = self._slot
        if self.focus == "value" and slot is not None:
            text = self._wording.perhaps if self._known.perhaps else self._wording.confirm_value
            return text.format(value=sentence(slot.say(self.values[slot.name])))
        if isinstance(state, State):
            if self.focus == "confirm" and state.confirm is not None:
                return state.confirm
            if self.focus == "which":
                labels = [f"the {slot.label}" for slot in state.slots]
                return self._wording.which.format(labels=spoken_list(labels))
            if self.focus == "slot" and slot is not None and slot.prompt is not None:
                return slot.prompt
        return state.prompt if again else ""

    def _expect(self, echoed: Sequence[str] = ()) -> None:
        """What can be said from now on."""
        self.expectation = expected(
            self.focus,
            self.state,
            self._slot,
            self.context(),
            values=self.values,
            echoed=echoed,
            wording=self._wording,
            person=self._person is not None,
        )
        self._echoed = tuple(echoed)

    # -- what the caller does

    def hear(self, texts: Sequence[tuple[str, float]]) -> None:
        """A turn in words: what was recognized and how sure that is, then what else it may have been."""
        expectation = self.expectation
        assert expectation is not None
        context = self.context()
        readings = [
            (expectation.read(text, context), confidence)
            for text, confidence in texts
            if confidence >= self._settings.reject_below
        ]
        readings = [
            (reading, confidence)
            for reading, confidence in readings
            if reading.understood and (reading.universal not in _LAST or confidence >= self._settings.confirm_below)
        ]
        if not readings:
            self._not_understood("no-match")
            return
        reading, confidence = readings[0]
        self._known.hear_others(reading, [other for other, _ in readings[1:]])
        self._follow(reading, confidence)

    def keys(self, digits: str) -> None:
        """A turn in keys."""
        end = self.state.key_end if isinstance(self.state, Asking) else "#"
        if len(digits) > 1 or end == "#":  # alone, `*` is the command
            digits = digits.removesuffix(end)
        reading = read_keys(digits, self.focus, self.state, self._slot, self.context())
        if reading.understood:
            self._follow(reading, 1.0)
        else:
            self._not_understood("no-match")

    def silence(self) -> None:
        """The caller says nothing."""
        self._not_understood("no-input")

    def wants_person(self, texts: Sequence[tuple[str, float]]) -> bool:
        """Whether a turn that is for somebody else asks for a person, and for nothing but that."""
        if self._person is None or self.expectation is None or not texts:
            return False
        reading = self.expectation.read(texts[0][0], self.context())
        return reading.universal == "person" and reading.coverage > 0.99

    def overrun(self) -> None:
        """The state has lasted as long as it may."""
        state = self.state
        assert isinstance(state, Asking)
        assert state.limit_ms is not None
        self.events.append(FlowOverran(state=state.name, limit_ms=state.limit_ms))
        failed = state.failed if isinstance(state, AgentNode) else None
        self._give_over("limit", state.limit_to or state.give_up or failed)

    def _follow(self, reading: Reading, confidence: float) -> None:
        if self.focus in ("busy", "agent", "record", "over"):
            if reading.universal == "person" and self._person is not None and self.focus != "over":
                self._hand_over("asked")
            elif self.focus in ("busy", "over"):
                self._say(self._wording.wait if self.focus == "busy" else self._wording.goodbye)
                if self.focus == "over":
                    self.effect = self.state
            return
        if reading.intent is not None and not (self.focus == "slot" and reading.values):
            self._known.fill(reading.values, confidence * _whole(reading))
            self._leave(reading.intent.to)
        elif reading.values and not self._repeats(reading, confidence):
            self._correct(reading, confidence * _whole(reading))
        elif reading.universal:
            self._command(reading.universal)
        elif reading.label:
            self._known.forget(reading.label)
            self._say(self._wording.again)
            self._ask(again=True)
        elif reading.denied:
            self._decline(next(iter(reading.denied)))
        elif reading.no:
            self._refused()
        elif self.focus == "value" and self._slot is not None:
            self._known.settle(self._slot.name)
            self._ask()
        elif self.focus == "confirm" and isinstance(self.state, State):
            assert self.state.to is not None
            for slot in self.state.slots:
                self._known.settle(slot.name)
            self._leave(self.state.to)
        else:  # a "yes" to what was said before the question
            self._ask(again=True)

    def _repeats(self, reading: Reading, confidence: float) -> bool:
        """Whether a "yes" says again what is known: "yes, Thursday"; or that alone, if it was heard well."""
        known = all(self.values.get(name) in found.values for name, found in reading.values.items())
        sure = reading.yes or confidence >= self._settings.confirm_below
        return known and sure and self.focus in ("value", "confirm") and not reading.no

    def _correct(self, reading: Reading, confidence: float) -> None:
        if reading.no or reading.denied:
            # "No, Thursday": what was there is not what was meant.
            for name in reading.values:
                if name in self.values:
                    self._known.reject(name)
            # A caller who must correct us again and again is not being understood.
            if self._failed("declined"):
                return
        problem = self._known.fill(reading.values, confidence)
        if problem is not None:
            self._say(problem)
            if self._failed("invalid"):
                return
        elif self.focus != "value" and not (reading.no or reading.denied):
            self._fails = 0
        self._known.perhaps = False
        self._ask(again=True)

    # -- no

    def _refused(self) -> None:
        """A "no" and nothing else."""
        state = self.state
        assert isinstance(state, State)
        if self.focus == "value" and self._slot is not None:
            self._decline(self._slot.name)
        elif self.focus == "slot" and self._echoed:
            self._decline(self._echoed[-1])
        elif self.focus == "confirm":
            name = self._known.least_sure(state.slots)
            if name is not None:
                self._decline(name)
            elif not self._failed("declined"):
                self.focus = "which"
                self._say(self._question())
                self._expect()
        else:
            self._not_understood("no-match")

    def _decline(self, name: str) -> None:
        """The value of this slot is wrong: try what else it may have been, else ask again."""
        if name not in self.values:
            self._ask(again=True)
            return
        self._known.reject(name)
        if self._failed("declined"):
            return
        if not self._known.guess(name):
            self._say(self._wording.again)
        fails = self._fails
        self._ask(again=True)
        self._fails = max(self._fails, fails)

    # -- commands

    def _command(self, name: str) -> None:
        if name == "person" and self._person is not None:
            self._hand_over("asked")
        elif name == "goodbye":
            end = End("goodbye", self._wording.goodbye, outcome="cancelled")
            self.state, self.focus, self.effect = end, "over", end
            self._say(end.prompt)
            self._expect()
        elif self._astray(name):
            return
        elif name == "help":
            self._say(self._help())
            self._say(self._question())
        elif name == "restart":
            self._known.start_over()
            self._history.clear()
            self.enter(self._start)
        elif name == "back":
            self._back()
        else:
            self._say(self._question())

    def _back(self) -> None:
        state = self.state
        last = self._known.last_of(state.slots) if isinstance(state, State) else None
        if last is not None:
            self._known.forget(last)
            self._ask(again=True)
        elif self._history:
            self.back_to(*self._history.pop())
        else:
            self._say(self._question())

    # -- what was not understood

    def _not_understood(self, reason: Literal["no-match", "no-input"]) -> None:
        if self.focus in ("busy", "record", "over"):
            self._follow(Reading(), 1.0)
            return
        if self.focus == "agent":
            if reason == "no-input" and isinstance(self.state, AgentNode) and not self._failed(reason):
                self._say(self._wording.no_input[min(self._fails, len(self._wording.no_input)) - 1])
            return
        if self._failed(reason):
            return
        own = self._own_reprompts()
        if own:
            self._say(own[min(self._fails, len(own)) - 1])
            return
        sorry = self._wording.not_understood if reason == "no-match" else self._wording.no_input
        self._say(sorry[min(self._fails, len(sorry)) - 1])
        if self._fails == 1 and self.focus in ("value", "confirm"):
            self._say(self._wording.yes_or_no)
        self._say(self._question())
        if self._fails > 1:
            self._say(self._help())

    def _own_reprompts(self) -> tuple[str, ...]:
        state = self.state
        return state.reprompts if isinstance(state, State) and self.focus in ("state", "slot") else ()

    def _failed(self, reason: str) -> bool:
        """Count a failure; hand over after too many. Whether that was done."""
        self._fails += 1
        self._all_fails += 1
        self.events.append(FlowReprompted(state=self.state.name, reason=reason, count=self._fails))
        asking = self.state if isinstance(self.state, Asking) else None
        # A caller who corrects us is being understood: that may take longer.
        bound = (asking and asking.attempts) or self._settings.attempts
        bound += 0 if reason in ("no-match", "no-input") else 2
        if self._all_fails >= self._settings.most_failures:
            self._give_over(reason)
        elif self._fails >= bound:
            failed = asking.failed if isinstance(asking, AgentNode) else None
            self._give_over(reason, (asking and asking.give_up) or failed)
        else:
            return False
        return True

    def _astray(self, command: str) -> bool:
        """Count a command that leads no further, or is only heard as one; hand over after too many in a call."""
        self._all_fails += 1
        self.events.append(FlowReprompted(state=self.state.name, reason=command, count=1))
        if self._all_fails < self._settings.most_failures:
            return False
        self._give_over(command)
        return True

    def _help(self) -> str:
        person = self._person is not None
        return help_text(self.focus, self.state, self._slot, self.context(), self._wording, person=person)


def _whole(reading: Reading) -> float:
    """How much less sure a reading is that has left words aside: half of them unexplained is hardly understood."""
    return 1.0 if reading.coverage > 0.99 else 0.4 + 0.4 * reading.coverage
