"""What a sink is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ..events import Feed, LoggedEvent

__all__ = ["Sink", "as_feed"]


@runtime_checkable
class Sink(Protocol):
    """A place that keeps events, called by one thread at a time and never by the event loop's."""

    @property
    def name(self) -> str:
        """What the sink is called in `sink.lost` and in the log: `jsonl`, `sqlite`."""

    def write(self, batch: Sequence[LoggedEvent], /) -> None:
        """Keeps the batch, all of it or nothing. May block. Whatever it raises, it is given the same batch again.

        A `TypeError` or `ValueError` means that an event of the batch can never be kept: each is then offered alone,
        and those refused again are counted as lost. Any other exception means "not now".
        """

    def close(self) -> None:
        """Lets go of files and sockets."""


def as_feed(sink: Sink) -> Feed:
    """What an `EventLog` needs to write to the sink: the sink itself if it is exact and inline, else a `SinkFeed`."""
    from .feed import SinkFeed

    return sink if isinstance(sink, Feed) else SinkFeed(sink)
