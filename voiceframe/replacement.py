"""Replacing a processor in a running call.

old works, new.setup() runs ──fails──▶ old stays
              │ done: in one step all further frames go to new, where they wait
              ▼
old gets an EndFrame, finishes what it has, is stopped and cleaned up
              │ finished, or `end_cap_ms` later
              ▼
new begins: its StartFrame first, then what has waited
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .errors import CallEnded, LinkError, ProcessorError
from .events import ProcessorReplaced
from .frames import StartFrame
from .node import Node
from .pipeline import check_replaced, check_unshared
from .processor import Processor

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["replace"]


async def replace(engine: Engine, old: Processor, new: Processor) -> None:
    """Put `new` in the place of `old`: see `Call.replace`."""
    node = _placed(engine, old)
    current = asyncio.current_task()
    if current in node.tasks or (node.lane is not None and node.lane.task is current):
        raise LinkError.of("link.replaces-itself", processor=old.name)
    check_unshared(new)
    check_replaced([new if other is node else other.proc for other in engine.nodes])
    fresh = Node(engine, new, node.row, node.index)
    new._node = fresh
    engine.give_name(new, {other.name for other in engine.all_nodes()})
    engine.changing.append(fresh)
    try:
        await _set_up(engine, fresh)
        _placed(engine, old)  # another replacement may have been faster
        _check_running(engine, new)
    except BaseException:
        if not engine.finished:  # else the end of the call cleans up
            await engine.stop([fresh])
            new._node = None
        raise
    finally:
        engine.changing.remove(fresh)
    # From here to the end of the switch nothing else runs: each frame meets the old or the new one, never both.
    lane = fresh.need_lane()
    lane.block(node.need_lane())
    lane.put(StartFrame(at_ms=engine.call.clock.at_ms()), False)
    fresh.set_up()
    node.row.places[node.index] = fresh
    engine.nodes[engine.nodes.index(node)] = fresh
    engine.changing.append(node)
    engine.relink()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(engine.settings.end_cap_ms / 1000):
                await _retired(node)
    finally:
        if not engine.finished:
            engine.changing.remove(node)
            engine.relink()
            lane.unblock()
            engine.call.log.write(ProcessorReplaced(old=old.name, new=new.name))
    if not engine.finished:
        node.leave()
        await engine.stop([node])


def _placed(engine: Engine, old: Processor) -> Node:
    node = old._node
    if node is None or node.engine is not engine or node not in engine.nodes:
        raise LinkError.of("link.unknown", processor=old.name, call=engine.call.id)
    return node


def _check_running(engine: Engine, new: Processor) -> None:
    if engine.ending:
        raise CallEnded.of("call.ended", call=engine.call.id, reason=engine.reason, what=f"replace(..., {new.name})")


async def _set_up(engine: Engine, fresh: Node) -> None:
    """Run `setup()` in the call's context. The end of the call cancels it."""
    settings = engine.settings
    task = engine.loop.create_task(fresh.proc.setup(), context=engine.dispatcher.task_context())
    fresh.lasting[task] = None
    try:
        done, _ = await asyncio.wait({task}, timeout=settings.setup_timeout_ms / 1000)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        raise ProcessorError.of("processor.setup-timeout", processor=fresh.name, timeout_ms=settings.setup_timeout_ms)
    del fresh.lasting[task]
    if task.cancelled():
        _check_running(engine, fresh.proc)
        raise ProcessorError.of("processor.setup-failed", processor=fresh.name, error="it was cancelled")
    task.result()


async def _retired(node: Node) -> None:
    """Wait until the old processor has finished, or the call is over."""
    done = node.need_lane().retire()
    await asyncio.wait({done})
