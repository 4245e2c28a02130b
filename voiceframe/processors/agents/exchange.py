"""Decides about the handoffs of a squad, and carries them out.

wanted ──▶ possible? ──▶ policy ──▶ context ──▶ the caller has another specialist, or is put through
              │ unknown, cycle,   │ blocked      │ the caller has spoken meanwhile
              ▼ too many          ▼              ▼
           whoever wanted it is told, and goes on with the caller
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from ...call import Call
from ...errors import HandoffError, SquadError, ToolBlocked, ToolError
from ...events import Event, HandoffDecided, HandoffRequested, SpecialistChanged
from ...llm import Message
from ...tools.context import ToolResult
from ...tools.handoff import Handoff
from ...tools.values import plain
from .contexts import ContextPolicy, HandoffContext, full_history
from .entries import Note, Turn, View
from .handoffs import Destination, HandoffDecision, HandoffPolicy, HandoffRequest
from .messages import mended, note_text
from .runs import Run

if TYPE_CHECKING:
    from .agent import Agent
    from .saying import InHand
    from .squad import Squad

__all__ = ["Exchange", "Transfer"]

T = TypeVar("T")

#: What puts the caller through: called with the call and the request, while the sentence is being said.
Transfer: TypeAlias = Callable[[Call, HandoffRequested], Awaitable[None]]
_Status: TypeAlias = Literal["allowed", "rerouted", "blocked", "escalated", "unknown-target", "max-exceeded"]
_Why: TypeAlias = Literal["", "policy", "cycle", "late", "failed"]
_Given: TypeAlias = Literal["", "default", "custom"]


@dataclass(slots=True)
class Outcome:
    """What came of a handoff: the error for whoever wanted it, or what its model is told; whether that one is to say
    nothing more, and in which reply that was said for it."""

    error: ToolError | None = None
    text: str = ""
    ends: bool = True
    said_in: InHand | None = None


@dataclass(slots=True)
class Refusal:
    """Why a handoff does not take place."""

    status: _Status
    why: _Why
    error: ToolError
    say: str = ""


@dataclass(slots=True)
class Plan:
    """A handoff that is to take place."""

    status: _Status
    target: Agent | Destination
    reason: str
    summary: str
    metadata: Mapping[str, Any]


class Exchange:
    """The handoffs of one squad in one call."""

    def __init__(
        self,
        squad: Squad,
        start: Agent,
        members: Mapping[str, Agent],
        destinations: Mapping[str, Destination],
        routes: Mapping[str, Sequence[str]],
        policy: HandoffPolicy,
        context: ContextPolicy,
        transfer: Transfer | None,
    ) -> None:
        self._squad = squad
        self._members = members
        self._destinations = destinations
        self._routes = routes
        self._policy = policy
        self._context = context
        self._transfer = transfer
        #: Who answers the caller now.
        self.current = start
        self._had: set[str] = {start.name}  # who has had the caller in this turn
        self._count = 0
        self._away = ""  # the destination to which the caller is being put through

    def begin_turn(self) -> None:
        """Another turn of the caller is to be answered."""
        self._had, self._count = {self.current.name}, 0

    def targets_of(self, source: str) -> dict[str, str]:
        """To whom this specialist may give the caller, with what they are for."""
        everybody: dict[str, Agent | Destination] = {**self._members, **self._destinations}
        names = self._routes.get(source, everybody)
        return {name: everybody[name].description for name in names if name != source}

    # -- who wants one

    async def by_tool(self, source: Agent, run: Run, result: ToolResult) -> ToolResult:
        """A tool has returned a `Handoff`: what is kept as its result."""
        saying = source._saying

        def gone() -> bool:
            dead = saying.reply is not None and not source.alive(saying.reply.number)
            return run.alone or saying.work is None or dead

        outcome = await self._decide(source, result.value, gone)
        run.ends, run.text, run.said_in = outcome.ends, outcome.text, outcome.said_in
        return result if outcome.error is None else replace(result, value=None, error=outcome.error)

    async def hand_over(self, source: Agent, handoff: Handoff) -> None:
        """An agent of one's own gives the caller away. Raises `HandoffError`, and `ToolBlocked` for a guardrail."""
        work = source._saying.work
        outcome = await self._decide(source, handoff, lambda: work is None or source._saying.work is not work)
        if outcome.error is not None:
            raise outcome.error

    # -- deciding

    async def _decide(self, source: Agent, handoff: Handoff, gone: Callable[[], bool]) -> Outcome:
        guard = source._guard or self._squad._guard
        if guard is not None:
            try:
                handoff = await guard.handoff(handoff)
            except ToolBlocked as error:
                return self._refused(source, Handoff(handoff.target), Refusal("blocked", "policy", error))
        refusal = self._late(source, handoff.target, gone)
        if refusal is None:
            plan = await self._planned(source, handoff)
            if isinstance(plan, Plan):
                head, given = await self._head(source, plan)
                # Meanwhile the caller may have spoken, or another handoff have taken place.
                refusal = self._late(source, plan.target.name, gone)
                if refusal is None:
                    self._decided(source, handoff, plan.status, plan=plan, context=given)
                    said_in = self._carry_out(source, plan, head)
                    return Outcome(text=f"{plan.target.name} goes on with the caller.", said_in=said_in)
            else:
                refusal = plan
        return self._refused(source, handoff, refusal)

    def _late(self, source: Agent, target: str, gone: Callable[[], bool]) -> Refusal | None:
        """Why it is too late for that."""
        why = ""
        if self._squad.call.engine.ending:
            why = "the call is ending"
        elif self._away:
            why = f"they are being put through to {self._away}"
        elif self.current is not source:
            why = f"{self.current.name} has them already"
        elif gone():
            why = "they have spoken meanwhile"
        return Refusal("blocked", "late", HandoffError.of("handoff.late", target=target, why=why)) if why else None

    async def _planned(self, source: Agent, handoff: Handoff) -> Plan | Refusal:
        targets = self.targets_of(source.name)
        if handoff.target not in targets:
            nearest = difflib.get_close_matches(handoff.target, targets, n=1, cutoff=0.0)
            if handoff.target == source.name:
                return self._cycle(handoff.target)
            error = HandoffError.of(
                "handoff.unknown-target",
                source=source.name,
                target=handoff.target,
                known=", ".join(targets) or "nobody",
                nearest=nearest[0] if nearest else "nobody",
            )
            return Refusal("unknown-target", "", error)
        refusal = self._over_limit(handoff.target)
        if refusal is not None:
            return refusal
        reply = source._saying.reply
        request = HandoffRequest(
            source.name,
            handoff.target,
            handoff.reason,
            handoff.summary,
            dict(handoff.metadata),
            reply.turn if reply is not None else None,
            self._squad.call,
        )
        try:
            decision = await self._within(self._policy(request))
            if not isinstance(decision, HandoffDecision):
                raise SquadError.of("squad.decision", squad=self._squad.name, what=repr(decision))
            if decision.verdict == "block":
                error = HandoffError.of("handoff.blocked", target=handoff.target, reason=decision.reason or "blocked")
                return Refusal("blocked", "policy", error, decision.say)
            target = self._found(decision.target)
        except Exception as error:  # a policy that cannot be asked has not allowed anything
            self._squad.fail(error)
            return Refusal("blocked", "failed", HandoffError.of("handoff.failed", target=handoff.target))
        status: _Status = "allowed"
        if decision.verdict == "escalate":
            status = "escalated"
        elif target.name != handoff.target:
            status = "rerouted"
        refusal = self._over_limit(target.name)
        if refusal is not None:
            return refusal
        summary = handoff.summary if decision.summary is None else decision.summary
        metadata = {**handoff.metadata, **decision.metadata}
        return Plan(status, target, decision.reason or handoff.reason, summary, metadata)

    def _found(self, name: str) -> Agent | Destination:
        found = self._members.get(name) or self._destinations.get(name)
        if found is None:
            known = [*self._members, *self._destinations]
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SquadError.of(
                "squad.decision-target",
                squad=self._squad.name,
                name=name,
                known=", ".join(known),
                nearest=nearest[0] if nearest else known[0],
            )
        return found

    def _over_limit(self, target: str) -> Refusal | None:
        if target in self._destinations:  # whoever wants a person gets one
            return None
        if target in self._had:
            return self._cycle(target)
        most = self._squad.limits.max_handoffs
        if self._count >= most:
            return Refusal("max-exceeded", "", HandoffError.of("handoff.most", count=self._count))
        return None

    @staticmethod
    def _cycle(target: str) -> Refusal:
        return Refusal("blocked", "cycle", HandoffError.of("handoff.cycle", target=target))

    async def _within(self, answer: T | Awaitable[T]) -> T:
        """What a function of the user's answers, in time."""
        if not inspect.isawaitable(answer):
            return answer
        async with asyncio.timeout(self._squad.limits.policy_ms / 1000):
            return await answer

    def _refused(self, source: Agent, handoff: Handoff, refusal: Refusal) -> Outcome:
        self._decided(source, handoff, refusal.status, why=refusal.why)
        said_in = self._say(source, refusal.say) if refusal.say else None
        return Outcome(refusal.error, ends=bool(refusal.say), said_in=said_in)

    @staticmethod
    def _say(source: Agent, text: str, *, interruptible: bool = True) -> InHand | None:
        """Say a sentence in place of the specialist: in the reply in hand, or in one of its own. Returns which."""
        saying = source._saying
        own = saying.reply is None
        if own and not saying.open(None, interruptible=interruptible):
            return None
        reply = saying.reply
        source.utter(text, meanwhile=True)
        if own:
            saying.close()
        return reply

    def _decided(
        self,
        source: Agent,
        handoff: Handoff,
        status: _Status,
        *,
        why: _Why = "",
        plan: Plan | None = None,
        context: _Given = "",
    ) -> None:
        given = plan or handoff
        self._log(
            HandoffDecided(
                squad=self._squad.name,
                source=source.name,
                asked=handoff.target,
                target=plan.target.name if plan is not None else "",
                status=status,
                why=why,
                context=context,
                reason=given.reason,
                summary=given.summary,
                metadata=plain(given.metadata),
            )
        )

    def _log(self, event: Event) -> None:
        reply = self._squad._saying.reply
        self._squad.call.log.write(event, turn=reply.turn if reply is not None else None)

    # -- what the target is given

    async def _head(self, source: Agent, plan: Plan) -> tuple[tuple[Message, ...] | None, _Given]:
        """The messages that stand in the place of the conversation until here; None for all of it."""
        if isinstance(plan.target, Destination):
            return None, ""
        if self._context is full_history:
            return None, "default"
        conversation = source._saying.conversation
        said = next((entry.text for entry in reversed(conversation.entries) if isinstance(entry, Turn)), "")
        given = HandoffContext(
            source.name,
            plan.target.name,
            plan.reason,
            plan.summary,
            plan.metadata,
            conversation.made(self._whole(source, plan.target)),
            Message("user", said),
            Message("user", note_text(source.name, _note_of(source, plan))),
            self._squad.call,
        )
        try:
            chosen = list(await self._within(self._context(given)))
            problem = _problem(chosen)
            if problem:
                raise SquadError.of("squad.context", squad=self._squad.name, target=plan.target.name, problem=problem)
            return tuple(mended(chosen)), "custom"
        except Exception as error:  # the caller is not to suffer for it: the target knows too much rather than nothing
            self._squad.fail(error)
            return None, "default"

    @staticmethod
    def _whole(source: Agent, target: Agent) -> View:
        """All of the conversation, as the target sees it; what the source knows as a summary, it knows so too."""
        view = source._view
        if view.head or view.cut is not None:
            return View(target.name)
        return View(target.name, view.first, (), view.summary)

    # -- carrying it out: from here on nothing waits

    def _carry_out(self, source: Agent, plan: Plan, head: tuple[Message, ...] | None) -> InHand | None:
        """Returns the reply in which all is said that there is to say; None if the target is to answer."""
        squad, target = self._squad, plan.target
        squad.call.data["squad"] = {
            "specialist": target.name,
            "previous": source.name,
            "reason": plan.reason,
            "summary": plan.summary,
            "metadata": dict(plan.metadata),
        }
        if isinstance(target, Destination):
            return self._put_through(source, plan, target)
        saying = source._saying
        conversation, reply = saying.conversation, saying.reply
        note = Note(source.name, _note_of(source, plan), to=target.name)
        view = self._whole(source, target)
        if reply is None:
            conversation.note(note)
            if head is not None:
                view = View(target.name, len(conversation.entries), head)
        else:
            parts = reply.answer.cut(note)
            if head is not None:
                view = View(target.name, conversation.entries.index(reply.answer), head, "", reply.answer, parts)
        target._view = view
        self._had.add(target.name)
        self._count += 1
        self.current = target
        self._log(SpecialistChanged(squad=squad.name, specialist=target.name, previous=source.name, cause="handoff"))
        return None

    def _put_through(self, source: Agent, plan: Plan, destination: Destination) -> InHand | None:
        """Give the caller to somebody who is not of this squad."""
        call, saying = self._squad.call, source._saying
        call.data["outcome"] = "handed-over"
        call.data["handoff"] = destination.name
        request = HandoffRequested(
            target=destination.name,
            reason=plan.reason,
            summary=plan.summary,
            target_kind=destination.kind,
            number=destination.number,
            metadata=plain(plan.metadata),
            source=source.name,
        )
        self._log(request)
        self._away = destination.name
        reply = saying.reply
        if reply is not None:
            call.replies.protect(reply.number)
        if reply is None or not reply.told:
            reply = self._say(source, destination.say, interruptible=False)
        else:
            saying.was_said()
        self._squad.spawn(self._leave(request), name=f"{self._squad.name} puts the caller through", lasting=True)
        return reply

    async def _leave(self, request: HandoffRequested) -> None:
        """Have the caller put through, or end the call for somebody else to take it up."""
        squad = self._squad
        try:
            if self._transfer is not None:
                await self._transfer(squad.call, request)
                return
            if await squad.call.end("handed-over"):
                return
        except Exception as error:
            squad.fail(error)
            squad.advise(f"The caller could not be put through to {request.target}.", source=squad.name, speak=True)
        self._away = ""  # they are still here


def _note_of(source: Agent, plan: Plan) -> str:
    """What the target is told."""
    parts = [f"{source.name} has given the caller to you, {plan.target.name}, and you go on with them."]
    parts += [f"Reason: {plan.reason}"] if plan.reason.strip() else []
    parts += [f"Summary: {plan.summary}"] if plan.summary.strip() else []
    return "\n".join(parts)


def _problem(messages: Sequence[Any]) -> str:
    """What is wrong with messages that a policy has chosen."""
    for message in messages:
        if not isinstance(message, Message):
            return f"{message!r} in it, which is no message"
        if message.role == "system":
            return "instructions in it, which are the specialist's own affair"
    return "" if any(message.text.strip() for message in messages) else "nothing in it"
