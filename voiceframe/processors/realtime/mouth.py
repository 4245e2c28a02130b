"""What a `Realtime` says: responses that are wanted, one that is under way, and the replies that they become.

want() ──▶ asked for ──▶ begun ──▶ sound and words, a reply ──▶ ended
              └──────────▶ tools are called ──▶ their results are told ──▶ want()
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ...audio import Audio
from ...errors import ToolError
from ...events import ProviderTTFB, ProviderUsage
from ...frames import (
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    TextFrame,
    ToolCallFrame,
    ToolResultFrame,
)
from ...llm import ToolCall
from ...prices import Amounts, cost, prices
from ...tools import AnyTool, call_tool
from ...tools.values import as_text
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
        self._tags = 0

    @property
    def busy(self) -> bool:
        """Whether something is being said, or is to be."""
        return bool(self.response or self.asked or self.wishes)

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
        self._owner.link.wake()

    async def ask(self, stream: RealtimeStream) -> None:
        """Ask for the next response, if none is under way."""
        while self.wishes and self.response is None and self.asked is None:
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
            turn.answered = True
            self._owner.push_turn(turn)
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
        self._owner.push(OutputAudioFrame(audio, response.reply, words))

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
        if event.reason == "failed" and event.error is not None:
            self._owner.fail(event.error)
        if response.reply:
            rest = response.placer.finish()
            if rest and event.reason != "cancelled" and self._owner.alive(response.reply):
                self._owner.push(OutputAudioFrame(Audio(b"", self._owner.format), response.reply, rest))
            self.end_reply(response.reply)
        elif response.wish.reply and not response.begun:
            self.end_reply(response.wish.reply)
        self._go_on(response)

    def end_reply(self, reply: int) -> None:
        self.texts.pop(reply, None)
        if self._owner.alive(reply):
            self._owner.push(ReplyEndedFrame(reply))

    def refused(self, event: Refused) -> None:
        wish = self.asked
        if event.busy:
            if wish is not None:  # the vendor had begun one of its own: behind it
                self.asked = None
                self.wishes.appendleft(wish)
            return
        self._owner.fail(event.error)
        if wish is not None and not event.error.retryable:
            self.asked = None
            if wish.reply:
                self.end_reply(wish.reply)
            self._owner.link.wake()

    def tool_wanted(self, event: ToolWanted) -> None:
        response = self.response
        if response is None or response.id != event.response:
            return
        response.called = True
        response.calls += 1
        turn = response.wish.turn
        if turn is not None:
            turn.answered = True  # what was said of it is understood
            self._owner.push_turn(turn)
        call = event.call
        self._owner.record.called(call.id, call.name, call.arguments)
        tool = self._owner.tools.get(call.name)
        finishes = tool is not None and tool.side_effects and tool.on_interrupt == "finish"
        self._owner.spawn(self._run(response, call, tool), name=f"{call.name} {call.id}", lasting=not finishes)

    async def _run(self, response: Response, call: ToolCall, tool: AnyTool | None) -> None:
        failed, text = True, ""
        if tool is None:
            known = ", ".join(self._owner.tools) or "none"
            text = str(ToolError.of("tool.unknown", name=call.name, known=known, nearest=known.split(", ")[0]))
        elif call.error:
            text = call.error
        if tool is None or call.error:  # the log has that it was wanted
            self._owner.push(ToolCallFrame(call.id, call.name, {}))
            self._owner.push(ToolResultFrame(call.id, error=text))
        else:
            try:
                result = await call_tool(self._owner, tool, call.arguments, call.id)
            except asyncio.CancelledError:
                self._owner.record.returned(call.id, "It was cancelled.", failed=True)
                raise
            failed = result.error is not None
            text = str(result.error) if failed else as_text(result.value, tool.returns)
        self._owner.record.returned(call.id, text, failed=failed)
        self._owner.link.tell(lambda stream: stream.send_tool_result(call.id, text))
        response.calls -= 1
        self._go_on(response)

    def _go_on(self, response: Response) -> None:
        """When all tools of a response have returned, the model says what came of it, if its turn is current."""
        if not response.called or response.calls or not response.over:
            return
        response.called = False
        if response.wish.turn is self._owner.turn and not self._owner.speaking:
            self.want(Wish(self.tag(), response.wish.turn))

    def _bill(self, amounts: Amounts) -> None:
        self._owner.emit(
            ProviderUsage(
                vendor=self._owner.vendor.name,
                service="realtime",
                processor=self._owner.name,
                model=self._owner.model,
                input_tokens=amounts.input_tokens,
                cached_tokens=amounts.cached_tokens,
                output_tokens=amounts.output_tokens,
                audio_tokens=amounts.audio_input_tokens + amounts.audio_output_tokens,
                requests=1,
                cost_usd=cost(self._owner.vendor.name, self._owner.model, amounts),
                prices=prices().version,
            )
        )
