"""Turn taking: it decides when the caller's turn is over, and when the bot must stop.

    speech over the bot ──interrupt_min_ms──▶ pause ──words──▶ interruption
                                                │ ──nothing, a backchannel──▶ resume, no sample lost
    speech in silence ──pause of the analyzer's length──▶ UserTurnFrame

It stands behind the VAD and the STT and before the agent. Without a VAD the words themselves say that somebody speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...events import SpeechDiscarded, SpeechEnded, SpeechIdle, SpeechStarted
from ...frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EagerTurnFrame,
    EndFrame,
    ExpectFrame,
    Frame,
    HeardFrame,
    InputAudioFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    InterruptionRequestFrame,
    PauseFrame,
    PlayedAudioFrame,
    ResumeFrame,
    SayFrame,
    StartFrame,
    TranscriptionFrame,
    TurnResumedFrame,
    UpdateSettingsFrame,
    UserIdleFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...processor import Processor, handles, observes
from .analyzers import AdaptiveEndpointing, FixedEndpointing, Pause, TurnAnalyzer
from .echo import EchoDetector, own_words
from .keypad import Keypad
from .settings import TurnSettings
from .utterance import Speech, Utterance

__all__ = ["Turns"]

_ECHO_CHECK_MS = 200  # how often speech that was taken for an echo is looked at again
_SAID = 4  # of the bot's last pieces of text, to know its own words by


class Turns(Processor):
    """Commits the caller's turns and stops the bot.

    settings: by default from the environment and the settings file.
    analyzer: what ends a turn; by default `AdaptiveEndpointing` or `FixedEndpointing`, as `settings.endpointing` says.
    """

    decides_interruptions = True

    def __init__(self, settings: TurnSettings | None = None, *, analyzer: TurnAnalyzer | None = None) -> None:
        self.settings = settings or TurnSettings.load()
        self._own_analyzer = analyzer is None
        self.analyzer = analyzer or _analyzer(self.settings)
        self._utterance = Utterance()
        self._speech: Speech | None = None  # the stretch that lasts
        self._user_speaking = False  # whether a UserStartedSpeakingFrame is out
        self._committed_ms = -1  # the end of speech of the last turn
        self._eager = ""
        # the bot
        self._audible = False
        self._audible_until_ms = -1
        self._paused = False
        self._interrupting = False  # asked for, and not yet done: that comes when the handler in hand returns
        self._said: list[str] = []
        self._echo = EchoDetector()
        # keys, idleness, what the dialog expects
        self._keypad = Keypad()
        self._expect: ExpectFrame | None = None
        self._idle_count = 0
        # timers: at most one of each kind is armed
        self._turn_timer = _Timer(self)
        self._eager_timer = _Timer(self)
        self._hold_timer = _Timer(self)
        self._sure_timer = _Timer(self)
        self._keys_timer = _Timer(self)
        self._idle_timer = _Timer(self)

    def _now(self) -> int:
        return self.call.clock.at_ms()

    # -- voice activity

    @handles(VADUserStartedSpeakingFrame)
    def on_speech(self, frame: VADUserStartedSpeakingFrame) -> Frame:
        now = self._now()
        speech = Speech(frame.began_ms if frame.began_ms >= 0 else now, over_bot=self._may_stop())
        self._speech = speech
        self._turn_timer.stop()
        self._eager_timer.stop()
        self._idle_timer.stop()
        if self._near_bot(speech) and self._echo.is_echo(now):
            speech.echo = True
            self._hold_timer.after(_ECHO_CHECK_MS, self._check_echo)
        else:
            self._begin(speech)
        return frame

    def _begin(self, speech: Speech) -> None:
        """The caller is speaking: for sure, as far as the VAD can tell."""
        self.emit(SpeechStarted(began_ms=speech.began_ms))
        self._take_back_eager()
        self._note_pause(speech.began_ms)
        if self._may_stop():
            speech.over_bot = True
            spoken = self._now() - speech.began_ms
            self._hold_timer.after(self.settings.interrupt_min_ms - spoken, self._hold)
            self._sure_timer.after(self.settings.interrupt_sure_ms - spoken, self._sure)
        else:
            self._user_started()

    def _note_pause(self, began_ms: int) -> None:
        """Tell the analyzer of a pause after which the caller has gone on, be it one that ended their turn."""
        utterance = self._utterance
        if utterance.stretches:
            pause_ms = max(0, began_ms - utterance.ended_ms)
            utterance.pauses_ms.append(pause_ms)
            self.analyzer.resumed(pause_ms)
        elif self._committed_ms >= 0 and not self._audible and self._audible_until_ms < self._committed_ms:
            # The turn was cut short: the bot has not even answered it.
            self.analyzer.resumed(max(0, began_ms - self._committed_ms))

    @handles(VADUserStoppedSpeakingFrame)
    def on_silence(self, frame: VADUserStoppedSpeakingFrame) -> Frame:
        speech, self._speech = self._speech, None
        if speech is not None:
            speech.ended_ms = max(speech.began_ms, frame.ended_ms if frame.ended_ms >= 0 else self._now())
            self._utterance.stretches.append(speech)
            self._hold_timer.stop()
            self._sure_timer.stop()
            if not speech.echo:
                self.emit(SpeechEnded(ended_ms=speech.ended_ms, level_dbfs=frame.level_dbfs))
            self._wait()
        return frame

    # -- words

    @handles(InterimTranscriptionFrame)
    def on_interim(self, frame: InterimTranscriptionFrame) -> Frame | None:
        speech = self._speech or self._utterance.unrecognized()
        if (speech.echo if speech else self._is_echo_text(frame.text, None)) or not frame.text.strip():
            return None
        self._changed(frame.text != self._utterance.interim)
        self._utterance.interim = frame.text
        if self._may_stop():
            if self._enough(frame.text) and not self._is_backchannel(frame.text):
                self._stop_bot()
        else:
            self._user_started()
        self._wait()
        return frame

    @handles(TranscriptionFrame)
    def on_final(self, frame: TranscriptionFrame) -> Frame | None:
        speech = self._utterance.unrecognized() or self._speech
        text = frame.text.strip()
        if speech is not None and speech is not self._speech:
            speech.recognized = True
        echo = speech.echo if speech is not None else False
        if echo or (text and self._is_echo_text(text, speech)):
            self._discard("echo", text, speech)
            return None
        self._utterance.interim = ""
        if not text:
            if self._may_stop() or (speech is not None and speech.over_bot):
                self._discard("noise", "", speech)
            else:
                self._wait()
            return frame
        self._changed(True)
        if self._may_stop() or self._paused:
            if self._is_backchannel(text) or not self._enough(text):
                self._discard("backchannel", text, speech)
                return frame
            self._stop_bot()
        else:
            self._user_started()
        self._utterance.finals.append(frame)
        self._wait()
        return frame

    def _changed(self, changed: bool) -> None:
        self._idle_timer.stop()
        if changed:
            self._utterance.changed_ms = self._now()
            self._take_back_eager()

    def _enough(self, text: str) -> bool:
        return len(text.split()) >= max(1, self.settings.interrupt_min_words)

    def _is_backchannel(self, text: str) -> bool:
        """Whether it is only a sign of listening: not what the dialog expects, and the bot has more to say."""
        plain = " ".join("".join(c if c.isalnum() or c in "-'" else " " for c in text.lower()).split())
        if plain not in self.settings.backchannels:
            return False
        if self._expect is not None and plain in {phrase.lower() for phrase in self._expect.phrases}:
            return False
        # While a reply is being made nothing of it is to be played yet, but it is all ahead.
        left_ms = self.call.transport.output().remaining_ms() if self._audible and not self._paused else None
        return left_ms is None or left_ms > self.settings.backchannel_rest_ms

    # -- the end of a turn

    def _wait(self) -> None:
        """Arm the timer for what happens next if the caller says nothing more."""
        self._turn_timer.stop()
        self._eager_timer.stop()
        utterance, settings = self._utterance, self.settings
        if self._speech is not None and not self._speech.echo:
            return  # they are speaking
        text = utterance.text
        if self._paused or (not text and self._may_stop()):
            if not utterance.waits_for_words:
                self._false_alarm()
            else:
                self._turn_timer.at(utterance.ended_ms + settings.resume_after_ms, self._false_alarm)
            return
        if not text:
            if utterance.waits_for_words:
                self._turn_timer.at(utterance.ended_ms + settings.transcript_wait_ms, self._commit)
            elif utterance.stretches:
                self._turn_timer.at(utterance.ended_ms + settings.silence_ms, self._commit)
            elif not self._keypad.waiting:
                self._user_stopped()
                self._rest()
            return
        pause = Pause(
            text=text,
            final=not utterance.interim,
            spoke_ms=utterance.spoke_ms,
            pauses_ms=tuple(utterance.pauses_ms),
            expect=self._expect,
            audio=self._echo.caller,
        )
        due = utterance.ended_ms + self.analyzer.silence_ms(pause)
        if utterance.interim:
            due = max(due, utterance.changed_ms + settings.stability_ms)
        if utterance.waits_for_words:
            due = max(due, utterance.ended_ms + settings.transcript_wait_ms)
        self._turn_timer.at(due, self._commit)
        eager_ms = settings.eager_ms
        if (
            eager_ms is not None
            and not self._eager
            and utterance.ended_ms + eager_ms < due
            and self.analyzer.probability(pause) >= settings.eager_probability
        ):
            self._eager_timer.at(utterance.ended_ms + eager_ms, self._announce)

    def _announce(self) -> None:
        self._eager = self._utterance.text
        if self._eager:
            self.push(EagerTurnFrame(self._eager))

    def _take_back_eager(self) -> None:
        if self._eager:
            self._eager = ""
            self.push(TurnResumedFrame())

    def _commit(self) -> None:
        """The turn is over."""
        utterance, self._utterance = self._utterance, Utterance()
        text = utterance.text
        if not text and utterance.wordless_ms < self.settings.unrecognized_min_ms:
            if utterance.stretches:
                self.emit(SpeechDiscarded(reason="noise"))
            self._user_stopped()
            self._rest()
            return
        self._committed_ms = utterance.ended_ms
        self._turn(text, "speech", utterance)

    def _keys_turn(self, entry: str) -> None:
        """Keys end what was being said: words that have come are a turn of their own, before them."""
        self._keys_timer.stop()
        if self._utterance.text:
            self._commit()
        self._turn(entry, "dtmf")
        self._wait()

    def _turn(self, text: str, source: str, utterance: Utterance | None = None) -> None:
        self._turn_timer.stop()
        self._eager_timer.stop()
        if self._eager and self._eager != text:
            self._take_back_eager()
        self._eager = ""
        self._idle_count = 0
        if self._may_stop():  # it has begun to answer what came before; this is what it has to answer
            self._interrupt("caller")
        number = self.call.turns.new()
        self._user_started()
        self._user_stopped()
        if source == "dtmf":
            self.push(UserTurnFrame(number, text, "dtmf"))
        else:
            assert utterance is not None
            self.push(
                UserTurnFrame(
                    number,
                    text,
                    "speech",
                    confidence=utterance.confidence,
                    alternatives=utterance.alternatives,
                )
            )
        self._rest()

    def _user_started(self) -> None:
        if not self._user_speaking:
            self._user_speaking = True
            self.push(UserStartedSpeakingFrame())

    def _user_stopped(self) -> None:
        if self._user_speaking:
            self._user_speaking = False
            self.push(UserStoppedSpeakingFrame())

    # -- stopping the bot

    def _may_stop(self) -> bool:
        """Whether the bot has something to say that may be interrupted: it speaks, or makes a reply."""
        if self._interrupting:
            return False
        return any(reply.interruptible and not reply.swept for reply in self.call.replies.open.values())

    def _hold(self) -> None:
        """They have spoken long enough that it may be meant."""
        if not self._paused and self._may_stop():
            self._paused = True
            self.push(PauseFrame(self.call.replies.last))

    def _sure(self) -> None:
        """They have spoken so long that it is meant, whatever they say."""
        if self._speech is not None and self._may_stop():
            self._stop_bot()

    def _stop_bot(self) -> None:
        self._hold_timer.stop()
        self._sure_timer.stop()
        self._user_started()
        self._interrupt("caller")

    def _interrupt(self, reason: str) -> None:
        if self._interrupting:
            return
        self._interrupting = True
        self._paused = False
        for speech in (*self._utterance.stretches, self._speech):
            if speech is not None:
                speech.over_bot = False  # it has become the caller's turn
        self.interrupt(reason)

    def _false_alarm(self) -> None:
        """Nothing was said after all: the bot goes on."""
        if self._utterance.finals:
            self._stop_bot()
            self._wait()
            return
        if self._utterance.stretches:
            self.emit(SpeechDiscarded(reason="noise"))
        self._utterance = Utterance()
        self._go_on()

    def _discard(self, reason: str, text: str, speech: Speech | None) -> None:
        """What was heard is no turn."""
        self.emit(SpeechDiscarded(reason=reason, text=text))  # type: ignore[arg-type]
        if speech is not None:
            if speech is self._speech:
                speech.recognized = False
            else:
                self._utterance.drop(speech)
        if reason != "echo":
            self._utterance.interim = ""
        if self._speech is None and not self._utterance.waits_for_words and not self._utterance.text:
            self._go_on()
        self._wait()

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self.push(ResumeFrame(self.call.replies.last))
        self._user_stopped()
        self._rest()

    # -- echo

    def _near_bot(self, speech: Speech) -> bool:
        """Whether the bot was to be heard when the stretch began, or a moment before."""
        return self._audible or speech.began_ms <= self._audible_until_ms + self.settings.echo_ms

    def _check_echo(self) -> None:
        """Look again at a stretch that was an echo: the caller may have begun to speak over it."""
        speech = self._speech
        if speech is None or not speech.echo:
            return
        now = self._now()
        if self._echo.is_echo(now):
            self._hold_timer.after(_ECHO_CHECK_MS, self._check_echo)
            return
        if not self._audible and now - self._audible_until_ms <= self.settings.echo_ms:
            self._hold_timer.after(_ECHO_CHECK_MS, self._check_echo)  # the room still rings
            return
        speech.echo = False
        speech.began_ms = now - _ECHO_CHECK_MS
        self._begin(speech)

    def _is_echo_text(self, text: str, speech: Speech | None) -> bool:
        """Whether these words are the bot's own, heard again."""
        if speech is not None:
            return self._near_bot(speech) and own_words(text, self._said)
        # Without a VAD nobody knows when it was said: what comes so soon after the bot's voice was not said after it.
        if self._audible:
            return own_words(text, self._said)
        return self._audible_until_ms >= 0 and self._now() - self._audible_until_ms < self.settings.echo_ms

    # -- what the bot does

    @observes(BotStartedSpeakingFrame, upstream=True)
    def on_bot_started(self, frame: BotStartedSpeakingFrame) -> None:
        self._audible = True
        self._idle_timer.stop()
        if self._user_speaking and self._may_stop():  # it began to answer something else meanwhile
            if self._utterance.text:
                self._interrupt("caller")
            elif self._speech is not None:
                self._hold()
                self._sure_timer.at(self._speech.began_ms + self.settings.interrupt_sure_ms, self._sure)

    @observes(BotStoppedSpeakingFrame, upstream=True)
    def on_bot_stopped(self, frame: BotStoppedSpeakingFrame) -> None:
        self._audible = False
        self._audible_until_ms = self._now()

    @observes(HeardFrame, upstream=True)
    def on_heard(self, frame: HeardFrame) -> None:
        if frame.text:
            self._said.append(frame.text)
            del self._said[:-_SAID]
        if frame.final:
            self._rest()

    @observes(PlayedAudioFrame, upstream=True)
    def on_played(self, frame: PlayedAudioFrame) -> None:
        self._echo.played(frame.at_ms, frame.audio)

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self._echo.heard(frame.at_ms, frame.audio)

    @observes(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self._interrupting = False
        self._paused = False  # also if an operator or a program has interrupted

    @handles(InterruptionRequestFrame)
    def on_request(self, frame: InterruptionRequestFrame) -> None:
        self._interrupt(frame.reason or "asked")

    @handles(InterruptionRequestFrame, upstream=True)
    def on_request_from_below(self, frame: InterruptionRequestFrame) -> None:
        self._interrupt(frame.reason or "asked")

    @observes(ExpectFrame, upstream=True)
    def on_expect(self, frame: ExpectFrame) -> None:
        self._expect = frame

    # -- keys

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> Frame:
        for speech in (*self._utterance.stretches, self._speech):
            if speech is not None:
                speech.keyed = True
        self._idle_timer.stop()
        if self._may_stop():
            self._interrupt("key")
        entry = self._keypad.press(frame.digit, self._expect.digits if self._expect else 0)
        if entry is not None:
            self._keys_turn(entry)
        else:
            self._user_started()
            self._keys_timer.after(self.settings.keys_wait_ms, self._keys_over)
        return frame

    def _keys_over(self) -> None:
        if self._keypad.waiting:
            self._keys_turn(self._keypad.take())

    # -- idleness

    def _rest(self) -> None:
        """Begin to count the silence anew."""
        if self.settings.idle_ms:
            self._idle_timer.after(self.settings.idle_ms, self._idle)

    def _is_idle(self) -> bool:
        return (
            self._speech is None
            and not self._utterance.stretches
            and not self._utterance.text
            and not self._keypad.waiting
            and not self._audible
            and not self.call.replies.open
            and not self.call.engine.ending
        )

    def _idle(self) -> None:
        if not self._is_idle() or self.call.turns.silence is not None:
            self._rest()  # somebody is busy, or the bot is to be silent and asks nothing
            return
        self._idle_count += 1
        settings = self.settings
        if self._idle_count > settings.idle_reprompts:
            if settings.idle_goodbye:
                self.push(SayFrame(settings.idle_goodbye))
            self.call.end("idle")
            return
        self.emit(SpeechIdle(count=self._idle_count))
        self.push(UserIdleFrame(self._idle_count))
        if settings.idle_prompt:
            self.push(SayFrame(settings.idle_prompt))
        self._rest()

    # -- the life of the call

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._rest()

    @handles(EndFrame)
    def on_end(self, frame: EndFrame) -> None:
        """What was said until now belongs into the record; nobody is there any more for an answer."""
        said = [(self._utterance.text, "speech", self._utterance.confidence), (self._keypad.take(), "dtmf", 1.0)]
        ledger = self.call.turns
        for text, source, confidence in said:
            if text:
                ledger.hush("ended")
                ledger.commit(UserTurnFrame(ledger.new(), text, source, confidence))  # type: ignore[arg-type]
        self._utterance = Utterance()

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        if frame.target == self.name:
            self.settings = self.settings.replace(**frame.changes)
            if self._own_analyzer:
                self.analyzer = _analyzer(self.settings)

    async def cleanup(self) -> None:
        for timer in (
            self._turn_timer,
            self._eager_timer,
            self._hold_timer,
            self._sure_timer,
            self._keys_timer,
            self._idle_timer,
        ):
            timer.stop()


def _analyzer(settings: TurnSettings) -> TurnAnalyzer:
    return AdaptiveEndpointing(settings) if settings.endpointing == "adaptive" else FixedEndpointing(settings)


class _Timer:
    """Calls a method of its processor at a time of the call's clock, in the call's context."""

    __slots__ = ("_handle", "_owner")

    def __init__(self, owner: Turns) -> None:
        self._owner = owner
        self._handle: asyncio.TimerHandle | None = None

    def after(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call after so long; at the next opportunity if that is past."""
        self.stop()
        engine = self._owner.call.engine
        self._handle = engine.loop.call_later(
            max(0, delay_ms) / 1000, engine.dispatcher.in_context, self._fire, callback
        )

    def at(self, at_ms: int, callback: Callable[[], None]) -> None:
        """Call at this media time."""
        self.after(at_ms - self._owner.call.clock.at_ms(), callback)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self, callback: Callable[[], None]) -> None:
        self._handle = None
        callback()
