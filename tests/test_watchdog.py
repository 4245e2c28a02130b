"""The watchdog names the handler that holds the event loop: real time, a real thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from voiceframe import Observer, Processor, handles, observes
from voiceframe.engine import EngineSettings
from voiceframe.frames import EndFrame, Frame, InterruptionFrame, MessageFrame
from voiceframe.testing.run import rig
from voiceframe.watchdog import Watchdog

pytestmark = pytest.mark.real_time

BLOCKS_S = 0.4
SETTINGS = EngineSettings(blocked_ms=100)


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that the tests need not block for long."""
    monkeypatch.setattr("voiceframe.watchdog._PERIOD_S", 0.05)


class Blocks(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> Frame:
        time.sleep(BLOCKS_S)
        return frame


class BlocksLater(Processor):
    @handles(MessageFrame)
    async def on_message(self, frame: MessageFrame) -> Frame:
        await asyncio.sleep(0)
        time.sleep(BLOCKS_S)  # noqa: ASYNC251  # that is what the watchdog is for
        return frame


class BlocksAfterAPush(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None:
        self.push(MessageFrame("a"))
        self.push(MessageFrame("b"))


class BlocksInASweep(Processor):
    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        time.sleep(BLOCKS_S)

    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> Frame:
        self.interrupt("now")
        return frame


class BlocksAtTheEnd(Processor):
    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        time.sleep(BLOCKS_S)


class BlocksInATask(Processor):
    @handles(MessageFrame)
    def on_message(self, frame: MessageFrame) -> None:
        self.spawn(self.work())

    async def work(self) -> None:
        time.sleep(BLOCKS_S)  # noqa: ASYNC251


class Looks(Observer):
    @observes(MessageFrame)
    def look(self, frame: MessageFrame) -> None:
        time.sleep(BLOCKS_S)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ([Blocks], ("Blocks", "on_message")),
        ([BlocksLater], ("BlocksLater", "on_message")),
        ([BlocksAfterAPush, Blocks], ("Blocks", "on_message")),
        ([BlocksInASweep], ("BlocksInASweep", "on_interruption")),
        ([BlocksAtTheEnd], ("BlocksAtTheEnd", "on_end")),
        ([BlocksInATask], ("BlocksInATask", "work")),
        ([Looks], ("Looks", "look")),
    ],
    ids=lambda value: value[0].__name__ if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("_often")
async def test_a_handler_that_blocks_is_named(
    line: list[type[Processor]], named: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(*[kind() for kind in line], engine_settings=SETTINGS) as call:
        await asyncio.sleep(0.1)  # the watchdog has had a sign of life
        with caplog.at_level(logging.WARNING, "voiceframe.watchdog"):
            call.push(MessageFrame("x"))
            await asyncio.sleep(0.01)
            await call.ends()
    blocked = call.events("processor.blocked")
    assert blocked
    assert {(event.data["processor"], event.data["handler"]) for event in blocked} == {named}
    assert all(event.data["blocked_ms"] >= 100 for event in blocked)
    assert f"{named[0]}.{named[1]} has blocked the event loop" in caplog.text


async def test_as_it_is_set_up_it_names_who_blocks_for_eight_tenths_of_a_second() -> None:
    class BlocksLong(Processor):
        @handles(MessageFrame)
        def on_message(self, frame: MessageFrame) -> None:
            time.sleep(0.8)

    async with rig(BlocksLong()) as call:
        await asyncio.sleep(0)
        call.push(MessageFrame("x"))
        await asyncio.sleep(0.05)
        assert [event.data["processor"] for event in call.events("processor.blocked")] == ["BlocksLong"]
        await call.ends()


@pytest.mark.usefixtures("_often")
async def test_who_does_not_block_is_not_named_and_the_thread_goes_with_the_last_call() -> None:
    async with rig(engine_settings=SETTINGS) as one, rig(engine_settings=SETTINGS) as two:
        watchdog = Watchdog.of(asyncio.get_running_loop())
        thread = watchdog._thread
        assert thread is not None
        await asyncio.sleep(0.3)
        await one.ends()
        assert thread.is_alive()
        await two.ends()
        assert one.events("processor.blocked") == two.events("processor.blocked") == []
    await asyncio.to_thread(thread.join, 2)
    assert thread not in threading.enumerate()
