"""Tools of an agent: rounds, results in the context, fillers, interruption, duplicates, agreement, secrets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.errors import ConfigurationError, ToolError
from voiceframe.events import LoggedEvent
from voiceframe.frames import UserTurnFrame
from voiceframe.llm import LLMRequest, Message, Part, Stop, TextDelta, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import Agent, AgentSettings
from voiceframe.testing import ScriptedLLM, call_tool, dial
from voiceframe.testing.record import CallTranscript
from voiceframe.tools import AnyTool, ToolContext, tool

#: Tracebacks show the line where it is used.
PIN = '47"11\n1174'


def bot_with(agent: Agent) -> Bot:
    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), agent, call.transport.output()])

    return bot


class Diary:
    """Tools that keep what was done with them."""

    def __init__(self, *, takes_ms: int = 200, **options: Any) -> None:
        self.booked: list[str] = []
        self.begun = 0
        self.keys: list[str] = []

        @tool(**options)
        async def book(ctx: ToolContext, day: str, pin: str = "") -> str:
            """Book an appointment.

            day: when.
            """
            self.begun += 1
            self.keys.append(ctx.idempotency_key)
            await asyncio.sleep(takes_ms / 1000)
            self.booked.append(day)
            return f"booked for {day}"

        @tool(side_effects=False, **({"say_after_ms": options["say_after_ms"]} if "say_after_ms" in options else {}))
        async def free(day: str) -> list[str]:
            """Say what is free."""
            self.begun += 1
            await asyncio.sleep(takes_ms / 1000)
            return ["10:00", "10:30"]

        self.book, self.free = book, free
        self.tools: list[AnyTool] = [book, free]


async def test_a_tool_is_called_and_its_result_goes_to_the_model() -> None:
    diary = Diary()
    llm = ScriptedLLM([[TextDelta("Let me book that."), *call_tool("book", day="Thursday")], "It is booked."])
    agent = Agent("clinic", llm=llm, tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Thursday, please")
        await caller.hears(r"Let me book that\. It is booked")
        await caller.listens()
    assert diary.booked == ["Thursday"]
    call = ToolCall("tool-1", "book", {"day": "Thursday"})
    assert llm.requests[1].messages == (
        Message("user", "Thursday, please"),
        Message("assistant", "Let me book that.", (call,)),
        Message("tool", "booked for Thursday", call_id="tool-1"),
    )
    assert agent.context[1:] == (*llm.requests[1].messages[1:], Message("assistant", "It is booked."))
    caller.record.tool_called("book", day="Thursday")
    assert caller.record.of("tool.returned")[0].personal == {"error": None, "result": "booked for Thursday"}
    spec = llm.requests[0].tools[0]
    assert (spec.name, spec.description) == ("book", "Book an appointment.")
    assert spec.parameters["properties"]["day"] == {"type": "string", "description": "when."}


async def test_tools_of_one_answer_run_side_by_side() -> None:
    diary = Diary(takes_ms=1_000)
    parts: list[Part] = [
        ToolCall("a", "free", {"day": "Monday"}),
        ToolCall("a", "free", {"day": "Tuesday"}),
        Stop("tools"),
    ]
    llm = ScriptedLLM([parts, "There are two."])
    async with dial(bot_with(Agent("clinic", llm=llm, tools=diary.tools))) as caller:
        await caller.says("What is free?")
        await caller.hears("two", within_ms=2_500)
    called = llm.requests[1].messages[1].tool_calls
    assert len({call.id for call in called}) == 2  # the model has given both the same id
    assert [message.call_id for message in llm.requests[1].messages[2:]] == [call.id for call in called]
    assert caller.record.of("turn.answered")[0].data["latency_ms"] == 1_000


async def test_a_wrong_call_is_explained_to_the_model() -> None:
    diary = Diary()
    llm = ScriptedLLM(
        [
            [ToolCall("1", "bok", {}), ToolCall("2", "book", {"dya": 1, "pin": 2}), Stop("tools")],
            [ToolCall("3", "book", {}, error="The arguments are no JSON."), Stop("tools")],
            "I am lost.",
        ]
    )
    async with dial(bot_with(Agent("clinic", llm=llm, tools=diary.tools))) as caller:
        await caller.says("Book")
        await caller.hears("lost")
    unknown, wrong = llm.requests[1].messages[2:]
    assert unknown.failed
    assert "There is no tool 'bok'" in unknown.text
    assert "`book`" in unknown.text
    assert wrong.failed
    assert all(word in wrong.text for word in ("'dya'", "without 'day'", "pin=2"))
    assert "no JSON" in llm.requests[2].messages[-1].text
    assert diary.begun == 0
    assert len(caller.record.of("tool.called")) == len(caller.record.of("tool.returned")) == 3


async def test_a_tool_that_fails_is_no_failure_of_the_call() -> None:
    @tool(side_effects=False)
    async def broken() -> str:
        raise OSError("no network")

    llm = ScriptedLLM([call_tool("broken"), "That does not work now."])
    async with dial(bot_with(Agent("clinic", llm=llm, tools=[broken]))) as caller:
        await caller.says("Do it")
        await caller.hears("does not work")
    assert llm.requests[1].messages[-1].failed
    assert "no network" in llm.requests[1].messages[-1].text
    assert not caller.record.of("processor.failed")


async def test_rounds_of_tools_are_bounded() -> None:
    diary = Diary()

    def again(request: LLMRequest) -> Any:
        if request.tool_choice == "none":
            return "I give up."
        return call_tool("free", day=str(len(request.messages)))

    agent = Agent("clinic", llm=ScriptedLLM([again], repeat=True), tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Try")
        await caller.hears("give up")
    assert diary.begun == agent.settings.tool_rounds == 5


async def test_a_slow_tool_has_one_filler_which_may_be_interrupted() -> None:
    diary = Diary(takes_ms=3_000, say_after_ms=800)
    parts: list[Part] = [
        ToolCall("1", "book", {"day": "Monday"}),
        ToolCall("2", "free", {"day": "Monday"}),
        Stop("tools"),
    ]
    llm = ScriptedLLM([parts, "All done."])
    agent = Agent("clinic", llm=llm, tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears(r"One moment, please\. All done")
        await caller.listens()
    assert caller.record.of("turn.answered")[0].data["latency_ms"] == 800
    assert [m.text for m in agent.context if m.role == "assistant"] == ["One moment, please.", "All done."]
    # The request ends with the results, whatever was said meanwhile.
    assert llm.requests[1].messages[-1].role == "tool"


async def test_a_quick_tool_has_no_filler() -> None:
    llm = ScriptedLLM([call_tool("book", day="Monday"), "All done."])
    agent = Agent("clinic", llm=llm, tools=Diary(takes_ms=700, say_after_ms=800).tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears("^All done")


async def test_an_interruption_lets_a_booking_finish_and_stops_a_lookup() -> None:
    diary = Diary(takes_ms=2_000)
    parts: list[Part] = [
        ToolCall("1", "book", {"day": "Monday"}),
        ToolCall("2", "free", {"day": "Monday"}),
        Stop("tools"),
    ]
    llm = ScriptedLLM([parts, "Right.", "It is booked, as you see."])
    agent = Agent("clinic", llm=llm, tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.waits(500)
        caller.interrupts_now("No, wait")
        await caller.hears("right")
        await caller.waits(3_000)
        assert caller.record.heard == ["Right."]  # nobody speaks about it unasked
        await caller.says("And?")
        await caller.hears("as you see")
    assert diary.booked == ["Monday"]
    running, cancelled = llm.requests[1].messages[2:4]
    assert "still running" in running.text
    assert cancelled.failed
    assert "interrupted" in cancelled.text
    assert llm.requests[2].messages[2] == Message("tool", "booked for Monday", call_id="1")


async def test_a_hang_up_lets_a_booking_finish() -> None:
    diary = Diary(takes_ms=2_000)
    parts: list[Part] = [
        ToolCall("1", "book", {"day": "Monday"}),
        ToolCall("2", "free", {"day": "Monday"}),
        Stop("tools"),
    ]
    agent = Agent("clinic", llm=ScriptedLLM([parts]), tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.waits(500)
        await caller.hangs_up()
    assert diary.booked == ["Monday"]
    assert [message.failed for message in agent.context if message.role == "tool"] == [False, True]
    assert len(caller.record.of("tool.returned")) == 2


async def test_a_failure_after_a_filler_is_not_followed_by_silence() -> None:
    llm = ScriptedLLM([call_tool("book", day="Monday"), RuntimeError("out of reach")])
    agent = Agent("clinic", llm=llm, tools=Diary(takes_ms=2_000, say_after_ms=500).tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears(r"One moment, please\. Sorry, could you say that again")


async def test_a_model_that_says_nothing_after_a_filler_is_not_followed_by_silence() -> None:
    llm = ScriptedLLM([call_tool("book", day="Monday"), ""])
    agent = Agent("clinic", llm=llm, tools=Diary(takes_ms=2_000, say_after_ms=500).tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears(r"One moment, please\. Sorry, could you say that again")


async def test_a_tool_that_ends_the_reply_has_said_all_there_is() -> None:
    llm = ScriptedLLM([call_tool("book", day="Monday")])
    agent = Agent("clinic", llm=llm, tools=Diary(takes_ms=2_000, say_after_ms=500, ends_reply=True).tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears("one moment")
        assert await caller.listens() == "One moment, please. "


async def test_the_apology_can_be_set() -> None:
    settings = AgentSettings(apology="I have a problem here. Please try again.")
    agent = Agent("clinic", llm=ScriptedLLM([RuntimeError("out of reach")]), settings=settings)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears("I have a problem here")
    assert caller.record.outcomes == {1: "answered"}
    assert caller.record.of("processor.failed")


# -- duplicates


async def duplicates(policy: str, *, takes_ms: int = 200, answers: int = 1) -> tuple[Diary, ScriptedLLM]:
    diary = Diary(on_duplicate=policy, takes_ms=takes_ms)
    llm = ScriptedLLM([call_tool("book", day="Monday"), "One.", call_tool("book", day="Monday"), "Two.", "Three."])
    async with dial(bot_with(Agent("clinic", llm=llm, tools=diary.tools))) as caller:
        await caller.says("Monday")
        await caller.hears("one")
        await caller.says("Monday")
        await caller.hears("two" if answers == 1 else "again")
        if answers > 1:
            await caller.says("Yes, please")
            await caller.hears("two")
    return diary, llm


async def test_a_duplicate_is_not_called_again_and_the_model_is_told_what_came_of_the_first() -> None:
    diary, llm = await duplicates("reject")
    assert diary.booked == ["Monday"]
    result = llm.requests[3].messages[-1]
    assert result.failed
    assert "booked for Monday" in result.text


async def test_duplicates_may_be_allowed() -> None:
    diary, _ = await duplicates("allow")
    assert diary.booked == ["Monday", "Monday"]
    assert len(set(diary.keys)) == 2


async def test_duplicates_may_need_the_callers_yes() -> None:
    diary, llm = await duplicates("confirm", answers=2)
    assert diary.booked == ["Monday", "Monday"]
    assert llm.requests[3].messages[-1].text == "Yes, please"


async def test_a_duplicate_may_take_the_place_of_the_one_that_runs() -> None:
    diary = Diary(on_duplicate="replace", takes_ms=2_000)
    llm = ScriptedLLM([call_tool("book", day="Monday"), call_tool("book", day="Monday"), "Done."])
    agent = Agent("clinic", llm=llm, tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.waits(500)
        caller.interrupts_now("Monday, I said")
        await caller.hears("done")
    assert (diary.begun, diary.booked) == (2, ["Monday"])
    assert [(m.failed, "again" in m.text) for m in agent.context if m.role == "tool"] == [(True, True), (False, False)]


async def test_two_equal_calls_of_one_answer_are_one_booking() -> None:
    diary = Diary()
    parts: list[Part] = [
        ToolCall("1", "book", {"day": "Monday"}),
        ToolCall("2", "book", {"day": "Monday"}),
        Stop("tools"),
    ]
    llm = ScriptedLLM([parts, "Done."])
    async with dial(bot_with(Agent("clinic", llm=llm, tools=diary.tools))) as caller:
        await caller.says("Monday")
        await caller.hears("done")
    assert diary.booked == ["Monday"]
    assert "still running" in llm.requests[1].messages[-1].text


async def test_after_a_while_it_is_no_duplicate_any_more() -> None:
    diary = Diary(on_duplicate="reject")
    llm = ScriptedLLM([call_tool("book", day="Monday"), "One.", call_tool("book", day="Monday"), "Two."])
    async with dial(bot_with(Agent("clinic", llm=llm, tools=diary.tools))) as caller:
        await caller.says("Monday")
        await caller.hears("one")
        await caller.waits(61_000)
        await caller.says("Monday")
        await caller.hears("two")
    assert diary.booked == ["Monday", "Monday"]


# -- agreement


@pytest.mark.parametrize(("answer", "booked"), [("Yes, please", True), ("No", False), ("What? How much is it?", False)])
async def test_a_tool_may_need_the_callers_yes(answer: str, booked: bool) -> None:
    diary = Diary(confirm="Shall I book {day}?")
    llm = ScriptedLLM([call_tool("book", day="Monday"), "So be it."])
    agent = Agent("clinic", llm=llm, tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears("Shall I book Monday")
        assert not diary.begun
        await caller.says(answer)
        if answer.startswith("What"):
            await caller.hears("shall i book monday")  # it is asked once more
            await caller.says(answer)
        await caller.hears("so be it")
        await caller.listens()
    assert bool(diary.booked) is booked
    result = next(message for message in llm.requests[1].messages if message.role == "tool")
    assert result.failed is not booked
    assert llm.requests[1].messages[-1] == Message("user", answer)


async def test_a_question_may_be_interrupted_and_is_answered_all_the_same() -> None:
    diary = Diary(confirm="Shall I book this appointment on {day} for you now?")
    llm = ScriptedLLM([call_tool("book", day="Monday"), "So be it."])
    async with dial(bot_with(Agent("clinic", llm=llm, tools=diary.tools))) as caller:
        await caller.says("Monday")
        await caller.interrupts("yes", after_ms=900)
        await caller.hears("so be it")
    assert diary.booked == ["Monday"]


async def test_an_operator_approves() -> None:
    diary = Diary(confirm="operator", say_after_ms=500, secret=("pin",))
    llm = ScriptedLLM([call_tool("book", day="Monday", pin="4711"), "So be it."])
    agent = Agent("clinic", llm=llm, tools=diary.tools)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears("one moment")
        (approval,) = agent.approvals
        assert (approval.tool, approval.arguments) == ("book", {"day": "Monday", "pin": "[secret]"})
        assert not agent.approve("other", by="operator:ann")
        assert agent.approve(approval.call_id, by="operator:ann")
        assert not agent.decline(approval.call_id, by="operator:ann")
        await caller.hears("so be it")
    assert diary.booked == ["Monday"]
    assert agent.approvals == ()
    audited = [(e.data["actor"], e.data["outcome"]) for e in approvals(caller.record)]
    assert audited == [("agent", "asked"), ("operator:ann", "done")]


def approvals(record: CallTranscript) -> list[LoggedEvent]:
    return [event for event in record.of("audit.action") if event.data["action"] == "tool.approve"]


@pytest.mark.parametrize("declined", [True, False])
async def test_without_approval_it_does_not_run(declined: bool) -> None:
    diary = Diary(confirm="operator")
    llm = ScriptedLLM([call_tool("book", day="Monday"), "Not today."])
    agent = Agent("clinic", llm=llm, tools=diary.tools, settings=AgentSettings(approval_ms=4_000))
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.waits(1_000)
        if declined:
            agent.decline(agent.approvals[0].call_id, by="operator:ann", reason="the diary is full")
        await caller.hears("not today")
    assert not diary.begun
    text = llm.requests[1].messages[-1].text
    assert ("the diary is full" if declined else "Nobody has approved") in text
    assert approvals(caller.record)[-1].data["outcome"] == ("refused" if declined else "failed")


# -- secrets


async def test_secret_arguments_are_in_no_event() -> None:
    seen: list[str] = []

    @tool(secret=("pin",))
    async def unlock(pin: str) -> str:
        seen.append(pin)
        raise ValueError(f"{pin} is wrong")

    llm = ScriptedLLM([call_tool("unlock", pin="471147"), "No."])
    async with dial(bot_with(Agent("bank", llm=llm, tools=[unlock]))) as caller:
        await caller.says("Unlock")
        await caller.hears("no")
    assert seen == ["471147"]
    assert "471147" not in "".join(caller.record.lines())
    assert "[secret] is wrong" in "".join(caller.record.lines())


# -- agents of one's own


async def test_an_own_agent_uses_tools() -> None:
    diary = Diary()

    class Own(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield "I will see. "
            yield f"It is {await self.use(diary.book, day=turn.text)}."
            try:
                await self.use(diary.book, day=turn.text)
            except ToolError as error:
                yield f" {error.code}"

    agent = Own("own")
    async with dial(bot_with(agent)) as caller:
        await caller.says("Monday")
        await caller.hears(r"I will see\. It is booked for Monday\. tool.duplicate")
        await caller.listens()
    assert [m.role for m in agent.context] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]


async def test_an_own_agent_may_ask_its_model_in_its_own_way() -> None:
    class Own(Agent):
        async def inference(self, messages: Any, tools: Any) -> Any:
            yield TextDelta(f"{len(messages)} messages, {len(tools)} tools")

    async with dial(bot_with(Own("own", tools=Diary().tools))) as caller:
        await caller.says("Monday")
        await caller.hears("1 messages, 2 tools")


def test_tools_that_cannot_be_had_are_refused() -> None:
    diary = Diary()
    with pytest.raises(ToolError, match=r"tool\.twice"):
        Agent("clinic", tools=[diary.book, Diary().book])
    with pytest.raises(ConfigurationError, match=r"agent\.tool"):
        Agent("clinic", tools=[lambda: None])  # type: ignore[list-item]


async def test_what_a_tool_says_after_an_interruption_is_not_heard() -> None:
    @tool()
    async def book(ctx: ToolContext) -> str:
        """Book."""
        await asyncio.sleep(2)
        ctx.say("It is still at it.")
        return "booked"

    llm = ScriptedLLM([call_tool("book"), "Which one?", "It is done."])
    agent = Agent("desk", llm=llm, tools=[book])
    async with dial(bot_with(agent)) as caller:
        await caller.says("Book it.")
        await caller.waits(500)
        caller.interrupts_now("Wait.")
        await caller.hears("Which one")
        await caller.waits(2_000)
        await caller.says("And?")
        await caller.hears("It is done")
    assert "still" not in " ".join(caller.record.heard)
    assert any(message.text == "booked" for message in agent.context)


async def test_a_secret_is_not_in_the_error_that_an_own_agent_does_not_catch() -> None:
    @tool(secret=("pin",))
    async def check(ctx: ToolContext, pin: str) -> str:
        """Check."""
        raise RuntimeError(f"no such pin: {pin!r}")

    class Own(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield str(await self.use(check, pin=PIN))

    async with dial(bot_with(Own("desk"))) as caller:
        await caller.says("Hello.")
        await caller.waits(500)
    events = caller.record.of("tool.called", "tool.returned", "processor.failed")
    assert {event.kind for event in events} == {"tool.called", "tool.returned", "processor.failed"}
    assert "1174" not in f"{caller.record.events}"


@pytest.mark.parametrize("value", [["4711", 8_150_000], {"a": {"b": "4711"}}, "x4711x8150000", 4711])
async def test_a_secret_that_a_tool_returns_is_in_no_event(value: Any) -> None:
    @tool(secret=("pins",))
    async def check(ctx: ToolContext, pins: list[Any]) -> Any:
        """Check."""
        return value

    llm = ScriptedLLM([call_tool("check", pins=["4711", 8_150_000]), "Good."])
    async with dial(bot_with(Agent("desk", llm=llm, tools=[check]))) as caller:
        await caller.says("Hello.")
        await caller.hears("Good")
    (returned,) = caller.record.of("tool.returned")
    assert "4711" not in f"{returned}"
    assert "8150000" not in f"{returned}"


async def test_what_an_argument_holds_is_no_part_of_the_question() -> None:
    @tool(confirm="Shall I send {text} to {who}?")
    async def send(ctx: ToolContext, text: str, who: str) -> str:
        """Send."""
        return "sent"

    llm = ScriptedLLM([call_tool("send", text="a {who} b", who="Ann"), "Good."])
    async with dial(bot_with(Agent("desk", llm=llm, tools=[send]))) as caller:
        await caller.says("Hello.")
        await caller.hears("Shall I send a {who} b to Ann")
        await caller.says("Yes.")
        await caller.hears("Good")


async def test_after_an_interruption_a_connection_is_made_for_the_next_turn() -> None:
    class Slow(ScriptedLLM):
        warmed = 0

        async def warm(self) -> None:
            self.warmed += 1
            await asyncio.sleep(0.5)

        async def stream(self, request: LLMRequest) -> Any:
            async for part in super().stream(request):
                if len(self.requests) == 1:
                    await asyncio.sleep(60)
                yield part

    llm = Slow(["Never.", "Hello."])
    async with dial(bot_with(Agent("desk", llm=llm, settings=AgentSettings(eager=False)))) as caller:
        await caller.waits(600)
        assert llm.warmed == 1
        await caller.says("Hello.")
        await caller.waits(500)
        await caller.says("Are you there?")
        await caller.hears("Hello")
        assert llm.warmed == 2


async def test_what_an_own_agent_gives_a_tool_can_be_told_to_every_model() -> None:
    seen: list[Any] = []

    @tool()
    async def book(ctx: ToolContext, day: date) -> str:
        """Book."""
        seen.append(day)
        return "booked"

    class Own(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            await self.use(book, day=date(2026, 12, 3))
            async for piece in super().reply(turn):
                yield piece

    llm = ScriptedLLM(["Good."])
    agent = Own("desk", llm=llm)
    async with dial(bot_with(agent)) as caller:
        await caller.says("Hello.")
        await caller.hears("Good")
    assert seen == [date(2026, 12, 3)]
    for messages in (agent.context, llm.requests[0].messages):
        (call,) = messages[1].tool_calls
        assert json.loads(json.dumps(dict(call.arguments))) == {"day": "2026-12-03"}
