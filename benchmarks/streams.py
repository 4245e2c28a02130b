"""What a call's stream costs the gateway, by what reads it: uvicorn's WebSockets, or picows.

    uv run python -m benchmarks.streams                       # 20 calls, 8 s at a time, five turns each
    uv run python -m benchmarks.streams --calls 100 --turns 3

Both listeners serve the same bot, which talks without end and counts what it hears, to the same calls, which come as
Twilio's do and at its pace, in a process of their own. They take turns. Counted is the processor time of the gateway's
process while all calls run: the socket, the messages, the pacing and the engine, and next to nothing of a bot.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from . import _hostile_calls, _hostile_server
from ._measure import Spread, ratio
from ._processes import process, told
from ._report import machine

__all__ = ["LISTENERS", "cost", "run"]

LISTENERS = ("websockets", "picows")
#: What belongs to the beginning and the end of the calls.
_GUARD_S = 1.0


def cost(listener: str, calls: int, seconds: float) -> float:
    """The part of a core that a call costs, in percent. Raises `AssertionError` if one of them lost anything."""
    sids = [f"CA{number:032x}" for number in range(calls)]
    with process(_hostile_server.main, frozenset(sids), listener, False) as server:
        port = told(server, 30)
        with process(_hostile_calls.main, port, sids, False) as callers:
            told(callers, 30)
            begin = time.monotonic()
            end = begin + seconds + 2 * _GUARD_S
            callers.send(end)
            came = told(callers, seconds + 60)
        server.send("stop")
        watched = told(server, 60)
    for call in came.calls:
        tally = watched.calls[call.sid]
        assert not call.wrong, f"{call.sid} was sent {call.wrong} wrong pieces"
        assert not tally.out_of_order, f"{call.sid} was misheard {tally.out_of_order} times"
        assert abs(tally.heard - call.sent) <= 2, f"{call.sid} has sent {call.sent} and {tally.heard} were heard"
    inside = [sample for sample in watched.samples if begin + _GUARD_S <= sample.at < end - _GUARD_S]
    first, last = inside[0], inside[-1]
    return float(100 * (last.used_s - first.used_s) / (last.at - first.at) / calls)


def run(calls: int, seconds: float, turns: int) -> dict[str, Spread]:
    """The cost by listener, measured by turns."""
    found: dict[str, list[float]] = {listener: [] for listener in LISTENERS}
    for _ in range(turns):
        for listener in LISTENERS:
            found[listener].append(cost(listener, calls, seconds))
    return {listener: Spread.of(values) for listener, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.streams", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20, help="calls at the same time")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each turn is measured")
    parser.add_argument("--turns", type=int, default=5, help="how often each listener has its turn")
    options = parser.parse_args(arguments)
    found = run(options.calls, options.seconds, options.turns)
    print(f"{options.calls} calls, {options.turns} turns of {options.seconds:g} s, {machine()}\n")
    for listener, spread in found.items():
        print(f"{listener:12} {spread.median:6.3f} % of a core per call ({spread.low:.3f} to {spread.high:.3f})")
    saved = ratio(found["websockets"], found["picows"])
    print(f"{'ratio':12} {saved.median:6.2f} ({saved.low:.2f} to {saved.high:.2f})")


if __name__ == "__main__":
    main()
