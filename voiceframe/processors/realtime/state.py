"""What is known of a turn of the caller, of a response that is wanted, and of one that has begun."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ...frames import ClipFrame
from ..agents.runs import Run
from ..tts.words import Placer
from .sound import Piece
from .stream import RealtimeStream

__all__ = ["Response", "Turn", "Wish"]


@dataclass(eq=False)
class Turn:
    """A turn of the caller."""

    number: int
    key: str  # its item of the conversation
    taken_s: float
    at_ms: int
    sound: list[Piece] = field(default_factory=list)
    text: str = ""
    known: bool = False  # its words
    pushed: bool = False
    pushed_text: str = ""  # what was known of its words then
    answered: bool = False  # something of the answer has come, or a tool was called
    spoken: bool = False  # words of it have come
    timer: asyncio.TimerHandle | None = None


@dataclass(eq=False)
class Wish:
    """A response that is to be asked for, or was."""

    tag: str
    turn: Turn | None = None
    reply: int = 0  # which it is to be, if that was begun by somebody else
    say: str = ""
    said: str = ""  # of the reply, before this response
    skip: str = ""  # was handed on as text, but its sound never came
    sound_ms: float = 0.0  # of the reply, before this response
    asked_s: float = 0.0
    again: bool = False  # it has failed before, without a word
    clip: ClipFrame | None = None  # which is played, and nothing is asked for


@dataclass(eq=False)
class Response:
    """A response that has begun."""

    id: str
    wish: Wish
    stream: RealtimeStream | None
    reply: int = 0
    item: str = ""
    text: str = ""
    skip: str = ""
    sound_ms: float = 0.0
    placer: Placer = field(default_factory=Placer)
    rest: bytes = b""
    handed: bool = False  # some of its sound was handed on
    begun: bool = False
    over: bool = False
    runs: list[Run] = field(default_factory=list)  # tools that it has called
    followed: bool = False  # and that are all
    started_s: float = 0.0
