"""espeak-ng as a function from text to speech: synchronous, without an audio device, the same bits for the same text.

`espeakng-loader` brings the library and its data; `espeak_library` says what it takes to get the same bits.
**Licence:** espeak-ng is GPL-3. It is in the `local` extra only, and nothing here imports it before the first call;
whoever distributes a program together with it must heed that licence.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from .espeak_library import RATE, Library, Voice
from .frames import Word
from .words import place_words

__all__ = ["RATE", "Speech", "Voice", "make_ready", "resolve", "synthesize", "version", "voices"]


@dataclass(slots=True, frozen=True)
class Speech:
    """A spoken text: mono s16le at `rate` Hz, and when its words are said.

    The words' texts, joined, are the text: each has the white space in front of it and the punctuation behind it.
    """

    pcm: bytes
    rate: int
    words: tuple[Word, ...]

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return len(self.pcm) * 500 / self.rate


def synthesize(
    text: str, voice: str = "en-us", rate_wpm: int = 175, pitch: int = 50, *, volume: int = 80, pitch_range: int = 50
) -> Speech:
    """Speak `text`. Blocks for about a thousandth of what it lasts, and 0.5 ms; safe in any thread.

    voice: a language (`en-us`, `de`), the name of a voice or of its file (`gmw/en-US`), any of them with a variant
        (`en-us+f2`). rate_wpm: words per minute, 80 to 450. pitch, pitch_range: 0 to 100. volume: 100 is the normal of
        espeak-ng, at which some voices are clipped.

    A text without anything to say gives no samples. Raises `SpeechError` for a voice that there is not (`tts.voice`)
    and when the library fails (`tts.engine`), and `MissingExtra` where it is not installed.
    """
    parameters = {"rate": rate_wpm, "volume": volume, "pitch": pitch, "range": pitch_range}
    with _lock:
        library = _library()
        samples, marks = library.speak(text, library.resolve(voice), parameters)
    return Speech(samples, RATE, place_words(text, marks, len(samples) // 2, RATE))


def voices() -> tuple[Voice, ...]:
    """The voices that there are. Raises `MissingExtra` where espeak-ng is not installed."""
    with _lock:
        return _library().voices


def resolve(voice: str) -> str:
    """The name of a voice's file, with its variant: the same for all names of one voice.

    Raises `SpeechError` (`tts.voice`).
    """
    with _lock:
        return _library().resolve(voice)


def make_ready() -> None:
    """Load the library, and the voice that has spoken last, for the next `synthesize()`. Blocks for a millisecond."""
    with _lock:
        _library().make_ready()


def version() -> str:
    """The version of the library: `1.52.0`."""
    with _lock:
        return _library().version


# -- the library of this process

_lock = threading.Lock()
_libraries: list[Library] = []


def _library() -> Library:
    if not _libraries:
        _libraries.append(Library())
    return _libraries[0]


def _after_fork() -> None:
    """Another thread may have held the lock when this process was forked."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
