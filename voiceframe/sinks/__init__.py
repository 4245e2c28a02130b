"""Sinks: where events go.

A sink is plain and blocking: it keeps a batch or raises. A `SinkFeed` stands between it and the calls of the process,
so that a slow, full or broken sink never delays a frame.
"""

from .base import Sink, as_feed
from .feed import SinkFeed
from .jsonl import JSONLSink
from .memory import MemorySink
from .sqlite import SQLiteSink

__all__ = ["JSONLSink", "MemorySink", "SQLiteSink", "Sink", "SinkFeed", "as_feed"]
