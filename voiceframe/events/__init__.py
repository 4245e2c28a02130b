"""Events: immutable facts about a call, kept.

A kind of event is a small class of the vocabulary (`vocabulary.py`); writing one to the call's `EventLog` makes a
`LoggedEvent`, which says who wrote it, when and about which turn, and is what sinks, stores and checks work with.

    log.write(TurnCommitted(turn=1, source="speech", confidence=0.98, text="I need an appointment"), turn=1)

The vocabulary is closed and versioned, but for `custom.*`, which applications register:

    @event("custom.triage", version=1)
    class Triage(Event):
        level: int
        symptom: Personal[str]
"""

from .base import Event, Personal, event, event_class, event_classes
from .log import Clock, Environment, EventLog, Feed, LoggedEvent, new_trace
from .schema import json_schema
from .vocabulary import (
    AuditAction,
    CallAnswered,
    CallEnded,
    CallEndLapsed,
    CallRejected,
    CallStarted,
    ConnectionAttached,
    ConnectionLost,
    DTMFReceived,
    Interruption,
    LegClosed,
    LegOpened,
    MessageReceived,
    Pause,
    ProcessorAbandoned,
    ProcessorBlocked,
    ProcessorFailed,
    ProcessorOverflow,
    ProcessorReplaced,
    ProcessorSwallows,
    ReplyEnded,
    ReplyHeard,
    ReplyStarted,
    Resume,
    SettingsChanged,
    SinkLost,
    ToolCalled,
    ToolReturned,
    TurnAnswered,
    TurnCommitted,
    TurnLatency,
    TurnSkipped,
    TurnUnanswered,
)

__all__ = [
    "AuditAction",
    "CallAnswered",
    "CallEndLapsed",
    "CallEnded",
    "CallRejected",
    "CallStarted",
    "Clock",
    "ConnectionAttached",
    "ConnectionLost",
    "DTMFReceived",
    "Environment",
    "Event",
    "EventLog",
    "Feed",
    "Interruption",
    "LegClosed",
    "LegOpened",
    "LoggedEvent",
    "MessageReceived",
    "Pause",
    "Personal",
    "ProcessorAbandoned",
    "ProcessorBlocked",
    "ProcessorFailed",
    "ProcessorOverflow",
    "ProcessorReplaced",
    "ProcessorSwallows",
    "ReplyEnded",
    "ReplyHeard",
    "ReplyStarted",
    "Resume",
    "SettingsChanged",
    "SinkLost",
    "ToolCalled",
    "ToolReturned",
    "TurnAnswered",
    "TurnCommitted",
    "TurnLatency",
    "TurnSkipped",
    "TurnUnanswered",
    "event",
    "event_class",
    "event_classes",
    "json_schema",
    "new_trace",
]
