"""Serializers under hostile input: whatever comes, a message or a `WireError` comes out, soon and in little memory.

Mutations are made from a seed, so a failure repeats: it names the seed and shows the bytes.
"""

from __future__ import annotations

import base64
import gc
import json
import random
import re
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from voiceframe.audio import PCMU_8K
from voiceframe.serializers import (
    MAX_MESSAGE,
    Connected,
    Digit,
    Marked,
    Media,
    Message,
    Started,
    Stopped,
    Unrecognized,
    WireError,
    twilio,
)

#: No message may take longer, in seconds of this thread's processor time: the longest takes 4 ms, most some µs.
SLOWEST_S = 0.25
#: Nor more memory at once, in bytes: three times what 6,000 parameters take.
MOST_MEMORY = 2 * 2**20

ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,127}")

HEAD = {"sequenceNumber": "4", "streamSid": "MZ18ad3ab5a668481ce02b83e7395059f0"}
START = {
    "accountSid": "AC3f5f1c0e1a5e4b0b9d3a6b0c7d9e2f11",
    "streamSid": "MZ18ad3ab5a668481ce02b83e7395059f0",
    "callSid": "CAe6e2a1d1d9b64ac1c7b4a2c8a4d2f7c1",
    "tracks": ["inbound"],
    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    "customParameters": {"token": "6f1e", "name": "Zoë"},
}
AUDIO = {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": base64.b64encode(bytes(range(160))).decode()}
DOCUMENTS: list[dict[str, Any]] = [
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    {"event": "start", **HEAD, "start": START},
    {"event": "media", **HEAD, "media": AUDIO},
    {"event": "media", **HEAD, "media": AUDIO | {"payload": "no+JhoaJ/A=="}},
    {"event": "dtmf", **HEAD, "dtmf": {"track": "inbound_track", "digit": "1"}},
    {"event": "mark", **HEAD, "mark": {"name": "my label 😀"}},
    {"event": "stop", **HEAD, "stop": {"accountSid": START["accountSid"], "callSid": START["callSid"]}},
    {"event": "clap", **HEAD, "clap": [1, 2.5, None]},
]
VALID = [json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() for document in DOCUMENTS]

#: What parsers have stumbled over.
PIECES = [
    *(b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\n", b"\x1b[2J", b"\x7f"),
    *(b"\\", b'\\"', b"\\u0000", b"\\ud800", b"\\udc00\\ud800", b"\\u", b"\\x41", b"\\/", b'"', b'""', b"'"),
    *(b"{", b"}", b"[", b"]", b":", b",", b",,", b"//", b"/*", b"{}", b"[]", b'{"event":', b'"event":"media",'),
    *(
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"-",
        b"-0",
        b"1e999",
        b"1e-999",
        b"0.1",
        b"00",
        b"9" * 400,
        b"2147483648",
    ),
    *(b"=", b"==", b"====", b"A", b"-_", b"audio/x-alaw", b"16000", b"../", b"%00", b"$", b"__class__", b"media"),
]
VALUES: list[Callable[[random.Random], Any]] = [
    lambda rng: rng.choice([None, True, False, [], {}, "", "\0", "\ud800", " ", "é", "😀", "-1", "1e3", "5.0", "NaN"]),
    lambda rng: rng.choice([-1, 0, -0.0, 0.5, 2**31 - 1, 2**31, 2**63, 2**64, 10**40, -(2**63), 1e308, 5.0]),
    lambda rng: str(rng.randint(-(2 ** rng.randint(1, 70)), 2 ** rng.randint(1, 70))),
    lambda rng: base64.b64encode(rng.randbytes(rng.randint(0, 400))).decode(),
    lambda rng: "".join(
        chr(rng.choice([rng.randint(0, 127), rng.randint(0, 0x10FFFF)])) for _ in range(rng.randint(0, 9))
    ),
    lambda rng: rng.choice(["x", "0", "é", "\n"]) * 2 ** rng.randint(0, 10),
    lambda rng: [json.loads(rng.choice(VALID))] * rng.randint(0, 4),
    lambda rng: json.loads(rng.choice(VALID)),
    lambda rng: rng.choice(["\0", "a\0", "\0a"]),
    lambda rng: rng.choice("0123456789*#ABCDabcdEF"),
    lambda rng: rng.choice(
        ["inbound", "outbound", "inbound_track", "media", "start", "mark", "dtmf", "stop", "connected"]
    ),
]


def mutated(rng: random.Random) -> str | bytes:
    """A valid message with a few things done to it."""
    message = changed(rng) if rng.random() < 0.6 else rng.choice(VALID)
    for _ in range(rng.choice([0, 1, 1, 2, 3, 8])):
        at, to = sorted((rng.randint(0, len(message)), rng.randint(0, len(message))))
        match rng.randint(0, 8):
            case 0:  # a byte becomes another
                message = message[:at] + bytes((rng.randint(0, 255),)) + message[at + 1 :]
            case 1:  # a bit of a byte is turned
                message = (
                    message[:at]
                    + bytes(byte ^ 1 << rng.randint(0, 7) for byte in message[at : at + 1])
                    + message[at + 1 :]
                )
            case 2:
                message = message[:at] + rng.choice(PIECES) + message[at:]
            case 3:
                message = message[:at] + rng.choice(PIECES) + message[min(to, at + 8) :]
            case 4:
                message = message[:at]
            case 5:
                message = message[:at] + message[min(to, at + rng.randint(1, 40)) :]
            case 6:  # a part comes twice
                message = message[:to] + message[at:to] + message[to:]
            case 7:  # the end of another
                message = message[:at] + rng.choice(VALID)[to:]
            case _:
                message = message[:at] + rng.randbytes(rng.randint(1, 12)) + message[at:]
    if rng.random() < 0.004:
        piece = rng.choice([b"[", b'{"a":', b"9", b"A", b"\\u0041", b" ", b"[],", b'{"event":"', b"\0"])
        at = rng.randint(0, len(message))
        message = message[:at] + piece * rng.randint(1, 80_000 // len(piece)) + message[at:]
    if rng.random() < 0.3:
        return message.decode(rng.choice(["utf-8", "utf-8", "latin-1"]), "surrogateescape")
    return message


def changed(rng: random.Random) -> bytes:
    """A valid message with some of its values or keys replaced, deleted, added or moved."""
    document = json.loads(rng.choice(VALID))
    if document["event"] == "start" and rng.random() < 0.2:
        form = {"encoding": rng.choice(["audio/x-alaw", "\n"]), "sampleRate": 16_000, "channels": 2}
        name = rng.choice([*form])
        document["start"]["mediaFormat"][name] = form[name]
    for _ in range(rng.choice([1, 1, 2, 4])):
        place, key = rng.choice([*places(document)])
        match rng.randint(0, 4):
            case 0 if isinstance(place, dict):
                place[rng.choice([*AUDIO, *START, *HEAD, "event", "media", "", "digit", "name"])] = place.pop(key)
            case 1 if isinstance(place, dict):
                del place[key]
                if not document:
                    break
            case 2 if isinstance(place, dict):
                items = [*place.items()]
                rng.shuffle(items)
                place.clear()
                place.update(items)
            case _:
                place[key] = rng.choice(VALUES)(rng)
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1]))
    return text.encode("utf-8", "surrogatepass")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document that holds a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in [*entries]:
        yield value, key
        yield from places(inner)


def held(message: Message) -> None:
    """A transport may rely on this, whatever came."""
    match message:
        case Media(payload, timestamp_ms, chunk, track):
            assert type(payload) is bytes
            assert len(payload) <= MAX_MESSAGE * 3 // 4
            assert type(timestamp_ms) is type(chunk) is int
            assert 0 <= timestamp_ms < 2**31
            assert 0 <= chunk < 2**31
            assert track in ("inbound", "outbound")
        case Started(stream_id, call_id, account_id, format, custom):
            assert all(ID.fullmatch(name) for name in (stream_id, call_id, account_id))
            assert format == PCMU_8K
            texts = [*custom.keys(), *custom.values()]
            assert "\0" not in "".join(texts)
            "".join(texts).encode()
        case Stopped(call_id):
            assert ID.fullmatch(call_id)
        case Digit(digit):
            assert digit in tuple("0123456789*#ABCD")
        case Marked(name):
            assert "\0" not in name
            name.encode()
        case Connected(protocol, version):
            assert "\0" not in protocol + version
        case Unrecognized(event):
            assert event.isascii()
            assert event.isprintable() or not event
            assert len(event) <= 80
        case _:
            pytest.fail(f"{message!r} is no message")


def agrees(message: str | bytes, read: Message) -> None:
    """What has been read is what the standard library reads: nothing was made up, nothing confounded."""
    text = message if isinstance(message, str) else message.decode("utf-8", "replace")  # wrong bytes in unused fields
    document = json.loads(text, parse_int=float)  # an int of the standard library has at most 4,300 digits
    match read:
        case Media(payload, timestamp_ms, chunk, track):
            body = document["media"]
            assert base64.b64decode(body["payload"], validate=True) == payload
            assert (float(body["timestamp"]), float(body["chunk"]), body["track"]) == (timestamp_ms, chunk, track)
        case Started(stream_id, call_id, account_id, _, custom):
            body = document["start"]
            assert (document["streamSid"], body["callSid"], body["accountSid"]) == (stream_id, call_id, account_id)
            assert body.get("customParameters", {}) == custom
            form = body["mediaFormat"]
            assert form["encoding"] == "audio/x-mulaw"
            assert (float(form["sampleRate"]), float(form["channels"])) == (8_000, 1)
        case Digit(digit):
            assert document["dtmf"]["digit"] == digit
        case Marked(name):
            assert document["mark"]["name"] == name
        case Stopped(call_id):
            assert document["stop"]["callSid"] == call_id
        case Connected(protocol, version):
            assert (document["protocol"], document["version"]) == (protocol, version)
        case Unrecognized():
            assert document["event"] not in {known["event"] for known in DOCUMENTS[:-1]}


def fuzz(seed: int, count: int) -> Counter[str]:
    """Decode `count` mutations; how often which class or code came out."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        message = mutated(rng)
        began = time.thread_time()
        try:
            read = twilio.decode(message)
        except WireError as error:
            slowest = max(slowest, time.thread_time() - began)
            outcomes[error.code] += 1
            if not (len(str(error)) < 350 and str(error).isascii() and str(error).isprintable()):
                pytest.fail(f"seed {seed}, message {number}: {error} of {message!r}")
            continue
        except BaseException as error:
            pytest.fail(f"seed {seed}, message {number}: {error!r} for {message!r}")
        slowest = max(slowest, time.thread_time() - began)
        outcomes[type(read).__name__] += 1
        try:
            held(read)
            agrees(message, read)
        except Exception as error:
            pytest.fail(f"seed {seed}, message {number}: {error!r} of {read!r} for {message!r}")
    assert slowest < SLOWEST_S
    return outcomes


EVERY_OUTCOME = {
    *("Connected", "Started", "Media", "Digit", "Marked", "Stopped", "Unrecognized"),
    *("wire.json", "wire.schema", "wire.base64", "wire.size", "wire.format"),
}


def test_the_messages_that_are_mutated_are_valid() -> None:
    for message in VALID:
        read = twilio.decode(message)
        held(read)
        agrees(message, read)


def test_twenty_thousand_mutations() -> None:
    outcomes = fuzz(seed=4, count=20_000)
    assert outcomes.keys() == EVERY_OUTCOME
    assert outcomes["wire.json"] < 0.8 * outcomes.total(), "most mutations must get past the JSON"
    assert outcomes["Media"] > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1_000, 1_011))
def test_a_hundred_thousand_mutations(seed: int) -> None:
    assert fuzz(seed, 100_000).keys() == EVERY_OUTCOME


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        with pytest.raises(WireError):
            twilio.decode(rng.randbytes(rng.randint(0, 300)))


#: 64 KB of whatever becomes most when it is read.
LARGE = {
    "an open list in a list": b'{"event":"mark","x":' + b"[" * 65_000,
    "lists in a list": b'{"event":"mark","x":[' + b"[]," * 21_000 + b"1]}",
    "objects in a list": b'{"event":"clap","x":[' + b"{}," * 21_000 + b"1]}",
    "a long number": b'{"event":"media","media":{"timestamp":' + b"9" * 65_000 + b"}}",
    "a long number as a string": b'{"event":"media","media":{"chunk":"' + b"9" * 65_000 + b'"}}',
    "a fraction": b'{"event":"media","media":{"timestamp":0.' + b"1" * 65_000 + b"}}",
    "parameters": b'{"event":"start","streamSid":"MZ","start":{"accountSid":"AC","callSid":"CA","mediaFormat":'
    b'{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{%b}}}'
    % b",".join(b'"%x":""' % number for number in range(6_000)),
    "wrong parameters": b'{"event":"start","start":{"customParameters":{"":7' + b',"":""' * 10_000 + b"}}}",
    "escapes": b'{"event":"mark","mark":{"name":"' + b"\\u0100" * 10_800 + b'"}}',
    "an unknown event": b'{"event":"' + b"x" * 65_000 + b'"}',
    "a long id": b'{"event":"stop","stop":{"callSid":"' + b"a" * 65_000 + b'"}}',
    "the same key": b'{"event":"dtmf"' + b',"dtmf":{"digit":"1"}' * 3_000 + b"}",
    "audio": b'{"event":"media","media":{"track":"inbound","chunk":1,"timestamp":1,"payload":"'
    + b"A" * 65_400
    + b'"}}',
    "wrong audio": b'{"event":"media","media":{"track":"inbound","chunk":1,"timestamp":1,"payload":"'
    + b"A" * 65_401
    + b'"}}',
    "spaces": b" " * 65_536,
}


@pytest.mark.parametrize("what", LARGE)
def test_the_largest_messages_take_little_time_and_memory(what: str) -> None:
    message = LARGE[what]
    assert len(message) <= MAX_MESSAGE, "or it would not be read at all"
    began = time.thread_time()
    outcome(message)
    assert time.thread_time() - began < SLOWEST_S
    gc.collect()
    tracemalloc.start()
    try:
        outcome(message)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_nothing_grows() -> None:
    messages = [mutated(random.Random(number)) for number in range(300)]
    for _ in range(3):
        for message in messages:
            outcome(message)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            for message in messages:
                outcome(message)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


def outcome(message: str | bytes) -> str:
    try:
        return type(twilio.decode(message)).__name__
    except WireError as error:
        return error.code
