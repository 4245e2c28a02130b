"""What guardrails and the clocks of compliance have decided."""

from __future__ import annotations

from typing import Literal

from .base import Event, Personal, event

__all__ = ["ComplianceMet", "ComplianceMissed", "ComplianceOptedOut", "GuardrailDecided"]


@event("guardrail.decided", version=1)
class GuardrailDecided(Event):
    """A rule has found something, or could not judge; `action` is what it asks for, `done` what was done of all rules.

    `labels` say what was found, never the thing itself. `outcome`: the rule has `found` something, was out of its
    budget (`timeout`), or has `failed`. `subject` is the tool, the target of a handoff, or empty. `excerpt`, the text
    without what was found, is kept only if the guardrail says so.
    """

    stage: Literal["transcript", "model-input", "output", "tool-input", "tool-output", "handoff"]
    rule: str
    action: Literal["allow", "warn", "redact", "replace", "block", "escalate"]
    done: Literal["allow", "warn", "redact", "replace", "block", "escalate"]
    labels: tuple[str, ...] = ()
    outcome: Literal["found", "timeout", "failed"] = "found"
    reason: str = ""
    turn: int | None = None
    reply: int | None = None
    subject: str = ""
    took_us: int = 0
    excerpt: Personal[str] = ""


@event("compliance.met", version=1)
class ComplianceMet(Event):
    """The caller has heard what had to be said, `after_ms` after the answer of the call; `late` beyond `within_ms`."""

    clock: str
    after_ms: int
    within_ms: int
    late: bool = False


@event("compliance.missed", version=1)
class ComplianceMissed(Event):
    """The caller has not heard in time what had to be said; or the call has `ended` before the time was over."""

    clock: str
    within_ms: int
    ended: bool = False


@event("compliance.opted-out", version=1)
class ComplianceOptedOut(Event):
    """The caller does not want to be called any more. The call ends behind the sentence that says so."""

    turn: int
    source: Literal["speech", "dtmf", "text"]
