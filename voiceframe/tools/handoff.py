"""What a tool returns when somebody else is to go on with the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ToolError

__all__ = ["Handoff"]


@dataclass(frozen=True, slots=True)
class Handoff:
    """The result of a tool that gives the caller to another specialist of the squad, or to one of its destinations.

        @tool()
        async def find_customer(number: str) -> Customer | Handoff:
            ...
            return Handoff("fraud", reason="the account is blocked", metadata={"ticket": 17})

    target: the name of the specialist or of the `Destination`.
    reason: why, in a phrase. summary: what the target should know.
    metadata: for programs: it is in the event and in `call.data["squad"]`, and no model sees it.

    Raises `ToolError` (`tool.argument`) for a target that is no text.
    """

    target: str
    reason: str = ""
    summary: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.target, str):
            raise ToolError.of(
                "tool.argument",
                tool="Handoff",
                name="target",
                value=self.target,
                expected="the name of a specialist or a destination",
            )
