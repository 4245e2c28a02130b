"""Guardrails: what may be heard, said, asked, called, returned and handed on, and what is done about what may not.

    guard = Guardrail(*SUPPORT_SAFE, *INJECTION, Words("Acme", action="replace", replacement="another company"))
    Pipeline([..., guard.transcripts(), Turns(), guard, Agent(..., guardrail=guard), guard.output(), voice, ...])

Rules find something in a text; a `Policy` asks those of a stage and comes to one `Decision`. The processors that stand
in a pipeline are in `voiceframe.processors.guardrails`. `docs/guardrails.md` has the whole of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compliance import Notice as Notice
    from .compliance import OptOut as OptOut
    from .contracts import GuardCase as GuardCase
    from .contracts import check_guardrail as check_guardrail
    from .decisions import ACTIONS as ACTIONS
    from .decisions import STAGES as STAGES
    from .decisions import Action as Action
    from .decisions import Decision as Decision
    from .decisions import Finding as Finding
    from .decisions import Hit as Hit
    from .decisions import Stage as Stage
    from .injection import Injection as Injection
    from .personal import PERSONAL_KINDS as PERSONAL_KINDS
    from .personal import PersonalData as PersonalData
    from .personal import PersonalKind as PersonalKind
    from .policy import OnTimeout as OnTimeout
    from .policy import Policy as Policy
    from .presets import COMPLIANCE as COMPLIANCE
    from .presets import INJECTION as INJECTION
    from .presets import PRESETS as PRESETS
    from .presets import SUPPORT_SAFE as SUPPORT_SAFE
    from .presidio import Analyzer as Analyzer
    from .presidio import AnalyzerResult as AnalyzerResult
    from .presidio import Presidio as Presidio
    from .rules import Pattern as Pattern
    from .rules import Rule as Rule
    from .rules import Scan as Scan
    from .rules import SlowRule as SlowRule
    from .rules import Text as Text
    from .rules import Words as Words
    from .rules import rule as rule
    from .topics import Topics as Topics

_HOMES = {
    "ACTIONS": "decisions",
    "Action": "decisions",
    "Analyzer": "presidio",
    "AnalyzerResult": "presidio",
    "COMPLIANCE": "presets",
    "Decision": "decisions",
    "Finding": "decisions",
    "GuardCase": "contracts",
    "Hit": "decisions",
    "INJECTION": "presets",
    "Injection": "injection",
    "Notice": "compliance",
    "OnTimeout": "policy",
    "OptOut": "compliance",
    "PERSONAL_KINDS": "personal",
    "PRESETS": "presets",
    "Pattern": "rules",
    "PersonalData": "personal",
    "PersonalKind": "personal",
    "Policy": "policy",
    "Presidio": "presidio",
    "Rule": "rules",
    "STAGES": "decisions",
    "SUPPORT_SAFE": "presets",
    "Scan": "rules",
    "SlowRule": "rules",
    "Stage": "decisions",
    "Text": "rules",
    "Topics": "topics",
    "Words": "rules",
    "check_guardrail": "contracts",
    "rule": "rules",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
