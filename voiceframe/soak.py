"""`voiceframe soak`: many calls with unruly callers, on virtual time, and what must hold in all of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from .app import Bot
from .bots import load_bot
from .call import Call, CallSettings
from .checks import Check, Report
from .clock import VirtualTimeLoop
from .engine import EngineSettings
from .errors import TestKitError
from .frames import UserTurnFrame
from .pipeline import Pipeline
from .processors.agents import Agent
from .testing.caller import Caller, dial
from .testing.leaks import leftovers

__all__ = ["restless_bot", "soak"]

#: Growth is measured from here on: until then caches fill.
_WARM_UP = 50


class Restless(Agent):
    """Answers, answers late, says nothing, fails, never answers, or ends the call: at random, from the call's seed."""

    async def reply(self, turn: UserTurnFrame) -> AsyncIterator[str]:
        dice = self.call.rng.random()
        await asyncio.sleep(self.call.rng.random() * 2)
        if dice < 0.05:
            raise RuntimeError("the model is out of reach")
        if dice < 0.10:
            return
        if dice < 0.15:
            await asyncio.sleep(3_600)
        if dice < 0.20:
            await asyncio.sleep(8)
        for sentence in range(1 + int(dice * 3)):
            yield f"Sentence {sentence + 1} about {turn.text}. "
            await asyncio.sleep(self.call.rng.random() / 2)
        if dice > 0.95:
            self.call.end()


def restless_bot(call: Call) -> Pipeline:
    """What `voiceframe soak` calls when it is given no bot."""
    return Pipeline([call.transport.input(), Restless("restless", greeting="Hello!"), call.transport.output()])


async def _converse(caller: Caller, rng: random.Random) -> None:
    """A caller who speaks, interrupts, waits, presses keys and leaves, at random."""
    for number in range(1 + int(rng.random() * 6)):
        if caller.call.ended or caller.call.engine.ending:
            return
        dice = rng.random()
        try:
            if dice < 0.5:
                await caller.says(f"matter {number}")
            elif dice < 0.8:
                await asyncio.sleep(rng.random() * 3)
                caller.interrupts_now(f"wait, matter {number}")
            elif dice < 0.9:
                await caller.presses("1")
            else:
                await caller.waits(int(rng.random() * 10_000))
        except TestKitError as error:
            if error.code != "test.ended":  # the bot may leave at any time
                raise
            return
    if rng.random() < 0.5:
        await caller.listens()


class Tally:
    """What all calls together came to."""

    def __init__(self) -> None:
        self.calls = 0
        self.turns = 0
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.badly_ended: list[str] = []
        self.leaks: Counter[str] = Counter()
        self.call_ms = 0

    def add(self, seed: int, caller: Caller) -> None:
        self.calls += 1
        record = caller.record
        committed = [event.turn for event in record.of("turn.committed")]
        settled = Counter(event.turn for event in record.of("turn.answered", "turn.unanswered", "turn.skipped"))
        self.turns += len(committed)
        self.outcomes.update(
            event.kind + (f" ({event.data['reason']})" if "reason" in event.data else "")
            for event in record.of("turn.answered", "turn.unanswered", "turn.skipped")
        )
        for turn in committed:
            if settled[turn] != 1:
                self.wrong.append(f"seed {seed}: turn {turn} has {settled[turn]} outcomes")
        ended = record.of("call.ended")
        if len(ended) != 1:
            self.badly_ended.append(f"seed {seed}: call.ended was written {len(ended)} times")
        else:
            self.reasons[record.reason] += 1
            self.call_ms += int(ended[0].data["duration_ms"])


def soak(bot: str | None = None, *, calls: int = 1_000, seed: int = 0, form: str = "markdown") -> int:
    """Make `calls` calls and print a report of what must hold. Returns its exit code."""
    report = measure(load_bot(bot) if bot else restless_bot, calls=calls, seed=seed)
    render = {"json": report.json, "html": report.html}.get(form, report.markdown)
    print(render())
    return report.exit_code


def measure(bot: Bot, *, calls: int, seed: int) -> Report:
    """Make the calls, one after the other, each on its own seed."""
    tally = Tally()
    began_s = time.perf_counter()
    objects = 0
    with _quiet(), asyncio.Runner(loop_factory=VirtualTimeLoop, debug=False) as runner:
        for number in range(calls):
            runner.run(_one(bot, seed + number, tally))
            if number + 1 == _WARM_UP:
                gc.collect()
                objects = len(gc.get_objects())
            if sys.stderr.isatty() and (number + 1) % 50 == 0:
                print(f"\r{number + 1} of {calls} calls", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    gc.collect()
    grown = len(gc.get_objects()) - objects if calls > _WARM_UP else 0
    return _report(tally, calls, grown, time.perf_counter() - began_s)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Errors of bots are part of the game; their tracebacks would bury the report."""
    logger = logging.getLogger("voiceframe")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _one(bot: Bot, seed: int, tally: Tally) -> None:
    rng = random.Random(seed)
    async with dial(
        bot, seed=seed, settings=CallSettings(), engine_settings=EngineSettings(development=False)
    ) as caller:
        await _converse(caller, rng)
    await asyncio.sleep(0)
    tally.add(seed, caller)
    tally.leaks.update(leftovers(asyncio.get_running_loop()))


def _report(tally: Tally, calls: int, grown: int, took_s: float) -> Report:
    hours = tally.call_ms / 3_600_000
    checks = [
        Check(
            "soak.outcomes",
            "fail" if tally.wrong or not tally.turns else "pass",
            [
                f"{tally.turns} turns in {tally.calls} calls, {hours:.1f} hours of call time in {took_s:.1f} s",
                *({"outcome": name, "turns": count} for name, count in sorted(tally.outcomes.items())),
                *tally.wrong[:20],
            ],
            title="Every turn of a caller has exactly one outcome",
            fix="Run one call again with `voiceframe soak --calls 1 --seed N`." if tally.wrong else None,
        ),
        Check(
            "soak.ends",
            "fail" if tally.badly_ended or tally.calls != calls else "pass",
            [
                f"{tally.calls} of {calls} calls were made",
                *({"reason": name, "calls": count} for name, count in sorted(tally.reasons.items())),
                *tally.badly_ended[:20],
            ],
            title="Every call ends, once",
        ),
        Check(
            "soak.tasks",
            "fail" if tally.leaks else "pass",
            [f"{count} times: {what}" for what, count in tally.leaks.most_common(20)]
            or [f"no task was left behind by {tally.calls} calls"],
            title="No task is left behind",
        ),
    ]
    if calls > _WARM_UP:
        per_call = grown / (calls - _WARM_UP)
        checks.append(
            Check(
                "soak.growth",
                "fail" if per_call > 0.5 else "pass",
                [f"{grown:+d} objects over {calls - _WARM_UP} calls after the first {_WARM_UP}"],
                title="Nothing of a call is kept",
            )
        )
    return Report(checks, title=f"Soak: {calls} calls")
