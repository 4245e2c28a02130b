"""States: what a declared dialog is made of, its nodes. Nothing here runs; `Flow` does that.

State      asks: what may be said (intents), what is to be collected (slots), and whether it is confirmed; one that asks
           nothing only says its prompt
Branch     goes on by what is known, or by the hour
Do         calls a tool with what was collected; the result chooses the way
AgentNode  lets an agent talk until it says that it is done
Voicemail  records what the caller has to say
Handoff    gives the caller to a person, a queue or a number
End        says goodbye, and hangs up
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

from ..tools import Tool
from .branch import Branch
from .node import Asking, AskingOptions, Node, SpeakingOptions, variable_of
from .places import here
from .slots import Slot

if TYPE_CHECKING:
    from ..processors.agents import Agent

__all__ = ["AgentNode", "AgentResult", "AnyState", "Do", "End", "Handoff", "Intent", "Message", "State", "Voicemail"]


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


class State(Asking):
    """Says its prompt, collects its slots one after the other, has them confirmed, and goes to `to`.

    prompt: said when the state is entered; `{slot}` stands for what is known.
    intents: what may be said instead of, or without, giving slots.
    slots: what is collected; one that is known already is not asked for.
    clear: slots of this state that are forgotten, after the prompt was said: they are asked for again.
    confirm: a question that says all that was understood; without it, only what was hard to understand is confirmed.
    to: the next state; one with intents and no slots may do without.
    hint: what may be said, in a sentence; by itself it says the intents.
    reprompts: what is said instead of "Sorry, I did not get that" the first, second, … time.
    options: see `AskingOptions`.
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
        **options: Unpack[AskingOptions],
    ) -> None:
        super().__init__(name, prompt, **options)
        self.intents = tuple(intents)
        self.slots = tuple(slots)
        self.clear = tuple(clear)
        self.confirm = confirm
        self.to = to
        self.hint = hint
        self.reprompts = tuple(reprompts)

    @property
    def asks(self) -> bool:
        """Whether it waits for the caller; one that does not only says its prompt."""
        return bool(self.intents or self.slots)


class Do(Node):
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
        **options: Unpack[SpeakingOptions],
    ) -> None:
        super().__init__(name, prompt, **options)
        self.tool = tool
        self.exits = dict(exits or {})
        self.to = to
        self.failed = failed
        self.save = save or tool.name
        self.arguments = dict(arguments or {})

    def exit(self, result: Any) -> str | None:
        """The state that this result leads to."""
        state: str
        for case, state in self.exits.items():
            if isinstance(case, type) and isinstance(result, case):
                return state
            if type(case) is type(result) and case == result:
                return state
        return self.to


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What an agent's part of the call has come to. summary: in the agent's words, for whoever comes next."""

    outcome: str
    summary: str = ""


class AgentNode(Asking):
    """Lets an agent talk with the caller until it says that it is done.

    agent: it answers the turns, beginning with the one that led here if the node has no prompt. It is told what is
        known, and gets a tool `finish` with which it says what its part has come to: one of `exits`.
    exits: the state for each outcome, `{"booked": "done", "person": "reception"}`; the names are what the agent reads.
    failed: the state when the agent fails `attempts` times in a row, or has no more time (`limit_ms`), where `give_up`
        and `limit_to` do not say otherwise.
    done: when each outcome is meant, in a sentence for the agent.
    save: the name under which prompts find the outcome and the agent's summary (`{name.summary}`); the node's name.
    options: see `AskingOptions`.
    """

    def __init__(
        self,
        name: str,
        agent: Agent,
        *,
        exits: Mapping[str, str],
        failed: str,
        prompt: str = "",
        done: str = "",
        save: str | None = None,
        **options: Unpack[AskingOptions],
    ) -> None:
        if agent.voice:
            options.setdefault("voice", agent.voice)
        super().__init__(name, prompt, **options)
        self.agent = agent
        self.exits = dict(exits)
        self.failed = failed
        self.done = done
        self.save = save or variable_of(name)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a caller has left: where its sound is (empty for a call of text), how long, and what was said."""

    path: str
    duration_ms: int
    text: str


class Voicemail(Asking):
    """Records what the caller has to say, until they are silent, press a key, hang up, or have no more time.

    path: where the sound goes, a WAV file of the caller alone; `{call}` in it is the id of the call. It is never
        written over, and nobody else may read it.
    to: the state that follows; empty: the state when nothing was said, by default `to` as well.
    beep: whether a tone says when to begin.
    silence_ms: silence after speech that ends the message; 4 s by default. Nobody who says nothing is waited for longer
        than twice that.
    limit_ms: the longest message; two minutes by default.
    save: the name under which prompts and tools find the `Message`; the node's name.
    """

    def __init__(
        self,
        name: str,
        prompt: str,
        *,
        to: str,
        path: str = "voicemail/{call}.wav",
        empty: str | None = None,
        beep: bool = True,
        silence_ms: int = 4_000,
        limit_ms: int = 120_000,
        save: str | None = None,
        **options: Unpack[SpeakingOptions],
    ) -> None:
        super().__init__(name, prompt, silence_ms=silence_ms, limit_ms=limit_ms, **options)
        self.to = to
        self.path = path
        self.empty = empty or to
        self.beep = beep
        self.save = save or variable_of(name)


class Handoff(Node):
    """Gives the caller to a person, a queue or a number: a sentence, the event `handoff.requested`, and the transfer or
    the end.

    target: a name that the transfer knows, or a number (E.164) where `target_kind` is "number".
    options: see `SpeakingOptions`; nobody talks over it unless `interruptible=True` says so.
    """

    def __init__(
        self,
        name: str,
        prompt: str,
        *,
        target: str,
        target_kind: Literal["person", "queue", "number"] = "person",
        reason: str = "asked",
        **options: Unpack[SpeakingOptions],
    ) -> None:
        options.setdefault("interruptible", False)
        super().__init__(name, prompt, **options)
        self.target = target
        self.target_kind = target_kind
        self.reason = reason


class End(Node):
    """The last words. `outcome` is what the call has come to: `call.data["outcome"]`."""

    def __init__(
        self, name: str, prompt: str, *, outcome: str = "completed", **options: Unpack[SpeakingOptions]
    ) -> None:
        super().__init__(name, prompt, **options)
        self.outcome = outcome


AnyState: TypeAlias = State | Branch | Do | AgentNode | Voicemail | Handoff | End
