"""The dialog: where it is, what is known, and what follows from what the caller says. It speaks to no pipeline.

    asking for a slot ──value──▶ next slot ──all known──▶ confirm ──yes──▶ next state
       │    ▲                        │ unsure             │ "no, Thursday": corrected, confirmed again
       │    └──declined── value ◀────┘                    └ "no": the next alternative, or "What should I change?"
       └─not understood, silent: help grows, then a person

Each step leaves what is to be said in `texts`, events in `events`, and in `effect` what only the processor can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from ..events import Event, FlowEntered, FlowReprompted
from .answers import expected, read_keys
from .grammar import Expectation, Reading
from .help import Focus, help_text
from .known import Known
from .settings import FlowSettings
from .slots import Context, Slot
from .states import AnyState, Do, End, Handoff, State
from .template import render
from .wording import Wording
from .words import spoken_list

__all__ = ["Dialog"]

#: Commands that cannot be taken back.
_LAST: Final = ("goodbye",)


class Dialog:
    """One run through the states of a flow."""

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
    ) -> None:
        self._states = states
        self._slots = slots
        self._start = start
        self._person = person
        self._give_up = give_up
        self._settings = settings
        self._wording = wording
        self._make_context = context
        #: What is known: slots and results of tools, by name.
        self.values = values
        self._known = Known(
            slots,
            values,
            context=self.context,
            confirm_below=settings.confirm_below,
            wording=wording,
            emit=self._emit,
        )
        self.state: AnyState = states[start]
        self.focus: Focus = "state"
        #: What is to be said, what has happened, and what is to be done about the state, since `take()`.
        self.texts: list[str] = []
        self.events: list[Event] = []
        self.effect: AnyState | None = None
        self.expectation: Expectation | None = None
        self._slot: Slot[Any] | None = None  # what is asked for, or is to be confirmed
        self._echoed: tuple[str, ...] = ()  # slots that were said back with the question
        self._history: list[tuple[str, dict[str, Any]]] = []
        self._entered_with: dict[str, Any] = {}
        self._fails = 0
        self._all_fails = 0

    def context(self) -> Context:
        """What the meaning of words depends on, now."""
        return self._make_context(self.values)

    def _emit(self, event: Event) -> None:
        self.events.append(event)

    def take(self) -> tuple[str, list[Event], AnyState | None]:
        """What the last step came to: the text to be said, the events, and the state to be acted on."""
        made = (" ".join(text.strip() for text in self.texts if text.strip()), self.events, self.effect)
        self.texts, self.events, self.effect = [], [], None
        return made

    # -- states

    def begin(self) -> None:
        """Enter the first state."""
        self.enter(self._start)

    def enter(self, name: str) -> None:
        """Go to a state; say its prompt, and ask what it asks."""
        while True:
            self._say_echo()
            state = self._states[name]
            self.state = state
            self._fails = 0
            self._slot = None
            self.events.append(FlowEntered(state=name))
            self._say(state.prompt)
            if not isinstance(state, State):
                self.focus = "busy" if isinstance(state, Do) else "over"
                self.effect = state
                self._expect()
                return
            if state.asks:
                break
            assert state.to is not None
            name = state.to
        self._entered_with = dict(self.values)
        for slot in state.clear:
            self._known.forget(slot)
        self._ask()

    def tool_done(self, state: Do, value: Any, *, failed: bool) -> None:
        """The tool of this state has answered."""
        if failed:
            self.enter(state.failed)
            return
        self.values[state.save] = value
        self.enter(state.exit(value) or state.failed)

    def _leave(self, to: str) -> None:
        if isinstance(self.state, State):
            self._history.append((self.state.name, self._entered_with))
        self.enter(to)

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
            return text.format(value=_sentence(slot.say(self.values[slot.name])))
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

    def _say(self, text: str) -> None:
        if text:
            self.texts.append(render(text, self.values, self._slots))

    def _say_echo(self) -> tuple[str, ...]:
        """Say what was understood; the caller can object to it in the next turn."""
        texts, names = self._known.said_back()
        if texts and self._settings.echo:
            self.texts.append(f"{_sentence(', '.join(texts))}.")
        return names

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
        digits = digits.removesuffix("#")
        reading = read_keys(digits, self.focus, self.state, self._slot, self.context())
        if reading.understood:
            self._follow(reading, 1.0)
        else:
            self._not_understood("no-match")

    def silence(self) -> None:
        """The caller says nothing."""
        self._not_understood("no-input")

    def _follow(self, reading: Reading, confidence: float) -> None:
        if self.focus in ("busy", "over"):
            if reading.universal == "person" and self._person is not None and self.focus == "busy":
                self._hand_over("asked")
            else:
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
            name, known = self._history.pop()
            self._known.go_back_to(known)
            self.enter(name)
        else:
            self._say(self._question())

    def _hand_over(self, reason: str) -> None:
        assert self._person is not None
        self._known.fresh = []
        text = self._wording.person
        if reason != "asked":
            text = f"{self._wording.not_understood[0]} {text}"
        handoff = Handoff("person", text, target=self._person, reason=reason)
        self.state, self.focus, self.effect = handoff, "over", handoff
        self._say(handoff.prompt)
        self._expect()

    # -- what was not understood

    def _not_understood(self, reason: Literal["no-match", "no-input"]) -> None:
        if self.focus in ("busy", "over"):
            self._follow(Reading(), 1.0)
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
        settings = self._settings
        # A caller who corrects us is being understood: that may take longer.
        bound = settings.attempts if reason in ("no-match", "no-input") else settings.attempts + 2
        if self._fails < bound and self._all_fails < settings.most_failures:
            return False
        self._give_over(reason)
        return True

    def _astray(self, command: str) -> bool:
        """Count a command that leads no further, or is only heard as one; hand over after too many in a call."""
        self._all_fails += 1
        self.events.append(FlowReprompted(state=self.state.name, reason=command, count=1))
        if self._all_fails < self._settings.most_failures:
            return False
        self._give_over(command)
        return True

    def _give_over(self, reason: str) -> None:
        self.texts.clear()
        if self._person is not None:
            self._hand_over(reason)
        else:
            assert self._give_up is not None
            self._known.fresh = []
            self._say(self._wording.give_up)
            self.enter(self._give_up)

    def _help(self) -> str:
        person = self._person is not None
        return help_text(self.focus, self.state, self._slot, self.context(), self._wording, person=person)

    def summary(self) -> str:
        """What is known, in a line: for the person who takes over."""
        return self._known.summary()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _whole(reading: Reading) -> float:
    """How much less sure a reading is that has left words aside: half of them unexplained is hardly understood."""
    return 1.0 if reading.coverage > 0.99 else 0.4 + 0.4 * reading.coverage
