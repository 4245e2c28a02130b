"""Who has answered an outbound call: a person, or a machine; and what is done with a machine.

looking ──a short answer and a pause, words of a person, time──▶ a person: the call goes on, nothing was delayed
   │                                                                │ words of a machine, in time
   └──words of a machine, speech without a pause, a tone──▶ a machine ◀┘
                                                               │ hang_up: the call ends
                                                               │ the tone has ended, or silence
                                                               ▼
                                                            the message, never cut; or the agent is told
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from ...errors import MannersError
from ...events import VoicemailBeep, VoicemailDetected, VoicemailMessage, VoicemailRuledOut
from ...frames import InterruptionRequestFrame, UserTurnFrame
from ...settings import Settings, setting
from ..turn.timer import Timer
from .beep import Beep, BeepDetector
from .phrases import Phrases

if TYPE_CHECKING:
    from ...processor import Processor

__all__ = ["Voicemail", "VoicemailSettings"]

_BECAUSE: Final = "voicemail"
#: A message that a tone has come into is said once more behind it: what was recorded begins there.
_MOST_MESSAGES: Final = 2
#: How often it is looked whether turn taking is done with the machine's last words, and how long that is waited for.
_SETTLE_MS: Final = 100
_SETTLED_MS: Final = 3_000


class VoicemailSettings(Settings, prefix="VOICEMAIL"):
    """How answering machines are told from people, and what is done with them."""

    policy: Literal["hang_up", "message", "tell"] = setting(
        default="hang_up", doc="what is done with a machine: hang up, leave `message`, or tell the agent by `notice`"
    )
    message: str = setting(
        default="", doc="what is left, a template as instructions are: `Hello {{ data.name }}, please call us back.`"
    )
    notice: str = setting(
        default="(An answering machine has answered, and the tone is over. Leave a short message, then end the call.)",
        doc="the turn that the agent gets in place of the caller's",
    )
    inbound: bool = setting(default=False, doc="look for machines in inbound calls too")
    # -- how they are told
    budget_ms: int = setting(default=30_000, doc="time from the answer in which a machine is looked for", ge=1_000)
    speech_ms: int = setting(
        default=5_000, doc="speech without a pause, as first words, that is a greeting of a machine", ge=1_000
    )
    pause_ms: int = setting(default=700, doc="silence that is such a pause", ge=100)
    phrases: tuple[str, ...] = setting(
        default=(
            "leave * message",
            "leave your name",
            "leave * number",
            "record your message",
            "after the tone",
            "after the beep",
            "at the tone",
            "at the beep",
            "you have reached",
            "youve reached",
            "voicemail of",
            "voicemail box",
            "voicemail system",
            "voice mailbox",
            "voice mail box",
            "voice messaging",
            "mailbox is full",
            "answering machine of",
            "not available to take",
            "you are calling is",
            "you have dialed is",
            "unable to take your call",
            "cant take your call",
            "cannot take your call",
            "cant come to the phone",
            "cannot come to the phone",
            "not able to answer",
            "forwarded to voice",
            "forwarded to an automatic",
        ),
        doc="words of machines; `*` is up to two words",
    )
    human: tuple[str, ...] = setting(
        default=(
            "how can i help",
            "how may i help",
            "can i help you",
            "may i help you",
            "what can i do for you",
            "whos calling",
            "who is calling",
            "who is this",
            "whos this",
            "how are you",
            "speaking how",
        ),
        doc="words of people, after which the length of what they say means nothing",
    )
    # -- the tone
    beep_low_hz: int = setting(default=380, doc="frequency of the tone, at least", ge=200, le=3_400)
    beep_high_hz: int = setting(default=2_100, doc="frequency of the tone, at most", ge=200, le=3_400)
    beep_min_ms: int = setting(default=140, doc="length of the tone, at least", ge=100)
    beep_max_ms: int = setting(default=4_000, doc="length of the tone, at most; what is longer is a fax", ge=200)
    beep_dbfs: float = setting(default=-42.0, doc="level (RMS) of the tone, at least", ge=-50, le=0)
    # -- the message
    silence_ms: int = setting(
        default=2_500, doc="silence of a machine after which the message is left without a tone", ge=500
    )
    wait_ms: int = setting(
        default=45_000, doc="time for which a machine's tone or silence is waited for, then the call ends", ge=1_000
    )
    lead_ms: int = setting(default=250, doc="time from the end of the tone to the message", ge=0)


class Voicemail:
    """Follows one call.

    owner: pushes. beeps: gives the ears a detector or takes it away. hush: keeps the bot silent. deafen: has
    nothing more of the other side be heard. message: fills in what is to be left.
    """

    def __init__(
        self,
        settings: VoicemailSettings,
        owner: Processor,
        *,
        beeps: Callable[[BeepDetector | None], None],
        hush: Callable[[str | None], None],
        deafen: Callable[[], None],
        message: Callable[[], str],
    ) -> None:
        if settings.policy == "message" and not settings.message.strip():
            raise MannersError.of("manners.no-message")
        self._settings = settings
        self._owner = owner
        self._set_beeps, self._hush, self._deafen, self._message = beeps, hush, deafen, message
        self._machines, self._people = Phrases(settings.phrases), Phrases(settings.human)
        self.state: Literal["off", "looking", "person", "machine", "speaking", "told"] = "off"
        self._sure = False  # that it is a person
        self._answered_ms = 0
        self._first_ms = -1  # when the first words began
        self._speaking = False
        self._text = ""
        self._beeps: BeepDetector | None = None
        self._beep_began_ms = 0  # the media time from which the detector counts
        self._messages = 0
        self._again = False
        self._settling_ms = 0
        self._budget = Timer(owner)
        self._length = Timer(owner)
        self._pause = Timer(owner)
        self._wait = Timer(owner)
        self._lead = Timer(owner)

    @property
    def swallows(self) -> bool:
        """Whether the turns of the other side are none of the agent's business: a machine speaks."""
        return self.state in ("machine", "speaking", "told")

    @property
    def looks(self) -> bool:
        """Whether words may still tell a machine."""
        return self.state == "looking" or (self.state == "person" and not self._sure)

    def start(self, at_ms: int) -> None:
        """The call was answered."""
        settings = self._settings
        if self._owner.call.direction != "outbound" and not settings.inbound:
            return
        self.state = "looking"
        self._answered_ms = at_ms
        self._beeps = BeepDetector(
            settings.beep_low_hz, settings.beep_high_hz, settings.beep_min_ms, settings.beep_max_ms, settings.beep_dbfs
        )
        self._set_beeps(self._beeps)
        self._budget.after(settings.budget_ms, self._time_is_up)

    # -- what is heard

    def speech(self, began_ms: int) -> None:
        """Speech has begun."""
        self._speaking = True
        self._pause.stop()
        self._wait_on()
        if self.state == "looking":
            if self._first_ms < 0:
                self._first_ms = began_ms
            self._length.at(self._first_ms + self._settings.speech_ms, self._long)

    def silence(self, ended_ms: int) -> None:
        """Speech is over, since `ended_ms`."""
        self._speaking = False
        self._length.stop()
        if self.state == "looking":
            self._pause.at(ended_ms + self._settings.pause_ms, self._paused)
        elif self.state == "machine":
            self._pause.at(ended_ms + self._settings.silence_ms, self._greeted)

    def words(self, text: str, *, final: bool) -> None:
        """Words were recognized; those that may still change as well."""
        if not self.looks or not text.strip():
            return
        whole = f"{self._text} {text}"
        phrase = self._machines.find(whole)
        if phrase is not None:
            self._is_machine("words", phrase)
            return
        if final:
            # A phrase may be cut in two by the recognizer; more than this of what came before is not needed for it.
            self._text = " ".join(whole.split()[-8:])
            if self.state == "looking" and self._people.find(whole) is not None:
                self._is_person("words")

    def beep(self, beep: Beep, at_ms: int) -> None:
        """A tone is over, just now."""
        if self.state in ("off", "told", "person"):
            return  # a person's telephone beeps too: another call waits
        length = beep.ended_ms - beep.began_ms
        self._owner.emit(VoicemailBeep(began_ms=at_ms - length, ended_ms=at_ms, hz=beep.hz, dbfs=beep.dbfs))
        if self.state == "looking":
            self._is_machine("beep")
        if self.state == "machine":
            self._pause.stop()
            self._lead.after(self._settings.lead_ms, self._after_beep)
        elif self.state == "speaking" and self._messages < _MOST_MESSAGES:
            self._again = True

    # -- verdicts

    def _long(self) -> None:
        if self._beeps is not None and self._beeps.sounding:
            return  # it is the tone that sounds like speech
        self._is_machine("speech")

    def _paused(self) -> None:
        """What was said first is over."""
        self._is_person("answer")

    def _time_is_up(self) -> None:
        if self.state == "looking":
            self._is_person("time")
        if self.state == "person":
            self._sure = True

    def _is_person(self, by: Literal["answer", "words", "time"]) -> None:
        self.state = "person"
        self._sure = by != "answer"
        self._length.stop()
        self._pause.stop()
        self._set_beeps(None)
        self._owner.emit(VoicemailRuledOut(by=by, took_ms=self._took_ms()))

    def _is_machine(self, by: Literal["words", "speech", "beep"], phrase: str = "") -> None:
        self.state = "machine"
        for timer in (self._budget, self._length, self._pause):
            timer.stop()
        owner = self._owner
        owner.emit(VoicemailDetected(by=by, took_ms=self._took_ms(), phrase=phrase))
        if self._settings.policy == "hang_up":
            owner.call.end(_BECAUSE, after="now")
            return
        self._set_beeps(self._beeps)
        self._hush(_BECAUSE)
        if any(reply.interruptible for reply in owner.call.replies.open.values()):
            owner.push(InterruptionRequestFrame(_BECAUSE), upstream=True)
        self._wait.after(self._settings.wait_ms, self._give_up)
        if not self._speaking:
            self._pause.after(self._settings.silence_ms, self._greeted)

    def _took_ms(self) -> int:
        return self._owner.call.clock.at_ms() - self._answered_ms

    # -- the message

    def _wait_on(self) -> None:
        if self.state == "machine" and not self._lead.armed:
            self._pause.stop()

    def _after_beep(self) -> None:
        self._begin("beep")

    def _greeted(self) -> None:
        if self._beeps is not None and self._beeps.sounding:
            self._pause.after(self._settings.silence_ms, self._greeted)
            return
        self._begin("silence")

    def _give_up(self) -> None:
        if self.state == "machine":
            now = self._owner.call.clock.at_ms()
            self._owner.emit(VoicemailMessage(after="nothing", began_ms=now, complete=False))
            self._owner.call.end(_BECAUSE, after="now")

    def _begin(self, after: Literal["beep", "silence"]) -> None:
        owner = self._owner
        self._wait.stop()
        self._pause.stop()
        if owner.call.engine.ending:
            return
        if self._settings.policy == "tell":
            self._tell()
            return
        self.state = "speaking"
        owner.spawn(self._leave(after), name="leaves a message", lasting=True)

    async def _leave(self, after: Literal["beep", "silence"]) -> None:
        """Say the message, to its end; once more if the tone came only then."""
        call = self._owner.call
        text = self._message()
        while True:
            self._messages += 1
            self._again = False
            began_ms = call.clock.at_ms()
            reply = call.say(text, interruptible=False)
            complete = False
            try:
                # What is still played when nobody is there any more was not left.
                complete = (await reply).complete and not call.engine.ending
            finally:  # also when the machine hangs up in the middle of it
                self._owner.emit(VoicemailMessage(after=after, began_ms=began_ms, complete=complete, text=reply.text))
            if not self._again or call.engine.ending:
                break
            after = "beep"
        self._set_beeps(None)
        if not call.engine.ending:
            call.end(_BECAUSE)

    def _tell(self) -> None:
        """Give the agent its turn, when that of the machine is over and none of its sounds can become another."""
        owner = self._owner
        self._set_beeps(None)
        self._deafen()
        self._settling_ms += _SETTLE_MS
        if owner.call.turns.user_speaking and self._settling_ms < _SETTLED_MS:
            self._lead.after(_SETTLE_MS, self._tell)
            return
        self.state = "told"
        self._hush(None)
        owner.push(UserTurnFrame(owner.call.turns.new(), self._settings.notice, "text"))

    def told_and_answered(self) -> None:
        """The agent has begun to speak: what the machine says meanwhile needs no answer."""
        if self.state == "told":
            self._hush(_BECAUSE)

    def close(self) -> None:
        for timer in (self._budget, self._length, self._pause, self._wait, self._lead):
            timer.stop()
