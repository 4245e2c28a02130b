"""What a handoff costs: `uv run python -m benchmarks.squads`, in half a minute.

Measured is the framework's share: from the moment at which the tool of one specialist returns its `Handoff` until the
model of the next one is asked, with all that lies between: the policy, the context, events, notes and the request. Each
turn of the caller is given from one specialist to the other and back in the next one, on the real loop, by text.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

from voiceframe.app import App
from voiceframe.call import Call
from voiceframe.llm import LLM, LLMRequest, Part, Stop, TextDelta, ToolCall
from voiceframe.pipeline import Pipeline
from voiceframe.processors.agents import (
    Agent,
    AgentSettings,
    ContextPolicy,
    HandoffDecision,
    HandoffPolicy,
    HandoffRequest,
    Squad,
    SquadSettings,
    allow,
    full_history,
    summary_only,
)
from voiceframe.tools import AnyTool, Handoff, ToolContext
from voiceframe.transports.text import TextTransport

from ._measure import Spread
from ._report import machine

__all__ = ["main", "measure"]

#: Without it the model summarizes, and a long conversation would be a short one.
_SETTINGS: Final = AgentSettings(summarize=False, context_tokens=200_000)


class Move(AnyTool):
    """Gives the caller to the other one, and notes when."""

    name = "move"
    side_effects = False
    on_duplicate = "allow"

    def __init__(self, target: str, clock: dict[str, float]) -> None:
        self._target = target
        self._clock = clock

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": {}}

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    async def attempt(self, context: ToolContext, bound: Mapping[str, Any]) -> Handoff:
        handoff = Handoff(self._target, "the caller asks for them", "They want to know when their bicycle comes.")
        self._clock["returned"] = time.perf_counter()
        return handoff


class Model(LLM):
    """Gives the caller away when asked first in a turn, and answers when asked as the second."""

    def __init__(self, clock: dict[str, float], took: list[float]) -> None:
        self.name = "scripted"
        self._clock = clock
        self._took = took

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        now = time.perf_counter()
        returned = self._clock.pop("returned", None)
        if returned is None:
            yield ToolCall(f"call-{now}", "move", {})
            yield Stop("tools")
            return
        self._took.append((now - returned) * 1e6)
        yield TextDelta("It comes on Thursday, between nine and eleven.")
        yield Stop("end")


async def later(request: HandoffRequest) -> HandoffDecision:
    """A policy that waits for nothing, but is a coroutine."""
    return request.allow(metadata={"queue": "day"})


async def measure(
    count: int, *, turns: int, policy: HandoffPolicy = allow, context: ContextPolicy = full_history
) -> Spread:
    """Microseconds of each of `count` handoffs, in conversations of up to `turns` turns before them."""
    took: list[float] = []
    while len(took) < count:
        clock: dict[str, float] = {}

        def bot(call: Call, clock: dict[str, float] = clock) -> Pipeline:
            agents = [
                Agent(name, "You are kind.", Model(clock, took), tools=[Move(other, clock)], settings=_SETTINGS)
                for name, other in (("day", "night"), ("night", "day"))
            ]
            squad = Squad(agents, start="day", handoff=policy, context=context, settings=SquadSettings())
            return Pipeline([call.transport.input(), squad, call.transport.output()])

        transport = TextTransport(words_per_minute=0)
        call = await App(bot, store=None).take(transport)
        call.answered()
        before = len(took)
        for _ in range(min(turns, count - before)):
            wanted = len(took) + 1
            transport.type("Where is my bicycle, please?")
            while len(took) < wanted or call.replies.open:  # noqa: ASYNC110  # nothing tells when both are so
                await asyncio.sleep(0)
        call.hang_up()
        await call.wait_ended()
        # What came early in a conversation is another case.
        del took[before : before + min(turns // 2, len(took) - before - 1)]
    return Spread.of(took[:count])


CASES: Final[tuple[tuple[str, Callable[[int], Any]], ...]] = (
    ("full history, 10 turns", lambda count: measure(count, turns=10)),
    ("full history, 10 turns, policy a coroutine", lambda count: measure(count, turns=10, policy=later)),
    ("summary only, 10 turns", lambda count: measure(count, turns=10, context=summary_only)),
    ("full history, 60 turns", lambda count: measure(count, turns=60)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a handoff costs.")
    parser.add_argument("--count", type=int, default=1_000, help="handoffs of each case")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name, value in machine().items():
        print(f"{name:12}{value}")
    print("\n| handoff: tool's return to the target's request | p50, µs | p99, µs | samples |")
    print("| --- | --- | --- | --- |")
    for what, run in CASES:
        asyncio.run(run(50))  # to warm up
        gc.collect()
        found = asyncio.run(run(asked.count))
        print(f"| {what} | {found.median:.0f} | {found.percentile(99):.0f} | {len(found.values)} |", flush=True)


if __name__ == "__main__":
    main()
