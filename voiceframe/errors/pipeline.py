"""Errors of pipelines and their processors: how they are linked, declared, and how they behave."""

from __future__ import annotations

from .base import Explanation, VoiceframeError

__all__ = ["HandlerError", "LinkError", "ProcessorError"]


class LinkError(VoiceframeError):
    """A pipeline that cannot work is refused when it is linked, before the call is answered."""

    codes = {
        "link.empty": Explanation(
            "The pipeline has no processors.",
            "Give it at least a source and a sink: `Pipeline([call.transport.input(), ..., call.transport.output()])`.",
        ),
        "link.no-source": Explanation(
            "{first} stands first in the pipeline, but it is not a source, so no frame would ever enter.",
            'Put `call.transport.input()` (or a processor with `role = "source"`) first.',
        ),
        "link.source-inside": Explanation(
            "{processor} is a source, but it stands behind {before}.",
            "Move {processor} to the front; a `Pipeline([...])` has exactly one source.",
        ),
        "link.no-sink": Explanation(
            "{last} stands last in the pipeline, but it is not a sink, so nothing that the bot says would be heard.",
            'Put `call.transport.output()` (or a processor with `role = "sink"`) last.',
        ),
        "link.sink-inside": Explanation(
            "{processor} is a sink, but {behind} stands behind it and would never see what the bot says.",
            "Move {processor} to the end; a `Pipeline([...])` has exactly one sink.",
        ),
        "link.used-twice": Explanation(
            "The same instance of {processor} stands in the pipeline twice.",
            "Create one for each place: `{processor}()`.",
        ),
        "link.shared": Explanation(
            "{processor} already belongs to call {call}; calls share nothing.",
            "Create its processors inside `def bot(call)`, not outside of it.",
        ),
        "link.not-a-processor": Explanation(
            "{what} stands in the pipeline, but it is not a processor.",
            "Pass an instance of a `Processor` subclass (did you forget the parentheses of `{name}()`?).",
        ),
        "link.async-urgent": Explanation(
            "{processor}.{handler} is an `async def` handler of {frame}, which must run before anything else may.",
            "Make it `def {handler}(self, frame)`; start slow work from it with `self.spawn(...)`.",
        ),
        "link.observer-handles": Explanation(
            "{processor} is an observer, but {handler} is declared with @handles.",
            "Declare it with `@observes(...)`, or derive {processor} from `Processor`.",
        ),
        "link.not-an-observer": Explanation(
            "{processor} is in observers=[...], but it is not an observer.",
            "Derive it from `Observer`, or put it in the list of processors of `Pipeline([...])`.",
        ),
        "link.format": Explanation(
            "{producer} produces {produces}, {consumer} accepts only {accepts}, and nothing here converts it.",
            "Choose another format (`{consumer}.accepts`), or put a processor between them that converts.",
        ),
        "link.two-deciders": Explanation(
            "{first} and {second} both decide about interruptions; the second would kill the reply to the first.",
            "Keep one processor with `decides_interruptions = True`; the other pushes `InterruptionRequestFrame(...)`.",
        ),
        "link.empty-branch": Explanation(
            "Branch {number} of a Parallel has no processors.",
            "Remove it, or put a processor into it: `Parallel([A()], [B()])`.",
        ),
        "link.unknown": Explanation(
            "{processor} is not in the pipeline of call {call}.",
            "Pass the instance that you gave to `Pipeline([...])` as `old` in `call.replace(old, new)`.",
        ),
        "link.replaces-itself": Explanation(
            "{processor} is to be replaced by work of its own, for whose end the replacement would wait.",
            "Call `call.replace({processor}, ...)` from another processor, or from outside of the pipeline.",
        ),
        "link.not-a-pipeline": Explanation(
            "The bot returned {what} for call {call}.",
            "Return a `Pipeline([...])` from `def bot(call)`.",
        ),
    }


class HandlerError(VoiceframeError):
    """A handler is declared in a way that cannot work; raised where its class is defined."""

    codes = {
        "handler.no-types": Explanation(
            "{handler} is declared for no frame type.",
            "Name the types that it takes: `@handles(TranscriptionFrame)`.",
        ),
        "handler.not-a-frame": Explanation(
            "{handler} is declared for {what}, which is not a frame type.",
            "Pass subclasses of `Frame`: `@handles(TranscriptionFrame)`.",
        ),
        "handler.generator": Explanation(
            "{handler} is a generator that the engine cannot drive.",
            "Make it an `async def` that calls `self.push(...)` for each frame, or a `def` that returns a list.",
        ),
        "handler.async-observer": Explanation(
            "{handler} is declared with @observes, but it is an `async def`; an observer must not make the call wait.",
            "Make it a `def`; hand slow work to `self.spawn(...)`.",
        ),
        "handler.twice": Explanation(
            "{processor}.{first} and {processor}.{second} both take {frame} in the same direction.",
            "Keep one of them, or let one handler call the other: `@handles({frame})` may stand once per direction.",
        ),
        "handler.concurrent-async": Explanation(
            "{handler} is declared concurrent=True, but it is an `async def`, which always runs in the mailbox.",
            "Make it a `def`, or drop `concurrent=True`.",
        ),
        "handler.interrupt-mode": Explanation(
            "{handler} says on_interrupt={mode!r}.",
            'Use `on_interrupt="cancel"` or `on_interrupt="finish"`.',
        ),
    }


class ProcessorError(VoiceframeError):
    """A processor misbehaved in a running call, or was used in a way that it cannot be used."""

    codes = {
        "processor.unlinked": Explanation(
            "{processor}.{method}() was called before the processor was part of a running call.",
            "Put it into a `Pipeline([...])` first; in tests use `await run({processor}(), frames=[...])`.",
        ),
        "processor.overflow": Explanation(
            "{processor} holds {count} frames, as many as its bound allows, and none of them may be dropped.",
            "Let the producer wait with `await self.drain()`, or raise `mailbox_frames` in `EngineSettings`.",
        ),
        "processor.not-a-frame": Explanation(
            "{processor}.{handler} returned {what}.",
            "Return a `Frame`, a list of frames, or None.",
        ),
        "processor.push-urgent": Explanation(
            "{processor} pushed {frame}, which only the engine makes.",
            "Call `self.interrupt(reason)` from turn taking, push `InterruptionRequestFrame(reason)` from elsewhere, "
            "and end a call with `await self.call.end()`.",
        ),
        "processor.replaced": Explanation(
            "{processor} has been replaced in call {call}, so {what} is not possible.",
            "Stop in its `cleanup()` whatever still calls it.",
        ),
        "processor.endless": Explanation(
            "{processor} keeps one cascade running for {count} frames without an end: frames go round in a circle.",
            "Make one of its handlers return None, or push from `self.spawn(...)`.",
        ),
        "processor.setup-timeout": Explanation(
            "{processor}.setup() did not finish within {timeout_ms} ms.",
            "Check what it waits for, or raise `setup_timeout_ms` in `EngineSettings`.",
        ),
        "processor.setup-failed": Explanation(
            "{processor}.setup() failed: {error}.",
            "Fix the cause, or give the call another processor with `call.replace(old, new)`.",
        ),
        "processor.drain-sync": Explanation(
            "{processor} awaited drain() from inside a cascade of `def` handlers.",
            "Call `await self.drain()` only in an `async def` handler or a task started with `self.spawn(...)`.",
        ),
        "processor.failed": Explanation(
            "{processor}.{handler} raised {error}.",
            "See the traceback in the log; a handler that expects failures catches them and pushes `ErrorFrame(...)`.",
        ),
        "processor.blocked": Explanation(
            "{processor}.{handler} has blocked the event loop for {ms} ms: every call of this process waits.",
            "Move the work off the loop with `await self.offload(fn, ...)` in an `async def` handler.",
        ),
        "processor.swallows": Explanation(
            "{processor} took {count} {frame} and has let nothing through.",
            "Return the frame from `{handler}`, or declare it with `@observes(...)` if it should only look.",
        ),
        "processor.abandoned": Explanation(
            "{processor}.{handler} did not stop within {ms} ms of being cancelled and was left behind.",
            'Let `asyncio.CancelledError` pass in it; use `on_interrupt="finish"` for work that must end by itself.',
        ),
    }
