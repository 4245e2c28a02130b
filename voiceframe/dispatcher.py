"""The dispatcher: which frame runs when.

One per call. Depth first, run to completion: what a handler returns or pushes runs to its end, in order, before the next
queued frame starts; this is a *cascade*. The ready queue holds only what comes from outside of a cascade: transports,
tasks, timers. A *sweep* brings an urgent frame to all its handlers before any other frame.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ProcessorError
from .events import Interruption, Pause, Resume
from .frames import Frame, InterruptionFrame, PauseFrame, ResumeFrame, Stream
from .routes import Route, Routes, Step

if TYPE_CHECKING:
    from .call import Call
    from .engine import Engine
    from .node import Node

__all__ = ["Dispatcher", "current_call"]

#: The call that the running code works for.
current_call: contextvars.ContextVar[Call] = contextvars.ContextVar("voiceframe_call")

#: Frames that a caller may run directly before the clock is looked at, and before the next one goes through the loop in
#: any case: a task that pushes without a pause must not keep the loop for itself.
_LOOK = 16
_DIRECT = 256


class _LoopState:
    """What the dispatchers of one event loop share."""

    __slots__ = ("__weakref__", "running")

    def __init__(self) -> None:
        #: Whose cascade or sweep is running now.
        self.running: Dispatcher | None = None


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = weakref.WeakKeyDictionary()

#: A frame, the routes from the place where it is (None: a sweep), and the node that pushed it (None: nobody's).
Entry = tuple[Frame, "Routes | None", "Node | None"]
#: The same on the stack of a cascade, where the rest of a route may already be known.
Pending = tuple[Frame, "Routes | Route", "Node | None"]


class Dispatcher:
    """Runs the frames of one call."""

    __slots__ = (
        "_context",
        "_direct",
        "_direct_s",
        "_engine",
        "_filtered",
        "_loop",
        "_ready",
        "_replies",
        "_scheduled",
        "_sweeping",
        "_tick_s",
        "_urgent",
        "_waiters",
        "_waiting",
        "call",
        "closed",
        "late",
        "pushed",
        "state",
        "zombies",
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = engine.loop
        self.call = engine.call
        self._replies = engine.call.replies
        state = _loops.get(self._loop)
        if state is None:
            state = _loops[self._loop] = _LoopState()
        self.state = state
        self._context = contextvars.Context()
        self._context.run(current_call.set, engine.call)
        self._ready: deque[Entry] = deque()
        #: What the handler that is running has pushed, in order.
        self.pushed: list[Entry] = []
        # The inner nodes that have pushed frames which wait in the ready queue.
        self._waiting: set[Node] = set()
        self._filtered = 0
        self._sweeping = False
        self._scheduled = False
        self._direct = 0
        self._direct_s = 0.0
        self._tick_s = engine.settings.tick_us / 1e6
        self._urgent: dict[type[Frame], list[Step]] = {}
        self._waiters: list[asyncio.Future[None]] = []
        #: Tasks that were left behind; what they push is dropped.
        self.zombies: set[asyncio.Task[Any]] = set()
        self.closed = False
        #: Frames pushed after the end, which went nowhere.
        self.late = 0

    # -- contexts

    def in_context(self, fn: Callable[..., object], *args: Any) -> None:
        """Call `fn` in the call's context: a transport's callback comes in a context of its own."""
        if current_call.get(None) is self.call:
            fn(*args)
        else:
            self._context.run(fn, *args)

    def task_context(self) -> contextvars.Context:
        """A context for a task of this call."""
        return self._context.copy()

    # -- frames from outside

    def feed(self, frame: Frame, routes: Routes, node: Node | None) -> None:
        """A frame from outside of a cascade: it runs now if nothing else does, else it waits."""
        if self.closed:
            self.late += 1
            return
        if self.zombies and asyncio.current_task(self._loop) in self.zombies:
            return
        if frame.at_ms < 0:
            frame.at_ms = self.call.clock.at_ms()
        route = routes[frame.__class__]
        if self.state.running is None:
            if route.urgent:
                self.in_context(self._cascade, frame, route)
                return
            if not self._ready:
                direct = self._direct = self._direct + 1
                if direct % _LOOK or (direct < _DIRECT and self._loop.time() - self._direct_s < self._tick_s):
                    if current_call.get(None) is self.call:
                        self._cascade(frame, route)
                    else:
                        self._context.run(self._cascade, frame, route)
                    return
        self.enqueue(frame, routes, node)

    def resume(self, frame: Frame, routes: Routes) -> None:
        """A frame whose turn in a mailbox has come goes on."""
        if not self.closed:
            self.in_context(self._cascade, frame, routes[frame.__class__])

    def enqueue(self, frame: Frame, routes: Routes | None, node: Node | None) -> None:
        """Put a frame into the ready queue."""
        if len(self._ready) >= self._engine.settings.ready_frames and not self._make_room(frame, node):
            return
        self._ready.append((frame, routes, node))
        if node is not None:
            node.waiting += 1
            if not node.is_source:
                self._waiting.add(node)
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self._tick, context=self._context)

    def _make_room(self, frame: Frame, node: Node | None) -> bool:
        """The queue is full: dead frames go first, then the oldest audio of the caller. Whether `frame` may be taken; if
        not it was such audio itself, or the call ends with an error that names who pushed it."""
        bound = self._engine.settings.ready_frames
        replies = self._replies
        if self._filtered != replies.watermark:  # else there is nothing dead that was not looked at before
            self._filtered = replies.watermark
            kept = deque(e for e in self._ready if not (e[0].mortal and replies.dead(e[0].reply)))  # type: ignore[attr-defined]
            self._ready = kept
            self._waiting.clear()
            for other in self._engine.all_nodes():
                other.waiting = 0
            for _, _, by in kept:
                if by is not None:
                    by.waiting += 1
                    if not by.is_source:
                        self._waiting.add(by)
        if len(self._ready) < bound or frame.stream == Stream.CONTROL:
            return True
        for index, entry in enumerate(self._ready):
            if entry[0].droppable:
                del self._ready[index]
                self._taken(entry[2])
                self._engine.count_dropped(entry[2])
                return True
        if frame.droppable:
            self._engine.count_dropped(node)
        else:
            name = node.name if node is not None else self._engine.nodes[0].name
            self._engine.fatal(ProcessorError.of("processor.overflow", processor=name, count=bound), name)
        return False

    def _taken(self, node: Node | None) -> None:
        if node is not None:
            node.waiting -= 1
            if not node.waiting:
                self._waiting.discard(node)

    def _tick(self) -> None:
        self._scheduled = False
        time = self._loop.time
        self._direct = 0
        now = self._direct_s = time()
        deadline = now + self._tick_s
        left = self._engine.settings.tick_frames
        ready = self._ready
        while ready:
            frame, routes, node = ready.popleft()
            if node is not None:
                self._taken(node)
            if self.closed:
                self.late += 1
            elif routes is None:
                self.sweep(frame)
            else:
                self._cascade(frame, routes[frame.__class__])
            ready = self._ready  # making room may have put another in its place
            left -= 1
            if ready and (left <= 0 or time() >= deadline):
                if not self._scheduled:
                    self._schedule()
                break
        if self._waiters:
            self.wake_producers()

    def clear(self) -> None:
        """Forget what waits."""
        self._ready.clear()
        self._waiting.clear()
        self.pushed.clear()

    # -- the cascade

    def _cascade(self, frame: Frame, route: Route) -> None:
        """Run a frame along its route, and whatever comes of it, to the end.

        The common case, in which every handler returns the frame, is this loop alone; `_branch_off` does the rest.
        """
        if route.mortal and frame.reply <= self._replies.watermark and self._replies.dead(frame.reply):  # type: ignore[attr-defined]
            return
        state = self.state
        state.running = self
        pushed, waiting = self.pushed, self._waiting
        step: Step | None = None
        try:
            for step in route.steps:
                out = step.fn(frame)
                if out is frame:
                    if not pushed and (not waiting or step.node not in waiting):
                        continue
                elif out is None and not pushed:
                    break
                self._branch_off(route, step, frame, out)
                break
        except Exception as error:
            assert step is not None
            step.node.failed(step.handler, frame, error)
            self._branch_off(route, step, frame, None)
        except asyncio.CancelledError as error:  # nobody cancelled anything: it came out of what the handler called
            assert step is not None
            step.node.failed(step.handler, frame, error)
            self._branch_off(route, step, frame, None)
        finally:
            state.running = None
            if pushed:  # only when the process is being stopped in the middle of a handler
                pushed.clear()

    def _branch_off(self, route: Route, step: Step, frame: Frame, out: Any) -> None:
        """A handler has pushed, or returned something else than its frame: run all of that, depth first."""
        pushed, waiting = self.pushed, self._waiting
        replies = self._replies
        stack: list[Pending] = []
        left = self._engine.settings.cascade_frames
        while True:
            # What the last handler made: the usual single push goes on at once, anything else by way of the stack.
            if len(pushed) == 1 and out is None and not waiting and pushed[0][1] is not None:
                made, onward, by = pushed.pop()
                if made.at_ms < 0:
                    made.at_ms = frame.at_ms
                frame = made
                if by is not None and by.waiting:
                    self.enqueue(made, onward, by)
                    onward = None
            else:
                self._spread(route, step, frame, out, stack)
                onward = None
            out = None
            # Run frames until a handler makes something again.
            while True:
                if onward is None:
                    if not stack:
                        break
                    frame, onward, _ = stack.pop()
                left -= 1
                if left < 0:
                    stack.clear()
                    self._endless(step)
                    break
                route = onward if onward.__class__ is Route else onward[frame.__class__]  # type: ignore[index,assignment]
                onward = None
                if route.mortal and frame.reply <= replies.watermark and replies.dead(frame.reply):  # type: ignore[attr-defined]
                    continue
                try:
                    for step in route.steps:
                        out = step.fn(frame)
                        if out is frame and not pushed and (not waiting or step.node not in waiting):
                            continue
                        break
                    else:
                        out = None
                except (Exception, asyncio.CancelledError) as error:
                    step.node.failed(step.handler, frame, error)
                    out = None
                if out is not None or pushed:
                    break
            if not stack and not pushed and out is None:
                return

    def _endless(self, step: Step) -> None:
        count = self._engine.settings.cascade_frames
        name = step.node.name
        self.pushed.clear()
        self._engine.fatal(ProcessorError.of("processor.endless", processor=name, count=count), name)

    def _spread(self, route: Route, step: Step, frame: Frame, out: Any, stack: list[Pending]) -> None:
        """Put on the stack what a handler has pushed and returned. Sweeps run at once, before any of it."""
        onward: list[Pending] = []
        self._take_pushed(frame, onward)
        if out is not None:
            made_by_it = (out,) if out is frame else step.node.results(out, step.handler)
            for made in made_by_it:
                if made is frame:
                    steps = route.steps
                    onward.append((frame, Route(steps[steps.index(step) + 1 :], route.mortal), step.node))
                else:
                    if made.at_ms < 0:
                        made.at_ms = frame.at_ms
                    onward.append((made, step.new, step.node))
            self._take_pushed(frame, onward)  # a result that was no frame has been reported
        for entry in reversed(onward):
            made, routes, by = entry
            if by is not None and by.waiting:
                continue
            stack.append(entry)
        for made, routes, by in onward:
            # While a frame that a processor pushed waits in the ready queue, its others join the queue behind it.
            if by is not None and by.waiting:
                fixed = routes
                self.enqueue(made, Routes(lambda _, fixed=fixed: fixed) if isinstance(fixed, Route) else fixed, by)  # type: ignore[misc]

    def _take_pushed(self, cause: Frame, onward: list[Pending]) -> None:
        pushed = self.pushed
        if not pushed:
            return
        entries = pushed[:]
        pushed.clear()
        for made, routes, by in entries:
            if routes is None:
                self.sweep(made)
            else:
                if made.at_ms < 0:
                    made.at_ms = cause.at_ms
                onward.append((made, routes, by))

    # -- sweeps

    def push_sweep(self, frame: Frame) -> None:
        """Ask for a sweep from inside of a cascade: it runs when the handler returns."""
        self.pushed.append((frame, None, None))

    def interrupt(self, reason: str) -> None:
        """Kill all replies so far and tell every processor, before any other frame."""
        if self.closed or self._sweeping:  # an interruption during its own sweep is the same one
            return
        frame = InterruptionFrame(self._replies.last, reason, at_ms=self.call.clock.at_ms())
        if self.state.running is self:
            if not any(isinstance(made, InterruptionFrame) for made, _, _ in self.pushed):
                self.pushed.insert(0, (frame, None, None))
        else:
            self.urgent(frame)

    def urgent(self, frame: Frame) -> None:
        """Sweep now, or as the next thing if another call's cascade is running."""
        if self.state.running is self:
            self.push_sweep(frame)
        elif self.state.running is not None:
            self._ready.appendleft((frame, None, None))
            if not self._scheduled:
                self._schedule()
        else:
            self.in_context(self.sweep, frame)

    def sweep(self, frame: Frame) -> None:
        """Deliver an urgent frame: handlers declared upstream from sink to source, then the others from source to
        sink. What they push waits for the next turn of the queue: it never goes on top of a cascade."""
        if self.closed:
            return
        before = self.state.running
        self.state.running = self
        outer = self.pushed  # what the interrupted handler had pushed stays apart
        self.pushed = []
        interrupts = isinstance(frame, InterruptionFrame)
        self._sweeping = interrupts
        try:
            if isinstance(frame, InterruptionFrame):
                self._raise_watermark(frame)
            elif isinstance(frame, PauseFrame):
                self.call.log.write(Pause(reply=frame.reply))
            elif isinstance(frame, ResumeFrame):
                self.call.log.write(Resume(reply=frame.reply))
            for step in self._urgent_steps(type(frame)):
                if step.node.ready:
                    self._run_urgent(step, frame)
        finally:
            self._sweeping = False
            self.pushed = outer
            self.state.running = before
        if interrupts:
            self._replies.after_sweep()
            self.wake_producers()

    def _raise_watermark(self, frame: InterruptionFrame) -> None:
        frame.reply = self._replies.last
        self._replies.raise_watermark()
        raiser = asyncio.current_task(self._loop)
        for node in self._engine.all_nodes():
            if node.lane is not None:
                node.lane.interrupted(raiser)
        self.call.log.write(Interruption(reply=frame.reply, reason=frame.reason))

    def _run_urgent(self, step: Step, frame: Frame) -> None:
        try:
            out = step.fn(frame)
            for made in step.node.results(out, step.handler):
                if made is not frame:
                    self.pushed.append((made, step.new, step.node))
        except Exception as error:
            step.node.failed(step.handler, frame, error)
        entries, self.pushed = self.pushed, []
        for made, routes, by in entries:
            if made.at_ms < 0:
                made.at_ms = frame.at_ms
            self.enqueue(made, routes, by)

    def _urgent_steps(self, frame_type: type[Frame]) -> list[Step]:
        steps = self._urgent.get(frame_type)
        if steps is None:
            steps = self._urgent[frame_type] = []
            nodes = self._engine.all_nodes()
            for upstream in (True, False):
                for node in reversed(nodes) if upstream else nodes:
                    for observes in (True, False):
                        handler = node.table.find(frame_type, upstream=upstream, observes=observes)
                        if handler is not None:
                            steps.append(Step(getattr(node.proc, handler.name), node, handler.name, node.down))
        return steps

    def relink(self) -> None:
        """The pipeline has changed."""
        self._urgent.clear()

    # -- backpressure

    def congested(self, node: Node) -> bool:
        """Whether anything downstream of `node` is at least half full."""
        settings = self._engine.settings
        if len(self._ready) * 2 >= settings.ready_frames:
            return True
        behind = False
        for other in self._engine.nodes:
            if behind:
                if other.lane is not None and len(other.lane.items) * 2 >= settings.mailbox_frames:
                    return True
                if other.proc.fullness() >= 0.5:
                    return True
            elif other is node:
                behind = True
        return False

    async def drain(self, node: Node) -> None:
        """Wait until nothing downstream of `node` is congested, or the call ends."""
        if self.state.running is not None:
            raise ProcessorError.of("processor.drain-sync", processor=node.name)
        while not self.closed and self.congested(node):
            future = self._loop.create_future()
            self._waiters.append(future)
            await future

    def wake_producers(self) -> None:
        """Something has emptied: let those who wait look again."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for future in waiters:
                if not future.done():
                    future.set_result(None)
