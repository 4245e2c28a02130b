"""The course of a dialog: which state it is in, what is said on the way, and what is to be done about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..events import Event, FlowAgentDone, FlowEntered
from .branch import Branch
from .help import Focus
from .known import Known
from .settings import FlowSettings
from .slots import Context, Slot
from .states import AgentNode, AgentResult, AnyState, Do, Handoff, Message, State, Voicemail
from .template import render
from .wording import Wording

__all__ = ["Course"]

#: What a dialog waits for in the states that do not ask.
_FOCUS: Final[Mapping[type, Focus]] = {Do: "busy", AgentNode: "agent", Voicemail: "record"}


class Course(ABC):
    """One run through the states of a flow. Each step leaves what is to be said, the events, and in `effect` the state
    about which only the processor can do something."""

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
        self._double = double
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
        #: How many states were entered: it tells one stay in a state from the next.
        self.entered = 0
        #: What has happened, and what is to be done about the state, since `take()`.
        self.events: list[Event] = []
        self.effect: AnyState | None = None
        self._said: list[tuple[AnyState, str]] = []
        self._slot: Slot[Any] | None = None  # what is asked for, or is to be confirmed
        self._history: list[tuple[str, dict[str, Any]]] = []
        self._entered_with: dict[str, Any] = {}
        self._fails = 0
        self._all_fails = 0

    @abstractmethod
    def _ask(self, *, again: bool = False) -> None:
        """Ask what the state asks."""

    @abstractmethod
    def _expect(self) -> None:
        """Say what can be said from now on."""

    def context(self) -> Context:
        """What the meaning of words depends on, now."""
        return self._make_context(self.values)

    def _emit(self, event: Event) -> None:
        self.events.append(event)

    def take(self) -> tuple[str, list[Event], AnyState | None]:
        """What the last step came to: the text to be said, the events, and the state to be acted on."""
        parts, events, effect = self.take_parts()
        return " ".join(text for _, text in parts), events, effect

    def take_parts(self) -> tuple[list[tuple[AnyState, str]], list[Event], AnyState | None]:
        """The same with what is to be said state by state."""
        parts = [(state, text.strip()) for state, text in self._said if text.strip()]
        made = (parts, self.events, self.effect)
        self._said, self.events, self.effect = [], [], None
        return made

    @property
    def has_words(self) -> bool:
        """Whether there is anything to be said."""
        return any(text.strip() for _, text in self._said)

    # -- states

    def begin(self) -> None:
        """Enter the first state."""
        self.enter(self._start)

    def enter(self, name: str) -> None:
        """Go to a state; say its prompt, and ask what it asks."""
        while True:
            state = self._states[name]
            if isinstance(state, AgentNode) and not state.prompt:
                self._known.fresh = []  # the agent answers, and knows what was said
            self._say_echo()
            self._arrive(state)
            if isinstance(state, Branch):
                name = state.choose(self.context())
                continue
            self._say(state.prompt)
            if not isinstance(state, State):
                self.focus = _FOCUS.get(type(state), "over")
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

    def _arrive(self, state: AnyState) -> None:
        self.state = state
        self.entered += 1
        self._fails = 0
        self._slot = None
        self.events.append(FlowEntered(state=state.name))

    def _leave(self, to: str) -> None:
        if isinstance(self.state, State):
            self._history.append((self.state.name, self._entered_with))
        self.enter(to)

    def tool_done(self, state: Do, value: Any, *, failed: bool) -> None:
        """The tool of this state has answered."""
        if failed:
            self.enter(state.failed)
            return
        self.values[state.save] = value
        self.enter(state.exit(value) or state.failed)

    def agent_done(self, state: AgentNode, outcome: str, summary: str = "") -> None:
        """The agent of this state says what its part has come to; an outcome that is no exit is a failure."""
        self.values[state.save] = AgentResult(outcome, summary)
        self.events.append(FlowAgentDone(state=state.name, agent=state.agent.name, outcome=outcome, summary=summary))
        self.enter(state.exits.get(outcome, state.failed))

    def agent_failed(self) -> None:
        """The agent of the state has failed too often."""
        state = self.state
        assert isinstance(state, AgentNode)
        self.events.append(FlowAgentDone(state=state.name, agent=state.agent.name, outcome="failed"))
        self._give_over("failed", state.give_up or state.failed)

    def recorded(self, state: Voicemail, message: Message | None) -> None:
        """The caller has left a message, or none."""
        if message is None:
            self.enter(state.empty)
            return
        self.values[state.save] = message
        self.enter(state.to)

    def back_to(self, name: str, known: Mapping[str, Any]) -> None:
        """Return to a state, knowing what was known then."""
        self._known.go_back_to(known)
        self.enter(name)

    # -- people

    def _hand_over(self, reason: str) -> None:
        assert self._person is not None
        self._known.fresh = []
        text = self._wording.person
        if reason not in ("asked", "limit"):
            text = f"{self._wording.not_understood[0]} {text}"
        handoff = Handoff("person", text, target=self._person, reason=reason)
        self.state, self.focus, self.effect = handoff, "over", handoff
        self.entered += 1
        self._say(handoff.prompt)
        self._expect()

    def _give_over(self, reason: str, to: str | None = None) -> None:
        """It goes no further like this: on to the state `to`, to a person, or to the state for that."""
        self._said.clear()
        self._known.fresh = []
        if to is not None:
            self.enter(to)
        elif self._person is not None:
            self._hand_over(reason)
        else:
            assert self._give_up is not None
            self._say(self._wording.give_up)
            self.enter(self._give_up)

    def summary(self) -> str:
        """What is known, in a line: for the person who takes over."""
        return self._known.summary()

    # -- what is said

    def _say(self, text: str) -> None:
        if text:
            self._said.append(
                (self.state, render(text, self.values, self._slots, self.context().call, double=self._double))
            )

    def _say_echo(self) -> tuple[str, ...]:
        """Say what was understood; the caller can object to it in the next turn."""
        texts, names = self._known.said_back()
        if texts and self._settings.echo:
            self._said.append((self.state, f"{sentence(', '.join(texts))}."))
        return names


def sentence(text: str) -> str:
    """The text with a capital letter in front."""
    return text[:1].upper() + text[1:]
