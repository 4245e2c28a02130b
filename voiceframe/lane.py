"""A lane: the mailbox of a processor that has `async def` handlers, and the task that works through it.

    idle ──put──▶ working ──empty──▶ idle            one task per burst of frames; an idle lane has none
                   │   ▲
          sweep says cancel: the task is cancelled
                   │   │ unwound: a new task goes on with the rest
                   ▼   │
                unwinding ──200 ms──▶ the old task is left behind (its pushes are dropped), a new one goes on
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from .errors import ProcessorError
from .frames import EndFrame, Frame, Stream
from .processor import Handler

if TYPE_CHECKING:
    from .node import Node

__all__ = ["Lane"]

#: After so many frames without a pause the lane lets others run. (Measured: 2.6 ms at the worst for 199 other calls.)
_YIELD_EVERY = 16


class Lane:
    """Frames waiting at a node, and the one `async def` handler that runs."""

    __slots__ = ("_blocked", "_context", "_unwinding", "_watch", "busy", "holds", "items", "node", "running", "task")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.items: deque[tuple[Frame, bool]] = deque()
        #: How many frames of each stream are here, the one that is being handled included.
        self.holds = [0, 0, 0, 0, 0]
        self.busy = False
        self.task: asyncio.Task[None] | None = None
        self.running: tuple[Frame, Handler] | None = None
        self._unwinding = False
        self._watch: asyncio.TimerHandle | None = None
        self._blocked = False
        self._context = node.dispatcher.task_context()

    # -- filling

    def put(self, frame: Frame, upstream: bool) -> None:
        items = self.items
        if len(items) >= self.node.engine.settings.mailbox_frames and not self._make_room(frame):
            return
        items.append((frame, upstream))
        self.holds[frame.stream] += 1
        self.busy = True
        if self.task is None and not self._blocked:
            self._start()

    def _make_room(self, frame: Frame) -> bool:
        """Whether `frame` may be taken although the lane is full: see `Engine.make_room`."""
        items = self.items
        engine = self.node.engine
        replies = engine.call.replies
        kept = deque(item for item in items if not (item[0].mortal and replies.dead(item[0].reply)))  # type: ignore[attr-defined]
        dropped = 0
        if len(kept) >= engine.settings.mailbox_frames:
            for index, item in enumerate(kept):
                if item[0].droppable:
                    del kept[index]
                    dropped = 1
                    break
        full = len(kept) >= engine.settings.mailbox_frames
        if len(kept) != len(items):
            for stream in range(5):
                self.holds[stream] = 0
            for item in kept:
                self.holds[item[0].stream] += 1
            if self.running is not None:
                self.holds[self.running[0].stream] += 1
            self.items.clear()
            self.items.extend(kept)
        if dropped:
            engine.count_dropped(self.node)
        if not full or frame.stream == Stream.CONTROL:
            return True
        if frame.droppable:
            engine.count_dropped(self.node)
            return False
        engine.fatal(
            ProcessorError.of("processor.overflow", processor=self.node.name, count=len(kept)), self.node.name
        )
        return False

    # -- working

    def _start(self) -> None:
        self.task = self.node.engine.loop.create_task(self._work(), context=self._context)

    def begin_setup(self) -> None:
        """Run the processor's `setup()` as the first thing in this lane; frames wait behind it."""
        self.busy = True
        self.task = self.node.engine.loop.create_task(self._set_up(), context=self._context)

    async def _set_up(self) -> None:
        node = self.node
        settings = node.engine.settings
        try:
            async with asyncio.timeout(settings.setup_timeout_ms / 1000) as limit:
                await node.proc.setup()
        except TimeoutError as error:
            if limit.expired():
                failure = ProcessorError.of(
                    "processor.setup-timeout", processor=node.name, timeout_ms=settings.setup_timeout_ms
                )
            else:
                failure = ProcessorError.of("processor.setup-failed", processor=node.name, error=repr(error))
            node.engine.setup_failed(node, failure)
        except Exception as error:
            failure = ProcessorError.of("processor.setup-failed", processor=node.name, error=repr(error))
            failure.__cause__ = error
            node.engine.setup_failed(node, failure)
        else:
            node.ready = True
        await self._work()

    def block(self) -> None:
        """Hold all frames that come until `unblock()`."""
        self._blocked = self.busy = True

    def unblock(self) -> None:
        self._blocked = False
        if self.task is None:
            self._start()

    async def _work(self) -> None:
        node = self.node
        engine = node.engine
        replies = engine.call.replies
        items = self.items
        me = asyncio.current_task()
        done = 0
        while items:
            frame, upstream = items.popleft()
            stream = frame.stream
            done += 1
            if frame.mortal and replies.dead(frame.reply):  # type: ignore[attr-defined]
                self.holds[stream] -= 1
            elif not node.ready and stream != Stream.CONTROL:
                self.holds[stream] -= 1  # its setup failed; the call is ending
            else:
                handler = node.table.find(type(frame), upstream=upstream, observes=False)
                if isinstance(frame, EndFrame):
                    await self._settle(me)
                if handler is not None and handler.is_async and node.ready:
                    if not await self._run(frame, handler, upstream, me):
                        return
                elif isinstance(frame, EndFrame):
                    node.visit_of(handler)(frame)
                    await self._settle(me)
                    self.holds[stream] -= 1
                    self._forward(frame)
                else:
                    self.holds[stream] -= 1
                    if handler is None:
                        node.forward(frame, upstream)
                    else:
                        node.dispatcher.resume(frame, node.inside(upstream))
            if len(items) == engine.settings.mailbox_frames // 2:
                engine.dispatcher.wake_producers()
            if done % _YIELD_EVERY == 0 and items:
                await asyncio.sleep(0)
                if self.task is not me:
                    return
        self.task = None
        self.busy = False
        engine.dispatcher.wake_producers()
        node.engine.lane_idle(node)

    async def _run(self, frame: Frame, handler: Handler, upstream: bool, me: asyncio.Task[None] | None) -> bool:
        """Run an `async def` handler. Returns whether this task goes on with the lane."""
        node = self.node
        self.running = (frame, handler)
        result = None
        try:
            result = await getattr(node.proc, handler.name)(frame)
        except asyncio.CancelledError as error:
            # Asked for by a sweep, it is the end of this handler. Otherwise it came out of something that the handler
            # awaited, and is an error like any other.
            if self.task is me and not self._unwinding:
                node.failed(handler.name, frame, error)
        except Exception as error:
            if self.task is me:
                node.failed(handler.name, frame, error)
        if self.task is not me:
            return False  # left behind: another task has the lane
        self.running = None
        if result is not None:
            engine = node.engine
            for out in node.results(result, handler.name):
                if out is frame:
                    if frame.stream != Stream.CONTROL:
                        engine.dispatcher.feed(out, node.continued(upstream), node)
                else:
                    if out.at_ms < 0:
                        out.at_ms = frame.at_ms
                    engine.dispatcher.feed(out, node.up if upstream else node.down, node)
                node.let_through = True
        elif node.taken is not None and not node.let_through and not node.tasks and not node.lasting:
            node.count_taken(frame, handler.name)
        if isinstance(frame, EndFrame):
            await self._settle(me)
        self.holds[frame.stream] -= 1
        if frame.stream == Stream.CONTROL:
            self._forward(frame)
        if self._unwinding:
            # A cancellation that was not delivered would strike the next handler: the rest gets a fresh task.
            self._end_unwinding()
            self._go_on()
            return False
        return True

    def _forward(self, frame: Frame) -> None:
        """A control frame goes on, whatever its handler did."""
        if isinstance(frame, _Retire):
            frame.done.set_result(None)
        else:
            self.node.forward(frame, False)

    async def _settle(self, me: asyncio.Task[None] | None) -> None:
        """Wait for the work that the processor has spawned."""
        tasks = self.node.tasks
        while tasks:
            await asyncio.wait([task for task in tasks if task is not me])

    def _go_on(self) -> None:
        self.task = None
        if self.items:
            self._start()
        else:
            self.busy = False
            self.node.engine.lane_idle(self.node)

    # -- interruption

    def interrupted(self, raiser: asyncio.Task[object] | None) -> None:
        """A sweep: cancel the running handler if it says so. Whoever raised the interruption is never cancelled."""
        if self.running is None or self.task is None or self.task is raiser or self._unwinding:
            return
        frame, handler = self.running
        mode = handler.on_interrupt or ("cancel" if frame.mortal else "finish")
        if mode == "finish":
            return
        if frame.mortal and not self.node.engine.call.replies.dead(frame.reply):  # type: ignore[attr-defined]
            return
        self.cancel()

    def cancel(self) -> None:
        """Cancel the running handler; if it has not unwound in time it is left behind."""
        if self.task is None or self._unwinding:
            return
        engine = self.node.engine
        self._unwinding = True
        self.task.cancel()
        self._watch = engine.loop.call_later(
            engine.settings.unwind_ms / 1000, self._leave_behind, self.task, context=self._context
        )

    def _end_unwinding(self) -> None:
        self._unwinding = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _leave_behind(self, task: asyncio.Task[None]) -> None:
        self._watch = None
        if self.task is not task or task.done():
            return
        self._unwinding = False
        handler = "handler"
        if self.running is not None:
            frame, running = self.running
            handler = running.name
            self.holds[frame.stream] -= 1
            self.running = None
            self.task = None
            if frame.stream == Stream.CONTROL:
                self._forward(frame)
        self.node.engine.left_behind(self.node, task, handler)
        self._go_on()

    def close(self) -> None:
        """Forget what waits. The engine ends the task, so that a cancellation of it is no error."""
        self.items.clear()
        self._end_unwinding()
        self._unwinding = True

    # -- replacement

    def retire(self) -> asyncio.Future[None]:
        """Done when everything that is in the lane now, and the work spawned by it, is finished."""
        done: asyncio.Future[None] = self.node.engine.loop.create_future()
        self.items.append((_Retire(done), False))
        self.holds[Stream.CONTROL] += 1
        self.busy = True
        if self.task is None:
            self._start()
        return done


class _Retire(EndFrame):
    """Tells a processor that is being replaced that no more input will come. It goes no further."""

    __slots__ = ("done",)

    def __init__(self, done: asyncio.Future[None]) -> None:
        super().__init__("replaced")
        self.done = done
