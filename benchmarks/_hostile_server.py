"""The gateway of `benchmarks.hostile`, in a process of its own: it serves a light bot and watches itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from voiceframe import App, Call, Pipeline, Processor, handles
from voiceframe.app import Limits
from voiceframe.audio import PCMU_8K, Audio
from voiceframe.frames import InputAudioFrame, OutputAudioFrame, ReplyStartedFrame, StartFrame
from voiceframe.logs import configure_logging
from voiceframe.server import Gateway, ServerSettings, serve
from voiceframe.transports.twilio import Twilio, TwilioSettings

__all__ = ["PIECE", "SECRET", "URL", "Sample", "Tally", "Watched", "core", "main", "numbered", "sound"]

URL: Final = "https://voice.test"
SECRET: Final = "0123456789abcdef0123456789abcdef"
#: 20 ms of µ-law.
PIECE: Final = 160
#: After so much the bot says the same again, and so much more of it than has been heard it has always said.
_SOUND_S: Final = 10
_LATE_S: Final = 0.010
_SAMPLE_S: Final = 0.25
#: How long a token holds: what attackers do not use is to be gone when it is looked what is left.
_TOKEN_MS: Final = 5_000
#: How long the server may take to stop before it is said to hang.
_STOP_S: Final = 20


def sound() -> bytes:
    """What the bot says, again and again: no two pieces are alike, so that one that is missing is missed."""
    return random.Random("what the bot says").randbytes(_SOUND_S * 8_000)


def numbered(number: int) -> bytes:
    """The caller's piece of this number."""
    return number.to_bytes(4, "big") * (PIECE // 4)


def core(number: int, *, first: bool = False) -> None:
    """Stay on this core, where there are several: who attacks a real server takes none of its time.

    first: come before all other work on this machine, which needs a permission. Raises `OSError` without it.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[number % len(cores)]})
    if first:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


@dataclass
class Tally:
    """What the bot has had of a call."""

    heard: int = 0
    out_of_order: int = 0
    underruns: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at a time of the monotonic clock. Both times of the processor are counted from its start."""

    at: float
    rss_kib: int
    used_s: float
    #: How long it could have run and had no core.
    waited_s: float
    files: int
    tasks: int
    calls: int


@dataclass
class Watched:
    """What the server has seen of itself. late, pauses: when, and so many milliseconds."""

    calls: dict[str, Tally] = field(default_factory=dict)
    late: list[tuple[float, float]] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    #: What was logged as a warning or worse: level and the beginning of the message.
    logged: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: The last line of each error that was logged.
    errors: Counter[str] = field(default_factory=Counter)
    #: How many calls others had than those that are watched.
    others: int = 0
    #: What is left when all are gone.
    left: dict[str, int] = field(default_factory=dict)
    stopped_s: float = -1.0


class Talks(Processor):
    """Talks without end, and counts what it hears."""

    def __init__(self, said: Audio, tally: Tally) -> None:
        self._said = said
        self._tally = tally
        self._reply = 0

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._reply = self.begin_reply(None)
        self.push(ReplyStartedFrame(self._reply))
        for _ in range(2):
            self.push(OutputAudioFrame(self._said, self._reply))

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        tally = self._tally
        tally.out_of_order += frame.audio.data != numbered(tally.heard)
        tally.heard += 1
        if tally.heard % (_SOUND_S * 50) == 0:
            self.push(OutputAudioFrame(self._said, self._reply))


class _Counter(logging.Handler):
    def __init__(self, watched: Watched) -> None:
        super().__init__(logging.WARNING)
        self._watched = watched

    def emit(self, record: logging.LogRecord) -> None:
        self._watched.logged[record.levelname, str(record.msg).strip()[:60]] += 1
        if record.levelno >= logging.ERROR:
            said = logging.Formatter().format(record).strip().splitlines()
            self._watched.errors[f"{said[0][:80]} … {said[-1][:120]}"] += 1


async def watched(pipe: Connection, mine: frozenset[str]) -> Watched:
    """Serve until something comes by the pipe, which is told the port. mine: Twilio's ids of the calls to watch."""
    found = Watched()
    said = Audio(sound(), PCMU_8K)
    loop = asyncio.get_running_loop()
    ended: set[asyncio.Task[None]] = set()

    async def tell(call: Call, tally: Tally) -> None:
        tally.reason = await call.wait_ended()
        tally.underruns = getattr(call.transport.output(), "underruns", 0)

    def bot(call: Call) -> Pipeline:
        sid, tally = str(call.metadata.get("call_sid", "")), Tally()
        if sid in mine:
            found.calls[sid] = tally
            task = loop.create_task(tell(call, tally))
            ended.add(task)
            task.add_done_callback(ended.discard)
        else:
            found.others += 1
        return Pipeline([call.transport.input(), Talks(said, tally), call.transport.output()])

    twilio = TwilioSettings(auth_token=SECRET, account_sid="", token_ms=_TOKEN_MS)
    app = App(bot, Twilio(twilio), store=None, limits=Limits(max_calls=20_000))
    gateway = Gateway(app, ServerSettings.load().replace(public_url=URL, port=0, host="127.0.0.1", drain_ms=1_000))
    counter = _Counter(found)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: ASYNC230 PTH123 - it is none
        configure_logging("INFO", stream=nowhere)  # it is written, as by `voiceframe run`
        for name in ("voiceframe", ""):
            logging.getLogger(name).addHandler(counter)
        stop = asyncio.Event()
        loop.add_reader(pipe.fileno(), stop.set)
        watching = [loop.create_task(_late(found)), loop.create_task(_samples(found, app))]
        gc.callbacks.append(_collector(found))
        serving = loop.create_task(serve(gateway, started=pipe.send, stop=stop))
        await asyncio.wait((serving, loop.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        gc.callbacks.clear()
        loop.remove_reader(pipe.fileno())
        for task in watching:
            task.cancel()
        found.left = {"calls": len(app.calls), "files": _files(), "tasks": len(asyncio.all_tasks())}
        began = loop.time()
        done, _ = await asyncio.wait((serving,), timeout=_STOP_S)
        if done:
            found.stopped_s = loop.time() - began
    return found


async def _late(found: Watched) -> None:
    """How late the loop is every 10 ms, between the ticks of the calls."""
    loop = asyncio.get_running_loop()
    due = (int(loop.time() / 0.02) + 1) * 0.02 + _LATE_S / 2
    times = array("d")  # it must not be what grows
    try:
        while True:
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            times.extend((due, (now - due) * 1000))
            due += _LATE_S * (int((now - due) / _LATE_S) + 1)
    finally:
        found.late = list(zip(times[::2], times[1::2], strict=True))


async def _samples(found: Watched, app: App) -> None:
    while True:
        found.samples.append(
            Sample(
                time.monotonic(),
                _resident_kib(),
                time.process_time(),
                _waited_s(),
                _files(),
                len(asyncio.all_tasks()),
                len(app.calls),
            )
        )
        await asyncio.sleep(_SAMPLE_S)


def _collector(found: Watched) -> Any:
    began = 0.0

    def told(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        now = time.monotonic()
        if phase == "start":
            began = now
        else:
            found.pauses.append((began, (now - began) * 1000))

    return told


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:  # not on this system
        return ""


def _resident_kib() -> int:
    pages = _read("/proc/self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") // 1024 if pages else 0


def _waited_s() -> float:
    told = _read("/proc/self/schedstat").split()
    return int(told[1]) / 1e9 if told else 0.0


def _files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a path for each would be dear
    except OSError:
        return 0


def main(pipe: Connection, mine: frozenset[str], listener: str, first: bool) -> None:
    """What the process does. Its last word is what it has watched."""
    core(0, first=first)
    for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "VOICEFRAME_CONFIG"):
        os.environ.pop(name, None)
    if listener:
        os.environ["VOICEFRAME_SERVER_WEBSOCKETS"] = listener
    with asyncio.Runner() as runner:
        found = runner.run(watched(pipe, mine))
        pipe.send(found)
        if found.stopped_s < 0:  # or it would be waited for without end
            os._exit(0)
