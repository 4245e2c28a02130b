"""Observers: what looks on and writes events. They belong in `Pipeline(..., observers=[...])`."""

from .audit import AuditObserver
from .latency import LatencyObserver
from .trace import TraceObserver

__all__ = ["AuditObserver", "LatencyObserver", "TraceObserver"]
