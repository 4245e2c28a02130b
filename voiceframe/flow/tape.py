"""The tape of a voicemail: records the caller alone, until they have said all.

armed ──prompt heard──▶ recording ──silence, a key, the limit, hang-up──▶ closing ──file closed──▶ done
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..events import FlowRecorded
from ..frames import InputAudioFrame
from ..processor import Processor
from ..processors.turn.timer import Timer
from .mono import MonoWav
from .states import Message, Voicemail

if TYPE_CHECKING:
    from ..processors.recording.legs import Block
    from ..processors.recording.take import Take
    from ..processors.recording.writer import File, Writer

__all__ = ["Tape"]

_Reason: TypeAlias = Literal["silence", "key", "limit", "hangup", "failed", "left"]
#: Why the bot is silent meanwhile, as `turn.skipped` says it.
_WHY: Final = "recording a message"


class Tape:
    """One message. done: is told of it, or of None if nothing was said; not after a hang-up."""

    def __init__(self, owner: Processor, node: Voicemail, done: Callable[[Voicemail, Message | None], None]) -> None:
        self._owner = owner
        self.node = node
        #: The turn of keys that has ended it, and waits for an answer.
        self.turn_at_end: int | None = None
        self._done = done
        self._limit = Timer(owner)
        self._silence = Timer(owner)
        self._take: Take | None = None
        self._writer: Writer | None = None
        self._waiting: list[Block] = []  # until somebody speaks there is no file
        self._began_ms = -1
        self._ended_ms = -1
        self._spoken = False
        self._texts: list[str] = []
        self._turns: list[str] = []
        self._reason: _Reason = "silence"
        self._rate = 8_000
        self._failed = False
        self._over = False
        self._hushed = False

    @property
    def recording(self) -> bool:
        """Whether it records now."""
        return self._began_ms >= 0 and self._ended_ms < 0

    # -- from the prompt to the end

    def begin(self) -> None:
        """The prompt was heard, or the caller does not want to hear it."""
        if self._began_ms >= 0 or self._over:
            return
        from ..processors.recording.take import Take

        call = self._owner.call
        self._began_ms = call.clock.at_ms()
        self._take = Take(self._began_ms)
        if call.turns.silence is None:
            call.turns.hush(_WHY)  # nobody answers what is said to a machine
            self._hushed = True
        assert self.node.limit_ms is not None
        assert self.node.silence_ms is not None
        self._limit.after(self.node.limit_ms, lambda: self.finish("limit"))
        self._silence.after(2 * self.node.silence_ms, lambda: self.finish("silence"))

    def audio(self, frame: InputAudioFrame) -> None:
        """A piece of the caller's sound."""
        take = self._take
        if take is None or not self.recording:
            return
        private = self._owner.call.log.private > 0
        if private is not take.silent:
            (take.hush if private else take.unhush)(frame.at_ms)
        blocks = take.caller(frame.at_ms, frame.audio)
        self._rate = take.rate
        self._keep(blocks)

    def _keep(self, blocks: list[Block]) -> None:
        if not self._spoken:
            self._waiting += blocks
            return
        blocks, self._waiting = self._waiting + blocks, []
        for block in blocks:
            self._file().put(block)

    def speaking(self) -> None:
        """The caller has begun to speak."""
        if self.recording:
            self._spoken = True
            self._silence.stop()
            self._keep([])

    def silent(self) -> None:
        """The caller has stopped, for now."""
        if self.recording and self._spoken:
            assert self.node.silence_ms is not None
            self._silence.after(self.node.silence_ms, lambda: self.finish("silence"))

    def heard(self, text: str) -> None:
        """Words of theirs that will not change."""
        if self.recording and text.strip():
            self._texts.append(text.strip())
            self._spoken = True

    def turn(self, text: str) -> None:
        """A turn of theirs: in a call of text nothing else has the words."""
        if self.recording and text.strip():
            self._turns.append(text.strip())
            self._spoken = True
            self.silent()

    def finish(self, reason: _Reason) -> None:
        """No more is recorded."""
        if self._ended_ms >= 0 or self._over:
            return
        self._limit.stop()
        self._silence.stop()
        call = self._owner.call
        now = call.clock.at_ms()
        self._ended_ms = now
        self._reason = reason
        if self._hushed and call.turns.silence == _WHY:
            call.turns.hush(None)
        if self._began_ms < 0:
            self._close(None)
            return
        take, self._take = self._take, None
        assert take is not None
        if take.rate and self._spoken:
            self._keep(take.stop(now))
        self._waiting = []
        if self._writer is None or self._writer.done:
            self._close(None)
        else:
            self._writer.close()

    async def wait(self) -> None:
        """The call is over: end the message, and have it on the disk."""
        self.finish("hangup")
        if self._writer is not None and not self._writer.done:
            await self._writer.run()

    # -- the file

    def _file(self) -> Writer:
        if self._writer is None:
            from ..processors.recording.place import create, fill
            from ..processors.recording.writer import Writer

            rate = self._rate
            path = fill(self.node.path, self._owner.call.id)

            def open() -> tuple[File, Path]:
                fd, found = create(path)
                try:
                    return MonoWav(fd, rate), found
                except BaseException:
                    os.close(fd)
                    raise

            self._writer = Writer(self._owner, open, lambda path: None, self._close)
        return self._writer

    def _close(self, error: Exception | None) -> None:
        if self._over:
            return
        writer = self._writer
        if error is not None and self._ended_ms < 0:
            # The disk has failed while they speak: their words go on being kept.
            self._owner.fail(error)
            self._failed = True
            return
        self._over = True
        path, samples = (str(writer.path or ""), writer.samples) if writer is not None else ("", 0)
        length_ms = samples * 1000 // self._rate if samples else max(0, self._ended_ms - self._began_ms)
        text = " ".join(self._texts or self._turns)
        if error is not None:
            self._owner.fail(error)
        left = self._spoken and self._began_ms >= 0
        if left:
            failed = error is not None or self._failed
            reason: _Reason = "failed" if failed else self._reason
            event = FlowRecorded(state=self.node.name, path=path, duration_ms=length_ms, reason=reason, text=text)
            self._owner.emit(event)
        if self._reason not in ("hangup", "left"):
            self._done(self.node, Message(path, length_ms, text) if left else None)
