"""What a record of a call is made of: lines, calls of tools, handoffs, rulings of guardrails, and sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from ..audio import AudioFormat

__all__ = ["Audible", "HandedOff", "Line", "Ruling", "ToolUse"]

#: Who a line of a transcript is from. `tool` is what the bot has called, `result` what came back.
Who = Literal["caller", "bot", "tool", "result", "handoff"]


@dataclass(frozen=True)
class Line:
    """One line of a transcript. `text` is None where what was said is not kept (in private, or erased).

    at_ms: when it began. began, ended: its place among the events of the call; a reply is heard over some of them.
    """

    who: Who
    text: str | None
    at_ms: int = 0
    turn: int | None = None
    began: int = 0
    ended: int = 0


@dataclass(frozen=True)
class ToolUse:
    """A call of a tool. `arguments` are None where they are not kept; `failed` is None while nothing has come back."""

    name: str
    arguments: Mapping[str, Any] | None
    call_id: str
    at_ms: int
    place: int
    failed: bool | None = None
    result: Any = None
    error: str | None = None
    returned_ms: int | None = None
    returned_place: int = -1


@dataclass(frozen=True)
class HandedOff:
    """A handoff: to another agent, or (`requested`) to a person, a queue or a number outside of the bot.

    target: where the caller went, empty for nowhere. asked: where somebody wanted them to go; another one if it was
    rerouted. status: what became of it: `allowed`, `rerouted`, `blocked`, `escalated`, `unknown-target`,
    `max-exceeded`; what is asked of the outside is `requested`. reason and summary are None where they are not kept.
    """

    target: str
    asked: str
    status: str
    at_ms: int
    place: int
    source: str = ""
    why: str = ""
    number: str = ""
    reason: str | None = None
    summary: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the caller went on with the target, or is to."""
        return self.status in _DONE

    def fits(self, target: str, status: str | None) -> bool:
        """Whether this is a handoff to `target`, by name or number, that was done; or that has this status."""
        if status is None:
            return self.done and target in (self.target, self.number)
        return status == self.status and target in (self.target, self.asked, self.number)


#: Handoffs that have happened.
_DONE = frozenset({"allowed", "rerouted", "escalated", "requested"})


@dataclass(frozen=True)
class Ruling:
    """What a rule of a guardrail has found. action: what the rule asks for; done: what was done, of all rules'."""

    stage: str
    rule: str
    action: str
    done: str
    at_ms: int
    place: int
    turn: int | None = None
    subject: str = ""
    outcome: str = "found"

    @property
    def blocked(self) -> bool:
        """Whether the rule has stopped something, be it by giving the caller to somebody else."""
        return self.action in _STOPS and self.done in _STOPS

    def fits(self, rule: str | None, stage: str | None) -> bool:
        """Whether it is by this rule and at this stage; None is any."""
        return rule in (None, self.rule) and stage in (None, self.stage)

    def __str__(self) -> str:
        return f"{self.done} by {self.rule} at {self.stage}, {self.at_ms} ms"


#: What lets nothing pass.
_STOPS = frozenset({"block", "escalate"})


class Audible(Protocol):
    """Both sides of a call as sound: a caller over audio. Times in the call's milliseconds."""

    @property
    def format(self) -> AudioFormat:
        """Of which the rate counts."""

    @property
    def began_ms(self) -> float:
        """When the recording begins."""

    @property
    def recording(self) -> bytes:
        """Interleaved stereo s16le: left the caller, right the bot."""

    @property
    def bot_spoke(self) -> list[tuple[float, float]]:
        """When the bot was to be heard."""

    @property
    def spoke(self) -> list[tuple[float, float]]:
        """When the caller spoke."""
