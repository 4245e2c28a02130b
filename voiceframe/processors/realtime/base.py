"""Realtime: what all models that hear and speak themselves have in common."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, ClassVar, Final, Literal

from ...audio import AudioFormat
from ...call import Call
from ...errors import ProviderError
from ...events import LoggedEvent
from ...frames import (
    ClipFrame,
    EndFrame,
    Frame,
    HeardFrame,
    InputAudioFrame,
    InputDTMFFrame,
    InterruptionFrame,
    InterruptionRequestFrame,
    PlayedAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
    TextFrame,
    UpdateSettingsFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
)
from ...processor import Processor, handles, observes
from ...provider import Place, Vendor, api_key, choose
from ...replies import Reply
from ...tools import AnyTool
from ..agents.approvals import Approval
from .connection import Connection
from .ears import Ears
from .mouth import Mouth
from .record import Record
from .settings import RealtimeSettings
from .sound import Sound
from .state import Turn, Wish
from .stream import (
    CallerSaid,
    RealtimeConfig,
    RealtimeEvent,
    RealtimeStream,
    Refused,
    ResponseBegan,
    ResponseEnded,
    SpeechBegan,
    SpeechStopped,
    Spoken,
    SpokenText,
    ToolWanted,
    TurnTaken,
)
from .tools import Tools

__all__ = ["Realtime", "RealtimeSettings"]

#: How long the end of a call waits for what is being said.
_END_S: Final = 3
_BY_NAME: Final = {"openai": ".openai:OpenAIRealtime"}


class Realtime(Processor):
    """A model that hears and speaks itself stands in the place of VAD, STT, agent and TTS:

        Pipeline([call.transport.input(), OpenAIRealtime("You book appointments."), call.transport.output()])

    A vendor is a subclass with `open()`, which gives a stream; all else is done here: frames and events as of a cascade
    (turns, transcripts, replies with what was heard of them, usage, times), tools, a greeting, what the program says
    (`call.say()` is spoken by the model), keys, and connections: one is made while the phone rings; one that is lost is
    made again, told the conversation as it was heard, and sent what was not answered of the caller's sound.

    With turns of the vendor's it is the turn taking of its pipeline, and interrupts. With `own_turns` it stands behind
    a VAD, an STT and `Turns`, whose `UserTurnFrame` it answers.

    instructions: a text, or a function of the call that returns one. greeting: said when the call begins; the same.
    tools: as of an agent; their results always reach the conversation, and are spoken of if their turn is current.

    Raises `ProviderError` (`provider.unsupported`) for a tool that wants agreement: nobody could ask for it.
    """

    vendor: ClassVar[Vendor]
    #: Whether somebody else decides when a turn is over.
    own_turns: bool = False

    def __init__(
        self,
        instructions: str | Callable[[Call], str] = "",
        *,
        tools: Iterable[AnyTool] = (),
        greeting: str | Callable[[Call], str] | None = None,
        settings: RealtimeSettings | None = None,
        place: Place | None = None,
        api_key: str = "",
    ) -> None:
        self.instructions = instructions
        self.greeting = greeting
        self.settings = settings or RealtimeSettings.load()
        self.place = place or Place()
        self._given_key = api_key
        self.calls = Tools(self)
        self.calls.box.add(tools)
        self.tools = self.calls.box.tools
        for tool in self.tools.values():
            if (tool.confirm and tool.confirm != "operator") or tool.on_duplicate == "confirm":
                raise ProviderError.of(
                    "provider.unsupported",
                    vendor=self.vendor.name,
                    what=f"ask the caller for agreement before the tool {tool.name}",
                    by=f"{type(self).__name__}(tools=...)",
                    instead="an `Agent`",
                )
        #: The format of the sound in both directions.
        self.format: AudioFormat = self.produces[0]
        #: What both have said, as it was heard.
        self.record = Record()
        self.link = Connection(self)
        self.mouth = Mouth(self)
        self.sound = Sound(self.settings.keep_ms, self.settings.lead_ms)
        #: The last turn of the caller, and whether they are speaking now.
        self.turn: Turn | None = None
        self.speaking = False
        self.ears = Ears(self)
        self._heard_ms: dict[int, float] = {}
        self._keys = ""
        self._keys_timer: asyncio.TimerHandle | None = None
        self._unsubscribe: Callable[[], None] | None = None

    @staticmethod
    def by_name(name: str = "", *arguments: Any, **more: Any) -> Realtime:
        """The one of this name, made with these arguments; by default the one of the settings.

        Raises `ProviderError` (`provider.unknown`) for a name that there is not.
        """
        found = choose("realtime model", name or RealtimeSettings.load().provider, _BY_NAME, by="Realtime.by_name(...)")
        module, _, cls = found.partition(":")
        made: Realtime = getattr(import_module(module, __package__), cls)(*arguments, **more)
        return made

    # -- for a vendor

    @abc.abstractmethod
    async def open(self, config: RealtimeConfig) -> RealtimeStream:
        """A stream. Raises whatever goes wrong."""

    @property
    def model(self) -> str:
        """For events and prices."""
        return ""

    def changed(self, changes: dict[str, Any]) -> None:
        """Other settings of the vendor's own, from `UpdateSettingsFrame`."""
        raise TypeError(f"{self.name} has no settings that change")

    @property
    def key(self) -> str:
        """The API key. Raises `ProviderError` (`provider.key`) if there is none."""
        return api_key(self.vendor, self._given_key, type(self).__name__)

    def config(self) -> RealtimeConfig:
        """What a stream is opened for, now."""
        instructions = self.instructions(self.call) if callable(self.instructions) else self.instructions
        return RealtimeConfig(
            self.format, instructions, tuple(tool.spec() for tool in self.tools.values()), self.own_turns
        )

    # -- the life of the call

    async def prepare(self) -> None:
        """Load what is needed to connect, while the phone rings. Raises what the user must put right."""

    async def setup(self) -> None:
        """Connect while the phone rings. A vendor that is down does not fail the call; one that refuses does."""
        _ = self.key
        await self.prepare()
        self.format = self._choose()
        self.sound.gated = self.own_turns
        self.call.replies.closed_listeners.append(self._on_closed)
        self._unsubscribe = self.call.log.subscribe(self._on_event)
        error = await self.link.start(self.settings.warm_ms)
        if error is not None and not error.retryable:
            raise error

    def _choose(self) -> AudioFormat:
        """What the line has, if the vendor takes it: then nothing is ever decoded."""
        line = (*self.call.transport.output().accepts, *self.call.transport.input().produces)
        return next((format for format in line if format in self.produces), self.produces[0])

    async def cleanup(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        for timer in (self._keys_timer, self.turn.timer if self.turn else None):
            if timer is not None:
                timer.cancel()
        await self.link.aclose()

    @handles(StartFrame)
    def on_start(self, frame: StartFrame) -> Frame | None:
        if self.greeting is None:
            return None
        # It goes the way of all that a program says: to this very processor.
        self.call.say(self.greeting(self.call) if callable(self.greeting) else self.greeting)
        return None

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """What is being said is said to its end, and whatever was begun ends."""
        await self.calls.box.stop("the call has ended")
        while self.mouth.playing:
            self.mouth.quiet.clear()
            await self.mouth.quiet.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                while self.mouth.busy:
                    self.mouth.quiet.clear()
                    await self.mouth.quiet.wait()
        self.mouth.end_all()

    # -- the caller

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        length_ms = frame.audio.duration_ms
        self.sound.add(frame.audio.to(self.format), frame.at_ms - length_ms, length_ms)
        self.link.wake()

    @observes(VADUserStartedSpeakingFrame)
    def on_speech(self, frame: VADUserStartedSpeakingFrame) -> None:
        if self.own_turns:
            self.sound.speaking = True
            self.link.wake()

    @handles(UserTurnFrame)
    def on_turn(self, frame: UserTurnFrame) -> Frame:
        """Somebody else has made a turn: of what was said, of keys, or of a text."""
        spoken = frame.source == "speech" and self.own_turns
        key = f"turn {frame.turn}"
        self.ears.new_turn(Turn(frame.turn, key, asyncio.get_running_loop().time(), frame.at_ms, pushed=True))
        turn = self.turn
        assert turn is not None
        turn.text, turn.known = frame.text, True
        self.record.said(key, frame.text)
        if spoken:
            self.link.tell(lambda stream: self.ears.commit(stream, turn))
        else:
            self.link.tell(lambda stream: stream.send_text(frame.text, "user"))
        self.mouth.want(Wish(self.mouth.tag(), turn))
        return frame

    @property
    def busy(self) -> bool:
        """Whether somebody speaks, or is about to."""
        return self.mouth.busy or self.speaking or self.sound.speaking

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> Frame:
        if not self.own_turns:
            self.stop_for("key")
            self._keys += frame.digit if frame.digit != "#" or not self._keys else ""
            if self._keys_timer is not None:
                self._keys_timer.cancel()
            wait_s = 0.0 if frame.digit == "#" else self.settings.keys_ms / 1000
            self._keys_timer = asyncio.get_running_loop().call_later(wait_s, self._keys_over)
        return frame

    def _keys_over(self) -> None:
        keys, self._keys = self._keys, ""
        if keys:
            # Pushed from here it passes by this processor, so it is handled as one that has come.
            self.push(self.on_turn(UserTurnFrame(self.call.turns.new(), keys, "dtmf", at_ms=self.call.clock.at_ms())))

    def _on_event(self, event: LoggedEvent) -> None:
        if self.own_turns and event.kind == "speech.discarded" and not self.call.engine.finished:
            self.sound.drop()
            self.link.tell(lambda stream: stream.clear())

    # -- tools

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """The calls of tools that wait for an operator."""
        return tuple(wish.approval for wish in self.calls.box.approvals.wishes.values())

    def approve(self, call_id: str, *, by: str) -> bool:
        """Let a tool run that waits for an operator. by: `"operator:ann"`. False if nobody waits for it (any more)."""
        return self.calls.box.approvals.decide(call_id, True, by, "")

    def decline(self, call_id: str, *, by: str, reason: str = "") -> bool:
        """Do not let it run. reason: for the model, as a clause."""
        return self.calls.box.approvals.decide(call_id, False, by, reason)

    @property
    def spoken(self) -> bool:
        """Whether something was said to the last turn."""
        return self.turn is not None and self.turn.spoken

    def utter(self, text: str, *, meanwhile: bool = False, filler: bool = False) -> None:
        """Have the model say this, as a reply of its own."""
        if text.strip() and not self.call.engine.finished and not (filler and self.speaking):
            self.call.say(text.strip())

    # -- what others say

    @handles(ReplyStartedFrame)
    def on_reply(self, frame: ReplyStartedFrame) -> Frame:
        self.mouth.texts[frame.reply] = []
        return frame

    @handles(ClipFrame)
    def on_clip(self, frame: ClipFrame) -> None:
        """A file that is played as a reply of its own."""
        self.mouth.clips[frame.reply] = frame

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> None:
        self.mouth.texts.setdefault(frame.reply, []).append(frame.text)

    @handles(ReplyEndedFrame)
    def on_reply_end(self, frame: ReplyEndedFrame) -> Frame | None:
        text = "".join(self.mouth.texts.get(frame.reply, ()))
        clip = self.mouth.clips.pop(frame.reply, None)
        if clip is not None:
            self.mouth.want(Wish(self.mouth.tag(), reply=frame.reply, clip=clip))
            return None
        if not text.strip():
            self.mouth.texts.pop(frame.reply, None)
            return frame
        self.mouth.want(Wish(self.mouth.tag(), reply=frame.reply, say=text))
        return None

    def send(self, text: str, role: Literal["user", "system"] = "system", *, respond: bool = False) -> None:
        """Let the model know something, and answer to it now if `respond`."""
        self.record.told(text, role)
        self.link.tell(lambda stream: stream.send_text(text, role))
        if respond:
            self.mouth.want(Wish(self.mouth.tag(), self.turn))

    # -- interruptions

    @handles(InterruptionRequestFrame)
    def on_request(self, frame: InterruptionRequestFrame) -> Frame | None:
        return self._asked_to_stop(frame)

    @handles(InterruptionRequestFrame, upstream=True)
    def on_request_from_below(self, frame: InterruptionRequestFrame) -> Frame | None:
        return self._asked_to_stop(frame)

    def _asked_to_stop(self, frame: InterruptionRequestFrame) -> Frame | None:
        if self.own_turns:
            return frame
        self.stop_for(frame.reason or "asked")
        return None

    def stop_for(self, reason: str) -> None:
        """Stop what is said, or is about to be."""
        if any(reply.interruptible and not reply.swept for reply in self.call.replies.open.values()):
            self.interrupt(reason)
        elif self.mouth.response is not None and not self.mouth.response.begun:
            self.link.tell(lambda stream: stream.cancel())  # it was about to answer what is no longer the last word

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        for begun in (self.mouth.texts, self.mouth.clips):
            for reply in [reply for reply in begun if not self.alive(reply)]:
                del begun[reply]
        self.mouth.wishes = deque(w for w in self.mouth.wishes if not w.reply or self.alive(w.reply))
        response = self.mouth.response
        if response is not None and not response.over and response.reply and not self.alive(response.reply):
            self.link.tell(lambda stream: stream.cancel())

    @observes(PlayedAudioFrame, upstream=True)
    def on_played(self, frame: PlayedAudioFrame) -> None:
        if frame.reply in self.mouth.responses:
            self._heard_ms[frame.reply] = self._heard_ms.get(frame.reply, 0.0) + frame.audio.duration_ms

    @handles(HeardFrame, upstream=True, concurrent=True)
    def on_heard(self, frame: HeardFrame) -> Frame:
        if frame.text:
            self.record.heard(frame.reply, frame.text)
        return frame

    def _on_closed(self, reply: Reply) -> None:
        """A reply is over; of one that was cut the model has to know how much was heard."""
        heard_ms = self._heard_ms.pop(reply.number, 0.0)
        response = self.mouth.responses.pop(reply.number, None)
        cut = reply.heard is not None and not reply.heard.complete
        if response is None or not cut or not response.item or response.stream is not self.link.stream:
            return
        item, heard = response.item, round(min(max(0.0, heard_ms - response.wish.sound_ms), response.sound_ms))
        self.link.tell(lambda stream: stream.truncate(item, heard))

    # -- settings

    @handles(UpdateSettingsFrame)
    def on_settings(self, frame: UpdateSettingsFrame) -> None:
        if frame.target != self.name:
            return
        changes = dict(frame.changes)
        if "instructions" in changes:
            self.instructions = changes.pop("instructions")
        own = {name: changes.pop(name) for name in list(changes) if hasattr(self.settings, name)}
        self.settings = self.settings.replace(**own)
        if changes:
            self.changed(changes)
        config = self.config()
        self.link.stale = True
        self.link.tell(lambda stream: stream.configure(config))

    # -- another connection

    def give_up(self, error: ProviderError) -> None:
        """There is no use in trying. A call in which nobody answers any more is worse than one that ends."""
        self.mouth.wishes.clear()
        self.mouth.response = self.mouth.asked = None
        self.mouth.quiet.set()
        self.mouth.end_all()
        self.fail(error, fatal=True)

    # -- what comes

    def take(self, event: RealtimeEvent) -> None:
        match event:
            case SpeechBegan():
                self.ears.began(event)
            case SpeechStopped():
                self.ears.stopped(event)
            case TurnTaken():
                self.ears.taken(event)
            case CallerSaid():
                self.ears.said(event)
            case ResponseBegan():
                self.mouth.response_began(event)
            case Spoken():
                self.mouth.spoken(event)
            case SpokenText():
                self.mouth.spoken_text(event)
            case ToolWanted():
                self.mouth.tool_wanted(event)
            case ResponseEnded():
                self.mouth.response_ended(event)
            case Refused():
                self.mouth.refused(event)
