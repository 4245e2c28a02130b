"""The app: admission, limits, refusals and an orderly end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from voiceframe.app import App, Limits
from voiceframe.call import Call
from voiceframe.errors import LinkError, Reject
from voiceframe.frames import UserTurnFrame
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor, handles
from voiceframe.sinks import MemorySink
from voiceframe.store import open_store
from voiceframe.transports import TextTransport


class Quiet(Processor):
    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self.call.say("Yes.")


def bot(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), Quiet(), call.transport.output()])


async def test_takes_a_call_and_lets_go_of_it_when_it_has_ended() -> None:
    app = App(bot, store=None)
    call = await app.take(TextTransport(), from_="+15550100", to="+15550199")
    assert app.calls == {call.id: call}
    call.hang_up()
    await call.wait_ended()
    await asyncio.sleep(0)
    assert app.calls == {}


async def test_a_bot_may_be_async_and_gets_the_facts_of_the_call() -> None:
    seen: list[tuple[str, str, str]] = []

    async def slow(call: Call) -> Pipeline:
        await asyncio.sleep(1)
        seen.append((call.direction, call.from_, call.metadata["campaign"]))
        return bot(call)

    app = App(slow, store=None)
    call = await app.take(TextTransport(), direction="outbound", from_="+15550100", metadata={"campaign": "spring"})
    assert seen == [("outbound", "+15550100", "spring")]
    call.hang_up()
    await call.wait_ended()


async def test_a_burst_cannot_overbook_while_bots_are_still_starting() -> None:
    async def slow(call: Call) -> Pipeline:
        await asyncio.sleep(1)
        return bot(call)

    app = App(slow, store=None, limits=Limits(max_calls=3))
    results = await asyncio.gather(*(app.take(TextTransport()) for _ in range(10)), return_exceptions=True)
    taken = [result for result in results if isinstance(result, Call)]
    refused = [result for result in results if isinstance(result, Reject)]
    assert (len(taken), len(refused)) == (3, 7)
    assert {refusal.reason for refusal in refused} == {"busy"}
    await app.drain(timeout_ms=0)


async def test_admission_is_asked_and_refuses_with_its_reason() -> None:
    sink = MemorySink()
    asked: list[str] = []

    def blocklist(app: App, call: Call) -> None:
        asked.append(call.from_)
        if call.from_ == "+15550666":
            raise Reject("declined")

    app = App(bot, store=None, admit=[blocklist], sinks=[sink])
    with pytest.raises(Reject, match="declined"):
        await app.take(TextTransport(), from_="+15550666")
    assert (asked, app.calls, sink.kinds) == (["+15550666"], {}, ["call.rejected"])


async def test_a_bot_may_refuse_and_takes_no_place_then() -> None:
    def picky(call: Call) -> Pipeline:
        raise Reject("busy")

    app = App(picky, store=None, limits=Limits(max_calls=1))
    for _ in range(3):
        with pytest.raises(Reject):
            await app.take(TextTransport())
    assert app.calls == {}


async def test_a_bot_that_fails_or_returns_nonsense_takes_no_place() -> None:
    def broken(call: Call) -> Pipeline:
        raise ZeroDivisionError

    def nonsense(call: Call) -> Pipeline:
        return None  # type: ignore[return-value]

    for function, error in ((broken, ZeroDivisionError), (nonsense, LinkError)):
        app = App(function, store=None)
        with pytest.raises(error):
            await app.take(TextTransport())
        assert app.calls == {}


async def test_a_drain_takes_no_more_calls_and_waits_for_those_that_run() -> None:
    app = App(bot, store=None)
    call = await app.take(TextTransport())
    loop = asyncio.get_running_loop()
    loop.call_later(5, call.hang_up)
    draining = asyncio.ensure_future(app.drain(timeout_ms=30_000))
    await asyncio.sleep(1)
    with pytest.raises(Reject, match="being stopped"):
        await app.take(TextTransport())
    assert await draining is True
    assert loop.time() < 6


async def test_a_drain_ends_what_does_not_end_by_itself() -> None:
    app = App(bot, store=None)
    calls = [await app.take(TextTransport()) for _ in range(3)]
    assert await app.drain(timeout_ms=10_000) is False
    assert {call.reason for call in calls} == {"drained"}


async def test_endpoints_are_opened_with_the_app_and_closed_before_the_calls_are_waited_for() -> None:
    log: list[str] = []

    class Door:
        async def open(self, app: App) -> None:
            log.append("open")

        async def close(self) -> None:
            log.append("close")

    async with App(bot, Door(), store=None) as app:
        call = await app.take(TextTransport())
        call.transport.call.hang_up()
    assert log == ["open", "close"]


@pytest.mark.real_time
async def test_the_events_of_all_calls_are_in_the_store_when_the_app_is_closed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with App(bot, store=url) as app:
        call = None
        for _ in range(3):
            call = await app.take(TextTransport(words_per_minute=0))
            call.say("Hello.")
            call.hang_up()
            await call.wait_ended()
    assert call is not None
    store = open_store(url)
    try:
        records = store.calls()
        assert [record.reason for record in records] == ["hangup"] * 3
        assert [event.kind for event in store.events(call.id)][-1] == "call.ended"
    finally:
        store.close()


async def test_a_bot_is_found_by_name(tmp_path: Path) -> None:
    file = tmp_path / "my_bot.py"
    file.write_text(
        "from voiceframe import Pipeline\ndef other(call):\n"
        "    return Pipeline([call.transport.input(), call.transport.output()])\n"
    )
    app = App(f"{file}:other", store=None)
    call = await app.take(TextTransport())
    call.hang_up()
    await call.wait_ended()


async def test_nothing_is_opened_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened() -> list[str]:
        return [path.name for path in tmp_path.glob("*.db")]

    monkeypatch.chdir(tmp_path)
    app = App(bot)
    assert opened() == []
    async with app:
        assert opened() == ["voiceframe.db"]
