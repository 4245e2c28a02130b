"""Virtual time: a clock that leaps, a loop on which a run can be repeated, and a grid that no neighbour moves."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.clock import VIRTUAL_EPOCH_MS, MediaClock, VirtualTimeLoop, is_virtual, new_seed, run_virtual, ticker
from voiceframe.errors import VirtualTimeError

# -- the loop


async def test_time_leaps() -> None:
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    await asyncio.sleep(3600)
    assert loop.time() == 3600
    assert time.monotonic() - began < 5
    assert is_virtual(loop)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
async def test_timers_fire_by_time_and_at_equal_times_in_the_order_of_their_creation(
    timers: list[tuple[int, bool]],
) -> None:
    fired: list[tuple[int, int]] = []
    loop = asyncio.get_running_loop()
    expected: list[tuple[int, int]] = []
    for number, (when, cancelled) in enumerate(timers):
        handle = loop.call_later(when, fired.append, (when, number))
        if cancelled:
            handle.cancel()
        else:
            expected.append((when, number))
    await asyncio.sleep(4)
    assert fired == sorted(expected)


async def test_a_job_off_the_loop_runs_inline_and_comes_back_at_the_same_time() -> None:
    loop = asyncio.get_running_loop()
    here = threading.get_ident()

    def job() -> int:
        return threading.get_ident()

    assert await loop.run_in_executor(None, job) == here
    assert await asyncio.to_thread(job) == here
    assert loop.time() == 0

    def fails() -> None:
        raise ValueError("in the job")

    with pytest.raises(ValueError, match="in the job"):
        await asyncio.to_thread(fails)
    cancelled = loop.run_in_executor(None, job)
    cancelled.cancel()
    await asyncio.sleep(0)


async def test_a_foreign_thread_is_refused() -> None:
    loop = asyncio.get_running_loop()
    refused: list[BaseException] = []

    def foreign() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except VirtualTimeError as error:
            refused.append(error)

    thread = threading.Thread(target=foreign)
    thread.start()
    thread.join()
    assert [getattr(error, "code", None) for error in refused] == ["virtual.thread"]
    loop.call_soon_threadsafe(refused.clear)
    await asyncio.sleep(0)
    assert refused == []


def test_a_deadlock_is_named() -> None:
    async def waits_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(VirtualTimeError, match="waits_for_ever") as deadlock:
        run_virtual(waits_for_ever())
    assert deadlock.value.code == "virtual.deadlock"


async def test_there_is_no_network() -> None:
    loop = asyncio.get_running_loop()
    attempts: list[Any] = [
        asyncio.open_connection("127.0.0.1", 1),
        asyncio.start_server(lambda r, w: None, "127.0.0.1", 0),
        loop.getaddrinfo("localhost", 1),
        asyncio.create_subprocess_exec("true"),
        asyncio.create_subprocess_shell("true"),
    ]
    for attempt in attempts:
        with pytest.raises(VirtualTimeError) as refused:
            await attempt
        assert refused.value.code == "virtual.real-io"


def test_run_virtual_returns_what_its_coroutine_does() -> None:
    async def main() -> float:
        await asyncio.sleep(1.5)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 1.5


def test_calls_without_a_seed_are_numbered_on_virtual_time() -> None:
    loop = VirtualTimeLoop()
    assert [new_seed(loop) for _ in range(3)] == [0, 1, 2]
    loop.close()


# -- the media clock


async def test_a_call_has_one_clock() -> None:
    await asyncio.sleep(1)
    clock = MediaClock(asyncio.get_running_loop())
    assert (clock.at_ms(), clock.wall_ms()) == (0, VIRTUAL_EPOCH_MS + 1000)
    await asyncio.sleep(0.25)
    assert (clock.at_ms(), clock.wall_ms()) == (250, VIRTUAL_EPOCH_MS + 1250)
    assert MediaClock(asyncio.get_running_loop(), wall_ms=7).wall_ms() == 7


# -- the grid


async def ticks_of(delay_s: float, count: int, neighbour: bool) -> list[int]:
    loop = asyncio.get_running_loop()
    seen: list[int] = []
    others = [ticker(10).add(lambda: None)] if neighbour else []
    await asyncio.sleep(delay_s)
    remove = ticker(10).add(lambda: seen.append(round(loop.time() * 1000)))
    await asyncio.sleep(count * 0.010)
    remove()
    for other in others:
        other()
    return seen


@pytest.mark.parametrize("neighbour", [False, True])
async def test_the_grid_does_not_depend_on_who_is_there(neighbour: bool) -> None:
    assert await ticks_of(0.0034, 5, neighbour) == [10, 20, 30, 40, 50]


async def test_the_grid_does_not_drift() -> None:
    seen = await ticks_of(0, 1000, False)
    assert seen == list(range(10, 10_010, 10))[: len(seen)]
    assert len(seen) >= 999


async def test_an_idle_grid_sleeps_and_wakes_again() -> None:
    loop = asyncio.get_running_loop()
    grid = ticker(10)
    assert ticker(10) is grid
    assert ticker(20) is not grid
    remove = grid.add(lambda: None)
    remove()
    remove()  # twice is fine
    await asyncio.sleep(0.0155)
    seen: list[int] = []
    remove = grid.add(lambda: seen.append(round(loop.time() * 1000)))
    await asyncio.sleep(0.01)
    remove()
    assert seen == [20]


async def test_one_subscriber_that_fails_or_leaves_does_not_stop_the_others() -> None:
    seen: list[str] = []
    problems: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(str(context["exception"])))
    removes: list[Any] = []

    def fails() -> None:
        raise ValueError("in a tick")

    def leaves() -> None:
        seen.append("leaves")
        removes[2]()
        removes[1]()

    removes += [ticker(10).add(fails), ticker(10).add(leaves)]
    removes += [ticker(10).add(lambda: seen.append("gone")), ticker(10).add(lambda: seen.append("stays"))]
    await asyncio.sleep(0.025)
    for remove in removes:
        remove()
    assert seen == ["leaves", "stays", "stays"]
    assert problems == ["in a tick", "in a tick"]


async def test_a_cancelled_timer_does_not_fire_and_does_not_move_time() -> None:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    loop.call_later(1, fired.append, "a").cancel()
    loop.call_later(2, fired.append, "b")
    await asyncio.sleep(2)
    assert fired == ["b"]


async def test_an_idle_grid_has_no_timer() -> None:
    ticker(10).add(lambda: None)()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    assert [timer for _, _, timer in loop._timers if not timer.cancelled()] == []


async def test_cancelled_timers_are_not_kept_until_their_time() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    fired: list[int] = []
    for number in range(2_000):
        loop.call_later(3_600, print, "never").cancel()
        loop.call_later(number % 7, fired.append, number)
        await asyncio.sleep(0)
        assert len(loop._timers) <= 2 * (number + 1) + 102
    timer = loop.call_later(10, fired.append, -1)
    await asyncio.sleep(8)
    assert fired == sorted(range(2_000), key=lambda number: (number % 7, number))
    for _ in range(500):  # whoever cancels after its time, or twice, is not counted
        timer.cancel()
    late = loop.call_later(1, fired.append, -2)
    await asyncio.sleep(1)
    late.cancel()
    assert len(loop._timers) <= 102
    assert 0 <= loop._timers_cancelled <= len(loop._timers)


@pytest.mark.parametrize("cancels", [False, True])
async def test_a_callback_may_cancel_another_of_its_round(cancels: bool) -> None:
    loop = asyncio.get_running_loop()
    fired: list[str] = []

    def first() -> None:
        fired.append("first")
        loop.call_soon(fired.append, "soon")  # the next round
        if cancels:
            second.cancel()

    loop.call_later(1, first)
    second = loop.call_later(1, fired.append, "second")
    loop.call_later(1, fired.append, "third")
    await asyncio.sleep(2)
    assert fired == ["first", *([] if cancels else ["second"]), "third", "soon"]


async def test_a_calls_time_begins_at_zero_and_its_wall_time_follows() -> None:
    await asyncio.sleep(5)
    clock = MediaClock(asyncio.get_running_loop())
    assert clock.at_ms() == 0
    began = clock.wall_ms()
    await asyncio.sleep(1.2345)
    assert (clock.at_ms(), clock.wall_ms() - began) == (1234, 1234)


@pytest.mark.real_time
async def test_the_same_code_runs_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    assert not is_virtual(loop)
    clock = MediaClock(loop)
    await asyncio.sleep(0.01)
    assert clock.at_ms() >= 10
    assert not isinstance(loop, VirtualTimeLoop)


def test_a_loop_is_not_kept_by_its_tickers() -> None:
    kept: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def ticks() -> None:
        kept.append(weakref.ref(asyncio.get_running_loop()))
        remove = ticker(10).add(lambda: None)
        await asyncio.sleep(0.05)
        remove()

    run_virtual(ticks())
    gc.collect()
    assert kept[0]() is None
