"""States: what a declared dialog is made of. Nothing here runs; `Flow` does that.

State     asks: what may be said (intents), what is to be collected (slots), and whether it is confirmed
Do        calls a tool with what was collected; the result chooses the way
Handoff   gives the caller to a person
End       says goodbye
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ..tools import Tool
from .places import here
from .slots import Slot

__all__ = ["AnyState", "Do", "End", "Handoff", "Intent", "State"]


class Intent:
    """One thing that the caller may want in a state.

    name: how the log calls it, and help offers it ("You can say …"): the first phrase, or `label`.
    phrases: ways to say it, in plain words. Several that sound unlike each other help the recognizer.
    to: the state that follows.
    key: the key that says the same, "1" to "9".
    takes: slots that may be said in the same breath: "an appointment with doctor Brown on Thursday".
    """

    def __init__(
        self,
        name: str,
        *phrases: str,
        to: str,
        key: str | None = None,
        takes: Iterable[Slot[Any]] = (),
        label: str | None = None,
    ) -> None:
        self.name = name
        self.phrases = phrases
        self.to = to
        self.key = key
        self.takes = tuple(takes)
        self.label = label or (phrases[0] if phrases else name)
        self.place = here()


class State:
    """Says its prompt, collects its slots one after the other, has them confirmed, and goes to `to`.

    prompt: said when the state is entered; `{slot}` stands for what is known.
    intents: what may be said instead of, or without, giving slots.
    slots: what is collected; one that is known already is not asked for.
    clear: slots of this state that are forgotten, after the prompt was said: they are asked for again.
    confirm: a question that says all that was understood; without it, only what was hard to understand is confirmed.
    to: the next state; one with intents and no slots may do without.
    hint: what may be said, in a sentence; by itself it says the intents.
    reprompts: what is said instead of "Sorry, I did not get that" the first, second, … time.
    """

    def __init__(
        self,
        name: str,
        prompt: str = "",
        *,
        intents: Iterable[Intent] = (),
        slots: Iterable[Slot[Any]] = (),
        clear: Iterable[str] = (),
        confirm: str | None = None,
        to: str | None = None,
        hint: str | None = None,
        reprompts: Iterable[str] = (),
        interruptible: bool = True,
    ) -> None:
        self.name = name
        self.prompt = prompt
        self.intents = tuple(intents)
        self.slots = tuple(slots)
        self.clear = tuple(clear)
        self.confirm = confirm
        self.to = to
        self.hint = hint
        self.reprompts = tuple(reprompts)
        self.interruptible = interruptible
        self.place = here()

    @property
    def asks(self) -> bool:
        """Whether it waits for the caller; one that does not only says its prompt."""
        return bool(self.intents or self.slots)


class Do:
    """Calls a tool. Its parameters are filled by name: from slots, from earlier results, from `arguments`.

    exits: the state for each kind of result: `{Booked: "booked", Taken: "taken"}` by type, or by value.
    to: the state for all other results.
    failed: the state when the tool raises, or takes too long.
    prompt: said before, if it takes a while anyway; without it "One moment, please." after `FlowSettings.patience_ms`.
    save: the name under which prompts and tools find the result; the tool's own by default.
    """

    def __init__(
        self,
        name: str,
        tool: Tool[..., Any],
        *,
        exits: Mapping[Any, str] | None = None,
        to: str | None = None,
        failed: str,
        prompt: str = "",
        save: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.tool = tool
        self.exits = dict(exits or {})
        self.to = to
        self.failed = failed
        self.prompt = prompt
        self.save = save or tool.name
        self.arguments = dict(arguments or {})
        self.interruptible = True
        self.place = here()

    def exit(self, result: Any) -> str | None:
        """The state that this result leads to."""
        state: str
        for case, state in self.exits.items():
            if isinstance(case, type) and isinstance(result, case):
                return state
            if type(case) is type(result) and case == result:
                return state
        return self.to


class Handoff:
    """Gives the caller to a person: a sentence, the event `handoff.requested`, and the transfer or the end."""

    def __init__(self, name: str, prompt: str, *, target: str, reason: str = "asked") -> None:
        self.name = name
        self.prompt = prompt
        self.target = target
        self.reason = reason
        self.interruptible = False
        self.place = here()


class End:
    """The last words. `outcome` is what the call has come to: `call.data["outcome"]`."""

    def __init__(self, name: str, prompt: str, *, outcome: str = "completed", interruptible: bool = True) -> None:
        self.name = name
        self.prompt = prompt
        self.outcome = outcome
        self.interruptible = interruptible
        self.place = here()


AnyState: TypeAlias = State | Do | Handoff | End
