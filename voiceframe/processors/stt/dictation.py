"""Free speech, with the language model of PocketSphinx: not good enough for a dialog, see `docs/speech.md`."""

from __future__ import annotations

import re
import threading
from functools import cache
from pathlib import Path
from typing import Any, Final

from ...errors import RecognitionError
from ...frames import Word
from .decoder import Heard
from .resources import package

__all__ = ["dictation"]

_lock: Final = threading.Lock()
#: The mean of the cepstra from which each segment begins, so that nothing depends on the one before.
_MEAN: Final = "40,3,-1"


@cache
def _decoder() -> Any:
    sphinx = package()
    folder = Path(sphinx.get_model_path()) / "en-us"  # a fetched model has no language model
    files = {
        "hmm": folder / "en-us",
        "lm": folder / "en-us.lm.bin",
        "dict": folder / "cmudict-en-us.dict",
    }
    try:
        return sphinx.Decoder(**{name: str(path) for name, path in files.items()}, loglevel="FATAL")
    except RuntimeError as error:
        raise RecognitionError.of("stt.model", what=f"its own model ({error})") from error


def dictation(pcm: bytes) -> Heard:
    """What is heard in mono s16le at 16 kHz, one segment at a time in a process.

    Raises `RecognitionError` (`stt.model`).
    """
    with _lock:
        decoder = _decoder()
        decoder.set_cmn(_MEAN)
        decoder.start_utt()
        decoder.process_raw(pcm, False, True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        if hypothesis is None or not hypothesis.hypstr:
            return Heard()
        words = tuple(
            Word(_plain(segment.word), segment.start_frame * 10, segment.end_frame * 10 + 10)
            for segment in decoder.seg()
            if not segment.word.startswith(("<", "[", "(", "++"))
        )
        return Heard(_plain(hypothesis.hypstr), round(min(1.0, float(hypothesis.prob)), 4), words)


def _plain(text: str) -> str:
    return re.sub(r"\(\d+\)", "", text).strip()
