"""The search of the recognizer against slow and simple ones, and its front end against PocketSphinx's own."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceframe.automaton import Machine
from voiceframe.jsgf import parse
from voiceframe.models import POCKETSPHINX, places
from voiceframe.processors.stt import network as networks
from voiceframe.processors.stt.acoustics import acoustics, by_book
from voiceframe.processors.stt.features import cepstra, features
from voiceframe.processors.stt.network import NEVER, Best, network
from voiceframe.processors.stt.resources import model_path, package
from voiceframe.processors.stt.search import search
from voiceframe.processors.stt.sphinx import BEGIN, END, INTERNAL, SINGLE, definition, moves, weights
from voiceframe.testing.voices import Voice, speech

pytestmark = pytest.mark.skipif(
    not any(place.present for place in places(POCKETSPHINX)),
    reason="needs the recognizer's model: `voiceframe models fetch`",
)

SOUNDS = {
    "a": ("AH", "EY"),  # one phone, two ways
    "no": ("N OW",),
    "nope": ("N OW P",),  # begins like "no"
    "six": ("S IH K S",),
    "sixth": ("S IH K S TH",),
    "fifth": ("F IH F TH",),  # ends like "sixth"
    "eight": ("EY T",),
}


@given(st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=20), min_size=1, max_size=30))
def test_the_best_of_each_group(groups: list[list[int]]) -> None:
    best = Best([len(group) for group in groups])
    values = np.array([value for group in groups for value in group], np.float32)[best.order]
    found = best.find(values)
    for number, group in zip(best.number, groups, strict=True):
        assert found[number] == max(group) == values[best.which(int(number), values)]


# -- a whole search


def sentences(machine: Machine, longest: int) -> Iterator[list[tuple[str, float]]]:
    """All sentences up to so many words; with each word what the grammar says to it and to what it leaves unsaid."""

    @cache
    def said_from(state: int, words: int) -> int:
        """How many sentences of at most so many words there are from here."""
        rest = sum(said_from(target, words - 1) for target in machine.moves[state].values()) if words else 0
        return rest + (state in machine.final)

    def weight(state: int) -> float:
        return math.pow(max(1, said_from(state, networks._FAR)), networks._BREADTH)

    def on(state: int, said: list[tuple[str, float]]) -> Iterator[list[tuple[str, float]]]:
        row = machine.moves[state]
        whole = sum(weight(target) for target in row.values()) + (state in machine.final)
        if state in machine.final and said:
            yield [*said, ("", -networks._GRAMMAR * math.log(whole))]
        if len(said) < longest:
            for word, target in row.items():
                likely = networks._GRAMMAR * math.log(weight(target) / whole)
                yield from on(target, [*said, (word, likely + networks._WORD)])

    return on(0, [])


def triphone(phone: int, left: int, right: int, where: int) -> int:
    known = definition()
    silence = known.silence
    for one, other in (
        (left, right),
        (silence if where in (BEGIN, SINGLE) else left, silence if where in (END, SINGLE) else right),
    ):
        for place in (where, *(other_place for other_place in range(4) if other_place != where)):
            if known.sequences[place, phone, one, other] >= 0:
                return int(known.sequences[place, phone, one, other])
    return known.alone[phone]


def rows(said: list[tuple[str, float]]) -> Iterator[list[tuple[int, int, float]]]:
    """Every way to say a sentence: with and without silences, all pronunciations; phone, its sequence, its cost."""
    known = definition()
    silence = known.silence
    words = [(word, cost) for word, cost in said if word]
    for ways in itertools.product(*(SOUNDS[word] for word, _ in words)):
        for silences in itertools.product((False, True), repeat=len(words) + 1):
            row: list[tuple[int, int, float]] = []
            spoken = [[known.number[phone] for phone in way.split()] for way in ways]
            for number, phones in enumerate(spoken):
                if silences[number]:
                    row.append((silence, known.alone[silence], networks._SILENCE))
                before = spoken[number - 1][-1] if number and not silences[number] else silence
                last = number == len(spoken) - 1
                behind = silence if last or silences[number + 1] else spoken[number + 1][0]
                beside = [before, *phones, behind]
                for place, phone in enumerate(phones):
                    where = (
                        SINGLE
                        if len(phones) == 1
                        else BEGIN
                        if place == 0
                        else END
                        if place == len(phones) - 1
                        else INTERNAL
                    )
                    sequence = triphone(phone, beside[place], beside[place + 2], where)
                    row.append((phone, sequence, words[number][1] if place == 0 else 0.0))
            if silences[-1]:
                row.append((silence, known.alone[silence], networks._SILENCE))
            yield row


def along(row: list[tuple[int, int, float]], likelihood: dict[int, np.ndarray]) -> float:
    """The best log-likelihood of these phones one after the other."""
    known, (stay, go) = definition(), moves()
    states = [
        (senone, stay[k, known.moves[phone]], go[k, known.moves[phone]], cost if k == 0 else 0.0)
        for phone, sequence, cost in row
        for k, senone in enumerate(known.senones[sequence].tolist())
    ]
    count = len(next(iter(likelihood.values())))
    score = [-1e30] * len(states)
    for time in range(count):
        new = []
        for place, (senone, staying, _, cost) in enumerate(states):
            before = score[place - 1] + states[place - 1][2] if place else (0.0 if time == 0 else -1e30)
            new.append(max(score[place] + staying, before + cost) + float(likelihood[senone][time]))
        score = new
    return score[-1] + float(states[-1][2])


GRAMMARS = (
    "no | six | eight",
    "(no | nope) (six | sixth | fifth)",
    "[a] (no | nope) [a]",
    "a six | eight a",
    "(six | sixth | eight)+",
)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(GRAMMARS), st.integers(0, 10_000), st.integers(8, 17))
def test_the_search_finds_what_trying_all_sentences_finds(grammar: str, seed: int, frames: int) -> None:
    machine = parse(f"#JSGF V1.0; grammar g; public <s> = {grammar};").machine
    made = network(machine, SOUNDS)
    rng = np.random.RandomState(seed)
    likelihoods = rng.normal(-20, 6, (frames, len(made.senones))).astype(np.float32)
    found, _ = search(made, likelihoods)
    of = {int(senone): likelihoods[:, place] for place, senone in enumerate(made.senones)}

    best, text = -1e30, ""
    for said in sentences(machine, frames // 3):
        for row in rows(said):
            if 3 * len(row) <= frames:
                score = along(row, of) + said[-1][1]
                if score > best:
                    best, text = score, " ".join(word for word, _ in said if word)
    if found is None:
        assert best < NEVER / 2
        return
    assert found.score == pytest.approx(best, abs=0.05)
    assert " ".join(word.word for word in found.words) == text
    starts = [word.start for word in found.words]
    assert starts == sorted(starts)
    assert all(a.end < b.start for a, b in itertools.pairwise(found.words))


def test_any_phones_explain_what_the_grammar_does_not_have() -> None:
    sound = speech("operator", Voice("en-us+m3", 150))
    streams = features(sound, 8_000)
    apart = {}
    for word in ("operator", "help"):
        made = network(parse(f"#JSGF V1.0; grammar g; public <s> = {word};").machine, _known(word))
        sentence, phones = search(made, acoustics(8_000).likelihoods(streams, made.senones, made.books))
        assert sentence is not None
        assert [one.word for one in sentence.words] == [word]
        assert {"AO", "ER"} <= {phone.word for phone in phones.words}
        apart[word] = (sentence.fits - phones.fits).mean()
    assert apart["operator"] > apart["help"] + 1


def _known(*words: str) -> dict[str, tuple[str, ...]]:
    from voiceframe.processors.stt.pronunciation import pronunciations

    return pronunciations(words, {}, "test")


# -- the model and the front end


def test_the_front_end_is_that_of_pocketsphinx() -> None:
    """The mean of the cepstra is the only thing that PocketSphinx gives away: it holds all that went into it."""
    pytest.importorskip("pocketsphinx", reason="needs the code of PocketSphinx")
    from voiceframe.audio import Audio, AudioFormat

    sound = speech("the third of december at four o'clock", Voice("en-us+m3", 150))
    pcm = Audio(sound, AudioFormat("pcm_s16le", 8_000)).pcm(16_000)
    folder = model_path()
    decoder = package().Decoder(
        hmm=str(folder / "en-us"),
        lm=None,
        dict=str(folder / "cmudict-en-us.dict"),
        loglevel="FATAL",
        samprate=16_000.0,
    )
    decoder.add_fsg("one", decoder.create_fsg("one", 0, 1, [(0, 1, 1.0, "a")]))
    decoder.activate_search("one")
    decoder.start_utt()
    decoder.process_raw(pcm, True, True)
    mean = [float(value) for value in decoder.get_cmn(False).split(",")]
    decoder.end_utt()
    found = cepstra(pcm, 16_000)
    assert found[found[:, 0] >= 0].mean(0) == pytest.approx(mean, abs=0.02)


def test_the_model_is_read_whole() -> None:
    known = definition()
    assert len(known.number) == 42
    assert len(known.book) == 5_126
    assert known.number["SIL"] == known.silence
    for stream in weights():
        assert stream.shape == (5_126, 128)
        assert np.all(np.abs(stream.sum(1) - 0.95) < 0.06)  # they are rounded in the file
    stay, go = moves()
    assert np.allclose(np.exp(stay) + np.exp(go), 1, atol=1e-3)


def test_likelihoods_are_those_of_the_formula() -> None:
    rng = random.Random(1)
    senones, books = by_book(np.array(sorted(rng.sample(range(5_126), 40)), np.int32))
    streams = [np.random.RandomState(n).normal(0, 3, (70, 13)).astype(np.float32) for n in range(3)]
    found = acoustics(16_000).likelihoods([np.concatenate((x * x, x), 1) for x in streams], senones, books)
    from voiceframe.processors.stt.sphinx import densities

    for place in rng.sample(range(40), 5):
        senone, time = int(senones[place]), rng.randrange(70)
        book = definition().book[senone]
        total = 0.0
        for stream, mean, variance, weight in zip(
            streams, densities("means"), densities("variances"), weights(), strict=True
        ):
            difference = stream[time] - mean.astype(float)
            spread = np.maximum(variance.astype(float), 1e-4)
            fit = -0.5 * (np.log(2 * np.pi * spread) + difference**2 / spread).sum(2)
            fit = np.maximum(fit, fit[np.unique(definition().book[senones])].max() - 12)
            total += math.log((weight[senone] * np.exp(fit[book] - fit.max())).sum()) + fit.max()
        assert found[time, place] == pytest.approx(total, abs=0.05)
