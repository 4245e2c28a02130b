"""The tools of an agent in a call: duplicates, agreement, fillers, interruptions, and questions to the caller.

called ──▶ duplicate? ──▶ agreed? ──▶ running ──▶ its result is in the context
              │ rejected     │ declined   │ interrupted: finished, or cancelled
              └──────────────┴────────────┴──▶ so is why there is none
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ...errors import ConfigurationError, HandoffError, ToolError
from ...flow.template import say_value
from ...frames import ToolCallFrame, ToolResultFrame
from ...llm import ToolCall, ToolSpec
from ...tools.asking import Agree, Question
from ...tools.calling import call_tool
from ...tools.context import ToolResult
from ...tools.handoff import Handoff
from ...tools.tool import AnyTool
from ...tools.values import as_text, masked, plain, without_secrets
from .approvals import Approvals
from .context import Called
from .guarding import guard_of, judged_arguments, judged_result
from .questions import Questions
from .runs import Caller, History, Nothing, Run

if TYPE_CHECKING:
    from ...processor import Processor

__all__ = ["ToolBox"]


@dataclass(slots=True)
class ToolBox:
    """The tools, and what is going on with them. It is the `Floor` of the agent's tools."""

    agent: Caller
    conversation: History
    zone: tzinfo
    #: Whether questions can be put to the caller.
    asks: bool = True
    tools: dict[str, AnyTool] = field(default_factory=dict)
    #: Those that run, or wait for leave to.
    open: list[Run] = field(default_factory=list)
    #: Those that later ones may be duplicates of.
    runs: list[Run] = field(default_factory=list)
    questions: Questions = field(init=False)
    approvals: Approvals = field(init=False)
    #: What becomes of a `Handoff` that a tool returns: what is kept as its result. None where there is nobody else.
    on_handoff: Callable[[Run, ToolResult], Awaitable[ToolResult]] | None = None
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.questions = Questions(self.agent, lambda: self.zone)
        self.approvals = Approvals(self.agent)

    def join(self, other: ToolBox) -> None:
        """Share what goes on with another one: the caller is asked one thing at a time, and nothing is done twice."""
        self.conversation, self.open, self.runs = other.conversation, other.open, other.runs
        self.questions, self.approvals = other.questions, other.approvals

    def add(self, tools: Iterable[AnyTool]) -> None:
        """Raises `ToolError` (`tool.twice`) for a name that is taken, `ConfigurationError` for what is no tool."""
        for tool in tools:
            if not isinstance(tool, AnyTool):
                raise ConfigurationError.of("agent.tool", agent=self.agent.name, what=repr(tool))
            if self.tools.setdefault(tool.name, tool) is not tool:
                raise ToolError.of("tool.twice", agent=self.agent.name, name=tool.name)

    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec() for tool in self.tools.values())

    # -- calling

    def called(self, call: ToolCall, beside: Sequence[Called] = ()) -> Called:
        """The call as the context keeps it, with an id that no other has. beside: what is called with it."""
        taken = self.conversation.ids() | {other.id for other in beside}
        self._numbers += 1
        id = call.id or f"{self.agent.name}-{self._numbers}"
        while id in taken:
            id = f"{call.id or self.agent.name}-{self._numbers}"
            self._numbers += 1
        return Called(id, call.name, dict(call.arguments), opaque=call.opaque, by=self.agent.name)

    def start(self, called: Called, error: str = "", tool: AnyTool | None = None) -> Run:
        """Begin a call. error: why it cannot be made, as the model's vendor says."""
        agent = self.agent
        found = tool or self.tools.get(called.name)
        done: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
        if found is None or error:
            nearest = difflib.get_close_matches(called.name, self.tools, n=1, cutoff=0.0)
            problem = ToolError.of(
                "tool.unknown",
                name=called.name,
                known=", ".join(self.tools) or "none",
                nearest=nearest[0] if nearest else "no tool",
            )
            if found is not None:
                problem = ToolError.of("tool.json", tool=called.name, error=error.rstrip("."))
            run = Run(called, found or Nothing(), done)
            self._refuse(run, problem, called.arguments if found is None else {})
            return run
        run = Run(called, found, done, began_s=asyncio.get_running_loop().time())
        self.open.append(run)
        run.task = agent.spawn(self._decide(run), name=f"{called.name} {called.id}", lasting=True)
        run.task.add_done_callback(lambda task: None if run.work is not None else self._stopped(run))
        return run

    async def _decide(self, run: Run) -> None:
        """Find out whether it may run, and run it."""
        tool, guard = run.tool, guard_of(self.agent)
        try:
            if guard is not None:
                await judged_arguments(guard, run)
            bound = tool.bind(run.called.arguments)
            run.key = f"{tool.name} {json.dumps(plain(bound), sort_keys=True, default=str)}"
            again = await self._duplicate(run)
            self.runs.append(run)
            await self._agreed(run, bound, again)
        except ToolError as error:
            self._refuse(run, error, run.called.arguments)
            return
        # What has begun and has side effects is finished, also by a call that ends.
        finishes = tool.side_effects and tool.on_interrupt == "finish"
        run.work = self.agent.spawn(self._work(run), name=f"{tool.name} {run.called.id} runs", lasting=not finishes)
        run.work.add_done_callback(lambda task: self._stopped(run))

    def _stopped(self, run: Run) -> None:
        """Nothing of it runs any more. What was cancelled before it began has said nothing."""
        if not run.done.done():
            self._refuse(run, run.cancelled(), run.called.arguments)

    async def _work(self, run: Run) -> ToolResult:
        try:
            owner, called, guard = cast("Processor", self.agent), run.called, guard_of(self.agent)
            judge = partial(judged_result, guard, run) if guard is not None else None
            result = await call_tool(owner, run.tool, called.arguments, called.id, floor=_Place(self, run), judge=judge)
            if isinstance(result.value, Handoff):
                result = await self._handed_over(run, result)
        except asyncio.CancelledError:
            self._keep(run, ToolResult(error=run.cancelled()))
            raise
        self._keep(run, result)
        return result

    async def _handed_over(self, run: Run, result: ToolResult) -> ToolResult:
        """A tool wants somebody else to go on with the caller."""
        if self.on_handoff is not None:
            return await self.on_handoff(run, result)
        handoff = result.value
        return replace(result, value=None, error=HandoffError.of("handoff.nobody", target=handoff.target))

    def _refuse(self, run: Run, error: ToolError, arguments: Mapping[str, Any]) -> None:
        """It does not run; the log shows that it was wanted."""
        secret = run.tool.secret
        if not self.agent.call.engine.finished:
            self.agent.push(ToolCallFrame(run.called.id, run.called.name, masked(arguments, secret)))
            self.agent.push(ToolResultFrame(run.called.id, error=without_secrets(str(error), arguments, secret)))
        self._keep(run, ToolResult(error=error, attempts=0))

    def _keep(self, run: Run, result: ToolResult) -> None:
        """The result is known: it goes into the context, whether or not anybody waits for it."""
        if run.done.done():
            return
        run.ended_s = asyncio.get_running_loop().time()
        if result.error is not None:
            self.conversation.result(run.called, str(result.error), failed=True)
        else:
            self.conversation.result(run.called, run.text or as_text(result.value, run.tool.returns))
        if run in self.open:
            self.open.remove(run)
        run.done.set_result(result)

    # -- waiting

    async def together(self, runs: Sequence[Run]) -> None:
        """Wait for all of them; the caller hears a filler for one that is slow. A cancellation lets go of them."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                open_runs = [run for run in runs if not run.done.done()]
                if not open_runs:
                    return
                slow = [run for run in open_runs if run.tool.say_after_ms is not None and not run.filler]
                due = min((run.began_s + (run.tool.say_after_ms or 0) / 1000 for run in slow), default=None)
                timeout = None if due is None else max(0.0, due - loop.time())
                waited = {run.done for run in open_runs}
                done, _ = await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if done or due is None:
                    continue
                for run in slow:  # one sentence is enough for all that are slow at once
                    run.filler = True
                if not any(run.asking for run in open_runs):
                    self.agent.utter(slow[0].tool.say, meanwhile=True, filler=True)
        except asyncio.CancelledError:
            for run in runs:
                self.let_go(run)
            raise

    def let_go(self, run: Run) -> None:
        """The caller has interrupted: nobody waits for it any more."""
        run.alone = True
        run.why = "the caller has interrupted"
        # What has begun may have to be finished, and what an operator decides about is theirs.
        begun = run.work is not None and run.tool.on_interrupt == "finish"
        if run.done.done() or begun or run.called.id in self.approvals.wishes:
            return
        self._stop(run)

    async def stop(self, why: str) -> None:
        """Cancel all that runs, and have the results that are left."""
        running = [run for run in self.open if not run.done.done()]
        for run in running:
            run.why = why
            self._stop(run)
        if running:
            await asyncio.wait({run.done for run in running})

    @staticmethod
    def _stop(run: Run) -> None:
        for task in (run.work, run.task):
            if task is not None and not task.done():
                task.cancel()

    # -- duplicates

    async def _duplicate(self, run: Run) -> bool:
        """Whether it is called again, and the caller has to agree to that. Raises `ToolError` if it may not run."""
        tool = run.tool
        now = asyncio.get_running_loop().time()
        within_s = self.agent.settings.duplicate_ms / 1000
        self.runs[:] = [r for r in self.runs if not r.done.done() or now - r.ended_s < within_s]
        others = [
            r
            for r in self.runs
            if r.key == run.key
            and (r.tool is run.tool or r.called.by == run.called.by)  # two agents may call other things by one name
            and not (r.done.done() and r.done.result().error)
        ]
        if not others or tool.on_duplicate == "allow":
            return False
        other = others[-1]
        if tool.on_duplicate == "confirm":
            return True
        if tool.on_duplicate == "replace":
            for one in others:
                one.replaced = True
                self._stop(one)
                await asyncio.wait({one.done})
            return False
        if other.done.done():
            ago = f"{round(now - other.ended_s)} s ago"
            outcome = f"and has returned {as_text(other.done.result().value, tool.returns)}"
        else:
            ago, outcome = f"{round(now - other.began_s)} s ago", "and is still running"
        raise ToolError.of("tool.duplicate", tool=tool.name, ago=ago, outcome=outcome)

    # -- agreement

    async def _agreed(self, run: Run, bound: Mapping[str, Any], again: bool) -> None:
        """Raises `ToolError` if the caller or the operator does not agree."""
        confirm = run.tool.confirm
        if confirm == "operator":
            await self.approvals.asked(run, self.agent.settings.approval_ms)
            if not again:
                return
        if not confirm and not again:
            return
        shown = {name: "that" if name in run.tool.secret else say_value(value) for name, value in bound.items()}
        question = "Shall I do that?"
        if again:
            question = "I have done that already. Shall I do it again?"
        elif isinstance(confirm, str):
            question = _filled(confirm, shown)
        try:
            agrees = await _Place(self, run).put_question(Agree(question))
        except ToolError as error:
            if error.code != "tool.unanswered":
                raise
            raise ToolError.of(
                "tool.declined", tool=run.tool.name, who="The caller", why="there was no clear yes"
            ) from error
        if not agrees:
            raise ToolError.of("tool.declined", tool=run.tool.name, who="The caller", why="they said no")


class _Place:
    """The floor, for one call of a tool."""

    def __init__(self, box: ToolBox, run: Run) -> None:
        self._box = box
        self._run = run

    @property
    def zone(self) -> tzinfo:
        return self._box.zone

    @property
    def spoken(self) -> bool:
        return self._box.agent.spoken

    async def put_question(self, question: Question[Any]) -> Any:
        if not self._box.asks:
            raise ToolError.of("tool.no-floor", tool=self._run.tool.name)
        return await self._box.questions.ask(self._run, question)

    def utter(self, text: str) -> None:
        if not self._run.alone:  # else the caller talks of something else by now
            self._box.agent.utter(text, meanwhile=True)


def _filled(question: str, values: Mapping[str, str]) -> str:
    """A question with the arguments in braces. A brace of another kind stays, and so does one in an argument."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), question)
