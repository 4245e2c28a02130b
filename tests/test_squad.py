"""Squads: one specialist at a time has the caller, and whoever takes over answers the same turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from tests.test_agent_context import wrong
from voiceframe.app import Bot
from voiceframe.call import Call
from voiceframe.errors import HandoffError, SquadError
from voiceframe.events import HandoffRequested
from voiceframe.frames import EagerTurnFrame, TextFrame, UpdateSettingsFrame, UserTurnFrame
from voiceframe.llm import LLMRequest, Message, Stop, TextDelta, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import (
    Agent,
    AgentSettings,
    Destination,
    HandoffContext,
    HandoffRequest,
    Squad,
    last_turns,
    summary_only,
)
from voiceframe.testing import CallTranscript, ScriptedLLM, call_tool, dial
from voiceframe.testing.run import rig
from voiceframe.tools import Handoff, ToolContext, tool
from voiceframe.tools.asking import Agree


def to(target: str, reason: str = "asked", summary: str = "", id: str = "h1") -> list[Any]:
    """A model's answer that gives the caller away."""
    return call_tool("hand_off", id, target=target, reason=reason, summary=summary)


def squad_of(*scripts: tuple[str, Sequence[Any]], start: str = "", **options: Any) -> Squad:
    """Agents with scripted models."""
    agents = [
        Agent(name, f"You are {name}.", ScriptedLLM(script), description=f"all of {name}") for name, script in scripts
    ]
    return Squad(agents, start=start or scripts[0][0], **options)


def bot_with(make: Callable[[], Squad], kept: list[Squad] | None = None) -> Bot:
    def bot(call: Call) -> Pipeline:
        squad = make()
        if kept is not None:
            kept.append(squad)
        return Pipeline([call.transport.input(), squad, call.transport.output()])

    return bot


def requests_of(squad: Squad, name: str) -> list[LLMRequest]:
    llm = squad.agents[name].llm
    assert isinstance(llm, ScriptedLLM)
    return llm.requests


def statuses(record: CallTranscript) -> list[tuple[str, str, str]]:
    return [(e.data["source"], e.data["asked"], e.data["status"]) for e in record.of("handoff.decided")]


def specialists(record: CallTranscript) -> list[str]:
    return [event.data["specialist"] for event in record.of("specialist.changed")]


async def test_the_target_answers_the_same_turn() -> None:
    squad = squad_of(
        ("triage", [to("billing", "a question about an invoice", "The caller asks about invoice 7."), "not asked"]),
        ("billing", ["Invoice seven is paid.", "You are welcome."]),
    )
    async with dial(bot_with(lambda: squad)) as caller:
        assert squad.current.name == "triage"
        await caller.says("I have a question about invoice 7")
        await caller.hears("seven is paid")
        assert squad.current.name == "billing"
        await caller.says("Thank you")
        await caller.hears("welcome")
    record = caller.record
    assert statuses(record) == [("triage", "billing", "allowed")]
    assert specialists(record) == ["triage", "billing"]
    assert record.outcomes == {1: "answered", 2: "answered"}
    decided = record.of("handoff.decided")[0]
    assert decided.data["context"] == "default"
    assert decided.turn == 1
    assert decided.personal == {
        "reason": "a question about an invoice",
        "summary": "The caller asks about invoice 7.",
        "metadata": {},
    }
    first = requests_of(squad, "billing")[0].messages
    assert first[0] == Message("system", "You are billing.")
    assert "question about invoice 7" in first[1].text
    assert (
        '<note from="triage">Information, not said by the caller: triage has given the caller to you' in first[1].text
    )
    assert "The caller asks about invoice 7." in first[1].text
    assert len(requests_of(squad, "triage")) == 1


async def test_each_has_only_its_own_tools_and_instructions() -> None:
    @tool(side_effects=False)
    async def look_up(order: int) -> str:
        """Look up an order."""
        return f"order {order} is on its way"

    @tool()
    async def refund(order: int) -> str:
        """Refund an order."""
        return "refunded"

    support_llm = ScriptedLLM([call_tool("look_up", "c1", order=7), to("billing", id="c2")])
    billing_llm = ScriptedLLM([call_tool("refund", "c1", order=7), "It is refunded."])

    def make() -> Squad:
        return Squad(
            [
                Agent("support", "You support.", support_llm, tools=[look_up]),
                Agent("billing", "You bill.", billing_llm, tools=[refund]),
            ],
            start="support",
        )

    async with dial(bot_with(make)) as caller:
        await caller.says("Where is my order? I want my money back")
        await caller.hears("refunded")
    assert [spec.name for spec in support_llm.requests[0].tools] == ["look_up", "hand_off"]
    assert [spec.name for spec in billing_llm.requests[0].tools] == ["refund", "hand_off"]
    # What another one has called is told, and is no call: this model may be of another vendor, and has no such tool.
    messages = billing_llm.requests[0].messages
    assert not [message for message in messages if message.tool_calls or message.role == "tool"]
    assert "The tool look_up was called with" in messages[-1].text
    assert "order 7 is on its way" in messages[-1].text
    own = billing_llm.requests[1].messages
    assert [call.name for message in own for call in message.tool_calls] == ["refund"]
    assert not wrong(own)
    assert [event.data["name"] for event in caller.record.of("tool.called")] == ["look_up", "hand_off", "refund"]


async def test_the_handoff_tool_names_who_may_be_asked_and_what_for() -> None:
    squad = squad_of(
        ("triage", ["Hello."]),
        ("billing", []),
        ("tech", []),
        routes={"triage": ["billing", "front desk"]},
        destinations=[Destination("front desk", "when they want a person")],
    )
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello")
        await caller.hears("hello")
    spec = requests_of(squad, "triage")[0].tools[-1]
    assert spec.parameters["properties"]["target"]["enum"] == ["billing", "front desk"]
    assert "- billing: all of billing" in spec.description
    assert "- front desk: when they want a person" in spec.description
    assert "tech" not in spec.description


async def test_a_tool_may_hand_off() -> None:
    @tool()
    async def verify(pin: str) -> str | Handoff:
        """Verify the caller."""
        return Handoff("fraud", reason="a wrong pin", summary="The pin was wrong.", metadata={"ticket": 17})

    fraud = ScriptedLLM(["Let us be careful."])
    asked: list[HandoffRequest] = []

    def policy(request: HandoffRequest) -> Any:
        asked.append(request)
        return request.allow(metadata={"queue": "night"})

    def make() -> Squad:
        front = Agent("front", "", ScriptedLLM([call_tool("verify", pin="0000")]), tools=[verify])
        target = Agent("fraud", "The ticket is {{ data.squad.metadata.ticket | default('none') }}.", fraud)
        return Squad([front, target], start="front", handoff=policy)

    async with dial(bot_with(make)) as caller:
        await caller.says("My pin is 0000")
        await caller.hears("careful")
    assert (asked[0].source, asked[0].target, asked[0].metadata, asked[0].turn) == ("front", "fraud", {"ticket": 17}, 1)
    decided = caller.record.of("handoff.decided")[0]
    assert decided.personal is not None
    assert decided.personal["metadata"] == {"ticket": 17, "queue": "night"}
    assert fraud.requests[0].messages[0].text == "The ticket is 17."
    assert "17" not in fraud.requests[0].messages[-1].text.replace("0000", "")  # metadata are for programs


async def test_an_agent_of_ones_own_may_hand_off() -> None:
    class Front(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            yield "One moment."
            await self.hand_off("desk", reason="always")

    squad = Squad([Front("front"), Agent("desk", "", ScriptedLLM(["Desk here."]))], start="front")
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello")
        await caller.hears(r"One moment\. Desk here\.")
    assert statuses(caller.record) == [("front", "desk", "allowed")]


async def test_an_agent_of_ones_own_is_told_that_a_handoff_was_refused() -> None:
    class Front(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            try:
                await self.hand_off("dsek")
            except HandoffError as error:
                yield f"No: {error.code}."

    squad = Squad([Front("front"), Agent("desk", "", ScriptedLLM([]))], start="front")
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello")
        await caller.hears("handoff.unknown-target")


async def test_without_a_squad_nobody_can_be_given_the_caller() -> None:
    class Lonely(Agent):
        async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
            await self.hand_off("desk")
            yield "never"

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Lonely("lonely"), call.transport.output()])

    async with dial(bot) as caller:
        await caller.says("Hello")
        await caller.hears("say that again")
    assert caller.record.of("processor.failed")[0].data["code"] == "squad.outside"


async def test_a_tool_of_an_agent_alone_that_hands_off_is_refused() -> None:
    @tool()
    async def move() -> Any:  # one that says so is refused before the call begins
        """Move the caller."""
        return Handoff("billing")

    llm = ScriptedLLM([call_tool("move"), "I can help you myself."])

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Agent("lonely", "", llm, tools=[move]), call.transport.output()])

    async with dial(bot) as caller:
        await caller.says("Hello")
        await caller.hears("myself")
    assert "handoff.nobody" in llm.requests[1].messages[-1].text


# -- refused: whoever wanted it is told, and answers


@pytest.mark.parametrize(
    ("target", "status", "why", "code"),
    [
        ("bililng", "unknown-target", "", "handoff.unknown-target"),
        ("triage", "blocked", "cycle", "handoff.cycle"),
    ],
)
async def test_a_target_that_cannot_be(target: str, status: str, why: str, code: str) -> None:
    squad = squad_of(("triage", [to(target), "I will help you."]), ("billing", []))
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("My bill")
        await caller.hears("I will help")
    event = caller.record.of("handoff.decided")[0]
    assert (event.data["status"], event.data["why"], event.data["asked"]) == (status, why, target)
    assert event.data["target"] == ""
    result = requests_of(squad, "triage")[1].messages[-1]
    assert result.role == "tool"
    assert result.failed
    assert code in result.text
    assert caller.record.outcomes == {1: "answered"}
    assert specialists(caller.record) == ["triage"]


async def test_a_turn_does_not_go_round_in_circles() -> None:
    squad = squad_of(("a", [to("b"), "Back again."]), ("b", [to("a"), "Then I do it.", to("a", id="h2")]))
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello")
        await caller.hears("then I do it")
        await caller.says("And now?")  # another turn: now it may go back
        await caller.hears("back again")
    assert statuses(caller.record) == [("a", "b", "allowed"), ("b", "a", "blocked"), ("b", "a", "allowed")]
    assert [event.data["why"] for event in caller.record.of("handoff.decided")] == ["", "cycle", ""]


@pytest.mark.parametrize("most", [0, 1, 2])
async def test_at_most_so_many_handoffs_in_a_turn(most: int) -> None:
    chain = "abcd"
    scripts = [(name, [to(after), f"{name} answers."]) for name, after in zip(chain, f"{chain[1:]}d", strict=True)]
    squad = squad_of(*scripts, max_handoffs=most)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello")
        await caller.hears(f"{chain[most]} answers")
    assert [status for _, _, status in statuses(caller.record)] == ["allowed"] * most + ["max-exceeded"]
    assert caller.record.outcomes == {1: "answered"}


async def test_two_handoffs_are_the_bound_unless_said_otherwise() -> None:
    assert squad_of(("a", [])).limits.max_handoffs == 2
    assert squad_of(("a", [])).limits.max_tool_rounds == 5


async def test_rounds_of_tools_are_counted_for_all_specialists_together() -> None:
    @tool(side_effects=False)
    async def look(at: int) -> str:
        """Look."""
        return "nothing"

    def forever(request: LLMRequest) -> Any:
        if request.tool_choice == "none":
            return "That is all I know."
        return call_tool("look", at=len(request.messages))

    rounds = iter(range(3))

    def first(request: LLMRequest) -> Any:
        return to("b") if next(rounds, None) is None else call_tool("look", at=len(request.messages))

    a = Agent("a", "", ScriptedLLM([first], repeat=True), tools=[look])
    b = Agent("b", "", ScriptedLLM([forever], repeat=True), tools=[look])
    async with dial(bot_with(lambda: Squad([a, b], start="a"))) as caller:
        await caller.says("Look")
        await caller.hears("all I know")
    names = [event.data["name"] for event in caller.record.of("tool.called")]
    assert names == ["look", "look", "look", "hand_off", "look", "look"]


# -- the policy


async def test_a_policy_blocks_with_a_reason_for_the_specialist() -> None:
    def policy(request: HandoffRequest) -> Any:
        return request.block("the caller is not verified")

    squad = squad_of(("triage", [to("billing"), "What is your pin?"]), ("billing", []), handoff=policy)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("My bill")
        await caller.hears("pin")
    assert statuses(caller.record) == [("triage", "billing", "blocked")]
    assert caller.record.of("handoff.decided")[0].data["why"] == "policy"
    assert "the caller is not verified" in requests_of(squad, "triage")[1].messages[-1].text


async def test_a_policy_blocks_with_a_sentence_of_its_own() -> None:
    async def policy(request: HandoffRequest) -> Any:
        await asyncio.sleep(0.1)
        return request.block("closed", say="Billing is closed on Sundays.")

    squad = squad_of(("triage", [to("billing"), "Anything else?"]), ("billing", []), handoff=policy)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("My bill")
        await caller.hears("closed on Sundays")
        await caller.says("A pity")
        await caller.hears("anything else")
    assert caller.record.outcomes == {1: "answered", 2: "answered"}
    assert len(requests_of(squad, "triage")) == 2  # the sentence was the answer


async def test_a_policy_sends_the_caller_elsewhere() -> None:
    def policy(request: HandoffRequest) -> Any:
        return request.reroute("night", reason="it is late", summary="A short one.", metadata={"shift": 2})

    squad = squad_of(("triage", [to("billing")]), ("billing", []), ("night", ["The night desk."]), handoff=policy)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("My bill")
        await caller.hears("night desk")
    event = caller.record.of("handoff.decided")[0]
    assert (event.data["asked"], event.data["target"], event.data["status"]) == ("billing", "night", "rerouted")
    assert event.personal == {"reason": "it is late", "summary": "A short one.", "metadata": {"shift": 2}}


async def test_a_policy_escalates_to_a_person() -> None:
    def policy(request: HandoffRequest) -> Any:
        return request.escalate("supervisor", "third complaint")

    squad = squad_of(
        ("triage", [to("billing")]), ("billing", []), handoff=policy, destinations=[Destination("supervisor")]
    )
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("My bill")
        assert await caller.hears_the_end() == "handed-over"
    assert statuses(caller.record) == [("triage", "billing", "escalated")]
    request = caller.record.of("handoff.requested")[0]
    assert (request.data["target"], request.data["reason"]) == ("supervisor", "third complaint")


def wrong_policy(request: HandoffRequest) -> Any:
    return True


def lost_policy(request: HandoffRequest) -> Any:
    return request.reroute("nihgt")


def raising_policy(request: HandoffRequest) -> Any:
    raise RuntimeError("out of order")


async def stuck_policy(request: HandoffRequest) -> Any:
    await asyncio.sleep(3_600)


@pytest.mark.parametrize("policy", [wrong_policy, lost_policy, raising_policy, stuck_policy])
async def test_a_policy_that_fails_allows_nothing_and_leaves_no_silent_turn(policy: Any) -> None:
    squad = squad_of(("triage", [to("billing"), "I will try."]), ("billing", []), ("night", []), handoff=policy)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("My bill")
        await caller.hears("I will try")
    event = caller.record.of("handoff.decided")[0]
    assert (event.data["status"], event.data["why"]) == ("blocked", "failed")
    assert caller.record.of("processor.failed")
    assert caller.record.outcomes == {1: "answered"}


# -- the context


async def test_a_specialist_may_be_given_the_summary_only() -> None:
    squad = squad_of(
        ("triage", ["Hello, Ann.", to("billing", summary="Ann asks about a bill.")]),
        ("billing", [call_tool("none"), "It is paid.", "Goodbye."]),
        context=summary_only,
    )
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("I am Ann, and my secret is blue")
        await caller.hears("hello")
        await caller.says("What about my bill?")
        await caller.hears("paid")
        await caller.says("Thanks")
        await caller.hears("goodbye")
    for request in requests_of(squad, "billing"):
        assert not wrong(request.messages), request.messages
        assert "blue" not in str(request.messages)
        assert "Ann asks about a bill." in request.messages[1].text
        assert request.messages[1].text.endswith("What about my bill?")
    last = requests_of(squad, "billing")[-1].messages
    assert [message.role for message in last] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert [event.data["context"] for event in caller.record.of("handoff.decided")] == ["custom"]


async def test_a_specialist_may_be_given_the_last_turns() -> None:
    squad = squad_of(
        ("triage", ["One.", "Two.", "Three.", to("billing")]), ("billing", ["Yes."]), context=last_turns(2)
    )
    async with dial(bot_with(lambda: squad)) as caller:
        for number in ("first", "second", "third"):
            await caller.says(f"the {number} thing")
            await caller.listens()
        await caller.says("the fourth thing")
        await caller.hears("yes")
    said = "\n".join(message.text for message in requests_of(squad, "billing")[0].messages)
    assert "second" not in said
    assert "third" in said
    assert "Three." in said
    assert "fourth" in said


async def test_a_context_of_ones_own() -> None:
    given: list[HandoffContext] = []

    async def context(handoff: HandoffContext) -> Sequence[Message]:
        given.append(handoff)
        await asyncio.sleep(0.01)
        return [Message("assistant", "Before."), Message("tool", "lost", call_id="x"), handoff.turn, handoff.note]

    squad = squad_of(("triage", [to("billing", "why", "what")]), ("billing", ["Yes."]), context=context)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello there")
        await caller.hears("yes")
    found = given[0]
    assert (found.source, found.target, found.reason, found.summary) == ("triage", "billing", "why", "what")
    assert found.turn == Message("user", "Hello there")
    messages = requests_of(squad, "billing")[0].messages
    assert not wrong(messages)
    assert [message.role for message in messages] == ["system", "assistant", "user"]


@pytest.mark.parametrize(
    "context",
    [lambda given: [Message("system", "Obey.")], lambda given: [], lambda given: ["text"], lambda given: 1 / 0],
)
async def test_a_context_that_cannot_be_is_the_default_one(context: Any) -> None:
    squad = squad_of(("triage", [to("billing")]), ("billing", ["Yes."]), context=context)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello there")
        await caller.hears("yes")
    assert "Hello there" in requests_of(squad, "billing")[0].messages[1].text
    assert [event.data["context"] for event in caller.record.of("handoff.decided")] == ["default"]
    assert caller.record.of("processor.failed")


async def test_whoever_gets_the_caller_back_knows_their_own_tools() -> None:
    @tool(side_effects=False)
    async def look(at: str) -> str:
        """Look."""
        return f"{at} is fine"

    a_llm = ScriptedLLM([call_tool("look", "c1", at="bill"), to("b", id="c2"), "As I said: fine."])
    b_llm = ScriptedLLM(["I am b.", to("a")])

    def make() -> Squad:
        return Squad([Agent("a", "", a_llm, tools=[look]), Agent("b", "", b_llm)], start="a")

    async with dial(bot_with(make)) as caller:
        await caller.says("My bill")
        await caller.hears("I am b")
        await caller.says("Back, please")
        await caller.hears("as I said")
    last = a_llm.requests[-1].messages
    assert not wrong(last)
    assert [call.name for message in last for call in message.tool_calls] == ["look", "hand_off"]
    assert "b has given the caller to you, a" in last[-1].text


# -- outside


@pytest.mark.parametrize("kind", ["person", "queue"])
async def test_a_person_or_a_queue_is_an_event_a_sentence_and_the_end(kind: Any) -> None:
    desk = Destination("front desk", kind=kind, say="I am putting you through.")
    squad = squad_of(("triage", [to("front desk", "wants a person", "Ann, angry.")]), destinations=[desk])
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("A person!")
        assert await caller.hears_the_end() == "handed-over"
    record = caller.record
    assert record.heard == ["I am putting you through. "]
    event = record.of("handoff.requested")[0]
    assert event.data == {"target": "front desk", "reason": "wants a person", "target_kind": kind, "source": "triage"}
    assert event.personal == {"summary": "Ann, angry.", "number": "", "metadata": {}}
    assert record.outcomes == {1: "answered"}
    assert caller.call.data["outcome"] == "handed-over"
    assert caller.call.data["handoff"] == "front desk"
    assert specialists(record) == ["triage"]


async def test_a_number_is_handed_to_the_transfer() -> None:
    requests: list[HandoffRequested] = []

    async def transfer(call: Call, request: HandoffRequested) -> None:
        requests.append(request)
        await asyncio.sleep(3)
        call.end("transferred")

    branch = Destination("branch", kind="number", number="+4930123456")
    squad = squad_of(("triage", [to("branch"), "You are being put through."]), destinations=[branch], transfer=transfer)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("The branch, please")
        await caller.hears("putting you through")
        await caller.says("Are you there?")  # the specialist still has the caller
        await caller.hears("being put through")
        assert await caller.hears_the_end() == "transferred"
    assert (requests[0].target_kind, requests[0].number) == ("number", "+4930123456")


async def test_the_sentence_before_the_transfer_is_not_interrupted() -> None:
    squad = squad_of(
        ("triage", [to("desk")]), destinations=[Destination("desk", say="One moment, I am putting you through now.")]
    )
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("A person!")
        await caller.interrupts("Thanks", after_ms=500)
        assert await caller.hears_the_end() == "handed-over"
    assert caller.record.heard[0].strip() == "One moment, I am putting you through now."


async def test_a_transfer_that_fails_is_told_to_the_specialist_who_tells_the_caller() -> None:
    async def transfer(call: Call, request: HandoffRequested) -> None:
        await asyncio.sleep(1)
        raise OSError("no carrier")

    squad = squad_of(
        ("triage", [to("desk"), "I cannot reach them.", to("desk", id="h2")]),
        destinations=[Destination("desk")],
        transfer=transfer,
    )
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("A person!")
        await caller.hears("cannot reach them", within_ms=15_000)
        await caller.says("Again")
        await caller.hears("putting you through")
    assert "could not be put through to desk" in requests_of(squad, "triage")[1].messages[-1].text
    assert len(caller.record.of("handoff.requested")) == 2


async def test_who_wants_a_person_gets_one_after_any_number_of_handoffs() -> None:
    squad = squad_of(
        ("a", [to("b")]), ("b", [to("c")]), ("c", [to("desk")]), destinations=[Destination("desk")], max_handoffs=2
    )
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("A person!")
        assert await caller.hears_the_end() == "handed-over"
    assert [status for _, _, status in statuses(caller.record)] == ["allowed", "allowed", "allowed"]


# -- while somebody speaks


async def test_a_handoff_that_comes_after_an_interruption_does_not_take_place() -> None:
    @tool(side_effects=True)
    async def slow() -> Handoff:
        """Take long, then hand off."""
        await asyncio.sleep(3)
        return Handoff("billing", reason="at last")

    front_llm = ScriptedLLM([[TextDelta("One moment. "), *call_tool("slow")], "I am here.", "No."])

    def make() -> Squad:
        front = Agent("front", "", front_llm, tools=[slow])
        return Squad([front, Agent("billing", "", ScriptedLLM([]))], start="front")

    async with dial(bot_with(make)) as caller:
        await caller.says("My bill")
        await caller.interrupts("Hello?", after_ms=500)
        await caller.hears("I am here")
        await caller.waits(4_000)
        await caller.says("And?")
        await caller.hears("no")
    event = caller.record.of("handoff.decided")[0]
    assert (event.data["status"], event.data["why"]) == ("blocked", "late")
    assert specialists(caller.record) == ["front"]
    assert any("handoff.late" in message.text for message in front_llm.requests[-1].messages if message.role == "tool")
    assert caller.record.outcomes == {1: "answered", 2: "answered", 3: "answered"}


async def test_only_one_of_two_handoffs_at_once_takes_place() -> None:
    both = [
        ToolCall("h1", "hand_off", {"target": "b", "reason": "", "summary": ""}),
        ToolCall("h2", "hand_off", {"target": "c", "reason": "", "summary": ""}),
        Stop("tools"),
    ]

    async def policy(request: HandoffRequest) -> Any:
        await asyncio.sleep(0.2)
        return request.allow()

    squad = squad_of(("a", [both]), ("b", ["b answers."]), ("c", ["c answers."]), handoff=policy)
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello")
        await caller.hears("b answers")
        await caller.listens()
    assert {(target, status) for _, target, status in statuses(caller.record)} == {("b", "allowed"), ("c", "blocked")}
    assert caller.record.heard == ["b answers."]


async def test_a_question_of_a_tool_is_answered_in_the_next_turn_whoever_asks() -> None:
    @tool(confirm="Shall I refund order {order}?")
    async def refund(order: int) -> str:
        """Refund."""
        return "refunded"

    def make() -> Squad:
        billing = Agent("billing", "", ScriptedLLM([call_tool("refund", order=7), "It is done."]), tools=[refund])
        return Squad([Agent("triage", "", ScriptedLLM([to("billing")])), billing], start="triage")

    async with dial(bot_with(make)) as caller:
        await caller.says("My money back")
        await caller.hears("refund order seven")
        await caller.says("Yes")
        await caller.hears("done")
    assert caller.record.outcomes == {1: "answered", 2: "answered"}


async def test_an_agreement_may_stand_before_a_handoff() -> None:
    @tool()
    async def move(ctx: ToolContext) -> Handoff | str:
        """Ask whether to move."""
        return Handoff("billing") if await ctx.ask(Agree("Shall I get billing?")) else "they stay"

    def make() -> Squad:
        triage = Agent("triage", "", ScriptedLLM([call_tool("move")]), tools=[move])
        return Squad([triage, Agent("billing", "", ScriptedLLM(["Billing here."]))], start="triage")

    async with dial(bot_with(make)) as caller:
        await caller.says("My bill")
        await caller.hears("shall I get billing")
        await caller.says("Yes, please")
        await caller.hears("billing here")
    assert caller.record.outcomes == {1: "answered", 2: "answered"}


async def test_an_eager_answer_is_that_of_the_current_specialist() -> None:
    squad = squad_of(("a", [to("b"), "never"]), ("b", ["I am b.", "Still b."]))
    async with rig(squad) as running:
        running.push(UserTurnFrame(running.call.turns.new(), "Hello"))
        await asyncio.sleep(0.1)
        running.push(EagerTurnFrame("And now?"))
        await asyncio.sleep(0.1)
        assert len(requests_of(squad, "b")) == 2
        running.push(UserTurnFrame(running.call.turns.new(), "And now?"))
        await asyncio.sleep(0.1)
        texts = [frame.text for frame in running.result.down if isinstance(frame, TextFrame)]
    assert "".join(texts).endswith("Still b.")
    assert len(requests_of(squad, "b")) == 2


async def test_a_target_whose_model_fails_leaves_no_silent_turn() -> None:
    squad = squad_of(("a", [to("b")]), ("b", [RuntimeError("out of reach"), "Here I am."]))
    async with dial(bot_with(lambda: squad)) as caller:
        await caller.says("Hello")
        await caller.hears("say that again")
        await caller.says("Hello?")
        await caller.hears("here I am")
    assert caller.record.outcomes == {1: "unanswered", 2: "answered"}


async def test_settings_of_a_specialist_and_of_the_squad() -> None:
    squad = squad_of(("a", [to("b"), "Then I do it."]), ("b", []))
    async with rig(squad) as running:
        running.push(UpdateSettingsFrame("squad", {"max_handoffs": 0}))
        running.push(UpdateSettingsFrame("a", {"instructions": "Be brief.", "temperature": 0.5}))
        running.push(UserTurnFrame(running.call.turns.new(), "Hello"))
        await asyncio.sleep(0.1)
        assert [event.data["status"] for event in running.events("handoff.decided")] == ["max-exceeded"]
    assert requests_of(squad, "a")[0].messages[0].text == "Be brief."
    assert requests_of(squad, "a")[0].temperature == 0.5


async def test_the_greeting_is_that_of_whoever_begins() -> None:
    def make() -> Squad:
        return Squad(
            [Agent("a", greeting="A speaking."), Agent("b", greeting="B speaking, for {{ agent }}.")], start="b"
        )

    async with dial(bot_with(make)) as caller:
        await caller.hears("B speaking, for b")
    changed = caller.record.of("specialist.changed")[0]
    assert changed.data == {"squad": "squad", "specialist": "b", "previous": "", "cause": "start"}


# -- declared in a way that cannot work


class WithHandler(Agent):
    async def on_turn(self, frame: UserTurnFrame) -> None:
        await super().on_turn(frame)


def pair(**options: Any) -> Squad:
    return Squad([Agent("a"), Agent("billing")], **{"start": "a", **options})


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda: Squad([], start="a"), "squad.empty", "nobody"),
        (lambda: Squad(["a"], start="a"), "squad.not-an-agent", "'a'"),  # type: ignore[list-item]
        (lambda: Squad([Agent()], start="a"), "squad.unnamed", "no name"),
        (lambda: Squad([Agent("a"), Agent("a")], start="a"), "squad.name-twice", "'a'"),
        (lambda: pair(name="a"), "squad.name-twice", "'a'"),
        (lambda: pair(destinations=[Destination("a")]), "squad.name-twice", "'a'"),
        (lambda: pair(start="biling"), "squad.start", "billing"),
        (lambda: pair(routes={"a": ["biling"]}), "squad.route", "billing"),
        (lambda: pair(routes={"bb": []}), "squad.route", "'bb'"),
        (lambda: Squad([pair()], start="squad"), "squad.nested", "Squad"),
        (lambda: Squad([WithHandler("a")], start="a"), "squad.handlers", "on_turn"),
        (lambda: Destination("x", kind="number"), "squad.number", "no number"),
        (lambda: Destination("x", kind="number", number="030 1234"), "squad.number", "E.164"),
        (lambda: Destination("x", number="+4930123456"), "squad.number", "person"),
        (lambda: Destination("x", say=" "), "squad.say", "'x'"),
        (lambda: Destination("x", kind="robot"), "squad.destination", "robot"),  # type: ignore[arg-type]
        (lambda: Destination(" "), "squad.destination", "person"),
        (lambda: last_turns(0), "squad.last-turns", "0"),
    ],
)
async def test_a_squad_that_cannot_work_is_refused(make: Callable[[], Any], code: str, says: str) -> None:
    with pytest.raises(SquadError) as caught:
        make()
    assert caught.value.code == code
    assert says in str(caught.value)


async def test_an_agent_belongs_to_one_squad() -> None:
    agent = Agent("a")
    Squad([agent], start="a")
    with pytest.raises(SquadError) as caught:
        Squad([agent], start="a", name="other")
    assert caught.value.code == "squad.taken"


async def test_a_target_that_is_no_text_is_a_failure_of_the_tool() -> None:
    @tool()
    async def move() -> Handoff:
        """Move."""
        return Handoff(Agent("b"))  # type: ignore[arg-type]

    llm = ScriptedLLM([call_tool("move"), "Sorry."])
    async with dial(bot_with(lambda: Squad([Agent("a", "", llm, tools=[move]), Agent("b")], start="a"))) as caller:
        await caller.says("Hello")
        await caller.hears("sorry")
    assert "the name of a specialist" in llm.requests[1].messages[-1].text


async def test_old_turns_are_summarized_for_the_one_who_has_the_caller() -> None:
    def summary_or(text: str) -> Callable[[LLMRequest], Any]:
        return lambda request: (
            "Ann wants a red one." if "notes of a telephone call" in str(request.messages[0]) else text
        )

    settings = AgentSettings(context_tokens=500, summarize_at=0.1, keep_turns=2)
    llm = ScriptedLLM([summary_or("Indeed, that is so, and it will be so for a long time. " * 4)], repeat=True)
    billing = Agent("billing", "You are billing.", llm, settings=settings)
    triage_llm = ScriptedLLM([to("billing")])

    def make() -> Squad:
        return Squad([Agent("triage", "", triage_llm), billing], start="triage")

    async with dial(bot_with(make)) as caller:
        for number in range(6):
            await caller.says(f"Question {number} about my red bicycle, which I have bought from you in the summer")
            await caller.listens()
    last = llm.requests[-1] if "notes of" not in str(llm.requests[-1].messages[0]) else llm.requests[-2]
    assert "(Summary of the conversation until here: Ann wants a red one.)" in str(last.messages)
    assert "Question 0" not in str(last.messages)
    assert not wrong(last.messages)
    assert len(triage_llm.requests) == 1
