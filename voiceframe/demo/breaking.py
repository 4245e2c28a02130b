"""`voiceframe demo --break`: a part of the bot is killed in the middle of a turn, and what notices and mends that."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any, Final, Literal

from ..audio import AudioFormat
from ..call import Call
from ..events import LoggedEvent
from ..frames import ExpectFrame
from ..pipeline import Pipeline
from ..processor import Processor
from ..processors.stt import PocketSphinxSTT
from ..processors.stt.stream import STTResult, STTStream
from ..processors.tts import EspeakTTS
from ..processors.tts.stream import Chunk, Item, TTSStream
from ..testing import TwilioCaller
from . import clinic
from .calendar import Booked, Calendar, Taken
from .script import Spoken

__all__ = ["PARTS", "Break", "Part"]

Part = Literal["stt", "tts", "db", "socket"]
PARTS: Final[tuple[Part, ...]] = ("stt", "tts", "db", "socket")

#: With which of the caller's utterances it is killed: the one that names the doctor, if all was understood.
_UTTERANCE: Final = 3
#: How far into that, or into the answer, in pieces of sound; and in ms for a socket.
_PIECES: Final = 5
_SOCKET_MS: Final = 400

#: What notices it, and what shows that the call goes on.
_NOTICED: Final = {
    "stt": "processor.failed",
    "tts": "processor.failed",
    "db": "tool.returned",
    "socket": "connection.lost",
}
_MENDED: Final = {
    "stt": "turn.committed",
    "tts": "reply.heard",
    "db": "handoff.requested",
    "socket": "connection.attached",
}


class Break:
    """Kills `part` once; a calendar stays dead. `broke_ms` is when that was, in the call's time.

    make: the clinic with the parts that it is given in place of its own; by default with its dialog.
    """

    def __init__(self, part: Part, make: Callable[..., Pipeline] = clinic.bot) -> None:
        self.part = part
        self._make = make
        self.broke_ms: int | None = None
        self._said = 0
        self._pieces = 0
        self._caller: TwilioCaller | None = None
        self._call: Call | None = None
        self._again: int | None = None

    # -- how it is put in place

    def bot(self, call: Call) -> Pipeline:
        """The clinic, with the part that breaks."""
        self._call = call
        parts: list[Processor] = []
        if self.part == "stt":
            parts.append(DyingSTT(self))
        elif self.part == "tts":
            parts.append(DyingTTS(self))
        return self._make(call, *parts)

    def calendar(self, path: Path) -> Calendar:
        return _Calendar(path, self) if self.part == "db" else Calendar(path)

    def began(self, caller: TwilioCaller) -> None:
        """The bot has taken this call."""
        self._caller = caller

    def caller_does(self, spoken: Spoken) -> None:
        """The caller begins to say or do this."""
        self._said += spoken.kind in ("says", "interrupts")
        if self.part == "socket" and self._said == _UTTERANCE and self.broke_ms is None and self._caller is not None:
            self._caller.call.engine.loop.call_later(_SOCKET_MS / 1000, self._lose)

    # -- how it breaks

    def due(self) -> bool:
        """Whether the part dies with this piece of sound."""
        if self._said < _UTTERANCE or self.broke_ms is not None:
            return False
        self._pieces += 1
        if self._pieces >= _PIECES:
            self.breaks()
            return True
        return False

    def speaks(self, reply: int) -> None:
        """The voice makes sound of this reply."""
        if self.broke_ms is not None and self._again is None:
            self._again = reply

    def breaks(self) -> None:
        """It is dead from now on."""
        if self.broke_ms is None and self._call is not None:
            self.broke_ms = self._call.clock.at_ms()

    def _lose(self) -> None:
        if self._caller is not None:
            self.breaks()
            self._caller.phone.lose()

    # -- what came of it

    def _shows(self, event: LoggedEvent) -> bool:
        """Whether this event shows that the call goes on."""
        if event.kind == "turn.committed":
            return bool((event.personal or {}).get("text"))
        # Sound that was made before may be heard yet: it takes a reply with sound of the voice that came after.
        return event.kind != "reply.heard" or event.data["reply"] == self._again

    def report(self, events: Sequence[LoggedEvent], began_ms: float) -> dict[str, Any]:
        """When it broke, what noticed it and what showed that the call goes on; times from `began_ms` on."""
        broke_ms = self.broke_ms
        if broke_ms is None:
            return {"part": self.part, "at_ms": None, "noticed": None, "mended": None}
        kind, mending = _NOTICED[self.part], _MENDED[self.part]
        noticed = next(
            (event for event in events if event.kind == kind and event.at_ms >= broke_ms and _bad(event)), None
        )
        mended = None
        if noticed is not None:
            after = (event for event in events if event.kind == mending and event.seq > noticed.seq)
            mended = next((event for event in after if self._shows(event)), None)
        return {
            "part": self.part,
            "at_ms": broke_ms - began_ms,
            "noticed": _told(noticed, broke_ms),
            "mended": _told(mended, broke_ms),
        }


def _bad(event: LoggedEvent) -> bool:
    return event.kind != "tool.returned" or bool(event.data["failed"])


def _told(event: LoggedEvent | None, broke_ms: int) -> dict[str, Any] | None:
    if event is None:
        return None
    named = ("processor", "error", "reason", "target", "connection", "reply", "turn")
    facts = {name: event.data[name] for name in named if event.data.get(name) not in (None, "")}
    return {"event": event.kind, "after_ms": event.at_ms - broke_ms, **facts}


class DyingSTT(PocketSphinxSTT):
    """The recognizer, until it is killed."""

    def __init__(self, part: Break) -> None:
        super().__init__()
        self._part = part

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        return _Hearing(await super().open(format, language), self._part)


class _Hearing(STTStream):
    """Dies when it is due; one that is opened after it lives."""

    def __init__(self, stream: STTStream, part: Break) -> None:
        self._stream = stream
        self._part = part

    async def begin(self, expect: ExpectFrame | None) -> None:
        await self._stream.begin(expect)

    async def send(self, audio: bytes) -> None:
        if self._part.due():
            raise ConnectionResetError("the recognizer was killed")
        await self._stream.send(audio)

    async def finalize(self) -> None:
        await self._stream.finalize()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def results(self) -> AsyncGenerator[STTResult, None]:
        return self._stream.results()


class DyingTTS(EspeakTTS):
    """The voice, until it is killed."""

    def __init__(self, part: Break) -> None:
        super().__init__()
        self._part = part

    # What calls it asks no more of it than of any stream.
    async def open(self, format: AudioFormat, voice: str, language: str) -> TTSStream:  # type: ignore[override]
        return _Speaking(await super().open(format, voice, language), self._part)


class _Speaking(TTSStream):
    """Dies when it is due; one that is opened after it lives."""

    def __init__(self, stream: TTSStream, part: Break) -> None:
        self.format = stream.format
        self._stream = stream
        self._part = part

    async def send(self, reply: int, text: str) -> None:
        await self._stream.send(reply, text)

    async def flush(self, reply: int) -> None:
        await self._stream.flush(reply)

    async def cancel(self, reply: int) -> None:
        await self._stream.cancel(reply)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def chunks(self) -> AsyncGenerator[Item, None]:
        async for made in self._stream.chunks():
            if isinstance(made, Chunk):
                if self._part.due():
                    raise ConnectionResetError("the voice was killed")
                self._part.speaks(made.reply)
            yield made


class _Calendar(Calendar):
    def __init__(self, path: str | Path, part: Break) -> None:
        super().__init__(path)
        self._part = part

    def book(self, call: str, patient: str, doctor: str, day: date, at: time) -> Booked | Taken:
        self._part.breaks()
        raise sqlite3.OperationalError("the calendar was killed")
