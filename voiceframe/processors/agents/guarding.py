"""What a guardrail makes of the tools of an agent: of what they are called with, and of what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import ToolBlocked, ToolError
from ...tools.context import ToolResult
from ...tools.handoff import Handoff
from ...tools.values import as_text, hidden, plain, without_secrets

if TYPE_CHECKING:
    from ..guardrails import AgentGuard
    from .runs import Run

__all__ = ["guard_of", "judged_arguments", "judged_result"]


def guard_of(agent: object) -> AgentGuard | None:
    """The guardrail of whoever calls tools, if there is one."""
    guard: AgentGuard | None = getattr(agent, "_guard", None)
    return guard


async def judged_arguments(guard: AgentGuard, run: Run) -> None:
    """Judge the arguments of a call before it is made: those that may not be are changed, in the context as well.

    Arguments that the tool declares secret are meant for it and kept nowhere: they are not judged.

    Raises `ToolBlocked`; then nothing of the arguments is kept.
    """
    called, secret = run.called, run.tool.secret
    asked = {name: plain(value) for name, value in called.arguments.items() if name not in secret}
    try:
        judged = await guard.tool_input(run.tool.name, asked)
    except ToolBlocked:
        called.arguments = {}
        raise
    # What was not changed stays the object that it is: an agent of one's own may call with a date.
    if judged != asked:
        kept = {name: value for name, value in called.arguments.items() if name in secret}
        same = {name: called.arguments[name] for name, value in judged.items() if asked.get(name, ...) == value}
        called.arguments = {**judged, **same, **kept}


async def judged_result(guard: AgentGuard, run: Run, result: ToolResult) -> tuple[ToolResult, Any]:
    """Judge a result before it enters the conversation: the result, and the value as the log may have it.

    What a program gets of it (`Agent.use()`) is the value as it is; what is changed is what a model and the log get.
    """
    tool, arguments = run.tool, run.called.arguments
    try:
        if result.error is not None:
            return replace(result, error=await _judged_error(guard, run, result.error)), None
        if isinstance(result.value, Handoff):
            shown = {"target": result.value.target} if guard.guards("handoff") else plain(result.value)
            return result, hidden(shown, arguments, tool.secret)
        value = hidden(plain(result.value), arguments, tool.secret)
        judged = await guard.tool_output(tool.name, value)
        if judged != value:
            run.text = as_text(_named(result.value, judged, run))
        return result, judged
    except ToolBlocked as error:
        return replace(result, value=None, error=error), None


async def _judged_error(guard: AgentGuard, run: Run, error: ToolError) -> ToolError:
    """What a tool says that it could not do may come from outside as well."""
    said = without_secrets(error.message, run.called.arguments, run.tool.secret)
    judged = await guard.tool_output(run.tool.name, said)
    return error if judged == said else ToolError(error.code, judged, error.fix)


def _named(value: Any, judged: Any, run: Run) -> Any:
    """With the name of its class, where a tool may return several."""
    text = as_text(value, run.tool.returns)
    named = text.startswith('{"result": ') and isinstance(judged, Mapping) and "result" not in judged
    return {"result": type(value).__name__, **judged} if named else judged
