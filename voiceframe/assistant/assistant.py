"""The assistant: an agent as a product. What is tried on its callers, remembered of them, reached, and done afterwards.

    clinic = Assistant(receptionist, experiments=[greeting], memory=memory, goals=[booked], after=[send_summary])

    async def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), stt, Turns(), await clinic.agent(call), tts, call.transport.output()])

Made once for the process; calls share nothing but what it declares.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from ..call import Call
from ..errors import AssistantError
from ..events import AfterDue, AssistantOutcome, AssistantStarted, CallEnded, ExperimentAssigned, LoggedEvent
from .after import WRITER, After, Hook, Work, failed, run_hook
from .caller_memory import CallerMemory
from .experiment import Assignment, Experiment
from .finished import FinishedCall
from .goal import Goal, measured, outcome_of
from .memory import Memory
from .pen import write

if TYPE_CHECKING:
    from ..processors.agents import Agent

__all__ = ["Assistant"]

#: Where the variants of a call stand, by experiment.
DATA: Final = "variants"
#: More events of one call are not kept for its hooks.
_MOST_EVENTS: Final = 20_000


@dataclass(slots=True, eq=False)
class _Visit:
    """A call of an assistant."""

    call: Call
    assignments: tuple[Assignment, ...]
    memory: CallerMemory | None
    agent: Agent | None = None
    events: list[LoggedEvent] = field(default_factory=list)
    left_out: int = 0
    stop: Callable[[], None] = lambda: None

    @property
    def variants(self) -> dict[str, str]:
        return {experiment.name: variant.name for experiment, variant, _, _ in self.assignments}

    def keep(self, event: LoggedEvent) -> None:
        if len(self.events) < _MOST_EVENTS:
            self.events.append(event)
        else:
            self.left_out += 1


class Assistant:
    """An agent with experiments, memory, goals and hooks. One for the process, made outside of the bot.

    agent: a function of the call that makes its `Agent` (or `Squad`, or any other), as each call has one of its own.
        None for a bot that has no agent: it awaits `attend(call)`.
    name: for events and the report; by default that of the function.
    experiments: see `Experiment`. The variants are in `call.data["variants"]` before the agent is made.
    memory: see `Memory`; off by default. What is remembered is in `call.data["memory"]` before the agent is made.
    goals: see `Goal`.
    after: functions of the `FinishedCall`, or `After(function, ...)`: run when the call is over.

    Raises `AssistantError` (`assistant.name`, `assistant.agent`, `assistant.twice`, `assistant.hook`,
    `experiment.overlap`).

    Give it to the app as a sink, `App(bot, endpoint, sinks=[clinic])`: then an app that stops waits for its hooks.
    """

    def __init__(
        self,
        agent: Callable[[Call], Agent | Awaitable[Agent]] | None,
        *,
        name: str = "",
        experiments: Iterable[Experiment] = (),
        memory: Memory | None = None,
        goals: Iterable[Goal] = (),
        after: Iterable[After | Hook] = (),
    ) -> None:
        from ..processors.agents import Agent

        own = getattr(agent, "__name__", "")
        self.name = name or ("" if own == "<lambda>" else str(own))
        if not self.name or not self.name.isprintable() or len(self.name) > 64:
            raise AssistantError.of("assistant.name", what=repr(agent))
        given: object = agent
        if given is not None and (isinstance(given, Agent) or not callable(given)):
            raise AssistantError.of("assistant.agent", assistant=self.name, what=repr(agent))
        self.experiments = tuple(experiments)
        self.goals = tuple(goals)
        self.after = tuple(hook if isinstance(hook, After) else After(hook) for hook in after)
        for what, names in (
            ("The experiment", [experiment.name for experiment in self.experiments]),
            ("The goal", [goal.name for goal in self.goals]),
            ("The hook", [hook.name for hook in self.after]),
        ):
            twice = next((one for one in names if names.count(one) > 1), None)
            if twice is not None:
                raise AssistantError.of("assistant.twice", what=what, name=twice, assistant=self.name)
        _refuse_overlaps(self.experiments)
        self._memory = memory
        self._make = agent
        self._work = Work()

    # -- in the bot

    async def agent(self, call: Call, *, variants: Mapping[str, str] | None = None) -> Agent:
        """The agent of this call, with its variants and with what is remembered of who calls. Await it in the bot.

        variants: what the call must have, by experiment, in place of what is drawn.

        Raises `AssistantError` (`assistant.agent`, `assistant.again`, `assistant.data`, `experiment.none`,
        `experiment.unknown`, `experiment.member`) and what the agent's function raises. A store that fails is an
        event, what a function of an experiment or of the memory raises is logged, and the call goes on.
        """
        from ..processors.agents import Agent
        from ..processors.agents.assistant import change, note

        if self._make is None:
            raise AssistantError.of("assistant.agent", assistant=self.name, what="None")
        visit = await self._visit(call, variants or {})
        try:
            made = self._make(call)
            agent = await made if inspect.isawaitable(made) else made
            if not isinstance(agent, Agent):
                raise AssistantError.of("assistant.agent", assistant=self.name, what=repr(agent))
            for _, variant, _, _ in visit.assignments:
                if variant.changes:
                    change(agent, variant.changes, of=variant.of, variant=variant.name)
        except BaseException:
            self._drop(visit)
            raise
        visit.agent = agent
        if visit.memory is not None:
            visit.memory.on_open = lambda values: note(agent, values)
            if visit.memory.values:
                note(agent, visit.memory.values)
        self._begin(visit)
        return agent

    async def attend(self, call: Call, *, variants: Mapping[str, str] | None = None) -> None:
        """Be there for a call whose bot has no agent: a flow, say, or a recorder. To be awaited in the bot.

        Variants change nothing by themselves then: look at `call.data["variants"]`. Raises as `agent()` does.
        """
        self._begin(await self._visit(call, variants or {}))

    def memory(self, call: Call) -> CallerMemory:
        """The memory of who speaks in this call. Raises `AssistantError` (`assistant.call`) if there is none."""
        memory = self._visit_of(call).memory
        if memory is None:
            raise AssistantError.of("assistant.call", assistant=self.name, call=call.id, what="memory")
        return memory

    def variants(self, call: Call) -> dict[str, str]:
        """The variants of a call, by experiment. Raises `AssistantError` (`assistant.call`)."""
        return self._visit_of(call).variants

    # -- when the process stops

    async def drain(self, timeout_ms: int = 30_000) -> bool:
        """Wait for what is done after calls, then give up the rest. Returns whether all of it was done.

        What is given up has a last `after.failed` in the log of its call.
        """
        done = await self._work.done(timeout_ms)
        if not done:
            await self._work.stop()
        return done

    # -- a call

    async def _visit(self, call: Call, wanted: Mapping[str, str]) -> _Visit:
        variants = call.data.setdefault(DATA, _Variants())
        if not isinstance(variants, _Variants):
            raise AssistantError.of("assistant.data", name=DATA, what=f"the assistant {self.name}")
        if self in variants.visits:
            raise AssistantError.of("assistant.again", assistant=self.name, call=call.id)
        for name in wanted:
            if name not in {experiment.name for experiment in self.experiments}:
                known = ", ".join(experiment.name for experiment in self.experiments) or "none"
                raise AssistantError.of("experiment.none", assistant=self.name, experiment=name, known=known)
        assignments = tuple(experiment.assign(call, wanted.get(experiment.name)) for experiment in self.experiments)
        memory = self._memory.of(call) if self._memory is not None else None
        visit = variants.visits[self] = _Visit(call, assignments, memory)
        visit.stop = call.log.subscribe(lambda event: self._look(visit, event))
        call.afterwards.append(self.drain)
        for experiment, variant, reason, unit in assignments:
            variants[experiment.name] = variant.name
            write(
                call,
                ExperimentAssigned(
                    assistant=self.name,
                    experiment=experiment.name,
                    variant=variant.name,
                    reason=reason,
                    control=experiment.variants[0].name,
                    shares=experiment.shares(),
                    unit=unit,
                ),
            )
        try:
            if memory is not None:
                await memory.open()
        except BaseException:
            self._drop(visit)
            raise
        return visit

    def _begin(self, visit: _Visit) -> None:
        write(
            visit.call,
            AssistantStarted(
                assistant=self.name,
                agent="" if visit.agent is None else visit.agent.name,
                variants=visit.variants,
                memory="off" if visit.memory is None else visit.memory.state,
            ),
        )

    def _drop(self, visit: _Visit) -> None:
        """There is no such call: its bot could not be made."""
        visit.stop()
        visit.call.data[DATA].visits.pop(self, None)

    def _visit_of(self, call: Call) -> _Visit:
        variants = call.data.get(DATA)
        visit = variants.visits.get(self) if isinstance(variants, _Variants) else None
        if visit is None:
            raise AssistantError.of("assistant.call", assistant=self.name, call=call.id, what="agent")
        return visit

    def _look(self, visit: _Visit, event: LoggedEvent) -> None:
        visit.keep(event)
        if event.kind == CallEnded.kind:
            visit.stop()
            self._over(visit, event)

    # -- after the call

    def _over(self, visit: _Visit, ended: LoggedEvent) -> None:
        call = visit.call
        finished = FinishedCall(
            id=call.id,
            assistant=self.name,
            agent="" if visit.agent is None else visit.agent.name,
            tenant=call.log.tenant,
            environment=call.log.environment,
            trace=call.log.trace,
            direction=call.direction,
            from_=call.from_,
            to=call.to,
            metadata=call.metadata,
            reason=str(ended.data["reason"]),
            duration_ms=int(ended.data["duration_ms"]),
            outcome=outcome_of(call.data.get("outcome")),
            variants=visit.variants,
            data=call.data,
            # What was held back until the log began was written in the middle of that.
            events=tuple(sorted(visit.events, key=lambda event: (event.at_ms, event.id))),
            events_left_out=visit.left_out,
            memory=visit.memory,
        )
        visit.events = []
        if self.after:
            due = AfterDue(assistant=self.name, hooks=tuple(hook.name for hook in self.after))
            call.log.write(due, writer=WRITER)
        self._work.add(partial(self._finish, call, finished), partial(self._lost, call, finished))
        if self._memory is not None:
            self._memory.purge_soon(call.clock.wall_ms())

    async def _finish(self, call: Call, finished: FinishedCall) -> None:
        goals, unmeasured = await measured(self.goals, finished)
        call.log.write(
            AssistantOutcome(assistant=self.name, outcome=finished.outcome, goals=goals, failed=tuple(unmeasured)),
            writer=WRITER,
        )
        finished = dataclasses.replace(finished, goals=goals)
        for hook in self.after:
            self._work.add(partial(run_hook, hook, finished, call.log), partial(self._lost, call, finished, hook))

    def _lost(self, call: Call, finished: FinishedCall, *hooks: After) -> None:
        """There is too much to do, or the process stops."""
        for hook in hooks or self.after:
            failed(call.log, finished, hook.name, 0, "Overflow", "It was never begun: too many wait, or the end came.")

    def __repr__(self) -> str:
        return f"<assistant {self.name}>"


class _Variants(dict[str, str]):
    """Those of a call, of several assistants if it has several. They live as long as the call, and no longer."""

    def __init__(self) -> None:
        super().__init__()
        self.visits: dict[Assistant, _Visit] = {}


def _refuse_overlaps(experiments: tuple[Experiment, ...]) -> None:
    for number, first in enumerate(experiments):
        for second in experiments[number + 1 :]:
            both = first.touches() & second.touches()
            if both:
                what = " and ".join(sorted(both))
                raise AssistantError.of("experiment.overlap", first=first.name, second=second.name, what=what)
