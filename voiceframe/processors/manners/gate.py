"""What stands between turn taking and the agent: it hears the words, and says what is to be said of manners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...events import HoldAnnounced, HoldEnded, HoldStarted, LanguageSwitched, LineNoisy
from ...frames import (
    EagerTurnFrame,
    ExpectFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionRequestFrame,
    SayFrame,
    StartFrame,
    TranscriptionFrame,
    UserIdleFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...processor import Processor, handles, observes
from ..turn.timer import Timer
from .phrases import plain
from .switching import Switchboard

if TYPE_CHECKING:
    from ...pipeline import Pipeline
    from .hold import Hold
    from .idle import IdleSettings
    from .languages import Language, Tongue
    from .noise import NoiseSettings, NoiseWatch, Noisy
    from .voicemail import Voicemail

__all__ = ["Gate"]

_ON_HOLD: Final = "on hold"
#: How often it is looked whether nobody speaks, before keys are offered; and after how long that is done all the same:
#: on a line that is all noise somebody seems to speak all the time.
_LOOK_MS: Final = 250
_PATIENCE_MS: Final = 4_000


class Gate(Processor):
    """Stands before the agent. Its parts are None where a manner is not wanted."""

    def __init__(self) -> None:
        self.voicemail: Voicemail | None = None
        self.hold: Hold | None = None
        self.tongue: Tongue | None = None
        self.idle: IdleSettings | None = None
        self.noise: NoiseWatch | None = None
        self.noise_settings: NoiseSettings | None = None
        self._switchboard: Switchboard | None = None
        self._confirm = ""
        self._asked_with: list[str] | None = None  # the words of a request with nothing else in it
        self._expect: ExpectFrame | None = None
        self._keys = 0  # how many are expected since they were offered
        self._speaking = False
        self._offer_timer = Timer(self)
        self._offer_by_ms = 0

    # -- the life of the call

    def check_pipeline(self, pipeline: Pipeline) -> None:
        from ..agents.fitting import check_voice, tts_behind

        for language in self.tongue.languages if self.tongue is not None else ():
            check_voice(tts_behind(self, pipeline), language.voice, f"The language {language.code!r}")

    async def setup(self) -> None:
        if self.tongue is not None:
            self._switchboard = board = Switchboard(self, self.tongue.languages)
            self.tongue.begin(board.heard)
            self.call.data.setdefault("language", self.tongue.now.code)

    async def cleanup(self) -> None:
        self._offer_timer.stop()
        if self.voicemail is not None:
            self.voicemail.close()

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> None:
        if self.voicemail is not None:
            self.voicemail.start(frame.at_ms)

    def hush(self, why: str | None, *, but: str = "") -> None:
        """Keep the bot silent for `why`, or (None) no longer, if that was why; never against somebody else's word."""
        turns = self.call.turns
        if (turns.silence is None and why is not None) or (why is None and turns.silence == but):
            turns.hush(why)

    def hush_for_machine(self, why: str | None) -> None:
        self.hush(why, but="voicemail")

    def in_words(self, text: str) -> str:
        """A sentence of the settings, in the language of the call."""
        tongue = self.tongue
        return text if tongue is None else tongue.now.says.get(text, text)

    def _say(self, text: str) -> None:
        words = self.in_words(text)
        if words:
            self.push(SayFrame(words))

    @property
    def _machine(self) -> bool:
        return self.voicemail is not None and self.voicemail.swallows

    @property
    def _held(self) -> bool:
        return self.hold is not None and self.hold.active

    # -- speech and words

    @observes(VADUserStartedSpeakingFrame)
    def on_speech(self, frame: VADUserStartedSpeakingFrame) -> None:
        self._speaking = True
        if self.voicemail is not None:
            self.voicemail.speech(frame.began_ms if frame.began_ms >= 0 else frame.at_ms)

    @observes(VADUserStoppedSpeakingFrame)
    def on_silence(self, frame: VADUserStoppedSpeakingFrame) -> None:
        self._speaking = False
        if self.voicemail is not None:
            self.voicemail.silence(frame.ended_ms if frame.ended_ms >= 0 else frame.at_ms)
        if self.noise is not None and frame.level_dbfs is not None and not self._held and not self._machine:
            self.noise.spoke(frame.level_dbfs)

    @observes(InterimTranscriptionFrame)
    def on_interim(self, frame: InterimTranscriptionFrame) -> None:
        if self.voicemail is not None:
            self.voicemail.words(frame.text, final=False)

    @handles(TranscriptionFrame)
    def on_words(self, frame: TranscriptionFrame) -> Frame:
        text = frame.text
        if self.voicemail is not None:
            self.voicemail.words(text, final=True)
        if self._machine or not text.strip():
            return frame
        if self.hold is not None and not self._hears_caller(self.hold, text):
            return frame
        if self.tongue is not None and text:
            switch = self.tongue.hear(text, frame.language, frame.confidence)
            if switch is not None:
                before = self.call.data.get("language", "")
                self._asked_with = plain(text) if switch.alone else None
                self._switched(switch.language, before, switch.why, switch.turns, switch.confidence)
        return frame

    def _hears_caller(self, hold: Hold, text: str) -> bool:
        """Whether these are words of the caller, and not of those who keep us on hold."""
        if not hold.active:
            if hold.announces(text):
                return False
            hold.spoken()
            return True
        what = hold.said(text)
        if what == "announcement":
            self.emit(HoldAnnounced(text=text))
        elif what == "words":
            self._hold_over("words")
        return what == "words"

    @handles(EagerTurnFrame)
    def on_eager(self, frame: EagerTurnFrame) -> Frame | None:
        return None if self._machine or self._held else frame

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> Frame | None:
        if self._machine:
            return None
        hold = self.hold
        if hold is not None and hold.active:
            # A key is a person's; and where the recognizer decides on turns, their words may come only now.
            if frame.source == "speech" and hold.said(frame.text) != "words":
                return None
            hold.over()
            self._hold_over("words")
            # What was skipped is a turn after all, and is to be answered like any other.
            frame = frame.replace(turn=self.call.turns.new())
        confirm, self._confirm = self._confirm, ""
        alone, self._asked_with = self._asked_with, None
        if confirm:
            self.push(SayFrame(confirm))
            if alone is not None and alone == plain(frame.text):
                return None
        return frame

    # -- hold

    def on_hold(self, what: str) -> None:
        """The ears have heard that a hold has begun, or is over."""
        hold = self.hold
        assert hold is not None
        if self._machine:
            return
        if what != "began":
            self._hold_over(what)
            return
        if self.noise is not None:
            self.noise.reset()
        self.emit(HoldStarted(began_ms=max(0, self.call.clock.at_ms() - hold.settings.music_ms)))
        self.hush(_ON_HOLD)
        if any(reply.interruptible and not reply.swept for reply in self.call.replies.open.values()):
            self.push(InterruptionRequestFrame(_ON_HOLD), upstream=True)

    def _hold_over(self, why: str) -> None:
        hold = self.hold
        assert hold is not None
        self.emit(HoldEnded(why=why, lasted_ms=hold.lasted_ms))  # type: ignore[arg-type]
        self.hush(None, but=_ON_HOLD)
        if why == "time":
            self.call.end(_ON_HOLD, after="now")
        elif why == "quiet" and self.call.turns.silence is None:
            self._say(hold.settings.back)

    # -- idleness

    @handles(UserIdleFrame)
    def on_idle(self, frame: UserIdleFrame) -> Frame:
        idle = self.idle
        if idle is None:
            return frame
        if frame.count <= len(idle.prompts):
            self._say(idle.prompts[frame.count - 1])
        else:
            self._say(idle.goodbye)
            self.call.end(idle.reason)
        return frame

    def somebody_works(self) -> bool:
        """Whether a tool runs: work of somebody behind this, which an end of the call would wait for."""
        nodes = self.call.engine.nodes
        place = next((at for at, node in enumerate(nodes) if node.proc is self), 0)
        return any(node.tasks for node in nodes[place + 1 :])

    # -- noise

    def on_noise(self, noisy: Noisy) -> None:
        """The ears have heard that the line is noisy."""
        settings = self.noise_settings
        assert settings is not None
        if self._machine or self._held:
            return
        offered = bool(settings.offer)
        self.emit(
            LineNoisy(snr_db=noisy.snr_db, noise_dbfs=noisy.noise_dbfs, speech_dbfs=noisy.speech_dbfs, offered=offered)
        )
        self._offer_by_ms = self.call.clock.at_ms() + _PATIENCE_MS
        if offered:
            self._offer()

    def _offer(self) -> None:
        call, settings = self.call, self.noise_settings
        assert settings is not None
        if call.engine.ending or call.turns.silence is not None:
            return
        busy = bool(call.replies.open) or call.turns.pending is not None  # it must not pass for the answer to a turn
        if busy or (self._speaking and call.clock.at_ms() < self._offer_by_ms):
            self._offer_timer.after(_LOOK_MS, self._offer)
            return
        self._say(settings.offer)
        if settings.digits:
            self._keys = settings.digits
            self.push((self._expect or ExpectFrame()).replace(digits=self._keys), upstream=True)

    @handles(ExpectFrame, upstream=True)
    def on_expect(self, frame: ExpectFrame) -> Frame:
        self._expect = frame
        return frame.replace(digits=self._keys) if self._keys and not frame.digits else frame

    # -- languages

    def switch(self, language: Language) -> None:
        """The program wants the call to go on in this language."""
        assert self.tongue is not None
        if language is self.tongue.now:
            return
        before = self.tongue.now.code
        self.tongue.take(language)
        self._switched(language, before, "program", 0, 1.0)
        confirm, self._confirm = self._confirm, ""
        if confirm:
            self.push(SayFrame(confirm))

    def _switched(self, language: Language, before: str, why: str, turns: int, confidence: float) -> None:
        tongue, board = self.tongue, self._switchboard
        assert tongue is not None
        assert board is not None
        self.call.data["language"] = language.code
        self.emit(
            LanguageSwitched(
                from_=before,
                to=language.code,
                why=why,  # type: ignore[arg-type]
                turns=turns,
                confidence=confidence,
            )
        )
        board.turn(language, first=language is tongue.languages[0])
        self._confirm = language.confirm
