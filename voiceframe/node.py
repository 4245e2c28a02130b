"""A node: one processor's place in one call's pipeline, and what the engine keeps about it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import CallEnded, ProcessorError
from .frames import ErrorFrame, Frame, Stream
from .lane import Lane
from .processor import Handler, Processor, Result, Table
from .routes import Act, Route, Routes, Row, Step, fixed, node_steps, route_after

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Node"]

T = TypeVar("T")


class Node:
    """Holds a processor in its place. Everything that a processor asks of the engine goes through here."""

    __slots__ = (
        "_continued",
        "_guards",
        "_inside",
        "_unseen",
        "_visits",
        "dispatcher",
        "down",
        "engine",
        "failures",
        "gone",
        "index",
        "is_source",
        "lane",
        "lasting",
        "let_through",
        "proc",
        "ready",
        "row",
        "table",
        "taken",
        "tasks",
        "up",
        "waiting",
    )

    def __init__(self, engine: Engine, proc: Processor, row: Row | None, index: int) -> None:
        self.engine = engine
        self.dispatcher = engine.dispatcher
        self.proc = proc
        self.is_source = proc.role == "source"
        #: Frames pushed from here that wait in the ready queue.
        self.waiting = 0
        self.table: Table = type(proc).table
        self.row = row if row is not None else Row(None)  # an observer of the whole pipeline stands in no row
        self.index = index
        self.ready = False
        #: Whether it has been replaced, and begins nothing any more.
        self.gone = False
        self.lane: Lane | None = Lane(self) if self.table.has_async else None
        # In order of their creation, so that a run can be repeated.
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.lasting: dict[asyncio.Task[Any], None] = {}
        self.failures: dict[str, int] = {}
        #: What development mode counts: frames taken by type, and whether anything was let through or made.
        self.taken: dict[str, int] | None = {} if engine.settings.development else None
        self.let_through = False
        # Where frames go that are made here, in either direction; and, for frames that waited in the mailbox, on from
        # here, and through this node and on from it.
        self.down = Routes(lambda t: engine.entry(self, t, route_after(engine, self, t, False), False))
        self.up = Routes(lambda t: engine.entry(self, t, route_after(engine, self, t, True), True))
        self._continued: tuple[Routes, Routes] | None = None
        self._inside: tuple[Routes, Routes] | None = None
        self._guards: tuple[Step, Step] | None = None
        self._visits = Routes(self._visit)
        # What it would have looked at before its setup was through.
        self._unseen: list[tuple[Callable[[Frame], Frame], Frame]] = []

    @property
    def name(self) -> str:
        return self.proc.name

    # -- routes

    def continued(self, upstream: bool) -> Routes:
        """The routes of frames that go on from here without having been made here."""
        if self._continued is None:
            engine = self.engine
            self._continued = (
                Routes(lambda t: route_after(engine, self, t, False)),
                Routes(lambda t: route_after(engine, self, t, True)),
            )
        return self._continued[upstream]

    def inside(self, upstream: bool) -> Routes:
        """The routes of frames whose turn at this node has come."""
        if self._inside is None:

            def build(frame_type: type[Frame], upstream: bool) -> Route:
                rest = self.continued(upstream)[frame_type]
                steps = node_steps(self, frame_type, upstream, inside=True)
                return Route((*steps, *rest.guarded), rest.mortal)

            self._inside = (Routes(lambda t: build(t, False)), Routes(lambda t: build(t, True)))
        return self._inside[upstream]

    def forward(self, frame: Frame, upstream: bool) -> None:
        """A frame that has waited here goes on: behind what was pushed from here before, if that still waits."""
        if self.waiting:
            self.dispatcher.rejoin(frame, self.continued(upstream), self)
        else:
            self.dispatcher.resume(frame, self.continued(upstream))

    def guard(self, upstream: bool) -> Step:
        """The step behind this node: see `Route`."""
        if self._guards is None:
            self._guards = (self._guard(False), self._guard(True))
        return self._guards[upstream]

    def _guard(self, upstream: bool) -> Step:
        def guard(frame: Frame) -> Frame | None:
            if self.waiting:
                self.dispatcher.rejoin(frame, self.continued(upstream), self)
                return None
            return frame

        return Step(guard, self, "guard", self.up if upstream else self.down, by=self, guard=True)

    def visit(self, frame: Frame) -> None:
        """Run the handler of a control frame here and now; the frame goes no further."""
        self.dispatcher.resume(frame, self._visits)

    def _visit(self, frame_type: type[Frame]) -> Route:
        handler = self.table.find(frame_type, upstream=False, observes=False)
        return Route([Step(self._visit_of(handler), self, handler.name if handler else "control", self.down, by=self)])

    def relink(self) -> None:
        """Forget the routes: the pipeline, or who waits in it, has changed."""
        self.down.clear()
        self.up.clear()
        for routes in (*(self._continued or ()), *(self._inside or ()), self._visits):
            routes.clear()

    def set_up(self) -> None:
        """The processor is ready: it sees what it has missed."""
        self.ready = True
        unseen, self._unseen = self._unseen, []
        for look, frame in unseen:
            look(frame)

    def leave(self) -> None:
        """It has been replaced and has finished: what is still pushed from here goes nowhere."""
        self.gone = True
        self.down = self.up = fixed(Route(()))

    def may_hold(self, stream: Stream, upstream: bool) -> bool:
        """Whether frames of `stream` that travel in this direction may wait in the mailbox here."""
        lane = self.lane
        return lane is not None and (lane.before is not None or self.table.takes_stream(stream, upstream))

    # -- the steps that routes are made of

    def observing(self, handler: Handler) -> Act:
        fn = getattr(self.proc, handler.name)

        def look(frame: Frame) -> Frame:
            try:
                fn(frame)
            except (Exception, asyncio.CancelledError) as error:
                self.failed(handler.name, frame, error)
            return frame

        def keep(frame: Frame) -> Frame:
            if self.ready:
                return look(frame)
            self._unseen.append((look, frame))
            return frame

        return look if self.ready else keep

    def counted(self, handler: Handler, fn: Act) -> Act:
        """`fn`, in development mode wrapped to count what it takes."""
        taken = self.taken
        if taken is None or self.proc.role == "sink":
            return fn

        def counting(frame: Frame) -> Result:
            out = fn(frame)
            if out is not None or self.dispatcher.pushed:
                self.let_through = True
            else:
                self.count_taken(frame, handler.name)
            return out

        return counting

    def count_taken(self, frame: Frame, handler: str) -> None:
        """In development mode: a frame was taken and nothing came of it."""
        taken = self.taken
        if taken is None or self.let_through or self.tasks or self.lasting:
            return
        name = type(frame).__name__
        count = taken[name] = taken.get(name, 0) + 1
        if count == self.engine.settings.swallow_frames:
            self.engine.report_swallowing(self, name, handler, count)

    def line_of(self, fn: Act, upstream: bool) -> Act:
        """A `def` handler behind a mailbox: it runs at once when nobody waits, else it waits its turn."""
        lane = self.need_lane()

        def stand_in_line(frame: Frame) -> Result:
            if lane.busy:
                lane.put(frame, upstream)
                return None
            return fn(frame)

        return stand_in_line

    def aside_of(self, fn: Act, upstream: bool) -> Act:
        """A concurrent handler: it waits only until the processor may begin, and behind frames that waited for that."""
        lane = self.need_lane()

        def stand_aside(frame: Frame) -> Result:
            if lane.shut or lane.aside:
                lane.put(frame, upstream, aside=1)
                return None
            return fn(frame)

        return stand_aside

    def queue_of(self, upstream: bool) -> Act:
        lane = self.need_lane()

        def queue(frame: Frame) -> None:
            lane.put(frame, upstream)

        return queue

    def gate_of(self, stream: Stream, upstream: bool) -> Act:
        """What a frame meets where it is not handled: it passes, unless earlier ones of its stream wait here."""
        lane = self.need_lane()
        holds = lane.holds[upstream]
        before = lane.before.holds[upstream] if lane.before is not None else holds

        def gate(frame: Frame) -> Frame | None:
            if holds[stream] or before[stream]:
                lane.put(frame, upstream)
                return None
            return frame

        return gate

    def _visit_of(self, handler: Handler | None) -> Act:
        """A control frame at this node: the handler runs, and whatever it does the frame goes on."""
        if handler is None or handler.is_async:  # an async one runs in the mailbox
            return _pass
        fn = getattr(self.proc, handler.name)

        def visit(frame: Frame) -> Frame:
            if self.ready:
                try:
                    for made in self.results(fn(frame), handler.name):
                        if made is not frame:
                            self.proc.push(made)
                except (Exception, asyncio.CancelledError) as error:
                    self.failed(handler.name, frame, error)
            return frame

        return visit

    def control_of(self, handler: Handler | None, *, ends: bool) -> Act:
        """A control frame arrives: behind the mailbox, and the end also behind the work that was spawned."""
        visit = self._visit_of(handler)
        # The end is handled in the mailbox even by a `def`, because it waits for what that spawns.
        waits = handler is not None and (ends or handler.is_async)

        def control(frame: Frame) -> Result:
            lane = self.lane
            if waits or (lane is not None and lane.busy) or (ends and self.tasks):
                self.need_lane().put(frame, False)
                if lane is None:  # what comes from now on by routes that were made before must wait here too
                    self.engine.relink()
                return None
            return visit(frame)

        return control

    def start_of(self, handler: Handler | None) -> Act:
        """The start of the call: each processor sees it right after its own setup, and nobody waits for that."""
        visit = self._visit_of(handler)

        def start(frame: Frame) -> Frame:
            if handler is None:
                return frame
            if handler.is_async or not self.ready:
                self.need_lane().put(frame, False)
                return frame
            return visit(frame)  # type: ignore[return-value]

        return start

    def need_lane(self) -> Lane:
        if self.lane is None:
            self.lane = Lane(self)
        return self.lane

    # -- what a processor does

    def results(self, result: object, handler: str) -> Iterable[Frame]:
        """The frames of a handler's return value. Reports what is none."""
        if result is None:
            return ()
        if isinstance(result, Frame):
            return (result,)
        if isinstance(result, Iterable) and not isinstance(result, (str, bytes, dict)):
            made: list[Frame] = []
            try:
                for frame in result:
                    if isinstance(frame, Frame):
                        made.append(frame)
                    else:
                        self.not_a_frame(frame, handler)
            except (Exception, asyncio.CancelledError) as error:
                self.failed(handler, None, error)
            return made
        self.not_a_frame(result, handler)
        return ()

    def not_a_frame(self, what: object, handler: str) -> None:
        """Report something that was returned or pushed in place of a frame."""
        if asyncio.iscoroutine(what):  # somebody has forgotten an `await`
            what.close()
        error = ProcessorError.of("processor.not-a-frame", processor=self.name, handler=handler, what=repr(what)[:80])
        self.failed(handler, None, error)

    def spawn(self, coro: Coroutine[Any, Any, T], name: str | None, lasting: bool) -> asyncio.Task[T]:
        engine = self.engine
        if engine.finished or self.gone:
            coro.close()
            what = f"{self.name}.spawn({getattr(coro, '__qualname__', coro)})"
            if self.gone:
                raise ProcessorError.of("processor.replaced", processor=self.name, call=engine.call.id, what=what)
            raise CallEnded.of("call.ended", call=engine.call.id, reason=engine.reason, what=what)
        context = self.dispatcher.task_context()
        task = engine.loop.create_task(coro, name=name, context=context)
        tasks = self.lasting if lasting else self.tasks
        tasks[task] = None
        task.add_done_callback(lambda done: self._spawned_done(done, tasks), context=contextvars.Context())
        return task

    def _spawned_done(self, task: asyncio.Task[Any], tasks: dict[asyncio.Task[Any], None]) -> None:
        tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and task not in self.dispatcher.zombies:
            coro: Any = task.get_coro()
            self.failed(getattr(coro, "__name__", "task"), None, error)

    def fail(self, error: Exception, fatal: bool) -> None:
        if fatal:
            self.engine.fatal(error, self.name)
        else:
            self.failed("fail", None, error)

    def failed(self, handler: str, frame: Frame | None, error: BaseException) -> None:
        """A handler has raised: an event, a log record, and an `ErrorFrame` both ways."""
        self.engine.report_failure(self, handler, error)
        # An error while an error is handled makes no further frame: that could go on for ever.
        if not isinstance(frame, ErrorFrame) and not self.engine.finished:
            wrapped = error if isinstance(error, Exception) else RuntimeError(repr(error))
            self.proc.push(ErrorFrame(wrapped, self.name))


def _pass(frame: Frame) -> Frame:
    return frame
