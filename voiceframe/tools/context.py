"""What a tool knows of the place where it was called, and what it can do there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from ..errors import ToolError

if TYPE_CHECKING:
    from ..call import Call
    from .asking import Question

__all__ = ["Floor", "ToolContext", "ToolResult", "now_ms"]

T = TypeVar("T")


class Floor(Protocol):
    """Who can ask the caller something while a tool waits: an agent."""

    @property
    def zone(self) -> tzinfo:
        """Where "tomorrow" begins."""

    @property
    def spoken(self) -> bool:
        """Whether the reply that is being made has words yet."""

    async def put_question(self, question: Question[Any]) -> Any:
        """Have the question asked, and return its answer. Raises `ToolError` (`tool.unanswered`) if there is none."""

    def utter(self, text: str) -> None:
        """Say something in the reply that is being made, or as one of its own."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool knows of where it was called: the call, and the id of this very call of the tool.

    `call_id` is the same when a call is tried again (`attempt` counts from 1): a booking keeps `idempotency_key`, which
    is no other call's on any day, so that it is made once.
    """

    call: Call
    call_id: str
    attempt: int = 1
    tool: str = ""
    floor: Floor | None = field(default=None, repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for each attempt at this call of the tool, and for nothing else."""
        return f"{self.call.id}:{self.call_id}"

    def refuse(self, reason: str) -> NoReturn:
        """Raise what the model is to know: "There is no free slot on that day." It is not tried again."""
        raise ToolError.of("tool.refused", tool=self.tool or "The tool", reason=reason.rstrip("."))

    def say(self, text: str) -> None:
        """Let the caller hear something while the tool works, unless they have interrupted. Without an agent it is said
        as a reply of its own."""
        if self.floor is not None:
            self.floor.utter(text)
        else:
            self.call.say(text)

    async def ask(self, question: Question[T]) -> T:
        """Ask the caller something, and return the answer. Their turns go to the question until it is answered.

        Raises `ToolError`: `tool.unanswered` if they do not say it, `tool.no-floor` where nobody can ask.
        """
        if self.floor is None:
            raise ToolError.of("tool.no-floor", tool=self.tool or "The tool")
        answer: T = await self.floor.put_question(question)
        return answer


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call of a tool: its value, or the error; how often it was tried, and how long that took."""

    value: Any = None
    error: ToolError | None = None
    attempts: int = 1
    elapsed_ms: int = 0


def now_ms() -> int:
    """The time of the loop, in milliseconds."""
    return round(asyncio.get_running_loop().time() * 1000)
