"""Tools with which a model remembers things of the caller, when its owner lets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import AssistantError
from ..tools.context import ToolContext
from ..tools.tool import AnyTool, tool

if TYPE_CHECKING:
    from .memory import Memory

__all__ = ["memory_tools"]


def memory_tools(memory: Memory) -> tuple[AnyTool, ...]:
    """`remember`, `recall` and `forget`, for the memory of whoever speaks. Give them to an agent:

        Agent("clinic", ..., tools=[book, *memory_tools(memory)])

    Without a verified caller they tell the model so. What the caller says may be remembered word by word: what is read
    again is information for the model, and never instructions.
    """

    @tool(timeout_ms=memory.write_ms + memory.open_ms, on_duplicate="allow")
    async def remember(ctx: ToolContext, topic: str, fact: str) -> str:
        """Keep something that the caller wants known in later calls. It takes the place of what this topic had.

        topic: a short word for it, such as preferred_doctor.
        fact: what is to be known, in a few words.
        """
        try:
            await memory.of(ctx.call).set(topic, fact)
        except AssistantError as error:
            ctx.refuse(_why(error))
        return "It will be known in later calls."

    @tool(timeout_ms=memory.write_ms + memory.open_ms, side_effects=False, retries=0)
    async def recall(ctx: ToolContext) -> dict[str, Any] | str:
        """Read all that is remembered of the caller from earlier calls."""
        mine = memory.of(ctx.call)
        found = await mine.all()
        if mine.state != "open":
            return "Nothing can be read: it is not known who the caller is, or the memory does not answer."
        return found or "Nothing is remembered of this caller."

    @tool(timeout_ms=2 * memory.write_ms + memory.open_ms, on_duplicate="allow")
    async def forget(ctx: ToolContext, topic: str = "") -> str:
        """Forget something, or all, that is remembered of the caller, because they ask for it.

        topic: what to forget; left out for all.
        """
        mine = memory.of(ctx.call)
        try:
            if topic:
                return "It is forgotten." if await mine.delete(topic) else "Nothing of that topic was remembered."
            count = await mine.erase()
        except AssistantError as error:
            ctx.refuse(_why(error))
        return f"All is forgotten ({count} entries)." if count else "Nothing was remembered."

    return remember, recall, forget


def _why(error: AssistantError) -> str:
    """What a model can make use of; how to mend the program is none of its business."""
    if error.code == "memory.closed":
        return "It is not known who the caller is, so nothing can be remembered of them."
    if error.code in ("memory.failed", "memory.identity", "memory.erase"):
        return "The memory does not answer now."
    return error.message
