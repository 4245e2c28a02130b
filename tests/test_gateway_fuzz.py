"""Hostile streams against the gateway, in memory on virtual time: a clear close, and nothing is left of them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs voiceframe[telephony]")
pytest.importorskip("msgspec", reason="needs voiceframe[telephony]")

from voiceframe.app import App, Limits
from voiceframe.call import Call
from voiceframe.clock import run_virtual
from voiceframe.frames import InputAudioFrame
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor, observes
from voiceframe.server import Gateway, ServerSettings
from voiceframe.testing.leaks import leftovers
from voiceframe.transports.twilio import Twilio, TwilioSettings
from voiceframe.transports.twilio.signature import sign

SECRET, PUBLIC = "12345", "https://voice.example.com"
CLOSES = {1000, 1003, 1007, 1008, 1009, 1013}


class Ears(Processor):
    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        assert len(frame.audio.pcm(8_000)) % 2 == 0


def bot(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), Ears(), call.transport.output()])


def conversation(token: str, call_id: str, rng: random.Random) -> list[str | bytes]:
    """What a well-behaved stream sends."""
    start = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": call_id,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
    }
    messages: list[dict[str, Any]] = [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start},
    ]
    for number in range(rng.randint(1, 12)):
        payload = base64.b64encode(rng.randbytes(160)).decode()
        media = {"track": "inbound", "chunk": str(number + 1), "timestamp": str(number * 20), "payload": payload}
        messages.append({"event": "media", "sequenceNumber": str(number + 2), "streamSid": "MZ1", "media": media})
        if rng.random() < 0.1:
            messages.append({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "5"}})
        if rng.random() < 0.1:
            messages.append({"event": "mark", "streamSid": "MZ1", "mark": {"name": str(rng.randint(0, 5))}})
    if rng.random() < 0.5:
        messages.append({"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": call_id}})
    return [json.dumps(message) for message in messages]


def spoiled(messages: list[str | bytes], rng: random.Random) -> list[str | bytes]:
    """The same with something done to it."""
    messages = list(messages)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        at = rng.randrange(len(messages))
        message = messages[at]
        match rng.randrange(12):
            case 0:
                del messages[at]
            case 1:
                messages.insert(at, message)
            case 2:
                rng.shuffle(messages)
            case 3:
                messages[at] = message.encode() if isinstance(message, str) else message.decode("latin-1")
            case 4:
                messages[at] = "x" * rng.choice((0, 1, 100, 65_537, 200_000))
            case 5 if isinstance(message, str):
                place = rng.randrange(len(message) + 1)
                messages[at] = message[:place] + chr(rng.choice((0, 34, 92, 123, 0x2028, 0x1F600))) + message[place:]
            case 6 if isinstance(message, str):
                messages[at] = message[: rng.randrange(len(message) + 1)]
            case 7 if isinstance(message, str):
                messages[at] = message.replace("8000", rng.choice(("16000", "-1", "1e9", '"8000"')))
            case 8 if isinstance(message, str):
                messages[at] = message.replace(
                    '"payload": "', '"payload": "' + rng.choice(("!", "====", "A", "\\u0000"))
                )
            case 9 if isinstance(message, str):
                messages[at] = message.replace('"event": "', '"event": "' + rng.choice(("", "un", "Media", "\\ud800")))
            case 10:
                messages.insert(at, "[" * 5_000)
            case 11 if isinstance(message, str):
                messages[at] = message.replace('"token": "', '"token": "A')
        if not messages:
            break
    return messages


class Peer:
    """An ASGI server for one WebSocket."""

    def __init__(self, messages: list[str | bytes], rng: random.Random) -> None:
        self._messages = messages
        self._rng = rng
        self._connected = False
        self.closed: int | None = None
        self.sent = 0

    async def receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._messages and self.closed is None:
            await asyncio.sleep(self._rng.choice((0, 0, 0.02, 0.1)))
            message = self._messages.pop(0)
            return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}
        await asyncio.sleep(self._rng.choice((0, 0.5, 8)))
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.closed = message.get("code", 1000)
        else:
            self.sent += 1


async def hostile(first: int, last: int) -> tuple[int, Counter[int | None], int]:
    """How many messages were sent, what the streams were closed with, and how many calls came of them."""
    app = App(bot, Twilio(TwilioSettings(auth_token=SECRET)), store=None, limits=Limits(max_calls=10_000))
    gateway = Gateway(app, ServerSettings(public_url=PUBLIC))
    await gateway.enter()
    (twilio,) = app.endpoints
    assert isinstance(twilio, Twilio)
    url = "wss://voice.example.com/twilio/media"
    headers = [(b"host", b"x"), (b"x-twilio-signature", sign(url, b"", "", SECRET).encode())]
    count = calls = 0
    closes: Counter[int | None] = Counter()
    for seed in range(first, last):
        rng = random.Random(seed)
        call_id = f"CA{seed:032}"
        answer = twilio._answer(call_id, {"From": "+1", "To": "+2"})
        token = answer.split('value="')[1].split('"')[0]
        messages = spoiled(conversation(token, call_id, rng), rng)
        count += len(messages)
        peer = Peer(messages, rng)
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "path": "/twilio/media",
            "raw_path": b"/twilio/media",
            "query_string": b"",
            "headers": headers if rng.random() < 0.95 else headers[:1],
            "client": ("203.0.113.7", 1),
            "scheme": "ws",
            "subprotocols": [],
        }
        async with asyncio.timeout(60):
            await gateway(scope, peer.receive, peer.send)
        assert peer.closed is None or peer.closed in CLOSES, (seed, peer.closed)
        closes[peer.closed] += 1
        calls += call_id in twilio._lines or bool(twilio._tokens and twilio._tokens.known(call_id))
        if seed % 20 == 0:
            await asyncio.sleep(7)  # lost streams are not waited for any longer
            assert not app.calls, seed
            assert len(twilio._lines) == 0
    await asyncio.sleep(7)
    await app.drain(1_000)
    assert not app.calls
    await asyncio.sleep(1)
    assert not leftovers(asyncio.get_running_loop())
    return count, closes, calls


def test_hostile_streams_are_closed_and_leave_nothing() -> None:
    count, closes, calls = run_virtual(hostile(0, 600))
    assert count > 3_000
    assert closes.keys() >= {1000, 1003, 1007, 1008, 1009}
    assert 200 < calls < 600


@pytest.mark.slow
def test_many_hostile_streams() -> None:
    """`VOICEFRAME_TEST_DEPTH=20` sends more than a million messages."""
    for part in range(int(os.environ.get("VOICEFRAME_TEST_DEPTH", "1"))):
        run_virtual(hostile(1_000 + part * 6_000, 1_000 + (part + 1) * 6_000))
