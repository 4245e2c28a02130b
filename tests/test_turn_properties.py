"""Turn taking under any order of speech, words, keys, replies and times: what must hold whatever happens."""

from __future__ import annotations

import asyncio
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.clock import run_virtual
from voiceframe.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    HeardFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    PauseFrame,
    ResumeFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from voiceframe.processor import Processor, handles, observes
from voiceframe.processors.turn import Turns, TurnSettings
from voiceframe.testing.run import Rig, rig

DEPTH = int(os.environ.get("VOICEFRAME_TEST_DEPTH", "1"))


class Notes(Processor):
    """What turn taking has decided, in order."""

    def __init__(self) -> None:
        self.seen: list[Frame] = []

    @observes(UserTurnFrame, UserStartedSpeakingFrame, UserStoppedSpeakingFrame)
    def on_turn(self, frame: Frame) -> None:
        self.seen.append(frame)

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self.seen.append(frame)
        # As an output does: what was cut is over.
        for number, reply in self.call.replies.open.items():
            if reply.swept and reply.speaking:
                self.push(BotStoppedSpeakingFrame(number, cut=True), upstream=True)
                self.push(HeardFrame(number, "cut", final=True), upstream=True)

    @handles(PauseFrame)
    def on_pause(self, frame: PauseFrame) -> None:
        self.seen.append(frame)

    @handles(ResumeFrame)
    def on_resume(self, frame: ResumeFrame) -> None:
        self.seen.append(frame)


step = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 1_500)),
    st.tuples(
        st.sampled_from(["start", "stop", "interim", "final", "empty", "key", "hash", "bot", "heard"]), st.just(0)
    ),
)


async def play(script: list[tuple[str, int]], turn_settings: TurnSettings) -> tuple[Notes, list[str], list[str]]:
    """Run the script. Returns what was seen, the words that were final, and the keys."""
    notes = Notes()
    words: list[str] = []
    keys: list[str] = []
    async with rig(Turns(turn_settings), notes) as call:
        speaking = False
        for kind, value in script:
            if kind == "wait":
                await asyncio.sleep(value / 1000)
            elif kind == "start" and not speaking:
                speaking = True
                call.push(VADUserStartedSpeakingFrame(0.9, began_ms=max(0, call.call.clock.at_ms() - 100)))
            elif kind == "stop" and speaking:
                speaking = False
                call.push(VADUserStoppedSpeakingFrame(ended_ms=max(0, call.call.clock.at_ms() - 200)))
            elif kind == "interim":
                call.push(InterimTranscriptionFrame(f"word{len(words)}"))
            elif kind == "final":
                words.append(f"word{len(words)}")
                call.push(TranscriptionFrame(words[-1]))
            elif kind == "empty":
                call.push(TranscriptionFrame(""))
            elif kind in ("key", "hash"):
                keys.append("#" if kind == "hash" else str(len(keys) % 10))
                call.push(InputDTMFFrame(keys[-1]))
            elif kind == "bot":
                speak(call)
            elif kind == "heard":
                hear(call)
        if speaking:
            call.push(VADUserStoppedSpeakingFrame(ended_ms=call.call.clock.at_ms()))
        await asyncio.sleep(10)
        hear(call)
        await asyncio.sleep(10)
    return notes, words, keys


def speak(call: Rig) -> None:
    reply = call.call.say("something to say")
    call.up(BotStartedSpeakingFrame(reply.number))


def hear(call: Rig) -> None:
    for number, reply in list(call.call.replies.open.items()):
        if reply.speaking and not reply.swept:
            call.up(BotStoppedSpeakingFrame(number), HeardFrame(number, "heard", complete=True, final=True))


@settings(max_examples=150 * DEPTH)
@given(st.lists(step, max_size=40), st.sampled_from(["fixed", "adaptive"]))
def test_words_and_keys_are_in_exactly_one_turn_and_no_pause_is_left(
    script: list[tuple[str, int]], endpointing: str
) -> None:
    turn_settings = TurnSettings(endpointing=endpointing, idle_ms=0, backchannels=(), echo_ms=0)  # type: ignore[arg-type]
    notes, words, keys = run_virtual(play(script, turn_settings))
    turns = [frame for frame in notes.seen if isinstance(frame, UserTurnFrame)]
    said = " ".join(turn.text for turn in turns if turn.source == "speech").split()
    # In order, and none is missing. (An interim word may have ended a turn before its final came.)
    finals = iter(said)
    assert all(word in finals for word in words), (words, said)
    pressed = "".join(turn.text for turn in turns if turn.source == "dtmf").replace("#", "")
    assert pressed == "".join(keys).replace("#", "")
    assert [turn.turn for turn in turns] == list(range(1, len(turns) + 1))
    check_order(notes)


def check_order(notes: Notes) -> None:
    """A pause is followed by a resume or an interruption; speaking is started and stopped by turns."""
    paused = speaking = False
    for frame in notes.seen:
        if isinstance(frame, PauseFrame):
            assert not paused
            paused = True
        elif isinstance(frame, ResumeFrame):
            assert paused
            paused = False
        elif isinstance(frame, InterruptionFrame):
            paused = False
        elif isinstance(frame, UserStartedSpeakingFrame):
            assert not speaking
            speaking = True
        elif isinstance(frame, UserStoppedSpeakingFrame):
            assert speaking
            speaking = False
        elif isinstance(frame, UserTurnFrame):
            assert not speaking
    assert not paused
    assert not speaking
