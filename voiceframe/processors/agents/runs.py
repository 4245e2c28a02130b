"""A call of a tool that is under way, and what the tools need of whoever calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ...call import Call
from ...errors import ToolError
from ...events import Event
from ...frames import Frame
from ...tools.context import ToolResult
from ...tools.tool import AnyTool
from .context import Called

if TYPE_CHECKING:
    from .saying import InHand

__all__ = ["Caller", "History", "Nothing", "Run"]

T = TypeVar("T")


class Limits(Protocol):
    """What the tools need of the settings."""

    @property
    def duplicate_ms(self) -> int:
        """Time for which a call of a tool with the same arguments is a duplicate."""

    @property
    def approval_ms(self) -> int:
        """Time in which an operator must approve a tool."""


class Caller(Protocol):
    """Who calls tools in a call: an agent, or a model that hears and speaks itself."""

    @property
    def name(self) -> str:
        """For events and errors."""

    @property
    def call(self) -> Call:
        """The call."""

    @property
    def settings(self) -> Limits:
        """How long things take."""

    @property
    def spoken(self) -> bool:
        """Whether the reply that is being made has words yet."""

    def utter(self, text: str, *, meanwhile: bool = False, filler: bool = False) -> None:
        """Say something. meanwhile: before the results of the tools. filler: it answers nothing."""

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None, lasting: bool = False) -> asyncio.Task[T]:
        """As of a processor."""

    def push(self, frame: Frame, *, upstream: bool = False) -> None:
        """As of a processor."""

    def emit(self, event: Event) -> None:
        """As of a processor."""


class History(Protocol):
    """Where the results of tools are kept."""

    def ids(self) -> set[str]:
        """The ids of all calls of tools."""

    def result(self, called: Called, text: str, *, failed: bool = False) -> None:
        """A tool has returned, whenever that is."""


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
    ends: bool = False  # nothing more is asked of the model that has called it
    said_in: InHand | None = None  # the reply in which that was said in its place
    text: str = ""  # what the model is told of its result, in place of that

    def over(self, reply: InHand | None) -> bool:
        """Whether nothing more is to be said in this reply by the model that has called it."""
        return self.ends and (self.said_in is None or reply is None or reply is self.said_in)

    def cancelled(self) -> ToolError:
        """What the model is told of one that was cancelled."""
        if self.replaced:
            return ToolError.of("tool.replaced", tool=self.tool.name)
        return ToolError.of("tool.cancelled", tool=self.tool.name, why=self.why or "the call has ended")


class Nothing(AnyTool):
    """Stands for a tool that there is not."""

    def schema(self) -> dict[str, Any]:
        return {}

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def attempt(self, context: Any, bound: Mapping[str, Any]) -> Any:
        return None
