"""What a guardrail decides: the stages of a call, the actions, and a decision with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from .rules import Rule

__all__ = ["ACTIONS", "STAGES", "Action", "Decision", "Finding", "Hit", "Outcome", "Stage"]

#: Where a text is judged: what the caller has said; what a model is asked; what the bot is about to say; what a tool is
#: called with, and what it returns; what is handed to another agent or a person.
Stage = Literal["transcript", "model-input", "output", "tool-input", "tool-output", "handoff"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

#: What is done, from the mildest: nothing; only an event; the findings are taken out; the whole text is replaced; it
#: goes no further, and a sentence is said instead; the same, and a person is to take over.
Action = Literal["allow", "warn", "redact", "replace", "block", "escalate"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

_RANK: Final[Mapping[Action, int]] = {action: rank for rank, action in enumerate(ACTIONS)}

#: How a rule has come to its verdict.
Outcome = Literal["found", "timeout", "failed"]


@dataclass(slots=True, frozen=True)
class Finding:
    """A place of a text, from `start` to before `end`, and what was found there: `"card"`."""

    start: int
    end: int
    label: str = ""


@dataclass(slots=True, frozen=True)
class Hit:
    """A rule that has found something, or could not judge: then `action` is what is done for that."""

    rule: Rule
    action: Action
    findings: tuple[Finding, ...] = ()
    outcome: Outcome = "found"
    reason: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """What was found, each once, in the order of the text."""
        return tuple(dict.fromkeys(finding.label for finding in self.findings if finding.label))


@dataclass(slots=True, frozen=True)
class Decision:
    """What becomes of a text.

    action: the most severe of all hits. text: what goes on; empty if nothing does. say: what is said instead of what
    was blocked. reason, target: of an escalation. took_us: what judging took.
    """

    stage: Stage
    action: Action
    text: str
    hits: tuple[Hit, ...] = ()
    say: str = ""
    reason: str = ""
    target: str = ""
    took_us: int = 0
    excerpt: str = field(default="", repr=False)

    @property
    def blocked(self) -> bool:
        """Whether nothing of the text goes on."""
        return _RANK[self.action] >= _RANK["block"]

    @property
    def rule(self) -> str:
        """The rule that has decided; empty if none has found anything."""
        return next((hit.rule.name for hit in self.hits if hit.action == self.action), "")

    @property
    def rules(self) -> tuple[str, ...]:
        """All rules that have found something, or could not judge."""
        return tuple(dict.fromkeys(hit.rule.name for hit in self.hits))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "stage": self.stage,
            "action": self.action,
            "text": self.text,
            "rule": self.rule,
            "say": self.say,
            "reason": self.reason,
            "target": self.target,
            "took_us": self.took_us,
            "hits": [
                {
                    "rule": hit.rule.name,
                    "action": hit.action,
                    "outcome": hit.outcome,
                    "reason": hit.reason,
                    "findings": [{"start": f.start, "end": f.end, "label": f.label} for f in hit.findings],
                }
                for hit in self.hits
            ],
        }


def decided(stage: Stage, text: str, hits: tuple[Hit, ...], say: str, took_us: int = 0) -> Decision:
    """The decision to which these hits lead. say: what is said where a rule that blocks says nothing itself."""
    if not hits:
        return Decision(stage, "allow", text, took_us=took_us)
    action = max((hit.action for hit in hits), key=_RANK.__getitem__)
    first = next(hit for hit in hits if hit.action == action)
    excerpt = masked(text, hits, all_of_them=True)
    if action in ("block", "escalate"):
        why = first.rule.reason or f"guardrail {first.rule.name}"
        reason, target = (why, first.rule.target) if action == "escalate" else ("", "")
        return Decision(stage, action, "", hits, first.rule.say or say, reason, target, took_us, excerpt)
    out = first.rule.replacement if action == "replace" else masked(text, hits)
    return Decision(stage, action, out, hits, took_us=took_us, excerpt=excerpt)


def masked(text: str, hits: tuple[Hit, ...], *, all_of_them: bool = False) -> str:
    """The text without what is to be redacted; overlapping findings are one. all_of_them: whatever the action is."""
    places = sorted(
        (finding.start, -finding.end, hit.rule.mask(finding))
        for hit in hits
        if all_of_them or hit.action == "redact"
        for finding in hit.findings
    )
    parts: list[str] = []
    at = 0
    for start, minus_end, mask in places:
        if start >= at:
            parts += (text[at:start], mask)
        at = max(at, -minus_end)
    return "".join(parts) + text[at:]
