"""Stores of memory keep what they are told, for as long, within bounds; and what is erased is in no file any more."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.errors import AssistantError, StoreError
from voiceframe.memories import Bounds, InMemoryStore, MemoryEntry, MemoryStore, Place
from voiceframe.store import open_store

#: What the package itself opens it closes, which Python can tell from 3.13 on.
pytestmark = pytest.mark.filterwarnings("error:unclosed database:ResourceWarning")

ANN, BOB = Place("default", "clinic", "+491"), Place("default", "clinic", "+492")
WIDE = Bounds(50, 100_000)


def sqlite_store(url: str) -> MemoryStore:
    store = open_store(url)
    assert isinstance(store, MemoryStore)
    return store


@pytest.fixture(params=["file", "sqlite-memory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryStore]:
    if request.param == "memory":
        yield InMemoryStore()
        return
    url = f"sqlite:///{tmp_path / 'voiceframe.db'}" if request.param == "file" else "sqlite:///:memory:"
    store = open_store(url)
    assert isinstance(store, MemoryStore)
    yield store
    store.close()


def entry(name: str, json: str = '"x"', *, set_ms: int = 0, expires_ms: int | None = None) -> MemoryEntry:
    return MemoryEntry(name, json, set_ms, expires_ms, "call-1")


def names(store: MemoryStore, place: Place = ANN, now_ms: int = 0) -> list[str]:
    return [found.name for found in store.remembered(place, now_ms=now_ms)]


# -- keeping


def test_what_was_kept_comes_back_by_name_and_a_name_has_one_value(store: MemoryStore) -> None:
    assert store.remember(ANN, entry("b", "1"), bounds=WIDE) is False
    assert store.remember(ANN, entry("a", "2"), bounds=WIDE) is False
    assert store.remember(ANN, entry("b", "3", set_ms=5), bounds=WIDE) is True
    assert store.remembered(ANN, now_ms=5) == [entry("a", "2"), entry("b", "3", set_ms=5)]
    assert store.forget(ANN, "a") is True
    assert store.forget(ANN, "a") is False
    assert names(store) == ["b"]


@pytest.mark.parametrize(
    "other",
    [
        Place("default", "clinic", "+492"),
        Place("default", "shop", "+491"),
        Place("other", "clinic", "+491"),
        Place("default", "clini", "c+491"),
        Place("defaultc", "linic", "+491"),
    ],
)
def test_nobody_reads_or_changes_what_is_another_ones(store: MemoryStore, other: Place) -> None:
    store.remember(ANN, entry("a"), bounds=WIDE)
    assert names(store, other) == []
    assert store.forget(other, "a") is False
    assert store.remember(other, entry("a", "2"), bounds=WIDE) is False
    assert store.erase_memories(*other) == 1
    assert store.remembered(ANN, now_ms=0) == [entry("a")]


def test_an_entry_lives_for_as_long_as_it_was_told(store: MemoryStore) -> None:
    store.remember(ANN, entry("short", expires_ms=100), bounds=WIDE)
    store.remember(ANN, entry("long", expires_ms=200), bounds=WIDE)
    store.remember(ANN, entry("good"), bounds=WIDE)
    assert names(store, now_ms=99) == ["good", "long", "short"]
    assert names(store, now_ms=100) == ["good", "long"]
    assert store.memory_keys("default", "clinic", now_ms=100) == ["+491"]
    assert store.remember(ANN, entry("short", set_ms=150), bounds=WIDE) is False  # what has expired is not replaced
    assert names(store, now_ms=250) == ["good", "short"]
    assert store.purge_memories(now_ms=250) == 1
    assert store.purge_memories(now_ms=250) == 0
    assert names(store, now_ms=0) == ["good", "short"]


def test_purging_takes_so_many_at_most(store: MemoryStore) -> None:
    for number in range(10):
        store.remember(ANN, entry(f"n{number}", expires_ms=1), bounds=WIDE)
    assert [store.purge_memories(now_ms=1, limit=4) for _ in range(4)] == [4, 4, 2, 0]


def test_one_person_has_so_many_entries_and_bytes_and_no_more(store: MemoryStore) -> None:
    for name in "ab":
        store.remember(ANN, entry(name), bounds=Bounds(2, 1_000))
    for bounds, another in ((Bounds(2, 1_000), entry("c")), (Bounds(9, 10), entry("c", '"xx"'))):
        with pytest.raises(AssistantError) as raised:
            store.remember(ANN, another, bounds=bounds)
        assert raised.value.code == "memory.full"
    store.remember(ANN, entry("b", "2"), bounds=Bounds(2, 1_000))  # in place of one
    store.remember(BOB, entry("c"), bounds=Bounds(2, 1_000))  # of another
    assert store.remembered(ANN, now_ms=0) == [entry("a"), entry("b", "2")]
    store.remember(BOB, entry("d", expires_ms=10), bounds=Bounds(2, 1_000))
    store.remember(BOB, entry("e", set_ms=10), bounds=Bounds(2, 1_000))  # what has expired takes no room
    assert names(store, BOB, now_ms=10) == ["c", "e"]


def test_the_owner_sees_of_whom_something_is_remembered_and_erases_a_namespace(store: MemoryStore) -> None:
    for place in (ANN, BOB, Place("default", "shop", "+493"), Place("other", "clinic", "+494")):
        store.remember(place, entry("a"), bounds=WIDE)
    assert store.memory_keys("default", "clinic", now_ms=0) == ["+491", "+492"]
    assert store.memory_keys("default", "clinic", now_ms=0, limit=1) == ["+491"]
    assert store.erase_memories("default", "clinic") == 2
    assert store.memory_keys("default", "clinic", now_ms=0) == []
    assert store.memory_keys("default", "shop", now_ms=0) == ["+493"]
    assert store.memory_keys("other", "clinic", now_ms=0) == ["+494"]


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "'; DROP TABLE memories; --", "\u202e", "😀", "%", "\\", "\n"])
def test_keys_and_names_are_what_they_are(store: MemoryStore, text: str) -> None:
    place = Place("default", "clinic", text)
    store.remember(place, entry(text, '"\\u0000"'), bounds=WIDE)
    store.remember(ANN, entry("a"), bounds=WIDE)
    assert store.remembered(place, now_ms=0) == [entry(text, '"\\u0000"')]
    assert sorted(store.memory_keys("default", "clinic", now_ms=0)) == sorted([text, "+491"])
    assert store.erase_memories(*place) == 1
    assert names(store) == ["a"]


def test_threads_share_a_store_and_lose_nothing(store: MemoryStore) -> None:
    def work(thread: int) -> None:
        for number in range(10):
            store.remember(ANN, entry(f"t{thread}n{number}"), bounds=WIDE)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(store)) == 40


# -- like each other, and gone for good

PEOPLE = [f"person{number}" for number in range(4)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "forget", "erase", "purge"]),
        st.sampled_from(PEOPLE),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 9_000),  # how long the value is: beyond a page, too
        st.sampled_from([None, 5, 20]),
    ),
    max_size=40,
)


@settings(max_examples=30)
@given(STEPS)
def test_what_is_erased_is_in_no_file_and_all_else_is_as_in_a_plain_mapping(
    steps: list[tuple[str, str, str, int, int | None]],
) -> None:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/voiceframe.db"
        store, model = open_store(url), InMemoryStore()
        assert isinstance(store, MemoryStore)
        tokens: dict[str, list[str]] = {person: [] for person in PEOPLE}
        bounds = Bounds(50, 1_000_000)
        for now_ms, (what, person, name, length, ttl_ms) in enumerate(steps):
            place = Place("default", "clinic", f"key-of-{person}-")
            if what == "set":
                token = f"token{now_ms:03}of{person}"
                tokens[person].append(token)
                text = f'"{(token * (length // len(token) + 1))}"'
                new = MemoryEntry(name, text, now_ms, None if ttl_ms is None else now_ms + ttl_ms, "call")
                assert store.remember(place, new, bounds=bounds) == model.remember(place, new, bounds=bounds)
            elif what == "forget":
                store.forget(place, name)
                model.forget(place, name)
            elif what == "purge":
                store.purge_memories(now_ms=now_ms)
                model.purge_memories(now_ms=now_ms)
            else:
                store.erase_memories(*place)
                model.erase_memories(*place)
                files = b"".join(file.read_bytes() for file in Path(folder).iterdir())
                left = [token for token in tokens[person] if token.encode() in files]
                assert left == []
                assert place.key.encode() not in files
                tokens[person].clear()
            for other in PEOPLE:
                where = Place("default", "clinic", f"key-of-{other}-")
                assert store.remembered(where, now_ms=now_ms) == model.remembered(where, now_ms=now_ms)
        store.close()


def test_among_many_people_the_erased_are_gone_and_the_others_are_there(tmp_path: Path) -> None:
    store = sqlite_store(f"sqlite:///{tmp_path / 'voiceframe.db'}")
    people = [Place("default", "clinic", f"caller{number:04}") for number in range(80)]
    for step in range(4):  # people take turns, so their entries are spread over the pages, and replaced
        for number, place in enumerate(people):
            word = f"word{number:04}" * (5 + 40 * (number % 3))
            store.remember(place, entry(f"name{step % 2}", f'"{word}{step}"'), bounds=WIDE)
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"word0006" in everything  # or the search below would prove nothing
    for place in people[::2]:
        assert store.erase_memories(*place) == 2
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for sort in ("word", "caller"):
        found = [number for number in range(80) if f"{sort}{number:04}".encode() in everything]
        assert found == list(range(1, 80, 2))
    store.close()  # type: ignore[attr-defined]


def test_an_erasure_that_a_reader_holds_up_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceframe.store_sqlite._BUSY_MS", 10)
    path = tmp_path / "voiceframe.db"
    store = sqlite_store(f"sqlite:///{path}")
    store.remember(ANN, entry("a"), bounds=WIDE)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM memories").fetchone()
    with pytest.raises(AssistantError) as raised:
        store.erase_memories(*ANN)
    assert raised.value.code == "memory.erase"
    assert names(store) == []  # nobody reads it any more
    reader.close()
    assert store.erase_memories(*ANN) == 0
    assert b"+491" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    store.close()  # type: ignore[attr-defined]


# -- the file


def test_a_store_of_version_1_is_brought_forward_and_keeps_its_calls(tmp_path: Path) -> None:
    path = tmp_path / "voiceframe.db"
    schema = Path(__file__).parent.parent / "voiceframe" / "migrations" / "sqlite" / "0001.sql"
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(schema.read_text("utf-8"))
    old.execute("PRAGMA user_version = 1")
    old.execute(
        "INSERT INTO calls (call, tenant, environment, trace, started_ms) VALUES ('c', 't', 'production', '', 1)"
    )
    old.close()
    store = open_store(f"sqlite:///{path}")
    assert isinstance(store, MemoryStore)
    assert store.call("c") is not None
    store.remember(ANN, entry("a"), bounds=WIDE)
    assert names(store) == ["a"]
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = sqlite_store(f"sqlite:///{tmp_path / 'voiceframe.db'}")
    store.close()  # type: ignore[attr-defined]
    with pytest.raises(StoreError) as raised:
        store.remembered(ANN, now_ms=0)
    assert raised.value.code == "store.closed"
