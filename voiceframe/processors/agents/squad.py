"""A squad: specialists who share a call. It stands where an agent stands, and one of them at a time has the caller.

turn ──▶ the current specialist answers ──▶ hands off ──▶ the next one answers the same turn ──▶ …
                                              └ refused: is told why, and answers
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import SquadError
from ...events import SpecialistChanged
from ...frames import StartFrame, UserTurnFrame
from ...processor import handles
from .agent import Agent
from .asking import Speculation
from .contexts import ContextPolicy, full_history
from .exchange import Exchange, Transfer
from .handoffs import Destination, HandoffPolicy, HandoffTool, allow
from .questions import Questions
from .settings import SquadSettings

if TYPE_CHECKING:
    from ...node import Node
    from ...tools.context import ToolResult
    from ..guardrails import Guardrail
    from .runs import Run

__all__ = ["OWN_FRAMES", "Squad", "checked", "nearest"]


class Squad(Agent):
    """Several agents of whom one at a time has the caller; each has its own instructions, model, voice and tools.

        Squad([triage, billing, Agent("tech", "...", llm, description="Faults")], start="triage",
              destinations=[Destination("front desk", "When they ask for a person.")])

    agents: each with a name of its own; `description` tells the others what it is for.
    start: the name of the one who has the caller first, and whose greeting is said.
    destinations: where callers can be given to outside: the event `handoff.requested`, and the transfer or the end.
    routes: to whom each may give the caller, by name; who is not in it may to everybody.
    handoff: what decides about each handoff: see `HandoffRequest`.
    context: what the target is given of the conversation: `full_history`, `summary_only`, `last_turns(n)`, or a
        function of a `HandoffContext`.
    transfer: puts a caller through to a destination. Without it the call ends with the reason `handed-over`.
    guardrail: of the specialists that have none of their own, and of handoffs.
    settings: by default from the environment and the settings file; max_handoffs and max_tool_rounds go before them.

    A model asks for a handoff by the tool `hand_off`, which each specialist has beside its own; a tool does by
    returning a `voiceframe.tools.Handoff`, and an agent of your own by `await self.hand_off("billing")` in `reply()`.
    A specialist takes no frames: only its `reply()`, `remark()` and `inference()` may be overridden.

    Raises `SquadError` for whatever cannot work.
    """

    def __init__(
        self,
        agents: Iterable[Agent],
        *,
        start: str,
        name: str = "squad",
        description: str = "",
        destinations: Iterable[Destination] = (),
        routes: Mapping[str, Iterable[str]] | None = None,
        handoff: HandoffPolicy = allow,
        context: ContextPolicy = full_history,
        transfer: Transfer | None = None,
        max_handoffs: int | None = None,
        max_tool_rounds: int | None = None,
        guardrail: Guardrail | None = None,
        settings: SquadSettings | None = None,
    ) -> None:
        members = checked(self, "Squad", name, agents)
        outside = {destination.name: destination for destination in destinations}
        known = [*members, *outside]
        _check_names(name, known, [*members.values(), *outside.values()])
        ways = {source: tuple(targets) for source, targets in (routes or {}).items()}
        for named in (*ways, *(target for targets in ways.values() for target in targets)):
            if named not in known:
                raise SquadError.of(
                    "squad.route", squad=name, name=named, known=", ".join(known), nearest=nearest(named, known)
                )
        if start not in members:
            near = nearest(start, members)
            raise SquadError.of("squad.start", squad=name, name=start, known=", ".join(members), nearest=near)
        first = members[start]
        super().__init__(name, settings=first.settings, description=description, guardrail=guardrail)
        bounds = {"max_handoffs": max_handoffs, "max_tool_rounds": max_tool_rounds}
        given = {setting: value for setting, value in bounds.items() if value is not None}
        self.limits = (settings or SquadSettings.load()).replace(**given)
        self.agents = members
        self._handoffs = Exchange(self, first, members, outside, ways, handoff, context, transfer)
        self._turn = UserTurnFrame(0, "")
        self._tools.questions = Questions(self, lambda: self._speaker._tools.zone)
        self._tools.questions.on_question = self._question_came
        for member in members.values():
            if guardrail is not None and member._guard is None:
                member._guard = guardrail.beside(member)
            member._exchange = self._handoffs
            targets = self._handoffs.targets_of(member.name)
            if targets:
                member._tools.add([HandoffTool(targets)])
            member._tools.on_handoff = self._handed_off(member)
            member._join(self)
        first._view = self._view  # there is nothing yet that it would not see
        first._view.who = first.name

    def _handed_off(self, member: Agent) -> Callable[[Run, ToolResult], Any]:
        return lambda run, result: self._handoffs.by_tool(member, run, result)

    # -- for everybody

    @property
    def current(self) -> Agent:
        """The specialist who has the caller."""
        return self._handoffs.current

    # -- answering

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        self._turn = turn
        self._handoffs.begin_turn()
        self._saying.most_rounds = self.limits.max_tool_rounds
        async with contextlib.aclosing(self._relay(lambda member: member.reply(turn))) as texts:
            async for text in texts:
                yield text

    async def remark(self, note: str) -> AsyncIterator[str]:
        self._handoffs.begin_turn()
        async with contextlib.aclosing(self._relay(lambda member: member.remark(note))) as texts:
            async for text in texts:
                yield text

    async def _relay(self, begin: Callable[[Agent], AsyncIterator[str]]) -> AsyncGenerator[str, None]:
        """What the current specialist says, and whoever takes over from them."""
        member = self.current
        pieces = begin(member)
        while True:
            async with contextlib.aclosing(pieces) as texts:  # type: ignore[type-var]
                async for text in texts:
                    yield text
            if self.current is member or not self._voices.take_over():
                return
            member = self.current
            pieces = member.reply(self._turn)

    # -- one that stands in the pipeline, and those that speak there

    @property
    def _speaker(self) -> Agent:
        return self.current._speaker

    def _join(self, front: Agent) -> None:
        super()._join(front)
        for member in self.agents.values():
            view = member._view
            member._join(front)
            member._view = view

    def _everybody(self) -> list[Agent]:
        return list(self.agents.values())

    def _adopt(self, node: Node | None) -> None:
        super()._adopt(node)
        for member in self.agents.values():
            member._adopt(node)

    # -- the life of the call

    def _begin(self) -> None:
        self.call.data["squad"] = {
            "specialist": self.current.name,
            "previous": "",
            "reason": "",
            "summary": "",
            "metadata": {},
        }
        for member in self.agents.values():
            member._begin()

    async def cleanup(self) -> None:
        for member in self.agents.values():
            await member.cleanup()

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._arrive("start")
        super().on_start(frame)

    def _arrive(self, cause: Any) -> None:
        """The caller is with this squad from now on."""
        self.emit(SpecialistChanged(squad=self.name, specialist=self.current.name, cause=cause))

    def _speculate(self, text: str) -> Speculation | None:
        return self._speaker._speculate(text)

    # -- settings

    def _named(self, name: str) -> Agent | None:
        return self if name == self.name else next((m for m in self.agents.values() if m.name == name), None)

    def _change(self, settings: Mapping[str, Any]) -> None:
        """Those of `SquadSettings`."""
        self.limits = self.limits.replace(**settings)


def checked(owner: Agent, kind: str, name: str, agents: Iterable[Agent]) -> dict[str, Agent]:
    """The agents by name. Raises `SquadError` for one that cannot belong to `owner`, a Squad or a Router."""
    given = list(agents)
    if not given:
        raise SquadError.of("squad.empty", kind=kind)
    for agent in given:
        if not isinstance(agent, Agent):
            raise SquadError.of("squad.not-an-agent", kind=kind, name=name, what=repr(agent))
        if not agent._name.strip():
            raise SquadError.of("squad.unnamed", name=name)
        if agent._exchange is not None or agent._saying.agent is not agent:
            raise SquadError.of("squad.taken", name=agent.name, squad=name, other=agent._saying.agent.name)
        base = next(cls for cls in type(agent).__mro__ if cls in OWN_FRAMES)
        if base is not Agent and (kind == "Squad" or base is not Squad):
            raise SquadError.of("squad.nested", name=agent.name, kind=base.__name__, squad=name)
        handlers = [
            handler.name
            for handler in type(agent).table.handlers
            if getattr(type(agent), handler.name) is not getattr(base, handler.name, None)
        ]
        if handlers:
            raise SquadError.of("squad.handlers", name=agent.name, handlers=", ".join(handlers), squad=name)
    found = {agent.name: agent for agent in given}
    _check_names(name, [agent.name for agent in given], given)
    return found


def _check_names(squad: str, names: Iterable[str], given: list[Any]) -> None:
    """Raises `SquadError` (`squad.name-twice`)."""
    seen = {squad}
    for thing in given:
        if thing.name in seen:
            raise SquadError.of("squad.name-twice", squad=squad, name=thing.name)
        seen.add(thing.name)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one."""
    names = list(known)
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    return found[0] if found else names[0]


#: The classes whose own handlers are called for them when they do not stand in the pipeline themselves.
OWN_FRAMES: set[type[Agent]] = {Agent, Squad}
