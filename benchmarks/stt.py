"""How well and how fast `PocketSphinxSTT` understands simulated callers on a telephone line.

    uv run python -m benchmarks.stt                # accuracy, rejection, speed
    uv run python -m benchmarks.stt --only speed
    uv run python -m benchmarks.stt --fit          # the weights of the confidence, for stt/decoder.py
    uv run python -m benchmarks.stt --voices       # each voice by itself

A caller is a voice of espeak-ng at some rate, pitch and level, in noise of 20 or 35 dB, through a telephone (300 to
3,400 Hz, mu-law). What is said are samples of the grammars of a clinic's dialog, each with the commands that are
always there. A sentence is right when the words that matter are: not when "um" or "please" were missed.
"""

from __future__ import annotations

import argparse
import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import time as clock
from functools import cache
from pathlib import Path
from typing import Any

from voiceframe.audio import PCMU_8K, Audio
from voiceframe.flow.grammar import Expectation
from voiceframe.flow.slots import Choice, Context, Date, Digits, Name, Slot, Time
from voiceframe.flow.states import Intent
from voiceframe.processors.stt.acoustics import acoustics
from voiceframe.processors.stt.decoder import Heard, compile_grammar, decode
from voiceframe.processors.stt.sphinx import weights
from voiceframe.testing.voices import VOICES, Voice, breath, cough, noise, noisy, pick, speech, telephone
from voiceframe.tones import silence

COMMANDS = {
    "operator": ("operator", "talk to a person", "a real person"),
    "help": ("help", "what can i say"),
    "repeat": ("repeat", "say that again", "repeat that"),
    "goodbye": ("goodbye", "cancel"),
}
PEOPLE = (
    *("Anna Smith", "Peter Jones", "Maria Garcia", "David Miller", "Susan Clark", "Thomas Walker"),
    *("Laura Hughes", "Robert Fisher", "Helen Carter", "James Wilson", "Priya Patel", "Oliver Bennett"),
)
OUTSIDE = (
    *("I wonder what the weather will be like in Paris", "my cat has been sleeping on the sofa", "blue elephants"),
    *("can you tell me the price of gold", "the quick brown fox jumps over the lazy dog", "where are the car keys"),
    *("I think it is going to rain", "let me look for my glasses", "hang on a second honey the phone", "banana"),
    *("turn the television down", "mum is that you", "two large pizzas with mushrooms", "how much is the fish"),
    *("well this is a strange question", "computer", "hello hello", "just a moment", "my back hurts when I bend over"),
    *("I lost my insurance card", "do you speak Spanish", "sorry I was talking to my wife", "football", "music"),
    *("electricity bill", "never mind the traffic", "who am I speaking to", "are you a robot", "what is that noise"),
)
_BEFORE = re.compile(
    r"^(uh|um|well|i'd like( to)?|i would like( to)?|i want( to)?|it's|it is|please|i said|make it|i'm|i am|this is) "
)
_AFTER = re.compile(r" (please|thanks|thank you)$")
_SMALL = re.compile(r"\b(the|of|on|for|at|with|my name is)\b")


def matters(text: str) -> str:
    """The words that carry meaning."""
    text, before = text.lower(), ""
    while text != before:
        before, text = text, _AFTER.sub("", _BEFORE.sub("", text))
    return " ".join(_SMALL.sub(" ", text).split())


@cache
def grammars() -> dict[str, Expectation]:
    """What can be said at eight points of a clinic's dialog."""
    context = Context()
    day, hour = Date("day"), Time("time", earliest=clock(8), latest=clock(18), step_minutes=30)
    name = Name("name", options=PEOPLE)
    doctor = Choice("doctor", options=("Doctor Brown", "Doctor Lee", "Doctor Garcia", "Doctor Lindqvist"))
    slots: list[Slot[Any]] = [day, hour, name]
    intents = [
        Intent("book", "book an appointment", "make an appointment", "i need an appointment", to="x"),
        Intent("move", "change my appointment", "move my appointment", to="x"),
        Intent("hours", "opening hours", "when are you open", to="x"),
    ]
    return {
        "yes or no": Expectation(context, universals=COMMANDS, answers=True),
        "menu": Expectation(context, universals=COMMANDS, intents=intents),
        "date": Expectation(context, universals=COMMANDS, slots=[day]),
        "time": Expectation(context, universals=COMMANDS, slots=[hour]),
        "name": Expectation(context, universals=COMMANDS, slots=[name]),
        "digits": Expectation(context, universals=COMMANDS, slots=[Digits("pin", length=4)]),
        "date, time, doctor": Expectation(context, universals=COMMANDS, slots=[day, hour, doctor]),
        "confirm or correct": Expectation(context, universals=COMMANDS, slots=slots, answers=True, labels=slots),
    }


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something that is heard on the line: mono s16le at 8 kHz. `text` is "" for what is no speech."""

    grammar: str
    kind: str  # in, outside, cough, breath, noise
    text: str
    voice: Voice
    snr_db: int
    pcm: bytes


def on_the_line(pcm: bytes, rng: random.Random, snr_db: float, dbfs: float) -> bytes:
    """As the recognizer gets it: with 300 ms before and 250 ms behind, in noise, through the telephone."""
    padded = silence(300) + pcm + silence(250)
    return Audio(telephone(noisy(padded, snr_db, rng, speech_dbfs=dbfs)), PCMU_8K).pcm(8_000)


def said(
    count: int, seed: int, voices: Callable[[random.Random, int], Voice], snrs: Iterable[int] = (20, 35)
) -> Iterator[Utterance]:
    """`count` samples of each grammar."""
    snrs = tuple(snrs)
    for grammar, expectation in grammars().items():
        rng = random.Random(f"{seed} {grammar}")
        for number in range(count):
            text, voice, snr_db = expectation.sample(rng), voices(rng, number), snrs[number % len(snrs)]
            pcm = on_the_line(speech(text, voice), rng, snr_db, voice.dbfs)
            yield Utterance(grammar, "in", text, voice, snr_db, pcm)


def outside(count: int, seed: int) -> Iterator[Utterance]:
    """For each grammar `count` sentences that are not in it, and as many sounds that are no speech."""
    for grammar in grammars():
        rng = random.Random(f"{seed} outside {grammar}")
        for number in range(count):
            voice, snr_db = pick(rng), (20, 35)[number % 2]
            text = rng.choice(OUTSIDE)
            yield Utterance(
                grammar, "outside", text, voice, snr_db, on_the_line(speech(text, voice), rng, snr_db, voice.dbfs)
            )
            kind = ("cough", "cough", "breath", "noise")[number % 4]
            sound = {
                "cough": lambda r=rng: cough(r, dbfs=-22),
                "breath": lambda r=rng: breath(r, dbfs=-34),
                "noise": lambda r=rng: noise(800, r, dbfs=-26, kind="babble"),
            }[kind]()
            yield Utterance(grammar, kind, "", voice, snr_db, on_the_line(sound, rng, snr_db, -22))


def hear(utterance: Utterance, alternatives: int = 0) -> Heard:
    grammar = compile_grammar(grammars()[utterance.grammar].jsgf, (), "PocketSphinxSTT")
    return decode(utterance.pcm, 8_000, grammar, alternatives, 0.95)


def _table(rows: dict[str, list[bool]], what: str) -> None:
    for name, right in rows.items():
        print(f"  {what} {name:22s} {100 * sum(right) / len(right):5.1f} %  of {len(right)}")


def accuracy(count: int, seed: int, threshold: float) -> None:
    """Sentences that were right, before rejection and behind it; what was taken for what; what was let in."""
    by_grammar: dict[str, list[bool]] = defaultdict(list)
    by_noise: dict[str, list[bool]] = defaultdict(list)
    verdicts: dict[str, list[bool]] = defaultdict(list)
    confused: Counter[tuple[str, str]] = Counter()
    second = 0
    for utterance in said(count, seed, lambda rng, _: pick(rng)):
        heard = hear(utterance, 1)
        right = matters(heard.text) == matters(utterance.text)
        by_grammar[utterance.grammar].append(right)
        by_noise[f"{utterance.snr_db} dB"].append(right)
        verdicts["right, rejected" if right else "wrong, rejected"].append(heard.confidence < threshold)
        if not right:
            confused[(utterance.text, heard.text)] += 1
            second += any(matters(other.text) == matters(utterance.text) for other in heard.alternatives)
    for utterance in outside(count // 2, seed):
        verdicts[f"{utterance.kind}, accepted"].append(hear(utterance).confidence >= threshold)
    print("Right before rejection")
    _table(by_grammar, "")
    _table(by_noise, "noise")
    _table({"all": [right for rows in by_grammar.values() for right in rows]}, "")
    print(f"Of {confused.total()} wrong ones the first alternative was right {second} times")
    print(f"With confidence {threshold}")
    _table(verdicts, "")
    print("Taken for something else")
    for (text, heard_text), _ in confused.most_common(40):
        print(f"    {text!r} as {heard_text!r}")


def by_voice(count: int, seed: int) -> None:
    """Each voice by itself, the same sentences for all."""
    rows: dict[str, list[bool]] = defaultdict(list)
    for name in VOICES:

        def voice(rng: random.Random, _: int, name: str = name) -> Voice:
            return Voice(name, rng.randint(130, 185), rng.randint(35, 65), round(rng.uniform(-26, -18), 1))

        for utterance in said(count, seed, voice):
            rows[name].append(matters(hear(utterance).text) == matters(utterance.text))
    _table(dict(sorted(rows.items(), key=lambda row: -sum(row[1]))), "")


def fit(count: int, seed: int) -> None:
    """Logistic regression (Newton's method, a little ridge) of "what was said is what was heard" on the features."""
    import numpy as np

    data = []
    for utterance in (*said(count, seed, lambda rng, _: pick(rng)), *outside(count, seed)):
        heard = hear(utterance)
        # What was taken for something else is as wrong as what was never in the grammar.
        data.append((heard.features, utterance.kind == "in" and matters(heard.text) == matters(utterance.text)))
    x = np.array([[*features, 1.0] for features, _ in data if features])
    y = np.array([float(right) for features, right in data if features])
    weights = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 0.1 * np.eye(len(weights))
        weights += np.linalg.solve(hessian, x.T @ (y - p) - 0.1 * weights)
    print("_WEIGHTS:", tuple(round(float(w), 3) for w in weights))
    score = 1 / (1 + np.exp(-x @ weights))
    print("  false rejects: false accepts (this is the data that it was fitted to)")
    for share in (0.01, 0.02, 0.03, 0.05, 0.1):
        edge = float(np.quantile(score[y == 1], share))
        print(f"  {100 * share:4.0f} %: {100 * float(np.mean(score[y == 0] >= edge)):5.1f} %  at confidence {edge:.3f}")


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096 / 2**20


def longest_wait_ms(utterances: list[Utterance]) -> float:
    """How long another thread, such as that of the event loop, has to wait at most while these are heard."""
    worker = threading.Thread(target=lambda: [hear(utterance, 1) for utterance in utterances], daemon=True)
    longest, last = 0.0, time.perf_counter()
    worker.start()
    while worker.is_alive():
        time.sleep(0.0005)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1000


def speed(seed: int) -> None:
    """CPU time for each second of sound, time to the result, memory."""
    before = resident_mib()
    acoustics(8_000)
    weights()
    print(f"memory: the model {resident_mib() - before:.1f} MiB, for all calls of the process")
    for name, expectation in grammars().items():
        began, held = time.process_time(), resident_mib()
        compiled = compile_grammar(expectation.jsgf + "\n", (), "PocketSphinxSTT")
        compiling, held = time.process_time() - began, resident_mib() - held
        utterances = [u for u in said(8, seed, lambda rng, _: pick(rng)) if u.grammar == name]
        hear(utterances[0])
        row = f"{name:20s} {len(compiled.network.word):6,} phones {held:4.1f} MiB, compile {compiling * 1000:5.1f} ms"
        for alternatives in (0, 1):
            times = []
            for utterance in utterances:
                began = time.perf_counter()
                hear(utterance, alternatives)
                times.append(time.perf_counter() - began)
            seconds = sum(len(u.pcm) for u in utterances) / 16_000
            middle, worst = 1000 * sorted(times)[len(times) // 2], 1000 * max(times)
            row += (
                f" | {alternatives} alternatives: RTF {sum(times) / seconds:.4f}, {middle:.0f} ms (worst {worst:.0f})"
            )
        print(f"{row} | others wait {longest_wait_ms(utterances):.1f} ms at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--confidence", type=float, default=0.35)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--voices", action="store_true")
    parser.add_argument("--only", choices=["accuracy", "speed"])
    args = parser.parse_args()
    if args.fit:
        fit(args.count, args.seed + 1000)
    elif args.voices:
        by_voice(max(2, args.count // 12), args.seed + 2000)
    else:
        if args.only != "speed":
            accuracy(args.count, args.seed, args.confidence)
        if args.only != "accuracy":
            speed(args.seed)


if __name__ == "__main__":
    main()
