"""The processors of a guardrail: before turn taking, before the agent and behind it."""

from .agents import AgentGuard
from .guardrail import Guardrail
from .output import OutputGuard
from .transcripts import TranscriptGuard

__all__ = ["AgentGuard", "Guardrail", "OutputGuard", "TranscriptGuard"]
