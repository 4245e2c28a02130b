"""Random calls with tools: whatever happens, and when, nothing is stuck and nothing lost."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from tests.test_agent_context import wrong
from voiceframe.clock import run_virtual as run
from voiceframe.frames import (
    EagerTurnFrame,
    HeardFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    ToolCallFrame,
    ToolResultFrame,
    TurnResumedFrame,
    UserTurnFrame,
)
from voiceframe.llm import LLMRequest, Stop, TextDelta, ToolCall
from voiceframe.processors.agents import Agent, AgentSettings
from voiceframe.testing import ScriptedLLM
from voiceframe.testing.run import rig
from voiceframe.tools import AnyTool, ToolContext, tool
from voiceframe.tools.asking import Agree


class World:
    """Tools that take their time, fail, ask, and keep what they were called for."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.begun: list[str] = []
        self.finished: list[str] = []

        async def work(ctx: ToolContext) -> str:
            self.begun.append(ctx.call_id)
            try:
                await asyncio.sleep(rng.choice((0, 0.01, 0.3, 1.5, 4)))
                if rng.random() < 0.2:
                    raise OSError("no network")
            except OSError:
                self.finished.append(ctx.call_id)
                raise
            self.finished.append(ctx.call_id)
            return f"result of {ctx.call_id}"

        @tool(timeout_ms=3_000, on_duplicate=rng.choice(("allow", "reject", "replace", "confirm")))
        async def book(ctx: ToolContext, day: int) -> str:
            return await work(ctx)

        @tool(side_effects=False, say_after_ms=rng.choice((None, 0, 200)), timeout_ms=3_000)
        async def look(ctx: ToolContext, day: int) -> str:
            return await work(ctx)

        @tool(confirm=rng.choice((True, "Day {day}?", "operator")), timeout_ms=3_000)
        async def sure(ctx: ToolContext, day: int) -> str:
            return await work(ctx)

        @tool(side_effects=False, on_interrupt="finish", timeout_ms=8_000)
        async def ask(ctx: ToolContext) -> bool:
            return await ctx.ask(Agree("Do you?"))

        self.tools: list[AnyTool] = [book, look, sure, ask]

    def answer(self, request: LLMRequest, turn: int | None) -> Any:
        rng = self.rng
        tag = "" if turn is None else f"[{turn}]"
        if rng.random() < 0.05:
            return RuntimeError("out of reach")
        parts: list[Any] = [TextDelta(f"Well, {tag}"), TextDelta(f"{tag} so ")] if rng.random() < 0.5 else []
        if request.tool_choice != "none" and rng.random() < 0.5:
            for _ in range(rng.choice((1, 1, 2, 3))):
                name = rng.choice(("book", "look", "sure", "ask", "book", "look", "none"))
                arguments = {} if name == "ask" else {"day": rng.choice((1, 2, "x"))}
                parts.append(ToolCall(f"id{rng.randrange(4)}", name, arguments))
            return [*parts, Stop("tools")]
        return [*parts, TextDelta(f"that {tag} "), TextDelta(f"is {tag} it."), Stop()]


async def play(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    requests: list[LLMRequest] = []

    def answer(request: LLMRequest) -> Any:
        requests.append(request)
        reply = agent._saying.reply
        return world.answer(request, reply.turn if reply is not None else None)

    llm = ScriptedLLM([answer], delay_ms=rng.choice((0, 20, 300)), word_ms=rng.choice((0, 30)), repeat=True)
    settings = AgentSettings(
        approval_ms=2_000, context_tokens=rng.choice((500, 16_000)), tool_rounds=rng.choice((1, 5))
    )
    agent = Agent("desk", "Be kind.", llm, tools=world.tools, settings=settings)
    async with rig(agent, seed=seed) as running:
        heard: dict[int, str] = {}
        turn = 0
        for _ in range(rng.randrange(2, 12)):
            action = rng.random()
            if action < 0.55:
                turn = running.call.turns.new()
                text = rng.choice(("yes", "no", "book it", "", "what?"))
                if rng.random() < 0.3:
                    running.push(EagerTurnFrame(text))
                    await asyncio.sleep(rng.choice((0, 0.05, 0.4)))
                    if rng.random() < 0.3:
                        running.push(TurnResumedFrame())
                if rng.random() < 0.5:
                    running.call.interrupt("caller")
                running.push(UserTurnFrame(turn, text))
            elif action < 0.7:
                running.call.interrupt("caller")
            elif action < 0.8:
                for approval in agent.approvals:
                    rng.choice((agent.approve, agent.decline))(approval.call_id, by="operator:ann")
            for frame in running.result.down:  # what was spoken is heard, or a part of it
                if isinstance(frame, TextFrame) and frame.reply not in heard and running.call.replies.get(frame.reply):
                    heard[frame.reply] = frame.text
                    running.up(HeardFrame(frame.reply, frame.text, final=rng.random() < 0.5))
            await asyncio.sleep(rng.choice((0, 0.01, 0.2, 1, 3)))
        if rng.random() < 0.7:
            await asyncio.sleep(20)  # everything that waits has run out by now
        began = asyncio.get_running_loop().time()
        if rng.random() < 0.5:
            running.call.hang_up()
            await running.call.wait_ended()
        else:
            await running.ends()
        # An end that takes too long is a cancellation, after which nothing is delivered.
        cut = asyncio.get_running_loop().time() - began >= running.call.engine.settings.end_margin_ms / 1000
        down = running.result.down
    asked_for = [frame.call_id for frame in down if isinstance(frame, ToolCallFrame)]
    returned = [frame.call_id for frame in down if isinstance(frame, ToolResultFrame)]
    calls = [call.id for message in agent.context for call in message.tool_calls]
    results = [message for message in agent.context if message.role == "tool"]
    # No call without its result, in the log and in the context; none twice.
    assert cut or sorted(asked_for) == sorted(returned), "a tool is stuck, or its result is lost"
    assert len(set(asked_for)) == len(asked_for)
    assert len(calls) == len(set(calls)) == len(results)
    assert not [message for message in results if "still running" in message.text and not message.failed]
    # What has begun and has side effects is finished.
    assert set(asked_for) >= set(world.begun)
    assert len(set(returned)) == len(returned)
    finished = {m.call_id: m.text for m in results if not m.failed and m.text.startswith("result of")}
    assert finished.keys() <= set(world.finished)
    for call_id in world.finished:
        message = next(m for m in results if m.call_id == call_id)
        assert message.failed or message.text == f"result of {call_id}"
    # Every request is one that every vendor takes.
    for request in requests:
        assert not wrong(request.messages), (seed, request.messages)
    # Nothing is said in a reply that has ended, and in the reply to a turn only what was made for that turn.
    ended: set[int] = set()
    turns: dict[int, int | None] = {}
    for frame in down:
        if isinstance(frame, ReplyStartedFrame):
            turns[frame.reply] = frame.turn
        if isinstance(frame, ReplyEndedFrame):
            assert frame.reply not in ended
            ended.add(frame.reply)
        if isinstance(frame, TextFrame):
            assert frame.reply not in ended, "words behind the end of their reply"
            made_for = {int(tag) for tag in re.findall(r"\[(\d+)\]", frame.text)}
            assert turns[frame.reply] is None or made_for <= {turns[frame.reply]}, "words of another turn"


@pytest.mark.parametrize("portion", range(10))
def test_random_schedules_of_tools_and_interruptions(portion: int) -> None:
    for seed in range(portion * 30, portion * 30 + 30):
        run(play(seed))


@pytest.mark.slow
@pytest.mark.parametrize("portion", range(100))
def test_ten_thousand_random_schedules_of_tools_and_interruptions(portion: int) -> None:
    for seed in range(1_000 + portion * 100, 1_000 + portion * 100 + 100):
        run(play(seed))
