"""What a guardrail adds to a sentence of the bot: `uv run python -m benchmarks.guardrails`, in half a minute.

A reply of many sentences is streamed by words through `Held`, which is what `guard.output()` does with it. The delay of
a sentence is the time from the word with which its end is certain to the decision on it, all rules asked. Beside it
stands how often a sentence must wait for the words behind it (a number at its end may go on), and for how many. On a
machine that is shared the time has the waits for a core in it; the CPU time of the thread has not.

    quick   the rules that are asked on the event loop, list by list
    call    the same by the handler of `guard.output()` in a call

Slow rules (classifiers, models) are not here: they take what they take, and their budget at most.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from voiceframe import Guardrail
from voiceframe.frames import ReplyEndedFrame, TextFrame
from voiceframe.guardrails import INJECTION, SUPPORT_SAFE, PersonalData, Policy, Rule, Words
from voiceframe.processors.guardrails.held import Held
from voiceframe.testing.run import rig

from ._measure import Spread
from ._report import machine

__all__ = ["LISTS", "main", "measure"]

#: The rule lists that are measured, by name.
LISTS: dict[str, Sequence[Rule]] = {
    "20 words": (Words(*(f"competitor{number}" for number in range(20)), name="words"),),
    "support-safe": SUPPORT_SAFE,
    "support-safe + injection + all personal data + 20 words": (
        *SUPPORT_SAFE,
        *INJECTION,
        PersonalData(name="personal"),
        Words(*(f"competitor{number}" for number in range(20)), name="words"),
    ),
}

_SENTENCES = (
    "Thanks for calling, how can I help you today?",
    "I can see that your order left our warehouse on Tuesday morning.",
    "It should be with you by Friday, unless the weather gets in the way.",
    "We are open from nine to six on weekdays, and from ten to two on Saturdays.",
    "The table is booked for 4 people at 7.",
    "Is there anything else that you would like to know about the reservation?",
    "Let me check whether somebody is free on the third of May.",
    "Your reference is 48213, and you will get a message with all of that in a minute.",
    "No, you do not need to bring anything but a passport.",
    "Well, Dr. Smith has time at half past three, and again at a quarter to five.",
    "I am sorry that it took so long.",
    "That comes to 129.50 in all, with the usual discount for members.",
)


@dataclass
class Found:
    """Delays in microseconds, and how many sentences had to wait for so many words behind them."""

    delays_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    waited: dict[int, int] = field(default_factory=dict)


def measure(policy: Policy, rounds: int) -> Found:
    """Stream the sentences by words, over and over."""
    found = Found()
    text = " ".join(_SENTENCES)
    words = [f"{word} " for word in text.split(" ")]
    for number in range(rounds + 1):
        held = Held(policy)
        since: int | None = None
        for word in words:
            began, cpu = time.perf_counter_ns(), time.thread_time_ns()
            portions = held.feed(word)
            for portion in portions:
                policy.decide("output", portion.text, portion.hits, began)
            took, busy = (time.perf_counter_ns() - began) / 1000, (time.thread_time_ns() - cpu) / 1000
            if number and portions:  # the first round fills the machines' memory
                found.delays_us += [took] * len(portions)
                found.cpu_us += [busy] * len(portions)
                behind = 0 if since is None else since
                found.waited[behind] = found.waited.get(behind, 0) + len(portions)
            since = None if portions or not held._ends else (since or 0) + 1
        for portion in held.finish():
            policy.decide("output", portion.text, portion.hits)
    return found


async def in_a_call(rules: Sequence[Rule], rounds: int) -> Found:
    """The same at the processor in a call: what its handler takes with the frame that makes a sentence certain."""
    found = Found()
    guard = Guardrail(*rules).output()
    async with rig(guard) as running:
        words = [f"{word} " for word in " ".join(_SENTENCES).split(" ")]
        for number in range(rounds + 1):
            reply = running.call.replies.begin()
            for word in words:
                frame = TextFrame(word, reply)
                began, cpu = time.perf_counter_ns(), time.thread_time_ns()
                made = guard.on_text(frame)
                if number and made:
                    found.delays_us.append((time.perf_counter_ns() - began) / 1000)
                    found.cpu_us.append((time.thread_time_ns() - cpu) / 1000)
            guard.on_ended(ReplyEndedFrame(reply))
            running.call.replies.open.clear()
    return found


def _row(name: str, what: str, found: Found, more: str) -> None:
    wall, cpu = Spread.of(found.delays_us), Spread.of(found.cpu_us)
    times = " | ".join(f"{spread.median:.0f} | {spread.percentile(99):.0f}" for spread in (wall, cpu))
    print(f"| {what} | {name} | {times} | {len(wall.values)} | {more} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a guardrail adds to a sentence.")
    parser.add_argument("--rounds", type=int, default=400, help=f"replies of {len(_SENTENCES)} sentences each")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name, value in machine().items():
        print(f"{name:12}{value}")
    print("\n| what | rules | p50, µs | p99, µs | CPU p50, µs | CPU p99, µs | sentences | at once |")
    print(f"|{' --- |' * 8}")
    for name, rules in LISTS.items():
        gc.collect()
        found = measure(Policy(rules), asked.rounds)
        at_once = found.waited.get(0, 0) / sum(found.waited.values())
        longest = max(found.waited)
        _row(name, "quick", found, f"{at_once:.0%}, the others {longest} words later at most")
        gc.collect()
        _row(name, "call", asyncio.run(in_a_call(rules, asked.rounds)), "")


if __name__ == "__main__":
    main()
