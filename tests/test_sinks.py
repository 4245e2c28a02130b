"""A sink keeps what it is given, in order; a slow, full or broken one never delays whoever writes an event."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from voiceframe.clock import run_virtual
from voiceframe.errors import StoreError
from voiceframe.events import CallAnswered, EventLog, Feed, LoggedEvent, SinkLost, TurnCommitted
from voiceframe.sinks import JSONLSink, MemorySink, SinkFeed, SQLiteSink, as_feed
from voiceframe.sinks.jsonl import read_jsonl
from voiceframe.store import open_store

#: What the package itself opens it closes, which Python can tell from 3.13 on.
pytestmark = pytest.mark.filterwarnings("error:unclosed database:ResourceWarning")


class _Clock:
    """A millisecond passes between two looks."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    def at_ms(self) -> int:
        return next(self._ticks)

    def wall_ms(self) -> int:
        return 1_767_225_600_000 + next(self._ticks)


def log_of(call: str, *sinks: Feed) -> EventLog:
    return EventLog(call, clock=_Clock(), rng=random.Random(call), sinks=sinks)


def events(count: int, call: str = "call-1") -> list[LoggedEvent]:
    """Events about the turns 0, 1, 2 …"""
    log = log_of(call)
    return [
        log.write(TurnCommitted(turn=turn, source="speech", confidence=1.0, text="good morning"))
        for turn in range(count)
    ]


def turns(kept: Sequence[LoggedEvent]) -> list[int | None]:
    return [event.turn for event in kept if event.kind == "turn.committed"]


class Valve:
    """A sink that can be shut, broken and mended."""

    name = "valve"

    def __init__(self) -> None:
        self.kept: list[LoggedEvent] = []
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.refuses: set[int] = set()
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.failed = threading.Event()
        self.closed = False

    def write(self, batch: Sequence[LoggedEvent]) -> None:
        self.entered.set()
        self.open.wait()
        if self.error is not None:
            self.failed.set()
            raise self.error
        if any(event.turn in self.refuses for event in batch):
            raise ValueError("cannot be kept")
        self.kept += batch
        self.batches.append(len(batch))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def valve() -> Iterator[Valve]:
    valve = Valve()
    yield valve
    valve.open.set()


@pytest.fixture
def feed(valve: Valve) -> Iterator[SinkFeed]:
    feed = SinkFeed(valve, bound=100, batch=10, linger_ms=0, retry_ms=1)
    yield feed
    valve.error = None
    valve.open.set()
    feed.close()


def put(feed: SinkFeed, events: Sequence[LoggedEvent]) -> None:
    for event in events:
        feed.put(event)


# -- the feed


def test_what_is_put_is_kept_in_order_and_in_batches(feed: SinkFeed, valve: Valve) -> None:
    put(feed, events(95))
    assert feed.flush()
    assert turns(valve.kept) == list(range(95))
    assert max(valve.batches) <= 10
    assert feed.lost == 0


def test_a_sink_that_blocks_does_not_block_the_writer(feed: SinkFeed, valve: Valve) -> None:
    valve.open.clear()
    put(feed, events(50))  # would never return if `put` waited for the sink: nobody opens the valve
    assert valve.entered.wait(5)
    assert not feed.flush(timeout_ms=1)
    assert feed.pending == 50
    valve.open.set()
    assert feed.flush()
    assert turns(valve.kept) == list(range(50))


def test_a_full_disk_delays_events_and_loses_none(feed: SinkFeed, valve: Valve) -> None:
    valve.error = OSError(errno.ENOSPC, "No space left on device")
    put(feed, events(50))
    assert valve.failed.wait(5)
    valve.error = None
    assert feed.flush()
    assert turns(valve.kept) == list(range(50))
    assert feed.lost == 0


def test_a_flush_is_worth_an_attempt_at_once(valve: Valve) -> None:
    feed = SinkFeed(valve, linger_ms=0, retry_ms=3_600_000)
    valve.error = OSError(errno.ENOSPC, "No space left on device")
    put(feed, events(5))
    assert valve.failed.wait(5)
    valve.error = None
    assert feed.flush()  # the next attempt by itself would come in an hour
    assert feed.close()


def test_beyond_the_bound_the_newest_are_refused_and_counted_exactly(feed: SinkFeed, valve: Valve) -> None:
    valve.open.clear()
    first, *rest = events(150)
    feed.put(first)
    assert valve.entered.wait(5)  # the first is on its way, so the queue is empty again
    put(feed, rest)
    assert feed.lost == 49
    valve.open.set()
    assert feed.flush()
    assert turns(valve.kept) == list(range(101))


def test_each_call_that_lost_events_is_told_once_how_many(feed: SinkFeed, valve: Valve) -> None:
    valve.open.clear()
    first, *rest = events(101)
    feed.put(first)
    assert valve.entered.wait(5)
    put(feed, rest)
    put(feed, events(3, "call-2"))
    put(feed, events(4, "call-3"))
    valve.open.set()
    assert feed.flush()
    told = {event.call: event for event in valve.kept if event.kind == "sink.lost"}
    assert {call: event.event() for call, event in told.items()} == {
        "call-2": SinkLost(sink="valve", count=3, reason="full"),
        "call-3": SinkLost(sink="valve", count=4, reason="full"),
    }
    assert told["call-2"].at_ms == events(3, "call-2")[-1].at_ms
    assert len({event.id for event in valve.kept}) == len(valve.kept)


def test_two_losses_of_one_call_have_two_keys(feed: SinkFeed, valve: Valve) -> None:
    every = events(400)
    for begin in (0, 200):
        valve.entered.clear()
        valve.open.clear()
        feed.put(every[begin])
        assert valve.entered.wait(5)
        put(feed, every[begin + 1 : begin + 111])
        valve.open.set()
        assert feed.flush()
    told = [event for event in valve.kept if event.kind == "sink.lost"]
    assert [event.data["count"] for event in told] == [10, 10]
    assert len({(event.call, event.writer, event.seq) for event in told}) == 2


def test_an_outage_is_logged_once_and_so_is_its_end(
    feed: SinkFeed, valve: Valve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="voiceframe")
    valve.error = OSError(errno.ENOSPC, "No space left on device")
    put(feed, events(20))
    for _ in range(3):  # several attempts
        valve.failed.clear()
        assert valve.failed.wait(5)
    valve.error = None
    assert feed.flush()
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.WARNING]
    assert "No space left" in caplog.records[0].getMessage()
    assert "again" in caplog.records[1].getMessage()


def test_an_event_that_can_never_be_kept_does_not_hold_up_the_others(feed: SinkFeed, valve: Valve) -> None:
    valve.refuses = {3, 7}
    put(feed, events(20))
    assert feed.flush()
    assert turns(valve.kept) == [turn for turn in range(20) if turn not in (3, 7)]
    assert feed.lost == 2
    told = [event.data for event in valve.kept if event.kind == "sink.lost"]
    assert sum(data["count"] for data in told) == 2
    assert {data["reason"] for data in told} == {"ValueError"}


def test_closing_writes_what_waits_and_then_closes_the_sink(feed: SinkFeed, valve: Valve) -> None:
    put(feed, events(95))
    assert feed.close()
    assert turns(valve.kept) == list(range(95))
    assert valve.closed


def test_closing_over_a_broken_sink_counts_what_is_given_up(feed: SinkFeed, valve: Valve) -> None:
    valve.error = OSError(errno.ENOSPC, "No space left on device")
    put(feed, events(25))
    assert not feed.close(timeout_ms=1)
    assert feed.lost == 25
    feed.put(events(1)[0])
    assert feed.lost == 26


def test_a_feed_that_nobody_used_has_no_thread_and_closes(feed: SinkFeed, valve: Valve) -> None:
    before = threading.active_count()
    assert feed.flush()
    assert feed.close()
    assert threading.active_count() == before
    assert valve.closed


def test_many_threads_may_put_and_nothing_is_lost_or_doubled(valve: Valve) -> None:
    feed = SinkFeed(valve, batch=50, linger_ms=0)
    threads = [threading.Thread(target=put, args=(feed, events(300, f"call-{n}"))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert feed.close()
    for number in range(4):
        assert turns([e for e in valve.kept if e.call == f"call-{number}"]) == list(range(300))


def test_a_coroutine_waits_for_the_sink_without_blocking_its_loop(feed: SinkFeed, valve: Valve) -> None:
    async def main() -> None:
        valve.open.clear()
        log = log_of("call-1", feed)
        log.write(CallAnswered())
        waiting = asyncio.create_task(log.flush())
        await asyncio.sleep(0)  # the loop runs while the sink stands still
        assert not waiting.done()
        assert not await log.flush(timeout_ms=1)
        valve.open.set()
        assert await waiting

    asyncio.run(main())
    assert len(valve.kept) == 1


def test_a_process_that_forgets_to_close_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    code = f"""
import random
from voiceframe.events import CallAnswered, EventLog
from voiceframe.sinks import JSONLSink, SinkFeed
class Clock:
    def at_ms(self): return 0
    def wall_ms(self): return 0
log = EventLog("call-1", clock=Clock(), rng=random.Random(0), sinks=[SinkFeed(JSONLSink({str(path)!r}))])
for _ in range(1000):
    log.write(CallAnswered())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert len(list(read_jsonl(path))) == 1000


# -- on virtual time


def test_on_virtual_time_there_is_no_thread_and_a_batch_is_written_when_it_is_full(
    feed: SinkFeed, valve: Valve
) -> None:
    before = threading.active_count()

    async def main() -> None:
        put(feed, events(25))
        assert valve.batches == [10, 10]
        assert threading.active_count() == before
        assert await feed.drained()

    run_virtual(main())
    assert valve.batches == [10, 10, 5]


def test_on_virtual_time_an_outage_keeps_order_bound_and_count(feed: SinkFeed, valve: Valve) -> None:
    async def main() -> None:
        valve.error = OSError(errno.ENOSPC, "No space left on device")
        put(feed, events(130))
        assert not await feed.drained()
        valve.error = None
        assert await feed.drained()

    run_virtual(main())
    assert turns(valve.kept) == list(range(100))
    assert [event.data["count"] for event in valve.kept if event.kind == "sink.lost"] == [30]


# -- memory


def test_a_memory_sink_needs_no_feed_and_finds_by_kind() -> None:
    sink = MemorySink()
    assert as_feed(sink) is sink
    log = log_of("call-1", sink)
    log.write(CallAnswered())
    log.write(TurnCommitted(turn=1, source="text", confidence=1.0, text="hello"))
    assert sink.kinds == ["call.answered", "turn.committed"]
    assert turns(sink.of_kind("turn.")) == [1]
    assert sink.one(TurnCommitted).text == "hello"
    with pytest.raises(AssertionError, match=r"sink\.lost"):
        sink.one(SinkLost)


def test_any_other_sink_gets_a_feed(valve: Valve) -> None:
    assert isinstance(as_feed(valve), SinkFeed)


# -- lines of JSON


def test_each_event_is_a_line_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    sink = JSONLSink(path, fsync=True)
    sink.write(events(3))
    sink.write([])
    sink.write(events(5)[3:])
    sink.close()
    assert [json.loads(line)["turn"] for line in path.read_text("utf-8").splitlines()] == [0, 1, 2, 3, 4]
    assert list(read_jsonl(path)) == events(5)


@pytest.mark.parametrize("torn", ["{", '{"id":"', "x" * 200_000])
def test_a_torn_last_line_is_left_out_and_cut_off_when_the_file_is_opened_again(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "events.jsonl"
    sink = JSONLSink(path)
    sink.write(events(2))
    sink.close()
    with path.open("a") as file:
        file.write(torn)
    assert turns(list(read_jsonl(path))) == [0, 1]
    sink = JSONLSink(path)
    sink.write(events(3)[2:])
    sink.close()
    assert turns(list(read_jsonl(path))) == [0, 1, 2]


def test_a_file_that_holds_only_a_torn_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{")
    sink = JSONLSink(path)
    sink.write(events(1))
    sink.close()
    assert turns(list(read_jsonl(path))) == [0]


def test_a_batch_that_the_disk_cannot_hold_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    sink = JSONLSink(path)
    sink.write(events(2))
    write = os.write

    def half(file: int, data: bytes | memoryview) -> int:
        if len(data) > 100:
            return write(file, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            sink.write(events(4)[2:])
    assert turns(list(read_jsonl(path))) == [0, 1]
    sink.write(events(4)[2:])
    sink.close()
    assert list(read_jsonl(path)) == events(4)


def test_a_file_has_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JSONLSink(path)
    with pytest.raises(StoreError) as raised:
        JSONLSink(path)
    assert raised.value.code == "store.open"
    sink.close()
    JSONLSink(path).close()


def test_a_file_of_events_is_its_owners_alone(tmp_path: Path) -> None:
    JSONLSink(tmp_path / "events.jsonl").close()
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o077 == 0


# -- the store


def test_events_reach_the_store_through_the_feed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    feed = SinkFeed(SQLiteSink(url))
    put(feed, events(20))
    assert feed.close()
    store = open_store(url)
    assert store.events("call-1") == events(20)
    store.close()


def test_a_store_that_was_given_stays_open() -> None:
    store = open_store("sqlite:///:memory:")
    sink = SQLiteSink(store)
    sink.write(events(1))
    sink.close()
    assert store.events("call-1") == events(1)
    store.close()


def test_an_event_that_clashes_is_counted_as_lost_and_the_rest_is_kept() -> None:
    store = open_store("sqlite:///:memory:")
    feed = SinkFeed(SQLiteSink(store), linger_ms=0)
    put(feed, events(2))
    clash = EventLog("call-1", clock=_Clock(), rng=random.Random("another"))
    feed.put(clash.write(CallAnswered()))  # the key of events(2)[0]
    put(feed, events(3)[2:])
    assert feed.close()
    assert turns(store.events("call-1")) == [0, 1, 2]
    assert feed.lost == 1
    store.close()
