"""The dialog: where it is, what is known, and what follows from what the caller says. It speaks to no pipeline.

    asking for a slot ──value──▶ next slot ──all known──▶ confirm ──yes──▶ next state
       │    ▲                        │ unsure             │ "no, Thursday": corrected, confirmed again
       │    └──declined── value ◀────┘                    └ "no": the next alternative, or "What should I change?"
       └─not understood, silent: help grows, then a person

Each step leaves what is to be said in `texts`, events in `events`, and in `effect` what only the processor can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ..events import Event, FlowEntered, FlowFilled, FlowReprompted
from ..tools import plain
from .grammar import Expectation, Reading
from .help import Focus, help_text
from .settings import FlowSettings
from .slots import Context, Found, Slot, YesNo
from .states import AnyState, Do, End, Handoff, Intent, State
from .template import render, say_value
from .wording import Wording
from .words import spoken_list

__all__ = ["Dialog"]


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
        self._given = dict(values)
        self.state: AnyState = states[start]
        self.focus: Focus = "state"
        #: What is to be said, what has happened, and what is to be done about the state, since `take()`.
        self.texts: list[str] = []
        self.events: list[Event] = []
        self.effect: AnyState | None = None
        self.expectation: Expectation | None = None
        self._slot: Slot[Any] | None = None  # what is asked for, or is to be confirmed
        self._echoed: tuple[str, ...] = ()  # slots that were said back with the question
        self._echo: list[str] = []  # slots that were filled by the last turn
        self._order: list[str] = []  # slots in the order in which they were filled
        self._given_once: set[str] = set()
        self._doubts: list[str] = []
        self._perhaps = False
        self._sure: dict[str, float] = {}
        self._others: dict[str, list[Any]] = {}  # what else the recognizer has heard for a slot
        self._rejected: dict[str, list[Any]] = {}
        self._history: list[tuple[str, dict[str, Any]]] = []
        self._entered_with: dict[str, Any] = {}
        self._fails = 0
        self._all_fails = 0

    def context(self) -> Context:
        """What the meaning of words depends on, now."""
        return self._make_context(self.values)

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
            self._forget(slot)
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
        doubt = next((name for name in self._doubts if name in self.values), None)
        missing = next((slot for slot in state.slots if slot.name not in self.values), None)
        before = self._slot
        if doubt is not None:
            self.focus, self._slot = "value", self._slots[doubt]
            self._echo = [name for name in self._echo if name != doubt]
        elif missing is not None:
            self.focus, self._slot = "slot", missing
        elif state.slots and state.confirm is not None:
            self.focus, self._slot = "confirm", None
            self._echo = []  # the question says it
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
            text = self._wording.perhaps if self._perhaps else self._wording.confirm_value
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
        state, slot, focus = self.state, self._slot, self.focus
        slots: list[Slot[Any]] = []
        intents: Sequence[Intent] = ()
        labels: Sequence[Slot[Any]] = ()
        answers = focus in ("value", "confirm")
        digits = 1
        if focus == "value" and slot is not None:
            slots = [slot]
        elif isinstance(state, State) and focus in ("confirm", "which"):
            slots, labels = list(state.slots), state.slots
        elif isinstance(state, State):
            intents = state.intents
            if slot is not None:
                others = [
                    s
                    for s in state.slots
                    if s is not slot and (s.name not in self.values or s.name in echoed or state.clear)
                ]
                slots = [slot, *others]
                answers = bool(echoed) and not any(isinstance(s, YesNo) for s in slots)
                digits = slot.digits
        universals = self._wording.universals
        if focus in ("busy", "over"):
            universals = {name: phrases for name, phrases in universals.items() if name in ("person", "goodbye")}
        if self._person is None:
            universals = {name: phrases for name, phrases in universals.items() if name != "person"}
        self.expectation = Expectation(
            self.context(),
            universals=universals,
            intents=intents,
            slots=slots,
            answers=answers,
            labels=labels,
            digits=digits,
            asked=focus == "slot",
            echoed=echoed,
        )
        self._echoed = tuple(echoed)

    def _say(self, text: str) -> None:
        if text:
            self.texts.append(render(text, self.values, self._slots))

    def _say_echo(self) -> tuple[str, ...]:
        """Say what was understood; the caller can object to it in the next turn."""
        echo, self._echo = self._echo, []
        said = tuple(name for name in echo if name in self.values and not isinstance(self._slots[name], YesNo))
        if said and self._settings.echo:
            text = ", ".join(self._slots[name].say(self.values[name]) for name in said)
            self.texts.append(f"{_sentence(text)}.")
        return said

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
        readings = [(reading, confidence) for reading, confidence in readings if reading.understood]
        if not readings:
            self._not_understood("no-match")
            return
        reading, confidence = readings[0]
        self._others = {
            name: [value for other, _ in readings[1:] for value in other.values.get(name, found).values[:1]]
            for name, found in reading.values.items()
        } | {name: others for name, others in self._others.items() if name not in reading.values}
        self._follow(reading, confidence)

    def keys(self, digits: str) -> None:
        """A turn in keys."""
        digits = digits.removesuffix("#")
        context = self.context()
        state, slot = self.state, self._slot
        reading = Reading(coverage=1.0)
        if self.focus == "slot" and slot is not None:
            value = slot.dtmf(digits, context)
            if value is not None:
                reading.values[slot.name] = Found(0, 0, (value,))
        elif self.focus in ("value", "confirm"):
            reading.yes, reading.no = digits == "1", digits == "2"
        elif self.focus == "which" and isinstance(state, State) and digits.isdecimal():
            reading.label = next((s.name for n, s in enumerate(state.slots, 1) if n == int(digits)), "")
        if not reading.understood and digits == "0":
            reading.universal = "person"
        elif not reading.understood and digits == "*":
            reading.universal = "repeat"
        elif not reading.understood and isinstance(state, State) and self.focus in ("state", "slot"):
            reading.intent = next((intent for intent in state.intents if intent.key == digits), None)
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
            self._fill(reading.values, confidence * _whole(reading))
            self._leave(reading.intent.to)
        elif reading.values and not self._repeats(reading, confidence):
            self._correct(reading, confidence * _whole(reading))
        elif reading.universal:
            self._command(reading.universal)
        elif reading.label:
            self._forget(reading.label)
            self._say(self._wording.again)
            self._ask(again=True)
        elif reading.denied:
            self._decline(next(iter(reading.denied)))
        elif reading.no:
            self._refused()
        elif self.focus == "value" and self._slot is not None:
            self._settled(self._slot.name)
            self._ask()
        elif self.focus == "confirm" and isinstance(self.state, State):
            assert self.state.to is not None
            for slot in self.state.slots:
                self._settled(slot.name)
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
                    self._rejected.setdefault(name, []).append(self.values[name])
            # A caller who must correct us again and again is not being understood.
            if self._failed("declined"):
                return
        problem = self._fill(reading.values, confidence)
        if problem is not None:
            self._say(problem)
            if self._failed("invalid"):
                return
        elif self.focus != "value" and not (reading.no or reading.denied):
            self._fails = 0
        self._perhaps = False
        self._ask(again=True)

    def _fill(self, values: Mapping[str, Found[Any]], confidence: float) -> str | None:
        """Take values. Returns why one of them could not be taken, if so."""
        problem = None
        for name, found in values.items():
            slot = self._slots[name]
            context = self.context()
            rejected = self._rejected.get(name, [])
            # Said again after a "no" it was probably misheard again.
            options = [*found.values[:1], *self._others.get(name, []), *found.values[1:]]
            value = slot.choose(options, context, rejected)
            if value is None:  # all of them were rejected before: perhaps it was meant after all
                value = slot.choose(found.values, context)
            reason = slot.valid(value, context)
            if reason is not None:
                problem = reason
                self._forget(name)
                continue
            if name in self._order:
                self._order.remove(name)
            self._order.append(name)
            self._settled(name)
            self._sure[name] = confidence * found.sure
            if self._sure[name] < self._settings.confirm_below:
                self._doubts.append(name)
            self._echo.append(name)
            if self.values.get(name) != value:
                self.values[name] = value
                self.events.append(FlowFilled(slot=name, corrected=name in self._given_once, value=plain(value)))
                self._given_once.add(name)
        return problem or self._check_all()

    def _check_all(self) -> str | None:
        """What was valid may not be any more: the time, on another day."""
        for name in [name for name in self._order if name in self.values]:
            reason = self._slots[name].valid(self.values[name], self.context())
            if reason is not None:
                self._forget(name)
                return reason
        return None

    def _settled(self, name: str) -> None:
        self._doubts = [doubt for doubt in self._doubts if doubt != name]
        self._perhaps = False

    def _forget(self, name: str) -> None:
        self._settled(name)
        self.values.pop(name, None)
        self._echo = [echo for echo in self._echo if echo != name]
        self._order = [known for known in self._order if known != name]

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
            names = [slot.name for slot in state.slots]
            doubtful = [name for name in names if self._others.get(name) and self._sure.get(name, 1.0) < 0.9]
            if len(names) == 1 or doubtful:
                self._decline(min(doubtful or names, key=lambda name: self._sure.get(name, 1.0)))
            elif not self._failed("declined"):
                self.focus = "which"
                self._say(self._question())
                self._expect()
        else:
            self._not_understood("no-match")

    def _decline(self, name: str) -> None:
        """The value of this slot is wrong: try what else it may have been, else ask again."""
        slot = self._slots[name]
        if name not in self.values:
            self._ask(again=True)
            return
        rejected = self._rejected.setdefault(name, [])
        rejected.append(self.values[name])
        if self._failed("declined"):
            return
        context = self.context()
        options = [v for v in self._others.get(name, []) if v not in rejected and slot.valid(v, context) is None]
        self._forget(name)
        if options:
            self.values[name] = options[0]
            self._order.append(name)
            self._doubts.insert(0, name)
            self.events.append(FlowFilled(slot=name, corrected=True, value=plain(options[0])))
            self._perhaps = True
        else:
            self._say(self._wording.again)
        fails = self._fails
        self._ask(again=True)
        self._fails = max(self._fails, fails)

    # -- commands

    def _command(self, name: str) -> None:
        if name == "person" and self._person is not None:
            self._hand_over("asked")
        elif name == "help":
            self.events.append(FlowReprompted(state=self.state.name, reason="help", count=1))
            self._say(self._help())
            self._say(self._question())
        elif name == "restart":
            for slot in list(self._order):
                self._forget(slot)
            self.values.clear()
            self.values.update(self._given)
            self._rejected.clear()
            self._given_once.clear()
            self._others.clear()
            self._history.clear()
            self.enter(self._start)
        elif name == "back":
            self._back()
        elif name == "goodbye":
            end = End("goodbye", self._wording.goodbye, outcome="cancelled")
            self.state, self.focus, self.effect = end, "over", end
            self._say(end.prompt)
            self._expect()
        else:
            self._say(self._question())

    def _back(self) -> None:
        state = self.state
        here = {slot.name for slot in state.slots} if isinstance(state, State) else set()
        filled = [name for name in self._order if name in here]
        if filled:
            self._forget(filled[-1])
            self._ask(again=True)
        elif self._history:
            name, known = self._history.pop()
            for slot in set(self.values) - set(known):
                self._forget(slot)
            self.values.update(known)
            self.enter(name)
        else:
            self._say(self._question())

    def _hand_over(self, reason: str) -> None:
        assert self._person is not None
        self._echo = []
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
        self.texts.clear()
        if self._person is not None:
            self._hand_over(reason)
        else:
            assert self._give_up is not None
            self._echo = []
            self._say(self._wording.give_up)
            self.enter(self._give_up)
        return True

    def _help(self) -> str:
        person = self._person is not None
        return help_text(self.focus, self.state, self._slot, self.context(), self._wording, person=person)

    def summary(self) -> str:
        """What is known, in a line: for the person who takes over."""
        return "; ".join(
            f"{self._slots[name].label}: {say_value(self.values[name], self._slots[name])}"
            for name in self._order
            if name in self.values
        )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _whole(reading: Reading) -> float:
    """How much less sure a reading is that has left words aside: half of them unexplained is hardly understood."""
    return 1.0 if reading.coverage > 0.99 else 0.4 + 0.4 * reading.coverage
