"""What the framework adds to its providers: `uv run python -m benchmarks.providers`, in four minutes.

    share   from a provider's message to the frame and from a frame to the message, by kind and vendor, in microseconds
    voice   from the caller's last sound to the bot's first, on fakes with fixed delays, beside the sum of these delays

All of it with the official SDKs over real sockets, at the fakes of `voiceframe.testing.providers`. What exactly is
measured say `_providers_share.py` and `_providers_voice.py`; `benchmarks.provider_faults` is about what goes wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator

from voiceframe.processors.observers.latency import PARTS

from . import _providers_share, _providers_voice
from ._measure import Spread
from ._providers_share import Share
from ._report import machine

__all__ = ["main"]


async def _shares(rows: AsyncIterator[tuple[Share, Share]]) -> None:
    print("\n| what | p50, µs | p99, µs | of it CPU, p50, µs | samples |\n| --- | --- | --- | --- | --- |")
    async for pair in rows:
        for share in pair:
            wall, cpu = share.wall, share.cpu
            found = f"{wall.median:.0f} | {wall.percentile(99):.0f} | {cpu.median:.0f} | {len(wall.values)}"
            print(f"| {share.what} | {found} |", flush=True)


def _voice(turns: int) -> None:
    parts = " | ".join(PARTS)
    print(f"\n| line | what | known, ms | took, p50, ms | ours, p50, ms | ours, p99, ms | {parts} |")
    print(f"|{' --- |' * (6 + len(PARTS))}")
    for case in _providers_voice.CASES:
        for via in ("audio", "twilio"):
            found = asyncio.run(_providers_voice.measure(case, turns, via))
            took, ours = Spread.of(found.took_ms), found.ours_ms
            numbers = f"{case.known_ms} | {took.median:.0f} | {ours.median:.0f} | {ours.percentile(99):.0f}"
            where = " | ".join(f"{found.part_ms(name).median:.0f}" for name in PARTS)
            print(f"| {via} | {case.name} | {numbers} | {where} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the framework adds to its providers.")
    parser.add_argument("what", nargs="*", choices=["share", "voice", []], help="by default both")
    parser.add_argument("--count", type=int, default=300, help="messages of each kind and vendor")
    parser.add_argument("--turns", type=int, default=32, help="turns of each line and case")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name, value in machine().items():
        print(f"{name:12}{value}")
    if not asked.what or "share" in asked.what:
        asyncio.run(_shares(_providers_share.shares(asked.count)))
        asyncio.run(_shares(_providers_share.alone(asked.count)))
    if not asked.what or "voice" in asked.what:
        _voice(asked.turns)


if __name__ == "__main__":
    main()
