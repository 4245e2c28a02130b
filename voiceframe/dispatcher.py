"""The dispatcher: which frame runs when.

One per call. Depth first, run to completion: what a handler returns or pushes runs to its end, in order, before the
next queued frame starts; this is a *cascade*. The ready queue holds what comes from outside of a cascade (transports,
tasks, timers) and what has to wait behind that. A *sweep* brings an urgent frame to all its handlers before any other
frame.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from .backpressure import Producers
from .errors import ProcessorError
from .events import Interruption, Pause, Resume
from .frames import CancelFrame, Frame, InterruptionFrame, PauseFrame, ResumeFrame, Stream
from .routes import Route, Routes, Step, fixed

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
#: The urgent frames that processors may push.
_HOLDS = frozenset({PauseFrame, ResumeFrame})


def _sweeps_in(entries: Iterable[tuple[Frame, object, object]]) -> int:
    """How many sweeps stand first, before any other frame."""
    return sum(1 for _ in takewhile(lambda entry: entry[1] is None, entries))


class _Marker(Frame):
    """Stands in the ready queue for something that the engine wants to do then."""

    __slots__ = ()


class _LoopState:
    """What the dispatchers of one event loop share."""

    __slots__ = ("__weakref__", "running")

    def __init__(self) -> None:
        #: Whose cascade or sweep is running now.
        self.running: Dispatcher | None = None


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = weakref.WeakKeyDictionary()

#: A frame, the routes from the place where it is (None: a sweep), and the node that pushed it (None: nobody's).
Entry = tuple[Frame, "Routes | None", "Node | None"]
#: The same in a cascade, where the route itself may be known.
Pushed = tuple[Frame, "Routes | Route | None", "Node | None"]
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
        "_stack",
        "_sweeping",
        "_tick_s",
        "_urgent",
        "anyone_waits",
        "call",
        "closed",
        "late",
        "producers",
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
        self.pushed: list[Pushed] = []
        #: The inner nodes that have pushed frames which wait in the ready queue. While there are any, cascades take the
        #: guarded way.
        self.anyone_waits: set[Node] = set()
        # What of the running cascade is still to come, the next at the end.
        self._stack: list[tuple[Frame, Routes | Route]] = []
        self._filtered = 0
        self._sweeping = False  # of an interruption
        self._scheduled = False
        self._direct = 0
        self._direct_s = 0.0
        self._tick_s = engine.settings.tick_us / 1e6
        self._urgent: dict[type[Frame], list[Step]] = {}
        self.producers = Producers(engine)
        #: Tasks that were left behind; what they push is dropped.
        self.zombies: dict[asyncio.Task[Any], None] = {}
        self.closed = False
        #: Frames pushed after the end, which went nowhere.
        self.late = 0

    @property
    def backlog(self) -> int:
        """How many frames wait in the ready queue."""
        return len(self._ready)

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
        try:
            if frame.at_ms < 0:
                frame.at_ms = self.call.clock.at_ms()
            route = routes[frame.__class__]
        except AttributeError:
            name = node.name if node is not None else self._engine.nodes[0].name
            raise ProcessorError.of(
                "processor.not-a-frame", processor=name, handler="push", what=repr(frame)[:80]
            ) from None
        if route.special is not None:
            route.special(frame)
            return
        if node is not None and node.lane is not None:
            running = node.lane.running
            if running is not None and running[0] is frame:  # to push the frame in hand is to return it
                routes = node.continued(routes is node.up)
                route = routes[frame.__class__]
        if self.state.running is None and not self._ready:
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

    def enqueue(self, frame: Frame, routes: Routes, node: Node | None) -> None:
        """Put a frame into the ready queue, if it is within its bound."""
        if frame.mortal and self._replies.dead(frame.reply):  # type: ignore[attr-defined]
            return
        if len(self._ready) < self._engine.settings.ready_frames or self._make_room(frame, node):
            self.wait_behind(frame, routes, node)

    def wait_behind(self, frame: Frame, routes: Routes, node: Node | None) -> None:
        """Put a frame into the ready queue: at its end, and so behind what `node` has pushed before."""
        self._ready.append((frame, routes, node))
        if node is not None:
            node.waiting += 1
            if not node.is_source:
                self.anyone_waits.add(node)
        if not self._scheduled:
            self._schedule()

    def rejoin(self, frame: Frame, routes: Routes, node: Node) -> None:
        """A frame on its way waits again, behind what `node` has pushed before."""
        self.wait_behind(frame, routes, node)
        self._engine.moved_on()

    def hold(self) -> None:
        """Let every frame wait until `release()`; urgent ones do not."""
        self._ready.append((_Marker(), fixed(Route(())), None))
        self._scheduled = True  # so nothing runs: no tick will come

    def release(self, frame: Frame, routes: Routes) -> None:
        """Let `frame` go before all that waits, and then the rest."""
        self._ready.appendleft((frame, routes, None))
        if self.state.running is None:
            self.in_context(self._tick)
        else:
            self._schedule()

    def afterwards(self, act: Callable[[], None]) -> None:
        """Call `act` when everything that waits now has run."""
        node = self._engine.nodes[0]
        self.wait_behind(_Marker(), fixed(Route([Step(lambda _: act(), node, "engine", node.down)])), None)

    def _schedule(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self._tick, context=self._context)

    def _make_room(self, frame: Frame, node: Node | None) -> bool:
        """The queue is full: dead frames go first, then the oldest audio of the caller.

        Whether `frame` may be taken; if not it was such audio itself, or the call ends with an error that names who
        pushed it.
        """
        bound = self._engine.settings.ready_frames
        replies = self._replies
        if self._filtered != replies.watermark:  # else there is nothing dead that was not looked at before
            self._filtered = replies.watermark
            kept = deque(e for e in self._ready if not (e[0].mortal and replies.dead(e[0].reply)))  # type: ignore[attr-defined]
            self._ready = kept
            self.anyone_waits.clear()
            for other in self._engine.all_nodes():
                other.waiting = 0
            for _, _, by in kept:
                if by is not None:
                    by.waiting += 1
                    if not by.is_source:
                        self.anyone_waits.add(by)
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
                self.anyone_waits.discard(node)

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
        if self.producers.waiting:
            self.producers.wake()

    def close(self) -> None:
        """Deliver nothing more."""
        self.closed = True
        self._ready.clear()
        self.anyone_waits.clear()
        self.pushed.clear()
        self._stack.clear()
        self.producers.wake(for_good=True)

    # -- the cascade

    def _cascade(self, frame: Frame, route: Route) -> None:
        """Run a frame along its route, and whatever comes of it, to the end.

        The common case, in which every handler returns the frame, is this loop alone; `_branch_off` does the rest.
        """
        if route.mortal and frame.reply <= self._replies.watermark and self._replies.dead(frame.reply):  # type: ignore[attr-defined]
            return
        state = self.state
        state.running = self
        pushed = self.pushed
        step: Step | None = None
        try:
            guarded = bool(self.anyone_waits)
            for step in route.guarded if guarded else route.steps:
                fn = step.fn  # `step.fn(frame)` would be a look-up of a method, which is slower
                out = fn(frame)
                if out is frame:
                    if not pushed:
                        continue
                elif out is None:
                    if not pushed:
                        break
                    if not guarded and len(pushed) == 1:
                        made, onward, _ = pushed[0]
                        if made is frame and onward is step.new:
                            pushed.clear()  # to push the frame in hand is to return it
                            continue
                self._branch_off(route, step, frame, out)
                break
        except (Exception, asyncio.CancelledError) as error:
            # Nobody cancels a cascade: such an error came out of something that the handler has called.
            assert step is not None
            step.node.failed(step.handler, frame, error)
            self._branch_off(route, step, frame, None)
        finally:
            state.running = None
            if pushed:  # only when the process is being stopped in the middle of a handler
                pushed.clear()

    def _branch_off(self, route: Route, step: Step, frame: Frame, out: Any) -> None:
        """A handler has pushed, or returned something else than its frame: run all of that, depth first.

        Raises nothing: what a frame has done must not cost another one its way.
        """
        pushed, waiting = self.pushed, self.anyone_waits
        replies = self._replies
        stack = self._stack
        left = self._engine.settings.cascade_frames
        while True:
            if out is None and len(pushed) == 1 and not waiting and (by := pushed[0][2]) is not None and not by.waiting:
                # The usual single push goes on at once, anything else by way of the stack.
                made, onward, _ = pushed.pop()
                try:
                    if made.at_ms < 0:
                        made.at_ms = frame.at_ms
                    route = onward[made.__class__]  # type: ignore[index]  # only sweeps have no routes, and nobody's they are
                except AttributeError:
                    step.node.not_a_frame(made, step.handler)
                    continue
                frame = made
            elif out is not None or pushed:
                self._spread(route, step, frame, out)
                out = None
                continue
            elif stack:
                frame, ahead = stack.pop()
                route = ahead if isinstance(ahead, Route) else ahead[frame.__class__]
            else:
                return
            left -= 1
            if left < 0:
                self._endless(step)
                continue
            if route.mortal and frame.reply <= replies.watermark and replies.dead(frame.reply):  # type: ignore[attr-defined]
                continue
            try:
                for step in route.guarded if waiting else route.steps:
                    fn = step.fn
                    out = fn(frame)
                    if out is frame:
                        if not pushed:
                            continue
                    elif out is None and len(pushed) == 1:
                        made, again, _ = pushed[0]
                        if made is frame and again is step.new and not step.node.waiting:
                            pushed.clear()
                            continue
                    break
                else:
                    out = None
            except (Exception, asyncio.CancelledError) as error:
                step.node.failed(step.handler, frame, error)
                out = None

    def _endless(self, step: Step) -> None:
        count = self._engine.settings.cascade_frames
        name = step.node.name
        self._stack.clear()
        self.pushed.clear()
        self._engine.fatal(ProcessorError.of("processor.endless", processor=name, count=count), name)

    def _spread(self, route: Route, step: Step, frame: Frame, out: Any) -> None:
        """Put on the stack what a handler has pushed and returned. Sweeps run at once, before any of it."""
        onward: list[Pending] = []
        self._take_pushed(frame, step, onward)
        if out is frame:
            onward.append((frame, route.rest(step), None))
        elif out is not None:
            for made in step.node.results(out, step.handler):
                if made is frame:
                    onward.append((frame, route.rest(step), None))
                else:
                    if made.at_ms < 0:
                        made.at_ms = frame.at_ms
                    onward.append((made, step.new, step.by))
        while self.pushed:  # errors have been reported
            self._take_pushed(frame, step, onward)
        if self.closed:
            return
        on_stack: list[tuple[Frame, Routes | Route]] = []
        for made, routes, by in onward:
            # While a frame that a processor pushed waits in the ready queue, its others join the queue behind it.
            if by is not None and by.waiting and not isinstance(routes, Route):
                self.enqueue(made, routes, by)
                self._engine.moved_on()
            else:
                on_stack.append((made, routes))
        self._stack += reversed(on_stack)

    def _take_pushed(self, cause: Frame, step: Step, onward: list[Pending], sweeps: list[Frame] | None = None) -> None:
        """Move what a handler has pushed to `onward`. Sweeps run at once, in a sweep they are left in `sweeps`."""
        entries = self.pushed[:]
        self.pushed.clear()
        for made, routes, by in entries:
            if routes is None or made.__class__ in _HOLDS:
                if sweeps is None:
                    self.sweep(made)
                else:
                    sweeps.append(made)
            else:
                if made is cause and by is step.node and (routes is by.down or routes is by.up):
                    routes = by.continued(routes is by.up)  # to push the frame in hand is to return it
                try:
                    if made.at_ms < 0:
                        made.at_ms = cause.at_ms
                    onward.append((made, routes, by))
                except AttributeError:
                    step.node.not_a_frame(made, step.handler)

    # -- sweeps

    def interrupt(self, reason: str) -> None:
        """Kill all replies so far and tell every processor, before any other frame."""
        if self.closed or self._sweeping:  # an interruption during its own sweep is the same one
            return
        if self.zombies and asyncio.current_task(self._loop) in self.zombies:
            return
        last = self._replies.last
        waiting = self.pushed if self.state.running is self else self._ready
        for index in range(_sweeps_in(waiting)):
            made = waiting[index][0]
            if isinstance(made, InterruptionFrame):  # its sweep has not begun: it is the same one
                made.reply = last
                return
        self.urgent(InterruptionFrame(last, reason, at_ms=self.call.clock.at_ms()))

    def urgent(self, frame: Frame) -> None:
        """Sweep before any other frame: now, or when the running handler or sweep is through. While another call's
        cascade is running it is the next thing."""
        if self.closed:
            return
        running = self.state.running
        if running is None:
            self.in_context(self.sweep, frame)
        elif running is self:
            self.pushed.insert(_sweeps_in(self.pushed), (frame, None, None))
        else:
            self._ready.insert(_sweeps_in(self._ready), (frame, None, None))
            if not self._scheduled:
                self._schedule()

    def sweep(self, frame: Frame) -> None:
        """Deliver an urgent frame: handlers declared upstream from sink to source, then the others from source to
        sink.

        What they push goes to the ready queue, never on top of a cascade; what of the cascade has yet to come by that
        processor waits behind it.
        """
        if self.closed:
            return
        if frame.at_ms < 0:
            frame.at_ms = self.call.clock.at_ms()
        running = self.state.running
        outer = self.pushed  # what the interrupted handler had pushed stays apart
        self.state.running = self
        self.pushed = []
        sweeps: list[Frame] = []
        marked = False
        try:
            if isinstance(frame, InterruptionFrame):
                self._sweeping = True
                marked = self._raise_watermark(frame)
            elif isinstance(frame, PauseFrame):
                self.call.log.write(Pause(reply=frame.reply))
            elif isinstance(frame, ResumeFrame):
                self.call.log.write(Resume(reply=frame.reply))
            for step in self._urgent_steps(type(frame)):
                if step.node.ready:
                    self._run_urgent(step, frame, sweeps)
            if isinstance(frame, InterruptionFrame):  # told first, then written down
                self.call.log.write(Interruption(reply=frame.reply, reason=frame.reason))
        finally:
            self._sweeping = False
            self.pushed = outer
            self.state.running = running
        if marked:
            # Behind what was pushed before: the output may have said already that a reply has begun to sound.
            self.afterwards(self._replies.after_sweep)
        if isinstance(frame, InterruptionFrame):
            self.producers.wake(for_good=True)
        elif isinstance(frame, CancelFrame):
            self._engine.cancelled()
        for other in sweeps:
            self.sweep(other)

    def _raise_watermark(self, frame: InterruptionFrame) -> bool:
        """Whether an open reply has died."""
        died = self._replies.raise_watermark(frame.reply)
        raiser = asyncio.current_task(self._loop)
        for node in self._engine.all_nodes():
            if node.lane is not None:
                node.lane.interrupted(raiser)
        return died

    def _run_urgent(self, step: Step, frame: Frame, sweeps: list[Frame]) -> None:
        node = step.node
        try:
            for made in node.results(step.fn(frame), step.handler):
                if made is not frame:
                    self.pushed.append((made, step.new, node))
        except (Exception, asyncio.CancelledError) as error:
            node.failed(step.handler, frame, error)
        onward: list[Pending] = []
        while self.pushed:
            self._take_pushed(frame, step, onward, sweeps)
        for made, routes, by in onward:
            if isinstance(routes, Routes):
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
                            new = node.up if upstream else node.down
                            steps.append(Step(getattr(node.proc, handler.name), node, handler.name, new))
        return steps

    def relink(self) -> None:
        """The pipeline has changed."""
        self._urgent.clear()
