"""Turn taking: it decides when the caller's turn is over, and when the bot must stop.

    speech over the bot ──interrupt_min_ms──▶ pause ──words──▶ interruption
                                                │ ──nothing, a backchannel──▶ resume, no sample lost
    speech in silence ──pause of the analyzer's length──▶ UserTurnFrame

It stands behind the VAD and the STT and before the agent. Without a VAD the words themselves say that somebody speaks.
What it decides by lies beside it: `utterance` (what was said), `own_voice` (what of that is the bot's), `barge_in`
(what is done to the reply), `eager` and `idleness`.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

from ...errors import RecognitionError
from ...events import SpeechDiscarded, SpeechEnded, SpeechStarted
from ...frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    ExpectFrame,
    Frame,
    HeardFrame,
    InputAudioFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    InterruptionRequestFrame,
    PlayedAudioFrame,
    StartFrame,
    STTEagerTurnFrame,
    STTTurnEndedFrame,
    STTTurnResumedFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...processor import Processor, handles, observes
from .analyzers import AdaptiveEndpointing, FixedEndpointing, TurnAnalyzer
from .backchannels import is_backchannel
from .barge_in import BargeIn
from .eager import EagerTurn
from .idleness import Idleness
from .keypad import Keypad
from .own_voice import OwnVoice
from .settings import TurnSettings
from .timer import Timer
from .utterance import Speech, Utterance

__all__ = ["Turns"]

_ALIKE = 0.6  # how much of a text must be the same for it to be the same text, written otherwise
_ECHO_CHECK_MS = 200  # how often speech that was taken for an echo is looked at again


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
        self._told = ""  # words of the last turn that were not final: their final result may come yet
        # with turns of the recognizer's own
        self._early = ""  # what was committed of its present turn because it said nothing
        self._covered = 0  # transcriptions that are still to come of speech that is part of a turn already
        self._eager = EagerTurn(self, lambda: self._utterance.text)
        self._idleness = Idleness(self, self.settings, busy=self._is_busy)
        self._excuses: list[Callable[[], bool]] = []
        # the bot
        self._bot = OwnVoice()
        self._barge_in = BargeIn(self)
        # keys, and what the dialog expects
        self._keypad = Keypad()
        self._expect: ExpectFrame | None = None
        self._turn_timer = Timer(self)
        self._hold_timer = Timer(self)
        self._sure_timer = Timer(self)
        self._keys_timer = Timer(self)

    def _now(self) -> int:
        return self.call.clock.at_ms()

    # -- voice activity

    @handles(VADUserStartedSpeakingFrame)
    def on_speech(self, frame: VADUserStartedSpeakingFrame) -> Frame:
        now = self._now()
        speech = Speech(frame.began_ms if frame.began_ms >= 0 else now, over_bot=self._barge_in.possible())
        self._speech = speech
        self._turn_timer.stop()
        self._eager.stop()
        self._idleness.stop()
        if self._bot.near(speech, self.settings.echo_ms) and self._bot.is_heard(now):
            speech.echo = True
            self._hold_timer.after(_ECHO_CHECK_MS, self._check_echo)
        else:
            self._begin(speech)
        return frame

    def _begin(self, speech: Speech) -> None:
        """The caller is speaking: for sure, as far as the VAD can tell."""
        self.emit(SpeechStarted(began_ms=speech.began_ms))
        self._eager.take_back()
        self._note_pause(speech.began_ms)
        if self._barge_in.possible():
            speech.over_bot = True
            spoken = self._now() - speech.began_ms
            self._hold_timer.after(self.settings.interrupt_min_ms - spoken, self._barge_in.hold)
            self._sure_timer.after(self.settings.interrupt_sure_ms - spoken, self._sure)
        else:
            self._user_started()

    def _note_pause(self, began_ms: int) -> None:
        """Tell the analyzer of a pause after which the caller has gone on, be it one that ended their turn."""
        if self.call.turns.silence is not None:
            return  # on hold, say: who speaks now may be somebody else, and nobody answers
        utterance = self._utterance
        if utterance.stretches:
            pause_ms = max(0, began_ms - utterance.ended_ms)
            utterance.pauses_ms.append(pause_ms)
            self.analyzer.resumed(pause_ms)
        elif self._committed_ms >= 0 and not self._bot.audible and self._bot.until_ms < self._committed_ms:
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
        if (speech.echo if speech else self._is_own(frame.text, None)) or not frame.text.strip():
            return None
        text = _without(self._told, frame.text) if self._told else frame.text
        if not text:
            return frame
        self._changed(text != self._utterance.interim)
        self._utterance.interim = text
        if self._barge_in.possible():
            if self._enough(text) and not self._is_backchannel(text):
                self._stop_bot()
        else:
            self._user_started()
        self._wait()
        return frame

    @handles(TranscriptionFrame)
    def on_final(self, frame: TranscriptionFrame) -> Frame | None:
        if self._covered:
            self._covered -= 1
            return frame
        speech = self._utterance.unrecognized() or self._speech
        text = frame.text.strip()
        told, self._told = self._told, ""
        if told and (rest := _without(told, text)) != text:  # of a turn that has not waited for it any longer
            self._utterance.interim = ""
            if not rest:
                return frame
            speech, text = None, rest
        if speech is not None and speech is not self._speech:
            speech.recognized = True
        echo = speech.echo if speech is not None else False
        if echo or (text and self._is_own(text, speech)):
            self._discard("echo", text, speech)
            return None
        self._utterance.interim = ""
        if not text:
            if self._barge_in.possible() or (speech is not None and speech.over_bot):
                self._discard("noise", "", speech)
            else:
                self._wait()
            return frame
        self._changed(True)
        if self._barge_in.possible() or self._barge_in.held:
            if self._is_backchannel(text) or not self._enough(text):
                self._discard("backchannel", text, speech)
                return frame
            self._stop_bot()
        else:
            self._user_started()
        self._utterance.finals.append(frame.replace(text=text) if told else frame)
        self._wait()
        return frame

    def _changed(self, changed: bool) -> None:
        self._idleness.stop()
        if changed:
            self._utterance.changed_ms = self._now()
            if not self._by_provider:
                self._eager.take_back()

    def _enough(self, text: str) -> bool:
        return len(text.split()) >= max(1, self.settings.interrupt_min_words)

    def _is_backchannel(self, text: str) -> bool:
        """Whether it is only a sign of listening: not what the dialog expects, and the bot has more to say."""
        if not is_backchannel(text, self.settings.backchannels, self._expect):
            return False
        # While a reply is being made nothing of it is to be played yet, but it is all ahead.
        playing = self._bot.audible and not self._barge_in.held
        left_ms = self.call.transport.output().remaining_ms() if playing else None
        return left_ms is None or left_ms > self.settings.backchannel_rest_ms

    # -- turns of the recognizer's own

    @property
    def _by_provider(self) -> bool:
        return self.settings.endpointing == "provider"

    @handles(STTEagerTurnFrame)
    def on_eager_turn(self, frame: STTEagerTurnFrame) -> Frame:
        if self._by_provider and not self._barge_in.possible() and not self._is_own(frame.text, self._speech):
            self._eager.announce(_without(self._early, frame.text))
        return frame

    @handles(STTTurnResumedFrame)
    def on_turn_resumed(self, frame: STTTurnResumedFrame) -> Frame:
        if self._by_provider:
            self._eager.take_back()
        return frame

    @handles(STTTurnEndedFrame)
    def on_turn_ended(self, frame: STTTurnEndedFrame) -> Frame:
        if not self._by_provider:
            return frame
        text, self._early = _without(self._early, frame.text), ""
        speech = self._speech or next(reversed(self._utterance.stretches), None)
        if not text:
            return frame
        if (speech is not None and speech.echo) or self._is_own(text, speech):
            self._discard("echo", text, speech)
            return frame
        if self._barge_in.possible() or self._barge_in.held:
            if self._is_backchannel(text) or not self._enough(text):
                self._discard("backchannel", text, speech)
                return frame
            self._stop_bot()
        utterance = self._utterance
        self._covered += sum(not each.recognized for each in utterance.stretches)
        if self._speech is not None:
            self._covered += 1
            self._speech.ended_ms = self._now()
            utterance.stretches.append(self._speech)
            self._speech = None
        if not utterance.stretches:
            utterance.changed_ms = self._now()
        self._hold_timer.stop()
        self._sure_timer.stop()
        utterance.interim = ""
        utterance.finals = [TranscriptionFrame(text, None, frame.confidence)]
        self._commit()
        self._early = ""
        return frame

    # -- the end of a turn

    def _wait(self) -> None:
        """Arm the timer for what happens next if the caller says nothing more."""
        self._turn_timer.stop()
        self._eager.stop()
        utterance, settings = self._utterance, self.settings
        if self._speech is not None and not self._speech.echo:
            return  # they are speaking
        text = utterance.text
        if self._barge_in.held or (not text and self._barge_in.possible()):
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
                self._idleness.begin()
            return
        if self._by_provider:
            self._turn_timer.at(utterance.due_ms(settings.max_silence_ms, settings), self._commit)
            return
        pause = utterance.pause(self._expect, self._bot.caller)
        due = utterance.due_ms(self.analyzer.silence_ms(pause), settings)
        self._turn_timer.at(due, self._commit)
        eager_ms = settings.eager_ms
        if (
            eager_ms is not None
            and not self._eager.is_out
            and utterance.ended_ms + eager_ms < due
            and self.analyzer.probability(pause) >= settings.eager_probability
        ):
            self._eager.plan(utterance.ended_ms + eager_ms)

    def _commit(self) -> None:
        """The turn is over."""
        utterance, self._utterance = self._utterance, Utterance()
        text = utterance.text
        if not text and utterance.wordless_ms < self.settings.unrecognized_min_ms:
            if utterance.stretches:
                self.emit(SpeechDiscarded(reason="noise"))
            self._user_stopped()
            self._idleness.begin()
            return
        # A turn that the bot is not to answer was not cut short because it has not.
        self._committed_ms = utterance.ended_ms if self.call.turns.silence is None else -1
        self._told = "" if self._by_provider else utterance.interim.strip()
        if self._by_provider:
            self._early = f"{self._early} {text}".strip()
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
        self._eager.settle(text)
        self._idleness.answered()
        if self._barge_in.possible():  # it has begun to answer what came before; this is what it has to answer
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
        self._idleness.begin()

    def _user_started(self) -> None:
        if not self._user_speaking:
            self._user_speaking = True
            self.push(UserStartedSpeakingFrame())

    def _user_stopped(self) -> None:
        if self._user_speaking:
            self._user_speaking = False
            self.push(UserStoppedSpeakingFrame())

    # -- stopping the bot

    def _sure(self) -> None:
        """They have spoken so long that it is meant, whatever they say."""
        if self._speech is not None and self._barge_in.possible():
            self._stop_bot()

    def _stop_bot(self) -> None:
        self._hold_timer.stop()
        self._sure_timer.stop()
        self._user_started()
        self._interrupt("caller")

    def _interrupt(self, reason: str) -> None:
        if self._barge_in.interrupting:
            return
        for speech in (*self._utterance.stretches, self._speech):
            if speech is not None:
                speech.over_bot = False  # it has become the caller's turn
        self._barge_in.interrupt(reason)

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
        self._barge_in.resume()
        self._user_stopped()
        self._idleness.begin()

    # -- echo

    def _check_echo(self) -> None:
        """Look again at a stretch that was an echo: the caller may have begun to speak over it."""
        speech = self._speech
        if speech is None or not speech.echo:
            return
        now = self._now()
        if self._bot.is_heard(now) or self._bot.rings(now, self.settings.echo_ms):
            self._hold_timer.after(_ECHO_CHECK_MS, self._check_echo)
            return
        speech.echo = False
        speech.began_ms = now - _ECHO_CHECK_MS
        self._begin(speech)

    def _is_own(self, text: str, speech: Speech | None) -> bool:
        """Whether these words are the bot's."""
        return self._bot.are_words(text, speech, self._now(), self.settings.echo_ms)

    # -- what the bot does

    @observes(BotStartedSpeakingFrame, upstream=True)
    def on_bot_started(self, frame: BotStartedSpeakingFrame) -> None:
        self._bot.started()
        self._idleness.stop()
        if self._user_speaking and self._barge_in.possible():  # it began to answer something else meanwhile
            if self._utterance.text:
                self._interrupt("caller")
            elif self._speech is not None:
                self._barge_in.hold()
                self._sure_timer.at(self._speech.began_ms + self.settings.interrupt_sure_ms, self._sure)

    @observes(BotStoppedSpeakingFrame, upstream=True)
    def on_bot_stopped(self, frame: BotStoppedSpeakingFrame) -> None:
        self._bot.stopped(self._now())

    @observes(HeardFrame, upstream=True)
    def on_heard(self, frame: HeardFrame) -> None:
        self._bot.said(frame.text)
        if frame.final:
            self._idleness.begin()

    @observes(PlayedAudioFrame, upstream=True)
    def on_played(self, frame: PlayedAudioFrame) -> None:
        self._bot.played(frame.at_ms, frame.audio)

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self._bot.heard(frame.at_ms, frame.audio)

    @observes(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self._barge_in.interrupted()

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
        self._idleness.stop()
        if self._barge_in.possible():
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

    def _is_busy(self) -> bool:
        """Whether the silence is none: somebody is about to say something, or the call is ending."""
        return bool(
            self._speech is not None
            or self._utterance.stretches
            or self._utterance.text
            or self._keypad.waiting
            or self._bot.audible
            or self.call.replies.open
            or self.call.engine.ending
            or any(check() for check in self._excuses)
        )

    # -- the life of the call

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        self._idleness.begin()
        if self._by_provider and not self._hears_turns():
            self.fail(RecognitionError.of("stt.no-turns", processor=self.name))

    def _hears_turns(self) -> bool:
        """Whether a recognizer before this one tells when turns end, as far as that can be known."""
        before = []
        for node in self.call.engine.nodes:
            if node.proc is self:
                break
            before.append(node.proc)
        return any(
            getattr(proc, "hears_turns", not type(proc).__module__.startswith("voiceframe.")) for proc in before
        ) or not any(hasattr(proc, "hears_turns") for proc in before)

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
            self.configure(**frame.changes)

    def configure(self, **changes: Any) -> None:
        """Change some of its settings: before the call, or in it. Raises `ConfigurationError`."""
        self.settings = self.settings.replace(**changes)
        self._idleness.configure(self.settings)
        if self._own_analyzer:
            self.analyzer = _analyzer(self.settings)

    def excuse(self, check: Callable[[], bool]) -> None:
        """Count no silence of the caller for as long as `check()` is true, for what only others know of."""
        self._excuses.append(check)

    async def cleanup(self) -> None:
        for timer in (
            self._turn_timer,
            self._eager,
            self._hold_timer,
            self._sure_timer,
            self._keys_timer,
            self._idleness,
        ):
            timer.stop()


def _without(early: str, text: str) -> str:
    """`text` without the words at its beginning that were committed before."""
    words, count = text.split(), len(early.split())
    if not count:
        return " ".join(words)
    alike = SequenceMatcher(None, _plain(early), _plain(" ".join(words[:count])), autojunk=False).ratio()
    return " ".join(words[count:] if alike >= _ALIKE else words)


def _plain(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())


def _analyzer(settings: TurnSettings) -> TurnAnalyzer:
    return AdaptiveEndpointing(settings) if settings.endpointing == "adaptive" else FixedEndpointing(settings)
