"""PocketSphinx with a grammar: from the sound of a segment to what was said, how sure that is, and what else it may be.

A segment is decoded as a whole when it is over: first the mean of its cepstra is found, which is subtracted from them,
then the best sentence of the grammar, the best row of any phones, and the next best sentences. So nothing depends on
what was said before, and the same sound gives the same bits in any order. Each call of PocketSphinx holds the
interpreter's lock, and gets a tenth of a second of audio.

**How sure it is.** The row of phones says how well the sound could be explained by any speech at all. Let G and P be
the log-likelihoods of sentence and phones. Words that were said are explained nearly as well by the grammar; what is
outside of it, and coughs, much worse. `confidence` is a logistic function of (G - P) per frame, the same for the worst
word, how many frames and words there are, how long the phones are and how much of the time they fill. Its weights were
fitted by `benchmarks/stt.py --fit` to synthetic voices on a telephone line; see there for false rejects and accepts.
"""

from __future__ import annotations

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from ...automaton import Machine
from ...errors import RecognitionError
from ...frames import Alternative, Word
from ...g711 import audioop
from ...jsgf import parse
from .acoustics import PHONES, configuration, model_path, package, scratch
from .pronunciation import pronunciations

__all__ = ["Compiled", "Heard", "compile_grammar", "lease"]

#: Grammars that a decoder keeps ready, and words after which it is made anew.
_MOST_GRAMMARS, _MOST_WORDS = 32, 20_000
#: Decoders that are kept while nobody speaks, for each rate.
_MOST_IDLE: Final = 4
#: By how much a difference in log-likelihood counts for how sure an alternative is.
_FLAT: Final = 1 / 15

# Chosen by measurement with `benchmarks.stt`: 8 Gaussians of each codebook instead of 4 and beams wider than the
# defaults give 2 points of 100 each; the best path through the lattice (`bestpath`) leaves the grammar and costs 8. A
# penalty on each further word gave 8 at the clinic: without it a noise behind a name becomes a date. The best 800
# states of a frame hold the right one as surely as all do.
_TUNING: Final[dict[str, Any]] = {
    "bestpath": False,
    "silprob": 0.1,
    "topn": 8,
    "beam": 1e-80,
    "pbeam": 1e-80,
    "wbeam": 1e-60,
    "wip": 1e-2,
    "maxhmmpf": 800,
}
#: A row of phones needs no wide beams.
_JUDGE: Final[dict[str, Any]] = {
    "topn": 4,
    "wip": 0.65,
    "maxhmmpf": 30_000,
    "beam": 1e-15,
    "pbeam": 1e-15,
    "wbeam": 1e-10,
}
#: How improbable each phone of the row is.
_PHONE: Final = 0.02
#: A segment without any sample as loud as this (-40 dBFS) is silence.
_FAINT: Final = 328
#: PocketSphinx gives log-likelihoods as powers of 1.0001 that it has divided by this.
_SCALE: Final = 1024

#: Weights of the confidence: see the module. Bias last.
_WEIGHTS: Final = (2.393, 0.521, -0.936, 1.139, -2.055, 1.16, 10.402)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A grammar with how its words sound. `key` tells it from others."""

    key: tuple[object, ...]
    machine: Machine
    sounds: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in a segment; times in milliseconds from its first sample. Text "" is: nothing of the grammar.

    features: what the confidence was found from, for the benchmark.
    """

    text: str = ""
    confidence: float = 0.0
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    features: tuple[float, ...] = ()


@lru_cache(maxsize=256)
def compile_grammar(jsgf: str, own: tuple[tuple[str, tuple[str, ...]], ...], processor: str) -> Compiled:
    """Read a grammar and look up its words; each text once in a process.

    Raises `GrammarError`, and `RecognitionError` (`stt.pronunciation`).
    """
    machine = parse(jsgf).machine
    words = sorted({word for _, word, _ in machine.arcs()})
    sounds = pronunciations(words, dict(own), processor)
    return Compiled((jsgf, own), machine, sounds)


class _Decoder:
    """Two decoders of PocketSphinx: one for grammars, which keeps the latest, and one that judges speech as such."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        words = scratch() / "none.dict"
        words.touch()
        config = configuration(rate) | _TUNING | {"dict": str(words)}
        self._decoder: Any = _made(config)
        self._judge: Any = _made(config | _JUDGE)
        for phone in sorted(PHONES):
            self._judge.add_word(f"_{phone.lower()}", phone, False)
        row = [(start, 1, _PHONE, f"_{phone.lower()}") for start in (0, 1) for phone in sorted(PHONES)]
        self._judge.add_fsg("phones", self._judge.create_fsg("phones", 0, 1, row))
        self._judge.add_fsg("mean", self._judge.create_fsg("mean", 0, 1, [(0, 1, 1.0, "_aa")]))
        self._grammars: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self._names = 0
        self._ways: set[str] = set()  # what is in the dictionary, by its name there

    @property
    def worn(self) -> bool:
        """Whether it holds so many words that it is better made anew."""
        return len(self._ways) > _MOST_WORDS

    def decode(self, pcm: bytes, grammar: Compiled, alternatives: int = 0, sure: float = 1.0) -> Heard:
        """What is heard in a segment of mono s16le; with up to `alternatives` if its confidence is below `sure`."""
        if not grammar.machine.moves[0] or len(pcm) < self.rate // 5 or audioop.max(pcm, 2) < _FAINT:
            return Heard()
        pcm = _on_a_floor(pcm)
        mean = self._mean(pcm)
        self._run(self._decoder, self._load(grammar), pcm, mean)
        text, score, path = self._best(grammar.machine)
        if not text:
            return Heard()
        self._run(self._judge, "phones", pcm, mean)
        loop, loop_score = _path(self._judge)
        if not loop:
            return Heard()  # no speech at all
        features = _features(path, score, loop, loop_score)
        confidence = _confidence(features)
        words = tuple(Word(_plain(name), start * 10, end * 10 + 10) for name, start, end, _ in path)
        others = tuple(
            self._others(text, score, confidence, pcm, mean, grammar, alternatives if confidence < sure else 0)
        )
        return Heard(text, confidence, words, others, features)

    def _load(self, grammar: Compiled) -> str:
        """The name of the search for this grammar. Raises `RecognitionError` (`stt.model`)."""
        name = self._grammars.get(grammar.key)
        if name is not None:
            self._grammars.move_to_end(grammar.key)
            return name
        while len(self._grammars) >= _MOST_GRAMMARS:
            self._decoder.remove_search(self._grammars.popitem(last=False)[1])
        for word, ways in grammar.sounds.items():
            for number, phones in enumerate(ways, 1):
                way = word if number == 1 else f"{word}({number})"
                if way not in self._ways:
                    # Ways of different settings for the same word add up, in a decoder that serves both.
                    self._decoder.add_word(way, phones, False)
                    self._ways.add(way)
        self._names += 1
        name = f"grammar{self._names}"
        self._search(name, grammar.machine)
        self._grammars[grammar.key] = name
        return name

    def _search(self, name: str, machine: Machine) -> None:
        try:
            self._decoder.add_fsg(name, self._decoder.create_fsg(name, 0, *_arcs(machine)))
        except (RuntimeError, ValueError) as error:
            raise RecognitionError.of("stt.model", what=f"a grammar ({error})") from error

    def _mean(self, pcm: bytes) -> str:
        """The mean of the cepstra."""
        judge = self._judge
        judge.activate_search("mean")  # it needs some search, and this one has the least to do
        judge.reinit_feat()
        judge.start_utt()
        judge.process_raw(pcm, True, True)
        mean = str(judge.get_cmn(False))
        judge.end_utt()
        return mean

    def _run(self, decoder: Any, search: str, pcm: bytes, mean: str) -> None:
        decoder.activate_search(search)
        decoder.reinit_feat()  # it forgets the noise of the last segment, which nothing else makes it do
        decoder.set_cmn(mean)
        decoder.start_utt()
        step = self.rate // 5  # bytes of 100 ms
        for start in range(0, len(pcm), step):
            decoder.process_raw(pcm[start : start + step], False, False)
        decoder.end_utt()

    def _best(self, machine: Machine) -> tuple[str, float, list[_Step]]:
        hypothesis = self._decoder.hyp()
        text = _plain(hypothesis.hypstr) if hypothesis is not None and hypothesis.hypstr else ""
        if not machine.accepts(text.split()):
            text = ""  # it ended in the middle of a sentence
        path, score = _path(self._decoder) if text else ([], 0.0)
        return (text if path else ""), score, path

    def _others(
        self, text: str, score: float, confidence: float, pcm: bytes, mean: str, grammar: Compiled, most: int
    ) -> Iterator[Alternative]:
        """The next best sentences: each is the best of the grammar without those before it."""
        machine = grammar.machine
        for _ in range(most):
            machine = machine.without(text.split())
            if not machine.moves[0]:
                return
            self._search("others", machine)
            try:
                self._run(self._decoder, "others", pcm, mean)
                text, other, _ = self._best(machine)
            finally:
                self._decoder.activate_search(self._load(grammar))
                self._decoder.remove_search("others")
            if not text:
                return
            yield Alternative(text, round(confidence * math.exp(min(0.0, other - score) * _FLAT), 4))


def _path(decoder: Any) -> tuple[list[_Step], float]:
    """The words (or phones) of the best path, and its log-likelihood."""
    hypothesis = decoder.hyp()
    if hypothesis is None or not hypothesis.hypstr:
        return [], _log(0.0)
    steps = [
        (segment.word, segment.start_frame, segment.end_frame, _log(segment.ascore))
        for segment in decoder.seg()
        if not segment.word.startswith(("<", "[", "(", "+"))
    ]
    return steps, _log(hypothesis.best_score)


_Step = tuple[str, int, int, float]


def _features(path: list[_Step], score: float, loop: list[_Step], loop_score: float) -> tuple[float, ...]:
    frames = sum(end - start + 1 for _, start, end, _ in path)
    every = [0.0] * (max(end for _, _, end, _ in (*path, *loop)) + 1)
    for _, start, end, likelihood in loop:
        every[start : end + 1] = [likelihood / (end - start + 1)] * (end - start + 1)
    worst = min((own - sum(every[start : end + 1])) / (end - start + 1) for _, start, end, own in path)
    phones = sum(end - start + 1 for _, start, end, _ in loop)
    return (
        (score - loop_score) / frames,
        worst,
        math.log(frames),
        math.log(len(path)),
        phones / max(1, len(loop)) / 10,
        phones / frames,
    )


def _on_a_floor(pcm: bytes) -> bytes:
    """The sound in white noise of -60 dBFS, always the same.

    A line may be digitally silent between words, and the model, which has never heard such a thing, then fits nothing:
    of clean recordings it gets 35 % of sentences without and 79 % with it.
    """
    import numpy as np

    count = len(pcm) // 2
    sound = np.frombuffer(pcm, "<i2", count) + np.resize(_floor(), count)
    return bytes(np.clip(sound, -32768, 32767).astype("<i2").tobytes())


@cache
def _floor() -> Any:
    import numpy as np

    return np.rint(np.random.RandomState(1).standard_normal(80_000) * 32.768).astype(np.int32)


def _confidence(features: Iterable[float]) -> float:
    total = sum(weight * value for weight, value in zip(_WEIGHTS, (*features, 1.0), strict=True))
    return round(1 / (1 + math.exp(-max(-30.0, min(30.0, total)))), 4)


def _arcs(machine: Machine) -> tuple[int, list[tuple[Any, ...]]]:
    """The end and the moves of a machine as PocketSphinx takes them: one end, all ways on equally likely."""
    end = len(machine.moves)
    arcs: list[tuple[Any, ...]] = []
    for state, moves in enumerate(machine.moves):
        share = 1.0 / max(1, len(moves) + (state in machine.final))
        arcs += [(state, target, share, word) for word, target in moves.items()]
        if state in machine.final:
            arcs.append((state, end, share))
    return end, arcs


def _plain(text: str) -> str:
    return re.sub(r"\(\d+\)", "", text).strip()


def _log(probability: float) -> float:
    return math.log(probability) * _SCALE if probability > 0 else -1e6


def _made(config: dict[str, Any]) -> Any:
    try:
        return package().Decoder(**config)
    except RuntimeError as error:
        raise RecognitionError.of("stt.model", what=f"its own model ({error})") from error


# -- decoders of the process

_lock = threading.Lock()
_idle: dict[int, list[_Decoder]] = {}


@contextmanager
def lease(rate: int) -> Iterator[_Decoder]:
    """A decoder for audio of `rate` Hz, for one segment; made if all are at work. Safe in any thread."""
    with _lock:
        waiting = _idle.setdefault(rate, [])
        decoder = waiting.pop() if waiting else None
    if decoder is None:
        decoder = _Decoder(rate)
    yield decoder
    # Not after an exception: what state it is in then nobody knows.
    with _lock:
        if len(waiting) < _MOST_IDLE and not decoder.worn:
            waiting.append(decoder)


def dictation(pcm: bytes) -> Heard:
    """What is heard in mono s16le at 16 kHz with the language model of the package, by the one decoder for it."""
    with _dictation_lock:
        if not _dictation:
            folder = model_path()
            words = {"lm": str(folder / "en-us.lm.bin"), "dict": str(folder / "cmudict-en-us.dict")}
            _dictation.append(_made(configuration(16_000) | words))
        decoder = _dictation[0]
        decoder.set_cmn("40,3,-1")
        decoder.start_utt()
        decoder.process_raw(pcm, False, True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        if hypothesis is None or not hypothesis.hypstr:
            return Heard()
        words_said = tuple(
            Word(_plain(segment.word), segment.start_frame * 10, segment.end_frame * 10 + 10)
            for segment in decoder.seg()
            if not segment.word.startswith(("<", "[", "(", "++"))
        )
        return Heard(_plain(hypothesis.hypstr), round(min(1.0, float(hypothesis.prob)), 4), words_said)


_dictation_lock = threading.Lock()
_dictation: list[Any] = []
