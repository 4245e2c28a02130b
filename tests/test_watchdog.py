"""The watchdog: names the handler that holds the event loop. Real loops and a real thread."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from voiceframe.call import Call
from voiceframe.engine import EngineSettings
from voiceframe.events import LoggedEvent
from voiceframe.frames import InterruptionFrame, TranscriptionFrame
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor, handles
from voiceframe.transports import TextTransport

pytestmark = pytest.mark.real_time


class Blocks(Processor):
    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> None:
        time.sleep(0.9)  # noqa: ASYNC251


class BlocksInTheMailbox(Processor):
    @handles(TranscriptionFrame)
    async def on_words_slowly(self, frame: TranscriptionFrame) -> None:
        await asyncio.sleep(0)
        time.sleep(0.9)  # noqa: ASYNC251


class BlocksInTheSweep(Processor):
    @handles(InterruptionFrame)
    def on_stop(self, frame: InterruptionFrame) -> None:
        time.sleep(0.9)  # noqa: ASYNC251


async def blocked(processor: Processor) -> list[LoggedEvent]:
    """The events of a call in which `processor` got a transcription and an interruption."""
    call = Call(TextTransport(), engine_settings=EngineSettings(blocked_ms=200))
    events: list[LoggedEvent] = []
    call.log.subscribe(events.append)
    await call.start(Pipeline([call.transport.input(), processor, call.transport.output()]))
    await asyncio.sleep(0.3)  # the watchdog has had a sign of life
    call.send(TranscriptionFrame("hello"))
    await asyncio.sleep(0.01)
    call.hang_up()
    await call.wait_ended()
    await asyncio.sleep(0)
    return [event for event in events if event.kind == "processor.blocked"]


@pytest.mark.parametrize(
    ("processor", "handler"),
    [(Blocks(), "on_words"), (BlocksInTheMailbox(), "on_words_slowly"), (BlocksInTheSweep(), "on_stop")],
    ids=["def", "async def", "sweep"],
)
async def test_names_who_blocks(processor: Processor, handler: str) -> None:
    events = await blocked(processor)
    assert [(event.data["processor"], event.data["handler"]) for event in events] == [(processor.name, handler)]
    assert events[0].data["blocked_ms"] >= 200


async def test_a_loop_that_runs_is_left_alone() -> None:
    class Fine(Processor):
        @handles(TranscriptionFrame)
        async def on_words(self, frame: TranscriptionFrame) -> None:
            await asyncio.sleep(0.7)

    assert await blocked(Fine()) == []


async def test_the_thread_lives_as_long_as_there_are_calls() -> None:
    def watchdogs() -> int:
        return sum(thread.name == "voiceframe-watchdog" for thread in threading.enumerate())

    before = watchdogs()
    calls = [Call(TextTransport()) for _ in range(3)]
    for call in calls:
        await call.start(Pipeline([call.transport.input(), call.transport.output()]))
    assert watchdogs() == before + 1  # one for the loop, not one a call
    for call in calls:
        call.hang_up()
        await call.wait_ended()
    for _ in range(40):
        if watchdogs() == before:
            break
        await asyncio.sleep(0.05)
    assert watchdogs() == before
