"""Seeded callers phone the clinic: audio in, audio out, recognizer, voice and calendar and all, on virtual time.

    uv run python -m benchmarks.clinic_calls --jobs 2           # 200 callers, two at once
    uv run python -m benchmarks.clinic_calls --seeds 5000:5200  # these
    uv run python -m benchmarks.clinic_calls --seeds 17:18 --show --keep /tmp/calls   # one, with its transcript and WAV
    uv run python -m benchmarks.clinic_calls --barge-ins --seeds 20000:20030          # they speak over most replies
    uv run python -m benchmarks.clinic_calls --distinct 100000  # how many calls there are, without making them

A call is good if it ends booked as asked, or handed over as it should be. The others are printed, each with the command
that makes it again: `--replay` makes every call twice and compares all events and both sides' audio, bit for bit.

When a reply was to be heard is looked up in the recording of the caller's end: the samples that the voice has made are
found there again, one by one. Transcripts have no say in it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from voiceframe import Call, Observer, Pipeline
from voiceframe.clock import VIRTUAL_EPOCH_MS, run_virtual
from voiceframe.demo import clinic
from voiceframe.demo.calendar import Calendar
from voiceframe.demo.callers import Actor, OnTheLine, make_plan, verdict
from voiceframe.demo.sounding import Mouth, Starts, Stops, find_starts, find_stops
from voiceframe.errors import VoiceframeError
from voiceframe.testing import AudioCaller, dial
from voiceframe.testing.voices import pick, speech
from voiceframe.transports.loopback import LineConditions

NOW = datetime.fromtimestamp(VIRTUAL_EPOCH_MS / 1000, UTC).replace(tzinfo=None)

SNR_DB = 20


@dataclass
class Made:
    """What a call came to. Times in milliseconds."""

    seed: int
    wrong: str  # "" if it was good
    wants: str
    reason: str
    lasted_ms: int
    digest: str  # of all events and both sides' audio
    transcript: list[str]
    starts: Starts
    stops: Stops
    took_s: float = 0.0


def call_clinic(seed: int, keep: Path | None = None, *, impatient: bool = False) -> Made:
    """One call, on a calendar of its own."""
    began = time.process_time()
    caller, actor, mouth, wrong = run_virtual(converse(seed, impatient=impatient))
    took_s = time.process_time() - began
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        caller.save(keep / f"{seed:06}.wav")
        (keep / f"{seed:06}.jsonl").write_text(caller.record.lines(), encoding="utf-8")
    starts, heard = find_starts(caller, mouth)
    return Made(
        seed=seed,
        wrong=wrong,
        wants=actor.plan.wants,
        reason=caller.record.reason,
        lasted_ms=caller.call.clock.at_ms(),
        digest=hashlib.sha256(caller.record.lines().encode() + caller.recording).hexdigest(),
        transcript=actor.line.transcript,
        starts=starts,
        stops=find_stops(caller, actor.line.barged, heard),
        took_s=took_s,
    )


def conditions(seed: int) -> LineConditions:
    return LineConditions(jitter_ms=(0, 20, 60)[seed % 3], network_ms=(20, 60)[seed % 2], seed=seed)


async def converse(
    seed: int, *, impatient: bool = False, observers: Iterable[Observer] = (), now: datetime = NOW
) -> tuple[AudioCaller, Any, Mouth, str]:
    """A call on the running loop: the caller, who acted, what the bot's voice made, and what was wrong."""
    person = pick(random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        calendar = Path(folder) / "clinic.db"
        mouth = Mouth(8_000)

        def bot(call: Call) -> Pipeline:
            call.data["calendar"] = Calendar(calendar)
            pipeline = clinic.bot(call)
            return Pipeline(pipeline.elements, observers=[*pipeline.observers, mouth, *observers])

        async with dial(
            bot,
            via="audio",
            seed=seed,
            voice=lambda text: speech(text, person),
            noise_dbfs=person.dbfs - SNR_DB,
            line=conditions(seed),
        ) as caller:
            actor = Actor(OnTheLine(caller), make_plan(seed, now), impatient=impatient)
            failure = ""
            try:
                await actor.act()
                if caller.call.engine.ending:
                    await caller.hears_the_end()
            except VoiceframeError as error:
                failure = str(error)
            outcome = str(caller.call.data.get("outcome", ""))
        with contextlib.closing(sqlite3.connect(calendar)) as db:
            query = "select doctor, day, time, patient from appointments where call = ?"
            booked = db.execute(query, (caller.call.id,)).fetchall()
    return caller, actor, mouth, failure or verdict(actor, caller.record.reason, outcome, booked)


# -- what came of it


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] if ordered else float("nan")


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    median, most = percentile(values, 0.5), max(values)
    return f", median {median:.1f} ms, 99 % {percentile(values, 0.99):.1f} ms, most {most:.1f} ms"


def report(made: list[Made]) -> str:
    """The figures of these calls."""
    good = sum(not call.wrong for call in made)
    seconds, took = sum(call.lasted_ms for call in made) / 1000, sum(call.took_s for call in made)
    starts = [abs(value) for call in made for value in call.starts.off_ms]
    replies = sum(call.starts.count for call in made)
    cut, soundless = sum(call.starts.cut for call in made), sum(call.starts.soundless for call in made)
    lost = {call.seed: call.starts.lost for call in made if call.starts.lost}
    stray = {call.seed: round(call.starts.stray_ms, 1) for call in made if call.starts.stray_ms}
    stops = [value for call in made for value in call.stops.after_ms]
    late, missed = sum(call.stops.late for call in made), sum(call.stops.missed for call in made)
    failed = ", ".join(str(call.seed) for call in made if call.wrong) or "none"
    return "\n".join(
        (
            f"{len(made)} calls, {good} good: {good / len(made):.1%}. Failing seeds: {failed}",
            f"{seconds:.0f} s of calls in {took:.1f} s of CPU: {seconds / took:.0f} times real time on one core",
            f"start of a reply, record against recording: {len(starts)} of {replies} replies{_spread(starts)}",
            f"  not compared: {cut} cut before they could be heard, {soundless} without sound,"
            f" {sum(map(len, lost.values()))} not found {lost or ''}".rstrip(),
            f"  sound of the bot that is of no reply: {sum(stray.values()):.1f} ms {stray or ''}".rstrip(),
            f"bot silent after a barge-in: {len(stops)}{_spread(stops)};"
            f" {late} came when the bot was through, {missed} did not stop it",
        )
    )


def distinct(seeds: range) -> tuple[int, int]:
    """Of so many seeds: how many differ in what is said and done, and how many also by the voice and the line."""
    deeds: set[object] = set()
    calls: set[object] = set()
    for seed in seeds:
        deed, line = make_plan(seed, NOW).key(), conditions(seed)
        deeds.add(deed)
        calls.add((deed, pick(random.Random(seed)), line.jitter_ms, line.network_ms))
    return len(deeds), len(calls)


def _job(seed: int, keep: Path | None, impatient: bool, replay: bool) -> tuple[Made, bool]:
    """A call, and whether it was the same a second time."""
    made = call_clinic(seed, keep, impatient=impatient)
    return made, not replay or call_clinic(seed, impatient=impatient).digest == made.digest


def _all(seeds: range, job: partial[tuple[Made, bool]], jobs: int) -> Iterator[tuple[Made, bool]]:
    """In the order of the seeds. Processes are new ones, not forks: libraries that they use have threads."""
    if jobs == 1:
        yield from map(job, seeds)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(job, seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="10000:10200", help="FIRST:LAST (excluded)")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes make calls at once")
    parser.add_argument("--replay", action="store_true", help="make each call twice and compare them bit for bit")
    parser.add_argument("--barge-ins", action="store_true", help="callers who speak over most of the bot's replies")
    parser.add_argument("--show", action="store_true", help="print what was said")
    parser.add_argument("--keep", type=Path, help="a folder for the recordings and the events")
    parser.add_argument("--least", type=float, default=0.95, help="the share of good calls below which this fails")
    parser.add_argument(
        "--distinct", type=int, metavar="N", help="only count how many of N seeds are calls of their own"
    )
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition(":")
    if arguments.distinct is not None:
        deeds, calls = distinct(range(arguments.distinct))
        print(f"{arguments.distinct} seeds: {calls} distinct calls; {deeds} by what is said and done alone")
        return
    made: list[Made] = []
    differ: list[int] = []
    job = partial(_job, keep=arguments.keep, impatient=arguments.barge_ins, replay=arguments.replay)
    for call, same in _all(range(int(first), int(last or int(first) + 1)), job, arguments.jobs):
        made.append(call)
        if arguments.show:
            print("\n".join(call.transcript))
        if call.wrong or not same:
            options = " --barge-ins" * arguments.barge_ins + " --replay" * (not same)
            again = f"uv run python -m benchmarks.clinic_calls --seeds {call.seed}:{call.seed + 1} --show{options}"
            print(f"seed {call.seed}: {call.wrong or 'not the same twice'}\n  again: {again}", flush=True)
        if not same:
            differ.append(call.seed)
    print(report(made))
    if arguments.replay:
        print(f"replayed bit for bit: {len(made) - len(differ)} of {len(made)}; not these: {differ or 'none'}")
    good = sum(not call.wrong for call in made)
    if differ or good < arguments.least * len(made) or not all(call.starts.agree for call in made):
        sys.exit(1)


if __name__ == "__main__":
    main()
