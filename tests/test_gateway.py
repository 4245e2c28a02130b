"""The gateway over real sockets: what Twilio asks is answered, and nobody else gets anything."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs voiceframe[telephony]")
pytest.importorskip("uvicorn", reason="needs voiceframe[telephony]")

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from voiceframe.app import App, Limits
from voiceframe.call import Call
from voiceframe.errors import ConfigurationError, Reject
from voiceframe.frames import (
    InputAudioFrame,
    InputDTMFFrame,
    OutputAudioFrame,
    ReplyEndedFrame,
    ReplyStartedFrame,
    StartFrame,
)
from voiceframe.pipeline import Pipeline
from voiceframe.processor import Processor, handles
from voiceframe.server import Gateway, ServerSettings, serve
from voiceframe.testing.record import CallTranscript
from voiceframe.transports.twilio import Twilio, TwilioSettings
from voiceframe.transports.twilio.signature import sign

pytestmark = pytest.mark.real_time

SECRET = "12345"
PUBLIC = "https://voice.example.com"
CALL = "CA" + "0" * 32


class Echo(Processor):
    """Says what it hears, half a second at a time; a key ends the call."""

    def __init__(self) -> None:
        self._heard: list[Any] = []

    @handles(InputAudioFrame)
    def on_audio(self, frame: InputAudioFrame) -> None:
        self._heard.append(frame.audio)
        if len(self._heard) == 25:
            reply = self.begin_reply(None)
            self.push(ReplyStartedFrame(reply))
            for audio in self._heard:
                self.push(OutputAudioFrame(audio, reply))
            self.push(ReplyEndedFrame(reply))
            self._heard.clear()

    @handles(InputDTMFFrame)
    def on_key(self, frame: InputDTMFFrame) -> None:
        self.call.end("key", after="now")


@dataclass
class Service:
    """A gateway that serves, and how it is asked."""

    gateway: Gateway
    port: int
    record: CallTranscript
    stop: asyncio.Event
    calls: list[Call] = field(default_factory=list)

    async def ask(
        self, path: str, fields: dict[str, str] | bytes | None = None, *, signed: bool = True, **headers: str
    ) -> tuple[int, str]:
        body = fields if isinstance(fields, bytes | None) else urllib.parse.urlencode(fields).encode()
        content = "application/x-www-form-urlencoded"
        if body is not None and signed:
            headers["X-Twilio-Signature"] = sign(PUBLIC + path, body, content, SECRET)
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)

        def fetch() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(request, timeout=5) as response:
                    return response.status, response.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(fetch)

    async def token(self, call_id: str = CALL) -> str:
        status, answer = await self.ask("/twilio/voice", form(call_id))
        assert status == 200, answer
        found = re.search(r'<Parameter name="token" value="([^"]+)"/>', answer)
        assert found, answer
        return found[1]

    def stream(self, *, signed: bool = True) -> connect:
        url = "wss://voice.example.com/twilio/media"
        headers = {"X-Twilio-Signature": sign(url, b"", "", SECRET)} if signed else {}
        return connect(
            f"ws://127.0.0.1:{self.port}/twilio/media", additional_headers=headers, compression=None, max_size=None
        )


def form(call_id: str = CALL, **more: str) -> dict[str, str]:
    return {"CallSid": call_id, "From": "+14158675309", "To": "+18005551212", "CallStatus": "ringing", **more}


def start(token: str, call_id: str = CALL) -> str:
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": "MZ1",
            "start": {
                "accountSid": "AC1",
                "streamSid": "MZ1",
                "callSid": call_id,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"token": token},
            },
        }
    )


CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


def media(number: int, payload: bytes = b"\x90" * 160) -> str:
    return json.dumps(
        {
            "event": "media",
            "sequenceNumber": str(number + 2),
            "streamSid": "MZ1",
            "media": {
                "track": "inbound",
                "chunk": str(number + 1),
                "timestamp": str(number * 20),
                "payload": base64.b64encode(payload).decode(),
            },
        }
    )


@pytest.fixture(autouse=True, params=["websockets", pytest.param("picows", marks=pytest.mark.slow)])
def websockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything here holds for whatever reads the streams."""
    if request.param == "picows":
        pytest.importorskip("picows", reason="needs voiceframe[picows]")
    monkeypatch.setenv("VOICEFRAME_SERVER_WEBSOCKETS", request.param)
    return str(request.param)


@contextlib.asynccontextmanager
async def serving(
    bot: Any = None, twilio: Twilio | None = None, limits: Limits | None = None, **settings: Any
) -> AsyncIterator[Service]:
    record, calls = CallTranscript(), []

    def echo(call: Call) -> Pipeline:
        calls.append(call)
        return Pipeline([call.transport.input(), Echo(), call.transport.output()])

    app = App(
        bot or echo,
        twilio or Twilio(TwilioSettings(auth_token=SECRET)),
        store=None,
        sinks=[record],
        limits=limits or Limits(),
    )
    usual: dict[str, Any] = {"public_url": PUBLIC, "port": 0, "handshake_ms": 400, "drain_ms": 300}
    usual["rehearse"] = False  # the calls are counted
    gateway = Gateway(app, ServerSettings.load(**(usual | settings)))
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(gateway, started=port.set_result, stop=stop))
    await asyncio.wait((task, port), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield Service(gateway, port.result(), record, stop, calls)
    finally:
        stop.set()
        assert await task == 0


async def closed(socket: ClientConnection) -> tuple[int, str]:
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(5):
            while True:
                await socket.recv()
    return socket.close_code or 0, socket.close_reason or ""


async def test_a_call_comes_and_is_heard_and_spoken_to() -> None:
    async with serving() as service:
        token = await service.token()
        async with service.stream() as socket:
            await socket.send(CONNECTED)
            await socket.send(start(token))
            sound = bytes((number * 7) % 200 for number in range(160))
            for number in range(30):
                await socket.send(media(number, sound))
                await asyncio.sleep(0.002)
            heard = b""
            marks: list[str] = []
            async with asyncio.timeout(5):
                while len(heard) < 160 * 25 or not marks:
                    message = json.loads(await socket.recv())
                    assert message["streamSid"] == "MZ1"
                    if message["event"] == "media":
                        heard += base64.b64decode(message["media"]["payload"])
                    elif message["event"] == "mark":
                        marks.append(message["mark"]["name"])
            assert heard[160 : 160 * 25] == (sound * 25)[160:]  # but for the fade-in, which it has not
            await socket.send(json.dumps({"event": "mark", "streamSid": "MZ1", "mark": {"name": marks[0]}}))
            await socket.send('{"event":"dtmf","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"5"}}')
            assert await closed(socket) == (1000, "key")
        (call,) = service.calls
        assert await call.wait_ended() == "key"
        assert (call.from_, call.to, call.metadata["call_sid"]) == ("+14158675309", "+18005551212", CALL)
        assert token not in service.record.lines()
        # The stream is over, and Twilio asks what now.
        assert "<Hangup/>" in (await service.ask("/twilio/voice", form()))[1]


async def test_the_answer_asks_for_a_stream_and_to_be_asked_again() -> None:
    async with serving() as service:
        status, answer = await service.ask("/twilio/voice", form())
        assert status == 200
        assert '<Stream url="wss://voice.example.com/twilio/media">' in answer
        assert 'action="https://voice.example.com/twilio/voice"' in answer


async def test_who_does_not_sign_learns_nothing() -> None:
    async with serving() as service:
        assert await service.ask("/twilio/voice", form(), signed=False) == (403, "")
        wrong = sign(PUBLIC + "/twilio/voice", b"CallSid=CA1", "application/x-www-form-urlencoded", SECRET)
        assert (await service.ask("/twilio/voice", form(), signed=False, **{"X-Twilio-Signature": wrong}))[0] == 403
        with pytest.raises(InvalidStatus) as refused:
            async with service.stream(signed=False):
                pass
        assert refused.value.response.status_code == 403
        # A Host header moves nothing.
        body = urllib.parse.urlencode(form()).encode()
        other = sign("https://evil.example/twilio/voice", body, "application/x-www-form-urlencoded", SECRET)
        headers = {"X-Twilio-Signature": other, "Host": "evil.example"}
        assert (await service.ask("/twilio/voice", body, signed=False, **headers))[0] == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"CallSid=", 400),
        (b"CallSid=CA%20..%2F", 400),
        (b"CallSid=" + b"C" * 65, 400),
        (b"&".join(b"a%d=1" % number for number in range(1_500)), 403),  # more than are looked at
    ],
)
async def test_a_webhook_without_a_call_is_refused(body: bytes, status: int) -> None:
    async with serving() as service:
        headers = {"X-Twilio-Signature": "x"} if status == 403 else {}
        assert (await service.ask("/twilio/voice", body, signed=status == 400, **headers))[0] == status


async def test_long_and_slow_bodies_are_cut_off() -> None:
    async with serving(body_bytes=2_000, body_ms=200) as service:
        assert (await service.ask("/twilio/voice", b"a=" + b"b" * 3_000))[0] == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nCallSid")
        assert b"413" in await asyncio.wait_for(reader.readline(), 3)
        writer.close()


async def test_who_leaves_in_the_middle_of_a_request_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as service:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nCallSid")
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert (await service.ask("/healthz"))[0] == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_stream_without_a_token_has_its_time_and_then_goes() -> None:
    async with serving() as service, service.stream() as socket:
        await socket.send(CONNECTED)
        assert await closed(socket) == (1008, "no token in time")
        assert not service.calls


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([start("guess")], 1008),
        ([media(0)], 1008),
        (["not json"], 1007),
        ([b"binary"], 1003),
        ([CONNECTED, '{"event":"start"}'], 1007),
        ([CONNECTED] * 2_000, 1008),  # more than is read before a start
        (['{"event":"' + "x" * 70_000 + '"}'], 1009),
        ([start("guess").replace("8000", "16000")], 1007),
    ],
)
async def test_what_comes_before_a_start_is_bounded(messages: list[str | bytes], code: int) -> None:
    async with serving(handshake_ms=3_000) as service, service.stream() as socket:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                await socket.send(message)
        assert (await closed(socket))[0] == code
        assert not service.calls


@pytest.mark.parametrize(("said", "answer"), [(b"", 1000), (1000, 1000), (4321, 4321), (5000, 1002), (1006, 1002)])
async def test_a_close_is_answered_as_the_protocol_wants_it(said: int | bytes, answer: int, websockets: str) -> None:
    async with serving() as service, service.stream() as socket:
        payload = said.to_bytes(2, "big") if isinstance(said, int) else said
        socket.protocol.send_frame(Frame(Opcode.CLOSE, payload))
        socket.transport.writelines(socket.protocol.data_to_send())
        async with asyncio.timeout(3):
            while socket.protocol.close_rcvd is None and not socket.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        received = socket.protocol.close_rcvd
        assert received is not None
        assert received.code in ({answer, 1005} if not said else {answer})


async def test_a_token_opens_one_stream_of_its_own_call() -> None:
    async with serving() as service:
        token = await service.token()
        other = await service.token("CA" + "1" * 32)
        async with service.stream() as socket:
            await socket.send(start(other))  # of another call
            assert (await closed(socket))[0] == 1008
        async with service.stream() as first, service.stream() as second:
            await first.send(start(token))
            await first.send(media(0))
            await asyncio.sleep(0.1)
            await second.send(start(token))
            assert (await closed(second))[0] == 1008
            assert [call.ringing for call in service.calls] == [False, True]
            await first.send('{"event":"stop","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"' + CALL + '"}}')
            await closed(first)
        assert await service.calls[0].wait_ended() == "hangup"


async def test_the_bot_is_ready_before_the_call_is_answered() -> None:
    heard: list[str] = []

    class Slow(Echo):
        async def setup(self) -> None:
            heard.append("setup")
            await asyncio.sleep(0.1)
            heard.append("ready")

        @handles(StartFrame)
        def on_start(self, frame: StartFrame) -> None:
            heard.append("start")

    def bot(call: Call) -> Pipeline:
        return Pipeline([call.transport.input(), Slow(), call.transport.output()])

    async with serving(bot) as service:
        token = await service.token()
        (call,) = service.gateway.app.calls.values()
        await asyncio.sleep(0.2)
        assert (heard, call.ringing) == (["setup", "ready"], True)
        async with service.stream() as socket:
            await socket.send(start(token))
            await socket.send(media(0))
            await asyncio.sleep(0.1)
            assert (heard, call.ringing) == (["setup", "ready", "start"], False)
        names = [event.kind for event in service.record.events]
        assert names.index("call.started") < names.index("call.answered") < names.index("connection.attached")


async def test_a_call_whose_stream_does_not_come_is_over() -> None:
    twilio = Twilio(TwilioSettings(auth_token=SECRET, token_ms=1_000))
    async with serving(twilio=twilio) as service:
        token = await service.token()
        await asyncio.sleep(0.7)
        token = await service.token()  # asked again: it has its time again
        await asyncio.sleep(0.7)
        (call,) = service.gateway.app.calls.values()
        assert await call.wait_ended() == "no-stream"
        assert not service.gateway.app.calls
        async with service.stream() as socket:
            await socket.send(start(token))
            assert (await closed(socket))[0] == 1008
        assert "<Hangup/>" in (await service.ask("/twilio/voice", form()))[1]


async def test_a_bot_that_is_asked_for_twice_is_made_once() -> None:
    made: list[Call] = []

    async def bot(call: Call) -> Pipeline:
        made.append(call)
        await asyncio.sleep(0.2)
        return Pipeline([call.transport.input(), Echo(), call.transport.output()])

    async with serving(bot) as service:
        first, second = await asyncio.gather(service.token(), service.token())
        assert len(made) == 1
        assert first != second


async def test_a_bot_that_is_not_made_in_time_is_not_waited_for() -> None:
    async def bot(call: Call) -> Pipeline:
        await asyncio.sleep(60)
        raise AssertionError

    twilio = Twilio(TwilioSettings(auth_token=SECRET, answer_ms=100))
    async with serving(bot, twilio) as service:
        assert '<Reject reason="busy"/>' in (await service.ask("/twilio/voice", form()))[1]
        assert not service.gateway.app.calls


@pytest.mark.parametrize(
    ("message", "code"),
    [("nonsense", 1007), (b"\x00\x01", 1003), (start("again"), 1008), ('{"event":"media"}', 1007)],
)
async def test_a_stream_that_talks_nonsense_is_closed_and_may_come_again(message: str | bytes, code: int) -> None:
    async with serving() as service:
        token = await service.token()
        async with service.stream() as socket:
            await socket.send(start(token))
            await socket.send(media(0))
            await socket.send(message)
            assert (await closed(socket))[0] == code
        again = await service.token()  # the same call, which goes on
        async with service.stream() as socket:
            await socket.send(start(again))
            await socket.send(media(0))
            await asyncio.sleep(0.1)
            assert [len(service.calls), service.calls[0].ended] == [1, False]
            assert service.record.of("connection.attached")


async def test_a_lost_stream_is_asked_for_again_and_the_call_goes_on() -> None:
    async with serving() as service:
        token = await service.token()
        async with service.stream() as socket:
            await socket.send(start(token))
            await socket.send(media(0))
            await asyncio.sleep(0.1)
            socket.transport.abort()
        await asyncio.sleep(0.1)
        status, answer = await service.ask("/twilio/voice", form(CallStatus="in-progress"))
        assert (status, "<Connect" in answer) == (200, True)
        assert not service.calls[0].ended


async def test_who_cannot_be_taken_is_told_so() -> None:
    async with serving(limits=Limits(max_calls=1)) as service:
        token = await service.token()
        assert '<Reject reason="busy"/>' in (await service.ask("/twilio/voice", form("CA2")))[1]  # a place is kept
        async with service.stream() as socket:
            await socket.send(start(token))
            await socket.send(media(0))
            await asyncio.sleep(0.1)
            assert (await service.ask("/readyz"))[0] == 503
            assert '<Reject reason="busy"/>' in (await service.ask("/twilio/voice", form("CA3")))[1]
    message = Twilio(TwilioSettings(auth_token=SECRET), refusal="We are closed & sorry.")
    async with serving(twilio=message, limits=Limits(max_calls=1)) as service:
        await service.token()
        assert "We are closed &amp; sorry." in (await service.ask("/twilio/voice", form("CA2")))[1]


@pytest.mark.parametrize(
    ("refusal", "answer"),
    [
        (Reject("blocked"), '<Reject reason="busy"/>'),
        (Reject("declined"), '<Reject reason="rejected"/>'),
        (Reject("We open at nine."), "<Say>We open at nine.</Say><Hangup/>"),
        (RuntimeError("broken"), '<Reject reason="busy"/>'),
    ],
)
async def test_a_bot_that_refuses_or_fails_loses_its_own_call_only(refusal: Exception, answer: str) -> None:
    def bot(call: Call) -> Pipeline:
        if call.from_ == "+1":
            raise refusal
        return Pipeline([call.transport.input(), Echo(), call.transport.output()])

    async with serving(bot) as service:
        assert answer in (await service.ask("/twilio/voice", form("CA0", From="+1")))[1]
        token = await service.token()
        async with service.stream() as socket:
            await socket.send(start(token))
            await socket.send(media(0))
            await asyncio.sleep(0.1)
            assert len(service.gateway.app.calls) == 1


async def test_health() -> None:
    async with serving() as service:
        assert await service.ask("/healthz") == (200, '{"status": "alive", "calls": 0}')
        assert await service.ask("/readyz") == (200, '{"ready": true, "reasons": [], "calls": 0}')
        assert (await service.ask("/"))[0] == 404
        service.gateway.app.draining = True
        status, answer = await service.ask("/readyz")
        assert (status, "being stopped" in answer) == (503, True)
        assert '<Reject reason="busy"/>' in (await service.ask("/twilio/voice", form()))[1]


async def test_calls_have_time_to_end_when_the_process_stops() -> None:
    async with serving(drain_ms=5_000) as service:
        token = await service.token()
        async with service.stream() as socket:
            await socket.send(start(token))
            await socket.send(media(0))
            await asyncio.sleep(0.1)
            service.stop.set()
            await asyncio.sleep(0.2)
            await socket.send(media(1))
            assert not service.calls[0].ended
            await socket.send('{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"5"}}')
            assert await closed(socket) == (1000, "key")


async def test_it_does_not_start_without_what_it_needs() -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with serving(twilio=Twilio(TwilioSettings())):
            pass
    assert caught.value.code == "server.no-secret"
    with pytest.raises(ConfigurationError) as caught:
        async with serving(public_url=""):
            pass
    assert caught.value.code == "server.no-public-url"
    with pytest.raises(ConfigurationError) as caught:
        Gateway(App(lambda _: Pipeline([]), store=None), ServerSettings(public_url="voice.example.com"))
    assert caught.value.code == "server.public-url"


async def test_a_port_that_is_taken_is_an_exit_code() -> None:
    async with serving() as service:
        app = App(lambda _: Pipeline([]), Twilio(TwilioSettings(auth_token=SECRET)), store=None)
        gateway = Gateway(app, ServerSettings(public_url=PUBLIC, port=service.port, rehearse=False))
        assert await serve(gateway) == 1


async def test_the_insecure_switch_is_for_this_machine() -> None:
    async with serving(twilio=Twilio(TwilioSettings()), insecure=True) as service:
        assert (await service.ask("/twilio/voice", form(), signed=False))[0] == 200
        # By way of a tunnel everybody has a loopback address.
        for name in ("X-Forwarded-For", "Forwarded", "Via"):
            assert (await service.ask("/twilio/voice", form(), signed=False, **{name: "203.0.113.7"}))[0] == 403
        assert (await service.ask("/readyz"))[0] == 503
