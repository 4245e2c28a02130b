"""Whose code runs now: read off the stack when somebody asks, so that keeping it costs a frame nothing."""

from __future__ import annotations

import asyncio
import sys
from types import CodeType, FrameType
from typing import TYPE_CHECKING, NamedTuple

from .dispatcher import Dispatcher, current_call
from .lane import Lane

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Place", "handler_on", "here", "spawner_of"]


class Place(NamedTuple):
    """A handler of a processor of a call."""

    engine: Engine
    processor: str
    handler: str


#: Where handlers are called, and the local variable that tells whose it is.
_DISPATCH: dict[CodeType, str] = {
    Dispatcher._cascade.__code__: "step",
    Dispatcher._branch_off.__code__: "step",
    Dispatcher._run_urgent.__code__: "step",
    Lane._run.__code__: "lane",
}


def handler_on(frame: FrameType | None) -> Place | None:
    """The handler that runs on the stack whose innermost frame this is, which may be another thread's."""
    while frame is not None:
        kind = _DISPATCH.get(frame.f_code)
        if kind == "step":
            step = frame.f_locals.get("step")
            if step is not None:
                return Place(step.node.engine, step.node.name, step.handler)
        elif kind == "lane":
            lane = frame.f_locals["self"]
            return Place(lane.node.engine, lane.node.name, frame.f_locals["handler"].name)
        frame = frame.f_back
    return None


def spawner_of(task: asyncio.Task[object] | None, engine: Engine) -> Place | None:
    """Whose spawned work this task is, if it is that of a processor of the call."""
    if task is not None:
        for node in engine.all_nodes():
            if task in node.tasks or task in node.lasting:
                return Place(engine, node.name, str(getattr(task.get_coro(), "__name__", "task")))
    return None


def here() -> tuple[str | None, int | None, str | None]:
    """The call, its last turn and the processor that the running code works for, as far as there are any."""
    call = current_call.get(None)
    if call is None:
        return None, None, None
    place = handler_on(sys._getframe(1))
    if place is None or place.engine.call is not call:
        try:
            place = spawner_of(asyncio.current_task(), call.engine)
        except Exception:  # no loop runs here, or the call has no engine yet
            place = None
    return call.id, call.turns.last or None, place.processor if place is not None else None
