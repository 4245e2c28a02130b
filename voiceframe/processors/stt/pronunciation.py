"""How words sound, in the phones of the acoustic model.

First what the settings say, then the dictionary of Carnegie Mellon that comes with PocketSphinx (134,000 words, many
names among them), then what espeak-ng would say: its phonemes, each mapped to the nearest phones. Of 4,000 words of the
dictionary that says 55 % exactly as the dictionary has them, and 12 % of the phones otherwise.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from ...errors import RecognitionError
from ...extras import optional
from .resources import model_path

__all__ = ["PHONES", "pronunciations", "read_pronunciations"]

#: The phones of words: ARPAbet without stress.
PHONES: Final = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()  # noqa: SIM905
)

_MOST_WAYS: Final = 6


def read_pronunciations(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`"nguyen W IH N"`, several for a word if it is said in several ways. Raises `RecognitionError`."""
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        word, *phones = line.split() or [""]
        if not phones or not set(phones) <= set(PHONES):
            raise RecognitionError.of("stt.pronunciation", processor="PocketSphinxSTT", words=repr(line))
        found[word.lower()] = (*found.get(word.lower(), ()), " ".join(phones))
    return found


def pronunciations(
    words: Iterable[str], own: Mapping[str, tuple[str, ...]], processor: str
) -> dict[str, tuple[str, ...]]:
    """Each word with the ways to say it. Raises `RecognitionError` (`stt.pronunciation`) that names those without."""
    found = {word: own.get(word) or _known(word) for word in words}
    unknown = [word for word, ways in found.items() if not ways]
    if unknown:
        raise RecognitionError.of("stt.pronunciation", processor=processor, words=", ".join(map(repr, unknown)))
    return found


@lru_cache(maxsize=20_000)
def _known(word: str) -> tuple[str, ...]:
    return _listed(word.encode()) or _by_sound(word)


def _listed(word: bytes) -> tuple[str, ...]:
    """What the dictionary says: a line for each way, `word PHONES` and `word(2) PHONES`, sorted by the word's bytes."""
    dictionary = _dictionary()
    low, high = 0, len(dictionary)
    while low < high:  # the first line that is not before the word
        start = dictionary.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = dictionary.index(b"\n", start)
        if dictionary[start:end].partition(b" ")[0].partition(b"(")[0] < word:
            low = end + 1
        else:
            high = start
    ways: list[str] = []
    while len(ways) < _MOST_WAYS and low < len(dictionary):
        end = dictionary.index(b"\n", low)
        name, _, phones = dictionary[low:end].partition(b" ")
        if name.partition(b"(")[0] != word:
            break
        ways.append(phones.decode().strip())
        low = end + 1
    return tuple(ways)


@cache
def _dictionary() -> bytes:
    return (model_path() / "cmudict-en-us.dict").read_bytes().rstrip(b"\n") + b"\n"


#: The phonemes of the voice en-us of espeak-ng 1.52 in phones of the model.
_PHONES: Final[dict[str, str]] = {
    "a": "AE",
    "aa": "AE",
    "a#": "AH",
    "A:": "AA",
    "A": "AA",
    "0": "AA",
    "0#": "AA",
    "O:": "AO",
    "O": "AO",
    "O2": "AO",
    "o": "OW",
    "E": "EH",
    "E2": "EH",
    "E#": "EH",
    "i": "IY",
    "i:": "IY",
    "I": "IH",
    "I2": "IH",
    "I#": "IH",
    "u": "UW",
    "u:": "UW",
    "U": "UH",
    "V": "AH",
    "@": "AH",
    "@2": "AH",
    "@5": "AH",
    "@#": "AH",
    "@-": "AH",
    "3": "ER",
    "3:": "ER",
    "IR": "IH R",
    "VR": "ER",
    "e@": "EH R",
    "i@": "IH R",
    "i@3": "IH R",
    "U@": "UH R",
    "A@": "AA R",
    "O@": "AO R",
    "o@": "AO R",
    "aI": "AY",
    "eI": "EY",
    "oU": "OW",
    "aU": "AW",
    "OI": "OY",
    "aI@": "AY AH",
    "aI3": "AY ER",
    "aU@": "AW ER",
    "@L": "AH L",
    "@N": "AH N",
    "n-": "AH N",
    "m-": "AH M",
    "l-": "AH L",
    "p": "P",
    "b": "B",
    "t": "T",
    "t#": "T",
    "t2": "T",
    "d": "D",
    "d#": "D",
    "k": "K",
    "g": "G",
    "x": "K",
    "tS": "CH",
    "dZ": "JH",
    "f": "F",
    "v": "V",
    "T": "TH",
    "D": "DH",
    "s": "S",
    "z": "Z",
    "S": "SH",
    "Z": "ZH",
    "h": "HH",
    "m": "M",
    "n": "N",
    "N": "NG",
    "l": "L",
    "l#": "L",
    "L": "L",
    "r": "R",
    "r-": "R",
    "w": "W",
    "j": "Y",
    "?": "",
    "": "",
}
_MARKS: Final = "',%=;|*"


def _by_sound(word: str) -> tuple[str, ...]:
    """What espeak-ng says for a word, or nothing if that has no sound or a phoneme that English has not."""
    if not re.search(r"[^\W\d_]", word):
        return ()
    phones: list[str] = []
    for phoneme in re.split(r"[_ ]+", _engine().phonemes(word)):
        bare = phoneme.strip(_MARKS)
        found = _PHONES.get(bare, _PHONES.get(bare.rstrip(":")))
        if found is None:
            return ()
        phones += found.split()
    return (" ".join(phones),) if phones else ()


@cache
def _scratch() -> Path:
    """A folder of this process; removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="voiceframe-stt-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _engine() -> _Engine:
    return _Engine()


class _Engine:
    """espeak-ng from a copy of its library, which has a state of its own: the one that speaks is not disturbed."""

    _lock = threading.Lock()

    def __init__(self) -> None:
        loader = optional("espeakng_loader", extra="local", what="A word that the dictionary does not have")
        source = Path(loader.get_library_path())
        copy = _scratch() / f"sounds-{source.name}"
        shutil.copyfile(source, copy)
        self._library: Any = ctypes.CDLL(str(copy))
        # 2: synchronous, without an audio device. 0x8000: do not end the process on an error.
        self._library.espeak_Initialize(2, 0, os.fsencode(loader.get_data_path()), 0x8000)
        self._library.espeak_SetVoiceByName(b"en-us")
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def phonemes(self, word: str) -> str:
        """The phonemes by their names in espeak-ng, joined by `_`."""
        text = ctypes.c_char_p(word.encode())
        with self._lock:
            found = self._library.espeak_TextToPhonemes(ctypes.byref(text), 1, ord("_") << 8)
        return str((found or b"").decode())
