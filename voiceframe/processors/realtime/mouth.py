"""What a `Realtime` says: responses that are wanted, one that is under way, and the replies that they become.

want() ──▶ asked for ──▶ begun ──▶ sound and words, a reply ──▶ ended
              └──────────▶ tools are called ──▶ their results are told ──▶ want()
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from ...audio import Audio
from ...errors import SpeechError
from ...events import ProviderLost, ProviderTTFB, ProviderUsage
from ...frames import (
    ClipFrame,
    Frame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
)
from ...prices import Amounts, cost, prices
from .clips import played
from .state import Response, Wish
from .stream import RealtimeStream, Refused, ResponseBegan, ResponseEnded, Spoken, SpokenText, ToolWanted

if TYPE_CHECKING:
    from .base import Realtime

__all__ = ["Mouth"]


class Mouth:
    """The responses of a call. One is under way at a time."""

    def __init__(self, owner: Realtime) -> None:
        self._owner = owner
        self.wishes: deque[Wish] = deque()
        #: Asked for, and not begun.
        self.asked: Wish | None = None
        #: Begun, and not ended.
        self.response: Response | None = None
        #: By reply, as long as it may be cut.
        self.responses: dict[int, Response] = {}
        #: Replies that somebody else has begun, with what they are to say.
        self.texts: dict[int, list[str]] = {}
        #: Set when a response is over.
        self.quiet = asyncio.Event()
        self.clips: dict[int, ClipFrame] = {}
        #: The reply whose file is played, and what has come of others meanwhile.
        self.playing = 0
        self._held: list[Frame] = []
        self._tags = 0

    @property
    def busy(self) -> bool:
        """Whether something is being said, or is to be."""
        return bool(self.response or self.asked or self.wishes or self.playing)

    def end_all(self) -> None:
        """Whatever was begun ends."""
        for reply in [*self.texts, *self.responses]:
            self.end_reply(reply)

    def tag(self) -> str:
        """A name for a response that is to be asked for."""
        self._tags += 1
        return f"r{self._tags}"

    def want(self, wish: Wish) -> None:
        """Ask for this response, behind those that are wanted already."""
        self.wishes.append(wish)
        self.play()
        self._owner.link.wake()

    async def ask(self, stream: RealtimeStream) -> None:
        """Ask for the next response, if none is under way."""
        while self.wishes and self.response is None and self.asked is None and not self.playing:
            if self.wishes[0].clip is not None:
                self.play()
                continue
            wish = self.wishes.popleft()
            if wish.reply and not self._owner.alive(wish.reply):
                continue
            if wish.turn is not None and wish.turn is not self._owner.turn:
                if wish.reply:
                    self.end_reply(wish.reply)
                continue  # the caller has said something else since
            wish.asked_s = asyncio.get_running_loop().time()
            self.asked = wish
            await stream.respond(wish.tag, say=wish.say, said="" if wish.say else wish.said)

    def hand_on(self, frame: Frame, reply: int) -> None:
        """Push it, or keep it while a file is played: two voices at once are none."""
        if self.playing and reply != self.playing:
            self._held.append(frame)
        else:
            self._owner.push(frame)

    # -- files

    def play(self) -> None:
        """Play the file that is next, if nobody speaks."""
        while self.wishes and self.wishes[0].clip is not None and not (self.response or self.asked or self.playing):
            wish = self.wishes.popleft()
            assert wish.clip is not None
            if self._owner.alive(wish.reply):
                self.playing = wish.reply
                self._owner.spawn(self._play(wish.clip), name=f"{self._owner.name} plays", lasting=True)

    async def _play(self, clip: ClipFrame) -> None:
        try:
            await played(self._owner, clip)
        except SpeechError as error:
            self._owner.fail(error)
        finally:
            self.playing = 0
            if not self._owner.call.engine.finished:
                self.end_reply(clip.reply)
                held, self._held = self._held, []
                for frame in held:
                    self._owner.push(frame)
            self.quiet.set()
            self.play()
            self._owner.link.wake()

    # -- what comes

    def rest_of(self, response: Response) -> Wish:
        """The rest of an answer that was cut off by the connection: it goes on in the same reply."""
        wish = response.wish
        unheard = response.placer.rest
        said = wish.said + response.text[: len(response.text) - len(unheard)]
        rest = wish.say[len(said) :].strip() if said and wish.say.startswith(said) else ""
        return Wish(
            self.tag(),
            wish.turn,
            response.reply,
            rest if wish.say and rest else wish.say if not said else "",
            said,
            unheard + response.skip,
            wish.sound_ms + response.sound_ms,
        )

    def response_began(self, event: ResponseBegan) -> None:
        wish = self.asked
        if wish is not None and event.tag == wish.tag:
            self.asked = None
        else:
            wish = Wish(event.tag, self._owner.turn, asked_s=self._owner.turn.taken_s if self._owner.turn else 0.0)
        now = asyncio.get_running_loop().time()
        self.response = Response(event.response, wish, self._owner.link.stream, skip=wish.skip, started_s=now)

    def _begin(self, response: Response) -> bool:
        """Its first sound or words have come. Whether it is to be heard."""
        if response.begun:
            return bool(response.reply) and self._owner.alive(response.reply)
        response.begun = True
        wish, turn = response.wish, response.wish.turn
        if wish.asked_s:
            waited_ms = round((asyncio.get_running_loop().time() - wish.asked_s) * 1000)
            self._owner.emit(
                ProviderTTFB(
                    vendor=self._owner.vendor.name,
                    service="realtime",
                    processor=self._owner.name,
                    model=self._owner.model,
                    ttfb_ms=waited_ms,
                )
            )
        if turn is not None:
            turn.answered = turn.spoken = True
            self._owner.ears.push_turn(turn)
        if self._owner.call.turns.silence is not None and not wish.reply:
            number = 0
        else:
            number = wish.reply or self._owner.begin_reply(turn.number if turn is not None else None)
        response.reply = number
        if not number or not self._owner.alive(number):
            self._owner.link.tell(lambda stream: stream.cancel())
            return False
        if wish.reply:
            self.texts.pop(number, None)
        else:
            self._owner.push(ReplyStartedFrame(number, turn.number if turn is not None else None))
        self.responses[number] = response
        return True

    def spoken(self, event: Spoken) -> None:
        response = self.response
        if response is None or response.id != event.response:
            return
        response.item = event.item
        if not self._begin(response):
            return
        response.started_s = asyncio.get_running_loop().time()
        response.handed = True
        data = response.rest + event.audio
        width = self._owner.format.bytes_per_second // self._owner.format.rate
        size = len(data) - len(data) % width
        response.rest = data[size:]
        audio = Audio(data[:size], self._owner.format)
        response.sound_ms += audio.duration_ms
        words = response.placer.place((), audio.duration_ms)
        self.hand_on(OutputAudioFrame(audio, response.reply, words), response.reply)

    def spoken_text(self, event: SpokenText) -> None:
        response = self.response
        if response is None or response.id != event.response or not event.text or not self._begin(response):
            return
        text, said = event.text, response.wish.said
        if said and not said[-1].isspace() and not response.text and not text[:1].isspace():
            text = f" {text}"  # it goes on behind what was said before
        response.text += text
        response.placer.given(text)
        if response.skip.startswith(text):
            response.skip = response.skip[len(text) :]
            return
        response.skip = ""
        self._owner.push(TextFrame(text, response.reply))

    def response_ended(self, event: ResponseEnded) -> None:
        response = self.response
        if event.amounts is not None:
            self._bill(event.amounts)
        if response is None or response.id != event.response:
            return
        response.over = True
        self.response = None
        self._owner.link.wake()
        self.quiet.set()
        if response.item and not response.handed:  # it came too late to be heard
            item = response.item
            self._owner.link.tell(lambda stream: stream.truncate(item, 0))
        if self._asked_again(response, event):
            return
        if event.reason == "failed" and event.error is not None:
            self._owner.fail(event.error)
        if response.reply:
            rest = response.placer.finish()
            if rest and event.reason != "cancelled" and self._owner.alive(response.reply):
                self.hand_on(OutputAudioFrame(Audio(b"", self._owner.format), response.reply, rest), response.reply)
            self.end_reply(response.reply)
        elif response.wish.reply and not response.begun:
            self.end_reply(response.wish.reply)
        self._owner.calls.follow(response)
        self.play()

    def _asked_again(self, response: Response, event: ResponseEnded) -> bool:
        """One that has ended without a word or a call of a tool is asked for once more."""
        wish, error = response.wish, event.error
        if response.begun or response.runs or wish.again or event.reason == "cancelled":
            return False
        if (error is not None and not error.retryable) or self._owner.speaking:
            return False
        if wish.turn is not self._owner.turn or (wish.turn is None and not wish.reply):
            return False
        if error is not None:
            self._owner.emit(
                ProviderLost(
                    vendor=self._owner.vendor.name,
                    service="realtime",
                    processor=self._owner.name,
                    code=error.code,
                    status=error.status,
                    retry_ms=0,
                    message=error.message,
                )
            )
        self.wishes.appendleft(replace(wish, tag=self.tag(), again=True))
        return True

    def end_reply(self, reply: int) -> None:
        self.texts.pop(reply, None)
        if self._owner.alive(reply):
            self.hand_on(ReplyEndedFrame(reply), reply)

    def refused(self, event: Refused) -> None:
        wish = self.asked
        if event.busy:
            if wish is not None:  # the vendor had begun one of its own: behind it
                self.asked = None
                self.wishes.appendleft(wish)
            return
        self._owner.fail(event.error)
        if wish is not None and event.tag == wish.tag and not event.error.retryable:
            self.asked = None
            if wish.reply:
                self.end_reply(wish.reply)
            self._owner.link.wake()

    def tool_wanted(self, event: ToolWanted) -> None:
        response = self.response
        if response is None or response.id != event.response:
            return
        turn = response.wish.turn
        if turn is not None:
            turn.answered = True  # what was said of it is understood
            self._owner.ears.push_turn(turn)
        self._owner.calls.want(response, event.call)

    def _bill(self, amounts: Amounts) -> None:
        self._owner.emit(
            ProviderUsage(
                vendor=self._owner.vendor.name,
                service="realtime",
                processor=self._owner.name,
                model=self._owner.model,
                input_tokens=amounts.input_tokens,
                cached_tokens=amounts.cached_tokens,
                cache_write_tokens=amounts.cache_write_tokens,
                output_tokens=amounts.output_tokens,
                audio_tokens=amounts.audio_input_tokens + amounts.audio_output_tokens,
                requests=1,
                cost_usd=cost(self._owner.vendor.name, self._owner.model, amounts),
                prices=prices().version,
            )
        )
