"""Time: the virtual loop, the tick grid and the clock of a call."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceframe.clock import MediaClock, Ticker, VirtualTimeLoop, is_virtual, run_virtual, ticker
from voiceframe.errors import VirtualTimeError


async def test_time_leaps_instead_of_passing() -> None:
    loop = asyncio.get_running_loop()
    assert is_virtual(loop)
    await asyncio.sleep(86_400)
    assert loop.time() == 86_400
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.Event().wait()
    assert loop.time() == 86_405


@given(st.lists(st.integers(0, 3), max_size=40))
async def test_timers_of_equal_time_fire_in_the_order_of_their_creation(delays: list[int]) -> None:
    loop = asyncio.get_running_loop()
    fired: list[tuple[int, int]] = []
    for number, delay in enumerate(delays):
        loop.call_later(delay, fired.append, (delay, number))
    await asyncio.sleep(10)
    assert fired == sorted((delay, number) for number, delay in enumerate(delays))


async def test_a_cancelled_timer_does_not_fire_and_does_not_move_time() -> None:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    loop.call_later(1, fired.append, "a").cancel()
    loop.call_later(2, fired.append, "b")
    await asyncio.sleep(2)
    assert fired == ["b"]


async def test_what_runs_in_a_thread_elsewhere_runs_inline_here() -> None:
    loop = asyncio.get_running_loop()
    order: list[str] = []

    def work(name: str) -> int:
        order.append(name)
        assert threading.current_thread() is threading.main_thread()
        return len(name)

    results = [await asyncio.to_thread(work, "a"), await loop.run_in_executor(None, work, "bb")]
    assert (results, order, loop.time()) == ([1, 2], ["a", "bb"], 0)


async def test_an_error_in_a_thread_comes_back() -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)


async def test_a_foreign_thread_is_refused() -> None:
    loop = asyncio.get_running_loop()
    refused: list[str] = []

    def meddle() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except VirtualTimeError as error:
            refused.append(error.code)

    thread = threading.Thread(target=meddle)
    thread.start()
    thread.join()
    assert refused == ["virtual.thread"]
    loop.call_soon_threadsafe(refused.append, "from the loop's own thread")
    await asyncio.sleep(0)
    assert refused[1:] == ["from the loop's own thread"]


def test_waiting_for_what_cannot_come_is_an_error_that_names_who_waits() -> None:
    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(VirtualTimeError, match="waits_for_ever") as caught:
        run_virtual(waits_for_ever())
    assert caught.value.code == "virtual.deadlock"


async def test_real_input_and_output_are_refused() -> None:
    with pytest.raises(VirtualTimeError, match="connection"):
        await asyncio.open_connection("127.0.0.1", 9)
    with pytest.raises(VirtualTimeError, match="server"):
        await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    with pytest.raises(VirtualTimeError, match="subprocess"):
        await asyncio.create_subprocess_exec("true")
    with pytest.raises(VirtualTimeError):
        await asyncio.get_running_loop().getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)


# -- the grid


async def test_ticks_fall_on_multiples_of_the_period_of_loop_time() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.0034)
    ticks: list[int] = []
    remove = ticker(10).add(lambda: ticks.append(round(loop.time() * 1000)))
    await asyncio.sleep(0.05)
    remove()
    await asyncio.sleep(0.05)
    assert ticks == [10, 20, 30, 40, 50]


async def test_a_neighbour_does_not_change_when_one_is_served() -> None:
    loop = asyncio.get_running_loop()

    async def serve(began_ms: int, neighbour_ms: int | None) -> list[int]:
        grid = Ticker(loop, 10)
        ticks: list[int] = []
        start = -(-round(loop.time() * 1000) // 100) * 100 / 1000
        removers: list[Callable[[], None]] = []
        if neighbour_ms is not None:
            loop.call_at(start + neighbour_ms / 1000, lambda: removers.append(grid.add(lambda: None)))
        loop.call_at(
            start + began_ms / 1000,
            lambda: removers.append(grid.add(lambda: ticks.append(round((loop.time() - start) * 1000)))),
        )
        await asyncio.sleep(start - loop.time() + 0.1)
        for remove in removers:
            remove()
        return ticks

    alone = await serve(13, None)
    assert alone == await serve(13, 4) == await serve(13, 13) == await serve(13, 41)
    assert alone[0] == 20


async def test_within_a_tick_the_order_is_that_of_registration_and_one_that_fails_stops_nobody() -> None:
    grid = ticker(10)
    seen: list[str] = []
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fails() -> None:
        seen.append("b")
        raise ValueError

    removers = [grid.add(lambda: seen.append("a")), grid.add(fails), grid.add(lambda: seen.append("c"))]
    await asyncio.sleep(0.015)
    for remove in removers:
        remove()
    assert seen == ["a", "b", "c"]
    assert len(failures) == 1


async def test_an_idle_grid_has_no_timer() -> None:
    ticker(10).add(lambda: None)()
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in scheduled if not timer.cancelled()] == []


async def test_the_grid_does_not_drift() -> None:
    loop = asyncio.get_running_loop()
    ticks: list[float] = []
    remove = ticker(20).add(lambda: ticks.append(loop.time()))
    await asyncio.sleep(3_600)
    remove()
    assert len(ticks) == 180_000
    assert max(abs(at - (n + 1) * 0.02) for n, at in enumerate(ticks)) < 1e-6


# -- the clock of a call


async def test_a_calls_time_begins_at_zero_and_its_wall_time_follows() -> None:
    await asyncio.sleep(5)
    clock = MediaClock(asyncio.get_running_loop())
    assert clock.at_ms() == 0
    began = clock.wall_ms()
    await asyncio.sleep(1.2345)
    assert (clock.at_ms(), clock.wall_ms() - began) == (1234, 1234)


def test_wall_time_on_virtual_time_is_the_same_on_every_run() -> None:
    async def wall() -> int:
        return MediaClock(asyncio.get_running_loop()).wall_ms()

    assert run_virtual(wall()) == run_virtual(wall()) == 1_767_225_600_000


@pytest.mark.real_time
async def test_the_same_code_runs_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    assert not is_virtual(loop)
    clock = MediaClock(loop)
    await asyncio.sleep(0.01)
    assert clock.at_ms() >= 10
    assert not isinstance(loop, VirtualTimeLoop)
