"""The store keeps every event once, in order, through crashes and beside other processes; what is erased is gone."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from voiceframe.errors import StoreError
from voiceframe.events import (
    CallAnswered,
    CallEnded,
    CallRejected,
    CallStarted,
    Event,
    EventLog,
    LoggedEvent,
    ReplyHeard,
    TurnCommitted,
)
from voiceframe.sinks import MemorySink
from voiceframe.store import Store, open_store

#: What the package itself opens it closes, which Python can tell from 3.13 on.
pytestmark = pytest.mark.filterwarnings("error:unclosed database:ResourceWarning")


class _Clock:
    """A millisecond passes between two looks."""

    def __init__(self, start: int) -> None:
        self._ticks = itertools.count(start)

    def at_ms(self) -> int:
        return next(self._ticks)

    def wall_ms(self) -> int:
        return next(self._ticks)


def written(call: str, *events: Event, start: int = 1_000, tenant: str = "default") -> list[LoggedEvent]:
    sink = MemorySink()
    log = EventLog(call, clock=_Clock(start), rng=random.Random(call), sinks=[sink], tenant=tenant)
    for event in events:
        log.write(event)
    return sink.events


def conversation(
    call: str = "call-1", *, word: str = "hello", start: int = 1_000, tenant: str = "default"
) -> list[LoggedEvent]:
    """A whole call, in which `word` was said."""
    return written(
        call,
        CallStarted(direction="inbound", from_=f"+1555{word}", to="+15550100", pipeline=("Source", "Sink")),
        CallAnswered(),
        TurnCommitted(turn=1, source="speech", confidence=0.9, text=f"{word}, I need an appointment"),
        ReplyHeard(reply=1, complete=True, text=f"You said {word}"),
        CallEnded(reason="completed", duration_ms=4_200),
        start=start,
        tenant=tenant,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'voiceframe.db'}"


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, url: str) -> Iterator[Store]:
    store = open_store(url if request.param == "file" else "sqlite:///:memory:")
    yield store
    store.close()


# -- keeping and finding


def test_events_come_back_as_they_were_and_in_the_order_of_the_call(store: Store) -> None:
    events = conversation()
    store.append(events[2:])
    store.append(events[:2])
    assert store.events("call-1") == events
    assert store.events("another") == []


def test_events_can_be_asked_for_by_kind(store: Store) -> None:
    store.append(conversation())
    assert [e.kind for e in store.events("call-1", kinds=["reply.heard", "call.ended"])] == [
        "reply.heard",
        "call.ended",
    ]
    assert store.events("call-1", kinds=[]) == []


def test_appending_again_changes_nothing(store: Store) -> None:
    store.append(conversation())
    store.append(conversation())
    assert store.events("call-1") == conversation()


def test_two_events_with_one_key_are_a_conflict_and_nothing_of_the_batch_is_kept(store: Store) -> None:
    first, second, *_ = conversation()
    store.append([first])
    with pytest.raises(StoreError) as raised:
        store.append([second, replace(first, id=second.id[:-1] + "Z")])
    assert raised.value.code == "store.conflict"
    with pytest.raises(StoreError):
        store.append([second, replace(first, writer="another")])  # one id for two keys
    assert store.events("call-1") == [first]


def test_a_call_is_the_sum_of_its_events(store: Store) -> None:
    started, answered, *_, ended = conversation(tenant="clinic")
    store.append([answered])  # events may arrive in any order
    store.append([ended, started])
    record = store.call("call-1")
    assert record is not None
    assert (record.call, record.tenant, record.direction, record.trace) == (
        "call-1",
        "clinic",
        "inbound",
        started.trace,
    )
    assert (record.from_, record.to) == ("+1555hello", "+15550100")
    assert (record.started_ms, record.answered_ms, record.ended_ms) == (
        started.wall_ms,
        answered.wall_ms,
        ended.wall_ms,
    )
    assert (record.duration_ms, record.reason, record.erased_ms) == (4_200, "completed", None)
    assert store.call("another") is None


def test_a_rejected_call_has_its_reason_and_no_length(store: Store) -> None:
    store.append(written("call-1", CallRejected(reason="busy")))
    record = store.call("call-1")
    assert record is not None
    assert (record.reason, record.duration_ms, record.answered_ms) == ("busy", 0, None)


def test_calls_are_found_by_tenant_and_time_the_newest_first(store: Store) -> None:
    for number in range(4):
        store.append(conversation(f"call-{number}", start=number * 100, tenant="clinic" if number % 2 else "shop"))
    assert [c.call for c in store.calls()] == ["call-3", "call-2", "call-1", "call-0"]
    assert [c.call for c in store.calls(limit=2)] == ["call-3", "call-2"]
    assert [c.call for c in store.calls(tenant="clinic")] == ["call-3", "call-1"]
    assert store.calls(environment="production") == []
    starts = {c.call: c.started_ms for c in store.calls()}
    assert [c.call for c in store.calls(since_ms=starts["call-1"], until_ms=starts["call-3"])] == ["call-2", "call-1"]


# -- erasing


def test_erasing_takes_the_words_and_leaves_keys_counts_and_order(store: Store) -> None:
    store.append(conversation())
    store.append(conversation("call-2"))
    assert store.erase("call-1") == 5
    assert store.events("call-1") == [replace(event, personal=None) for event in conversation()]
    assert store.events("call-2") == conversation("call-2")
    record = store.call("call-1")
    assert record is not None
    assert (record.from_, record.to, record.duration_ms) == (None, None, 4_200)
    assert record.erased_ms is not None


def test_what_arrives_after_the_erasure_is_kept_without_its_words(store: Store) -> None:
    events = conversation()
    store.append(events[:3])
    store.erase("call-1")
    store.append(events)  # a sink repeats a batch, and the call goes on
    assert all(event.personal is None for event in store.events("call-1"))
    record = store.call("call-1")
    assert record is not None
    assert record.from_ is None


def test_erased_words_are_in_no_file_of_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'voiceframe.db'}"
    store = open_store(url)
    calls = [conversation(f"call-{number}", word=f"word{number:04}" * 100) for number in range(60)]
    for step in range(5):  # calls take turns, so their events are spread over the pages
        for call in calls:
            store.append([call[step]])
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"word0007" in everything  # or the search below would prove nothing
    erased = range(0, 60, 2)
    for number in erased:
        store.erase(f"call-{number}")
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert [number for number in range(60) if f"word{number:04}".encode() in everything] == list(range(1, 60, 2))
    store.close()


def test_an_erasure_that_a_reader_holds_up_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceframe.store_sqlite._BUSY_MS", 10)
    store = open_store(url)
    store.append(conversation())
    reader = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(StoreError) as raised:
        store.erase("call-1")
    assert raised.value.code == "store.erase"
    reader.close()
    assert store.erase("call-1") == 5
    store.close()


# -- opening


@pytest.mark.parametrize("url", ["", "events.db", "postgresql:///x", "sqlite://x", "sqlite:///"])
def test_what_is_no_address_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(StoreError) as raised:
        open_store(url)
    assert raised.value.code == "store.url"


def test_a_store_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    before = Path(path).read_bytes()
    with pytest.raises(StoreError) as raised:
        open_store(url)
    assert raised.value.code == "store.newer"
    assert Path(path).read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy milk " * 1_000)
    with pytest.raises(StoreError) as raised:
        open_store(f"sqlite:///{tmp_path / 'notes.txt'}")
    assert raised.value.code == "store.open"
    assert (tmp_path / "notes.txt").read_text() == "buy milk " * 1_000


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError) as raised:
        store.append(conversation())
    assert raised.value.code == "store.closed"


def test_a_store_is_its_owners_alone(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'voiceframe.db'}")
    store.append(conversation())
    assert [file.name for file in tmp_path.iterdir() if file.stat().st_mode & 0o077] == []
    store.close()


def test_the_schema_is_at_its_version_with_a_write_ahead_log(url: str) -> None:
    open_store(url).close()
    db = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


# -- several at once, and crashes

# Writes events of `call` in batches of ten until `count` are kept, and says after each batch how many there are.
WRITER = """
import itertools, random, sys
from voiceframe.events import CallAnswered, EventLog
from voiceframe.sinks import MemorySink
from voiceframe.store import open_store
url, call, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
class Clock:
    ticks = itertools.count()
    def at_ms(self): return next(self.ticks)
    wall_ms = at_ms
sink = MemorySink()
log = EventLog(call, clock=Clock(), rng=random.Random(call), sinks=[sink])
store = open_store(url)
for number in range(0, count, 10):
    for _ in range(10):
        log.write(CallAnswered())
    store.append(sink.events)
    sink.clear()
    print(number + 10, flush=True)
store.close()
"""


def _writer(url: str, call: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, url, call, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_loses_no_batch_that_was_appended(url: str) -> None:
    with _writer(url, "call-1", 1_000_000) as writer:
        assert writer.stdout is not None
        said = next(int(line) for line in writer.stdout if int(line) >= 200)
        os.kill(writer.pid, signal.SIGKILL)
        said = max([said, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    store = open_store(url)
    kept = [event.seq for event in store.events("call-1")]
    assert kept == list(range(len(kept)))  # no hole
    assert said <= len(kept) <= said + 10  # the batch in flight is there as a whole, or not at all
    assert len(kept) % 10 == 0
    store.close()
    db = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_two_processes_write_one_new_file_and_a_third_reads_it(url: str) -> None:
    with _writer(url, "call-1", 300) as first, _writer(url, "call-2", 300) as second:
        assert first.stdout is not None
        next(first.stdout)
        reader = open_store(url)
        seen = 0
        while first.poll() is None or second.poll() is None:
            count = len(reader.events("call-1"))
            assert count >= seen  # a reader sees whole batches, and never fewer than before
            assert count % 10 == 0
            seen = count
    assert (first.returncode, second.returncode) == (0, 0)
    for call in ("call-1", "call-2"):
        assert [event.seq for event in reader.events(call)] == list(range(300))
    reader.close()


def test_whoever_comes_second_to_a_new_file_waits_and_finds_the_schema_made(url: str) -> None:
    first = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    first.execute("PRAGMA journal_mode = WAL")
    first.execute("BEGIN IMMEDIATE")

    def make_the_schema() -> None:
        schema = Path(__file__).parent.parent / "voiceframe" / "migrations" / "sqlite" / "0001.sql"
        for statement in schema.read_text("utf-8").split(";\n"):
            first.execute(statement)
        first.execute("PRAGMA user_version = 1")
        first.execute("COMMIT")

    timer = threading.Timer(0.05, make_the_schema)  # while the second one waits
    timer.start()
    second = open_store(url)
    second.append(conversation())
    assert second.events("call-1") == conversation()
    timer.join()
    second.close()
    first.close()


def test_many_may_open_a_new_file_at_the_same_time(url: str) -> None:
    together = threading.Barrier(8)
    opened: list[Store] = []

    def open_and_append(number: int) -> None:
        together.wait()
        store = open_store(url)
        store.append(conversation(f"call-{number}"))
        opened.append(store)

    threads = [threading.Thread(target=open_and_append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    assert len(opened[0].calls()) == 8
    for store in opened:
        store.close()


def test_several_threads_share_a_store(store: Store) -> None:
    threads = [threading.Thread(target=store.append, args=(conversation(f"call-{n}"),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {call.call for call in store.calls()} == {f"call-{n}" for n in range(8)}
