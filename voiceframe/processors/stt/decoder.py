"""From the sound of a segment to what was said, how sure that is, and what else it may be.

A segment is decoded as a whole when it is over, with the acoustic model and the dictionary of PocketSphinx but a search
of its own (`network.py`, `search.py`): exact, with the likelihood of every sound, in a quarter of the time. Nothing
depends on what was said before: the same sound gives the same bits in any order, in any thread.

**How sure it is.** The best row of any phones says how well the sound could be explained by any speech at all. Let G
and P be the log-likelihoods of the sound along the sentence and along the phones. Words that were said are explained
nearly as well by the grammar; what is outside of it, and coughs, much worse. `confidence` is a logistic function of
(G - P) per frame, the same for the worst word, how many frames and words there are, how long the phones are and how
much of the time they fill. Its weights were fitted by `benchmarks/stt.py --fit` to synthetic voices on a telephone
line; see there for false rejects and accepts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np

from ...automaton import Machine
from ...frames import Alternative, Word
from ...g711 import audioop
from ...jsgf import parse
from .acoustics import acoustics
from .features import features
from .network import Network, network
from .pronunciation import pronunciations
from .search import Path, search
from .sphinx import Floats

__all__ = ["Compiled", "Heard", "compile_grammar", "decode"]

#: A segment without any sample as loud as this (-40 dBFS) is silence.
_FAINT: Final = 328
#: By how much a difference in log-likelihood counts for how sure an alternative is.
_FLAT: Final = 1 / 15

#: Weights of the confidence: see the module. Bias last.
_WEIGHTS: Final = (2.268, 1.104, 3.42, -2.769, -2.407, 2.363, -10.016)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A grammar with how its words sound."""

    machine: Machine
    network: Network
    sounds: dict[str, tuple[str, ...]]


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


@lru_cache(maxsize=64)
def compile_grammar(jsgf: str, own: tuple[tuple[str, tuple[str, ...]], ...], processor: str) -> Compiled:
    """Read a grammar, look up its words and lay out its network; the latest are kept, up to 1 MiB each.

    Raises `GrammarError`, and `RecognitionError` (`stt.pronunciation`, `stt.model`).
    """
    machine = parse(jsgf).machine
    words = sorted({word for _, word, _ in machine.arcs()})
    sounds = pronunciations(words, dict(own), processor)
    return Compiled(machine, network(machine, sounds), sounds)


def decode(pcm: bytes, rate: int, grammar: Compiled, alternatives: int = 0, sure: float = 1.0) -> Heard:
    """What is heard in a segment of mono s16le; with up to `alternatives` if its confidence is below `sure`.

    rate: 8,000 or 16,000 Hz. Raises `RecognitionError` (`stt.model`).
    """
    if not grammar.machine.moves[0] or len(pcm) < rate // 5 or audioop.max(pcm, 2) < _FAINT:
        return Heard()
    streams = features(_on_a_floor(pcm), rate)
    best, phones = _search(streams, rate, grammar.network)
    if best is None or not best.words or not phones.words:
        return Heard()  # no sentence, or no speech at all
    found = _features(best, phones)
    confidence = _confidence(found)
    words = tuple(Word(word.word, word.start * 10, word.end * 10 + 10) for word in best.words)
    others = _others(best, confidence, streams, rate, grammar, alternatives if confidence < sure else 0)
    return Heard(_text(best), confidence, words, tuple(others), found)


def _search(streams: list[Floats], rate: int, network: Network) -> tuple[Path | None, Path]:
    return search(network, acoustics(rate).likelihoods(streams, network.senones, network.books))


def _text(path: Path) -> str:
    return " ".join(word.word for word in path.words)


def _others(
    best: Path, confidence: float, streams: list[Floats], rate: int, grammar: Compiled, most: int
) -> Iterator[Alternative]:
    """The next best sentences: each is the best of the grammar without those before it."""
    machine, path = grammar.machine, best
    for _ in range(most):
        machine = machine.without([word.word for word in path.words])
        if not machine.moves[0]:
            return
        other, _ = _search(streams, rate, network(machine, grammar.sounds))
        if other is None or not other.words:
            return
        path = other
        certainty = confidence * math.exp(min(0.0, path.score - best.score) * _FLAT)
        yield Alternative(_text(path), round(certainty, 4))


def _features(path: Path, any_phones: Path) -> tuple[float, ...]:
    difference = path.fits - any_phones.fits
    lengths = [word.end - word.start + 1 for word in path.words]
    frames = sum(lengths)
    apart = [float(difference[word.start : word.end + 1].sum()) for word in path.words]
    phones = sum(phone.end - phone.start + 1 for phone in any_phones.words)
    return (
        sum(apart) / frames,
        min(one / length for one, length in zip(apart, lengths, strict=True)),
        math.log(frames),
        math.log(len(path.words)),
        phones / len(any_phones.words) / 10,
        phones / frames,
    )


def _on_a_floor(pcm: bytes) -> bytes:
    """The sound in white noise of -60 dBFS, always the same.

    A line may be digitally silent between words, and the model, which has never heard such a thing, then fits nothing:
    of clean recordings it gets 35 % of sentences without and 79 % with it.
    """
    count = len(pcm) // 2
    sound = np.frombuffer(pcm, "<i2", count) + np.resize(_floor(), count)
    return bytes(np.clip(sound, -32768, 32767).astype("<i2").tobytes())


@cache
def _floor() -> Any:
    return np.rint(np.random.RandomState(1).standard_normal(80_000) * 32.768).astype(np.int32)


def _confidence(features: Iterable[float]) -> float:
    total = sum(weight * value for weight, value in zip(_WEIGHTS, (*features, 1.0), strict=True))
    return round(1 / (1 + math.exp(-max(-30.0, min(30.0, total)))), 4)
