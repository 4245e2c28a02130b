"""espeak-ng as a library: loaded without a history for each text, by the interface of `speak_lib.h` (espeak-ng 1.52).

Four things of it decide how it is used:

* It has one state for the whole process, so that one text is spoken at a time: nothing here may be called by two
  threads at once.
* It keeps state from one text to the next: where it is in its table of pitch flutter, the automatic gain, a random
  number for breath. The same text gives other samples then, even another length. None of its functions resets that. So
  the library is unloaded after each text and loaded anew for the next one. `make_ready()` does that ahead of time. It
  cannot be done where something else in the process has loaded the same file (a phonemizer, say); a warning tells.
* What it forgets to give back stays lost when it is unloaded. A voice that was set waits in a queue, 1.3 kB, until
  something is said; so nothing is said, if nothing else was, before it is unloaded. The dictionary of a second language
  that it took for a text is never given back: 180 kB for each text with Latin words in a Chinese, Japanese or Russian
  voice. Texts in one language lose nothing: 20,000 of them take 1 MB, most of it with the first 5,000.
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
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from .errors import SpeechError
from .extras import optional

log = logging.getLogger("voiceframe.espeak")

__all__ = ["RATE", "Library", "Voice", "copies"]

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


class Voice(NamedTuple):
    """A voice of espeak-ng: its file, its name, and the languages that it speaks (`en-us`), the first one best."""

    identifier: str
    name: str
    languages: tuple[str, ...]


@cache
def copies() -> Path:
    """The folder for copies of voices' files: of this process, and of those that are forked from it."""
    folder = Path(tempfile.mkdtemp(prefix="vf-"))
    atexit.register(_tidy_up, folder, os.getpid())
    return folder


def _tidy_up(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


class Library:
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
        self._queued = False  # whether the voice that is set waits in its queue
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

    def resolve(self, voice: str) -> str:
        """The name of a voice's file, with its variant. Raises `SpeechError` (`tts.voice`)."""
        name, plus, variant = voice.partition("+")
        found = self.names.get(name.casefold())
        if found is None or (plus and variant not in self.variants):
            raise SpeechError.of("tts.voice", voice=repr(voice))
        file = f"{found}{plus}{variant}"
        if len(file) > _MOST_NAME:
            raise SpeechError.of("tts.voice", voice=repr(voice))
        return file

    def make_ready(self) -> None:
        """Take the history away, and set the voice that has spoken last."""
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
            self._queued = True

    def _copy_of(self, name: str) -> str:
        """The path of a copy of the voice's file, where it needs one and can have one."""
        source = self._lang / name
        if name == name.lower() or (self._lang / name.lower()).exists():
            return ""
        try:
            if not copies().exists():  # somebody has tidied up
                copies.cache_clear()
            copy = copies() / f"{zlib.crc32(name.encode()):08x}"
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
        """The samples of the text, and where they say what: positions in the text, from 0, with the sample.

        voice: its file, as `resolve()` names it. parameters: `rate`, `volume`, `pitch`, `range`.
        """
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
            status = self._say(library, _sayable(text).encode())
            if status:
                raise SpeechError.of("tts.engine", status=status)
            return b"".join(self._samples), self._marks[:]
        finally:
            self._forget()

    def _say(self, library: Any, spoken: bytes) -> int:
        self._queued = False
        status: int = library.espeak_Synth(
            spoken,
            ctypes.c_size_t(len(spoken) + 1),
            ctypes.c_uint(0),
            1,
            ctypes.c_uint(0),
            ctypes.c_uint(_UTF8),
            None,
            None,
        )
        return status

    def _forget(self) -> None:
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
        self._queued = False
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
        if self._queued:
            self._say(library, b"")
            self._forget()
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


def _sayable(text: str) -> str:
    """The text, character by character, without what espeak-ng would take for commands (control characters), for the
    end (NUL), or for no text at all (lone surrogates)."""
    return "".join(" " if c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" or c.isspace() else c for c in text)
