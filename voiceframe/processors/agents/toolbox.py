"""The tools of an agent in a call: duplicates, agreement, fillers, interruptions, and questions to the caller.

called ──▶ duplicate? ──▶ agreed? ──▶ running ──▶ its result is in the context
              │ rejected     │ declined   │ interrupted: finished, or cancelled
              └──────────────┴────────────┴──▶ so is why there is none
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError, ToolError
from ...events import AuditAction
from ...flow.template import say_value
from ...frames import ExpectFrame, ToolCallFrame, ToolResultFrame, UserTurnFrame
from ...llm import ToolCall, ToolSpec
from ...tools.asking import Agree, Question
from ...tools.calling import call_tool
from ...tools.context import ToolResult
from ...tools.tool import AnyTool
from ...tools.values import as_text, masked, plain, without_secrets
from .context import Called, Conversation

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Approval", "Run", "ToolBox"]


@dataclass(frozen=True, slots=True)
class Approval:
    """A call of a tool that waits for a person. Secret arguments are hidden."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Run:
    """One call of a tool."""

    called: Called
    tool: AnyTool
    done: asyncio.Future[ToolResult]
    key: str = ""
    began_s: float = 0.0
    ended_s: float = 0.0
    task: asyncio.Task[None] | None = None  # decides whether it may run
    work: asyncio.Task[ToolResult] | None = None  # runs it
    asking: bool = False  # it waits for the caller
    filler: bool = False  # whether that was said
    why: str = ""  # why it was cancelled
    alone: bool = False  # nobody waits for it any more
    replaced: bool = False


@dataclass(slots=True, eq=False)
class _Asked:
    """A question that the caller is to answer."""

    question: Question[Any]
    answer: asyncio.Future[None]
    #: Whether it was said.
    said: bool = False


@dataclass(slots=True, eq=False)
class _Wish:
    """A call that waits for an operator."""

    approval: Approval
    decided: asyncio.Future[tuple[bool, str, str]]


@dataclass(slots=True)
class ToolBox:
    """The tools, and what is going on with them. It is the `Floor` of the agent's tools."""

    agent: Agent
    conversation: Conversation
    zone: tzinfo
    tools: dict[str, AnyTool] = field(default_factory=dict)
    #: Those that run, or wait for leave to.
    open: list[Run] = field(default_factory=list)
    #: Those that later ones may be duplicates of.
    runs: list[Run] = field(default_factory=list)
    asked: list[_Asked] = field(default_factory=list)
    wishes: dict[str, _Wish] = field(default_factory=dict)
    #: Called when a question is to be said.
    on_question: Callable[[], None] = lambda: None
    _numbers: int = 0

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
        return Called(id, call.name, dict(call.arguments), opaque=call.opaque)

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
            run = Run(called, found or _Nothing(), done)
            self._refuse(run, problem, called.arguments if found is None else {})
            return run
        run = Run(called, found, done, began_s=asyncio.get_running_loop().time())
        self.open.append(run)
        run.task = agent.spawn(self._decide(run), name=f"{called.name} {called.id}", lasting=True)
        run.task.add_done_callback(lambda task: None if run.work is not None else self._stopped(run))
        return run

    async def _decide(self, run: Run) -> None:
        """Find out whether it may run, and run it."""
        tool, arguments = run.tool, run.called.arguments
        try:
            bound = tool.bind(arguments)
            run.key = f"{tool.name} {json.dumps(plain(bound), sort_keys=True, default=str)}"
            again = await self._duplicate(run)
            self.runs.append(run)
            await self._agreed(run, bound, again)
        except ToolError as error:
            self._refuse(run, error, arguments)
            return
        # What has begun and has side effects is finished, also by a call that ends.
        finishes = tool.side_effects and tool.on_interrupt == "finish"
        run.work = self.agent.spawn(self._work(run), name=f"{tool.name} {run.called.id} runs", lasting=not finishes)
        run.work.add_done_callback(lambda task: self._stopped(run))

    def _stopped(self, run: Run) -> None:
        """Nothing of it runs any more. What was cancelled before it began has said nothing."""
        if not run.done.done():
            self._refuse(run, self._cancelled(run), run.called.arguments)

    async def _work(self, run: Run) -> ToolResult:
        try:
            result = await call_tool(self.agent, run.tool, run.called.arguments, run.called.id, floor=_Place(self, run))
        except asyncio.CancelledError:
            self._keep(run, ToolResult(error=self._cancelled(run)))
            raise
        self._keep(run, result)
        return result

    def _cancelled(self, run: Run) -> ToolError:
        if run.replaced:
            return ToolError.of("tool.replaced", tool=run.tool.name)
        return ToolError.of("tool.cancelled", tool=run.tool.name, why=run.why or "the call has ended")

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
            self.conversation.result(run.called, as_text(result.value, run.tool.returns))
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
        if run.done.done() or begun or run.called.id in self.wishes:
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
        self.runs = [r for r in self.runs if not r.done.done() or now - r.ended_s < within_s]
        others = [r for r in self.runs if r.key == run.key and not (r.done.done() and r.done.result().error)]
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
            await self._approved(run)
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

    async def _approved(self, run: Run) -> None:
        waited_ms = self.agent.settings.approval_ms
        approval = Approval(run.called.id, run.tool.name, masked(run.called.arguments, run.tool.secret))
        wish = _Wish(approval, asyncio.get_running_loop().create_future())
        self.wishes[run.called.id] = wish
        self._audit("agent", run, "asked", approval.arguments)
        try:
            async with asyncio.timeout(waited_ms / 1000):
                agrees, by, reason = await wish.decided
        except TimeoutError:
            self._audit("engine", run, "failed", {"waited_ms": waited_ms})
            raise ToolError.of("tool.unapproved", tool=run.tool.name, waited_ms=waited_ms) from None
        finally:
            self.wishes.pop(run.called.id, None)
        self._audit(by, run, "done" if agrees else "refused", {"reason": reason} if reason else {})
        if not agrees:
            raise ToolError.of(
                "tool.declined", tool=run.tool.name, who="The operator", why=reason.rstrip(".") or "no reason was given"
            )

    def _audit(self, actor: str, run: Run, outcome: Any, detail: Mapping[str, Any]) -> None:
        self.agent.emit(
            AuditAction(
                actor=actor,
                action="tool.approve",
                target=f"{run.tool.name} {run.called.id}",
                outcome=outcome,
                detail=dict(detail),
            )
        )

    def decide(self, call_id: str, agrees: bool, by: str, reason: str) -> bool:
        """What an operator has decided. Whether anybody waited for it."""
        wish = self.wishes.get(call_id)
        if wish is None or wish.decided.done():
            return False
        wish.decided.set_result((agrees, by, reason))
        return True

    # -- questions

    @property
    def question(self) -> Question[Any] | None:
        """What the caller's turns go to now."""
        return self.asked[0].question if self.asked else None

    @property
    def waits(self) -> bool:
        """Whether a question was said and the caller is to answer it."""
        return bool(self.asked) and self.asked[0].said and not self.asked[0].question.done

    async def ask(self, run: Run, question: Question[Any]) -> Any:
        """Put a question behind those that are asked already, and wait for the answer."""
        if run.alone:  # the caller talks of something else by now
            raise self._cancelled(run)
        asked = _Asked(question, asyncio.get_running_loop().create_future())
        self.asked.append(asked)
        run.asking = True
        try:
            if self.asked[0] is asked:
                self._begin(asked)
            await asked.answer
        finally:
            run.asking = False
            first = self.asked[0] is asked
            self.asked.remove(asked)
            if first and self.asked:
                self._begin(self.asked[0])
            elif first and not self.agent.call.engine.finished:
                self.agent.push(ExpectFrame(), upstream=True)
        if question.failure:
            raise question.error(run.tool.name)
        return question.value

    def _begin(self, asked: _Asked) -> None:
        asked.question.begin(self.agent.call, self.zone)
        self._after(asked)

    def _after(self, asked: _Asked) -> None:
        for event in asked.question.events:
            self.agent.emit(event)
        asked.question.events.clear()
        if asked.question.done:
            if not asked.answer.done():
                asked.answer.set_result(None)
        else:
            asked.said = False
            self.agent.push(asked.question.expectation, upstream=True)
            self.on_question()

    def say_question(self) -> str:
        """The words of the question that is to be said now, if there are any."""
        if not self.asked:
            return ""
        self.asked[0].said = True
        return self.asked[0].question.take()

    def hear(self, turn: UserTurnFrame) -> None:
        """The caller answers the question, if they have heard it."""
        if self.waits:
            self.asked[0].question.hear(turn)
            self._after(self.asked[0])

    def silence(self) -> None:
        if self.waits:
            self.asked[0].question.silence()
            self._after(self.asked[0])


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
        return await self._box.ask(self._run, question)

    def utter(self, text: str) -> None:
        self._box.agent.utter(text, meanwhile=True)


class _Nothing(AnyTool):
    """Stands for a tool that there is not."""

    def schema(self) -> dict[str, Any]:
        return {}

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def attempt(self, context: Any, bound: Mapping[str, Any]) -> Any:
        return None


def _filled(question: str, values: Mapping[str, str]) -> str:
    """A question with the arguments in braces. A brace of another kind stays."""
    for name, value in values.items():
        question = question.replace(f"{{{name}}}", value)
    return question
