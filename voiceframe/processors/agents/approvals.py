"""Calls of tools that wait for an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ToolError
from ...events import AuditAction
from ...tools.values import masked
from .runs import Caller, Run

__all__ = ["Approval", "Approvals"]


@dataclass(frozen=True, slots=True)
class Approval:
    """A call of a tool that waits for a person. Secret arguments are hidden."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Wish:
    """A call that waits for an operator."""

    approval: Approval
    decided: asyncio.Future[tuple[bool, str, str]]


class Approvals:
    """Those of one call, by the id of the call of the tool."""

    def __init__(self, agent: Caller) -> None:
        self._agent = agent
        self.wishes: dict[str, Wish] = {}

    async def asked(self, run: Run, waited_ms: int) -> None:
        """Wait until an operator agrees. Raises `ToolError` if they do not."""
        approval = Approval(run.called.id, run.tool.name, masked(run.called.arguments, run.tool.secret))
        wish = Wish(approval, asyncio.get_running_loop().create_future())
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
        self._agent.emit(
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
