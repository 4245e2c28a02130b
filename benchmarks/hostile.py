"""Strangers attack the gateway over real sockets while it has calls: how late is the bot's sound to those calls?

    uv run python -m benchmarks.hostile                        # 20 calls, 20 s of attacks between 20 s of quiet
    uv run python -m benchmarks.hostile --rate 4000 --seed 3   # more of them, others
    uv run python -m benchmarks.hostile --listener picows      # by the other listener
    uv run python -m benchmarks.hostile --only "stream, ping"  # only attacks whose names begin so
    uv run python -m benchmarks.hostile --kinds                # also what came of each kind
    sudo uv run python -m benchmarks.hostile --first           # without what else runs on this machine

Three processes on loopback: the gateway, with a bot that talks; the calls, which come as Twilio's and at its pace; and
the attackers, with `--rate` messages and a twentieth as many connections per second. The attackers have the core of the
calls, not that of the gateway, as theirs would be other machines.

Quiet phases and attacked ones take turns within the same calls. How late a message of the bot is, is counted from the
tick of 20 ms at which it was due to its arrival in the kernel, so that it is the gateway's lateness and not that of who
measures. What the machine does to the gateway is told beside: how late its loop is, and how long it waited for a core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import _hostile_attacks, _hostile_calls, _hostile_server
from ._hostile_attacks import Attacks
from ._hostile_calls import Calls
from ._hostile_server import Sample, Watched
from ._measure import Spread
from ._processes import process, told
from ._report import machine

__all__ = ["BOUND_MS", "Phase", "Result", "run"]

#: What a listener does not notice.
BOUND_MS: Final = 5.0
#: What is left of a phase in the next one does not count.
_GUARD_S: Final = 0.5
#: What uvicorn logs as an error, and only refuses.
_NO_CRASH: Final = "Invalid UTF-8 sequence received from client."
#: How long the gateway is left alone before it is told to stop: so long it waits for streams that were lost.
_REST_S: Final = 7.0


@dataclass(frozen=True)
class Phase:
    """A part of the time, by the monotonic clock."""

    begin: float
    end: float
    attacked: bool


@dataclass
class Result:
    """What has come of it."""

    phases: list[Phase]
    watched: Watched
    calls: Calls
    attacks: Attacks
    wrong: list[str] = field(default_factory=list)

    def within(self, what: Iterable[tuple[float, ...]], attacked: bool, column: int = 1) -> list[Spread]:
        """The values in this column of what has its time in the first, for each such phase."""
        found = [[0.0] for phase in self.phases if phase.attacked == attacked]
        phases = [phase for phase in self.phases if phase.attacked == attacked]
        for row in what:
            for phase, values in zip(phases, found, strict=True):
                if phase.begin + _GUARD_S <= row[0] < phase.end:
                    values.append(row[column])
        return [Spread.of(values[1:] or values) for values in found]

    @property
    def ticks(self) -> list[tuple[float, float, float]]:
        return [tick for call in self.calls.calls for tick in call.ticks]

    def late_ms(self, attacked: bool, percent: int) -> Spread:
        """How late the bot's sound was: this percentile, for each phase."""
        return Spread.of([spread.percentile(percent) for spread in self.within(self.ticks, attacked)])

    def share(self, attacked: bool, what: str) -> Spread:
        """Which part of its time the gateway has used a core, or has waited for one, for each phase."""
        found = []
        for phase in self.phases:
            inside = [s for s in self.watched.samples if phase.begin <= s.at < phase.end]
            if phase.attacked == attacked and len(inside) > 1:
                first, last = inside[0], inside[-1]
                found.append((getattr(last, what) - getattr(first, what)) / (last.at - first.at))
        return Spread.of(found or [0.0])

    def after_attacks(self) -> list[Sample]:
        """The gateway at the end of each quiet phase."""
        found = []
        for phase in self.phases:
            inside = [s for s in self.watched.samples if phase.begin <= s.at < phase.end]
            if not phase.attacked and inside:
                found.append(inside[-1])
        return found


def run(
    *,
    calls: int = 20,
    seconds: float = 20.0,
    turns: int = 2,
    rate: float = 2_000,
    seed: int = 0,
    listener: str = "",
    only: str = "",
    first: bool = False,
) -> Result:
    """So many calls, quiet and attacked by turns for so many seconds each. Raises what goes wrong in a process."""
    sids = [f"CA{number:032x}" for number in range(calls)]
    with process(_hostile_server.main, frozenset(sids), listener, first) as server:
        port = told(server, 30)
        with (
            process(_hostile_calls.main, port, sids, first) as callers,
            process(_hostile_attacks.main, port, rate, seed, only) as attackers,
        ):
            told(callers, 60)
            told(attackers, 60)
            phases = _phases(time.monotonic() + 1.0, seconds / turns, turns)
            attackers.send([(phase.begin, phase.end) for phase in phases if phase.attacked])
            callers.send(phases[-1].end)
            attacks = told(attackers, phases[-1].end - time.monotonic() + 60)
            came = told(callers, phases[-1].end - time.monotonic() + 60)
        time.sleep(_REST_S)
        server.send("stop")
        watched = told(server, 60)
    result = Result(phases, watched, came, attacks)
    result.wrong = list(_wrong(result))
    return result


def _phases(begin: float, length: float, turns: int) -> list[Phase]:
    """The first word has the quiet, and the last one."""
    numbers = range(2 * turns + 1)
    return [Phase(begin + number * length, begin + (number + 1) * length, number % 2 == 1) for number in numbers]


def _wrong(result: Result) -> Iterator[str]:
    """What must not be, whatever comes in and however slow the machine is."""
    watched = result.watched
    for call in result.calls.calls:
        tally = watched.calls.get(call.sid)
        if tally is None:
            yield f"call {call.sid} has not come"
            continue
        if call.wrong > 3 * tally.underruns:  # where there was nothing to play it is faded
            yield f"call {call.sid}: {call.wrong} pieces of the bot's sound are missing or changed"
        if not call.closed.startswith("1000") or tally.reason != "hangup":
            yield f"call {call.sid} ended with {call.closed!r}, for the bot with {tally.reason!r}"
        if tally.out_of_order or tally.heard != call.sent:
            yield f"call {call.sid}: of {call.sent} pieces {tally.heard} were heard, {tally.out_of_order} not in order"
        lasted = result.phases[-1].end - result.phases[0].begin
        if call.samples < 0.9 * lasted * 8_000:
            yield f"call {call.sid} has got {call.samples / 8_000:.1f} s of sound in {lasted:.1f} s"
    for error, count in watched.errors.items():
        if not error.startswith(_NO_CRASH):
            yield f"logged as an error, {count} times: {error}"
    if watched.left["calls"]:
        yield f"{watched.left['calls']} calls are left"
    if watched.stopped_s < 0:
        yield "the gateway did not stop"
    for spoiled in result.attacks.spoiled[:5]:
        yield f"an attack is wrong itself: {spoiled}"


# -- what is told of it


def _range(spread: Spread, unit: str = "") -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f}){unit}"


def report(result: Result, *, kinds: bool = False) -> str:
    """The figures, for a person."""
    rows: list[tuple[str, str, str]] = []

    def row(what: str, of: Any, form: Any = _range) -> None:
        rows.append((what, form(of(False)), form(of(True))))

    for name, percent in (("median", 50), ("p99", 99), ("most", 100)):
        row(f"sound late, {name}, ms", lambda attacked, p=percent: result.late_ms(attacked, p))
    row(
        "least sound in the carrier's hands, ms",
        lambda attacked: Spread.of([each.low for each in result.within(result.ticks, attacked, 2)]),
    )
    watched = result.watched
    for title, what in (
        ("the gateway's loop late", watched.late),
        ("pauses of its collector", watched.pauses),
        ("who measures, late", result.calls.late),
        ("from arrival to reading", result.calls.unread),
    ):
        for name, percent in (("p99", 99), ("most", 100)):
            row(
                f"{title}, {name}, ms",
                lambda attacked, w=what, p=percent: Spread.of(
                    [each.percentile(p) for each in result.within(w, attacked)]
                ),
            )
    row("the gateway's use of a core", lambda attacked: result.share(attacked, "used_s"))
    row("its wait for a core", lambda attacked: result.share(attacked, "waited_s"))

    attacks, after = result.attacks, result.after_attacks()
    attacked_s = sum(phase.end - phase.begin for phase in result.phases if phase.attacked)
    complete = sum(call.closed.startswith("1000") for call in result.calls.calls)
    underruns = sum(tally.underruns for tally in watched.calls.values())
    lines = [f"{name:12}{value}" for name, value in machine().items() if name != "pipecat-ai"]
    width = max(len(what) for what, _, _ in rows)
    lines += ["", f"{'':{width}}  {'quiet':>22}  {'attacked':>22}"]
    lines += [f"{what:{width}}  {quiet:>22}  {attacked:>22}" for what, quiet, attacked in rows]
    lines += [
        "Medians of the phases, in brackets the lowest and the highest phase.",
        "",
        f"attackers: {attacks.messages / attacked_s:,.0f} messages and {attacks.handshakes / attacked_s:,.0f}"
        f" connections per second, {attacks.bytes / attacked_s / 1e6:.1f} MB/s, at most {attacks.most} at once;"
        f" {attacks.messages:,} and {attacks.handshakes:,} in all",
        f"calls: {complete} of {len(result.calls.calls)} complete,"
        f" {sum(call.samples for call in result.calls.calls) // 160:,} pieces of sound came,"
        f" {sum(call.wrong for call in result.calls.calls)} wrong or missing, {underruns} times nothing to play",
        f"resident, MiB: {', '.join(f'{each.rss_kib / 1024:.1f}' for each in after)} at the ends of the quiet phases",
        f"open files: {', '.join(str(each.files) for each in after)};"
        f" tasks: {', '.join(str(each.tasks) for each in after)};"
        f" calls: {', '.join(str(each.calls) for each in after)}; at the end {watched.left}",
        f"the gateway took {watched.others} calls of attackers, and {watched.stopped_s:.1f} s to stop",
    ]
    if kinds:
        lines += ["", "what came of each kind"]
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        for (kind, outcome), count in attacks.outcomes.items():
            by_kind[kind][outcome] += count
        lines += [
            f"  {kind:34} {', '.join(f'{outcome} {count}' for outcome, count in found.most_common())}"
            for kind, found in sorted(by_kind.items())
        ]
        lines += ["what was logged"]
        lines += [f"  {count:6} {level} {said}" for (level, said), count in watched.logged.most_common()]
    p99, quiet = result.late_ms(True, 99).median, result.late_ms(False, 99).median
    lines += ["", *(f"WRONG  {wrong}" for wrong in result.wrong)]
    lines += [
        f"{'met' if p99 < BOUND_MS else 'MISSED'}: p99 lateness beside attackers {p99:.2f} ms, {p99 - quiet:+.2f} ms by"
        f" the quiet; under {BOUND_MS:g} ms"
    ]
    return "\n".join(lines)


def as_json(result: Result) -> dict[str, Any]:
    return {
        "machine": machine(),
        "late_ms": {
            name: {str(percent): result.late_ms(attacked, percent).values for percent in (50, 99, 100)}
            for name, attacked in (("quiet", False), ("attacked", True))
        },
        "messages": result.attacks.messages,
        "handshakes": result.attacks.handshakes,
        "outcomes": {f"{kind}: {outcome}": count for (kind, outcome), count in result.attacks.outcomes.items()},
        "rss_kib": [each.rss_kib for each in result.after_attacks()],
        "wrong": result.wrong,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="of attacks; as much and a bit of quiet")
    parser.add_argument("--turns", type=int, default=2, help="how often quiet and attacks take turns")
    parser.add_argument("--rate", type=float, default=2_000, help="hostile messages per second; of connections a 20th")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--listener", choices=("asgi", "picows"), help="by default as the gateway has it")
    parser.add_argument("--only", default="", metavar="NAME", help="only the kinds of attack whose names begin so")
    parser.add_argument(
        "--first", action="store_true", help="the gateway and the calls before all else here (SCHED_FIFO); needs root"
    )
    parser.add_argument("--kinds", action="store_true", help="say what came of each kind of attack")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    listener = {"asgi": "websockets", "picows": "picows", None: ""}[chosen.listener]
    result = run(
        calls=chosen.calls,
        seconds=chosen.seconds,
        turns=chosen.turns,
        rate=chosen.rate,
        seed=chosen.seed,
        listener=listener,
        only=chosen.only,
        first=chosen.first,
    )
    print(report(result, kinds=chosen.kinds))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(as_json(result), indent=1), encoding="utf-8")
    if result.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
