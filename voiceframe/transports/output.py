"""The output of a transport that carries audio: frames in, 20 ms for the line out, and word of what was heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..audio import Audio, AudioFormat, AudioStream
from ..errors import ProcessorError
from ..frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    HeardFrame,
    InterruptionFrame,
    OutputAudioFrame,
    OutputDTMFFrame,
    PauseFrame,
    PlayedAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    ResumeFrame,
)
from ..processor import Processor, handles
from .playout import Playout

__all__ = ["AudioOutput"]

#: How much speech may wait to be played. Beyond it whoever makes it has lost all measure.
MOST_MS = 600_000


#: Called with each word as the caller has heard it, and the number of its reply. Spaces stand in front of words.
OnWord = Callable[[str, int], None]


class AudioOutput(Processor):
    """The sink of a line: plays replies one after the other and reports what was heard of them.

    The transport calls `tick()` for each piece that its line takes, from the first moment of the line on, and sends
    what that returns. `gaps` of its `playout` counts how often the rest of a reply was late.

    format: the line's; audio in another one is converted when it arrives.
    on_word, on_reply: told each word as it is heard, and the number of each reply that is over with whether it was
    heard to its end.
    on_digits: takes the keys of `OutputDTMFFrame`; without it they go into the sound as tones.
    """

    role = "sink"

    def __init__(
        self,
        format: AudioFormat,
        *,
        on_word: OnWord | None = None,
        on_reply: Callable[[int, bool], None] | None = None,
        on_digits: Callable[[str], None] | None = None,
    ) -> None:
        self.accepts = (format,)
        self.playout = Playout(format, self)
        self._on_word = on_word
        self._on_reply = on_reply
        self._on_digits = on_digits
        self._began_ms = 0
        self._sent = AudioStream(format)
        self._sent_until = 0
        self._full = False  # whether producers may be waiting
        self._silent: asyncio.Event | None = None

    def fullness(self) -> float:
        return self.playout.waiting_ms / MOST_MS

    @property
    def speaking(self) -> bool:
        """Whether the bot is to be heard, or about to be."""
        return self.playout.speaking

    @property
    def idle(self) -> bool:
        """Whether all that was said is over."""
        return self.playout.idle

    def remaining_ms(self) -> int:
        return 0 if self.playout.paused else self.playout.waiting_ms

    # -- the line

    def begin(self, at_ms: int) -> None:
        """The line has begun: the first sample of the first `tick()` sounds at `at_ms` of the call's time."""
        self._began_ms = at_ms

    def tick(self, samples: int) -> bytes:
        """The next samples for the line, in its format."""
        data = self.playout.take(samples)
        self._taken()
        return data

    def _taken(self) -> None:
        """Some of what waited was given to the line: tell those who wait for that."""
        if self._full and self.playout.waiting_ms < MOST_MS // 2:
            self._full = False
            self.drained()
        if self._silent is not None and self.idle:
            self._silent.set()

    # -- what comes

    @handles(ReplyStartedFrame)
    def on_started(self, frame: ReplyStartedFrame) -> None:
        self.playout.begin(frame.reply)

    @handles(OutputAudioFrame)
    def on_audio(self, frame: OutputAudioFrame) -> None:
        playout = self.playout
        playout.add(frame.reply, frame.audio.to(playout.format), frame.words)
        self._check_bound()

    def _check_bound(self) -> None:
        waiting_ms = self.playout.waiting_ms
        self._full = waiting_ms >= MOST_MS // 2
        if waiting_ms > MOST_MS:
            count = self.playout.pieces
            self.fail(ProcessorError.of("processor.overflow", processor=self.name, count=count), fatal=True)

    @handles(ReplyEndedFrame)
    def on_ended(self, frame: ReplyEndedFrame) -> None:
        self.playout.end(frame.reply)

    @handles(OutputDTMFFrame)
    def on_keys(self, frame: OutputDTMFFrame) -> None:
        if self._on_digits is not None:
            self._on_digits(frame.digits)
            return
        from ..tones import dtmf

        format = self.playout.format
        tones = Audio(dtmf(frame.digits, rate=format.rate), AudioFormat("pcm_s16le", format.rate))
        self.playout.sound(tones.to(format))
        self._check_bound()

    # -- interruption

    @handles(InterruptionFrame)
    def on_interruption(self, frame: InterruptionFrame) -> None:
        self.playout.cut(lambda reply: not self.alive(reply))

    @handles(PauseFrame)
    def on_pause(self, frame: PauseFrame) -> None:
        self.playout.pause()

    @handles(ResumeFrame)
    def on_resume(self, frame: ResumeFrame) -> None:
        self.playout.resume()

    # -- the end

    @handles(EndFrame, on_interrupt="finish")
    async def on_end(self, frame: EndFrame) -> None:
        """Let what is being said be heard."""
        # A reply that was begun and will never end (whoever made it is through by now) ends here.
        self.playout.end_all()
        if not self.idle:
            self._silent = asyncio.Event()
            await self._silent.wait()

    # -- what the playout tells

    def started(self, reply: int) -> None:
        self.push(BotStartedSpeakingFrame(reply), upstream=True)

    def played(self, data: bytes, reply: int, position: int) -> None:
        node = self._node
        if node is None or not node.up[PlayedAudioFrame].steps:  # nobody looks
            return
        if position != self._sent_until:
            self._sent.reset()
        format = self.playout.format
        self._sent_until = position + len(data) * format.rate // format.bytes_per_second
        at_ms = self._began_ms + position * 1000 // format.rate
        self.push(PlayedAudioFrame(self._sent.add(data), reply, position, at_ms=at_ms), upstream=True)

    def word(self, word: str, reply: int) -> None:
        if self._on_word is not None:
            self._on_word(word, reply)

    def heard(self, text: str, reply: int) -> None:
        self.push(HeardFrame(reply, text), upstream=True)

    def over(self, reply: int, text: str, complete: bool, sounded: bool) -> None:
        if sounded:
            self.push(BotStoppedSpeakingFrame(reply, cut=not complete), upstream=True)
        self.push(HeardFrame(reply, text, complete=complete, final=True), upstream=True)
        if self._on_reply is not None:
            self._on_reply(reply, complete)
