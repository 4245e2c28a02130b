"""What reading and writing 20 ms of audio in a carrier's message costs, beside other ways and beside the floor.

    python -m benchmarks.serializers [--quick]

All take turns in one process. The numbers that count are the ratios, taken turn by turn: how many times as much as the
floor. The floor of reading is a typed msgspec struct that has nothing but the audio in it and checks nothing else; that
of writing is a concatenation around `b2a_base64`. Whatever is compared reads or writes the same message, and is checked
to do so first.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
from base64 import b64decode, b64encode
from binascii import b2a_base64
from collections.abc import Callable, Mapping

import msgspec

from voiceframe.serializers import Media, twilio

from ._measure import Spread, ratio
from ._report import machine

STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
SPEECH = random.Random(0).randbytes(160)  # 20 ms of µ-law: to base64 all bytes are alike
MESSAGE = (
    b'{"event":"media","sequenceNumber":"4123","streamSid":"%b","media":{"track":"inbound","chunk":"4121",'
    b'"timestamp":"82420","payload":"%b"}}' % (STREAM.encode(), b64encode(SPEECH))
)
TEXT = MESSAGE.decode()

FLOOR = "the floor"
OURS = "twilio"


class Audio(msgspec.Struct, gc=False):
    payload: bytes


class OnlyAudio(msgspec.Struct, gc=False):
    media: Audio


def reading() -> dict[str, Callable[[], object]]:
    """Each returns the audio, or what holds it."""
    typed, untyped = msgspec.json.Decoder(OnlyAudio), msgspec.json.Decoder()
    return {
        FLOOR: lambda: typed.decode(MESSAGE),
        OURS: lambda: twilio.decode(MESSAGE),
        f"{OURS}, of a str": lambda: twilio.decode(TEXT),
        "msgspec, untyped": lambda: b64decode(untyped.decode(MESSAGE)["media"]["payload"]),
        "json.loads, of a str": lambda: b64decode(json.loads(TEXT)["media"]["payload"]),
        "json.loads": lambda: b64decode(json.loads(MESSAGE)["media"]["payload"]),
    }


def writing() -> dict[str, Callable[[], bytes]]:
    before, behind = b'{"event":"media","streamSid":"%b","media":{"payload":"' % STREAM.encode(), b'"}}'
    stream, encoder = twilio.outgoing(STREAM), msgspec.json.Encoder()

    def document(payload: object) -> dict[str, object]:
        return {"event": "media", "streamSid": STREAM, "media": {"payload": payload}}

    return {
        FLOOR: lambda: before + b2a_base64(SPEECH, newline=False) + behind,
        OURS: lambda: stream.audio(SPEECH),
        "msgspec": lambda: encoder.encode(document(SPEECH)),
        "json.dumps": lambda: json.dumps(document(b64encode(SPEECH).decode("ascii")), separators=(",", ":")).encode(),
    }


def audio_of(found: object) -> object:
    if isinstance(found, OnlyAudio):
        return found.media.payload
    return found.payload if isinstance(found, Media) else found


def measure(runs: Mapping[str, Callable[[], object]], turns: int, count: int) -> dict[str, Spread]:
    """Microseconds of process time for one message."""
    values: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):  # the first warms up
        for name, run in runs.items():
            gc.collect()
            began = time.process_time()
            for _ in range(count):
                run()
            spent = (time.process_time() - began) * 1e6 / count
            if turn:
                values[name].append(spent)
    return {name: Spread.of(found) for name, found in values.items()}


def table(what: str, found: Mapping[str, Spread]) -> str:
    lines = [f"| {what} | µs | times the floor |", "| --- | ---: | ---: |"]
    for name, spread in found.items():
        times = ratio(spread, found[FLOOR])
        lines.append(f"| {name} | {spread.median:.2f} | {times.median:.2f} ({times.low:.2f}-{times.high:.2f}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serializers", description="What messages cost")
    parser.add_argument("--quick", action="store_true", help="fewer turns: a first look")
    turns, count = (5, 5_000) if parser.parse_args().quick else (15, 30_000)
    print(", ".join(f"{key}: {value}" for key, value in machine().items()), end="\n\n")
    for what, runs in (("read 20 ms", reading()), ("write 20 ms", writing())):
        results = [audio_of(run()) for run in runs.values()]
        if any(result != results[0] for result in results):
            raise AssertionError(f"{what}: these do not do the same")
        print(table(what, measure(runs, turns, count)), end="\n\n")


if __name__ == "__main__":
    main()
