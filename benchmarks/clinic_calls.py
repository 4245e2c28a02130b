"""Seeded callers phone the clinic: audio in, audio out, recognizer, voice and calendar and all, on virtual time.

    uv run python -m benchmarks.clinic_calls                    # 200 callers
    uv run python -m benchmarks.clinic_calls --seeds 5000:5200  # these
    uv run python -m benchmarks.clinic_calls --seeds 17:18 --show --keep /tmp/calls   # one, with its transcript and WAV

A call is good if it ends booked as asked, or handed over as it should be. The seeds of the others are printed, and
each is the same call again when it is given back: `--replay` makes every call twice and compares all events and both
sides' audio, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voiceframe.clock import VIRTUAL_EPOCH_MS, run_virtual
from voiceframe.errors import VoiceframeError
from voiceframe.testing import AudioCaller, dial
from voiceframe.testing.voices import pick, speech
from voiceframe.transports.loopback import LineConditions

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from clinic_callers import (  # type: ignore[import-not-found]  # noqa: E402  # it lies beside the example
    Actor,
    OnTheLine,
    make_plan,
    verdict,
)

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
    starts: list[float]  # how far the record's start of each reply is from the recording's
    stops: list[float]  # after each barge-in: from the caller's first sound to the bot's last
    took_s: float = 0.0


def call_clinic(seed: int, keep: Path | None = None) -> Made:
    """One call, on a calendar of its own."""
    began = time.process_time()
    made, caller = run_virtual(_call(seed))
    made.took_s = time.process_time() - began
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        caller.save(keep / f"{seed:06}.wav")
        (keep / f"{seed:06}.jsonl").write_text(caller.record.lines(), encoding="utf-8")
    return made


async def _call(seed: int) -> tuple[Made, AudioCaller]:
    plan = make_plan(seed, NOW)
    person = pick(random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        calendar = Path(folder) / "clinic.db"
        os.environ["CLINIC_DB"] = str(calendar)
        async with dial(
            str(ROOT / "examples" / "clinic.py"),
            via="audio",
            seed=seed,
            voice=lambda text: speech(text, person),
            noise_dbfs=person.dbfs - SNR_DB,
            line=LineConditions(jitter_ms=(0, 20, 60)[seed % 3], network_ms=(20, 60)[seed % 2], seed=seed),
        ) as caller:
            actor = Actor(OnTheLine(caller), plan)
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
    digest = hashlib.sha256(caller.record.lines().encode() + caller.recording).hexdigest()
    made = Made(
        seed=seed,
        wrong=failure or verdict(actor, caller.record.reason, outcome, booked),
        wants=plan.wants,
        reason=caller.record.reason,
        lasted_ms=caller.call.clock.at_ms(),
        digest=digest,
        transcript=actor.line.transcript,
        starts=_starts(caller),
        stops=_stops(caller),
    )
    return made, caller


def _starts(caller: AudioCaller) -> list[float]:
    """How far the record is from the recording, for each reply that follows a silence of its own."""
    stretches = caller.bot_spoke
    found = []
    for event in caller.record.of("reply.speaking"):
        nearest = min(stretches, key=lambda stretch: abs(stretch[0] - event.at_ms), default=None)
        if nearest is not None:
            found.append(nearest[0] - event.at_ms - caller.transport.conditions.network_ms)
    return found


def _stops(caller: AudioCaller) -> list[float]:
    """From the first sound of a caller who speaks over the bot to the bot's last."""
    found = []
    network_ms = caller.transport.conditions.network_ms
    for began, _ in caller.spoke:
        cut = next((end for start, end in caller.bot_spoke if start + 300 < began < end - 40), None)
        if cut is not None and cut - began < 1_500:
            found.append(cut - began - 2 * network_ms)
    return found


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))] if ordered else float("nan")


def report(made: list[Made]) -> str:
    """The figures of these calls."""
    good = sum(not call.wrong for call in made)
    seconds, took = sum(call.lasted_ms for call in made) / 1000, sum(call.took_s for call in made)
    starts = [abs(value) for call in made for value in call.starts]
    stops = [value for call in made for value in call.stops]
    failed = ", ".join(str(call.seed) for call in made if call.wrong) or "none"
    return "\n".join(
        (
            f"{len(made)} calls, {good} good: {good / len(made):.1%}. Failing seeds: {failed}",
            f"{seconds:.0f} s of calls in {took:.1f} s of CPU: {seconds / took:.0f} times real time on one core",
            f"start of a reply, record against recording: {len(starts)}, median {percentile(starts, 0.5):.1f} ms,"
            f" 99 % {percentile(starts, 0.99):.1f} ms, most {max(starts, default=0):.1f} ms",
            f"bot silent after a barge-in: {len(stops)}, median {percentile(stops, 0.5):.0f} ms,"
            f" 99 % {percentile(stops, 0.99):.0f} ms",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="10000:10200", help="FIRST:LAST (excluded)")
    parser.add_argument("--replay", action="store_true", help="make each call twice and compare them bit for bit")
    parser.add_argument("--show", action="store_true", help="print what was said")
    parser.add_argument("--keep", type=Path, help="a folder for the recordings and the events")
    parser.add_argument("--least", type=float, default=0.95, help="the share of good calls below which this fails")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition(":")
    made: list[Made] = []
    differ: list[int] = []
    for seed in range(int(first), int(last or int(first) + 1)):
        call = call_clinic(seed, arguments.keep)
        made.append(call)
        if arguments.show:
            print("\n".join(call.transcript))
        if call.wrong:
            print(f"seed {seed}: {call.wrong}", flush=True)
        if arguments.replay and call_clinic(seed).digest != call.digest:
            differ.append(seed)
    print(report(made))
    if arguments.replay:
        print(f"replayed bit for bit: {len(made) - len(differ)} of {len(made)}; not these: {differ or 'none'}")
    good = sum(not call.wrong for call in made)
    if differ or good < arguments.least * len(made):
        sys.exit(1)


if __name__ == "__main__":
    main()
