"""The processes of a benchmark that must not share a core, and what they tell each other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

__all__ = ["process", "told"]


@contextmanager
def process(main: Any, *arguments: Any) -> Iterator[Connection]:
    """A process of ours, which is gone in the end, and our end of its pipe. New ones, not forks: there are threads."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    started: SpawnProcess = context.Process(target=main, args=(theirs, *arguments), daemon=True)
    started.start()
    theirs.close()
    try:
        yield ours
        started.join(10)
    finally:
        if started.is_alive():
            started.kill()
        started.join()
        ours.close()


def told(pipe: Connection, within_s: float) -> Any:
    """What a process says next. Raises `TimeoutError`."""
    if not pipe.poll(max(within_s, 1.0)):
        raise TimeoutError("a process of the benchmark says nothing")
    return pipe.recv()
