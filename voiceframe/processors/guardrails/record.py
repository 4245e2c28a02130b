"""What a decision leaves behind in the log, and whom it tells."""

from __future__ import annotations

from ...events import GuardrailDecided, HandoffRequested
from ...guardrails.decisions import Decision
from ...processor import Processor

__all__ = ["record"]


def record(
    owner: Processor,
    decision: Decision,
    *,
    turn: int | None = None,
    reply: int | None = None,
    subject: str = "",
    excerpts: bool = False,
) -> Decision:
    """Write the events of a decision: one for each rule that has found something, or could not judge.

    excerpts: keep the text without what was found, as a personal field. Returns the decision.
    """
    for hit in decision.hits:
        owner.emit(
            GuardrailDecided(
                stage=decision.stage,
                rule=hit.rule.name,
                action=hit.action,
                done=decision.action,
                labels=hit.labels,
                outcome=hit.outcome,
                reason=hit.reason,
                turn=turn,
                reply=reply,
                subject=subject,
                took_us=decision.took_us,
                excerpt=decision.excerpt if excerpts else "",
            )
        )
    if decision.action == "escalate":
        owner.emit(HandoffRequested(target=decision.target, reason=decision.reason))
    return decision
