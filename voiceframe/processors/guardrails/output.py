"""The guardrail behind the agent: what the bot is about to say, sentence by sentence."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...errors import GuardrailError
from ...frames import (
    ClipFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    ToolCallFrame,
)
from ...guardrails.decisions import Decision
from ...guardrails.policy import Policy
from ...processor import Processor, handles
from .held import Held, Portion
from .record import put_through, record

if TYPE_CHECKING:
    from ...pipeline import Pipeline

__all__ = ["OutputGuard", "SlowOutputGuard", "output_guard"]


class OutputGuard(Processor):
    """Judges what the bot says before it is spoken. Made by `Guardrail.output()`; it stands behind the agent.

    A sentence of a reply is held until its end is certain and no rule looks for something that may go on behind it.
    What is redacted or replaced goes on changed. A sentence that is blocked is left out, the rule's own is said
    instead, and nothing more of that reply is: what a model says behind a sentence that it may not say is of no use
    without it.
    """

    def __init__(self, policy: Policy, *, excerpts: bool = False) -> None:
        self._policy = policy
        self._excerpts = excerpts
        self._held: dict[int, Held] = {}
        self._turns: dict[int, int | None] = {}

    def check_pipeline(self, pipeline: Pipeline) -> None:
        check_place(self, list(pipeline.processors()))

    @handles(ReplyStartedFrame)
    def on_started(self, frame: ReplyStartedFrame) -> Frame:
        self._turns[frame.reply] = frame.turn
        return frame

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> Iterable[Frame]:
        held = self._find(frame.reply)
        return self._judged(frame, held, held.feed(frame.text))

    @handles(ClipFrame)
    def on_clip(self, frame: ClipFrame) -> Iterable[Frame]:
        """A recording is the application's own; what was said before it goes before it."""
        held = self._find(frame.reply)
        frames: list[Frame] = [*self._judged(frame, held, held.finish())]
        return frames if held.blocked else [*frames, frame]

    @handles(ReplyEndedFrame)
    def on_ended(self, frame: ReplyEndedFrame) -> Iterable[Frame]:
        held = self._find(frame.reply)
        frames = [*self._judged(frame, held, held.finish()), frame]
        self._forget(frame.reply)
        return frames

    @handles(ToolCallFrame)
    def on_tool_call(self, frame: ToolCallFrame) -> Iterable[Frame]:
        """The model waits for a tool: the caller hears now what it has said, and not behind the tool."""
        frames: list[Frame] = []
        for reply, held in list(self._held.items()):
            frames += self._judged(TextFrame("", reply, at_ms=frame.at_ms), held, held.pause())
        return [*frames, frame]

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        for reply in [reply for reply in {*self._held, *self._turns} if not self.alive(reply)]:
            self._forget(reply)

    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> Iterable[Frame]:
        """Whoever began a reply that has not ended is through by now."""
        frames: list[Frame] = []
        for reply, held in list(self._held.items()):
            frames += self._judged(TextFrame("", reply, at_ms=frame.at_ms), held, held.finish())
        return frames

    def _find(self, reply: int) -> Held:
        held = self._held.get(reply)
        if held is None:
            held = self._held[reply] = Held(self._policy)
        return held

    def _forget(self, reply: int) -> None:
        self._held.pop(reply, None)
        self._turns.pop(reply, None)

    def _judged(self, cause: TextFrame | ClipFrame | ReplyEndedFrame, held: Held, found: list[Portion]) -> list[Frame]:
        frames: list[Frame] = []
        for portion in found:
            if held.blocked:
                break
            frames += self._decided(cause, held, portion, self._decide(portion))
        return frames

    def _decide(self, portion: Portion) -> Decision:
        if self._is_own(portion.text):
            return Decision("output", "allow", portion.text)
        began = time.perf_counter_ns()
        hits = [*portion.hits, *self._policy.by_sentence("output", portion.text)]
        decision = self._policy.decide("output", portion.text, hits, began)
        if self.call.log.private and not decision.blocked:  # a number that was asked for in private is read back
            return Decision("output", "allow", portion.text)
        return decision

    def _is_own(self, text: str) -> bool:
        """Whether it is a sentence that a guardrail says: it was written by whoever has written the rules."""
        return text.strip() in self._policy.sentences

    def _decided(
        self, cause: TextFrame | ClipFrame | ReplyEndedFrame, held: Held, portion: Portion, decision: Decision
    ) -> Iterator[Frame]:
        reply = cause.reply
        if decision.hits:
            record(self, decision, turn=self._turns.get(reply), reply=reply, excerpts=self._excerpts)
        text = decision.text
        if decision.blocked:
            held.blocked = True
            text = decision.say
            if decision.action == "escalate":
                self.call.replies.protect(reply)
                put_through(self, decision, self._policy)
        elif decision.action == "replace":
            text = _spaced(portion.text, text)
        if text:
            yield TextFrame(text, reply, at_ms=cause.at_ms)


class SlowOutputGuard(OutputGuard):
    """The same with rules that have to wait: one sentence after the other, in its own line."""

    @handles(TextFrame)
    async def on_text(self, frame: TextFrame) -> None:  # type: ignore[override]
        held = self._find(frame.reply)
        await self._wait(frame, held, held.feed(frame.text))

    @handles(ClipFrame)
    async def on_clip(self, frame: ClipFrame) -> Frame | None:  # type: ignore[override]
        held = self._find(frame.reply)
        await self._wait(frame, held, held.finish())
        return None if held.blocked else frame

    @handles(ReplyEndedFrame)
    async def on_ended(self, frame: ReplyEndedFrame) -> Frame:  # type: ignore[override]
        held = self._find(frame.reply)
        await self._wait(frame, held, held.finish())
        self._forget(frame.reply)
        return frame

    @handles(ToolCallFrame)
    async def on_tool_call(self, frame: ToolCallFrame) -> Frame:  # type: ignore[override]
        for reply, held in list(self._held.items()):
            await self._wait(TextFrame("", reply, at_ms=frame.at_ms), held, held.pause())
        return frame

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:  # type: ignore[override]
        for reply, held in list(self._held.items()):
            await self._wait(TextFrame("", reply, at_ms=frame.at_ms), held, held.finish())

    async def _wait(self, cause: TextFrame | ClipFrame | ReplyEndedFrame, held: Held, found: list[Portion]) -> None:
        for portion in found:
            if held.blocked:
                return
            if not self._is_own(portion.text):
                portion.hits += await self._policy.wait("output", portion.text, self)
            for frame in self._decided(cause, held, portion, self._decide(portion)):
                self.push(frame)


def output_guard(policy: Policy, *, excerpts: bool = False) -> OutputGuard:
    """The processor for these rules: one with a line of its own only where a rule has to wait."""
    cls = SlowOutputGuard if policy.waits("output") else OutputGuard
    return cls(policy, excerpts=excerpts)


def check_place(guard: OutputGuard, procs: Sequence[Processor]) -> None:
    """Raise `GuardrailError` (`guard.order`) if a voice stands before it, or the agent behind it."""
    from ..agents import Agent
    from ..tts import TTS

    at = procs.index(guard)
    if any(isinstance(proc, TTS) for proc in procs[:at]):
        raise GuardrailError.of("guard.order", name=guard.name, where="behind the voice")
    if any(isinstance(proc, Agent) for proc in procs[at:]):
        raise GuardrailError.of("guard.order", name=guard.name, where="before the agent")


def _spaced(original: str, text: str) -> str:
    """A text in place of another, with the white space around it."""
    inner = original.strip()
    start = original.index(inner) if inner else 0
    return original[:start] + text + original[start + len(inner) :] if inner else text
