"""A transport of text: turns come as typed lines, replies go out as words at the pace of speech.

It is what `voiceframe chat` and `dial(bot, via="text")` run a bot on. Words have a length in time, so that a reply can
be interrupted in the middle, and what was heard of it is known to the word.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ProcessorError
from ..frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    HeardFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputDTMFFrame,
    PauseFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    ResumeFrame,
    TextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    UserTurnFrame,
)
from ..processor import Processor, handles
from .base import Transport

__all__ = ["TextTransport"]

#: Words that may wait to be spoken: an hour of speech. Beyond it whoever makes them has lost all measure.
MOST_WORDS = 10_000

#: Called with each word as the caller hears it, and the number of its reply. Spaces stand in front of words.
OnWord = Callable[[str, int], None]


class TextTransport(Transport):
    """A caller who types and reads.

    words_per_minute: the pace at which a reply is spoken; 180 is unhurried English. 0 delivers it at once.
    on_word: told each word as it is heard.
    on_reply: told the number of each reply that is over, and whether it was heard to its end.
    """

    def __init__(
        self,
        *,
        words_per_minute: int = 180,
        on_word: OnWord | None = None,
        on_reply: Callable[[int, bool], None] | None = None,
        on_digits: Callable[[str], None] | None = None,
    ) -> None:
        # A word of English has five letters and a space on average: the pace is kept by the character.
        self._input = TextInput()
        self._output = TextOutput(10_000 / words_per_minute if words_per_minute else 0.0, on_word, on_reply, on_digits)

    def input(self) -> TextInput:
        return self._input

    def output(self) -> TextOutput:
        return self._output

    def type(self, text: str, source: Literal["speech", "text"] = "text") -> int:
        """The caller says `text`: a committed turn, which interrupts what the bot is saying or about to say.

        Returns its number.
        """
        engaged = any(not reply.swept for reply in self.call.replies.open.values())
        return self._input.turn(text, source, interrupt=engaged)

    def press(self, digits: str) -> None:
        """The caller presses keys."""
        for digit in digits:
            self._input.push(InputDTMFFrame(digit))

    def hang_up(self) -> None:
        """The caller leaves."""
        self.call.hang_up()


class TextInput(Processor):
    """The source: pushes turns and keys as they are typed."""

    role = "source"

    def turn(self, text: str, source: Literal["speech", "text"], *, interrupt: bool) -> int:
        number = self.call.turns.new()
        self.push(UserStartedSpeakingFrame())
        if interrupt:
            self.interrupt("caller")
        self.push(UserStoppedSpeakingFrame())
        self.push(UserTurnFrame(number, text, source))
        return number


@dataclass(slots=True, eq=False)
class _Spoken:
    """A reply on its way to the caller."""

    number: int
    words: deque[str] = field(default_factory=deque)
    unreported: str = ""
    started: bool = False
    ended: bool = False


class TextOutput(Processor):
    """The sink: plays replies word by word, one after the other, and reports what was heard."""

    role = "sink"

    def __init__(
        self,
        char_ms: float,
        on_word: OnWord | None,
        on_reply: Callable[[int, bool], None] | None,
        on_digits: Callable[[str], None] | None,
    ) -> None:
        self._char_ms = char_ms
        self._on_word = on_word
        self._on_reply = on_reply
        self._on_digits = on_digits
        self._replies: deque[_Spoken] = deque()
        self._over: set[int] = set()  # replies that have had their last word
        self._playing: asyncio.TimerHandle | None = None
        self._word = ""
        self._due_s = 0.0
        self._left_s = 0.0
        self._paused = False
        self._silent: asyncio.Event | None = None

    def fullness(self) -> float:
        return self._waiting() / MOST_WORDS

    def _waiting(self) -> int:
        return sum(len(reply.words) for reply in self._replies)

    @property
    def speaking(self) -> bool:
        """Whether words are being spoken, or wait to be."""
        return bool(self._word) or any(reply.words for reply in self._replies)

    def remaining_ms(self) -> int:
        if self._paused:
            return 0
        characters = sum(len(word) for reply in self._replies for word in reply.words) + len(self._word)
        return round(characters * self._char_ms)

    # -- what comes

    @handles(ReplyStartedFrame)
    def on_started(self, frame: ReplyStartedFrame) -> None:
        self._find(frame.reply)

    @handles(TextFrame)
    def on_text(self, frame: TextFrame) -> None:
        if frame.reply not in self._over:
            self._find(frame.reply).words.extend(split_words(frame.text))
            self._go_on()
            waiting = self._waiting()
            if waiting > MOST_WORDS:
                error = ProcessorError.of("processor.overflow", processor=self.name, count=waiting)
                self.fail(error, fatal=True)

    @handles(ReplyEndedFrame)
    def on_ended(self, frame: ReplyEndedFrame) -> None:
        if frame.reply not in self._over:
            self._find(frame.reply).ended = True
            self._go_on()

    @handles(OutputDTMFFrame)
    def on_digits(self, frame: OutputDTMFFrame) -> None:
        if self._on_digits is not None:
            self._on_digits(frame.digits)

    def _find(self, number: int) -> _Spoken:
        for reply in self._replies:
            if reply.number == number:
                return reply
        reply = _Spoken(number)
        self._replies.append(reply)
        return reply

    # -- playing

    def _go_on(self) -> None:
        """Begin the next word if none is being spoken."""
        while self._replies and self._playing is None and not self._paused and not self._word:
            reply = self._current()
            if reply.words:
                if not reply.started:
                    reply.started = True
                    self.push(BotStartedSpeakingFrame(reply.number), upstream=True)
                self._word = reply.words.popleft()
                if self._char_ms:
                    self._play(len(self._word) * self._char_ms / 1000)
                else:
                    self._spoken()
            elif reply.ended:
                self._replies.remove(reply)
                self._finish(reply, complete=True)
            else:
                return
        if not self._replies and self._silent is not None:
            self._silent.set()

    def _current(self) -> _Spoken:
        """The reply whose turn it is: the one that has begun to sound; else the first that has something to say.

        So one for which no word ever comes does not hold up the others.
        """
        replies = self._replies
        return next(
            (reply for reply in replies if reply.started),
            next((reply for reply in replies if reply.words or reply.ended), replies[0]),
        )

    def _play(self, duration_s: float) -> None:
        loop = self.call.engine.loop
        # On from when the last word was due, not from now: the pace does not drift.
        begins = self._due_s if 0 <= loop.time() - self._due_s < 0.02 else loop.time()
        self._due_s = begins + duration_s
        self._playing = loop.call_at(self._due_s, self.call.engine.dispatcher.in_context, self._word_is_over)

    def _word_is_over(self) -> None:
        self._playing = None
        self._spoken()
        self._go_on()
        if self._waiting() == MOST_WORDS // 2 - 1:
            self.drained()

    def _spoken(self) -> None:
        word, self._word = self._word, ""
        reply = self._current()
        reply.unreported += word
        if self._on_word is not None:
            self._on_word(word, reply.number)
        if word.endswith((".", "!", "?")) and reply.words:
            self.push(HeardFrame(reply.number, reply.unreported), upstream=True)
            reply.unreported = ""

    def _finish(self, reply: _Spoken, *, complete: bool) -> None:
        self._over.add(reply.number)
        if reply.started:
            self.push(BotStoppedSpeakingFrame(reply.number, cut=not complete), upstream=True)
        self.push(HeardFrame(reply.number, reply.unreported, complete=complete, final=True), upstream=True)
        if self._on_reply is not None:
            self._on_reply(reply.number, complete)

    # -- interruption

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        if self._replies and not self.alive(self._current().number):
            self._stop_playing()
            self._word = ""  # a word that was cut was not heard
        kept: deque[_Spoken] = deque()
        for reply in self._replies:
            if self.alive(reply.number):
                kept.append(reply)
            else:
                self._finish(reply, complete=False)
        self._replies = kept
        self._resume()

    @handles(PauseFrame)
    def on_pause(self, frame: PauseFrame) -> None:
        if not self._paused:
            self._paused = True
            if self._playing is not None:
                self._left_s = max(0.0, self._due_s - self.call.engine.loop.time())
                self._stop_playing()

    @handles(ResumeFrame)
    def on_resume(self, frame: ResumeFrame) -> None:
        self._resume()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._word:
                self._due_s = self.call.engine.loop.time()
                self._play(self._left_s)
        self._go_on()

    def _stop_playing(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None

    # -- the end

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """Let what is being said be heard."""
        # A reply that was begun and will never end (whoever made it is through by now) ends here.
        for reply in self._replies:
            reply.ended = True
        self._go_on()
        if self._replies:
            self._silent = asyncio.Event()
            await self._silent.wait()

    async def cleanup(self) -> None:
        self._stop_playing()


def split_words(text: str) -> Iterator[str]:
    """Words with the space in front of them, so that joined they are the text again."""
    start = 0
    for index in range(1, len(text)):
        if text[index].isspace() and not text[index - 1].isspace():
            yield text[start:index]
            start = index
    if text:
        yield text[start:]
