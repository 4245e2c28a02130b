"""The labelled set of turn ends: utterances with pauses inside, spoken by several voices over a noisy telephone line.

    python -m benchmarks._turn_ends /tmp/set       # writes it as WAV files and labels.json

Everything follows from the seed. A `|` is a place at which a speaker may pause and go on: one after `~` is in the
middle of a phrase, the others after words that could have been all.
"""

from __future__ import annotations

import json
import random
import sys
import wave
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from voiceframe.espeak import synthesize
from voiceframe.tones import level_dbfs

RATE = 8_000
SEED = 20_260
COUNT = 360

VOICES = ("en-us", "en-us+m2", "en-us+m4", "en-us+m7", "en-us+f2", "en-us+f4", "en-gb", "en-gb+m3", "en-gb+f3")

SENTENCES = (
    "I'd like to make an appointment | for ~| Thursday",
    "I need to see a doctor | about my ~| knee",
    "my name is ~| Anna | Brown",
    "can I come in on ~| Monday | at ten in the morning",
    "it's about the bill | that I got ~| last week",
    "yes | but I'd rather have ~| the afternoon",
    "no | that's not what I ~| meant",
    "my number is ~| five five five ~| one two ~| three four",
    "my date of birth is ~| the third of May | nineteen eighty",
    "I was wondering if ~| you could tell me | when you open",
    "well ~| I had an appointment | and I ~| missed it",
    "um ~| next Friday | would be good",
    "the reference is ~| seven seven two ~| four nine",
    "I want to cancel | my appointment on ~| Tuesday",
    "could you ~| put me through to ~| the billing department",
    "do you have anything ~| earlier | or later than that",
    "I've been having this pain in ~| my shoulder | since ~| the weekend",
    "thank you",
    "yes",
    "no thanks",
    "Wednesday",
    "half past two",
    "I don't know",
    "tomorrow morning please",
    "what time do you close",
    "can you repeat that please",
    "I'd like to speak to somebody",
    "that's right",
    "Doctor Miller",
    "the third of December",
    "ten thirty would be fine",
    "actually ~| make it two o'clock",
    "I'm calling because ~| my prescription has run out | and I need ~| a new one",
    "if it's possible ~| I'd prefer | a woman doctor",
    "we moved house ~| so ~| I need to change my address",
    "the twenty first | or the ~| twenty second",
)


@dataclass(frozen=True)
class Word:
    """A word of an utterance, in milliseconds from its beginning."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Gap:
    """A pause in an utterance. `inside` a phrase, or after words that could have been all."""

    start_ms: int
    end_ms: int
    inside: bool


@dataclass(frozen=True)
class Utterance:
    """A turn: from 0 to `end_ms` with its pauses. `pcm` goes on for some seconds of line noise."""

    number: int
    text: str
    voice: str
    words: tuple[Word, ...]
    gaps: tuple[Gap, ...]
    start_ms: int
    end_ms: int
    pcm: bytes

    @property
    def labels(self) -> dict[str, object]:
        """All but the audio, for JSON."""
        return {key: value for key, value in asdict(self).items() if key != "pcm"}


def turn_ends(count: int = COUNT, seed: int = SEED) -> Iterator[Utterance]:
    """The set, one by one: each ends once, and pauses nought to three times before."""
    import audioop  # of the standard library, or audioop-lts

    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        yield _utterance(number, rng, audioop)


def _utterance(number: int, rng: random.Random, audioop: object) -> Utterance:
    template = SENTENCES[number % len(SENTENCES)]
    voice = rng.choice(VOICES)
    words, places = _parse(template)
    speech = synthesize(" ".join(words), voice=voice, rate_wpm=rng.randint(140, 190), pitch=rng.randint(35, 65))
    pcm = np.frombuffer(_at_rate(speech.pcm, speech.rate), dtype="<i2").astype(np.float64)
    spoken = [(word.start_ms, word.end_ms) for word in speech.words]
    assert len(spoken) == len(words), (words, speech.words)
    pieces: list[np.ndarray] = [np.zeros(RATE * 3 // 10)]  # the speaker takes a breath
    shift = len(pieces[0]) * 1000 // RATE
    timed: list[Word] = []
    gaps: list[Gap] = []
    begin = 0
    for index, word in enumerate(words):
        start, end = spoken[index]
        timed.append(Word(word, start + shift, end + shift))
        inside = places.get(index)
        if inside is None or index == len(words) - 1 or rng.random() < 0.35:
            continue
        pause = rng.randint(200, 1_500)
        cut = min(len(pcm), RATE * end // 1000)
        pieces += [_faded(pcm[begin:cut]), np.zeros(RATE * pause // 1000)]
        gaps.append(Gap(end + shift, end + shift + pause, inside))
        begin = cut
        shift += pause
    pieces.append(_faded(pcm[begin:]))
    # Where the voice really stops, not where the synthesizer's silence does.
    line = np.concatenate(pieces)
    loud = np.flatnonzero(np.abs(line) > 200)
    end_ms = int(loud[-1]) * 1000 // RATE
    start_ms = int(loud[0]) * 1000 // RATE
    line = np.concatenate([line[: int(loud[-1]) + 1], np.zeros(RATE * 4)])
    gain = 10 ** ((-24 - level_dbfs(line[loud].astype("<i2").tobytes())) / 20)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 32_768 * 10 ** (-44 / 20), len(line))  # 20 dB below
    mixed = np.clip(np.rint(line * gain + noise), -32_768, 32_767).astype("<i2").tobytes()
    through = audioop.ulaw2lin(audioop.lin2ulaw(mixed, 2), 2)  # type: ignore[attr-defined]
    return Utterance(number, " ".join(words), voice, tuple(timed), tuple(gaps), start_ms, end_ms, through)


def _parse(template: str) -> tuple[list[str], dict[int, bool]]:
    """The words, and after which of them (by index) one may pause: True inside a phrase."""
    words: list[str] = []
    places: dict[int, bool] = {}
    for token in template.split():
        if token in ("|", "~|"):
            places[len(words) - 1] = token == "~|"
        else:
            words.append(token)
    return words, places


def _at_rate(pcm: bytes, rate: int) -> bytes:
    from voiceframe.audio import Audio, AudioFormat

    return Audio(pcm, AudioFormat("pcm_s16le", rate)).pcm(RATE)


def _faded(samples: np.ndarray) -> np.ndarray:
    """With ends of 5 ms that fade, so that a cut makes no click."""
    samples = samples.copy()
    size = min(RATE // 200, len(samples) // 2)
    if size:
        ramp = np.linspace(0, 1, size)
        samples[:size] *= ramp
        samples[-size:] *= ramp[::-1]
    return samples


def main() -> None:
    """Write the set into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    labels = []
    for utterance in turn_ends():
        with wave.open(str(folder / f"{utterance.number:04}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(utterance.pcm)
        labels.append(utterance.labels)
    (folder / "labels.json").write_text(json.dumps(labels, indent=1))
    pauses = sum(len(label["gaps"]) for label in labels)  # type: ignore[arg-type,misc]
    print(f"{len(labels)} turn ends, {pauses} pauses inside turns, in {folder}")


if __name__ == "__main__":
    main()
