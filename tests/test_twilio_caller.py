"""The caller who comes by way of Twilio: the phone against a scripted peer, and whole calls against our endpoint."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import itertools
import json
import random
import time
import wave
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

pytest.importorskip("starlette", reason="needs voiceframe[telephony]")

from voiceframe import Call, Pipeline, Processor, handles, observes
from voiceframe.app import Limits
from voiceframe.bots import load_bot
from voiceframe.clock import run_virtual
from voiceframe.errors import Reject, TestKitError
from voiceframe.frames import InputAudioFrame, InputDTMFFrame
from voiceframe.models import POCKETSPHINX, places
from voiceframe.testing import (
    AudioCaller,
    Forgery,
    ToneTTS,
    TwilioCaller,
    TwilioConditions,
    TwilioExchange,
    TwilioPhone,
    dial,
)
from voiceframe.testing.memory_asgi import MemoryNetwork
from voiceframe.testing.network import HandshakeRefused, within
from voiceframe.testing.playback import Playback
from voiceframe.tones import level_dbfs, tone
from voiceframe.transports import LineConditions

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = "https://bot.test/app"
TOKEN = "12345"
SILENCE = b"\xff" * 160

AGAIN = (
    '<Response><Connect action="/app/after?x=1"><Stream url="wss://bot.test/app/media">'
    '<Parameter name="token" value="t&amp;1"/></Stream></Connect></Response>'
)
ONCE = AGAIN.replace(' action="/app/after?x=1"', "")
HANGUP = "<Response><Hangup/></Response>"


class Peer:
    """A bot's side that says what the test wants; nothing of ours. One document for each request."""

    def __init__(self, *documents: str, status: int = 200, accepts: bool = True, reads: bool = True) -> None:
        self.documents = deque(documents)
        self.status = status
        self.accepts = accepts
        self.reads = reads
        self.asked: list[tuple[dict[str, Any], bytes]] = []
        self.handshakes: list[dict[str, Any]] = []
        #: Messages with the millisecond in which they came, for each stream.
        self.streams: list[list[tuple[int, dict[str, Any]]]] = []
        self.ends: list[int] = []
        self.texts: list[str] = []
        self._send: Any = None
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            message = await receive()
            self.asked.append((scope, message["body"]))
            document = self.documents.popleft().encode()
            headers = [(b"Content-Type", b"text/xml")]
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            await send({"type": "http.response.body", "body": document[:5], "more_body": True})
            await send({"type": "http.response.body", "body": document[5:]})
            return
        self.handshakes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        if not self.accepts:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        self._send = send
        self.streams.append([])
        while self.reads:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.ends.append(message["code"])
                return
            self.texts.append(message["text"])
            self.streams[-1].append((now_ms(), json.loads(message["text"])))
        await asyncio.Event().wait()

    async def says(self, event: str, **body: Any) -> None:
        stream_id = self.of("start")[-1][1]["streamSid"]
        await self._send(
            {"type": "websocket.send", "text": json.dumps({"event": event, "streamSid": stream_id, **body})}
        )
        self.sent += 1

    async def sounds(self, data: bytes) -> None:
        await self.says("media", media={"payload": base64.b64encode(data).decode()})

    async def marks(self, name: str) -> None:
        await self.says("mark", mark={"name": name})

    async def closes(self) -> None:
        await self._send({"type": "websocket.close", "code": 1000})

    def of(self, event: str) -> list[tuple[int, dict[str, Any]]]:
        return [(at, message) for at, message in self.streams[-1] if message["event"] == event]


def now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)


class Line:
    """A phone that has called a peer, and what it has heard."""

    def __init__(self, peer: Peer, **options: Any) -> None:
        self.network = MemoryNetwork(peer, PUBLIC, buffer_bytes=2_000)
        self.phone = TwilioPhone(self.network, PUBLIC + "/voice", TOKEN, **options)
        self.heard: list[tuple[int, bytes]] = []
        self.phone.far.on_audio = lambda data: self.heard.append((now_ms(), data))

    async def __aenter__(self) -> Line:
        self.phone.dial()
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.phone.aclose()
        await self.network.aclose(100)

    def sounded(self) -> list[int]:
        """When the pieces began in which there is sound."""
        return [at for at, data in self.heard if data != SILENCE]


async def soon(ms: int = 5) -> None:
    await asyncio.sleep(ms / 1000)


# -- what is asked and said


async def test_what_twilio_asks_is_signed_and_as_it_is_documented() -> None:
    validator = pytest.importorskip("twilio.request_validator").RequestValidator(TOKEN)
    peer = Peer(AGAIN, HANGUP)
    async with Line(peer, from_="+15551234567", seed=3, fields={"StirVerstat": "A"}) as line:
        await soon()
        await peer.closes()
        assert await line.phone.wait_ended() == "completed"
    for (scope, body), path, status in zip(peer.asked, ("/voice", "/after"), ("ringing", "in-progress"), strict=True):
        assert (scope["path"], scope["raw_path"], scope["method"]) == (path, path.encode(), "POST")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        assert headers["host"] == "bot.test"
        assert headers["content-type"] == "application/x-www-form-urlencoded; charset=UTF-8"
        assert int(headers["content-length"]) == len(body)
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        assert fields["CallStatus"] == status
        assert fields["CallSid"] == line.phone.call_id
        assert (fields["From"], fields["Caller"]) == ("+15551234567",) * 2
        assert (fields["Direction"], fields["ApiVersion"], fields["StirVerstat"]) == ("inbound", "2010-04-01", "A")
        assert len(fields["AccountSid"]) == len(fields["CallSid"]) == 34
        url = PUBLIC + path + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        assert validator.validate(url, fields, headers["x-twilio-signature"])
    (scope,) = peer.handshakes
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    assert (scope["raw_path"], headers["upgrade"], scope["client"]) == (b"/media", "websocket", ("memory", 0))
    assert validator.validate("wss://bot.test/app/media", {}, headers["x-twilio-signature"])
    assert [(request.url, request.status) for request in line.phone.requests] == [
        (f"{PUBLIC}/voice", 200),
        ("wss://bot.test/app/media", 101),
        (f"{PUBLIC}/after?x=1", 200),
    ]


async def test_the_messages_are_those_of_the_documentation() -> None:
    peer = Peer(ONCE)
    async with Line(peer, keep=True) as line:
        phone = line.phone
        await soon(45)
        phone.press("5")
        phone.hang_up()
        assert await phone.wait_ended() == "hangup"
        stream, call, account = phone.streams[0].stream_id, phone.call_id, phone.account
        assert phone.streams[0].sent == peer.texts
    payload = base64.b64encode(SILENCE).decode()
    assert peer.texts == [
        '{"event":"connected","protocol":"Call","version":"1.0.0"}',
        f'{{"event":"start","sequenceNumber":"1","streamSid":"{stream}","start":{{"accountSid":"{account}",'
        f'"streamSid":"{stream}","callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw",'
        '"sampleRate":8000,"channels":1},"customParameters":{"token":"t&1"}}}',
        f'{{"event":"media","sequenceNumber":"2","streamSid":"{stream}","media":{{"track":"inbound","chunk":"1",'
        f'"timestamp":"0","payload":"{payload}"}}}}',
        f'{{"event":"media","sequenceNumber":"3","streamSid":"{stream}","media":{{"track":"inbound","chunk":"2",'
        f'"timestamp":"20","payload":"{payload}"}}}}',
        f'{{"event":"dtmf","sequenceNumber":"4","streamSid":"{stream}","dtmf":{{"track":"inbound_track","digit":"5"}}}}',
        f'{{"event":"stop","sequenceNumber":"5","streamSid":"{stream}","stop":{{"accountSid":"{account}",'
        f'"callSid":"{call}"}}}}',
    ]
    assert peer.ends == [1000]
    assert len(peer.asked) == 1  # who has hung up is not asked about any more


# -- the clock


def test_nothing_drifts_in_ten_minutes() -> None:
    async def call(ppm: float) -> tuple[list[tuple[int, dict[str, Any]]], list[tuple[int, bytes]]]:
        peer = Peer(ONCE)
        async with Line(peer, conditions=LineConditions(clock_ppm=ppm)) as line:
            await asyncio.sleep(600.01)
            return peer.of("media"), line.heard

    media, heard = run_virtual(call(0))
    assert [at for at, _ in media] == list(range(20, 600_001, 20))
    assert [message["media"]["timestamp"] for _, message in media] == [str(at - 20) for at, _ in media]
    assert [message["media"]["chunk"] for _, message in media] == [str(n + 1) for n in range(len(media))]
    assert [at for at, _ in heard] == list(range(0, 600_001, 20))
    fast, _ = run_virtual(call(1_000))
    assert len(fast) == 30_030
    assert fast[-1][0] == pytest.approx(30_030 * 20 / 1.001, abs=1)


@pytest.mark.real_time
async def test_a_loop_that_was_held_up_makes_up_for_it() -> None:
    peer = Peer(ONCE)
    async with Line(peer) as line:
        numbers = itertools.count(1)
        line.phone.far.source = lambda: bytes([next(numbers)]) * 160
        await asyncio.sleep(0.1)
        time.sleep(0.2)  # noqa: ASYNC251  # that is the point
        await asyncio.sleep(0.105)
        lasted = now_ms() - line.heard[0][0]
        media = [(at, base64.b64decode(message["media"]["payload"])[0]) for at, message in peer.of("media")]
    assert [value for _, value in media] == list(range(1, len(media) + 1))  # each once, in order
    assert len(media) == pytest.approx(lasted / 20, abs=1.5)
    assert len(line.heard) == len(media) + 1
    assert max(b - a for (a, _), (b, _) in pairwise(media)) > 150


async def test_what_is_said_in_20_ms_is_sent_at_their_end_and_once() -> None:
    peer = Peer(ONCE)
    async with Line(peer) as line:
        line.phone.far.play(tone(700, 100))
        await soon(205)
        sent = [base64.b64decode(message["media"]["payload"]) for _, message in peer.of("media")]
    assert [data != SILENCE for data in sent] == [True] * 5 + [False] * 5
    assert [at for at, _ in peer.of("media")][:2] == [20, 40]


# -- what the bot sends


async def test_sound_is_played_in_real_time_whatever_its_pieces() -> None:
    peer = Peer(ONCE)
    sound = bytes(range(1, 251)) * 16  # 500 ms
    async with Line(peer) as line:
        await soon(10)
        for size in (37, 400, 1):
            await peer.sounds(sound[:size])
            sound = sound[size:]
        await peer.sounds(sound)
        await soon(2_000)
        assert line.phone.streams[0].playback.waiting == 0
        assert line.phone.streams[0].playback.most == 4_000
    assert line.sounded() == list(range(20, 520, 20))
    assert b"".join(data for _, data in line.heard)[160:4_160] == bytes(range(1, 251)) * 16
    assert all(len(data) == 160 for _, data in line.heard)
    assert all(data == SILENCE for at, data in line.heard if not 20 <= at < 520)


async def test_marks_come_back_when_what_was_before_them_has_played() -> None:
    peer = Peer(ONCE)
    async with Line(peer):
        await soon(10)
        await peer.marks("nothing before it")
        await peer.sounds(b"\x01" * 480)  # plays from 20 to 80
        await peer.marks("60 ms")
        await peer.sounds(b"\x02" * 200)  # to 105: the rest of its last piece is silence
        await peer.marks("105 ms")
        await soon(100)  # at 110 its last piece sounds
        await peer.marks("behind it")
        await soon(500)
        await peer.marks("later")
        await soon()
    assert [(message["mark"]["name"], at) for at, message in peer.of("mark")] == [
        ("nothing before it", 10),
        ("60 ms", 80),
        ("105 ms", 120),
        ("behind it", 120),
        ("later", 610),
    ]
    assert [int(message["sequenceNumber"]) for _, message in peer.streams[0][1:]] == list(
        range(1, len(peer.streams[0]))
    )


async def test_clear_forgets_the_sound_and_gives_all_marks_back_at_once() -> None:
    peer = Peer(ONCE)
    async with Line(peer) as line:
        await soon(10)
        for name in ("a", "b", "c"):
            await peer.sounds(b"\x01" * 800)  # 100 ms each
            await peer.marks(name)
        await soon(140)  # at 150 the second plays
        await peer.says("clear")
        await peer.sounds(b"\x02" * 160)
        await soon(200)
    assert [(message["mark"]["name"], at) for at, message in peer.of("mark")] == [("a", 120), ("b", 150), ("c", 150)]
    assert [(at, data[0]) for at, data in line.heard if data != SILENCE][-2:] == [(140, 1), (160, 2)]


def test_a_mark_in_the_middle_of_a_piece_waits_for_its_end() -> None:
    came: list[str] = []
    playback = Playback(SILENCE, came.append)
    playback.add(b"\x01" * 100)
    playback.mark("a")
    playback.add(b"\x02" * 60)
    playback.mark("b")
    assert playback.next() == b"\x01" * 100 + b"\x02" * 60
    assert came == []
    assert playback.next() == SILENCE
    assert came == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no JSON", "no JSON"),
        ('{"event":"media","streamSid":"MZ","media":{"payload":""}}', "for stream 'MZ'"),
        ('{"event":"media","streamSid":"%s","media":{"payload":"###"}}', "Error"),
        ('{"event":"mark","streamSid":"%s","mark":{"name":1}}', "no text"),
        ('{"event":"playAudio","streamSid":"%s"}', "'playAudio' is not known"),
        ("[]", "TypeError"),
    ],
)
async def test_a_message_that_twilio_does_not_understand_is_named(text: str, said: str) -> None:
    peer = Peer(ONCE)
    async with Line(peer) as line:
        await soon()
        text = text.replace("%s", line.phone.streams[0].stream_id)
        await peer._send({"type": "websocket.send", "text": text})
        with pytest.raises(TestKitError, match=r"test\.message") as caught:
            await line.phone.wait_ended()
        assert said in caught.value.message


# -- when a stream is over


async def test_when_the_bot_closes_its_action_is_asked_and_obeyed() -> None:
    peer = Peer(AGAIN, AGAIN, HANGUP)
    async with Line(peer) as line:
        await soon(50)
        await peer.sounds(b"\x01" * 8_000)
        await soon(10)
        await peer.closes()
        await soon(200)
        assert line.phone.attached
        await peer.closes()
        assert await line.phone.wait_ended() == "completed"
    assert line.phone.stream_ends == ["closed", "closed"]
    first, second = ([m for _, m in stream] for stream in peer.streams)
    assert first[1]["start"]["callSid"] == second[1]["start"]["callSid"] == line.phone.call_id
    assert first[1]["streamSid"] != second[1]["streamSid"]
    assert second[1]["sequenceNumber"] == "1"
    assert (second[2]["media"]["chunk"], second[2]["media"]["timestamp"]) == ("1", "0")
    assert line.sounded()[-1] <= 60  # what waited to be played went with the first
    assert [b - a for (a, _), (b, _) in pairwise(line.heard)] == [20] * (len(line.heard) - 1)  # the line goes on


async def test_without_an_action_the_call_is_over_with_its_stream() -> None:
    peer = Peer(ONCE)
    async with Line(peer) as line:
        await soon()
        await peer.closes()
        assert await line.phone.wait_ended() == "completed"
    assert len(peer.asked) == 1


async def test_a_lost_connection_is_seen_by_both_and_another_one_comes() -> None:
    peer = Peer(AGAIN, AGAIN, HANGUP)
    async with Line(peer, conditions=TwilioConditions(losses_ms=(100,))) as line:
        await soon(400)
        assert peer.ends == [1005]
        assert len(peer.streams) == 2
        line.phone.lose(silently=True)
        await soon(400)
        assert line.phone.ended
    assert line.phone.stream_ends == ["lost", "lost"]
    assert [dict(parse_qsl(body.decode()))["CallStatus"] for _, body in peer.asked] == [
        "ringing",
        "in-progress",
        "in-progress",
    ]


async def test_a_bot_that_goes_away_without_a_word_is_a_loss() -> None:
    peer = Peer(AGAIN, HANGUP)
    async with Line(peer) as line:
        await soon()
        peer.reads = False
        await soon(50)
        (task,) = line.network._tasks
        task.cancel()
        assert await line.phone.wait_ended() == "completed"
    assert line.phone.stream_ends == ["lost"]


# -- the way between


async def test_messages_are_late_in_order_and_none_is_lost() -> None:
    peer = Peer(ONCE)
    async with Line(peer, conditions=LineConditions(network_ms=50, jitter_ms=60, seed=1)) as line:
        await soon(150 + 60)  # the webhook, the handshake
        await peer.sounds(b"\x01" * 160)
        await soon(3_000)
    began = line.heard[0][0]
    media = peer.of("media")
    late = [at - began - int(message["media"]["timestamp"]) - 20 for at, message in media]
    assert [message["media"]["chunk"] for _, message in media] == [str(n + 1) for n in range(len(media))]
    assert 50 <= min(late) < 60
    assert 100 < max(late) <= 111
    assert 260 + 0 <= line.sounded()[0] <= 340


async def test_a_stall_holds_everything_back_and_then_all_of_it_comes() -> None:
    peer = Peer(ONCE)
    async with Line(peer, conditions=TwilioConditions(stalls=((100, 500),))) as line:
        await soon(200)
        await peer.sounds(b"\x01" * 160)
        await soon(1_000)
    ats = [at for at, _ in peer.of("media")]
    assert ats[:4] == [20, 40, 60, 80]
    assert ats.count(600) == 26
    assert ats[30:33] == [620, 640, 660]
    assert line.sounded() == [600] or line.sounded() == [620]


async def test_pieces_that_are_lost_before_twilio_are_silence() -> None:
    peer = Peer(ONCE)
    async with Line(peer, conditions=LineConditions(loss=0.25, seed=2)) as line:
        line.phone.far.source = lambda: b"\x01" * 160
        await soon(20_010)
    sent = [base64.b64decode(message["media"]["payload"]) for _, message in peer.of("media")]
    assert len(sent) == 1_000
    assert sent.count(SILENCE) == line.phone.lost
    assert 200 < line.phone.lost < 300


async def test_who_sends_to_a_twilio_that_does_not_read_waits() -> None:
    peer = Peer(ONCE)
    async with Line(peer) as line:
        await soon(30)
        line.phone.stop_reading()

        async def talk() -> None:
            for _ in range(100):
                await peer.sounds(b"\x01" * 160)

        task = asyncio.ensure_future(talk())
        await soon(2_000)
        before = peer.sent
        assert 5 <= before <= 10  # 2,000 bytes; one was being read
        line.phone.go_on_reading()
        await soon(10)
        assert peer.sent == 100
        await task


async def test_a_bot_that_does_not_read_is_given_up() -> None:
    peer = Peer(ONCE, reads=False)
    async with Line(peer) as line:
        await soon(9_000)
        assert line.phone.attached
        assert await line.phone.wait_ended() == "completed"
    assert line.phone.stream_ends == ["unread"]


# -- what is answered


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("<Response><Reject reason='busy'/></Response>", "busy"),
        ("<Response><Reject/></Response>", "rejected"),
        (HANGUP, "completed"),
        ("<Response/>", "completed"),
        ("<Response><Say>We are closed.</Say><Hangup/></Response>", "completed"),
    ],
)
async def test_other_answers_are_obeyed(document: str, reason: str) -> None:
    peer = Peer(document)
    async with Line(peer) as line:
        assert await line.phone.wait_ended() == reason
        assert line.phone.said == (["We are closed."] if "Say" in document else [])
        assert line.phone.began_ms == -1
    assert now_ms() == (14 * 60 if "Say" in document else 0)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("<Response><Play>x.mp3</Play></Response>", "<Play> is not known"),
        ("<Response><Say> </Say></Response>", "nothing to say"),
        ("<Respons/>", "root is <Respons>"),
        ("<Response>", "not XML"),
        (ONCE.replace("wss:", "https:"), "31923"),
        (ONCE.replace("/media", "/media?token=1"), "leaves out the query"),
        (ONCE.replace("t&amp;1", "x" * 500), "'token' is refused"),
        (ONCE.replace("<Stream", "<Stream track='both_tracks'"), "attribute track"),
        (ONCE.replace("</Stream>", "</Stream><Stream url='wss://x/y'/>"), "something else"),
        (AGAIN.replace("action", "method='GET' action"), "method GET"),
        ("<Response><Reject reason='late'/></Response>", "'late'"),
    ],
)
async def test_an_answer_that_twilio_does_not_take_is_named(document: str, said: str) -> None:
    async with Line(Peer(document)) as line:
        with pytest.raises(TestKitError, match=r"test\.twiml") as caught:
            await line.phone.wait_ended()
        assert said in caught.value.message


async def test_an_answer_of_another_type_is_refused() -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": HANGUP.encode()})

    phone = TwilioPhone(MemoryNetwork(plain, PUBLIC), PUBLIC, TOKEN)
    phone.dial()
    with pytest.raises(TestKitError, match="12300"):
        await phone.wait_ended()


async def test_a_webhook_that_fails_and_a_stream_that_cannot_be_opened_end_the_call() -> None:
    async with Line(Peer(HANGUP, status=500)) as line:
        assert await line.phone.wait_ended() == "failed"
        assert line.phone.requests[0].status == 500
    peer = Peer(*[AGAIN] * 9, accepts=False)
    async with Line(peer) as line:
        assert await line.phone.wait_ended() == "failed"
    assert len(peer.handshakes) == 5
    assert {request.status for request in line.phone.requests} == {200, 403}


async def test_who_hangs_up_while_it_rings_is_not_connected() -> None:
    peer = Peer(ONCE)
    async with Line(peer, conditions=LineConditions(network_ms=500)) as line:
        await soon(600)
        line.phone.hang_up()
        assert await line.phone.wait_ended() == "hangup"
    assert peer.handshakes == []


# -- the network in memory


async def test_an_application_that_raises_is_a_500_and_its_error_is_kept() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("no")

    network = MemoryNetwork(broken, PUBLIC)
    assert (await network.post(PUBLIC, [], b"")).status == 500
    with pytest.raises(HandshakeRefused, match="500"):
        await network.open("wss://bot.test/app/media", [])
    assert [type(error) for error in network.errors] == [LookupError, LookupError]
    with pytest.raises(ConnectionRefusedError):
        await network.post("https://elsewhere.test/", [], b"")


async def test_an_application_knows_nothing_of_who_calls() -> None:
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(caller.get())

    caller.set("the test")
    await MemoryNetwork(app, PUBLIC).post(PUBLIC, [], b"")
    assert found == ["nobody"]


async def test_an_application_that_does_not_answer_is_given_15_s() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    network = MemoryNetwork(slow, PUBLIC)
    with pytest.raises(TimeoutError):
        await network.post(PUBLIC + "/voice", [], b"")
    assert now_ms() == 15_000
    await network.aclose()


def test_what_is_below_the_public_url() -> None:
    assert within("https://a.test/x?y=1", "https://a.test") == "/x?y=1"
    assert within("wss://a.test/p/x", "https://a.test/p/") == "/x"
    assert within("https://a.test/p", "https://a.test/p") == "/"
    assert within("https://a.test.evil/x", "https://a.test") is None
    assert within("https://b.test/x", "https://a.test") is None
    assert within("https://b.test/x", "") is None


# -- whole calls, against our own endpoint


class Ear(Processor):
    """Answers when the caller has been loud and then silent for 300 ms; is interrupted by 100 ms of sound."""

    decides_interruptions = True

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self._loud = 0
        self._quiet = 0
        self.keys = ""
        self.audio = bytearray()

    @observes(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        pcm = frame.audio.pcm(8_000)
        self.audio += pcm
        if level_dbfs(pcm) > -30:
            self._loud, self._quiet = self._loud + 1, 0
            if self._loud == 5:
                self.interrupt("caller")
        else:
            self._quiet += 1
            if self._quiet == 15 and self._loud >= 5:
                self.call.say(self._answer)
            if self._quiet >= 15:
                self._loud = 0

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> None:
        self.keys += frame.digit
        if frame.digit == "#":
            self.call.end("completed")


def bot(ear: Ear, greeting: str = "") -> Callable[[Call], Pipeline]:
    def make(call: Call) -> Pipeline:
        if greeting:
            asyncio.get_running_loop().call_soon(lambda: call.say(greeting))
        return Pipeline([call.transport.input(), ear, ToneTTS(), call.transport.output()])

    return make


def hum(text: str) -> bytes:
    return tone(700, 50 * len(text), -15)


async def test_a_caller_is_put_through_and_hears_word_by_word() -> None:
    ear = Ear("On Thursday at ten.")
    async with dial(bot(ear, "Hello there."), via="twilio", voice=hum, seed=7) as caller:
        assert isinstance(caller, AudioCaller)
        assert isinstance(caller, TwilioCaller)
        await caller.says("When is it?")
        before = caller.call.clock.at_ms()
        await caller.hears("on", within_ms=2_000)
        first_word = caller.call.clock.at_ms() - before
        await caller.hears("at ten", within_ms=2_000)
        assert caller.call.clock.at_ms() - before - first_word == pytest.approx(16 * 60, abs=100)
        assert await caller.listens() == "On Thursday at ten."
        await caller.presses("12")
        await caller.presses("3", in_band=True)
        assert caller.call.id == "call_00000007"
        assert caller.call.from_ == "+14155550101"
    (greeting, answer), (question, _) = caller.bot_spoke, caller.spoke
    assert greeting[1] - greeting[0] == pytest.approx(12 * 60, abs=2)
    assert 500 <= question[0] - greeting[1] <= 525
    assert 300 <= answer[0] - question[1] <= 365
    assert caller.record.heard == ["Hello there.", "On Thursday at ten."]
    assert (caller.record.reason, caller.phone.reason, ear.keys) == ("hangup", "hangup", "12")
    assert bytes(ear.audio) == caller.sent[: len(ear.audio)]
    assert len(ear.audio) > len(caller.sent) - 3 * 320


async def test_a_caller_interrupts_and_what_waited_at_twilio_is_cleared() -> None:
    ear = Ear("Yes.")
    async with dial(bot(ear, "This will take a very long time to say to you."), via="twilio", voice=hum) as caller:
        await caller.interrupts("stop it", after_ms=700)
        assert 100 <= await caller.stops_within(200) <= 160  # five loud pieces, their way, and the fade
        await caller.hears("yes")
    assert "This will take a very long time".startswith(caller.record.heard[0])
    assert caller.phone.streams[0].playback.most <= 8 * 260


async def test_the_bot_ends_the_call_and_twilio_hears_of_it() -> None:
    async with dial(bot(Ear("Yes."), "Hello there, and good bye."), via="twilio", voice=hum) as caller:
        await caller.presses("#")
        assert await caller.hears_the_end() == "completed"
        with pytest.raises(TestKitError, match=r"test\.ended"):
            await caller.says("wait")
    assert caller.record.heard == ["Hello there, and good bye."]  # to its end
    assert caller.phone.reason == "completed"
    assert caller.phone.stream_ends == ["closed"]
    assert "<Hangup/>" in caller.phone.requests[-1].answer


async def test_the_call_survives_the_loss_of_its_connection() -> None:
    ear = Ear("On Thursday.")
    line = TwilioConditions(network_ms=30, losses_ms=(1_000,))
    async with dial(bot(ear, "Hello there."), via="twilio", voice=hum, line=line) as caller:
        await caller.waits(2_000)
        await caller.says("When is it?")
        await caller.hears("on thursday", within_ms=2_000)
        assert len(caller.call.legs) == 1
        assert [c.attached for c in caller.call.legs[0].connections] == [False, True]
    assert caller.phone.stream_ends == ["lost", "stopped"]
    assert caller.record.reason == "hangup"


def test_the_same_call_is_the_same_to_the_bit_on_a_bad_line_too(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(tone(700, 600, -15, 16_000))

    async def once(seed: int) -> tuple[bytes, str]:
        line = TwilioConditions(network_ms=40, jitter_ms=60, loss=0.02, clock_ppm=80, stalls=((2_000, 300),), seed=seed)
        async with dial(
            bot(Ear("Yes."), "Hello."), via="twilio", voice=hum, line=line, noise_dbfs=-45, seed=seed
        ) as caller:
            await caller.listens()
            await caller.plays_file(tmp_path / "question.wav")
            await caller.coughs(after_ms=100)
            await caller.listens()
        return caller.recording, caller.record.lines()

    assert run_virtual(once(5)) == run_virtual(once(5))
    assert run_virtual(once(6))[0] != run_virtual(once(5))[0]


async def test_callers_at_the_same_time_each_have_their_own_record() -> None:
    async with TwilioExchange(lambda call: bot(Ear("Yes."), "Hello.")(call)) as exchange:
        callers = [exchange.caller(seed=seed, voice=hum) for seed in (1, 2, 3)]
        await asyncio.gather(*(caller.connects() for caller in callers))
        assert len(exchange.app.calls) == 3
        await callers[1].hangs_up()
        await callers[0].waits(1_000)
    assert [caller.record.reason for caller in callers] == ["stopped", "hangup", "stopped"]
    assert [{event.call for event in caller.record.events} for caller in callers] == [
        {f"call_0000000{seed}"} for seed in (1, 2, 3)
    ]


async def test_a_bot_of_which_nothing_is_known_can_be_called_too() -> None:
    ear = Ear("On Thursday.")
    async with TwilioExchange(bot(ear)) as exchange:
        phone = TwilioPhone(exchange.network, exchange.webhook, exchange.twilio_settings.auth_token)
        caller = TwilioCaller(phone, hum)
        await caller.connects()
        await caller.says("When is it?")
        await caller.listens()
        await caller.presses("#")
        assert await caller.hears_the_end() == "completed"
        assert await caller.hangs_up() == "completed"
        (answer,) = caller.bot_spoke
        assert answer[1] - answer[0] == pytest.approx(12 * 60, abs=2)
        with pytest.raises(TestKitError, match=r"completed.*wanted to"):
            caller.interrupts_now("wait")
    async with TwilioExchange(bot(ear), refusal="No.") as exchange:
        exchange.app.draining = True
        caller = TwilioCaller(TwilioPhone(exchange.network, exchange.webhook, "wrong"), hum)
        with pytest.raises(TestKitError, match="was 403"):
            await caller.connects()


# -- who is refused


async def test_what_twilio_has_not_signed_reaches_no_bot() -> None:
    made: list[Call] = []

    def never_answered(call: Call) -> Pipeline:
        made.append(call)
        return bot(Ear("Yes."))(call)

    for forgery, status, path in (
        (Forgery(webhook_signature=""), 403, "/twilio/voice"),
        (Forgery(webhook_signature="AAAA"), 403, "/twilio/voice"),
        (Forgery(stream_signature=""), 403, "/twilio/media"),
        (Forgery(stream_signature="AAAA"), 403, "/twilio/media"),
    ):
        async with TwilioExchange(never_answered) as exchange:
            caller = exchange.caller(forgery=forgery)
            with pytest.raises(TestKitError, match=r"test\.refused"):
                await caller.connects()
            assert caller.phone.reason in ("failed", "completed")
            refused = [request.url for request in caller.phone.requests if request.status == status]
            assert refused[0].endswith(path)
            assert [call.ringing for call in made] == ([] if path == "/twilio/voice" else [True])
            made.clear()


async def test_a_token_opens_one_stream_of_its_call() -> None:
    async with TwilioExchange(lambda call: bot(Ear("Yes."))(call)) as exchange:
        first = exchange.caller(seed=1, keep=True)
        await first.connects()
        token = first.phone.requests[1].fields["token"]
        for forgery in (Forgery(token=token), Forgery(token=token, call_id=first.phone.call_id), Forgery(token="x")):
            thief = exchange.caller(seed=2 + len(exchange.callers), forgery=forgery)
            with pytest.raises(TestKitError, match=r"test\.refused"):
                await thief.connects(within_ms=5_000)
        assert [call for call in exchange.app.calls.values() if not call.ringing] == [first.call]
        assert first.phone.attached


async def test_who_is_one_too_many_is_told_so() -> None:
    for refusal, reason in (("", "busy"), ("All lines are busy.", "completed")):
        async with TwilioExchange(bot(Ear("Yes.")), limits=Limits(max_calls=1), refusal=refusal) as exchange:
            first, second = exchange.caller(seed=1), exchange.caller(seed=2)
            await first.connects()
            with pytest.raises(Reject):
                await second.connects()
            assert second.phone.reason == reason
            assert second.phone.said == ([refusal] if refusal else [])
            assert await first.hangs_up() == "hangup"


async def test_what_the_bot_raises_is_raised_to_the_caller() -> None:
    def closed(call: Call) -> Pipeline:
        raise Reject("closed", "Nobody is here.", "Call `later()`.")

    with pytest.raises(Reject, match="Nobody is here"):
        async with dial(closed, via="twilio"):
            pass

    def broken(call: Call) -> Pipeline:
        raise LookupError("oh")

    with pytest.raises(LookupError, match="oh"):
        async with dial(broken, via="twilio"):
            pass


# -- the clinic, and real sockets


@pytest.mark.skipif(
    not any(place.present for place in places(POCKETSPHINX)),
    reason="needs the recognizer's model: `voiceframe models fetch`",
)
async def test_the_clinic_books_for_a_caller_from_twilio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader", reason="needs voiceframe[local]")
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.clinic_calls import NOW, SNR_DB
    from voiceframe.demo.calendar import Calendar
    from voiceframe.demo.callers import Actor, OnTheLine, make_plan, verdict
    from voiceframe.testing.voices import pick, speech

    seed = 10_001
    person = pick(random.Random(seed))
    calendar = Calendar(tmp_path / "clinic.db")

    def clinic(call: Call) -> Pipeline:
        call.data["calendar"] = calendar
        pipeline = load_bot(str(ROOT / "examples/clinic.py"))(call)
        assert isinstance(pipeline, Pipeline)
        return pipeline

    async with dial(
        clinic,
        via="twilio",
        seed=seed,
        voice=lambda text: speech(text, person),
        noise_dbfs=person.dbfs - SNR_DB,
        line=LineConditions(network_ms=60, jitter_ms=20, seed=seed),
    ) as caller:
        actor = Actor(OnTheLine(caller), make_plan(seed, NOW))
        await actor.act()
        assert await caller.hears_the_end()
        outcome = str(caller.call.data.get("outcome", ""))
    booked = [(doctor, day, at, patient) for doctor, day, at, patient in calendar.appointments()]
    assert verdict(actor, caller.record.reason, outcome, booked) == ""
    assert caller.phone.reason == "completed"
    # What the record takes for the beginning of a reply is what was heard, but for the way.
    starts = [event.at_ms for event in caller.record.of("reply.speaking")]
    assert min(abs(starts[0] + 60 - began) for began, _ in caller.bot_spoke) <= 60


@pytest.mark.real_time
async def test_the_same_over_real_sockets() -> None:
    pytest.importorskip("uvicorn", reason="needs voiceframe[telephony]")
    ear = Ear("On Thursday.")
    ears = iter((ear, Ear("Never heard.")))
    async with TwilioExchange(lambda call: bot(next(ears), "Hello.")(call), real=True) as exchange:
        caller = exchange.caller(voice=hum, seed=4, keep=True)
        forger = exchange.caller(seed=5, forgery=Forgery(stream_signature="AAAA"))
        await caller.connects()
        with pytest.raises(TestKitError, match=r"test\.refused"):
            await forger.connects()
        await caller.says("When?")
        await caller.hears("on thursday", within_ms=2_000)
        caller.phone.lose()
        for _ in range(100):
            if len(caller.phone.streams) == 2:
                break
            await caller.waits(20)
        await caller.presses("7#")
        assert await caller.hears_the_end(within_ms=2_000) == "completed"
    assert caller.phone.stream_ends == ["lost", "closed"]
    assert caller.record.heard[:2] == ["Hello.", "On Thursday."]
    assert ear.keys == "7#"
    media = [json.loads(text)["media"] for text in caller.phone.streams[0].sent if '"event":"media"' in text]
    assert [int(piece["timestamp"]) for piece in media] == [20 * n for n in range(len(media))]
    spoken = caller.phone.streams[0].sent
    assert spoken[0] == '{"event":"connected","protocol":"Call","version":"1.0.0"}'
    assert {request.status for request in forger.phone.requests} == {200, 403}
