"""Assistants: an agent with experiments, memory, goals, and work after the call.

    clinic = Assistant(
        receptionist,                                     # def receptionist(call: Call) -> Agent
        experiments=[Experiment("greeting", [Variant("control"), Variant("warm", greeting="How lovely!")])],
        memory=Memory("sqlite:///voiceframe.db", verified=attested, ttl_ms=90 * DAY_MS),
        goals=[Goal("booked", tool="book")],
        after=[send_summary],
    )

`assistant_report(store)` says what came of it, by variant, with confidence intervals. See `docs/assistant.md`.
"""

from ..memories import InMemoryStore, MemoryEntry, MemoryStore
from .after import After
from .assistant import Assistant
from .caller_memory import CallerMemory
from .experiment import Experiment, Variant
from .finished import FinishedCall, ToolUse
from .goal import Goal, outcome_tool
from .memory import DAY_MS, Memory
from .memory_tools import memory_tools
from .report import assistant_report
from .runs import Run, runs_of
from .statistics import Interval

__all__ = [
    "DAY_MS",
    "After",
    "Assistant",
    "CallerMemory",
    "Experiment",
    "FinishedCall",
    "Goal",
    "InMemoryStore",
    "Interval",
    "Memory",
    "MemoryEntry",
    "MemoryStore",
    "Run",
    "ToolUse",
    "Variant",
    "assistant_report",
    "memory_tools",
    "outcome_tool",
    "runs_of",
]
