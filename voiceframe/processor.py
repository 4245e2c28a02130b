"""Processors: what stands in a pipeline, and how it says which frames it takes.

    class Redact(Processor):
        @handles(TranscriptionFrame)
        def on_transcription(self, frame: TranscriptionFrame) -> TranscriptionFrame:
            return frame.replace(text=scrub(frame.text))

A processor sees only the frame types that it names; all others pass it by, in order. `docs/processors.md` states what
the engine promises to a handler.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar, overload

from .errors import HandlerError, ProcessorError
from .frames import Frame, Stream

if TYPE_CHECKING:
    import asyncio

    from .audio import AudioFormat
    from .call import Call
    from .events import Event
    from .node import Node
    from .pipeline import Pipeline

__all__ = ["Observer", "Processor", "Result", "handles", "observes"]

T = TypeVar("T")
P_contra = TypeVar("P_contra", bound="Processor", contravariant=True)
P = TypeVar("P", bound="Processor")
F1 = TypeVar("F1", bound=Frame)
F2 = TypeVar("F2", bound=Frame)
F3 = TypeVar("F3", bound=Frame)
F = TypeVar("F", bound=Frame)

#: What a handler returns: what goes on from here. A frame, nothing, or several frames in order.
Result: TypeAlias = Frame | Iterable[Frame] | None
R = TypeVar("R", bound="Result | Coroutine[Any, Any, Result]")


@dataclass(slots=True)
class Handler:
    """How a method takes frames: what `@handles` and `@observes` note on it."""

    name: str
    types: tuple[type[Frame], ...]
    upstream: bool = False
    observes: bool = False
    concurrent: bool = False
    on_interrupt: Literal["cancel", "finish"] | None = None
    is_async: bool = False


_MARK = "__voiceframe_handler__"


class _Handles(Protocol[F]):
    def __call__(self, method: Callable[[P, F], R], /) -> Callable[[P, F], R]: ...


class _Observes(Protocol[F]):
    def __call__(self, method: Callable[[P, F], None], /) -> Callable[[P, F], None]: ...


_Mode: TypeAlias = Literal["cancel", "finish"]


@overload
def handles(
    a: type[F1], /, *, upstream: bool = ..., concurrent: bool = ..., on_interrupt: _Mode | None = ...
) -> _Handles[F1]: ...
@overload
def handles(
    a: type[F1], b: type[F2], /, *, upstream: bool = ..., concurrent: bool = ..., on_interrupt: _Mode | None = ...
) -> _Handles[F1 | F2]: ...
@overload
def handles(
    a: type[F1],
    b: type[F2],
    c: type[F3],
    /,
    *,
    upstream: bool = ...,
    concurrent: bool = ...,
    on_interrupt: _Mode | None = ...,
) -> _Handles[F1 | F2 | F3]: ...
@overload
def handles(
    *types: type[Frame], upstream: bool = ..., concurrent: bool = ..., on_interrupt: _Mode | None = ...
) -> _Handles[Any]: ...
def handles(
    *types: type[Frame],
    upstream: bool = False,
    concurrent: bool = False,
    on_interrupt: _Mode | None = None,
) -> Any:
    """Declare a method as the handler of these frame types.

    The frame stops here; what the method returns goes on (return the frame itself to let it pass). The most specific
    type wins; control and urgent frames are taken only by a handler of their own type.

    upstream: take frames that travel from sink to source, instead of from source to sink.
    concurrent: a `def` handler that does not wait behind the mailbox of its processor (audio into an STT).
    on_interrupt: what an interruption does to an `async def` handler that is running: `"cancel"` or `"finish"`.
        By default a handler of a reply's frame is cancelled with that reply, and any other finishes.

    A `def` handler runs at once and must not block. An `async def` handler runs in the processor's mailbox, one at a
    time, so that it delays this processor alone. Control frames go on by themselves after the handler, and what it
    returns goes before them.

    Raises `HandlerError` where the class is defined when the declaration cannot work.
    """

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        if on_interrupt not in (None, "cancel", "finish"):
            raise HandlerError.of("handler.interrupt-mode", handler=method.__qualname__, mode=on_interrupt)
        if inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method):
            raise HandlerError.of("handler.generator", handler=method.__qualname__)
        if concurrent and inspect.iscoroutinefunction(method):
            raise HandlerError.of("handler.concurrent-async", handler=method.__qualname__)
        setattr(
            method,
            _MARK,
            Handler(
                method.__name__,
                _checked_types(method, types),
                upstream=upstream,
                concurrent=concurrent,
                on_interrupt=on_interrupt,
            ),
        )
        return method

    return mark


@overload
def observes(a: type[F1], /, *, upstream: bool = ...) -> _Observes[F1]: ...
@overload
def observes(a: type[F1], b: type[F2], /, *, upstream: bool = ...) -> _Observes[F1 | F2]: ...
@overload
def observes(a: type[F1], b: type[F2], c: type[F3], /, *, upstream: bool = ...) -> _Observes[F1 | F2 | F3]: ...
@overload
def observes(*types: type[Frame], upstream: bool = ...) -> _Observes[Any]: ...
def observes(*types: type[Frame], upstream: bool = False) -> Any:
    """Declare a `def` method that sees these frames, which then go on untouched.

    An exception in it is reported and changes nothing for the frame.
    """

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise HandlerError.of("handler.async-observer", handler=method.__qualname__)
        setattr(
            method,
            _MARK,
            Handler(method.__name__, _checked_types(method, types), upstream=upstream, observes=True),
        )
        return method

    return mark


def _checked_types(method: Callable[..., Any], types: tuple[type[Frame], ...]) -> tuple[type[Frame], ...]:
    if not types:
        raise HandlerError.of("handler.no-types", handler=method.__qualname__)
    for frame_type in types:
        kind: object = frame_type
        if not (isinstance(kind, type) and issubclass(kind, Frame)):
            raise HandlerError.of("handler.not-a-frame", handler=method.__qualname__, what=repr(frame_type))
    return types


class Table:
    """The handlers of a processor class, found by frame type. One per class, shared by all its instances."""

    __slots__ = ("_found", "_rows", "handlers", "has_async")

    def __init__(self, cls: type[Processor]) -> None:
        rows: dict[tuple[bool, bool, type[Frame]], Handler] = {}
        self.handlers = tuple(_handlers_of(cls))
        for handler in self.handlers:
            for frame_type in handler.types:
                key = (handler.upstream, handler.observes, frame_type)
                other = rows.get(key)
                if other is not None:
                    raise HandlerError.of(
                        "handler.twice",
                        processor=cls.__name__,
                        first=other.name,
                        second=handler.name,
                        frame=frame_type.__name__,
                    )
                rows[key] = handler
        self._rows = rows
        self._found: dict[tuple[bool, bool, type[Frame]], Handler | None] = {}
        self.has_async = any(handler.is_async for handler in self.handlers)

    def find(self, frame_type: type[Frame], *, upstream: bool, observes: bool) -> Handler | None:
        """The handler for exactly this type in this direction: the one declared for the most specific base."""
        key = (upstream, observes, frame_type)
        try:
            return self._found[key]
        except KeyError:
            pass
        handler = None
        for base in frame_type.__mro__:
            handler = self._rows.get((upstream, observes, base))
            if handler is not None:
                # A handler of a general type (`Frame`) must not swallow the life of the call.
                if frame_type.stream >= Stream.CONTROL and getattr(base, "stream", None) != frame_type.stream:
                    handler = None
                break
        self._found[key] = handler
        return handler

    def takes_stream(self, stream: Stream, upstream: bool) -> bool:
        """Whether a mailbox of this class could hold a frame of `stream` that travels in this direction."""
        return any(
            frame_type.stream == stream or frame_type is Frame
            for handler in self.handlers
            if not handler.observes and handler.upstream == upstream
            for frame_type in handler.types
        )


def _handlers_of(cls: type) -> Iterator[Handler]:
    """The declared methods of a class in the order of definition, bases first; an override keeps its declaration."""
    seen: set[str] = set()
    for base in reversed(cls.__mro__):
        for name in base.__dict__:
            if name in seen:
                continue
            declared = _declaration(cls, name)
            if declared is None:
                continue
            seen.add(name)
            yield declared


def _declaration(cls: type, name: str) -> Handler | None:
    for base in cls.__mro__:
        method = base.__dict__.get(name)
        mark = getattr(method, _MARK, None)
        if mark is not None:
            actual = getattr(cls, name)
            is_async = inspect.iscoroutinefunction(actual)
            if mark.observes and is_async:
                raise HandlerError.of("handler.async-observer", handler=actual.__qualname__)
            if inspect.isasyncgenfunction(actual) or inspect.isgeneratorfunction(actual):
                raise HandlerError.of("handler.generator", handler=actual.__qualname__)
            return Handler(name, mark.types, mark.upstream, mark.observes, mark.concurrent, mark.on_interrupt, is_async)
    return None


class Processor:
    """One step of a pipeline. Subclass it and declare handlers; everything here may be used from them.

    Not thread-safe: call its methods on the call's event loop only.
    """

    #: Where it may stand. A source feeds frames in and stands first, a sink lets them out and stands last.
    role: ClassVar[Literal["source", "sink", "inner"]] = "inner"
    #: Whether this is the one processor that calls `interrupt()`.
    decides_interruptions: ClassVar[bool] = False
    #: The formats of `InputAudioFrame` (an STT) or `OutputAudioFrame` (a sink) that it takes; empty for any.
    accepts: tuple[AudioFormat, ...] = ()
    #: The formats of audio that it makes; empty if it makes none, or passes on what comes.
    produces: tuple[AudioFormat, ...] = ()

    table: ClassVar[Table]
    _name: str = ""
    _node: Node | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.table = Table(cls)

    @property
    def name(self) -> str:
        """How events, errors and logs call it: the class's name, numbered where a pipeline has several."""
        return self._name or type(self).__name__

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def call(self) -> Call:
        """The call that it works for. Raises `ProcessorError` before it is part of one."""
        return self._linked("call").engine.call

    def _linked(self, method: str) -> Node:
        node = self._node
        if node is None:
            raise ProcessorError.of("processor.unlinked", processor=self.name, method=method)
        return node

    def check_pipeline(self, pipeline: Pipeline) -> None:
        """Raise a `VoiceframeError` if it cannot work in this pipeline, in which it stands or which it observes.

        Asked when the pipeline is linked, before the call is answered, and by `voiceframe check`: look at the others
        here (`pipeline.processors()`, `pipeline.observers`), wait for nothing and change nothing. There is no call yet,
        and names that are taken twice are not numbered.
        """

    async def setup(self) -> None:
        """Connect, load, warm up. Runs for all processors at once; frames for this one wait until it has returned."""

    async def cleanup(self) -> None:
        """Close what `setup()` opened. The last thing that runs; frames pushed here go nowhere."""

    def push(self, frame: Frame, *, upstream: bool = False) -> None:
        """Send a frame on from here: what a handler's return value cannot say, and what tasks have to say.

        From a `def` handler it runs when the handler returns, before its return value. Never waits; see `drain()`.

        For what is not a frame, and for frames that only the engine makes, it raises `ProcessorError`; in a `def`
        handler that is reported when the handler returns, as a failure of it.
        """
        node = self._node or self._linked("push")
        dispatcher = node.dispatcher
        if dispatcher.state.running is dispatcher:
            dispatcher.pushed.append((frame, node.up if upstream else node.down, node))
        else:
            dispatcher.feed(frame, node.up if upstream else node.down, node)

    def interrupt(self, reason: str) -> None:
        """Stop everything that the bot says. Only turn taking does; others push `InterruptionRequestFrame(reason)`.

        Called in a `def` handler it takes effect when that handler returns, before any other frame; else at once. A
        reply that is begun after the call of this method is not touched by it.
        """
        self._linked("interrupt").dispatcher.interrupt(reason)

    def begin_reply(self, turn: int | None = None, *, interruptible: bool = True) -> int:
        """The number of a new reply, to be put on all of its frames.

        Take it when the work for a turn begins, not when it ends: an interruption in between kills it. Returns 0, the
        number that is always dead, if `turn` already had a reply that was interrupted.
        """
        return self._linked("begin_reply").engine.call.replies.begin(turn, interruptible=interruptible)

    def alive(self, reply: int) -> bool:
        """Whether frames of this reply are still delivered."""
        return not self._linked("alive").engine.call.replies.dead(reply)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None, lasting: bool = False) -> asyncio.Task[T]:
        """Run a coroutine as a task that belongs to this processor.

        The end of the call waits for it, unless it is `lasting` (a reader of a socket): those are cancelled. An
        exception in it is reported like one in a handler. Raises `CallEnded` when the call is over.
        """
        node = self._node
        if node is None:
            coro.close()
        return self._linked("spawn").spawn(coro, name, lasting)

    async def offload(self, fn: Callable[..., T], *args: Any, virtual_ms: int = 0) -> T:
        """Run a blocking function in a thread and return its result.

        On virtual time it runs inline, and the result comes `virtual_ms` later. The only door off the event loop.
        """
        return await self._linked("offload").engine.offload(fn, args, virtual_ms)

    async def drain(self) -> None:
        """Wait until everything downstream of this processor is less than half full.

        For producers, in an `async def` handler or a task. An interruption and the end wake it.
        """
        node = self._linked("drain")
        await node.dispatcher.producers.drain(node)

    def drained(self) -> None:
        """Tell waiting producers that this processor's own buffer (see `fullness`) has emptied."""
        node = self._node
        if node is not None:
            node.dispatcher.producers.wake()

    def fullness(self) -> float:
        """How full the processor's own buffer is, from 0 to 1: what `drain()` asks. Override where there is one."""
        return 0.0

    def remaining_ms(self) -> int:
        """How much audio it still has to play: what the end of a call waits for. Override in a sink."""
        return 0

    def emit(self, event: Event) -> None:
        """Write an event to the call's log."""
        self._linked("emit").engine.call.log.write(event)

    def fail(self, error: Exception, *, fatal: bool = False) -> None:
        """Report a failure as a handler that raised would: an event, a log record and an `ErrorFrame`."""
        self._linked("fail").fail(error, fatal)

    def __repr__(self) -> str:
        return f"<{self.name}>"


Processor.table = Table(Processor)


class Observer(Processor):
    """A processor that only looks: all its handlers are declared with `@observes`.

    In the list of processors it sees what passes its place. In `observers=[...]` of a pipeline it sees every frame of
    its types once, where the frame is made, in both directions.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        from .errors import LinkError

        for handler in cls.table.handlers:
            if not handler.observes:
                raise LinkError.of("link.observer-handles", processor=cls.__name__, handler=handler.name)
