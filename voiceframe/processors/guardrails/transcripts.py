"""The guardrail before turn taking: the caller's words, before anybody keeps them."""

from __future__ import annotations

from typing import TypeVar

from ...frames import (
    Alternative,
    Frame,
    InterimTranscriptionFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    TranscriptionFrame,
    UserTurnFrame,
)
from ...guardrails.decisions import Decision, Finding, Hit
from ...guardrails.policy import Policy
from ...guardrails.rules import Text
from ...processor import Processor, handles
from .record import record

__all__ = ["TranscriptGuard", "redacted_alternatives"]

#: Words that belong to the same turn come within this of each other.
_TOGETHER_MS = 8_000
_MEMORY = 300  # characters of what was said before

Words = TypeVar("Words", bound="InterimTranscriptionFrame | TranscriptionFrame | STTEagerTurnFrame | STTTurnEndedFrame")


class TranscriptGuard(Processor):
    """Redacts and replaces in the caller's words before turn taking sees them, so that no event has what it takes out.
    Made by `Guardrail.transcripts()`; it stands behind the recognizer.

    What blocks acts on a turn and not on words: that is the affair of the guardrail behind turn taking. A number that
    comes in several pieces is known with the piece that completes it: that one is redacted, and what was said before is
    already told; the guardrail behind turn taking takes all of it out of the turn.
    """

    def __init__(self, policy: Policy, *, excerpts: bool = False) -> None:
        self._policy = policy
        self._excerpts = excerpts
        self._said = ""
        self._said_ms = 0

    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> Frame:
        now = self.call.clock.at_ms()
        decision = self._judged(frame.text, now)
        if self.call.log.private:
            return frame
        self._said = f"{self._said} {frame.text}"[-_MEMORY:]
        self._said_ms = now
        if decision.hits:
            record(self, decision, excerpts=self._excerpts)
        if decision.text == frame.text:
            return self._without_alternatives(frame)
        return frame.replace(text=decision.text, words=(), alternatives=(), heard="")

    @handles(InterimTranscriptionFrame, STTEagerTurnFrame, STTTurnEndedFrame)
    def on_other_words(self, frame: InterimTranscriptionFrame | STTEagerTurnFrame | STTTurnEndedFrame) -> Frame:
        decision = self._judged(frame.text, self.call.clock.at_ms())
        if isinstance(frame, STTTurnEndedFrame):
            self._said = ""
        return frame if decision.text == frame.text else frame.replace(text=decision.text)

    def _judged(self, text: str, now: int) -> Decision:
        if not text.strip() or self.call.log.private:  # see `Guardrail`: it is for whoever asks, and kept nowhere
            return Decision("transcript", "allow", text)
        if now - self._said_ms > _TOGETHER_MS:
            self._said = ""
        before = f"{self._said} " if self._said else ""
        hits = [
            hit
            for hit in (
                *(behind(hit, len(before)) for hit in self._policy.scan("transcript", Text(before + text)).hits),
                *self._policy.by_sentence("transcript", text),
            )
            if hit is not None and hit.action in ("warn", "redact", "replace")
        ]
        return self._policy.decide("transcript", text, hits)

    def _without_alternatives(self, frame: TranscriptionFrame) -> Frame:
        kept = redacted_alternatives(self._policy, frame.alternatives)
        return frame if len(kept) == len(frame.alternatives) else frame.replace(alternatives=kept)


def behind(hit: Hit, at: int) -> Hit | None:
    """What of a hit lies behind a place, counted from there."""
    if not hit.findings:
        return hit
    inside = tuple(
        Finding(max(0, finding.start - at), finding.end - at, finding.label)
        for finding in hit.findings
        if finding.end > at
    )
    return Hit(hit.rule, hit.action, inside, hit.outcome, hit.reason) if inside else None


def redacted_alternatives(policy: Policy, alternatives: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
    """Those in which nothing is found."""
    if not alternatives:
        return alternatives
    return tuple(each for each in alternatives if not policy.scan("transcript", Text(each.text)).hits)


def redacted_turn(frame: UserTurnFrame, decision: Decision, policy: Policy) -> UserTurnFrame:
    """The turn as the agent may have it."""
    kept = redacted_alternatives(policy, frame.alternatives)
    if decision.text == frame.text and len(kept) == len(frame.alternatives):
        return frame
    return frame.replace(text=decision.text, alternatives=kept if decision.text == frame.text else ())
