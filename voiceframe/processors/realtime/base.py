"""Realtime: what all models that hear and speak themselves have in common."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar, Final, Literal

from ...audio import AudioFormat
from ...call import Call
from ...errors import ProviderError
from ...events import LoggedEvent, SpeechEnded, SpeechStarted
from ...frames import (
    EndFrame,
    Frame,
    HeardFrame,
    InputAudioFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    InterruptionRequestFrame,
    PlayedAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
    UpdateSettingsFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from ...processor import Processor, handles, observes
from ...provider import Place, Vendor, api_key, choose
from ...replies import Reply
from ...tools import AnyTool
from .connection import Connection
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
        self.tools = {tool.name: tool for tool in tools}
        for tool in self.tools.values():
            if tool.confirm:
                raise ProviderError.of(
                    "provider.unsupported",
                    vendor=self.vendor.name,
                    what=f"ask for agreement before the tool {tool.name}",
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
        self._items: dict[str, Turn] = {}
        self._adopts = False  # the next turn that is taken is that one, once more
        self._stopped_ms: int | None = None
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
        self._new_turn(Turn(frame.turn, key, asyncio.get_running_loop().time(), frame.at_ms, pushed=True))
        turn = self.turn
        assert turn is not None
        turn.text, turn.known = frame.text, True
        self.record.said(key, frame.text)
        if spoken:
            self.link.tell(lambda stream: self._commit(stream, turn))
        else:
            self.link.tell(lambda stream: stream.send_text(frame.text, "user"))
        self.mouth.want(Wish(self.mouth.tag(), turn))
        return frame

    @property
    def busy(self) -> bool:
        """Whether somebody speaks, or is about to."""
        return self.mouth.busy or self.speaking or self.sound.speaking

    async def _commit(self, stream: RealtimeStream, turn: Turn) -> None:
        turn.sound = self.sound.take()
        self.sound.speaking = False
        self._adopts = True
        await stream.commit()

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> Frame:
        if not self.own_turns:
            self._interrupt("key")
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

    # -- what others say

    @handles(ReplyStartedFrame)
    def on_reply(self, frame: ReplyStartedFrame) -> Frame:
        self.mouth.texts[frame.reply] = []
        return frame

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> None:
        self.mouth.texts.setdefault(frame.reply, []).append(frame.text)

    @handles(ReplyEndedFrame)
    def on_reply_end(self, frame: ReplyEndedFrame) -> Frame | None:
        text = "".join(self.mouth.texts.get(frame.reply, ()))
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
        self._interrupt(frame.reason or "asked")
        return None

    def _interrupt(self, reason: str) -> None:
        if any(reply.interruptible and not reply.swept for reply in self.call.replies.open.values()):
            self.interrupt(reason)
        elif self.mouth.response is not None and not self.mouth.response.begun:
            self.link.tell(lambda stream: stream.cancel())  # it was about to answer what is no longer the last word

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        for reply in [reply for reply in self.mouth.texts if not self.alive(reply)]:
            del self.mouth.texts[reply]
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
        self.link.tell(lambda stream: stream.configure(config))

    # -- another connection

    def give_up(self, error: ProviderError) -> None:
        """There is no use in trying: nothing will be answered any more."""
        self.fail(error)
        self.mouth.wishes.clear()
        self.mouth.response = self.mouth.asked = None
        self.mouth.quiet.set()
        self.mouth.end_all()

    async def resume(self, stream: RealtimeStream) -> None:
        """Tell a new stream what was, and let it answer what was not answered."""
        self.sound.lost()
        turn, response, asked = self.turn, self.mouth.response, self.mouth.asked
        # Its words are not known yet: it is heard once more, in its place.
        again = turn is not None and not turn.known and bool(turn.sound)
        before, after = self.record.around(turn.key if turn is not None and again else "")
        await stream.restore(before)
        if turn is not None and again:
            config = self.config()
            await stream.configure(replace(config, own_turns=True))  # nobody is speaking now
            for piece in turn.sound:
                await stream.send_audio(piece.data)
            self.sound.sent_ms = sum(piece.length_ms for piece in turn.sound)
            self._adopts = True
            await stream.commit()
            await stream.configure(config)
        await stream.restore(after)
        open_turn = turn if turn is not None and not turn.answered else None
        wish: Wish | None = None
        if response is not None and not response.over and response.reply and self.alive(response.reply):
            wish = self.mouth.rest_of(response)
        elif response is not None and not response.over and not response.begun:
            wish = response.wish
        elif asked is not None:
            wish = asked
        elif open_turn is not None and (open_turn.known or again) and not self.mouth.wishes:
            wish = Wish(self.mouth.tag(), open_turn)
        self.mouth.response = self.mouth.asked = None  # only now: this may have failed half-way
        if wish is not None:
            self.mouth.wishes.appendleft(wish)

    # -- what comes

    def take(self, event: RealtimeEvent) -> None:
        match event:
            case SpeechBegan():
                self._speech_began(event)
            case SpeechStopped():
                self._speech_stopped(event)
            case TurnTaken():
                self._turn_taken(event)
            case CallerSaid():
                self._caller_said(event)
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

    def _speech_began(self, event: SpeechBegan) -> None:
        began_ms = self.sound.media_ms(event.at_ms)
        self.sound.speaking = True
        if self.speaking:  # another connection has noticed as well
            return
        self.speaking = True
        self.emit(SpeechStarted(began_ms=began_ms))
        self.push(VADUserStartedSpeakingFrame(began_ms=began_ms))
        self.push(UserStartedSpeakingFrame())
        self.call.turns.user_speaking = True
        self._interrupt("caller")

    def _speech_stopped(self, event: SpeechStopped) -> None:
        ended_ms = self.sound.media_ms(event.at_ms)
        self._stopped_ms = event.at_ms
        self.speaking = False
        self.call.turns.user_speaking = False
        self.emit(SpeechEnded(ended_ms=ended_ms))
        self.push(VADUserStoppedSpeakingFrame(ended_ms=ended_ms))
        self.push(UserStoppedSpeakingFrame())

    def _turn_taken(self, event: TurnTaken) -> None:
        if self._adopts or self.own_turns:
            # It was sent once more, or somebody else has made it: it has its number.
            self._adopts = False
            turn = self.turn
            if turn is not None:
                self._items[event.item] = turn
            return
        turn = Turn(self.call.turns.new(), event.item, asyncio.get_running_loop().time(), self.call.clock.at_ms())
        turn.sound = self.sound.take(self._stopped_ms)
        self.sound.speaking = False
        self._stopped_ms = None
        self._items[event.item] = turn
        self.record.turn(event.item)
        self._new_turn(turn)
        wait_s = self.settings.transcript_ms / 1000
        turn.timer = asyncio.get_running_loop().call_later(wait_s, self.push_turn, turn)

    def _new_turn(self, turn: Turn) -> None:
        before, self.turn = self.turn, turn
        if before is not None:
            self.push_turn(before)
            before.sound = []

    def push_turn(self, turn: Turn) -> None:
        """The turn is committed, with what is known of its words."""
        if turn.timer is not None:
            turn.timer.cancel()
            turn.timer = None
        if turn.pushed or self.call.engine.finished:
            return
        turn.pushed = True
        self.push(UserTurnFrame(turn.number, turn.text, "speech", at_ms=turn.at_ms))

    def _caller_said(self, event: CallerSaid) -> None:
        turn = self._items.get(event.item)
        if not event.final:
            if turn is not None and not turn.known:
                turn.text = event.text
            if event.text.strip() and (turn is None or not turn.known):
                self.push(InterimTranscriptionFrame(event.text))
            return
        if turn is None or turn.known:
            return
        turn.text, turn.known = event.text.strip(), True
        turn.sound = []
        self.record.said(turn.key, turn.text)
        self.push(TranscriptionFrame(turn.text, confidence=1.0 if turn.text else 0.0))
        self.push_turn(turn)
        while len(self._items) > 20:
            del self._items[next(iter(self._items))]
