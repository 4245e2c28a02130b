"""Random calls with a squad: whatever happens, and when, no turn is lost, no tool is stuck, and one has the caller."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from tests.test_agent_context import wrong
from voiceframe.call import Call
from voiceframe.clock import run_virtual as run
from voiceframe.events import HandoffRequested
from voiceframe.frames import EagerTurnFrame, TurnResumedFrame
from voiceframe.llm import LLMRequest, Stop, TextDelta, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import (
    Agent,
    AgentSettings,
    Destination,
    HandoffRequest,
    Router,
    RouteRequest,
    Squad,
    full_history,
    last_turns,
    summary_only,
)
from voiceframe.testing import ScriptedLLM, dial
from voiceframe.tools import AnyTool, Handoff, ToolContext, tool
from voiceframe.tools.asking import Agree

NAMES = ("ann", "bob", "cid")


class World:
    """Specialists with tools that take their time, ask, fail and hand off, and models that do anything at all."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.requests: list[LLMRequest] = []
        self.strangers: list[tuple[str, str]] = []  # who was asked while another one had the caller
        self.failed = False

        async def work(ctx: ToolContext) -> None:
            await asyncio.sleep(rng.choice((0, 0.01, 0.3, 1.5, 4)))
            if rng.random() < 0.2:
                raise OSError("no network")

        @tool(timeout_ms=3_000, on_duplicate=rng.choice(("allow", "reject", "replace", "confirm")))
        async def book(ctx: ToolContext, day: int) -> str:
            await work(ctx)
            return "booked"

        @tool(side_effects=False, say_after_ms=rng.choice((None, 0, 200)), timeout_ms=3_000)
        async def look(ctx: ToolContext, day: int) -> str:
            await work(ctx)
            return "seen"

        @tool(side_effects=rng.random() < 0.5, timeout_ms=3_000, on_duplicate="allow")
        async def move(ctx: ToolContext, day: int) -> str | Handoff:
            await work(ctx)
            return Handoff(rng.choice((*NAMES, "desk", "nobody")), reason=f"day {day}")

        @tool(side_effects=False, on_interrupt="finish", timeout_ms=8_000)
        async def ask(ctx: ToolContext) -> bool | Handoff:
            return Handoff(rng.choice(NAMES)) if await ctx.ask(Agree("Do you?")) else False

        self.tools: list[AnyTool] = [book, look, move, ask]
        agents = [self.agent(name) for name in NAMES]
        self.squad = Squad(
            agents,
            start="ann",
            destinations=[Destination("desk", say="I am putting you through.")],
            routes=rng.choice((None, {"ann": ["bob", "desk"]})),
            handoff=self.policy,
            context=rng.choice((full_history, summary_only, last_turns(2), self.context)),
            transfer=rng.choice((None, self.transfer)),
            max_handoffs=rng.choice((0, 1, 2, 2, 5)),
            max_tool_rounds=rng.choice((1, 5)),
        )

    def agent(self, name: str) -> Agent:
        rng = self.rng
        llm = ScriptedLLM(
            [lambda request: self.answer(name, request)],
            delay_ms=rng.choice((0, 20, 300)),
            word_ms=rng.choice((0, 30)),
            repeat=True,
        )
        settings = AgentSettings(
            approval_ms=2_000, context_tokens=rng.choice((500, 16_000)), tool_rounds=rng.choice((1, 5))
        )
        tools = rng.sample(self.tools, rng.randrange(len(self.tools) + 1))
        return Agent(name, f"You are {name}.", llm, tools=tools, settings=settings, description=f"the one of {name}")

    def answer(self, name: str, request: LLMRequest) -> Any:
        rng = self.rng
        self.requests.append(request)
        if request.tools and self.squad.current.name != name:
            self.strangers.append((name, self.squad.current.name))
        if rng.random() < 0.04:
            self.failed = True
            return RuntimeError("out of reach")
        parts: list[Any] = [TextDelta("Well, "), TextDelta("so ")] if rng.random() < 0.5 else []
        names = [spec.name for spec in request.tools]
        if names and request.tool_choice != "none" and rng.random() < 0.6:
            for _ in range(rng.choice((1, 1, 2, 3))):
                called = rng.choice((*names, "hand_off", "hand_off", "none"))
                arguments: dict[str, Any] = {} if called == "ask" else {"day": rng.choice((1, 2, "x"))}
                if called == "hand_off":
                    arguments = {"target": rng.choice((*NAMES, *NAMES, "desk", "bobb")), "reason": "r", "summary": "s"}
                    arguments = rng.choice((arguments, arguments, arguments, {}))
                parts.append(ToolCall(f"id{rng.randrange(4)}", called, arguments))
            return [*parts, Stop("tools")]
        return [*parts, TextDelta("that is "), TextDelta("it."), Stop()]

    async def policy(self, request: HandoffRequest) -> Any:
        rng = self.rng
        await asyncio.sleep(rng.choice((0, 0, 0, 0.2, 1.5, 3)))
        return rng.choice(
            (
                request.allow,
                request.allow,
                request.allow,
                lambda: request.reroute(rng.choice((*NAMES, "bobb"))),
                lambda: request.block("no"),
                lambda: request.block("no", say="That is not possible."),
                lambda: request.escalate("desk", "angry"),
                lambda: None,
            )
        )()

    async def context(self, context: Any) -> Any:
        await asyncio.sleep(self.rng.choice((0, 0.1, 3)))
        if self.rng.random() < 0.1:
            raise ValueError("no context")
        return self.rng.sample((*context.messages, context.note), len(context.messages))

    async def classify(self, request: RouteRequest) -> str | None:
        await asyncio.sleep(self.rng.choice((0, 0.1, 1, 3)))
        return self.rng.choice(("squad", "squad", None, "nobody"))

    async def transfer(self, call: Call, request: HandoffRequested) -> None:
        await asyncio.sleep(self.rng.choice((0, 1, 5)))
        if self.rng.random() < 0.5:
            raise OSError("no carrier")
        call.end("transferred")


async def play(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    squad = world.squad
    # Some stand behind a router that does not always know, or not in time.
    routed = rng.random() < 0.3
    front = Router([squad], fallback="squad", classifier=world.classify, turns=rng.choice((1, 3))) if routed else squad

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), front, call.transport.output()])

    async with dial(bot, seed=seed, words_per_minute=rng.choice((0, 180, 900))) as caller:
        call = caller.call
        for _ in range(rng.randrange(2, 12)):
            if call.ended or call.engine.ending:
                break
            action = rng.random()
            text = rng.choice(("yes", "no", "book it", "a person", "what?"))
            if action < 0.5:
                if rng.random() < 0.3:
                    call.send(EagerTurnFrame(text))
                    await asyncio.sleep(rng.choice((0, 0.05, 0.4)))
                    if rng.random() < 0.3 and not call.engine.ending:
                        call.send(TurnResumedFrame())
                if not call.engine.ending:
                    caller.interrupts_now(text)
            elif action < 0.6:
                call.interrupt("caller")
            elif action < 0.7:
                front.advise("It was moved.", speak=rng.random() < 0.7)
            elif action < 0.75:
                call.say("This call is recorded.")
            await asyncio.sleep(rng.choice((0, 0.01, 0.2, 1, 3)))
        settled: tuple[dict[int, str], int | None] | None = None
        if rng.random() < 0.7:
            await asyncio.sleep(60)  # everything that waits has run out by now
            settled = dict(caller.record.outcomes), call.turns.pending
        began = asyncio.get_running_loop().time()
        await caller.hangs_up()
        cut = asyncio.get_running_loop().time() - began >= call.engine.settings.end_margin_ms / 1000
    record = caller.record
    where = f"seed {seed}"
    # Each turn has one outcome, and where there was time for one it had it before the end.
    turns = [event.data["turn"] for event in record.of("turn.committed")]
    outcomes = record.of("turn.answered", "turn.unanswered", "turn.skipped")
    assert sorted(event.data["turn"] for event in outcomes) == turns, where
    if settled is not None:
        assert settled[1] is None, where
        assert set(settled[0]) == set(turns), where
    reasons = {event.data["reason"] for event in record.of("turn.unanswered")}
    assert reasons <= {"superseded", "deadline", "interrupted", "ended", "error"}, (where, reasons)
    # No tool is stuck, and none returns twice.
    called = [event.data["call_id"] for event in record.of("tool.called")]
    returned = [event.data["call_id"] for event in record.of("tool.returned")]
    assert cut or sorted(called) == sorted(returned), where
    assert len(set(called)) == len(called), where
    # One specialist has the caller at any time, and nobody else is asked.
    current = ""
    for event in record.of("specialist.changed"):
        assert event.data["previous"] == current, where
        current = event.data["specialist"]
    assert current == squad.current.name or (routed and not current), where
    assert world.strangers == [], where
    # Every change is a decision, within the bounds of its turn.
    decided = record.of("handoff.decided")
    moved = [event for event in decided if event.data["target"] in NAMES]
    assert [event.data["target"] for event in moved] == [
        event.data["specialist"] for event in record.of("specialist.changed")[1:]
    ], where
    assert all(
        bool(event.data["target"]) == (event.data["context"] != "" or event.data["target"] == "desk")
        for event in decided
    )
    assert len(record.of("handoff.requested")) == sum(event.data["target"] == "desk" for event in decided), where
    # Every request is one that every vendor takes, and has the tools of one specialist.
    for request in world.requests:
        assert not wrong(request.messages), (where, request.messages)
        head = request.messages[0].text
        if request.tools:
            name = re.fullmatch(r"You are (\w+)\.", head)
            assert name is not None
            own = {each.name for each in squad.agents[name[1]]._tools.tools.values()}
            assert {spec.name for spec in request.tools} <= own, where


@pytest.mark.parametrize("portion", range(10))
def test_random_schedules_of_handoffs_interruptions_and_results(portion: int) -> None:
    for seed in range(portion * 30, portion * 30 + 30):
        run(play(seed))


@pytest.mark.parametrize("seed", [189, 379, 477, 1851, 2139, 3104])
def test_schedules_in_which_a_turn_was_once_left_without_words(seed: int) -> None:
    run(play(seed))


@pytest.mark.slow
@pytest.mark.parametrize("portion", range(100))
def test_ten_thousand_random_schedules_of_handoffs_interruptions_and_results(portion: int) -> None:
    for seed in range(1_000 + portion * 100, 1_000 + portion * 100 + 100):
        run(play(seed))
