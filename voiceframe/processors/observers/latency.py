"""Where the time between the caller's last sound and the bot's first went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...events import LoggedEvent, TurnLatency
from ...frames import (
    BotStartedSpeakingFrame,
    ReplyStartedFrame,
    TextFrame,
    TranscriptionFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...logs import log_turn
from ...processor import Observer, observes

__all__ = ["LatencyObserver"]

#: The parts in order, each named for what ends it: the VAD says "stopped", the words are final, the turn is committed,
#: the agent begins a reply, the model's first words are there, the first sound is played.
PARTS: Final = ("vad", "stt", "turn", "agent", "llm", "tts")

_KEPT: Final = 8  # turns that may still be answered


class LatencyObserver(Observer):
    """Writes `turn.latency` when the first sound of an answer is played, and one line per turn to the log.

    The parts sum to the whole, exactly: a stage that is missing is part of the next one, and one that was over before
    its turn came counts 0. Time runs from the end of the caller's speech as the VAD has it (`ended_ms`), else from the
    moment at which it said "stopped". A turn without speech (keys, text) runs from its commit.
    """

    def __init__(self) -> None:
        self._heard: dict[str, int] = {}  # of the turn that the caller is about to finish
        self._turns: dict[int, dict[str, int]] = {}
        self._replies: dict[int, int] = {}
        self._said = 0  # the last turn that has its line
        self._unsubscribe: Callable[[], None] | None = None

    async def setup(self) -> None:
        self._unsubscribe = self.call.log.subscribe(self._on_event)

    @observes(VADUserStartedSpeakingFrame)
    def on_speech(self, frame: VADUserStartedSpeakingFrame) -> None:
        self._heard.clear()

    @observes(VADUserStoppedSpeakingFrame)
    def on_silence(self, frame: VADUserStoppedSpeakingFrame) -> None:
        now = self.call.clock.at_ms()
        self._heard["speech"] = frame.ended_ms if frame.ended_ms >= 0 else now
        self._heard["vad"] = now

    @observes(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> None:
        self._heard["stt"] = self.call.clock.at_ms()

    @observes(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        marks = self._heard if frame.source == "speech" and "speech" in self._heard else {}
        self._heard = {}
        if frame.turn not in self._turns:
            self._turns[frame.turn] = {**marks, "turn": self.call.clock.at_ms()}
            if len(self._turns) > _KEPT:
                del self._turns[next(iter(self._turns))]

    @observes(ReplyStartedFrame)
    def on_reply(self, frame: ReplyStartedFrame) -> None:
        if frame.turn in self._turns:
            self._replies[frame.reply] = frame.turn
            self._turns[frame.turn].setdefault("agent", self.call.clock.at_ms())

    @observes(TextFrame)
    def on_text(self, frame: TextFrame) -> None:
        marks = self._turns.get(self._replies.get(frame.reply, 0))
        if marks is not None:
            marks.setdefault("llm", self.call.clock.at_ms())

    @observes(BotStartedSpeakingFrame, upstream=True)
    def on_sound(self, frame: BotStartedSpeakingFrame) -> None:
        turn = self._replies.get(frame.reply, 0)
        marks = self._turns.pop(turn, None)
        self._replies = {reply: of for reply, of in self._replies.items() if of in self._turns}
        if marks is None:
            return
        marks["tts"] = self.call.clock.at_ms()
        parts = split(marks)
        total_ms = sum(parts.values())
        self.emit(TurnLatency(turn=turn, parts=parts, total_ms=total_ms))
        if turn > self._said:
            self._said = turn
            log_turn(self.call.id, turn, "answered", latency_ms=total_ms, parts=parts)

    def _on_event(self, event: LoggedEvent) -> None:
        # Until the very end, which comes after `cleanup()`: the last turn has its outcome only then.
        if event.kind == "call.ended" and self._unsubscribe is not None:
            self._unsubscribe()
        why = {"turn.unanswered": "reason", "turn.skipped": "why"}.get(event.kind)
        if why is not None and event.turn is not None and event.turn > self._said:
            self._said = event.turn
            log_turn(event.call, event.turn, f"{event.kind.removeprefix('turn.')}: {event.data[why]}")


def split(marks: dict[str, int]) -> dict[str, int]:
    """The parts between these marks, which are times in ms by the name of the part that each ends.

    They run from `speech`, the end of the caller's speech, or else from the first mark that there is.
    """
    present = [(name, marks[name]) for name in ("speech", *PARTS) if name in marks]
    parts: dict[str, int] = {}
    last = present[0][1]
    for name, at_ms in present[1:]:
        parts[name] = max(0, at_ms - last)
        last = max(last, at_ms)
    return parts
