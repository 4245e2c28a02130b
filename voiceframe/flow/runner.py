"""What a flow does in a call: takes turns, keys and silence, and says, writes and expects what its dialog comes to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..frames import (
    ClipFrame,
    EagerTurnFrame,
    ExpectFrame,
    Frame,
    HeardFrame,
    InputAudioFrame,
    InputDTMFFrame,
    InterruptionFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
    TurnResumedFrame,
    UserIdleFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ..processor import Processor, handles, observes
from ..processors.turn.timer import Timer
from .dialog import Dialog
from .host import Host
from .keying import Keying
from .node import Asking
from .settings import FlowSettings
from .states import AnyState, Voicemail
from .tape import Tape
from .voices import Voices

__all__ = ["Runner"]

#: A tone of 440 Hz, 400 ms long, at -12 dBFS.
_BEEP: Final = str(Path(__file__).with_name("beep.wav"))


class Runner(Processor):
    """The side of a flow that is turned to the pipeline."""

    settings: FlowSettings
    _host: Host
    _person: str | None

    def __init__(self) -> None:
        self._expected: ExpectFrame | None = None
        self._keying = Keying(self, self._keys_over)
        self._voices = Voices(self)
        self._silence = Timer(self)
        self._limit = Timer(self)
        self._stay = 0  # the stay in a state for which the limit is set
        self._takes_keys = False
        self._tape: Tape | None = None
        self._last_reply = 0
        self._turn: UserTurnFrame | None = None  # the last one

    @property
    @abstractmethod
    def dialog(self) -> Dialog:
        """The dialog of the call."""

    @abstractmethod
    def _do(self, effect: AnyState, turn: int | None, *, said: bool) -> None:
        """Do what a state is about. turn: the one that waits for an answer; said: whether it was given words."""

    @abstractmethod
    def _left(self) -> None:
        """The dialog has left a state: nobody waits for what was done in it."""

    # -- what comes

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        # Turn taking makes turns of keys; where there is none (a call of text) they are collected here.
        self._takes_keys = not any(node.proc.decides_interruptions for node in self.call.engine.nodes)
        self.dialog.begin()
        self._act(None)

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> None:
        self._keying.drop()
        self._silence.stop()
        self._take(frame)

    def _take(self, frame: UserTurnFrame) -> None:
        self._turn = frame
        others = [(other.text, other.confidence) for other in frame.alternatives]
        texts = [(frame.text, frame.confidence), *others]
        focus = self.dialog.focus
        if focus == "record" and self._tape is not None:
            if frame.source == "dtmf":
                self._keys_on_tape(frame.text, frame.turn)
            elif self.dialog.wants_person(texts):
                self._tape.begin()
                self._heard(texts, frame.turn)
            else:
                self._tape.begin()  # the caller does not wait for the beep
                self._tape.turn(frame.text)
            return
        if focus == "agent" and self._host.node is not None:
            by_key = frame.source == "dtmf" and frame.text == "0" and self._person is not None
            if not by_key and not self.dialog.wants_person(texts):
                self._host.turn(frame)
                return
        if frame.source == "dtmf":
            self.dialog.keys(frame.text)
            self._act(frame.turn)
        else:
            self._heard(texts, frame.turn)

    def _heard(self, texts: list[tuple[str, float]], turn: int) -> None:
        self.dialog.hear(texts)
        self._act(turn)

    def _keys_on_tape(self, keys: str, turn: int) -> None:
        tape = self._tape
        assert tape is not None
        if keys.startswith("0") and self._person is not None:
            self.dialog.keys("0")
            self._act(turn)
        elif tape.recording:
            tape.turn_at_end = turn
            tape.finish("key")
        else:
            tape.begin()  # a key skips the prompt, and does not end what has not begun

    @handles(UserIdleFrame)
    def on_idle(self, frame: UserIdleFrame) -> Frame:
        if self.dialog.focus == "agent":
            self._host.idle(frame)
        else:
            self._is_silent()
        return frame

    def _is_silent(self) -> None:
        if self.dialog.focus not in ("busy", "record", "over"):
            self.dialog.silence()
            self._act(None)

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> InputDTMFFrame:
        self._silence.stop()
        if self._takes_keys:
            if not self._keying.waiting and any(not reply.swept for reply in self.call.replies.open.values()):
                self.interrupt("caller")
            state = self.dialog.state
            asking = state if isinstance(state, Asking) else None
            self._keying.press(
                frame.digit,
                expected=self._expected.digits if self._expected is not None else 0,
                end=asking.key_end if asking is not None else "#",
                pause_ms=(asking and asking.key_pause_ms) or self.settings.key_pause_ms,
            )
        return frame

    def _keys_over(self, keys: str) -> None:
        if not self.call.engine.ending:
            frame = UserTurnFrame(self.call.turns.new(), keys, "dtmf")
            self.push(frame)
            self._take(frame)

    # -- silence, and how long a state lasts

    @observes(HeardFrame, upstream=True)
    def on_heard(self, frame: HeardFrame) -> None:
        self._host.heard(frame)
        if frame.final:
            if self._tape is not None and frame.reply >= self._last_reply:
                self._tape.begin()
            self._listen(frame.reply)

    @observes(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self._host.interrupted()
        if self._tape is not None and frame.reply >= self._last_reply:
            self._tape.begin()

    @observes(UserStartedSpeakingFrame, VADUserStartedSpeakingFrame)
    def on_user_started(self, frame: Frame) -> None:
        self._silence.stop()
        if self._tape is not None:
            self._tape.speaking()

    @observes(UserStoppedSpeakingFrame, VADUserStoppedSpeakingFrame)
    def on_user_stopped(self, frame: Frame) -> None:
        if self._tape is not None:
            self._tape.silent()
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self._host.fell_silent(frame)
            self._listen()

    @observes(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> None:
        if self._tape is not None:
            self._tape.heard(frame.text)

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        if self._tape is not None:
            self._tape.audio(frame)

    @handles(EagerTurnFrame)
    def on_eager(self, frame: EagerTurnFrame) -> Frame:
        self._host.eager(frame)
        return frame

    @handles(TurnResumedFrame)
    def on_resumed(self, frame: TurnResumedFrame) -> Frame:
        self._host.resumed(frame)
        return frame

    @observes(ReplyStartedFrame)
    def on_other_reply(self, frame: ReplyStartedFrame) -> None:
        self._host.started(frame)

    def _listen(self, heard: int = 0) -> None:
        """The caller may speak: count the silence, if the state wants that. heard: the reply that is just over."""
        state = self.dialog.state
        if not isinstance(state, Asking) or state.silence_ms is None or self._tape is not None:
            return
        if any(number != heard and not reply.swept for number, reply in self.call.replies.open.items()):
            return  # the bot has more to say
        self._silence.after(state.silence_ms, self._is_silent)

    def _overrun(self) -> None:
        if not self.call.engine.ending:
            self.dialog.overrun()
            self._act(None)

    def _arrived(self) -> None:
        """The dialog may be in another state: what belonged to the last one is over."""
        dialog = self.dialog
        if self._stay == dialog.entered:
            return
        self._stay = dialog.entered
        self._silence.stop()
        self._limit.stop()
        state = dialog.state
        if self._tape is not None:
            self._tape.finish("left")
            self._tape = None
        self._left()
        if isinstance(state, Asking) and state.limit_ms is not None and not isinstance(state, Voicemail):
            self._limit.after(state.limit_ms, self._overrun)

    # -- what goes

    def _act(self, turn: int | None, *, utter: Callable[[str], None] | None = None) -> None:
        """Say, write and do what the dialog has come to. utter: says the first words, in a reply that is there."""
        parts, events, effect = self.dialog.take_parts()
        for event in events:
            self.emit(event)
        self._arrived()
        said = self._speak_all(parts, turn, utter)
        self._voices.listen(self.dialog.state)
        self._push_expectation()
        if effect is not None:
            self._do(effect, None if said else turn, said=said)

    def _speak_all(
        self, parts: list[tuple[AnyState, str]], turn: int | None, utter: Callable[[str], None] | None
    ) -> bool:
        """Say this in as few replies as there are ways to say it. Whether there was anything."""
        groups: list[tuple[AnyState, list[str]]] = []
        for state, text in parts:
            if groups and _way(groups[-1][0]) == _way(state):
                groups[-1][1].append(text)
                groups[-1] = (state, groups[-1][1])
            else:
                groups.append((state, [text]))
        for number, (state, texts) in enumerate(groups):
            if number == 0 and utter is not None:
                utter(" ".join(texts))
            else:
                self._use_voice(state)
                beep = isinstance(state, Voicemail) and state.beep
                text = " ".join(texts)
                self._speak(text, turn if number == 0 else None, interruptible=state.interruptible, beep=beep)
        return bool(groups)

    def _use_voice(self, state: AnyState) -> None:
        """The next words are this state's."""
        frame = self._voices.speak(state)
        if frame is not None:
            self.push(frame)  # behind what is said already
            self._host.settings(frame)

    def _speak(self, text: str, turn: int | None, *, interruptible: bool = True, beep: bool = False) -> None:
        # A turn whose reply was interrupted takes no other; what is to be said then is said of our own accord.
        number = self.begin_reply(turn, interruptible=interruptible) if turn is not None else 0
        if not number:
            turn = None
            number = self.begin_reply(interruptible=interruptible)
        self._last_reply = number
        started = ReplyStartedFrame(number, turn, interruptible)
        self._host.started(started)
        self.push(started)
        self.push(TextFrame(text, number))
        if beep and self.call.transport.output().accepts:  # a call of text has no tones
            self.push(ClipFrame(_BEEP, " (beep)", number))
        self.push(ReplyEndedFrame(number))

    def _push_expectation(self) -> None:
        expectation = self.dialog.expectation
        assert expectation is not None
        frame = ExpectFrame(expectation.jsgf, expectation.phrases, expectation.digits)
        if self._expected is None or (frame.jsgf, frame.digits) != (self._expected.jsgf, self._expected.digits):
            self._expected = frame
            self.push(frame, upstream=True)


def _way(state: AnyState) -> tuple[object, ...]:
    """How a state says things."""
    return (state.voice, state.language, state.interruptible)
