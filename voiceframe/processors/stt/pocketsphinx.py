"""Recognition on this machine, of what a grammar lets through, with the acoustic model of PocketSphinx."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from typing import Final as Constant

from ...audio import PCM_8K, PCM_16K, Audio, AudioFormat
from ...errors import RecognitionError
from ...frames import ExpectFrame
from ...settings import Settings, setting
from .base import STT, STTSettings
from .pronunciation import read_pronunciations
from .resources import model_path, package
from .stream import Final, STTStream

if TYPE_CHECKING:
    from .decoder import Heard

__all__ = ["PocketSphinxSTT", "PocketSphinxSettings"]


#: On virtual time a segment takes a twenty-fifth of what it lasts: about what it does take (`benchmarks/stt.py`).
_SPEED: Constant = 25


class PocketSphinxSettings(Settings, prefix="POCKETSPHINX"):
    """How `PocketSphinxSTT` listens."""

    confidence: float = setting(
        default=0.35, doc="how sure it must be; below, what was said is taken to be outside of the grammar", ge=0, le=1
    )
    alternatives: int = setting(
        default=0, doc="what else it may have been: how many at most; each costs as much time as the first", ge=0, le=5
    )
    sure: float = setting(default=0.95, doc="confidence from which no alternatives are looked for", ge=0, le=1)
    pronunciations: tuple[str, ...] = setting(
        default=(), doc='how words sound, in ARPAbet: "nguyen W IH N"; before the dictionary and before espeak-ng'
    )
    dictation: bool = setting(
        default=False, doc="without a grammar take the language model of the package, which gets every other word wrong"
    )


class PocketSphinxSTT(STT):
    """Recognizes American English, as far as the grammar of the dialog goes: `ExpectFrame(jsgf=...)` from downstream.

    The grammar that was there when speech began holds for it. What is not in it gives an empty transcription. Without a
    grammar there is nothing to recognize: that is reported, and the transcription is empty, unless `dictation` is set.
    Words are looked up when the grammar comes; one that nobody knows how to say is reported then, by name, and again
    with each empty transcription that follows from it.

    Lines of 8 kHz are heard with a model for 8 kHz, all others at 16 kHz. A segment is recognized as a whole when it is
    over, off the event loop, in some 10 to 50 ms for each second of speech.

    settings, stt: by default from the environment and the settings file.
    """

    accepts = (PCM_16K, PCM_8K)

    def __init__(self, settings: PocketSphinxSettings | None = None, stt: STTSettings | None = None) -> None:
        super().__init__(stt)
        self.sphinx = settings or PocketSphinxSettings.load()
        self._own = tuple(read_pronunciations(self.sphinx.pronunciations).items())

    async def setup(self) -> None:
        model_path()  # is missed before the first word, not at it
        if self.sphinx.dictation:
            package()

    async def prepare(self, expect: ExpectFrame) -> None:
        if expect.jsgf:
            from .decoder import compile_grammar

            await self.offload(compile_grammar, expect.jsgf, self._own, self.name)

    async def open(self, format: AudioFormat, language: str) -> STTStream:
        return _Stream(self, format)

    def recognize(self, pcm: bytes, rate: int, jsgf: str) -> Heard:
        """What is heard in mono s16le. Blocks.

        Raises `GrammarError`, and `RecognitionError` (`stt.no-grammar`, `stt.pronunciation`, `stt.model`).
        """
        from .decoder import Heard, compile_grammar, decode

        if not jsgf:
            if not self.sphinx.dictation:
                raise RecognitionError.of("stt.no-grammar", processor=self.name)
            from .dictation import dictation

            return dictation(Audio(pcm, AudioFormat("pcm_s16le", rate)).pcm(16_000))
        grammar = compile_grammar(jsgf, self._own, self.name)
        heard = decode(pcm, rate, grammar, self.sphinx.alternatives, self.sphinx.sure)
        if heard.confidence < self.sphinx.confidence:
            return Heard(confidence=heard.confidence, features=heard.features)
        return heard


class _Stream(STTStream):
    """Keeps the sound of the segment until it is over."""

    def __init__(self, owner: PocketSphinxSTT, format: AudioFormat) -> None:
        self._owner = owner
        self._rate = format.rate
        self._jsgf = ""
        self._pieces: list[bytes] = []
        self._results: deque[Final] = deque()
        self._more = asyncio.Event()

    async def begin(self, expect: ExpectFrame | None) -> None:
        self._jsgf = expect.jsgf if expect is not None else ""
        self._pieces.clear()

    async def send(self, audio: bytes) -> None:
        self._pieces.append(audio)

    async def finalize(self) -> None:
        pcm = b"".join(self._pieces)
        self._pieces.clear()
        heard = await self._owner.offload(
            self._owner.recognize, pcm, self._rate, self._jsgf, virtual_ms=len(pcm) * 500 // self._rate // _SPEED
        )
        self._results.append(Final(heard.text, heard.confidence, heard.words, heard.alternatives))
        self._more.set()

    async def aclose(self) -> None:
        self._pieces.clear()

    async def results(self) -> AsyncGenerator[Final, None]:
        while True:
            while not self._results:
                self._more.clear()
                await self._more.wait()
            yield self._results.popleft()
