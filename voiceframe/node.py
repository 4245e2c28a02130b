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
from .routes import Act, Route, Routes, Row, node_steps, route_after

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Node"]

T = TypeVar("T")


class Node:
    """Holds a processor in its place. Everything that a processor asks of the engine goes through here."""

    __slots__ = (
        "_continued",
        "_inside",
        "dispatcher",
        "down",
        "engine",
        "failures",
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
        self.lane: Lane | None = Lane(self) if self.table.has_async else None
        self.tasks: set[asyncio.Task[Any]] = set()
        self.lasting: set[asyncio.Task[Any]] = set()
        self.failures: dict[str, int] = {}
        # What development mode counts: frames taken by handler, and whether anything was let through.
        self.taken: dict[str, int] | None = {} if engine.settings.development else None
        self.let_through = False
        # Where frames go that are made here, in either direction; and, for frames that waited in the mailbox, on from
        # here, and through this node and on from it.
        self.down = Routes(lambda t: engine.entry(self, t, route_after(engine, self, t, False), False))
        self.up = Routes(lambda t: engine.entry(self, t, route_after(engine, self, t, True), True))
        self._continued: tuple[Routes, Routes] | None = None
        self._inside: tuple[Routes, Routes] | None = None

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
                return Route((*steps, *rest.steps), rest.mortal)

            self._inside = (Routes(lambda t: build(t, False)), Routes(lambda t: build(t, True)))
        return self._inside[upstream]

    def forward(self, frame: Frame, upstream: bool) -> None:
        """A frame that has waited here goes on: behind what was pushed from here before, if that still waits."""
        if self.waiting:
            self.dispatcher.enqueue(frame, self.continued(upstream), self)
        else:
            self.dispatcher.resume(frame, self.continued(upstream))

    def relink(self) -> None:
        """Forget the routes: the pipeline, or who waits in it, has changed."""
        self.down.clear()
        self.up.clear()
        for routes in (*(self._continued or ()), *(self._inside or ())):
            routes.clear()

    def may_hold(self, stream: Stream) -> bool:
        """Whether frames of `stream` may wait in the mailbox here."""
        return self.lane is not None and self.table.takes_stream(stream)

    # -- the steps that routes are made of

    def observing(self, handler: Handler) -> Act:
        fn = getattr(self.proc, handler.name)

        def look(frame: Frame) -> Frame:
            try:
                fn(frame)
            except Exception as error:
                self.failed(handler.name, frame, error)
            return frame

        return look

    def counted(self, handler: Handler, fn: Act) -> Act:
        """`fn`, in development mode wrapped to count what it takes."""
        taken = self.taken
        if taken is None or self.proc.role == "sink":
            return fn

        def counting(frame: Frame) -> Result:
            out = fn(frame)
            if out is not None or self.dispatcher.pushed:
                self.let_through = True
            elif not self.let_through and not self.tasks and not self.lasting:
                self.count_taken(frame, handler.name)
            return out

        return counting

    def count_taken(self, frame: Frame, handler: str) -> None:
        taken = self.taken
        if taken is None:
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

    def queue_of(self, upstream: bool) -> Act:
        lane = self.need_lane()

        def queue(frame: Frame) -> None:
            lane.put(frame, upstream)

        return queue

    def gate_of(self, stream: Stream, upstream: bool) -> Act:
        """What a frame meets where it is not handled: it passes, unless earlier ones of its stream wait here."""
        lane = self.need_lane()
        holds = lane.holds

        def gate(frame: Frame) -> Frame | None:
            if holds[stream]:
                lane.put(frame, upstream)
                return None
            return frame

        return gate

    def visit_of(self, handler: Handler | None) -> Act:
        """A control frame at this node: the handler runs, and whatever it does the frame goes on."""
        if handler is None or handler.is_async:  # an async one has run in the mailbox before
            return _pass
        fn = getattr(self.proc, handler.name)

        def visit(frame: Frame) -> Frame:
            if self.ready:
                try:
                    self.push_all(fn(frame), frame, handler.name)
                except Exception as error:
                    self.failed(handler.name, frame, error)
            return frame

        return visit

    def control_of(self, handler: Handler | None, visit: Act, *, ends: bool) -> Act:
        """A control frame arrives: behind the mailbox, and the end also behind the work that was spawned."""
        # The end is handled in the mailbox even by a `def`, because it waits for what that spawns.
        waits = handler is not None and (ends or handler.is_async)

        def control(frame: Frame) -> Result:
            lane = self.lane
            if waits or (lane is not None and lane.busy) or (ends and self.tasks):
                self.need_lane().put(frame, False)
                return None
            return visit(frame)

        return control

    def need_lane(self) -> Lane:
        if self.lane is None:
            self.lane = Lane(self)
        return self.lane

    # -- what a processor does

    def push_all(self, result: Result, cause: Frame, handler: str) -> None:
        """Push what a handler returned, but for the frame that caused it."""
        for frame in self.results(result, handler):
            if frame is not cause:
                self.proc.push(frame)

    def results(self, result: Result, handler: str) -> Iterable[Frame]:
        """The frames of a handler's return value. Reports what is none."""
        if result is None:
            return ()
        if isinstance(result, Frame):
            return (result,)
        if isinstance(result, Iterable) and not isinstance(result, (str, bytes, dict)):
            frames = list(result)
            if all(isinstance(frame, Frame) for frame in frames):
                return frames
        if asyncio.iscoroutine(result):
            result.close()
        self.failed(
            handler,
            None,
            ProcessorError.of("processor.not-a-frame", processor=self.name, handler=handler, what=repr(result)[:80]),
        )
        return ()

    def spawn(self, coro: Coroutine[Any, Any, T], name: str | None, lasting: bool) -> asyncio.Task[T]:
        engine = self.engine
        if engine.finished:
            coro.close()
            raise CallEnded.of(
                "call.ended", call=engine.call.id, reason=engine.reason, what=f"{self.name}.spawn({coro.__qualname__})"
            )
        context = self.dispatcher.task_context()
        task = engine.loop.create_task(coro, name=name, context=context)
        tasks = self.lasting if lasting else self.tasks
        tasks.add(task)
        task.add_done_callback(lambda done: self._spawned_done(done, tasks), context=contextvars.Context())
        return task

    def _spawned_done(self, task: asyncio.Task[Any], tasks: set[asyncio.Task[Any]]) -> None:
        tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and isinstance(error, Exception):
            coro: Any = task.get_coro()
            self.failed(getattr(coro, "__name__", "task"), None, error)

    async def drain(self) -> None:
        await self.dispatcher.drain(self)

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
