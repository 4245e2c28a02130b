"""Calls that are placed: what a carrier has to bring along for that, and a line in memory."""

from .dialler import Answer, Dialled, Dialler, DiallerSettings, Outcome, Outgoing, e164
from .loopback import LoopbackDialler

__all__ = ["Answer", "Dialled", "Dialler", "DiallerSettings", "LoopbackDialler", "Outcome", "Outgoing", "e164"]
