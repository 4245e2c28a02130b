"""Processors that answer."""

from .agent import Agent
from .greeting import Generated
from .settings import AgentSettings
from .toolbox import Approval

__all__ = ["Agent", "AgentSettings", "Approval", "Generated"]
