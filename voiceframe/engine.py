"""The engine: one per call. It links the pipeline, starts it, keeps book of replies and turns, and ends it.

The dispatcher runs the frames, a lane each mailbox, the ending the end. `docs/architecture.md` has the picture,
`docs/processors.md` the promises.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import traceback
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from .clock import is_virtual
from .dispatcher import Dispatcher
from .ending import Ending
from .errors import ProcessorError, VoiceframeError
from .events import (
    ProcessorAbandoned,
    ProcessorFailed,
    ProcessorOverflow,
    ProcessorSwallows,
)
from .extras import import_lock
from .frames import (
    BotStartedSpeakingFrame,
    ClipFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    HeardFrame,
    PauseFrame,
    PlayFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    ResumeFrame,
    SayFrame,
    StartFrame,
    Stream,
    TextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
)
from .node import Node
from .pipeline import Parallel, Pipeline
from .processor import Processor
from .routes import Block, Route, Routes, Row, Step, node_steps, nodes_of
from .settings import Settings, setting
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .call import Call

__all__ = ["Engine", "EngineSettings"]

T = TypeVar("T")
_log = logging.getLogger("voiceframe.engine")


class EngineSettings(Settings, prefix="ENGINE"):
    """How the engine runs a call."""

    mailbox_frames: int = setting(default=512, doc="frames that may wait for one processor", ge=4)
    ready_frames: int = setting(default=2_000, doc="frames from outside that may wait for the call", ge=16)
    tick_frames: int = setting(default=64, doc="frames after which a call lets others run", ge=1)
    tick_us: int = setting(default=1_000, doc="microseconds after which a call lets others run", ge=10)
    cascade_frames: int = setting(default=100_000, doc="frames of one cascade that are held to be endless", ge=1_000)
    unwind_ms: int = setting(default=200, doc="time that a cancelled handler has to stop", ge=1)
    setup_timeout_ms: int = setting(default=10_000, doc="time that all processors together have to set up", ge=1)
    cleanup_timeout_ms: int = setting(default=2_000, doc="time that all processors together have to clean up", ge=1)
    end_margin_ms: int = setting(default=5_000, doc="time that an end has beside the audio still to play", ge=1)
    end_cap_ms: int = setting(default=30_000, doc="time after which an end becomes a cancellation in any case", ge=1)
    cancel_grace_ms: int = setting(
        default=5_000, doc="time that work which must finish has when a call is cancelled", ge=0
    )
    blocked_ms: int = setting(default=500, doc="time after which a handler that blocks the loop is named", ge=50)
    development: bool = setting(default=False, doc="name processors that take frames and let none through")
    swallow_frames: int = setting(default=50, doc="frames after which development mode names them", ge=1)


def _ready_for_threads() -> None:
    """Import what several threads are about to import: see `import_lock`. Here, where no thread of ours runs yet."""
    global _threads_may_run
    if not _threads_may_run:
        with import_lock:
            import numpy as np

            _threads_may_run = bool(np.__version__)


_threads_may_run = False


class Engine:
    """Runs one call."""

    def __init__(self, call: Call, pipeline: Pipeline, settings: EngineSettings) -> None:
        pipeline.check()
        self.call = call
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.dispatcher = Dispatcher(self)
        self.ending = False
        #: Whether the `StartFrame` was sent. Until then it rings: processors set up, and frames wait.
        self.begun = False
        self.reason = ""
        self.dropped: dict[Node, int] = {}
        #: Nodes that are about to take a place, or have lost it and finish what they have.
        self.changing: list[Node] = []
        self._fatal_sources: set[str] = set()

        self.row = Row(None)
        self._place(self.row, pipeline.elements)
        self.observers = [Node(self, observer, None, 0) for observer in pipeline.observers]
        self.nodes = list(nodes_of(self.row))
        self._name_all()
        for node in (*self.nodes, *self.observers):
            node.proc._node = node
        self._ending = Ending(self)
        self.watchdog: Watchdog | None = None

    # -- linking

    def _place(self, row: Row, elements: Iterable[Processor | Parallel]) -> None:
        for index, element in enumerate(elements):
            if isinstance(element, Parallel):
                block = Block(row, index)
                row.places.append(block)
                for branch in element.branches:
                    inner = Row(block)
                    block.branches.append(inner)
                    self._place(inner, branch)
            else:
                row.places.append(Node(self, element, row, index))

    def _name_all(self) -> None:
        taken: set[str] = set()
        for node in (*self.nodes, *self.observers):
            self.give_name(node.proc, taken)

    @staticmethod
    def give_name(proc: Processor, taken: set[str]) -> None:
        """Number the processor's name if it is taken."""
        base = name = proc.name
        number = 1
        while name in taken:
            number += 1
            name = f"{base}#{number}"
        taken.add(name)
        if name != base:
            proc.name = name

    def entry(self, node: Node, frame_type: type[Frame], route: Route, upstream: bool) -> Route:
        """The route of frames of this type that are made at `node`: the engine and the observers of the pipeline see
        them first."""
        if issubclass(frame_type, PauseFrame | ResumeFrame):
            return self._special(node, self.dispatcher.urgent)
        if frame_type.stream == Stream.URGENT or issubclass(frame_type, EndFrame | StartFrame):

            def refuse(frame: Frame) -> None:
                raise ProcessorError.of("processor.push-urgent", processor=node.name, frame=type(frame).__name__)

            return self._special(node, refuse)
        if not issubclass(frame_type, ErrorFrame):
            node.let_through = True
        steps: list[Step] = []
        for watched, watch in self._watches(node, upstream):
            if issubclass(frame_type, watched):
                steps.append(Step(watch, node, "engine", node.up if upstream else node.down))
        steps += self._looks(frame_type, (False, True))
        if not steps:
            return route
        return Route((*steps, *route.guarded), route.mortal)

    @staticmethod
    def _special(node: Node, act: Callable[[Frame], None]) -> Route:
        return Route([Step(act, node, "push", node.down)], special=act)

    def _looks(self, frame_type: type[Frame], directions: tuple[bool, ...]) -> list[Step]:
        """The observers of the pipeline that look at frames of this type."""
        steps: list[Step] = []
        for observer in self.observers:
            for upstream in directions:
                handler = observer.table.find(frame_type, upstream=upstream, observes=True)
                if handler is not None:
                    steps.append(Step(observer.observing(handler), observer, handler.name, observer.down))
        return steps

    def _watches(self, node: Node, upstream: bool) -> Iterable[tuple[type[Frame], Callable[[Any], Any]]]:
        """The frames that the engine itself keeps book of, where they are made."""
        call = self.call
        replies, turns = call.replies, call.turns

        def say(frame: SayFrame) -> list[Frame]:
            return self.reply_frames(frame.text, frame.interruptible, frame.at_ms)[1]

        def play(frame: PlayFrame) -> list[Frame]:
            return self.reply_frames(frame.text, frame.interruptible, frame.at_ms, clip=frame.path)[1]

        def error(frame: ErrorFrame) -> ErrorFrame | None:
            if frame.fatal:
                self.fatal(frame.error, frame.source or node.name)
                return None
            turns.failed()
            self.dispatcher.pushed.append((frame, node.continued(not upstream), node))
            return frame

        def turn(frame: UserTurnFrame) -> UserTurnFrame:
            turns.commit(frame)
            return frame

        def started(frame: ReplyStartedFrame) -> ReplyStartedFrame:
            replies.started(frame)
            return frame

        def ended(frame: ReplyEndedFrame) -> ReplyEndedFrame:
            replies.ended(frame)
            return frame

        def speaking(frame: BotStartedSpeakingFrame) -> BotStartedSpeakingFrame:
            turns.speaking(frame, replies.speaking(frame))
            return frame

        def heard(frame: HeardFrame) -> HeardFrame:
            replies.heard(frame)
            return frame

        def user_started(frame: UserStartedSpeakingFrame) -> UserStartedSpeakingFrame:
            turns.user_speaking = True
            return frame

        def user_stopped(frame: UserStoppedSpeakingFrame) -> UserStoppedSpeakingFrame:
            turns.user_speaking = False
            return frame

        watches: tuple[tuple[type[Frame], Callable[[Any], Any]], ...] = (
            (SayFrame, say),
            (PlayFrame, play),
            (ErrorFrame, error),
            (UserTurnFrame, turn),
            (ReplyStartedFrame, started),
            (ReplyEndedFrame, ended),
            (UserStartedSpeakingFrame, user_started),
            (UserStoppedSpeakingFrame, user_stopped),
        )
        if node is self.nodes[-1]:  # what was heard only the output can say; others may pass on a changed copy
            watches += ((BotStartedSpeakingFrame, speaking), (HeardFrame, heard))
        return watches

    def reply_frames(
        self, text: str, interruptible: bool, at_ms: int, clip: str | None = None
    ) -> tuple[int, list[Frame]]:
        """A whole reply as frames, with its number. It answers the turn that waits for an answer, if one does.

        clip: the path of an audio file that is played instead of speaking the text.
        """
        turn = self.call.turns.pending
        # A turn whose reply was interrupted takes no other; then this is said of its own accord.
        number = self.call.replies.begin(turn, interruptible=interruptible)
        if not number:
            turn = None
            number = self.call.replies.begin(None, interruptible=interruptible)
        return number, [
            ReplyStartedFrame(number, turn, interruptible, at_ms=at_ms),
            TextFrame(text, number, at_ms=at_ms)
            if clip is None
            else ClipFrame(clip, text or f"[{PurePath(clip).name}]", number, at_ms=at_ms),
            ReplyEndedFrame(number, at_ms=at_ms),
        ]

    def relink(self) -> None:
        """Forget all routes; they are built anew when frames come by."""
        for node in self.all_nodes():
            node.relink()
        self.dispatcher.relink()

    def all_nodes(self) -> list[Node]:
        """The nodes in order, then those that come or go by a replacement, then the observers of the whole pipeline."""
        return [*self.nodes, *self.changing, *self.observers]

    # -- the life of the call

    @property
    def finished(self) -> bool:
        """Whether frames are not delivered any more."""
        return self.dispatcher.closed

    def prepare(self) -> None:
        """Set up all processors at once. Frames wait until `begin()`."""
        self.dispatcher.hold()
        for node in (*self.nodes, *self.observers):
            if type(node.proc).setup is Processor.setup:
                node.ready = True
            else:
                node.need_lane().begin_setup()
        if not is_virtual(self.loop):
            self.watchdog = Watchdog.of(self.loop)
            self.watchdog.watch(self)

    def begin(self) -> None:
        """Let frames in, the `StartFrame` before all others. Frames for a processor wait until it is set up."""
        if not self.begun and not self.finished:
            self.begun = True
            frame = StartFrame(at_ms=self.call.clock.at_ms())
            self.dispatcher.release(frame, self._whole_way(frame))

    def _whole_way(self, frame: StartFrame | EndFrame) -> Routes:
        """Through the whole pipeline, the source included."""
        source = self.nodes[0]
        looks = self._looks(type(frame), (False,))

        def build(frame_type: type[Frame]) -> Route:
            return Route((*looks, *node_steps(source, frame_type, False), *source.continued(False)[frame_type].guarded))

        return Routes(build)

    def setup_failed(self, node: Node, error: ProcessorError) -> None:
        self.report_failure(node, "setup", error, fatal=True)
        self._fatal(error, node.name)

    def request_end(self, reason: str) -> None:
        """Send an `EndFrame` from the source. Irrevocable; further requests change nothing."""
        if self.ending or self.finished:
            return
        if not self.begun:  # nobody was there, so there is nothing to finish
            self.cancel(reason)
            return
        self.ending = True
        self.reason = reason
        frame = EndFrame(reason, at_ms=self.call.clock.at_ms())
        self.dispatcher.enqueue(frame, self._whole_way(frame), None)
        self._ending.arm()

    def end_arrived(self, frame: Frame) -> None:
        """The step behind the sink."""
        self._ending.arrived()

    def moved_on(self) -> None:
        """A frame has left a mailbox upstream, or joined the ready queue anew: a call about to close waits for it."""
        self._ending.look_afterwards()

    def hang_up(self, reason: str) -> None:
        """The other side is gone: an interruption and an end, so that work with side effects finishes."""
        self.dispatcher.interrupt(reason)
        self.request_end(reason)

    def cancel(self, reason: str) -> None:
        """Close the call now."""
        self._ending.cancel(reason)

    async def stop(self, nodes: list[Node]) -> None:
        """End all work of these processors and clean them up, each within its bound."""
        await self._ending.stop(nodes)

    def cancelled(self) -> None:
        """All processors have been told."""
        self._ending.close()

    def fatal(self, error: Exception, source: str) -> None:
        """Something after which the call cannot go on: it is told to all processors, and the call ends."""
        if self.finished or source in self._fatal_sources:
            return
        self._fatal_sources.add(source)
        _log.error("%s: fatal: %s", source, error)
        self.call.log.write(
            ProcessorFailed(
                processor=source,
                handler="",
                error=type(error).__name__,
                code=error.code if isinstance(error, VoiceframeError) else None,
                fatal=True,
                message=str(error),
            )
        )
        self._fatal(error, source)

    def _fatal(self, error: Exception, source: str) -> None:
        if self.finished or self.ending:
            return
        self.call.turns.failed()
        frame = ErrorFrame(error, source, fatal=True, at_ms=self.call.clock.at_ms())
        self.dispatcher.urgent(frame)
        self.dispatcher.interrupt("error")
        self.request_end("error")

    # -- reports

    def report_failure(self, node: Node, handler: str, error: BaseException, *, fatal: bool = False) -> None:
        """Log a failure and write its event. The same handler failing over and over is reported ever more rarely."""
        count = node.failures[handler] = node.failures.get(handler, 0) + 1
        if count > 10 and count & (count - 1):
            return
        _log.error("%s.%s failed (%d): %r", node.name, handler, count, error, exc_info=error)
        if self.call.ended:
            return
        self.call.log.write(
            ProcessorFailed(
                processor=node.name,
                handler=handler,
                error=type(error).__name__,
                code=error.code if isinstance(error, VoiceframeError) else None,
                fatal=fatal,
                message=str(error),
                traceback="".join(traceback.format_exception(error)),
            )
        )

    def count_dropped(self, node: Node | None) -> None:
        """Audio of the caller was dropped because a queue was full: reported at once, then ever more rarely."""
        node = node or self.nodes[0]
        count = self.dropped[node] = self.dropped.get(node, 0) + 1
        if not count & (count - 1):
            self.call.log.write(ProcessorOverflow(processor=node.name, dropped=count, policy="oldest-caller-audio"))

    def report_swallowing(self, node: Node, frame: str, handler: str, count: int) -> None:
        error = ProcessorError.of("processor.swallows", processor=node.name, frame=frame, handler=handler, count=count)
        _log.warning("%s", error)
        self.call.log.write(ProcessorSwallows(processor=node.name, frame=frame, count=count))

    def left_behind(self, node: Node, task: asyncio.Task[Any], handler: str) -> None:
        """A task did not stop when it was cancelled: whatever it pushes from now on is dropped."""
        self.dispatcher.zombies[task] = None
        _log.warning(
            "%s",
            ProcessorError.of("processor.abandoned", processor=node.name, handler=handler, ms=self.settings.unwind_ms),
        )
        self.call.log.write(ProcessorAbandoned(processor=node.name, handler=handler))

    def lane_idle(self, node: Node) -> None:
        """A mailbox has emptied. One that was only there for the setup is not needed any more."""
        self.dispatcher.producers.wake()
        lane = node.lane
        if lane is None or self.ending:
            return
        if node.ready and not node.table.has_async:
            node.lane = None
            self.relink()
        elif lane.before is not None:
            lane.before = None
            self.relink()

    # -- off the loop

    async def offload(self, fn: Callable[..., T], args: tuple[Any, ...], virtual_ms: int) -> T:
        if not is_virtual(self.loop):
            _ready_for_threads()
            return await self.loop.run_in_executor(None, contextvars.copy_context().run, fn, *args)
        result = await self.loop.run_in_executor(None, fn, *args)
        if virtual_ms:
            await asyncio.sleep(virtual_ms / 1000)
        return result
