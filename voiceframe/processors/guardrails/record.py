"""What a decision leaves behind in the log, and whom it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...events import GuardrailDecided, HandoffRequested
from ...guardrails.decisions import Decision
from ...processor import Processor

if TYPE_CHECKING:
    from ...guardrails.policy import Policy, Transfer

__all__ = ["put_through", "record"]


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
        owner.emit(_request(decision))
    return decision


def put_through(owner: Processor, decision: Decision, policy: Policy) -> None:
    """If the decision is to escalate: give the caller to somebody else, once what is being said was heard."""
    if decision.action != "escalate" or owner.call.engine.ending:
        return
    if policy.transfer is None:
        owner.call.end("handed-over", after="heard")
    else:
        name = f"{owner.name} puts the caller through"
        owner.spawn(_transferred(owner, policy.transfer, _request(decision)), name=name, lasting=True)


async def _transferred(owner: Processor, transfer: Transfer, request: HandoffRequested) -> None:
    try:
        await transfer(owner.call, request)
    except Exception as error:
        owner.fail(error)


def _request(decision: Decision) -> HandoffRequested:
    return HandoffRequested(target=decision.target, reason=decision.reason)
