"""An assistant makes the agent of each call, and does its work when the call is over, without holding it up."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import threading
from collections.abc import AsyncIterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from voiceframe import Agent, App, Call, Pipeline, Reject
from voiceframe.assistant import (
    After,
    Assistant,
    Experiment,
    FinishedCall,
    Goal,
    InMemoryStore,
    Memory,
    Variant,
    outcome_tool,
)
from voiceframe.errors import AssistantError, ToolError
from voiceframe.events import LoggedEvent
from voiceframe.frames import UserTurnFrame
from voiceframe.store import open_store
from voiceframe.testing import Caller, ScriptedLLM, call_tool, dial
from voiceframe.tools import tool
from voiceframe.transports.text import TextTransport


class Parrot(Agent):
    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        yield f"You said {turn.text}."


def parrot(call: Call) -> Agent:
    return Parrot("parrot", greeting="Hello!")


async def called(
    assistant: Assistant, *lines: str, seed: int = 0, data: dict[str, Any] | None = None, waits: bool = True
) -> Caller:
    """A call of the assistant, which is over. waits: so is the work behind it."""

    async def bot(call: Call) -> Pipeline:
        call.data.update(data or {})
        return Pipeline([call.transport.input(), await assistant.agent(call), call.transport.output()])

    async with dial(bot, seed=seed) as caller:
        for line in lines:
            await caller.says(line)
            await caller.listens()
        if not waits:
            caller.call.afterwards.clear()
    return caller


def came(caller: Caller, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    found = caller.record.of(*kinds)
    assert {event.writer for event in found} <= {"after"}
    return [(event.kind, {k: v for k, v in event.data.items() if k != "assistant"}) for event in found]


# -- the agent


async def test_each_call_has_an_agent_of_its_own_made_by_a_function_or_a_coroutine_function() -> None:
    async def slowly(call: Call) -> Agent:
        await asyncio.sleep(0.05)
        return parrot(call)

    for make in (parrot, slowly):
        assistant = Assistant(make)
        assert assistant.name == make.__name__
        for seed in range(2):
            assert "You said hi." in (await called(assistant, "hi", seed=seed)).record.heard


async def test_a_bot_without_an_agent_attends() -> None:
    seen: list[FinishedCall] = []

    async def keep(call: FinishedCall) -> None:
        seen.append(call)

    split = Experiment("x", [Variant("a"), Variant("b")])
    assistant = Assistant(None, name="recorder", experiments=[split], after=[keep])

    async def bot(call: Call) -> Pipeline:
        await assistant.attend(call, variants={"x": "b"})
        assert call.data["variants"] == {"x": "b"}
        return Pipeline([call.transport.input(), Parrot("parrot"), call.transport.output()])

    async with dial(bot):
        pass
    assert await assistant.drain()
    assert [(call.agent, call.variants) for call in seen] == [("", {"x": "b"})]
    with pytest.raises(AssistantError) as raised:
        await assistant.agent(Call(TextTransport()))
    assert raised.value.code == "assistant.agent"


async def test_two_assistants_may_serve_one_call() -> None:
    first = Assistant(parrot, experiments=[Experiment("x", [Variant("a"), Variant("b")])])
    second = Assistant(None, name="second", experiments=[Experiment("y", [Variant("c"), Variant("d")])])

    async def bot(call: Call) -> Pipeline:
        agent = await first.agent(call, variants={"x": "a"})
        await second.attend(call, variants={"y": "d"})
        assert call.data["variants"] == {"x": "a", "y": "d"}
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    async with dial(bot) as caller:
        pass
    assert [event.data["assistant"] for event in caller.record.of("assistant.started", "assistant.outcome")] == [
        "parrot",
        "second",
        "parrot",
        "second",
    ]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Assistant(lambda call: Agent("x")), "assistant.name"),
        (lambda: Assistant(None), "assistant.name"),
        (lambda: Assistant(Agent("x"), name="x"), "assistant.agent"),  # type: ignore[arg-type]
        (lambda: Assistant("bot", name="x"), "assistant.agent"),  # type: ignore[arg-type]
        (lambda: Assistant(parrot, goals=[Goal("a", tool="b"), Goal("a", tool="c")]), "assistant.twice"),
        (lambda: Assistant(parrot, after=[print, print]), "assistant.twice"),
        (lambda: Assistant(parrot, after=["print"]), "assistant.hook"),  # type: ignore[list-item]
        (lambda: After(print, attempts=0), "assistant.hook"),
        (lambda: After(print, timeout_ms=0), "assistant.hook"),
        (lambda: Goal("a"), "assistant.goal"),
        (lambda: Goal("a", tool="b", outcome="c"), "assistant.goal"),
        (lambda: Goal("", tool="b"), "assistant.goal"),
        (lambda: Goal("a", measure="b"), "assistant.goal"),  # type: ignore[arg-type]
        (lambda: outcome_tool("booked"), "assistant.outcomes"),
        (lambda: outcome_tool("booked", "booked"), "assistant.outcomes"),
        (lambda: outcome_tool("booked", "x\ny"), "assistant.outcomes"),
    ],
)
def test_what_cannot_be_an_assistant_is_refused(make: Any, code: str) -> None:
    with pytest.raises(AssistantError) as raised:
        make()
    assert raised.value.code == code


async def test_what_is_wrong_in_a_call_is_refused_with_what_to_do() -> None:
    assistant = Assistant(parrot)
    call = Call(TextTransport())
    with pytest.raises(AssistantError) as raised:
        assistant.variants(call)
    assert raised.value.code == "assistant.call"
    await assistant.agent(call)
    for again in (assistant.agent(call), assistant.attend(call)):
        with pytest.raises(AssistantError) as raised:
            await again
        assert raised.value.code == "assistant.again"
    with pytest.raises(AssistantError) as raised:
        assistant.memory(call)
    assert raised.value.code == "assistant.call"
    with pytest.raises(AssistantError) as raised:
        await Assistant(lambda call: "agent", name="x").agent(Call(TextTransport()))  # type: ignore[arg-type, return-value]
    assert raised.value.code == "assistant.agent"
    taken = Call(TextTransport())
    taken.data["variants"] = {"mine": "x"}
    with pytest.raises(AssistantError) as raised:
        await assistant.agent(taken)
    assert raised.value.code == "assistant.data"


async def test_an_agent_that_cannot_be_made_leaves_nothing_behind() -> None:
    def broken(call: Call) -> Agent:
        raise RuntimeError("no")

    call, seen = Call(TextTransport()), list[FinishedCall]()
    assistant = Assistant(broken, after=[seen.append])
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await assistant.agent(call)


async def test_a_call_that_is_refused_has_no_work_after_it() -> None:
    ran: list[FinishedCall] = []
    assistant = Assistant(parrot, after=[ran.append])

    async def bot(call: Call) -> Pipeline:
        await assistant.agent(call)
        raise Reject("busy")

    app = App(bot, store=None)
    with pytest.raises(Reject):
        await app.take(TextTransport())
    assert await assistant.drain()
    assert ran == []


# -- outcomes and goals


async def test_what_a_call_has_come_to_is_an_event() -> None:
    @tool()
    async def book() -> str:
        """Book."""
        return "booked"

    @tool()
    async def cancel() -> str:
        """Cancel."""
        raise RuntimeError("down")

    llm = ScriptedLLM(
        [
            call_tool("book"),
            "Booked.",
            call_tool("cancel"),
            "Not now.",
            call_tool("record_outcome", outcome="moved"),
            ".",
        ]
    )

    async def minutes(call: FinishedCall) -> float:
        await asyncio.sleep(0.01)
        return call.duration_ms / 60_000

    def broken(call: FinishedCall) -> bool:
        raise RuntimeError("no")

    assistant = Assistant(
        lambda call: Agent("clinic", llm=llm, tools=[book, cancel, outcome_tool("booked", "moved")]),
        name="clinic",
        goals=[
            Goal("booked", tool="book"),
            Goal("cancelled", tool="cancel"),
            Goal("called", tool="nothing"),
            Goal("moved", outcome="moved"),
            Goal("lost", outcome="lost"),
            Goal("minutes", measure=minutes),
            Goal("turns", measure=lambda call: len(call.turns)),
            Goal("unknown", measure=lambda call: None),
            Goal("endless", measure=lambda call: float("inf")),
            Goal("broken", measure=broken),
            Goal("words", measure=lambda call: "many"),  # type: ignore[arg-type, return-value]
        ],
    )
    caller = await called(assistant, "Book", "Cancel", "Move")
    assert await assistant.drain()
    event = caller.record.of("assistant.outcome")[0]
    goals = dict(event.data["goals"])
    assert goals.pop("minutes") == pytest.approx(caller.record.of("call.ended")[0].data["duration_ms"] / 60_000)
    assert goals == {
        "booked": True,
        "cancelled": False,
        "called": False,
        "moved": True,
        "lost": False,
        "turns": 3,
        "unknown": None,
        "endless": None,
        "broken": None,
        "words": None,
    }
    assert (event.data["outcome"], event.data["failed"]) == ("moved", ["broken", "words"])


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, None),
        ("", None),
        ("  a\n b ", "a b"),
        ("x" * 500, "x" * 64),
        (Colour.RED, "red"),
        (7, "7"),
        ("\ud800", None),
    ],
)
async def test_an_outcome_is_one_short_line(said: Any, kept: str | None) -> None:
    caller = await called(Assistant(parrot), data={"outcome": said})
    assert caller.record.of("assistant.outcome")[0].data["outcome"] == kept


async def test_a_model_can_note_only_an_outcome_that_there_is() -> None:
    noted = outcome_tool("booked", "no-slot", name="note", description="Note it.")
    assert noted.spec().parameters["properties"]["outcome"]["enum"] == ["booked", "no-slot"]
    assert (noted.name, noted.description) == ("note", "Note it.")
    with pytest.raises(ToolError):
        noted.bind({"outcome": "something else"})


# -- after the call


async def test_a_hook_has_the_whole_call() -> None:
    seen: list[FinishedCall] = []

    async def keep(call: FinishedCall) -> None:
        seen.append(call)

    assistant = Assistant(parrot, goals=[Goal("long", measure=lambda call: call.duration_ms > 1)], after=[keep])
    caller = await called(assistant, "one", "two", data={"outcome": "done", "ticket": 7})
    assert await assistant.drain()
    (call,) = seen
    assert (call.id, call.assistant, call.agent) == ("call_00000000", "parrot", "parrot")
    assert (call.reason, call.outcome, call.goals, call.data["ticket"]) == ("hangup", "done", {"long": True}, 7)
    assert call.turns == ["one", "two"] == caller.record.turns
    assert call.heard == ["Hello!", "You said one.", "You said two."] == caller.record.heard
    assert [who for who, _ in call.transcript] == ["bot", "caller", "bot", "caller", "bot"]
    assert call.duration_ms == caller.record.of("call.ended")[0].data["duration_ms"]
    assert list(call.events) == [event for event in caller.record.events if event.writer == "call"]
    assert (call.idempotency_key, call.attempt, call.events_left_out) == ("call_00000000:parrot:keep", 1, 0)


async def test_the_events_of_a_hook_are_in_order_and_a_tool_that_never_returned_is_no_use_of_it() -> None:
    @tool()
    async def stuck() -> str:
        """Never return."""
        await asyncio.sleep(3_600)
        return "late"

    seen: list[FinishedCall] = []
    memory = Memory(InMemoryStore(), ttl_ms=None, key=lambda call: "ann")
    llm = ScriptedLLM([call_tool("stuck")])
    assistant = Assistant(
        lambda call: Agent("clinic", llm=llm, tools=[stuck]), name="clinic", memory=memory, after=[seen.append]
    )

    async def bot(call: Call) -> Pipeline:
        await memory.of(call).open()  # its events are written first, and nobody has begun to look yet
        return Pipeline([call.transport.input(), await assistant.agent(call), call.transport.output()])

    async with dial(bot) as caller:
        caller.interrupts_now("Go")
        await asyncio.sleep(0.5)
        caller.call.cancel()
    assert await assistant.drain()
    assert [event.kind for event in seen[0].events][:3] == ["call.started", "memory.opened", "assistant.started"]
    called = [event for event in seen[0].events if event.kind.startswith("tool.")]
    lost = dataclasses.replace(seen[0], events=tuple(called[:1]))
    assert (called[0].kind, lost.tools) == ("tool.called", [])


async def test_what_was_private_is_not_in_what_a_hook_gets() -> None:
    seen: list[FinishedCall] = []
    assistant = Assistant(parrot, after=[seen.append])

    async def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), await assistant.agent(call), call.transport.output()])

    async with dial(bot) as caller:
        with caller.call.private():
            await caller.says("my pin is 1234")
            await caller.listens()
        await caller.says("bye")
        await caller.listens()
    assert await assistant.drain()
    assert seen[0].turns == ["bye"]
    assert "1234" not in str(seen[0].events)


async def test_a_hook_does_not_hold_up_the_end_of_its_call() -> None:
    async def slow(call: FinishedCall) -> None:
        await asyncio.sleep(20)

    assistant = Assistant(parrot, after=[slow])
    caller = await called(assistant, waits=False)
    assert caller.call.ended
    assert asyncio.get_running_loop().time() < 5
    assert came(caller, "after.due", "after.done") == [("after.due", {"hooks": ["slow"]})]
    assert await assistant.drain()
    assert came(caller, "after.done") == [("after.done", {"hook": "slow", "attempts": 1, "took_ms": 20_000})]


async def test_a_hook_that_fails_is_tried_again_later_and_later_with_the_same_key() -> None:
    tried: list[tuple[int, str, int]] = []

    async def flaky(call: FinishedCall) -> None:
        tried.append((call.attempt, call.idempotency_key, round(asyncio.get_running_loop().time() * 1_000)))
        if call.attempt < 4:
            raise ConnectionError("the CRM is down")

    hook = After(flaky, name="crm", attempts=5, backoff_ms=1_000, most_backoff_ms=2_500)
    assistant = Assistant(parrot, after=[hook])
    caller = await called(assistant)
    assert await assistant.drain()
    assert {key for _, key, _ in tried} == {"call_00000000:parrot:crm"}
    pauses = [later - at for (_, _, at), (_, _, later) in pairwise(tried)]
    for pause, wanted in zip(pauses, (1_000, 2_000, 2_500), strict=True):
        assert wanted * 0.8 <= pause <= wanted * 1.2
    failed = came(caller, "after.failed")
    assert [(data["attempt"], data["error"]) for _, data in failed] == [(n, "ConnectionError") for n in (1, 2, 3)]
    assert [data["retry_ms"] for _, data in failed] == pauses
    assert caller.record.of("after.failed")[0].personal == {"message": "the CRM is down"}
    assert came(caller, "after.done")[0][1]["attempts"] == 4


async def test_a_hook_that_never_succeeds_is_given_up_and_the_others_run() -> None:
    async def hangs(call: FinishedCall) -> None:
        await asyncio.sleep(3_600)

    ran: list[str] = []
    assistant = Assistant(
        parrot,
        after=[After(hangs, timeout_ms=500, attempts=2, backoff_ms=0), lambda call: ran.append(call.id)],
    )
    caller = await called(assistant)
    assert await assistant.drain()
    assert came(caller, "after.failed") == [
        ("after.failed", {"hook": "hangs", "attempt": 1, "error": "TimeoutError", "retry_ms": 0}),
        ("after.failed", {"hook": "hangs", "attempt": 2, "error": "TimeoutError", "retry_ms": None}),
    ]
    assert came(caller, "after.done") == [("after.done", {"hook": "<lambda>", "attempts": 1, "took_ms": 0})]
    assert ran == ["call_00000000"]


async def test_hooks_may_be_functions_of_any_kind() -> None:
    ran: list[str] = []

    class Hook:
        async def __call__(self, call: FinishedCall) -> None:
            ran.append("object")

        async def method(self, call: FinishedCall) -> None:
            ran.append("method")

    async def configured(name: str, call: FinishedCall) -> None:
        ran.append(name)

    def plain(call: FinishedCall) -> None:
        ran.append("plain")

    hook = Hook()
    assistant = Assistant(
        parrot,
        after=[
            hook,
            hook.method,
            After(functools.partial(configured, "partial"), name="partial"),
            plain,
            lambda call: configured("lambda", call),
        ],
    )
    caller = await called(assistant)
    assert await assistant.drain()
    assert sorted(ran) == ["lambda", "method", "object", "partial", "plain"]
    assert {data["hook"] for _, data in came(caller, "after.done")} == {
        "Hook",
        "method",
        "partial",
        "plain",
        "<lambda>",
    }


async def test_stopping_waits_so_long_and_then_gives_up_and_says_so() -> None:
    async def slow(call: FinishedCall) -> None:
        await asyncio.sleep(60)

    async def broken(call: FinishedCall) -> None:
        raise RuntimeError("down")

    assistant = Assistant(parrot, after=[slow, After(broken, backoff_ms=50_000)])
    caller = await called(assistant, waits=False)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await assistant.drain(10_000) is False
    assert loop.time() - began == pytest.approx(10, abs=0.1)
    last = [data for _, data in came(caller, "after.failed") if data["retry_ms"] is None]
    found = sorted((data["hook"], data["error"]) for data in last)
    assert found == [("broken", "CancelledError"), ("slow", "CancelledError")]
    assert await assistant.drain(0)


async def test_a_thousand_calls_that_end_at_once_are_not_a_thousand_requests_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("voiceframe.assistant.after._WAITING", 30)
    running = most = 0

    async def slow(call: FinishedCall) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    assistant = Assistant(parrot, after=[slow])
    callers = [await called(assistant, seed=seed, waits=False) for seed in range(60)]
    assert await assistant.drain(60_000)
    assert most == 16
    done = [came(caller, "after.done") for caller in callers]
    lost = [came(caller, "after.failed") for caller in callers]
    assert all(bool(d) != bool(f) for d, f in zip(done, lost, strict=True))  # each has run, or says that it has not
    assert {data["error"] for found in lost for _, data in found} == {"Overflow"}


async def test_a_hook_that_waits_for_all_hooks_does_not_wait_for_itself() -> None:
    async def odd(call: FinishedCall) -> None:
        assert await assistant.drain(5_000)

    assistant = Assistant(parrot, after=[odd])
    caller = await called(assistant)
    assert await assistant.drain()
    assert came(caller, "after.done") == [("after.done", {"hook": "odd", "attempts": 1, "took_ms": 0})]


async def test_a_call_of_many_events_is_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceframe.assistant.assistant._MOST_EVENTS", 5)
    seen: list[FinishedCall] = []
    assistant = Assistant(parrot, after=[seen.append])
    caller = await called(assistant, "one")
    assert await assistant.drain()
    assert len(seen[0].events) == 5
    assert seen[0].events_left_out == len([e for e in caller.record.events if e.writer == "call"]) - 5


async def test_a_hook_may_remember_something_for_the_next_call() -> None:
    async def keep(call: FinishedCall) -> None:
        assert call.memory is not None
        await call.memory.set("last", call.turns[-1])

    memory = Memory(InMemoryStore(), ttl_ms=None, key=lambda call: "ann")
    assistant = Assistant(parrot, memory=memory, after=[keep])
    caller = await called(assistant, "hi")
    assert await assistant.drain()
    assert came(caller, "memory.written", "after.done")[0][1]["replaced"] is False
    assert await memory.of((await called(Assistant(parrot, memory=memory), seed=1)).call).get("last") == "hi"


@pytest.mark.real_time
async def test_an_app_that_stops_waits_for_the_hooks_and_keeps_their_events(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'voiceframe.db'}"
    threads: list[str] = []

    def plain(call: FinishedCall) -> None:
        threads.append(threading.current_thread().name)

    async def slow(call: FinishedCall) -> None:
        await asyncio.sleep(0.2)

    assistant = Assistant(parrot, after=[slow, plain])

    async def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), await assistant.agent(call), call.transport.output()])

    async with App(bot, store=url) as app:
        call = await app.take(TextTransport())
        call.answered()
        call.end(after="now")
        await call.wait_ended()
    assert threads
    assert threads != [threading.current_thread().name]
    store = open_store(url)
    kept: list[LoggedEvent] = store.events(call.id)
    store.close()
    assert [(event.writer, event.seq) for event in kept if event.kind.startswith("after.")] == [
        ("after", 0),
        ("after", 2),
        ("after", 3),
    ]
    assert {event.data["hook"] for event in kept if event.kind == "after.done"} == {"slow", "plain"}
