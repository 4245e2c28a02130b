"""Presets: rules that belong together, as tuples that may be extended: `Guardrail(*SUPPORT_SAFE, Words("..."))`.

Their patterns are English. They catch what is commonly said, not every way to say it; add what your callers and your
model say, and hold it with contracts (`check_guardrail`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .advice import FINANCIAL, GUARANTEE, LEGAL, MEDICAL
from .compliance import Notice, OptOut
from .injection import Injection
from .personal import PersonalData
from .rules import Pattern, Rule
from .sayings import said_any

__all__ = ["COMPLIANCE", "INJECTION", "PRESETS", "SUPPORT_SAFE"]

#: Against advice that a licence is needed for, and promises; card numbers stay out of records and of tools.
SUPPORT_SAFE: Final[tuple[Rule, ...]] = (
    Pattern(
        said_any(MEDICAL),
        name="medical-advice",
        say="I can't give medical advice. Please ask a doctor or a pharmacist about that.",
        reason="the caller wants medical advice",
    ),
    Pattern(
        said_any(LEGAL),
        name="legal-advice",
        say="I can't give legal advice. Please ask a lawyer about that.",
        reason="the caller wants legal advice",
    ),
    Pattern(
        said_any(FINANCIAL),
        name="financial-advice",
        say="I can't give financial advice. Please ask a licensed adviser about that.",
        reason="the caller wants financial advice",
    ),
    Pattern(
        said_any(GUARANTEE),
        name="guarantee",
        say="I can't promise that, but I can tell you what I know.",
        reason="the bot was about to promise something",
    ),
    PersonalData(
        "card",
        "card-like",
        "cvv",
        name="card-numbers",
        stages=("transcript", "model-input", "tool-input", "tool-output", "handoff", "output"),
        action="redact",
    ),
)

#: Against instructions that hide in what a caller says and in what tools return.
INJECTION: Final[tuple[Rule, ...]] = (
    Injection(
        name="injection-speech",
        stages=("transcript",),
        action="block",
        say="I can't change how I work. What can I do for you?",
    ),
    Injection(
        name="injection-data",
        stages=("tool-output", "handoff"),
        action="replace",
        replacement="[removed: this text held instructions, which data must not]",
    ),
)

#: What calls must keep to: the notice of a recording within 10 s, and no more calls to who does not want them.
COMPLIANCE: Final[tuple[Rule | Notice, ...]] = (
    OptOut(),
    Notice("recording-notice", "recorded", "being recorded", "record this call", "recording", within_ms=10_000),
)

#: The presets by the names that `voiceframe guard` knows.
PRESETS: Final[Mapping[str, tuple[Rule | Notice, ...]]] = {
    "support-safe": SUPPORT_SAFE,
    "injection": INJECTION,
    "compliance": COMPLIANCE,
}
