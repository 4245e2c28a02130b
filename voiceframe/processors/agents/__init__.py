"""Processors that answer."""

from .agent import Agent
from .approvals import Approval
from .greeting import Generated
from .settings import AgentSettings

__all__ = ["Agent", "AgentSettings", "Approval", "Generated"]
