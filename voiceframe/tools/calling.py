"""A call of a tool in the name of a processor, so that the call's log has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..frames import ToolCallFrame, ToolResultFrame
from .context import Floor, ToolContext, ToolResult
from .tool import AnyTool
from .values import hidden, masked, plain, without_secrets

if TYPE_CHECKING:
    from ..processor import Processor

__all__ = ["call_tool"]


async def call_tool(
    processor: Processor,
    tool: AnyTool,
    arguments: Mapping[str, Any],
    call_id: str,
    *,
    floor: Floor | None = None,
    judge: Callable[[ToolResult], Awaitable[tuple[ToolResult, Any]]] | None = None,
) -> ToolResult:
    """Call a tool in the name of a processor, so that the call's log has it: `tool.called`, `tool.returned`.

    Run it with `processor.spawn(...)`. What the tool raises is in the result; a cancellation passes.

    judge: what becomes of a result before anybody sees it, and of its value (as JSON has it) in the log.
    """
    processor.push(ToolCallFrame(call_id, tool.name, masked(arguments, tool.secret)))
    try:
        result = await tool.outcome(ToolContext(processor.call, call_id, floor=floor), arguments)
        shown: Any = ...
        if judge is not None:
            result, shown = await judge(result)
    except asyncio.CancelledError:
        processor.push(ToolResultFrame(call_id, error="cancelled"))
        raise
    if result.error is not None:
        processor.push(ToolResultFrame(call_id, error=without_secrets(str(result.error), arguments, tool.secret)))
    else:
        value = hidden(plain(result.value), arguments, tool.secret) if shown is ... else shown
        processor.push(ToolResultFrame(call_id, value))
    return result
