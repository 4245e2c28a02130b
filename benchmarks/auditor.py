"""How fast an auditor reacts: `uv run python -m benchmarks.auditor`, in half a minute.

    reaction   from a committed turn to the correction being ready, to the agent being told, and to the first sound of
               what the agent says about it; on virtual time, with models that take as long as is stated
    share      what of it is the framework's: from the turn to the request at the auditor's model, and from the model's
               verdict to the correction being ready, on the real clock with models that take no time

The caller's turns come from a text line, which speaks the bot's words at 180 a minute. Each call is one sample of each
row. The agent's answers have 4 to 29 words, which is most of the spread: with "now" a correction waits until the answer
was heard, with "turn" for the caller's next turn, which comes 1 s after that. "after" is what "now" takes from the
moment in which the answer was heard and the correction was ready.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from time import perf_counter

from voiceframe import Agent, Call, Pipeline
from voiceframe.events import LoggedEvent
from voiceframe.llm import LLMRequest, Part
from voiceframe.processors import Auditor
from voiceframe.testing import ScriptedLLM, call_tool, dial, run_virtual

from ._measure import Spread
from ._report import machine

__all__ = ["main"]

#: How long the models of a row take until the first part of an answer: the agent's, and the auditor's.
DELAYS_MS = ((400, 300), (400, 1_000), (400, 3_000))


def _bot(agent: ScriptedLLM, auditor: ScriptedLLM, deliver: str) -> Callable[[Call], Pipeline]:
    def bot(call: Call) -> Pipeline:
        return Pipeline(
            [call.transport.input(), Agent("clinic", "You book.", agent), call.transport.output()],
            observers=[Auditor(Agent("checker", "Check.", auditor), deliver=deliver)],  # type: ignore[arg-type]
        )

    return bot


async def _reaction(deliver: str, agent_ms: int, auditor_ms: int, seed: int) -> tuple[float, float, float, float]:
    """One call: ms from the turn to ready, told, and heard; and from when it could be told until it was."""
    words = random.Random(seed).randrange(4, 30)
    agent = ScriptedLLM([" ".join(["word"] * words) + ".", "Sorry: the twelfth."], delay_ms=agent_ms)
    auditor = ScriptedLLM([call_tool("correction", message="It is the twelfth."), "OK", "OK"], delay_ms=auditor_ms)
    async with dial(_bot(agent, auditor, deliver), seed=seed) as caller:
        await caller.says("On the twelfth")
        await caller.listens()
        if deliver == "turn":
            while not caller.record.of("auditor.corrected"):
                await caller.waits(100)
            await caller.waits(1_000)
            await caller.says("Yes?")
        await caller.hears("sorry")
    record = caller.record
    turn_ms = record.of("turn.committed")[0].at_ms
    ready, told = record.of("auditor.corrected")[0].at_ms, record.of("auditor.delivered")[0].at_ms
    heard = next(event.at_ms for event in record.of("reply.speaking") if event.at_ms >= told)
    could = max(ready, record.of("reply.heard")[0].at_ms)
    return ready - turn_ms, told - turn_ms, heard - turn_ms, told - could


def _reactions(calls: int) -> None:
    found = " | ".join(f"{what} p50, p99" for what in ("ready", "told", "heard", "after"))
    print(f"\n| deliver | agent's model, ms | auditor's model, ms | {found} |")
    print(f"|{' --- |' * 7}")
    for deliver in ("now", "turn"):
        for agent_ms, auditor_ms in DELAYS_MS:
            rows = [run_virtual(_reaction(deliver, agent_ms, auditor_ms, seed)) for seed in range(calls)]
            spreads = [Spread.of([row[at] for row in rows]) for at in range(4)]
            shown = " | ".join(f"{spread.median:.0f}, {spread.percentile(99):.0f}" for spread in spreads)
            print(f"| {deliver} | {agent_ms} | {auditor_ms} | {shown} |", flush=True)


class _Stamped(ScriptedLLM):
    """Notes when it is asked, and when it has given its verdict."""

    asked_s = 0.0
    given_s = 0.0

    async def stream(self, request: LLMRequest) -> AsyncGenerator[Part, None]:
        self.asked_s = self.asked_s or perf_counter()
        async for part in super().stream(request):
            self.given_s = self.given_s or perf_counter()
            yield part


async def _share(seed: int) -> tuple[float, float]:
    """One call: µs from the turn to the auditor's request, and from its verdict to the agent being told."""
    agent = ScriptedLLM(["Yes."], repeat=True)
    auditor = _Stamped([call_tool("correction", message="It is the twelfth.")], repeat=True)
    stamps: dict[str, float] = {}
    ready = asyncio.Event()

    def note(event: LoggedEvent) -> None:
        stamps.setdefault(event.kind, perf_counter())
        if event.kind == "auditor.corrected":
            ready.set()

    async with dial(_bot(agent, auditor, "now"), seed=seed, words_per_minute=60_000) as caller:
        caller.call.log.subscribe(note)
        caller.interrupts_now("On the twelfth")
        await ready.wait()
    return (
        (auditor.asked_s - stamps["turn.committed"]) * 1e6,
        (stamps["auditor.corrected"] - auditor.given_s) * 1e6,
    )


def _shares(calls: int) -> None:
    print("\n| the framework's share | p50, µs | p99, µs | calls |\n| --- | --- | --- | --- |")
    rows = [asyncio.run(_share(seed)) for seed in range(calls)]
    for at, what in enumerate(("turn to the request at the auditor's model", "verdict to the correction being ready")):
        spread = Spread.of([row[at] for row in rows])
        print(f"| {what} | {spread.median:.0f} | {spread.percentile(99):.0f} | {calls} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast an auditor reacts.")
    parser.add_argument("--calls", type=int, default=200, help="calls of each row")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name, value in machine().items():
        print(f"{name:12}{value}")
    _reactions(asked.calls)
    _shares(asked.calls)


if __name__ == "__main__":
    main()
