"""What is measured in processes of their own: imports, and the memory of idle calls.

    python -m benchmarks._fresh idle rss 1000      one line of JSON

Resident memory is read from /proc; where there is none it is the peak that the system reports, which is never less.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

__all__ = ["IDLE", "IMPORTS", "fresh"]

#: What is imported, by the name of its row.
IMPORTS = {
    "package": "import voiceframe",
    "names": "from voiceframe import Call, Pipeline, Processor, handles",
    "asyncio": "import asyncio",
    "pipecat": "from pipecat.pipeline.pipeline import Pipeline; from pipecat.pipeline.worker import PipelineWorker; "
    "from pipecat.workers.runner import WorkerRunner; from pipecat.processors.frame_processor import FrameProcessor",
}
#: How the memory of our idle calls is taken.
IDLE = ("rss", "traced")
_WARM = 20
_ROOT = Path(__file__).resolve().parent.parent

_IMPORT = """
import sys, time
def rss():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    except OSError:
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
before, began = rss(), time.perf_counter()
{statement}
ms = (time.perf_counter() - began) * 1000
print('\\n{{"ms": %f, "kib": %d}}' % (ms, rss() - before))
"""


def fresh(kind: str, name: str, *arguments: str) -> dict[str, float]:
    """Measure in a new process: `ms` of wall time and `kib` of memory beyond the bare interpreter, or per idle call."""
    if kind == "import":
        _warm(name)
        return _python("-c", _IMPORT.format(statement=IMPORTS[name]))
    return _python("-m", "benchmarks._fresh", kind, name, *arguments)


@functools.cache
def _byte_code() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="benchmarks-")


@functools.cache
def _warm(name: str) -> None:
    """The first import compiles, which only happens once to a user."""
    _python("-c", _IMPORT.format(statement=IMPORTS[name]))


def _python(*arguments: str) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = _byte_code().name
    environment["PYTHONPATH"] = os.pathsep.join(path for path in (str(_ROOT), environment.get("PYTHONPATH")) if path)
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=_ROOT, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"a fresh process failed: {done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


# -- in the fresh process


def resident_kib() -> int:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


async def _idle_ours(count: int, *, traced: bool) -> float:
    """KiB for each of `count` idle calls that have had a first audio frame."""
    from voiceframe import Call
    from voiceframe.frames import InputAudioFrame

    from ._voiceframe import AUDIO, begin, ten

    calls: list[Call] = []

    async def add(number: int) -> None:
        calls.extend([await begin(ten()) for _ in range(number)])
        await asyncio.sleep(0.05)
        for call in calls[-number:]:
            call.transport.input().push(InputAudioFrame(AUDIO))
        await asyncio.sleep(0.05)
        gc.collect()

    await add(_WARM)
    if traced:
        tracemalloc.start()
        await add(count)
        used = tracemalloc.get_traced_memory()[0] / 1024
        tracemalloc.stop()
    else:
        before = resident_kib()
        await add(count)
        used = resident_kib() - before
    for call in calls:
        call.cancel("measured")
    for call in calls:
        await call.wait_ended()
    return used / count


async def _idle_naive(count: int) -> float:
    """KiB traced for each of `count` pipelines of ten tasks with a queue each: the plainest engine there could be."""

    async def work(queue: asyncio.Queue[object]) -> None:
        while True:
            await queue.get()

    tracemalloc.start()
    tasks = [asyncio.create_task(work(asyncio.Queue())) for _ in range(count * 10)]
    await asyncio.sleep(0.05)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] / 1024
    tracemalloc.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return used / count


async def _idle_theirs(count: int) -> float:
    from . import _pipecat as theirs

    runs: list[theirs.Run] = []

    async def add(number: int) -> None:
        for _ in range(number):
            end = theirs.End()
            run = theirs.Run([*(theirs.Passes() for _ in range(9)), end])
            runs.append(run)
            await run.start()
            await end.started.wait()
        await asyncio.sleep(0.1)
        gc.collect()

    await add(3)
    before = resident_kib()
    await add(count)
    used = resident_kib() - before
    for run in runs:
        await run.close()
    return used / count


def main(kind: str, name: str, count: str) -> None:
    if kind != "idle":
        raise SystemExit(f"unknown: {kind}")
    if name == "pipecat":
        kib = asyncio.run(_idle_theirs(int(count)))
    elif name == "naive":
        kib = asyncio.run(_idle_naive(int(count)))
    else:
        kib = asyncio.run(_idle_ours(int(count), traced=name == "traced"))
    print(json.dumps({"kib": kib}))


if __name__ == "__main__":
    main(*sys.argv[1:])
