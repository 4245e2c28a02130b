"""The tools of an auditor: its own, whose results are for it alone, and those by which it gives its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar, cast

from ...errors import AuditorError, ToolError
from ...events import AuditorToolCalled, AuditorToolReturned, Event
from ...frames import Frame, ToolCallFrame, ToolResultFrame
from ...llm import ToolCall, ToolSpec
from ...tools.context import ToolContext
from ...tools.tool import AnyTool, Tool
from ...tools.values import plain
from .context import Called
from .runs import Run
from .servers import Servers
from .toolbox import ToolBox

if TYPE_CHECKING:
    from ...call import Call
    from ...tools.mcp import MCPServer
    from .agent import Agent
    from .auditor import Auditor
    from .settings import AgentSettings

__all__ = ["Desk", "Judge", "Verdict"]

T = TypeVar("T")

#: The length of what the agent is told, in characters.
_MOST_CHARS: Final = 2_000

Verdict = Literal["correction", "complete", "abort"]

_VERDICTS: Final[tuple[Verdict, ...]] = ("correction", "complete", "abort")


class Judge(Protocol):
    """Who takes a verdict."""

    def judge(self, verdict: Verdict, message: str) -> str:
        """Take it. Returns what the auditor is told."""


class Desk:
    """Calls tools in the name of an auditor. What they do is in the log as the auditor's; to the call's agent, and to
    the caller, nothing of it is known. It is the `Caller` and the `History` of its `ToolBox`."""

    def __init__(self, auditor: Auditor, settings: AgentSettings, zone: tzinfo, tools: Iterable[AnyTool]) -> None:
        self._auditor = auditor
        self.settings = settings
        self._results: dict[str, tuple[str, bool]] = {}
        self._ids: set[str] = set()
        self._servers: Servers | None = None
        self._open: set[str] = set()
        #: What came of the last round, also of one that was cancelled.
        self.done: list[tuple[ToolCall, str, bool]] = []
        self.box = ToolBox(self, self, zone, asks=False)
        self.box.add(_verdicts(auditor))
        self.add(tools)

    def add(self, tools: Iterable[AnyTool]) -> None:
        """Raises `AuditorError` (`auditor.tool-asks`), and what `ToolBox.add()` raises."""
        tools = list(tools)
        asking = [tool for tool in tools if getattr(tool, "confirm", False)]
        if asking:
            raise AuditorError.of("auditor.tool-asks", tool=asking[0].name)
        self.box.add(tools)

    def serve(self, servers: Sequence[MCPServer]) -> None:
        """Connect to MCP servers, in the background."""
        self._servers = Servers(cast("Agent", self), self.box, servers)
        self._servers.begin()

    async def ready(self) -> None:
        """Wait a moment for servers that are being connected."""
        if self._servers is not None:
            await self._servers.ready()

    async def end(self) -> None:
        if self._servers is not None:
            await self._servers.end()

    def specs(self) -> tuple[ToolSpec, ...]:
        return self.box.specs()

    async def run(self, calls: list[ToolCall]) -> list[tuple[ToolCall, str, bool]]:
        """Call tools side by side: each call, with an id that no other has, its result, and whether it failed.

        One that is cancelled leaves results behind too, so that the model can be told of each.
        """
        made: list[Called] = []
        runs: list[Run] = []
        for call in calls:
            called = self.box.called(call, made)
            made.append(called)
            self._ids.add(called.id)
            runs.append(self.box.start(called, call.error))
        try:
            await self.box.together(runs)
        finally:
            told = [self._results.get(called.id, ("(It was stopped.)", True)) for called in made]
            asked = [
                ToolCall(called.id, call.name, plain(dict(call.arguments)), opaque=call.opaque)
                for called, call in zip(made, calls, strict=True)
            ]
            self.done = [(call, text, failed) for call, (text, failed) in zip(asked, told, strict=True)]
        return self.done

    # -- as the caller of tools

    @property
    def name(self) -> str:
        return self._auditor.name

    @property
    def call(self) -> Call:
        return self._auditor.call

    @property
    def spoken(self) -> bool:
        return False

    def utter(self, text: str, *, meanwhile: bool = False, filler: bool = False) -> None:
        """Nobody hears an auditor: a filler is dropped, and a tool that wants to say something is told so."""
        if not filler:
            raise ToolError.of("tool.no-floor", tool="This tool")

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None, lasting: bool = False) -> asyncio.Task[T]:
        return self._auditor.spawn(coro, name=name, lasting=lasting)

    def push(self, frame: Frame, *, upstream: bool = False) -> None:
        """What would go through the pipeline stays here, as events. A verdict has one of its own."""
        if isinstance(frame, ToolCallFrame) and frame.name not in _VERDICTS:
            self.emit(
                AuditorToolCalled(
                    auditor=self.name,
                    look=self._auditor.looks,
                    call_id=frame.call_id,
                    name=frame.name,
                    arguments=plain(dict(frame.arguments)),
                )
            )
            self._open.add(frame.call_id)
        elif isinstance(frame, ToolResultFrame) and frame.call_id in self._open:
            self._open.discard(frame.call_id)
            self.emit(
                AuditorToolReturned(
                    auditor=self.name,
                    call_id=frame.call_id,
                    failed=frame.error is not None,
                    error=frame.error,
                    result=plain(frame.result),
                )
            )

    def fail(self, error: Exception) -> None:
        self._auditor.fail(error)

    def emit(self, event: Event) -> None:
        self._auditor.emit(event)

    # -- as the history of their results

    def ids(self) -> set[str]:
        return set(self._ids)

    def result(self, called: Called, text: str, *, failed: bool = False) -> None:
        most = self.settings.result_chars
        if len(text) > most:
            text = f"{text[:most]} (cut: {len(text)} characters)"
        self._results[called.id] = (text.strip() or "Done.", failed)


def _verdicts(judge: Judge) -> list[AnyTool]:
    def given(ctx: ToolContext, verdict: Verdict, message: str) -> str:
        if not message.strip() and verdict != "complete":
            ctx.refuse("the message is empty")
        if len(message) > _MOST_CHARS:
            ctx.refuse(f"the message has {len(message)} characters, and {_MOST_CHARS} are the most")
        return judge.judge(verdict, " ".join(message.split()))

    async def correction(ctx: ToolContext, message: str) -> str:
        """Have the agent put something right, in its own words and its own voice. A newer correction takes the place of
        one that the agent has not been told yet.

        message: what is wrong and what is right, in a sentence or two, for the agent.
        """
        return given(ctx, "correction", message)

    async def complete(ctx: ToolContext, message: str = "") -> str:
        """Say that everything which the call is for is there: the agent may close it. You will not look again.

        message: what the agent should know besides.
        """
        return given(ctx, "complete", message)

    async def abort(ctx: ToolContext, message: str) -> str:
        """End the call. Only for what must not go on; you will not look again.

        message: the last sentence that the caller hears, word by word.
        """
        return given(ctx, "abort", message)

    return [Tool(fn, side_effects=False, on_duplicate="allow", retries=0) for fn in (correction, complete, abort)]
