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
import contextvars
from typing import TYPE_CHECKING, Any

from .events import CallEndLapsed
from .frames import CancelFrame
from .processor import Processor

if TYPE_CHECKING:
    from .engine import Engine
    from .node import Node
    from .replies import Reply

__all__ = ["EndWish", "Ending"]


class EndWish:
    """A wish to end the call once what is being said was heard: see `Call.end`.

    wished ──all replies heard──▶ granted: the end begins
       │ ──the end has begun otherwise, or the output is silent for `end_margin_ms`──▶ granted
       └───a reply is interrupted──▶ lapsed
    """

    __slots__ = ("_began_s", "_engine", "_reason", "_replies", "_timer", "settled")

    def __init__(self, engine: Engine, reason: str) -> None:
        self._engine = engine
        self._reason = reason
        #: True when the end has begun, False when the wish has lapsed.
        self.settled: asyncio.Future[bool] = engine.loop.create_future()
        self._replies: dict[int, Reply] = {}
        self._began_s = engine.loop.time()
        engine.call.replies.closed_listeners.append(self._closed)
        # What the handler that wishes has pushed is said first, and belongs to what must be heard.
        self._timer: asyncio.TimerHandle | asyncio.Handle = engine.loop.call_soon(
            engine.dispatcher.afterwards, self._look
        )

    def _look(self) -> None:
        if self.settled.done():
            return
        engine = self._engine
        # What comes behind the goodbye before it is over belongs to it; what was interrupted before does not.
        speaking = {number: reply for number, reply in engine.call.replies.open.items() if not reply.swept}
        if engine.ending:
            self.settle(True)
        elif any(reply.swept for reply in self._replies.values()):
            engine.call.log.write(CallEndLapsed(reason=self._reason))
            self.settle(False)
        elif speaking:
            self._replies |= speaking
            self._timer.cancel()
            bound = _bound_ms(engine, self._began_s) / 1000
            self._timer = engine.loop.call_later(bound, engine.dispatcher.in_context, self._overdue)
        else:
            self._grant()

    def _closed(self, reply: Reply) -> None:
        self._engine.dispatcher.in_context(self._look)

    def _overdue(self) -> None:
        """The time in which a word of the output should have come is over."""
        engine = self._engine
        passed = (engine.loop.time() - self._began_s) * 1000
        if (
            any(node.ready and node.proc.remaining_ms() for node in engine.nodes)
            and passed < engine.settings.end_cap_ms
        ):
            self._look()
        else:
            self._grant()

    def _grant(self) -> None:
        self._engine.request_end(self._reason)
        self.settle(True)

    def settle(self, granted: bool) -> None:
        """The wish is over, one way or the other."""
        if self.settled.done():
            return
        self._timer.cancel()
        self._engine.call.replies.closed_listeners.remove(self._closed)
        self.settled.set_result(granted)


class Ending:
    """The end of one call."""

    __slots__ = ("_arrived", "_began_s", "_closing", "_engine", "_looks", "_timer", "cancelled")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._began_s = 0.0
        self._arrived = False
        self._looks = 0  # how many times it will be looked: the last time decides
        self.cancelled = False

    # -- the bound

    def arm(self) -> None:
        """The end has begun: from now on it has its bound."""
        self._began_s = self._engine.loop.time()
        self._wait()

    def _wait(self) -> None:
        engine = self._engine
        bound = _bound_ms(engine, self._began_s) / 1000
        self._timer = engine.loop.call_later(bound, engine.dispatcher.in_context, self._overdue)

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

    def arrived(self) -> None:
        """The `EndFrame` has left the sink. What was sent upstream before still arrives."""
        self._arrived = True
        self.look_afterwards()

    def look_afterwards(self) -> None:
        """Close when what waits now has run, if by then no mailbox holds anything that travels upstream."""
        if self._arrived and self._closing is None:
            self._looks += 1
            self._engine.dispatcher.afterwards(self._look)

    def _look(self) -> None:
        self._looks -= 1
        if not self._looks and not any(
            node.lane is not None and any(node.lane.holds[1]) for node in self._engine.nodes
        ):
            self.close()

    def cancel(self, reason: str) -> None:
        """Stop everything now; in a handler, when it returns."""
        engine = self._engine
        if self.cancelled or engine.finished:
            return
        self.cancelled = True
        engine.ending = True
        engine.reason = engine.reason or reason
        engine.dispatcher.urgent(CancelFrame(reason, at_ms=engine.call.clock.at_ms()))

    def close(self) -> None:
        """Deliver nothing more, stop what runs, clean up."""
        engine = self._engine
        if self._closing is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        engine.dispatcher.close()
        engine.call.replies.kill_all()
        # Held here: the loop itself keeps only weak references to tasks.
        self._closing = engine.loop.create_task(self._run(), context=engine.dispatcher.task_context())

    async def _run(self) -> None:
        engine = self._engine
        try:
            await self.stop(engine.all_nodes())
        finally:
            self._leave_zombies()
            if engine.watchdog is not None:
                engine.watchdog.forget(engine)
            engine.call.closed()

    # -- stopping what runs

    async def stop(self, nodes: list[Node]) -> None:
        """End all work of these processors and clean them up, each within its bound."""
        await self._stop_work(nodes)
        await self._clean_up(nodes)

    async def _stop_work(self, nodes: list[Node]) -> None:
        engine = self._engine
        at_once: list[asyncio.Task[Any]] = []
        finishing: list[asyncio.Task[Any]] = []
        for node in nodes:
            at_once += node.lasting
            finishing += node.tasks
            lane = node.lane
            if lane is not None:
                if lane.task is not None:
                    (finishing if lane.finishes else at_once).append(lane.task)
                lane.close()
        for task in at_once:
            task.cancel()
        if finishing and engine.settings.cancel_grace_ms:
            await asyncio.wait(finishing, timeout=engine.settings.cancel_grace_ms / 1000)
        for task in finishing:
            task.cancel()
        await self._unwound(at_once + finishing, nodes)

    async def _unwound(self, tasks: list[asyncio.Task[Any]], nodes: list[Node]) -> None:
        """Wait until cancelled tasks have stopped; leave behind those that do not."""
        engine = self._engine
        tasks = [task for task in tasks if not task.done()]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=engine.settings.unwind_ms / 1000)
        for node in nodes:
            for task in tasks:
                lane = node.lane
                if not task.done() and (
                    task in node.tasks or task in node.lasting or (lane is not None and lane.task is task)
                ):
                    running = lane.running if lane is not None and lane.task is task else None
                    engine.left_behind(node, task, running[1].name if running else _name_of(task))

    async def _clean_up(self, nodes: list[Node]) -> None:
        """Run `cleanup()` of all these processors at once, within its bound. A failure of one touches no other."""
        engine = self._engine
        tasks: dict[asyncio.Task[None], Node] = {}
        for node in nodes:
            if type(node.proc).cleanup is not Processor.cleanup:
                tasks[engine.loop.create_task(node.proc.cleanup(), context=engine.dispatcher.task_context())] = node
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=engine.settings.cleanup_timeout_ms / 1000)
        late = [task for task in tasks if not task.done()]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=engine.settings.unwind_ms / 1000)
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
            task.add_done_callback(_retrieve, context=contextvars.Context())
            task.cancel()
        self._engine.dispatcher.zombies.clear()


def _bound_ms(engine: Engine, began_s: float) -> float:
    """How long what is being said may be waited for: the audio still to play and a margin, under the cap."""
    settings = engine.settings
    remaining = max((node.proc.remaining_ms() for node in engine.nodes if node.ready), default=0)
    passed = (engine.loop.time() - began_s) * 1000
    return max(0.0, min(remaining + settings.end_margin_ms, settings.end_cap_ms - passed))


def _retrieve(task: asyncio.Task[Any]) -> None:
    """What becomes of a task whose coroutine was closed is nobody's business."""
    if not task.cancelled():
        task.exception()


def _name_of(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__name__", "task"))
