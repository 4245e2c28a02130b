"""espeak-ng as a function from text to speech: synchronous, without an audio device, the same bits for the same text.

The package `espeakng-loader` brings the library and its data; `ctypes` calls it by the interface of `speak_lib.h`
(espeak-ng 1.52). **Licence:** espeak-ng is GPL-3. It is in the `local` extra only, and nothing here imports it before
the first call; whoever distributes a program together with it must heed that licence.

Four things of the library decide how it is used:

* It has one state for the whole process, so that one text is spoken at a time, under a lock.
* It keeps state from one text to the next: where it is in its table of pitch flutter, the automatic gain, a random
  number for breath. The same text gives other samples then, even another length. None of its functions resets that. So
  the library is unloaded after each text and loaded anew for the next one. `make_ready()` does that ahead of time. It
  cannot be done where something else in the process has loaded the same file (a phonemizer, say); a warning tells.
* It never gives back the dictionary of a second language that it took for a text: 180 kB for each text with Latin words
  in a Chinese, Japanese or Russian voice. Of texts in one language 0.3 kB are lost.
* It finds a voice whose file has capitals in its name (`en-US`) only after looking through all of its files: 2.4 ms,
  and 2 kB that it never gives back. Such a voice is set by a copy of its file, 100 bytes in the folder for temporary
  files, whose name has none.
"""

from __future__ import annotations

import _ctypes
import atexit
import ctypes
import logging
import os
import shutil
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from .errors import SpeechError
from .extras import optional
from .frames import Word

log = logging.getLogger(__name__)

__all__ = ["RATE", "Speech", "Voice", "make_ready", "resolve", "spans", "synthesize", "version", "voices"]

#: The sampling rate of espeak-ng in Hz.
RATE: Final = 22_050

# Of speak_lib.h.
_SYNCHRONOUS: Final = 2
_DONT_EXIT: Final = 0x8000
_UTF8: Final = 1
_WORD: Final = 1
_PARAMETERS: Final = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
#: How long the name of a voice may be, its variant included: espeak-ng 1.52 appends the one to the other in 40 bytes
#: (`voice_identifier` in voices.c) without looking.
_MOST_NAME: Final = 39
#: Any number: espeak-ng takes the time of day otherwise.
_SEED: Final = 1


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


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


class Voice(NamedTuple):
    """A voice of espeak-ng: its file, its name, and the languages that it speaks (`en-us`), the first one best."""

    identifier: str
    name: str
    languages: tuple[str, ...]


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
        samples, marks = _engine().speak(text, _resolve(voice), parameters)
    return Speech(samples, RATE, place_words(text, marks, len(samples) // 2))


def voices() -> tuple[Voice, ...]:
    """The voices that there are. Raises `MissingExtra` where espeak-ng is not installed."""
    with _lock:
        return _engine().voices


def resolve(voice: str) -> str:
    """The name of a voice's file, with its variant: the same for all names of one voice.

    Raises `SpeechError` (`tts.voice`).
    """
    with _lock:
        return _resolve(voice)


def make_ready() -> None:
    """Load the library, and the voice that has spoken last, for the next `synthesize()`. Blocks for a millisecond."""
    with _lock:
        _engine().make_ready()


def version() -> str:
    """The version of the library: `1.52.0`."""
    with _lock:
        return _engine().version


# -- the library

_lock = threading.Lock()
_engines: list[_Engine] = []


def _engine() -> _Engine:
    if not _engines:
        _engines.append(_Engine())
    return _engines[0]


def _after_fork() -> None:
    """Another thread may have held the lock when this process was forked."""
    global _lock
    _lock = threading.Lock()


@cache
def _copies() -> Path:
    """The folder for copies of voices' files: of this process, and of those that are forked from it."""
    folder = Path(tempfile.mkdtemp(prefix="vf-"))
    atexit.register(_tidy_up, folder, os.getpid())
    return folder


def _tidy_up(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _resolve(voice: str) -> str:
    engine = _engine()
    name, plus, variant = voice.partition("+")
    found = engine.names.get(name.casefold())
    if found is None or (plus and variant not in engine.variants):
        raise SpeechError.of("tts.voice", voice=repr(voice))
    file = f"{found}{plus}{variant}"
    if len(file) > _MOST_NAME:
        raise SpeechError.of("tts.voice", voice=repr(voice))
    return file


class _Engine:
    """The library, loaded and without history whenever nobody speaks."""

    def __init__(self) -> None:
        loader = optional("espeakng_loader", extra="local", what="The voice espeak-ng")
        self._path: str = loader.get_library_path()
        data = Path(loader.get_data_path())
        self._data = os.fsencode(data)
        self._lang = data / "lang"
        self._samples: list[bytes] = []
        self._marks: list[tuple[int, int]] = []  # positions in the text, from 0, with the sample
        self._callback = _Callback(self._on_samples)  # kept: the library holds only its address
        self._voice = ""  # the one that is set
        self._used = False  # whether the library has a history
        self._warned = False
        self._library: Any = self._load()
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.version: str = self._library.espeak_Info(None).decode().partition(" ")[0]
        self.voices = tuple(self._list())
        self.variants = frozenset(path.name for path in (data / "voices" / "!v").iterdir())
        self.names: dict[str, str] = {}
        for voice in self.voices:  # files have precedence over names, and names over languages
            for name in voice.languages:
                self.names.setdefault(name.casefold(), voice.identifier)
        for voice in self.voices:
            self.names[voice.name.casefold()] = voice.identifier
        for voice in self.voices:
            self.names[voice.identifier.casefold()] = voice.identifier
        self._used = True
        self._voice = ""

    def make_ready(self) -> None:
        if self._used:
            self._unload()
            self._library = self._load()
            self._used = False
            voice, self._voice = self._voice, ""
            if voice:
                self._set(voice)

    def _set(self, voice: str) -> None:
        if voice != self._voice:
            name, plus, variant = voice.partition("+")
            copy = os.fsencode(f"{self._copy_of(name)}{plus}{variant}")
            if copy.startswith(b"/") and len(copy) <= _MOST_NAME:
                status = self._library.espeak_ng_SetVoiceByFile(copy)
            else:
                status = self._library.espeak_SetVoiceByName(os.fsencode(voice))
            if status:
                raise SpeechError.of("tts.voice", voice=repr(voice))
            self._voice = voice

    def _copy_of(self, name: str) -> str:
        """The path of a copy of the voice's file, where it needs one and can have one."""
        source = self._lang / name
        if name == name.lower() or (self._lang / name.lower()).exists():
            return ""
        try:
            if not _copies().exists():  # somebody has tidied up
                _copies.cache_clear()
            copy = _copies() / f"{zlib.crc32(name.encode()):08x}"
            path = str(copy)
            if path == path.lower() and not copy.exists():
                beside = copy.with_suffix(f".{os.getpid()}")
                beside.write_bytes(source.read_bytes())
                beside.replace(copy)
        except OSError:
            return ""
        if path != path.lower():
            return ""
        return path

    def speak(self, text: str, voice: str, parameters: dict[str, int]) -> tuple[bytes, list[tuple[int, int]]]:
        if self._voice and self._voice != voice:
            self._voice = ""
            self._used = True  # another voice that was set is history too
        self.make_ready()
        self._set(voice)
        self._used = True
        library = self._library
        try:
            for name, value in parameters.items():
                library.espeak_SetParameter(_PARAMETERS[name], value, 0)
            # Each time: another user of the library in this process may have set its own, which may be gone by now.
            library.espeak_SetSynthCallback(self._callback)
            library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
            spoken = _sayable(text).encode()
            status = library.espeak_Synth(
                spoken,
                ctypes.c_size_t(len(spoken) + 1),
                ctypes.c_uint(0),
                1,
                ctypes.c_uint(0),
                ctypes.c_uint(_UTF8),
                None,
                None,
            )
            if status:
                raise SpeechError.of("tts.engine", status=status)
            return b"".join(self._samples), self._marks[:]
        finally:
            self._samples.clear()
            self._marks.clear()

    def _on_samples(self, samples: int | None, count: int, events: Any) -> int:
        if samples and count > 0:
            self._samples.append(ctypes.string_at(samples, count * 2))
        index = 0
        while (event := events[index]).type:
            if event.type == _WORD:
                self._marks.append((event.text_position - 1, event.sample))
            index += 1
        return 0

    def _load(self) -> Any:
        library = ctypes.CDLL(self._path)
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, self._data, _DONT_EXIT)
        if rate != RATE:
            library.espeak_Terminate()
            _close(library)
            raise SpeechError.of("tts.engine", status=rate)
        library.espeak_SetSynthCallback(self._callback)
        return library

    def _unload(self) -> None:
        """Give up the library, and its history with it."""
        library, self._library = self._library, None
        if library is None:  # it could not be loaded the last time
            return
        library.espeak_Terminate()
        _close(library)
        if not self._warned and _is_loaded(self._path):
            self._warned = True
            log.warning(
                "espeak-ng is used by another part of this program: the same text may have other bits each time"
            )

    def _list(self) -> Iterable[Voice]:
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        found = self._library.espeak_ListVoices(None)
        index = 0
        while found[index]:
            voice = found[index].contents
            index += 1
            if not voice.identifier.startswith(b"mb/"):  # those need MBROLA, which does not come with it
                yield Voice(os.fsdecode(voice.identifier), voice.name.decode(), tuple(_languages(voice.languages)))


def _close(library: Any) -> None:
    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)


def _is_loaded(path: str) -> bool:
    """Whether somebody else holds the library: then to close it here has not unloaded it."""
    if sys.platform == "win32":
        return False  # there is no way to ask
    try:
        _close(ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_NOW))
    except OSError:
        return False
    return True


def _languages(address: int) -> Iterable[str]:
    """A list of strings, each behind a byte that is its priority; a zero in place of that is the end."""
    while ctypes.string_at(address, 1) != b"\0":
        language = ctypes.string_at(address + 1)
        yield language.decode()
        address += 2 + len(language)


# -- words


def _sayable(text: str) -> str:
    """The text, character by character, without what espeak-ng would take for commands (control characters), for the
    end (NUL), or for no text at all (lone surrogates)."""
    return "".join(" " if c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" or c.isspace() else c for c in text)


def spans(text: str) -> list[tuple[int, int]]:
    """The words of a text, as positions: each with the white space in front of it, the last also with that behind it.

    Joined they are the text. Only a text that is nothing but white space has a word without a letter.
    """
    found: list[tuple[int, int]] = []
    start = 0
    inside = False
    for index, char in enumerate(text):
        if char.isspace():
            if inside:
                found.append((start, index))
                start = index
            inside = False
        else:
            inside = True
    if inside or (start < len(text) and not found):
        found.append((start, len(text)))
    elif start < len(text):
        found[-1] = (found[-1][0], len(text))
    return found


def place_words(text: str, marks: Iterable[tuple[int, int]], samples: int, rate: int = RATE) -> tuple[Word, ...]:
    """The words of `text`, in times of its speech.

    marks: where in the text (from 0) the speech is at which sample. A word of the text may have several (`10:30` is
    said in two words), or none (a dash), and then shares the time of its neighbours by length.
    """
    found = spans(text)
    if not found:
        return ()
    begins: list[int | None] = [None] * len(found)
    word = 0
    for position, sample in sorted(marks):
        while word + 1 < len(found) and found[word][1] <= position:
            word += 1
        sample = max(0, sample)
        known = begins[word]
        begins[word] = sample if known is None else min(known, sample)
    first_begin = begins[0] or 0
    # Times only go forward, and words without one lie evenly, by letters, between their neighbours.
    edges = [0] * (len(found) + 1)
    edges[-1] = samples
    last = 0
    for index in range(1, len(found) + 1):
        begin = samples if index == len(found) else begins[index]
        if begin is None:
            continue
        edges[index] = begin = min(max(begin, edges[last]), samples)
        first = found[last][0]
        length = found[index - 1][1] - first
        for between in range(last + 1, index):
            edges[between] = edges[last] + (begin - edges[last]) * (found[between][0] - first) // length
        last = index
    times = [edge * 1000 // rate for edge in edges]
    times[0] = min(first_begin * 1000 // rate, times[1])
    return tuple(Word(text[start:end], times[index], times[index + 1]) for index, (start, end) in enumerate(found))
