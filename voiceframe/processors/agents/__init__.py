"""Processors that answer."""

from .agent import Agent
from .approvals import Approval
from .call_voice import CallVoice
from .classifiers import Classifier, Classify, GrammarClassifier, ModelClassifier, Routed, RouteRequest
from .contexts import ContextPolicy, HandoffContext, full_history, last_turns, summary_only
from .exchange import Transfer
from .greeting import Generated
from .handoffs import Destination, HandoffDecision, HandoffPolicy, HandoffRequest, allow
from .router import Router
from .rules import Rule
from .settings import AgentSettings, RouterSettings, SquadSettings
from .squad import Squad
from .squad_contracts import SquadTurn, check_squad

__all__ = [
    "Agent",
    "AgentSettings",
    "Approval",
    "CallVoice",
    "Classifier",
    "Classify",
    "ContextPolicy",
    "Destination",
    "Generated",
    "GrammarClassifier",
    "HandoffContext",
    "HandoffDecision",
    "HandoffPolicy",
    "HandoffRequest",
    "ModelClassifier",
    "RouteRequest",
    "Routed",
    "Router",
    "RouterSettings",
    "Rule",
    "Squad",
    "SquadSettings",
    "SquadTurn",
    "Transfer",
    "allow",
    "check_squad",
    "full_history",
    "last_turns",
    "summary_only",
]
