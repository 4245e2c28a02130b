"""Handoffs: to whom the caller can be given, what a policy decides about it, and the tool by which a model asks for it.

def policy(request: HandoffRequest) -> HandoffDecision:
    if request.target == "billing" and not request.call.data.get("verified"):
        return request.block("the caller must be verified first")
    return request.allow(metadata={"queue": "billing"})
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from ...errors import SquadError, ToolError
from ...tools.context import ToolContext
from ...tools.handoff import Handoff
from ...tools.tool import AnyTool
from .entries import HAND_OFF

if TYPE_CHECKING:
    from ...call import Call

__all__ = ["Destination", "HandoffDecision", "HandoffPolicy", "HandoffRequest", "HandoffTool", "allow"]

_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_Kind: TypeAlias = Literal["person", "queue", "number"]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a caller can be given to outside of the squad.

        Destination("front desk", "When the caller asks for a person.")
        Destination("warehouse", "Where a parcel is.", kind="number", number="+4930123456")

    name: how models, policies and events call it. description: for the models: what it is for.
    kind: a person, a queue, or a telephone number, which is given in E.164.
    say: what the caller hears before they are put through, unless the specialist has just told them.

    Raises `SquadError` (`squad.destination`, `squad.number`, `squad.say`).
    """

    name: str
    description: str = ""
    kind: _Kind = "person"
    number: str = ""
    say: str = "One moment please, I am putting you through."

    def __post_init__(self) -> None:
        if self.kind not in get_args(_Kind) or not self.name.strip():
            raise SquadError.of("squad.destination", kind=self.kind, name=self.name)
        if self.kind == "number" and not _E164.fullmatch(self.number):
            problem = "no number in E.164" if self.number else "no number at all"
            raise SquadError.of("squad.number", name=self.name, number=self.number, problem=problem)
        if self.kind != "number" and self.number:
            problem = f"for a destination of the kind number only; this is a {self.kind}"
            raise SquadError.of("squad.number", name=self.name, number=self.number, problem=problem)
        if not self.say.strip():
            raise SquadError.of("squad.say", name=self.name)


@dataclass(frozen=True, slots=True)
class HandoffDecision:
    """What a policy has decided. Made by the methods of `HandoffRequest`."""

    verdict: Literal["allow", "reroute", "block", "escalate"]
    target: str = ""
    reason: str = ""
    say: str = ""
    summary: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandoffRequest:
    """Somebody wants to give the caller away: what a policy decides about.

    source, target: names of specialists; the target may also be a `Destination`. turn: the caller's, None for none.
    """

    source: str
    target: str
    reason: str
    summary: str
    metadata: Mapping[str, Any]
    turn: int | None
    call: Call = field(repr=False)

    def allow(self, *, summary: str | None = None, metadata: Mapping[str, Any] | None = None) -> HandoffDecision:
        """It takes place. summary: in place of the one that was given; metadata: besides what was given."""
        return HandoffDecision("allow", self.target, summary=summary, metadata=metadata or {})

    def reroute(
        self, to: str, *, reason: str = "", summary: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> HandoffDecision:
        """The caller goes to another one than was asked for."""
        return HandoffDecision("reroute", to, reason, summary=summary, metadata=metadata or {})

    def block(self, reason: str, *, say: str = "") -> HandoffDecision:
        """It does not take place. reason: for the specialist, who goes on. say: what the caller hears of it."""
        return HandoffDecision("block", "", reason.rstrip(". "), say)

    def escalate(self, to: str, reason: str = "", *, metadata: Mapping[str, Any] | None = None) -> HandoffDecision:
        """The caller goes to somebody with more say than the one that was asked for: mostly to a `Destination`."""
        return HandoffDecision("escalate", to, reason, metadata=metadata or {})


HandoffPolicy: TypeAlias = Callable[[HandoffRequest], "HandoffDecision | Awaitable[HandoffDecision]"]


def allow(request: HandoffRequest) -> HandoffDecision:
    """The policy that allows every handoff."""
    return request.allow()


class HandoffTool(AnyTool):
    """What a specialist's model calls to give the caller away. targets: names with what they are for."""

    name = HAND_OFF
    side_effects = False
    on_duplicate = "allow"
    on_interrupt = "cancel"
    returns = Handoff

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = dict(targets)
        known = "".join(f"\n- {name}: {what}" if what else f"\n- {name}" for name, what in self._targets.items())
        self.description = (
            "Give the caller to another specialist, or to a person, who goes on with them at once. Call it when what "
            f"they want is not your business but that of one of these:{known}\n"
            "Do not announce it, and say nothing after it."
        )

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "target": {"type": "string", "enum": list(self._targets), "description": "who goes on"},
                "reason": {"type": "string", "description": "why, in a few words"},
                "summary": {
                    "type": "string",
                    "description": "what they must know: what the caller wants, what is known and what was done so far",
                },
            },
            "required": ["target", "reason", "summary"],
            "additionalProperties": False,
        }

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(arguments.get("target"), str):
            raise ToolError.of("tool.missing", tool=self.name, name="target")
        # A model that leaves out a summary, or adds something, is not sent round again: the caller waits.
        return {name: str(arguments.get(name) or "") for name in ("target", "reason", "summary")}

    async def attempt(self, context: ToolContext, bound: Mapping[str, Any]) -> Handoff:
        return Handoff(**bound)
