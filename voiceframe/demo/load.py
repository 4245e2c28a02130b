"""`voiceframe demo --load`: many calls at once at real speed, how late they are, and which stage takes how much CPU."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ..call import Call
from ..pipeline import Pipeline
from .files import call_folder, fresh, where, write
from .result import Result, percentile
from .telephoning import Made, Switchboard, let_interrupt, make_call

__all__ = ["describe", "load"]

#: Callers do not call in the same moment.
_APART_S: Final = 0.37
_TICK_S: Final = 0.02
_SAMPLE_S: Final = 0.005
#: Samples after which the loop is told anew that they may pile up: far fewer than its pipe takes.
_PILE: Final = 32

#: Whose CPU time it is, by where in the package the thread is: the first that fits.
STAGES: Final = {
    "demo/clinic": "agent",
    "demo/calendar": "agent",
    "flow": "agent",
    "processors/agents": "agent",
    "providers": "agent",
    "tools": "agent",
    "demo": "the callers themselves",
    "testing": "the callers themselves",
    "espeak": "TTS",
    "processors/tts": "TTS",
    "processors/vad": "VAD",
    "processors/stt": "STT",
    "jsgf": "STT",
    "processors/turn": "turn taking",
    "transports": "transport",
    "serializers": "transport",
    "server": "transport",
    "audio": "transport",
}
_REST: Final = "engine, events, event loop"


class CpuByStage:
    """Whenever the process has used another 5 ms of CPU, gives each thread's part of them to the stage that it is in.

    The whole is exact, its parts are a sample. For the main thread, as signals are.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._signals = 0
        self._last: dict[int, float] = {}
        self._before: Any = None

    def __enter__(self) -> CpuByStage:
        self._before = signal.signal(signal.SIGPROF, self._on_signal)
        self._last = _used()
        signal.setitimer(signal.ITIMER_PROF, _SAMPLE_S, _SAMPLE_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._signals % _PILE:
            _let_signals_pile_up()
        self._signals += 1
        used, frames = _used(), sys._current_frames()
        main = threading.get_ident()
        for ident, seconds in used.items():
            more = seconds - self._last.get(ident, 0.0)
            if more > 0:
                self.seconds[_stage(frame if ident == main else frames.get(ident))] += more
        self._last = used


def _used() -> dict[int, float]:
    """The CPU time of each thread, where the system tells; else that of the process, as the main thread's."""
    clock = getattr(time, "pthread_getcpuclockid", None)
    if clock is None:
        return {threading.get_ident(): time.process_time()}
    found = {}
    for thread in threading.enumerate():
        if thread.ident is not None:
            with contextlib.suppress(OSError):  # it has just ended
                found[thread.ident] = time.clock_gettime(clock(thread.ident))
    return found


def _stage(frame: FrameType | None) -> str:
    while frame is not None:
        _, found, place = frame.f_code.co_filename.rpartition("/voiceframe/")
        if found:
            return next((stage for part, stage in STAGES.items() if place.startswith(part)), _REST)
        frame = frame.f_back
    return _REST


def _let_signals_pile_up() -> None:
    """The loop hears of each signal by a byte in a pipe. While it is held up the pipe may fill: that is no matter.

    Said again and again, since whoever adds a signal handler to the loop takes it back.
    """
    wakeup = signal.set_wakeup_fd(-1)
    if wakeup != -1:
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)


@contextlib.asynccontextmanager
async def lateness() -> AsyncIterator[list[float]]:
    """How late the event loop is every 20 ms, in ms."""
    late: list[float] = []
    loop = asyncio.get_running_loop()

    async def tick() -> None:
        due = loop.time()
        while True:
            due += _TICK_S
            await asyncio.sleep(max(0.0, due - loop.time()))
            late.append(round(max(0.0, loop.time() - due) * 1000, 2))

    task = loop.create_task(tick())
    try:
        yield late
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def load(count: int, first: int, bot: Callable[[Call], Pipeline], folder: str | None = None) -> dict[str, Any]:
    """Make so many calls at once, each with a calendar of its own. Returns what is shown of it.

    folder: where the files of each call are kept. They are written when all is over, and measured.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, CpuByStage() as cpu:
        switchboard = Switchboard(count)

        async def one(number: int) -> Made:
            place = fresh(call_folder(Path(folder or name), number))
            await asyncio.sleep((number - first) * _APART_S)
            return await make_call(number, place, real=True, bot=bot, switchboard=switchboard)

        async with switchboard.exchange, lateness() as late:
            let_interrupt()
            made = await asyncio.gather(*(one(number) for number in range(first, first + count)))
    lasted_s = time.perf_counter() - began
    results = [Result(each) for each in made]
    if folder is not None:
        for result in results:
            write(result, call_folder(Path(folder), result.made.seed), wall=True)
    good = [result for result in results if result.passed]
    waits = [ms for result in results for ms in result.voice_to_voice]
    stops = [result.barge_in["stop_ms"] for result in results if result.barge_in is not None]
    return {
        "seeds": [first, first + count - 1],
        "calls": count,
        "lasted_s": round(lasted_s, 1),
        "pass_rate": len(good) / count,
        "failing": [result.made.seed for result in results if not result.passed],
        "folder": folder,
        "voice_to_voice": _spread(waits),
        "stop": _spread(stops),
        "lateness": _spread(late) | {"p99_ms": percentile(late, 0.99)},
        "cpu": {stage: round(used, 2) for stage, used in sorted(cpu.seconds.items(), key=lambda item: -item[1])},
    }


def _spread(values: list[float]) -> dict[str, float | None]:
    return {"p50_ms": percentile(values, 0.5), "p95_ms": percentile(values, 0.95), "most_ms": max(values, default=None)}


def describe(found: dict[str, Any]) -> str:
    """That, for a person."""
    rows = [
        f"{found['calls']} calls at once, seeds {found['seeds'][0]} to {found['seeds'][1]}, in {found['lasted_s']} s: "
        f"{found['pass_rate']:.1%} passed" + (f"; failing: {found['failing']}" if found["failing"] else ""),
        "",
    ]
    for title, name in (
        ("voice to voice", "voice_to_voice"),
        ("silent after a barge-in", "stop"),
        ("event loop late", "lateness"),
    ):
        row = found[name]
        told = (f"{key.removesuffix('_ms')} {value:.0f} ms" for key, value in row.items() if value is not None)
        rows.append(f"{title:24} {', '.join(told)}")
    rows += ["", f"{'CPU by stage':28} {'s':>7} {'of a core':>10}"]
    used = found["cpu"]
    for stage, seconds in [*used.items(), ("all", sum(used.values()))]:
        rows.append(f"{stage:28} {seconds:7.2f} {seconds / found['lasted_s']:10.1%}")
    if found["folder"] is not None:
        rows += ["", where(found["folder"])]
    return "\n".join(rows)
