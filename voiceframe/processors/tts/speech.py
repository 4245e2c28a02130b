"""A reply on its way through a voice, and the stream that speaks it."""

from __future__ import annotations

import asyncio
from typing import Any

from ...frames import Word
from .sentences import Sentences
from .stream import TTSStream
from .words import Placer

__all__ = ["Line", "Recording", "Speech"]


class Line:
    """A stream that was opened, and its listener."""

    __slots__ = ("closed", "heard_s", "opened_s", "retired", "stream", "task")

    def __init__(self, stream: TTSStream, now_s: float) -> None:
        self.stream = stream
        self.opened_s = now_s
        self.heard_s = now_s  # when anything came of it, or what it owes was asked for
        self.retired = False  # it only ends what it has begun: the settings have changed
        self.closed = False  # or about to be: nothing is asked of it any more
        self.task: asyncio.Task[Any] | None = None


class Recording:
    """The sound of a sentence that is spoken alone, for the prompt cache."""

    __slots__ = ("audio", "length_ms", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.audio: list[bytes] = []
        self.words: list[Word] = []
        self.length_ms = 0.0

    def add(self, audio: bytes, words: tuple[Word, ...], length_ms: float) -> None:
        begin = round(self.length_ms)
        self.words += [Word(word.text, begin + word.start_ms, begin + word.end_ms) for word in words]
        self.audio.append(audio)
        self.length_ms += length_ms


class Speech:
    """A reply on its way to the output."""

    __slots__ = (
        "asked_s",
        "chars",
        "done",
        "failed",
        "flushed",
        "heard_s",
        "line",
        "losses",
        "lost_at",
        "number",
        "pending",
        "placer",
        "recording",
        "resumed",
        "sentences",
        "sound_ms",
        "unit",
        "unit_chars",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.sentences = Sentences()
        self.placer = Placer()
        self.line: Line | None = None  # whose stream was given what is pending; None while there is no stream
        self.pending = False  # something is to be spoken, for which a Done is owed
        self.flushed = False  # and the Done will come without being told more
        self.chars = 0  # how much that is
        self.unit = 0  # sentences since the last Done, their characters, and the sound that came of them
        self.unit_chars = 0
        self.sound_ms = 0.0
        self.done = asyncio.Event()
        self.heard_s = 0.0  # when the stream gave the last sound
        self.asked_s: float | None = None  # when the first text of this unit was sent, until there is sound
        self.failed = False
        self.resumed = False  # another stream speaks the rest, after a failure that may be the text's
        self.lost_at = -1  # how much was left to say when a stream was lost, and how often that was so
        self.losses = 0
        self.recording: Recording | None = None

    def given(self, text: str) -> None:
        """More is to be spoken."""
        if not self.pending:
            self.pending = True
            self.done.clear()
            self.unit = self.unit_chars = 0
            self.sound_ms = 0.0
        self.flushed = False
        self.unit += 1
        self.unit_chars += len(text)
        self.placer.given(text)
        self.chars += len(text)

    def settled(self) -> None:
        """Nothing is owed any more."""
        self.pending = False
        self.line = None
        self.chars = 0
        self.asked_s = None
        self.recording = None
        self.done.set()
