"""What a `Realtime` hears: speech, the turns that the vendor makes of it, and their words, whenever they come."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...events import SpeechEnded, SpeechStarted, TurnTranscribed
from ...frames import (
    InterimTranscriptionFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from .state import Turn, Wish
from .stream import CallerSaid, RealtimeStream, SpeechBegan, SpeechStopped, TurnTaken

if TYPE_CHECKING:
    from .base import Realtime

__all__ = ["Ears", "resume"]

#: How many turns wait for their words at most.
_MOST_ITEMS: Final = 20


class Ears:
    """The caller's side of a call."""

    def __init__(self, owner: Realtime) -> None:
        self._owner = owner
        self._items: dict[str, Turn] = {}
        self._stopped_ms: int | None = None
        #: The next turn that is taken is the last one, once more.
        self.adopts = False
        self._doubted_s: float | None = None

    def doubt(self) -> None:
        """The connection was lost while the caller spoke: whether they still do the next one has to say."""
        self._doubted_s = asyncio.get_running_loop().time() if self._owner.speaking else None

    def watch(self) -> None:
        """Who spoke before a connection was lost, and is not heard on the next one, has stopped."""
        doubted_s, waited_s = self._doubted_s, self._owner.settings.response_ms / 1000
        if doubted_s is not None and asyncio.get_running_loop().time() - doubted_s > waited_s:
            self._silent(self._owner.call.clock.at_ms())

    def began(self, event: SpeechBegan) -> None:
        self._doubted_s = None
        began_ms = self._owner.sound.media_ms(event.at_ms)
        self._owner.sound.speaking = True
        if self._owner.speaking:  # another connection has noticed as well
            return
        self._owner.speaking = True
        self._owner.emit(SpeechStarted(began_ms=began_ms))
        self._owner.push(VADUserStartedSpeakingFrame(began_ms=began_ms))
        self._owner.push(UserStartedSpeakingFrame())
        self._owner.call.turns.user_speaking = True
        self._owner.stop_for("caller")

    def stopped(self, event: SpeechStopped) -> None:
        self._stopped_ms = event.at_ms
        self._silent(self._owner.sound.media_ms(event.at_ms))

    def _silent(self, ended_ms: int) -> None:
        self._doubted_s = None
        self._owner.speaking = False
        self._owner.call.turns.user_speaking = False
        self._owner.emit(SpeechEnded(ended_ms=ended_ms))
        self._owner.push(VADUserStoppedSpeakingFrame(ended_ms=ended_ms))
        self._owner.push(UserStoppedSpeakingFrame())

    def taken(self, event: TurnTaken) -> None:
        if self.adopts or self._owner.own_turns:
            # It was sent once more, or somebody else has made it: it has its number.
            self.adopts = False
            turn = self._owner.turn
            if turn is not None:
                self._items[event.item] = turn
            return
        turn = Turn(
            self._owner.call.turns.new(), event.item, asyncio.get_running_loop().time(), self._owner.call.clock.at_ms()
        )
        turn.sound = self._owner.sound.take(self._stopped_ms)
        self._owner.sound.speaking = False
        self._stopped_ms = None
        self._items[event.item] = turn
        while len(self._items) > _MOST_ITEMS:
            del self._items[next(iter(self._items))]
        self._owner.record.turn(event.item)
        self.new_turn(turn)
        wait_s = self._owner.settings.transcript_ms / 1000
        turn.timer = asyncio.get_running_loop().call_later(wait_s, self.push_turn, turn)

    def new_turn(self, turn: Turn) -> None:
        before, self._owner.turn = self._owner.turn, turn
        self._owner.calls.leave()
        if before is not None:
            self.push_turn(before)
            before.sound = []

    def push_turn(self, turn: Turn) -> None:
        """The turn is committed, with what is known of its words."""
        if turn.timer is not None:
            turn.timer.cancel()
            turn.timer = None
        if turn.pushed or self._owner.call.engine.finished:
            return
        turn.pushed, turn.pushed_text = True, turn.text
        self._owner.push(UserTurnFrame(turn.number, turn.text, "speech", at_ms=turn.at_ms))

    def said(self, event: CallerSaid) -> None:
        turn = self._items.get(event.item)
        if not event.final:
            if turn is not None and not turn.known:
                turn.text = event.text
            if event.text.strip() and (turn is None or not turn.known):
                self._owner.push(InterimTranscriptionFrame(event.text))
            return
        if turn is None or turn.known:
            return
        turn.text, turn.known = event.text.strip(), True
        turn.sound = []
        self._owner.record.said(turn.key, turn.text)
        self._owner.push(TranscriptionFrame(turn.text, confidence=1.0 if turn.text else 0.0))
        if turn.pushed and turn.text != turn.pushed_text and not self._owner.own_turns:
            self._owner.emit(TurnTranscribed(turn=turn.number, text=turn.text))
        self.push_turn(turn)

    async def commit(self, stream: RealtimeStream, turn: Turn) -> None:
        turn.sound = self._owner.sound.take()
        self._owner.sound.speaking = False
        self.adopts = True
        await stream.commit()


async def resume(owner: Realtime, stream: RealtimeStream) -> None:
    """Tell a new stream what was, and let it answer what was not answered."""
    owner.sound.lost()
    owner.ears.doubt()
    turn, response, asked = owner.turn, owner.mouth.response, owner.mouth.asked
    # Its words are not known yet: it is heard once more, in its place.
    again = turn is not None and not turn.known and bool(turn.sound)
    before, after = owner.record.around(turn.key if turn is not None and again else "")
    await stream.restore(before)
    if turn is not None and again:
        config = owner.config()
        await stream.configure(replace(config, own_turns=True))  # nobody is speaking now
        for piece in turn.sound:
            await stream.send_audio(piece.data)
        owner.sound.sent_ms = sum(piece.length_ms for piece in turn.sound)
        owner.ears.adopts = True
        await stream.commit()
        await stream.configure(config)
    await stream.restore(after)
    open_turn = turn if turn is not None and not turn.answered else None
    wish: Wish | None = None
    if response is not None and not response.over and response.reply and owner.alive(response.reply):
        wish = owner.mouth.rest_of(response)
    elif response is not None and not response.over and response.runs:
        response.over = True  # its tools run; what came of them is spoken of
        owner.calls.follow(response)
    elif response is not None and not response.over and not response.begun:
        wish = response.wish
    elif asked is not None:
        wish = asked
    elif open_turn is not None and (open_turn.known or again) and not owner.mouth.wishes:
        wish = Wish(owner.mouth.tag(), open_turn)
    owner.mouth.response = owner.mouth.asked = None  # only now: this may have failed half-way
    if wish is not None:
        owner.mouth.wishes.appendleft(wish)
