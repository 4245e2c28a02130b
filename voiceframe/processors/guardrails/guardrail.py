"""The guardrail before the agent: the caller's turns, the clocks, and the way to its other parts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...errors import GuardrailError
from ...events import ComplianceOptedOut
from ...frames import (
    EagerTurnFrame,
    EndFrame,
    Frame,
    HeardFrame,
    InterimTranscriptionFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
    UserTurnFrame,
)
from ...guardrails.compliance import Notice, OptOut
from ...guardrails.decisions import Decision, Hit
from ...guardrails.policy import SAY, OnTimeout, Policy, Transfer
from ...guardrails.rules import Rule
from ...processor import Processor, handles, observes
from .agents import AgentGuard
from .clocks import Clocks
from .output import OutputGuard, output_guard
from .record import put_through, record
from .transcripts import TranscriptGuard, redacted_turn

if TYPE_CHECKING:
    from ...pipeline import Pipeline

__all__ = ["Guardrail"]


class Guardrail(Processor):
    """Rules for a call. It stands behind turn taking and before the agent; `output()` stands behind the agent, and
    `transcripts()` before turn taking. `Agent(guardrail=guard)` has it judge what a model is asked, what tools get and
    return, and what is handed over.

        guard = Guardrail(*SUPPORT_SAFE, Words("lawsuit", stages=("transcript",), action="escalate", reason="a threat"))
        Pipeline([..., guard.transcripts(), Turns(), guard, Agent(..., guardrail=guard), guard.output(), voice, ...])

    rules: see `voiceframe.guardrails`; presets with a star. Rules may be used in many guardrails.
    budget_ms: for the rules of one text that have to wait (classifiers, models), all of which run at once.
    on_timeout: what is done when one is late, or fails: `"allow"` or `"block"`, for all stages or by stage. By default
        what goes out (output, tool input, handoff) is blocked, and what comes in is let through.
    say: the sentence for what is blocked by a rule that has none.
    transfer: puts the caller through when a rule escalates: called with the call and the request while the rule's
        sentence is being said. Without it the call ends behind that sentence with the reason `handed-over`.
    excerpts: keep the texts in the events, without what was found in them, as personal fields.

    A turn that is blocked gets the rule's sentence as its answer, and the agent nothing of it. Like any processor it
    belongs to one call; its rules do not. Of a guardrail that is made once for all calls, `guard.input()` stands in
    each pipeline, a new one each time.

    Raises `GuardrailError`.
    """

    def __init__(
        self,
        *rules: Rule | Notice,
        budget_ms: int = 50,
        on_timeout: OnTimeout | None = None,
        say: str = SAY,
        transfer: Transfer | None = None,
        excerpts: bool = False,
    ) -> None:
        self.policy = Policy(rules, budget_ms=budget_ms, on_timeout=on_timeout, say=say, transfer=transfer)
        self._excerpts = excerpts
        self._clocks = Clocks(self, self.policy.notices)
        self._eager: tuple[str, Decision] | None = None

    # -- its other parts

    def input(self) -> Guardrail:
        """Another guardrail of the same rules, to stand in another pipeline."""
        other = type(self).__new__(type(self))
        other.policy = self.policy
        other._excerpts = self._excerpts
        other._clocks = Clocks(other, self.policy.notices)
        other._eager = None
        return other

    def output(self) -> OutputGuard:
        """What stands behind the agent."""
        return output_guard(self.policy, excerpts=self._excerpts)

    def transcripts(self) -> TranscriptGuard:
        """What stands before turn taking."""
        return TranscriptGuard(self.policy, excerpts=self._excerpts)

    def beside(self, agent: Processor) -> AgentGuard:
        """What judges for an agent in its call."""
        return AgentGuard(self.policy, agent, excerpts=self._excerpts)

    # -- the life of the call

    def check_pipeline(self, pipeline: Pipeline) -> None:
        processors = list(pipeline.processors())
        if any(processor.decides_interruptions for processor in processors[processors.index(self) :]):
            raise GuardrailError.of("guard.place", name=self.name)

    async def setup(self) -> None:
        self._clocks.watch()

    async def cleanup(self) -> None:
        self._clocks.close()

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._clocks.start()

    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        self._clocks.end()

    @observes(HeardFrame, upstream=True)
    def on_heard(self, frame: HeardFrame) -> None:
        self._clocks.heard(frame)

    # -- the caller's words

    @handles(InterimTranscriptionFrame, TranscriptionFrame)
    def on_words(self, frame: InterimTranscriptionFrame | TranscriptionFrame) -> Frame:
        """Whoever is behind (a transcript on a page) sees no more than the agent. The log has it of the turn."""
        decision = self._open(self.policy.quick("transcript", frame.text), frame.text)
        if decision.text == frame.text:
            return frame
        if isinstance(frame, TranscriptionFrame):
            return frame.replace(text=decision.text, words=(), alternatives=(), heard="")
        return frame.replace(text=decision.text)

    @handles(EagerTurnFrame)
    async def on_eager(self, frame: EagerTurnFrame) -> Frame | None:
        """Judged already, so that the turn need not wait for it. Nobody begins to answer what is blocked."""
        decision = self._open(await self.policy.judge("transcript", frame.text, self), frame.text)
        self._eager = (frame.text, decision)
        if decision.blocked:
            return None
        return frame if decision.text == frame.text else frame.replace(text=decision.text)

    @handles(UserTurnFrame, on_interrupt="finish")
    async def on_turn(self, frame: UserTurnFrame) -> Iterable[Frame] | Frame:
        eager, self._eager = self._eager, None
        if eager is not None and eager[0] == frame.text:
            decision = eager[1]
        else:
            decision = self._open(await self.policy.judge("transcript", frame.text, self), frame.text)
        if frame.source == "dtmf":
            decision = self._with_keys(frame, decision)
        record(self, decision, turn=frame.turn, excerpts=self._excerpts)
        if not decision.blocked:
            return frame if self.call.log.private else redacted_turn(frame, decision, self.policy)
        return self._answered(frame, decision)

    def _open(self, decision: Decision, text: str) -> Decision:
        """While the call is private somebody asks for the very thing that a rule takes out, a card number say. What is
        said then goes to whoever asks, and is kept nowhere; what blocks blocks all the same."""
        if decision.blocked or not self.call.log.private:
            return decision
        return Decision("transcript", "allow", text)

    def _with_keys(self, frame: UserTurnFrame, decision: Decision) -> Decision:
        hits = [
            Hit(rule, rule.action, tuple(found))
            for rule in self.policy.rules
            if isinstance(rule, OptOut) and (found := rule.pressed(frame.text))
        ]
        if not hits:
            return decision
        return self.policy.decide("transcript", frame.text, [*decision.hits, *hits], time.perf_counter_ns())

    def _answered(self, frame: UserTurnFrame, decision: Decision) -> list[Frame]:
        """The rule's sentence as the answer to a turn, of which the agent gets nothing."""
        opted_out = any(isinstance(hit.rule, OptOut) for hit in decision.hits)
        if opted_out:
            self.emit(ComplianceOptedOut(turn=frame.turn, source=frame.source))
            sentence = next(hit.rule.say for hit in decision.hits if isinstance(hit.rule, OptOut))
        else:
            sentence = decision.say
        leaves = opted_out or decision.action == "escalate"
        number = self.begin_reply(frame.turn, interruptible=not leaves)
        if leaves and not number:
            number = self.begin_reply(None, interruptible=False)
        # Behind the sentence, which nothing can interrupt, so the wish to end cannot lapse.
        if opted_out:
            self.call.end("opted-out", after="heard")
        else:
            put_through(self, decision, self.policy)
        if not number:
            return []  # the caller speaks again already
        return [
            ReplyStartedFrame(number, frame.turn, not leaves, at_ms=frame.at_ms),
            TextFrame(sentence or self.policy.say, number, at_ms=frame.at_ms),
            ReplyEndedFrame(number, at_ms=frame.at_ms),
        ]
