"""A lane: the mailbox of a processor that has `async def` handlers, and the task that works through it.

    setup() ──▶ working ◀──put── idle            one task per burst of frames; an idle lane has none
                 │ ▲   └──empty──▶ idle
       cancelled │ │ unwound: a new task goes on with the rest
                 ▼ │
              unwinding ──200 ms──▶ the old task is left behind (its pushes are dropped), a new one goes on

A processor without such handlers has a lane only while it is set up, or while an end waits for its work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from .errors import ProcessorError
from .frames import EndFrame, Frame, StartFrame, Stream
from .processor import Handler

if TYPE_CHECKING:
    from .node import Node

__all__ = ["Lane"]

#: After so many frames without a pause the lane lets others run. (Measured: 2.6 ms at the worst for 199 other calls.)
_YIELD_EVERY = 16


class Lane:
    """Frames waiting at a node, and the one `async def` handler that runs."""

    __slots__ = (
        "_context",
        "_retired",
        "_timer",
        "_unwinding",
        "aside",
        "before",
        "busy",
        "closed",
        "holds",
        "items",
        "node",
        "running",
        "shut",
        "task",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self.items: deque[tuple[Frame, bool]] = deque()
        #: How many frames of each stream are here, the one that is being handled included: downstream, upstream.
        self.holds = ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0])
        #: How many of them are for concurrent handlers.
        self.aside = 0
        #: Whether frames wait here or are being handled.
        self.busy = False
        #: Whether nothing may begin yet: the processor is being set up, or takes the place of one that still works.
        self.shut = False
        #: The lane of the processor whose place was taken, until this one has caught up: whatever its own types are,
        #: what comes meanwhile stays behind what the other one holds.
        self.before: Lane | None = None
        #: Whether the call is over.
        self.closed = False
        self.task: asyncio.Task[None] | None = None
        #: The frame, the handler, and whether the frame travels upstream.
        self.running: tuple[Frame, Handler, bool] | None = None
        self._retired: asyncio.Future[None] | None = None
        self._unwinding = False
        self._timer: asyncio.TimerHandle | None = None
        self._context = node.dispatcher.task_context()

    # -- filling

    def put(self, frame: Frame, upstream: bool, *, aside: int = 0) -> None:
        items = self.items
        if len(items) >= self.node.engine.settings.mailbox_frames and not self._make_room(frame):
            return
        items.append((frame, upstream))
        self.holds[upstream][frame.stream] += 1
        self.aside += aside
        self.busy = True
        if self.task is None and not self.shut:
            self._start()

    def _make_room(self, frame: Frame) -> bool:
        """The lane is full: dead frames go first, then the oldest audio of the caller.

        Whether `frame` may be taken; if not it was such audio itself, or the call ends with an error that names the
        processor.
        """
        engine = self.node.engine
        bound = engine.settings.mailbox_frames
        replies = engine.call.replies
        waiting = list(self.items)
        self.items.clear()
        for item in waiting:
            if item[0].mortal and replies.dead(item[0].reply):  # type: ignore[attr-defined]
                self._drop(*item)
            else:
                self.items.append(item)
        if len(self.items) < bound or frame.stream == Stream.CONTROL:
            return True
        for index, item in enumerate(self.items):
            if item[0].droppable:
                del self.items[index]
                self._drop(*item)
                engine.count_dropped(self.node)
                return True
        if frame.droppable:
            engine.count_dropped(self.node)
            return False
        name = self.node.name
        engine.fatal(ProcessorError.of("processor.overflow", processor=name, count=len(self.items)), name)
        return False

    def _drop(self, frame: Frame, upstream: bool) -> None:
        self._handler(frame, upstream)
        self.holds[upstream][frame.stream] -= 1

    def _handler(self, frame: Frame, upstream: bool) -> Handler | None:
        """The handler of a frame that is taken out."""
        handler = self.node.table.find(type(frame), upstream=upstream, observes=False)
        if handler is not None and handler.concurrent:
            self.aside -= 1
        return handler

    # -- setting up

    def begin_setup(self) -> None:
        """Run the processor's `setup()` as the first thing in this lane; frames wait behind it."""
        engine = self.node.engine
        self.busy = self.shut = True
        self.task = task = engine.loop.create_task(self._set_up(), context=self._context)
        self._timer = engine.loop.call_later(
            engine.settings.setup_timeout_ms / 1000, self._setup_overdue, task, context=self._context
        )

    async def _set_up(self) -> None:
        node = self.node
        me = asyncio.current_task()
        failure: BaseException | None = None
        try:
            await node.proc.setup()
        except asyncio.CancelledError as error:
            if self.closed:
                raise
            failure = error  # it came out of something that the setup awaited
        except Exception as error:
            failure = error
        if self.task is not me or self.closed:
            return
        if self._unwinding:  # it was overdue, which has been reported
            self._end_unwinding()
            self._go_on()
            return
        self._stop_timer()
        if failure is not None:
            report = ProcessorError.of("processor.setup-failed", processor=node.name, error=repr(failure))
            report.__cause__ = failure
            node.engine.setup_failed(node, report)
        else:
            node.set_up()
        self.shut = False
        await self._work()

    def _setup_overdue(self, task: asyncio.Task[None]) -> None:
        self._timer = None
        if self.task is not task or self.closed:
            return
        node = self.node
        timeout_ms = node.engine.settings.setup_timeout_ms
        self.cancel()
        node.engine.setup_failed(
            node, ProcessorError.of("processor.setup-timeout", processor=node.name, timeout_ms=timeout_ms)
        )

    def block(self, before: Lane) -> None:
        """Begin nothing until `unblock()`: the processor takes the place of one that still has something to finish."""
        self.shut = self.busy = True
        self.before = before

    def unblock(self) -> None:
        self.shut = False
        if self.task is None and not self.closed:
            self._start()

    # -- working

    def _start(self) -> None:
        self.task = self.node.engine.loop.create_task(self._work(), context=self._context)

    async def _work(self) -> None:
        node = self.node
        engine = node.engine
        dispatcher = node.dispatcher
        replies = engine.call.replies
        half = (engine.settings.mailbox_frames - 1) // 2
        items = self.items
        me = asyncio.current_task()
        done = 0
        while items:
            frame, upstream = items.popleft()
            handler = self._handler(frame, upstream)
            done += 1
            if dispatcher.producers.waiting and len(items) <= half:
                dispatcher.producers.wake()
            if frame.stream == Stream.CONTROL:
                if not await self._control(frame, handler, me):
                    return
            elif (frame.mortal and replies.dead(frame.reply)) or not node.ready:  # type: ignore[attr-defined]
                self._let_go(frame, upstream)  # not ready: its setup has failed, and the call is ending
            elif handler is None:
                node.forward(frame, upstream)
                self._let_go(frame, upstream)
            elif handler.is_async:
                if not await self._run(frame, handler, upstream, me):
                    return
            else:
                dispatcher.resume(frame, node.inside(upstream))
                self._let_go(frame, upstream)
            if done % _YIELD_EVERY == 0 and items:
                await asyncio.sleep(0)
        self.task = None
        self.busy = False
        engine.lane_idle(node)

    def _let_go(self, frame: Frame, upstream: bool) -> None:
        """A frame is not here any more."""
        self.holds[upstream][frame.stream] -= 1
        if upstream and self.node.engine.ending:
            self.node.engine.moved_on()

    async def _control(self, frame: Frame, handler: Handler | None, me: asyncio.Task[None] | None) -> bool:
        """A control frame's turn. Returns whether this task goes on with the lane."""
        node = self.node
        ends = isinstance(frame, EndFrame)
        if ends:
            await self._settle()
        if handler is not None and handler.is_async and node.ready:
            return await self._run(frame, handler, False, me)
        node.visit(frame)
        if ends:
            await self._settle()
        self._forward(frame)
        self._let_go(frame, False)
        return True

    async def _run(self, frame: Frame, handler: Handler, upstream: bool, me: asyncio.Task[None] | None) -> bool:
        """Run an `async def` handler. Returns whether this task goes on with the lane."""
        node = self.node
        self.running = (frame, handler, upstream)
        result = None
        try:
            result = await getattr(node.proc, handler.name)(frame)
        except asyncio.CancelledError as error:
            if self.closed:
                raise
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
            self._hand_on(result, frame, handler, upstream)
        elif node.taken is not None:
            node.count_taken(frame, handler.name)
        if isinstance(frame, EndFrame):
            await self._settle()
        if frame.stream == Stream.CONTROL:
            self._forward(frame)
        self._let_go(frame, upstream)
        if self._unwinding:
            # A cancellation that was not delivered would strike the next handler: the rest gets a fresh task.
            self._end_unwinding()
            self._go_on()
            return False
        return True

    def _hand_on(self, result: object, frame: Frame, handler: Handler, upstream: bool) -> None:
        """Push what an `async def` handler returned."""
        node = self.node
        feed = node.dispatcher.feed
        for out in node.results(result, handler.name):
            if out is not frame:
                if out.at_ms < 0:
                    out.at_ms = frame.at_ms
                feed(out, node.up if upstream else node.down, node)
            elif frame.stream != Stream.CONTROL:
                node.let_through = True
                feed(out, node.continued(upstream), node)

    def _forward(self, frame: Frame) -> None:
        """A control frame goes on, whatever its handler did."""
        if isinstance(frame, _Retire):
            if self._retired is not None and not self._retired.done():
                self._retired.set_result(None)
        elif not isinstance(frame, StartFrame):  # that one waits for nobody
            self.node.forward(frame, False)

    async def _settle(self) -> None:
        """Wait for the work that the processor has spawned."""
        while self.node.tasks:
            await asyncio.wait(list(self.node.tasks))

    def _go_on(self) -> None:
        """The task is done for: another one has the rest."""
        self.task = None
        self.shut = False
        if self.items:
            self._start()
        else:
            self.busy = False
            self.node.engine.lane_idle(self.node)

    # -- interruption

    @property
    def finishes(self) -> bool:
        """Whether an `async def` handler is running which is not to be cancelled."""
        if self.running is None:
            return False
        frame, handler, _ = self.running
        return (handler.on_interrupt or ("cancel" if frame.mortal else "finish")) == "finish"

    def interrupted(self, raiser: asyncio.Task[object] | None) -> None:
        """A sweep: cancel the running handler if it says so. Whoever raised the interruption is never cancelled."""
        if self.running is None or self.finishes or self.task is raiser:
            return
        frame = self.running[0]
        if not frame.mortal or self.node.engine.call.replies.dead(frame.reply):  # type: ignore[attr-defined]
            self.cancel()

    def cancel(self) -> None:
        """Cancel what runs; if it has not unwound in time it is left behind."""
        if self.task is None or self._unwinding:
            return
        engine = self.node.engine
        self._unwinding = True
        self.task.cancel()
        self._timer = engine.loop.call_later(
            engine.settings.unwind_ms / 1000, self._leave_behind, self.task, context=self._context
        )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_unwinding(self) -> None:
        self._unwinding = False
        self._stop_timer()

    def _leave_behind(self, task: asyncio.Task[None]) -> None:
        self._timer = None
        if self.task is not task or task.done():
            return
        self._unwinding = False
        self.task = None
        running, self.running = self.running, None
        self.node.engine.left_behind(self.node, task, running[1].name if running else "setup")
        if running is not None:
            frame, _, upstream = running
            if frame.stream == Stream.CONTROL:
                self._forward(frame)
            self._let_go(frame, upstream)
        self._go_on()

    def close(self) -> None:
        """The call is over: forget what waits. The engine ends the task."""
        self.closed = True
        self.items.clear()
        self._end_unwinding()
        if self._retired is not None:
            self._retired.cancel()

    # -- replacement

    def retire(self) -> asyncio.Future[None]:
        """Done when everything that is in the lane now, and the work spawned by it, is finished."""
        self._retired = self.node.engine.loop.create_future()
        self.put(_Retire("replaced"), False)
        return self._retired


class _Retire(EndFrame):
    """Tells a processor that is being replaced that no more input will come. It goes no further."""

    __slots__ = ()
