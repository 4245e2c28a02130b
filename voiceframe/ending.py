"""How a call ends.

    running ──request_end──▶ ending: an EndFrame goes from source to sink, behind all work
                                │ it arrived                 │ bound passed
                                ▼                            ▼
                             closing ◀─────────────── cancelled: everything is stopped now
                                │ tasks gone, cleanup() done, each within its bound
                                ▼
                             finished

The bound of an end is the audio still to play plus `end_margin_ms`, under the cap `end_cap_ms`. A cancellation gives
work that must finish `cancel_grace_ms`, then cancels it too; what does not stop is left behind and reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .frames import CancelFrame
from .processor import Processor

if TYPE_CHECKING:
    from .engine import Engine
    from .node import Node

__all__ = ["Ending"]


class Ending:
    """The end of one call."""

    __slots__ = ("_began_s", "_closing", "_engine", "_timer", "cancelled")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._began_s = 0.0
        self.cancelled = False

    # -- the bound

    def arm(self) -> None:
        """The end has begun: from now on it has its bound."""
        self._began_s = self._engine.loop.time()
        self._wait()

    def _wait(self) -> None:
        engine = self._engine
        settings = engine.settings
        remaining = max((node.proc.remaining_ms() for node in engine.nodes if node.ready), default=0)
        passed = (engine.loop.time() - self._began_s) * 1000
        delay = min(remaining + settings.end_margin_ms, settings.end_cap_ms - passed)
        self._timer = engine.loop.call_later(max(0.0, delay) / 1000, engine.dispatcher.in_context, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        engine = self._engine
        passed = (engine.loop.time() - self._began_s) * 1000
        playing = any(node.ready and node.proc.remaining_ms() > 0 for node in engine.nodes)
        if playing and passed < engine.settings.end_cap_ms:
            self._wait()
        else:
            self.cancel(engine.reason)

    # -- the ways to close

    def finish(self) -> None:
        """The `EndFrame` has left the sink."""
        self._close()

    def cancel(self, reason: str) -> None:
        """Stop everything now."""
        engine = self._engine
        if self.cancelled or engine.finished:
            return
        self.cancelled = True
        engine.ending = True
        engine.reason = engine.reason or reason
        engine.dispatcher.in_context(engine.dispatcher.sweep, CancelFrame(reason, at_ms=engine.call.clock.at_ms()))
        self._close()

    def _close(self) -> None:
        engine = self._engine
        if self._closing is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        engine.dispatcher.closed = True
        engine.call.replies.kill_all()
        engine.dispatcher.clear()
        engine.dispatcher.wake_producers()
        # Held here: the loop itself keeps only weak references to tasks.
        self._closing = engine.loop.create_task(self._run(), context=engine.dispatcher.task_context())

    async def _run(self) -> None:
        engine = self._engine
        nodes = engine.all_nodes()
        try:
            await self._stop_work(nodes)
            await self.clean_up(nodes)
        finally:
            self._leave_zombies()
            if engine.watchdog is not None:
                engine.watchdog.forget(engine)
            engine.call.closed()

    # -- stopping what runs

    async def _stop_work(self, nodes: list[Node]) -> None:
        engine = self._engine
        at_once: set[asyncio.Task[Any]] = set()
        finishing: set[asyncio.Task[Any]] = set()
        for node in nodes:
            at_once |= node.lasting
            finishing |= node.tasks
            lane = node.lane
            if lane is not None:
                if lane.task is not None:
                    mode = None
                    if lane.running is not None:
                        frame, handler = lane.running
                        mode = handler.on_interrupt or ("cancel" if frame.mortal else "finish")
                    (finishing if mode == "finish" else at_once).add(lane.task)
                lane.close()
        finishing.discard(_current())
        at_once.discard(_current())
        for task in at_once:
            task.cancel()
        if finishing and engine.settings.cancel_grace_ms:
            await asyncio.wait(finishing, timeout=engine.settings.cancel_grace_ms / 1000)
        for task in finishing:
            task.cancel()
        await self._unwound(at_once | finishing, nodes)

    async def _unwound(self, tasks: set[asyncio.Task[Any]], nodes: Iterable[Node]) -> None:
        """Wait until cancelled tasks have stopped; leave behind those that do not."""
        engine = self._engine
        tasks = {task for task in tasks if not task.done()}
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=engine.settings.unwind_ms / 1000)
        for node in nodes:
            for task in pending:
                if task in node.tasks or task in node.lasting or (node.lane is not None and node.lane.task is task):
                    engine.left_behind(node, task, _name_of(task))

    async def clean_up(self, nodes: list[Node]) -> None:
        """Run `cleanup()` of all these processors at once, within its bound. A failure of one touches no other."""
        engine = self._engine
        tasks: dict[asyncio.Task[None], Node] = {}
        for node in nodes:
            if type(node.proc).cleanup is not Processor.cleanup:
                tasks[engine.loop.create_task(node.proc.cleanup(), context=engine.dispatcher.task_context())] = node
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=engine.settings.cleanup_timeout_ms / 1000)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=engine.settings.unwind_ms / 1000)
        for task, node in tasks.items():
            if not task.done():
                engine.left_behind(node, task, "cleanup")
            elif not task.cancelled() and (error := task.exception()) is not None:
                engine.report_failure(node, "cleanup", error)

    def _leave_zombies(self) -> None:
        """Close the coroutines of tasks that would not stop, so that nothing of the call is kept by them."""
        for task in self._engine.dispatcher.zombies:
            if task.done():
                continue
            coro: Any = task.get_coro()
            for _ in range(8):  # one that catches GeneratorExit as well may need it more than once
                try:
                    coro.close()
                    break
                except RuntimeError:
                    continue
                except Exception:
                    break
            task.cancel()
        self._engine.dispatcher.zombies.clear()


def _current() -> Any:
    return asyncio.current_task()


def _name_of(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__name__", "task"))

