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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceframe import Call, Observer, Pipeline, observes
from voiceframe.bots import load_bot
from voiceframe.clock import VIRTUAL_EPOCH_MS, run_virtual
from voiceframe.errors import VoiceframeError
from voiceframe.frames import OutputAudioFrame
from voiceframe.testing import AudioCaller, dial
from voiceframe.testing.voices import pick, speech
from voiceframe.transports.fades import FADE_MS
from voiceframe.transports.loopback import TICK_MS, LineConditions

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from clinic_calendar import Calendar  # type: ignore[import-not-found]  # noqa: E402  # it lies beside the example
from clinic_callers import (  # type: ignore[import-not-found]  # noqa: E402  # it lies beside the example
    Actor,
    OnTheLine,
    make_plan,
    verdict,
)

Samples = NDArray[np.int16]

NOW = datetime.fromtimestamp(VIRTUAL_EPOCH_MS / 1000, UTC).replace(tzinfo=None)

SNR_DB = 20
#: A sample over this can be heard: the level that `AudioCaller.bot_spoke` goes by.
FLOOR = 32768 * 10 ** (-50 / 20)
#: By how much the record may be wrong about the start of a reply.
AGREE_MS = 20
#: How much of a reply is looked for in the recording, in ms. The shorter one is for those that were soon cut.
LOOKS_MS = (40, 10)


@dataclass
class Starts:
    """The replies of a call that the record says to have sounded, by what the recording has of them.

    off_ms: for each that was found, from the record's start of it to its first sample that can be heard.
    cut: over, by the record, before a sample of it that can be heard was due. soundless: without any such sample.
    lost: those that should be there and are not. stray_ms: what is to be heard of the bot and belongs to no reply.
    """

    off_ms: list[float] = field(default_factory=list)
    cut: int = 0
    soundless: int = 0
    lost: list[int] = field(default_factory=list)
    stray_ms: float = 0.0

    @property
    def count(self) -> int:
        return len(self.off_ms) + self.cut + self.soundless + len(self.lost)

    @property
    def agree(self) -> bool:
        """Whether the record is right about every reply, and knows of all that was to be heard."""
        return not self.lost and not self.stray_ms and all(abs(off_ms) <= AGREE_MS for off_ms in self.off_ms)


@dataclass
class Stops:
    """The caller's barge-ins. after_ms: for each that silenced the bot, how long the bot was still to be heard.

    late: the bot had come to its own end, or was silent already. missed: it spoke on.
    """

    after_ms: list[float] = field(default_factory=list)
    late: int = 0
    missed: int = 0


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


class Mouth(Observer):
    """Keeps the samples that the voice has made for each reply."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: dict[int, list[bytes]] = {}

    @observes(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> None:
        self._pieces.setdefault(frame.reply, []).append(frame.audio.pcm(self._rate))

    def sound(self, reply: int) -> Samples:
        return np.frombuffer(b"".join(self._pieces.get(reply, ())), "<i2")


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
            pipeline = load_bot(str(ROOT / "examples" / "clinic.py"))(call)
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


# -- when the bot was to be heard


@dataclass(frozen=True)
class Stretch:
    """Where samples of a reply are in the recording: from `first`, which can be heard, to behind `last`.

    whole: with them the sound has come to its own end.
    """

    first: int
    last: int
    whole: bool


def trace(sound: Samples, heard: Samples, begin: int, end: int, rate: int) -> list[Stretch]:
    """Where `sound` is to be heard between two samples of the recording, each sample the same; [] if it is not.

    There are several stretches if it was held and went on.
    """
    found: list[Stretch] = []
    fade = rate * FADE_MS // 1000
    heard = heard[:end]
    data = heard.tobytes()
    audible = _audible(sound)
    at = 0
    while len(audible := audible[audible >= at]):
        first = int(audible[0])
        place = -1
        for look_ms in LOOKS_MS:
            place = _find(data, sound[first : first + rate * look_ms // 1000], begin)
            # It goes on out of silence. If there is something in between, these are the same words of another reply.
            if place >= 0 and found and len(_audible(heard[begin : max(begin, place - (first - at) - fade)])):
                place = -1
            if place >= 0:
                break
        if place < 0:
            break
        size = min(len(sound) - first, len(heard) - place)
        other = np.flatnonzero(sound[first : first + size] != heard[place : place + size])
        same = int(other[0]) if len(other) else size
        found.append(Stretch(place, place + same, first + same > int(audible[-1])))
        # A hold fades out over the samples with which it then goes on, faded in.
        at, begin = first + same + fade, place + same + fade
    return found


def _find(data: bytes, wanted: Samples, begin: int) -> int:
    """The first place of these samples from sample `begin` on, or -1."""
    look = wanted.tobytes()
    at = data.find(look, 2 * begin)
    while at >= 0 and at % 2:
        at = data.find(look, at + 1)
    return at // 2 if at >= 0 else -1


def _audible(samples: Samples) -> NDArray[np.intp]:
    """Which of them can be heard."""
    return np.flatnonzero(np.abs(samples.astype(np.int32)) > FLOOR)


def find_starts(caller: AudioCaller, mouth: Mouth) -> tuple[Starts, list[Stretch]]:
    """The replies of a call, looked for in its recording one behind the other, and all of their stretches.

    The record says which there were, in which order, and until when each may be sought. Not where it begins.
    """
    heard: Samples = np.frombuffer(caller.received, "<i2")
    rate = caller.format.rate
    # In the call's time, as it was sent: the recording is of the other end of the line.
    began_ms = max(0, caller.transport.began_ms)
    sent_ms = began_ms - caller.transport.conditions.network_ms
    over_ms = {event.data["reply"]: event.at_ms for event in caller.record.of("reply.heard")}
    result = Starts()
    stretches: list[Stretch] = []
    held = False  # whether the last of them is one of several of its reply
    begin = 0
    for event in caller.record.of("reply.speaking"):
        reply = event.data["reply"]
        sound, end = mouth.sound(reply), len(heard)
        if reply in over_ms:  # the piece that was being sent then is the last
            tick_ms = (over_ms[reply] - began_ms) // TICK_MS * TICK_MS + TICK_MS + began_ms
            end = min(end, (tick_ms - sent_ms) * rate // 1000)
        found = trace(sound, heard, begin, end, rate)
        if not found and held:
            # The one before was held and cut, and this one begins with the words with which that would have gone on.
            found = trace(sound, heard, stretches[-2].last, end, rate)
            if found:
                stretches.pop()
        audible = _audible(sound)
        if found:
            result.off_ms.append(found[0].first * 1000 / rate + sent_ms - event.at_ms)
            begin = found[-1].last
            stretches += found
            held = len(found) > 1
        elif not len(audible):
            result.soundless += 1
        elif (event.at_ms - sent_ms + TICK_MS + LOOKS_MS[-1]) * rate // 1000 + int(audible[0]) > end:
            result.cut += 1
        else:
            result.lost.append(reply)
    fade = rate * FADE_MS // 1000
    claimed = np.zeros(len(heard), np.bool_)
    for stretch in stretches:
        claimed[max(0, stretch.first - fade) : stretch.last + fade] = True
    result.stray_ms = float(np.count_nonzero(~claimed[_audible(heard)])) * 1000 / rate
    return result, stretches


def find_stops(caller: AudioCaller, barged: list[float], stretches: list[Stretch]) -> Stops:
    """For each barge-in, how long the bot was still to be heard, without the way over the network and back."""
    heard: Samples = np.frombuffer(caller.received, "<i2")
    rate = caller.format.rate
    result = Stops()
    for began_ms in barged:
        began = round((began_ms - max(0, caller.transport.began_ms)) * rate / 1000)
        stretch = next((stretch for stretch in stretches if stretch.first <= began < stretch.last), None)
        if stretch is None:
            result.late += 1
            continue
        # The fade belongs to it: those are the last samples of the bot's.
        rest = heard[began : stretch.last + rate * FADE_MS // 1000]
        loud = _audible(rest)
        after_ms = (int(loud[-1]) + 1) * 1000 / rate - 2 * caller.transport.conditions.network_ms if len(loud) else 0.0
        if not stretch.whole and after_ms > 0:
            result.after_ms.append(after_ms)
        elif stretch.whole and after_ms > 1_000:
            result.missed += 1
        else:
            result.late += 1
    return result


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
